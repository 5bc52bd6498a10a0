"""The sweep view without a browser: the sweep, the choice, the messages, the picture, and what it refuses."""

from __future__ import annotations

import gc
import math
import threading
import time
import weakref
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from lrlab import figures, instruments, rules
from lrlab.instruments import page, sweep_view
from lrlab.instruments.sweep_picture import DIVERGED, DONE, TRAINING, WAITING, Landscape, draw
from lrlab.instruments.sweep_view import SweepView
from lrlab.sweeps import Progress, sweep

SECONDS = 30  # far more than anything here takes
RATES = [0.01, 0.1, 1.0]


def new_view(start: bool = False, **settings: Any) -> SweepView:
    settings = {"lr": RATES, "seeds": 2, "steps": 12, "how": "batched", "batch_size": 16, **settings}
    view = SweepView("mlp", "digits", **settings)
    if start:
        view.start()
        view.wait(SECONDS)
    return view


def progress_of(losses: Any, status: Any, values: Any = None) -> Progress:
    losses = np.asarray(losses, dtype=float)
    unknown = np.full(len(losses), np.nan)
    steps = np.isfinite(losses).sum(1)
    values = unknown if values is None else np.asarray(values, dtype=float)
    return Progress(None, losses, steps, np.array(status), values, values)  # type: ignore[arg-type]


# The sweep ------------------------------------------------------------------------------------------------------------


def test_it_makes_the_sweep_of_the_same_call() -> None:
    view = new_view(start=True, rule=rules.Momentum(rho=0.5))
    given = {"seeds": 2, "steps": 12, "how": "batched", "batch_size": 16, "progress": False}
    expected = sweep("mlp", "digits", lr=RATES, rule=rules.Momentum(rho=0.5), **given)
    assert np.array_equal(view.result.losses, expected.losses) and view.result.equals(expected)
    assert repr(view) == "SweepView(mlp on digits, Momentum: 3 rates x 2 seeds)" and len(view) == 6
    medians = view._landscape().medians
    assert medians == pytest.approx(view.result.by()["loss"].to_numpy())


def test_two_hyperparameters_are_every_combination() -> None:
    view = new_view(start=True, rule="momentum", rho=torch.tensor([0.9, 0.1]), seeds=[3, 5])
    table = view.result
    assert len(view) == len(table) == 12
    assert table["lr"].tolist() == pytest.approx(np.repeat(RATES, 4).tolist())
    assert table["rho"].tolist() == pytest.approx([0.1, 0.1, 0.9, 0.9] * 3) and table["seed"].tolist() == [3, 5] * 6
    for row in range(12):
        point, seed = view._point(row)
        assert (point["lr"], point["rho"], seed) == pytest.approx((table.lr[row], table.rho[row], table.seed[row]))
    land = view._landscape()
    best = table.best("loss")
    values = {name: axis[i] for (name, axis), i in zip(land.axes.items(), land.place(land.best), strict=True)}
    assert values == pytest.approx({"lr": best.lr, "rho": best.rho})


def test_a_batch_size_may_vary() -> None:
    view = new_view(start=True, batch_size=[64, 8], seeds=1, how="auto")
    assert view.result["batch_size"].tolist() == [8, 64] * 3
    view.select(3)
    assert view.run().batch_size == 64 and type(view.run().batch_size) is int


def test_the_run_of_a_row_is_the_run_of_the_sweep() -> None:
    view = new_view(start=True, rule="momentum", rho=[0.2, 0.8], weight_decay=1e-3, dtype="float64", lr=[0.01, 0.1])
    for row in (0, 3, 6):
        run = view.run(row).train(12, progress=False)
        np.testing.assert_allclose(run.history["loss"], view.result.losses[row], rtol=1e-6)
        assert run.weight_decay == 1e-3 and run.batch_size == 16
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
    own = SweepView(module, "digits", lr=[0.1, 0.2])
    first = [weight.clone() for weight in module.parameters()]
    own.run().train(3, progress=False)
    assert all(torch.equal(a, b) for a, b in zip(first, module.parameters(), strict=True))


def test_start_pause_and_start_again() -> None:
    view = new_view(steps=100_000)
    with pytest.raises(RuntimeError, match=r"no result yet: start\(\) it and wait\(\) for it"):
        view.result  # noqa: B018
    view.start()
    with pytest.raises(RuntimeError, match=r"under way already: wait\(\) for it, or pause\(\)"):
        view.start()
    with pytest.raises(TimeoutError, match=r"still under way after 0.01 s; pause\(\) it"):
        view.wait(0.01)
    while view._board.progress is None:
        time.sleep(0.01)
    view.pause()
    assert not view.playing and set(view.result["status"]) == {"stopped"} and not view._state()["over"]
    assert view._landscape().best is not None
    stopped = view._board
    view._steps = 5
    view.start()
    view.wait(SECONDS)
    assert view._board is not stopped and set(view.result["status"]) == {"done"} and view._state()["over"]


