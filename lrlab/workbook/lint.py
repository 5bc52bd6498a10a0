"""``lrlab workbook lint``: what would let a student, nbval, nbgrader or a grader stumble over a workbook.

``build`` refuses what it cannot build; this finds what it builds, but should not be handed out.
"""

from __future__ import annotations

import ast
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lrlab import notebooks
from lrlab.notebooks import NotebookError
from lrlab.workbook import books, building
from lrlab.workbook.building import SOLUTION, Workbook, role_of
from lrlab.workbook.questions import Question
from lrlab.workbook.verdicts import UnknownWorkbook

CELL_SECONDS = 20.0  # what a cell of a workbook may take on two CPU cores
MISTAKES, RIGHTS, HINTS = 5, 3, 3  # what a question has at least
DIFFICULTIES = 3

_HEADING = re.compile(r"^#+ .*?(?P<full>★+)(?P<empty>☆*) · (?P<minutes>\d+) min · (?P<points>\d+) points?\s*$", re.M)


def main(names: Sequence[str]) -> int:
    """The command ``lrlab workbook lint [NAME ...]``; the result is the exit status."""
    from lrlab.cli import find_root

    try:
        workbooks = building.select(find_root() or Path.cwd(), names)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    found = [f"{workbook.name}: {finding}" for workbook in workbooks for finding in lint(workbook)]
    for finding in found:
        print(finding, file=sys.stderr)
    if not found:
        print(f"{len(workbooks)} workbook{'s' * (len(workbooks) != 1)}, nothing found")
    return 1 if found else 0


def lint(workbook: Workbook, cell_seconds: float = CELL_SECONDS) -> list[str]:
    """Run the solved workbook and look at everything; the findings, a sentence each.

    Args:
        workbook: the workbook.
        cell_seconds: what a cell may take.
    """
    try:
        solved = building.convert(workbook.source)
    except NotebookError as error:
        return [str(error)]
    ran = []
    with tempfile.TemporaryDirectory() as folder:
        try:
            notebooks.execute(solved, Path(folder), cell_seconds)
        except NotebookError as error:
            ran.append(str(error))
    return [*ran, *findings(workbook.name, solved)]


def findings(name: str, solved: Any) -> Iterator[str]:
    """What is wrong with a solved workbook that was run, without running it again."""
    yield from _of_the_checks(solved)
    yield from _of_the_texts(solved)
    yield from _leaks(solved)
    yield from _of_the_book(name, solved)


# --- what nbval and nbgrader need -------------------------------------------------------------------------------------


def _of_the_checks(solved: Any) -> Iterator[str]:
    for number, cell in enumerate(solved.cells, 1):
        if cell.cell_type != "code":
            continue
        where = f"{_question(cell)}: its check" if role_of(cell) == "check" else f"cell {number}"
        yield from (f"{where} {problem}" for problem in notebooks.problems_of_outputs(cell))
        if cell.source.rstrip().endswith(";"):
            yield f"{where} ends with a semicolon, which strict nbval takes for another output"
        if re.search(r"\btqdm\b", cell.source):
            yield f"{where} shows a progress bar, which goes to stderr and differs from run to run"
        if role_of(cell) == "check":
            yield from (f"{where} {problem}" for problem in _of_a_check(cell))


def _of_a_check(cell: Any) -> Iterator[str]:
    last = ast.parse(cell.source).body[-1:]
    if last and isinstance(last[0], ast.Expr) and not isinstance(last[0].value, ast.Call):
        yield "ends in an expression: nbgrader takes its value for points"
    elif any(output.output_type == "execute_result" for output in cell.get("outputs", ())):
        yield "ends in an expression that has a value: nbgrader takes it for points"
    if not re.search(rf"\.check\(\s*[\"']{_question(cell)}[\"']\s*,", cell.source):
        yield f"does not call book.check({_question(cell)!r}, ...)"
    if set(cell.metadata.get("tags", ())) & {"nbval-skip", "raises-exception", "nbval-ignore-output"}:
        yield "has a tag that lets nbval look away"


# --- what a student reads ---------------------------------------------------------------------------------------------


def _of_the_texts(solved: Any) -> Iterator[str]:
    texts = {_question(cell): cell.source for cell in solved.cells if role_of(cell) == "text"}
    for cell in solved.cells:
        if role_of(cell) != "check":
            continue
        question = _question(cell)
        text = texts.get(question)
        if text is None:
            yield f"{question}: no text stands before its answer's cell"
            continue
        yield from (f"{question}: {problem}" for problem in _of_a_heading(text, cell.metadata["lrlab"]))
        for word in ("Given", "Asked", "Example"):
            if not re.search(rf"\b{word}\b", text):
                yield f"{question}: its text has no {word!r}"


def _of_a_heading(text: str, check: Any) -> Iterator[str]:
    if check["difficulty"] > DIFFICULTIES:
        yield f"its difficulty is {check['difficulty']}; there are {DIFFICULTIES} stars"
    match = _HEADING.search(text)
    if match is None:
        yield "its heading must end like '★☆☆ · 5 min · 2 points'"
        return
    stated = {"difficulty": len(match["full"]), "minutes": int(match["minutes"]), "points": int(match["points"])}
    for key, value in stated.items():
        if value != check[key]:
            yield f"its heading says {key} {value}, its check {key}={check[key]}"
    if len(match["full"]) + len(match["empty"]) != DIFFICULTIES:
        yield f"its heading has {len(match['full']) + len(match['empty'])} stars, full and empty; {DIFFICULTIES} belong"


