"""Dropout in both conventions, its relatives, and the average over masks."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from lrlab import Run, dropout
from lrlab.dropout import DropConnect, Dropout, InvertedDropout, SpatialDropout


def network(layer: nn.Module, width: int = 6) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, width), nn.ReLU(), layer, nn.Linear(width, 3)).double()


# The two conventions --------------------------------------------------------------------------------------------------


@given(
    w=st.lists(st.floats(-3, 3), min_size=2, max_size=5),
    keep=st.floats(0.1, 1.0),
)
def test_the_sum_over_all_masks_is_the_scaled_sum(w: list[float], keep: float) -> None:
    """The slide's ¼-sum: exactly, by enumeration, for a linear unit."""
    terms = torch.tensor(w, dtype=torch.float64)
    exact = dropout.expectation(lambda masks: (masks * terms).sum(-1), units=len(w), keep=keep)
    torch.testing.assert_close(exact, Dropout(keep).eval()(terms).sum(), rtol=1e-12, atol=1e-12)


def test_the_slides_quarter_sum() -> None:
    w, x = torch.tensor([0.7, -1.2]).double(), torch.tensor([2.0, 0.5]).double()
    a, b = (w * x).tolist()
    by_hand = 0.25 * (a + b) + 0.25 * (a + 0 * b) + 0.25 * (0 * a + b) + 0.25 * (0 * a + 0 * b)
    exact = dropout.expectation(lambda masks: (masks * w * x).sum(-1), units=2, keep=0.5)
    assert float(exact) == pytest.approx(by_hand, abs=1e-15) == pytest.approx((a + b) / 2, abs=1e-15)


@pytest.mark.parametrize(
    "layer", [Dropout(0.3), InvertedDropout(0.7), nn.Dropout(0.7)], ids=["lecture", "inverted", "torch"]
)
def test_the_expectation_in_training_is_the_value_at_inference(layer: nn.Module) -> None:
    """Statistically, for a unit behind the layer: within five standard errors of the mean of 4,000 masks."""
    torch.manual_seed(0)
    x, out = torch.randn(6, dtype=torch.float64), nn.Linear(6, 3).double()
    with torch.no_grad():
        sums = torch.stack([out(layer.train()(x)) for _ in range(4000)])
        wanted = out(layer.eval()(x))
    error = sums.std(0) / math.sqrt(len(sums))
    assert ((sums.mean(0) - wanted).abs() < 5 * error).all()
    assert (error > 0).all()


