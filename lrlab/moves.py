"""The move log: every turn of a knob as ``(step, knob, value)``, and the file it is saved in.

The slider, a schedule, a script, a test and a replay are the same thing: a list of moves. A move at step ``s`` takes
effect before step ``s`` (counted from 0) is made.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

Move = tuple[int, str, Any]

FORMAT = "lrlab moves 1"


def check_moves(moves: Iterable[Any]) -> list[Move]:
    """The moves as a clean list of ``(step, knob, value)``.

    Raises:
        ValueError: if an entry is not a triple, a step is negative or not whole, a knob is not a name, or the steps
            go backwards. The message gives the position of the entry.
    """
    if isinstance(moves, (str, bytes, Mapping)) or not isinstance(moves, Iterable):
        raise ValueError(f"moves must be a list of [step, knob, value], got {type(moves).__name__}")
    clean: list[Move] = []
    for position, entry in enumerate(moves):
        if not isinstance(entry, (list, tuple)) or len(entry) != 3:
            raise ValueError(f"move {position} must be [step, knob, value], got {entry!r}")
        step, knob, value = entry
        if isinstance(step, bool) or not isinstance(step, int) or step < 0:
            raise ValueError(f"move {position}: the step must be a whole number of at least 0, got {step!r}")
        if not isinstance(knob, str) or not knob:
            raise ValueError(f"move {position}: the knob must be a name such as 'lr', got {knob!r}")
        if clean and step < clean[-1][0]:
            raise ValueError(f"move {position}: the steps must not go backwards, got {step} after {clean[-1][0]}")
        clean.append((step, knob, value))
    return clean


def save(path: str | os.PathLike[str], config: Mapping[str, Any], moves: Iterable[Move]) -> Path:
    """Write a configuration and its moves to one JSON file, whole or not at all."""
    document = {"format": FORMAT, "config": dict(config), "moves": [list(move) for move in moves]}
    try:
        text = json.dumps(document, indent=1, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"these moves cannot be written as JSON: {error}") from None
    return write_whole(path, text.encode())


def load(path: str | os.PathLike[str]) -> tuple[dict[str, Any], list[Move]]:
    """Read what `save` wrote: ``(config, moves)``.

    Raises:
        ValueError: if the file is not JSON, is not a move log, or holds a damaged move.
    """
    return parse(Path(path).read_bytes(), str(path))


def parse(text: str | bytes, origin: str = "this text") -> tuple[dict[str, Any], list[Move]]:
    """Read a move log from the text of its file; ``origin`` names it in errors."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{origin} is not a move log: it is not valid JSON ({error}). Save the moves again.") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ValueError(f"{origin} is not a move log: it lacks the line \"format\": \"{FORMAT}\"")
    missing = [key for key in ("config", "moves") if key not in document]
    if missing or not isinstance(document["config"], dict):
        raise ValueError(f"{origin} is a damaged move log: {missing or ['config']} missing or not of the right kind")
    return document["config"], check_moves(document["moves"])


def write_whole(path: str | os.PathLike[str], content: bytes) -> Path:
    """Write a file so that a crash leaves the old one or the new one, never half of one."""
    path = Path(path)
    handle, name = tempfile.mkstemp(dir=path.parent or ".", prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
    return path
