"""A question of a workbook: a function to write, its answer, and what is usually written instead.

A question is made of small pure pieces. The student's function is called by position with arguments that come from
`examples` (fixed, the smallest first) and then from `draw` (seeded, growing), and what it returns is compared with what
`answer` returns for the same arguments. The catalogue of `mistakes` is a list of functions, too: if the student's
function returns what one of them returns, on every input, it has that mistake, and the student is told so by name. ::

    Question(
        name="average",
        signature="average(x)",
        draw=lambda random: {"x": random.tensor()},
        answer=lambda x: x.mean(),
        examples=({"x": torch.tensor([1.0, 3.0])},),
        mistakes=(Mistake("sum", lambda x: x.sum(), "You added them up; divide by how many there are."), ...),
        rights=(lambda x: x.sum() / len(x), ...),
        hints=("Which two numbers is an average made of?", "Their sum, and ...", "x.sum() / ..."),
    )

Arguments travel to another process when a class is graded: let them be what pickle can carry. A function among them is
a module's function or a surface of `lrlab.surfaces`, not a lambda.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import math
import random as python_random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

Arguments = Mapping[str, Any]
Choice = TypeVar("Choice")


# Inputs ---------------------------------------------------------------------------------------------------------------


class Random:
    """Seeded draws for the inputs of a question, rounded to what a student can type in and work out by hand.

    Parameters
    ----------
    seed
        Any text. The same text gives the same draws, on every machine and with every version of torch.
    size
        How large the input may be, 1 or more. It grows from draw to draw, so that the first input that fails is small.

    Examples
    --------
    >>> random = Random("03_momentum", size=2)
    >>> random.tensor().shape, random.tensor(3, 4).shape
    (torch.Size([2]), torch.Size([3, 4]))
    >>> 0 <= random.uniform(0, 0.99) <= 0.99 and 1e-4 <= random.log_uniform(1e-4, 1) <= 1
    True
    """

    def __init__(self, seed: str, size: int = 3) -> None:
        self.size = size
        self._draws = python_random.Random(seed)

    def uniform(self, low: float, high: float) -> float:
        """A number in [low, high], to three digits."""
        return _three_digits(self._draws.uniform(low, high), low, high)

    def log_uniform(self, low: float, high: float) -> float:
        """A number in [low, high], every decade of it equally likely, to three digits. For learning rates."""
        return _three_digits(math.exp(self._draws.uniform(math.log(low), math.log(high))), low, high)

    def integer(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return self._draws.randint(low, high)

    def choice(self, options: Sequence[Choice]) -> Choice:
        """One of the options."""
        return self._draws.choice(options)

    def tensor(self, *shape: int, low: float = -3.0, high: float = 3.0, dtype: torch.dtype = torch.float64) -> Tensor:
        """A tensor of the shape, `[size]` unless another is given, with entries in [low, high], to three digits."""
        shape = shape or (self.size,)
        entries = [self.uniform(low, high) for _ in range(math.prod(shape))]
        return torch.tensor(entries, dtype=dtype).reshape(shape)


def _three_digits(value: float, low: float, high: float) -> float:
    return min(max(float(f"{value:.3g}"), low), high)


@dataclass(frozen=True)
class Case:
    """One input of a question: its arguments by name, in the order of the signature."""

    arguments: Arguments
    example: bool  # fixed and shown first, or drawn


# A question -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mistake:
    """A wrong answer that is often given.

    Attributes
    ----------
    name
        What is wrong, in a few words: "old velocity".
    answer
        The wrong function. It takes the arguments of the question by position.
    message
        What the student reads: what they did, and what to do about it. One or two sentences, the second person.
    """

    name: str
    answer: Callable[..., Any]
    message: str


@dataclass(frozen=True)
class Property:
    """Something that holds for the right value, whatever the input is: "the step is never longer than the gradient".

    Attributes
    ----------
    claim
        The claim, as the student reads it when it does not hold.
    holds
        `holds(value, arguments)`: True if it does. It gets what `Question.read` makes of the student's value.
    """

    claim: str
    holds: Callable[[Any, Arguments], bool]


@dataclass(frozen=True)
class Question:
    """One function that the student writes, and all that is needed to say what is wrong with it.

    Attributes
    ----------
    name
        A word: `book.check("momentum", momentum)`.
    signature
        As the student sees it: "momentum(x, g, v, lr, rho)". With "-> x, v" behind it the values of a returned tuple
        have names in the messages.
    draw
        `draw(random)`: one drawn input, a dictionary of arguments in the order of the signature.
    answer
        The reference. lrlab's own tested code where there is some.
    mistakes
        The catalogue, five or more. Where two return the same for all inputs, the first is named.
    rights
        Three or more right answers that are written differently: that a right one is never rejected is tested on them.
    hints
        Three: where to look; what to do; all but the line itself.
    examples
        Small arguments that are tried first, as in `draw`; the smallest first, numbers that can be done by hand.
    properties
        Claims that are tried before values are compared, so that they may say what is wrong in the words of the field.
    tolerance
        How far a number may be from the reference, as a share of the largest number of its tensor (no unit).
    draws
        How many inputs are drawn after the examples.
    read
        `read(value)`: what counts of a richer value, as plain data (numbers, tensors, strings, and tuples, lists and
        dictionaries of them): of a Run, say, `{"lr": torch.as_tensor(run.history["lr"])}`. The same is done to the
        value of the reference and of each mistake.
    compare
        `compare(expected, got)`: None if the value will do, otherwise what is wrong with it in words. For questions
        that have more than one right value; `same_form` of `lrlab.workbook.values` leaves all to the properties.
    may_change
        Names of the arguments that the function may change in place, because it is asked to: a model it trains.
    """

    name: str
    signature: str
    draw: Callable[[Random], dict[str, Any]]
    answer: Callable[..., Any]
    mistakes: tuple[Mistake, ...]
    rights: tuple[Callable[..., Any], ...]
    hints: tuple[str, ...]
    examples: tuple[dict[str, Any], ...] = ()
    properties: tuple[Property, ...] = ()
    tolerance: float = 1e-6
    draws: int = 20
    read: Callable[[Any], Any] | None = None
    compare: Callable[[Any, Any], str | None] | None = None
    may_change: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for example in self.examples:
            self._check_names(example, "an example")
        for name in self.may_change:
            if name not in self.parameters:
                raise ValueError(f"{self.name}: may_change names {name!r}, which {self.signature} does not take")
        if not self.examples and not self.draws:
            raise ValueError(f"{self.name} has neither examples nor draws: there is nothing to try an answer on")

    @functools.cached_property
    def _parts(self) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
        call, _, returned = self.signature.partition("->")
        try:
            header = ast.parse(f"def {call.strip()}: ...").body[0]
            assert isinstance(header, ast.FunctionDef)
        except (SyntaxError, AssertionError):
            raise ValueError(
                f"{self.name}: signature is {self.signature!r}, but must read like 'momentum(x, g, v, lr, rho) -> x, v'"
            ) from None
        names = tuple(part.strip() for part in returned.split(",") if part.strip())
        return header.name, tuple(argument.arg for argument in header.args.args), names

    @property
    def function(self) -> str:
        """The name of the function that is asked for."""
        return self._parts[0]

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of its parameters."""
        return self._parts[1]

    @property
    def returns(self) -> tuple[str, ...]:
        """The names of the values it returns, if the signature names them."""
        return self._parts[2]

    def cases(self, seed: str | int = "") -> tuple[Case, ...]:
        """The examples, then `draws` drawn inputs that grow. Another seed draws other inputs."""
        fixed = [Case(example, example=True) for example in self.examples]
        drawn = []
        for number in range(self.draws):
            digest = hashlib.sha256(f"{self.name}:{seed}:{number}".encode()).hexdigest()
            arguments = self.draw(Random(digest, size=1 + number // 4))
            self._check_names(arguments, "a drawn input")
            drawn.append(Case(arguments, example=False))
        return (*fixed, *drawn)

    def _check_names(self, arguments: Arguments, what: str) -> None:
        if tuple(arguments) != self.parameters:
            raise ValueError(f"{self.name}: {what} has {list(arguments)}, but {self.signature} takes {self.parameters}")
