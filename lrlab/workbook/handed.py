"""A student's notebook, whatever has become of it, laid beside the pristine record of its workbook.

Cells are found by their id, then by the metadata the build gave them, then by what they hold, so that a cell that was
cut and pasted, or lost its metadata in another program, is still the answer to its question. What cannot be found is
named and replaced by the record's own cell. Everything that was odd becomes a note, a sentence for the student.
"""

from __future__ import annotations

import importlib.resources
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from lrlab.workbook.building import LOAD

LARGEST = 20_000_000  # bytes


class Unreadable(Exception):
    """The file cannot be checked; the message is the sentence for the student."""


@dataclass(frozen=True)
class Cell:
    """A cell as it was handed in, with all that is needed of it."""

    kind: str  # "code", "markdown" or "raw"
    source: str
    id: str = ""
    question: str = ""
    role: str = ""
    workbook: str = ""
    version: int = 0


@dataclass(frozen=True)
class Step:
    """A code cell to run: the student's, or the record's where theirs is missing."""

    source: str
    question: str = ""  # the question that it answers or checks
    role: str = ""  # "answer", "check", "given" (the workbook's own) or "extra" (the student's own)
    missing: bool = False


@dataclass
class Handed:
    """A student's notebook, put in the workbook's order.

    Attributes:
        record: the pristine record.
        steps: the code cells to run, in the order of the workbook, the student's own after the cell they stand behind.
        notes: what was odd about the notebook, a sentence each.
    """

    record: Mapping[str, Any]
    steps: list[Step] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def records() -> dict[str, Mapping[str, Any]]:
    """The pristine records of the installed workbooks, by name."""
    folder = importlib.resources.files("lrlab.workbook").joinpath("records")
    found = [json.loads(file.read_text(encoding="utf-8")) for file in folder.iterdir() if file.name.endswith(".json")]
    return {record["name"]: record for record in sorted(found, key=lambda record: record["name"])}


def read(path: Path, known: Mapping[str, Mapping[str, Any]]) -> Handed:
    """Read a student's notebook and put it in order.

    Raises:
        Unreadable: it is no notebook, or of none of the workbooks.
    """
    cells, notes = _cells(path)
    record = known[_name(path, cells, known, notes)]
    handed = Handed(record, notes=notes)
    _note_version(handed, cells)
    _put_in_order(handed, [cell for cell in cells if cell.kind == "code"])
    return handed


# --- reading the file -------------------------------------------------------------------------------------------------


def _cells(path: Path) -> tuple[list[Cell], list[str]]:
    content = _content(path)
    cells = content.get("cells")
    if not isinstance(cells, list):
        raise Unreadable(f"{path} is no notebook: there is no list of cells in it. {_ADVICE}")
    read = [_cell(cell) for cell in cells]
    damaged = sum(cell is None for cell in read)
    notes = [f"{damaged} of its cells {'is' if damaged == 1 else 'are'} damaged and left out."] if damaged else []
    return [cell for cell in read if cell is not None], notes


_ADVICE = "Is it the right file? An earlier version may be under .ipynb_checkpoints."


