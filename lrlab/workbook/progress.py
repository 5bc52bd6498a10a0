"""How far a student is: a small JSON file beside the notebook. It goes nowhere else.

`03_momentum.progress.json` holds, for each question, how often it was tried, whether it was right once, and how many
hints were read. It is written whole or not at all. A file that cannot be read is set aside, not overwritten.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any, TypeAlias

Record: TypeAlias = dict[str, Any]  # {"attempts": 3, "right": True, "hints": 1}

FORMAT = 1
LARGEST = 1_000_000  # bytes; ours have some hundreds


class Progress:
    """The progress through one workbook.

    Parameters
    ----------
    workbook
        "03_momentum".
    folder
        Where the file is. If it cannot be written, progress lasts as long as the kernel, and `note` says so.

    Attributes
    ----------
    note
        What the student should know about the file; empty if all is well.
    """

    def __init__(self, workbook: str, folder: Path) -> None:
        self.workbook = workbook
        self.path = folder / f"{workbook}.progress.json"
        self.note = ""
        self._records: dict[str, Record] = {}
        self._lasts = True  # the file can be written
        self._reload()

    def attempts(self, question: str) -> int:
        """How often an answer was checked. Checking the empty stub does not count."""
        return int(self._of(question).get("attempts", 0))

    def right(self, question: str) -> bool:
        """True once an answer was right, also if a later one was not."""
        return bool(self._of(question).get("right", False))

    def hints(self, question: str) -> int:
        """How many stages of the hint were read."""
        return int(self._of(question).get("hints", 0))

    def attempted(self, question: str, right: bool) -> None:
        """Note an attempt."""
        self._note(question, attempts=self.attempts(question) + 1, right=right or self.right(question))

    def hinted(self, question: str, stage: int) -> None:
        """Note that a stage of the hint was read, counted from 1."""
        self._note(question, hints=max(stage, self.hints(question)))

    def _of(self, question: str) -> Record:
        self._reload()
        return self._records.get(question, {})

    def _note(self, question: str, **changes: Any) -> None:
        self._records[question] = {**self._of(question), **changes}
        self._save()

    def _reload(self) -> None:
        """Read the file again: a second kernel may have the same notebook open."""
        if not self._lasts:
            return  # what is in memory is newer
        try:
            if self.path.stat().st_size > LARGEST:
                raise ValueError("too large")
            self._records.update(_records_in(self.path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            pass
        except OSError as error:
            self.note = f"Your progress cannot be read ({error.strerror}: {self.path.name}): it starts anew."
        except (ValueError, RecursionError):
            self._set_aside()

    def _set_aside(self) -> None:
        number, aside = 1, self.path.with_suffix(".damaged.json")
        while aside.exists():
            number, aside = number + 1, self.path.with_suffix(f".damaged-{number + 1}.json")
        try:
            self.path.replace(aside)
            self.note = f"Your progress could not be read. The file is now {aside.name}; progress starts anew."
        except OSError as error:
            self.note = f"Your progress is damaged and cannot be set aside ({error.strerror}: {self.path.name})."

    def _save(self) -> None:
        text = json.dumps({"format": FORMAT, "workbook": self.workbook, "questions": self._records}, indent=1)
        try:
            _write_whole(self.path, text + "\n")
            self._lasts = True
        except OSError as error:
            self._lasts = False
            self.note = f"Your progress cannot be kept in this folder ({error.strerror}): it is lost with the kernel."


def _records_in(text: str) -> dict[str, Record]:
    """The records of a progress file. Raises ValueError if it is none."""
    content = json.loads(text)
    records = content.get("questions") if isinstance(content, dict) else None
    if not isinstance(records, dict) or not all(map(_is_record, records.values())):
        raise ValueError("not a progress file")
    return records


def _is_record(record: Any) -> bool:
    counts = ("attempts", "hints")
    return isinstance(record, dict) and all(isinstance(record.get(count, 0), int) for count in counts)


def _write_whole(path: Path, text: str) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
