"""A new workbook: its three files are built, linted and tested as they stand."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lrlab import cli
from lrlab.workbook import template

NAME = "90_going_down"


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty clone, and this process standing in it."""
    (tmp_path / "lectures").mkdir()
    (tmp_path / "lectures" / "00_welcome.ipynb").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_three_files(clone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["workbook", "new", NAME]) == 0
    said = capsys.readouterr().out
    paths = [f"exercises/source/{NAME}.py", f"lrlab/workbook/books/w{NAME}.py", f"tests/workbook/test_w{NAME}.py"]
    for path in paths:
        assert f"wrote {path}\n" in said
        text = (clone / path).read_text()
        assert not [word for word in ("NUMBER", "TITLE", "NAME") if word in text]
    assert "# # Workbook 90 · Going down\n" in (clone / paths[0]).read_text()


def test_they_are_built_linted_and_tested_as_they_stand(clone: Path) -> None:
    """In another process, whose kernels find the new book as well: the package's folder of books is elsewhere."""
    template.new(clone, NAME)
    startup = clone / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    books = f"import lrlab.workbook.books as books; books.__path__.append({str(clone / 'lrlab/workbook/books')!r})"
    (startup / "00.py").write_text(books)
    script = f"""
{books}
import sys, pytest
from lrlab import cli
for action in ("build", "check", "lint"):
    assert cli.main(["workbook", action, {NAME!r}]) == 0, action
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "tests"]))
"""
    environment = {**os.environ, "IPYTHONDIR": str(clone / "ipython"), "OMP_NUM_THREADS": "1"}
    (clone / "run").mkdir()  # a script's own folder is the first on Python's path: not the one that holds lrlab/
    (clone / "run" / "all.py").write_text(script)
    command = [sys.executable, "run/all.py"]
    answer = subprocess.run(command, cwd=clone, env=environment, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "nothing found" in answer.stdout and "9 passed" in answer.stdout


def test_they_are_in_the_houses_style(clone: Path) -> None:
    paths = template.new(clone, NAME)
    configuration = Path(__file__).parents[2] / "pyproject.toml"
    command = [sys.executable, "-m", "ruff", "check", "--no-cache", "--ignore=I", f"--config={configuration}", *paths]
    answer = subprocess.run(command, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stdout


def test_nothing_is_overwritten(clone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    book = clone / "lrlab" / "workbook" / "books" / f"w{NAME}.py"
    book.parent.mkdir(parents=True)
    book.write_text("mine")
    assert cli.main(["workbook", "new", NAME]) == 2
    assert f"lrlab/workbook/books/w{NAME}.py is there already" in capsys.readouterr().err
    assert book.read_text() == "mine" and not (clone / "exercises").exists()


@pytest.mark.parametrize("name", ["momentum", "3_momentum", "03-momentum", "03_Momentum", "../03_momentum", "03_"])
def test_a_name_that_does_not_fit(clone: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert cli.main(["workbook", "new", name]) == 2
    assert f"the name is {name!r}; it must be two digits, _ and small letters" in capsys.readouterr().err


def test_one_name_is_needed(clone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["workbook", "new"]) == 2
    assert "takes one name" in capsys.readouterr().err
