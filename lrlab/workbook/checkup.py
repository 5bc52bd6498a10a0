"""``lrlab check exercises/03_momentum.ipynb``: the whole workbook run from top to bottom, and a table of the results.

It runs the student's own nbval command, ``pytest --nbval-lax --nbval-current-env``, in another process, on a copy: the
student's cells in the workbook's order, with the workbook's own checks (``handed``), beside the files that lie beside
the student's notebook. ``watch`` ends a cell that prints without end, that takes too long or too much memory, or that
killed the kernel. Then the answer it belongs to is replaced by its stub and the rest is run anew, so that one of them
does not take the others with it.

It is a self-check and no grade: the student's code and the checks share a process.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lrlab.workbook import handed
from lrlab.workbook.building import LOAD
from lrlab.workbook.handed import Handed, Step, Unreadable

CELL_SECONDS = 60.0
ALL_SECONDS = 300.0  # for the whole notebook
MEMORY = 4e9  # bytes that the kernel may hold, with what it has started; with torch it begins at half a GB
WIDTH = 110  # characters of a line
SHOWN_LINES = 24  # of what one check says

_ENDS = {
    "time": ("too slow", "it took longer than {seconds:g} s: is there a loop that does not end?"),
    "flood": ("prints too much", "it printed more than a million characters: is there a print in a loop without end?"),
    "memory": (
        "too much memory",
        "it held more than {memory:g} GB: is there a list or a tensor that grows without end?",
    ),
    "died": ("kernel died", "it ended Python itself: exit(), os._exit, or a fault in a library?"),
}
_VERDICTS = {"NotAttempted": "not attempted", "Wrong": "not right", "Raised": "raised", "TooSlow": "too slow"}
_UNPRINTABLE = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[^\n\t -~\xa0-\U0010ffff]")


@dataclass(frozen=True)
class Finding:
    """What came of a question."""

    question: str
    result: str  # "right", "not right", "raised", "not attempted", "missing", "too slow", ...
    says: str = ""  # a line for the table
    text: str = ""  # all that the check said


@dataclass
class Report:
    """What came of a notebook.

    Attributes:
        handed: the notebook, as it was read.
        findings: one for each question of the workbook, by name, in its order.
        notes: what else there is to say, a sentence each.
    """

    handed: Handed
    findings: dict[str, Finding] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def all_right(self) -> bool:
        return all(finding.result == "right" for finding in self.findings.values())


def main(path: Path, cell_seconds: float = CELL_SECONDS) -> int:
    """Check a notebook and print the table; 0 if all is right, 1 if not, 2 if it could not be checked."""
    missing = [name for name in ("nbval", "pytest", "ipykernel") if importlib.util.find_spec(name) is None]
    if missing:
        print(f"lrlab check needs {' and '.join(missing)}: pip install {' '.join(missing)}", file=sys.stderr)
        return 2
    if not cell_seconds > 0:
        print(f"--cell-seconds is {cell_seconds:g}; it must be more than 0", file=sys.stderr)
        return 2
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # who ends us ends the kernel, too
    try:
        report = check(path, cell_seconds)
    except Unreadable as error:
        _say(str(error), sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 2
    finally:
        signal.signal(signal.SIGTERM, before)
    _say(table(path, report), sys.stdout)
    return 0 if report.all_right else 1


def check(path: Path, cell_seconds: float = CELL_SECONDS, all_seconds: float = ALL_SECONDS) -> Report:
    """Run a student's notebook and collect what its checks say.

    Args:
        path: the notebook.
        cell_seconds: what a cell may take.
        all_seconds: what all of it may take; questions not reached by then are "not checked".

    Raises:
        Unreadable: it is no notebook, it is of no known workbook, or nbval could not run.
    """
    report = Report(handed.read(path, handed.records()))
    report.notes += report.handed.notes
    steps = list(report.handed.steps)
    found: dict[str, Finding] = {
        step.question: Finding(step.question, "missing", "its cell is not in your notebook")
        for step in steps
        if step.missing
    }
    deadline = time.monotonic() + all_seconds
    while True:
        results = _run(steps, path.parent, cell_seconds, deadline)
        stopped = _collect(steps, results, cell_seconds, found, report.notes)
        if time.monotonic() > deadline:
            report.notes.append(f"The {all_seconds:g} s for the whole notebook are over; the rest was not checked.")
            break
        if stopped is None or not _take_out(steps, stopped, report):
            break
    for question in report.handed.record["points"]:
        report.findings[question] = found.get(question, Finding(question, "not checked", "the run did not get there"))
    return report


# --- running ----------------------------------------------------------------------------------------------------------


def _run(steps: Sequence[Step], beside: Path, cell_seconds: float, deadline: float) -> list[dict[str, Any]]:
    """One run of nbval over the steps, in a folder like the student's; what ``watch`` wrote about each cell."""
    import nbformat

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cells = [nbformat.v4.new_code_cell(step.source) for step in steps]
        desk = folder / "desk"
        desk.mkdir()
        _lay_out(beside, desk)
        nbformat.write(nbformat.v4.new_notebook(cells=cells), desk / "workbook.ipynb")
        shutil.copy(Path(__file__).with_name("watch.py"), folder / "watch.py")
        (folder / "pytest.ini").write_text("[pytest]\n")
        command = [sys.executable, "-m", "pytest", "--nbval-lax", "--nbval-current-env", "desk/workbook.ipynb", "-q"]
        command += [f"--nbval-cell-timeout={cell_seconds:g}", "--color=no", "-p", "no:cacheprovider", "-p", "watch"]
        command += [f"--kernel-memory={MEMORY:g}"]
        command += ["-c", "pytest.ini", "--rootdir=.", "--noconftest"]  # the student may have such files as well
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
            try:
                process.wait(timeout=max(deadline - time.monotonic(), 0))
            except subprocess.TimeoutExpired:
                pass
            finally:
                _end(process)
        results = _lines(folder / "results.jsonl")
        if not any("cell" in line for line in results) and time.monotonic() < deadline:
            log_end = (folder / "log").read_text(encoding="utf-8", errors="replace")[-2000:]
            log_end = textwrap.indent(log_end, "  ")
            raise Unreadable(f"nbval could not run the notebook. The end of what it said:\n{log_end}")
        return [line for line in results if "cell" in line]


