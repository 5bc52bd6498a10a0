"""The linter finds each thing that should not be handed out, and nothing in a workbook that is as it should be."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest

from lrlab import cli
from lrlab.workbook import Mistake, Question, UnknownWorkbook, books, building, lint

from .small import SOURCE, workbook

WORKBOOKS = building.find(Path(__file__).parents[2])


def question(name: str, **changes: Any) -> Question:
    parts: dict[str, Any] = {
        "name": name,
        "signature": f"{name}(x)",
        "draw": lambda random: {"x": random.integer(1, 9)},
        "answer": lambda x: x,
        "examples": ({"x": 3},),
        "mistakes": tuple(Mistake(f"off by {n}", lambda x, n=n: x + n, f"You added {n}.") for n in range(1, 6)),
        "rights": (lambda x: x, lambda x: x + 0, lambda x: 1 * x),
        "hints": ("where", "what", "how"),
    }
    return Question(**{**parts, **changes})


@pytest.fixture
def found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What is found in a workbook of this source and book, with these outputs at the check of "double"."""

    def found(source: str = SOURCE, outputs: tuple[Any, ...] = (), version: int = 3, **changes: Any) -> list[str]:
        made = (question(**{"name": "double", **changes}), question("square"))
        monkeypatch.setattr(books, "questions", lambda name: made)
        monkeypatch.setattr(books, "version", lambda name: version)
        solved = building.convert(workbook(tmp_path, source).source)
        next(cell for cell in solved.cells if cell.id == "double-check").outputs = list(outputs)
        return [finding.words for finding in lint.findings("90_small", solved)]

    return found


def test_nothing_is_found_in_a_good_one(found) -> None:
    assert found() == []


@pytest.mark.parametrize(
    ("old", "new", "finding"),
    [
        ('book.check("double", double)', 'book.check("double", double);', "double: its check ends with a semicolon"),
        ('book.check("double", double)', 'book.check("double", double)\n3', "double: its check ends in an expression"),
        ('book.check("double", double)', "double(3)", "double: its check does not call book.check('double', ...)"),
        ('book.check("double", double)', 'book.check("square", double)', "double: its check does not call"),
        (" minutes=2", ' minutes=2 tags=["nbval-skip"]', "double: its check has a tag that lets nbval look away"),
        ("book.progress()", "from tqdm import tqdm", "cell 9 shows a progress bar, which goes to stderr"),
        ("1 point\n", "1\n", "double: its heading must end like '★☆☆ · 5 min · 2 points'"),
        ("1 point\n", "3 points\n", "double: its heading says points 3, its check points=1"),
        ("· 2 min", "· 20 min", "double: its heading says minutes 20, its check minutes=2"),
        ("★☆☆", "★★☆", "double: its heading says difficulty 2, its check difficulty=1"),
        ("★☆☆", "★☆☆☆", "double: its heading has 4 stars, full and empty; 3 belong"),
        ("difficulty=1", "difficulty=4", "double: its difficulty is 4; there are 3 stars"),
        ("# Example: `double(3)` is 6.\n", "", "double: its text has no 'Example'"),
        ("# Given: a number x. Asked: twice", "# Twice", "double: its text has no 'Given'"),
        ("is 6.", "is secret_sum = x+x.", "double: 'secret_sum = x + x' of its solution stands in cell 3"),
        ("is 6.", "is 6. Hint: `x  +  x`.", "double: 'secret_sum = x + x' of its solution stands in cell 3"),
        ("# Example: `square(3)`", "# x**2\n# Example: `square(3)`", "square: 'secret_power = x**2' of its solution"),
        ('"""Twice x."""', '"""return secret_sum"""', "'return secret_sum' of its solution stands in cell 4"),
        ("def double(x)", "def double(y)", "double: its stub takes (y), its signature (x)"),
        ("def double(x)", "def twice(x)", "double: its stub defines twice, not double"),
        ('    """Twice x."""\n', "", "double: its stub has no docstring"),
    ],
)
def test_what_stands_in_the_source(found, old: str, new: str, finding: str) -> None:
    assert old in SOURCE
    assert any(finding in each for each in found(SOURCE.replace(old, new, 1)))


def test_a_question_without_text(found) -> None:
    without = re.sub(r"# %% \[markdown\]\n# ## 1(.*\n)*?\n", "", SOURCE, count=1)
    assert found(without) == ["double: no text stands before its answer's cell"]


@pytest.mark.parametrize(
    ("output", "finding"),
    [
        (nbformat.v4.new_output("stream", name="stderr", text="10%"), "double: its check wrote to stderr: 10%"),
        (
            nbformat.v4.new_output("execute_result", data={"text/plain": "2"}),
            "double: its check ends in an expression that has a value: nbgrader takes it for points",
        ),
        (
            nbformat.v4.new_output("display_data", data={"image/png": "A"}),
            "double: its check has a picture without alt text",
        ),
        (
            nbformat.v4.new_output("stream", text="return  secret_sum"),
            "double: 'return secret_sum' of its solution stands in cell 5",
        ),
        (
            nbformat.v4.new_output("stream", text="[<Line2D object at 0x7f3a5c0d1e10>]"),
            "double: its check shows a memory address",
        ),
    ],
)
def test_what_stands_in_the_outputs(found, output: Any, finding: str) -> None:
    if "image/png" in output.get("data", {}):
        output.data["image/png"] = "AAAA"
    assert any(each.startswith(finding) for each in found(outputs=(output,)))


