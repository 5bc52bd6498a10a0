"""The lectures as notebooks, built from their text sources, and the check that both still agree.

``lectures/source/NN_name.py`` (jupytext's percent format) is the one source. ``build`` runs it on a fresh kernel and
writes ``lectures/NN_name.ipynb`` with its outputs. What changes from one run to the next without need (cell ids, times,
widget states, versions) is left out, so that a second build changes nothing but, on another machine, the pictures.
"""

from __future__ import annotations

import base64
import difflib
import hashlib
import re
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from lrlab.figures import LIMIT_BYTES

CELL_SECONDS = 120  # a cell that takes longer is taken for one that hangs
NOTEBOOK_SECONDS = 60  # what a lecture may take in all
NOTEBOOK_BYTES = 1_500_000

KERNEL = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {
        "file_extension": ".py",
        "mimetype": "text/x-python",
        "name": "python",
        "pygments_lexer": "ipython3",
    },
}
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"

# What would name the machine of whoever built the notebook, or change at every run.
_PATH = re.compile(
    r"(?<![\w.:/~-])/(?:home|Users|root|tmp|usr|opt|var|private|mnt|work)/[^\s'\"<>]*"  # Linux and macOS
    r"|\b[A-Z]:\\+Users\\+[^\s'\"<>]*"  # Windows
)
_ADDRESS = re.compile(r"\bat 0x[0-9a-f]{6,}")
_COLOUR_CODE = re.compile(r"\x1b\[[0-9;]*m")


class NotebookError(Exception):
    """A notebook could not be built; the message says which cell and why."""


@dataclass(frozen=True)
class Pair:
    """A source and the notebook that is built from it."""

    source: Path
    notebook: Path

    @property
    def name(self) -> str:
        return self.notebook.stem


def main(action: str, names: Sequence[str]) -> int:
    """The command ``lrlab notebooks build|check [NAME ...]``, on lectures and workbooks; the result is the exit status.

    A lecture and its workbook may have the same name: it stands for both.
    """
    from lrlab.cli import find_root
    from lrlab.workbook import building

    root = find_root() or Path.cwd()
    lectures, workbooks = find(root / "lectures"), building.find(root)
    known = {lecture.name for lecture in lectures} | {workbook.name for workbook in workbooks}
    if unknown := [name for name in names if name not in known]:
        print(f"no source for {', '.join(unknown)}; there are: {', '.join(sorted(known))}", file=sys.stderr)
        return 2
    lectures = [lecture for lecture in lectures if not names or lecture.name in names]
    workbooks = [workbook for workbook in workbooks if not names or workbook.name in names]
    status = 0
    if lectures or not names:
        status = _build_all(lectures) if action == "build" else _check_all(root / "lectures", lectures)
    return max(status, building.run(action, root, workbooks))


def find(folder: Path) -> list[Pair]:
    """The pairs of a folder, by name."""
    return [Pair(source, folder / f"{source.stem}.ipynb") for source in sorted(folder.glob("source/*.py"))]


def _build_all(pairs: Sequence[Pair]) -> int:
    failed = 0
    for pair in pairs:
        try:
            seconds = build(pair)
        except NotebookError as error:
            failed += 1
            print(f"{pair.name}: NOT built: {error}", file=sys.stderr)
            continue
        slow = f"; over the {NOTEBOOK_SECONDS} s that a lecture may take" if seconds > NOTEBOOK_SECONDS else ""
        print(f"{pair.name}: {seconds:.1f} s, {pair.notebook.stat().st_size / 1000:.0f} kB{slow}", flush=True)
    return 1 if failed else 0


def _check_all(folder: Path, pairs: Sequence[Pair]) -> int:
    found = [f"{pair.name}: {problem}" for pair in pairs for problem in check(pair)]
    known = {pair.notebook for pair in find(folder)}
    found += [f"{path.stem}: it has no source" for path in sorted(folder.glob("*.ipynb")) if path not in known]
    return report(found, f"{len(pairs)} notebooks agree with their sources")


def report(found: Sequence[str], else_: str) -> int:
    """Print what a check has found, and what to do; or, if that is nothing, the sentence ``else_``."""
    for problem in found:
        print(problem, file=sys.stderr)
    if found:
        print("Change the source, never the notebook; then run: make notebooks", file=sys.stderr)
    else:
        print(else_)
    return 1 if found else 0


