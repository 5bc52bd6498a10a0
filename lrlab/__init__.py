"""lrlab: a laboratory for training neural networks.

    from lrlab import Run, rules, instruments

    run = Run("mlp", "digits", rule=rules.Momentum(rho=0.9), lr=0.1)
    tuner = instruments.LiveTuner(run)

A name is loaded when it is first used, so that ``import lrlab`` itself does not wait for torch.
"""

from __future__ import annotations

import importlib
from importlib.metadata import version
from typing import TYPE_CHECKING

# These two functions are named like their modules. Imported here, once, the name means the function for good;
# loaded later, the import system would set it to the module.
from lrlab.doctor import doctor
from lrlab.source import source

if TYPE_CHECKING:
    from lrlab import (
        augmentation,
        data,
        dropout,
        ensembles,
        evidence,
        figures,
        instruments,
        models,
        optim,
        regularization,
        report,
        rules,
        schedules,
        search,
        surfaces,
        transfer,
    )
    from lrlab.finder import range_test
    from lrlab.run import Run
    from lrlab.sweeps import sweep

__version__ = version("lrlab")

__all__ = [
    "Run",
    "augmentation",
    "data",
    "doctor",
    "dropout",
    "ensembles",
    "evidence",
    "figures",
    "instruments",
    "models",
    "optim",
    "range_test",
    "regularization",
    "report",
    "rules",
    "schedules",
    "search",
    "source",
    "surfaces",
    "sweep",
    "transfer",
]

# What is no module, and the module it lives in.
_HOME = {"Run": "run", "range_test": "finder", "sweep": "sweeps"}


def __getattr__(name: str) -> object:
    if name in _HOME:
        return getattr(importlib.import_module(f"lrlab.{_HOME[name]}"), name)
    if name in __all__:
        return importlib.import_module(f"lrlab.{name}")
    raise AttributeError(f"lrlab has no {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
