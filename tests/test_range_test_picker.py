"""The range-test picker without a browser: the test, the choice, the tuner, the messages, and what it refuses."""

from __future__ import annotations

import gc
import math
import time
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from lrlab import Run, figures, finder, instruments, rules
from lrlab.instruments import LiveTuner, RangeTestPicker, instrument, page

SECONDS = 30  # far more than anything here takes


def two_layers() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 2))


def new_run(model: Any = two_layers, **options: Any) -> Run:
    x = torch.randn(250, 2, generator=torch.Generator().manual_seed(0))
    y = (x[:, 0] * x[:, 1] > 0).long()
    return Run(model, (x, y), **{"rule": rules.Momentum(rho=0.9), "batch_size": 50, **options})


def measured(run: Run | None = None, **options: Any) -> RangeTestPicker:
    picker = RangeTestPicker(new_run() if run is None else run, **{"end": 100.0, **options})
    picker.start()
    picker.wait(SECONDS)
    return picker


class Endless(nn.Module):
    """Slow enough to be caught in the middle."""

    def __init__(self) -> None:
        super().__init__()
        self.net = two_layers()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            time.sleep(0.01)
        return self.net(x)


# The test -------------------------------------------------------------------------------------------------------------


def test_it_is_the_range_test_and_leaves_the_run_as_it_was() -> None:
    run, untouched = new_run().train(7, progress=False), new_run().train(7, progress=False)
    picker = measured(run, start=1e-6, steps=60, smoothing=0.9)
    expected = finder.range_test(untouched, 1e-6, 100.0, 60, 0.9)
    np.testing.assert_array_equal(picker.result.losses, expected.losses)
    np.testing.assert_array_equal(picker.result.smoothed, expected.smoothed)
    assert picker.suggestions == expected.suggestions and picker.reasons == expected.reasons
    assert (run.step, run.status, run.moves) == (7, "done", [])
    np.testing.assert_array_equal(
        run.train(20, progress=False).history["loss"], untouched.train(20, progress=False).history["loss"]
    )


def test_it_can_be_ended_before_its_time_and_made_again() -> None:
    picker = RangeTestPicker(new_run(Endless), end=100.0, steps=100)
    picker.start()
    with pytest.raises(RuntimeError, match=r"being made already: wait\(\) for it"):
        picker.start()
    with pytest.raises(TimeoutError, match="the test is still being made after 0.02 s"):
        picker.wait(0.02)
    while len(picker._losses) < 3:
        time.sleep(0.001)
    picker.pause()
    partial = len(picker._losses)
    assert 3 <= partial < 100 and not picker.playing
    assert len(picker.result.lrs) == partial
    assert f"over after {partial} of 100 rates: it was stopped" in picker.alt
    picker.start()
    picker.pause()
    assert len(picker._losses) < 100


