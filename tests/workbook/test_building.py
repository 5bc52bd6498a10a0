"""One source gives three files: the solved workbook, the student's without a trace of a solution, and the record."""

from __future__ import annotations

import json
import re
from pathlib import Path

import nbformat
import pytest

from lrlab import cli
from lrlab.notebooks import NotebookError
from lrlab.workbook import building
from lrlab.workbook.building import Workbook

from .small import SOURCE, workbook

REPOSITORY = Path(__file__).parents[2]
WORKBOOKS = building.find(REPOSITORY)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Workbook:
    one = workbook(tmp_path_factory.mktemp("clone"))
    assert building.build(one) > 0
    return one


@pytest.fixture
def copied(built: Workbook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workbook:
    """A copy of the built workbook to damage, and this process standing in its clone."""
    another = workbook(tmp_path)
    for old, new in ((built.solved, another.solved), (built.student, another.student), (built.record, another.record)):
        new.parent.mkdir(parents=True, exist_ok=True)
        new.write_text(old.read_text())
    monkeypatch.chdir(tmp_path)
    return another


def cells(path: Path) -> dict[str, nbformat.NotebookNode]:
    return {cell.id: cell for cell in nbformat.read(path, as_version=4).cells}


# --- building ---


def test_the_answers_cell_becomes_nbgraders_stub(built: Workbook) -> None:
    stub = 'def double(x):\n    """Twice x."""\n    # YOUR CODE HERE\n    raise NotImplementedError()'
    assert cells(built.student)["double-answer"].source == stub
    assert "### BEGIN SOLUTION" in cells(built.solved)["double-answer"].source, "nbgrader makes its own from this one"


def test_the_student_gets_the_checks_outputs_and_no_other(built: Workbook) -> None:
    student = cells(built.student)
    assert student["double-check"].outputs[0].text == "double: right\n"
    assert student["double-check"].execution_count == 3
    others = [cell for name, cell in student.items() if cell.cell_type == "code" and not name.endswith("-check")]
    assert [(cell.outputs, cell.execution_count) for cell in others] == [([], None)] * 4


def test_a_hidden_test_is_in_the_solved_workbook_only(built: Workbook) -> None:
    assert "square(-20)" in built.solved.read_text()
    assert "square(-20)" not in built.student.read_text() + built.record.read_text()


def test_ids_and_metadata(built: Workbook) -> None:
    check, answer, text = (cells(built.student)[f"square-{role}"] for role in ("check", "answer", "text"))
    assert check.metadata.nbgrader == {
        "schema_version": 3,
        "grade": True,
        "grade_id": "square-check",
        "locked": True,
        "points": 2,
        "solution": False,
        "task": False,
    }
    assert answer.metadata.nbgrader["solution"] and not answer.metadata.nbgrader["grade"]
    assert "nbgrader" not in text.metadata
    mark = {"question": "square", "workbook": "90_small", "version": 3}
    assert answer.metadata.lrlab == {"role": "answer", **mark} and text.metadata.lrlab == {"role": "text", **mark}
    assert check.metadata.lrlab == {"role": "check", "points": 2, "difficulty": 2, "minutes": 3, **mark}


def test_another_text_leaves_the_ids(built: Workbook, tmp_path: Path) -> None:
    changed = workbook(tmp_path, SOURCE.replace("Twice x.", "Two times x.").replace("Asked: ", "We ask for "))
    before, after = (list(cells(built.solved)), [cell.id for cell in building.convert(changed.source).cells])
    assert before == after


def test_the_record_holds_the_students_cells_and_the_solutions(built: Workbook) -> None:
    record = json.loads(built.record.read_text())
    assert (record["name"], record["version"]) == ("90_small", 3)
    student = nbformat.read(built.student, as_version=4)
    assert [(cell["id"], cell["source"], cell["metadata"]) for cell in record["cells"]] == [
        (cell.id, cell.source, cell.metadata) for cell in student.cells
    ]
    solution = 'def double(x):\n    """Twice x."""\n    secret_sum = x + x\n    return secret_sum'
    assert record["solutions"]["double"] == solution
    assert [record[key] for key in ("points", "difficulty", "minutes")] == [
        {"double": 1, "square": 2},
        {"double": 1, "square": 2},
        {"double": 2, "square": 3},
    ]


def test_a_second_build_changes_nothing(built: Workbook) -> None:
    paths = (built.student, built.solved, built.record)
    before = [path.read_bytes() for path in paths]
    building.build(built)
    assert [path.read_bytes() for path in paths] == before
    assert list(building.check(built)) == []
    assert not list(built.root.rglob("*.part"))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("secret_sum = x + x", "secret_sum = x", "double: wrong"),
        ('    ### END SOLUTION\n\n# %% question="double" p', '\n# %% question="double" p', "without ### END SOLUT"),
        ("    ### BEGIN SOLUTION\n    secret_sum", "    secret_sum", "### END SOLUTION without its ### BEGIN"),
        ('# %% question="double"\n', "# %%\n", "cell 4: it holds ### BEGIN SOLUTION but has no question="),
        ('question="double"', 'question="Double it"', "question='Double it'; allowed are"),
        ("points=1 ", "points=0 ", "points=0 at the check of 'double'; it must be a whole number"),
        ("points=1 ", "points=1.5 ", "points=1.5 at the check"),
        (" minutes=2", "", "minutes=None at the check of 'double'"),
        ('# %% question="square"\n', '# %% question="double"\n', "the question 'double' has two answer cells"),
        ('question="square" points', 'question="cube" points', "each answer's cell is followed by its check"),
        ("# %%\nbook.progress()", "# %% points=3\nbook.progress()", "it has points= but no question="),
        ('load("90_', 'load("91_', "it opens the workbook '91_small'; its own name is '90_small'"),
        ("book = load", "books = load", "no cell opens the workbook: book = load("),
        ("return None", "import warnings; warnings.warn('old')", "wrote to stderr"),
    ],
)
def test_a_source_that_cannot_be_built_says_why(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in SOURCE
    broken = workbook(tmp_path, SOURCE.replace(old, new))
    with pytest.raises(NotebookError, match=re.escape(message)):
        building.build(broken)
    assert not broken.student.exists() and not broken.record.exists()


def test_an_answer_without_a_solution(tmp_path: Path) -> None:
    marked = re.sub(r" *### (BEGIN|END) SOLUTION\n", "", SOURCE)
    with pytest.raises(NotebookError, match="the answer's cell of 'double' has no ### BEGIN SOLUTION"):
        building.convert(workbook(tmp_path, marked).source)


# --- checking ---


def test_a_built_workbook_passes(copied: Workbook) -> None:
    assert list(building.check(copied)) == []


@pytest.mark.parametrize(
    ("which", "old", "new", "problem"),
    [
        ("student", "Twice x.", "Two x.", r"exercises/90_small.ipynb: cell 4 is not the one of the source"),
        ("student", "double: right", "double: fine", "it is not the solved workbook without its solutions"),
        ("student", "double-check", "other", "its cells have other ids than the source gives them"),
        ("student", '"version": 3', '"version": 2', "cell 3 has the tags or metadata"),
        ("solved", "x + x", "2 * x", "exercises/solved/90_small.ipynb: cell 4 is not the one of the source"),
        ("solved", '"points": 2', '"points": 9', "cell 8 has the tags or metadata"),
        ("record", "x**2", "x**3", "records/90_small.json: it is not the record of its source"),
    ],
)
def test_drift_is_noticed(copied: Workbook, which: str, old: str, new: str, problem: str) -> None:
    path: Path = getattr(copied, which)
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    assert any(problem in found for found in building.check(copied))


def test_a_changed_source_is_noticed(copied: Workbook) -> None:
    copied.source.write_text(SOURCE.replace("secret_sum", "the_sum"))
    found = "\n".join(building.check(copied))
    assert "exercises/solved/90_small.ipynb: cell 4" in found and "it is not the record of its source" in found


@pytest.mark.parametrize("which", ["student", "solved", "record"])
def test_a_missing_file_is_noticed(copied: Workbook, which: str) -> None:
    getattr(copied, which).unlink()
    assert list(building.check(copied))


# --- the commands ---


def test_both_commands_check_the_workbooks(copied: Workbook, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["workbook", "check"]) == 0
    assert cli.main(["notebooks", "check", "90_small"]) == 0
    assert capsys.readouterr().out.count("1 workbooks agree with their sources") == 2
    (copied.student.parent / "91_orphan.ipynb").write_text("{}")
    copied.record.unlink()
    assert cli.main(["notebooks", "check", "90_small"]) == 1
    said = capsys.readouterr().err
    assert "workbook 90_small: lrlab/workbook/records/90_small.json: it is not the record of its source" in said
    assert "exercises/91_orphan.ipynb: it has no source" in said


def test_both_commands_build_the_workbooks(copied: Workbook, capsys: pytest.CaptureFixture[str]) -> None:
    copied.student.unlink()
    assert cli.main(["workbook", "build", "90_small"]) == 0
    assert re.fullmatch(r"workbook 90_small: \d+\.\d s, \d+ kB\n", capsys.readouterr().out)
    copied.source.write_text(SOURCE.replace("x + x", "x"))
    assert cli.main(["notebooks", "build", "90_small"]) == 1
    assert "workbook 90_small: NOT built" in capsys.readouterr().err


def test_a_name_without_a_source(copied: Workbook, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["workbook", "build", "99_none"]) == 2
    assert capsys.readouterr().err == "no exercises/source/99_none.py here; the workbooks are: 90_small\n"


# --- the workbooks of this repository ---


@pytest.mark.parametrize("one", WORKBOOKS, ids=[one.name for one in WORKBOOKS])
def test_no_solution_stands_in_a_students_file(one: Workbook) -> None:
    student = nbformat.read(one.student, as_version=4)
    given = {line.strip() for cell in student.cells for line in cell.source.splitlines()}
    everything = one.student.read_text()
    record = json.loads(one.record.read_text())
    for name, solution in record["solutions"].items():
        secret = [line for line in map(str.strip, solution.splitlines()) if line and line not in given]
        assert secret, f"{name}: its solution stands in the student's cells line by line"
        leaked = [line for line in secret if json.dumps(line)[1:-1] in everything]
        assert not leaked, f"{name}: {leaked}"
    for line in one.source.read_text().split("### BEGIN HIDDEN TESTS")[1:]:
        for hidden in filter(None, map(str.strip, line.split("### END HIDDEN TESTS")[0].splitlines())):
            assert json.dumps(hidden)[1:-1] not in everything


@pytest.mark.parametrize("one", WORKBOOKS, ids=[one.name for one in WORKBOOKS])
def test_the_metadata_is_nbgraders_schema(one: Workbook) -> None:
    schema = pytest.importorskip("nbgrader.nbgraderformat", reason="nbgrader is not installed")
    for path in (one.student, one.solved):
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
        schema.MetadataValidator().validate_nb(notebook)
        assert any("nbgrader" in cell.metadata for cell in notebook.cells)


def test_a_build_that_fails_leaves_the_record_as_it_was(copied: Workbook) -> None:
    before = copied.record.read_text(encoding="utf-8")
    text = copied.source.read_text(encoding="utf-8")
    copied.source.write_text(text.replace("secret_sum = x + x", "secret_sum = x + 1"), encoding="utf-8")
    with pytest.raises(NotebookError, match="double: wrong"):
        building.build(copied)
    assert copied.record.read_text(encoding="utf-8") == before
    copied.record.unlink()
    with pytest.raises(NotebookError, match="double: wrong"):
        building.build(copied)
    assert not copied.record.exists()
