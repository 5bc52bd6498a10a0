"""The questions of workbook 10: flip, shift, what a digit becomes, whose statistics, mixup, CutMix, asking often.

Each section is one question: how an input is drawn, the reference, three other right ways to write it, the question.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lrlab import mixing
from lrlab.augmentation import HorizontalFlip, Pipeline, Translate
from lrlab.workbook.given import vector
from lrlab.workbook.questions import Mistake, Property, Question, Random

VERSION = 1


def pictures(*rows: tuple[float, ...]) -> Tensor:
    """One picture with one channel, [1, 1, H, W], of its rows."""
    return torch.tensor(rows, dtype=torch.float64)[None, None]


def whole(*entries: int) -> Tensor:
    return torch.tensor(entries, dtype=torch.int64)


def draw_pictures(random: Random, count: int, height: int, width: int) -> Tensor:
    """Pixels above 0, so that what is black has come from beyond the edge."""
    return random.tensor(count, random.integer(1, 2), height, width, low=0.1, high=1)


# 1 · Left and right ---------------------------------------------------------------------------------------------------


def draw_flip(random: Random) -> dict[str, Any]:
    count, width = 1 + random.size, random.integer(2, 4)
    return {
        "x": draw_pictures(random, count, 2, width),
        "column": whole(*[random.integer(0, width - 1) for _ in range(count)]),
        "flipped": torch.tensor([random.choice((True, False)) for _ in range(count)]),
    }


def flip(x: Tensor, column: Tensor, flipped: Tensor) -> tuple[Tensor, Tensor]:
    pixels = Pipeline((HorizontalFlip(),)).apply(x, [{"flipped": flipped.double().numpy()}])
    return pixels, torch.where(flipped, x.shape[-1] - 1 - column, column)


def flip_by_where(x, column, flipped):
    mirrored = torch.where(flipped[:, None, None, None], x.flip(3), x)
    return mirrored, torch.where(flipped, x.size(3) - column - 1, column)


def flip_by_index(x, column, flipped):
    x, column = x.clone(), column.clone()
    x[flipped] = x[flipped].flip(-1)
    column[flipped] = x.shape[-1] - 1 - column[flipped]
    return x, column


def flip_one_by_one(x, column, flipped):
    backwards = list(range(x.shape[-1]))[::-1]
    shown = [picture[..., backwards] if turned else picture for picture, turned in zip(x, flipped, strict=True)]
    places = [backwards[c] if turned else int(c) for c, turned in zip(column, flipped, strict=True)]
    return torch.stack(shown), torch.tensor(places)


def _flip(
    pixels: Callable[[Tensor], Tensor], place: Callable[[Tensor, int], Tensor]
) -> Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Like `flip`, with something else that is done to the pixels, or to the column in a picture of that width."""

    def function(x: Tensor, column: Tensor, flipped: Tensor) -> tuple[Tensor, Tensor]:
        chosen = flipped[:, None, None, None]
        return torch.where(chosen, pixels(x), x), torch.where(flipped, place(column, x.shape[-1]), column)

    return function


FLIP = Question(
    name="flip",
    signature="flip(x, column, flipped) -> x, column",
    draw=draw_flip,
    answer=flip,
    examples=(
        {"x": pictures((1, 2, 3), (4, 5, 6)), "column": whole(0), "flipped": torch.tensor([True])},
        {"x": pictures((1, 2, 3), (4, 5, 6)), "column": whole(0), "flipped": torch.tensor([False])},
    ),
    mistakes=(
        Mistake(
            "one beside it",
            _flip(lambda x: x.flip(-1), lambda column, width: width - column),
            "Your eye lands one pixel too far to the right. Columns count from 0: the last one is W − 1, and it must "
            "become 0.",
        ),
        Mistake(
            "eye left behind",
            _flip(lambda x: x.flip(-1), lambda column, width: column),
            "The picture is mirrored, and the eye is still where it was. What is marked in a picture moves with it.",
        ),
        Mistake(
            "upside down",
            _flip(lambda x: x.flip(-2), lambda column, width: width - 1 - column),
            "You turned the rows round: that is a vertical flip. Left and right are the last dimension.",
        ),
        Mistake(
            "turned by 180 degrees",
            _flip(lambda x: x.flip(-1, -2), lambda column, width: width - 1 - column),
            "You turned both rows and columns round, which is a turn by 180 degrees. A mirror image has its rows in "
            "place.",
        ),
        Mistake(
            "all flipped",
            lambda x, column, flipped: flip(x, column, torch.ones_like(flipped)),
            "You flipped every picture. Each has its own entry in flipped.",
        ),
        Mistake(
            "the others flipped",
            lambda x, column, flipped: flip(x, column, ~flipped),
            "You flipped just those whose entry is False.",
        ),
        Mistake(
            "every eye moved",
            lambda x, column, flipped: (flip(x, column, flipped)[0], x.shape[-1] - 1 - column),
            "You moved the eye of every picture. Where a picture stays as it is, its eye does, too.",
        ),
    ),
    rights=(flip_by_where, flip_by_index, flip_one_by_one),
    hints=(
        "Which of the four dimensions goes from left to right? And which column becomes column 0?",
        "x.flip(-1) mirrors all of them; torch.where with flipped[:, None, None, None] chooses. The last column is "
        "W − 1.",
        "The eye goes from column c to W − 1 − c, where flipped is True: torch.where once more.",
    ),
)


# 2 · A shift ----------------------------------------------------------------------------------------------------------


