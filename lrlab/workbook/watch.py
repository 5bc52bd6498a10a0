"""A pytest plugin for ``lrlab check``: nbval with an eye on the kernel, and its results as lines of JSON.

nbval waits for a cell's reply and reads its output afterwards. So an endless ``print`` fills the memory until the
cell's time is over, and a kernel that died is waited for just as long. Here output is read while the cell runs: too
much of it, too much memory, or a dead kernel ends the run at once with a reason. What goes past Jupyter, straight to
the process's own output, goes nowhere.

``checkup`` copies this file to where it runs pytest, and names it with ``-p``, so nothing of lrlab is imported here.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from queue import Empty
from typing import Any

import nbval.kernel
import nbval.plugin
import psutil
import pytest
from nbval.kernel import RunningKernel, start_new_kernel

RESULTS = Path(__file__).with_name("results.jsonl")
OUTPUT_CHARACTERS = 1_000_000  # of one cell
KEPT_CHARACTERS = 8_000  # of one text, in the results
MEMORY_SECONDS = 0.2  # from one look at it to the next


class Flooded(Exception):
    """A cell printed without end."""


class KernelDied(Exception):
    """The kernel's process is gone, or about to go: `exit()` ends it after its cell."""


class TooMuchMemory(Exception):
    """The kernel holds more than it may."""


def _note(**line: Any) -> None:
    with RESULTS.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


class WatchedKernel(RunningKernel):
    """nbval's kernel, whose output is read while a cell runs."""

    memory: float  # bytes that it may hold, with what it has started

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._kept: deque[dict[str, Any]] = deque()
        self._characters = 0
        super().__init__(*args, **kwargs)

    def execute_cell_input(self, cell_input: str, allow_stdin: bool | None = None) -> str:
        self._kept.clear()
        self._characters = 0
        return super().execute_cell_input(cell_input, allow_stdin=allow_stdin)

    def await_reply(self, msg_id: str, timeout: float | None = None) -> None:
        """Wait for the reply to a cell.

        Raises:
            Empty: the time is over; nbval then interrupts the kernel.
            Flooded, KernelDied: it is of no use to wait any longer.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        look = 0.0
        while True:
            self._read_output()
            if time.monotonic() > look:
                self._weigh()
                look = time.monotonic() + MEMORY_SECONDS
            try:
                reply = self.kc.get_shell_msg(timeout=0.05)
            except Empty:
                if not self.is_alive():
                    raise KernelDied from None
                if deadline is not None and time.monotonic() > deadline:
                    raise
                continue
            if reply["parent_header"].get("msg_id") == msg_id:
                if any(part.get("source") == "ask_exit" for part in reply["content"].get("payload", ())):
                    raise KernelDied
                return

    def get_message(self, stream: str, timeout: float | None = None) -> dict[str, Any]:
        if stream == "iopub" and self._kept:
            return self._kept.popleft()
        message = super().get_message(stream, timeout=timeout)
        if stream == "iopub":
            self._count(message)
        return message

    def _read_output(self) -> None:
        while True:
            try:
                message = self.kc.get_iopub_msg(timeout=0)
            except Empty:
                return
            self._count(message)
            self._kept.append(message)

    def stop(self) -> None:
        """End the kernel, and what the student's code has started and left behind."""
        started = processes(self.km.provisioner.pid)
        super().stop()
        for process in started:
            with contextlib.suppress(psutil.Error):
                process.kill()

    def _weigh(self) -> None:
        if sum(map(_resident, processes(self.km.provisioner.pid))) > self.memory:
            self.km.shutdown_kernel(now=True)
            raise TooMuchMemory

    def _count(self, message: dict[str, Any]) -> None:
        content = message["content"]
        shown = [content.get("text", ""), *content.get("data", {}).values()]
        self._characters += sum(len(part) for part in shown if isinstance(part, str))
        if self._characters > OUTPUT_CHARACTERS:
            self.km.shutdown_kernel(now=True)
            raise Flooded


def processes(pid: int | None) -> list[psutil.Process]:
    """A process and all that it has started, as far as they are still there."""
    if pid is None:
        return []
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.Error:
        return []


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:  # it ended just now
        return 0


def _start_silently(**options: Any) -> Any:
    return start_new_kernel(**options, stdout=subprocess.DEVNULL)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kernel-memory", type=float, help="bytes that the kernel may hold")


def pytest_configure(config: pytest.Config) -> None:
    WatchedKernel.memory = config.option.kernel_memory
    nbval.plugin.RunningKernel = WatchedKernel
    nbval.kernel.start_new_kernel = _start_silently


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: Any, call: pytest.CallInfo[None]) -> Iterator[None]:
    yield
    if call.when == "teardown" or (call.when == "setup" and call.excinfo is None):
        return
    error = call.excinfo.value if call.excinfo else None
    outputs = list(item.test_outputs or ())
    raised: dict[str, Any] = next((output for output in outputs if output.get("output_type") == "error"), {})
    printed = "".join(output.get("text", "") for output in outputs if output.get("output_type") == "stream")
    _note(
        cell=item.cell_num,
        passed=error is None,
        reason=_reason(item, error),
        said=str(error)[:KEPT_CHARACTERS] if error else "",
        ename=str(raised.get("ename", ""))[:200],
        evalue=str(raised.get("evalue", ""))[:KEPT_CHARACTERS],
        traceback=[str(line)[:KEPT_CHARACTERS] for line in raised.get("traceback", [])[-8:]],
        printed=printed[:KEPT_CHARACTERS],
    )
    if _reason(item, error) in ("flood", "memory", "died", "time"):
        item.session.shouldstop = "the rest is run anew"


def _reason(item: Any, error: BaseException | None) -> str:
    if error is None:
        return ""
    if isinstance(error, Flooded):
        return "flood"
    if isinstance(error, TooMuchMemory):
        return "memory"
    if isinstance(error, KernelDied) or "Kernel dead" in str(error):
        return "died"
    return "time" if item.parent.timed_out else "error"
