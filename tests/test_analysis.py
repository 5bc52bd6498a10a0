"""The measurements of the lectures, against closed forms and against autograd done the long way."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from lrlab import analysis, figures, rules, surfaces


def test_settled_after_counts_the_last_time_above() -> None:
    values = torch.tensor([[4.0, 4.0, 0.5], [1.0, 3.0, 0.4], [2.0, 2.0, 0.3], [0.5, 1.5, 0.2]])
    assert analysis.settled_after(values, 1.0).tolist() == [3.0, math.inf, 0.0]
    assert analysis.settled_after(torch.tensor([1.0, math.nan]), 2.0) == math.inf
    with pytest.raises(TypeError, match="steps"):
        analysis.settled_after(torch.tensor(1.0), 1.0)


def test_gradient_descent_settles_when_its_factor_says() -> None:
    path = rules.descend(rules.SGD(), surfaces.ravine(condition=4), [1.0, 0.0], lr=0.1, steps=60)
    expected = math.ceil(math.log(1e-2) / math.log(0.9))
    assert analysis.settled_after(path.norm(dim=-1), 1e-2) == expected


def test_power_law_finds_the_law_it_was_given() -> None:
    x = torch.tensor([1.0, 3.0, 10.0, 40.0])
    y = torch.stack([2 * x**0.5, 7 * x**-1.25], -1)
    p, c = analysis.power_law(x, y)
    torch.testing.assert_close(p, torch.tensor([0.5, -1.25], dtype=torch.float64), atol=1e-6, rtol=0)
    torch.testing.assert_close(c, torch.tensor([2.0, 7.0], dtype=torch.float64), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "x, y", [([1.0], [1.0]), ([1.0, 2.0], [0.0, 1.0]), ([1.0, -2.0], [1.0, 1.0]), ([1.0, 2.0], [1.0])]
)
def test_power_law_refuses_what_has_no_logarithm(x: list[float], y: list[float]) -> None:
    with pytest.raises(ValueError, match="x|y"):
        analysis.power_law(x, y)


@pytest.mark.parametrize(
    "lr, rho", [(0.1, 0.0), (0.1, 0.3), (0.1, 0.9), (1.0, 0.5), (2.5, 0.8), (3.9, 0.9), (4.1, 0.9)]
)
def test_the_measured_rate_is_the_spectral_radius(lr: float, rho: float) -> None:
    path = rules.descend(rules.Momentum(rho), lambda x: 0.5 * (x * x).sum(-1), [1.0], lr=lr, steps=400)
    radius = torch.linalg.eigvals(analysis.momentum_matrix(1.0, lr, rho)).abs().max()
    assert analysis.measured_rate(path) == pytest.approx(float(radius), rel=3e-3)


def test_the_momentum_matrix_is_the_step() -> None:
    rule, x = rules.Momentum(rho=0.7), torch.tensor([2.0], dtype=torch.float64)
    v = torch.tensor([-0.3], dtype=torch.float64)
    new_x, state = rule.step(x, 3.0 * x, {"v": v}, lr=0.2)
    moved = analysis.momentum_matrix(3.0, 0.2, 0.7) @ torch.cat([v, x])
    torch.testing.assert_close(torch.cat([state["v"], new_x]), moved, atol=1e-14, rtol=0)


def test_the_measured_rate_of_paths_that_end_or_explode() -> None:
    still = torch.zeros(20, 1)
    assert analysis.measured_rate(still) == 0
    assert analysis.measured_rate(torch.full((20, 1), math.inf)) == math.inf
    with pytest.raises(ValueError, match="8 steps"):
        analysis.measured_rate(torch.ones(4, 1))


@pytest.fixture
def network() -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    return model, torch.randn(7, 3, dtype=torch.float64), torch.randint(2, (7,))


def test_example_gradients_are_those_of_backward(network) -> None:
    model, x, y = network
    rows = analysis.example_gradients(model, x, y)
    for row, image, label in zip(rows, x, y, strict=True):
        model.zero_grad()
        nn.functional.cross_entropy(model(image[None]), label[None]).backward()
        torch.testing.assert_close(row, torch.cat([w.grad.flatten() for w in model.parameters()]))


def test_the_hessian_is_the_slope_of_the_gradient(network) -> None:
    model, x, y = network
    matrix = analysis.hessian(model, x, y)
    direction = torch.randn(len(matrix), dtype=torch.float64)

    def gradient(shift: float) -> torch.Tensor:
        moved = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
        nn.utils.vector_to_parameters(analysis.flat_weights(model) + shift * direction, moved.parameters())
        return analysis.example_gradients(moved, x, y).mean(0)

    slope = (gradient(1e-5) - gradient(-1e-5)) / 2e-5
    torch.testing.assert_close(matrix @ direction, slope, atol=1e-8, rtol=1e-6)
    assert torch.equal(matrix, matrix.T)


@pytest.mark.parametrize("replacement", [False, True])
@pytest.mark.parametrize("batch_size", [1, 5, 30])
def test_batch_errors_follow_the_law(batch_size: int, replacement: bool) -> None:
    rows = torch.randn(40, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    variance = ((rows - rows.mean(0)) ** 2).sum(1).mean()
    scatter = analysis.scatter_matrix(rows)
    assert scatter.trace() / 40 == pytest.approx(float(variance), rel=1e-12)
    errors = analysis.batch_errors(scatter, batch_size, draws=20_000, replacement=replacement)
    expected = variance / batch_size * (1 if replacement else (40 - batch_size) / 39)
    assert errors.mean() == pytest.approx(float(expected), rel=0.03)
    again = analysis.batch_errors(scatter, batch_size, draws=20_000, replacement=replacement)
    assert torch.equal(errors, again)


def test_batch_errors_are_those_of_the_batches_themselves() -> None:
    rows = torch.randn(12, 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    errors = analysis.batch_errors(analysis.scatter_matrix(rows), 4, draws=30, seed=3)
    picks = torch.rand(30, 12, generator=torch.Generator().manual_seed(3)).argsort(1)[:, :4]
    by_hand = ((rows[picks].mean(1) - rows.mean(0)) ** 2).sum(1)
    torch.testing.assert_close(errors, by_hand)


def test_a_batch_cannot_hold_more_than_there_is() -> None:
    with pytest.raises(ValueError, match="batch_size = 6 is outside its range 1 to 5"):
        analysis.batch_errors(torch.ones(5, 5), 6)


def test_contours_show_the_window_and_the_minima() -> None:
    _, ax = figures.figure("A map")
    analysis.contours(ax, surfaces.himmelblau)
    assert ax.get_xlim() == surfaces.himmelblau.window[0]
    stars = ax.get_lines()[0]
    assert len(stars.get_xdata()) == 4