def draw_shift(random: Random) -> dict[str, Any]:
    count, height, width = random.size, random.integer(2, 3), random.integer(3, 4)
    return {
        "x": draw_pictures(random, count, height, width),
        "down": whole(*[random.integer(-2, 2) for _ in range(count)]),
        "right": whole(*[random.integer(-2, 2) for _ in range(count)]),
    }


def shift(x: Tensor, down: Tensor, right: Tensor) -> Tensor:
    drawn = {"down": down.double().numpy(), "right": right.double().numpy()}
    return Pipeline((Translate(),)).apply(x, [drawn])


def shift_by_padding(x, down, right):
    height, width = x.shape[-2:]
    most = max(height, width, int(down.abs().max()), int(right.abs().max()))
    padded = F.pad(x, (most, most, most, most))
    shifted = []
    for picture, d, r in zip(padded, down.tolist(), right.tolist(), strict=True):
        shifted.append(picture[:, most - d : most - d + height, most - r : most - r + width])
    return torch.stack(shifted)


def shift_by_looking_up(x, down, right):
    height, width = x.shape[-2:]
    rows = torch.arange(height) - down[:, None]
    columns = torch.arange(width) - right[:, None]
    inside = ((rows >= 0) & (rows < height))[:, None, :, None] & ((columns >= 0) & (columns < width))[:, None, None]
    number = torch.arange(len(x))[:, None, None]
    looked = x.movedim(1, -1)[number, rows.clamp(0, height - 1)[:, :, None], columns.clamp(0, width - 1)[:, None]]
    return torch.where(inside, looked.movedim(-1, 1), 0.0)


def shift_by_matrices(x, down, right):
    out = torch.empty_like(x)
    for n in range(len(x)):
        rows = torch.from_numpy(np.eye(x.shape[2], k=-int(down[n])))
        columns = torch.from_numpy(np.eye(x.shape[3], k=int(right[n])))
        out[n] = rows @ x[n] @ columns
    return out


def shift_by_rolling(x, down, right):
    out = torch.zeros_like(x)
    height, width = x.shape[-2:]
    for n, (d, r) in enumerate(zip(down.tolist(), right.tolist(), strict=True)):
        rolled = torch.roll(x[n], (d, r), dims=(1, 2))
        rows, columns = slice(max(d, 0), height + min(d, 0)), slice(max(r, 0), width + min(r, 0))
        out[n, :, rows, columns] = rolled[:, rows, columns]
    return out


def _each_rolled(x: Tensor, down: Tensor, right: Tensor) -> Tensor:
    offsets = zip(x, down.tolist(), right.tolist(), strict=True)
    return torch.stack([torch.roll(picture, (d, r), dims=(1, 2)) for picture, d, r in offsets])


def _edge_repeated(x: Tensor, down: Tensor, right: Tensor) -> Tensor:
    padded = F.pad(x, (2, 2, 2, 2), mode="replicate")
    return shift(padded, down, right)[..., 2:-2, 2:-2]


SHIFT = Question(
    name="shift",
    signature="shift(x, down, right) -> x",
    draw=draw_shift,
    answer=shift,
    examples=(
        {"x": pictures((1, 2, 3), (4, 5, 6)), "down": whole(0), "right": whole(1)},
        {"x": pictures((1, 2, 3), (4, 5, 6)), "down": whole(1), "right": whole(-1)},
        {"x": pictures((1, 2, 3), (4, 5, 6)), "down": whole(0), "right": whole(-2)},
        {"x": pictures((1, 2, 3), (4, 5, 6)), "down": whole(-1), "right": whole(0)},
        {"x": pictures((1, 2, 3), (4, 5, 6)).repeat(2, 1, 1, 1), "down": whole(0, -1), "right": whole(2, 0)},
    ),
    mistakes=(
        Mistake(
            "comes in on the other side",
            _each_rolled,
            "What leaves your picture on one side comes in on the other, as torch.roll does it. A camera that moves "
            "does not see it again: black comes in.",
        ),
        Mistake(
            "the other direction",
            lambda x, down, right: shift(x, -down, -right),
            "You moved to the other side. A pixel of the new picture comes from where it was before: at −right, −down.",
        ),
        Mistake(
            "down and right exchanged",
            lambda x, down, right: shift(x, right, down),
            "You exchanged down and right. Rows are dimension 2, from the top down; columns are dimension 3.",
        ),
        Mistake(
            "up for down",
            lambda x, down, right: shift(x, -down, right),
            "Your rows go up. Row 0 is the topmost: down is where the numbers of the rows grow.",
        ),
        Mistake(
            "the edge repeated",
            _edge_repeated,
            "You filled up with the pixels of the edge. That is a padding too, but black is asked: 0.",
        ),
        Mistake(
            "one shift for the batch",
            lambda x, down, right: shift(x, down[:1].expand_as(down), right[:1].expand_as(right)),
            "You moved all pictures as the first one. Each has an entry of its own in down and in right.",
        ),
        Mistake(
            "right only",
            lambda x, down, right: shift(x, torch.zeros_like(down), right),
            "Your pictures move to the right and left only. They go down, too.",
        ),
        Mistake(
            "not moved",
            lambda x, down, right: x,
            "Your pictures come back as they were.",
        ),
    ),
    rights=(shift_by_padding, shift_by_looking_up, shift_by_matrices, shift_by_rolling),
    hints=(
        "Put a black border round the picture (torch.nn.functional.pad), and cut a piece of the old size out of it.",
        "Moved to the right by 1 means: the window that is cut out stands 1 further to the left.",
        "With a border of n, for each picture the rows from n − down and the columns from n − right on, as many as "
        "before; n has to be as large as the largest shift. torch.stack makes a batch of them.",
    ),
)


# 3 · What does a 6 become? --------------------------------------------------------------------------------------------

