"""Sweeps on other processes: a process pool and a real Dask cluster, also when a worker is killed in the middle."""

import importlib.metadata
import os
import pickle
import signal
import sys
import threading
import time
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from lrlab import _workers, rules, sweep
from lrlab.sweeps import SweepError

LRS = torch.logspace(-3, 0, 12)


def network() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))


def killing_network() -> nn.Module:
    """A network whose worker dies, once: the first process to make it ends without a word."""
    if os.environ.get("LRLAB_TEST_WORKER") and claimed(os.environ["LRLAB_TEST_WORKER"]):
        os.kill(os.getpid(), signal.SIGKILL)
    return network()


def claimed(path: str) -> bool:
    """Whether we are the first to come here."""
    try:
        Path(path).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def ready(place: str) -> None:
    """How a pool's worker starts: one thread, and the place where a death is agreed upon."""
    torch.set_num_threads(1)
    os.environ["LRLAB_TEST_WORKER"] = place


def small(**options):
    given = {"rule": rules.Momentum(), "lr": LRS, "batch_size": 32, "steps": 20, "device": "cpu", "progress": False}
    given |= {"model": network, "how": "batched", **options}
    return sweep(given.pop("model"), "digits", **given)


@pytest.fixture(scope="module")
def here():
    """The same sweep in this process."""
    return small(seeds=2, keep_weights=True)


def check_complete(result, here) -> None:
    """No run is missing or doubled, and each is what it is without an executor."""
    assert result.index.tolist() == list(range(24))
    assert result["status"].tolist() == ["done"] * 24 and (result["steps"] == 20).all()
    assert result[["lr", "seed"]].equals(here[["lr", "seed"]])
    np.testing.assert_allclose(result.losses, here.losses, rtol=1e-3)
    np.testing.assert_allclose(result["val_loss"], here["val_loss"], rtol=1e-3)


def test_a_process_pool(here, tmp_path) -> None:
    states = []
    with pool(tmp_path / "nobody dies", 2) as executor:
        (tmp_path / "nobody dies").touch()
        result = small(seeds=2, keep_weights=True, executor=executor, on_progress=lambda s: states.append(s.finished))
    check_complete(result, here)
    assert result.how == "batched" and "4 parts on a" in result.why
    assert states[-1] == 24 and states == sorted(states)
    for ours, theirs in zip(result.model(5).parameters(), here.model(5).parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


def pool(place: Path, workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, get_context("spawn"), initializer=ready, initargs=(str(place),))


def test_a_process_pool_whose_worker_is_killed(here, tmp_path) -> None:
    with pool(tmp_path / "killed", 2) as executor, pytest.warns(RuntimeWarning, match="a worker process died"):
        result = small(seeds=2, model=killing_network, executor=executor)
    assert (tmp_path / "killed").exists()
    check_complete(result, here)


def test_a_pool_that_is_broken_already(here) -> None:
    class Broken(Executor):
        def submit(self, *_, **__):
            raise BrokenProcessPool("gone")

    with pytest.warns(RuntimeWarning, match="the 24 runs it left are trained in this process"):
        check_complete(small(seeds=2, executor=Broken()), here)


def test_threads_take_turns(here) -> None:
    with ThreadPoolExecutor(3) as executor:
        check_complete(small(seeds=2, executor=executor), here)


def test_parts_of_one_executor_may_come_back_in_any_order(here) -> None:
    check_complete(small(seeds=2, executor=Backwards()), here)


class Backwards(Executor):
    """Starts the last part first."""

    def __init__(self) -> None:
        self.waiting: list = []

    def submit(self, function, *args):
        future: Future = Future()
        if function is importlib.metadata.version:
            future.set_result(function(*args))
            return future
        self.waiting.append((future, function, args))
        if len(self.waiting) == 4:
            threading.Thread(target=self.work).start()
        return future

    def work(self) -> None:
        for future, function, args in reversed(self.waiting):
            time.sleep(0.05)
            future.set_result(function(*args))


def test_workers_without_the_package() -> None:
    with pytest.raises(SweepError, match="workers of the executor lack lrlab: install it where they run.*0 of 24"):
        small(seeds=2, executor=Elsewhere(importlib.metadata.PackageNotFoundError("lrlab")))


def test_workers_with_another_version() -> None:
    with pytest.raises(SweepError, match=r"the workers have lrlab 0\.0\.1, but here is .*pip install lrlab=="):
        small(executor=Elsewhere("0.0.1"))


class Elsewhere(Executor):
    """An executor in another environment: ``answer`` to the question for the version, then ``parts`` one by one."""

    def __init__(self, answer, parts=()) -> None:
        self.answer, self.parts = answer, list(parts)

    def submit(self, function, *args):
        future: Future = Future()
        answer = self.answer if function is importlib.metadata.version else self.parts.pop(0)
        if answer is None:
            future.set_result(function(*args))
        elif isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)
        return future


def test_what_came_back_is_saved_when_another_part_fails(here) -> None:
    missing = ModuleNotFoundError("No module named 'torchvision'", name="torchvision")
    executor = Elsewhere(importlib.metadata.version("lrlab"), [None, missing, None, None])
    with pytest.raises(SweepError, match="lack torchvision: .*18 of 24 runs were finished") as raised:
        small(seeds=2, executor=executor)
    finished = raised.value.finished
    assert finished["status"].tolist() == ["done"] * 6 + ["failed"] * 6 + ["done"] * 12
    np.testing.assert_allclose(finished.losses[:6], here.losses[:6], rtol=1e-3)
    assert np.isnan(finished.losses[6:12]).all() and np.isnan(finished["val_loss"][6:12]).all()


def test_an_error_on_a_worker_is_told() -> None:
    failing = Elsewhere(importlib.metadata.version("lrlab"), [ZeroDivisionError("division by zero")] * 4)
    with pytest.raises(SweepError, match="a part of the sweep failed on its worker: ZeroDivisionError: division"):
        small(executor=failing)


def test_stopping_cancels_what_was_not_begun(monkeypatch) -> None:
    monkeypatch.setattr(sys.modules["lrlab.sweeps"], "REPORT_EVERY", 0.0)
    with ThreadPoolExecutor(1) as executor:
        result = small(seeds=2, executor=executor, on_progress=lambda state: state.finished < 6)
    assert result["status"].tolist().count("done") >= 6 and "stopped" in result["status"].tolist()


def test_what_cannot_be_sent_says_so(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "cloudpickle", None)
    with pytest.raises(TypeError, match="sent to another process.*pip install cloudpickle"):
        _workers._packed(lambda: 1)
    assert pickle.loads(_workers._packed([1, "a"])) == [1, "a"]


# Dask ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def cluster():
    """A scheduler and two workers, each a process of its own."""
    distributed = pytest.importorskip("distributed")
    # No nanny's own port, no dashboard: nothing listens but on this machine.
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address=None
    ) as cluster:
        yield cluster


def test_a_dask_cluster_of_which_one_worker_is_killed(here, cluster, tmp_path) -> None:
    from distributed import Client

    with Client(cluster) as client:
        client.run(ready, str(tmp_path / "killed"))
        before = set(client.run(os.getpid).values())
        result = small(seeds=2, model=killing_network, executor=client.get_executor())
        check_complete(result, here)
        after = set(client.run(os.getpid).values())
    assert (tmp_path / "killed").exists() and len(before) == 2
    assert len(before & after) < 2  # one of them is no more
    assert "ClientExecutor" in result.why
