"""The schedule designer without a browser: handles, joints, formula and code, the training, and what it refuses."""

from __future__ import annotations

import contextlib
import gc
import math
import re
import time
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

from lrlab import Run, data, figures, instruments, models, rules, schedules
from lrlab.instruments import comparison, instrument, notation, page, pieces
from lrlab.instruments.grips import grips
from lrlab.instruments.pieces import KINDS, sample
from lrlab.instruments.schedule_designer import ScheduleDesigner
from lrlab.schedules import Cosine, Linear, Recorded, Schedule, Warmup

SECONDS = 60  # far more than anything here takes
TOTAL = 300
TIMES = np.linspace(0, TOTAL, 121)


def new_designer(*given: Schedule, total: int = TOTAL, **options: Any) -> ScheduleDesigner:
    return ScheduleDesigner(total, *given, **options)


def warm_cosine(steps: int = 30) -> Schedule:
    return Warmup(0.1, steps=steps).then(Cosine(0.1, total=TOTAL - steps))


class Halving(Schedule):
    """A schedule of one's own."""

    def rate(self, t: float) -> float:
        return 0.1 * 0.5 ** (t / 100)


# Handles --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_every_handle_lies_on_the_curve_and_goes_where_it_is_moved(kind: str) -> None:
    schedule = sample(kind, 0.1, TOTAL)
    found = grips(schedule, TOTAL)
    assert found and found[0].t == 0
    for grip in found:
        just_before = schedule(max(grip.t - 1e-6, 0))  # of a cut the handle is below, of a restart at the minimum
        assert any(math.isclose(grip.lr, lr, rel_tol=1e-3, abs_tol=1e-6) for lr in (schedule(grip.t), just_before))
        np.testing.assert_allclose(grip.move(grip.t, grip.lr)(TIMES), schedule(TIMES), rtol=1e-4, atol=1e-9)
        t, lr = (round(grip.t * 0.9), grip.lr * 0.9)
        moved = {it.name: it for it in grips(grip.move(t, lr), TOTAL)}[grip.name]
        assert moved.t == pytest.approx(t if grip.ways != "rate" else grip.t, rel=1e-6)
        assert moved.lr == pytest.approx(lr if grip.ways != "time" else grip.lr, rel=1e-5, abs=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_the_handles_of_a_piece_that_is_cut_off_or_scaled(kind: str) -> None:
    plain = sample(kind, 0.1, TOTAL)
    scaled = {grip.name: grip for grip in grips(2 * plain, TOTAL)}
    for grip in grips(plain, TOTAL):
        assert scaled[grip.name].lr == 2 * grip.lr
        moved = scaled[grip.name].move(grip.t, 1.8 * grip.lr)
        assert moved(TIMES) == pytest.approx(2 * grip.move(grip.t, 0.9 * grip.lr)(TIMES), rel=1e-4, abs=1e-9)
    end = {grip.name: grip for grip in grips(plain.until(40), TOTAL)}["end"]
    assert end.t == 40 and end.move(60, end.lr).length == 60


def test_what_each_handle_means() -> None:
    designer = new_designer(schedules.MultiStep(0.1, milestones=(100, 200)))
    assert designer.handles == {"start": (0, 0.1), "cut 1": (100, 0.1 * 0.1), "cut 2": (200, 0.1 * 0.1**2)}
    designer.move("cut 1", 60, 0.05)
    assert designer.schedule == schedules.MultiStep(0.1, milestones=(60, 200), gamma=0.5)
    designer = new_designer(schedules.OneCycle(0.5, total=300))
    designer.move("peak", 60, 0.25)
    assert designer.schedule == schedules.OneCycle(0.25, total=300, pct_start=0.2)
    designer.move("start", 0, 0.025)
    assert designer.schedule(0) == 0.025 and designer.schedule(300) == pytest.approx(0.25 / 25 / 1e4)
    designer = new_designer(schedules.WarmRestarts(0.2, period=50))
    designer.move("minimum", 75, 0.01)
    assert designer.schedule == schedules.WarmRestarts(0.2, period=75, final=0.01)
    designer = new_designer(schedules.Exponential(0.1, gamma=0.99))
    designer.move("end", 123, 0.001)  # it goes up and down only
    assert designer.schedule(300) == pytest.approx(0.001, rel=1e-4)


def test_a_warm_up_and_its_successor_share_a_handle() -> None:
    designer = new_designer(warm_cosine())
    assert list(designer.handles) == ["Warmup start", "Warmup peak", "Cosine end"]
    designer.move("Warmup peak", 50, 0.3)
    assert designer.schedule == Warmup(0.3, steps=50).then(Cosine(0.3, total=250))
    designer.turn("lr", 0.2, piece=1)
    assert designer.schedule == Warmup(0.2, steps=50).then(Cosine(0.2, total=250))
    designer.move("Cosine end", 250, 0.01)
    assert designer.schedule == Warmup(0.2, steps=50).then(Cosine(0.2, total=200, final=0.01))


def test_a_joint_takes_its_time_from_the_next_piece() -> None:
    designer = new_designer(schedules.Constant(0.1).until(100).then(Linear(0.1, total=200)))
    assert list(designer.handles) == ["Constant start", "Linear start", "Linear end"]
    designer.move("Linear start", 150, 0.05)
    assert designer.schedule == schedules.Constant(0.1).until(150).then(Linear(0.05, total=150))
    before = designer.schedule
    with pytest.raises(ValueError, match="nothing would be left of Linear: its length would be 0"):
        designer.move("Linear start", 300, 0.05)
    assert designer.schedule == before


def test_a_step_is_a_whole_number_in_the_code_and_a_handle_off_the_plot_is_none() -> None:
    designer = new_designer(Cosine(0.1, total=300))
    designer.move("end", 240.0, 0.0)
    assert designer.code == "schedules.Cosine(0.1, total=240)"
    assert list(new_designer(Cosine(0.1, total=500)).handles) == ["start"]


# Pieces ---------------------------------------------------------------------------------------------------------------


def test_join_choose_drop() -> None:
    designer = new_designer(Cosine(0.1, total=300))
    designer.join("Warmup", at=0)
    assert designer.schedule == warm_cosine()
    designer.join("Linear")
    assert designer.schedule == Warmup(0.1, steps=30).then(Cosine(0.1, total=135)).then(Linear(0.1, total=135))
    designer.drop(1)
    assert designer.schedule == Warmup(0.1, steps=30).then(Linear(0.1, total=270))
    designer.choose("OneCycle", piece=1)  # it starts far below: the warm-up follows
    assert designer.schedule == Warmup(0.004, steps=30).then(schedules.OneCycle(0.1, total=270))
    designer.drop(0)
    assert designer.schedule == schedules.OneCycle(0.1, total=300)
    designer.choose("Constant")
    designer.join(Cosine(0.1, total=150).until(100), at=0)
    assert designer.schedule == Cosine(0.1, total=150).until(100).then(schedules.Constant(0.1))


@pytest.mark.parametrize("kind", KINDS)
def test_behind_every_kind_there_is_room_and_what_is_joined_can_be_taken_out(kind: str) -> None:
    for second in KINDS:
        designer = new_designer(sample(kind, 0.1, TOTAL))
        designer.join(second)
        first, last = designer.schedule.parts  # type: ignore[attr-defined]
        assert 0 < first.length < TOTAL and pieces.kind_of(first) == kind and pieces.kind_of(last) == second
        designer.drop(1)
        assert pieces.kind_of(designer.schedule) == kind
        designer.join(second, at=0)
        designer.choose("Cosine", piece=1)
        assert designer.names == [f"{second} → Cosine"]


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["move", "choose", "join", "drop", "turn", "point"]),
        st.integers(0, 7),
        st.sampled_from(KINDS),
        st.integers(0, TOTAL),
        st.sampled_from([0, 0.001, 0.02, 0.1, 0.5]),
    ),
    max_size=12,
)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(OPERATIONS)
def test_whatever_is_done_code_and_schedule_agree_and_what_is_refused_changes_nothing(operations: list[Any]) -> None:
    designer = new_designer()
    for what, number, kind, step, lr in operations:
        handles, parts = list(designer.handles), len(designer.parameters)
        before = designer.schedule
        try:
            match what:
                case "move" if handles:
                    designer.move(handles[number % len(handles)], step, lr)
                case "choose":
                    designer.choose(kind, number % parts)
                case "join":
                    designer.join(kind, number % (parts + 1))
                case "drop":
                    designer.drop(number % parts)
                case "turn":
                    names = list(designer.parameters[number % parts])
                    designer.turn(names[number % len(names)], lr, number % parts)
                case "point" if handles:
                    designer.add_point(handles[number % len(handles)])
        except (ValueError, TypeError):
            assert designer.schedule == before
        assert eval(designer.code, {"schedules": schedules}) == designer.schedule
        assert all(0 <= t <= TOTAL for t, _ in designer.handles.values())
        assert designer.formula.count("α(t) = ") >= 1
        designer.undo()
        assert designer.schedule == before or what in ("move", "turn")  # of these several are undone as one
        with contextlib.suppress(ValueError):
            designer.undo()


