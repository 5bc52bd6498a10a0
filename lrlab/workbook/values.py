"""Values: how two of them are compared, and how one is shown to a student.

Plain data only: numbers, tensors, arrays, strings, truth values, None, and tuples, lists and dictionaries of them.
Nothing of the student's is asked whether it is equal: an object that says yes to everything proves nothing.
"""

from __future__ import annotations

import inspect
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

DEEPEST = 4  # lists in lists in lists: what lies deeper is not shown
NUMERIC = "biuf"  # kinds of numpy's dtypes that torch has, too
SMALLEST_SCALE = 1e-6  # a tensor of zeros is compared as if its largest entry were this


@dataclass(frozen=True)
class Difference:
    """What is wrong with a value: of which kind, in words, and in which part of it."""

    kind: str
    words: str
    part: str = ""

    def __str__(self) -> str:
        return f"{self.part}: {self.words}" if self.part else self.words


# Comparing ------------------------------------------------------------------------------------------------------------


def difference(expected: Any, got: Any, tolerance: float = 1e-6, names: Sequence[str] = ()) -> Difference | None:
    """The first difference between a value and the expected one; None if there is none.

    A number or a tensor is right if no entry is further from the expected one than `tolerance` times the largest
    expected entry of that tensor. Shape, dtype and device must be the same, and NaN and infinity in the same places.

    Parameters
    ----------
    expected, got
        Plain data.
    tolerance
        A share, no unit.
    names
        What the values of a tuple are called.

    Examples
    --------
    >>> difference(torch.tensor([2.0, 4.0]), torch.tensor([1.0, 2.0])).words
    'every entry is 0.5 times what it should be'
    >>> difference((1.0, 2.0), (1.0, -2.0), names=("x", "v"))
    Difference(kind='value', words='the number is right, but its sign is not', part='v')
    """
    if got is None and expected is not None:
        return Difference("none", "None is no value. Is there a return?")
    if isinstance(got, GeneratorType | CoroutineType | AsyncGeneratorType):
        return Difference("generator", "a generator, which a function with yield (or async) in it makes: use return")
    if isinstance(expected, np.ndarray):
        return _arrays(expected, got, tolerance)
    if isinstance(expected, Tensor):
        return _tensors(expected, got, tolerance)
    if is_number(expected):
        return _numbers(expected, got, tolerance)
    if isinstance(expected, Mapping):
        return _mappings(expected, got, tolerance)
    if isinstance(expected, tuple | list):
        return _sequences(expected, got, tolerance, names)
    return _others(expected, got)


def same_form(expected: Any, got: Any) -> str | None:
    """None if `got` has the kind, shape, dtype and device of `expected` and no NaN, whatever its numbers are.

    For `Question.compare`, where many values are right and the question's properties tell.

    Examples
    --------
    >>> same_form(torch.zeros(2), torch.ones(2)) is None, same_form(torch.zeros(2), torch.ones(3))
    (True, 'its shape is [3], and [2] is asked')
    """
    found = difference(expected, got)
    return None if found is None or found.kind == "value" else str(found)


def is_number(value: Any) -> bool:
    """True for a real number. True and False are none, and neither is a tensor."""
    return isinstance(value, Real) and not isinstance(value, bool)


def _numbers(expected: Real, got: Any, tolerance: float) -> Difference | None:
    if not is_number(got):
        return Difference("kind", _not_a(got, "number"))
    wanted, given = (torch.tensor(_as_float(value), dtype=torch.float64) for value in (expected, got))
    if torch.isnan(given) and not torch.isnan(wanted):
        return Difference("nan", f"NaN is not a number: {_NAN_ADVICE}")
    if _near(wanted, given, tolerance).all():
        return None
    if isinstance(expected, Integral) and float(given).is_integer():
        count = int(given - wanted)
        return Difference("value", f"{number(abs(count))} too {'many' if count > 0 else 'few'}")
    return Difference("value", _relation(wanted, given) or _apart(wanted, given))


def _as_float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:  # a whole number of hundreds of digits
        return math.inf if value > 0 else -math.inf


