"""Rules and schedules as JSON, and back.

A frozen dataclass becomes a flat dict that says its class and its fields, `{"name": "Momentum", "rho": 0.9}`;
dataclasses inside it become dicts inside that dict. Only classes of a given registry are ever built again, so a
file from a stranger can name nothing else.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor

_DTYPES = {"float32": torch.float32, "float64": torch.float64, "int64": torch.int64}


def to_spec(obj: Any) -> dict[str, Any]:
    """The JSON-able dict of a dataclass instance: its class name under `"name"`, then every field.

    Numbers, strings, booleans, `None`, tuples of these, tensors (float32, float64, int64) and further dataclasses
    may stand in a field. Floats keep all their digits: `from_spec(to_spec(obj), registry) == obj`.

    Raises:
        TypeError: `obj` is no dataclass instance, or a field holds something JSON has no form for.
        ValueError: A field is infinite or not a number; JSON has neither.

    Example:
        >>> from lrlab.schedules import Constant
        >>> to_spec(Constant(0.1))
        {'name': 'Constant', 'lr': 0.1}
    """
    if not dataclasses.is_dataclass(obj) or isinstance(obj, type):
        raise TypeError(f"to_spec: expected an instance of a dataclass (a rule, a schedule), got {obj!r}.")
    values = {field.name: getattr(obj, field.name) for field in dataclasses.fields(obj)}
    return {"name": type(obj).__name__, **{key: _encode(f"{type(obj).__name__}.{key}", v) for key, v in values.items()}}


def from_spec(spec: Mapping[str, Any], registry: Mapping[str, type]) -> Any:
    """The object that `to_spec` described; `registry` maps each allowed class name to its class.

    Raises:
        TypeError: `spec` is no dict.
        ValueError: The name is missing or not in the registry, or a field is missing or unknown; also whatever the
            class itself refuses.

    Example:
        >>> from lrlab.schedules import Constant
        >>> from_spec({"name": "Constant", "lr": 0.1}, {"Constant": Constant})
        Constant(lr=0.1)
    """
    if not isinstance(spec, Mapping):
        raise TypeError(f"from_spec: expected a dict such as {{'name': 'Adam', ...}}, got {spec!r}.")
    name = spec.get("name")
    if not isinstance(name, str) or name not in registry:
        raise ValueError(f"from_spec: unknown name {name!r}{_nearest(name, registry)} Known: {', '.join(registry)}.")
    cls = registry[name]
    known = {field.name: field for field in dataclasses.fields(cls)}
    if unknown := set(spec) - {"name", *known}:
        raise ValueError(f"from_spec: {name} has no field {sorted(unknown)[0]!r}. Its fields: {', '.join(known)}.")
    required = {key for key, field in known.items() if field.default is field.default_factory is dataclasses.MISSING}
    if missing := required - set(spec):
        raise ValueError(f"from_spec: {name} needs the field {sorted(missing)[0]!r}, which is missing in {dict(spec)}.")
    return cls(**{key: _decode(value, registry) for key, value in spec.items() if key != "name"})


def _encode(where: str, value: Any) -> Any:
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        if not math.isfinite(value):
            raise ValueError(f"to_spec: {where} is {value}, which JSON cannot hold. Give a finite number.")
        return float(value)
    if isinstance(value, (tuple, list)):
        return [_encode(where, item) for item in value]
    if isinstance(value, Tensor) and str(value.dtype).removeprefix("torch.") in _DTYPES:
        return {"name": "tensor", "dtype": str(value.dtype).removeprefix("torch."), "values": value.tolist()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return to_spec(value)
    raise TypeError(f"to_spec: {where} is a {type(value).__name__}, which has no JSON form. Give a number or a string.")


def _decode(value: Any, registry: Mapping[str, type]) -> Any:
    if isinstance(value, list):
        return tuple(_decode(item, registry) for item in value)
    if not isinstance(value, Mapping):
        return value
    if value.get("name") != "tensor":
        return from_spec(value, registry)
    if value.get("dtype") not in _DTYPES:
        raise ValueError(f"from_spec: unknown tensor dtype {value.get('dtype')!r}. Known: {', '.join(_DTYPES)}.")
    return torch.tensor(value.get("values"), dtype=_DTYPES[value["dtype"]])


def _nearest(name: Any, registry: Mapping[str, type]) -> str:
    close = difflib.get_close_matches(str(name), registry, n=1)
    return f"; did you mean {close[0]!r}?" if close else "."