SEGMENTS = {
    "0": "abcdef",
    "1": "bc",
    "2": "abdeg",
    "3": "abcdg",
    "4": "bcfg",
    "5": "acdfg",
    "6": "acdefg",
    "7": "abc",
    "8": "abcdefg",
    "9": "abcdfg",
}
IN_PLACE = {segment: segment for segment in "abcdefg"}
MIRROR = IN_PLACE | {"b": "f", "f": "b", "c": "e", "e": "c"}
TURN = IN_PLACE | {"a": "d", "d": "a", "b": "e", "e": "b", "c": "f", "f": "c"}
UPSIDE_DOWN = IN_PLACE | {"a": "d", "d": "a", "b": "c", "c": "b", "f": "e", "e": "f"}

NO_CLASS = "?"
Shapes = dict[str, str]


def draw_display(random: Random) -> dict[str, Any]:
    chosen = sorted({random.choice("0123456789") for _ in range(2 + random.size)})
    return {
        "shapes": {digit: SEGMENTS[digit] for digit in chosen},
        "moves": dict(random.choice((MIRROR, TURN, UPSIDE_DOWN, TURN))),
    }


def becomes(shapes: Shapes, moves: Shapes) -> Shapes:
    labels = {frozenset(lit): digit for digit, lit in shapes.items()}
    return {digit: labels.get(frozenset(moves[segment] for segment in lit), NO_CLASS) for digit, lit in shapes.items()}


def becomes_in_loops(shapes, moves):
    result = dict.fromkeys(shapes, NO_CLASS)
    for digit, lit in shapes.items():
        for other in shapes:
            if sorted(moves[segment] for segment in lit) == sorted(shapes[other]):
                result[digit] = other
    return result


def becomes_by_sorted_words(shapes, moves):
    def word(segments):
        return "".join(sorted(segments))

    known = {word(lit): digit for digit, lit in shapes.items()}
    moved = {digit: word(map(moves.get, lit)) for digit, lit in shapes.items()}
    return {digit: known[lit] if lit in known else NO_CLASS for digit, lit in moved.items()}  # noqa: SIM401


def becomes_by_numbers(shapes, moves):
    def code(segments):
        return sum(1 << (ord(segment) - ord("a")) for segment in segments)

    codes = [(code(lit), digit) for digit, lit in shapes.items()]
    seen = ((digit, code(moves[s] for s in lit)) for digit, lit in shapes.items())
    return {digit: next((other for number, other in codes if number == found), NO_CLASS) for digit, found in seen}


def _fits(shapes: Shapes, moves: Shapes, fits: Callable[[set[str], set[str]], bool]) -> Shapes:
    """The first class that fits what a picture has become."""
    moved = {digit: {moves[segment] for segment in lit} for digit, lit in shapes.items()}
    return {
        digit: next((other for other, lit in shapes.items() if fits(now, set(lit))), NO_CLASS)
        for digit, now in moved.items()
    }


BECOMES = Question(
    name="becomes",
    signature="becomes(shapes, moves) -> labels",
    draw=draw_display,
    answer=becomes,
    examples=(
        {"shapes": {"6": SEGMENTS["6"], "7": SEGMENTS["7"], "9": SEGMENTS["9"]}, "moves": TURN},
        {"shapes": {"2": SEGMENTS["2"], "5": SEGMENTS["5"], "8": SEGMENTS["8"]}, "moves": MIRROR},
        {"shapes": {"3": SEGMENTS["3"], "6": SEGMENTS["6"]}, "moves": UPSIDE_DOWN},
    ),
    mistakes=(
        Mistake(
            "letters in their order",
            lambda shapes, moves: {
                digit: next((o for o in shapes if shapes[o] == "".join(moves[s] for s in lit)), NO_CLASS)
                for digit, lit in shapes.items()
            },
            "You compared the letters in the order in which they come out. Which segment is named first means "
            "nothing: compare sets, or sort.",
        ),
        Mistake(
            "itself or nothing",
            lambda shapes, moves: {
                digit: digit if {moves[s] for s in lit} == set(lit) else NO_CLASS for digit, lit in shapes.items()
            },
            "You asked only whether a picture has stayed the same. The dangerous ones have become another class: look "
            "for them.",
        ),
        Mistake(
            "no class left out",
            lambda shapes, moves: {digit: now for digit, now in becomes(shapes, moves).items() if now != NO_CLASS},
            "You left out those that look like no class. They belong into the dictionary as well, with a question "
            "mark.",
        ),
        Mistake(
            "None for the question mark",
            lambda shapes, moves: {
                digit: None if now == NO_CLASS else now for digit, now in becomes(shapes, moves).items()
            },
            'All right but for one thing: what looks like no class is asked to be "?", and you have None there.',
        ),
        Mistake(
            "others only",
            lambda shapes, moves: {
                digit: NO_CLASS if now == digit else now for digit, now in becomes(shapes, moves).items()
            },
            "You looked among the other classes only. A picture that becomes itself again has kept its label.",
        ),
        Mistake(
            "the label it had",
            lambda shapes, moves: {digit: digit for digit in shapes},
            "You gave every picture the label it had. That is what augmentation does; asked is whether it is true.",
        ),
        Mistake(
            "as many segments",
            lambda shapes, moves: _fits(shapes, moves, lambda now, lit: len(now) == len(lit)),
            "You counted segments. A 6 and a 9 have equally many, and so has a 0: it matters which ones.",
        ),
        Mistake(
            "a part is enough",
            lambda shapes, moves: _fits(shapes, moves, lambda now, lit: now <= lit),
            "You took the first class that has all the lit segments, and perhaps more. All must be the same.",
        ),
    ),
    rights=(becomes_in_loops, becomes_by_sorted_words, becomes_by_numbers),
    hints=(
        "First move the segments of one digit, letter by letter. Then look for a class that has just these lit.",
        "{moves[segment] for segment in lit} is the set of lit segments afterwards. Two sets are equal whatever the "
        "order.",
        "Make a dictionary from frozenset(lit) to the digit. Its .get(..., '?') gives a question mark where there is "
        "no such class.",
    ),
)