def test_a_curve_without_advice_has_its_reasons_and_no_choice() -> None:
    class Broken(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = two_layers()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.net(x) * (math.nan if self.training else 1)

    picker = measured(new_run(Broken))
    assert set(picker.suggestions.values()) == {None} and picker.lr is None
    assert "no finite loss" in picker.alt and "over after 1 of 100 rates: the loss is no finite number" in picker.alt
    assert "steepest, valley, minimum_over_10, midpoint, nine_tenths_over_3: only 0 finite losses" in picker.alt
    with pytest.raises(ValueError, match="steepest has no advice here: only 0 finite losses"):
        picker.choose("steepest")
    with pytest.raises(RuntimeError, match="no learning rate is chosen"):
        picker.train()
    picker.choose(0.1)
    assert picker.train().run.lr == 0.1


def test_an_error_in_the_model_is_raised_by_wait() -> None:
    class Fragile(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = two_layers()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if self.training:
                raise ValueError("the sensor fell off")
            return self.net(x)

    picker = RangeTestPicker(new_run(Fragile))
    picker.start()
    with pytest.raises(ValueError, match="the sensor fell off"):
        picker.wait(SECONDS)
    assert picker._state()["error"] == "ValueError: the sensor fell off" and picker.run.status == "ready"


def test_a_run_that_is_running_is_refused() -> None:
    run = new_run()
    picker = RangeTestPicker(run)
    records = run.steps()
    next(records)
    with pytest.raises(RuntimeError, match="pause first"):
        picker.start()
    records.close()
    picker.start()
    picker.wait(SECONDS)


def test_one_that_nobody_holds_is_gone_with_its_thread() -> None:
    picker = RangeTestPicker(new_run(Endless), steps=1000)
    picker.start()
    thread = picker._belongings.worker._thread  # type: ignore[union-attr]
    forgotten = weakref.ref(picker)
    del picker
    deadline = time.monotonic() + SECONDS
    while (forgotten() is not None or thread.is_alive()) and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.01)
    assert forgotten() is None and not thread.is_alive()


# The choice -----------------------------------------------------------------------------------------------------------


def test_the_best_rule_is_chosen_until_somebody_chooses() -> None:
    picker = RangeTestPicker(new_run(), end=100.0)
    assert picker.lr is None
    picker.start()
    picker.wait(SECONDS)
    assert picker.lr == picker.suggestions["nine_tenths_over_3"] is not None
    picker.choose("steepest")
    assert picker.lr == picker.suggestions["steepest"]
    picker.choose(0.123)
    assert picker.lr == 0.123
    picker.start()
    picker.wait(SECONDS)
    assert picker.lr == picker.suggestions["nine_tenths_over_3"]  # another curve, another choice


def test_training_goes_on_with_a_branch_at_the_chosen_rate() -> None:
    run = new_run().train(10, progress=False)
    picker = measured(run)
    picker.choose(0.05)
    tuner = picker.train()
    assert isinstance(tuner, LiveTuner) and tuner.run is not run
    tuner.play(steps=20)
    tuner.wait(SECONDS)
    by_hand = new_run().train(10, progress=False)
    by_hand.lr = 0.05
    by_hand.train(20, progress=False)
    np.testing.assert_array_equal(tuner.run.history["loss"], by_hand.history["loss"])
    assert run.step == 10 and run.lr == 0.1
    picker.choose(0.2)
    assert picker.train() is tuner  # beside the first, for comparison
    tuner.play(steps=5)
    tuner.wait(SECONDS)
    assert [other.lr for other in tuner.runs] == [0.05, 0.2] and tuner.run.step == 15
    assert [track.name for track in tuner._tracks] == ["lr 0.05", "lr 0.2"]


def test_a_run_that_diverged_is_tested_but_not_trained() -> None:
    run = new_run(lr=1e38).train(50, progress=False)
    picker = measured(run)
    picker.choose(0.1)
    with pytest.raises(RuntimeError, match=r"the run diverged at step \d+: run.rewind"):
        picker.train()


@pytest.mark.parametrize(
    ("choice", "error", "message"),
    [
        (0, ValueError, "lr must be greater than 0 and finite; got 0"),
        (-0.1, ValueError, "greater than 0 and finite; got -0.1"),
        (math.nan, ValueError, "greater than 0 and finite; got nan"),
        (math.inf, ValueError, "finite; got inf"),
        (None, TypeError, "lr must be a number"),
        (True, TypeError, "lr must be a number"),
        ("steep", ValueError, "there is no rule 'steep'; there are steepest, valley,"),
    ],
)
def test_a_choice_that_is_none_is_refused(choice: Any, error: type[Exception], message: str) -> None:
    picker = measured()
    before = picker.lr
    with pytest.raises(error, match=message):
        picker.choose(choice)
    assert picker.lr == before


def test_advice_before_the_test_is_refused() -> None:
    with pytest.raises(RuntimeError, match=r"nothing to read yet: start\(\) the test"):
        RangeTestPicker(new_run()).choose("steepest")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"run": "mlp"}, TypeError, "run must be a Run, got str"),
        ({"start": 1.0, "end": 0.1}, ValueError, "0 < start < end is needed, got start=1.0, end=0.1"),
        ({"steps": 9}, ValueError, "steps must be at least 10, got 9"),
        ({"smoothing": 1}, ValueError, "smoothing must be in"),
        ({"growth": "fast"}, ValueError, "growth must be"),
        ({"speed": 0}, ValueError, "speed must be a number of steps per second above 0"),
    ],
)
def test_bad_settings_are_refused(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        RangeTestPicker(**{"run": new_run(), **options})


# Pictures -------------------------------------------------------------------------------------------------------------


def test_the_picture_shows_curve_advice_and_choice() -> None:
    picker = measured()
    picker.choose(0.0123)
    (ax,) = picker.figure().axes
    assert any(np.ravel(line.get_xdata())[0] == 0.0123 for line in ax.get_lines())
    np.testing.assert_array_equal(ax.get_lines()[0].get_ydata(), picker.result.losses)
    assert len(figures.png(picker.figure())) < figures.LIMIT_BYTES
    for words in ("Range test, two_layers on", "steepest", "minimum_over_10", "Chosen: 0.0123."):
        assert words in picker.alt
    RangeTestPicker(new_run()).figure()


def test_it_is_called_the_same_on_every_machine() -> None:
    assert repr(instruments.RangeTestPicker(Run("mlp", "digits"))) == "RangeTestPicker(mlp on digits)"


# The page -------------------------------------------------------------------------------------------------------------


class FakePage:
    """Takes the place of the widget, and keeps what range_test_picker.js keeps."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.rows = np.zeros((0, 3), "<f4")
        self.grown: list[int] = []

    def tell(self, message: dict[str, Any], buffers: list[bytes] = ()) -> None:  # type: ignore[assignment]
        self.messages.append(message)
        self.state = message["state"]
        for rows in buffers:
            self.rows = np.frombuffer(rows, "<f4").reshape(-1, 3)
            self.grown.append(len(self.rows))

    def close(self) -> None:
        pass


def open_page(picker: RangeTestPicker) -> FakePage:
    fake = FakePage()
    picker._belongings.page = fake  # type: ignore[assignment]
    picker._publish_picture = lambda: setattr(picker, "_pictured", picker._picture_key())  # type: ignore[method-assign]
    picker._hear({"do": "hello", "view": "v"})
    return fake


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[RangeTestPicker, FakePage]]:
    shown: list[Any] = []
    monkeypatch.setattr(LiveTuner, "_show_at", lambda self, *places: shown.append(self))
    picker = RangeTestPicker(new_run(), end=100.0, speed=None)
    picker._shown = shown  # type: ignore[attr-defined]
    yield picker, open_page(picker)
    picker.pause()
    picker._views.clear()
    instrument._on_screen.discard(picker)


def asks(picker: RangeTestPicker, number: int, **message: Any) -> None:
    picker._hear({**message, "view": "v", "seq": number})


def test_a_page_sees_the_curve_and_the_advice(opened: tuple[RangeTestPicker, FakePage]) -> None:
    picker, fake = opened
    assert fake.messages[0]["fresh"] and fake.state["lr"] is None and fake.state["step"] == 0
    asks(picker, 1, do="start")
    picker.wait(SECONDS)
    asks(picker, 2, do="choose", lr="midpoint")
    assert fake.state["heard"] == {"v": 2} and not fake.state["running"]
    curve = picker.result
    np.testing.assert_allclose(fake.rows, np.column_stack([curve.lrs, curve.losses, curve.smoothed]), rtol=1e-6)
    assert dict(fake.state["suggestions"]) == picker.suggestions
    assert fake.state["lr"] == picker.suggestions["midpoint"] and fake.state["chosen"] == "midpoint"
    low, high = fake.state["window"]
    assert low < curve.smoothed.min() < curve.losses[0] < high < 10 * curve.losses[0]
    made = len(curve.losses)
    expected = f"over after {made} of 100 rates: the loss has risen far above its first level" if made < 100 else ""
    assert fake.state["ending"] == expected


def test_the_curve_grows_on_the_page(opened: tuple[RangeTestPicker, FakePage]) -> None:
    picker, fake = opened
    picker.speed = 200
    asks(picker, 1, do="start")
    picker.wait(SECONDS)
    deadline = time.monotonic() + SECONDS
    while fake.state["running"] and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(set(fake.grown)) >= 4 and fake.grown == sorted(fake.grown)
    assert fake.state["step"] == len(picker._losses)


def test_what_a_page_can_ask_for(opened: tuple[RangeTestPicker, FakePage]) -> None:
    picker, fake = opened
    asks(picker, 1, do="start")
    picker.wait(SECONDS)
    asks(picker, 2, do="choose", lr=0.02)
    asks(picker, 3, do="typed", lr=0.03)
    assert picker.lr == 0.03 and fake.state["chosen"] == ""
    asks(picker, 4, do="train")
    tuner = picker._below.tuner
    assert tuner is not None and tuner.playing and picker._shown == [tuner]  # type: ignore[attr-defined]
    assert fake.state["training"].endswith("at 0.03")
    tuner.pause()
    assert tuner.run.lr == 0.03 and picker.run.step == 0


def test_what_goes_wrong_is_said_on_the_page(opened: tuple[RangeTestPicker, FakePage]) -> None:
    picker, fake = opened
    for number, (message, words) in enumerate(
        [
            ({"do": "train"}, "no learning rate is chosen"),
            ({"do": "typed", "lr": "steepest"}, "lr must be a number (greater than 0); got 'steepest'"),
            ({"do": "choose", "lr": -1}, "lr must be greater than 0"),
            ({"do": "dance"}, "which this picker does not know"),
        ],
        start=1,
    ):
        asks(picker, number, **message)
        assert words in fake.state["problem"] and fake.state["heard"] == {"v": number}
    asks(picker, 9, do="choose", lr=0.1)
    assert fake.state["problem"] == ""


def test_the_sources_are_inline_and_ask_for_nothing() -> None:
    source = page.PickerPage._esm + page.PickerPage._css
    assert len(source.encode()) < 60_000 and "import " not in page.PickerPage._esm
    addresses = source.replace("http://www.w3.org/2000/svg", "")
    assert not any(mark in addresses for mark in ("http:", "https:", "//cdn", "@import", "url("))
