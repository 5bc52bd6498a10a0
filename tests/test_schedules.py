"""Schedules: the lecture's formulas, torch's where the definitions agree, and what no schedule may do."""

from __future__ import annotations

import copy
import io
import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.optim import lr_scheduler

from lrlab import Run, _spec, rules, schedules
from lrlab.schedules import (
    Constant,
    Cosine,
    DelayedExponential,
    Exponential,
    ExpRange,
    InverseSqrt,
    InverseTime,
    Joined,
    Linear,
    MultiStep,
    OneCycle,
    Plateau,
    Recorded,
    Scaled,
    Schedule,
    Step,
    Triangular,
    Triangular2,
    Until,
    WarmRestarts,
    Warmup,
)

Optimizer = torch.optim.Optimizer
law = settings(deadline=None, derandomize=True)  # the same examples on every machine, however busy it is


def sgd(lr: float = 0.1, **options: Any) -> Optimizer:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(2))], lr=lr, **options)


def torch_rates(make: Callable[[Optimizer], Any], steps: int, lr: float = 0.1, **options: Any) -> list[float]:
    """The rates that torch's scheduler applies at the steps 0, 1, ..., steps - 1."""
    optimizer = sgd(lr, **options)
    scheduler = make(optimizer)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


# --- The lecture's formulas ------------------------------------------------------------------------------------------

T = np.arange(0, 130)

LECTURE = [
    (Constant(0.1), lambda t: 0.1 + 0 * t),
    (Step(0.1, every=30), lambda t: np.select([t < 30, t < 60, t < 90, t < 120], [0.1, 0.01, 0.001, 1e-4], 1e-5)),
    (MultiStep(0.1, (30, 60, 90)), lambda t: np.select([t < 30, t < 60, t < 90], [0.1, 0.01, 0.001], 1e-4)),
    (Exponential(0.1, 0.99), lambda t: 0.1 * 0.99**t),
    (DelayedExponential(0.1, 10), lambda t: np.where(t < 10, 0.1, 0.1 * np.exp(-(t - 10.0)))),
    (MultiStep(0.1, (10,), gamma=1 / math.e), lambda t: np.where(t < 10, 0.1, 0.1 / np.e)),
    (Linear(0.1, 100), lambda t: 0.1 * (1 - np.minimum(t, 100) / 100)),
    (InverseTime(0.1, k=0.05), lambda t: 0.1 / (1 + 0.05 * t)),
    (InverseSqrt(0.1), lambda t: 0.1 / np.sqrt(np.maximum(t, 1))),
    (InverseSqrt(0.1, k=5.0), lambda t: 5 * 0.1 / np.sqrt(np.maximum(t, 1))),
    (Cosine(0.1, 100), lambda t: 0.05 * (1 + np.cos(np.pi * np.minimum(t, 100) / 100))),
    (Cosine(0.1, 100, 0.02), lambda t: 0.02 + 0.04 * (1 + np.cos(np.pi * np.minimum(t, 100) / 100))),
    (Warmup(0.1, 20), lambda t: 0.1 * np.minimum(t, 20) / 20),
    (Warmup(0.1, 20, start=0.001, shape="exponential"), lambda t: 0.001 * 100 ** (np.minimum(t, 20) / 20)),
    (Warmup(0.1, 5).then(Cosine(0.1, 95)), lambda t: np.where(
        t < 5, 0.1 * t / 5, 0.05 * (1 + np.cos(np.pi * np.clip(t - 5, 0, 95) / 95)))),
    (2.5 * Linear(0.1, 100), lambda t: 0.25 * (1 - np.minimum(t, 100) / 100)),
]  # fmt: skip


@pytest.mark.parametrize(("schedule", "formula"), LECTURE, ids=lambda value: type(value).__name__)
def test_the_lectures_formula(schedule: Schedule, formula: Callable[[Any], Any]) -> None:
    np.testing.assert_allclose(schedule(T), formula(T), rtol=1e-12, atol=1e-17)


def smith(t: float, base: float, peak: float, stepsize: float, scale: Callable[[int], float]) -> float:
    """Smith's own lines (2017, section 3.1), for comparison."""
    cycle = math.floor(1 + t / (2 * stepsize))
    x = abs(t / stepsize - 2 * cycle + 1)
    return base + (peak - base) * max(0, 1 - x) * scale(cycle)


def test_the_cyclical_schedules_are_smiths() -> None:
    for t in range(100):
        assert Triangular(0.01, 0.06, 8)(t) == pytest.approx(smith(t, 0.01, 0.06, 8, lambda cycle: 1), rel=1e-12)
        expected = smith(t, 0.01, 0.06, 8, lambda cycle: 1 / 2 ** (cycle - 1))
        assert Triangular2(0.01, 0.06, 8)(t) == pytest.approx(expected, rel=1e-12)
        expected = smith(t, 0.01, 0.06, 8, lambda cycle, t=t: 0.97**t)
        assert ExpRange(0.01, 0.06, 8, gamma=0.97)(t) == pytest.approx(expected, rel=1e-12)


def test_the_mini_batch_form_meets_the_epoch_form_at_the_end_of_every_epoch() -> None:
    steps_per_epoch = 23
    epochs, steps = InverseSqrt(0.1), InverseSqrt(0.1, k=math.sqrt(steps_per_epoch))
    for epoch in range(1, 20):
        assert steps(epoch * steps_per_epoch) == pytest.approx(epochs(epoch), rel=1e-12)
    assert steps(1) > epochs(1)


def test_one_cycle_goes_through_its_three_rates() -> None:
    schedule = OneCycle(0.5, total=100, pct_start=0.25, div_factor=10, final_div_factor=100)
    assert [schedule(t) for t in (0, 25, 100, 1000)] == pytest.approx([0.05, 0.5, 0.0005, 0.0005], rel=1e-12)
    assert max(schedule(T)) == 0.5


def test_restarts_come_when_the_period_says() -> None:
    restarts = [t for t in range(1, 200) if WarmRestarts(0.1, 10, mult=2)(t) == 0.1]
    assert restarts == [10, 30, 70, 150]
    assert [t for t in range(1, 50) if WarmRestarts(0.1, 10)(t) == 0.1] == [10, 20, 30, 40]
    assert WarmRestarts(0.1, 10)(10**15 + 5) == WarmRestarts(0.1, 10)(5)  # at once, not cycle by cycle


# --- Against torch, where the definitions agree ----------------------------------------------------------------------