# 4 · Whose mean? ------------------------------------------------------------------------------------------------------


def draw_splits(random: Random) -> dict[str, Any]:
    channels, width = random.integer(2, 3), random.integer(2, 3)
    train, new = (random.tensor(1 + count, channels, 2, width, low=0, high=1) for count in (random.size, 0))
    return {"train": train, "new": new}


def standardise(train: Tensor, new: Tensor) -> tuple[Tensor, Tensor]:
    mean, scale = train.mean((0, 2, 3), keepdim=True), train.std((0, 2, 3), correction=0, keepdim=True)
    return (train - mean) / scale, (new - mean) / scale


def standardise_by_view(train, new):
    channels = train.movedim(1, 0).flatten(1)
    mean = channels.mean(1).view(1, -1, 1, 1)
    scale = (channels**2).mean(1).view(1, -1, 1, 1).sub(mean**2).sqrt()
    return (train - mean) / scale, (new - mean) / scale


def standardise_in_numpy(train, new):
    pixels = train.numpy()
    mean, scale = (f(pixels, axis=(0, 2, 3), keepdims=True) for f in (np.mean, np.std))
    return tuple(torch.from_numpy((part.numpy() - mean) / scale) for part in (train, new))


def standardise_channel_by_channel(train, new):
    train, new = train.clone(), new.clone()
    for c in range(train.shape[1]):
        variance, mean = torch.var_mean(train[:, c], correction=0)
        for part in (train, new):
            part[:, c] = (part[:, c] - mean) / variance.sqrt()
    return train, new


def _scaled(x: Tensor, by: Tensor, dims: tuple[int, ...] = (0, 2, 3), correction: int = 0) -> Tensor:
    """x standardised with the statistics of `by`, over these dimensions."""
    return (x - by.mean(dims, keepdim=True)) / by.std(dims, correction=correction, keepdim=True)


STANDARDISE = Question(
    name="standardise",
    signature="standardise(train, new) -> train, new",
    draw=draw_splits,
    answer=standardise,
    examples=(
        {"train": pictures((1, 3)), "new": pictures((2, 4))},
        {"train": torch.cat([pictures((1, 3)), pictures((0, 8))], 1), "new": torch.cat([pictures((2, 4))] * 2, 1)},
    ),
    mistakes=(
        Mistake(
            "each by its own",
            lambda train, new: (_scaled(train, train), _scaled(new, new)),
            "You standardised the new pictures with their own statistics. One bright picture among them would change "
            "all the others; the network knows the scale of the training pictures only.",
        ),
        Mistake(
            "both together",
            lambda train, new: tuple(_scaled(part, torch.cat([train, new])) for part in (train, new)),
            "You took the statistics of both together. Then the pictures you test on have had a say in training: "
            "take those of train alone.",
        ),
        Mistake(
            "all channels alike",
            lambda train, new: tuple(_scaled(part, train, (0, 1, 2, 3)) for part in (train, new)),
            "You took one mean over all channels. Each channel has its own: average over dimensions 0, 2 and 3.",
        ),
        Mistake(
            "one mean for everything",
            lambda train, new: tuple((part - train.mean()) / train.std() for part in (train, new)),
            "You took one mean and one deviation for all channels, and torch's std divides by one less than the count. "
            "Each channel has its own, over dimensions 0, 2 and 3, with correction=0.",
        ),
        Mistake(
            "N − 1",
            lambda train, new: tuple(_scaled(part, train, correction=1) for part in (train, new)),
            "torch's std divides by one less than the count, unless you tell it correction=0.",
        ),
        Mistake(
            "variance",
            lambda train, new: tuple(
                (part - train.mean((0, 2, 3), keepdim=True)) / train.var((0, 2, 3), correction=0, keepdim=True)
                for part in (train, new)
            ),
            "You divided by the variance. The deviation is its root, and has the unit of the pixels.",
        ),
        Mistake(
            "training left as it is",
            lambda train, new: (train, _scaled(new, train)),
            "You standardised the new pictures only. The network must be trained on what it will see.",
        ),
        Mistake(
            "not centred",
            lambda train, new: tuple(part / train.std((0, 2, 3), correction=0, keepdim=True) for part in (train, new)),
            "You divided, and did not take off the mean.",
        ),
        Mistake(
            "squeezed between 0 and 1",
            lambda train, new: tuple(
                (part - train.amin((0, 2, 3), keepdim=True))
                / (train.amax((0, 2, 3), keepdim=True) - train.amin((0, 2, 3), keepdim=True))
                for part in (train, new)
            ),
            "You brought the range to 0 and 1. Asked are the mean 0 and the deviation 1.",
        ),
    ),
    properties=(
        Property(
            "each channel of the training pictures has mean 0 and mean square 1",
            lambda value, given: bool(
                (value[0].mean((0, 2, 3)).abs() < 1e-6).all()
                and (((value[0] ** 2).mean((0, 2, 3)) - 1).abs() < 1e-6).all()
            ),
        ),
    ),
    rights=(standardise_by_view, standardise_in_numpy, standardise_channel_by_channel),
    hints=(
        "Two numbers for each channel. From which of the two tensors?",
        "train.mean((0, 2, 3), keepdim=True) has the shape [1, C, 1, 1], which fits both. And the deviation?",
        "train.std((0, 2, 3), correction=0, keepdim=True). Take off the one, divide by the other, in train and in new.",
    ),
)