# --- building ---------------------------------------------------------------------------------------------------------


def build(pair: Pair, cell_seconds: float = CELL_SECONDS) -> float:
    """Run a source on a fresh kernel, in the folder of its notebook, and write the notebook.

    The notebook is only written if every cell ran and ``check`` finds nothing wrong with it.

    Args:
        pair: the source and the notebook.
        cell_seconds: the time limit of a cell.

    Returns:
        The seconds it took to run, the kernel's start included.

    Raises:
        NotebookError: a cell raised an exception or took too long, or the check has found something.
    """
    notebook = convert(pair.source)
    start = time.perf_counter()
    execute(notebook, pair.notebook.parent, cell_seconds)
    seconds = time.perf_counter() - start
    leave_out_what_varies(notebook)
    text = to_text(notebook)
    if found := list(problems(notebook, len(text.encode()))):
        raise NotebookError("\n  ".join(found))
    write(pair.notebook, text)
    return seconds


def write(path: Path, text: str) -> None:
    """Write a file in one stroke: whoever reads it sees the old text or the new one, never half of it."""
    unfinished = path.with_suffix(f"{path.suffix}.part")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)


def convert(source: Path) -> Any:
    """The notebook of a source: its cells with their tags, no outputs yet."""
    import jupytext

    notebook = jupytext.read(source, fmt="py:percent")
    notebook.metadata.clear()
    notebook.metadata.update(KERNEL)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    seen: dict[str, int] = {}
    for cell in notebook.cells:
        # An id from the text: the same at every build, and untouched when another cell is put in before it.
        digest = hashlib.sha256(f"{cell.cell_type}\n{cell.source}".encode()).hexdigest()[:12]
        seen[digest] = seen.get(digest, 0) + 1
        cell["id"] = digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"
    return notebook


def execute(notebook: Any, folder: Path, cell_seconds: float = CELL_SECONDS) -> None:
    """Run the cells on a fresh kernel that stands in ``folder``, and put their outputs into the notebook.

    Raises:
        NotebookError: a cell raised an exception or took too long, or the kernel died.
    """
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    client = NotebookClient(
        notebook,
        timeout=cell_seconds,
        kernel_name="python3",
        extra_arguments=["--log-level=ERROR"],  # its warnings about its own sockets are nothing to an author
        resources={"metadata": {"path": str(folder)}},
        record_timing=False,
        store_widget_state=False,
        coalesce_streams=True,
    )
    try:
        client.execute()
    except CellExecutionError as error:
        raise NotebookError(_COLOUR_CODE.sub("", str(error)).strip()) from None
    except CellTimeoutError as error:
        raise NotebookError(f"a cell took longer than {cell_seconds:g} s: {_first_line(str(error))}") from None
    except DeadKernelError:
        raise NotebookError("the kernel died; was it out of memory?") from None


def leave_out_what_varies(notebook: Any) -> None:
    """Take out what another run would change without need: versions in the metadata, views of widgets."""
    notebook.metadata.clear()
    notebook.metadata.update(KERNEL)
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            # A view without its kernel shows an error in JupyterLab; the plain text beside it does not.
            output.get("data", {}).pop(WIDGET_VIEW, None)


def to_text(notebook: Any) -> str:
    """The text of the file."""
    import nbformat

    return nbformat.writes(notebook, version=nbformat.NO_CONVERT) + "\n"


# --- checking ---------------------------------------------------------------------------------------------------------


def check(pair: Pair) -> Iterator[str]:
    """Everything that is wrong with a notebook, a sentence each; nothing if it is as ``build`` would leave it.

    The pictures and other outputs are not compared with a new run: nbval runs the notebook and does that.
    """
    try:
        notebook = read(pair.notebook)
    except NotebookError as error:
        yield str(error)
        return
    yield from differences(convert(pair.source), notebook)
    yield from problems(notebook, pair.notebook.stat().st_size)


def read(path: Path) -> Any:
    """The built notebook.

    Raises:
        NotebookError: there is none, or the file is damaged.
    """
    import nbformat

    if not path.exists():
        raise NotebookError("it has a source, but was never built")
    try:
        return nbformat.reads(path.read_text(encoding="utf-8"), as_version=4)
    except Exception as error:  # whatever stands in a damaged file
        raise NotebookError(f"it cannot be read: {_first_line(str(error))}") from None


