"""Networks that have learned already: our own from printed glyphs, torchvision's from ImageNet, or from a file.

A file of weights is data and never code: ``.pt`` files are opened with ``weights_only=True``, safetensors cannot hold
code at all. Before the first weight is written into a model, names and shapes of all of them have been compared.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import hashlib
import json
import os
import pickle
import re
import tempfile
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import WeightsEnum

from lrlab import data, downloads, glyphs, models, rules, schedules
from lrlab.data import Dataset, Split
from lrlab.run import Run

GLYPHS = "glyphs"
SUFFIXES = (".safetensors", ".pt", ".pth", ".bin")

# How the embedded network is trained, chosen by what it is worth to handwritten digits (validation split, 3 seeds).
SIDE = 8  # of a glyph in pixels: that of the handwritten digits
STEPS = 2000
BATCH_SIZE = 64
RULE = rules.AdamW(weight_decay=0.1)
LR = schedules.OneCycle(0.01, total=STEPS)
RECIPE = 1  # raise it when the weights change for another reason, so that no old cache file is taken for a new one

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_SCALE = (0.229, 0.224, 0.225)


def pretrained(
    source: str | os.PathLike[str] | WeightsEnum = GLYPHS,
    *,
    model: nn.Module | Callable[[], nn.Module] | None = None,
    sha256: str | None = None,
    seed: int = 0,
    progress: bool = True,
) -> nn.Module:
    """A network with weights that have learned something.

    Args:
        source: where from, one of three:

            - ``"glyphs"``: our `models.cnn`, trained on the 36 printed letters and digits at 8 x 8 pixels, for
              handwritten digits. It needs no network: it is trained here the first time (some ten seconds), kept in
              `data.cache_folder`, and trained again when the file is missing or damaged.
            - the name of weights in torchvision, such as ``"ResNet18_Weights.DEFAULT"``, or the member itself: ImageNet
              (1,000 classes). Downloaded once into `data.data_folder`, and compared with the published hash at each
              use. See `imagenet_images` for what such a network expects to see.
            - the path of a file: a state dict saved by torch (``.pt``, ``.pth``, ``.bin``) or ``.safetensors``. Other
              endings are understood where there is such a file.
        model: for a path: the network that the weights belong to, which is filled in place, or a function that makes
            it. Not for the other two, which bring theirs.
        sha256: for a path: what the hash of the file must be, 64 hexadecimal digits.
        seed: for ``"glyphs"``: of its training; the same seed gives the same weights.
        progress: show a bar while training or downloading.

    Returns:
        the network on the CPU (that of a path: where ``model`` is), in inference mode.

    Raises:
        ValueError: an unknown name; a file that is damaged, has another hash, or holds the weights of another
            architecture (the message says which names and shapes differ). The model is then as it was.
        TypeError: a path without ``model``, or ``model`` where there is none to give.
        FileNotFoundError: no such file.
        ConnectionError: the download failed.

    >>> network = pretrained("glyphs", progress=False)
    >>> network[-1]
    Linear(in_features=256, out_features=36, bias=True)
    """
    if _is_path(source):
        return _from_file(Path(source), model, sha256).eval()  # type: ignore[arg-type]
    called = None if source == GLYPHS else _weights_called(source)  # type: ignore[arg-type]
    if model is not None or sha256 is not None:
        given = "model" if model is not None else "sha256"
        raise TypeError(f"{given}= goes with the path of a file; {source!r} brings its own")
    if called is None:
        return _glyphs_network(seed, progress).eval()
    return _from_torchvision(called, progress).eval()


def _is_path(source: Any) -> bool:
    if isinstance(source, (WeightsEnum, str, os.PathLike)):
        if not isinstance(source, str) or isinstance(source, WeightsEnum):
            return isinstance(source, os.PathLike)
        return source.endswith(SUFFIXES) or os.sep in source or "/" in source or os.path.isfile(source)
    raise TypeError(f'source must be a name such as "glyphs", or the path of a file; got {source!r}')


# A file of weights ----------------------------------------------------------------------------------------------------


def _from_file(path: Path, model: Any, sha256: str | None) -> nn.Module:
    if model is None:
        raise TypeError(f"{path} holds weights but no network: give model=, the module that they belong to")
    network = model if isinstance(model, nn.Module) else model() if callable(model) else None
    if not isinstance(network, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module or a function that makes one, got {type(model).__name__}")
    fill(network, read_weights(path, sha256), str(path))
    return network


def read_weights(path: str | os.PathLike[str], sha256: str | None = None) -> dict[str, Tensor]:
    """The weights in a file, by name, on the CPU.

    Args:
        path: a state dict: ``.safetensors``, or anything else for what ``torch.save`` wrote.
        sha256: what the hash of the file must be.

    Raises:
        FileNotFoundError: no such file.
        ValueError: another hash, a damaged file, or one that holds something else than named tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    if sha256 is not None:
        _check_hash(path, sha256)
    try:
        weights = _open_safetensors(path) if path.suffix == ".safetensors" else _open_pickle(path)
    except Exception as error:  # a damaged file can make a reader raise anything
        raise _damaged(path, error) from None
    if not isinstance(weights, Mapping) or not weights:
        raise ValueError(f"{path} holds no state dict but {type(weights).__name__}: save model.state_dict()")
    for name, tensor in weights.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise ValueError(
                f"{path} holds more than named tensors: under {name!r} there is {type(tensor).__name__}. Save "
                "model.state_dict() alone; out of a checkpoint, take its part: "
                f"torch.save(torch.load({str(path)!r}, weights_only=True)[...], 'weights.pth')"
            )
    return dict(weights)


