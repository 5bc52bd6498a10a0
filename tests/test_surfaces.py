"""Surfaces: their derivatives against autograd, their minima, their starts and windows, and the noise."""

from __future__ import annotations

import copy
import dataclasses
import math

import pytest
import torch
from torch import nn

from lrlab import rules, surfaces

ALL = {**surfaces.SURFACES, "ravine in 5 dimensions": surfaces.ravine(condition=50, dimension=5)}
each = pytest.mark.parametrize("surface", ALL.values(), ids=ALL.keys())


def points(*shape, seed=0):
    return 2 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def tensor(*values):
    return torch.tensor(values, dtype=torch.float64)


# --- Heights, gradients, Hessians -------------------------------------------------------------------------------------


@each
def test_the_derivatives_are_those_of_the_height(surface):
    x = points(20, surface.dimension).requires_grad_()
    (slope,) = torch.autograd.grad(surface(x).sum(), x)
    torch.testing.assert_close(surface.grad(x), slope, rtol=1e-12, atol=1e-12)
    curvature = torch.stack([torch.autograd.functional.hessian(surface, point) for point in x.detach()])
    torch.testing.assert_close(surface.hessian(x), curvature, rtol=1e-12, atol=1e-11)


@each
@pytest.mark.parametrize("leading", [(), (3,), (2, 3), (0,)])
def test_any_leading_axes_and_dtypes(surface, leading):
    n = surface.dimension
    x = points(*leading, n).float()
    assert surface(x).shape == leading and surface(x).dtype == torch.float32
    assert surface.grad(x).shape == (*leading, n) and surface.hessian(x).shape == (*leading, n, n)
    flat = x.reshape(-1, n)
    assert all(torch.equal(surface.grad(flat)[i], surface.grad(point)) for i, point in enumerate(flat))


@each
def test_the_minima_are_minima_and_the_first_is_the_deepest(surface):
    minima = tensor(*surface.minima)
    assert surface.grad(minima).abs().max() < 1e-12
    assert torch.linalg.eigvalsh(surface.hessian(minima)).min() > 0
    heights = surface(minima)
    assert (heights[1:] >= heights[0] - 1e-12).all()
    everywhere = surface(points(20_000, surface.dimension, seed=1))
    assert (everywhere >= heights[0] - 1e-12).all()


@each
def test_start_and_minima_lie_in_the_window_and_the_start_is_worth_it(surface):
    for point in (surface.start, *surface.minima):
        for value, (low, high) in zip(point, surface.window, strict=False):
            assert low <= value <= high
    start = tensor(*surface.start)
    assert surface(start) > surface(tensor(*surface.minima)).min() + 0.01
    assert surface.grad(start).norm() > 0


@pytest.mark.parametrize(
    ("surface", "point", "height"),
    [
        (surfaces.ravine(condition=100), (1.0, 1.0), 50.5),
        (surfaces.saddle, (1.0, 1.0), 0.25),
        (surfaces.plateau, (1.0, 1.0), 1 - math.exp(-1)),
        (surfaces.double_well, (-1.0, 0.0), -5 / 3),
        (surfaces.rosenbrock, (0.0, 0.0), 1.0),
        (surfaces.beale, (0.0, 0.0), 1.5**2 + 2.25**2 + 2.625**2),
        (surfaces.himmelblau, (0.0, 0.0), 170.0),
        (surfaces.rastrigin, (0.5, 0.0), 20.25),
    ],
)
def test_heights_from_the_books(surface, point, height):
    assert surface(tensor(*point)).item() == pytest.approx(height, abs=1e-12)


# --- What each is there to show ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("condition", [1, 10, 1000.0])
@pytest.mark.parametrize("dimension", [2, 7])
def test_the_condition_of_the_ravine_is_the_ratio_of_its_eigenvalues(condition, dimension):
    surface = surfaces.ravine(condition, dimension)
    eigenvalues = torch.linalg.eigvalsh(surface.hessian(points(dimension)))
    assert (eigenvalues.max() / eigenvalues.min()).item() == pytest.approx(condition)
    assert len(surface.start) == len(surface.minima[0]) == surface.dimension == dimension


