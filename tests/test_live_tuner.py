"""The live tuner without a browser: the methods, the threads, the messages, the curves."""

from __future__ import annotations

import gc
import json
import math
import signal
import sys
import threading
import time
import types
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from torch import nn

from lrlab import Run, instruments, rules, schedules
from lrlab.history import History
from lrlab.instruments import drawing, instrument, page, player
from lrlab.instruments.curves import (
    ACCURACY,
    COLUMNS,
    LOSS_HIGH,
    LOSS_LOW,
    LR,
    LR_HIGH,
    LR_LOW,
    MOST_ROWS,
    SMOOTH,
    Curve,
    Smoother,
)
from lrlab.instruments.dials import dials_of
from lrlab.instruments.live_tuner import LiveTuner

SECONDS = 20  # far more than anything here takes


def new_run(**settings: Any) -> Run:
    settings = {"rule": rules.Momentum(rho=0.9), "lr": 0.05, "batch_size": 64, "device": "cpu", **settings}
    return Run("mlp", "digits", **settings)


@pytest.fixture
def tuner() -> Iterator[LiveTuner]:
    tuner = LiveTuner(new_run())
    yield tuner
    tuner.stop()


def play(tuner: LiveTuner, steps: int) -> None:
    tuner.play(steps)
    tuner.wait(SECONDS)


def weights(run: Run) -> torch.Tensor:
    return torch.cat([weight.detach().reshape(-1) for weight in run.model.parameters()])


def threads_of_ours() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("lrlab")]


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.01)


# Training -----------------------------------------------------------------------------------------------------------


def test_play_returns_at_once_and_wait_waits_for_the_budget(tuner: LiveTuner) -> None:
    tuner.play(steps=150)
    assert tuner.playing
    tuner.wait(SECONDS)
    assert (tuner.run.step, tuner.run.status, tuner.playing) == (150, "done", False)


def test_a_tuner_trains_bitwise_as_the_run_alone(tuner: LiveTuner) -> None:
    play(tuner, 60)
    tuner.turn("lr", 0.01)
    play(tuner, 40)
    alone = new_run().train(60, progress=False)
    alone.lr = 0.01
    alone.train(40, progress=False)
    assert torch.equal(weights(tuner.run), weights(alone))


def test_pause_stops_between_steps_and_leaves_no_thread(tuner: LiveTuner) -> None:
    tuner.play()
    eventually(lambda: tuner.run.step > 20)
    tuner.pause()
    assert tuner.run.status == "paused"
    assert threads_of_ours() == []
    assert len(tuner.run.history) == tuner.run.step


def test_play_twice_is_one_thread_but_a_second_budget_is_refused(tuner: LiveTuner) -> None:
    tuner.play()
    tuner.play()
    assert len(threads_of_ours()) == 1
    with pytest.raises(RuntimeError, match="playing already; pause"):
        tuner.play(steps=5)


@pytest.mark.parametrize("steps", [-1, 2.5, "ten", True])
def test_a_bad_number_of_steps(tuner: LiveTuner, steps: Any) -> None:
    with pytest.raises(ValueError, match="steps must be a whole number"):
        tuner.play(steps=steps)


def test_one_step(tuner: LiveTuner) -> None:
    tuner.step_once()
    tuner.step_once()
    assert tuner.run.step == 2


def test_a_turned_knob_is_in_the_log_and_at_work_while_it_plays(tuner: LiveTuner) -> None:
    tuner.play()
    tuner.turn("lr", 0.0112)
    eventually(lambda: 0.0112 in tuner.run.history["lr"])
    tuner.choose_rule("Adam")
    eventually(lambda: type(tuner.run.rule) is rules.Adam)
    tuner.pause()
    step, knob, value = tuner.run.moves[0]
    assert (knob, value) == ("lr", 0.0112)
    assert tuner.run.history["lr"][step] == 0.0112


def test_bad_knobs_and_values_say_what_is_allowed(tuner: LiveTuner) -> None:
    for value in (0, -1, math.nan, math.inf):
        with pytest.raises(ValueError, match="lr must be greater than 0"):
            tuner.turn("lr", value)
    with pytest.raises(TypeError, match="lr must be a number"):
        tuner.turn("lr", "fast")
    with pytest.raises(ValueError, match="no knob 'rh'"):
        tuner.turn("rh", 0.5)
    with pytest.raises(ValueError, match="did you mean 'Adam'"):
        tuner.choose_rule("Adan")
    assert tuner.run.moves == []


