"""Judging: the student's function runs on a question's inputs, and what it returned is compared with the reference.

Two halves, so that a grader can put a wall between them. `attempt` calls the student's code and says what came out.
`judge` and `verdict` look at what came out, and at nothing else: they run where the student's code never was. ::

    cases = question.cases(seed)
    outcomes = [attempt(question, function, case) for case in cases]         # in the student's process
    verdict(question, cases, outcomes)                                       # anywhere; None if all is right
"""

from __future__ import annotations

import ast
import contextlib
import copy
import functools
import inspect
import io
import random
import sysconfig
import textwrap
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import torch
from IPython import get_ipython

import lrlab
from lrlab.workbook.limit import TimeOver, within
from lrlab.workbook.questions import Case, Mistake, Property, Question
from lrlab.workbook.values import Difference, difference, shortened, show, show_pair, unchanged
from lrlab.workbook.verdicts import NotAttempted, Raised, TooSlow, Verdict, Wrong

INTERRUPTED = "interrupted"
PRINTED = 2000  # characters of a student's output that are kept
SECONDS = 30.0  # for all calls of a check together; the longest of ours takes about one


@dataclass(frozen=True)
class Trouble:
    """An exception in the student's code, as text: what it says, and where it came from."""

    error: str
    place: str
    unfinished: bool = False  # it is the stub's own NotImplementedError
    stub: str = ""  # it is that of another function, which this one calls
    late: bool = False  # the time was over


@dataclass(frozen=True)
class Outcome:
    """What one call of the student's function did.

    Attributes
    ----------
    value
        What it returned; for a question with `read`, what that makes of it.
    trouble
        The exception, if it raised one.
    changed
        Names of the arguments that it changed in place.
    printed
        What it printed, up to 2,000 characters of it.
    """

    value: Any = None
    trouble: Trouble | None = None
    changed: tuple[str, ...] = ()
    printed: str = ""


@dataclass(frozen=True)
class Unreadable:
    """Stands for a value that `Question.read` could do nothing with."""

    words: str


# Checking a function here and now -------------------------------------------------------------------------------------


def check(question: Question, function: Any, seed: str | int = "") -> None:
    """Try a student's function on the inputs of a question, for `SECONDS` at most where a limit can be set.

    Raises
    ------
    NotAttempted, Raised, TooSlow, Wrong
        Unless it is right.
    """
    refuse_unfit(question, function)
    with _as_in_a_fresh_kernel():
        cases = question.cases(seed)
        outcomes = []
        end = time.monotonic() + SECONDS
        for case in cases:
            outcomes.append(attempt(question, function, case, end - time.monotonic()))
            if outcomes[-1].trouble:
                break
        found = verdict(question, cases, outcomes)
    if found is not None:
        raise found


def refuse_unfit(question: Question, function: Any) -> None:
    """Raise what can be said before a call: it is no function, it is the stub, or it takes other parameters."""
    asked = f"{question.function}({', '.join(question.parameters)})"
    if not callable(function):
        raise Wrong(
            question.name,
            "hand over the function itself",
            ("got", show(function)),
            ("asked", f"the function, without brackets: book.check({question.name!r}, {question.function})"),
            kind="not a function",
        )
    if _is_stub(function):
        raise not_attempted(question)
    yours = _parameters(function)
    if yours is not None and (not _takes(function, len(question.parameters)) or _shuffled(yours, question.parameters)):
        order = "in this order" if _shuffled(yours, question.parameters) else f"{len(question.parameters)} of them"
        order += ", by position" if _by_name_only(function) else ""
        raise Wrong(
            question.name,
            "your function takes other parameters than asked",
            ("yours", f"{getattr(function, '__name__', 'function')}{inspect.signature(function)}"),
            ("asked", f"{asked}: {order}. Their names are yours to choose"),
            kind="signature",
        )


def not_attempted(question: Question) -> NotAttempted:
    """The verdict on a stub."""
    return NotAttempted(
        question.name,
        "not attempted yet",
        ("asked", question.signature),
        ("next", f"Write it in place of the line that raises NotImplementedError. {_hint(question)}"),
    )


# The student's half ---------------------------------------------------------------------------------------------------