@pytest.mark.parametrize(
    ("changes", "finding"),
    [
        ({"hints": ("one",)}, "double: it has 1 hint; 3 belong, a stage each"),
        ({"mistakes": question("double").mistakes[:4]}, "double: its catalogue has 4 mistakes; at least 5 belong"),
        ({"mistakes": question("double").mistakes * 2}, "double: two mistakes of its catalogue have the same name"),
        ({"rights": ()}, "double: it has 0 right answers to test the check with; at least 3 belong"),
        ({"examples": ()}, "double: it has no example to be tried first"),
        ({"version": 4}, "its first cell opens version 3, its book has VERSION = 4"),
        ({"name": "half"}, "it asks double, square; its book has half, square"),
    ],
)
def test_what_stands_in_the_book(found, changes: dict[str, Any], finding: str) -> None:
    assert finding in found(**changes)


def test_a_workbook_without_a_book(found, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def unknown(name: str) -> None:
        raise UnknownWorkbook(name)

    monkeypatch.setattr(books, "questions", unknown)
    solved = building.convert(workbook(tmp_path).source)
    words = [finding.words for finding in lint.findings("90_small", solved)]
    assert words == ["there is no lrlab/workbook/books/w90_small.py"]


def test_a_cell_over_time(found, tmp_path: Path) -> None:
    found()
    slow = workbook(tmp_path, SOURCE.replace("book.progress()", "import time; time.sleep(30)"))
    assert any("a cell took longer than 1 s" in each for each in lint.lint(slow, cell_seconds=1))


def test_a_question_without_points(tmp_path: Path) -> None:
    without = workbook(tmp_path, SOURCE.replace(" points=1", ""))
    assert lint.lint(without) == [
        "exercises/source/90_small.py:40: cell 5: points=None at the check of 'double'; "
        "it must be a whole number from 1 on"
    ]


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    workbook(tmp_path, SOURCE.replace("points=1", "points=0"))
    monkeypatch.chdir(tmp_path)
    assert cli.main(["workbook", "lint"]) == 1
    assert capsys.readouterr().err.startswith("exercises/source/90_small.py:40: cell 5: points=0 at the check")
    assert cli.main(["workbook", "lint", "none"]) == 2


@pytest.mark.parametrize("one", WORKBOOKS, ids=[one.name for one in WORKBOOKS])
def test_the_workbooks_of_this_repository(one: building.Workbook) -> None:
    solved = building.convert(one.source)
    for cell, ran in zip(solved.cells, nbformat.read(one.solved, as_version=4).cells, strict=True):
        cell.update({key: ran[key] for key in ("outputs", "execution_count") if key in ran})
    assert list(lint.findings(one.name, solved)) == []


def test_a_short_piece_inside_other_words_is_no_leak(found) -> None:
    """x+x is one of a solution's formulas; xx+xx and `max + xmin` are none."""
    assert found(SOURCE.replace("is 6.", "is 6, as `max+xmin` is, and x + x is not.")) == []


def test_each_finding_says_where_it_is_to_be_mended(found, tmp_path: Path) -> None:
    found()
    broken = SOURCE.replace("1 point\n", "3 points\n").replace("book.progress()", "1 / 0")
    book = tmp_path / "lrlab" / "workbook" / "books" / "w90_small.py"
    book.parent.mkdir(parents=True)
    book.write_text('\nDOUBLE = Question(\n    name="double",\n')
    source = workbook(tmp_path, broken)
    places = {str(finding).partition(": ")[2]: finding.partition(": ")[0] for finding in lint.lint(source)}
    assert {place for words, place in places.items() if "ZeroDivisionError" in words} == {
        f"exercises/source/90_small.py:{broken[: broken.index('1 / 0')].count(chr(10))}"
    }
    heading = broken[: broken.index("## 1")].count("\n")
    assert places["double: its heading says points 3, its check points=1"] == f"exercises/source/90_small.py:{heading}"
    placed = lint._placed(source, lint.Finding("double: it has 1 hint", question="double"))
    assert placed == "lrlab/workbook/books/w90_small.py:3: double: it has 1 hint"


def test_the_catalogue_is_tried(found, monkeypatch: pytest.MonkeyPatch) -> None:
    found()
    five = question("double").mistakes
    changed = (
        Mistake("right after all", lambda x: x * 1, "No."),
        Mistake("off by one again", lambda x: 1 + x, "You added 1, again."),
        Mistake("of another kind", lambda x: [x, x], "A list."),
        Mistake("raises", lambda x: x.nothing, "It raises."),
    )
    made = question("double", mistakes=(*five, *changed), rights=(lambda x: x, lambda x: x + 1, lambda x: 1 * x))
    monkeypatch.setattr(books, "names", lambda: ("90_small",))
    monkeypatch.setattr(books, "questions", lambda name: (made, question("square")))
    words = [finding.words for finding in lint._of_the_catalogue("90_small")]
    assert words[:3] == [
        "double: its mistake 'right after all' passes as right: on all inputs it is what the right answer is",
        "double: its mistake 'off by one again' is taken for 'off by 1'",
        "double: its mistake 'raises' is no wrong value: double: your code raised an exception",
    ]
    assert len(words) == 4 and words[3].startswith("double: its right answer 2 is refused: double: not right yet given")
