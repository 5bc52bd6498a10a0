"""Specs: rules and schedules as JSON and back."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
import torch

from lrlab import _spec


@dataclass(frozen=True)
class Leaf:
    rate: Any
    nesterov: bool = False


@dataclass(frozen=True)
class Branch:
    inner: Leaf
    parts: tuple[Any, ...] = ()


REGISTRY = {"Leaf": Leaf, "Branch": Branch}


def through_json(obj: object) -> Any:
    return _spec.from_spec(json.loads(json.dumps(_spec.to_spec(obj), allow_nan=False)), REGISTRY)


@pytest.mark.parametrize(
    "obj",
    [
        Leaf(0.1),
        Leaf(1, nesterov=True),
        Leaf(None),
        Leaf("linear"),
        Leaf(1 / 3),
        Leaf((1, 2.5, (3,))),
        Branch(Leaf(1e-300)),
        Branch(Leaf(0.1), parts=(Leaf(0.2), Branch(Leaf(0.3)))),
    ],
)
def test_an_equal_object_comes_back(obj: object) -> None:
    back = through_json(obj)
    assert back == obj
    assert repr(back) == repr(obj)  # 1 stays an int, 1.0 a float, True a bool


def test_the_form_is_flat_and_says_the_class() -> None:
    assert _spec.to_spec(Branch(Leaf(0.1), parts=(2, Leaf(0.2)))) == {
        "name": "Branch",
        "inner": {"name": "Leaf", "rate": 0.1, "nesterov": False},
        "parts": [2, {"name": "Leaf", "rate": 0.2, "nesterov": False}],
    }


def test_numpy_numbers_become_plain_ones() -> None:
    import numpy as np

    spec = _spec.to_spec(Leaf((np.float32(0.5), np.int64(3), np.float64(0.1))))
    assert spec["rate"] == [0.5, 3, 0.1]
    assert [type(value) for value in spec["rate"]] == [float, int, float]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64])
def test_tensors_keep_values_shape_and_dtype(dtype: torch.dtype) -> None:
    values = (torch.arange(6, dtype=torch.float64) / 7 * 10).reshape(3, 2).to(dtype)
    back = through_json(Leaf(values)).rate
    assert back.dtype == dtype
    assert torch.equal(back, values)


def test_fields_left_out_take_their_defaults() -> None:
    assert _spec.from_spec({"name": "Leaf", "rate": 0.1}, REGISTRY) == Leaf(0.1)


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        ("Leaf", TypeError, "expected a dict"),
        ({"rate": 0.1}, ValueError, "unknown name None"),
        ({"name": ["Leaf"]}, ValueError, r"unknown name \['Leaf'\]"),
        ({"name": "Leav", "rate": 0.1}, ValueError, "unknown name 'Leav'; did you mean 'Leaf'?"),
        ({"name": "builtins.eval", "rate": "1"}, ValueError, "Known: Leaf, Branch"),
        ({"name": "Leaf", "rate": 0.1, "rho": 1}, ValueError, "Leaf has no field 'rho'. Its fields: rate, nesterov"),
        ({"name": "Leaf"}, ValueError, "Leaf needs the field 'rate'"),
        ({"name": "Branch", "inner": {"name": "Twig"}}, ValueError, "unknown name 'Twig'"),
        ({"name": "Leaf", "rate": {"name": "tensor", "dtype": "load"}}, ValueError, "unknown tensor dtype 'load'"),
    ],
)
def test_a_bad_spec_is_refused(spec: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message.replace("?", r"\?")):
        _spec.from_spec(spec, REGISTRY)


@pytest.mark.parametrize(
    ("obj", "error", "message"),
    [
        (0.1, TypeError, "expected an instance of a dataclass"),
        (Leaf, TypeError, "expected an instance of a dataclass"),
        (Leaf(float("nan")), ValueError, "Leaf.rate is nan"),
        (Leaf((1.0, float("inf"))), ValueError, "Leaf.rate is inf"),
        (Leaf(torch), TypeError, "Leaf.rate is a module"),
        (Leaf({"a": 1}), TypeError, "Leaf.rate is a dict"),
        (Leaf(torch.zeros(2, dtype=torch.complex64)), TypeError, "Leaf.rate is a Tensor"),
    ],
)
def test_what_json_cannot_hold_is_refused(obj: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        _spec.to_spec(obj)