def test_wait_gives_up_after_its_timeout(tuner: LiveTuner) -> None:
    tuner.play()
    with pytest.raises(TimeoutError, match=r"still playing after 0.01 s"):
        tuner.wait(0.01)


def test_an_interrupted_wait_pauses(tuner: LiveTuner) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores the signal
    tuner.play()
    threading.Timer(0.2, lambda: signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)).start()
    try:
        with pytest.raises(KeyboardInterrupt):
            tuner.wait(SECONDS)
    finally:
        signal.signal(signal.SIGINT, before)
    assert not tuner.playing
    assert threads_of_ours() == []


class FailsAtStep(nn.Module):
    """A model that raises in its 12th training step."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.calls = nn.Linear(64, 10), 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += self.training
        if self.calls == 12:
            raise ZeroDivisionError("the twelfth step")
        return self.layer(x.flatten(1))


class Explodes(nn.Linear):
    """A layer whose outputs are infinite while it trains."""

    def __init__(self) -> None:
        super().__init__(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) / (0 if self.training else 1)


def test_an_exception_in_training_comes_out_of_wait_and_stands_in_the_widget() -> None:
    tuner = LiveTuner(Run(FailsAtStep(), "digits", lr=0.1, device="cpu"))
    tuner.play()
    with pytest.raises(ZeroDivisionError, match="the twelfth step"):
        tuner.wait(SECONDS)
    assert tuner.run.status == "failed"
    assert tuner._state()["error"] == "ZeroDivisionError: the twelfth step"


def test_a_diverged_run_can_only_go_back() -> None:
    tuner = LiveTuner(new_run(lr=1e25, rule=rules.SGD()))
    tuner.play()
    tuner.wait(SECONDS)
    assert tuner.run.status == "diverged"
    assert tuner._state()["hint"].startswith("diverged")
    with pytest.raises(RuntimeError, match="diverged at step"):
        tuner.play()
    tuner.rewind(0)
    tuner.turn("lr", 0.01)
    play(tuner, 20)
    assert tuner.run.step == 20


def test_the_pace_is_kept() -> None:
    tuner = LiveTuner(new_run(), speed=100)
    begin = time.monotonic()
    play(tuner, 20)
    assert time.monotonic() - begin > 0.18
    tuner.speed = None
    assert tuner.speed is None


@pytest.mark.parametrize("speed", [0, -1, math.inf, math.nan, "fast", True])
def test_a_bad_speed(speed: Any) -> None:
    with pytest.raises(ValueError, match="speed must be a number of steps per second above 0"):
        LiveTuner(new_run(), speed=speed)


def test_only_a_run_can_be_tuned() -> None:
    with pytest.raises(TypeError, match=r"run must be a Run, got str; write LiveTuner\(Run"):
        LiveTuner("mlp")  # type: ignore[arg-type]


def test_the_newer_tuner_takes_a_run_over(tuner: LiveTuner) -> None:
    tuner.play()
    second = LiveTuner(tuner.run)
    second.play(steps=10)
    second.wait(SECONDS)
    assert not tuner.playing


# Other pasts, other futures -----------------------------------------------------------------------------------------


def test_rewind_keeps_the_future_as_a_ghost_and_goes_on_bitwise(tuner: LiveTuner) -> None:
    play(tuner, 80)
    tuner.turn("lr", 0.5)
    play(tuner, 40)
    future = tuner.run.history["loss"][50:]
    tuner.rewind(50)
    assert (tuner.run.step, tuner.run.status) == (50, "paused")
    [ghost] = [track for track in tuner._tracks if track.run is None]
    assert (ghost.curve.first, ghost.curve.end) == (50, 120)
    np.testing.assert_allclose(ghost.curve.rows[:, LOSS_LOW], future, rtol=1e-6)
    play(tuner, 30)
    assert torch.equal(weights(tuner.run), weights(new_run().train(80, progress=False)))


@pytest.mark.parametrize("step", [-1, 31, "ten"])
def test_a_rewind_beyond_the_run_changes_nothing(tuner: LiveTuner, step: Any) -> None:
    play(tuner, 30)
    with pytest.raises((ValueError, TypeError)):
        tuner.rewind(step)
    assert (tuner.run.step, len(tuner._tracks)) == (30, 1)


def test_a_branch_leaves_its_parent_alone_and_select_goes_back_to_it(tuner: LiveTuner) -> None:
    play(tuner, 60)
    parent, before = tuner.run, weights(tuner.run)
    child = tuner.branch(40)
    assert tuner.run is child and tuner.runs == [parent, child]
    tuner.turn("lr", 0.2)
    play(tuner, 20)
    assert torch.equal(weights(parent), before)
    assert parent.step == child.step == 60
    tuner.select(parent)
    play(tuner, 5)
    tuner.select(1)
    assert (parent.step, tuner.run) == (65, child)
    with pytest.raises(ValueError, match="tuner.runs or 0 to 1, got 2"):
        tuner.select(2)


def test_reset_takes_a_seed_not_yet_used(tuner: LiveTuner) -> None:
    play(tuner, 10)
    tuner.turn("lr", 0.3)
    first = tuner.run
    assert tuner.reset().seed == 1
    assert (tuner.run.step, tuner.run.moves, tuner.run.knobs["lr"]) == (0, [], 0.05)
    assert tuner.reset(seed=7).seed == 7
    assert tuner.reset().seed == 8
    assert tuner.runs[0] is first and first.step == 10


# Moves --------------------------------------------------------------------------------------------------------------


def played(tuner: LiveTuner) -> None:
    play(tuner, 30)
    tuner.turn("lr", 0.2)
    play(tuner, 30)
    tuner.turn("rho", 0.5)
    tuner.choose_rule("Adam")
    tuner.turn("lr", 0.001)
    play(tuner, 30)


def test_saved_moves_replay_bitwise(tuner: LiveTuner, tmp_path: Path) -> None:
    played(tuner)
    original = tuner.run
    tuner.save_moves(tmp_path / "moves.json")
    again = tuner.replay(tmp_path / "moves.json")
    tuner.wait(SECONDS)
    assert again.moves == original.moves
    assert torch.equal(weights(again), weights(original))
    np.testing.assert_array_equal(again.history["loss"], original.history["loss"])


def test_a_list_of_moves_replays_on_a_fresh_copy(tuner: LiveTuner) -> None:
    played(tuner)
    original = tuner.run
    again = tuner.replay(original.moves)
    tuner.wait(SECONDS)
    assert torch.equal(weights(again), weights(original))


@pytest.mark.parametrize(
    ("log", "message"),
    [
        ([(0, "lr", -1.0)], "move 0 .step 0.: lr must be greater than 0"),
        ([(3, "beta1", 0.5)], "move 0 .step 3.: this run has no knob 'beta1'"),
        ([(5, "lr", 0.1), (4, "lr", 0.1)], "must not go backwards"),
        ([(0, "lr")], "move 0 must be"),
    ],
)
def test_moves_that_cannot_be_made_are_refused_before_anything_happens(
    tuner: LiveTuner, log: list[Any], message: str
) -> None:
    play(tuner, 5)
    with pytest.raises(ValueError, match=message):
        tuner.replay(log)
    assert len(tuner.runs) == 1


def test_a_damaged_file_of_moves(tuner: LiveTuner, tmp_path: Path) -> None:
    (tmp_path / "damaged.json").write_text('{"format": "lrlab mo')
    with pytest.raises(ValueError, match="not valid JSON"):
        tuner.replay(tmp_path / "damaged.json")


def test_as_schedule_is_the_rate_that_was_applied(tuner: LiveTuner) -> None:
    with pytest.raises(ValueError, match="no step was made yet"):
        tuner.as_schedule()
    play(tuner, 30)
    tuner.turn("lr", 0.3)
    tuner.turn("lr", 0.2)
    play(tuner, 30)
    schedule = tuner.as_schedule()
    assert schedule == schedules.Recorded(steps=(0, 30), values=(0.05, 0.2))
    again = new_run(lr=schedule).train(60, progress=False)
    assert torch.equal(weights(again), weights(tuner.run))


# Threads and memory -------------------------------------------------------------------------------------------------


def test_a_headless_tuner_draws_nothing_and_opens_no_channel(tuner: LiveTuner) -> None:
    tuner.play()
    eventually(lambda: tuner.run.step > 5)
    assert len(threads_of_ours()) == 1
    assert tuner._belongings.page is None


def test_a_dropped_tuner_goes_and_takes_its_thread_along() -> None:
    tuner = LiveTuner(new_run())
    tuner._page()
    tuner.play()
    there = weakref.ref(tuner)
    del tuner
    gc.collect()
    assert there() is None
    eventually(lambda: threads_of_ours() == [])


def test_stop_lets_go_and_play_wakes_up(tuner: LiveTuner) -> None:
    instrument._on_screen.add(tuner)
    tuner.play()
    tuner.stop()
    assert threads_of_ours() == []
    assert tuner not in instrument._on_screen
    play(tuner, 5)


def test_the_repr_is_the_same_everywhere(tuner: LiveTuner) -> None:
    assert repr(tuner) == repr(tuner._page()) == "LiveTuner(mlp on digits)"


def test_the_name_is_loaded_when_it_is_asked_for() -> None:
    assert instruments.LiveTuner is LiveTuner
    with pytest.raises(AttributeError, match="no 'Tuner'; it has .*LiveTuner"):
        instruments.Tuner  # noqa: B018


# The page, played by a test -----------------------------------------------------------------------------------------


class FakePage:
    """Takes the place of the widget, and keeps the curves as live_tuner.js does."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.curves: dict[int, np.ndarray] = {}

    def tell(self, message: dict[str, Any], buffers: list[bytes]) -> None:
        json.dumps(message, allow_nan=False)  # what the wire does to it
        self.messages.append(message)
        for track, buffer in zip(message.get("tracks", ()), buffers, strict=False):
            rows = np.frombuffer(buffer, dtype=np.float32).reshape(-1, len(COLUMNS))
            known = self.curves.get(track["id"], rows[:0])
            assert track["at"] <= len(known)
            self.curves[track["id"]] = np.concatenate([known[: track["at"]], rows])

    def last(self, kind: str) -> dict[str, Any]:
        return [message for message in self.messages if message["is"] == kind][-1]

    def close(self) -> None:
        self.messages.append({"is": "closed"})