SAME_AS_TORCH = {
    "StepLR": (Step(0.1, 30, 0.3), lambda o: lr_scheduler.StepLR(o, 30, 0.3)),
    "MultiStepLR": (MultiStep(0.1, (30, 80)), lambda o: lr_scheduler.MultiStepLR(o, [30, 80])),
    "ExponentialLR": (Exponential(0.1, 0.97), lambda o: lr_scheduler.ExponentialLR(o, 0.97)),
    "PolynomialLR, power 1": (Linear(0.1, 100), lambda o: lr_scheduler.PolynomialLR(o, 100)),
    "LinearLR down": (Linear(0.1, 100, 0.01), lambda o: lr_scheduler.LinearLR(o, 1.0, 0.1, 100)),
    "LinearLR up": (Warmup(0.1, 20, start=0.02), lambda o: lr_scheduler.LinearLR(o, 0.2, 1.0, 20)),
    "ConstantLR": (Constant(0.02).until(20).then(Constant(0.1)), lambda o: lr_scheduler.ConstantLR(o, 0.2, 20)),
    "CosineAnnealingLR to T_max": (Cosine(0.1, 129, 0.01), lambda o: lr_scheduler.CosineAnnealingLR(o, 129, 0.01)),
    "warm restarts": (WarmRestarts(0.1, 10, 1, 0.01), lambda o: lr_scheduler.CosineAnnealingWarmRestarts(
        o, 10, 1, 0.01)),
    "warm restarts, mult 2": (WarmRestarts(0.1, 10, 2), lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 10, 2)),
    "triangular": (Triangular(0.01, 0.1, 10), lambda o: lr_scheduler.CyclicLR(
        o, 0.01, 0.1, 10, cycle_momentum=False)),
    "triangular2": (Triangular2(0.01, 0.1, 10), lambda o: lr_scheduler.CyclicLR(
        o, 0.01, 0.1, 10, mode="triangular2", cycle_momentum=False)),
    "exp_range": (ExpRange(0.01, 0.1, 10, 0.98), lambda o: lr_scheduler.CyclicLR(
        o, 0.01, 0.1, 10, mode="exp_range", gamma=0.98, cycle_momentum=False)),
    "LambdaLR, 1/(1 + kt)": (InverseTime(0.1, 0.05), lambda o: lr_scheduler.LambdaLR(o, lambda t: 1 / (1 + 0.05 * t))),
    # torch counts the last step in: its peak is at pct·total − 1 and its end at total − 1.
    "OneCycleLR shifted": (OneCycle(0.1, 129, 30 / 129), lambda o: lr_scheduler.OneCycleLR(
        o, 0.1, 130, pct_start=31 / 130, cycle_momentum=False)),
    "OneCycleLR linear": (OneCycle(0.1, 129, 30 / 129, shape="linear"), lambda o: lr_scheduler.OneCycleLR(
        o, 0.1, 130, pct_start=31 / 130, anneal_strategy="linear", cycle_momentum=False)),
    "SequentialLR": (Warmup(0.1, 10, start=0.02).then(Exponential(0.1, 0.95)), lambda o: lr_scheduler.SequentialLR(
        o, [lr_scheduler.LinearLR(o, 0.2, 1.0, 10), lr_scheduler.ExponentialLR(o, 0.95)], [10])),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:The epoch parameter")  # raised by torch's own SequentialLR
@pytest.mark.parametrize("name", SAME_AS_TORCH)
def test_step_for_step_as_torch(name: str) -> None:
    schedule, make = SAME_AS_TORCH[name]
    # The last of OneCycleLR's steps would raise, so it stays out of the comparison.
    steps = 129 if "OneCycle" in name else 130
    np.testing.assert_allclose(schedule(np.arange(steps)), torch_rates(make, steps), rtol=1e-10, atol=1e-15)


def test_where_torch_differs_cosine_rises_again() -> None:
    rates = torch_rates(lambda o: lr_scheduler.CosineAnnealingLR(o, 50), 100)
    assert rates[99] > 0.09
    assert Cosine(0.1, 50)(99) == 0


def test_where_torch_differs_one_cycle_peaks_early_and_raises() -> None:
    rates = torch_rates(lambda o: lr_scheduler.OneCycleLR(o, 0.1, 100, cycle_momentum=False), 99)
    assert int(np.argmax(rates)) == 29
    assert int(np.argmax(OneCycle(0.1, 100)(np.arange(100)))) == 30
    with pytest.raises(ValueError, match="Tried to step 101 times"):
        torch_rates(lambda o: lr_scheduler.OneCycleLR(o, 0.1, 100, cycle_momentum=False), 101)
    assert OneCycle(0.1, 100)(101) == OneCycle(0.1, 100)(100)


def test_where_torch_differs_its_cycles_set_the_momentum() -> None:
    for make in (
        lambda o: lr_scheduler.OneCycleLR(o, 0.1, 100),
        lambda o: lr_scheduler.CyclicLR(o, 0.01, 0.1),
    ):
        optimizer = sgd(momentum=0.5)
        make(optimizer)
        assert optimizer.param_groups[0]["momentum"] != 0.5
    optimizer = sgd(momentum=0.5)
    schedules.as_torch(OneCycle(0.1, 100), optimizer)
    assert optimizer.param_groups[0]["momentum"] == 0.5


def test_where_torch_differs_chained_schedulers_are_no_product() -> None:
    optimizer = sgd()
    chained = lr_scheduler.ChainedScheduler(
        [lr_scheduler.ExponentialLR(optimizer, 0.9), lr_scheduler.CosineAnnealingLR(optimizer, 10, eta_min=0.1)]
    )
    for _ in range(10):
        optimizer.step()
        chained.step()
    product = 0.9**10 * Cosine(0.1, 10, final=0.1)(10)
    assert product == pytest.approx(0.0349, abs=1e-4)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.1, rel=1e-6)


def test_whole_steps_never_see_the_minimum_of_a_restarting_cosine() -> None:
    expected = [1.0, 0.8536, 0.5, 0.1464, 1.0]
    assert [round(WarmRestarts(1.0, 4)(t), 4) for t in range(5)] == expected
    assert [round(r, 4) for r in torch_rates(lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 4), 5, 1.0)] == (
        expected
    )


# --- Purity ----------------------------------------------------------------------------------------------------------


def test_looking_changes_nothing() -> None:
    """D2L plots a stateful scheduler 30 times and then trains with what is left of it."""

    class Stateful:
        lr = 0.5

        def __call__(self, t: float) -> float:
            self.lr *= 0.5
            return self.lr

    stateful = Stateful()
    assert [stateful(t) for t in range(3)] != [stateful(t) for t in range(3)]

    schedule = Warmup(0.1, 5).then(WarmRestarts(0.1, 10, mult=2))
    before = (schedule(T), repr(schedule), hash(schedule))
    first, second = (schedules.plot(schedule, 100) for _ in range(2))
    lines = [figure.axes[0].get_lines()[0].get_ydata() for figure in (first, second)]
    np.testing.assert_array_equal(*lines)
    np.testing.assert_array_equal(schedule(T), before[0])
    assert (repr(schedule), hash(schedule)) == before[1:]


