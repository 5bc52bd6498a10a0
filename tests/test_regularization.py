"""Penalties, their place, proximal steps, the two losses and early stopping."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from lrlab import models, regularization, rules
from lrlab.regularization import L1, L2, EarlyStopping, ElasticNet, MaxNorm, everywhere, place

PENALTIES = [L2(0.3), L1(0.3), ElasticNet(0.3, beta=0.7)]
VALUES = st.lists(st.floats(-5, 5).filter(lambda v: abs(v) > 1e-3), min_size=1, max_size=6)


def vector(values: list[float]) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


# Place ----------------------------------------------------------------------------------------------------------------


def test_weights_are_touched_biases_and_scales_are_not() -> None:
    model = models.cnn(width=4)
    flat = dict(model.named_parameters())
    mask = place(model).mask.split([weight.numel() for weight in flat.values()])
    for (name, weight), part in zip(flat.items(), mask, strict=True):
        assert part.unique().tolist() == [float(weight.dim() >= 2)], name


def test_all_and_named_parameters() -> None:
    model = models.mlp(4, (3,), 2)
    assert place(model, on="all").mask.sum() == 4 * 3 + 3 + 3 * 2 + 2
    assert place(model, on=("3.weight",)).mask.sum() == 3 * 2


def test_frozen_parameters_have_no_place() -> None:
    model = models.mlp(4, (3,), 2)
    model[1].requires_grad_(False)
    assert len(place(model).mask) == 3 * 2 + 2


def test_a_unit_is_what_leads_into_one_neuron_or_filter() -> None:
    model = nn.Sequential(nn.Conv2d(2, 3, 5), nn.Linear(4, 2, bias=False))
    units = place(model)
    assert units.units == 3 + 3 + 2
    assert torch.bincount(units.unit).tolist() == [50, 50, 50, 1, 1, 1, 4, 4]


@pytest.mark.parametrize(
    "on, said", [("biases", "'weights', 'all'"), (("0.weigth",), "0.weigth"), ((), "no parameter")]
)
def test_a_wrong_place_is_named(on: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        place(nn.Sequential(nn.Linear(2, 2)), on)


# Penalties ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("penalty", PENALTIES, ids=lambda p: type(p).__name__)
@given(values=VALUES)
def test_the_slope_is_the_derivative(penalty: regularization.Penalty, values: list[float]) -> None:
    x = vector(values).requires_grad_()
    (g,) = torch.autograd.grad(penalty(x, everywhere(x)), x)
    torch.testing.assert_close(penalty.gradient(x.detach(), everywhere(x)), g, rtol=1e-12, atol=1e-12)


@given(values=VALUES, lam=st.floats(0, 2), beta=st.floats(0, 2))
def test_elastic_net_is_the_lectures_formula(values: list[float], lam: float, beta: float) -> None:
    x = vector(values)
    by_hand = lam * sum(beta * v * v + abs(v) for v in values)
    assert float(ElasticNet(lam, beta)(x, everywhere(x))) == pytest.approx(by_hand, rel=1e-12)
    torch.testing.assert_close(ElasticNet(lam, 0.0).gradient(x, everywhere(x)), L1(lam).gradient(x, everywhere(x)))


@pytest.mark.parametrize("penalty", PENALTIES, ids=lambda p: type(p).__name__)
def test_runs_on_leading_axes_are_independent_and_may_have_their_own_strength(penalty: regularization.Penalty) -> None:
    x, strengths = torch.randn(3, 5, dtype=torch.float64), torch.tensor([[0.0], [0.1], [2.0]], dtype=torch.float64)
    where = everywhere(x)
    together = type(penalty)(lam=strengths)
    for row in range(3):
        alone = type(penalty)(lam=float(strengths[row]))
        assert torch.equal(together.gradient(x, where)[row], alone.gradient(x[row], where))
        torch.testing.assert_close(together(x, where)[row], alone(x[row], where), rtol=1e-12, atol=0)


def test_l2_is_torchs_weight_decay_of_twice_lambda() -> None:
    torch.manual_seed(0)
    weight = nn.Parameter(torch.randn(4, dtype=torch.float64))
    g, start = torch.randn(4, dtype=torch.float64), weight.detach().clone()
    weight.grad = g.clone()
    torch.optim.SGD([weight], lr=0.1, weight_decay=2 * 0.05).step()
    ours, _ = rules.SGD().step(start, g + L2(0.05).gradient(start, everywhere(start)), {}, 0.1)
    torch.testing.assert_close(ours, weight.detach(), rtol=1e-14, atol=0)


def test_decoupled_decay_equals_l2_under_sgd_and_not_under_adam() -> None:
    torch.manual_seed(0)
    start, lr, lam = torch.randn(6, dtype=torch.float64), 0.01, 0.05
    gradients = torch.randn(50, 6, dtype=torch.float64)

    def path(rule: rules.Rule, coupled: bool) -> torch.Tensor:
        x, state = start, rule.init(start)
        for g in gradients:
            pull = L2(lam).gradient(x, everywhere(x))
            shrunk = x if coupled else x - lr * pull
            x, state = rule.step(shrunk, g + pull if coupled else g, state, lr)
        return x

    torch.testing.assert_close(path(rules.SGD(), True), path(rules.SGD(), False), rtol=1e-13, atol=1e-15)
    assert (path(rules.Adam(), True) - path(rules.Adam(), False)).abs().max() > 1e-3


@pytest.mark.parametrize("penalty", [L1(0.3, proximal=True), ElasticNet(0.3, beta=0.7, proximal=True)])
@given(value=st.floats(-3, 3), lr=st.floats(0.01, 2))
def test_the_proximal_step_minimises_what_it_should(penalty: regularization.Penalty, value: float, lr: float) -> None:
    """prox(v) = argmin ½ (w − v)² + α λ R(w): no other point of a fine grid is lower."""
    v = vector([value])
    grid = torch.linspace(-3.5, 3.5, 2001, dtype=torch.float64)

    def height(w: torch.Tensor) -> torch.Tensor:
        return 0.5 * (w - value) ** 2 + lr * penalty.each(w)

    found = penalty.after(v, lr, everywhere(v))
    assert float(height(found)) <= float(height(grid).min()) + 1e-12


def test_proximal_l1_reaches_zero_and_the_gradient_form_does_not() -> None:
    """On ½ (x − b)² the lasso's solution is known: the soft threshold of b."""
    b = vector([1.0, 0.05, -0.02, -2.0])

    def descend(penalty: L1) -> torch.Tensor:
        x = torch.zeros_like(b) + 0.5
        for _ in range(500):
            x, _ = rules.SGD().step(x, (x - b) + penalty.gradient(x, everywhere(x)), {}, 0.1)
            x = penalty.after(x, 0.1, everywhere(x))
        return x

    exact = descend(L1(0.1, proximal=True))
    torch.testing.assert_close(exact, vector([0.9, 0.0, 0.0, -1.9]), rtol=0, atol=1e-12)
    assert float(regularization.zeros(exact, everywhere(b))) == 0.5
    assert float(regularization.zeros(descend(L1(0.1)), everywhere(b))) == 0.0