def _content(path: Path) -> dict[str, Any]:
    try:
        if not path.exists():
            raise Unreadable(f"There is no file {path} here.")
        if not path.is_file():
            raise Unreadable(f"{path} is a folder. Name the notebook in it.")
        if (size := path.stat().st_size) > LARGEST:
            raise Unreadable(
                f"{path} has {size / 1e6:.0f} MB. Clear its outputs (Kernel > Restart and Clear) and save."
            )
        text = path.read_bytes().decode("utf-8-sig")
        content = json.loads(text)
    except OSError as error:
        raise Unreadable(f"{path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise Unreadable(f"{path} is no notebook: it is not text in UTF-8. {_ADVICE}") from None
    except json.JSONDecodeError as error:
        what = "it is empty" if not text.strip() else f"line {error.lineno} is not JSON, as in half a file"
        raise Unreadable(f"{path} is damaged: {what}. {_ADVICE}") from None
    except (ValueError, RecursionError):  # a number of 5,000 digits, brackets without end
        raise Unreadable(f"{path} is damaged: it is JSON, but none that a notebook holds. {_ADVICE}") from None
    if not isinstance(content, dict):
        raise Unreadable(f"{path} is no notebook. {_ADVICE}")
    return _of_version_4(path, content)


def _of_version_4(path: Path, content: dict[str, Any]) -> dict[str, Any]:
    if str(content.get("nbformat", 4)) == "4":
        return content
    import nbformat

    try:
        return nbformat.convert(nbformat.from_dict(content), 4)
    except Exception:  # whatever a file of another version holds
        version = str(content.get("nbformat"))[:20]
        raise Unreadable(f"{path} is of the notebook format {version}; save it in JupyterLab first.") from None


def _cell(cell: Any) -> Cell | None:
    if not isinstance(cell, dict):
        return None
    source = cell.get("source", "")
    if isinstance(source, list) and all(isinstance(line, str) for line in source):
        source = "".join(source)
    if not isinstance(source, str) or cell.get("cell_type") not in ("code", "markdown", "raw"):
        return None
    metadata = cell.get("metadata")
    ours = metadata.get("lrlab") if isinstance(metadata, dict) else None
    ours = ours if isinstance(ours, dict) else {}
    text = {key: str(ours.get(key, "")) for key in ("question", "role", "workbook")}
    version = ours.get("version")
    return Cell(cell["cell_type"], source, str(cell.get("id", "")), **text, version=_whole(version))


def _whole(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 10**6 else 0


# --- which workbook, which version ------------------------------------------------------------------------------------


def _name(path: Path, cells: Sequence[Cell], known: Mapping[str, Any], notes: list[str]) -> str:
    marked = Counter(cell.workbook for cell in cells if cell.workbook in known and cell.role in ("answer", "check"))
    opened = [call["name"] for cell in cells if cell.kind == "code" and (call := LOAD.search(cell.source))]
    candidates = [*(name for name, _ in marked.most_common(1)), *opened, path.stem]
    name = next((name for name in candidates if name in known), None)
    if name is None:
        there = ", ".join(known) or "none"
        raise Unreadable(f"{path} is none of the workbooks that this lrlab knows. They are: {there}.")
    if path.stem in known and path.stem != name:
        notes.append(f"The file is called {path.stem}, but what is in it is the workbook {name}: checked as {name}.")
    if strangers := sum(cell.workbook not in ("", name) for cell in cells):
        notes.append(f"{_count(strangers, 'cell')} of another workbook {_is(strangers)} in it, and not counted.")
    return name


def _note_version(handed: Handed, cells: Iterable[Cell]) -> None:
    name, installed = handed.record["name"], handed.record["version"]
    versions = Counter(cell.version for cell in cells if cell.workbook == name and cell.version)
    version = versions.most_common(1)[0][0] if versions else installed
    if version < installed:
        handed.notes.append(
            f"Your notebook is version {version} of {name}, this lrlab has version {installed}: "
            "what both know is checked, by the newer checks. Get the newer notebook for the rest."
        )
    elif version > installed:
        handed.notes.append(
            f"Your notebook is version {version} of {name}, this lrlab only has version {installed}: "
            "what both know is checked. Update lrlab for the rest."
        )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def _is(number: int) -> str:
    return "is" if number == 1 else "are"


# --- the workbook's order ---------------------------------------------------------------------------------------------


def _put_in_order(handed: Handed, cells: Sequence[Cell]) -> None:
    """Fill ``handed.steps``: the record's code cells in its order, each as the student has it."""
    record = handed.record
    pristine = [cell for cell in record["cells"] if cell["cell_type"] == "code"]
    places = [_places(cell, cells, record["name"]) for cell in pristine]
    taken = {place for found in places for place in found}
    chosen = [_choose(cell, found, cells, handed) for cell, found in zip(pristine, places, strict=True)]
    present = [place for place in chosen if place is not None]
    if present != sorted(present):
        handed.notes.append("The cells stand in another order than in the workbook. They are run in the workbook's.")
    if gone := sorted({cell.question for cell in cells if cell.role and _is_gone(cell, record)}):
        handed.notes.append(f"No longer asked in version {record['version']}, and not counted: {', '.join(gone)}.")
    extras = _extras(cells, taken, present)
    odd: Counted = {}
    handed.steps += [Step(cells[place].source, role="extra") for place in extras.pop(None, [])]
    for cell, place in zip(pristine, chosen, strict=True):
        handed.steps.append(_step(cell, None if place is None else cells[place], odd))
        handed.steps += [Step(cells[extra].source, role="extra") for extra in extras.pop(place, [])]
    if not present:
        handed.notes.append("None of the workbook's cells is in your notebook.")
    else:
        handed.notes += [_SENTENCES[kind][len(named) > 1].format(", ".join(named)) for kind, named in odd.items()]


def _is_gone(cell: Cell, record: Mapping[str, Any]) -> bool:
    return cell.workbook == record["name"] and cell.question not in record["points"]


def _places(pristine: Mapping[str, Any], cells: Sequence[Cell], workbook: str) -> list[int]:
    """Where a cell of the record stands in the student's notebook: by id and metadata, or by what it holds."""
    question, role = _question_and_role(pristine)
    ours = [(place, cell) for place, cell in enumerate(cells) if cell.workbook in ("", workbook)]
    if not role:
        by_id = [place for place, cell in ours if cell.id == pristine["id"]]
        return by_id or [place for place, cell in ours if cell.source.strip() == pristine["source"].strip()]
    marked = [place for place, cell in ours if (cell.question, cell.role) == (question, role)]
    marked += [place for place, cell in ours if not cell.role and cell.id == pristine["id"]]
    if role == "check":
        return marked or [place for place, cell in ours if _checks(cell, question)]
    name = _function(pristine["source"])
    return sorted({*marked, *(place for place, cell in ours if not cell.role and name == _function(cell.source))})


def _question_and_role(pristine: Mapping[str, Any]) -> tuple[str, str]:
    ours = pristine["metadata"].get("lrlab", {})
    return ours.get("question", ""), ours.get("role", "")


def _checks(cell: Cell, question: str) -> bool:
    return not cell.role and re.match(rf"book\.check\(\s*[\"']{question}[\"']", cell.source.strip()) is not None


def _function(source: str) -> str | None:
    """The name of the last function that a cell defines at its left margin."""
    names = re.findall(r"^def (\w+)\(", source, re.MULTILINE)
    return names[-1] if names else None


def _choose(pristine: Mapping[str, Any], places: list[int], cells: Sequence[Cell], handed: Handed) -> int | None:
    """The one that counts: of answers the last that is more than the stub, of other cells the first."""
    if not places:
        return None
    question, role = _question_and_role(pristine)
    worked_on = [place for place in places if cells[place].source.strip() not in ("", pristine["source"].strip())]
    place = (worked_on or places)[-1] if role == "answer" else places[0]
    if len(places) > 1 and role == "answer":
        which = "the last one that is more than the stub counts" if worked_on else "none is more than the stub"
        handed.notes.append(f"There are {len(places)} cells with an answer to {question!r}: {which}.")
    elif len(places) > 1 and role == "check":
        handed.notes.append(f"The check of {question!r} is there {len(places)} times. Once is enough.")
    return place


def _extras(cells: Sequence[Cell], taken: set[int], chosen: list[int]) -> dict[int | None, list[int]]:
    """The student's own cells, by the place of the workbook's cell that they stand behind."""
    extras: dict[int | None, list[int]] = {}
    anchor: int | None = None
    for place, cell in enumerate(cells):
        if place in chosen:
            anchor = place
        elif place not in taken and cell.source.strip() and not cell.role:
            extras.setdefault(anchor, []).append(place)
    return extras


Counted: TypeAlias = dict[str, list[str]]  # what is odd, and the questions or cells that it is odd of

_SENTENCES = {  # of one, of several
    "no answer": ("The cell with the answer to {} is missing.", "The cells with the answers to {} are missing."),
    "no check": (
        "The check of {} is missing; the workbook's own is used.",
        "The checks of {} are missing; the workbook's own are used.",
    ),
    "other check": (
        "The check of {} was changed; the workbook's own is used.",
        "The checks of {} were changed; the workbook's own are used.",
    ),
    "no given": (
        "A cell of the workbook is missing and was put back: {}",
        "Cells of the workbook are missing and were put back: {}",
    ),
    "other start": ("The cell that opens the workbook was changed; the workbook's own is used: {}",) * 2,
}


def _step(pristine: Mapping[str, Any], cell: Cell | None, odd: Counted) -> Step:
    question, role = _question_and_role(pristine)
    own = pristine["source"]

    def note(kind: str, what: str = repr(question)) -> None:
        odd.setdefault(kind, []).append(what)

    if role == "answer":
        if cell is None:
            note("no answer")
        return Step(own if cell is None else cell.source, question, role, missing=cell is None)
    if role == "check":
        if cell is None:
            note("no check")
        elif cell.source.strip() != own.strip():
            note("other check")
        return Step(own, question, role)
    if cell is None:
        note("no given", own.strip().splitlines()[0])
        return Step(own, role="given")
    opened, wanted = LOAD.search(cell.source), LOAD.search(own)
    if wanted and (not opened or opened["name"] != wanted["name"]):
        note("other start", f"{wanted[0]})")
        return Step(own, role="given")
    return Step(cell.source, role="given")