def _tensors(expected: Tensor, got: Any, tolerance: float) -> Difference | None:
    if not isinstance(got, Tensor):
        return Difference("kind", _not_a(got, "tensor"))
    if got.layout != expected.layout:
        return Difference("kind", f"its layout is {got.layout}, and {expected.layout} is asked")
    if got.shape != expected.shape:
        return Difference("shape", f"its shape is {list(got.shape)}, and {list(expected.shape)} is asked")
    if got.dtype != expected.dtype:
        return Difference("dtype", f"it is {_dtype(got)}, and {_dtype(expected)} is asked. {_DTYPE_ADVICE}")
    if got.device != expected.device:
        return Difference("device", f"it is on {got.device}, and was asked for on {expected.device}: .to(x.device)")
    wanted, given = (value.detach().cpu().to(torch.float64) for value in (expected, got))
    if (torch.isnan(given) & ~torch.isnan(wanted)).any():
        return Difference("nan", f"{_entries(torch.isnan(given))} is NaN: {_NAN_ADVICE}")
    near = _near(wanted, given, tolerance)
    return None if near.all() else Difference("value", _wrong_entries(wanted, given, near))


def _arrays(expected: np.ndarray, got: Any, tolerance: float) -> Difference | None:
    if not isinstance(got, np.ndarray) or got.dtype.kind not in NUMERIC:
        return Difference("kind", _not_a(got, "numpy array"))
    return _tensors(torch.as_tensor(expected), torch.as_tensor(got), tolerance)


def _in_another_order(expected: Sequence[Any], got: Sequence[Any], tolerance: float) -> bool:
    """Two or three right values, exchanged: v, x where x, v is asked."""

    def same(values: Sequence[Any]) -> bool:
        return all(difference(e, g, tolerance) is None for e, g in zip(expected, values, strict=True))

    return 2 <= len(expected) <= 3 and not same(got) and any(same(order) for order in itertools.permutations(got))


def _mappings(expected: Mapping[Any, Any], got: Any, tolerance: float) -> Difference | None:
    if not isinstance(got, Mapping):
        return Difference("kind", _not_a(got, "dictionary"))
    missing = [key for key in expected if key not in got]
    if missing:
        return Difference("keys", f"the key {missing[0]!r} is missing; there are {list(got)}")
    unasked = [key for key in got if key not in expected]
    if unasked:
        return Difference("keys", f"the key {unasked[0]!r} was not asked for; asked are {list(expected)}")
    return _first((repr(key), difference(value, got[key], tolerance)) for key, value in expected.items())


def _sequences(expected: Sequence[Any], got: Any, tolerance: float, names: Sequence[str]) -> Difference | None:
    asked = f"{len(expected)} values ({', '.join(names)})" if len(names) == len(expected) else f"{len(expected)} values"
    if not isinstance(got, tuple | list):
        return Difference("kind", f"it is {_kind(got)}; {asked} are asked, with a comma between them")
    if len(got) != len(expected):
        count = "one value" if len(got) == 1 else f"{len(got)} values"
        return Difference("length", f"it has {count}, and {asked} are asked")
    parts = names if len(names) == len(expected) else [f"value {number + 1}" for number in range(len(expected))]
    if _in_another_order(expected, got, tolerance):
        return Difference("value", f"the values are right, but not in the order that is asked: {', '.join(parts)}")
    return _first((part, difference(e, g, tolerance)) for part, e, g in zip(parts, expected, got, strict=True))


def _others(expected: Any, got: Any) -> Difference | None:
    if type(got) is not type(expected):
        return Difference("kind", f"it is {_kind(got)}; {_kind(expected)} is asked")
    return None if expected == got else Difference("value", "it is another one")


def _first(parts: Iterator[tuple[str, Difference | None]] | Any) -> Difference | None:
    for part, found in parts:
        if found is not None:
            return Difference(found.kind, found.words, f"{part}, {found.part}" if found.part else part)
    return None


def _near(expected: Tensor, got: Tensor, tolerance: float) -> Tensor:
    finite = expected[torch.isfinite(expected)].abs()
    scale = max(float(finite.max()) if finite.numel() else 0.0, SMALLEST_SCALE)
    both_nan = torch.isnan(expected) & torch.isnan(got)
    return (expected == got) | both_nan | ((expected - got).abs() <= tolerance * scale)


# Differences in words -------------------------------------------------------------------------------------------------

_NAN_ADVICE = "was there 0/0, inf − inf, or the root or logarithm of a negative number?"
_DTYPE_ADVICE = "A tensor that you make yourself needs dtype=x.dtype; torch.zeros_like(x) has it already"


