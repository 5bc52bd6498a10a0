"""The curve side of the range test: the rates, the smoothing, when to stop, what the curve advises."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lrlab import finder
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
    assert test.suggestions["minimum_over_10"] == pytest.approx(bottom / 10, rel=1e-12)
    start = lrs[40]  # the end of the first tenth
    assert test.suggestions["valley"] == pytest.approx(math.sqrt(start * bottom), rel=0.05)


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


def test_flat_noise_gets_no_advice_but_a_reason() -> None:
    advised = 0
    for seed in range(100):
        losses = 2.3 + 0.1 * np.random.default_rng(seed).normal(size=100)
        for smoothing in (0.0, 0.9, 0.98):
            test = RangeTest(finder.rates(), losses, smoothing)
            advised += any(lr is not None for lr in test.suggestions.values())
            if "steepest" in test.reasons:
                assert "noise" in test.reasons["steepest"]
    assert advised <= 15  # of 300: the bar is about four deviations of what noise does


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
    assert list(test.suggestions) == ["steepest", "valley", "minimum_over_10", "midpoint"]
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
    marks = [line.get_xdata()[0] for line in ax.get_lines()[2:]]
    assert sorted(marks) == sorted(lr for lr in test.suggestions.values() if lr is not None)
    np.testing.assert_array_equal(ax.get_lines()[0].get_ydata(), test.losses)
    np.testing.assert_array_equal(ax.get_lines()[1].get_ydata(), test.smoothed)
    RangeTest(lrs, np.full(100, 7.0)).plot()  # nothing to mark
    RangeTest(lrs, np.full(100, math.nan)).plot()  # nothing to draw