def _leaks(solved: Any) -> Iterator[str]:
    """Lines of a solution, whatever their spaces, in what a student reads: texts, stubs, outputs of checks."""
    student = building.without_solutions(solved)
    shown = [(f"cell {number}", _shown(cell)) for number, cell in enumerate(student.cells, 1)]
    for cell, stub in zip(solved.cells, student.cells, strict=True):
        if role_of(cell) != "answer":
            continue
        given = {_squeezed(line) for line in _code_lines(stub.source)}
        for line in _solution_lines(cell.source):
            for piece in _telling(line):
                if piece not in given:
                    yield from (
                        f"{_question(cell)}: {line!r} of its solution stands in {where}"
                        for where, text in shown
                        if piece in text
                    )


def _telling(line: str) -> set[str]:
    """What of a line would give it away, without spaces: all of it, and its formula if it is more than a name."""
    formula = re.sub(r"^(return |[\w, ]+ = )", "", line)
    pieces = {_squeezed(line)}
    if re.search(r"[-+*/%@(<>|&]", formula):
        pieces.add(_squeezed(formula))
    return {piece for piece in pieces if len(piece) >= 8}


def _shown(cell: Any) -> str:
    if cell.cell_type == "code" and role_of(cell) != "answer":  # given code may well do what a solution does
        texts = [output.get("text", "") + str(output.get("data", "")) for output in cell.get("outputs", ())]
        return _squeezed("".join(texts))
    return _squeezed(cell.source)


def _squeezed(text: str) -> str:
    return re.sub(r"\s", "", text)


def _code_lines(source: str) -> list[str]:
    return [line.strip() for line in source.splitlines() if not line.strip().startswith("#")]


def _solution_lines(source: str) -> list[str]:
    lines: list[str] = []
    inside = False
    for line in map(str.strip, source.splitlines()):
        if line in SOLUTION:
            inside = line == SOLUTION[0]
        elif inside and line and not line.startswith("#"):
            lines.append(line)
    return lines


# --- what the book knows ----------------------------------------------------------------------------------------------


def _of_the_book(name: str, solved: Any) -> Iterator[str]:
    try:
        questions, version = books.questions(name), books.version(name)
    except UnknownWorkbook:
        yield f"there is no lrlab/workbook/books/w{name}.py"
        return
    except AttributeError as error:
        yield f"lrlab/workbook/books/w{name}.py is not complete: {error}"
        return
    stated = solved.metadata["lrlab"]["version"]
    if stated != version:
        yield f"its first cell opens version {stated}, its book has VERSION = {version}"
    answers = [cell for cell in solved.cells if role_of(cell) == "answer"]
    asked = [_question(cell) for cell in answers]
    if asked != [question.name for question in questions]:
        yield f"it asks {', '.join(asked)}; its book has {', '.join(question.name for question in questions)}"
    stubs = {_question(cell): cell.source for cell in answers}
    for question in questions:
        yield from (f"{question.name}: {problem}" for problem in _of_a_question(question, stubs.get(question.name)))


def _of_a_question(question: Question, stub: str | None) -> Iterator[str]:
    if len(question.mistakes) < MISTAKES:
        yield f"its catalogue has {_count(question.mistakes, 'mistake')}; at least {MISTAKES} belong"
    if len({mistake.name for mistake in question.mistakes}) < len(question.mistakes):
        yield "two mistakes of its catalogue have the same name"
    if len({mistake.message for mistake in question.mistakes}) < len(question.mistakes):
        yield "two mistakes of its catalogue have the same message"
    if len(question.rights) < RIGHTS:
        yield f"it has {_count(question.rights, 'right answer')} to test the check with; at least {RIGHTS} belong"
    if len(question.hints) < HINTS:
        yield f"it has {_count(question.hints, 'hint')}; {HINTS} belong, a stage each"
    if not question.examples:
        yield "it has no example to be tried first"
    if stub is not None:
        yield from _of_a_stub(question, stub)


def _of_a_stub(question: Question, stub: str) -> Iterator[str]:
    functions = [node for node in ast.parse(stub).body if isinstance(node, ast.FunctionDef)]
    function = next((node for node in functions if node.name == question.function), None)
    if function is None:
        yield f"its stub defines {', '.join(node.name for node in functions) or 'nothing'}, not {question.function}"
        return
    parameters = tuple(argument.arg for argument in function.args.args)
    if parameters != question.parameters:
        yield f"its stub takes ({', '.join(parameters)}), its signature ({', '.join(question.parameters)})"
    if ast.get_docstring(function) is None:
        yield "its stub has no docstring"


def _count(things: Sequence[Any], noun: str) -> str:
    return f"{len(things)} {noun}{'s' * (len(things) != 1)}"


def _question(cell: Any) -> str:
    return str(cell.metadata["lrlab"]["question"])
