# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Workbook 10 · Augmentation
#
# Seven functions, from two lines to eight. Afterwards you can flip, shift, mix and paste pictures so that what is said
# of them stays true, and tell when it does not. At the end you have two cures for a network that cannot read a digit
# one pixel further left, and see which of them is the better one. It belongs to
# [lecture 10](../lectures/10_augmentation.ipynb); about 50 minutes.
#
# **How it goes.** Write a function in place of the line that raises `NotImplementedError`, run the cell, and run the
# check below it. The check tries your function on a few inputs, small ones first, and says what it expected and what
# it got; if it knows your mistake, it names it. Wrong tries cost nothing. When you are stuck:
#
# | you type | you get |
# |---|---|
# | `book.hint("flip")` | a hint, one stage further each time |
# | `flip(*book.given("flip"))` | your function on the input that failed |
# | `book.solution("flip")` | the solution, after a try |
#
# **Shapes.** A batch of pictures is a tensor `[N, C, H, W]`: N pictures, C channels, H rows from the top down, W
# columns from left to right. Rows, columns and classes count from 0. What is drawn at random comes in as an argument,
# so that there is one right answer. No function may change its arguments.

# %%
import math
from dataclasses import replace

import torch
import torch.nn.functional as F

from lrlab import Run, data, figures, rules
from lrlab.data import Split
from lrlab.workbook import load

torch.set_num_threads(1)
book = load("10_augmentation", version=1)

# %% [markdown]
# ## 1 · Left and right   ★☆☆ · 5 min · 2 points
#
# A photograph of a cat, and the column in which its left eye is. Half of the photographs shall be mirrored. What is
# marked in a picture has to move with it.
#
# **Given** `x`, `[N, C, H, W]`; `column`, the column of the eye in each picture, whole numbers `[N]`; and `flipped`,
# True or False for each picture, `[N]`. **Asked:** the pictures, in which those with True are mirrored left to right,
# and the columns of the eyes in them, two tensors of the shapes of x and column.
#
# *Example.* One picture with the rows (1, 2, 3) and (4, 5, 6), its eye in column 0, flipped: the rows become (3, 2, 1)
# and (6, 5, 4), the eye is in column 2.

# %% question="flip"
def flip(x, column, flipped):
    """The pictures [N, C, H, W], mirrored where flipped is True, and the columns [N] of the eyes in them."""
    ### BEGIN SOLUTION
    pixels = torch.where(flipped[:, None, None, None], x.flip(-1), x)
    return pixels, torch.where(flipped, x.shape[-1] - 1 - column, column)
    ### END SOLUTION

# %% question="flip" points=2 difficulty=1 minutes=5
book.check("flip", flip)

# %% [markdown]
# A flip is its own inverse: `flip(*flip(x, column, flipped), flipped)` gives back what you had. If yours does not, look
# at the eye.
#
# ## 2 · A shift   ★★☆ · 8 min · 3 points
#
# **Given** `x`, `[N, C, H, W]`, and for each picture two whole numbers, `down` and `right`, each `[N]`; below 0 they
# mean up and left. **Asked:** the pictures, each moved by so many pixels, of the same shape. What leaves a picture is
# lost, and what comes in is black, 0.
#
# *Example.* The rows (1, 2, 3) and (4, 5, 6), moved by 1 to the right, are (0, 1, 2) and (0, 4, 5).

# %% question="shift"
def shift(x, down, right):
    """The pictures [N, C, H, W], each moved by so many pixels down and to the right, with black coming in."""
    ### BEGIN SOLUTION
    height, width = x.shape[-2:]
    border = max(int(down.abs().max()), int(right.abs().max()))
    padded = F.pad(x, (border, border, border, border))
    moved = []
    for picture, d, r in zip(padded, down.tolist(), right.tolist(), strict=True):
        top, left = border - d, border - r
        moved.append(picture[:, top : top + height, left : left + width])
    return torch.stack(moved)
    ### END SOLUTION

# %% question="shift" points=3 difficulty=2 minutes=8
book.check("shift", shift)