def differences(source: Any, notebook: Any) -> Iterator[str]:
    """Where the cells of the notebook are not those of the source: the first place, with both texts."""
    for number, (wanted, found) in enumerate(zip(source.cells, notebook.cells, strict=False), 1):
        if (wanted.cell_type, wanted.source) != (found.cell_type, found.source):
            lines = difflib.unified_diff(
                [f"[{wanted.cell_type}]", *wanted.source.splitlines()],
                [f"[{found.cell_type}]", *found.source.splitlines()],
                "source",
                "notebook",
                n=1,
                lineterm="",
            )
            yield f"cell {number} is not the one of the source\n    " + "\n    ".join(lines)
            return
        if wanted.metadata != found.metadata:
            yield f"cell {number} has the tags or metadata {dict(found.metadata)}, its source {dict(wanted.metadata)}"
    if len(source.cells) != len(notebook.cells):
        yield f"it has {len(notebook.cells)} cells, its source {len(source.cells)}"


def problems(notebook: Any, size: int) -> Iterator[str]:
    """What a reader would stumble over in a notebook of ``size`` bytes, whatever its source says."""
    if size > NOTEBOOK_BYTES:
        yield f"it has {size / 1e6:.2f} MB, over the limit of {NOTEBOOK_BYTES / 1e6:.1f} MB"
    if "widgets" in notebook.metadata:
        yield "it holds the state of widgets"
    expected = 1
    for number, cell in enumerate(notebook.cells, 1):
        if cell.cell_type == "markdown" and re.search(r"!\[\s*\]\(|<img(?![^>]*\balt=\"[^\"]+\")", cell.source):
            yield f"cell {number} has a picture without alt text"
        if cell.cell_type != "code":
            continue
        yield from (f"cell {number} {problem}" for problem in problems_of_outputs(cell))
        if cell.source.strip():
            if cell.execution_count != expected:
                yield f"cell {number} was not run in its turn: [{cell.execution_count}], expected [{expected}]"
            expected += 1


def problems_of_outputs(cell: Any) -> Iterator[str]:
    """What nbval or a reader would stumble over in the outputs of a cell."""
    tags = cell.metadata.get("tags", [])
    for output in cell.outputs:
        if output.output_type == "error" and "raises-exception" not in tags:
            yield f"ended with an error: {output.ename}: {_first_line(output.evalue)}"
        if output.output_type == "stream" and output.name == "stderr":
            yield f"wrote to stderr: {_first_line(output.text)}"
        data = output.get("data", {})
        yield from _problems_of_pictures(data, tags)
        shown = output.get("text", "") + "".join(text for mime, text in data.items() if mime in _TEXTS)
        if match := _PATH.search(_WITHOUT_PICTURES.sub("", shown)):
            yield f"shows a path of this machine: {match.group()}"
        if match := _ADDRESS.search(shown):
            yield f"shows a memory address, another one at each run: {match.group()}"


_TEXTS = ("text/plain", "text/html", "text/markdown")
_WITHOUT_PICTURES = re.compile(r"data:image/[^\"]*")


def _problems_of_pictures(data: dict[str, Any], tags: Sequence[str]) -> Iterator[str]:
    images = _Images()
    images.feed(data.get("text/html", ""))
    for mime, picture in data.items():
        if not mime.startswith("image/"):
            continue
        size = len(picture if mime == "image/svg+xml" else base64.b64decode(picture))
        if size > LIMIT_BYTES:
            yield f"has a picture of {size / 1000:.0f} kB, over the limit of {LIMIT_BYTES / 1000:.0f} kB"
        if not images.alts:
            yield "has a picture without alt text: show it with lrlab.figures.show(fig, alt=...)"
    if not all(alt.strip() for alt in images.alts):
        yield "has a picture without alt text"
    if images.alts and "nbval-ignore-output" not in tags:
        yield "shows a picture, which differs from CPU to CPU: give it the tag nbval-ignore-output"


class _Images(HTMLParser):
    """The alt texts of the images in an HTML output."""

    def __init__(self) -> None:
        super().__init__()
        self.alts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            self.alts.append(dict(attrs).get("alt") or "")


def _first_line(text: str) -> str:
    return next(iter(text.strip().splitlines()), "")
