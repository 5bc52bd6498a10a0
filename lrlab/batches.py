"""Mini-batches in an order that is a function of the seed, so that any step of a run can be made again.

Nothing here remembers the state of a random generator. The order of epoch ``e`` depends on ``(seed, e)`` alone, and
the random numbers of step ``k`` (dropout masks, say) on ``(seed, k)`` alone. A place in the data is therefore two
whole numbers, ``(epoch, position)``, and going back to it costs nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from numbers import Real
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from lrlab.data import Split


def seed_of(seed: int, stream: str, count: int) -> int:
    """The seed of the ``count``-th piece of randomness in ``stream``: 63 bits, unrelated for neighbouring counts."""
    digest = hashlib.blake2b(f"{seed}/{stream}/{count}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


class Batches(Protocol):
    """Where the next mini-batch comes from. ``epoch`` and ``position`` (samples or batches) are set with `seek`."""

    @property
    def epoch(self) -> int: ...
    @property
    def position(self) -> int: ...
    def __len__(self) -> int: ...  # the size of an epoch, in the unit of `position`
    def check_size(self, batch_size: Any) -> int: ...
    def steps_per_epoch(self, batch_size: int) -> int: ...
    def seek(self, epoch: int, position: int) -> None: ...
    def next(self, batch_size: int) -> tuple[Tensor, Tensor]: ...


class TensorBatches:
    """Mini-batches of tensors that lie on the device: shuffled once an epoch, then sliced.

    An epoch is ``N // batch_size`` steps; the few samples that do not fill a last batch sit out, other ones in each
    epoch. When the batch size is turned in mid-epoch, the rest of the epoch is cut anew.

    Args:
        split: ``x [N, ...]`` and ``y [N, ...]``, on the device of the model.
        seed: fixes the order of every epoch.
    """

    def __init__(self, split: Split, seed: int) -> None:
        self.split, self.seed = split, seed
        self.epoch, self.position = 0, 0
        self._shuffled: tuple[int, Tensor, Tensor] | None = None

    def __len__(self) -> int:
        return len(self.split.x)

    def check_size(self, batch_size: Any) -> int:
        """The batch size as an int; ValueError if it is not between 1 and the size of the training set."""
        whole = isinstance(batch_size, Real) and not isinstance(batch_size, bool) and float(batch_size).is_integer()
        if not whole or not 1 <= batch_size <= len(self):
            raise ValueError(
                f"batch_size must be a whole number from 1 to {len(self)}, the training set; got {batch_size!r}"
            )
        return int(batch_size)

    def steps_per_epoch(self, batch_size: int) -> int:
        return len(self) // batch_size

    def seek(self, epoch: int, position: int) -> None:
        self.epoch, self.position = epoch, position

    def next(self, batch_size: int) -> tuple[Tensor, Tensor]:
        """The next mini-batch: ``x [batch_size, ...]``, ``y [batch_size, ...]``."""
        self._turn_page(batch_size)
        x, y = self._epoch_in_order()
        start = self.position
        self.position += batch_size
        self._turn_page(batch_size)
        return x.narrow(0, start, batch_size), y.narrow(0, start, batch_size)

    def _turn_page(self, batch_size: int) -> None:
        if self.position + batch_size > len(self):
            self.epoch, self.position = self.epoch + 1, 0

    def _epoch_in_order(self) -> tuple[Tensor, Tensor]:
        if self._shuffled is None or self._shuffled[0] != self.epoch:
            generator = torch.Generator().manual_seed(seed_of(self.seed, "order", self.epoch))
            order = torch.randperm(len(self), generator=generator).to(self.split.x.device)
            self._shuffled = (self.epoch, self.split.x[order], self.split.y[order])
        return self._shuffled[1:]


_last_user: WeakKeyDictionary[DataLoader, int] = WeakKeyDictionary()


class LoaderBatches:
    """Mini-batches of a user's own DataLoader; its workers, sampler and augmentation stay in use.

    The global random generator (and the loader's own, if it has one) is seeded before each epoch and each batch, so
    an order that torch draws is repeatable. ``position`` counts batches.
    """

    def __init__(self, loader: DataLoader, seed: int, device: torch.device, dtype: torch.dtype) -> None:
        try:
            self.size = len(loader)
        except TypeError:
            raise ValueError("the DataLoader must know its length: give it a map-style dataset, not a stream") from None
        if self.size == 0:
            raise ValueError("the DataLoader has no batches: its dataset is empty, or smaller than one batch")
        self.loader, self.seed, self.device, self.dtype = loader, seed, device, dtype
        self.epoch, self.position = 0, 0
        self._iterator: Iterator | None = None
        self._at = (-1, -1)  # where the iterator stands; it is made anew when that is not where we are
        # A generator and workers that stay belong to the loader: when another run has used them, ours is of no use.
        self._shared = loader.generator is not None or loader.persistent_workers

    def __len__(self) -> int:
        return self.size

    def check_size(self, batch_size: Any) -> int:
        if batch_size != self.loader.batch_size:
            raise ValueError(
                f"your DataLoader fixes the batch size at {self.loader.batch_size}, got batch_size={batch_size!r}; "
                "make another DataLoader, or give the data as (x, y) tensors to turn it live"
            )
        return int(batch_size)

    def steps_per_epoch(self, batch_size: int) -> int:
        return self.size

    def seek(self, epoch: int, position: int) -> None:
        self.epoch, self.position = epoch, position

    def next(self, batch_size: int) -> tuple[Tensor, Tensor]:
        with torch.random.fork_rng(devices=[]):
            taken = self._shared and _last_user.get(self.loader) != id(self)
            if self._at != (self.epoch, self.position) or self._iterator is None or taken:
                self._reopen()
            x, y = self._draw(self.position)
        self.position += 1
        if self.position == self.size:
            self.epoch, self.position = self.epoch + 1, 0
        self._at = (self.epoch, self.position)
        if self.position == 0:
            self._iterator = None
        return x, y

    def _reopen(self) -> None:
        seed = seed_of(self.seed, "order", self.epoch)
        if self.loader.generator is not None:
            self.loader.generator.manual_seed(seed)
        torch.manual_seed(seed)
        self._iterator = iter(self.loader)
        _last_user[self.loader] = id(self)
        for position in range(self.position):
            self._draw(position)

    def _draw(self, position: int) -> tuple[Tensor, Tensor]:
        assert self._iterator is not None
        torch.default_generator.manual_seed(seed_of(self.seed, f"epoch {self.epoch}", position))
        batch = next(self._iterator)
        if not isinstance(batch, (list, tuple)) or len(batch) != 2:
            raise ValueError(f"the DataLoader must give (x, y) pairs, got {type(batch).__name__}")
        x, y = (torch.as_tensor(part).to(self.device) for part in batch)
        return (x.to(self.dtype) if x.is_floating_point() else x), y


class AugmentedBatches:
    """Mini-batches that are changed at random on their way, by a function of ``(x, y, seed)``.

    Its seed is made from ``(seed, epoch, position)``: a batch at one place in the data is always changed alike.

    Args:
        inner: where the mini-batches come from.
        augment: gives another ``(x, y)``; all that is random in it is a function of its third argument.
        seed: fixes the changes.
        least: the smallest batch that can be changed.
    """

    def __init__(
        self, inner: Batches, augment: Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor]], seed: int, least: int = 1
    ) -> None:
        self.inner, self.augment, self.seed, self.least = inner, augment, seed, least

    @property
    def epoch(self) -> int:
        return self.inner.epoch

    @property
    def position(self) -> int:
        return self.inner.position

    def __len__(self) -> int:
        return len(self.inner)

    def check_size(self, batch_size: Any) -> int:
        size = self.inner.check_size(batch_size)
        if size < self.least:
            raise ValueError(
                f"batch_size must be at least {self.least}: two examples are to be mixed; got {batch_size!r}"
            )
        return size

    def steps_per_epoch(self, batch_size: int) -> int:
        return self.inner.steps_per_epoch(batch_size)

    def seek(self, epoch: int, position: int) -> None:
        self.inner.seek(epoch, position)

    def next(self, batch_size: int) -> tuple[Tensor, Tensor]:
        seed = seed_of(self.seed, f"augment {self.epoch}", self.position)
        return self.augment(*self.inner.next(batch_size), seed)


def whole_loader(loader: DataLoader) -> Split:
    """All samples of a DataLoader, in its own order, as tensors: how a validation loader becomes a validation split."""
    pairs = [(torch.as_tensor(x), torch.as_tensor(y)) for x, y in loader]
    if not pairs:
        raise ValueError("the validation DataLoader has no batches")
    return Split(torch.cat([x for x, _ in pairs]), torch.cat([y for _, y in pairs]))