def _wrong_entries(expected: Tensor, got: Tensor, near: Tensor) -> str:
    if expected.numel() == 1:
        return _relation(expected, got) or _apart(expected, got)
    relation = _relation(expected, got)
    if relation:
        return relation
    wrong = int((~near).sum())
    first = tuple(int(index) for index in (~near).nonzero()[0])
    return f"{wrong} of {expected.numel()} entries differ; in {_entries(~near)} {_apart(expected[first], got[first])}"


def _relation(expected: Tensor, got: Tensor) -> str | None:
    """Where every entry is off by one factor: that factor. It often is the mistake (a sign, 1 − ρ, the batch size)."""
    usable = expected != 0
    if not usable.any() or not torch.isfinite(got).all() or (got[~usable] != 0).any():
        return None
    ratios = got[usable] / expected[usable]
    factor = float(ratios[0])
    if not torch.isfinite(ratios).all() or (ratios - factor).abs().max() > 1e-3 * abs(factor) or factor == 0:
        return None
    one = expected.numel() == 1
    if abs(factor + 1) < 1e-3:
        return "the number is right, but its sign is not" if one else "the numbers are right, but every sign is wrong"
    if abs(factor - 1) < 5e-3 or (one and not _says_something(factor)):
        return None
    return f"{'it' if one else 'every entry'} is {number(factor, 3)} times what it should be"


def _says_something(factor: float) -> bool:
    """Between any two numbers is some factor: one like 2, -10 or 1/64 may be the mistake, 0.991 tells nothing."""
    size = max(abs(factor), 1 / abs(factor))
    return size < 1000 and abs(size - round(size)) < 1e-3 * size


def _apart(expected: Tensor, got: Tensor) -> str:
    gap = float(got - expected)
    return f"it is {number(abs(gap), 3)} too {'large' if gap > 0 else 'small'}"


def _entries(marked: Tensor) -> str:
    """The first marked entry, as Python indexes it: "[0, 2]"."""
    return "it" if marked.dim() == 0 else str([int(index) for index in marked.nonzero()[0]])


def _not_a(got: Any, asked: str) -> str:
    advice = {
        ("number", Tensor): ": .item() takes the number out of a tensor",
        ("tensor", np.ndarray): ": torch.as_tensor(...) makes one of it; better stay in torch all the way",
        ("numpy array", Tensor): ": .numpy() makes one of it",
    }
    hint = next((text for (kind, of), text in advice.items() if kind == asked and isinstance(got, of)), "")
    if asked == "tensor" and (is_number(got) or isinstance(got, tuple | list)):
        of_tensors = isinstance(got, tuple | list) and any(isinstance(part, Tensor) for part in got)
        make = "put them into one with torch.stack(...)" if of_tensors else "make one with torch.tensor(...)"
        hint = f": calculate with the tensors you were given, or {make}"
    return f"it is {_kind(got)}, and a {asked} is asked{hint}"


def _kind(value: Any) -> str:
    if isinstance(value, Tensor):
        return "a tensor" if value.numel() != 1 else "a tensor of one number"
    if isinstance(value, bool):
        return "a truth value"
    if is_number(value):
        return "a plain number"
    if value is None:
        return "None"
    name = {"ndarray": "numpy array", "str": "string", "dict": "dictionary", "builtin_function_or_method": "function"}
    kind = name.get(type(value).__name__, type(value).__name__)
    return f"{'an' if kind[0] in 'AEIOaeio' else 'a'} {kind}"


def _dtype(value: Tensor) -> str:
    return str(value.dtype).removeprefix("torch.")


# Unchanged? -----------------------------------------------------------------------------------------------------------


def unchanged(before: Any, after: Any) -> bool:
    """True unless plain data, or the weights of a model, differ in any bit. Other objects are taken on trust."""
    if type(before) is not type(after):
        return False
    if isinstance(before, Tensor):
        same_kind = before.shape == after.shape and before.dtype == after.dtype and before.device == after.device
        return same_kind and bool(((before == after) | ((before != before) & (after != after))).all())
    if isinstance(before, np.ndarray):
        return unchanged(torch.as_tensor(before), torch.as_tensor(after))
    if isinstance(before, nn.Module):
        return unchanged(before.state_dict(), after.state_dict())
    if isinstance(before, Mapping):
        return list(before) == list(after) and all(unchanged(before[key], after[key]) for key in before)
    if isinstance(before, tuple | list):
        return len(before) == len(after) and all(map(unchanged, before, after))
    if isinstance(before, set | str | int | float | None):
        return before == after or before != before
    return True