# Formula and code -----------------------------------------------------------------------------------------------------


def test_the_code_gives_the_schedule_back() -> None:
    odd = [
        2 * warm_cosine(),
        (2 * schedules.Constant(0.1)).until(10).then(3 * Cosine(1 / 3, total=1e-3)),
        warm_cosine().until(100).then(schedules.Constant(1e-7)),
        schedules.Joined((schedules.Constant(0.1),)),
        schedules.MultiStep(0.1, milestones=(3,)),
        schedules.Constant(np.float64(0.1)),
        Recorded(tuple(np.arange(3)), tuple(np.ones(3) / 3)),
    ]
    for schedule in [*(sample(kind, 0.1, TOTAL) for kind in KINDS), *odd]:
        assert eval(notation.code(schedule), {"schedules": schedules}) == schedule
    assert new_designer(warm_cosine(5)).code == (
        "schedules.Warmup(0.1, steps=5).then(schedules.Cosine(0.1, total=295))"
    )
    assert notation.code(Halving()) == "Halving()"


MEANING = [("·", "*"), ("−", "-"), ("½(", "0.5 * ("), ("√", "sqrt"), ("^{", "**("), ("}", ")"), ("⌊", "floor("),
           ("⌋", ")"), ("2n", "2*n"), ("|", "")]  # fmt: skip