@pytest.fixture
def shown(tuner: LiveTuner, monkeypatch: pytest.MonkeyPatch) -> FakePage:
    """The page of a tuner; the drawing thread comes by when the test calls `tuner._draw()`."""
    monkeypatch.setattr(drawing, "watch", lambda drawable: None)
    monkeypatch.setattr(LiveTuner, "_publish_picture", lambda tuner: None)
    tuner._belongings.page = fake = FakePage()  # type: ignore[assignment]
    tuner._hear({"do": "hello", "view": "a"})
    return fake


def say(tuner: LiveTuner, **message: Any) -> None:
    tuner._hear({"view": "a", **message})


def test_a_page_gets_everything_and_then_what_is_new(tuner: LiveTuner, shown: FakePage) -> None:
    tuner._draw()
    assert shown.messages[-1]["fresh"] is True
    for _ in range(5):
        play(tuner, 300)
        tuner._draw()
        assert shown.messages[-1]["fresh"] is False
    tuner.rewind(900)
    tuner.branch(700)
    play(tuner, 30)
    tuner._draw()
    for track in tuner._tracks:
        np.testing.assert_array_equal(shown.curves[track.number], track.curve.rows)
    reloaded = tuner._belongings.page = FakePage()  # type: ignore[assignment]
    tuner._hear({"do": "hello", "view": "b"})
    tuner._draw()
    assert {kind: rows.tobytes() for kind, rows in reloaded.curves.items()} == {
        kind: rows.tobytes() for kind, rows in shown.curves.items()
    }


