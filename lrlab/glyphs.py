"""Letters and digits drawn from the fonts that ship with matplotlib: as many labelled pictures as you like, offline.

Each character of each face is drawn once, large, and turned into a *signed distance field*: at every point the distance
to the outline, positive inside the strokes. A picture is that field read through a random affine map, then cut off with
an edge one pixel wide:

    ink(p) = clip((field(A p + b) + w) / pixel + 1/2, 0, 1)

p is a point of the picture; A holds rotation, shear and size, b the shift, and w the weight: a constant added to the
distance makes every stroke thicker or thinner by that much. All lengths are shares of the picture's side.

Source: C. Green, "Improved Alpha-Tested Magnification for Vector Textures and Special Effects", SIGGRAPH courses 2007.
"""

from __future__ import annotations

import hashlib
import json
import os
import string
import tempfile
import warnings
from pathlib import Path

import matplotlib
import numpy as np
import numpy.typing as npt
import PIL
import safetensors.numpy
import torch
from matplotlib.font_manager import get_font
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import distance_transform_edt
from torch import Tensor
from torch.nn import functional as F

CHARACTERS = string.digits + string.ascii_uppercase

# Left out: DejaVu's "Display" cuts and STIX's "NonUni" and "Siz" faces (they have no letters), cmex, cmmi and cmsy
# (symbols stand where letters are expected), LastResort (a placeholder for every character), and the fixed-width faces,
# whose narrow "O" is the "0" of the others.
FACES = (
    *(f"DejaVuSans{cut}" for cut in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"DejaVuSerif{cut}" for cut in ("", "-Bold", "-Italic", "-BoldItalic")),
    *(f"STIXGeneral{cut}" for cut in ("", "Bol", "Italic", "BolIta")),
    *("cmr10", "cmb10", "cmss10", "cmti10"),
)
# Computer Modern keeps TeX's old encoding: at "<" it draws "¡". Its letters and digits stand where they should.
COMPUTER_MODERN = frozenset(string.ascii_letters + string.digits)

MASTER = 128  # side of a master drawing, pixels
HEIGHT = 0.76  # height of a set of characters, from its highest top to its lowest tail
WIDTH = 0.80  # a wider character (W in a bold face) is condensed to this
LOOK_ALIKE = 0.052  # characters nearer than this to each other count as one shape

ROTATION = np.deg2rad(14.0)
SHEAR = 0.18
SIZE = 0.12
SHIFT = 0.07
WEIGHT = (-0.006, 0.020)  # thinner than this, the hairlines of cmr10 break

RECIPE = 1  # raise it when the pictures change, so that no old cache file is taken for a new one


def pictures(count: int, side: int, characters: str, seed: int, folder: Path) -> tuple[npt.NDArray, npt.NDArray]:
    """Labelled pictures of characters, drawn once and then read from a cache.

    Picture i shows character i mod K, so the K classes are balanced; face, size and place are random. The first n
    pictures do not depend on how many follow.

    Args:
        count: number of pictures.
        side: height and width of a picture, pixels.
        characters: the K classes, one character each.
        seed: the same seed gives the same pictures.
        folder: where the cache file lies. If it cannot be written, the pictures are drawn anew each time.

    Returns:
        pixels uint8 [count, 1, side, side], 0 is paper and 255 ink; labels int64 [count].

    Raises:
        ValueError: a character that cannot be drawn, or two that look the same in every face.
    """
    recipe = {"count": count, "side": side, "characters": characters, "seed": seed, "recipe": RECIPE}
    # Another version of either library may draw another outline or another edge.
    recipe |= {"matplotlib": matplotlib.__version__, "pillow": PIL.__version__}
    key = json.dumps(recipe, sort_keys=True)
    path = folder / f"glyphs-{hashlib.sha256(key.encode()).hexdigest()[:16]}.safetensors"
    pixels = _read(path, key)
    if pixels is None:
        pixels = draw(count, side, characters, seed)
        _write(path, key, pixels)
    return pixels, np.arange(count) % len(characters)


def draw(count: int, side: int, characters: str, seed: int) -> npt.NDArray[np.uint8]:
    """Draw the pictures of `pictures`, without a cache: uint8 [count, 1, side, side]."""
    fields = torch.from_numpy(usable_fields(characters))
    chance = torch.from_numpy(np.random.default_rng(seed).random((count, 7), dtype=np.float32))
    face = (chance[:, 0] * len(fields)).long()
    label = torch.arange(count) % len(characters)
    maps = _affine_maps(2 * chance[:, 1:6] - 1)
    weight = WEIGHT[0] + (WEIGHT[1] - WEIGHT[0]) * chance[:, 6]
    # In small pictures a stroke is thinner than a pixel and one reading per pixel would miss it: read finer, average.
    finer = max(1, round(56 / side))
    pixels = torch.empty(count, 1, side, side, dtype=torch.uint8)
    for some in torch.arange(count).split(512):
        field = fields[face[some], label[some]].unsqueeze(1)
        points = F.affine_grid(maps[some], [len(some), 1, finer * side, finer * side], align_corners=False)
        distance = F.grid_sample(field, points, padding_mode="border", align_corners=False)
        ink = ((distance + weight[some].view(-1, 1, 1, 1)) * finer * side + 0.5).clamp(0, 1)
        pixels[some] = F.avg_pool2d(ink, finer).mul(255).round().byte()
    return pixels.numpy()