def test_gradient_descent_diverges_in_the_ravine_above_two_over_the_condition():
    surface = surfaces.ravine(condition=50)
    lrs = tensor([1.99 / 50], [2.01 / 50])
    path = rules.descend(rules.SGD(), surface, surface.start, lr=lrs, steps=1500)
    assert surface(path[-1, 0]) < 1e-3 < 1e3 < surface(path[-1, 1])


def test_descent_on_the_ridge_ends_in_the_saddle_and_beside_it_in_a_minimum():
    starts = tensor([-1.8, 0.0], [-1.8, 0.01], [-1.8, -0.01])
    ends = rules.descend(rules.SGD(), surfaces.saddle, starts, lr=0.1, steps=300)[-1]
    torch.testing.assert_close(ends, tensor([0.0, 0.0], [0.0, 1.0], [0.0, -1.0]), rtol=0, atol=1e-6)
    assert torch.linalg.eigvalsh(surfaces.saddle.hessian(tensor(0.0, 0.0))).tolist() == [-1.0, 1.0]


def test_momentum_rolls_out_of_the_local_well_in_which_descent_stays():
    surface = surfaces.double_well
    stuck, free = (
        rules.descend(rule, surface, surface.start, lr=0.02, steps=500)[-1]
        for rule in (rules.SGD(), rules.Momentum(0.9))
    )
    torch.testing.assert_close(stuck, tensor(1.0, 0.0), rtol=0, atol=1e-6)
    torch.testing.assert_close(free, tensor(-1.0, 0.0), rtol=0, atol=1e-3)


def test_adam_leaves_the_plateau_on_which_descent_stands():
    surface = surfaces.plateau
    for rule, arrived in ((rules.SGD(), False), (rules.Adam(), True)):
        end = rules.descend(rule, surface, surface.start, lr=0.05, steps=300)[-1]
        assert (surface(end) < 0.01).item() == arrived


@each
def test_adam_comes_down_from_every_start(surface):
    path = rules.descend(rules.Adam(), surface, surface.start, lr=0.05, steps=400)
    assert surface(path[-1]) < surface(path[0]) and path.isfinite().all()


# --- Noise ------------------------------------------------------------------------------------------------------------


def test_the_noise_is_unbiased_has_its_sigma_and_only_the_minibatch_gradient_has_it():
    noisy = surfaces.noisy(surfaces.rosenbrock, sigma=3.0, seed=1)
    x = points(2).expand(40_000, 2)
    noise = noisy.minibatch_grad(x, step=0) - surfaces.rosenbrock.grad(x)
    assert noise.mean(0).abs().max() < 5 * 3 / 200
    torch.testing.assert_close(noise.std(0), tensor(3.0, 3.0), rtol=0.02, atol=0)
    assert abs(torch.corrcoef(noise.T)[0, 1]) < 0.03
    for name in ("__call__", "grad", "hessian"):
        assert torch.equal(getattr(noisy, name)(x[:5]), getattr(surfaces.rosenbrock, name)(x[:5]))
    for name in ("dimension", "minima", "window", "start"):
        assert getattr(noisy, name) == getattr(surfaces.rosenbrock, name)


def test_a_noisy_descent_can_be_replayed_and_another_seed_is_another_descent():
    def path(seed, steps=50):
        surface = surfaces.noisy(surfaces.ravine(10), sigma=0.5, seed=seed)
        return rules.descend(rules.Momentum(), surface, surface.start, lr=0.02, steps=steps)

    assert torch.equal(path(3), path(3))
    assert torch.equal(path(3)[:21], path(3, steps=20)), "the noise of a step does not depend on the steps after it"
    assert not torch.equal(path(3), path(4))


def test_steps_starts_and_seeds_have_noise_of_their_own():
    x = torch.zeros(500, 2, dtype=torch.float64)
    draws = [
        surfaces.noisy(surfaces.saddle, sigma=1.0, seed=seed).minibatch_grad(x, step)
        for seed, step in ((0, 0), (0, 1), (1, 0), (1, 1))
    ]
    correlation = torch.corrcoef(torch.stack([draw.flatten() for draw in draws]))
    assert (correlation - torch.eye(4)).abs().max() < 0.15
    assert len(draws[0][:, 0].unique()) == 500


