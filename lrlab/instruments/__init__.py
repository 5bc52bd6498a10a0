"""Instruments: parts of the laboratory to touch. Each works by mouse, by keyboard, and headless by its methods."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lrlab.instruments.adaptive_view import AdaptiveView
    from lrlab.instruments.augmentation_view import AugmentationView
    from lrlab.instruments.dropout_view import DropoutView
    from lrlab.instruments.ensemble_view import EnsembleView
    from lrlab.instruments.live_tuner import LiveTuner
    from lrlab.instruments.penalty_view import PenaltyView
    from lrlab.instruments.race import Race
    from lrlab.instruments.range_test_picker import RangeTestPicker
    from lrlab.instruments.schedule_designer import ScheduleDesigner
    from lrlab.instruments.sweep_view import SweepView
    from lrlab.instruments.transfer_view import TransferView

__all__ = [
    "AdaptiveView",
    "AugmentationView",
    "DropoutView",
    "EnsembleView",
    "LiveTuner",
    "PenaltyView",
    "Race",
    "RangeTestPicker",
    "ScheduleDesigner",
    "SweepView",
    "TransferView",
]

_HOME = {  # the module each name lives in
    "AdaptiveView": "adaptive_view",
    "AugmentationView": "augmentation_view",
    "DropoutView": "dropout_view",
    "EnsembleView": "ensemble_view",
    "LiveTuner": "live_tuner",
    "PenaltyView": "penalty_view",
    "Race": "race",
    "RangeTestPicker": "range_test_picker",
    "ScheduleDesigner": "schedule_designer",
    "SweepView": "sweep_view",
    "TransferView": "transfer_view",
}


def __getattr__(name: str) -> object:
    if name in _HOME:
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"lrlab.instruments has no {name!r}; it has {', '.join(__all__)}")