def test_nothing_is_sent_when_nothing_is_new(tuner: LiveTuner, shown: FakePage) -> None:
    play(tuner, 30)
    tuner._draw()
    sent = len(shown.messages)
    tuner._draw()
    assert len(shown.messages) == sent


def test_what_happens_while_news_is_sent_is_news_for_the_next_time(
    tuner: LiveTuner, shown: FakePage, monkeypatch: pytest.MonkeyPatch
) -> None:
    say(tuner, do="play")
    monkeypatch.setattr(tuner, "_send_news", tuner.pause)
    monkeypatch.setattr(tuner, "_draw_picture", lambda: False)
    assert tuner._draw(), "the drawing thread must come again"


def test_a_knob_turned_in_a_cell_reaches_the_page(
    tuner: LiveTuner, shown: FakePage, monkeypatch: pytest.MonkeyPatch
) -> None:
    visits: list[Any] = []
    monkeypatch.setattr(drawing, "watch", visits.append)
    tuner._draw()
    drawing._call_all()
    assert visits == []
    tuner.run.lr = 0.123
    drawing._call_all()
    assert visits == [tuner]
    tuner._draw()
    assert shown.messages[-1]["state"]["knobs"][0]["value"] == 0.123


def test_every_control_of_the_page(tuner: LiveTuner, shown: FakePage) -> None:
    say(tuner, do="speed", speed=2000)
    say(tuner, do="play")
    eventually(lambda: tuner.run.step > 20)
    say(tuner, do="turn", knob="lr", value=0.0112, seq=1)
    say(tuner, do="pause")
    say(tuner, do="step")
    step = tuner.run.step
    assert not tuner.playing and tuner.run.knobs["lr"] == 0.0112 and tuner.speed == 2000
    say(tuner, do="turn", knob="rule", value="Adam", seq=2)
    say(tuner, do="rewind", step=step - 5)
    say(tuner, do="branch", step=step - 8)
    say(tuner, do="reset")
    say(tuner, do="select", run=1)
    assert [run.step for run in tuner.runs] == [step - 5, step - 8, 0]
    say(tuner, do="save")
    saved = shown.last("file")
    assert saved["view"] == "a"
    say(tuner, do="replay", text=saved["text"])
    tuner.wait(SECONDS)
    assert tuner.run.step == step - 8
    say(tuner, do="schedule")
    assert eval(shown.last("copy")["text"]) == tuner.as_schedule()
    say(tuner, do="speed", speed=0)
    say(tuner, do="stop")
    tuner._draw()
    state = shown.last("news")["state"]
    assert state["stopped"] and state["runs"] == ["main", "branch 1", "seed 1", "replay 1"] and state["current"] == 3
    assert state["heard"] == {"a": 2} and state["problem"] == "" and tuner.speed is None


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        ({"do": "turn", "knob": "lr", "value": -1, "seq": 1}, "lr must be greater than 0"),
        ({"do": "turn", "knob": "lr", "value": "abc", "seq": 1}, "lr must be a number"),
        ({"do": "turn", "knob": "batch_size", "value": 0, "seq": 1}, "batch_size"),
        ({"do": "rewind", "step": 10**9}, "rewind: step must be a whole number"),
        ({"do": "replay", "text": "{"}, "the file you chose is not a move log"),
        ({"do": "dance"}, "does not know"),
        ({"do": "schedule"}, "no step was made yet"),
    ],
)
def test_what_goes_wrong_is_shown_in_the_page(
    tuner: LiveTuner, shown: FakePage, message: dict[str, Any], problem: str
) -> None:
    say(tuner, **message)
    tuner._draw()
    assert problem in shown.messages[-1]["state"]["problem"]
    say(tuner, do="pause")
    tuner._draw()
    assert shown.messages[-1]["state"]["problem"] == ""