def attempt(question: Question, function: Callable[..., Any], case: Case, seconds: float = SECONDS) -> Outcome:
    """Call the student's function on copies of one input, with its output caught, as in a fresh kernel."""
    passed = copy.deepcopy(dict(case.arguments))
    output = _Output()
    trouble, value = None, None

    def call() -> Any:
        value = function(*passed.values())
        if inspect.iscoroutine(value):
            value.close()  # or Python would complain, later and elsewhere, that nobody awaited it
        return _read(question, value)

    with _as_in_a_fresh_kernel(), contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        try:
            value = within(seconds, call)
        except (Exception, SystemExit, KeyboardInterrupt, TimeOver) as error:
            trouble = _trouble(error, function)
    changed = tuple(
        name
        for name, before in case.arguments.items()
        if name not in question.may_change and not unchanged(before, passed[name])
    )
    return Outcome(value, trouble, changed, output.kept)


def _read(question: Question, value: Any) -> Any:
    if question.read is None or value is None or inspect.isgenerator(value) or inspect.iscoroutine(value):
        return value
    try:
        return question.read(value)
    except Exception as error:
        if _students_frame(error.__traceback__) is not None:
            raise  # it was the student's code that raised, called by what they returned
        return Unreadable(f"it is {show(value)}, which is not what is asked ({type(error).__name__}: {error})")


class _Output(io.TextIOBase):
    """Takes any flood of text and keeps its beginning."""

    def __init__(self) -> None:
        self.kept = ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if len(self.kept) < PRINTED:
            self.kept = (self.kept + text)[:PRINTED]
        return len(text)


@contextlib.contextmanager
def _as_in_a_fresh_kernel() -> Iterator[None]:
    """Random numbers seeded, torch's settings its defaults; afterwards both are again as the notebook had them.

    What a student's function, or a cell before it, sets for all of torch must not decide how a question is judged.
    """
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    dtype, gradients, device = torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_default_device()
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        try:
            _seed_everything()
            _set_torch(torch.float32, True, torch.device("cpu"))
            warnings.simplefilter("ignore")
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)  # noqa: NPY002
            _set_torch(dtype, gradients, device)


def _seed_everything() -> None:
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002  (a student may use the old generator)
    torch.random.default_generator.manual_seed(0)


def _set_torch(dtype: torch.dtype, gradients: bool, device: torch.device) -> None:
    torch.set_default_dtype(dtype)
    torch.set_grad_enabled(gradients)
    if device != torch.get_default_device():  # with a default device, even with its own, torch is slower
        torch.set_default_device(None if device.type == "cpu" else device)


def _is_stub(function: Callable[..., Any]) -> bool:
    """True if the body is a docstring, `...`, `pass` and `raise NotImplementedError()`, or some of these."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError, IndentationError):
        return False
    header = tree.body[0] if tree.body else None
    return isinstance(header, ast.FunctionDef) and all(map(_does_nothing, header.body))


def _does_nothing(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Raise) and statement.exc is not None:
        raised = statement.exc.func if isinstance(statement.exc, ast.Call) else statement.exc
        return isinstance(raised, ast.Name) and raised.id == "NotImplementedError"
    return isinstance(statement, ast.Pass) or (
        isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    )


def _parameters(function: Callable[..., Any]) -> list[str] | None:
    try:
        return [str(parameter) for parameter in inspect.signature(function).parameters.values()]
    except (TypeError, ValueError):
        return None


def _by_name_only(function: Callable[..., Any]) -> bool:
    """True if a parameter stands behind a *, where a call by position does not reach it."""
    parameters = inspect.signature(function).parameters.values()
    return any(parameter.kind is parameter.KEYWORD_ONLY for parameter in parameters)


def _takes(function: Callable[..., Any], count: int) -> bool:
    try:
        inspect.signature(function).bind(*[None] * count)
    except TypeError:
        return False
    return True


def _shuffled(yours: Sequence[str], asked: Sequence[str]) -> bool:
    """The same names in another order: called by position, every value would land in the wrong place."""
    return list(yours) != list(asked) and sorted(yours) == sorted(asked)


# Where the student's code raised --------------------------------------------------------------------------------------


def _trouble(error: BaseException, function: Callable[..., Any]) -> Trouble:
    said = shortened(traceback.format_exception_only(error)[-1].strip(), limit=400)
    if isinstance(error, KeyboardInterrupt):
        said = f"{INTERRUPTED}: it was still running. Is there a loop that does not end?"
    frame = _students_frame(error.__traceback__)
    stub = frame.name if frame is not None and isinstance(error, NotImplementedError) and not error.args else ""
    if stub == getattr(function, "__name__", None):
        return Trouble(said, _place(frame), unfinished=True)
    return Trouble(said, _place(frame), stub=stub if stub.isidentifier() else "", late=isinstance(error, TimeOver))


def _students_frame(trace: TracebackType | None) -> traceback.FrameSummary | None:
    """The innermost frame that is neither Python's, nor a library's, nor ours."""
    frames = [frame for frame in traceback.extract_tb(trace) if not _is_library(frame.filename)]
    return frames[-1] if frames else None


@functools.cache
def _library_folders() -> tuple[str, ...]:
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    installed = {sysconfig.get_path(name) for name in names} | {str(Path(torch.__file__).parents[1])}
    return (*sorted(installed), str(Path(lrlab.__file__).parent))


def _is_library(filename: str) -> bool:
    if filename.startswith("<"):
        return not filename.startswith("<ipython-input")
    return filename.startswith(_library_folders())


def _place(frame: traceback.FrameSummary | None) -> str:
    if frame is None:
        return ""
    return f"{_file(frame.filename)}, line {frame.lineno}, in {frame.name}:  {frame.line}"


def _file(filename: str) -> str:
    """The cell's number in a notebook, the file's name elsewhere."""
    label = getattr(getattr(get_ipython(), "compile", None), "format_code_name", lambda name: None)(filename)
    return " ".join(label).lower().replace("in[", "[") if label else Path(filename).name


# The judge's half -----------------------------------------------------------------------------------------------------


def judge(question: Question, case: Case, value: Any) -> Difference | None:
    """What is wrong with a value that the student's function returned for a case; None if it is right. Pure."""
    expected = _expected(question, case)
    return _judge(question, case, expected, value)


