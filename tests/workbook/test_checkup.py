"""`lrlab check`: whatever a student's notebook holds, each question gets a result and a line that says why."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import psutil
import pytest

from lrlab import cli
from lrlab.workbook import building, checkup, handed
from lrlab.workbook.handed import Unreadable

from .small import workbook

NAMES = ("one", "two", "three", "four", "five", "six", "seven", "eight")
START = """\
# %%
class NotAttempted(Exception):
    pass

class Wrong(Exception):
    pass

class Book:
    def check(self, name, function):
        try:
            value = function(3)
        except NotImplementedError:
            raise NotAttempted(f"{name}: not attempted yet") from None
        if value != 6:
            raise Wrong(f"{name}: not right yet\\n\\ngot         {value}\\nlikely      OFF BY ONE. Go on.")
        print(f"{name}: right")

def load(name, version):
    return Book()

book = load("91_many", version=2)
"""
QUESTION = """
# %% [markdown]
# ## {name}

# %% question="{name}"
def {name}(x):
    ### BEGIN SOLUTION
    return x + x
    ### END SOLUTION

# %% question="{name}" points=2 difficulty=1 minutes=1
book.check("{name}", {name})
"""
SOURCE = START + "".join(QUESTION.format(name=name) for name in NAMES) + "\n# %%\nlast = 1\n"


class Student:
    """A student's notebook: answer it, damage it, check it."""

    def __init__(self, folder: Path, notebook: Any) -> None:
        self.path = folder / "91_many.ipynb"
        self.notebook = notebook
        self.cells = notebook.cells

    def index(self, name: str) -> int:
        return next(place for place, cell in enumerate(self.cells) if cell.id == name)

    def answer(self, name: str, body: str) -> None:
        self.cells[self.index(f"{name}-answer")].source = f"def {name}(x):\n    {body}"

    def write(self) -> Path:
        self.path.write_text(nbformat.writes(self.notebook))
        return self.path

    def read(self) -> handed.Handed:
        return handed.read(self.write(), handed.records())

    def notes(self) -> str:
        return "\n".join(self.read().notes)

    def answers(self) -> dict[str, str]:
        return {step.question: step.source for step in self.read().steps if step.role == "answer"}