@pytest.mark.parametrize("p", [0.0, 0.2, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_inverted_dropout_is_torchs_bit_by_bit(p: float, dtype: torch.dtype) -> None:
    x = torch.randn(7, 50, dtype=dtype)
    torch.manual_seed(1)
    ours = InvertedDropout(p)(x)
    torch.manual_seed(1)
    assert torch.equal(ours, nn.functional.dropout(x, p))


def test_spatial_dropout_is_torchs_bit_by_bit() -> None:
    x = torch.randn(4, 5, 3, 3)
    torch.manual_seed(1)
    ours = SpatialDropout(0.4)(x)
    torch.manual_seed(1)
    assert torch.equal(ours, nn.functional.dropout2d(x, 0.4))
    assert torch.equal(SpatialDropout(0.4).eval()(x), x)


def test_the_conversion_between_the_conventions() -> None:
    """The same mask: the lecture's output is keep times the inverted one, in training and at inference."""
    x, keep = torch.randn(100, dtype=torch.float64), 0.3
    torch.manual_seed(2)
    ours = Dropout(keep)(x)
    torch.manual_seed(2)
    torch.testing.assert_close(ours, keep * InvertedDropout(1 - keep)(x), rtol=1e-12, atol=0)
    assert torch.equal(Dropout(keep).eval()(x), keep * InvertedDropout(1 - keep).eval()(x))


@pytest.mark.parametrize("layer", [Dropout(0.6), InvertedDropout(0.4)])
def test_the_gradient_passes_where_the_mask_does(layer: nn.Module) -> None:
    model, x = network(layer), torch.randn(5, 4, dtype=torch.float64, requires_grad=True)

    def masked(inputs: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(3)  # the same mask for both sides of the difference
        return model(inputs)

    assert torch.autograd.gradcheck(masked, (x,))


def test_each_example_has_a_mask_of_its_own() -> None:
    dropped = InvertedDropout(0.5)(torch.ones(20, 100)) == 0
    assert len({tuple(row.tolist()) for row in dropped}) == 20


@pytest.mark.parametrize("layer", [Dropout(0.5), InvertedDropout(0.5), SpatialDropout(0.5), DropConnect(8, 8)])
def test_under_vmap_every_run_has_a_mask_of_its_own(layer: nn.Module) -> None:
    x = torch.ones(3, 2, 8, 8)
    out = torch.func.vmap(layer, randomness="different")(x)
    assert not torch.equal(out[0], out[1]) and not torch.equal(out[1], out[2])


def test_drop_connect_drops_weights() -> None:
    torch.manual_seed(0)
    layer = DropConnect(300, 1, p=0.25, bias=False)
    nn.init.ones_(layer.weight)
    kept = layer(torch.eye(300))[:, 0]
    assert kept.unique().tolist() == pytest.approx([0, 1 / 0.75])
    assert 0.65 < (kept > 0).float().mean() < 0.85
    assert torch.equal(layer.eval()(torch.eye(300))[:, 0], torch.ones(300))


def test_a_run_with_our_dropout_can_be_replayed_bit_by_bit() -> None:
    def model() -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), Dropout(0.5), nn.Linear(16, 10))

    first = Run(model, "digits", seed=3).train(steps=30, progress=False)
    second = Run(model, "digits", seed=3).train(steps=30, progress=False)
    assert first.history["loss"].tolist() == second.history["loss"].tolist()
    first.rewind(10)
    first.train(steps=20, progress=False)
    assert first.history["loss"].tolist() == second.history["loss"].tolist()


# The average over masks -----------------------------------------------------------------------------------------------


def test_the_chances_of_all_masks_sum_to_one() -> None:
    one = dropout.expectation(lambda masks: torch.ones(len(masks), dtype=torch.float64), units=7, keep=0.35)
    assert float(one) == pytest.approx(1, abs=1e-14)
    assert dropout.all_masks(5).unique(dim=0).shape == (32, 5)


def test_weight_scaling_is_the_geometric_mean_of_a_softmax_layer_exactly() -> None:
    """Baldi and Sadowski 2013: for one layer, scaling is the normalised geometric mean over all masks."""
    torch.manual_seed(0)
    x, layer = torch.randn(6, dtype=torch.float64), nn.Linear(6, 3).double()
    with torch.no_grad():
        logs = dropout.expectation(lambda masks: layer(masks * x).log_softmax(-1), units=6, keep=0.5)
        scaled = layer(0.5 * x).softmax(-1)
    torch.testing.assert_close(logs.softmax(-1), scaled, rtol=1e-12, atol=0)


def test_monte_carlo_goes_to_the_integral_over_masks() -> None:
    model, x = network(InvertedDropout(0.5)), torch.randn(5, 4, dtype=torch.float64)

    def with_masks(masks: torch.Tensor) -> torch.Tensor:
        hidden = torch.relu(model[0](x))
        return model[3](masks[:, None] / 0.5 * hidden).softmax(-1)

    exact = dropout.expectation(with_masks, units=6, keep=0.5)
    few, many = (dropout.monte_carlo(model, x, draws=draws, seed=1) for draws in (10, 3000))
    assert (many.mean - exact).abs().max() < 5 * float(many.deviation.max()) / math.sqrt(3000)
    assert (few.mean - exact).abs().max() > (many.mean - exact).abs().max()


def test_monte_carlo_leaves_everything_as_it_was() -> None:
    model = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 6), nn.Dropout(0.5), nn.Linear(6, 3))
    model[0].eval()
    buffers = [buffer.clone() for buffer in model.buffers()]
    generator = torch.get_rng_state()
    first = dropout.monte_carlo(model, torch.randn(5, 4, generator=torch.Generator().manual_seed(0)), draws=5, seed=4)
    again = dropout.monte_carlo(model, torch.randn(5, 4, generator=torch.Generator().manual_seed(0)), draws=5, seed=4)
    assert torch.equal(first.mean, again.mean) and (first.deviation > 0).all()
    assert torch.equal(torch.get_rng_state(), generator)
    assert all(torch.equal(a, b) for a, b in zip(buffers, model.buffers(), strict=True))
    assert [part.training for part in model.modules()] == [True, False, True, True, True]


def test_as_many_masks_as_the_lecture_says() -> None:
    assert round(dropout.log10_masks(4096)) == 1233
    assert dropout.log10_masks(4096) == pytest.approx(math.log10(2**4096), abs=1e-9)


# Bad input ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make, said",
    [
        (lambda: Dropout(0.0), r"Dropout: keep, .* must be in \(0, 1\], got 0.0"),
        (lambda: Dropout(1.2), "keep"),
        (lambda: InvertedDropout(1.0), r"InvertedDropout: p, the probability to drop a unit, must be in \[0, 1\)"),
        (lambda: SpatialDropout(-0.1), r"got -0.1"),
        (lambda: DropConnect(2, 2, p=math.nan), "nan"),
        (lambda: SpatialDropout(0.5)(torch.ones(2, 3)), r"\[N, channels, ...\]"),
        (lambda: dropout.all_masks(21), "monte_carlo"),
        (lambda: dropout.monte_carlo(nn.Linear(2, 2), torch.ones(1, 2)), "no dropout layer"),
        (lambda: dropout.monte_carlo(network(Dropout(0.5)), torch.ones(1, 4), draws=1), "at least 2"),
    ],
)
def test_errors_say_what_is_allowed(make: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make()  # type: ignore[operator]


def test_a_probability_is_a_number() -> None:
    with pytest.raises(TypeError, match="must be a number"):
        InvertedDropout("half")  # type: ignore[arg-type]