def _judge(question: Question, case: Case, expected: Any, value: Any) -> Difference | None:
    if isinstance(value, Unreadable):
        return Difference("kind", value.words)
    form = difference(expected, value, question.tolerance, question.returns)
    if form is not None and form.kind != "value":
        return form
    for claim in question.properties:
        if not _holds(claim, value, case):
            return Difference("property", f"it should hold that {claim.claim}, and it does not")
    if question.compare is None:
        return form
    try:
        words = question.compare(expected, value)
    except Exception as error:  # what can be done with the right value cannot be done with this one
        words = f"it cannot be compared with what is asked ({type(error).__name__}: {error})"
    return Difference("value", words) if words else None


def _holds(claim: Property, value: Any, case: Case) -> bool:
    try:
        return claim.holds(value, case.arguments)
    except Exception:  # of a value like infinity some claims cannot even be worked out: they do not hold of it
        return False


def verdict(question: Question, cases: Sequence[Case], outcomes: Sequence[Outcome]) -> Verdict | None:
    """The verdict on what a function returned for the cases, in their order; None if all of it is right. Pure.

    `outcomes` may end early, after one with trouble. It is the first failing case that is shown: examples come first
    and draws grow, so it is a small one.

    Raises
    ------
    ValueError
        There are fewer outcomes than cases, and no trouble says why: what was not run cannot be right.
    """
    if len(outcomes) != len(cases) and not (outcomes and outcomes[-1].trouble):
        raise ValueError(f"{question.name}: {len(cases)} cases, but {len(outcomes)} outcomes, the last without trouble")
    for case, outcome in zip(cases, outcomes, strict=False):
        if outcome.trouble is not None:
            return _raised(question, case, outcome)
        expected = _expected(question, case)
        found = _judge(question, case, expected, outcome.value)
        if outcome.changed and (found is None or found.kind == "value"):
            return _changed(question, case, outcome)
        if found is not None:
            mistake = recognise(question, cases, outcomes)
            return _wrong(question, case, outcome, expected, found, mistake)
    return None


def recognise(question: Question, cases: Sequence[Case], outcomes: Sequence[Outcome]) -> Mistake | None:
    """The first mistake of the catalogue that returns what the student's function returned, on every input."""
    tried = [(case, outcome.value) for case, outcome in zip(cases, outcomes, strict=False) if outcome.trouble is None]
    for mistake in question.mistakes:
        if all(_makes(question, mistake, case, value) for case, value in tried):
            return mistake
    return None


def _makes(question: Question, mistake: Mistake, case: Case, value: Any) -> bool:
    try:
        made = _value_of(question, mistake.answer, case)
    except Exception:  # on some inputs a wrong formula has no value: there it cannot be recognised
        return False
    return difference(made, value, question.tolerance) is None


def _expected(question: Question, case: Case) -> Any:
    return _value_of(question, question.answer, case)


