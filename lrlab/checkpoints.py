"""Which moments of a run are kept, so that any step can be reached again soon."""

from __future__ import annotations

from typing import Any

from torch import Tensor

MOST_KEPT = 256


class Checkpoints:
    """Snapshots within a budget of memory: dense near the present, sparse behind.

    A snapshot is due every ``every`` steps. When there are too many bytes or too many snapshots, the one goes whose
    absence costs least: the gap it would leave, divided by its age, is smallest. So the replay from the nearest
    snapshot to a step is short for the recent past, and a small share of the way for the far past.

    Args:
        budget_mb: bytes that the snapshots may take together, in units of 2²⁰. The first and the newest always stay.
        every: steps between snapshots.
    """

    def __init__(self, budget_mb: float, every: int = 32) -> None:
        self.budget, self.every = int(budget_mb * 2**20), every
        self._kept: dict[int, Any] = {}  # insertion order is step order
        self._bytes: dict[int, int] = {}

    def due(self, step: int) -> bool:
        """Whether to take a snapshot now."""
        return step % self.every == 0 and step not in self._kept

    def keep(self, step: int, snapshot: Any) -> None:
        """Add the snapshot of ``step``, which lies after all that are kept, and drop others while over the budget."""
        self._kept[step], self._bytes[step] = snapshot, size_of(snapshot)
        while len(self._kept) > 2 and (len(self._kept) > MOST_KEPT or sum(self._bytes.values()) > self.budget):
            self._drop_least_useful(step)

    def _drop_least_useful(self, now: int) -> None:
        steps = list(self._kept)
        inner = range(1, len(steps) - 1)
        cheapest = min(inner, key=lambda i: (steps[i + 1] - steps[i - 1]) / (now - steps[i] + self.every))
        del self._kept[steps[cheapest]], self._bytes[steps[cheapest]]

    def nearest(self, step: int) -> tuple[int, Any]:
        """The last snapshot at or before ``step``, with its own step."""
        best = max(kept for kept in self._kept if kept <= step)
        return best, self._kept[best]

    def forget_after(self, step: int) -> None:
        """Drop the snapshots of steps later than ``step``."""
        for kept in [kept for kept in self._kept if kept > step]:
            del self._kept[kept], self._bytes[kept]

    def copy(self) -> Checkpoints:
        """Another list of the same snapshots; nobody changes a snapshot, so both may hold it."""
        other = Checkpoints(0, self.every)
        other.budget, other._kept, other._bytes = self.budget, dict(self._kept), dict(self._bytes)
        return other

    @property
    def steps(self) -> list[int]:
        """The steps at which there is a snapshot, in order."""
        return list(self._kept)

    @property
    def megabytes(self) -> float:
        """Memory that the snapshots take, in units of 2²⁰ bytes."""
        return sum(self._bytes.values()) / 2**20


def size_of(tree: Any) -> int:
    """Bytes of all tensors in nested dicts, lists and tuples."""
    if isinstance(tree, Tensor):
        return tree.element_size() * tree.numel()
    parts = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, (list, tuple)) else ()
    return sum(size_of(part) for part in parts)
