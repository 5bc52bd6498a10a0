"""Workbooks: exercises that check themselves.

    from lrlab.workbook import load

    book = load("03_momentum")
    book.check("momentum", momentum)        # raises unless it is right, and says why
    book.hint("momentum")                   # one stage further each time
    book.solution("momentum")               # after an attempt
    book.progress()

A workbook is a notebook in `exercises/` and a module in `lrlab.workbook.books` with its questions.
"""

from lrlab.workbook.book import Book, load
from lrlab.workbook.questions import Case, Mistake, Property, Question, Random
from lrlab.workbook.verdicts import (
    NotAttempted,
    NotYet,
    Raised,
    TooSlow,
    UnknownQuestion,
    UnknownWorkbook,
    Verdict,
    WorkbookError,
    Wrong,
)

__all__ = [
    "Book",
    "Case",
    "Mistake",
    "NotAttempted",
    "NotYet",
    "Property",
    "Question",
    "Raised",
    "Random",
    "TooSlow",
    "UnknownQuestion",
    "UnknownWorkbook",
    "Verdict",
    "WorkbookError",
    "Wrong",
    "load",
]