@pytest.fixture
def student(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Student:
    """A notebook with all questions open, of a workbook that lrlab knows."""
    converted = building.convert(workbook(tmp_path, SOURCE, "91_many").source)
    other = building.convert(workbook(tmp_path, SOURCE.replace("91_many", "92_other"), "92_other").source)
    known = {one["name"]: one for one in (json.loads(building.record_text(each)) for each in (converted, other))}
    monkeypatch.setattr(handed, "records", lambda: known)
    return Student(tmp_path, building.without_solutions(converted))


# --- a run ---


def test_each_kind_of_answer_gets_its_line_and_none_takes_the_others_with_it(
    student: Student, capsys: pytest.CaptureFixture[str]
) -> None:
    student.answer("one", "return 6")
    student.answer("two", "return 5")
    student.answer("three", "while True: pass")
    student.answer("four", "import os; os._exit(1)")
    student.cells[student.index("five-answer")].source = "def five(x):\n    return 6\nwhile True: print('x' * 1000)"
    student.cells[student.index("six-answer")].source = "def six(x)\n    return 6"
    student.cells[student.index("seven-answer")].source = "seven = 3 / 0"
    assert cli.main(["check", str(student.write()), "--cell-seconds", "3"]) == 1
    said = capsys.readouterr().out
    lines = said.partition("\n\n")[2].partition("\n\n")[0].splitlines()
    rows = {line.split()[0]: line for line in lines if not line.startswith(" ")}
    assert rows["one"].split() == ["one", "right", "2/2"]
    assert "not right" in rows["two"] and rows["two"].endswith("0/2  likely: off by one")
    assert "too slow" in rows["three"] and "longer than 3 s: is there a loop that does not end?" in rows["three"]
    assert "kernel died" in rows["four"] and "it ended Python itself" in rows["four"]
    assert "prints too much" in rows["five"] and "more than a million characters" in rows["five"]
    assert rows["six"].endswith("your cell itself raised SyntaxError")
    assert rows["seven"].endswith("your cell itself raised ZeroDivisionError")
    assert rows["eight"].split() == ["eight", "not", "attempted", "0/2"]
    assert "1 of 8 questions right, 2 of 16 points." in said
    assert "seven: ZeroDivisionError: division by zero\nin line 1 seven = 3 / 0\n" in said
    assert said.count("division by zero") == said.count("expected ':'") == 1, "what was raised is said once"
    assert said.count("It was replaced by its stub, and the rest was run anew") == 3, "of three, four and five"
    assert "six: SyntaxError: expected ':' (line 1)" in said, "the copy's file name would say nothing"
    assert "Go on." in said, "what the check says stands under the table"
    assert "\x1b" not in said and "Traceback" not in said


def test_the_files_beside_the_notebook_are_there_and_rule_nothing(student: Student) -> None:
    beside = student.path.parent
    for name, text in {
        "helper.py": "six = 6",
        "data/number.txt": "6",
        "conftest.py": "raise SystemExit",
        "pytest.ini": "[pytest]\naddopts = --nonsense",
        "watch.py": "raise SystemExit",
        "pytest.py": "raise SystemExit",
    }.items():
        (beside / name).parent.mkdir(exist_ok=True)
        (beside / name).write_text(text)
    student.answer("one", "import helper; return helper.six")
    student.answer("two", "return int(open('data/number.txt').read())")
    student.answer("three", "import pathlib; return 6 - len([*pathlib.Path().glob('*.ipynb')][1:])")
    found = checkup.check(student.write()).findings
    assert [found[name].result for name in ("one", "two", "three")] == ["right"] * 3, found


def test_too_much_memory_and_an_exit_cost_what_they_stand_in_and_nothing_else(
    student: Student, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(checkup, "MEMORY", 4e8)
    left = tmp_path / "left"
    start = "import subprocess, sys; one = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(100)'])"
    student.cells.insert(2, nbformat.v4.new_code_cell(f"{start}\nopen({str(left)!r}, 'a').write(f'{{one.pid}} ')"))
    student.cells.insert(3, nbformat.v4.new_code_cell("exit()"))
    student.answer("one", "kept = []\n    while True: kept.append(b'x' * 10**7)")
    student.answer("two", "import os; os.write(1, b'x' * 10**7); return 6")
    report = checkup.check(student.write(), cell_seconds=20)
    assert report.findings["one"].result == "too much memory" and "more than 0.4 GB" in report.findings["one"].says
    assert report.findings["two"].result == "right", "what goes past Jupyter goes nowhere"
    assert report.notes[0].startswith("A cell of your own (exit()) ended badly. kernel died: it ended Python itself")
    assert len(left.read_text().split()) == 3, "one for each run"
    assert not any(map(is_running, map(int, left.read_text().split())))


def is_running(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_a_cell_of_the_workbook_that_does_not_end_is_left_out(student: Student) -> None:
    """As one that draws with the student's functions, between two questions."""
    place = student.index("two-answer")
    known = handed.records()["91_many"]
    known["cells"].insert(place, {"id": "picture", "cell_type": "code", "source": "while True: pass", "metadata": {}})
    student.answer("two", "return 6")
    report = checkup.check(student.write(), cell_seconds=2)
    assert report.findings["two"].result == "right"
    assert any("A cell of the workbook that asks nothing (while True: pass)" in note for note in report.notes)


def test_a_check_that_is_ended_ends_its_kernel(tmp_path: Path) -> None:
    """SIGTERM, as of `timeout` or a queue; Ctrl-C goes the same way, but a shell's background job is deaf to it."""
    notebook = nbformat.read(Path(__file__).parents[2] / "exercises" / "03_momentum.ipynb", as_version=4)
    started = tmp_path / "started"
    waiting = f"import os, time; open({str(started)!r}, 'w').write(f'{{os.getpid()}} '); time.sleep(100)"
    notebook.cells.insert(0, nbformat.v4.new_code_cell(waiting))
    nbformat.write(notebook, tmp_path / "03_momentum.ipynb")
    command = [sys.executable, "-m", "lrlab.cli", "check", str(tmp_path / "03_momentum.ipynb")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: started.exists() and started.read_text().endswith(" "))
    process.terminate()
    said = process.communicate(timeout=60)
    assert (process.returncode, *said) == (2, "", "stopped\n")
    wait_for(lambda: not is_running(int(started.read_text())))


def wait_for(condition: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.05)


def test_what_is_right_is_zero(student: Student, capsys: pytest.CaptureFixture[str]) -> None:
    for name in NAMES:
        student.answer(name, "return x + x")
    student.cells.insert(student.index("two-answer"), nbformat.v4.new_code_cell("1 / 0  # an own cell"))
    assert cli.main(["check", str(student.write())]) == 0
    said = capsys.readouterr().out
    assert "8 of 8 questions right, 16 of 16 points." in said
    assert "A cell of your own (1 / 0  # an own cell) ended badly. ZeroDivisionError: division by zero" in said


def test_a_cell_of_ones_own_that_does_not_end_is_left_out(student: Student) -> None:
    student.answer("one", "return 6")
    student.cells.insert(1, nbformat.v4.new_code_cell("while True: pass"))
    report = checkup.check(student.write(), cell_seconds=2)
    assert report.findings["one"].result == "right"
    assert any("A cell of your own (while True: pass) ended badly. too slow" in note for note in report.notes)


def test_when_the_time_for_all_is_over_the_run_ends(student: Student) -> None:
    student.answer("one", "import time; time.sleep(600)")
    report = checkup.check(student.write(), cell_seconds=300, all_seconds=10)
    assert [finding.result for finding in report.findings.values()] == ["not checked"] * 8
    assert report.notes == ["The 10 s for the whole notebook are over; the rest was not checked."]


# --- what was done to the notebook ---


def test_an_untouched_notebook_has_no_notes(student: Student) -> None:
    read = student.read()
    assert read.notes == []
    assert [step.role for step in read.steps] == ["given", *["answer", "check"] * 8, "given"]
    assert [step.source for step in read.steps] == [cell.source for cell in student.cells if cell.cell_type == "code"]


def test_a_deleted_answer_is_missing(student: Student) -> None:
    del student.cells[student.index("two-answer")]
    assert student.notes() == "The cell with the answer to 'two' is missing."
    assert [step.question for step in student.read().steps if step.missing] == ["two"]


def test_a_deleted_or_changed_check_is_the_workbooks_own(student: Student) -> None:
    del student.cells[student.index("two-check")]
    student.cells[student.index("three-check")].source = 'print("three: right")'
    checks = {step.question: step.source for step in student.read().steps if step.role == "check"}
    assert checks["two"] == 'book.check("two", two)' and checks["three"] == 'book.check("three", three)'
    assert "The check of 'two' is missing; the workbook's own is used." in student.notes()
    assert "The check of 'three' was changed; the workbook's own is used." in student.notes()
    del student.cells[student.index("four-check")]
    del student.cells[student.index("five-answer")], student.cells[student.index("six-answer")]
    assert "The checks of 'two', 'four' are missing; the workbook's own are used." in student.notes()
    assert "The cells with the answers to 'five', 'six' are missing." in student.notes()


def test_of_two_answers_the_last_that_is_more_than_the_stub_counts(student: Student) -> None:
    place = student.index("two-answer")
    stub = copy.deepcopy(student.cells[place])
    student.answer("two", "return 6")
    second = copy.deepcopy(student.cells[place])
    second.source, second.id, stub.id = "def two(x):\n    return 7", "copied", "again"
    student.cells[place + 2 : place + 2] = [second, stub]
    assert student.answers()["two"] == second.source
    assert "There are 3 cells with an answer to 'two': the last one that is more than the stub" in student.notes()


def test_a_doubled_check(student: Student) -> None:
    another = copy.deepcopy(student.cells[student.index("two-check")])
    another.id = "copied"
    student.cells.append(another)
    assert student.notes() == "The check of 'two' is there 2 times. Once is enough."
    assert len([step for step in student.read().steps if step.role == "check"]) == 8


def test_another_order_is_put_right(student: Student) -> None:
    student.cells.reverse()
    read = student.read()
    assert read.notes == ["The cells stand in another order than in the workbook. They are run in the workbook's."]
    assert [step.question for step in read.steps if step.role == "check"] == list(NAMES)


def test_a_deleted_cell_of_the_workbook_is_put_back(student: Student) -> None:
    del student.cells[0]
    assert student.notes() == "A cell of the workbook is missing and was put back: class NotAttempted(Exception):"
    assert student.read().steps[0].source.startswith("class NotAttempted")


def test_cells_without_ids_and_metadata_are_found_by_what_they_hold(student: Student) -> None:
    student.answer("two", "return 6")
    for number, cell in enumerate(student.cells):
        cell.metadata.clear()
        cell.id = f"new-{number}"
    assert student.notes() == ""
    assert student.answers()["two"] == "def two(x):\n    return 6"


def test_an_answer_written_into_a_new_cell_counts(student: Student) -> None:
    student.cells.insert(2, nbformat.v4.new_code_cell("def one(x):\n    return 6"))
    assert student.answers()["one"] == "def one(x):\n    return 6"


def test_ones_own_cells_run_where_they_stand(student: Student) -> None:
    student.cells.insert(student.index("two-check"), nbformat.v4.new_code_cell("helper = 1"))
    sources = [step.source for step in student.read().steps]
    assert sources.index("helper = 1") == sources.index('book.check("two", two)') - 1


def relabel(student: Student, **ours: Any) -> None:
    for cell in student.cells:
        if "lrlab" in cell.metadata:
            cell.metadata.lrlab.update(ours)


def test_an_older_and_a_newer_version(student: Student) -> None:
    relabel(student, version=1)
    assert "version 1 of 91_many, this lrlab has version 2: what both know is checked" in student.notes()
    relabel(student, version=3)
    assert "version 3 of 91_many, this lrlab only has version 2" in student.notes()


def test_the_version_is_that_of_most_cells_and_nonsense_is_none(student: Student) -> None:
    student.cells[student.index("two-answer")].metadata.lrlab.version = 3
    assert student.notes() == "", "one cell was pasted from another version"
    relabel(student, version=-1)
    assert student.notes() == ""


def test_a_file_may_have_any_name(student: Student) -> None:
    path = student.write().rename(student.path.with_name("homework of ann.ipynb"))
    assert handed.read(path, handed.records()).notes == []


def test_a_question_that_is_no_longer_asked(student: Student) -> None:
    cell = copy.deepcopy(student.cells[student.index("two-answer")])
    cell.id, cell.source = "zero-answer", "def zero(x): return 0"
    cell.metadata.lrlab.question = "zero"
    student.cells.append(cell)
    assert student.notes() == "No longer asked in version 2, and not counted: zero."
    assert "def zero(x): return 0" not in [step.source for step in student.read().steps]


def test_a_notebook_of_another_workbook_under_this_name(student: Student) -> None:
    relabel(student, workbook="92_other")
    student.cells[0].source = student.cells[0].source.replace("91_many", "92_other")
    read = student.read()
    assert read.record["name"] == "92_other"
    assert read.notes == [
        "The file is called 91_many, but what is in it is the workbook 92_other: checked as 92_other."
    ]


def test_cells_of_another_workbook(student: Student) -> None:
    cell = copy.deepcopy(student.cells[student.index("two-answer")])
    cell.id, cell.metadata.lrlab.workbook, cell.source = "strange", "92_other", "def two(x): return 6"
    student.cells.append(cell)
    assert student.notes() == "1 cell of another workbook is in it, and not counted."
    assert "return 6" not in student.answers()["two"]


def test_another_workbook_opened_in_the_first_cell(student: Student) -> None:
    student.cells[0].source = student.cells[0].source.replace('load("91_many"', 'load("92_other"')
    assert 'the workbook\'s own is used: book = load("91_many", version=2)' in student.notes()


# --- what is no notebook ---


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: "", "is damaged: it is empty"),
        (lambda text: text[: len(text) // 2], "is not JSON, as in half a file"),
        (lambda text: "[" * 100_000, "is damaged"),
        (lambda text: "[1, 2]", "is no notebook"),
        (lambda text: "{}", "is no notebook: there is no list of cells in it"),
        (lambda text: '{"nbformat": 4, "cells": {}}', "there is no list of cells in it"),
        (lambda text: f'{{"nbformat": {"9" * 5000}}}', "is damaged: it is JSON, but none that a notebook holds"),
        (lambda text: '{"nbformat": 2, "worksheets": 3}', "is of the notebook format 2"),
        (lambda text: '{"nbformat": 4, "cells": []}'.replace("[]", '[{"cell_type": "code", "source": "x"}]'), ""),
    ],
)
def test_a_damaged_file(student: Student, change: Callable[[str], str], message: str) -> None:
    student.write().write_text(change(student.path.read_text()))
    if message:
        with pytest.raises(Unreadable, match=message):
            handed.read(student.path, handed.records())
    else:
        notes = handed.read(student.path, handed.records()).notes
        assert notes == ["None of the workbook's cells is in your notebook."]


def test_a_file_that_is_no_text_or_too_large_or_not_there(student: Student, monkeypatch: pytest.MonkeyPatch) -> None:
    student.write().write_bytes(b"\xff\xfe\x00")
    for path, message in ((student.path, "not text in UTF-8"), (student.path.parent, "is a folder")):
        with pytest.raises(Unreadable, match=message):
            handed.read(path, handed.records())
    with pytest.raises(Unreadable, match="There is no file"):
        handed.read(student.path.with_name("none.ipynb"), handed.records())
    monkeypatch.setattr(handed, "LARGEST", 2)
    with pytest.raises(Unreadable, match="Clear its outputs"):
        handed.read(student.path, handed.records())


def test_a_notebook_of_none_of_the_workbooks(student: Student) -> None:
    path = student.path.with_name("mine.ipynb")
    path.write_text(nbformat.writes(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1")])))
    with pytest.raises(Unreadable, match="none of the workbooks that this lrlab knows. They are: 91_many, 92_other"):
        handed.read(path, handed.records())


def test_a_byte_order_mark_and_an_old_format_do_no_harm(student: Student) -> None:
    student.answer("two", "return 6")
    text = student.write().read_text()
    student.path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert handed.read(student.path, handed.records()).notes == []
    old = nbformat.convert(nbformat.reads(text, as_version=4), 3)
    student.path.write_text(json.dumps(old))
    steps = handed.read(student.path, handed.records()).steps
    student.path.write_text(text.replace('"nbformat": 4', '"nbformat": "4"'))
    assert handed.read(student.path, handed.records()).notes == []
    assert [step.source for step in steps if step.question == "two"][0] == "def two(x):\n    return 6"


def test_damaged_cells_are_left_out(student: Student) -> None:
    content = json.loads(student.write().read_text())
    content["cells"] += [3, {"cell_type": "code", "source": 4}, {"source": "x"}]
    content["cells"][1]["metadata"] = None
    student.path.write_text(json.dumps(content))
    read = handed.read(student.path, handed.records())
    assert read.notes == ["3 of its cells are damaged and left out."]


def test_a_file_that_cannot_be_checked_is_two_and_a_line(student: Student, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", str(student.path)]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err == f"There is no file {student.path} here.\n"
    assert cli.main(["check", str(student.write()), "--cell-seconds", "0"]) == 2
    assert "--cell-seconds is 0; it must be more than 0" in capsys.readouterr().err


def test_a_terminal_that_knows_no_unicode(tmp_path: Path) -> None:
    environment = {"PYTHONIOENCODING": "ascii", "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    command = [sys.executable, "-m", "lrlab.cli", "check", str(tmp_path / "größe.ipynb")]
    answer = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert answer.returncode == 2 and "gr??e.ipynb here." in answer.stderr