def _affine_maps(chance: Tensor) -> Tensor:
    """Maps from a point of the picture to a point of the master, [N, 2, 3], from numbers in [-1, 1], [N, 5]."""
    turn, shear, size = ROTATION * chance[:, 0], SHEAR * chance[:, 1], 1 + SIZE * chance[:, 2]
    cos, sin = turn.cos() / size, turn.sin() / size
    rows = [torch.stack([cos, sin + shear * cos], 1), torch.stack([-sin, cos - shear * sin], 1)]
    linear = torch.stack(rows, 1)
    # The coordinates of affine_grid run from -1 to 1: the side is 2.
    shift = 2 * SHIFT * chance[:, 3:5]
    return torch.cat([linear, -linear @ shift.unsqueeze(2)], 2)


def usable_fields(characters: str) -> npt.NDArray[np.float32]:
    """Signed distance fields of the faces in which the characters exist and can be told apart.

    "l" and "I" are one bar in cmss10, "1" and "I" nearly one in STIX's italic: pictures of such a face would have wrong
    labels. Two characters count as alike when their Hausdorff distance (the longest way from the ink of either to the
    ink of the other) is below LOOK_ALIKE.

    Returns:
        float32 [faces, K, MASTER, MASTER], in shares of the side, positive inside the ink.
    """
    faces = [face for face in FACES if _has_all(face, characters)]
    if not faces:
        unknown = [c for c in characters if not any(_has_all(face, c) for face in FACES)]
        raise ValueError(
            f"characters={characters!r}: none of matplotlib's faces has all of them"
            + (f"; {unknown} are in none" if unknown else "; take fewer alphabets at once")
        )
    usable = []
    for face in faces:
        ink = draw_masters(face, characters)
        fields = np.stack([distance_transform_edt(i) - distance_transform_edt(~i) for i in ink]) / MASTER
        nearest, pair = _most_alike(ink, fields)
        if nearest >= LOOK_ALIKE:
            usable.append(fields.astype(np.float32))
    if not usable:
        one, other = (characters[i] for i in pair)
        raise ValueError(
            f"characters={characters!r}: no face tells all of them apart ({one!r} and {other!r} look alike in {face});"
            " leave one of the look-alikes out"
        )
    return np.stack(usable)


def draw_masters(face: str, characters: str) -> npt.NDArray[np.bool_]:
    """Draw the characters of a face large, all at one size and on one baseline: ink, bool [K, MASTER, MASTER]."""
    font = ImageFont.truetype(str(_path(face)), size=MASTER, layout_engine=ImageFont.Layout.BASIC)
    boxes = np.array([font.getbbox(character, anchor="ls") for character in characters])
    left, top, right, bottom = boxes.T
    if (blank := (top == bottom) | (left == right)).any():
        raise ValueError(f"characters={characters!r}: {characters[blank.argmax()]!r} draws nothing")
    # One size for the whole set, or "o" would grow to "O".
    size = int(MASTER * MASTER * min(HEIGHT / (bottom.max() - top.min()), 1.5 * WIDTH / (right - left).max()))
    font = font.font_variant(size=size)
    baseline = MASTER / 2 - size / MASTER * (top.min() + bottom.max()) / 2
    return np.stack([_draw_master(font, character, baseline) for character in characters])


def _draw_master(font: ImageFont.FreeTypeFont, character: str, baseline: float) -> npt.NDArray[np.bool_]:
    left, _, right, _ = font.getbbox(character, anchor="ls")
    canvas = Image.new("L", (2 * MASTER, MASTER))
    ImageDraw.Draw(canvas).text((MASTER - (left + right) / 2, baseline), character, fill=255, font=font, anchor="ls")
    width = round(2 * MASTER * min(1.0, WIDTH * MASTER / (right - left)))
    canvas = canvas.resize((width, MASTER), Image.Resampling.BILINEAR)
    margin = (width - MASTER) // 2
    return np.asarray(canvas.crop((margin, 0, margin + MASTER, MASTER))) > 127


def _most_alike(ink: npt.NDArray[np.bool_], fields: npt.NDArray) -> tuple[float, tuple[int, int]]:
    """The smallest Hausdorff distance between two of the characters, and which two."""
    longest_way = np.stack([-fields[:, i].min(axis=1) for i in ink])
    distance = np.maximum(longest_way, longest_way.T)
    np.fill_diagonal(distance, np.inf)
    one, other = divmod(int(distance.argmin()), len(ink))
    return float(distance[one, other]), (one, other)


def _path(face: str) -> Path:
    return Path(matplotlib.get_data_path(), "fonts", "ttf", f"{face}.ttf")


def _has_all(face: str, characters: str) -> bool:
    if face.startswith("cm"):
        return set(characters) <= COMPUTER_MODERN
    return set(map(ord, characters)) <= get_font(str(_path(face))).get_charmap().keys()


def _hash(key: str, pixels: npt.NDArray) -> str:
    return hashlib.sha256(f"{key} {pixels.dtype} {pixels.shape} ".encode() + pixels.tobytes()).hexdigest()


def _read(path: Path, key: str) -> npt.NDArray[np.uint8] | None:
    """The cached pictures; None if there are none, or if they are not what was written."""
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            pixels = file.get_tensor("pixels")
            if _hash(key, pixels) == file.metadata()["sha256"]:
                return pixels
    except FileNotFoundError:
        return None
    except Exception:  # a damaged header can say anything: another type, a wrong length, no metadata
        pass
    if path.is_file():
        warnings.warn(f"the cached pictures in {path} are damaged: drawing them again", RuntimeWarning, stacklevel=5)
    return None


def _write(path: Path, key: str, pixels: npt.NDArray[np.uint8]) -> None:
    """Write beside, then rename: another process sees the whole file or none. A read-only folder is no error."""
    content = safetensors.numpy.save({"pixels": pixels}, metadata={"sha256": _hash(key, pixels)})
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