def value_of(text: str, t: float, **letters: float) -> float:
    """A formula, computed by its letters alone."""
    for sign, code in MEANING:
        text = text.replace(sign, code)
    names = {"π": math.pi, "cos": math.cos, "sqrt": math.sqrt, "floor": math.floor, "max": max, "t": t, **letters}
    return float(eval(text, {"__builtins__": {}}, names))


def letters_of(note: str, t: float, begin: float) -> dict[str, float]:
    """What the note beneath a formula says of its letters."""
    if note.startswith("n: how many of"):
        return {"n": sum(float(it) <= t for it in re.findall(r"[\d.]+", note))}
    if note.startswith("h = "):
        height, count = re.fullmatch(r"h = (.*), n = (.*)", note).groups()  # type: ignore[union-attr]
        n = value_of(count, t)
        before, _, after = height.partition(" − |")
        return {"n": n, "h": value_of(before, t) - abs(value_of(after, t, n=n))}
    if " mod " in note:
        period = float(note.split()[-1])
        return {"u": (t - begin) % period}
    if note.startswith("u: time since"):
        period, mult = (float(it) for it in re.findall(r"[\d.]+", note))
        u = t - begin
        while u >= period:
            u, period = u - period, period * mult
        return {"u": u, "P": period}
    return {}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", ["alone", "joined", "scaled"])
def test_the_formula_is_the_schedule(kind: str, place: str) -> None:
    piece = sample(kind, 0.1, TOTAL)
    begin = {"alone": 0, "joined": 60, "scaled": 0}[place]
    schedule = {
        "alone": piece,
        "joined": schedules.Constant(0.2).until(60).then(piece.until(150)).then(schedules.Constant(0.05)),
        "scaled": 3 * piece,
    }[place]
    seen = 0
    for t in TIMES[:-1] + 0.123:
        for row in notation.formula(schedule, TOTAL):
            if row.begin <= t < row.end or (row.closed and t == row.end):
                expected = schedule(float(t))
                assert value_of(row.text, t, **letters_of(row.note, t, begin)) == pytest.approx(expected, rel=1e-3)
                seen += 1
    assert seen == len(TIMES) - 1  # at every time one case, and no more than one


def test_other_shapes_have_their_formula() -> None:
    for schedule in (
        Warmup(0.1, steps=300, start=0.001, shape="exponential"),
        Warmup(0.1, steps=100, start=0.02),
        schedules.OneCycle(0.1, total=200, shape="linear"),
        Linear(0.1, total=300, final=0.01),
        Cosine(0.1, total=200, final=0.01),
        schedules.WarmRestarts(0.1, period=70, final=0.01),
    ):
        for t in TIMES[:-1] + 0.123:
            row = next(row for row in notation.formula(schedule, TOTAL) if row.begin <= t < row.end)
            assert value_of(row.text, t, **letters_of(row.note, t, 0)) == pytest.approx(schedule(float(t)), rel=1e-3)


def test_a_long_drawing_is_not_written_out_and_an_own_class_is_named() -> None:
    drawing = Recorded(tuple(range(40)), (0.1,) * 40)
    assert new_designer(drawing).formula == (
        "α(t) = the value of the last point ≤ t    for 0 ≤ t ≤ 300; 40 points drawn by hand"
    )
    assert new_designer(Halving()).formula == "α(t) = Halving.rate(t)    for 0 ≤ t ≤ 300"
    assert notation.number(2e-6) == "2·10^{−6}" and notation.number(1e7) == "10^{7}" and notation.number(-0.5) == "−0.5"


