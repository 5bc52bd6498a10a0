"""Every lecture in a real browser: it runs from top to bottom, and in the first one the rate is turned by keyboard."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

from .conftest import REPOSITORY, Notebook, Server
from .test_live_tuner import Tuner, turn_it

LECTURES = sorted((REPOSITORY / "lectures").glob("*.ipynb"))


def put(server: Server, lecture: Path) -> str:
    """A copy of the lecture, without outputs, in the server's folder; its name."""
    notebook = nbformat.read(lecture, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    notebook.metadata["kernelspec"] = {"name": "ipykernel-7.4", "display_name": "ipykernel-7.4", "language": "python"}
    nbformat.write(notebook, server.folder / lecture.name)
    return lecture.name


@pytest.mark.slow
@pytest.mark.parametrize("lecture", LECTURES, ids=[lecture.stem for lecture in LECTURES])
def test_a_lecture_runs_from_top_to_bottom(notebook: Notebook, server: Server, lecture: Path) -> None:
    notebook.open(put(server, lecture))
    notebook.run_all()


def test_the_first_tuner_of_the_first_lecture(notebook: Notebook, server: Server) -> None:
    name = put(server, LECTURES[0])
    path = server.folder / name
    lecture = nbformat.read(path, as_version=4)
    first_screen = next(i for i, cell in enumerate(lecture.cells) if cell.source.endswith("\ntuner"))
    lecture.cells = lecture.cells[: first_screen + 1]
    nbformat.write(lecture, path)
    notebook.open(name)
    notebook.run_all()
    tuner = Tuner(notebook)
    tuner.wait_for_summary("ready at step 0")
    tuner.press("learning rate", "End")
    highest = notebook.wait_for("run.lr", lambda lr: lr > 1)
    tuner.button("step").press("Enter")
    notebook.wait_for(f"list(run.history['lr']) == [{highest}]")
    tuner.control("learning rate, number").fill("0.1")
    tuner.page.keyboard.press("Enter")
    notebook.wait_for("run.lr == 0.1")
    turn_it(tuner)
    branched = notebook.value("run.step")
    tuner.button("branch").press("Enter")
    notebook.wait_for(f"len(tuner.runs) == 2 and tuner.run.step == {branched}")
    notebook.save()
    notebook.reload()
    tuner.wait_for_summary(f"paused at step {branched:,}")
    assert tuner.root.locator("option", has_text="branch 1").count() == 1
