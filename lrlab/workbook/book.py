"""A workbook, as its notebook holds it: check an answer, ask for a hint or the solution, see how far you are."""

from __future__ import annotations

import copy
import difflib
import functools
import importlib.resources
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from IPython.display import display

import lrlab
from lrlab.source import Source
from lrlab.workbook import books, judging
from lrlab.workbook.progress import Progress
from lrlab.workbook.questions import Question
from lrlab.workbook.verdicts import NotAttempted, NotYet, Raised, UnknownQuestion, WorkbookError, Wrong


def load(name: str, version: int | None = None) -> Book:
    """Open a workbook: `book = load("03_momentum")`.

    Parameters
    ----------
    name
        That of the notebook, without its ending.
    version
        The version of the questions that the notebook was made for. If the installed one is another, this is said; what
        is still asked is checked all the same.

    Raises
    ------
    UnknownWorkbook
        There is none of this name. The message has the nearest.
    """
    book = Book(name, books.questions(name))
    installed = books.version(name)
    if version is not None and version != installed:
        older, newer = ("notebook", "lrlab") if version < installed else ("lrlab", "notebook")
        print(
            f"This notebook is version {version} of {name}; lrlab {lrlab.__version__} has version {installed}. "
            f"What both know is checked; to have the same, get the {older} that belongs to your {newer}."
        )
    if book.kept.note:
        print(book.kept.note)
    return book


