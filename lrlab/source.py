"""The source of a formula, shown beside it in a lecture: the tested lines, never a second copy of them."""

from __future__ import annotations

import ast
import inspect
import textwrap
from dataclasses import dataclass


@dataclass(frozen=True)
class Source:
    """Python source, shown by a notebook in the colours of its theme and printed as plain text elsewhere."""

    title: str
    code: str

    def __repr__(self) -> str:
        return f"# {self.title}\n{self.code}"

    def _repr_markdown_(self) -> str:
        # Markdown, not HTML: JupyterLab and nbconvert highlight a fence themselves, in the light and in the dark theme.
        fence = "```"
        while fence in self.code:
            fence += "`"
        return f"`{self.title}`\n\n{fence}python\n{self.code}\n{fence}"


def source(obj: object, *, docstring: bool = True) -> Source:
    """Show the source of a class, a function, a method or a module, or of the class of an object.

    Args:
        obj: what to show, for example ``rules.Adam`` or ``rules.Adam.step``. An object, such as ``rules.Adam()``,
            stands for its class.
        docstring: False leaves the docstrings out, where the lecture has just said the same.

    Raises:
        TypeError: ``obj`` is not written in Python, so there is no source to show.

    >>> from lrlab import rules, source
    >>> source(rules.SGD.step)  # doctest: +SKIP
    """
    shown = obj if inspect.ismodule(obj) or inspect.isclass(obj) or inspect.isroutine(obj) else type(obj)
    try:
        code = textwrap.dedent(inspect.getsource(shown)).rstrip()
    except (TypeError, OSError):
        raise TypeError(
            f"source() shows a class, a function, a method or a module written in Python; "
            f"there is no Python source for {obj!r}"
        ) from None
    return Source(_title(shown), code if docstring else _without_docstrings(code))


def _title(shown: object) -> str:
    """The file as an import names it, and the name inside: ``lrlab/rules.py: Adam.step``."""
    if inspect.ismodule(shown):
        return shown.__name__.replace(".", "/") + ("/__init__.py" if hasattr(shown, "__path__") else ".py")
    module, name = getattr(shown, "__module__", "__main__"), getattr(shown, "__qualname__", "")
    return name if module == "__main__" else f"{module.replace('.', '/')}.py: {name}"


def _without_docstrings(code: str) -> str:
    lines = code.splitlines()
    hidden: set[int] = set()
    for node in ast.walk(ast.parse(code)):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        first = node.body[0] if node.body else None
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
            hidden.update(range(first.lineno, (first.end_lineno or first.lineno) + 1))
            if (first.end_lineno or 0) < len(lines) and not lines[first.end_lineno or 0].strip():
                hidden.add((first.end_lineno or 0) + 1)  # the blank line that set the docstring off
            if len(node.body) == 1 and not isinstance(node, ast.Module):
                hidden.discard(first.lineno)  # a body must not become empty
                lines[first.lineno - 1] = " " * first.col_offset + "..."
    return "\n".join(line for number, line in enumerate(lines, 1) if number not in hidden).rstrip()