# Several designs, drawing, undo ---------------------------------------------------------------------------------------


def test_several_designs() -> None:
    designer = new_designer(Cosine(0.1, total=300), Cosine(0.2, total=300))
    assert designer.names == ["Cosine", "Cosine 2"] and designer.selected == "Cosine"
    designer.select("Cosine 2")
    designer.duplicate()
    designer.rename("mine")
    designer.turn("lr", 0.5)
    assert designer.names == ["Cosine", "Cosine 2", "mine"]
    assert [schedule.lr for schedule in designer.schedules.values()] == [0.1, 0.2, 0.5]  # type: ignore[attr-defined]
    designer.remove("Cosine")
    assert designer.names == ["Cosine", "mine"] and designer.selected == "mine"
    designer.rename("")
    assert designer.names == ["Cosine", "Cosine 2"]
    designer.add(name="flat")
    assert designer.schedule == Cosine(0.5, total=300) and designer._design.slot == 0  # the colour that was free
    assert new_designer().schedule == Cosine(0.1, total=300)


def test_a_drawing_becomes_a_recorded_schedule() -> None:
    designer = new_designer()
    designer.draw([(10, 0.1), (100, 0.02)])
    assert designer.schedule == Recorded((0, 100), (0.1, 0.02)) and len(designer.names) == 2
    designer.draw([[0, 0.3], [50, 0.1], [200, 0]])
    assert designer.schedule == Recorded((0, 50, 200), (0.3, 0.1, 0.0)) and len(designer.names) == 2
    designer.add_point("point 2")
    assert designer.schedule == Recorded((0, 50, 125, 200), (0.3, 0.1, 0.1, 0.0))
    designer.move("point 3", 130, 0.07)
    designer.remove_point("point 1")
    assert designer.schedule == Recorded((0, 130, 200), (0.1, 0.07, 0.0))
    designer.join("Warmup", at=0)
    designer.remove_point("Recorded point 3")
    assert designer.schedule == Warmup(0.1, steps=30).then(Recorded((0, 130), (0.1, 0.07)))
    designer = new_designer(schedules.MultiStep(0.1, milestones=(100,)))
    designer.add_point("cut 1")
    assert designer.schedule == schedules.MultiStep(0.1, milestones=(100, 200))


def test_everything_can_be_undone() -> None:
    designer = new_designer()
    history = [designer.schedules]
    for change in (
        lambda: designer.join("Warmup", at=0),
        lambda: [designer.move("Warmup peak", step, 0.2) for step in (40, 50, 60)],
        lambda: designer.duplicate(),
        lambda: designer.rename("mine"),
        lambda: designer.choose("Linear", 1),
        lambda: designer.draw([(0, 0.1)]),
        lambda: designer.remove(),
    ):
        change()
        history.append(designer.schedules)
    while len(history) > 1:
        assert designer.schedules == history.pop()
        designer.undo()
    assert designer.schedules == history[0]
    designer.undo()
    assert designer.schedules == history[0]


def test_a_schedule_of_ones_own_is_drawn_but_has_no_handles() -> None:
    designer = new_designer(Halving().until(100).then(Cosine(0.05, total=200)))
    assert list(designer.handles) == ["Cosine start", "Cosine end"]
    designer.move("Cosine start", 120, 0.04)
    assert designer.schedule == Halving().until(120).then(Cosine(0.04, total=180))


# Training -------------------------------------------------------------------------------------------------------------


def small_run(**options: Any) -> Run:
    dataset = data.load("digits")
    split = data.Split(dataset.train.x[:128], dataset.train.y[:128])
    return Run(
        lambda: models.mlp(64, (16,), 10), (split.x, split.y), rule=rules.Momentum(0.8), batch_size=32, **options
    )


def test_all_are_trained_as_a_run_would_train_them() -> None:
    run = small_run(dtype="float64")
    designer = new_designer(warm_cosine(), Linear(0.05, total=40), total=40, run=run, seeds=3)
    designer.train()
    designer.wait(SECONDS)
    assert designer.result is not None and len(designer.result) == 6
    assert designer.result["lr"].tolist()[::3] == [repr(schedule) for schedule in designer.schedules.values()]
    for design, schedule in enumerate(designer.schedules.values()):
        for seed in (0, 2):
            one = small_run(dtype="float64", lr=schedule, seed=seed).train(40, progress=False)
            np.testing.assert_allclose(designer.result.losses[3 * design + seed], one.history["loss"], rtol=1e-6)
    assert run.step == 0


