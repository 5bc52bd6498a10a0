"""A folder of class folders of images, read as bytes of one size and one number of channels.

What is done with each image, in this order: of several pictures in a file the first is taken; it is turned as its EXIF
orientation says; 16-bit grey is brought to 8 bits (the upper eight); transparent parts are laid on white; colours
become grey (ITU-R 601 luma) or RGB; and where the size differs, it is cropped to the middle and resized (bicubic, with
antialiasing). A JPEG far larger than needed is decoded at a half, a quarter or an eighth of its size.
"""

from __future__ import annotations

import difflib
import hashlib
import io
import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError
from tqdm.auto import tqdm

DEFAULT_SIDE = 64  # pixels, where the images differ in size
SHOWN = 10  # skipped files that a warning names
PATIENCE = 2.0  # seconds before a progress bar appears

#: A folder with one of these names holds a part of the data, not a class.
PARTS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("valid", "val", "validation"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}

# Pillow reads more, and hands some of it to other programs (EPS to Ghostscript): images for training need only these.
FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "MPO", "PNG", "PPM", "TIFF", "WEBP")

_CLUTTER = ("__MACOSX", "Thumbs.db", "desktop.ini")  # what systems leave behind, besides names that begin with a dot
_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar")
_ORIENTATION = 0x0112  # the EXIF tag; from 5 to 8 the image lies on its side


class Part(NamedTuple):
    """Images and their labels: ``pixels`` uint8 [N, C, H, W], ``labels`` int64 [N]."""

    pixels: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]


class Folder(NamedTuple):
    """What a folder holds.

    Attributes:
        parts: ``"train"``, and ``"validation"`` and ``"test"`` where they have a folder of their own.
        classes: the names of the class folders, sorted.
        skipped: the files that were left out, each with the reason.
        digest: a hash of the names and contents of the files that were taken.
    """

    parts: dict[str, Part]
    classes: tuple[str, ...]
    skipped: tuple[str, ...]
    digest: str


class _File(NamedTuple):
    path: Path
    part: str
    label: int


class _Look(NamedTuple):
    """What the beginning of a file says: width and height as the image is to be seen, and whether it has no colour."""

    size: tuple[int, int]
    grey: bool


class _Form(NamedTuple):
    """What every image is brought to."""

    size: tuple[int, int]  # width, height
    grey: bool


class _Unfit(Exception):
    """Why a file is left out."""


def read(path: Any, side: int | None, grey: bool | None) -> Folder:
    """All images of a folder, in the order of parts, classes and file names.

    Args:
        path: a folder of class folders, or of ``train``, ``validation`` and ``test`` with class folders in each.
        side: width and height in pixels; None: as they are where all have one size, else `DEFAULT_SIDE`.
        grey: one channel, or three; None: one where no image has colour.

    Raises:
        TypeError, FileNotFoundError, NotADirectoryError: it is no folder.
        ValueError: it has no two classes, or a class without images, or the images would not fit into memory.
    """
    root = folder_at(path)
    parts, left_out = _parts(root)
    classes = _classes(root, parts)
    files = _files(parts, classes, left_out)
    looks = _look_at(files, left_out)
    while True:
        sound = [file for file in files if file.path in looks]
        skipped = _told(root, left_out)
        _check_filled(parts, classes, sound, skipped)
        form = _form(list(looks.values()), side, grey)
        _check_memory(root, len(sound), form)
        before = len(left_out)
        pictures = _pictures(sound, form, left_out)
        if len(left_out) == before:
            return Folder(_gathered(parts, sound, pictures), classes, skipped, _digest(root, sound, pictures))
        # Damaged ones showed only now. The form is to be that of the others alone: once more without them.
        looks = {path: look for path, look in looks.items() if path not in left_out}


def warn_of_skipped(root: str, skipped: Sequence[str]) -> None:
    """Say how many files were left out, and name the first of them."""
    if skipped:
        warnings.warn(f"{root}: {_count_of(skipped)} skipped: {_beginning(skipped)}", stacklevel=3)