# 5 · Mixup ------------------------------------------------------------------------------------------------------------


def draw_mixup(random: Random) -> dict[str, Any]:
    count, classes = 2 + random.size, random.integer(2, 4)
    return {
        "x": random.tensor(count, 1, 1, 2, low=0, high=1),
        "y": whole(*[random.integer(0, classes - 1) for _ in range(count)]),
        "lam": random.tensor(count, low=0.05, high=0.95),
        "partner": whole(*_order(random, count)),
        "classes": classes,
    }


def _order(random: Random, count: int) -> list[int]:
    """A random order of so many."""
    left = list(range(count))
    return [left.pop(random.integer(0, len(left) - 1)) for _ in range(count)]


def mixup(x: Tensor, y: Tensor, lam: Tensor, partner: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    lam = torch.maximum(lam, 1 - lam)
    soft = mixing.soft_labels(y, classes, x.dtype)
    return mixing.mix(x, x[partner], lam), mixing.mix(soft, soft[partner], lam)


def mixup_by_formula(x, y, lam, partner, classes):
    lam = torch.where(lam < 0.5, 1 - lam, lam)
    shares, first = lam[:, None], F.one_hot(y, classes)
    pixels = lam[:, None, None, None]
    return pixels * x + (1 - pixels) * x[partner], shares * first + (1 - shares) * first[partner]


def mixup_one_by_one(x, y, lam, partner, classes):
    mixed, labels = torch.empty_like(x), torch.zeros(len(x), classes, dtype=x.dtype)
    for i, (share, j) in enumerate(zip(lam.tolist(), partner.tolist(), strict=True)):
        share = max(share, 1 - share)
        mixed[i] = share * x[i] + (1 - share) * x[j]
        labels[i, y[i]] += share
        labels[i, y[j]] += 1 - share
    return mixed, labels


def mixup_by_a_matrix(x, y, lam, partner, classes):
    share = 0.5 + (lam - 0.5).abs()
    shares = torch.diag(share)
    shares[torch.arange(len(x)), partner] += 1 - share
    return torch.einsum("ij,jchw->ichw", shares, x), shares @ torch.eye(classes, dtype=x.dtype)[y]


def _mixup(x: Tensor, y: Tensor, partner: Tensor, classes: int, lam_x: Tensor, lam_y: Tensor) -> tuple[Tensor, Tensor]:
    """Mixed with other shares."""
    soft = mixing.soft_labels(y, classes, x.dtype)
    return mixing.mix(x, x[partner], lam_x), mixing.mix(soft, soft[partner], lam_y)


def _larger(lam: Tensor) -> Tensor:
    return torch.maximum(lam, 1 - lam)


MIXUP = Question(
    name="mixup",
    signature="mixup(x, y, lam, partner, classes) -> x, y",
    draw=draw_mixup,
    answer=mixup,
    examples=(
        {
            "x": torch.cat([pictures((1, 0)), pictures((0, 1))]),
            "y": whole(0, 1),
            "lam": vector(0.75, 0.75),
            "partner": whole(1, 0),
            "classes": 2,
        },
        {
            "x": torch.cat([pictures((1, 0)), pictures((0, 1)), pictures((1, 1))]),
            "y": whole(0, 2, 2),
            "lam": vector(0.25, 0.75, 0.5),
            "partner": whole(1, 2, 0),
            "classes": 3,
        },
    ),
    mistakes=(
        Mistake(
            "without the larger share",
            lambda x, y, lam, partner, classes: _mixup(x, y, partner, classes, lam, lam),
            "You mixed with λ as it is, as the paper does. Here the picture itself shall have the larger share: λ or "
            "1 − λ, whichever is more.",
        ),
        Mistake(
            "the smaller share",
            lambda x, y, lam, partner, classes: _mixup(x, y, partner, classes, 1 - _larger(lam), 1 - _larger(lam)),
            "Your picture has the smaller share, and its partner the larger one.",
        ),
        Mistake(
            "hard labels",
            lambda x, y, lam, partner, classes: (
                _mixup(x, y, partner, classes, _larger(lam), _larger(lam))[0],
                mixing.soft_labels(y, classes, x.dtype),
            ),
            "You mixed the pictures and left the labels hard. The label has to say how much of each class is there.",
        ),
        Mistake(
            "larger for the pictures only",
            lambda x, y, lam, partner, classes: _mixup(x, y, partner, classes, _larger(lam), lam),
            "You took the larger share for the pictures and λ as it was for the labels. Both need the same one.",
        ),
        Mistake(
            "labels the other way round",
            lambda x, y, lam, partner, classes: _mixup(x, y, partner, classes, _larger(lam), 1 - _larger(lam)),
            "Your labels give λ to the partner and 1 − λ to the picture itself; in the picture it is the other way "
            "round.",
        ),
        Mistake(
            "one λ for all",
            lambda x, y, lam, partner, classes: _mixup(
                x, y, partner, classes, _larger(lam)[:1].expand_as(lam), _larger(lam)[:1].expand_as(lam)
            ),
            "You took the first λ for the whole batch. Each picture has its own.",
        ),
        Mistake(
            "half and half",
            lambda x, y, lam, partner, classes: _mixup(
                x, y, partner, classes, torch.full_like(lam, 0.5), torch.full_like(lam, 0.5)
            ),
            "You mixed half and half. λ says how much of each.",
        ),
        Mistake(
            "partner's λ",
            lambda x, y, lam, partner, classes: _mixup(
                x, y, partner, classes, _larger(lam)[partner], _larger(lam)[partner]
            ),
            "You took the λ of the partner. Picture i is mixed with lam[i].",
        ),
    ),
    properties=(
        Property(
            "each picture's own class has at least one half of its label",
            lambda value, given: (
                value[1].dim() > 2 or bool((value[1].gather(1, given["y"][:, None]) >= 0.5 - 1e-6).all())
            ),
        ),
    ),
    rights=(mixup_by_formula, mixup_one_by_one, mixup_by_a_matrix),
    hints=(
        "Three steps: the larger of λ and 1 − λ; the pictures; and the same with the labels as rows of ones and zeros.",
        "torch.maximum(lam, 1 - lam). F.one_hot(y, classes) makes the rows; lam[:, None, None, None] fits pictures, "
        "lam[:, None] fits rows.",
        "Both are λ times the thing itself plus (1 − λ) times the thing at [partner].",
    ),
)


# 6 · CutMix -----------------------------------------------------------------------------------------------------------


def draw_cutmix(random: Random) -> dict[str, Any]:
    count, height, width = 2, random.integer(4, 5 + random.size), random.integer(4, 5 + random.size)
    x = draw_pictures(random, count, height, width)
    return {
        "x": x,
        "other": random.tensor(*x.shape, low=0.1, high=1),
        "lam": round(random.uniform(0.05, 0.8) + 0.0004, 4),  # no side is a whole number but for rounding
        "row": random.integer(0, height - 1),
        "column": random.integer(0, width - 1),
    }


def cutmix(x: Tensor, other: Tensor, lam: float, row: int, column: int) -> tuple[Tensor, float]:
    size = (x.shape[-2], x.shape[-1])
    cut = mixing.box(lam, (row, column), size)
    return mixing.paste(x, other, cut), mixing.outside(cut, size)


def cutmix_by_mask(x, other, lam, row, column):
    height, width = x.shape[-2:]
    tall, wide = (int(side * math.sqrt(1 - lam) / 2) for side in (height, width))
    rows, columns = torch.arange(height), torch.arange(width)
    inside = ((rows >= row - tall) & (rows < row + tall))[:, None] & (
        (columns >= column - wide) & (columns < column + wide)
    )
    return torch.where(inside, other, x), 1 - float(inside.double().mean())


def cutmix_by_slices(x, other, lam, row, column):
    height, width = x.shape[2], x.shape[3]
    ratio = (1 - lam) ** 0.5
    half_height, half_width = int(0.5 * height * ratio), int(0.5 * width * ratio)
    rows = slice(max(row - half_height, 0), min(row + half_height, height))
    columns = slice(max(column - half_width, 0), min(column + half_width, width))
    out = x.clone()
    out[:, :, rows, columns] = other[:, :, rows, columns]
    area = (rows.stop - rows.start) * (columns.stop - columns.start)
    return out, 1 - area / (height * width)


def cutmix_pixel_by_pixel(x, other, lam, row, column):
    out, kept = x.clone(), 0
    half = [int(0.5 * side * np.sqrt(1 - lam)) for side in x.shape[2:]]
    for i in range(x.shape[2]):
        for j in range(x.shape[3]):
            if -half[0] <= i - row < half[0] and -half[1] <= j - column < half[1]:
                out[..., i, j] = other[..., i, j]
            else:
                kept += 1
    return out, kept / (x.shape[2] * x.shape[3])


Cut = tuple[int, int, int, int]


def _halves(x: Tensor, ratio: float) -> list[int]:
    return [int(0.5 * side * ratio) for side in x.shape[-2:]]


def _clipped(x: Tensor, row: int, column: int, halves: Sequence[int]) -> Cut:
    height, width = x.shape[-2:]
    tall, wide = halves
    return max(row - tall, 0), max(column - wide, 0), min(row + tall, height), min(column + wide, width)


def _pasted(x: Tensor, other: Tensor, cut: Cut) -> tuple[Tensor, float]:
    return mixing.paste(x, other, cut), mixing.outside(cut, (x.shape[-2], x.shape[-1]))


def _whole_area(x: Tensor, other: Tensor, lam: float, row: int, column: int) -> float:
    """The share outside of a box that is not cut off at the border."""
    tall, wide = _halves(x, math.sqrt(1 - lam))
    return 1 - 4 * tall * wide / (x.shape[-2] * x.shape[-1])


def _naive(x: Tensor, other: Tensor, lam: float, row: int, column: int) -> tuple[Tensor, float]:
    tall, wide = _halves(x, math.sqrt(1 - lam))
    cut = (row - tall, column - wide, row + tall, column + wide)
    return mixing.paste(x, other, cut), _whole_area(x, other, lam, row, column)


def _open_at_the_end(x: Tensor, other: Tensor, lam: float, row: int, column: int) -> tuple[Tensor, float]:
    halves = _halves(x, math.sqrt(1 - lam))
    tall, wide = (at + half - max(at - half, 0) for at, half in zip((row, column), halves, strict=True))
    return cutmix(x, other, lam, row, column)[0], 1 - tall * wide / (x.shape[-2] * x.shape[-1])


def _pushed_inside(x: Tensor, row: int, column: int, halves: Sequence[int]) -> Cut:
    tops = [
        min(max(at - half, 0), side - 2 * half)
        for at, half, side in zip((row, column), halves, x.shape[-2:], strict=True)
    ]
    return tops[0], tops[1], tops[0] + 2 * halves[0], tops[1] + 2 * halves[1]


CUTMIX = Question(
    name="cutmix",
    signature="cutmix(x, other, lam, row, column) -> x, share",
    draw=draw_cutmix,
    answer=cutmix,
    examples=(
        {
            "x": torch.ones(1, 1, 4, 4).double(),
            "other": torch.zeros(1, 1, 4, 4).double(),
            "lam": 0.75,
            "row": 2,
            "column": 2,
        },
        {
            "x": torch.ones(1, 1, 4, 4).double(),
            "other": torch.zeros(1, 1, 4, 4).double(),
            "lam": 0.75,
            "row": 0,
            "column": 2,
        },
        {
            "x": torch.ones(1, 1, 4, 8).double(),
            "other": torch.zeros(1, 1, 4, 8).double(),
            "lam": 0.7,
            "row": 3,
            "column": 1,
        },
    ),
    mistakes=(
        Mistake(
            "λ for the share",
            lambda x, other, lam, row, column: (cutmix(x, other, lam, row, column)[0], lam),
            "You returned λ. What sticks out of the picture was cut off, and sides are whole pixels: count the pixels "
            "that are left of x.",
        ),
        Mistake(
            "share of the whole box",
            lambda x, other, lam, row, column: (
                cutmix(x, other, lam, row, column)[0],
                _whole_area(x, other, lam, row, column),
            ),
            "Your share counts the whole box, also what sticks out of the picture. Only what was pasted counts.",
        ),
        Mistake(
            "root forgotten",
            lambda x, other, lam, row, column: _pasted(x, other, _clipped(x, row, column, _halves(x, 1 - lam))),
            "Your box is 1 − λ as high and as wide, so its area is (1 − λ)². Each side takes the root of 1 − λ.",
        ),
        Mistake(
            "λ for 1 − λ",
            lambda x, other, lam, row, column: _pasted(x, other, _clipped(x, row, column, _halves(x, math.sqrt(lam)))),
            "Your box has the area λ. λ is what shall be left of x: the box is the rest, 1 − λ.",
        ),
        Mistake(
            "twice as high and wide",
            lambda x, other, lam, row, column: _pasted(
                x, other, _clipped(x, row, column, [int(side * math.sqrt(1 - lam)) for side in x.shape[-2:]])
            ),
            "Your box reaches a whole side from its centre in each direction. Half of it goes each way.",
        ),
        Mistake(
            "not cut off",
            _naive,
            "You did not cut the box off at the border. A slice that begins below 0 begins, for Python, at the other "
            "end, and is empty; and the area must count what was pasted.",
        ),
        Mistake(
            "cut off at one end only",
            _open_at_the_end,
            "Your share still counts what sticks out below and to the right. A slice may end beyond the picture, the "
            "area of what was pasted may not: take the smaller of the end and the side.",
        ),
        Mistake(
            "rounded to the nearest",
            lambda x, other, lam, row, column: _pasted(
                x, other, _clipped(x, row, column, [round(0.5 * side * math.sqrt(1 - lam)) for side in x.shape[-2:]])
            ),
            "You rounded the half sides to the nearest pixel. They are rounded down: int(...) does it.",
        ),
        Mistake(
            "pushed inside",
            lambda x, other, lam, row, column: _pasted(
                x, other, _pushed_inside(x, row, column, _halves(x, math.sqrt(1 - lam)))
            ),
            "You pushed the box into the picture. It stays where it is, and what sticks out is cut off.",
        ),
        Mistake(
            "share of the other",
            lambda x, other, lam, row, column: (
                cutmix(x, other, lam, row, column)[0],
                1 - cutmix(x, other, lam, row, column)[1],
            ),
            "Your share is that of the box. Asked is the share of x that is left.",
        ),
        Mistake(
            "the frame pasted",
            lambda x, other, lam, row, column: (
                cutmix(other, x, lam, row, column)[0],
                cutmix(x, other, lam, row, column)[1],
            ),
            "You kept the box of x and took the rest from the other picture. The box comes from the other.",
        ),
        Mistake(
            "row and column exchanged",
            lambda x, other, lam, row, column: _pasted(
                x, other, _clipped(x, column, row, _halves(x, math.sqrt(1 - lam)))
            ),
            "You exchanged row and column. Rows are dimension 2 and go with the height.",
        ),
    ),
    properties=(
        Property(
            "the share is that of the pixels that have not changed",
            lambda value, given: (
                isinstance(value[1], Tensor)
                or math.isclose(value[1], float(((value[0] - given["x"]).abs() < 1e-5).double().mean()), abs_tol=1e-5)
                or bool((given["x"] == given["other"]).any())
            ),
        ),
    ),
    rights=(cutmix_by_mask, cutmix_by_slices, cutmix_pixel_by_pixel),
    hints=(
        "First the two half sides, in whole pixels. Then where the box begins and ends, in rows and in columns.",
        "half = int(0.5 * side * math.sqrt(1 - lam)). The box goes from centre − half to centre + half, but not below "
        "0 and not beyond the side.",
        "Clone x, and copy that window of the other picture into it. The share is 1 minus the window's area over "
        "that of the picture.",
    ),
)


# 7 · Ask more than once -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, repr=False)
class Network:
    """Logits that are weighted sums of the squared pixels."""

    weights: Tensor  # [K, pixels]

    def __call__(self, x: Tensor) -> Tensor:
        return x.flatten(1) ** 2 @ self.weights.T

    def __repr__(self) -> str:
        return f"a network whose logits [N, {len(self.weights)}] are the squared pixels times {self.weights.tolist()}"


@dataclass(frozen=True)
class ShiftRight:
    """Moves pictures to the right; black comes in."""

    pixels: int

    def __call__(self, x: Tensor) -> Tensor:
        return F.pad(x, (self.pixels, -self.pixels))


@dataclass(frozen=True)
class Brighten:
    """Multiplies the pixels by a factor."""

    factor: float

    def __call__(self, x: Tensor) -> Tensor:
        return self.factor * x


Transforms = list[Callable[[Tensor], Tensor]]


def draw_asking(random: Random) -> dict[str, Any]:
    width, classes = random.integer(3, 4), random.integer(2, 4)
    transforms = [
        random.choice((ShiftRight(random.choice((-1, 1))), Brighten(random.uniform(0.5, 2))))
        for _ in range(random.size)
    ]
    return {
        "network": Network(random.tensor(classes, width)),
        "x": random.tensor(random.integer(2, 3), 1, 1, width, low=0, high=1),
        "transforms": [Brighten(0.5), *transforms],
    }


def ask(network: Network, x: Tensor, transforms: Transforms) -> Tensor:
    return torch.stack([network(copy).softmax(-1) for copy in (x, *(t(x) for t in transforms))]).mean(0)


def ask_by_sums(network, x, transforms):
    total = torch.softmax(network(x), dim=1)
    for transform in transforms:
        total = total + torch.softmax(network(transform(x)), dim=1)
    return total / (len(transforms) + 1)


def ask_all_at_once(network, x, transforms):
    copies = torch.cat([x] + [transform(x) for transform in transforms])
    return network(copies).softmax(dim=-1).unflatten(0, (-1, len(x))).mean(dim=0)


def ask_in_numpy(network, x, transforms):
    logits = np.stack([network(copy).numpy() for copy in [x, *(transform(x) for transform in transforms)]])
    weights = np.exp(logits - logits.max(axis=2, keepdims=True))
    return torch.from_numpy(np.average(weights / weights.sum(axis=2, keepdims=True), axis=0))


def _answers(network: Network, x: Tensor, transforms: Transforms) -> Tensor:
    """Logits of the picture as it is and of every copy, [M + 1, N, K]."""
    return torch.stack([network(x), *(network(transform(x)) for transform in transforms)])


def _chained(network: Network, x: Tensor, transforms: Transforms) -> Tensor:
    answers = [network(x)]
    for transform in transforms:
        x = transform(x)
        answers.append(network(x))
    return torch.stack(answers).softmax(-1).mean(0)


ASK = Question(
    name="ask",
    signature="ask(network, x, transforms) -> probabilities",
    draw=draw_asking,
    answer=ask,
    examples=(
        {
            "network": Network(torch.tensor([[0.0, 0.0], [math.log(3), 0.0]], dtype=torch.float64)),
            "x": pictures((1, 0)),
            "transforms": [ShiftRight(1)],
        },
        {
            "network": Network(torch.tensor([[0.0, 0.0], [math.log(3), 0.0]], dtype=torch.float64)),
            "x": torch.cat([pictures((1, 0)), pictures((0, 1))]),
            "transforms": [ShiftRight(-1), Brighten(2.0)],
        },
    ),
    mistakes=(
        Mistake(
            "picture itself left out",
            lambda network, x, transforms: _answers(network, x, transforms)[1:].softmax(-1).mean(0),
            "You asked about the changed copies only. The picture as it is has a say as well, as large as each copy.",
        ),
        Mistake(
            "mean of the logits",
            lambda network, x, transforms: _answers(network, x, transforms).mean(0).softmax(-1),
            "You averaged the logits. Average the probabilities: first the softmax, for each copy.",
        ),
        Mistake(
            "logits",
            lambda network, x, transforms: _answers(network, x, transforms).mean(0),
            "You returned logits. Make probabilities of each answer before you average.",
        ),
        Mistake(
            "one after the other",
            _chained,
            "You changed the changed copy again. Each transform starts from the picture as it is.",
        ),
        Mistake(
            "mean picture",
            lambda network, x, transforms: network(
                torch.stack([x, *(transform(x) for transform in transforms)]).mean(0)
            ).softmax(-1),
            "You averaged the pictures and asked once. A blurred picture is a new one: ask about each copy, and "
            "average the answers.",
        ),
        Mistake(
            "votes",
            lambda network, x, transforms: (
                F.one_hot(
                    _answers(network, x, transforms).argmax(-1),
                    len(network.weights),
                )
                .double()
                .mean(0)
            ),
            "You counted votes. A copy that is unsure should weigh less: average the probabilities.",
        ),
        Mistake(
            "added up",
            lambda network, x, transforms: _answers(network, x, transforms).softmax(-1).sum(0),
            "You added up the probabilities. Divide by how many answers there are.",
        ),
        Mistake(
            "the surest",
            lambda network, x, transforms: _answers(network, x, transforms).softmax(-1).amax(0),
            "You took the largest probability of each class. Then they add up to more than 1: take the mean.",
        ),
        Mistake(
            "divided by the copies",
            lambda network, x, transforms: _answers(network, x, transforms).softmax(-1).sum(0) / len(transforms),
            "You divided by the number of transforms. With the picture as it is there is one answer more.",
        ),
    ),
    properties=(
        Property(
            "the probabilities of a picture add up to 1",
            lambda value, given: bool(((value.sum(-1) - 1).abs() < 1e-6).all()),
        ),
    ),
    rights=(ask_by_sums, ask_all_at_once, ask_in_numpy),
    hints=(
        "Make a list of all that the network is to be shown: how many entries has it?",
        "x itself and transform(x) for each transform. For each of them network(...).softmax(-1), which is [N, K].",
        "Stack these tables and take the mean over the first dimension.",
    ),
)


QUESTIONS = (FLIP, SHIFT, BECOMES, STANDARDISE, MIXUP, CUTMIX, ASK)