def test_a_schedule_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Constant(0.1).lr = 0.2


def test_the_order_of_questions_does_not_matter() -> None:
    schedule = Warmup(0.1, 5).then(WarmRestarts(0.1, 10, mult=2))
    times = np.random.default_rng(0).permutation(T)
    np.testing.assert_array_equal(schedule(times), schedule(T)[times])


# --- Properties of all of them ---------------------------------------------------------------------------------------

rates = st.floats(1e-6, 10)
lengths = st.integers(1, 200) | st.floats(0.1, 200)
gammas = st.floats(0.05, 1)
shares = st.floats(0, 1)


def decaying() -> st.SearchStrategy[Schedule]:
    """Schedules that never rise."""
    return st.one_of(
        st.builds(Constant, rates),
        st.builds(Step, rates, lengths, gammas),
        st.builds(MultiStep, rates, st.lists(lengths, min_size=1, max_size=4, unique=True).map(sorted), gammas),
        st.builds(Exponential, rates, gammas),
        st.builds(DelayedExponential, rates, lengths, gammas),
        st.builds(lambda lr, total, share: Linear(lr, total, lr * share), rates, lengths, shares),
        st.builds(InverseTime, rates, st.floats(1e-3, 10)),
        st.builds(InverseSqrt, rates, st.floats(0.1, 10)),
        st.builds(lambda lr, total, share: Cosine(lr, total, lr * share), rates, lengths, shares),
    )


def cyclical() -> st.SearchStrategy[Triangular | Triangular2 | ExpRange]:
    base = st.floats(0, 0.9)
    return st.one_of(
        st.builds(lambda lr, share, size: Triangular(lr * share, lr, size), rates, base, lengths),
        st.builds(lambda lr, share, size: Triangular2(lr * share, lr, size), rates, base, lengths),
        st.builds(lambda lr, share, size, g: ExpRange(lr * share, lr, size, g), rates, base, lengths, gammas),
    )


def warmups() -> st.SearchStrategy[Warmup]:
    return st.one_of(
        st.builds(lambda lr, steps, share: Warmup(lr, steps, lr * share), rates, lengths, shares),
        st.builds(
            lambda lr, steps, share: Warmup(lr, steps, lr * share, "exponential"), rates, lengths, st.floats(1e-3, 1)
        ),
    )


def one_cycles() -> st.SearchStrategy[OneCycle]:
    shapes = st.sampled_from(("cosine", "linear"))
    return st.builds(OneCycle, rates, lengths, st.floats(0.05, 0.95), st.floats(1, 100), st.floats(1, 1e5), shapes)


def restarts() -> st.SearchStrategy[WarmRestarts]:
    return st.builds(
        lambda lr, period, mult, share: WarmRestarts(lr, period, mult, lr * share),
        rates, lengths, st.integers(1, 4), shares,
    )  # fmt: skip


def traces() -> st.SearchStrategy[Recorded]:
    later = st.lists(st.tuples(st.integers(1, 300), rates), max_size=6, unique_by=lambda move: move[0]).map(sorted)
    return st.builds(lambda moves, lr: Recorded.from_moves([(s, "lr", v) for s, v in moves], lr), later, rates)


plain = st.one_of(decaying(), cyclical(), warmups(), one_cycles(), restarts(), traces())
composed = st.recursive(
    plain,
    lambda parts: st.one_of(
        st.builds(lambda schedule, factor: schedule * factor, parts, st.floats(0.01, 10)),
        st.builds(Until, parts, lengths),
        st.builds(lambda a, steps, b: a.until(steps).then(b), parts, lengths, parts),
    ),
    max_leaves=4,
)
times = st.integers(0, 500) | st.floats(0, 500)


@law
@given(composed, st.lists(times, min_size=1, max_size=20))
def test_a_tensor_of_times_gives_the_same_bits_as_each_time_alone(schedule: Schedule, ts: list[float]) -> None:
    alone = torch.tensor([schedule(t) for t in ts], dtype=torch.float64)
    together = schedule(torch.tensor(ts, dtype=torch.float64))
    assert together.dtype == torch.float64
    assert torch.equal(alone, together)
    np.testing.assert_array_equal(schedule(np.array(ts, dtype=np.float64)), alone.numpy())


@law
@given(composed, st.lists(times, max_size=20))
def test_a_schedule_survives_json(schedule: Schedule, ts: list[float]) -> None:
    back = schedules.from_spec(json.loads(json.dumps(schedule.to_spec(), allow_nan=False)))
    assert back == schedule
    assert hash(back) == hash(schedule)
    assert [back(t) for t in ts] == [schedule(t) for t in ts]


@law
@given(composed)
def test_the_repr_is_the_code(schedule: Schedule) -> None:
    assert eval(repr(schedule), vars(schedules)) == schedule


@law
@given(composed, st.lists(times, min_size=1, max_size=20))
def test_a_rate_is_finite_and_not_negative(schedule: Schedule, ts: list[float]) -> None:
    for t in ts:
        assert 0 <= schedule(t) < math.inf
        assert type(schedule(t)) is float


@law
@given(composed, st.floats(0, 1e6) | st.integers(0, 10**15))
def test_beyond_its_end_a_schedule_holds_its_last_value(schedule: Schedule, beyond: float) -> None:
    if math.isinf(schedule.length):
        schedule = schedule.until(50)
    # Not to the last bit: with broken lengths, the sum of the parts' lengths is rounded.
    assert schedule(schedule.length + beyond) == pytest.approx(schedule(schedule.length), rel=1e-9, abs=1e-12)


@law
@given(decaying(), times, times)
def test_a_decaying_schedule_never_rises(schedule: Schedule, s: float, t: float) -> None:
    earlier, later = schedule(min(s, t)), schedule(max(s, t))
    assert later <= earlier * (1 + 1e-12)
    assert later <= schedule(0) * (1 + 1e-12)


@law
@given(decaying() | restarts(), lengths)
def test_a_cut_holds_the_value_before_it_not_a_jump(schedule: Schedule, total: float) -> None:
    cut = schedule.until(total)
    assert cut(total) <= schedule(math.nextafter(total, 0)) * (1 + 1e-12)
    assert cut(10 * total) == cut(total)


def test_a_cut_at_a_restart_stays_low() -> None:
    assert WarmRestarts(0.1, 10).until(20)(25) < 1e-12
    assert Step(0.1, every=30).until(30)(40) == 0.1


