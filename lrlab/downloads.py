"""Fashion-MNIST and CIFAR-10 through torchvision's own classes: fetched only when asked, checked before use."""

from __future__ import annotations

import gzip
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torchvision.datasets
from torchvision.datasets.utils import check_integrity

PATIENCE = 30.0  # seconds without a byte before a download is given up


class Source(NamedTuple):
    """A data set that torchvision can download."""

    make: Callable[..., Any]  # torchvision's class
    folder: str  # what it calls its files
    size: str


SOURCES = {
    "fashion-mnist": Source(torchvision.datasets.FashionMNIST, "FashionMNIST", "31 MB"),
    "cifar10": Source(torchvision.datasets.CIFAR10, "cifar-10-batches-py", "170 MB"),
}


def read(name: str, folder: Path, download: bool) -> tuple[Any, Any]:
    """torchvision's training and test set, from files that are what was published.

    Args:
        name: one of SOURCES.
        folder: where the files are, or will be put.
        download: fetch them if they are missing or damaged.

    Raises:
        FileNotFoundError: they are missing or damaged, and ``download`` is False.
        ConnectionError: they could not be fetched.
    """
    source = SOURCES[name]
    instead = "Without a network use an embedded set: data.load('glyphs') or data.load('digits')."
    problem = _problem(source, folder)
    if problem and not download:
        raise FileNotFoundError(
            f"{name} is {problem} in {folder}. Fetch it ({source.size}) with data.load({name!r}, download=True), or set"
            f" LRLAB_DATA to the folder that has it. {instead}"
        )
    if problem:
        try:
            _fetch(source, folder)
        except Exception as error:  # whatever torchvision, urllib, tarfile or the disk may raise
            reason = " ".join(str(error).split()) or type(error).__name__
            raise ConnectionError(f"{name} could not be downloaded: {reason.rstrip('.')}. {instead}") from None
    return source.make(folder), source.make(folder, train=False)


def at_hand(name: str, folder: Path) -> bool:
    """Are the files there? (Not read, so not checked.)"""
    return (folder / SOURCES[name].folder).exists()


def _problem(source: Source, folder: Path) -> str | None:
    """None if the files are there and are what was published, else what is wrong."""
    if not (folder / source.folder).exists():
        return "missing"
    try:
        files = source.make(folder)  # CIFAR10 compares the hash of every file
        if isinstance(files, torchvision.datasets.FashionMNIST):
            _check_unpacked(Path(files.raw_folder), files.resources)
    except (RuntimeError, OSError, EOFError, ValueError, AssertionError):
        return "damaged"
    return None


def _check_unpacked(folder: Path, resources: list[tuple[str, str]]) -> None:
    """torchvision checks Fashion-MNIST's archives on arrival and what came out of them never: compare the two."""
    for name, md5 in resources:
        archive = folder / name
        if not check_integrity(archive, md5):
            raise ValueError(f"{archive} is not what was published")
        with gzip.open(archive) as content:
            if content.read() != archive.with_suffix("").read_bytes():
                raise ValueError(f"{archive.with_suffix('')} is not what the archive holds")


def _fetch(source: Source, folder: Path) -> None:
    """Download beside, then rename: an interrupted download leaves nothing that looks like data."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".download-") as beside, patience(PATIENCE):
        source.make(beside, download=True)
        if _problem(source, folder) is None:
            return  # another process was quicker
        shutil.rmtree(folder / source.folder, ignore_errors=True)
        os.rename(Path(beside, source.folder), folder / source.folder)


@contextmanager
def patience(seconds: float) -> Iterator[None]:
    """torchvision connects without a time limit: behind a firewall that says nothing it would wait for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
