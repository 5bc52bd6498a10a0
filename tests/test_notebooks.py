"""The notebooks are built from their sources: what is built, what a second build changes, what the check notices."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from lrlab import cli, notebooks
from lrlab.notebooks import NotebookError, Pair

SOURCE = """\
# ---
# jupyter:
#   kernelspec:
#     display_name: Another
#     language: python
#     name: another
# ---

# %% [markdown]
# # A lecture
# The bound is $2/L$.

# %%
import os
import ipywidgets
from lrlab import figures
print("verdict: holds")

# %% tags=["nbval-ignore-output"]
print(os.getpid())

# %% tags=["nbval-ignore-output"]
fig, ax = figures.figure("The loss falls")
ax.plot([0, 1, 2], [4, 1, 0], label="loss")
figures.show(fig, alt="The loss falls from 4 to 0 in 2 steps.")

# %%
ipywidgets.IntSlider(3)

# %%
os.path.basename(os.getcwd())

# %% tags=["raises-exception"]
raise ValueError("shown on purpose")
"""


def lecture(folder: Path, text: str, name: str = "00_try") -> Pair:
    (folder / "source").mkdir(parents=True, exist_ok=True)
    (folder / "source" / f"{name}.py").write_text(text)
    return next(pair for pair in notebooks.find(folder) if pair.name == name)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    pair = lecture(tmp_path_factory.mktemp("clone") / "lectures", SOURCE)
    assert notebooks.build(pair) > 0
    return pair


@pytest.fixture
def edited(built: Pair, tmp_path: Path):
    """A copy of the built notebook to damage: edit it, then ask what the check says."""
    notebook = nbformat.read(built.notebook, as_version=4)
    pair = lecture(tmp_path / "lectures", built.source.read_text())

    def problems() -> str:
        nbformat.write(notebook, pair.notebook)
        return "\n".join(notebooks.check(pair))

    return notebook, problems


# --- building ---


def test_the_notebook_has_the_cells_of_the_source_and_their_outputs(built: Pair) -> None:
    cells = nbformat.read(built.notebook, as_version=4).cells
    assert [cell.cell_type for cell in cells] == ["markdown", *["code"] * 6]
    assert cells[0].source == "# A lecture\nThe bound is $2/L$."
    assert cells[1].outputs[0].text == "verdict: holds\n"
    assert cells[2].metadata.tags == ["nbval-ignore-output"]
    assert cells[3].outputs[0].metadata["image/png"].alt == "The loss falls from 4 to 0 in 2 steps."
    assert list(cells[4].outputs[0].data) == ["text/plain"], "a widget without its kernel shows its text"
    assert cells[5].outputs[0].data["text/plain"] == "'lectures'"
    assert cells[6].outputs[0].evalue == "shown on purpose"
    assert [cell.execution_count for cell in cells[1:]] == [1, 2, 3, 4, 5, 6]


def test_what_varies_is_left_out(built: Pair) -> None:
    notebook = nbformat.read(built.notebook, as_version=4)
    assert notebook.metadata == notebooks.KERNEL
    assert all("execution" not in cell.metadata for cell in notebook.cells)
    nbformat.validate(notebook)
    text = built.notebook.read_text()
    assert text.endswith("}\n") and text == notebooks.to_text(notebook)


def test_a_second_build_changes_nothing(built: Pair) -> None:
    def without_the_number_that_changes() -> str:
        return re.sub(r'"\d+\\n"', '"a process number"', built.notebook.read_text())

    before = without_the_number_that_changes()
    notebooks.build(built)
    assert without_the_number_that_changes() == before
    assert list(notebooks.check(built)) == []
    assert not list(built.notebook.parent.glob("*.part"))


def test_a_cell_put_in_leaves_the_ids_of_the_others(built: Pair, tmp_path: Path) -> None:
    before = [cell.id for cell in notebooks.convert(built.source).cells]
    longer = lecture(tmp_path, SOURCE.replace("# %%\nipy", "# %%\n1 + 1\n\n# %%\n1 + 1\n\n# %%\nipy"))
    after = [cell.id for cell in notebooks.convert(longer.source).cells]
    assert len(set(after)) == len(after) == len(before) + 2
    assert [name for name in after if name in before] == before


def test_nbval_finds_what_was_printed(built: Pair) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--nbval", "--nbval-current-env"]
    answer = subprocess.run([*command, built.notebook], cwd=built.notebook.parent, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stdout
    assert "6 passed" in answer.stdout


def test_the_html_export_has_the_alt_text(built: Pair) -> None:
    from nbconvert import HTMLExporter

    page, _ = HTMLExporter().from_filename(str(built.notebook))
    images = re.findall(r'<img alt="([^"]*)"', page)
    assert images == ["The loss falls from 4 to 0 in 2 steps."]
    assert "No description has been provided" not in page


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("import sys; print('careful', file=sys.stderr)", "cell 2 wrote to stderr: careful"),
        ("import time; time.sleep(30)", "a cell took longer than 2 s"),
        ("import os; os._exit(1)", "the kernel died"),
        ("import tempfile; tempfile.gettempdir() + '/x'", "cell 2 shows a path of this machine"),
    ],
)
def test_what_goes_wrong_is_said_and_the_old_notebook_stays(tmp_path: Path, cell: str, message: str) -> None:
    pair = lecture(tmp_path, f"# %%\nprint('fine')\n\n# %%\n{cell}\n")
    pair.notebook.write_text("the old one")
    with pytest.raises(NotebookError, match=message):
        notebooks.build(pair, cell_seconds=2)
    assert pair.notebook.read_text() == "the old one"


# --- checking ---


def test_a_built_notebook_passes(edited) -> None:
    _, problems = edited
    assert problems() == ""


def test_an_edited_cell(edited) -> None:
    notebook, problems = edited
    notebook.cells[1].source = notebook.cells[1].source.replace("holds", "fails")
    assert "cell 2 is not the one of the source" in problems()
    assert '-print("verdict: holds")' in problems() and '+print("verdict: fails")' in problems()


def test_a_cell_of_another_kind(edited) -> None:
    notebook, problems = edited
    notebook.cells[0] = nbformat.v4.new_raw_cell(notebook.cells[0].source)
    assert "-[markdown]" in problems() and "+[raw]" in problems()


def test_a_missing_and_an_added_cell(edited) -> None:
    notebook, problems = edited
    last = notebook.cells.pop()
    assert "it has 6 cells, its source 7" in problems()
    another = copy.deepcopy(last)
    another.id = "another"
    notebook.cells += [last, another]
    assert "it has 8 cells, its source 7" in problems()


def test_another_tag(edited) -> None:
    notebook, problems = edited
    notebook.cells[1].metadata["tags"] = ["nbval-skip"]
    assert "cell 2 has the tags or metadata {'tags': ['nbval-skip']}, its source {}" in problems()


def test_a_cell_that_was_not_run(edited) -> None:
    notebook, problems = edited
    notebook.cells[3].execution_count, notebook.cells[3].outputs = None, []
    assert "cell 4 was not run in its turn: [None], expected [3]" in problems()


def test_an_error(edited) -> None:
    notebook, problems = edited
    notebook.cells[1].outputs = notebook.cells[6].outputs
    assert "cell 2 ended with an error: ValueError: shown on purpose" in problems()


def test_a_warning(edited) -> None:
    notebook, problems = edited
    notebook.cells[1].outputs.append(nbformat.v4.new_output("stream", name="stderr", text="UserWarning: old\n"))
    assert "cell 2 wrote to stderr: UserWarning: old" in problems()


def test_a_picture_without_alt_text(edited) -> None:
    notebook, problems = edited
    picture = notebook.cells[3].outputs[0].data
    html = picture["text/html"]
    picture["text/html"] = html.replace('alt="The loss falls from 4 to 0 in 2 steps."', 'alt=" "')
    assert "cell 4 has a picture without alt text" in problems()
    picture["text/html"] = html.replace('alt="The loss falls from 4 to 0 in 2 steps."', "")
    assert "cell 4 has a picture without alt text" in problems()
    del picture["text/html"]
    assert "cell 4 has a picture without alt text: show it with lrlab.figures.show(fig, alt=...)" in problems()


@pytest.mark.parametrize(
    "text", ["See ![](picture.png)", 'See <img src="picture.png">', 'See <img alt="" src="p.png">']
)
def test_a_picture_in_the_text_without_alt_text(edited, text: str) -> None:
    notebook, problems = edited
    notebook.cells[0].source = text
    assert "cell 1 has a picture without alt text" in problems()
    notebook.cells[0].source = 'See ![a curve](p.png) and <img alt="a curve" src="p.png">'
    assert "without alt text" not in problems()


def test_a_picture_that_nbval_would_compare(edited) -> None:
    notebook, problems = edited
    notebook.cells[3].metadata["tags"] = []
    assert "cell 4 shows a picture, which differs from CPU to CPU: give it the tag nbval-ignore-output" in problems()


def test_a_picture_that_is_too_large(edited) -> None:
    notebook, problems = edited
    notebook.cells[3].outputs[0].data["image/png"] = "A" * 201_336
    assert "cell 4 has a picture of 151 kB, over the limit of 150 kB" in problems()


def test_a_notebook_that_is_too_large(edited) -> None:
    notebook, problems = edited
    notebook.cells[1].outputs[0].text = "a" * 1_500_000
    assert "over the limit of 1.5 MB" in problems()


def test_the_state_of_widgets(edited) -> None:
    notebook, problems = edited
    notebook.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": {}}
    assert "it holds the state of widgets" in problems()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("saved in /home/ann/lrlab/moves.json", "shows a path of this machine: /home/ann/lrlab/moves.json"),
        (r"saved in C:\Users\ann", r"shows a path of this machine: C:\Users\ann"),
        ("<function f at 0x7f3a5c0d1e10>", "shows a memory address, another one at each run: at 0x7f3a5c0d1e10"),
    ],
)
def test_what_only_this_machine_would_show(edited, text: str, problem: str) -> None:
    notebook, problems = edited
    notebook.cells[1].outputs[0].text = text
    assert problem in problems()


def test_text_that_only_looks_like_a_path(edited) -> None:
    notebook, problems = edited
    notebook.cells[1].outputs[0].text = "https://example.org/home/x lectures/tmp/y ratio 1/work/2"
    assert problems() == ""


@pytest.mark.parametrize("text", ["", "{", "[]", '{"cells": 3}'])
def test_a_damaged_notebook(built: Pair, tmp_path: Path, text: str) -> None:
    pair = lecture(tmp_path, built.source.read_text())
    pair.notebook.write_text(text)
    assert any("it cannot be read" in problem for problem in notebooks.check(pair))


# --- the command ---


@pytest.fixture
def clone(built: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone with one lecture, and this process standing in it."""
    lectures = tmp_path / "lectures"
    pair = lecture(lectures, built.source.read_text(), name="00_welcome")
    pair.notebook.write_text(built.notebook.read_text())
    monkeypatch.chdir(tmp_path)
    return lectures


