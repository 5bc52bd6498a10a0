"""A workbook's three files, built from its one source.

``exercises/source/NN_name.py`` (jupytext's percent format) holds the text, the stubs with their solutions, the check
cells and their points. ``build`` runs it on a fresh kernel and writes

- ``exercises/solved/NN_name.ipynb``, the solved workbook: what a teacher reads, what nbval runs, and the source that
  nbgrader's ``generate_assignment`` takes;
- ``exercises/NN_name.ipynb``, the student's: the solutions are out, the check cells keep their outputs of the solved
  run, so that everybody sees what is to be reached;
- ``lrlab/workbook/records/NN_name.json``, the pristine record: every cell as the student gets it, and for each question
  its points, difficulty, minutes and solution. What a student hands in is measured against it.

A cell belongs to a question by its header: ``# %% question="momentum"`` is the answer's cell, the same with
``points=2 difficulty=1 minutes=5`` the check's. The ids of these cells come from question and role, so they stay when
the text changes. A second build changes nothing.
"""

from __future__ import annotations

import contextlib
import copy
import json
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lrlab import notebooks
from lrlab.notebooks import NotebookError

STUB = ("# YOUR CODE HERE", "raise NotImplementedError()")  # nbgrader's own, to the letter
SOLUTION = ("### BEGIN SOLUTION", "### END SOLUTION")
HIDDEN = ("### BEGIN HIDDEN TESTS", "### END HIDDEN TESTS")
NBGRADER_SCHEMA = 3
CHECK_KEYS = ("points", "difficulty", "minutes")  # in the header of a check cell, and of no other

LOAD = re.compile(
    r"""^book\s*=\s*load\(\s*["'](?P<name>\w+)["']\s*(?:,\s*version\s*=\s*(?P<version>\d+))?""", re.MULTILINE
)
_QUESTION = re.compile(r"[a-z][a-z0-9_]{0,39}")  # a name for nbgrader ([a-zA-Z0-9_-]*) and for Python


@dataclass(frozen=True)
class Workbook:
    """Where the files of a workbook are, in a clone that begins at ``root``."""

    root: Path
    name: str

    @property
    def source(self) -> Path:
        return self.root / "exercises" / "source" / f"{self.name}.py"

    @property
    def student(self) -> Path:
        return self.root / "exercises" / f"{self.name}.ipynb"

    @property
    def solved(self) -> Path:
        return self.root / "exercises" / "solved" / f"{self.name}.ipynb"

    @property
    def record(self) -> Path:
        return self.root / "lrlab" / "workbook" / "records" / f"{self.name}.json"


def find(root: Path) -> list[Workbook]:
    """The workbooks of a clone that have a source, by name."""
    return [Workbook(root, source.stem) for source in sorted(root.glob("exercises/source/*.py"))]


def select(root: Path, names: Sequence[str]) -> list[Workbook]:
    """The workbooks named; all without a name.

    Raises:
        ValueError: a name without a source.
    """
    workbooks = {workbook.name: workbook for workbook in find(root)}
    if unknown := [name for name in names if name not in workbooks]:
        there = ", ".join(workbooks) or "none"
        raise ValueError(f"no exercises/source/{unknown[0]}.py here; the workbooks are: {there}")
    return [workbooks[name] for name in names or workbooks]


def main(action: str, names: Sequence[str]) -> int:
    """The command ``lrlab workbook build|check [NAME ...]``; the result is the exit status."""
    from lrlab.cli import find_root

    root = find_root() or Path.cwd()
    try:
        return run(action, root, select(root, names))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2


def run(action: str, root: Path, workbooks: Sequence[Workbook]) -> int:
    """``build`` or ``check`` these workbooks and say what came of it; the result is the exit status."""
    if not workbooks:
        return 0
    return _build_all(workbooks) if action == "build" else _check_all(root, workbooks)


def _build_all(workbooks: Sequence[Workbook]) -> int:
    failed = 0
    for workbook in workbooks:
        try:
            seconds = build(workbook)
        except NotebookError as error:
            failed += 1
            print(f"workbook {workbook.name}: NOT built: {error}", file=sys.stderr)
            continue
        kilobytes = workbook.student.stat().st_size / 1000
        print(f"workbook {workbook.name}: {seconds:.1f} s, {kilobytes:.0f} kB", flush=True)
    return 1 if failed else 0


def _check_all(root: Path, workbooks: Sequence[Workbook]) -> int:
    found = [f"workbook {workbook.name}: {problem}" for workbook in workbooks for problem in check(workbook)]
    known = {path for workbook in find(root) for path in (workbook.student, workbook.solved, workbook.record)}
    built = (*root.glob("exercises/*.ipynb"), *root.glob("exercises/solved/*.ipynb"))
    records = root.glob("lrlab/workbook/records/*.json")
    found += [f"{path.relative_to(root)}: it has no source" for path in sorted((*built, *records)) if path not in known]
    return notebooks.report(found, f"{len(workbooks)} workbooks agree with their sources")