# %% [markdown]
# ## 3 · What does a 6 become?   ★★☆ · 7 min · 3 points
#
# Whether a transform keeps the label, the network cannot know. You can, and for the digits of a pocket calculator you
# can even compute it. They are made of seven segments:
#
# ```text
#  aaa      0 abcdef    5 acdfg
# f   b     1 bc        6 acdefg
# f   b     2 abdeg     7 abc
#  ggg      3 abcdg     8 abcdefg
# e   c     4 bcfg      9 abcdfg
# e   c
#  ddd
# ```
#
# A transform moves segments to segments: the mirror brings b to f, and leaves a where it is.
#
# **Given** `shapes`, a dictionary from the name of each class to its segments, such as `{"6": "acdefg", "9":
# "abcdfg"}`; and `moves`, a dictionary from each of the seven segments to the one it moves to. **Asked:** a
# dictionary from the name of each class to the name of the class whose picture it then is, which may be itself; and
# to `"?"` if no class looks like this.
#
# *Example.* Turned by 180 degrees, 6, 7 and 9 give `{"6": "9", "7": "?", "9": "6"}`.

# %% question="becomes"
def becomes(shapes, moves):
    """The class that each class looks like when its segments have moved, by name; "?" where there is none."""
    ### BEGIN SOLUTION
    labels = {frozenset(lit): name for name, lit in shapes.items()}
    result = {}
    for name, lit in shapes.items():
        seen = frozenset(moves[segment] for segment in lit)
        result[name] = labels.get(seen, "?")
    return result
    ### END SOLUTION

# %% question="becomes" points=3 difficulty=2 minutes=7
book.check("becomes", becomes)

# %% [markdown]
# For these digits no flip and no turn is label-preserving: a class that becomes another one teaches something false.
# For the classes 0 and 8 alone, all of them are. And what becomes a `"?"` is not false, only a picture that nobody will
# ever send you. So ask a transform about *all* your classes, never about pictures as such.
#
# ## 4 · Whose mean?   ★☆☆ · 5 min · 2 points
#
# **Given** the training pictures `train`, `[N, C, H, W]`, and `new` ones, `[M, C, H, W]`, on which the network will be
# tested. **Asked:** both, standardised as they must be, each channel by itself: minus a mean, divided by a standard
# deviation (with the number of pixels below the line, not one less). Whose mean, and whose deviation?
#
# *Example.* A training picture of the pixels 1 and 3 becomes −1 and 1. A new one of the pixels 2 and 4 becomes 0 and 2.

# %% question="standardise"
def standardise(train, new):
    """The training pictures and the new ones, standardised channel by channel."""
    ### BEGIN SOLUTION
    mean = train.mean((0, 2, 3), keepdim=True)
    deviation = train.std((0, 2, 3), correction=0, keepdim=True)
    return (train - mean) / deviation, (new - mean) / deviation
    ### END SOLUTION

# %% question="standardise" points=2 difficulty=1 minutes=5
book.check("standardise", standardise)

# %% [markdown]
# ## 5 · Mixup   ★★☆ · 7 min · 3 points
#
# **Given** pictures `x`, `[N, C, H, W]`, and their classes `y`, whole numbers `[N]`; for each picture a number `lam`
# between 0 and 1, `[N]`, and the number of its `partner`, `[N]`; and how many `classes` there are. **Asked:** mixup as
# fastai does it. Picture i is mixed with picture `partner[i]`, and *itself has the larger share*: λ or 1 − λ, whichever
# is more. The pictures, `[N, C, H, W]`, and the soft labels, `[N, classes]`, in the dtype of x.
#
# *Example.* Two pictures, (1, 0) of class 0 and (0, 1) of class 1, each the partner of the other, λ = 0.75 for both:
# the pictures become (0.75, 0.25) and (0.25, 0.75), and the labels the same. With λ = 0.25, too.