def _lay_out(beside: Path, desk: Path) -> None:
    """Give the run the files beside the notebook, to import and to read, but no notebook and no progress."""
    for path in beside.resolve().iterdir():
        if path.name.startswith(".") or path.name.endswith((".ipynb", ".progress.json")):
            continue
        try:
            (desk / path.name).symlink_to(path)
        except OSError:  # Windows keeps links for administrators
            if path.is_file():
                shutil.copy(path, desk)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End pytest, if it is still there, with the kernel and whatever that has started."""
    import psutil

    if process.poll() is not None:
        return
    started = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    for one in started:
        with contextlib.suppress(psutil.Error):
            one.kill()


def _lines(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        with contextlib.suppress(ValueError):  # half a line, if pytest was ended while it wrote
            lines.append(json.loads(line))
    return lines


def _take_out(steps: list[Step], stopped: Step, report: Report) -> bool:
    """Replace what ended the run, so that the rest can be run; False if it cannot be replaced."""
    if stopped.role == "extra" or (stopped.role == "given" and not LOAD.search(stopped.source)):
        steps.remove(stopped)
        return True
    for place, step in enumerate(steps):
        if step.role == "answer" and step.question == stopped.question != "":
            cells = report.handed.record["cells"]
            stub = next(cell["source"] for cell in cells if cell["id"] == f"{step.question}-answer")
            steps[place] = Step(stub, step.question, step.role)
            report.notes.append(
                f"Your answer to {step.question!r} ended the run. It was replaced by its stub, and the rest was run "
                "anew: an answer that calls it cannot be right before it is."
            )
            return step.source != stub
    return False


# --- what it means ----------------------------------------------------------------------------------------------------


def _collect(
    steps: Sequence[Step],
    results: Sequence[Mapping[str, Any]],
    cell_seconds: float,
    found: dict[str, Finding],
    notes: list[str],
) -> Step | None:
    """Enter the results of a run; the step that ended it, if one did."""
    for result in results:
        step = steps[result["cell"]]
        if step.role in ("answer", "check"):
            finding = _finding(step, result, cell_seconds)
            if finding is not None:
                found.setdefault(step.question, finding)
        elif not result["passed"]:
            note = _note(step, result, cell_seconds)
            if note not in notes:
                notes.append(note)
        if result["reason"] in _ENDS:
            return step
    return None


def _finding(step: Step, result: Mapping[str, Any], cell_seconds: float) -> Finding | None:
    if result["passed"]:
        return Finding(step.question, "right") if step.role == "check" else None
    if result["reason"] in _ENDS:
        kind, words = _ENDS[result["reason"]]
        says = words.format(seconds=cell_seconds, memory=MEMORY / 1e9)
        return Finding(step.question, kind, says, _without_places(_plain(result["evalue"])) or _line_of_own(result))
    verdict = _VERDICTS.get(result["ename"], "raised")
    text = _without_places(_plain(result["evalue"]))
    if result["ename"] not in _VERDICTS:
        name = result["ename"] or _first_line(_plain(result["said"]))
        text = f"{name}: {text}" if result["ename"] else _plain(result["said"])
        says = f"your cell itself raised {name}" if step.role == "answer" else f"the check could not be made: {name}"
        return Finding(step.question, verdict, says, text + "\n" + _line_of_own(result))
    return Finding(step.question, verdict, "" if verdict == "not attempted" else _in_short(text), text)


def _note(step: Step, result: Mapping[str, Any], cell_seconds: float) -> str:
    whose = "A cell of your own" if step.role == "extra" else "A cell of the workbook that asks nothing"
    if result["reason"] in _ENDS:
        kind, words = _ENDS[result["reason"]]
        what = f"{kind}: {words.format(seconds=cell_seconds, memory=MEMORY / 1e9)}"
    else:
        what = _first_line(_plain(f"{result['ename']}: {result['evalue']}" if result["ename"] else result["said"]))
    return f"{whose} ({_first_line(step.source)}) ended badly. {what}"


def _in_short(text: str) -> str:
    """The likely mistake by name, else what differs, else what was raised, else the headline."""
    for label, pattern in (("likely", r"(.*?)(?:\. |\.$|$)"), ("difference", "(.*)"), ("raised", "(.*)")):
        if match := re.search(rf"^{label} {{2,}}{pattern}", text, re.MULTILINE):
            return f"likely: {match[1].lower()}" if label == "likely" else match[1]
    return _first_line(text).partition(": ")[2] or _first_line(text)


def _line_of_own(result: Mapping[str, Any]) -> str:
    """The student's line in a traceback of IPython, which marks it with an arrow."""
    lines = "\n".join(map(_plain, result["traceback"])).splitlines()
    marked = [line.strip() for line in lines if re.match(r"-+> *\d+ ", line.strip())]
    return f"in line {re.sub(r'^-+> *', '', marked[0])}" if marked else ""