def test_a_page_that_stays_away_pauses_the_run(
    tuner: LiveTuner, shown: FakePage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(instrument, "ABSENT_SECONDS", 0.05)
    say(tuner, do="play")
    say(tuner, do="goodbye")
    tuner._hear({"do": "hello", "view": "b"})  # a reload
    time.sleep(0.1)
    tuner._draw()
    assert tuner.playing
    tuner._hear({"do": "goodbye", "view": "b"})
    assert tuner._draw(), "the drawing thread must come again to look"
    time.sleep(0.1)
    assert not tuner._draw()
    assert not tuner.playing
    assert tuner not in instrument._on_screen


def test_the_drawing_thread_ends_when_all_is_drawn(tuner: LiveTuner, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures: list[int] = []
    monkeypatch.setattr(LiveTuner, "_publish_picture", lambda tuner: pictures.append(tuner.run.step))
    monkeypatch.setattr(LiveTuner, "_draw_picture", lambda tuner: pictures.append(tuner.run.step))
    tuner._belongings.page = fake = FakePage()  # type: ignore[assignment]
    tuner._hear({"do": "hello", "view": "a"})
    play(tuner, 50)
    eventually(lambda: threads_of_ours() == [])
    assert fake.messages[-1]["state"]["step"] == 50
    assert pictures[-1] == 50


def test_a_picture_that_fails_does_not_end_the_drawing(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def _draw(self) -> bool:
            raise ZeroDivisionError("no ink")

    class Fine:
        drawn = 0

        def _draw(self) -> bool:
            self.drawn += 1
            return self.drawn < 3

    broken, fine = Broken(), Fine()
    drawing.watch(broken)
    drawing.watch(fine)
    eventually(lambda: fine.drawn == 3)
    assert "no ink" in caplog.text


def test_the_sources_are_inline_small_and_ask_for_nothing() -> None:
    source = page.TunerPage._esm + page.TunerPage._css
    assert len(source.encode()) < 60_000
    assert "import " not in page.TunerPage._esm
    addresses = source.replace("http://www.w3.org/2000/svg", "")
    assert not any(mark in addresses for mark in ("http:", "https:", "//cdn", "@import", "url("))


def test_the_dials_of_every_rule_fit_their_sliders() -> None:
    for rule in rules.RULES.values():
        dials = {dial["name"]: dial for dial in dials_of(new_run(rule=rule()))}
        assert len(dials) <= 6 and {"lr", "batch_size", "weight_decay"} <= dials.keys()
        for dial in dials.values():
            assert dial["scale"] == "" or dial["low"] <= dial["value"] <= dial["high"] or dial["value"] == 0
    assert dials_of(new_run(lr=500.0))[0]["high"] == 1000
    ended = new_run(lr=schedules.Cosine(0.1, total=3)).train(5, progress=False)
    assert (dials_of(ended)[0]["value"], dials_of(ended)[0]["low"]) == (0, 1e-5)
    own = Run("mlp", "digits", optimizer=lambda weights: torch.optim.SGD(weights, lr=0.1, momentum=0.9), device="cpu")
    assert {"lr", "momentum", "batch_size"} <= {dial["name"] for dial in dials_of(own)}
    assert LiveTuner(own)._state()["rules"] == ["torch optimizer"]


# Pictures -----------------------------------------------------------------------------------------------------------


def test_the_figure_and_its_text(tuner: LiveTuner) -> None:
    assert isinstance(tuner.figure(), Figure)  # also before the first step
    play(tuner, 60)
    tuner.turn("lr", 0.2)
    play(tuner, 40)
    tuner.rewind(80)
    tuner.branch()
    play(tuner, 20)
    loss, accuracy, lr = tuner.figure().axes
    assert loss.get_yscale() == lr.get_yscale() == "log"
    np.testing.assert_allclose(loss.get_lines()[1].get_ydata(), tuner._tracks[0].curve.rows[:, SMOOTH])
    assert tuner.alt.startswith("Live tuner, mlp on digits: 100 steps, the learning rate turned once. main: smoothed")
    assert "branch 1" in tuner.alt and "in grey: 1" in tuner.alt


@pytest.mark.filterwarnings("error")
def test_a_loss_that_is_not_finite_from_the_start_has_a_figure() -> None:
    tuner = LiveTuner(Run(nn.Sequential(nn.Flatten(), Explodes()), "digits", lr=0.1, device="cpu"))
    tuner.play()
    tuner.wait(SECONDS)
    assert tuner.run.status == "diverged" and tuner.run.step == 1
    assert "no finite loss" in tuner.alt
    tuner.figure().draw_without_rendering()


def test_showing_it_displays_the_widget_and_a_place_for_the_picture(
    tuner: LiveTuner, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[Any] = []
    monkeypatch.setattr("IPython.display.display", lambda *things, **options: shown.append((*things, options)))
    tuner._ipython_display_()
    (widget, _), (place, options) = shown
    assert widget is tuner._page() and "lrlab-picture" in place["text/html"]
    assert tuner in instrument._on_screen
    play(tuner, 20)
    tuner._publish_picture()
    data, update = shown[-1]
    assert f'alt="{tuner.alt}"' in data["text/html"] and "image/png" in data
    assert update["update"] and update["display_id"] == options["display_id"]


def test_in_colab_play_blocks_and_redraws_a_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Any] = []
    monkeypatch.setitem(sys.modules, "google.colab", types.ModuleType("google.colab"))
    monkeypatch.setattr("IPython.display.display", lambda *things, **options: shown.append((*things, options)))
    monkeypatch.setattr(player, "COLAB_SECONDS", 0.1)
    tuner = LiveTuner(new_run(), speed=100)
    tuner._ipython_display_()
    tuner.play(steps=50)
    assert tuner.run.step == 50 and not tuner.playing
    assert tuner._belongings.page is None
    assert len(shown) >= 3
    assert all("image/png" in data and options["display_id"] == tuner._display_id for data, options in shown)


# Curves -------------------------------------------------------------------------------------------------------------


def history_of(losses: list[float], lrs: list[float], every: int) -> Iterator[History]:
    """A history that grows by one step at a time."""
    history = History()
    for step, (loss, lr) in enumerate(zip(losses, lrs, strict=True), start=1):
        history.append(lr=lr, loss=loss, epoch=0.0)
        if step % every == 0:
            history.append_validation(step, loss, 1 / step)
        yield history


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 5000), st.integers(0, 300), st.integers(1, 700), st.integers(0, 10**6))
def test_a_curve_grown_in_pieces_equals_one_grown_at_once(steps: int, first: int, stride: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    losses, lrs = random.gamma(1, 1, steps), 0.1 * random.gamma(1, 1, steps)
    pieces = Curve(min(first, steps))
    for step, history in enumerate(history_of(losses.tolist(), lrs.tolist(), every=7), start=1):
        if step >= first and step % stride == 0:
            before = pieces.rows.copy()
            changed = pieces.grow(history)
            np.testing.assert_array_equal(pieces.rows[:changed], before[:changed])
    pieces.grow(history)
    whole = Curve(min(first, steps))
    whole.grow(history)
    assert (pieces.width, pieces.end) == (whole.width, whole.end) == (pieces.width, steps)
    np.testing.assert_allclose(pieces.rows, whole.rows, rtol=1e-6)
    assert len(whole.rows) <= MOST_ROWS
    if steps > first:  # no extreme is lost in the folding
        assert np.nanmin(whole.rows[:, LOSS_LOW]) == np.float32(losses[first:].min())
        assert np.nanmax(whole.rows[:, LOSS_HIGH]) == np.float32(losses[first:].max())
        low, last, high = (whole.rows[:, column] for column in (LR_LOW, LR, LR_HIGH))
        assert (low <= last).all() and (last <= high).all()
        assert whole.rows[-1, LR] == np.float32(lrs[-1])


def test_a_validation_belongs_to_the_step_it_follows() -> None:
    *_, history = history_of([1.0] * 10, [0.1] * 10, every=4)
    curve = Curve()
    curve.grow(history)
    assert np.flatnonzero(np.isfinite(curve.rows[:, ACCURACY])).tolist() == [3, 7]


def test_a_loss_that_is_not_finite_is_a_gap() -> None:
    *_, history = history_of([1.0, math.inf, 3e38, math.nan, 2.0], [0.1] * 5, every=10)
    curve = Curve()
    curve.grow(history)
    assert np.isfinite(curve.rows[:, LOSS_LOW]).tolist() == [True, False, False, False, True]


def test_the_smoothing_is_the_bias_corrected_moving_average() -> None:
    losses = np.random.default_rng(0).gamma(1, 1, 50)
    smoother, smooth, mean = Smoother(beta=0.9), [], 0.0
    for t, loss in enumerate(losses, start=1):
        mean = 0.9 * mean + 0.1 * loss
        smooth.append(mean / (1 - 0.9**t))
    np.testing.assert_allclose(np.concatenate([smoother(losses[:20]), smoother(losses[20:])]), smooth)


def test_a_run_rewound_behind_the_tuners_back_is_drawn_anew(tuner: LiveTuner) -> None:
    play(tuner, 50)
    assert "50 steps" in tuner.alt
    tuner.run.rewind(20)
    tuner.figure()
    assert tuner._tracks[0].curve.end == 20