def test_the_curves_are_medians_and_quartiles() -> None:
    designer = new_designer(schedules.Constant(0.05), total=30, run=small_run(), seeds=4)
    designer.train()
    designer.wait(SECONDS)
    [(entry, curve, same)] = designer._trained()
    assert designer.result is not None and same and entry.name == "Constant"
    np.testing.assert_allclose(curve.quartiles, np.quantile(designer.result.losses, [0.25, 0.5, 0.75], axis=0))
    assert curve.val_loss == pytest.approx(float(designer.result["val_loss"].median()))
    assert (
        designer.verdict()
        == f"Constant: validation loss {curve.val_loss:.3g}, accuracy {100 * curve.val_accuracy:.1f} %"
    )
    designer.turn("lr", 0.06)
    assert designer._trained()[0][2] is False  # measured before the change
    assert designer.verdict().startswith("Constant (before the change): validation loss")
    assert "Constant (before the change): validation loss" in designer.alt
    assert "before the change" in [line.get_label() for line in designer.figure().axes[1].get_lines()][0]


def test_quartiles_with_runs_that_diverged_or_are_on_their_way() -> None:
    inf, nan = math.inf, math.nan
    values = np.array([[1.0, inf, nan, 3.0], [2.0, 1.0, nan, nan], [3.0, 2.0, nan, 1.0], [4.0, inf, nan, nan]])
    expected = [[1.75, 1.75, nan, 1.5], [2.5, inf, nan, 2.0], [3.25, inf, nan, 2.5]]
    np.testing.assert_array_equal(comparison.quartiles(values), expected)
    steps, means = comparison.binned(np.arange(1000.0)[None])
    assert len(steps) <= comparison.BINS and means[0] == pytest.approx(steps - 0.5)


def test_divergence_is_said_and_drawn() -> None:
    designer = new_designer(schedules.Constant(0.05), schedules.Constant(1e30), total=20, run=small_run(), seeds=2)
    designer.rename("calm")
    designer.train()
    designer.wait(SECONDS)
    assert designer.verdict().startswith("calm: validation loss") and designer.verdict().endswith(
        "Constant: all 2 runs diverged"
    )
    assert isinstance(designer.figure(), Figure) and "diverged" in designer.alt
    about, buffers = designer._news(True)
    assert [loss["diverged"] for loss in about["losses"]] == [0, 2] and len(buffers) == 4


def test_a_training_can_be_stopped_and_not_begun_twice() -> None:
    designer = new_designer(total=50_000, run=small_run(), seeds=1)
    designer.train()
    with pytest.raises(RuntimeError, match=r"being trained already; stop\(\) first"):
        designer.train()
    with pytest.raises(TimeoutError, match=r"still being trained after 0.05 s; stop\(\)"):
        designer.wait(0.05)
    deadline = time.monotonic() + SECONDS
    while "so far" not in designer.verdict() and time.monotonic() < deadline:
        time.sleep(0.01)
    designer.stop()
    assert not designer.playing and designer.result is not None
    assert designer.result["status"].tolist() == ["stopped"] and "so far" in designer.verdict()
    assert isinstance(designer.figure(), Figure)


def test_an_error_in_the_training_is_raised_by_wait_and_said() -> None:
    def broken(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        if outputs.requires_grad:
            raise ZeroDivisionError("a loss of one's own")
        return outputs.sum() * 0

    designer = new_designer(total=10, run=small_run(loss=broken), seeds=1)
    designer.train()
    with pytest.raises(ZeroDivisionError):
        designer.wait(SECONDS)
    assert (
        designer._state()["error"].startswith("ZeroDivisionError") and designer.verdict() == "nothing was trained yet"
    )


def test_a_designer_that_nobody_holds_is_gone_with_its_thread() -> None:
    designer = new_designer(total=10**6, run=small_run(), seeds=1)
    designer.train()
    thread = designer._belongings.worker._thread  # type: ignore[union-attr]
    forgotten = weakref.ref(designer)
    del designer
    deadline = time.monotonic() + SECONDS
    while (forgotten() is not None or thread.is_alive()) and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.01)
    assert forgotten() is None and not thread.is_alive()


# Pictures -------------------------------------------------------------------------------------------------------------


