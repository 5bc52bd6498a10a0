"""The workbooks: one module each, `w03_momentum.py` for `exercises/03_momentum.ipynb`.

A module holds `QUESTIONS`, a tuple of questions in the order of the notebook, and `VERSION`, a whole number that is
raised whenever a question changes so much that an older notebook no longer fits. Putting a module here registers it.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
import re

from lrlab.workbook.questions import Question
from lrlab.workbook.verdicts import UnknownWorkbook


def names() -> tuple[str, ...]:
    """The names of all workbooks, in the order of the lectures: "03_momentum"."""
    modules = (module.name for module in pkgutil.iter_modules(__path__))
    return tuple(sorted(name[1:] for name in modules if re.match(r"w\d\d_", name)))


def questions(name: str) -> tuple[Question, ...]:
    """The questions of a workbook. Raises UnknownWorkbook, with the nearest name, if there is none of this name."""
    return importlib.import_module(f"{__name__}.w{_known(name)}").QUESTIONS


def version(name: str) -> int:
    """The version of a workbook's questions."""
    return importlib.import_module(f"{__name__}.w{_known(name)}").VERSION


def _known(name: str) -> str:
    known = names()
    if name in known:
        return name
    near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.3)
    meant = f"Did you mean {near[0]!r}? " if near else ""
    raise UnknownWorkbook(f"There is no workbook {name!r}. {meant}There are {', '.join(known)}.")
