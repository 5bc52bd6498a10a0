"""nbval on the workbooks as they are handed out: the solved one passes strictly, the student's fails at its checks."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from lrlab.workbook import building
from lrlab.workbook.building import Workbook, role_of

WORKBOOKS = building.find(Path(__file__).parents[2])
every_workbook = pytest.mark.parametrize("one", WORKBOOKS, ids=[one.name for one in WORKBOOKS])


def nbval(notebooks: list[Path], folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """The student's command, on copies, as pytest is configured elsewhere: not at all."""
    for notebook in notebooks:
        shutil.copy(notebook, folder / notebook.name)
    (folder / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-rfEpP", "--color=no", "-p", "no:cacheprovider", "--nbval-current-env"]
    command += ["--nbval-cell-timeout=120", *options, *(notebook.name for notebook in notebooks)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


@pytest.fixture(scope="module")
def unsolved(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What nbval says of all the students' workbooks: one command for all, it starts a kernel for each."""
    return nbval([one.student for one in WORKBOOKS], tmp_path_factory.mktemp("unsolved"), "--nbval-lax").stdout


@every_workbook
def test_the_unsolved_workbook_fails_exactly_at_its_checks(unsolved: str, one: Workbook) -> None:
    cells = [cell for cell in nbformat.read(one.student, as_version=4).cells if cell.cell_type == "code"]
    checks = {number for number, cell in enumerate(cells) if role_of(cell) == "check"}
    ended: dict[str, set[int]] = {"FAILED": set(), "PASSED": set()}
    for outcome, number in re.findall(rf"^(FAILED|PASSED) {one.name}\.ipynb::Cell (\d+)", unsolved, re.MULTILINE):
        ended[outcome].add(int(number))
    assert ended["FAILED"] == checks, unsolved[-3000:]
    assert ended["PASSED"] == set(range(len(cells))) - checks, unsolved[-3000:]
    for question in json.loads(one.record.read_text())["points"]:
        assert f"{question}: not attempted yet" in unsolved


def test_a_solved_workbook_passes_strictly(tmp_path: Path) -> None:
    """One of them here, in a folder of its own; `make test` runs them all."""
    answer = nbval([WORKBOOKS[-1].solved], tmp_path, "--nbval")
    assert answer.returncode == 0 and "failed" not in answer.stdout, answer.stdout[-3000:]
