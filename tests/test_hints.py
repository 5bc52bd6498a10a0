"""The hint line: each state is recognised where it is, and nothing is said where it is not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrlab import Run, rules
from lrlab.instruments.hints import LEAST, WINDOW, block_means, hint, hint_of, overfitting_since, trend_of

NO_CHECKS = np.empty(0)


def name(loss: np.ndarray, turned: int = 0, epoch_steps: float = 20, val: np.ndarray = NO_CHECKS) -> str | None:
    found = hint(loss, turned, epoch_steps, val, 20 * np.arange(1, len(val) + 1))
    return found and found.name


def noise(steps: int, scatter: float, seed: int = 0) -> np.ndarray:
    """Positive numbers of mean 1 and about this standard deviation."""
    random = np.random.default_rng(seed)
    return random.gamma(1 / scatter**2, scatter**2, steps)


def test_a_loss_that_is_not_finite_is_named_at_once() -> None:
    assert name(np.array([2.3, 5.0, np.inf])) == "diverged"
    assert name(np.array([2.3, np.nan])) == "diverged"


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("expected", "curve"),
    [
        ("diverging", lambda n: 0.3 * np.exp(0.005 * n)),
        ("thrown out", lambda n: np.where(n < 15, 30.0, 2.3) * np.where(n == 0, 2.3 / 30, 1)),
        ("plateau", lambda n: np.where(n < 1, 2.3, 1.2)),
        ("too slow", lambda n: 2.3 * np.exp(-n / 5000)),
        (None, lambda n: 2.3 * np.exp(-n / 150)),  # a healthy fall
        (None, lambda n: 2.3 / (1 + n / 20)),
    ],
)
def test_calm_curves(expected: str | None, curve: object, seed: int) -> None:
    steps = np.arange(WINDOW)
    assert name(curve(steps) * noise(WINDOW, 0.03, seed)) == expected  # type: ignore[operator]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("expected", "level"), [("too high", 1.5), ("noise floor", 0.1)])
def test_shaking_curves(expected: str, level: float, seed: int) -> None:
    before = 2.3 * np.exp(-np.arange(50) / 20)
    assert name(np.concatenate([before, level * noise(WINDOW, 0.5, seed)])) == expected


def test_overfitting_needs_a_rise_that_lasts_and_a_training_loss_far_below() -> None:
    loss = 2.3 * np.exp(-np.arange(WINDOW) / 80)
    rising = np.array([0.5, 0.3, 0.2, 0.21, 0.22, 0.23, 0.24, 0.25, 0.26, 0.27])
    assert name(loss, val=rising) == "overfitting"
    assert "step 60" in str(hint(loss, 0, 20, rising, 20 * np.arange(1, 11)))
    assert name(loss, val=np.sort(rising)[::-1]) is None
    assert name(loss, val=rising[:7]) is None
    assert overfitting_since(rising, np.arange(10), train_loss=0.2) is None


def test_a_turned_knob_wipes_the_slate() -> None:
    loss = 1.2 * noise(WINDOW, 0.03)
    loss[0] = 2.3
    assert name(loss) == "plateau"
    assert name(loss, turned=WINDOW - LEAST + 1) is None
    assert name(loss, turned=WINDOW - LEAST) == "plateau"


def test_silent_with_too_little_to_go_by() -> None:
    assert name(np.empty(0)) is None
    assert name(np.full(LEAST - 1, 2.3)) is None
    assert name(np.zeros(WINDOW)) is None  # no logarithm


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 1e30, allow_nan=False), min_size=0, max_size=600), st.integers(0, 600))
def test_never_fails_and_says_one_of_its_words(losses: list[float], turned: int) -> None:
    known = {None, "diverging", "thrown out", "too high", "noise floor", "plateau", "too slow"}
    assert name(np.array(losses), turned=turned) in known


def test_the_trend_finds_the_slope_it_was_given() -> None:
    trend = trend_of(3 * np.exp(-0.004 * np.arange(400)) * noise(400, 0.1))
    assert trend is not None
    assert trend.slope == pytest.approx(-0.004, abs=4 * trend.error)
    assert trend.scatter == pytest.approx(0.1, rel=0.2)
    assert trend.falling and not trend.shaking


def test_block_means_leave_out_what_is_left_over() -> None:
    assert block_means(np.arange(25.0)).tolist() == [4.5, 14.5]


@pytest.mark.parametrize(("lr", "expected"), [(0.001, "too slow"), (0.1, None), (10.0, "thrown out")])
def test_on_a_real_network(lr: float, expected: str | None) -> None:
    run = Run("mlp", "digits", rule=rules.SGD(), lr=lr, batch_size=64, device="cpu").train(300, progress=False)
    found = hint_of(run)
    assert (found and found.name) == expected