def test_the_figure_and_its_words() -> None:
    designer = new_designer(warm_cosine(), schedules.Step(0.2, every=100))
    figure = designer.figure()
    assert len(figures.png(figure)) < figures.LIMIT_BYTES
    [ax] = figure.axes
    for line, schedule in zip(ax.get_lines(), designer.schedules.values(), strict=True):
        np.testing.assert_array_equal(line.get_ydata(), schedule(np.asarray(line.get_xdata())))
    assert designer.alt == (
        "Schedule designer, 300 steps. Warmup → Cosine: rate 0 at step 0, at most 0.1, 0 at the end. "
        "Step: rate 0.2 at step 0, 0.0002 at the end."
    )
    designer.log = True
    assert designer.figure().axes[0].get_yscale() == "log" and designer.figure().axes[0].get_ylim()[0] > 0
    assert repr(designer) == "ScheduleDesigner(300 steps: Warmup → Cosine, Step)"


# The page -------------------------------------------------------------------------------------------------------------


class FakePage:
    """Takes the place of the widget, and keeps what schedule_designer.js keeps."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.state: dict[str, Any] = {}
        self.curves: list[np.ndarray] = []

    def tell(self, message: dict[str, Any], buffers: list[bytes] = ()) -> None:  # type: ignore[assignment]
        self.messages.append(message)
        self.state = message["state"]
        if "losses" in message:
            self.losses = message["losses"]
            self.curves = [np.frombuffer(numbers, "<f4") for numbers in buffers]

    def close(self) -> None:
        pass


@pytest.fixture
def opened() -> Iterator[tuple[ScheduleDesigner, FakePage]]:
    designer, fake = new_designer(warm_cosine()), FakePage()
    designer._belongings.page = fake  # type: ignore[assignment]
    designer._publish_picture = lambda: setattr(designer, "_pictured", designer._picture_key())  # type: ignore[method-assign]
    designer._hear({"do": "hello", "view": "v"})
    yield designer, fake
    designer.stop()
    designer._views.clear()
    instrument._on_screen.discard(designer)


def asks(designer: ScheduleDesigner, number: int, **message: Any) -> None:
    designer._hear({**message, "view": "v", "seq": number})


def test_a_page_is_sent_curve_formula_and_code_that_agree(opened: tuple[ScheduleDesigner, FakePage]) -> None:
    designer, fake = opened
    for number, message in enumerate(
        (
            {"do": "move", "handle": "Warmup peak", "step": 60, "lr": 0.2},
            {"do": "turn", "piece": 1, "parameter": "final", "value": 0.01},
            {"do": "choose", "kind": "Linear", "piece": 1},
            {"do": "join", "kind": "MultiStep", "at": 2},
            {"do": "turn", "piece": 2, "parameter": "milestones", "value": "20, 40.5"},
            {"do": "drop", "piece": 0},
            {"do": "undo"},
        ),
        1,
    ):
        asks(designer, number, **message)
        assert fake.state["heard"] == {"v": number} and fake.state["problem"] == ""
        schedule = eval(fake.state["code"], {"schedules": schedules})
        assert schedule == designer.schedule
        np.testing.assert_allclose(fake.curves[0], schedule(np.linspace(0, TOTAL, len(fake.curves[0]))), rtol=1e-6)
        rows = [row for card in fake.state["pieces"] for row in card["rows"]]
        assert [row[:2] for row in rows] == [[r.text, r.where] for r in notation.formula(schedule, TOTAL)]
        assert [(grip["step"], grip["lr"]) for grip in fake.state["handles"]] == list(designer.handles.values())
    assert designer.parameters[2]["milestones"] == (20, 40.5)


def test_the_page_can_tell_epochs() -> None:
    images = len(data.load("digits").train.y)
    assert ScheduleDesigner(100)._state()["epoch"] == images // 64
    assert ScheduleDesigner(100, run=Run("mlp", "digits", batch_size=20))._state()["epoch"] == images // 20


def test_what_else_a_page_can_ask_for(opened: tuple[ScheduleDesigner, FakePage]) -> None:
    designer, fake = opened
    for number, message in enumerate(
        (
            *({"do": "duplicate"}, {"do": "rename", "name": "copy"}, {"do": "add"}, {"do": "remove"}),
            *({"do": "draw", "points": [[0, 0.1], [100, 0.02]]}, {"do": "add point", "handle": "point 1"}),
            *({"do": "remove point", "handle": "point 1"}, {"do": "select", "name": "copy"}),
            *({"do": "seeds", "seeds": 2}, {"do": "log", "log": True}),
        ),
        1,
    ):
        asks(designer, number, **message)
        assert fake.state["problem"] == ""
    assert designer.names == ["Warmup → Cosine", "copy", "Recorded"] and designer.selected == "copy"
    assert (fake.state["seeds"], fake.state["log"], len(fake.curves)) == (2, True, 3)


def test_the_page_sees_the_training_and_its_end(opened: tuple[ScheduleDesigner, FakePage]) -> None:
    designer, fake = opened
    designer._run, designer.seeds = small_run(), 2
    asks(designer, 1, do="train")
    designer.wait(SECONDS)
    deadline = time.monotonic() + SECONDS
    while (fake.state["playing"] or not fake.state["verdict"]) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert fake.state["share"] == 1 and fake.state["verdict"] == designer.verdict()
    assert fake.losses[0]["same"] and fake.losses[0]["accuracy"] == designer._trained()[0][1].val_accuracy
    steps, low, median, high = fake.curves[1].reshape(4, -1)
    assert np.all(low <= median) and np.all(median <= high) and 0 < steps[0] < steps[-1] < TOTAL


def test_what_goes_wrong_is_said_on_the_page(opened: tuple[ScheduleDesigner, FakePage]) -> None:
    designer, fake = opened
    code = designer.code
    for number, (message, words) in enumerate(
        (
            ({"do": "move", "handle": "Warmup peak", "step": 300, "lr": 0.1}, "nothing would be left of Cosine"),
            (
                {"do": "turn", "piece": 1, "parameter": "lr", "value": "fast"},
                "lr must be a finite number > 0, got 'fast'",
            ),
            (
                {"do": "turn", "piece": 0, "parameter": "steps", "value": -3},
                "steps must be a finite number > 0, got -3",
            ),
            ({"do": "dance"}, "which this designer does not know"),
        ),
        1,
    ):
        asks(designer, number, **message)
        assert words in fake.state["problem"] and fake.state["code"] == code
    asks(designer, 9, do="choose", kind="MultiStep", piece=1)
    asks(designer, 10, do="turn", piece=1, parameter="milestones", value="90, 30")
    assert "milestones must rise strictly, got (90, 30). Sorted they are (30, 90)" in fake.state["problem"]
    asks(designer, 11, do="turn", piece=1, parameter="milestones", value="soon")
    assert "milestones must be numbers with commas between them, got 'soon'" in fake.state["problem"]
    asks(designer, 12, do="undo")
    assert fake.state["problem"] == "" and fake.state["code"] == code


def test_a_page_that_stays_away_leaves_the_training_alone(
    opened: tuple[ScheduleDesigner, FakePage], monkeypatch: pytest.MonkeyPatch
) -> None:
    designer, _ = opened
    monkeypatch.setattr(instrument, "ABSENT_SECONDS", 0.05)
    designer._run, designer.total = small_run(), 10**6
    designer.train()
    designer._hear({"do": "goodbye", "view": "v"})
    time.sleep(0.4)
    assert designer.playing and designer not in instrument._on_screen
    designer.stop()


def test_the_sources_are_inline_and_ask_for_nothing() -> None:
    source = page.DesignerPage._esm + page.DesignerPage._css
    assert len(source.encode()) < 80_000 and "import " not in page.DesignerPage._esm
    addresses = source.replace("http://www.w3.org/2000/svg", "")
    assert not any(mark in addresses for mark in ("http:", "https:", "//cdn", "@import", "url("))


# Bad input ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: ScheduleDesigner(0), ValueError, "total must be a whole number from 2 to 10,000,000, not 0"),
        (lambda: ScheduleDesigner(-5), ValueError, "total must be a whole number"),
        (lambda: ScheduleDesigner(2.5), TypeError, "total must be a whole number .* not 2.5"),  # type: ignore[arg-type]
        (lambda: new_designer(0.1), TypeError, r"not 0.1. Write schedules.Constant\(0.1\)"),  # type: ignore[arg-type]
        (lambda: new_designer(schedules.Plateau(0.1)), TypeError, "schedule must be one of lrlab.schedules"),
        (lambda: new_designer(*[Halving()] * 8), ValueError, "there are 7 designs, and more cannot be told apart"),
        (lambda: new_designer(seeds=0), ValueError, "seeds must be a whole number from 1 to 99, not 0"),
        (lambda: new_designer(run="mlp"), TypeError, "run must be a Run such as"),
        (
            lambda: new_designer(Negative()),
            ValueError,
            "Negative: a rate must be finite and at least 0, got -1 at step 0",
        ),
    ],
)
def test_what_a_designer_refuses(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


class Negative(Schedule):
    def rate(self, t: float) -> float:
        return -1.0


def test_a_torch_optimizer_cannot_be_swept() -> None:
    run = Run(lambda: models.mlp(64, (4,), 10), "digits", optimizer=lambda weights: torch.optim.SGD(weights, lr=0.1))
    with pytest.raises(ValueError, match=r"run has a torch optimizer, but train\(\) takes a rule"):
        new_designer(run=run)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda it: it.move("Warmup paek", 5, 0.1), ValueError, "no handle 'Warmup paek', did you mean 'Warmup peak'"),
        (lambda it: it.move("Warmup peak", 301, 0.1), ValueError, "step must be from 0 to 300 and finite; got 301"),
        (lambda it: it.move("Warmup peak", math.nan, 0.1), ValueError, "step must be from 0 to 300"),
        (lambda it: it.move("Warmup peak", 30, 0), ValueError, "lr must be greater than 0 for this handle"),
        (lambda it: it.move("Warmup peak", 0, 0.1), ValueError, "Warmup: steps must be a finite number > 0, got 0"),
        (lambda it: it.move("Cosine end", 300, 0.2), ValueError, r"final must be a number in \[0, 0.1\], got 0.2"),
        (lambda it: it.move("Warmup start", 0, "low"), TypeError, "lr must be a number"),
        (lambda it: it.choose("Cosin"), ValueError, "no kind 'Cosin', did you mean 'Cosine'"),
        (lambda it: it.choose("Until"), ValueError, "no kind 'Until'"),
        (lambda it: it.choose("Step", piece=2), ValueError, "piece must be a whole number from 0 to 1, not 2"),
        (lambda it: it.join("Linear", at=9), ValueError, "at must be a whole number from 0 to 2, not 9"),
        (lambda it: it.join(Cosine(0.2, total=9), at=1), ValueError, "leaves a gap. Give both the same rate"),
        (lambda it: it.join(schedules.Constant(0.1), at=0) or it.drop(5), ValueError, "Constant has no end"),
        (
            lambda it: it.turn("period", -1, 1),
            ValueError,
            "Cosine has no parameter 'period'. There are: lr, total, final",
        ),
        (lambda it: it.turn("total", 0, 1), ValueError, "Cosine: total must be a finite number > 0, got 0"),
        (lambda it: it.turn("steps", 300, 0), ValueError, "nothing would be left of Cosine"),
        (lambda it: it.drop(7), ValueError, "has 2 pieces, counted from 0"),
        (lambda it: it.draw([]), ValueError, r"points must be pairs \(step, rate\), at least one"),
        (lambda it: it.draw([(0, 0.1), (50, 0.2), (20, 0.1)]), ValueError, "steps must start at 0 and rise strictly"),
        (lambda it: it.draw([(0, -1)]), ValueError, "every value must be a finite number ≥ 0, got -1"),
        (lambda it: it.add_point("Warmup peak"), ValueError, "is no point of a drawing and no cut"),
        (lambda it: it.remove(), ValueError, "the only design"),
        (lambda it: it.remove("Step"), ValueError, "this plot has no design 'Step'"),
        (lambda it: it.rename(3), TypeError, "name must be a text, not 3"),
        (lambda it: it.add(0.1), TypeError, r"Write schedules.Constant\(0.1\)"),
        (lambda it: it.add(Halving(), name="Warmup → Cosine"), ValueError, "is the name of another design"),
    ],
)
def test_what_a_method_refuses_and_leaves_as_it_was(call: Any, error: type[Exception], message: str) -> None:
    designer = new_designer(warm_cosine())
    with pytest.raises(error, match=message):
        call(designer)
    assert designer.schedules == {"Warmup → Cosine": warm_cosine()} and designer.selected == "Warmup → Cosine"


def test_a_negative_period_and_a_last_point() -> None:
    designer = new_designer(schedules.WarmRestarts(0.1, period=50))
    with pytest.raises(ValueError, match="WarmRestarts: period must be a finite number > 0, got -5"):
        designer.turn("period", -5)
    with pytest.raises(ValueError, match="drop: this is the only piece"):
        designer.drop(0)
    designer = new_designer(Recorded((0,), (0.1,)))
    with pytest.raises(ValueError, match="this is the only point"):
        designer.remove_point("point 1")
    designer = new_designer(Recorded((0, 1), (0.1, 0.2)))
    with pytest.raises(ValueError, match="no whole step between 0 and 1"):
        designer.add_point("point 1")
    designer.turn("steps", (0, 299))
    with pytest.raises(ValueError, match="no whole step between 299 and 300"):
        designer.add_point("point 2")
    designer = new_designer(Cosine(0.1, total=2), total=2)
    designer.join("Linear")
    with pytest.raises(ValueError, match="there is no time for another piece"):
        designer.join("Linear")


def test_it_is_exported() -> None:
    assert instruments.ScheduleDesigner is ScheduleDesigner
