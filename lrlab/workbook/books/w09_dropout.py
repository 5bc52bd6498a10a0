"""The questions of workbook 09: whose p it is, channels and single weights, all masks, the shortcut, the spread.

Each section is one question: how an input is drawn, the reference, three other right ways to write it, the question.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lrlab import dropout as lrlab_dropout
from lrlab.workbook.given import matrix, vector
from lrlab.workbook.questions import Mistake, Property, Question, Random

VERSION = 1

KEPT_SHARES = (0.2, 0.4, 0.6, 0.8, 0.9)  # not ½ alone, where to keep and to drop are the same


def uniforms(random: Random, *shape: int) -> Tensor:
    """Numbers between 0 and 1 that are never equal to a probability of two digits: < or ≤ shall not matter."""
    thousandths = [10 * random.integer(0, 99) + 5 for _ in range(math.prod(shape))]
    return torch.tensor(thousandths, dtype=torch.float64).reshape(shape) / 1000


# 1 · The lecture's form -----------------------------------------------------------------------------------------------


def draw_units(random: Random) -> dict[str, Any]:
    count = random.size + 2
    return {
        "x": random.tensor(count),
        "u": uniforms(random, count),
        "keep": random.choice(KEPT_SHARES),
        "training": random.choice((True, False)),
    }


def dropout(x: Tensor, u: Tensor, keep: float, training: bool) -> Tensor:
    if training:
        return (u < keep) * x
    return lrlab_dropout.Dropout(keep).eval()(x)


def dropout_by_where(x, u, keep, training):
    return torch.where(u < keep, x, 0.0) if training else keep * x


def dropout_by_a_factor(x, u, keep, training):
    factor = torch.full_like(x, keep)
    if training:
        factor = u.less(keep).to(x.dtype)
    return x.mul(factor)


def dropout_in_a_loop(x, u, keep, training):
    out = x * keep
    if training:
        out = torch.stack([entry if draw < keep else 0 * entry for entry, draw in zip(x, u, strict=True)])
    return out


DROPOUT = Question(
    name="dropout",
    signature="dropout(x, u, keep, training) -> out",
    draw=draw_units,
    answer=dropout,
    examples=(
        {"x": vector(1, 2, 3), "u": vector(0.1, 0.9, 0.5), "keep": 0.8, "training": True},
        {"x": vector(1, 2, 3), "u": vector(0.1, 0.9, 0.5), "keep": 0.8, "training": False},
    ),
    mistakes=(
        Mistake(
            "p the other way round",
            lambda x, u, keep, training: (u < 1 - keep) * x if training else (1 - keep) * x,
            "You took keep for the share that is dropped, as torch counts. In the lecture's form it is the probability "
            "to stay.",
        ),
        Mistake(
            "the wrong ones kept",
            lambda x, u, keep, training: (u >= keep) * x if training else keep * x,
            "You dropped the units whose number lies below keep. A uniform number lies below keep with just that "
            "probability: those are the ones that stay.",
        ),
        Mistake(
            "the inverted form",
            lambda x, u, keep, training: (u < keep) * x / keep if training else x,
            "This is the inverted form, that of torch: right, but not asked. The lecture's form leaves training alone "
            "and scales at inference.",
        ),
        Mistake(
            "not scaled at inference",
            lambda x, u, keep, training: (u < keep) * x if training else x,
            "At inference you hand on the whole x. The next layer has learned with a share keep of it, on average: "
            "multiply by keep.",
        ),
        Mistake(
            "dropped at inference",
            lambda x, u, keep, training: (u < keep) * x,
            "You drop at inference as well. There every unit speaks, each with its expectation: keep times x.",
        ),
        Mistake(
            "dropped and scaled at inference",
            lambda x, u, keep, training: (u < keep) * x * (1 if training else keep),
            "At inference you scale, and drop as well. Scaling stands in for dropping: no mask there.",
        ),
        Mistake(
            "scaled twice",
            lambda x, u, keep, training: (u < keep) * x / keep if training else keep * x,
            "You scale in training and at inference, one up and the other down, so the two do not fit. One of them "
            "does it; in the lecture's form it is inference.",
        ),
        Mistake(
            "the share that happened to stay",
            lambda x, u, keep, training: (u < keep) * x if training else (u < keep).double().mean() * x,
            "At inference you scale by the share that this mask keeps. No mask counts there: scale by the probability.",
        ),
        Mistake(
            "training and inference exchanged",
            lambda x, u, keep, training: keep * x if training else (u < keep) * x,
            "You scale in training and drop at inference. It is the other way round.",
        ),
    ),
    properties=(
        Property(
            "at inference nothing is dropped",
            lambda value, given: given["training"] or bool(((value == 0) == (given["x"] == 0)).all()),
        ),
    ),
    rights=(dropout_by_where, dropout_by_a_factor, dropout_in_a_loop),
    hints=(
        "Two cases, one line each. Which of them needs u at all?",
        "In training u < keep is the mask: True is 1 and False is 0. At inference the expectation stands in for it.",
        "That expectation is keep · x.",
    ),
)


# 2 · Say it to torch --------------------------------------------------------------------------------------------------


def draw_layer(random: Random) -> dict[str, Any]:
    outputs = random.integer(1, 3)
    return {
        "W": random.tensor(outputs, random.size + 1),
        "b": random.tensor(outputs, low=0.5),
        "keep": random.choice(KEPT_SHARES),
    }


def to_torch(W: Tensor, b: Tensor, keep: float) -> tuple[float, Tensor, Tensor]:
    return 1 - keep, keep * W, b


def to_torch_by_p(W, b, keep):
    p = 1 - keep
    return p, W - p * W, b


def to_torch_by_a_linear_layer(W, b, keep):
    layer = torch.nn.utils.skip_init(torch.nn.Linear, W.shape[1], W.shape[0], dtype=W.dtype)
    with torch.no_grad():
        layer.weight.copy_(W).mul_(keep)
        layer.bias.copy_(b)
    return 1.0 - keep, layer.weight.detach(), layer.bias.detach()


def to_torch_column_by_column(W, b, keep):
    units = torch.eye(W.shape[1], dtype=W.dtype)
    columns = [W @ (keep * unit) for unit in units]  # what the old layer says at inference, unit by unit
    return -(keep - 1), torch.stack(columns, dim=1), b.clone()


TO_TORCH = Question(
    name="to_torch",
    signature="to_torch(W, b, keep) -> p, W, b",
    draw=draw_layer,
    answer=to_torch,
    examples=(
        {"W": matrix((2, 3)), "b": vector(1), "keep": 0.8},
        {"W": matrix((1, -1), (4, 0)), "b": vector(2, -1), "keep": 0.25},
    ),
    mistakes=(
        Mistake(
            "whose p",
            lambda W, b, keep: (keep, keep * W, b),
            "Your p is still the probability to keep. torch asks for the probability to drop: 1 − keep.",
        ),
        Mistake(
            "only the letter",
            lambda W, b, keep: (1 - keep, W, b),
            "p is right, but the weights are the old ones. torch's dropout hands on 1/keep as much as the paper's did, "
            "so the layer behind it says too much.",
        ),
        Mistake(
            "weights scaled up",
            lambda W, b, keep: (1 - keep, W / keep, b),
            "You divided the weights by keep. torch's dropout divides by keep already: the weights must undo that.",
        ),
        Mistake(
            "bias scaled as well",
            lambda W, b, keep: (1 - keep, keep * W, keep * b),
            "You scaled the bias too. Nothing in front of it was dropped or scaled: it stays.",
        ),
        Mistake(
            "scaled by what is dropped",
            lambda W, b, keep: (1 - keep, (1 - keep) * W, b),
            "You multiplied the weights by 1 − keep. What torch's dropout divides by is the share that stays.",
        ),
        Mistake(
            "nothing to do",
            lambda W, b, keep: (keep, W, b),
            "You copied all three. The paper's p and torch's mean opposite things, and torch scales in training.",
        ),
        Mistake(
            "the exact swap",
            lambda W, b, keep: (keep, (1 - keep) * W, b),
            "You took keep for the probability to drop. It is the paper's number: the probability to stay.",
        ),
    ),
    rights=(to_torch_by_p, to_torch_by_a_linear_layer, to_torch_column_by_column),
    hints=(
        "What does the layer get from the paper's dropout under a mask, and what from torch's, under the same one?",
        "m ⊙ h from the one, m ⊙ h / keep from the other. Which weights turn the second into the first?",
        "Those that are multiplied by keep. p = 1 − keep, and b sees nothing of it all.",
    ),
)


# 3 · Whole channels ---------------------------------------------------------------------------------------------------


def draw_maps(random: Random) -> dict[str, Any]:
    count, channels, height, width = random.integer(1, 2), 1 + random.size, random.integer(1, 2), random.integer(2, 3)
    u = uniforms(random, count, channels)
    u[0, -1] = 0.995  # stays in any case: who divides by the share that stayed shall not divide by 0
    return {
        "x": random.tensor(count, channels, height, width),
        "u": u,
        "p": round(1 - random.choice(KEPT_SHARES), 2),
    }


def spatial_dropout(x: Tensor, u: Tensor, p: float) -> Tensor:
    return (u >= p)[:, :, None, None] / (1 - p) * x


def spatial_dropout_by_where(x, u, p):
    return torch.where((u < p).unsqueeze(-1).unsqueeze(-1), 0.0, x / (1 - p))


def spatial_dropout_by_einsum(x, u, p):
    return torch.einsum("nc,nchw->nchw", u.ge(p).to(x.dtype) / (1 - p), x)


def spatial_dropout_in_loops(x, u, p):
    out = torch.zeros_like(x)
    for n in range(x.shape[0]):
        for c in range(x.shape[1]):
            if u[n, c] >= p:
                out[n, c] = x[n, c] / (1 - p)
    return out


def _channels(x: Tensor, mask: Tensor, scale: float | Tensor) -> Tensor:
    return mask[:, :, None, None] * x * scale


SPATIAL_DROPOUT = Question(
    name="spatial_dropout",
    signature="spatial_dropout(x, u, p) -> out",
    draw=draw_maps,
    answer=spatial_dropout,
    examples=(
        {"x": torch.tensor([[[[1.0, 2.0]], [[4.0, 8.0]]]], dtype=torch.float64), "u": matrix((0.1, 0.7)), "p": 0.2},
        {
            "x": torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]], [[[5.0, 6.0]], [[7.0, 8.0]]]], dtype=torch.float64),
            "u": matrix((0.1, 0.7), (0.9, 0.3)),
            "p": 0.5,
        },
    ),
    mistakes=(
        Mistake(
            "p for keep",
            lambda x, u, p: _channels(x, u < p, 1 / p),
            "You took p for the probability to keep. Here it is torch's: the share p goes, and what stays is divided "
            "by 1 − p.",
        ),
        Mistake(
            "divided by p",
            lambda x, u, p: _channels(x, u >= p, 1 / p),
            "You dropped the right channels, and divided the others by p. 1 − p of them stay: divide by that.",
        ),
        Mistake(
            "not scaled",
            lambda x, u, p: _channels(x, u >= p, 1),
            "You did not scale what stays. This is the inverted form: inference will do nothing, so training has to "
            "divide by 1 − p.",
        ),
        Mistake(
            "scaled down",
            lambda x, u, p: _channels(x, u >= p, 1 - p),
            "You multiplied by 1 − p. Fewer channels must speak louder for the same expectation: divide.",
        ),
        Mistake(
            "the wrong ones dropped",
            lambda x, u, p: _channels(x, u < p, 1 / (1 - p)),
            "You kept the channels whose number lies below p. With probability p that happens: they are the ones to "
            "drop.",
        ),
        Mistake(
            "one mask for the batch",
            lambda x, u, p: _channels(x, (u >= p)[:1].expand_as(u), 1 / (1 - p)),
            "You used the mask of the first example for all of them. Every example has a row of u.",
        ),
        Mistake(
            "scaled by what happened to stay",
            lambda x, u, p: _channels(x, u >= p, 1 / (u >= p).double().mean()),
            "You divided by the share of channels that stayed this time. Divide by the probability, 1 − p: then only "
            "the expectation is kept, and that is what is wanted.",
        ),
    ),
    rights=(spatial_dropout_by_where, spatial_dropout_by_einsum, spatial_dropout_in_loops),
    hints=(
        "First a mask of the shape of u. Then: how does a tensor [N, C] meet a tensor [N, C, H, W]?",
        "mask[:, :, None, None] has the shape [N, C, 1, 1], and torch spreads it over the pixels.",
        "The mask is u >= p. It is multiplied with x, and what comes out is divided by 1 − p.",
    ),
)


# 4 · Single weights ---------------------------------------------------------------------------------------------------


def draw_wires(random: Random) -> dict[str, Any]:
    units, outputs = random.size + 1, random.integer(2, 3)
    return {
        "x": random.tensor(random.integer(2, 3), units, low=0.5),
        "W": random.tensor(outputs, units, low=0.5),
        "b": random.tensor(outputs, low=0.5),
        "u": uniforms(random, outputs, units),
        "p": round(1 - random.choice(KEPT_SHARES), 2),
    }


def dropconnect(x: Tensor, W: Tensor, b: Tensor, u: Tensor, p: float) -> Tensor:
    return F.linear(x, (u >= p) / (1 - p) * W, b)


def dropconnect_by_where(x, W, b, u, p):
    return x @ torch.where(u < p, 0.0, W / (1 - p)).T + b


def dropconnect_by_einsum(x, W, b, u, p):
    wires = torch.einsum("nj,ij,ij->nij", x, W, u.ge(p).to(W.dtype))  # what goes through each wire
    return wires.sum(2).div(1 - p) + b


def dropconnect_in_loops(x, W, b, u, p):
    out = b.repeat(len(x), 1)
    for n in range(len(x)):
        for i, row in enumerate(W):
            out[n, i] += sum(x[n, j] * w for j, w in enumerate(row) if u[i, j] >= p) / (1 - p)
    return out


def _wires(x: Tensor, W: Tensor, b: Tensor, mask: Tensor, scale: float) -> Tensor:
    return F.linear(x, mask * W * scale, b)


DROPCONNECT = Question(
    name="dropconnect",
    signature="dropconnect(x, W, b, u, p) -> out",
    draw=draw_wires,
    answer=dropconnect,
    examples=(
        {"x": matrix((1, 2)), "W": matrix((4, 8)), "b": vector(1), "u": matrix((0.1, 0.7)), "p": 0.2},
        {
            "x": matrix((1, 2), (3, 1)),
            "W": matrix((4, 8), (1, 2)),
            "b": vector(1, -1),
            "u": matrix((0.1, 0.7), (0.9, 0.3)),
            "p": 0.5,
        },
    ),
    mistakes=(
        Mistake(
            "units dropped",
            lambda x, W, b, u, p: _wires(x, W, b, (u >= p)[:1].expand_as(W), 1 / (1 - p)),
            "You dropped units: with the first row of u for all rows, a unit is lost to every output. Here each weight "
            "has its own number in u.",
        ),
        Mistake(
            "outputs dropped",
            lambda x, W, b, u, p: _wires(x, W, b, (u >= p)[:, :1].expand_as(W), 1 / (1 - p)),
            "You dropped whole rows: such an output hears nothing at all. Here each weight has its own number in u.",
        ),
        Mistake(
            "bias scaled as well",
            lambda x, W, b, u, p: _wires(x, W, b, u >= p, 1.0) / (1 - p),
            "You divided what comes out, and the bias with it. Nobody drops the bias: divide the weights that stay.",
        ),
        Mistake(
            "bias forgotten",
            lambda x, W, b, u, p: _wires(x, W, 0 * b, u >= p, 1 / (1 - p)),
            "The bias is missing. It is never dropped: add b to every row.",
        ),
        Mistake(
            "not scaled",
            lambda x, W, b, u, p: _wires(x, W, b, u >= p, 1.0),
            "You did not scale what stays. In the inverted form training divides by 1 − p, and inference does nothing.",
        ),
        Mistake(
            "scaled down",
            lambda x, W, b, u, p: _wires(x, W, b, u >= p, 1 - p),
            "You multiplied by 1 − p. Fewer weights must speak louder for the same expectation: divide.",
        ),
        Mistake(
            "the wrong ones dropped",
            lambda x, W, b, u, p: _wires(x, W, b, u < p, 1 / (1 - p)),
            "You kept the weights whose number lies below p. With probability p that happens: they are the ones to "
            "drop.",
        ),
        Mistake(
            "p for keep",
            lambda x, W, b, u, p: _wires(x, W, b, u < p, 1 / p),
            "You took p for the probability to keep. Here it is torch's: the share p goes, and what stays is divided "
            "by 1 − p.",
        ),
    ),
    rights=(dropconnect_by_where, dropconnect_by_einsum, dropconnect_in_loops),
    hints=(
        "A mask of the shape of W, as in question 3 of the shape of the channels. What is multiplied with it?",
        "The weights that are left are mask * W, divided by 1 − p. They make an ordinary linear layer.",
        "x @ weights.T + b is that layer. Divide the weights, not what comes out: else b is divided as well.",
    ),
)


# 5 · All masks --------------------------------------------------------------------------------------------------------

SHAPES: dict[str, Callable[[float], float]] = {
    "linear": lambda a: a,
    "relu": lambda a: max(a, 0.0),
    "square": lambda a: a * a,
}


@dataclass(frozen=True, repr=False)
class Unit:
    """A function of one vector: the weighted sum of its entries plus b, and what is made of that."""

    w: Tensor
    b: float
    shape: str

    def __call__(self, x: Tensor) -> float:
        return SHAPES[self.shape](float(self.w @ x) + self.b)

    def __repr__(self) -> str:
        total = f"x @ {self.w.tolist()} + {self.b:g}"
        words = {"linear": total, "relu": f"max(0, {total})", "square": f"({total})²"}
        return f"the function that makes {words[self.shape]} of x"


def draw_unit(random: Random) -> dict[str, Any]:
    units = min(random.size + 1, 5)
    unit = Unit(random.tensor(units), random.uniform(-1, 1), random.choice(tuple(SHAPES)))
    return {"f": unit, "x": random.tensor(units), "keep": random.choice((*KEPT_SHARES, 0.5))}


def mean_over_masks(f: Callable[[Tensor], float], x: Tensor, keep: float) -> float:
    def of_masks(masks: Tensor) -> Tensor:
        return torch.tensor([f(mask * x) for mask in masks], dtype=torch.float64)

    return float(lrlab_dropout.expectation(of_masks, units=len(x), keep=keep))


def mean_over_masks_in_a_loop(f, x, keep):
    mean = 0.0
    for bits in itertools.product((0, 1), repeat=len(x)):
        chance = keep ** sum(bits) * (1 - keep) ** (len(bits) - sum(bits))
        mean += chance * f(torch.tensor(bits, dtype=x.dtype) * x)
    return mean


def mean_over_masks_unit_by_unit(f, x, keep, start=0):
    if start == len(x):
        return f(x)
    without = x.clone()
    without[start] = 0
    stays, goes = (mean_over_masks_unit_by_unit(f, part, keep, start + 1) for part in (x, without))
    return keep * stays + (1 - keep) * goes


def mean_over_masks_by_counting(f, x, keep):
    place = 2 ** torch.arange(len(x))
    masks = ((torch.arange(2 ** len(x))[:, None] & place) > 0).to(x.dtype)
    chances = torch.where(masks > 0, keep, 1 - keep).prod(1)
    return float(sum(chance * f(mask * x) for chance, mask in zip(chances, masks, strict=True)))


def _over_masks(f: Callable[[Tensor], float], x: Tensor, chance: Callable[[Tensor], float], skip: int = 0) -> float:
    """Like `mean_over_masks`, with another chance of a mask, or without the first masks."""
    masks = lrlab_dropout.all_masks(len(x))[skip:]
    return float(sum(chance(mask) * f(mask * x) for mask in masks))


def _chance(mask: Tensor, keep: float) -> float:
    return float(torch.where(mask > 0, keep, 1 - keep).prod())


MEAN_OVER_MASKS = Question(
    name="mean_over_masks",
    signature="mean_over_masks(f, x, keep) -> mean",
    draw=draw_unit,
    answer=mean_over_masks,
    examples=(
        {"f": Unit(vector(1), 0.0, "linear"), "x": vector(3), "keep": 0.5},
        {"f": Unit(vector(1, 1), 0.0, "square"), "x": vector(1, 2), "keep": 0.5},
        {"f": Unit(vector(1, -1), 1.0, "relu"), "x": vector(2, 4), "keep": 0.8},
    ),
    mistakes=(
        Mistake(
            "all masks equally likely",
            lambda f, x, keep: _over_masks(f, x, lambda mask: 0.5 ** len(mask)),
            "You gave each mask the same weight. That is right for keep = 0.5 alone; otherwise a mask has the "
            "probability keep for each 1 in it, times 1 − keep for each 0.",
        ),
        Mistake(
            "keep and drop exchanged",
            lambda f, x, keep: _over_masks(f, x, lambda mask: _chance(1 - mask, keep)),
            "Your masks keep a unit with probability 1 − keep. A 1 in the mask has the probability keep.",
        ),
        Mistake(
            "f of the mean",
            lambda f, x, keep: f(keep * x),
            "This is the shortcut: f of the mean of the inputs. Asked is the mean of f, mask by mask; they are the "
            "same for a linear f only.",
        ),
        Mistake(
            "f scaled",
            lambda f, x, keep: keep * f(x),
            "You multiplied what f says of all units by keep. Ask f once for every mask, and weigh the answers.",
        ),
        Mistake(
            "without a weight",
            lambda f, x, keep: _over_masks(f, x, lambda mask: 1.0),
            "You added up what f says, without weights. A mean needs the probability of each mask, and these add up "
            "to 1.",
        ),
        Mistake(
            "ones only",
            lambda f, x, keep: _over_masks(f, x, lambda mask: keep ** float(mask.sum())),
            "You counted the units that stay. Those that go have a probability too: 1 − keep for each.",
        ),
        Mistake(
            "empty mask left out",
            lambda f, x, keep: _over_masks(f, x, lambda mask: _chance(mask, keep), skip=1),
            "You left out the mask that drops everything. It comes up as well, and f of nothing need not be 0.",
        ),
        Mistake(
            "scaled up besides",
            lambda f, x, keep: mean_over_masks(f, x / keep, keep),
            "You divided what stays by keep, as the inverted form does. Here f gets mask · x.",
        ),
    ),
    rights=(mean_over_masks_in_a_loop, mean_over_masks_unit_by_unit, mean_over_masks_by_counting),
    hints=(
        "How many masks are there for len(x) units, and how likely is each of them?",
        "itertools.product((0, 1), repeat=len(x)) makes them all. A mask has the probability keep to the power of its "
        "ones, times 1 − keep to the power of its zeros.",
        "In a loop over the masks, add probability · f(mask · x), with the mask as a tensor of x's dtype.",
    ),
)


# 6 · What the shortcut leaves out -------------------------------------------------------------------------------------


def draw_relu(random: Random) -> dict[str, Any]:
    units = min(random.size + 1, 5)
    return {
        "w": random.tensor(units),
        "b": random.uniform(-2, 2),
        "x": random.tensor(units),
        "keep": random.choice((*KEPT_SHARES, 0.5)),
    }


def scaling_gap(w: Tensor, b: float, x: Tensor, keep: float) -> float:
    unit = Unit(w, b, "relu")
    return mean_over_masks(unit, x, keep) - unit(keep * x)


def scaling_gap_in_one_matrix(w, b, x, keep):
    masks = torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=x.dtype)] * len(x)).reshape(-1, len(x))
    chances = (masks * keep + (1 - masks) * (1 - keep)).prod(1)
    return float(chances @ torch.relu(masks @ (w * x) + b) - torch.relu(keep * w @ x + b))


def scaling_gap_in_numpy(w, b, x, keep):
    sums, chances = np.array([b]), np.array([1.0])
    for term in (w * x).numpy():  # unit by unit: every sum so far, without it and with it
        sums = np.concatenate([sums, sums + term])
        chances = np.concatenate([chances * (1 - keep), chances * keep])
    return (chances * sums.clip(0)).sum() - max(chances @ sums, 0)


def scaling_gap_with_a_function(w, b, x, keep):
    def relu(z):
        return max(float(w @ z) + b, 0.0)

    return mean_over_masks_in_a_loop(relu, x, keep) - relu(keep * x)


def _gap(w: Tensor, b: float, x: Tensor, keep: float, shortcut: float) -> float:
    return mean_over_masks(Unit(w, b, "relu"), x, keep) - shortcut


SCALING_GAP = Question(
    name="scaling_gap",
    signature="scaling_gap(w, b, x, keep) -> gap",
    draw=draw_relu,
    answer=scaling_gap,
    examples=(
        {"w": vector(1), "b": -1.0, "x": vector(2), "keep": 0.5},
        {"w": vector(1), "b": 1.0, "x": vector(2), "keep": 0.5},
        {"w": vector(1, -1), "b": 0.0, "x": vector(2, 2), "keep": 0.5},
    ),
    mistakes=(
        Mistake(
            "exchanged",
            lambda w, b, x, keep: -scaling_gap(w, b, x, keep),
            "You subtracted the mean from the shortcut. Asked is the mean over masks minus the shortcut.",
        ),
        Mistake(
            "without the ReLU",
            lambda w, b, x, keep: mean_over_masks(Unit(w, b, "linear"), x, keep) - Unit(w, b, "linear")(keep * x) + 0.0,
            "You left out the ReLU, and for a sum the shortcut is exact: your gap is always 0.",
        ),
        Mistake(
            "bias scaled",
            lambda w, b, x, keep: _gap(w, b, x, keep, max(keep * (float(w @ x) + b), 0.0)),
            "Your shortcut scales the bias as well, or what comes out. The bias is never dropped: only x is scaled.",
        ),
        Mistake(
            "all units, not scaled",
            lambda w, b, x, keep: _gap(w, b, x, keep, Unit(w, b, "relu")(x)),
            "Your shortcut takes all units in full. It has to scale them by keep, their expectation.",
        ),
        Mistake(
            "ReLU of the shortcut left out",
            lambda w, b, x, keep: _gap(w, b, x, keep, Unit(w, b, "linear")(keep * x)),
            "Your shortcut goes below 0. The ReLU comes last in it, too.",
        ),
        Mistake(
            "scaled by what is dropped",
            lambda w, b, x, keep: _gap(w, b, x, keep, Unit(w, b, "relu")((1 - keep) * x)),
            "Your shortcut scales by 1 − keep. A unit is there with the probability keep.",
        ),
        Mistake(
            "the mean alone",
            lambda w, b, x, keep: _gap(w, b, x, keep, 0.0),
            "This is the mean over the masks. Take off what the shortcut says.",
        ),
    ),
    properties=(
        Property(
            "the gap is never below 0, for the ReLU bends upwards",
            lambda value, given: value >= -1e-12,
        ),
    ),
    rights=(scaling_gap_in_one_matrix, scaling_gap_in_numpy, scaling_gap_with_a_function),
    hints=(
        "You have the mean over all masks already: question 5. It wants a function f of one vector.",
        "Write f inside: it makes max(w·z + b, 0) of z, a plain number. The shortcut is f once, at the mean of the "
        "masked x.",
        "mean_over_masks(f, x, keep) minus f(keep · x).",
    ),
)


# 7 · How loud is the noise? -------------------------------------------------------------------------------------------


def draw_sum(random: Random) -> dict[str, Any]:
    units = random.size + 1
    return {"w": random.tensor(units), "x": random.tensor(units), "p": round(1 - random.choice(KEPT_SHARES), 2)}


def spread(w: Tensor, x: Tensor, p: float) -> tuple[float, float]:
    terms = w * x
    return float(terms.sum()), math.sqrt(p / (1 - p) * float((terms**2).sum()))


def spread_by_norm(w, x, p):
    return (w @ x).item(), (p / (1 - p)) ** 0.5 * torch.linalg.vector_norm(w * x).item()


def spread_in_numpy(w, x, p):
    terms, keep = w.numpy() * x.numpy(), 1 - p
    variances = (terms / keep) ** 2 * keep * p  # of a coin that is worth term / keep
    return terms.sum(), np.sqrt(variances.sum())


def spread_over_all_masks(w, x, p):
    def f(power):
        return lambda masks: ((masks / (1 - p)) @ (w * x)) ** power

    mean, square = (float(lrlab_dropout.expectation(f(power), len(x), 1 - p)) for power in (1, 2))
    return mean, max(square - mean**2, 0) ** 0.5


def _spread(w: Tensor, x: Tensor, variance: float) -> tuple[float, float]:
    return float(w @ x), math.sqrt(variance)


SPREAD = Question(
    name="spread",
    signature="spread(w, x, p) -> mean, deviation",
    draw=draw_sum,
    answer=spread,
    examples=(
        {"w": vector(3), "x": vector(1), "p": 0.5},
        {"w": vector(1, 2), "x": vector(3, 2), "p": 0.5},
        {"w": vector(1, 2), "x": vector(3, 2), "p": 0.2},
    ),
    mistakes=(
        Mistake(
            "not scaled up",
            lambda w, x, p: _spread(w, x, p * (1 - p) * float((w * x).square().sum())),
            "Your deviation is that of m alone, p(1 − p). Each mask is divided by 1 − p here, and its variance by the "
            "square of that.",
        ),
        Mistake(
            "the lecture's form",
            lambda w, x, p: ((1 - p) * float(w @ x), math.sqrt(p * (1 - p) * float((w * x).square().sum()))),
            "These are the mean and the deviation of the lecture's form, which scales nothing in training. Here what "
            "stays is divided by 1 − p.",
        ),
        Mistake(
            "variance",
            lambda w, x, p: (float(w @ x), p / (1 - p) * float((w * x).square().sum())),
            "This is the variance. The deviation is its root, in the unit of the sum itself.",
        ),
        Mistake(
            "the square of the sum",
            lambda w, x, p: _spread(w, x, p / (1 - p) * float(w @ x) ** 2),
            "You squared the sum. The terms are dropped one by one: their variances add up, so sum the squares.",
        ),
        Mistake(
            "deviations added up",
            lambda w, x, p: (float(w @ x), math.sqrt(p / (1 - p)) * float((w * x).abs().sum())),
            "You added up the deviations of the terms. Of independent terms the variances add up, and the root comes "
            "last.",
        ),
        Mistake(
            "keep and drop exchanged",
            lambda w, x, p: _spread(w, x, (1 - p) / p * float((w * x).square().sum())),
            "You have (1 − p)/p. That grows without end where hardly anything is dropped: p is the share that goes.",
        ),
        Mistake(
            "mean square",
            lambda w, x, p: _spread(w, x, float((w * x).square().sum()) / (1 - p)),
            "You took the mean squares of the terms. A variance is the mean square minus the square of the mean.",
        ),
        Mistake(
            "spread between the terms",
            lambda w, x, p: (float(w @ x), float((w * x).std(correction=0))),
            "You measured how much the terms differ among each other. Asked is how much the sum differs from mask to "
            "mask.",
        ),
    ),
    properties=(
        Property(
            "the mean is that of no dropout at all: the inverted form keeps it",
            lambda value, given: math.isclose(value[0], float(given["w"] @ given["x"]), rel_tol=1e-6, abs_tol=1e-9),
        ),
    ),
    rights=(spread_by_norm, spread_in_numpy, spread_over_all_masks),
    hints=(
        "Begin with one term, w x m / (1 − p). It has two values: with which probabilities? Its mean and its variance?",
        "It is w x / (1 − p) with probability 1 − p, else 0. The variance is (w x)² (1/(1 − p) − 1), and the terms are "
        "independent.",
        "So the variances add up: p/(1 − p) times the sum of (w x)². The deviation is the root of that.",
    ),
)


# 8 · Ask many masks ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, repr=False)
class MaskedNetwork:
    """A network with one hidden layer, of whose units a mask says which are there."""

    first: Tensor  # [hidden, inputs]
    second: Tensor  # [K, hidden]

    def __call__(self, x: Tensor, mask: Tensor) -> Tensor:
        return (torch.relu(x @ self.first.T) * mask * 2) @ self.second.T

    def __repr__(self) -> str:
        classes, hidden = self.second.shape
        return f"a network with a hidden layer of {hidden} that gives logits [N, {classes}]"


def draw_network(random: Random) -> dict[str, Any]:
    hidden, classes = 1 + random.size, random.integer(2, 4)
    masks = (uniforms(random, 2 + random.size, hidden) < 0.5).double()
    masks[0], masks[1] = 0, 1  # no two ways to compute a deviation agree on one that is 0 but for rounding
    return {
        "network": MaskedNetwork(random.tensor(hidden, 2, low=0.1, high=1), random.tensor(classes, hidden)),
        "x": random.tensor(random.integer(2, 3), 2, low=0.1),
        "masks": masks,
    }


def monte_carlo(network: Callable[..., Tensor], x: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    probabilities = torch.stack([network(x, mask).softmax(-1) for mask in masks])
    return probabilities.mean(0), probabilities.std(0)


def monte_carlo_by_sums(network, x, masks):
    total, squares = torch.zeros(()), torch.zeros(())
    for mask in masks:
        p = torch.softmax(network(x, mask), dim=1)
        total, squares = total + p, squares + p * p
    count = len(masks)
    variance = (squares - total * total / count) / (count - 1)
    return total / count, variance.clamp(min=0).sqrt()


def monte_carlo_in_numpy(network, x, masks):
    logits = np.stack([network(x, mask).numpy() for mask in masks])
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    p = weights / weights.sum(-1, keepdims=True)
    return torch.from_numpy(p.mean(axis=0)), torch.from_numpy(p.std(axis=0, ddof=1))


def monte_carlo_by_welford(network, x, masks):
    mean, m2 = torch.zeros(()), torch.zeros(())
    for number, mask in enumerate(masks, 1):
        p = network(x, mask).log_softmax(-1).exp()
        step = p - mean
        mean = mean + step / number
        m2 = m2 + step * (p - mean)
    return mean, (m2 / (len(masks) - 1)).sqrt()


def _logits(network: Callable[..., Tensor], x: Tensor, masks: Tensor) -> Tensor:
    """Of all masks: [M, N, K]."""
    return torch.stack([network(x, mask) for mask in masks])


def _with_mean(network: Callable[..., Tensor], x: Tensor, masks: Tensor, mean: Tensor) -> tuple[Tensor, Tensor]:
    return mean, monte_carlo(network, x, masks)[1]


def _with_deviation(
    network: Callable[..., Tensor], x: Tensor, masks: Tensor, deviation: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    p = _logits(network, x, masks).softmax(-1)
    return p.mean(0), deviation(p)


MONTE_CARLO = Question(
    name="monte_carlo",
    signature="monte_carlo(network, x, masks) -> mean, deviation",
    draw=draw_network,
    answer=monte_carlo,
    examples=(
        {
            "network": MaskedNetwork(matrix((1,)), matrix((0,), (math.log(3) / 2,))),
            "x": matrix((1,)),
            "masks": matrix((0,), (1,)),
        },
        {
            "network": MaskedNetwork(matrix((1, 0), (0, 1)), matrix((0, 1), (1, 0))),
            "x": matrix((1, 0), (1, 2)),
            "masks": matrix((1, 1), (1, 0), (0, 1)),
        },
    ),
    mistakes=(
        Mistake(
            "mean of the logits",
            lambda network, x, masks: _with_mean(network, x, masks, _logits(network, x, masks).mean(0).softmax(-1)),
            "You averaged the logits (or the masks, which is the same here) and took the softmax of that: the "
            "geometric mean. Asked is the arithmetic one, of the probabilities: first the softmax, for each mask.",
        ),
        Mistake(
            "logits throughout",
            lambda network, x, masks: (_logits(network, x, masks).mean(0), _logits(network, x, masks).std(0)),
            "These are the mean and the deviation of the logits. Make probabilities of them, mask by mask, first.",
        ),
        Mistake(
            "softmax over the examples",
            lambda network, x, masks: (
                _logits(network, x, masks).softmax(1).mean(0),
                _logits(network, x, masks).softmax(1).std(0),
            ),
            "You took the softmax over the examples. The probabilities of one example add up to 1: over its classes, "
            "the last dimension.",
        ),
        Mistake(
            "softmax over the masks",
            lambda network, x, masks: (
                _logits(network, x, masks).softmax(0).mean(0),
                _logits(network, x, masks).softmax(0).std(0),
            ),
            "You took the softmax over the masks. Each mask's network has probabilities of its own, which add up to 1 "
            "over the classes, the last dimension.",
        ),
        Mistake(
            "variance",
            lambda network, x, masks: _with_deviation(network, x, masks, lambda p: p.var(0)),
            "This is the variance between the masks. The deviation is its root.",
        ),
        Mistake(
            "divided by M",
            lambda network, x, masks: _with_deviation(network, x, masks, lambda p: p.std(0, correction=0)),
            "You divided the squares by M. The masks are a sample: with M − 1 the variance is right on average, and "
            "torch's std does so by itself.",
        ),
        Mistake(
            "error of the mean",
            lambda network, x, masks: _with_deviation(network, x, masks, lambda p: p.std(0) / len(p) ** 0.5),
            "You divided by the root of M: that says how sure you may be of the mean. Asked is how much the masks "
            "disagree.",
        ),
        Mistake(
            "deviation of the logits",
            lambda network, x, masks: (monte_carlo(network, x, masks)[0], _logits(network, x, masks).std(0)),
            "Your deviation is that of the logits. Both numbers are asked for the probabilities.",
        ),
    ),
    properties=(
        Property(
            "the mean probabilities of an example add up to 1",
            lambda value, given: bool(((value[0].sum(-1) - 1).abs() < 1e-6).all()),
        ),
    ),
    rights=(monte_carlo_by_sums, monte_carlo_in_numpy, monte_carlo_by_welford),
    hints=(
        "One pass for each mask, and M tables of probabilities. Stack them: what shape is that?",
        "[M, N, K]. The softmax goes over the last dimension, mean and deviation over the first.",
        "torch.stack([... for mask in masks]) with network(x, mask).softmax(-1) in it; then .mean(0) and .std(0).",
    ),
)


QUESTIONS = (DROPOUT, TO_TORCH, SPATIAL_DROPOUT, DROPCONNECT, MEAN_OVER_MASKS, SCALING_GAP, SPREAD, MONTE_CARLO)
