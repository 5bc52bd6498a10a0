# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Workbook 9 · Dropout
#
# Eight functions, from two lines to eight. Afterwards you know whose p it is, can drop units, channels and single
# weights, and can say what the shortcut at inference leaves out. At the end a network tells you which of 300 digits it
# had better not be trusted with. It belongs to [lecture 9](../lectures/09_dropout.ipynb); about 50 minutes.
#
# **How it goes.** Write a function in place of the line that raises `NotImplementedError`, run the cell, and run the
# check below it. The check tries your function on a few inputs, small ones first, and says what it expected and what
# it got; if it knows your mistake, it names it. Wrong tries cost nothing. When you are stuck:
#
# | you type | you get |
# |---|---|
# | `book.hint("dropout")` | a hint, one stage further each time |
# | `dropout(*book.given("dropout"))` | your function on the input that failed |
# | `book.solution("dropout")` | the solution, after a try |
#
# **Symbols**, as in the lecture: x what the units of a layer say, a mask m of ones (stays) and zeros (goes); `keep`,
# the probability to stay, and `p`, the probability to *go*. Both have no unit, and each question says which of the two
# it gives you. Random numbers come in as an argument, so that there is one right answer. No function may change its
# arguments.

# %%
import itertools
import math

import torch
from torch import nn

from lrlab import Run, data, figures
from lrlab.dropout import InvertedDropout
from lrlab.workbook import load

torch.set_num_threads(1)
book = load("09_dropout", version=1)

# %% [markdown]
# ## 1 · The lecture's form   ★☆☆ · 5 min · 2 points
#
# A coin that falls on the right side with a given probability is made of a uniform number: it lies below 0.8 in 80 of
# 100 cases.
#
# **Given** `x`, a tensor `[P]`; `u`, uniform random numbers between 0 and 1, `[P]`; the probability `keep`; and
# `training`, True or False. **Asked:** dropout in the lecture's form (section 9.2, Srivastava's), a tensor `[P]`. In
# training a unit stays where its number in `u` lies below `keep`, and nothing is scaled. At inference it is the other
# way round.
#
# *Example.* x = (1, 2, 3), u = (0.1, 0.9, 0.5) and keep = 0.8 give (1, 0, 3) in training, and (0.8, 1.6, 2.4) at
# inference.

# %% question="dropout"
def dropout(x, u, keep, training):
    """Dropout in the lecture's form, [P]: the mask in training, the expectation at inference."""
    ### BEGIN SOLUTION
    if training:
        return (u < keep) * x
    return keep * x
    ### END SOLUTION

# %% question="dropout" points=2 difficulty=1 minutes=5
book.check("dropout", dropout)

# %% [markdown]
# ## 2 · Say it to torch   ★★☆ · 6 min · 3 points
#
# You have got the weights of somebody who counts as the papers do: a layer W (m ⊙ h) + b behind dropout in the form of
# question 1. You want to go on with `nn.Dropout(p)` and `nn.Linear`. torch's dropout drops with probability p,
# *divides* what stays by 1 − p, and does nothing at inference.
#
# **Given** `W`, `[outputs, units]`, `b`, `[outputs]`, and `keep`. **Asked:** the number `p` for torch, and the new
# `W` and `b`, with which under each mask, and at inference too, the same comes out as before.
#
# *Example.* W = ((2, 3)), b = (1) and keep = 0.8 become p = 0.2, W = ((1.6, 2.4)), b = (1).

# %% question="to_torch"
def to_torch(W, b, keep):
    """The p of nn.Dropout, and the weights and the bias of the layer behind it."""
    ### BEGIN SOLUTION
    return 1 - keep, keep * W, b
    ### END SOLUTION

# %% question="to_torch" points=3 difficulty=2 minutes=6
book.check("to_torch", to_torch)

# %% [markdown]
# ## 3 · Whole channels   ★☆☆ · 5 min · 2 points
#
# In a feature map neighbours say nearly the same, so that a dropped pixel is not missed. Spatial dropout drops whole
# channels.
#
# **Given** `x`, `[N, C, H, W]`; `u`, uniform numbers, `[N, C]`; and `p`, as torch counts. **Asked:** what spatial
# dropout makes of x in *training*, in torch's (the inverted) form, `[N, C, H, W]`. A channel goes where its number
# lies below p.
#
# *Example.* Two channels with a row of two pixels each, (1, 2) and (4, 8), the numbers 0.1 and 0.7, p = 0.2: the first
# goes, the second becomes (5, 10).

# %% question="spatial_dropout"
def spatial_dropout(x, u, p):
    """Spatial dropout in training, inverted form, [N, C, H, W]: a channel goes with probability p."""
    ### BEGIN SOLUTION
    mask = (u >= p)[:, :, None, None]
    return mask * x / (1 - p)
    ### END SOLUTION

