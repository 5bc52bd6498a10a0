"""What happened at each step of a run, kept small enough for millions of steps."""

from __future__ import annotations

import threading
from array import array
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    import pandas as pd

STEP_COLUMNS = ("lr", "loss", "epoch")
VALIDATION_COLUMNS = ("val_step", "val_loss", "val_accuracy")

# Losses of a GPU are fetched this many at a time, because each fetch makes the processor wait for the device.
FETCH_EVERY = 100


class History:
    """The record of a run: one row per step, and one row per validation.

    Columns per step: ``"lr"`` (the learning rate that was *applied*), ``"loss"`` (of the mini-batch, before the
    update) and ``"epoch"`` (epochs done before the step, a fraction). Columns per validation: ``"val_step"`` (steps
    done), ``"val_loss"`` and ``"val_accuracy"`` (a fraction of 1). A row takes 24 bytes.

    >>> history = History()
    >>> history.append(lr=0.1, loss=2.3, epoch=0.0)
    >>> history["lr"], len(history)
    (array([0.1]), 1)
    """

    def __init__(self) -> None:
        self._columns = {name: array("d") for name in STEP_COLUMNS + VALIDATION_COLUMNS}
        self._on_device: list[Tensor] = []
        self._fetching = threading.Lock()

    def append(self, lr: float, loss: float | Tensor, epoch: float) -> None:
        """Add one step. A loss that is a tensor stays on its device until somebody looks at the history."""
        self._columns["lr"].append(lr)
        self._columns["epoch"].append(epoch)
        if isinstance(loss, Tensor):
            self._on_device.append(loss)
            if len(self._on_device) >= FETCH_EVERY:
                self.fetch()
        else:
            self._columns["loss"].append(loss)

    def append_validation(self, step: int, loss: float, accuracy: float) -> None:
        """Add one validation, made after ``step`` steps."""
        for name, value in zip(VALIDATION_COLUMNS, (step, loss, accuracy), strict=True):
            self._columns[name].append(value)

    def fetch(self) -> None:
        """Bring the losses that are still on the device into the history."""
        with self._fetching:
            waiting = len(self._on_device)  # the training thread may add more meanwhile: they wait for the next fetch
            if waiting:
                self._columns["loss"].extend(torch.stack(self._on_device[:waiting]).double().tolist())
                del self._on_device[:waiting]

    def __len__(self) -> int:
        """Steps recorded, those whose loss is still on the device included."""
        return len(self._columns["epoch"])

    def __getitem__(self, column: str) -> np.ndarray:
        """A copy of one column as float64, shape ``[steps]`` or ``[validations]``."""
        if column not in self._columns:
            raise KeyError(f"history has no column {column!r}; it has {', '.join(self._columns)}")
        columns = STEP_COLUMNS if column in STEP_COLUMNS else VALIDATION_COLUMNS
        return self._rows(columns, 0)[column]

    def since(self, row: int) -> dict[str, np.ndarray]:
        """The step columns from row ``row`` on, all of one length, safe to call while the run is training."""
        return self._rows(STEP_COLUMNS, row)

    def validation_since(self, row: int) -> dict[str, np.ndarray]:
        """The validation columns from row ``row`` on, all of one length."""
        return self._rows(VALIDATION_COLUMNS, row)

    def _rows(self, names: tuple[str, ...], start: int) -> dict[str, np.ndarray]:
        self.fetch()
        # Slicing an array copies it in one go; a view would forbid the training thread to append.
        copies = {name: np.frombuffer(self._columns[name][start:], dtype=np.float64) for name in names}
        complete = min(len(rows) for rows in copies.values())
        return {name: rows[:complete] for name, rows in copies.items()}

    def truncate(self, steps: int) -> None:
        """Forget everything after ``steps`` steps."""
        self.fetch()
        for name in STEP_COLUMNS:
            del self._columns[name][steps:]
        kept = sum(1 for step in self._columns["val_step"] if step <= steps)
        for name in VALIDATION_COLUMNS:
            del self._columns[name][kept:]

    def copy(self) -> History:
        """An independent copy."""
        self.fetch()
        other = History()
        other._columns = {name: column[:] for name, column in self._columns.items()}
        return other

    def to_pandas(self) -> pd.DataFrame:
        """One row per step, indexed by ``step`` (the number of steps done after it).

        The validation columns hold NaN between validations; one made before the first step is row 0.
        """
        import pandas as pd

        steps = self.since(0)
        table = pd.DataFrame(steps, index=pd.RangeIndex(1, len(steps["lr"]) + 1, name="step"))
        checks = self.validation_since(0)
        validation = pd.DataFrame({name: checks[name] for name in VALIDATION_COLUMNS[1:]})
        validation.index = pd.Index(checks["val_step"].astype(np.int64), name="step")
        return table.join(validation[~validation.index.duplicated(keep="last")], how="outer")

    def to_tensors(self) -> dict[str, Tensor]:
        """All columns as float64 tensors, for saving."""
        return {name: torch.from_numpy(self[name].copy()) for name in self._columns}

    @classmethod
    def from_tensors(cls, tensors: dict[str, Tensor]) -> History:
        """The history that `to_tensors` gave."""
        history = cls()
        for name in history._columns:
            history._columns[name] = array("d", tensors[name].tolist())
        return history

    def __repr__(self) -> str:
        return f"History({len(self)} steps, {len(self._columns['val_step'])} validations)"