# Showing --------------------------------------------------------------------------------------------------------------


def show(value: Any, digits: int = 4, names: Sequence[str] = ()) -> str:
    """A value in a line or a few, with few digits.

    Examples
    --------
    >>> print(show(torch.tensor([1.0, -0.123456])))
    tensor([1.0, -0.1235])
    >>> print(show((0.1, torch.arange(100.0)), names=("lr", "steps")))
    lr = 0.1
    steps = tensor of shape [100]: 0.0, 1.0, 2.0, 3.0, …, 98.0, 99.0
    """
    if isinstance(value, tuple | list) and len(names) == len(value) > 0:
        return "\n".join(f"{name} = {_show(part, digits)}" for name, part in zip(names, value, strict=True))
    return _show(value, digits)


def _show(value: Any, digits: int, depth: int = 0) -> str:
    if depth > DEEPEST:
        return "…"
    if isinstance(value, Tensor):
        return _show_tensor(value, digits)
    if isinstance(value, np.ndarray) and value.dtype.kind in NUMERIC:
        return _show_tensor(torch.as_tensor(value), digits).replace("tensor", "array", 1)
    if is_number(value):
        return number(value, digits)
    if isinstance(value, tuple | list):
        shown = _few([_show(part, digits, depth + 1) for part in value])
        inside = f"{shown}," if len(value) == 1 and isinstance(value, tuple) else shown
        return f"({inside})" if isinstance(value, tuple) else f"[{inside}]"
    if isinstance(value, Mapping):
        return "{" + _few([f"{key!r}: {_show(part, digits, depth + 1)}" for key, part in value.items()]) + "}"
    if isinstance(value, nn.Module):
        return f"{type(value).__name__} with {sum(weight.numel() for weight in value.parameters()):,} parameters"
    if inspect.isroutine(value):
        summary = (value.__doc__ or "").strip().partition("\n")[0]
        return f"{value.__name__} ({summary})" if summary else value.__name__
    return shortened(_repr(value))


def _repr(value: Any) -> str:
    try:
        return repr(value)
    except Exception:  # a class that is only half written
        return f"an object of type {type(value).__name__}"


def show_pair(expected: Any, got: Any, names: Sequence[str] = ()) -> tuple[str, str]:
    """Both, with as many digits as it takes to see that they differ."""
    pair = show(expected, names=names), show(got, names=names)
    for digits in (6, 9, 12, 17):
        if pair[0] == pair[1]:
            pair = show(expected, digits, names), show(got, digits, names)
    return pair


def number(value: Any, digits: int = 4) -> str:
    """A number with so many significant digits; a whole number in full; a float that is whole with its ".0"."""
    if isinstance(value, Integral):
        return str(int(value)) if abs(int(value)) < 10**30 else f"a whole number of {int(value).bit_length()} bits"
    text = f"{float(value):.{digits}g}"
    return text if any(mark in text for mark in ".en") else f"{text}.0"


def _show_tensor(value: Tensor, digits: int) -> str:
    if value.is_meta or value.layout != torch.strided:
        return f"tensor of shape {list(value.shape)} ({value.device}, {value.layout})"
    value = value.detach().cpu()
    if value.numel() <= 12 and value.dim() <= 2:
        return f"tensor({_nested(value.tolist(), digits)})"
    entries = _few([_nested(entry, digits) for entry in _ends(value.flatten())])
    return f"tensor of shape {list(value.shape)}: {entries}"


def _ends(entries: Tensor) -> list[Any]:
    """Enough of a long tensor to show both of its ends."""
    return entries.tolist() if len(entries) <= 40 else [*entries[:20].tolist(), *entries[-20:].tolist()]


def _nested(value: Any, digits: int) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_nested(part, digits) for part in value)}]"
    return number(value, digits) if is_number(value) else str(value)


def _few(shown: list[str]) -> str:
    return ", ".join(shown if len(shown) <= 8 else [*shown[:4], "…", *shown[-2:]])


def shortened(text: str, limit: int = 200) -> str:
    """The text, or its beginning and an ellipsis."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
