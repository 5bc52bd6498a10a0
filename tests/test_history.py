"""The history: what it keeps, what it forgets, how small it stays."""

import gc
import sys
import threading
import tracemalloc

import numpy as np
import pytest
import torch

from lrlab.history import FETCH_EVERY, History
from lrlab.run import Run


def of_steps(count: int) -> History:
    history = History()
    history.append_validation(0, 2.3, 0.1)
    for step in range(count):
        history.append(lr=0.1, loss=1 / (step + 1), epoch=step / 10)
        if (step + 1) % 10 == 0:
            history.append_validation(step + 1, 1.0, 0.5)
    return history


def test_a_million_steps_fit_in_100_mb():
    tracemalloc.start()
    history = History()
    for step in range(1_000_000):
        history.append(0.1, 0.5, step / 18)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(history) == 1_000_000
    assert peak < 100e6


def tensors_with_a_graph():
    return sum(issubclass(type(thing), torch.Tensor) and thing.grad_fn is not None for thing in gc.get_objects())


def test_steps_leave_no_objects_behind():
    """Neither a graph nor anything else stays per step, beyond the 24 bytes of its row and the bounded snapshots."""
    run = Run("mlp", "digits", lr=0.01, checkpoint_mb=1).train(1000, progress=False)
    gc.collect()
    before, graphs = len(gc.get_objects()), tensors_with_a_graph()
    run.train(3000, progress=False)
    gc.collect()
    assert len(gc.get_objects()) - before < 500
    assert tensors_with_a_graph() <= graphs  # other tests may have left some
    assert run.checkpoints.megabytes < 1.1


def test_losses_of_a_device_are_fetched_late_and_in_order():
    history = History()
    for step in range(2 * FETCH_EVERY + 30):
        history.append(0.1, torch.tensor(float(step)), step)
    assert len(history._on_device) == 30 and len(history) == 2 * FETCH_EVERY + 30
    np.testing.assert_array_equal(history["loss"], np.arange(2 * FETCH_EVERY + 30))
    assert not history._on_device


def test_reading_while_another_thread_writes():
    history, done = History(), threading.Event()

    def write():
        for step in range(30_000):
            history.append(0.1, torch.tensor(float(step)) if step % 2 else float(step), step)
        done.set()

    on_device = History()

    def write_tensors():
        for step in range(5_000):
            on_device.append(0.1, torch.tensor(float(step)), step)

    threads = [threading.Thread(target=write), threading.Thread(target=write_tensors)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        while not done.is_set():
            rows = on_device.since(0)
            assert len(rows["lr"]) == len(rows["loss"]) == len(rows["epoch"])
            np.testing.assert_array_equal(rows["loss"], np.arange(len(rows["loss"])))
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    np.testing.assert_array_equal(on_device["loss"], np.arange(5_000))


def test_truncating_and_copying():
    history = of_steps(35)
    copy = history.copy()
    history.truncate(20)
    assert len(history) == 20 and history["val_step"].tolist() == [0, 10, 20]
    assert len(copy) == 35 and copy["val_step"].tolist() == [0, 10, 20, 30]
    history.append(0.2, 0.0, 2.0)
    assert history["lr"][-1] == 0.2 and len(copy) == 35


def test_since_gives_the_new_rows_only():
    history = of_steps(35)
    assert history.since(30)["loss"].tolist() == pytest.approx([1 / s for s in range(31, 36)])
    assert history.validation_since(3)["val_step"].tolist() == [30]


def test_as_a_table():
    table = of_steps(12).to_pandas()
    assert list(table.columns) == ["lr", "loss", "epoch", "val_loss", "val_accuracy"]
    assert table.index.tolist() == list(range(13)) and table.index.name == "step"
    assert table.val_accuracy.dropna().to_dict() == {0: 0.1, 10: 0.5}
    assert table.loss[1] == 1.0 and np.isnan(table.loss[0])


def test_tensors_and_back():
    history = of_steps(12)
    again = History.from_tensors(history.to_tensors())
    for column in ("lr", "loss", "epoch", "val_step", "val_loss", "val_accuracy"):
        np.testing.assert_array_equal(history[column], again[column])


def test_an_unknown_column():
    with pytest.raises(KeyError, match="no column 'accuracy'; it has lr, loss"):
        History()["accuracy"]