# --- building ---------------------------------------------------------------------------------------------------------


def build(workbook: Workbook, cell_seconds: float = notebooks.CELL_SECONDS) -> float:
    """Run a source on a fresh kernel and write the three files; the seconds it took.

    Nothing is written unless every cell ran, every check was passed and ``notebooks.problems`` finds nothing.

    Raises:
        NotebookError: the source is not as it must be, a cell raised or took too long, or the check found something.
    """
    solved = convert(workbook.source)
    for path in (workbook.solved, workbook.record):
        path.parent.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    with _in_place(workbook.record, record_text(solved)):  # the run reads its points there
        with tempfile.TemporaryDirectory() as folder:  # a student's progress must not come from the teacher's run
            notebooks.execute(solved, Path(folder), cell_seconds)
        seconds = time.perf_counter() - start
        _leave_out_what_varies(solved)
        text = notebooks.to_text(one_folder_down(solved))
        if found := list(notebooks.problems(solved, len(text.encode()))):
            raise NotebookError("\n  ".join(found))
    notebooks.write(workbook.solved, text)
    notebooks.write(workbook.student, notebooks.to_text(without_solutions(solved)))
    return seconds


@contextlib.contextmanager
def _in_place(path: Path, text: str) -> Iterator[None]:
    """Write a file; if what follows fails, it is again as it was."""
    before = path.read_text(encoding="utf-8") if path.exists() else None
    notebooks.write(path, text)
    try:
        yield
    except BaseException:
        if before is None:
            path.unlink()
        else:
            notebooks.write(path, before)
        raise


def convert(source: Path) -> Any:
    """The solved workbook of a source, without outputs: nbgrader's metadata, ours, and stable ids.

    Raises:
        NotebookError: a header, a region or a pair of cells is not as it must be; the message says which.
    """
    notebook = notebooks.convert(source)
    mark = {"workbook": source.stem, "version": _version(notebook, source.stem)}
    notebook.metadata["lrlab"] = mark
    answers: list[str] = []
    checks: list[str] = []
    previous = None
    for number, cell in enumerate(notebook.cells, 1):
        try:
            question, role = _question_and_role(cell)
            if role:
                (answers if role == "answer" else checks).append(question)
                _mark(cell, question, role, mark)
            if role == "answer" and previous is not None and previous.cell_type == "markdown":
                _mark(previous, question, "text", mark)
        except ValueError as error:
            raise NotebookError(f"cell {number}: {error}") from None
        previous = cell
    _match(answers, checks)
    return notebook


def _version(notebook: Any, name: str) -> int:
    """The version in ``book = load("03_momentum", version=2)``; 1 if it names none."""
    call = next(filter(None, (LOAD.search(cell.source) for cell in notebook.cells if cell.cell_type == "code")), None)
    if call is None:
        raise NotebookError(f'no cell opens the workbook: book = load("{name}", version=1)')
    if call["name"] != name:
        raise NotebookError(f"it opens the workbook {call['name']!r}; its own name is {name!r}")
    return int(call["version"] or 1)


def _question_and_role(cell: Any) -> tuple[str, str]:
    given = [key for key in CHECK_KEYS if key in cell.metadata]
    question = cell.metadata.get("question")
    if question is None:
        if given:
            raise ValueError(f"it has {given[0]}= but no question=")
        for begin, _ in (SOLUTION, HIDDEN):
            if begin in cell.source:
                raise ValueError(f"it holds {begin} but has no question= in its header")
        return "", ""
    if not isinstance(question, str) or not _QUESTION.fullmatch(question):
        raise ValueError(f"question={question!r}; allowed are up to 40 small letters, digits and _, a letter first")
    if cell.cell_type != "code":
        raise ValueError(f"question={question!r} stands on a text cell; it belongs on the answer's and the check's")
    if not given:
        if "\n".join(cell.source.splitlines()) == _replace(cell.source, SOLUTION, STUB):
            raise ValueError(f"the answer's cell of {question!r} has no {SOLUTION[0]} ... {SOLUTION[1]}")
        return question, "answer"
    for key in CHECK_KEYS:
        value = cell.metadata.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ValueError(f"{key}={value!r} at the check of {question!r}; it must be a whole number from 1 on")
    _replace(cell.source, HIDDEN, ())
    return question, "check"


def _mark(cell: Any, question: str, role: str, mark: dict[str, Any]) -> None:
    """Give a cell its id and its metadata: nbgrader's schema admits no key of ours, so ours stand beside it."""
    ours = {"question": question, "role": role, **mark}
    ours.update({key: cell.metadata.pop(key) for key in CHECK_KEYS if key in cell.metadata})
    cell.metadata.pop("question", None)
    cell["id"] = f"{question}-{role}"
    cell.metadata["lrlab"] = ours
    if role == "text":
        return
    is_check = role == "check"
    cell.metadata["nbgrader"] = {
        "schema_version": NBGRADER_SCHEMA,
        "grade": is_check,
        "grade_id": cell["id"],
        "locked": is_check,
        "solution": not is_check,
        "task": False,
        **({"points": ours["points"]} if is_check else {}),
    }