def _without_places(text: str) -> str:
    """Without the numbers of cells and the names of files, which are those of the copy that was run."""
    return re.sub(r"(\bcell \[\d+\], |\b\d+\.py, )(?=line \d)", "", text)


def _plain(text: str) -> str:
    return _UNPRINTABLE.sub("", text).strip()


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


# --- what is printed --------------------------------------------------------------------------------------------------


def table(path: Path, report: Report) -> str:
    """The table: question, result, points, what the check says; below it all that was said, then the notes."""
    record = report.handed.record
    points = record["points"]
    rows = [("question", "result", "points", "")]
    for name, finding in report.findings.items():
        gained = points[name] if finding.result == "right" else 0
        rows.append((name, finding.result, f"{gained:g}/{points[name]:g}", finding.says))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = [f"{path.name}: workbook {record['name']}, version {record['version']}", ""]
    for name, result, gained, says in rows:
        beginning = f"{name:<{widths[0]}}  {result:<{widths[1]}}  {gained:>{widths[2]}}"
        words = textwrap.wrap(_first_line(says), max(WIDTH - len(beginning) - 2, 30))[:3] or [""]
        lines += [f"{beginning}  {words[0]}".rstrip(), *(" " * (len(beginning) + 2) + more for more in words[1:])]
    right = [name for name, finding in report.findings.items() if finding.result == "right"]
    total = f"{sum(points[name] for name in right):g} of {sum(points.values()):g} points"
    lines += ["", f"{len(right)} of {len(points)} questions right, {total}."]
    for finding in report.findings.values():
        if finding.text and finding.result not in ("right", "not attempted"):
            lines += ["", *_shortened(finding)]
    for note in report.notes:
        lines += ["", *textwrap.wrap(_plain(note), WIDTH, subsequent_indent="  ")]
    return "\n".join(lines)


def _shortened(finding: Finding) -> list[str]:
    said = finding.text.strip()
    text = said if said.startswith(finding.question) else f"{finding.question}: {said}"
    lines = [line.rstrip() for line in text.splitlines()]
    lines = [line if len(line) <= 2 * WIDTH else f"{line[: 2 * WIDTH - 1]}…" for line in lines]
    more = [f"(and {len(lines) - SHOWN_LINES} lines more)"] if len(lines) > SHOWN_LINES else []
    return lines[:SHOWN_LINES] + more


def _say(text: str, stream: Any) -> None:
    """Print on a terminal of any encoding: what it cannot show becomes a question mark."""
    encoding = stream.encoding or "utf-8"
    print(text.encode(encoding, "replace").decode(encoding), file=stream)