@law
@given(cyclical(), times)
def test_a_cyclical_schedule_stays_between_its_rates(schedule: Any, t: float) -> None:
    assert schedule.base_lr * (1 - 1e-9) <= schedule(t) <= schedule.max_lr * (1 + 1e-9)


@law
@given(rates, st.integers(1, 50), st.integers(0, 500), st.integers(1, 20))
def test_periods_repeat(lr: float, period: int, t: int, cycles: int) -> None:
    triangle, cosine = Triangular(lr / 10, lr, period), WarmRestarts(lr, period)
    assert triangle(t + 2 * period * cycles) == triangle(t)
    assert cosine(t + period * cycles) == cosine(t)
    assert cosine(period * cycles) == lr
    assert triangle(period * (2 * cycles - 1)) == pytest.approx(lr, rel=1e-12)


@law
@given(
    st.one_of(
        warmups(),
        one_cycles(),
        cyclical(),
        st.builds(Linear, rates, lengths),
        st.builds(Cosine, rates, lengths),
        st.builds(InverseTime, rates, st.floats(1e-3, 10)),
        st.builds(InverseSqrt, rates),
        st.builds(DelayedExponential, rates, lengths, gammas),
        st.builds(lambda lr, a, b: Warmup(lr, a).then(Cosine(lr, b)), rates, lengths, lengths),
    ),
    times,
)
def test_a_continuous_schedule_does_not_jump(schedule: Schedule, t: float) -> None:
    """On either side of any time, also of a join: |α(t + δ) − α(t)| shrinks with δ."""
    first = schedule.parts[0] if isinstance(schedule, Joined) else schedule
    peak = getattr(first, "max_lr", None) or first.lr
    for delta in (1e-7, -1e-7):
        assert abs(schedule(max(t + delta, 0)) - schedule(t)) <= 1e-4 * peak


@law
@given(decaying() | warmups() | one_cycles(), warmups() | restarts(), lengths, times)
def test_a_join_is_each_part_on_its_own_clock(first: Schedule, second: Schedule, total: float, t: float) -> None:
    joined = first.until(total).then(second)
    assert joined.length == total + second.length
    assert joined(t) == (first(t) if t < total else second(t - total))


@law
@given(composed, st.floats(0.01, 10), times)
def test_scaling_multiplies(schedule: Schedule, factor: float, t: float) -> None:
    assert (factor * schedule)(t) == (schedule * factor)(t) == factor * schedule(t)
    assert (factor * schedule).length == schedule.length


def test_joins_are_associative() -> None:
    a, b, c = Warmup(0.1, 5), Cosine(0.1, 10), Constant(0.01)
    assert a.then(b).then(c) == a.then(b.then(c)) == Joined((a, b, c))


# --- Kinds of time ---------------------------------------------------------------------------------------------------


def test_the_kind_of_time_is_the_kind_of_rate() -> None:
    schedule = Cosine(0.1, 10)
    assert type(schedule(3)) is type(schedule(3.5)) is type(schedule(np.int64(3))) is float
    assert schedule(np.float32(3)) == schedule(np.int8(3)) == schedule(3.0) == schedule(3)
    assert schedule(torch.tensor(3)).shape == ()
    assert schedule(torch.tensor(3)).dtype == torch.float64
    assert schedule(torch.zeros(2, 0, 3)).shape == (2, 0, 3)
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        t = torch.arange(4, dtype=dtype).reshape(2, 2)
        assert schedule(t).dtype == dtype
        assert torch.equal(schedule(t), schedule(t.double()).to(dtype))
    assert schedule(np.arange(4).reshape(2, 2)).shape == (2, 2)
    assert isinstance(schedule(np.arange(4)), np.ndarray)
    assert schedule(np.arange(10)[::-2]).tolist() == [schedule(t) for t in (9, 7, 5, 3, 1)]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu_the_answer_stays_there() -> None:
    t = torch.arange(5, device="cuda")
    assert Cosine(0.1, 4)(t).device == t.device
    assert torch.equal(Cosine(0.1, 4)(t).cpu(), Cosine(0.1, 4)(t.cpu()))


@pytest.mark.parametrize("t", [-1, -1e-9, math.nan, math.inf, torch.tensor([0.0, -1.0]), np.array([math.nan])])
def test_a_time_that_is_none_is_refused(t: Any) -> None:
    with pytest.raises(ValueError, match="t must be at least 0 and finite"):
        Cosine(0.1, 10)(t)


@pytest.mark.parametrize("t", ["3", None, True, [1, 2], torch.tensor([True]), torch.tensor([1j])])
def test_a_time_of_another_kind_is_refused(t: Any) -> None:
    with pytest.raises(TypeError, match="t must be a number or a tensor"):
        Cosine(0.1, 10)(t)


# --- A learner's trace -----------------------------------------------------------------------------------------------


@law
@given(st.lists(rates, min_size=1, max_size=60))
def test_a_history_becomes_a_schedule_that_is_the_history(lr: list[float]) -> None:
    schedule = Recorded.from_history(lr)
    assert [schedule(step) for step in range(len(lr))] == lr
    assert schedule(len(lr) + 1000) == lr[-1]
    assert schedule == Recorded.from_history(np.array(lr))
    assert schedule == Recorded.from_history(torch.tensor(lr, dtype=torch.float64))


def test_a_history_is_stored_by_its_changes() -> None:
    assert Recorded.from_history(np.full(100_000, 0.1)) == Recorded((0,), (0.1,))


@law
@given(st.lists(st.tuples(st.integers(0, 30), rates), max_size=10).map(lambda moves: sorted(moves, key=lambda m: m[0])))
def test_moves_become_the_rates_they_made(moves: list[tuple[int, float]]) -> None:
    schedule = Recorded.from_moves([(step, "lr", value) for step, value in moves], initial=0.5)
    for t in range(40):
        made = [value for step, value in moves if step <= t]
        assert schedule(t) == (made[-1] if made else 0.5)


def test_other_knobs_are_skipped_and_schedules_are_refused() -> None:
    moves = [(3, "rho", 0.8), (5, "lr", 0.01), (9, "rule", {"name": "Adam"})]
    assert Recorded.from_moves(moves, 0.1) == Recorded((0, 5), (0.1, 0.01))
    with pytest.raises(TypeError, match="Recorded.from_history"):
        Recorded.from_moves([(5, "lr", Cosine(0.1, 10).to_spec())], 0.1)
    with pytest.raises(ValueError, match="rise strictly"):
        Recorded.from_moves([(5, "lr", 0.01), (3, "lr", 0.02)], 0.1)


# --- Plateau ---------------------------------------------------------------------------------------------------------


