"""A student at a workbook in a real browser: not attempted, a mistake by name, right, and right after a reload."""

from __future__ import annotations

from typing import Any

import nbformat

from .conftest import REPOSITORY, Notebook, Server
from .test_lectures import put

WORKBOOK = REPOSITORY / "exercises" / "03_momentum.ipynb"
CELLS = nbformat.read(WORKBOOK, as_version=4).cells
START = next(place for place, cell in enumerate(CELLS) if cell.cell_type == "code")
ANSWER, CHECK = (
    next(place for place, cell in enumerate(CELLS) if cell.id == name) for name in ("momentum-answer", "momentum-check")
)

OLD_VELOCITY = "def momentum(x, g, v, lr, rho):\n    return x - lr * v, rho * v + g\n"
RIGHT = "def momentum(x, g, v, lr, rho):\n    v = rho * v + g\n    return x - lr * v, v\n"

_GO_TO = """async (place) => {
    const { content } = window.jupyterapp.shell.currentWidget;
    content.activeCellIndex = place;
    content.deselectAll();
    await content.scrollToItem(place);
    content.mode = 'command';
    content.node.focus();
}"""
_RESTART = "() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()"


class Desk:
    """What a student does: go to a cell, type, run it, read what is under it."""

    def __init__(self, notebook: Notebook) -> None:
        self.notebook, self.page = notebook, notebook.page

    def go_to(self, place: int) -> Any:
        self.notebook.ask(_GO_TO, place)
        cell = self.page.locator(".jp-Cell.jp-mod-active")
        cell.wait_for()
        return cell

    def type(self, place: int, text: str) -> None:
        self.go_to(place)
        self.page.keyboard.press("Enter")
        self.page.locator(".jp-Cell.jp-mod-active .cm-editor.cm-focused").wait_for()
        self.page.keyboard.press("ControlOrMeta+A")
        self.page.keyboard.insert_text(text)
        self.page.keyboard.press("Escape")

    def run(self, place: int) -> str:
        """Run a cell with Control+Enter; what is to be read under it then."""
        cell = self.go_to(place)
        self.notebook.command("notebook:run-cell", seconds=60)
        return str(cell.locator(".jp-Cell-outputArea").inner_text())


def test_a_student_gets_from_not_attempted_to_right(notebook: Notebook, server: Server) -> None:
    name = put(server, WORKBOOK)
    progress = server.folder / "03_momentum.progress.json"
    progress.unlink(missing_ok=True)
    notebook.open(name)
    desk = Desk(notebook)
    desk.run(START)
    desk.run(ANSWER)
    assert desk.run(CHECK).startswith("momentum: not attempted yet")
    assert not progress.exists(), "the stub is no attempt"

    desk.type(ANSWER, OLD_VELOCITY)
    desk.run(ANSWER)
    said = desk.run(CHECK)
    assert said.startswith("momentum: not right yet")
    for part in ("given", "expected", "got", "OLD VELOCITY. You moved x with the velocity of the step before."):
        assert part in " ".join(said.split())
    assert "Traceback" not in said and "\x1b" not in said and "lrlab/workbook" not in said

    desk.type(ANSWER, RIGHT)
    desk.run(ANSWER)
    assert desk.run(CHECK).startswith("momentum: right, on ")
    assert "✓ momentum" in desk.run(len(CELLS) - 1)

    notebook.save()
    notebook.reload()
    check = desk.go_to(CHECK)
    assert check.locator(".jp-Cell-outputArea").inner_text().startswith("momentum: right, on "), "it was saved"
    notebook.ask(_RESTART, seconds=60)
    notebook.wait_until_ready()
    desk.run(START)
    said = desk.run(len(CELLS) - 1)
    assert "✓ momentum" in said and "1 of 8 questions right, 2 of 21 points" in said
