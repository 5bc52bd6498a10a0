"""One file for a tree of tensors and plain values: safetensors for the numbers, JSON in its header for the rest.

Nothing in such a file can run code when it is opened, so a stranger's file is safe to look at.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as safetensors_bytes
from torch import Tensor

from lrlab.moves import write_whole


def save_tree(path: str | os.PathLike[str], tree: Any, kind: str) -> Path:
    """Write nested dicts, lists and tuples of tensors and JSON values, whole or not at all. ``kind`` labels it."""
    tensors: dict[str, Tensor] = {}
    document = json.dumps(_pack(tree, tensors), allow_nan=True)
    return write_whole(path, safetensors_bytes(tensors, {"kind": kind, "tree": document}))


def load_tree(path: str | os.PathLike[str], kind: str) -> Any:
    """Read what `save_tree` wrote.

    Raises:
        ValueError: if the file is damaged, or of another kind.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            if header.get("kind") != kind:
                raise ValueError(f"{path} holds {header.get('kind') or 'something else'}, not {kind}")
            return _unpack(json.loads(header["tree"]), {name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    except (SafetensorError, KeyError, TypeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path} is damaged or not {kind}: {error}") from None


def _pack(tree: Any, tensors: dict[str, Tensor]) -> Any:
    """The tree as JSON values. Tensors go into ``tensors``; dicts become pairs, because their keys may be numbers."""
    if isinstance(tree, Tensor):
        name = str(len(tensors))
        tensors[name] = tree.detach().to("cpu", copy=True).contiguous()
        return {"tensor": name}
    if isinstance(tree, dict):
        return {"dict": [[key, _pack(value, tensors)] for key, value in tree.items()]}
    if isinstance(tree, tuple):
        return {"tuple": [_pack(value, tensors) for value in tree]}
    if isinstance(tree, list):
        return [_pack(value, tensors) for value in tree]
    return tree


def _unpack(tree: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(tree, list):
        return [_unpack(value, tensors) for value in tree]
    if not isinstance(tree, dict):
        return tree
    if "tensor" in tree:
        return tensors[tree["tensor"]]
    if "tuple" in tree:
        return tuple(_unpack(value, tensors) for value in tree["tuple"])
    return {key: _unpack(value, tensors) for key, value in tree["dict"]}


def fingerprint(*tensors: Tensor) -> str:
    """A short hash of shapes and of up to 65,536 evenly spaced values each: tells whether two data sets are one."""
    digest = hashlib.blake2b(digest_size=8)
    for tensor in tensors:
        flat = tensor.detach().reshape(-1)
        sample = flat[:: max(1, flat.numel() // 65536)].to("cpu", torch.float64)
        digest.update(f"{tuple(tensor.shape)}".encode() + sample.numpy().tobytes())
    return digest.hexdigest()