# %% question="mixup"
def mixup(x, y, lam, partner, classes):
    """Mixed pictures [N, C, H, W] and soft labels [N, classes]; each picture has the larger share of itself."""
    ### BEGIN SOLUTION
    share = torch.maximum(lam, 1 - lam)
    soft = F.one_hot(y, classes).to(x.dtype)
    of_pictures, of_labels = share[:, None, None, None], share[:, None]
    mixed = of_pictures * x + (1 - of_pictures) * x[partner]
    return mixed, of_labels * soft + (1 - of_labels) * soft[partner]
    ### END SOLUTION

# %% question="mixup" points=3 difficulty=2 minutes=7
book.check("mixup", mixup)

# %% [markdown]
# ## 6 · CutMix   ★★★ · 10 min · 4 points
#
# Now a box of the other picture is pasted into this one. It shall leave the share λ of the picture, so its area is
# 1 − λ of it, and its sides are √(1 − λ) of the height and of the width.
#
# **Given** two batches of one shape, `x` and `other`, `[N, C, H, W]`; a number `lam`; and `row` and `column`, the
# centre of the box, whole numbers, the same for all pictures. From the centre the box reaches ½ √(1 − λ) of the height
# up and down, and as much of the width to both sides, each *rounded down* to whole pixels: with a half height of h, the
# rows from row − h on, up to but without row + h. What sticks out of the picture is cut off. **Asked:** the pictures,
# `[N, C, H, W]`, and the share of x that is really left, a plain number: it is what the label gets.
#
# *Example.* 4 × 4 pixels, λ = 0.75: the half sides are 1. Around (2, 2) the box covers 4 of 16 pixels, and 0.75 is
# left. Around (0, 2) its upper half is cut off, and 0.875 is left.

# %% question="cutmix"
def cutmix(x, other, lam, row, column):
    """The pictures [N, C, H, W] with a box of the other ones, and the share of x that is left."""
    ### BEGIN SOLUTION
    window = []
    for centre, side in ((row, x.shape[-2]), (column, x.shape[-1])):
        half = int(0.5 * side * math.sqrt(1 - lam))
        window.append(slice(max(centre - half, 0), min(centre + half, side)))
    rows, columns = window
    pasted = x.clone()
    pasted[..., rows, columns] = other[..., rows, columns]
    area = (rows.stop - rows.start) * (columns.stop - columns.start)
    return pasted, 1 - area / (x.shape[-2] * x.shape[-1])
    ### END SOLUTION

# %% question="cutmix" points=4 difficulty=3 minutes=10
book.check("cutmix", cutmix)

# %% [markdown]
# Your two mixers on a 3 and an 8. Above each picture stands what its label says. (Once questions 5 and 6 are right.)

# %% tags=["nbval-ignore-output"]
digits = data.load("digits", device="cpu")
if book.right("mixup", "cutmix"):
    two = torch.stack([digits.pixels(digits.train.x[digits.train.y == digit])[i] for digit, i in ((3, 1), (8, 0))])
    fig, axes = figures.figure("A 3 mixed with an 8: faded by mixup above, pasted by CutMix below", 2, 5,
                               size=(7.2, 3.4))
    for column, (lam, lam_of_box) in enumerate(((1.0, 1.0), (0.9, 0.9), (0.75, 0.7), (0.6, 0.4), (0.5, 0.0))):
        faded, labels = mixup(two, torch.tensor([0, 1]), torch.full((2,), lam), torch.tensor([1, 0]), 2)
        pasted, share = cutmix(two, two.flip(0), lam_of_box, 5, 5)
        for ax, picture, of_3 in zip(axes[:, column], (faded[0], pasted[0]), (float(labels[0, 0]), share), strict=True):
            ax.imshow(picture[0], cmap="gray_r", vmin=0, vmax=1)
            ax.set_title(f"{of_3:.2f} of a 3", fontsize=9)
            ax.axis("off")
    figures.show(fig, alt="Two rows of five pictures. Above, an 8 shines through a 3 more and more. Below, a growing "
                 "box of an 8 is pasted into the lower right of a 3.")