# %% question="spatial_dropout" points=2 difficulty=1 minutes=5
book.check("spatial_dropout", spatial_dropout)

# %% [markdown]
# ## 4 · Single weights   ★☆☆ · 5 min · 2 points
#
# Dropout takes a unit away from everybody who listens to it. DropConnect (Wan and others, 2013) cuts single wires: each
# *weight* has a coin of its own. A layer of 128 units and 10 outputs has 2¹²⁸ masks for its units, and 2¹²⁸⁰ for its
# weights.
#
# **Given** `x`, `[N, units]`; the layer's `W`, `[outputs, units]`, and `b`, `[outputs]`; `u`, uniform numbers,
# `[outputs, units]`; and `p`, as torch counts. **Asked:** what the layer says in *training*, in the inverted form,
# `[N, outputs]`. A weight goes where its number lies below p, for all examples alike; b is never dropped.
#
# *Example.* x = ((1, 2)), W = ((4, 8)), b = (1), u = ((0.1, 0.7)), p = 0.2: the first weight goes, the second becomes
# 8/0.8 = 10, and the output is 2 · 10 + 1 = 21.

# %% question="dropconnect"
def dropconnect(x, W, b, u, p):
    """A linear layer whose weights are dropped with probability p, in training, inverted form, [N, outputs]."""
    ### BEGIN SOLUTION
    kept = (u >= p) * W / (1 - p)
    return x @ kept.T + b
    ### END SOLUTION

# %% question="dropconnect" points=2 difficulty=1 minutes=5
book.check("dropconnect", dropconnect)

# %% [markdown]
# ## 5 · All the masks there are   ★★☆ · 8 min · 3 points
#
# With n units there are 2ⁿ masks, and each makes a network of its own. For a few units you can ask them all.
#
# **Given** `f`, a function that makes a plain number of a vector `[n]`; the vector `x`, `[n]`, with n up to 5; and
# `keep`. **Asked:** the expectation of f(m ⊙ x), a plain number: what f says under each mask, times the probability of
# that mask, added up. Nothing is scaled.
#
# *Example.* f(x) = (x₁ + x₂)², x = (1, 2) and keep = 0.5: the four masks give 9, 1, 4 and 0, and their mean is 3.5.

# %% question="mean_over_masks"
def mean_over_masks(f, x, keep):
    """The mean of f(mask * x) over all masks, each with its probability, a number."""
    ### BEGIN SOLUTION
    mean = 0.0
    for bits in itertools.product((0, 1), repeat=len(x)):
        mask = torch.tensor(bits, dtype=x.dtype)
        ones = sum(bits)
        mean += keep**ones * (1 - keep) ** (len(x) - ones) * f(mask * x)
    return mean
    ### END SOLUTION

# %% question="mean_over_masks" points=3 difficulty=2 minutes=8
book.check("mean_over_masks", mean_over_masks)

# %% [markdown]
# ## 6 · What the shortcut leaves out   ★★☆ · 7 min · 3 points
#
# At inference nobody asks 2ⁿ masks. The shortcut replaces m ⊙ x by its mean, keep · x, and asks once. For a weighted
# sum that is exact. Is it behind a ReLU?
#
# **Given** `w` and `x`, tensors `[n]`, a plain number `b`, and `keep`. The unit says max(0, w·(m ⊙ x) + b).
# **Asked:** its mean over all masks *minus* what the shortcut says, a plain number. Your `mean_over_masks` may help.
#
# *Example.* w = 1, x = 2, b = −1, keep = 0.5. With the input the unit says 1, without it 0, on average 0.5. The
# shortcut says max(0, 1 − 1) = 0. The gap is 0.5.

# %% question="scaling_gap"
def scaling_gap(w, b, x, keep):
    """The mean of a ReLU unit over all masks minus the ReLU unit with its inputs scaled, a number."""
    ### BEGIN SOLUTION
    def unit(z):
        return max(float(w @ z) + b, 0.0)

    return mean_over_masks(unit, x, keep) - unit(keep * x)
    ### END SOLUTION

# %% question="scaling_gap" points=3 difficulty=2 minutes=7
book.check("scaling_gap", scaling_gap)

# %% [markdown]
# Did you see a gap below 0? There is none: a function that bends upwards, as the ReLU does, is on average at least what
# it is at the average (Jensen's inequality). So behind the first ReLU the shortcut always errs to the same side.
#
# ## 7 · How loud is the noise?   ★★☆ · 7 min · 3 points
#
# Dropout keeps the mean of a sum right. It never promised to keep its variance.
#
# **Given** `w` and `x`, tensors `[n]`, and `p` as torch counts. In training the unit says Σ wᵢ xᵢ mᵢ / (1 − p), where
# each mᵢ is 0 with probability p, independent of the others. **Asked:** the mean of that sum and its standard
# deviation over the masks, two plain numbers. There may be too many masks to go through: find the formula.
#
# *Example.* One input with w x = 3, and p = 0.5: the unit says 6 or 0, each in half of the cases. The mean is 3, and so
# is the deviation.

