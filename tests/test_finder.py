"""The range test: the rates, the smoothing, when to stop, what the curve advises, and that a run is left as it was."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import DataLoader, RandomSampler

from lrlab import Run, finder, range_test, rules, schedules
from lrlab.finder import RangeTest

law = settings(deadline=None, derandomize=True)


def falling(lrs: np.ndarray, centre: float = 0.01, top: float = 2.3, fall: float = 1.8) -> np.ndarray:
    """A loss with its steepest point (in ln α) and the middle of its slope at `centre`; it explodes above 1."""
    return top - fall / (1 + (centre / lrs) ** 2) + np.maximum(0, lrs - 0.5) ** 2


# --- The rates -------------------------------------------------------------------------------------------------------


def test_the_rates_grow_by_factors_or_by_amounts() -> None:
    factors = finder.rates(1e-7, 10, 100)
    assert len(factors) == 100
    assert (factors[0], factors[-1]) == (pytest.approx(1e-7), pytest.approx(10))
    np.testing.assert_allclose(factors[1:] / factors[:-1], (10 / 1e-7) ** (1 / 99), rtol=1e-12)
    amounts = finder.rates(1e-7, 10, 100, growth="linear")
    np.testing.assert_allclose(np.diff(amounts), (10 - 1e-7) / 99, rtol=1e-9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": 1.0, "end": 1.0}, "0 < start < end is needed, got start=1.0, end=1.0"),
        ({"start": 0.0}, "got start=0.0"),
        ({"start": 10, "end": 1e-7}, "got start=10, end=1e-07"),
        ({"end": math.inf}, "end=inf"),
        ({"end": math.nan}, "end=nan"),
        ({"steps": 9}, "steps must be at least 10, got 9"),
        ({"growth": "cubic"}, "growth must be 'exponential' or 'linear', got 'cubic'"),
    ],
)
def test_rates_that_are_no_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        finder.rates(**options)


# --- The smoothing ---------------------------------------------------------------------------------------------------


@law
@given(st.floats(-100, 100), st.sampled_from((0.0, 0.5, 0.9, 0.98)), st.integers(1, 200))
def test_a_constant_loss_is_read_as_what_it_is_from_the_first_step(loss: float, smoothing: float, n: int) -> None:
    np.testing.assert_allclose(finder.smooth([loss] * n, smoothing), loss, rtol=1e-12, atol=1e-12)


def test_the_average_weighs_the_past_by_powers_of_smoothing() -> None:
    losses = np.random.default_rng(0).normal(size=30)
    weights = 0.9 ** np.arange(29, -1, -1)
    assert finder.smooth(losses, 0.9)[-1] == pytest.approx((weights @ losses) / weights.sum(), rel=1e-12)
    np.testing.assert_array_equal(finder.smooth(losses, 0.0), losses)


@pytest.mark.parametrize("smoothing", [-0.1, 1.0, math.nan])
def test_a_smoothing_outside_its_range_is_refused(smoothing: float) -> None:
    with pytest.raises(ValueError, match="smoothing must be in"):
        finder.smooth([1.0], smoothing)
    with pytest.raises(ValueError, match="smoothing must be in"):
        RangeTest(finder.rates(), falling(finder.rates()), smoothing)


@law
@given(st.floats(-100, 100), st.floats(-1, 1), st.sampled_from((0.0, 0.9, 0.98)), st.integers(3, 150))
def test_a_straight_line_is_its_own_trend_to_both_ends(loss: float, slope: float, smoothing: float, n: int) -> None:
    line = loss - abs(slope) * np.arange(n)
    np.testing.assert_allclose(finder.trend(line, smoothing), line, rtol=1e-9, atol=1e-9)


def test_the_trend_does_not_lag() -> None:
    lrs = finder.rates(1e-7, 10, 100)
    curve = 2.3 - 1.8 / (1 + (0.001 / lrs) ** 2)
    steepest = {name: lrs[np.argmin(np.diff(f(curve)))] for name, f in (("lag", finder.smooth), ("none", finder.trend))}
    assert steepest["none"] == pytest.approx(0.001, rel=0.3)
    assert steepest["lag"] > 1.3 * steepest["none"]
    bottom = 3.0 - curve  # and a minimum
    valley = np.where(lrs > 0.01, bottom, curve)
    assert lrs[np.argmin(finder.trend(valley))] < lrs[np.argmin(finder.smooth(valley))]


def test_the_trend_averages_noise_and_an_explosion_does_not_reach_back() -> None:
    noise = np.random.default_rng(0).normal(size=300)
    assert finder.trend(noise)[30:-30].std() < 0.35
    highest = 2 * np.median(noise[:30]) - noise.min()
    np.testing.assert_allclose(finder.trend(noise, 0.0), np.minimum(noise, highest), atol=0.2)
    falling_then = np.concatenate([np.full(40, 2.3), np.linspace(2.3, 1.0, 40), [1.5, 40.0, 1e6, 1e12, 1e30]])
    trend = finder.trend(falling_then)
    assert abs(trend[70] - falling_then[70]) < 0.1 and np.argmin(trend) >= 70
    assert len(finder.trend([])) == 0


# --- When to stop ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("offset", [0.0, -10.0, 1000.0])
def test_it_stops_in_the_explosion_and_not_before(offset: float) -> None:
    lrs = finder.rates(1e-5, 1e4, 120)
    noise = 0.05 * np.random.default_rng(1).normal(size=120)
    losses = falling(lrs) + noise + offset
    stops = [n for n in range(1, 121) if finder.diverged(losses[:n])]
    assert lrs[stops[0] - 1] > 1
    assert losses[stops[0] - 1] < 1e3 + offset
    assert stops == list(range(stops[0], 121))


def test_it_stops_at_what_is_no_number_even_at_the_first_step() -> None:
    assert finder.diverged([math.nan])
    assert finder.diverged([2.3] * 20 + [math.inf])
    assert not finder.diverged([2.3])


def test_noise_alone_stops_nothing() -> None:
    for seed in range(50):
        losses = 2.3 + 0.2 * np.random.default_rng(seed).normal(size=100)
        assert not any(finder.diverged(losses[:n]) for n in range(1, 101))


def test_rounding_in_a_loss_without_noise_stops_nothing() -> None:
    losses = np.full(50, 2.3) + 1e-9 * (np.arange(50) > 40)
    assert not any(finder.diverged(losses[:n]) for n in range(1, 51))


# --- The advice ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("centre", [1e-4, 1e-3, 1e-2])
def test_on_a_clean_curve_the_advice_is_where_it_should_be(centre: float) -> None:
    lrs = finder.rates(1e-7, 10, 400)
    test = RangeTest(lrs, falling(lrs, centre), smoothing=0.0)
    assert test.reasons == {}
    assert test.suggestions["steepest"] == pytest.approx(centre, rel=0.05)
    assert test.suggestions["midpoint"] == pytest.approx(centre, rel=0.05)
    bottom = lrs[np.argmin(test.losses)]
    assert test.suggestions["minimum_over_10"] == pytest.approx(bottom / 10, rel=0.06)
    assert test.suggestions["valley"] == pytest.approx(centre, rel=0.1)
    nine_tenths = lrs[np.argmax(test.losses <= 2.3 - 0.9 * (2.3 - test.losses.min()))]
    assert test.suggestions["nine_tenths_over_3"] == pytest.approx(nine_tenths / 3, rel=0.1)


def test_steepest_is_steepest_in_the_logarithm_of_the_rate() -> None:
    lrs = finder.rates(1e-5, 1, 300)
    test = RangeTest(lrs, falling(lrs, 0.01), smoothing=0.0)
    in_alpha = lrs[np.argmin(np.gradient(test.losses, lrs))]
    assert in_alpha < 0.7 * 0.01  # the derivative in α itself points at a smaller rate
    assert test.suggestions["steepest"] == pytest.approx(0.01, rel=0.05)


@law
@given(st.floats(-1000, 1000), st.floats(0.01, 100), st.integers(0, 20))
def test_the_advice_does_not_depend_on_the_zero_or_the_unit_of_the_loss(shift: float, scale: float, seed: int) -> None:
    lrs = finder.rates()
    losses = falling(lrs) + 0.05 * np.random.default_rng(seed).normal(size=100)
    here, there = RangeTest(lrs, losses, 0.9), RangeTest(lrs, scale * losses + shift, 0.9)
    assert set(there.suggestions) == set(finder.RULES)
    for rule, lr in here.suggestions.items():
        assert there.suggestions[rule] == pytest.approx(lr, rel=1e-6)


def test_a_valley_survives_small_rises() -> None:
    lrs = finder.rates(1e-5, 1e-1, 100)
    clean = np.linspace(2.0, 1.0, 100)
    bumpy = clean + 0.02 * (np.arange(100) % 10 == 5)
    clean_lr, bumpy_lr = (RangeTest(lrs, losses, 0.0).suggestions["valley"] for losses in (clean, bumpy))
    assert bumpy_lr == pytest.approx(clean_lr, rel=0.2)


def test_a_plateau_is_no_part_of_the_valley() -> None:
    lrs = finder.rates(1e-5, 1e-1, 100)
    losses = np.minimum(2.0, np.linspace(4.0, 0.0, 100))  # falls from the middle on
    assert RangeTest(lrs, losses, 0.0).suggestions["valley"] == pytest.approx(math.sqrt(lrs[50] * lrs[-1]), rel=0.1)


def test_a_loss_that_has_fallen_before_the_range_begins_gets_no_advice() -> None:
    losses = np.concatenate([np.full(10, 2.3), [1.0], np.linspace(1.5, 9.0, 89)])
    assert "rises from the first rates on" in RangeTest(finder.rates(), losses, 0.0).reasons["steepest"]


def test_a_loss_that_hardly_falls_but_explodes_is_told_to_stay_a_tenth_below() -> None:
    lrs = finder.rates()
    losses = 2.3 + 0.01 * np.random.default_rng(0).normal(size=100) + np.where(lrs > 1, lrs, 0)
    test = RangeTest(lrs, losses)
    assert test.suggestions["nine_tenths_over_3"] == pytest.approx(0.1, rel=0.3)
    assert set(test.reasons) == {"steepest", "valley", "minimum_over_10", "midpoint"}


def test_flat_noise_gets_no_advice_but_a_reason() -> None:
    advised = 0
    for seed in range(100):
        losses = 2.3 + 0.1 * np.random.default_rng(seed).normal(size=100)
        for smoothing in (0.0, 0.9, 0.98):
            test = RangeTest(finder.rates(), losses, smoothing)
            advised += any(lr is not None for lr in test.suggestions.values())
            if "steepest" in test.reasons:
                assert "noise" in test.reasons["steepest"]
    assert advised <= 15  # of 300


def test_a_fall_well_above_the_noise_is_always_found() -> None:
    lrs = finder.rates()
    for seed in range(50):
        test = RangeTest(lrs, falling(lrs) + 0.15 * np.random.default_rng(seed).normal(size=100))
        assert test.reasons == {}


def test_a_constant_loss_gets_no_advice() -> None:
    test = RangeTest(finder.rates(), np.full(100, 7.0))
    assert set(test.suggestions.values()) == {None}
    assert set(test.reasons) == set(finder.RULES)


def test_a_loss_that_only_rises_gets_no_advice() -> None:
    test = RangeTest(finder.rates(), np.linspace(1, 5, 100))
    assert set(test.suggestions.values()) == {None}


def test_a_loss_that_still_falls_at_the_end_has_no_minimum() -> None:
    lrs = finder.rates(1e-6, 1e-2, 100)
    test = RangeTest(lrs, falling(lrs), 0.0)
    assert test.suggestions["minimum_over_10"] is None
    assert "still falls at the largest rate, 0.01: raise the end" in test.reasons["minimum_over_10"]
    assert test.suggestions["steepest"] == pytest.approx(0.01, rel=0.2)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_the_curve_ends_at_the_first_value_that_is_no_number(bad: float) -> None:
    lrs = finder.rates()
    losses = falling(lrs)
    losses[70:] = bad
    losses[75] = 1.0
    test = RangeTest(lrs, losses)
    assert len(test.lrs) == len(test.losses) == len(test.smoothed) == 70
    assert test.suggestions == RangeTest(lrs[:70], losses[:70]).suggestions


@pytest.mark.parametrize("first", [0, 1, 5])
def test_a_test_that_breaks_at_once_says_so(first: int) -> None:
    losses = np.full(100, 2.3)
    losses[first:] = math.nan
    test = RangeTest(finder.rates(), losses)
    assert set(test.suggestions.values()) == {None}
    assert all(f"only {first} finite losses: start with a smaller rate" in reason for reason in test.reasons.values())


@law
@given(st.lists(st.floats(-1e3, 1e3) | st.just(math.nan), min_size=10, max_size=60), st.sampled_from((0.0, 0.9, 0.98)))
def test_any_curve_gets_a_rate_inside_the_range_or_a_reason(losses: list[float], smoothing: float) -> None:
    lrs = finder.rates(1e-5, 1, len(losses))
    test = RangeTest(lrs, np.array(losses), smoothing)
    assert list(test.suggestions) == ["steepest", "valley", "minimum_over_10", "midpoint", "nine_tenths_over_3"]
    for rule, lr in test.suggestions.items():
        if lr is None:
            assert len(test.reasons[rule]) > 20
        else:
            assert rule not in test.reasons
            assert type(lr) is float
            assert 1e-6 * (1 - 1e-9) <= lr <= 1 + 1e-9


def test_lists_and_tensors_are_curves_too() -> None:
    lrs = finder.rates()
    expected = RangeTest(lrs, falling(lrs)).suggestions
    assert RangeTest(lrs.tolist(), falling(lrs).tolist()).suggestions == expected
    assert RangeTest(torch.from_numpy(lrs), torch.from_numpy(falling(lrs))).suggestions == expected


@pytest.mark.parametrize(
    ("lrs", "losses", "message"),
    [
        ([], [], "at least 10 rates are needed, got 0"),
        ([0.1] * 9, [1.0] * 9, "at least 10 rates are needed, got 9"),
        (range(1, 13), [1.0] * 11, "one loss for each rate, got 11 for 12"),
        (range(12), [1.0] * 12, "lrs must be positive and rise strictly"),
        (list(range(12, 0, -1)), [1.0] * 12, "rise strictly, .* Sort them"),
        ([1.0] * 12, [1.0] * 12, "rise strictly"),
        ([*range(1, 12), math.nan], [1.0] * 12, "rise strictly"),
        (np.ones((3, 4)), [1.0] * 12, r"lrs must be a list of numbers, \[n\], got the shape \[3, 4\]"),
    ],
)
def test_a_curve_that_is_none_is_refused(lrs: Any, losses: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RangeTest(lrs, losses)


def test_the_picture_marks_every_suggestion() -> None:
    lrs = finder.rates()
    test = RangeTest(lrs, falling(lrs), 0.9)
    (ax,) = test.plot("Where to go").axes
    assert ax.get_xscale() == "log"
    texts = " ".join(text.get_text() for text in ax.texts)
    for rule, lr in test.suggestions.items():
        assert f"{rule} {lr:.2g}" in texts
    marks = [np.ravel(line.get_xdata())[0] for line in ax.get_lines()[2:]]
    assert sorted(marks) == sorted(lr for lr in test.suggestions.values() if lr is not None)
    np.testing.assert_array_equal(ax.get_lines()[0].get_ydata(), test.losses)
    np.testing.assert_array_equal(ax.get_lines()[1].get_ydata(), test.smoothed)
    RangeTest(lrs, np.full(100, 7.0)).plot()  # nothing to mark
    RangeTest(lrs, np.full(100, math.nan)).plot()  # nothing to draw


# --- The test itself -------------------------------------------------------------------------------------------------


def two_layers() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 2))


def with_dropout() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 2))


def with_batch_norm() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 2))


def points() -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randn(250, 2, generator=torch.Generator().manual_seed(0))
    return x, (x[:, 0] * x[:, 1] > 0).long()


def new_run(model: Any = two_layers, data: Any = None, **options: Any) -> Run:
    options = {"batch_size": 20, **options}
    if "optimizer" not in options:
        options = {"rule": rules.Momentum(rho=0.9), "lr": 0.1, **options}
    return Run(model, points() if data is None else data, **options)


class Noisy(torch.utils.data.Dataset):
    """Augmentation that draws from every generator there is."""

    def __len__(self) -> int:
        return 90

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        noise = torch.randn(2) + float(np.random.normal()) + random.random()  # noqa: NPY002
        return torch.tensor([i / 90, 1.0]) + 0.1 * noise, i % 2


def noisy_loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return nn.functional.cross_entropy(outputs + 0.01 * torch.randn_like(outputs), targets)


class Quiet(torch.utils.data.Dataset):
    def __len__(self) -> int:
        return 90

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        return torch.tensor([i / 90, 1.0]) + 0.1 * torch.randn(2), i % 2


def own_generator() -> DataLoader:
    generator = torch.Generator().manual_seed(1)
    sampler = RandomSampler(Quiet(), replacement=True, num_samples=90, generator=generator)  # draws 32 at a time
    return DataLoader(Quiet(), batch_size=20, sampler=sampler, generator=generator)


def everything(run: Any) -> list[Any]:
    """Whatever a range test must leave alone, bit by bit."""
    state = run._engine.snapshot()
    numpys: Any = np.random.get_state()  # noqa: NPY002
    generators = [torch.get_rng_state().tolist(), random.getstate(), numpys[1].tolist()]
    history = {name: run.history[name].tobytes() for name in ("lr", "loss", "epoch", "val_step", "val_loss")}
    buffers = [buffer.tolist() for buffer in run.model.buffers()]
    numbers = [run.moves, run.status, run.step, run.epoch, run.knobs, run.rule, run.schedule, run.model.training]
    return [str(state), history, generators, buffers, *numbers, run.checkpoints.steps, run.error]


RUNS = {
    "plain": new_run,
    "dropout": lambda: new_run(with_dropout),
    "batch norm": lambda: new_run(with_batch_norm),
    "module in place": lambda: new_run(with_batch_norm()),
    "schedule": lambda: new_run(lr=schedules.Cosine(0.1, total=60)),
    "plateau": lambda: new_run(lr=schedules.Plateau(0.1, patience=1)),
    "loader": lambda: new_run(data=DataLoader(Quiet(), batch_size=20, shuffle=True)),
    "loader with a generator": lambda: new_run(data=own_generator()),
    "torch optimizer": lambda: new_run(optimizer=lambda weights: torch.optim.Adam(weights, lr=0.01)),
    "look-ahead": lambda: new_run(rule=rules.NesterovLookahead()),
    "noisy loss": lambda: new_run(loss=noisy_loss),
    "regression": lambda: new_run(
        lambda: nn.Linear(2, 1), (points()[0], points()[0][:, :1] - 3), loss="mse", validation=None
    ),
}


@pytest.mark.parametrize("kind", list(RUNS))
@pytest.mark.parametrize("steps", [0, 7, 43])
def test_the_run_is_left_bitwise_as_it_was_and_goes_on_alike(kind: str, steps: int) -> None:
    runs = []
    for _ in range(2):
        torch.manual_seed(5)  # what the user's own modules and losses draw: both from the same place
        runs.append(RUNS[kind]())
    tested, untouched = runs
    for run in runs:
        torch.manual_seed(5)
        run.train(steps, progress=False)
        if kind in ("plain", "dropout"):
            run.lr, run.batch_size = 0.05, 30
    before = everything(tested)
    result = finder.range_test(tested, steps=40)
    assert len(result.lrs) > 5
    assert everything(tested) == before
    state = torch.get_rng_state()
    for run in runs:
        torch.set_rng_state(state)
        run.train(25, progress=False)
    after, expected = everything(tested), everything(untouched)
    assert after == expected


def test_it_is_the_runs_own_loop_with_the_runs_own_batches() -> None:
    run = new_run(weight_decay=0.01).train(13, progress=False)
    by_hand = run.branch()
    lrs, losses = finder.rates(1e-4, 1, 30), []
    for lr in lrs:
        by_hand.lr = lr
        losses.append(next(by_hand.steps(1)).loss)
    result = finder.range_test(run, 1e-4, 1, 30)
    np.testing.assert_array_equal(result.losses, losses)
    np.testing.assert_array_equal(result.lrs, lrs)


def test_a_half_made_step_is_mended_and_the_turns_of_it_are_kept() -> None:
    problems: list[str] = []

    class Fragile(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = two_layers()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if problems:
                raise ValueError(problems.pop())
            return self.net(x)

    run = new_run(Fragile).train(7, progress=False)
    run.lr = 0.01
    run.turn("rule", rules.Adam())
    problems.append("the sensor fell off")
    with pytest.raises(ValueError, match="sensor"):
        run.train(5, progress=False)
    expected = new_run(Fragile).train(7, progress=False)
    expected.turn("rule", rules.Adam())
    result, by_hand = (finder.range_test(it, 1e-4, 0.1, steps=12) for it in (run, expected))
    np.testing.assert_array_equal(result.losses, by_hand.losses)
    assert run.branch().train(1, progress=False).history["lr"][-1] == 0.01
    assert run.moves == []
    assert [move[:2] for move in run.train(1, progress=False).moves] == [(7, "lr"), (7, "rule")]


def test_augmentation_may_draw_from_numpy_and_python() -> None:
    run = new_run(data=DataLoader(Noisy(), batch_size=20, shuffle=True)).train(7, progress=False)
    before = everything(run)
    finder.range_test(run, steps=20)
    assert everything(run) == before


def test_workers_that_stay_serve_both() -> None:
    def loader_run() -> Run:
        pairs = list(zip(*points(), strict=True))
        loader: Any = DataLoader(pairs, 20, shuffle=True, num_workers=1, persistent_workers=True)  # type: ignore[arg-type]
        return new_run(data=loader).train(3, progress=False)

    tested, untouched = loader_run(), loader_run()
    finder.range_test(tested, steps=12)
    for run in (tested, untouched):
        run.train(9, progress=False)
    np.testing.assert_array_equal(tested.history["loss"], untouched.history["loss"])


def test_a_run_that_diverged_can_be_tested() -> None:
    run = new_run().train(20, progress=False)
    run.lr = 1e38
    run.train(20, progress=False)
    before = everything(run)
    assert run.status == "diverged"
    finder.range_test(run)
    assert everything(run) == before


def test_it_finds_a_rate_that_teaches_digits_and_stops_in_the_explosion() -> None:
    run = Run("mlp", "digits", rule=rules.Momentum(rho=0.9), seed=0)
    result = range_test(run, end=100)
    assert 20 < len(result.lrs) < 100 and result.reasons == {}
    run.lr = result.suggestions["steepest"]
    assert run.train(epochs=5, progress=False).history["val_accuracy"][-1] > 0.8


def test_a_loss_below_zero_is_as_good_as_any() -> None:
    def shifted(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(outputs, targets) - 8

    there = finder.range_test(new_run(loss=shifted, dtype="float64"))
    here = finder.range_test(new_run(dtype="float64"))
    np.testing.assert_allclose(there.losses + 8, here.losses, rtol=1e-9)
    assert there.suggestions == pytest.approx(here.suggestions)


@pytest.mark.parametrize(("good", "advised"), [(0, False), (3, False)])
def test_nan_gives_a_result_with_reasons(good: int, advised: bool) -> None:
    class Broken(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net, self.calls = two_layers(), 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.calls += self.training
            return self.net(x) * (math.nan if self.calls > good else 1)

    result = finder.range_test(new_run(Broken))
    assert len(result.lrs) == good and set(result.suggestions.values()) == {None}
    assert all(f"only {good} finite losses" in reason for reason in result.reasons.values())
    result.plot()


@pytest.mark.slow
def test_a_compiled_run_is_tested_without_compiling() -> None:
    plain, compiled = (new_run(compile=compile, seed=2).train(5, progress=False) for compile in (False, True))
    before = everything(compiled)
    result = finder.range_test(compiled, steps=30)
    np.testing.assert_allclose(result.losses, finder.range_test(plain, steps=30).losses, rtol=1e-4)
    assert everything(compiled) == before


def test_while_the_run_is_running_it_is_refused() -> None:
    run = new_run()
    records = run.steps()
    next(records)
    with pytest.raises(RuntimeError, match="range_test: the run is running in another thread; pause first"):
        finder.range_test(run)
    records.close()
    assert len(finder.range_test(run).lrs) > 10


def test_an_error_in_the_model_reaches_the_caller_and_not_the_run() -> None:
    class Fragile(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = two_layers()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if self.training:
                raise ValueError("the sensor fell off")
            return self.net(x)

    run = new_run(Fragile)
    with pytest.raises(ValueError, match="the sensor fell off"):
        finder.range_test(run)
    assert (run.status, run.step, run.error) == ("ready", 0, None)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"start": 1, "end": 0.1}, ValueError, "0 < start < end is needed, got start=1, end=0.1"),
        ({"steps": 9}, ValueError, "steps must be at least 10, got 9"),
        ({"steps": 20.5}, TypeError, "steps must be a whole number, got 20.5"),
        ({"smoothing": 1.0}, ValueError, "smoothing must be in"),
        ({"growth": "fast"}, ValueError, "growth must be"),
        ({"run": "mlp"}, TypeError, r"run must be a Run, got str; write range_test\(Run\(...\)\)"),
    ],
)
def test_bad_input_is_refused_before_anything_is_made(options: dict[str, Any], error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        finder.range_test(**{"run": new_run(), **options})