def _match(answers: Sequence[str], checks: Sequence[str]) -> None:
    for role, names in (("answer", answers), ("check", checks)):
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise NotebookError(f"the question {twice[0]!r} has two {role} cells")
    if answers != checks:
        raise NotebookError(f"each answer's cell is followed by its check; found answers {answers}, checks {checks}")


def _leave_out_what_varies(notebook: Any) -> None:
    ours = notebook.metadata["lrlab"]
    notebooks.leave_out_what_varies(notebook)
    notebook.metadata["lrlab"] = ours


def without_solutions(solved: Any) -> Any:
    """The student's workbook of a solved one: stubs for solutions, no hidden test, outputs at the check cells only."""
    notebook = copy.deepcopy(solved)
    for cell in notebook.cells:
        role = role_of(cell)
        if role == "answer":
            cell.source = _replace(cell.source, SOLUTION, STUB)
        elif role == "check":
            cell.source = _replace(cell.source, HIDDEN, ())
        if cell.cell_type == "code" and role != "check":
            cell.outputs, cell.execution_count = [], None
    return notebook


def one_folder_down(notebook: Any) -> Any:
    """The notebook with links that hold in ``exercises/solved``; the source is written for ``exercises``."""
    notebook = copy.deepcopy(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = cell.source.replace("](../", "](../../")
    return notebook


def role_of(cell: Any) -> str:
    """What a cell is for its question: "text", "answer", "check", or "" if it belongs to none."""
    return str(cell.metadata.get("lrlab", {}).get("role", ""))


def _replace(source: str, region: tuple[str, str], stub: Sequence[str]) -> str:
    """The source with each region between two markers replaced by the stub, indented as the marker was."""
    lines: list[str] = []
    inside = False
    begin, end = region
    for line in source.splitlines():
        if line.strip() in region:
            if inside == (line.strip() == begin):
                raise ValueError(f"{line.strip()} without its {end if inside else begin} before it")
            inside = not inside
            if inside:
                lines += [line[: line.index(begin)] + stub_line for stub_line in stub]
        elif not inside:
            lines.append(line)
    if inside:
        raise ValueError(f"{begin} without {end}")
    return "\n".join(lines)


def record_text(converted: Any) -> str:
    """The pristine record of a converted source, as JSON."""
    student = without_solutions(converted)
    cells = [
        {"id": cell["id"], "cell_type": cell.cell_type, "source": cell.source, "metadata": cell.metadata}
        for cell in student.cells
    ]
    by_question: dict[str, dict[str, Any]] = {key: {} for key in (*CHECK_KEYS, "solutions")}
    for cell in converted.cells:
        ours = cell.metadata.get("lrlab", {})
        if role_of(cell) == "answer":
            kept = [line for line in cell.source.splitlines() if line.strip() not in SOLUTION]
            by_question["solutions"][ours["question"]] = "\n".join(kept)
        elif role_of(cell) == "check":
            for key in CHECK_KEYS:
                by_question[key][ours["question"]] = ours[key]
    ours = converted.metadata["lrlab"]
    record = {"name": ours["workbook"], "version": ours["version"], **by_question, "cells": cells}
    return json.dumps(record, indent=1, ensure_ascii=False) + "\n"


# --- checking ---------------------------------------------------------------------------------------------------------


def check(workbook: Workbook) -> Iterator[str]:
    """Where the three files are not what ``build`` would make of the source, a sentence each.

    The outputs of the solved workbook are not compared with a new run: nbval does that.
    """
    try:
        converted = convert(workbook.source)
        solved, student = notebooks.read(workbook.solved), notebooks.read(workbook.student)
    except NotebookError as error:
        yield str(error)
        return
    for path, built, wanted in (
        (workbook.solved, solved, one_folder_down(converted)),
        (workbook.student, student, without_solutions(converted)),
    ):
        where = path.relative_to(workbook.root)
        yield from (f"{where}: {problem}" for problem in notebooks.differences(wanted, built))
        if [cell.get("id") for cell in built.cells] != [cell.id for cell in wanted.cells]:
            yield f"{where}: its cells have other ids than the source gives them"
        if built.metadata.get("lrlab") != wanted.metadata["lrlab"]:
            yield f"{where}: it is marked {built.metadata.get('lrlab')}, its source {wanted.metadata['lrlab']}"
    problems = notebooks.problems(solved, workbook.solved.stat().st_size)
    yield from (f"{workbook.solved.relative_to(workbook.root)}: {problem}" for problem in problems)
    if notebooks.to_text(one_folder_down(student)) != notebooks.to_text(without_solutions(solved)):
        yield f"{workbook.student.relative_to(workbook.root)}: it is not the solved workbook without its solutions"
    if not workbook.record.exists() or workbook.record.read_text(encoding="utf-8") != record_text(converted):
        yield f"{workbook.record.relative_to(workbook.root)}: it is not the record of its source"
