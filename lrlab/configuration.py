"""What a `Run` is made of: its arguments checked, its data in place, its model built, and all of that as JSON."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader

from lrlab import _spec, _store, data, models
from lrlab.augmentation import Chain, as_augment, spec_of
from lrlab.batches import AugmentedBatches, Batches, LoaderBatches, TensorBatches, whole_loader
from lrlab.data import Dataset, Split
from lrlab.engine import CompiledEngine, FlatEngine, Loss, TorchEngine
from lrlab.factors import factors_checker
from lrlab.knobs import Knobs, as_lr, as_penalty, as_rule, check_number
from lrlab.regularization import EarlyStopping, hinge
from lrlab.rules import SGD

LOSSES: dict[str, Loss] = {"cross_entropy": F.cross_entropy, "hinge": hinge, "mse": F.mse_loss}
DTYPES = {"float32": torch.float32, "float64": torch.float64}
OWN_PARTS = ("model", "data", "loss", "optimizer", "validation", "augment")  # what may have no name, so no form in JSON

Model = str | nn.Module | Callable[[], nn.Module]
Data = str | Mapping[str, Any] | Dataset | tuple[Any, Any] | DataLoader


class Material(NamedTuple):
    """Data in place on a device: what is trained on, what is validated on, and how the source is called.

    ``augment`` changes the mini-batches, and nothing else.
    """

    name: str
    device: torch.device
    dtype: torch.dtype
    train: Split | DataLoader
    validation: Split | None
    dataset: Dataset | None
    augment: Chain | None = None

    def batches(self, seed: int) -> Batches:
        """The mini-batches of a run with this seed."""
        plain: Batches = (
            LoaderBatches(self.train, seed, self.device, self.dtype)
            if isinstance(self.train, DataLoader)
            else TensorBatches(self.train, seed)
        )
        return plain if self.augment is None else AugmentedBatches(plain, self.augment, seed, self.augment.least)

    def two_samples(self) -> tuple[Tensor, Tensor]:
        """A few samples to try a model on."""
        x, y = self.batches(0).next(self.train.batch_size or 2 if isinstance(self.train, DataLoader) else 2)
        return x[:2], y[:2]

    def fingerprint(self) -> str:
        """A hash that tells this data from other data; empty for a DataLoader."""
        return "" if isinstance(self.train, DataLoader) else _store.fingerprint(*self.train)


class Setup:
    """The arguments of a `Run`, checked, and the parts that are built from them."""

    def __init__(self, **given: Any) -> None:
        self.given = given
        self.seed: int = check_seed(given["seed"])
        self.device = data.resolve_device(given["device"])
        self.dtype = as_dtype(given["dtype"])
        self.loss_function = as_loss(given["loss"])
        self.per = one_of("per", given["per"], ("step", "epoch"))
        self.validate_every = check_cadence(given["validate_every"])
        self.checkpoint_mb = check_number("checkpoint_mb", given["checkpoint_mb"], lambda mb: mb >= 0, "at least 0")
        self.penalty = as_penalty(given.get("penalty"))
        self.stopping = as_stopping(given.get("stopping"))
        self.augment = as_augment(given.get("augment"))
        if given.get("factors") and given["optimizer"] is not None:
            raise ValueError("factors= does not go with optimizer=, which has groups of its own: leave one out")
        if self.stopping is not None and self.validate_every == 0:
            raise ValueError("stopping= observes validations, but validate_every=0 makes none: leave it out")
        ours = given["rule"] is not None or given["weight_decay"] or given["compile"] or self.penalty is not None
        if given["optimizer"] is not None and ours:
            raise ValueError(
                "optimizer= brings its own rule: rule=, weight_decay=, penalty= and compile= do not go with it"
            )
        self.model_name = name_of_model(given["model"])

    def changed(self, **changes: Any) -> Setup:
        """The same set-up with other arguments."""
        return Setup(**{**self.given, **changes})

    # Data and model

    def data_in_place(self) -> Material:
        """Load the data, move it to the device, find what to validate on, and what changes the mini-batches."""
        material = self._material()
        if not self.augment:
            return material
        chain = Chain(self.augment, material.dataset)
        if chain.mixes and self.loss_function is hinge:
            raise ValueError("loss='hinge' takes classes, but Mixup and CutMix make soft labels: loss='cross_entropy'")
        chain.check(*material.two_samples(), None if isinstance(material.train, DataLoader) else material.train)
        return material._replace(augment=chain)

    def _material(self) -> Material:
        source, device, dtype = self.given["data"], self.device, self.dtype
        if isinstance(source, DataLoader):
            return Material("your DataLoader", device, dtype, source, self._own_validation(), None)
        if isinstance(source, str):
            source = data.load(source, device=device)
        elif isinstance(source, Mapping):
            source = data.load(**{**source, "device": device})
        elif isinstance(source, tuple):
            if len(source) != 2:
                raise TypeError(f"data as a tuple must be a pair (x, y), got {len(source)} things")
            if torch.as_tensor(source[1]).is_floating_point():
                return self._regression(*source)
            held_out = 0.0 if self.given["validation"] is not None else 0.2
            source = data.from_tensors(*source, validation=held_out, test=0.0, device=device)
        if not isinstance(source, Dataset):
            kind = type(source).__name__
            raise TypeError(f"data must be a name, a Dataset, a pair (x, y) or a DataLoader; got {kind}")
        dataset = source.to(device, dtype)
        validation = self._own_validation() or dataset.validation
        return Material(dataset.name, device, dtype, dataset.train, validation if len(validation.x) else None, dataset)

    def _regression(self, x: Any, y: Any) -> Material:
        """The user's ``(x, y)`` with real numbers to predict, all of it to train on."""
        x, y = torch.as_tensor(x), torch.as_tensor(y)
        if len(x) != len(y) or not len(x):
            raise ValueError(f"x and y must be equally long and not empty: x has {len(x)} examples, y has {len(y)}")
        train = Split(x.to(self.device, self.dtype), y.to(self.device, self.dtype))
        return Material("your data", self.device, self.dtype, train, self._own_validation(), None)

    def _own_validation(self) -> Split | None:
        own = self.given["validation"]
        if own is None:
            return None
        if not isinstance(own, DataLoader) and not (isinstance(own, (tuple, list)) and len(own) == 2):
            raise TypeError(f"validation must be a pair (x, y) or a DataLoader; got {own!r:.80}")
        x, y = whole_loader(own) if isinstance(own, DataLoader) else (torch.as_tensor(own[0]), torch.as_tensor(own[1]))
        return Split(x.to(self.device, self.dtype), y.to(self.device, self.dtype if y.is_floating_point() else None))

    def build_model(self, material: Material) -> nn.Module:
        """The network with the first weights of this seed, on the device. The user's generators are left alone."""
        model = self.given["model"]
        with torch.random.fork_rng(devices=[material.device] if material.device.type == "cuda" else []):
            torch.manual_seed(self.seed)
            if isinstance(model, nn.Module):
                network = copy.deepcopy(model)
            else:
                network = models.build(model, *shapes_of(material)) if isinstance(model, str) else model()
        if not isinstance(network, nn.Module):
            raise TypeError(f"the model function must return a torch.nn.Module; it returned {type(network).__name__}")
        return network.to(material.device, material.dtype)

    def build_engine(self, model: nn.Module, batches: Batches) -> tuple[FlatEngine | TorchEngine, Knobs]:
        """What makes the steps, and the knobs at step 0."""
        given = self.given
        if given["optimizer"] is not None:
            engine = TorchEngine(model, self.loss_function, given["optimizer"])
            lr = engine.lr if given["lr"] is None else as_lr(given["lr"])
            size = self._batch_size(batches)
            return engine, Knobs(lr, None, size, settings=engine.hyperparameters(), check_batch_size=batches.check_size)
        knobs = Knobs(
            as_lr(0.1 if given["lr"] is None else given["lr"]),
            as_rule(SGD() if given["rule"] is None else given["rule"]),
            self._batch_size(batches),
            penalty=self.penalty,
            check_batch_size=batches.check_size,
            check_factors=no_factors if given["compile"] else factors_checker(trainable_names(model)),
        )
        if given["weight_decay"]:
            knobs = knobs.turned("weight_decay", given["weight_decay"])
        if given.get("factors"):
            knobs = knobs.turned("factors", given["factors"])
        kind = CompiledEngine if given["compile"] else FlatEngine
        assert knobs.rule is not None
        flat = kind(model, self.loss_function, knobs.rule, knobs.weight_decay, knobs.penalty)
        flat.set_factors(knobs.factors)
        return flat, knobs

    def _batch_size(self, batches: Batches) -> int:
        size = self.given["batch_size"]
        if size is None:
            source = batches.inner if isinstance(batches, AugmentedBatches) else batches
            size = source.loader.batch_size if isinstance(source, LoaderBatches) else min(64, len(batches))
        return batches.check_size(size)

    # JSON

    def config(self, knobs: Knobs) -> dict[str, Any]:
        """The arguments as JSON values where they have names, and as they are where they do not."""
        given = self.given
        source = given["data"]
        if isinstance(source, Dataset) and source.source is not None:
            source = dict(source.source)
        return {
            "model": given["model"],
            "data": source,
            "rule": None if knobs.rule is None else knobs.value_of("rule"),
            "lr": knobs.value_of("lr"),
            "batch_size": knobs.batch_size,
            "weight_decay": knobs.weight_decay,
            "penalty": knobs.value_of("penalty"),
            "factors": dict(knobs.factors),
            "augment": spec_of(self.augment),
            "seed": self.seed,
            "device": str(given["device"]),
            "dtype": str(self.dtype).removeprefix("torch."),
            "loss": given["loss"],
            "per": self.per,
            "validate_every": self.validate_every,
            "stopping": None if self.stopping is None else _spec.to_spec(self.stopping),
            "validation": given["validation"],
            "optimizer": given["optimizer"],
            "compile": bool(given["compile"]),
            "checkpoint_mb": self.checkpoint_mb,
        }

    def nameable(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The configuration with a note in the place of each thing that JSON has no form for."""
        own = {}
        for key in OWN_PARTS:
            if config[key] is not None and not _has_form(config[key]):
                own[key] = {"own": type(config[key]).__name__}
        return {**config, **own}

    @staticmethod
    def arguments(config: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of `Run` from a configuration and the caller's own parts.

        Raises:
            ValueError: for a key that is missing or unknown, or a part that only the caller can give.
        """
        known = set(Setup.KEYS)
        if not isinstance(config, Mapping):
            raise ValueError(f"config must be a dict such as run.config, got {type(config).__name__}")
        unknown, missing = sorted(set(config) - known - {"steps"}), sorted(known - set(config))
        if unknown or missing:
            raise ValueError(f"this is not the configuration of a Run: unknown keys {unknown}, missing keys {missing}")
        if surplus := sorted(set(own) - set(OWN_PARTS)):
            raise TypeError(f"only {', '.join(OWN_PARTS)} can be given here, not {surplus}")
        arguments = {**{key: config[key] for key in known}, **own}
        for key in OWN_PARTS:
            if isinstance(arguments[key], Mapping) and "own" in arguments[key]:
                own_kind = arguments[key]["own"]
                raise ValueError(f"the saved run used a {key} of its own ({own_kind}): give it as {key}=...")
        if arguments["rule"] is not None:
            arguments["rule"] = as_rule(arguments["rule"])
        return arguments

    KEYS = (
        *("model", "data", "rule", "lr", "batch_size", "weight_decay", "penalty", "factors", "augment", "seed"),
        *("device", "dtype", "loss", "per", "validate_every", "stopping", "validation", "optimizer", "compile"),
        "checkpoint_mb",
    )


def no_factors(factors: Any) -> dict[str, float]:
    """Refuse learning-rate multipliers: a compiled step has one rate."""
    if factors:
        raise ValueError("factors do not go with compile=True: leave one out")
    return {}


def trainable_names(model: nn.Module) -> list[str]:
    """The names of the parameters that are in the flat vector of a run."""
    return [name for name, weight in model.named_parameters() if weight.requires_grad]


def _has_form(value: Any) -> bool:
    """Whether JSON has a form for this part of a configuration."""
    if isinstance(value, list):
        return all(isinstance(part, dict) for part in value)
    return isinstance(value, (str, dict))


def name_of_model(model: Any) -> str:
    """What to call a model: its name, its class, or the function that makes it."""
    if isinstance(model, str):
        return model
    if isinstance(model, nn.Module):
        return type(model).__name__
    if callable(model):
        return getattr(model, "__name__", type(model).__name__).replace("<lambda>", "network")
    raise TypeError(f"model must be a name, a module or a function that makes one; got {model!r}")


def shapes_of(material: Material) -> tuple[tuple[int, ...], int]:
    """Image shape and number of classes, for a model that is called by its name."""
    if material.dataset is not None:
        return material.dataset.image_shape, len(material.dataset.classes)
    raise ValueError("a model name needs a data set that knows its classes; give a module, or the data as (x, y)")


def check_output(model: nn.Module, loss: Loss, material: Material) -> None:
    """Try the model and the loss on two samples; ValueError when they do not fit together."""
    x, y = material.two_samples()
    with torch.random.fork_rng(), torch.no_grad():
        model.train(False)
        try:
            output = model(x)
        except (RuntimeError, TypeError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise ValueError(f"the model does not take images of shape {list(x.shape[1:])}: {reason}") from None
        if not isinstance(output, Tensor):
            raise ValueError(f"the model must return a tensor [samples, classes]; it returned {type(output).__name__}")
        if loss in (F.cross_entropy, hinge) and material.dataset is not None:
            classes = len(material.dataset.classes)
            if output.dim() != 2 or output.shape[1] < classes:
                raise ValueError(
                    f"the model turns {len(x)} samples into an output of shape {list(output.shape)}, but the data has "
                    f"{classes} classes: its last layer must have {classes} outputs"
                )
        try:
            value = loss(output, y)
        except (RuntimeError, TypeError, ValueError, IndexError) as error:
            shapes = f"outputs {list(output.shape)} and targets {list(y.shape)}"
            raise ValueError(f"the loss does not take {shapes}: {str(error).splitlines()[0]}") from None
    if not isinstance(value, Tensor) or value.dim() != 0:
        raise ValueError("the loss must be one number for the batch, a tensor without dimensions: take its mean")


def accuracy_of(outputs: Tensor, targets: Tensor) -> float:
    """The share of samples whose largest output is the target; NaN where targets are not classes.

    Soft labels, rows of shares that sum to 1, stand for the class with the largest share.
    """
    if outputs.dim() == 2 and outputs.shape == targets.shape and outputs.shape[1] > 1:
        shares = targets.is_floating_point() and bool((targets >= 0).all())
        if shares and bool(((targets.sum(1) - 1).abs() < 1e-4).all()):
            targets = targets.argmax(1)
    if outputs.dim() != 2 or targets.dim() != 1 or targets.is_floating_point():
        return math.nan
    return float((outputs.argmax(1) == targets).double().mean())


def draws_random_numbers(model: nn.Module) -> bool:
    """Whether a forward pass may draw random numbers: yes for dropout, and for any code that is not torch's or ours."""
    quiet = ("torch.nn.", "lrlab.models", "torchvision.models")
    return any(
        isinstance(part, (nn.modules.dropout._DropoutNd, nn.RReLU, nn.FractionalMaxPool2d, nn.FractionalMaxPool3d))
        or not type(part).__module__.startswith(quiet)
        for part in model.modules()
    )


def check_seed(seed: Any) -> int:
    """A seed as an int: a whole number from 0 to 2⁶³ − 1."""
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**63:
        raise ValueError(f"seed must be a whole number from 0 to 2**63 - 1, got {seed!r}")
    return seed


def check_cadence(every: Any) -> int | None:
    """Steps between validations: None, or a whole number of at least 0."""
    if every is not None and (isinstance(every, bool) or not isinstance(every, int) or every < 0):
        raise ValueError(f"validate_every must be None (once an epoch), 0 (never) or a number of steps; got {every!r}")
    return every


def as_stopping(stopping: Any) -> EarlyStopping | None:
    """An early stopping, its spec, or None."""
    if isinstance(stopping, Mapping):
        return _spec.from_spec(stopping, {"EarlyStopping": EarlyStopping})
    if stopping is not None and not isinstance(stopping, EarlyStopping):
        raise TypeError(f"stopping must be regularization.EarlyStopping(patience=10), say, or None; got {stopping!r}")
    return stopping


def as_dtype(dtype: Any) -> torch.dtype:
    """float32 or float64."""
    name = str(dtype).removeprefix("torch.")
    return DTYPES[one_of("dtype", name, tuple(DTYPES))]


def as_loss(loss: Any) -> Loss:
    """A loss function, or one by its name."""
    if callable(loss):
        return loss
    return LOSSES[one_of("loss", loss, tuple(LOSSES))]


def one_of(name: str, value: Any, allowed: tuple[str, ...]) -> Any:
    """The value, if it is one of those allowed; else a ValueError that lists them."""
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}; got {value!r}")
    return value