def test_an_error_in_the_thread_is_raised_by_wait_and_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*args: Any, **given: Any) -> Any:
        raise MemoryError("no room")

    monkeypatch.setattr(sweep_view, "sweep", fails)
    view = new_view()
    view.start()
    with pytest.raises(MemoryError):
        view.wait(SECONDS)
    assert view._state()["error"] == "MemoryError: no room"


def test_a_view_that_nobody_holds_is_gone_with_its_thread() -> None:
    view = new_view(steps=100_000)
    view.start()
    thread = view._belongings.worker._thread  # type: ignore[union-attr]
    forgotten = weakref.ref(view)
    del view
    deadline = time.monotonic() + SECONDS
    while (forgotten() is not None or thread.is_alive()) and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.02)
    assert forgotten() is None and not thread.is_alive()


# What is known of a point ---------------------------------------------------------------------------------------------


def test_a_landscape_fills_in() -> None:
    axes = {"lr": np.array(RATES)}
    nan = math.nan
    losses = [[4, 2, 1, 0.5], [4, 2, nan, nan], [4, 9, nan, nan], [4, 9, nan, nan], [nan] * 4, [nan] * 4]
    status = ["done", "running", "diverged", "running", "waiting", "waiting"]
    land = Landscape.of(progress_of(losses, status), "loss", axes, 2)
    assert land.phase.tolist() == [TRAINING, DIVERGED, WAITING] and land.best == 0
    # The mean over the last tenth of the steps made, as the sweep's table has it: here, the last one.
    assert (land.lower[0], land.medians[0], land.upper[0]) == (0.5, 1.25, 2)
    assert land.medians[1] == math.inf and math.isnan(land.medians[2])
    status[1] = "done"
    land = Landscape.of(progress_of(losses, status, [0.7, nan, nan, nan, nan, nan]), "val_loss", axes, 2)
    assert land.phase.tolist() == [DONE, DIVERGED, WAITING] and land.medians[0] == 0.7
    land = Landscape.of(progress_of(losses, status, [0.7, 0.9, nan, nan, nan, nan]), "val_accuracy", axes, 2)
    assert land.medians.tolist()[:2] == [0.8, -math.inf] and land.best == 0
    empty = Landscape.of(None, "loss", axes, 2)
    assert empty.best is None and empty.phase.tolist() == [WAITING] * 3


def test_the_live_loss_becomes_that_of_the_table() -> None:
    view = new_view(start=True, steps=37, seeds=1)
    assert view._landscape().medians == pytest.approx(view.result["loss"].to_numpy())


def test_long_curves_are_folded() -> None:
    view = new_view(start=True, steps=1003, seeds=2, lr=[0.01, 0.1])
    view.select(3)
    curves, width = view._curves(), view._width
    assert width == 3 and curves.shape == (3, 335)
    losses = view.result.losses[3]
    assert curves[-1][:334] == pytest.approx(losses[:1002].reshape(-1, 3).mean(1)) and curves[-1][-1] == losses[-1]
    mean = 0.0
    for loss in losses:
        mean = 0.9 * mean + 0.1 * loss
    assert curves[1][-1] == pytest.approx(mean / (1 - 0.9**1003))


# The choice -----------------------------------------------------------------------------------------------------------


def test_a_selected_run_goes_on_in_a_tuner() -> None:
    view = new_view(start=True)
    assert view.selected == 2  # the middle rate under the first seed
    view.select(5)
    tuner = view.tune()
    assert tuner.run.lr == 1.0 and tuner.run.seed == 1 and tuner.run.step == 0
    tuner.play(steps=12)
    tuner.wait(SECONDS)
    assert tuner.run.history["loss"] == pytest.approx(view.result.losses[5], rel=1e-3)
    assert view.tune(0) is tuner and [run.lr for run in tuner.runs] == [1.0, 0.01]


def test_a_page_can_ask_for_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    view = new_view()
    monkeypatch.setattr(view, "_show_news", lambda: None)
    for message in (
        {"do": "start"},
        {"do": "pause"},
        {"do": "select", "row": 4},
        {"do": "show", "measure": "val_accuracy"},
        {"do": "tune"},
    ):
        view._hear({**message, "view": "it", "seq": 1})
        assert view._problem == ""
    assert view.selected == 4 and view._measure == "val_accuracy" and view._below.tuner is not None
    view._below.tuner.pause()
    view._hear({"do": "select", "row": 99, "view": "it", "seq": 2})
    assert view._problem == "row must be a number from 0 to 5, got 99"
    view._hear({"do": "dance", "view": "it", "seq": 3})
    assert "which this view does not know" in view._problem