@given(values=st.lists(st.floats(-50, 50), min_size=4, max_size=4), c=st.floats(0.1, 5))
def test_max_norm_bounds_every_unit_and_leaves_short_ones_alone(values: list[float], c: float) -> None:
    layer = nn.Linear(2, 2, bias=False, dtype=torch.float64)
    x = vector(values)
    bounded = MaxNorm(c).after(x, 0.1, place(layer)).view(2, 2)
    for before, after in zip(x.view(2, 2), bounded, strict=True):
        assert float(after.norm()) <= c * (1 + 1e-12)
        if float(before.norm()) < c:
            assert torch.equal(before, after)
        else:
            torch.testing.assert_close(after / after.norm(), before / before.norm())


def test_max_norm_adds_nothing_to_the_loss_and_batches() -> None:
    where = place(nn.Linear(3, 2))
    x = 10 * torch.randn(4, 8)
    assert torch.equal(MaxNorm(1.0)(x, where), torch.zeros(4))
    together = MaxNorm(1.0).after(x, 0.1, where)
    for row in range(4):
        torch.testing.assert_close(together[row], MaxNorm(1.0).after(x[row], 0.1, where))
    assert torch.equal(together[:, 6:], x[:, 6:])  # biases


@pytest.mark.parametrize("penalty", [L1(0.3, proximal=True), MaxNorm(0.01)], ids=["proximal", "MaxNorm"])
def test_what_comes_after_the_step_leaves_biases_alone(penalty: regularization.Penalty) -> None:
    where, x = place(nn.Linear(3, 2)), torch.randn(8)
    assert torch.equal(penalty.after(x, 1.0, where)[6:], x[6:])
    assert not torch.equal(penalty.after(x, 1.0, where)[:6], x[:6])


