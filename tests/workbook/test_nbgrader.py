"""The real nbgrader, without a server: it makes its assignment from our solved workbook and grades by our checks."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

from lrlab.workbook import building
from lrlab.workbook.building import role_of

nbgrader_api = pytest.importorskip("nbgrader.api", reason="nbgrader is not installed: pip install 'lrlab[test]'")
ONE = next(one for one in building.find(Path(__file__).parents[2]) if one.name == "03_momentum")
POINTS = json.loads(ONE.record.read_text())["points"]


class Course:
    """A course's folder, as `nbgrader quickstart` would make it, with one assignment."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        source = folder / "source" / "workbook3"
        source.mkdir(parents=True)
        shutil.copy(ONE.solved, source)
        (folder / "nbgrader_config.py").write_text(
            "c = get_config()\nc.CourseDirectory.course_id = 'lrlab'\nc.ExecutePreprocessor.timeout = 120\n"
        )

    def nbgrader(self, *arguments: str) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "HOME": str(self.folder)}
        command = [sys.executable, "-m", "nbgrader", *arguments]
        answer = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True)
        assert answer.returncode == 0, answer.stderr[-4000:]

    def submit(self, student: str, notebook: Path) -> None:
        handed_in = self.folder / "submitted" / student / "workbook3"
        handed_in.mkdir(parents=True)
        shutil.copy(notebook, handed_in / f"{ONE.name}.ipynb")

    def scores(self, student: str) -> dict[str, float]:
        """Points by the id of the check cell."""
        with nbgrader_api.Gradebook(f"sqlite:///{self.folder / 'gradebook.db'}") as gradebook:
            notebook = gradebook.find_submission_notebook(ONE.name, "workbook3", student)
            return {grade.name: grade.score for grade in notebook.grades}


def as_jupyterlab_saves_it(notebook: Path, folder: Path) -> Path:
    """What a student hands in: run, saved, with a cell of their own and what JupyterLab notes down of each cell."""
    saved = nbformat.read(notebook, as_version=4)
    saved.metadata = {"kernelspec": {"name": "conda-env", "display_name": "lab", "language": "python"}}
    saved.cells.insert(2, nbformat.v4.new_code_cell("1 + 1"))
    for count, cell in enumerate(saved.cells):
        cell.metadata.update({"trusted": True, "editable": True, "slideshow": {"slide_type": ""}, "tags": []})
        if cell.cell_type == "code":
            cell.execution_count, cell.metadata["execution"] = count, {"iopub.execute_input": "2026-01-01T00:00:00Z"}
    path = folder / notebook.name
    nbformat.write(saved, path)
    return path


@pytest.fixture(scope="module")
def programs() -> Iterator[None]:
    """nbgrader calls `alembic` by name: in an activated environment it is found."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", sysconfig.get_path("scripts"), prepend=os.pathsep)
        yield


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory, programs: None) -> Course:
    """The assignment made from our source, and two submissions graded: one process each, as a teacher would."""
    course = Course(tmp_path_factory.mktemp("course"))
    course.nbgrader("generate_assignment", "workbook3")
    course.submit("solved", as_jupyterlab_saves_it(ONE.solved, course.folder))
    course.submit("unsolved", ONE.student)
    course.nbgrader("autograde", "workbook3")
    return course


def test_the_solved_workbook_gets_all_points(course: Course) -> None:
    assert course.scores("solved") == {f"{name}-check": points for name, points in POINTS.items()}


def test_the_unsolved_workbook_gets_none(course: Course) -> None:
    assert course.scores("unsolved") == {f"{name}-check": 0 for name in POINTS}


def test_nbgraders_assignment_has_the_cells_of_our_students_file(course: Course) -> None:
    released = nbformat.read(course.folder / "release" / "workbook3" / f"{ONE.name}.ipynb", as_version=4)
    ours = building.one_folder_down(nbformat.read(ONE.student, as_version=4))
    assert [(cell.cell_type, cell.source) for cell in released.cells] == [
        (cell.cell_type, cell.source) for cell in ours.cells
    ]
    for theirs, cell in zip(released.cells, ours.cells, strict=True):
        if role_of(cell) in ("answer", "check"):
            added = {"checksum", "cell_type"}
            assert {key: theirs.metadata.nbgrader[key] for key in set(theirs.metadata.nbgrader) - added} == dict(
                cell.metadata.nbgrader
            )
