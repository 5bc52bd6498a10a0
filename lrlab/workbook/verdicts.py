"""What a check says unless the answer is right: exceptions that a notebook shows as their text alone.

IPython asks an exception for its `_render_traceback_` before it prints a stack trace. The student wants to know about
their own line and not about ours, so the text is all there is: no frames, and no colours that a file or a test report
would show as escape codes.
"""

from __future__ import annotations

import textwrap
from typing import Any

WIDTH = 96  # characters: a line of a notebook at 1280 pixels, with the file browser beside it
_LABEL = 12
_WRAPPER = textwrap.TextWrapper(  # whole words: "warm-up" and "x-y" stay in one piece
    WIDTH - _LABEL, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
)


class WorkbookError(Exception):
    """Something a workbook has to say to its student."""

    def _render_traceback_(self) -> list[str]:
        return str(self).splitlines()


class Verdict(WorkbookError):
    """The answer to a question is not right yet.

    Attributes
    ----------
    question
        The name of the question.
    arguments
        The input on which it failed; empty if the function was not called.
    """

    def __init__(self, question: str, headline: str, *rows: tuple[str, str], arguments: tuple[Any, ...] = ()) -> None:
        super().__init__(report(f"{question}: {headline}", *rows))
        self.question = question
        self.arguments = arguments

    def add(self, label: str, text: str) -> None:
        """Put one more row below the others."""
        self.args = ("\n".join([str(self), *_row(label, text)]),)

    def __reduce__(self) -> tuple[Any, ...]:
        """For pickle: the text is made already, and is not to be made again of its parts."""
        return _made_again, (type(self), str(self), self.__dict__)


class NotAttempted(Verdict):
    """There is only the stub so far."""


class Raised(Verdict):
    """The student's code raised an exception, or was interrupted."""


class TooSlow(Raised):
    """The student's function was still running when the time was over."""


class Wrong(Verdict):
    """The student's function returns something else than it should.

    Attributes
    ----------
    kind
        What is wrong with it: "value", "shape", "dtype", "device", "nan", "kind", "none", "generator", "length",
        "keys", "changed", "property", "signature", "not a function".
    mistake
        The name of the likely mistake, if it is one of the catalogue.
    """

    def __init__(
        self,
        question: str,
        headline: str,
        *rows: tuple[str, str],
        arguments: tuple[Any, ...] = (),
        kind: str,
        mistake: str | None = None,
    ) -> None:
        super().__init__(question, headline, *rows, arguments=arguments)
        self.kind = kind
        self.mistake = mistake


class UnknownQuestion(WorkbookError, LookupError):
    """The workbook has no question of this name."""


class UnknownWorkbook(WorkbookError, LookupError):
    """There is no workbook of this name."""


class NotYet(WorkbookError):
    """The solution was asked for before an attempt."""


def _made_again(kind: type[Verdict], text: str, attributes: dict[str, Any]) -> Verdict:
    verdict = kind.__new__(kind)
    verdict.args = (text,)
    verdict.__dict__.update(attributes)
    return verdict


def report(headline: str, *rows: tuple[str, str]) -> str:
    """A headline, and under it rows with a label at their left. Rows without text are left out."""
    lines = [headline, ""] if rows else [headline]
    for label, text in rows:
        if text:
            lines.extend(_row(label, text))
    return "\n".join(lines)


def _row(label: str, text: str) -> list[str]:
    wrapped: list[str] = []
    for line in text.splitlines():
        wrapped.extend(_WRAPPER.wrap(line) or [""])
    return [f"{label if number == 0 else '':<{_LABEL}}{line}".rstrip() for number, line in enumerate(wrapped)]