@pytest.mark.parametrize(
    "make, said",
    [
        (lambda: L2(lam=-1e-4), "L2: lam = -0.0001"),
        (lambda: L1(lam=math.nan), "L1: lam = nan"),
        (lambda: ElasticNet(lam=1e-3, beta=-1.0), "ElasticNet: beta"),
        (lambda: MaxNorm(c=0.0), "MaxNorm: c = 0"),
        (lambda: EarlyStopping(patience=0), "patience must be a whole number of at least 1, got 0"),
        (lambda: EarlyStopping(min_delta=-0.1), "min_delta"),
        (lambda: EarlyStopping(mode="most"), "'min'"),
    ],
)
def test_values_out_of_range_are_named(make: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make()  # type: ignore[operator]


# Losses ---------------------------------------------------------------------------------------------------------------


def test_cross_entropy_and_hinge_against_torch() -> None:
    torch.manual_seed(0)
    f, y = 3 * torch.randn(50, 7, dtype=torch.float64), torch.randint(7, (50,))
    torch.testing.assert_close(regularization.cross_entropy(f, y), nn.functional.cross_entropy(f, y))
    torch.testing.assert_close(regularization.hinge(f, y), 7 * nn.functional.multi_margin_loss(f, y))


def test_hinge_is_the_double_sum_of_the_lecture() -> None:
    f, y = [[3.2, 5.1, -1.7], [1.3, 4.9, 2.0], [2.2, 2.5, -3.1]], [0, 1, 2]
    total = sum(
        max(0.0, row[j] - row[label] + 1) for row, label in zip(f, y, strict=True) for j in range(3) if j != label
    )
    found = regularization.hinge(torch.tensor(f, dtype=torch.float64), torch.tensor(y))
    assert float(found) == pytest.approx(total / 3) == pytest.approx((2.9 + 0 + 12.9) / 3)


@pytest.mark.parametrize("loss", [regularization.hinge, regularization.cross_entropy])
def test_labels_must_be_class_indices(loss: object) -> None:
    with pytest.raises(TypeError, match="int64"):
        loss(torch.zeros(2, 3), torch.zeros(2))  # type: ignore[operator]
    with pytest.raises(ValueError, match=r"\[N, classes\]"):
        loss(torch.zeros(2, 3), torch.zeros(2, 3, dtype=torch.long))  # type: ignore[operator]


# Early stopping -------------------------------------------------------------------------------------------------------


def observed(stopping: EarlyStopping, metrics: list[float]) -> list[bool]:
    state, stops = stopping.init(), []
    for metric in metrics:
        state = stopping.observe(metric, state)
        stops.append(state["stop"])
    return stops


def test_the_patience_th_bad_observation_in_a_row_stops() -> None:
    assert observed(EarlyStopping(patience=2), [1.0, 0.9, 0.95, 0.8, 0.8, 0.8]) == [False] * 5 + [True]
    assert observed(EarlyStopping(patience=1), [1.0, 1.0]) == [False, True]


def test_nan_is_bad_and_the_first_finite_one_good() -> None:
    assert observed(EarlyStopping(patience=2), [math.nan, 5.0, math.nan, math.inf]) == [False, False, False, True]


def test_improvements_within_min_delta_do_not_count_and_accuracies_rise() -> None:
    assert observed(EarlyStopping(patience=2, min_delta=0.1), [1.0, 0.95, 0.91]) == [False, False, True]
    assert observed(EarlyStopping(patience=1, mode="max"), [0.5, 0.6, 0.6]) == [False, False, True]


def test_a_state_is_a_value() -> None:
    stopping = EarlyStopping(patience=1)
    before = stopping.observe(1.0, stopping.init())
    copy = dict(before)
    assert stopping.observe(2.0, before) == stopping.observe(2.0, before)
    assert before == copy
    with pytest.raises(ValueError, match="keys of init"):
        stopping.observe(1.0, {"best": 1.0})
