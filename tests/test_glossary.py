"""The glossary of lecture 0: three columns, in order, and no lecture whose terms are missing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[1] / "lectures" / "source"
ROW = re.compile(r"^# \| (.+?) \| (.+?) \| (.+?) \|$", re.MULTILINE)
BOLD = re.compile(r"\*\*([a-zA-Z][^*\n]{2,40}?)\*\*")


def rows() -> list[tuple[str, ...]]:
    words = (SOURCES / "00_welcome.py").read_text("utf-8").split("# ## Words")[1].split("# ## ")[0]
    return [row for row in ROW.findall(words) if row[0] not in ("English", "---")]


def place(term: str) -> str:
    """Where a term stands: without "to" and brackets, a space before every letter."""
    bare = re.sub(r"^to ", "", re.sub(r"^\((\w+)\) ", r"\1 ", term.lower()))
    return re.sub(r"[^a-z0-9]", "", bare.replace(" ", "0"))


def terms() -> set[str]:
    """Each term of the glossary, "batch, mini-batch" being two, in the singular."""
    bare = (re.sub(r"\(.*?\)", "", english).lower() for english, *_ in rows())
    return {term.strip().removesuffix("s") for entry in bare for term in entry.split(",")}


def test_every_term_has_a_word_in_three_languages() -> None:
    assert len(rows()) > 100
    assert all(word.strip() for row in rows() for word in row)


def test_the_terms_stand_in_alphabetical_order_and_once_each() -> None:
    places = [place(english) for english, *_ in rows()]
    assert places == sorted(places)
    assert len(places) == len(set(places))


def test_it_says_which_languages_nobody_has_checked() -> None:
    words = (SOURCES / "00_welcome.py").read_text("utf-8").split("# ## Words")[1].split("# | English")[0]
    assert "No native speaker has checked" in words and "Vietnamese" in words and "Indonesian" in words


@pytest.mark.parametrize(
    "lecture", sorted(path.stem for path in SOURCES.glob("*.py") if not path.stem.startswith("00"))
)
def test_a_lecture_s_terms_are_in_it(lecture: str) -> None:
    bold = {term.lower().removesuffix("s") for term in BOLD.findall((SOURCES / f"{lecture}.py").read_text("utf-8"))}
    assert len(bold & terms()) >= 3, f"of {sorted(bold)}"
