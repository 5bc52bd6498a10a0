"""``lrlab workbook lint``: what would let a student, nbval, nbgrader or a grader stumble over a workbook.

``build`` refuses what it cannot build; this finds what it builds, but should not be handed out. Each finding begins
with the file and the line where it is to be mended, as a compiler's do.
"""

from __future__ import annotations

import ast
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lrlab import notebooks
from lrlab.notebooks import NotebookError
from lrlab.workbook import books, building, judging
from lrlab.workbook.building import SOLUTION, Workbook, role_of
from lrlab.workbook.questions import Mistake, Question
from lrlab.workbook.verdicts import UnknownWorkbook, Verdict, Wrong

CELL_SECONDS = 120.0  # a cell takes a second or two; so many on a machine that has other things to do
MISTAKES, RIGHTS, HINTS = 5, 3, 3  # what a question has at least
DIFFICULTIES = 3
LONG = 8  # characters of a line: a shorter one may well stand inside another

_HEADING = re.compile(r"^#+ .*?(?P<full>★+)(?P<empty>☆*) · (?P<minutes>\d+) min · (?P<points>\d+) points?\s*$", re.M)


def main(names: Sequence[str]) -> int:
    """The command ``lrlab workbook lint [NAME ...]``; the result is the exit status."""
    from lrlab.cli import find_root

    try:
        workbooks = building.select(find_root() or Path.cwd(), names)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    found = [finding for workbook in workbooks for finding in lint(workbook)]
    for finding in found:
        print(finding, file=sys.stderr)
    if not found:
        print(f"{len(workbooks)} workbook{'s' * (len(workbooks) != 1)}, nothing found")
    return 1 if found else 0


@dataclass(frozen=True)
class Finding:
    """Something that should not be handed out.

    Attributes:
        words: a sentence.
        cell: the number of the cell it stands in, from 1 on; 0 if it stands in none.
        question: the question of the book that it is about; empty if it is about none.
    """

    words: str
    cell: int = 0
    question: str = ""


def lint(workbook: Workbook, cell_seconds: float = CELL_SECONDS) -> list[str]:
    """Run the solved workbook, try its book, and look at everything; the findings, a line each, with file and line.

    Args:
        workbook: the workbook.
        cell_seconds: what a cell may take.
    """
    return [_placed(workbook, finding) for finding in _all_findings(workbook, cell_seconds)]


def _all_findings(workbook: Workbook, cell_seconds: float) -> Iterator[Finding]:
    try:
        solved = building.convert(workbook.source)
    except NotebookError as error:
        number = re.match(r"cell (\d+)", str(error))
        yield Finding(str(error), cell=int(number[1]) if number else 0)
        return
    with tempfile.TemporaryDirectory() as folder:
        try:
            notebooks.execute(solved, Path(folder), cell_seconds)
        except NotebookError as error:
            yield Finding(str(error), cell=_last_that_ran(solved))
    yield from findings(workbook.name, solved)
    yield from _of_the_catalogue(workbook.name)


def _last_that_ran(solved: Any) -> int:
    ran = [number for number, cell in enumerate(solved.cells, 1) if cell.get("execution_count") or cell.get("outputs")]
    return max(ran, default=0)


def _placed(workbook: Workbook, finding: Finding) -> str:
    """The finding behind the file and the line it is about, seen from the clone."""
    path, line = workbook.source, 1
    if finding.cell:
        line = _lines_of_cells(path)[finding.cell - 1]
    elif finding.question:
        path = workbook.root / "lrlab" / "workbook" / "books" / f"w{workbook.name}.py"
        line = _line_with(path, f'name="{finding.question}"')
    return f"{path.relative_to(workbook.root)}:{line}: {finding.words}"


def _lines_of_cells(source: Path) -> list[int]:
    lines = source.read_text(encoding="utf-8").splitlines()
    return [number for number, line in enumerate(lines, 1) if line.startswith("# %%")]


def _line_with(path: Path, text: str) -> int:
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return next((number for number, line in enumerate(lines, 1) if text in line), 1)


def findings(name: str, solved: Any) -> Iterator[Finding]:
    """What is wrong with a solved workbook that was run, without running it again."""
    yield from _of_the_checks(solved)
    yield from _of_the_texts(solved)
    yield from _leaks(solved)
    yield from _of_the_book(name, solved)


# --- what nbval and nbgrader need -------------------------------------------------------------------------------------


def _of_the_checks(solved: Any) -> Iterator[Finding]:
    for number, cell in enumerate(solved.cells, 1):
        if cell.cell_type == "code":
            where = f"{_question(cell)}: its check" if role_of(cell) == "check" else f"cell {number}"
            yield from (Finding(f"{where} {problem}", cell=number) for problem in _of_a_code_cell(cell))


def _of_a_code_cell(cell: Any) -> Iterator[str]:
    yield from notebooks.problems_of_outputs(cell)
    if cell.source.rstrip().endswith(";"):
        yield "ends with a semicolon, which strict nbval takes for another output"
    if re.search(r"\btqdm\b", cell.source):
        yield "shows a progress bar, which goes to stderr and differs from run to run"
    if role_of(cell) == "check":
        yield from _of_a_check(cell)


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