def _value_of(question: Question, function: Callable[..., Any], case: Case) -> Any:
    """What one of our own functions returns, read as the student's value is."""
    value = function(*copy.deepcopy(dict(case.arguments)).values())
    return value if question.read is None else question.read(value)


# What the student reads -----------------------------------------------------------------------------------------------


def _given(case: Case) -> str:
    """The arguments: a line of short ones, a line for each long one."""
    shown = [f"{name} = {show(value, digits=6)}" for name, value in case.arguments.items()]
    line = ", ".join(shown)
    return line if len(line) <= 90 else "\n".join(shown)


def _hint(question: Question) -> str:
    return f"Stuck? book.hint({question.name!r})"


def _raised(question: Question, case: Case, outcome: Outcome) -> Verdict:
    assert outcome.trouble is not None
    if outcome.trouble.unfinished:
        return Raised(
            question.name,
            "your code is not finished",
            ("in", outcome.trouble.place),
            ("next", "This line of the stub is still reached: take it out, and return your result"),
        )
    if outcome.trouble.stub:
        return Raised(
            question.name,
            "a function that yours calls is not written yet",
            ("in", outcome.trouble.place),
            ("next", f"Answer the question of {outcome.trouble.stub} first, run its cell, then check this one again"),
            arguments=tuple(case.arguments.values()),
        )
    if outcome.trouble.late:
        return _late(question, case, outcome)
    return Raised(
        question.name,
        "stopped while it ran" if outcome.trouble.error.startswith(INTERRUPTED) else "your code raised an exception",
        ("given", _given(case)),
        ("raised", outcome.trouble.error),
        ("in", outcome.trouble.place),
        ("printed", _beginning(outcome.printed)),
        ("next", f"Look at that line with these numbers. {_hint(question)}"),
        arguments=tuple(case.arguments.values()),
    )


def _late(question: Question, case: Case, outcome: Outcome) -> TooSlow:
    assert outcome.trouble is not None
    return TooSlow(
        question.name,
        f"your function was still running after {SECONDS:g} s",
        ("given", _given(case)),
        ("in", outcome.trouble.place),
        ("printed", _beginning(outcome.printed)),
        ("next", f"Is there a loop that does not end, or one with far too many steps? {_hint(question)}"),
        arguments=tuple(case.arguments.values()),
    )


def _changed(question: Question, case: Case, outcome: Outcome) -> Wrong:
    name = outcome.changed[0]
    return Wrong(
        question.name,
        f"your function changes its argument {name} in place",
        ("given", _given(case)),
        ("why", f"Whoever calls it still needs the old {name}, and would get a wrong result later without any error"),
        ("next", _advice(name, case.arguments[name])),
        arguments=tuple(case.arguments.values()),
        kind="changed",
    )


def _advice(name: str, value: Any) -> str:
    if isinstance(value, list | dict):
        return f"Work on a copy of it: {name} = {type(value).__name__}({name})"
    return f"Write {name} = {name} + … instead of {name} += …, and no {name}.add_() or {name}[0] = …"


def _wrong(
    question: Question, case: Case, outcome: Outcome, expected: Any, found: Difference, mistake: Mistake | None
) -> Wrong:
    wanted, got = show_pair(expected, outcome.value, question.returns)
    if isinstance(outcome.value, Unreadable):
        got = ""
    on_paper = found.kind in ("value", "property")
    return Wrong(
        question.name,
        "not right yet",
        ("given", _given(case)),
        ("expected", wanted),
        ("got", got),
        ("difference", str(found)),
        ("tolerance", "" if isinstance(expected, str) else _tolerance(question, found)),
        ("printed", _beginning(outcome.printed)),
        ("likely", f"{_capitals(mistake.name)}. {mistake.message}" if mistake else ""),
        ("next", f"Work it out on paper with these numbers. {_hint(question)}" if on_paper else _hint(question)),
        arguments=tuple(case.arguments.values()),
        kind=found.kind,
        mistake=mistake.name if mistake else None,
    )


def _capitals(name: str) -> str:
    """Latin letters as capitals; Greek ones stay: a capital ε would pass for an E."""
    return "".join(letter.upper() if letter.isascii() else letter for letter in name)


def _tolerance(question: Question, found: Difference) -> str:
    if found.kind != "value" or question.compare is not None:
        return ""
    return f"{question.tolerance:g} of the largest number"


def _beginning(printed: str, lines: int = 6) -> str:
    kept = printed.strip().splitlines()
    return "\n".join(kept if len(kept) <= lines else [*kept[:lines], "…"])
