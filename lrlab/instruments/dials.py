"""The knobs of a run as a page shows them: name, label, value, and the slider's scale and ends."""

from __future__ import annotations

import math
from typing import Any

from lrlab.run import Run

LABELS = {
    "lr": "learning rate",
    "rho": "momentum ρ",
    "beta1": "mean β₁",
    "beta2": "square β₂",
    "weight_decay": "weight decay",
    "lam": "penalty λ",
    "beta": "squares β",
    "c": "max norm c",
    "batch_size": "batch size",
}
FRACTIONS = {"rho", "beta1", "beta2", "beta", "decay", "alpha", "momentum"}  # 0 ≤ value < 1
UNSHOWN = {"eps", "momentum_decay", "threshold"}  # rarely turned; `turn` reaches them
MOST_HYPERPARAMETERS = 2  # a widget with more than six knobs is a cockpit


def dials_of(run: Run) -> list[dict[str, Any]]:
    """The knobs in the order of the page: name, label, value, and the slider's scale and ends."""
    values = {name: float(value) for name, value in run.knobs.items() if not isinstance(value, bool)}
    of_penalty = [] if run.penalty is None else list(run.penalty.hyperparameters())
    own = [name for name in values if name not in {"lr", "weight_decay", "batch_size", *of_penalty, *UNSHOWN}]
    shown = ["lr", *own[:MOST_HYPERPARAMETERS], *(of_penalty or ["weight_decay"]), "batch_size"]
    return [_dial(name, values[name], run) for name in shown if name in values]


def _dial(name: str, value: float, run: Run) -> dict[str, Any]:
    scale, low, high = _scale(name, value, run)
    return {"name": name, "label": LABELS.get(name, name), "value": value, "scale": scale, "low": low, "high": high}


def _scale(name: str, value: float, run: Run) -> tuple[str, float, float]:
    """The slider's scale and ends (as live_tuner.js knows them); a scale of "" means a field without a slider."""
    if name == "lr":
        low = min(value, 1e-5) if value > 0 else 1e-5  # a schedule may end at 0, where no decade is
        return "log", _decade(low), 10 * _decade(max(value, 1.01))
    if name in {"weight_decay", "lam"}:
        return "zero", 1e-6, 10 * _decade(max(value, 0.101))
    if name == "batch_size" and run.dataset is not None:
        return "power", 1, len(run.dataset.train.y)
    if name in FRACTIONS and value < 1:
        return "fraction", 0, 0.9999
    return "", 0, 0


def _decade(value: float) -> float:
    """The power of ten at or below a positive value."""
    return 10.0 ** math.floor(math.log10(value) + 1e-9)
