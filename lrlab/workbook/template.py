"""``lrlab workbook new 14_name``: three files to begin a workbook with, and one question in them that works.

The question is there to be replaced. It is built, linted and tested as it stands, so an author changes one thing at a
time and sees at once what broke.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from lrlab.workbook.building import Workbook

_NAME = re.compile(r"\d\d_[a-z][a-z0-9_]{1,39}")

SOURCE = '''\
# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Workbook NUMBER · TITLE
#
# What you will have written at the end, in two sentences; to which lecture it belongs; how many minutes it takes.
#
# **How it goes.** Write a function in place of the line that raises `NotImplementedError`, run the cell, and run the
# check below it. Wrong tries cost nothing. When you are stuck:
#
# | you type | you get |
# |---|---|
# | `book.hint("descend")` | a hint, one stage further each time |
# | `descend(*book.given("descend"))` | your function on the input that failed |
# | `book.solution("descend")` | the solution, after a try |

# %%
import torch

from lrlab.workbook import load

torch.set_num_threads(1)
book = load("NAME", version=1)

# %% [markdown]
# ## 1 · One step downhill   ★☆☆ · 3 min · 1 point
#
# **Given** `x`, the parameters, and `g`, the gradient there (loss per x), tensors `[P]`; `lr`, the learning rate
# (x² per loss), a number. **Asked:** one step of gradient descent. Return the new x, and leave the old one as it is.
#
# *Example.* A ball at 1 meets the gradient 10, at α = 0.05. It lands at 0.5.

# %% question="descend"
def descend(x, g, lr):
    """One step of gradient descent: the new x, [P]."""
    ### BEGIN SOLUTION
    return x - lr * g
    ### END SOLUTION

# %% question="descend" points=1 difficulty=1 minutes=3
book.check("descend", descend)

# %%
book.progress()
'''

BOOK = '''\
"""The questions of workbook NUMBER: what they are about, in a line."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lrlab import rules
from lrlab.workbook.questions import Mistake, Property, Question, Random

VERSION = 1


# 1 · One step downhill ------------------------------------------------------------------------------------------------


def draw_step(random: Random) -> dict[str, Any]:
    return {"x": random.tensor(), "g": random.tensor(), "lr": random.log_uniform(1e-3, 1)}


BY_HAND = {
    "x": torch.tensor([1.0, -2.0], dtype=torch.float64),
    "g": torch.tensor([10.0, 20.0], dtype=torch.float64),
    "lr": 0.05,
}


def descend(x: Tensor, g: Tensor, lr: float) -> Tensor:
    return rules.SGD().step(x, g, {}, lr)[0]


def descend_by_torch(x, g, lr):
    weight = torch.nn.Parameter(x.clone())
    weight.grad = g.clone()
    torch.optim.SGD([weight], lr=lr).step()
    return weight.data


DESCEND = Question(
    name="descend",
    signature="descend(x, g, lr)",
    draw=draw_step,
    answer=descend,
    examples=(BY_HAND,),
    mistakes=(
        Mistake(
            "uphill",
            lambda x, g, lr: x + lr * g,
            "You walk uphill. The gradient points up: x moves against it, with a minus.",
        ),
        Mistake(
            "the step alone",
            lambda x, g, lr: -lr * g,
            "This is the way from x to the new x. Asked is where it ends: add it to x.",
        ),
        Mistake(
            "no learning rate",
            lambda x, g, lr: x - g,
            "You made a step of the whole gradient. Its length is the learning rate times the gradient.",
        ),
        Mistake(
            "divided by the rate",
            lambda x, g, lr: x - g / lr,
            "You divided by the learning rate. A smaller rate makes a smaller step: multiply.",
        ),
        Mistake(
            "rate applied to x",
            lambda x, g, lr: lr * (x - g),
            "You shrank x by the learning rate as well. It belongs to the gradient alone.",
        ),
    ),
    rights=(descend_by_torch, lambda x, g, lr: x - lr * g, lambda x, g, lr: torch.add(x, g, alpha=-lr)),
    hints=(
        "The step goes against the gradient. How long is it?",
        "The way is -lr times g. Where does it lead from x?",
        "Take lr * g away from x, and return what is left.",
    ),
    properties=(
        Property(
            "no coordinate moves in the direction of its gradient",
            lambda value, given: bool(((value - given["x"]) * given["g"] <= 1e-9).all()),
        ),
    ),
)

QUESTIONS = (DESCEND,)
'''

TEST = '''\
"""Workbook NUMBER by hand. What every workbook must do is tested in test_catalogues.py, over all of them."""

import pytest
import torch

from lrlab.workbook import Wrong
from lrlab.workbook.books.wNAME import BY_HAND, DESCEND
from lrlab.workbook.judging import check


def test_the_answer_is_what_was_worked_out_by_hand():
    torch.testing.assert_close(DESCEND.answer(**BY_HAND), torch.tensor([0.5, -3.0], dtype=torch.float64))


@pytest.mark.parametrize("mistake", DESCEND.mistakes, ids=lambda mistake: mistake.name)
def test_each_mistake_is_named(mistake):
    with pytest.raises(Wrong) as caught:
        check(DESCEND, mistake.answer, seed="NAME")
    assert caught.value.mistake == mistake.name


@pytest.mark.parametrize("right", DESCEND.rights)
def test_each_right_answer_passes(right):
    check(DESCEND, right, seed="NAME")
'''


def main(names: Sequence[str]) -> int:
    """The command ``lrlab workbook new NAME``; the result is the exit status."""
    from lrlab.cli import find_root

    if len(names) != 1:
        print(f"lrlab workbook new takes one name, as in 14_name; given were {len(names)}", file=sys.stderr)
        return 2
    root = find_root()
    if root is None:
        print("Workbooks are written in a clone of lrlab's repository; here is none.", file=sys.stderr)
        return 2
    try:
        written = new(root, names[0])
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    for path in written:
        print(f"wrote {path.relative_to(root)}")
    print(f"Change the question, add others; then: lrlab workbook build {names[0]} && lrlab workbook lint {names[0]}")
    return 0


def new(root: Path, name: str) -> list[Path]:
    """Write the source, the book and the test of a new workbook; their paths.

    Args:
        root: the clone.
        name: two digits, ``_`` and small letters: "14_name".

    Raises:
        ValueError: it is no such name.
        FileExistsError: one of the files is there already. None is written then.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"the name is {name!r}; it must be two digits, _ and small letters, as in 14_name")
    number, _, rest = name.partition("_")
    texts = {
        Workbook(root, name).source: SOURCE,
        root / "lrlab" / "workbook" / "books" / f"w{name}.py": BOOK,
        root / "tests" / "workbook" / f"test_w{name}.py": TEST,
    }
    for path in texts:
        if path.exists():
            raise FileExistsError(f"{path.relative_to(root)} is there already; choose another name, or take it away")
    title = rest.replace("_", " ").capitalize()
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        filled = text.replace("NAME", name).replace("TITLE", title).replace("NUMBER", str(int(number)))
        path.write_text(filled, encoding="utf-8")
    return list(texts)