# %% question="spread"
def spread(w, x, p):
    """Mean and standard deviation of a sum under inverted dropout, two numbers."""
    ### BEGIN SOLUTION
    terms = w * x
    return float(terms.sum()), math.sqrt(p / (1 - p) * float((terms**2).sum()))
    ### END SOLUTION

# %% question="spread" points=3 difficulty=2 minutes=7
book.check("spread", spread)

# %% [markdown]
# Put n equal terms into your formula: the deviation is √(p / ((1 − p) n)) times the mean. With p = 0.5 that is 9 % for
# 128 units and 29 % for 12. A small layer hears dropout much louder, one more reason to leave it out there (section
# 9.5).
#
# ## 8 · Ask many masks   ★★☆ · 7 min · 3 points
#
# **Given** a `network`: `network(x, mask)` gives the logits `[N, K]` of the network with only those hidden units that
# the mask `[hidden]` keeps, scaled as it must be; the inputs `x`, `[N, inputs]`; and `masks`, `[M, hidden]`, M of them,
# at least two. **Asked:** the mean over the masks of the *probabilities* that the network gives each class, and their
# standard deviation over the masks (with M − 1, as for a sample), two tensors `[N, K]`.
#
# *Example.* One input, two classes, two masks: under the first the network says (0.5, 0.5), under the second (0.25,
# 0.75). The mean is (0.375, 0.625), the deviation 0.177 for both.

# %% question="monte_carlo"
def monte_carlo(network, x, masks):
    """Mean and deviation over the masks of the network's probabilities, two tensors [N, K]."""
    ### BEGIN SOLUTION
    probabilities = torch.stack([network(x, mask).softmax(-1) for mask in masks])
    return probabilities.mean(0), probabilities.std(0)
    ### END SOLUTION

# %% question="monte_carlo" points=3 difficulty=2 minutes=7
book.check("monte_carlo", monte_carlo)

# %% [markdown]
# ## What you have built
#
# A network that knows when to ask. It learns from 200 digits with dropout, and then reads 300 new ones under a hundred
# of your masks. Where the masks disagree about the answer that is given, it is in doubt. (The picture appears once
# questions 1 and 8 are right.)

# %% tags=["nbval-ignore-output"]
if book.right("dropout", "monte_carlo"):
    few = data.load("digits", per_class=20, device="cpu")
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 128), nn.ReLU(), InvertedDropout(0.5), nn.Linear(128, 10))
    Run(model, few, lr=0.15, batch_size=20, seed=0, device="cpu", validate_every=0).train(300, progress=False)

    def masked(x, mask):
        return model[4](torch.relu(model[1](x.flatten(1))) * mask / 0.5)

    ones, dice = torch.ones(128), torch.Generator().manual_seed(0)
    masks = torch.stack([dropout(ones, torch.rand(128, generator=dice), 0.5, True) for _ in range(100)])
    with torch.no_grad():
        mean, deviation = monte_carlo(masked, few.validation.x, masks)
    answer = mean.argmax(-1)
    right = (answer == few.validation.y).float()
    doubt = deviation.gather(1, answer[:, None])[:, 0]  # of the class that is answered
    order = doubt.argsort()

    fig, axes = figures.figure("The more the masks disagree, the more often the answer is wrong", 3, 8, size=(7.2, 4.4))
    for ax in axes.flat:
        ax.axis("off")
    for row, (which, name) in enumerate(((order[:8], "least doubt"), (order[-8:], "most doubt"))):
        for ax, i in zip(axes[row], which, strict=True):
            ax.imshow(few.pixels(few.validation.x)[i, 0], cmap="gray_r", vmin=0, vmax=1)
            ax.set_title(f"{few.validation.y[i]}, read as {answer[i]}", fontsize=7)
        axes[row, 0].text(-0.2, 0.5, name, rotation=90, va="center", ha="right", transform=axes[row, 0].transAxes)
    sixths = [float(right[part].mean()) for part in order.chunk(6)]
    below = fig.add_subplot(3, 1, 3)
    below.bar(range(6), [100 * share for share in sixths], color=figures.PALETTE[0])
    below.set(xlabel="a sixth of the digits each, from the least doubt to the most", ylabel="right / %", ylim=(0, 105))
    below.set_xticks([])
    words = ", ".join(f"{share:.0%}" for share in sixths)
    figures.show(fig, alt="Eight digits with the least doubt, all read right, and eight with the most. Right "
                 f"answers by sixths, from the least doubt to the most: {words}.")

# %% [markdown]
# That is what a hundred passes buy: hand the last sixth to a human, and of what remains nearly everything is right. The
# doubt is a hint and no guarantee. The masks share their weights, and an empty picture does not stand out: many a digit
# is doubted more.

# %%
book.progress()