def _open_safetensors(path: Path) -> dict[str, Tensor]:
    with safetensors.safe_open(path, framework="pt") as file:
        kind = (file.metadata() or {}).get("kind", "")
        if kind.startswith("an lrlab run"):
            raise ValueError(f"it is a saved run: take Run.load({str(path)!r}).model")
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def _open_pickle(path: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of what it then refuses
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            # torch's own message advises to open the file all the same.
            found = re.search(r"(?:GLOBAL|global) ([\w.]+)", str(error))
            if found is None:
                raise ValueError("its pickle is no state dict") from None
            raise ValueError(
                f"it holds more than tensors ({found.group(1)}), a whole network perhaps, and to open that could run "
                "any program. Whoever made it can save model.state_dict() instead"
            ) from None


def _damaged(path: Path, error: Exception) -> ValueError:
    reason = next(iter(str(error).strip().splitlines()), "")
    if " " not in reason:  # a key, a number: says nothing to anybody
        reason = type(error).__name__
    return ValueError(f"{path} cannot be read as weights; it is cut short, damaged, or something else: {reason[:200]}")


def _check_hash(path: Path, sha256: str) -> None:
    if not isinstance(sha256, str) or not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        raise ValueError(f"sha256 must be 64 hexadecimal digits, got {sha256!r}")
    found = hash_of(path)
    if found != sha256.lower():
        raise ValueError(
            f"{path} is not the file that was meant: its sha256 is {found}, and {sha256.lower()} was given"
        )


def hash_of(path: str | os.PathLike[str]) -> str:
    """The SHA-256 of a file, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for piece in iter(functools.partial(file.read, 2**20), b""):
            digest.update(piece)
    return digest.hexdigest()


def fill(model: nn.Module, weights: Mapping[str, Tensor], origin: str = "these weights") -> nn.Module:
    """Write weights into a model, in place, all or none.

    Raises:
        ValueError: names or shapes differ; the message gives the first of them, and the model is as it was.
    """
    own = model.state_dict()
    missing = [name for name in own if name not in weights]
    surplus = [name for name in weights if name not in own]
    shared = [name for name in own if name in weights and own[name].shape != weights[name].shape]
    if missing or surplus or shared:
        shapes = (f"{name} {list(weights[name].shape)} there, {list(own[name].shape)} in the model" for name in shared)
        differences = [
            _first_few("missing there: ", missing),
            _first_few("not in the model: ", surplus),
            _first_few("of another shape: ", shapes, len(shared)),
        ]
        hint = _other_head(model, own, weights, [*missing, *surplus], shared)
        raise ValueError(
            f"{origin} belong to another network than this {type(model).__name__}: "
            f"{'; '.join(filter(None, differences))}{hint}"
        )
    model.load_state_dict(weights)
    return model


def _first_few(what: str, names: Iterable[str], count: int | None = None) -> str:
    listed = list(names)
    more = (len(listed) if count is None else count) - 3
    return "" if not listed else what + ", ".join(listed[:3]) + (f" and {more} more" if more > 0 else "")


def _other_head(
    model: nn.Module, own: Mapping[str, Tensor], weights: Mapping[str, Tensor], names: list[str], shapes: list[str]
) -> str:
    """What to do where only the number of classes differs."""
    last = list(own)[-1].rpartition(".")[0]
    if names or not shapes or any(name.rpartition(".")[0] != last for name in shapes):
        return ""
    classes = len(weights[shapes[0]])
    return f". Only the last layer differs: make the model with {classes} classes, fill it, then take new_head"


# torchvision ----------------------------------------------------------------------------------------------------------


@functools.cache
def _torchvision_names() -> dict[str, tuple[WeightsEnum, str]]:
    """Every set of weights for classification, by its name, with the name of its network."""
    found = {}
    for network in torchvision.models.list_models(module=torchvision.models):
        kind = torchvision.models.get_model_weights(network)
        for name, member in kind.__members__.items():
            found[f"{kind.__name__}.{name}"] = (member, network)
    return found


def _weights_called(source: str | WeightsEnum) -> tuple[WeightsEnum, str]:
    known = _torchvision_names()
    name = f"{type(source).__name__}.{source.name}" if isinstance(source, WeightsEnum) else str(source)
    if name in known:
        return known[name]
    of_network = [weights for weights, (_, network) in known.items() if network == name.lower()]
    nearest = of_network[-1:] or difflib.get_close_matches(name, [GLYPHS, *known], n=1, cutoff=0.5)
    hint = f"; did you mean {nearest[0]!r}?" if nearest else "."
    raise ValueError(
        f'unknown weights {name!r}{hint} Known: "glyphs", torchvision\'s names such as "ResNet18_Weights.DEFAULT", '
        f"and paths of files that end with {', '.join(SUFFIXES)}"
    )


def _from_torchvision(called: tuple[WeightsEnum, str], progress: bool) -> nn.Module:
    weights, network = called
    folder = data.data_folder() / "weights"
    # torchvision opens the file without weights_only; what weights_only has opened before holds no code.
    read_weights(_fetched(weights, folder / "checkpoints", progress))
    before = torch.hub.get_dir()
    torch.hub.set_dir(str(folder))
    try:
        return torchvision.models.get_model(network, weights=weights)
    finally:
        torch.hub.set_dir(before)


def _fetched(weights: WeightsEnum, folder: Path, progress: bool) -> Path:
    """The file of these weights, downloaded if it is missing or damaged; its name has the start of its hash."""
    path = folder / weights.url.rpartition("/")[2]
    published = re.search(r"-([0-9a-f]{8,})\.", path.name)
    start = published.group(1) if published else ""
    if path.is_file():
        if hash_of(path).startswith(start):
            return path
        warnings.warn(f"the weights in {path} are damaged: downloading them again", RuntimeWarning, stacklevel=4)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with downloads.patience(downloads.PATIENCE):
            torch.hub.download_url_to_file(weights.url, str(path), start or None, progress)
    except Exception as error:  # whatever urllib, torch or the disk may raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ConnectionError(
            f"{type(weights).__name__}.{weights.name} could not be downloaded: {reason.rstrip('.')}. Without a network "
            f'use pretrained("glyphs"), or a file that you have: put it at {path}, or give '
            'pretrained("path/to/file.pth", model=...)'
        ) from None
    return path


def imagenet_images(dataset: Dataset, side: int | None = None) -> Dataset:
    """A data set as networks trained on ImageNet expect it: three channels, standardised with ImageNet's figures.

    ::

        x = (pixels - mean) / scale,    mean = (.485, .456, .406),  scale = (.229, .224, .225)

    Args:
        dataset: images ``[N, 1 or 3, H, W]``; grey ones are given three equal channels.
        side: scale the images to this height and width, in pixels; None leaves them as they are. These networks were
            trained at 224; at 32 most of what they know how to see has been scaled away.

    Returns:
        another data set, with the same labels. It takes ``(3 / channels) · (side / H)²`` times the memory.

    Raises:
        ValueError: images with other than 1 or 3 channels, or ``side`` out of its range.
    """
    channels = dataset.image_shape[0] if len(dataset.image_shape) == 3 else 0
    if channels not in (1, 3):
        raise ValueError(f"{dataset.name} has no images with 1 or 3 channels: an example is {dataset.image_shape}")
    if side is not None and (isinstance(side, bool) or not isinstance(side, int) or not 8 <= side <= 1024):
        raise ValueError(f"side must be a whole number of pixels from 8 to 1024, or None; got {side!r}")

    def seen(split: Split) -> Split:
        x = dataset.pixels(split.x).expand(-1, 3, -1, -1)
        if side is not None and len(x):
            scaled = [F.interpolate(some, size=(side, side), mode="bilinear", antialias=True) for some in x.split(1024)]
            x = torch.cat(scaled)
        mean, scale = (torch.tensor(v, dtype=x.dtype, device=x.device).view(3, 1, 1) for v in (mean_, scale_))
        return Split((x - mean) / scale, split.y)

    mean_, scale_ = IMAGENET_MEAN, IMAGENET_SCALE
    train, validation, test = (seen(split) for split in (dataset.train, dataset.validation, dataset.test))
    shape = tuple(train.x.shape[1:])
    name = dataset.name
    changed = dataclasses.replace(dataset, train=train, validation=validation, test=test, image_shape=shape, name=name)
    return dataclasses.replace(changed, mean=mean_, scale=scale_, source=None)


# The embedded network -------------------------------------------------------------------------------------------------


def _glyphs_network(seed: int, progress: bool) -> nn.Module:
    """The cached network, or one trained now."""
    key = _key(seed)
    path = data.cache_folder() / f"pretrained-{hashlib.sha256(key.encode()).hexdigest()[:16]}.safetensors"
    network = models.cnn(classes=len(glyphs.CHARACTERS))
    weights = _read(path, key)
    if weights is None:
        weights = train_on_glyphs(seed, progress)
        _write(path, key, weights)
    return fill(network, weights, str(path))


def train_on_glyphs(seed: int = 0, progress: bool = True) -> dict[str, Tensor]:
    """Train the embedded network, without a cache: its weights by name, on the CPU."""
    printed = data.load("glyphs", device="cpu", side=SIDE)
    quiet: dict[str, Any] = {"device": "cpu", "validate_every": 0, "checkpoint_mb": 0}
    run = Run("cnn", printed, rule=RULE, lr=LR, batch_size=BATCH_SIZE, seed=seed, **quiet)
    run.train(STEPS, progress=progress)
    return {name: tensor.detach().clone() for name, tensor in run.model.state_dict().items()}


def _key(seed: int) -> str:
    """All that the weights depend on. Another torch may round otherwise, and start from other numbers."""
    of_training = {"side": SIDE, "steps": STEPS, "batch_size": BATCH_SIZE, "rule": repr(RULE), "lr": repr(LR)}
    of_glyphs = {"characters": glyphs.CHARACTERS, "drawing": glyphs.RECIPE}
    of_code = {"recipe": RECIPE, "torch": torch.__version__, "model": str(models.cnn(classes=len(glyphs.CHARACTERS)))}
    return json.dumps({"seed": seed, **of_training, **of_glyphs, **of_code}, sort_keys=True)


def _hash(key: str, weights: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256(key.encode())
    for name in sorted(weights):
        array = weights[name].contiguous().numpy()
        digest.update(f"{name} {array.dtype} {array.shape} ".encode() + array.tobytes())
    return digest.hexdigest()


def _read(path: Path, key: str) -> dict[str, Tensor] | None:
    """The cached weights; None if there are none, or if they are not what was written."""
    if not path.is_file():
        return None
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            if _hash(key, weights) == file.metadata()["sha256"]:
                return weights
    except Exception:  # a damaged header can say anything: another type, a wrong length, no metadata
        pass
    warnings.warn(f"the cached weights in {path} are damaged: training them again", RuntimeWarning, stacklevel=4)
    return None


def _write(path: Path, key: str, weights: dict[str, Tensor]) -> None:
    """Write beside, then rename: another process sees the whole file or none. A read-only folder is no error."""
    content = safetensors.torch.save(weights, metadata={"sha256": _hash(key, weights)})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, beside = tempfile.mkstemp(dir=path.parent, prefix=path.stem, suffix=".part")
    except OSError:
        return
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.replace(beside, path)
    except OSError:
        Path(beside).unlink(missing_ok=True)
