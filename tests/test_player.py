"""What all instruments that work in the background share."""

from __future__ import annotations

import sys
import types
from typing import Any

import pytest

from lrlab import Run, instruments, rules, surfaces
from lrlab.instruments import player


def test_a_run_is_trained_by_one_instrument_at_a_time_whatever_its_kind() -> None:
    run = Run("mlp", "digits", lr=0.1, validate_every=0)
    tuner, view = instruments.LiveTuner(run), instruments.TransferView(run)
    tuner.play()
    view.play()
    assert view.playing and not tuner.playing
    tuner.play(steps=5)
    tuner.wait(20)
    assert not view.playing and run.status == "done"


@pytest.mark.parametrize("speed", [None, 100.0])
def test_in_colab_the_cell_waits_and_the_picture_is_drawn(monkeypatch: pytest.MonkeyPatch, speed: float | None) -> None:
    shown: list[Any] = []
    monkeypatch.setitem(sys.modules, "google.colab", types.ModuleType("google.colab"))
    monkeypatch.setattr("IPython.display.display", lambda data, **options: shown.append((data, options)))
    race = instruments.Race(surfaces.ravine(10), [rules.SGD()], lr=0.02, speed=speed)
    race.play(steps=30)
    assert race.step == 30 and not race.playing
    assert all("image/png" in data and options["display_id"] == race._display_id for data, options in shown)
    assert len(shown) >= 1


def test_in_colab_the_stop_button_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        monkeypatch.setattr("IPython.display.display", lambda *_, **__: None)
        raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "google.colab", types.ModuleType("google.colab"))
    monkeypatch.setattr("IPython.display.display", interrupted)
    monkeypatch.setattr(player, "COLAB_SECONDS", 0.02)
    view = instruments.TransferView(Run("mlp", "digits", lr=0.1, validate_every=0))
    view.play()
    assert not view.playing and view.run.status == "paused"