def test_check_says_that_all_agree(clone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["notebooks", "check"]) == 0
    assert "1 notebooks agree with their sources" in capsys.readouterr().out


def test_check_says_what_is_wrong_and_what_to_do(clone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lecture(clone, "# %%\n1\n", name="01_new")
    (clone / "02_orphan.ipynb").write_text(json.dumps(nbformat.v4.new_notebook()))
    assert cli.main(["notebooks", "check"]) == 1
    said = capsys.readouterr().err
    assert "01_new: it has a source, but was never built" in said
    assert "02_orphan: it has no source" in said
    assert said.endswith("run: make notebooks\n")


def test_build_says_how_long_it_took(clone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lecture(clone, "# %%\nprint('fine')\n", name="01_new")
    lecture(clone, "# %%\n1 / 0\n", name="02_broken")
    assert cli.main(["notebooks", "build", "01_new", "02_broken"]) == 1
    out, err = capsys.readouterr()
    assert re.search(r"^01_new: \d+\.\d s, \d+ kB$", out, re.MULTILINE)
    assert "02_broken: NOT built" in err and "ZeroDivisionError" in err
    assert (clone / "01_new.ipynb").exists() and not (clone / "02_broken.ipynb").exists()


def test_a_name_without_a_source(clone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["notebooks", "build", "99_none"]) == 2
    assert "no source for 99_none; there are: 00_welcome" in capsys.readouterr().err