def plateau_rates(plateau: Plateau, metrics: list[float]) -> list[float]:
    state, rates = plateau.init(), []
    for metric in metrics:
        state = plateau.observe(metric, state)
        rates.append(state["lr"])
    return rates


def torch_plateau_rates(metrics: list[float], lr: float, **options: Any) -> list[float]:
    optimizer = sgd(lr)
    scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, eps=0, **options)
    rates = []
    for metric in metrics:
        scheduler.step(metric)
        rates.append(optimizer.param_groups[0]["lr"])
    return rates


# Whole numbers and thresholds that are powers of two: no rounding, so the two ways to write the bar agree exactly.
metrics = st.lists(st.integers(0, 12).map(float) | st.just(math.nan) | st.just(math.inf), max_size=40)
plateau_options = st.fixed_dictionaries(
    {
        "factor": st.floats(0.05, 0.95),
        "patience": st.integers(1, 4),
        "threshold": st.sampled_from((0.0, 0.125, 0.5)),
        "cooldown": st.integers(0, 3),
        "min_lr": st.sampled_from((0.0, 0.01)),
        "mode": st.just("min"),
    }
)


@given(metrics, plateau_options)
@settings(law, max_examples=300)
def test_torchs_count_is_an_option(metrics: list[float], options: dict[str, Any]) -> None:
    ours = plateau_rates(Plateau(0.1, **options, torch_count=True), metrics)
    assert ours == torch_plateau_rates(metrics, 0.1, **options)


@given(metrics, plateau_options)
@settings(law, max_examples=300)
def test_our_count_is_torchs_with_one_less(metrics: list[float], options: dict[str, Any]) -> None:
    ours = plateau_rates(Plateau(0.1, **options), metrics)
    assert ours == torch_plateau_rates(metrics, 0.1, **{**options, "patience": options["patience"] - 1})


@law
@given(metrics, plateau_options)
def test_torchs_count_for_an_accuracy(metrics: list[float], options: dict[str, Any]) -> None:
    metrics = [metric for metric in metrics if metric != math.inf]  # torch takes an infinite accuracy for the best
    options["mode"] = "max"
    ours = plateau_rates(Plateau(0.1, **options, torch_count=True), metrics)
    assert ours == torch_plateau_rates(metrics, 0.1, **options)


def test_the_cut_comes_with_the_bad_observation_number_patience() -> None:
    flat = [1.0] * 8  # the first one is good
    assert plateau_rates(Plateau(1.0, 0.5, patience=3), flat) == [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25]
    assert plateau_rates(Plateau(1.0, 0.5, patience=3, torch_count=True), flat) == [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5]


def test_nan_is_a_bad_epoch_and_never_the_best() -> None:
    assert plateau_rates(Plateau(1.0, 0.5, patience=2), [math.nan, math.nan]) == [1, 0.5]
    assert plateau_rates(Plateau(1.0, 0.5, patience=2), [1.0, math.nan, 0.9, math.nan, math.nan])[-2:] == [1, 0.5]
    assert plateau_rates(Plateau(1.0, 0.5, patience=1), [-math.inf, 1.0]) == [0.5, 0.5]


def test_a_flat_negative_loss_is_a_plateau() -> None:
    flat = [-1.0] * 4
    assert plateau_rates(Plateau(1.0, 0.5, patience=3), flat)[-1] == 0.5
    assert torch_plateau_rates(flat, 1.0, factor=0.5, patience=2)[-1] == 1.0  # to torch, each of them is an improvement


def test_the_rate_stops_at_min_lr() -> None:
    assert plateau_rates(Plateau(1.0, 0.1, patience=1, min_lr=0.05), [1.0] * 5) == [1, 0.1, 0.05, 0.05, 0.05]


@law
@given(metrics, plateau_options, st.integers(0, 40))
def test_a_state_kept_as_json_can_be_gone_back_to(metrics: list[float], options: dict[str, Any], keep: int) -> None:
    plateau = Plateau(0.1, **options)
    state = plateau.init()
    for metric in metrics[:keep]:
        state = plateau.observe(metric, state)
    kept = json.dumps(state, allow_nan=False)
    for _ in range(2):
        state, rates = json.loads(kept), []
        for metric in metrics[keep:]:
            before = copy.deepcopy(state)
            new = plateau.observe(metric, state)
            assert state == before
            state = new
            rates.append(state["lr"])
        assert rates == plateau_rates(plateau, metrics)[keep:]


def test_plateau_survives_json_and_takes_tensors() -> None:
    plateau = Plateau(0.1, patience=3, mode="max")
    assert _spec.from_spec(json.loads(json.dumps(_spec.to_spec(plateau))), {"Plateau": Plateau}) == plateau
    assert plateau.observe(torch.tensor(0.5), plateau.init())["best"] == 0.5
    with pytest.raises(ValueError, match="keys of init"):
        plateau.observe(0.5, {"lr": 0.1})


# --- Any torch optimizer ---------------------------------------------------------------------------------------------

OPTIMIZERS: dict[str, Callable[[Any], Optimizer]] = {
    "SGD": lambda p: torch.optim.SGD(p, lr=1.0),
    "SGD, momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.77),
    "SGD, Nesterov": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.77, nesterov=True, weight_decay=1e-4),
    "Adam": lambda p: torch.optim.Adam(p, lr=1e-3, betas=(0.77, 0.95)),
    "Adam, the rate a tensor": lambda p: torch.optim.Adam(p, lr=torch.tensor(1e-3, dtype=torch.float64), foreach=False),
    "AdamW": lambda p: torch.optim.AdamW(p, lr=1e-3),
    "NAdam": lambda p: torch.optim.NAdam(p, lr=1e-3),
    "RAdam": lambda p: torch.optim.RAdam(p, lr=1e-3),
    "RMSprop": lambda p: torch.optim.RMSprop(p, lr=1e-3, momentum=0.5),
    "Adagrad": lambda p: torch.optim.Adagrad(p, lr=1e-2),
    "Adadelta": lambda p: torch.optim.Adadelta(p, lr=1.0),
    "Rprop": lambda p: torch.optim.Rprop(p, lr=1e-2),
    "LBFGS": lambda p: torch.optim.LBFGS(p, lr=1.0, max_iter=1),
}

LONG = (Warmup(0.1, 5, start=0.01).then(Cosine(0.1, 15, final=0.002))) * 0.5


def without_rates(optimizer: Optimizer) -> list[dict[str, Any]]:
    skip = ("params", "lr", "initial_lr", "lr_multiplier")
    return [{key: value for key, value in group.items() if key not in skip} for group in optimizer.param_groups]


