"""Checkpoints: within the budget, dense near the present, sparse behind."""

import pytest
import torch

from lrlab.checkpoints import MOST_KEPT, Checkpoints, size_of


def filled(budget_mb: float, steps: int, kb: int = 8) -> Checkpoints:
    checkpoints = Checkpoints(budget_mb, every=10)
    for step in range(0, steps, 10):
        if checkpoints.due(step):
            checkpoints.keep(step, {"engine": {"x": torch.zeros(kb * 256)}})
    return checkpoints


@pytest.mark.parametrize("budget", [0.05, 0.2, 1.0])
def test_the_budget_is_kept(budget):
    checkpoints = filled(budget, 20_000)
    assert checkpoints.megabytes <= budget
    assert len(checkpoints.steps) <= MOST_KEPT


def test_dense_near_the_present_and_sparse_behind():
    steps = filled(0.5, 20_000).steps
    gaps = [b - a for a, b in zip(steps, steps[1:], strict=False)]
    assert steps[0] == 0 and steps[-1] == 19_990
    assert max(gaps[-8:]) <= 40
    far, near = gaps[: len(gaps) // 4], gaps[-len(gaps) // 4 :]
    assert sum(far) / len(far) > 5 * sum(near) / len(near)
    for a, b in zip(steps, steps[1:], strict=False):
        assert b - a <= 10 + 0.4 * (20_000 - a)  # the replay is a share of the way back


def test_a_budget_of_nothing_keeps_the_first_and_the_newest():
    assert filled(0, 100).steps == [0, 90]


def test_nearest_and_forgetting():
    checkpoints = filled(1, 100)
    assert checkpoints.nearest(57)[0] == 50 and checkpoints.nearest(50)[0] == 50
    copy = checkpoints.copy()
    checkpoints.forget_after(50)
    assert checkpoints.steps[-1] == 50 and copy.steps[-1] == 90
    assert checkpoints.due(60) and not checkpoints.due(50) and not checkpoints.due(61)


def test_the_size_of_a_tree():
    tree = {"a": torch.zeros(4), "b": [torch.zeros(2, dtype=torch.float64), 3, "x"], "c": (torch.zeros(1),)}
    assert size_of(tree) == 16 + 16 + 4