def folder_at(path: Any) -> Path:
    """The folder that a path means, ``~`` understood.

    Raises:
        TypeError: it is no path.
        FileNotFoundError: there is nothing; the message says where it was looked for, and names what is nearest.
        NotADirectoryError: it is a file; an archive must be unpacked first.
    """
    if not isinstance(path, (str, os.PathLike)) or isinstance(os.fspath(path), bytes) or not os.fspath(path):
        raise TypeError(f"path must name a folder of class folders, as text or Path; got {path!r}")
    folder = Path(path).expanduser()
    if folder.is_dir():
        return folder
    if not folder.exists():
        beside = [entry.name for entry in folder.parent.iterdir()] if folder.parent.is_dir() else []
        near = difflib.get_close_matches(folder.name, beside, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise FileNotFoundError(f"path={str(path)!r}: there is no such folder (looked for {folder.absolute()}){hint}")
    if folder.name.lower().endswith(_ARCHIVES):
        raise NotADirectoryError(f"path={str(path)!r} is an archive: unpack it first, and give the folder that results")
    raise NotADirectoryError(f"path={str(path)!r} is a file: give the folder that holds one folder per class")


# Which files ----------------------------------------------------------------------------------------------------------


def _entries(folder: Path) -> tuple[list[Path], list[Path]]:
    """The folders and the other entries of a folder, sorted by name, without what is hidden."""
    entries = sorted(folder.iterdir(), key=lambda entry: entry.name)
    entries = [entry for entry in entries if not entry.name.startswith(".") and entry.name not in _CLUTTER]
    return [entry for entry in entries if entry.is_dir()], [entry for entry in entries if not entry.is_dir()]


def _parts(root: Path) -> tuple[dict[str, Path], dict[Path, str]]:
    """The folders whose folders are the classes: ``{"train": root}``, or the parts. Files in them are left out."""
    folders, _ = _entries(root)
    named = [PARTS.get(folder.name.lower()) for folder in folders]
    parts = {"train": root}
    if "train" in named and None not in named:
        if doubled := [name for name, count in Counter(named).items() if count > 1]:
            raise ValueError(f"{root} has more than one folder for {doubled[0]}: {', '.join(f.name for f in folders)}")
        by_name = {str(name): folder for name, folder in zip(named, folders, strict=True)}
        parts = {part: by_name[part] for part in ("train", "validation", "test") if part in by_name}
    stray = {file: "in no class folder" for folder in {root, *parts.values()} for file in _entries(folder)[1]}
    return parts, stray


def _classes(root: Path, parts: Mapping[str, Path]) -> tuple[str, ...]:
    """The names of the class folders, the same in each part."""
    classes = {part: [entry.name for entry in _entries(folder)[0]] for part, folder in parts.items()}
    every = sorted(set().union(*classes.values()))
    for part, names in classes.items():
        if not names:
            raise ValueError(f"{parts[part]} has no class folders: put the images of each class into one of its own")
        if missing := sorted(set(every) - set(names)):
            raise ValueError(f"{parts[part]} lacks the class folders {', '.join(missing)}, which {root} has elsewhere")
    if len(every) == 1:
        raise ValueError(f"{root} has one class folder only, {every[0]!r}: to classify takes at least two")
    return tuple(every)


def _files(parts: Mapping[str, Path], classes: Sequence[str], left_out: dict[Path, str]) -> list[_File]:
    files = []
    for part, folder in parts.items():
        for label, name in enumerate(classes):
            folders, found = _entries(folder / name)
            left_out.update(dict.fromkeys(folders, "a folder in a class folder"))
            files += [_File(file, part, label) for file in found]
    return files


def _check_filled(
    parts: Mapping[str, Path], classes: Sequence[str], sound: Iterable[_File], skipped: Sequence[str]
) -> None:
    filled = {(file.part, file.label) for file in sound}
    for part, folder in parts.items():
        for label, name in enumerate(classes):
            if (part, label) not in filled:
                why = f" ({_count_of(skipped)} skipped: {_beginning(skipped)})" if skipped else ""
                raise ValueError(f"the class folder {folder / name} has no image{why}: add some, or remove the folder")


def _digest(root: Path, files: Sequence[_File], pictures: Sequence[tuple[npt.NDArray[np.uint8], bytes]]) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for file, (_, content) in zip(files, pictures, strict=True):
        digest.update(file.path.relative_to(root).as_posix().encode("utf-8", "surrogateescape") + b"\0" + content)
    return digest.hexdigest()


def _told(root: Path, left_out: Mapping[Path, str]) -> tuple[str, ...]:
    """Each file with its reason, sorted; characters that a terminal would obey are escaped."""
    named = sorted((path.relative_to(root).as_posix(), why) for path, why in left_out.items())
    return tuple(f"{repr(name)[1:-1]} ({why})" for name, why in named)


def _count_of(skipped: Sequence[str]) -> str:
    return "1 entry" if len(skipped) == 1 else f"{len(skipped):,} entries"


def _beginning(skipped: Sequence[str]) -> str:
    more = f", and {len(skipped) - SHOWN:,} more" if len(skipped) > SHOWN else ""
    return ", ".join(skipped[:SHOWN]) + more


# Which form -----------------------------------------------------------------------------------------------------------


def _look_at(files: Sequence[_File], left_out: dict[Path, str]) -> dict[Path, _Look]:
    """The beginning of each file; those that are no images go to ``left_out``."""
    looks: dict[Path, _Look] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        for file in files:
            try:
                looks[file.path] = _attempt(_look, file.path)
            except _Unfit as reason:
                left_out[file.path] = str(reason)
    return looks


def _attempt(action: Callable[..., Any], path: Path, *arguments: Any) -> Any:
    """Do something with an image file; `_Unfit` with the reason in a few words if it cannot be done."""
    try:
        return action(path, *arguments)
    except UnidentifiedImageError:
        raise _Unfit("no image" if path.stat().st_size else "an empty file") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        limit = Image.MAX_IMAGE_PIXELS or 0
        raise _Unfit(f"more than {limit / 1e6:.0f} million pixels, a decompression bomb perhaps") from None
    except PermissionError:
        raise _Unfit("may not be read") from None
    except FileNotFoundError:
        raise _Unfit("a link to nothing") from None
    except _Unfit:
        raise
    except Exception as error:  # whatever Pillow's readers raise for a damaged file
        raise _Unfit(f"damaged: {' '.join(str(error).split()) or type(error).__name__}") from None


def _look(path: Path) -> _Look:
    if not path.is_file() and path.exists():
        raise _Unfit("not a plain file")
    with _opened(path) as image:
        if image.mode == "F":
            raise _Unfit("floating-point pixels: nothing says which value is white")
        width, height = image.size
        lies = image.getexif().get(_ORIENTATION) in (5, 6, 7, 8)
        return _Look((height, width) if lies else (width, height), image.mode[0] in "1LI" and image.mode != "LAB")


def _opened(source: Any) -> Image.Image:
    Image.init()
    return Image.open(source, formats=[name for name in FORMATS if name in Image.OPEN])


def _form(looks: Sequence[_Look], side: int | None, grey: bool | None) -> _Form:
    sizes = {look.size for look in looks}
    size = (side, side) if side else sizes.pop() if len(sizes) == 1 else (DEFAULT_SIDE, DEFAULT_SIDE)
    return _Form(size, all(look.grey for look in looks) if grey is None else grey)


def _check_memory(root: Path, count: int, form: _Form) -> None:
    """Refuse what would fill the memory, while nothing is read yet. Only where the system says how much is free."""
    if not hasattr(os, "sysconf") or "SC_AVPHYS_PAGES" not in os.sysconf_names:
        return
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    width, height = form.size
    needed = count * (1 if form.grey else 3) * width * height * 5  # bytes, and the floats made of them
    if needed > free:
        raise ValueError(
            f"{root}: {count:,} images of {width} x {height} pixels take {needed / 1e9:,.1f} GB of memory, and"
            f" {free / 1e9:,.1f} GB are free: give a smaller side, such as side={DEFAULT_SIDE}"
        )


# Pixels ---------------------------------------------------------------------------------------------------------------


def _pictures(
    files: Sequence[_File], form: _Form, left_out: dict[Path, str]
) -> list[tuple[npt.NDArray[np.uint8], bytes]]:
    """Pixels [H, W] or [H, W, 3] and the hash of each file; those that turn out damaged go to ``left_out``."""
    pictures = []
    with ThreadPoolExecutor() as pool:  # Pillow lets go of the interpreter while it decodes
        results = pool.map(lambda file: _picture_or_reason(file.path, form), files)
        for file, result in zip(files, tqdm(results, "images", len(files), delay=PATIENCE), strict=True):
            if isinstance(result, _Unfit):
                left_out[file.path] = str(result)
            else:
                pictures.append(result)
    return pictures


def _picture_or_reason(path: Path, form: _Form) -> tuple[npt.NDArray[np.uint8], bytes] | _Unfit:
    try:
        return _attempt(_picture, path, form)
    except _Unfit as reason:
        return reason


def _picture(path: Path, form: _Form) -> tuple[npt.NDArray[np.uint8], bytes]:
    content = path.read_bytes()
    with _opened(io.BytesIO(content)) as image:
        enough = 2 * max(form.size)  # twice what is needed: the rest of the way down is antialiased
        image.draft(None, (enough, enough))
        upright = ImageOps.exif_transpose(image)
        picture = _in_mode(upright, "L" if form.grey else "RGB")
    if picture.size != form.size:
        picture = ImageOps.fit(picture, form.size, method=Image.Resampling.BICUBIC)
    return np.array(picture), hashlib.blake2b(content, digest_size=8).digest()


def _in_mode(image: Image.Image, mode: str) -> Image.Image:
    if image.mode[0] == "I":
        image = _eight_bits(image)
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        opaque = Image.new("RGBA", image.size, "white")
        opaque.alpha_composite(image.convert("RGBA"))
        image = opaque
    return image.convert(mode)


def _eight_bits(image: Image.Image) -> Image.Image:
    """16-bit grey (in Pillow's modes ``I;16`` and ``I``) as 8 bits; Pillow's own conversion cuts off at 255."""
    levels = np.asarray(image)
    if levels.min() < 0 or levels.max() > 65535:
        raise _Unfit("whole numbers beyond 16 bits: nothing says which value is white")
    return Image.fromarray((levels >> 8).astype(np.uint8))


def _gathered(
    parts: Iterable[str], files: Sequence[_File], pictures: Sequence[tuple[npt.NDArray[np.uint8], bytes]]
) -> dict[str, Part]:
    gathered = {}
    for part in parts:
        own = [(pixels, file.label) for file, (pixels, _) in zip(files, pictures, strict=True) if file.part == part]
        pixels = np.stack([pixels for pixels, _ in own])
        pixels = pixels[:, None] if pixels.ndim == 3 else pixels.transpose(0, 3, 1, 2)
        gathered[part] = Part(np.ascontiguousarray(pixels), np.array([label for _, label in own], dtype=np.int64))
    return gathered