def train(optimizer: Optimizer, scheduler: Any, steps: int) -> list[float]:
    """The rates in force at each step, read at the moment the optimizer steps."""
    applied: list[float] = []
    hook = optimizer.register_step_pre_hook(lambda opt, *_: applied.append(float(opt.param_groups[0]["lr"])))

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = sum((p**2).sum() for group in optimizer.param_groups for p in group["params"])
        loss.backward()
        return loss

    for _ in range(steps):
        optimizer.step(closure)
        scheduler.step()
    hook.remove()
    return applied


@pytest.mark.filterwarnings("error")  # no step-order warning, no deprecation
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_planned_rate_is_the_applied_rate(name: str) -> None:
    optimizer = OPTIMIZERS[name]([torch.nn.Parameter(torch.ones(3))])
    before = copy.deepcopy(without_rates(optimizer))
    scheduler = schedules.as_torch(LONG, optimizer)
    applied = train(optimizer, scheduler, 30)
    assert applied == [LONG(t) for t in range(30)]
    assert without_rates(optimizer) == before  # momentum, betas, weight decay: untouched


def test_the_applied_rate_is_what_the_weights_feel() -> None:
    weight = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    optimizer = torch.optim.SGD([weight], lr=123.0)
    scheduler = schedules.as_torch(LONG, optimizer)
    for t in range(25):
        before = weight.item()
        weight.grad = torch.ones(1, dtype=torch.float64)
        optimizer.step()
        scheduler.step()
        assert before - weight.item() == pytest.approx(LONG(t), rel=1e-12)


def two_groups(**second: Any) -> Optimizer:
    body, head = (torch.nn.Parameter(torch.ones(2)) for _ in range(2))
    return torch.optim.SGD([{"params": [head], "lr": 0.1}, {"params": [body], **second}], lr=0.1, momentum=0.9)


def test_groups_keep_their_ratio() -> None:
    optimizer = two_groups(lr=0.01)
    scheduler = schedules.as_torch(LONG, optimizer)
    for t in range(25):
        head, body = (group["lr"] for group in optimizer.param_groups)
        assert head == LONG(t)
        assert body == pytest.approx(0.1 * LONG(t), rel=1e-12)
        assert scheduler.get_last_lr() == [head, body]
        optimizer.step()
        scheduler.step()


def test_a_group_may_name_its_share() -> None:
    optimizer = two_groups(lr_multiplier=0.25)
    schedules.as_torch(Constant(0.4), optimizer)
    assert [group["lr"] for group in optimizer.param_groups] == [0.4, 0.1]


def test_a_group_that_is_unfrozen_later_follows() -> None:
    optimizer = sgd(0.1)
    scheduler = schedules.as_torch(LONG, optimizer)
    train(optimizer, scheduler, 3)
    optimizer.add_param_group({"params": [torch.nn.Parameter(torch.ones(2))], "lr": 0.02})
    train(optimizer, scheduler, 3)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([LONG(6), 0.2 * LONG(6)], rel=1e-12)


def test_it_takes_over_from_a_scheduler_that_has_come_to_zero() -> None:
    optimizer = two_groups(lr=0.01)
    train(optimizer, lr_scheduler.CosineAnnealingLR(optimizer, 10), 10)
    assert optimizer.param_groups[0]["lr"] == 0
    schedules.as_torch(Constant(0.4), optimizer)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.4, 0.04], rel=1e-12)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("scheduler_first", [True, False])