def _of_the_texts(solved: Any) -> Iterator[Finding]:
    texts = {_question(cell): number for number, cell in enumerate(solved.cells, 1) if role_of(cell) == "text"}
    for number, cell in enumerate(solved.cells, 1):
        if role_of(cell) != "check":
            continue
        question = _question(cell)
        place = texts.get(question)
        if place is None:
            yield Finding(f"{question}: no text stands before its answer's cell", cell=number)
            continue
        problems = _of_a_text(solved.cells[place - 1].source, cell.metadata["lrlab"])
        yield from (Finding(f"{question}: {problem}", cell=place) for problem in problems)


def _of_a_text(text: str, check: Any) -> Iterator[str]:
    yield from _of_a_heading(text, check)
    for word in ("Given", "Asked", "Example"):
        if not re.search(rf"\b{word}\b", text):
            yield f"its text has no {word!r}"


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


def _leaks(solved: Any) -> Iterator[Finding]:
    """Lines of a solution, whatever their spaces, in what a student reads: texts, stubs, outputs of checks."""
    student = building.without_solutions(solved)
    shown = [(number, _shown(cell)) for number, cell in enumerate(student.cells, 1)]
    for cell, stub in zip(solved.cells, student.cells, strict=True):
        if role_of(cell) != "answer":
            continue
        given = {_squeezed(line) for line in _code_lines(stub.source)}
        for line in _solution_lines(cell.source):
            telling = _telling(line) - given
            yield from (
                Finding(f"{_question(cell)}: {line!r} of its solution stands in cell {number}", cell=number)
                for number, text in shown
                if any(_gives_away(piece, text) for piece in telling)
            )


def _telling(line: str) -> set[str]:
    """What of a line would give it away, without spaces: all of it, and its formula if it is more than a name."""
    formula = re.sub(r"^(return |[\w, ]+ = )", "", line)
    pieces = {_squeezed(line)}
    if re.search(r"[-+*/%@(<>|&]", formula):
        pieces.add(_squeezed(formula))
    return pieces


def _gives_away(piece: str, text: str) -> bool:
    """True if the text shows the piece; a short one, x/2, only where it stands by itself, as code or as a line."""
    if len(piece) >= LONG:
        return piece in _squeezed(text)
    alone = [*re.findall(r"`+([^`]+)`+", text), *text.splitlines()]
    return piece in map(_squeezed, alone)


def _shown(cell: Any) -> str:
    if cell.cell_type == "code" and role_of(cell) != "answer":  # given code may well do what a solution does
        return "\n".join(output.get("text", "") + str(output.get("data", "")) for output in cell.get("outputs", ()))
    return str(cell.source)


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


def _of_the_book(name: str, solved: Any) -> Iterator[Finding]:
    try:
        questions, version = books.questions(name), books.version(name)
    except UnknownWorkbook:
        yield Finding(f"there is no lrlab/workbook/books/w{name}.py")
        return
    except AttributeError as error:
        yield Finding(f"lrlab/workbook/books/w{name}.py is not complete: {error}")
        return
    stated = solved.metadata["lrlab"]["version"]
    if stated != version:
        yield Finding(f"its first cell opens version {stated}, its book has VERSION = {version}")
    answers = {_question(cell): number for number, cell in enumerate(solved.cells, 1) if role_of(cell) == "answer"}
    if list(answers) != [question.name for question in questions]:
        in_the_book = ", ".join(question.name for question in questions)
        yield Finding(f"it asks {', '.join(answers)}; its book has {in_the_book}")
    for question in questions:
        named = f"{question.name}: "
        yield from (Finding(named + problem, question=question.name) for problem in _of_a_question(question))
        if number := answers.get(question.name):
            problems = _of_a_stub(question, solved.cells[number - 1].source)
            yield from (Finding(named + problem, cell=number) for problem in problems)


def _of_a_question(question: Question) -> Iterator[str]:
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


def _of_the_catalogue(name: str) -> Iterator[Finding]:
    """What the check makes of each mistake and of each right answer, tried as a student's are."""
    if name not in books.names():
        return
    for question in books.questions(name):
        for mistake in question.mistakes:
            if problem := _of_a_mistake(question, mistake, name):
                yield Finding(f"{question.name}: its mistake {mistake.name!r} {problem}", question=question.name)
        for number, right in enumerate((question.answer, *question.rights)):
            refused = _verdict(question, right, name)
            which = f"right answer {number}" if number else "reference"
            if refused is not None:
                words = " ".join(str(refused).split())
                yield Finding(f"{question.name}: its {which} is refused: {words}", question=question.name)


def _of_a_mistake(question: Question, mistake: Mistake, seed: str) -> str:
    found = _verdict(question, mistake.answer, seed)
    if found is None:
        return "passes as right: on all inputs it is what the right answer is"
    if not isinstance(found, Wrong):
        return f"is no wrong value: {str(found).splitlines()[0]}"
    if found.mistake != mistake.name:
        return f"is taken for {found.mistake!r}" if found.mistake else f"is not recognised: {found.kind}"
    return ""


def _verdict(question: Question, function: Callable[..., Any], seed: str) -> Verdict | None:
    try:
        judging.check(question, function, seed)
    except Verdict as found:
        return found
    return None


def _count(things: Sequence[Any], noun: str) -> str:
    return f"{len(things)} {noun}{'s' * (len(things) != 1)}"


def _question(cell: Any) -> str:
    return str(cell.metadata["lrlab"]["question"])