# %% [markdown]
# Look at the lower row. For the last one λ was 0, and yet 0.23 is left: the box stuck out. And the label counts pixels,
# not what is to be seen in them. A box of mere background counts as much as one full of ink.
#
# ## 7 · Ask more than once   ★★☆ · 6 min · 3 points
#
# **Given** a `network`: `network(x)` gives logits `[N, K]`; pictures `x`, `[N, C, H, W]`; and `transforms`, a list of
# functions: `transform(x)` gives the pictures changed. **Asked:** test-time augmentation, the mean of the
# *probabilities* that the network gives for the pictures as they are and for each changed copy, all with the same
# weight, `[N, K]`.
#
# *Example.* One transform. The network says (0.25, 0.75) of the picture as it is, and (0.5, 0.5) of the copy: the
# answer is (0.375, 0.625).

# %% question="ask"
def ask(network, x, transforms):
    """The mean over the pictures as they are and all changed copies of the network's probabilities, [N, K]."""
    ### BEGIN SOLUTION
    copies = [x] + [transform(x) for transform in transforms]
    return torch.stack([network(copy).softmax(-1) for copy in copies]).mean(0)
    ### END SOLUTION

# %% question="ask" points=3 difficulty=2 minutes=6
book.check("ask", ask)

# %% [markdown]
# ## What you have built
#
# Two cures. All digits of this data set stand in the middle of their picture. Here 300 new ones are moved by up to a
# pixel with your `shift`, and networks that have learned from 200 digits, as they are, read them badly. You can ask
# such a network nine times with your `ask`, each time about another shift. Or you can train it with shifts to begin
# with. (The picture appears once questions 2 and 7 are right.)

# %% tags=["nbval-ignore-output"]
mean, scale = digits.mean[0], digits.scale[0]  # by which the pictures of a data set are standardised


def moved(x, down, right):  # black is 0 in pixels, and something else once they are standardised
    return (shift(digits.pixels(x), down, right) - mean) / scale


def by_dice(x, y, seed):  # each picture by −1, 0 or 1 pixel, as an augmentation of a run
    dice = torch.Generator().manual_seed(seed)
    return moved(x, *(torch.randint(-1, 2, (len(x),), generator=dice) for _ in range(2))), y


def nudge(down, right):
    return lambda x: moved(x, torch.full((len(x),), down), torch.full((len(x),), right))


if book.right("shift", "ask"):
    few = replace(digits, train=Split(digits.train.x[:200], digits.train.y[:200]), source=None)
    x, y = by_dice(*digits.validation, seed=0)
    neighbours = [nudge(d, r) for d in (-1, 0, 1) for r in (-1, 0, 1) if (d, r) != (0, 0)]
    shares = {"trained as they are, asked once": [], "trained as they are, asked nine times": [],
              "trained with your shifts, asked once": [], "trained with your shifts, asked nine times": []}
    with torch.no_grad():
        for augment, word in ((None, "as they are"), (by_dice, "with your shifts")):
            for seed in range(3):
                run = Run("mlp", few, rule=rules.Adam(), lr=0.003, augment=augment, seed=seed, device="cpu",
                          validate_every=0)
                with torch.enable_grad():
                    run.train(300, progress=False)
                for transforms, often in (([], "once"), (neighbours, "nine times")):
                    right = ask(run.model, x, transforms).argmax(-1) == y
                    shares[f"trained {word}, asked {often}"].append(100 * float(right.float().mean()))
    fig, ax = figures.figure("Asking nine times helps a little; training with shifts helps a lot", size=(7.2, 2.8))
    for row, values in enumerate(shares.values()):
        ax.plot(values, [row - 0.1, row, row + 0.1], "os^D"[row], color=figures.PALETTE[row], markersize=7)
    ax.set(yticks=range(4), yticklabels=shares, ylim=(3.5, -0.5), xlim=(30, 100))
    ax.set_xlabel("right of 300 shifted digits / % (three seeds)")
    ax.grid(False, axis="y")
    words = "; ".join(f"{name}: {min(values):.0f} to {max(values):.0f} %" for name, values in shares.items())
    figures.show(fig, alt=f"Right answers on shifted digits, three seeds each. {words}.")

# %% [markdown]
# Asking nine times costs nine passes for every picture, for ever. Training with shifts costs nothing at inference.

# %%
book.progress()