@pytest.mark.parametrize("stop", [0, 1, 12])
def test_a_resumed_run_goes_on_with_the_planned_rates(scheduler_first: bool, stop: int) -> None:
    optimizer = two_groups(lr=0.01)
    scheduler = schedules.as_torch(LONG, optimizer)
    train(optimizer, scheduler, stop)
    json.dumps(scheduler.state_dict(), allow_nan=False)
    file = io.BytesIO()
    torch.save({"optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict()}, file)
    saved = torch.load(io.BytesIO(file.getvalue()), weights_only=True)

    resumed = two_groups(lr=0.01)
    again = schedules.as_torch(Constant(9.0), resumed)  # what the state says counts
    loads = [lambda: again.load_state_dict(saved["scheduler"]), lambda: resumed.load_state_dict(saved["optimizer"])]
    for load in loads if scheduler_first else reversed(loads):
        load()
    assert again.schedule == LONG
    assert again.get_last_lr() == [group["lr"] for group in optimizer.param_groups]
    assert train(resumed, again, 15) == [LONG(t) for t in range(stop, stop + 15)]
    assert resumed.param_groups[1]["lr"] == pytest.approx(0.1 * LONG(stop + 15), rel=1e-12)
    assert resumed.param_groups[0]["momentum"] == 0.9


def test_a_rate_that_is_a_tensor_is_restored_in_place() -> None:
    def adam() -> Optimizer:
        rate = torch.tensor(1e-3, dtype=torch.float64)
        return torch.optim.Adam([torch.nn.Parameter(torch.ones(2))], lr=rate, foreach=False)

    optimizer, resumed = adam(), adam()
    scheduler, again = schedules.as_torch(LONG, optimizer), schedules.as_torch(LONG, resumed)
    train(optimizer, scheduler, 7)
    rate = resumed.param_groups[0]["lr"]
    again.load_state_dict(scheduler.state_dict())
    assert resumed.param_groups[0]["lr"] is rate  # what a compiled step holds on to
    assert rate.item() == LONG(7)


def test_a_schedule_of_ones_own_works_and_resumes() -> None:
    class Halving(Schedule):
        def rate(self, t: float) -> float:
            return 0.5**t

    optimizer = sgd()
    scheduler = schedules.as_torch(Halving(), optimizer)
    assert train(optimizer, scheduler, 3) == [1, 0.5, 0.25]
    resumed = sgd()
    again = schedules.as_torch(Halving(), resumed)
    again.load_state_dict(scheduler.state_dict())
    assert train(resumed, again, 2) == [0.125, 0.0625]


def test_it_is_one_of_torchs_schedulers() -> None:
    scheduler = schedules.as_torch(Constant(0.1), sgd())
    assert isinstance(scheduler, lr_scheduler.LRScheduler)
    assert scheduler.get_last_lr() == [0.1]


@pytest.mark.parametrize(
    ("schedule", "optimizer", "error", "message"),
    [
        (0.1, sgd(), TypeError, r"schedule must be a schedule, got 0.1. Write Constant\(0.1\)"),
        (Plateau(0.1), sgd(), TypeError, "schedule must be a schedule, got Plateau"),
        (Constant(0.1), "adam", TypeError, "optimizer must be a torch.optim.Optimizer"),
        (Constant(0.1), sgd(0.0), ValueError, "the lr of the optimizer's first group must be a finite number > 0"),
    ],
)
def test_as_torch_refuses(schedule: Any, optimizer: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        schedules.as_torch(schedule, optimizer)


# --- A run -----------------------------------------------------------------------------------------------------------


def test_a_run_applies_the_planned_rates_wherever_it_comes_from(tmp_path: Any) -> None:
    plan = Warmup(0.1, 5, start=0.01).then(WarmRestarts(0.1, 10, mult=2))
    run = Run("mlp", "digits", rule=rules.Momentum(rho=0.8), lr=plan, batch_size=64, device="cpu", validate_every=0)
    run.train(steps=30, progress=False)

    def rates(run: Run) -> list[float]:
        return list(run.history["lr"])

    assert rates(run) == [plan(t) for t in range(30)]
    branch = run.branch(17).train(steps=13, progress=False)
    loaded = Run.load(run.save(tmp_path / "run.safetensors")).train(steps=10, progress=False)
    run.rewind(12).train(steps=28, progress=False)
    assert rates(branch) == [plan(t) for t in range(30)]
    assert rates(run) == rates(loaded) == [plan(t) for t in range(40)]
    assert run.knobs["rho"] == 0.8 and run.moves == []


def test_a_learners_trace_run_again_is_the_same_run() -> None:
    run = Run("mlp", "digits", lr=0.1, batch_size=64, device="cpu", validate_every=0)
    for lr in (0.1, 0.03, 0.004):
        run.lr = lr
        run.train(steps=8, progress=False)
    by_moves = Recorded.from_moves(run.moves, initial=0.1)
    assert by_moves.until(24)(np.arange(24)).tolist() == run.history["lr"].tolist()
    again = Run("mlp", "digits", lr=by_moves, batch_size=64, device="cpu", validate_every=0)
    again.train(steps=24, progress=False)
    assert again.history["lr"].tolist() == run.history["lr"].tolist()
    assert again.history["loss"].tolist() == run.history["loss"].tolist()


# --- Pictures --------------------------------------------------------------------------------------------------------


def test_plot_draws_the_formula_with_units_and_labels() -> None:
    fig = schedules.plot({"down": Cosine(0.1, 90), "steps": Step(0.1, 30)}, 90, unit="epochs", title="Two ways down")
    (ax,) = fig.axes
    down, steps = ax.get_lines()
    np.testing.assert_array_equal(down.get_ydata(), Cosine(0.1, 90)(np.asarray(down.get_xdata())))
    assert (down.get_xdata()[0], down.get_xdata()[-1]) == (0, 90)
    assert down.get_color() != steps.get_color()
    assert down.get_linestyle() != steps.get_linestyle()
    assert "epochs" in ax.get_xlabel()
    assert "learning rate" in ax.get_ylabel()
    assert {text.get_text() for text in ax.texts} >= {"down", "steps"}
    assert fig.get_suptitle() == "Two ways down"


def test_plot_takes_one_or_several_and_tells_twins_apart() -> None:
    assert len(schedules.plot(Warmup(0.1, 5).then(Cosine(0.1, 95)), 100).axes[0].get_lines()) == 1
    fig = schedules.plot([Constant(0.1), Constant(0.2), Warmup(0.1, 5).then(Cosine(0.1, 95))], 10, log=True)
    labels = [line.get_label() for line in fig.axes[0].get_lines()]
    assert labels == ["Constant(lr=0.1)", "Constant(lr=0.2)", "Warmup, Cosine"]
    assert fig.axes[0].get_yscale() == "log"


@pytest.mark.parametrize(
    ("given", "total", "error", "message"),
    [
        ([], 10, ValueError, "schedules is empty"),
        ({"rate": 0.1}, 10, TypeError, "every one of schedules must be a schedule, got 0.1"),
        (Constant(0.1), 0, ValueError, "total must be a finite number > 0, got 0"),
    ],
)
def test_plot_refuses(given: Any, total: float, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        schedules.plot(given, total)


# --- Bad input -------------------------------------------------------------------------------------------------------

NAN, INF = math.nan, math.inf

REFUSED: list[tuple[Callable[[], Any], type[Exception], str]] = [
    *[
        (lambda make=make, lr=lr: make(lr), ValueError, rf"lr must be a finite number > 0, got {lr!r}. .*try 0.1")
        for lr in (0, -0.1, NAN, INF)
        for make in (
            Constant,
            lambda lr: Step(lr, 30),
            lambda lr: MultiStep(lr, (30,)),
            lambda lr: Exponential(lr, 0.9),
            lambda lr: DelayedExponential(lr, 3),
            lambda lr: Linear(lr, 10),
            lambda lr: InverseTime(lr, 0.1),
            InverseSqrt,
            lambda lr: Cosine(lr, 10),
            lambda lr: Warmup(lr, 10),
            lambda lr: WarmRestarts(lr, 10),
            lambda lr: OneCycle(lr, 10),
            Plateau,
        )
    ],
    *[
        (lambda make=make, n=n: make(n), ValueError, rf"must be a finite number > 0, got {n!r}. .*steps or epochs")
        for n in (0, -5, NAN, INF)
        for make in (
            lambda n: Step(0.1, every=n),
            lambda n: MultiStep(0.1, (n,)),
            lambda n: DelayedExponential(0.1, delay=n),
            lambda n: Linear(0.1, total=n),
            lambda n: Cosine(0.1, total=n),
            lambda n: Warmup(0.1, steps=n),
            lambda n: WarmRestarts(0.1, period=n),
            lambda n: OneCycle(0.1, total=n),
            lambda n: Triangular(0.01, 0.1, stepsize=n),
            lambda n: Triangular2(0.01, 0.1, stepsize=n),
            lambda n: ExpRange(0.01, 0.1, stepsize=n, gamma=0.9),
            lambda n: Constant(0.1).until(n),
        )
    ],
    *[
        (lambda make=make, gamma=gamma: make(gamma), ValueError, rf"gamma must be a number in \(0, 1\], got {gamma!r}")
        for gamma in (0, -0.1, 1.01, NAN)
        for make in (
            lambda gamma: Step(0.1, 30, gamma),
            lambda gamma: MultiStep(0.1, (30,), gamma),
            lambda gamma: Exponential(0.1, gamma),
            lambda gamma: DelayedExponential(0.1, 3, gamma),
            lambda gamma: ExpRange(0.01, 0.1, 10, gamma),
        )
    ],
    (lambda: Constant("0.1"), TypeError, "lr must be a finite number > 0, got '0.1'"),
    (lambda: Constant(True), TypeError, "lr must be a finite number > 0, got True"),
    (lambda: Constant(torch.tensor(0.1)), TypeError, "lr must be a finite number > 0, got tensor"),
    (lambda: MultiStep(0.1, ()), ValueError, "milestones is empty"),
    (lambda: MultiStep(0.1, (60, 30)), ValueError, r"milestones must rise strictly, got \(60, 30\).*\(30, 60\)"),
    (lambda: MultiStep(0.1, (30, 30)), ValueError, "milestones must rise strictly"),
    (lambda: MultiStep(0.1, 30), TypeError, "milestones must be times"),
    (lambda: Cosine(0.1, 10, final=0.2), ValueError, r"final must be a number in \[0, 0.1\], got 0.2. .*above lr"),
    (lambda: Linear(0.1, 10, final=-1e-9), ValueError, r"final must be a number in \[0, 0.1\]"),
    (lambda: WarmRestarts(0.1, 10, final=NAN), ValueError, "final must be"),
    (lambda: WarmRestarts(0.1, 10, mult=0), ValueError, "mult must be a whole number ≥ 1, got 0"),
    (lambda: WarmRestarts(0.1, 10, mult=1.5), TypeError, "mult must be a whole number"),
    (lambda: InverseTime(0.1, k=-1), ValueError, "k must be a finite number > 0, got -1"),
    (lambda: InverseSqrt(0.1, k=0), ValueError, "k must be a finite number > 0, got 0"),
    (lambda: Warmup(0.1, 5, start=0.2), ValueError, "start must be a number in"),
    (lambda: Warmup(0.1, 5, shape="exponential"), ValueError, r"start > 0, got 0. Try start=0.001"),
    (lambda: Warmup(0.1, 5, shape="cubic"), ValueError, "shape must be one of 'linear', 'exponential', got 'cubic'"),
    (lambda: Triangular(0.1, 0.01, 5), ValueError, r"base_lr must be a number in \[0, 0.01\), got 0.1. .*below max_lr"),
    (lambda: Triangular2(0.0, -1, 5), ValueError, "max_lr must be a finite number > 0"),
    (lambda: OneCycle(0.1, 10, pct_start=1), ValueError, r"pct_start must be a number in \(0, 1\), got 1"),
    (lambda: OneCycle(0.1, 10, div_factor=0.5), ValueError, "div_factor must be a finite number ≥ 1"),
    (lambda: OneCycle(0.1, 10, final_div_factor=INF), ValueError, "final_div_factor must be a finite number ≥ 1"),
    (lambda: OneCycle(0.1, 10, shape="exp"), ValueError, "shape must be one of 'cosine', 'linear'"),
    (lambda: Recorded((), ()), ValueError, r"steps must start at 0 and rise strictly, got \(\)"),
    (lambda: Recorded((1, 5), (0.1, 0.2)), ValueError, r"steps must start at 0 .* got \(1, 5\)"),
    (lambda: Recorded((0, 5, 5), (0.1, 0.2, 0.3)), ValueError, "rise strictly"),
    (lambda: Recorded((0, 5), (0.1,)), ValueError, "2 steps need 2 values, got 1"),
    (lambda: Recorded((0,), (NAN,)), ValueError, "every value must be a finite number ≥ 0, got nan"),
    (lambda: Recorded((0, 2.5), (0.1, 0.2)), TypeError, "steps must be whole numbers, got 2.5"),
    (lambda: Recorded.from_history([]), ValueError, r"one rate per step, \[steps\], got the shape \[0\]"),
    (lambda: Recorded.from_history(np.ones((2, 2))), ValueError, r"got the shape \[2, 2\]"),
    (lambda: Recorded.from_history([0.1, NAN]), ValueError, "every value must be a finite number"),
    (lambda: Joined(()), ValueError, "parts is empty"),
    (lambda: Joined((Constant(0.1), 0.1)), TypeError, r"every part must be a schedule, got 0.1. Write Constant"),
    (lambda: Constant(0.1).then(Cosine(0.1, 10)), ValueError, r"Constant has no end, so nothing.*until\(30\)"),
    (lambda: Warmup(0.1, 5).then(Step(0.1, 30)).then(Constant(0.1)), ValueError, "Step has no end"),
    (lambda: (2 * Constant(0.1)).then(Constant(0.1)), ValueError, "has no end"),
    (lambda: Warmup(0.1, 5).then(Cosine(0.2, 10)), ValueError, "ends at 0.1 but Cosine starts at 0.2.*same rate"),
    (lambda: Constant(0.1) * 0, ValueError, "factor must be a finite number > 0, got 0"),
    (lambda: Constant(0.1) * NAN, ValueError, "factor must be a finite number > 0"),
    (lambda: Constant(0.1) * Constant(0.1), TypeError, "factor must be a finite number > 0"),
    (lambda: Until(0.1, 10), TypeError, "schedule must be a schedule"),
    (lambda: Plateau(0.1, factor=1.0), ValueError, r"factor must be a number in \(0, 1\), got 1.0"),
    (lambda: Plateau(0.1, factor=0), ValueError, r"factor must be a number in \(0, 1\), got 0"),
    (lambda: Plateau(0.1, patience=0), ValueError, "patience must be a whole number ≥ 1, got 0"),
    (lambda: Plateau(0.1, patience=2.5), TypeError, "patience must be a whole number"),
    (lambda: Plateau(0.1, threshold=1), ValueError, "threshold must be a number in"),
    (lambda: Plateau(0.1, cooldown=-1), ValueError, "cooldown must be a whole number ≥ 0, got -1"),
    (lambda: Plateau(0.1, min_lr=0.2), ValueError, "min_lr must be a number in"),
    (lambda: Plateau(0.1, mode="loss"), ValueError, "mode must be one of 'min', 'max', got 'loss'"),
    (lambda: schedules.from_spec({"name": "Cosin", "lr": 0.1}), ValueError, "did you mean 'Cosine'"),
    (lambda: schedules.from_spec({"name": "Cosine", "lr": 0.1}), ValueError, "needs the field 'total'"),
    (lambda: schedules.from_spec({"name": "Cosine", "lr": -1, "total": 5}), ValueError, "lr must be"),
    (lambda: schedules.from_spec({"name": "Joined", "parts": [{"name": "Linear", "lr": 1, "total": 1}, 3]}), TypeError,
     "every part must be a schedule, got 3"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "error", "message"), REFUSED)
def test_bad_input_is_named_with_its_range_and_remedy(
    make: Callable[[], Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        make()


def test_every_schedule_of_the_design_is_there() -> None:
    names = "Constant Step MultiStep Exponential Linear InverseTime InverseSqrt Cosine Warmup Triangular Triangular2 "
    names += "ExpRange WarmRestarts OneCycle Recorded"
    for name in names.split():
        assert issubclass(getattr(schedules, name), Schedule)
        assert schedules.REGISTRY[name] is getattr(schedules, name)
    assert isinstance(Scaled(Constant(0.1), 2), Schedule)