def test_the_noise_does_not_depend_on_the_dtype_nor_on_torchs_global_generator():
    noisy = surfaces.noisy(surfaces.saddle, sigma=1.0)
    x = torch.zeros(7, 2, dtype=torch.float64)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    double = noisy.minibatch_grad(x, step=5)
    assert torch.equal(before, torch.get_rng_state())
    torch.testing.assert_close(noisy.minibatch_grad(x.float(), step=5), double.float())


def test_without_noise_it_is_the_surface():
    noisy = surfaces.noisy(surfaces.beale, sigma=0)
    assert torch.equal(noisy.minibatch_grad(points(5, 2), 3), surfaces.beale.grad(points(5, 2)))


# --- A real one -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained():
    """A small network that has learnt which of three directions an input points to, in float64."""
    torch.manual_seed(0)
    y = torch.randint(0, 3, (120,))
    x = torch.randn(120, 8, dtype=torch.float64) + 2 * torch.eye(3, 8, dtype=torch.float64)[y]
    model = nn.Sequential(nn.Linear(8, 12), nn.BatchNorm1d(12), nn.Tanh(), nn.Dropout(0.2), nn.Linear(12, 3)).double()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(150):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    return model, x, y


def test_the_plane_passes_through_the_weights_and_leaves_the_model_alone(trained):
    model, x, y = trained
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    surface = surfaces.plane(model, x, y)
    surface.grad(points(4, 2))
    assert model.training and all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    expected = nn.functional.cross_entropy(model.eval()(x), y)
    torch.testing.assert_close(surface(torch.zeros(2, dtype=torch.float64)), expected.detach())


def test_the_plane_moves_the_weights_by_filter_normalised_directions(trained):
    model, x, y = trained
    weights = dict(model.named_parameters())
    generator = torch.Generator().manual_seed(7)
    first, second = (surfaces.filter_normalised(weights, generator) for _ in range(2))
    assert first.keys() == {"0.weight", "4.weight"}, "biases and normalisation stay"
    for name, d in first.items():
        torch.testing.assert_close(d.norm(dim=1), weights[name].norm(dim=1))
        assert not torch.equal(d, second[name])
    moved = copy.deepcopy(model).eval()
    with torch.no_grad():
        for name, p in moved.named_parameters():
            if name in first:
                p += 0.3 * first[name] - 0.7 * second[name]
    expected = nn.functional.cross_entropy(moved(x), y)
    torch.testing.assert_close(surfaces.plane(model, x, y, seed=7)(tensor(0.3, -0.7)), expected.detach())


def test_a_filter_of_a_convolution_is_a_kernel():
    weight = torch.randn(4, 3, 5, 5)
    d = surfaces.filter_normalised({"conv": weight}, torch.Generator().manual_seed(0))["conv"]
    torch.testing.assert_close(d.flatten(1).norm(dim=1), weight.flatten(1).norm(dim=1))


def test_the_derivatives_on_the_plane_are_those_of_the_loss(trained):
    surface = surfaces.plane(*trained)
    x, h = points(3, 2) / 4, 1e-5
    for axis in (0, 1):
        e = torch.zeros(2, dtype=torch.float64)
        e[axis] = h
        slope = (surface(x + e) - surface(x - e)) / (2 * h)
        torch.testing.assert_close(surface.grad(x)[:, axis], slope, rtol=1e-6, atol=1e-8)
        bend = (surface.grad(x + e) - surface.grad(x - e)) / (2 * h)
        torch.testing.assert_close(surface.hessian(x)[:, axis], bend, rtol=1e-5, atol=1e-7)


def test_many_points_of_the_plane_are_the_same_as_one_at_a_time(trained):
    surface = surfaces.plane(*trained)
    x = points(3, 7, 2) / 3
    assert (
        surface(x).shape == (3, 7) and surface.grad(x).shape == (3, 7, 2) and surface.hessian(x).shape == (3, 7, 2, 2)
    )
    torch.testing.assert_close(surface(x)[1, 2], surface(x[1, 2]))
    torch.testing.assert_close(surface.grad(x)[1, 2], surface.grad(x[1, 2]))