def test_what_a_page_is_sent() -> None:
    view = new_view(rule="momentum", rho=[0.5, 0.9])
    news, (points, curves) = view._news(True)
    assert [axis["name"] for axis in news["axes"]] == ["lr", "rho"] and news["best"] is None
    assert np.frombuffer(points, "<f4").reshape(6, 4)[:, 3].tolist() == [WAITING] * 6
    assert view._news(False) == ({}, [])
    view.start()
    view.wait(SECONDS)
    news, (points, curves) = view._news(False)
    table = np.frombuffer(points, "<f4").reshape(6, 4)
    assert table[:, 1] == pytest.approx(view._landscape().medians, rel=1e-6) and (table[:, 3] == DONE).all()
    assert np.frombuffer(curves, "<f4").reshape(3, 12)[2] == pytest.approx(view.result.losses[view.selected], rel=1e-6)
    assert view._news(False) == ({}, [])
    view.select(0)
    assert len(view._news(False)[1]) == 2 and len(view._news(True)[1]) == 2
    state = view._state()
    assert (state["finished"], state["runs"], state["made"]) == (12, 12, 12.0)


def test_the_page_is_one_module_without_imports() -> None:
    assert "import " not in page.SweepPage._esm.replace("important", "").split("export default")[0].split("//")[0]
    assert page.SweepPage._esm.count("export default") == 1 and ".lrlab.sweep" in page.SweepPage._css


# Pictures -------------------------------------------------------------------------------------------------------------


def test_a_curve_that_leaves_the_picture_is_marked() -> None:
    land = Landscape.of(None, "loss", {"lr": np.array([0.1, 1.0])}, 1)
    curves = np.array([[2.0, 3.0, 50.0, 70.0], [2.0, 3.0, 80.0, 60.0]])
    for window, marks in (([1.0, 10.0], [(2.5, 10.0)]), ([1.0, 100.0], [])):
        right = draw("t", land, 0, curves, 1, 0, "lr 1", window).axes[1]
        shown = [line.get_xydata()[0].tolist() for line in right.get_lines() if line.get_marker() == "^"]
        assert shown == [list(mark) for mark in marks]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"lr": [0.1, 1e6], "rule": "sgd"},
        {"lr": [1e6, 1e7]},
        {"rule": "momentum", "rho": [0.5, 0.9], "lr": [0.1, 1e6]},
        {"seeds": 1, "lr": [0.1, 0.11]},
    ],
)
def test_pictures_and_their_words(settings: dict[str, Any]) -> None:
    view = new_view(**settings)
    assert isinstance(view.figure(), Figure) and "nothing trained yet" in view.alt and view._picture_key() is None
    view.start()
    view.wait(SECONDS)
    first = view._picture_key()
    for measure, row in zip(sweep_view.MEASURES, (0, len(view) // 2, len(view) - 1), strict=True):
        view.show(measure)
        view.select(row)
        view.figure().draw_without_rendering()
        assert view.alt.startswith("Sweep view, mlp on digits, ")
    assert view._picture_key() != first and len(figures.png(view.figure())) > 5000
    points = view.result.by()
    lost = int((points["diverged"] >= points["runs"] / 2).sum())
    assert f"{lost} of {len(points)} points diverged" in view.alt if lost else "points diverged" not in view.alt


def test_the_words_of_the_picture() -> None:
    view = new_view(start=True)
    best = view.result.best("loss")
    assert f"the training loss is lowest at lr = {best.lr:.3g}, {best.loss:.3g}" in view.alt
    view.show("val_accuracy")
    best = view.result.best("val_accuracy")
    assert f"the validation accuracy is highest at lr = {best.lr:.3g}" in view.alt
    assert "Beside it the loss curves at lr 0.1, seed 0" in view.alt


# What is refused ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"lr": 0.1}, "lr must be two or more different numbers in one list, got 0.1"),
        ({"lr": [0.1]}, "lr must be two or more different numbers"),
        ({"lr": [0.1, 0.1, 0.2]}, "lr holds a value twice"),
        ({"lr": ["a", "b"]}, "lr must be a list of numbers"),
        ({"lr": [0.1, -1.0]}, "lr must be greater than 0"),
        ({"rho": [0.1, 0.9]}, "no knob 'rho'"),
        ({"rule": "momentum", "rho": [0.1, 1.9]}, "rho = 1.9"),
        ({"rule": "momentum", "rho": [0.1, 0.9], "weight_decay": [0.0, 0.1]}, "one hyperparameter besides lr may vary"),
        ({"seeds": 0}, "seeds must be a number of at least 1"),
        ({"seeds": [1, 1]}, "seeds must be a number of at least 1, or a list of different"),
        ({"steps": 0}, "steps must be a whole number of at least 1, got 0"),
        ({"batchsize": 4}, "no knob 'batchsize', did you mean 'batch_size'"),
    ],
)
def test_bad_arguments_are_named(settings: dict[str, Any], words: str) -> None:
    with pytest.raises((TypeError, ValueError), match=words):
        new_view(**settings)


def test_bad_choices_are_named() -> None:
    view = new_view()
    for row in (-1, 6, 1.5, True):
        with pytest.raises(ValueError, match=f"row must be a number from 0 to 5, got {row}"):
            view.select(row)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="row must be a number"):
        view.run(6)
    with pytest.raises(ValueError, match="measure must be one of 'loss', 'val_loss', 'val_accuracy'; got 'acc'"):
        view.show("acc")
    assert threading.active_count() < 20 and instruments.SweepView is SweepView