class Book:
    """The questions of a workbook, and the student's progress through them.

    Parameters
    ----------
    name
        "03_momentum".
    questions
        In the order of the notebook.
    folder
        Where the progress is kept. The folder of the notebook, which is where its kernel starts.
    """

    def __init__(self, name: str, questions: tuple[Question, ...], folder: Path | None = None) -> None:
        self.name = name
        self.questions = {question.name: question for question in questions}
        self.kept = Progress(name, Path.cwd() if folder is None else folder)
        self._right: set[str] = set()
        self._failed: dict[str, tuple[Any, ...]] = {}

    def __repr__(self) -> str:
        return f"Book({self.name!r}: {', '.join(self.questions)})"

    def check(self, name: str, function: Any = None) -> None:
        """Check the function you wrote for a question. Prints one line if it is right.

        Raises
        ------
        NotAttempted, Raised, Wrong
            With the smallest input on which it fails, what is expected there, what your function made of it, and the
            likely mistake.
        UnknownQuestion
            This workbook has no such question.
        """
        question = self._question(name)
        try:
            judging.check(question, function, seed=self.name)
        except NotAttempted:
            raise
        except (Raised, Wrong) as found:
            self.kept.attempted(name, right=False)
            self._right.discard(name)
            self._failed[name] = found.arguments
            if behind := self._not_right_behind(name, function):
                found.add("first", f"It calls your {_listed(behind)}, not checked and right yet: begin there.")
            raise
        except Exception as error:  # ours failed and not the student's: a stack trace would be of no use to them
            raise WorkbookError(
                f"{name}: this could not be judged, and that is no fault of your function. lrlab's own code raised "
                f"{type(error).__name__}: {error}. Restart the kernel and try again; if it stays, report it, please."
            ) from error
        self.kept.attempted(name, right=True)
        self._right.add(name)
        examples = f"{len(question.examples)} example{'s' * (len(question.examples) != 1)}"
        print(f"{name}: right, on {examples} and {question.draws} random inputs.")

    def _not_right_behind(self, name: str, function: Any) -> list[str]:
        """The other answers that a function calls and that are not known to be right."""
        called = getattr(getattr(function, "__code__", None), "co_names", ())
        return [
            other
            for other in self.questions
            if other != name and other in called and other not in self._right
            if other in self._failed or not self.kept.right(other)
        ]

    def right(self, *names: str) -> bool:
        """True once these questions were checked and right in this kernel, so that a cell may use your functions.

        Unless they were, a line says which ones it waits for: the cell would stay empty without a word.
        """
        missing = [name for name in names if self._question(name).name not in self._right]
        if missing:
            print(f"Nothing to see yet: {self._waiting_for(missing)}")
        return not missing

    def _waiting_for(self, missing: list[str]) -> str:
        open_yet = [name for name in missing if not self.kept.right(name)]
        if open_yet:
            return f"this cell needs your {_listed(open_yet)}, checked and right."
        return f"Python was started anew. Run {_listed(missing)} and the check of each again, then this cell."

    def given(self, name: str) -> tuple[Any, ...]:
        """The input on which your function failed last, or the first example: `momentum(*book.given("momentum"))`."""
        question = self._question(name)
        return copy.deepcopy(self._failed.get(name) or tuple(question.cases(self.name)[0].arguments.values()))

    def hint(self, name: str) -> None:
        """Print a hint: each time you ask one stage further, three in all."""
        question = self._question(name)
        stage = min(self.kept.hints(name) + 1, len(question.hints))
        self.kept.hinted(name, stage)
        last = stage == len(question.hints)
        more = f"That was the last one. After an attempt: book.solution({name!r})" if last else "There is one more."
        print(f"{name}, hint {stage} of {len(question.hints)}: {question.hints[stage - 1]}")
        if last or stage == len(question.hints) - 1:
            print(more)

    def solution(self, name: str, force: bool = False) -> None:
        """Show the solution, once you have attempted the question.

        Parameters
        ----------
        name
            The question.
        force
            Show it without an attempt.

        Raises
        ------
        NotYet
            You have not tried it.
        """
        self._question(name)
        if not force and not self.kept.attempts(name):
            raise NotYet(
                f"{name}: try it first, a wrong try will do. There are hints, too: book.hint({name!r}). "
                f"To see the solution all the same: book.solution({name!r}, force=True)"
            )
        solution = self._record.get("solutions", {}).get(name)
        if solution is None:
            raise WorkbookError(
                f"{name}: lrlab has no record of its solution. To make it: lrlab workbook build {self.name}"
            )
        display(Source(f"{self.name}: {name}", solution))

    def progress(self) -> None:
        """Print which questions you have got right, and the points for them."""
        right = [name for name in self.questions if self.kept.right(name)]
        width = max(map(len, self.questions), default=0)
        for name in self.questions:
            state = "right" if name in right else "tried" if self.kept.attempts(name) else "not yet"
            print(f"{'✓' if name in right else '·'} {name:<{width}}  {state:<7}  {self._points_text(name)}".rstrip())
        summary = f"{len(right)} of {len(self.questions)} questions right"
        if self._points:
            gained, all_points = (sum(self._points.get(name, 0) for name in part) for part in (right, self.questions))
            summary += f", {gained:g} of {all_points:g} points"
        print(f"{self.name}: {summary}.")
        if self.kept.note:
            print(self.kept.note)

    def _points_text(self, name: str) -> str:
        points = self._points.get(name)
        return "" if points is None else f"{points:g} point{'s' * (points != 1)}"

    def _question(self, name: str) -> Question:
        if name in self.questions:
            return self.questions[name]
        elsewhere = [other for other in books.names() if other != self.name and name in _names_in(other)]
        if elsewhere:
            raise UnknownQuestion(
                f"{name!r} is a question of the workbook {elsewhere[0]}, and this one is {self.name}. "
                f"Open that notebook, or: book = load({elsewhere[0]!r})"
            )
        near = difflib.get_close_matches(str(name), self.questions, n=1, cutoff=0.3)
        meant = f"Did you mean {near[0]!r}? " if near else ""
        raise UnknownQuestion(
            f"{self.name} has no question {name!r}. {meant}It has {', '.join(self.questions)}. "
            f"If your notebook asks it, it was made for another version than lrlab {lrlab.__version__}."
        )

    @functools.cached_property
    def _record(self) -> Mapping[str, Any]:
        """What the build wrote down about the notebook; empty where it has not been built."""
        try:
            file = importlib.resources.files("lrlab.workbook").joinpath("records", f"{self.name}.json")
            return json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}

    @property
    def _points(self) -> Mapping[str, float]:
        return self._record.get("points", {})


def _listed(names: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _names_in(workbook: str) -> list[str]:
    return [question.name for question in books.questions(workbook)]
