"""The source of a formula as a notebook shows it."""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap

import pytest

from lrlab import rules, schedules, source
from lrlab.source import Source


class Example:
    """An example.

    With two lines.
    """

    rate = 0.1  # a comment that stays

    def double(self, x: float) -> float:
        """Twice x."""
        return 2 * x

    def nothing(self) -> None:
        """Only a docstring."""


def test_a_class_is_shown_as_it_is_written() -> None:
    shown = source(rules.Adam)
    assert shown.code == inspect.getsource(rules.Adam).rstrip()
    assert shown.title == "lrlab/rules.py: Adam"


def test_a_method_is_moved_to_the_margin() -> None:
    shown = source(rules.SGD.step)
    assert shown.code.startswith("def step(")
    assert textwrap.indent(shown.code, "    ") in inspect.getsource(rules.SGD)
    assert shown.title == "lrlab/rules.py: SGD.step"


def test_an_object_stands_for_its_class() -> None:
    assert source(rules.Momentum(rho=0.5)) == source(rules.Momentum)


def test_a_module() -> None:
    assert source(schedules).title == "lrlab/schedules.py"
    import lrlab.instruments

    assert source(lrlab.instruments).title == "lrlab/instruments/__init__.py"


def test_a_decorated_function_shows_its_own_source() -> None:
    @functools.lru_cache
    def halve(x: float) -> float:
        return x / 2

    assert "return x / 2" in source(halve).code


def test_a_notebook_colours_it_and_a_terminal_prints_it() -> None:
    shown = source(Example.double)
    assert repr(shown) == f"# {shown.title}\n{shown.code}"
    assert f"```python\n{shown.code}\n```" in shown._repr_markdown_()


def test_a_fence_in_the_source_does_not_end_the_fence() -> None:
    shown = Source("title", '"""\n```\n"""')
    assert "````python\n" in shown._repr_markdown_() and shown._repr_markdown_().endswith("\n````")


def test_docstrings_can_be_left_out() -> None:
    shown = source(Example, docstring=False)
    assert (
        shown.code
        == textwrap.dedent("""
        class Example:
            rate = 0.1  # a comment that stays

            def double(self, x: float) -> float:
                return 2 * x

            def nothing(self) -> None:
                ...
        """).strip()
    )


@pytest.mark.parametrize("rule", [rules.SGD, rules.Momentum, rules.Adam])
def test_without_docstrings_the_program_is_the_same(rule: type) -> None:
    def without(code: str) -> str:
        tree = ast.parse(code)
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
                node.body = node.body[1:] or [ast.Expr(ast.Constant(...))]
        return ast.dump(tree)

    assert without(source(rule).code) == ast.dump(ast.parse(source(rule, docstring=False).code))


@pytest.mark.parametrize("nothing", [3, "text", len, dict, None])
def test_what_has_no_python_source_is_refused(nothing: object) -> None:
    with pytest.raises(TypeError, match="there is no Python source for"):
        source(nothing)
