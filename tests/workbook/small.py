"""A workbook of two questions in a clone of its own: what the tests of the tools build, damage and check."""

from __future__ import annotations

from pathlib import Path

from lrlab.workbook.building import Workbook

SOURCE = '''\
# ---
# jupyter:
#   kernelspec:
#     display_name: Another
#     language: python
#     name: another
# ---

# %% [markdown]
# # A workbook

# %%
class Book:
    def check(self, name, function):
        if function(3) != {"double": 6, "square": 9}[name]:
            raise AssertionError(f"{name}: wrong")
        print(f"{name}: right")

    def progress(self):
        return None

def load(name, version):
    return Book()

book = load("90_small", version=3)

# %% [markdown]
# ## 1 · Twice   ★☆☆ · 2 min · 1 point
# Given: a number x. Asked: twice as much.
# Example: `double(3)` is 6.

# %% question="double"
def double(x):
    """Twice x."""
    ### BEGIN SOLUTION
    secret_sum = x + x
    return secret_sum
    ### END SOLUTION

# %% question="double" points=1 difficulty=1 minutes=2
book.check("double", double)

# %% [markdown]
# ## 2 · Its square   ★★☆ · 3 min · 2 points
# Given: a number x. Asked: its square.
# Example: `square(3)` is 9.

# %% question="square"
def square(x):
    """The square of x."""
    ### BEGIN SOLUTION
    secret_power = x**2
    return secret_power
    ### END SOLUTION

# %% question="square" points=2 difficulty=2 minutes=3
book.check("square", square)
### BEGIN HIDDEN TESTS
assert square(-20) == 400
### END HIDDEN TESTS

# %%
book.progress()
'''


def workbook(root: Path, text: str = SOURCE, name: str = "90_small") -> Workbook:
    """A clone with this one source, not built yet."""
    found = Workbook(root, name)
    found.source.parent.mkdir(parents=True, exist_ok=True)
    found.source.write_text(text, encoding="utf-8")
    (root / "lectures").mkdir(exist_ok=True)
    (root / "lectures" / "00_welcome.ipynb").touch()
    return found