def test_the_minimum_of_the_plane_is_next_to_the_weights_and_descent_finds_it(trained):
    surface = surfaces.plane(*trained)
    (minimum,) = surface.minima
    bottom = surface(tensor(*minimum))
    assert bottom <= surface(tensor(0.0, 0.0)) and (surface(points(200, 2) / 2) >= bottom).all()
    end = rules.descend(rules.Momentum(), surface, surface.start, lr=0.05, steps=300)[-1]
    assert surface(end) < bottom + 0.01


def test_a_seed_is_a_plane_and_another_seed_another(trained):
    x = tensor(0.5, 0.5)
    assert torch.equal(surfaces.plane(*trained, seed=1)(x), surfaces.plane(*trained, seed=1)(x))
    assert not torch.equal(surfaces.plane(*trained, seed=1)(x), surfaces.plane(*trained, seed=2)(x))


# --- Names and bad input ----------------------------------------------------------------------------------------------


def test_by_name_knows_every_surface_and_suggests_the_nearest():
    assert all(surfaces.by_name(name) is surface for name, surface in surfaces.SURFACES.items())
    with pytest.raises(ValueError, match="'rosenbrok'.*did you mean 'rosenbrock'"):
        surfaces.by_name("rosenbrok")


@each
def test_surfaces_are_frozen(surface):
    with pytest.raises(dataclasses.FrozenInstanceError):
        surface.name = "other"


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: surfaces.ravine(0.5), ValueError, r"condition = 0.5 .*\[1, inf\)"),
        (lambda: surfaces.ravine(math.nan), ValueError, "condition = nan"),
        (lambda: surfaces.ravine("10"), TypeError, "condition must be a number.*'10'"),
        (lambda: surfaces.ravine(10, 1), ValueError, "dimension = 1"),
        (lambda: surfaces.ravine(10, 2.0), TypeError, "dimension must be a whole number.*2.0"),
        (lambda: surfaces.noisy(surfaces.saddle, -1), ValueError, r"sigma = -1 .*\[0, inf\)"),
        (lambda: surfaces.noisy(surfaces.saddle, None), TypeError, "sigma must be a number"),
        (lambda: surfaces.noisy("saddle", 1), TypeError, "surface must be a surface"),
        (lambda: surfaces.noisy(surfaces.saddle, 1, seed=-1), ValueError, "seed = -1"),
        (lambda: surfaces.noisy(surfaces.saddle, 1, seed=0.5), TypeError, "seed must be a whole number"),
        (lambda: surfaces.plane(None, torch.ones(2, 3), torch.zeros(2)), TypeError, "model must be a torch.nn.Module"),
        (lambda: surfaces.plane(nn.Linear(3, 2), torch.ones(2, 3), torch.zeros(3)), ValueError, "x and y .* 2 and 3"),
        (lambda: surfaces.plane(nn.Linear(3, 2), torch.ones(0, 3), torch.zeros(0)), ValueError, "at least 1"),
        (lambda: surfaces.plane(nn.ReLU(), torch.ones(2, 3), torch.zeros(2)), ValueError, "model has no weight"),
    ],
)
def test_a_surface_that_makes_no_sense_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


@each
@pytest.mark.parametrize("method", ["__call__", "grad", "hessian"])
def test_a_point_of_the_wrong_kind_is_refused(surface, method):
    function = getattr(surface, method)
    with pytest.raises(ValueError, match=rf"x has shape \[4, {surface.dimension + 1}\]"):
        function(torch.ones(4, surface.dimension + 1))
    with pytest.raises(ValueError, match=r"x has shape \[\]"):
        function(torch.tensor(1.0))
    with pytest.raises(TypeError, match="x must be a floating-point tensor"):
        function(torch.ones(surface.dimension, dtype=torch.long))
    with pytest.raises(TypeError, match="x must be a floating-point tensor"):
        function(list(surface.start))


def test_a_start_of_the_wrong_dimension_is_refused():
    with pytest.raises(ValueError, match=r"x has shape \[3\], but beale has points"):
        rules.descend(rules.SGD(), surfaces.beale, [1.0, 1.0, 1.0], lr=0.1)
