# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Workbook 12 · Transfer learning
#
# Seven functions, from three lines to eight. Afterwards you can take somebody else's network, freeze what you want so
# that it really is frozen, put a head of your own on it, and say when it pays to keep the features. At the end your
# head sits on two networks, one that knows other letters and one that knows nothing. It belongs to
# [lecture 12](../lectures/12_transfer_learning.ipynb); about 50 minutes.
#
# **How it goes.** Write a function in place of the line that raises `NotImplementedError`, run the cell, and run the
# check below it. The check tries your function on a few inputs, small ones first, and says what it expected and what
# it got; if it knows your mistake, it names it. Wrong tries cost nothing. When you are stuck:
#
# | you type | you get |
# |---|---|
# | `book.hint("factor_of")` | a hint, one stage further each time |
# | `factor_of(*book.given("factor_of"))` | your function on the input that failed |
# | `book.solution("factor_of")` | the solution, after a try |
#
# **Words**, as in the lecture: a *path* says where a module is in a network, `"layer1.0"`; a *parameter's name* is the
# path of its module and one word more, `"layer1.0.weight"`. Layer *groups* are listed from the input to the *head*, the
# last linear layer. Functions 4 to 6 are given a network and may change it; no other argument may be changed.

# %%
import copy
import math
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from lrlab import Run, data, figures, models, rules, transfer
from lrlab.data import Split
from lrlab.workbook import load

torch.set_num_threads(1)
book = load("12_transfer_learning", version=1)

# %% [markdown]
# ## 1 · Whose factor is it?   ★☆☆ · 6 min · 2 points
#
# The rate of a weight is α(t) times a factor. Factors are given by path: one for a whole stage, and perhaps another
# for a single layer in it.
#
# **Given** `name`, the name of a parameter, and `factors`, a dictionary from paths to numbers. A path *fits* what lies
# in the module there: `"layer1"` fits `"layer1.0.weight"`, and it does not fit `"layer10.0.weight"`. A path may also be
# the whole name. **Asked:** the factor of the longest path that fits, a number; 1 if none fits.
#
# *Example.* `"layer1.0.weight"` with the factors `{"layer1.0": 0.5, "layer1": 0.1}` has 0.5.

# %% question="factor_of"
def factor_of(name, factors):
    """The factor of the longest path that the parameter lies under; 1.0 without one."""
    ### BEGIN SOLUTION
    fitting = [path for path in factors if name == path or name.startswith(path + ".")]
    return factors[max(fitting, key=len)] if fitting else 1.0
    ### END SOLUTION

# %% question="factor_of" points=2 difficulty=1 minutes=6
book.check("factor_of", factor_of)

# %% [markdown]
# ## 2 · Lower below   ★☆☆ · 5 min · 2 points
#
# The head has everything to learn, the first layers nearly nothing. So the rate falls from group to group, by the same
# ratio each time.
#
# **Given** `groups`, a list of names from the input to the head, and `divide_by`, a number above 1. **Asked:** a
# dictionary from each group to its factor: 1 for the head, and each group below has that of the one above it divided
# by `divide_by`.
#
# *Example.* `["stem", "layer1", "head"]`, divided by 2: `{"stem": 0.25, "layer1": 0.5, "head": 1.0}`.

# %% question="discriminative"
def discriminative(groups, divide_by):
    """Factor by group: 1 for the last one, divide_by times less from group to group below it."""
    ### BEGIN SOLUTION
    return {group: divide_by**-below for below, group in enumerate(reversed(groups))}
    ### END SOLUTION

# %% question="discriminative" points=2 difficulty=1 minutes=5
book.check("discriminative", discriminative)

# %% [markdown]
# ## 3 · One more each time   ★★☆ · 7 min · 3 points
#
# Gradual unfreezing: at first the head learns alone, then one group more at a time, from the top down. The paper counts
# in epochs. A run counts in steps.
#
# **Given** `groups`, a list from the input to the head; the number of training `images`; the `batch_size`, at most as
# large; and `epochs`, how many from one unfreezing to the next. Images that do not fill a batch sit out, in each epoch.
# **Asked:** the plan, a list of pairs `(step, learning)`: at that step, exactly the groups in the list `learning` begin
# or go on to learn, in the order of `groups`. The first pair is at step 0.
#
# *Example.* Groups `["stem", "layer1", "head"]`, 330 images in batches of 32, every 2 epochs: an epoch has 10 steps,
# so the plan is `[(0, ["head"]), (20, ["layer1", "head"]), (40, ["stem", "layer1", "head"])]`.

# %% question="unfreezing"
def unfreezing(groups, images, batch_size, epochs):
    """The plan of gradual unfreezing: pairs of a step and the groups that learn from it on."""
    ### BEGIN SOLUTION
    every = epochs * (images // batch_size)
    return [(number * every, groups[-1 - number :]) for number in range(len(groups))]
    ### END SOLUTION

# %% question="unfreezing" points=3 difficulty=2 minutes=7
book.check("unfreezing", unfreezing)

# %% [markdown]
# ## 4 · Really frozen   ★★☆ · 8 min · 3 points
#
# In plain torch a weight is frozen when its `requires_grad` is False. That is one half. The other: a batch
# normalisation in training mode changes its running statistics with every batch, frozen or not.
#
# **Given** `network`, a module that somebody has used before, so that some of its weights may be frozen and its mode
# may be any; and `paths`, a list of the modules to freeze. **Asked:** the same network, in which the weights under
# these paths do not learn and all others do, and in which the modules under these paths are in inference mode and all
# other batch normalisations in training mode. Change it in place, and return it.
#
# *Example.* With the path `"stem"` the weights `stem.0.weight`, `stem.1.weight` and `stem.1.bias` are frozen, and the
# normalisation `stem.1` is in inference mode.

# %% question="freeze"
def freeze(network, paths):
    """The network, with all that is under the paths frozen: neither weights nor statistics change."""
    ### BEGIN SOLUTION
    network.train()
    network.requires_grad_(True)
    for path in paths:
        network.get_submodule(path).requires_grad_(False).eval()
    return network
    ### END SOLUTION

# %% question="freeze" points=3 difficulty=2 minutes=8
book.check("freeze", freeze)

# %% [markdown]
# ## 5 · A new head   ★★★ · 10 min · 4 points
#
# The network tells 36 classes apart, and you have ten others. Networks call their head `fc`, or `classifier.6`, or just
# `13`, so do not rely on a name.
#
# **Given** `network`, whose head is the last `nn.Linear` in the order of `network.named_modules()` (and not the whole
# network), and `classes`, the number of your classes. **Asked:** the same network with a new linear layer in the place
# of the head: for as many features as the old one, with as many answers as you have classes, and with a bias if the old
# one had one. All else stays. Its weights are drawn by torch, as always. Change it in place, and return it.
#
# *Example.* `nn.Sequential(nn.Linear(4, 2), nn.ReLU(), nn.Linear(2, 3))` for 5 classes: the last layer becomes
# `nn.Linear(2, 5)`.

# %% question="new_head"
def new_head(network, classes):
    """The network with a new linear layer for so many classes in the place of its last one."""
    ### BEGIN SOLUTION
    names = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)]
    parent, _, name = names[-1].rpartition(".")
    old = network.get_submodule(names[-1])
    setattr(network.get_submodule(parent), name, nn.Linear(old.in_features, classes, bias=old.bias is not None))
    return network
    ### END SOLUTION

# %% question="new_head" points=4 difficulty=3 minutes=10
book.check("new_head", new_head)

# %% [markdown]
# ## 6 · Once is enough   ★★☆ · 8 min · 3 points
#
# A frozen body says the same of the same picture in every epoch. So ask it once, and keep the answers.
#
# **Given** `body`, a module `[n, C, H, W] -> [n, ...]` that may be in any mode; `x`, pictures `[N, C, H, W]`, too many
# to go through at once; and `batch_size`, how many may. **Asked:** the features `[N, F]`: what the body in *inference
# mode* makes of each picture, as one row, in the order of the pictures. No gradient hangs on them.
#
# *Example.* A body that takes the mean of each of the two rows of a picture gives `[2.0, 6.0]` for the picture
# `[[1.0, 3.0], [5.0, 7.0]]`: with 10 such pictures a tensor `[10, 2]`.

# %% question="features"
def features(body, x, batch_size):
    """What the body, in inference mode, makes of each picture: [N, F]."""
    ### BEGIN SOLUTION
    body.eval()
    with torch.no_grad():
        return torch.cat([body(some).flatten(1) for some in x.split(batch_size)])
    ### END SOLUTION

# %% question="features" points=3 difficulty=2 minutes=8
book.check("features", features)

# %% [markdown]
# ## 7 · When has it paid?   ★★☆ · 6 min · 3 points
#
# **Given** three times in milliseconds: `once`, what computing all features takes; `with_body`, a training step of the
# head with the frozen body run each time; `on_features`, a training step of the head on kept features; and `steps`, how
# many steps an epoch has. **Asked:** the smallest number of whole epochs after which keeping features has taken *less*
# time in total; `math.inf` if it never does.
#
# *Example.* 30 ms once, steps of 3 and 1 ms, 10 of them in an epoch. After one epoch: 30 against 30 + 10. After two: 60
# against 30 + 20, so the answer is 2.

# %% question="epochs_until_cheaper"
def epochs_until_cheaper(once, with_body, on_features, steps):
    """After how many whole epochs kept features have taken less time; math.inf if they never do."""
    ### BEGIN SOLUTION
    won = steps * (with_body - on_features)
    return math.floor(once / won) + 1 if won > 0 else math.inf
    ### END SOLUTION

# %% question="epochs_until_cheaper" points=3 difficulty=2 minutes=6
book.check("epochs_until_cheaper", epochs_until_cheaper)

# %% [markdown]
# ## What you have built
#
# A whole transfer. Ten small printed letters, five pictures of each. Your head is put on the network of the lecture,
# which has learned digits and capitals, and on one with random weights; both bodies are frozen, and their features
# computed once. How much of what the head gets right does it owe to the body? (The picture appears once questions 4 to
# 7 are right. If this machine has not trained the network of the lecture yet, it does so now, which takes some ten
# seconds.)

# %%
def on_frozen(network, dataset):
    """Your head alone, and the data set as the frozen rest of the network sees it."""
    network = freeze(new_head(network, len(dataset.classes)), [name for name, _ in network.named_children()][:-1])
    *_, (_, head) = network.named_children()
    parts = [Split(features(network[:-1], x, 256), y) for x, y in (dataset.train, dataset.validation, dataset.test)]
    size = head.in_features
    kept = replace(dataset, train=parts[0], validation=parts[1], test=parts[2], image_shape=(size,), source=None)
    return nn.Sequential(head), kept


# %% tags=["nbval-ignore-output"]
if book.right("freeze", "new_head", "features", "epochs_until_cheaper"):
    knowing = transfer.pretrained("glyphs", progress=False)
    curves = {"knows capitals": [], "knows nothing": []}
    for seed in range(4):
        letters = data.load("glyphs", seed=seed, side=8, characters="abdeghnqrt", count=3000, per_class=5, device="cpu")
        torch.manual_seed(seed)
        for name, network in {"knows capitals": copy.deepcopy(knowing), "knows nothing": models.cnn()}.items():
            head, kept = on_frozen(network, letters)
            settings = {"rule": rules.Momentum(), "batch_size": 25, "seed": seed, "validate_every": 5, "device": "cpu"}
            run = Run(head, kept, lr=0.05, **settings).train(100, progress=False)
            curves[name].append(run.history["val_accuracy"])
    fig, ax = figures.figure("The same head, on two bodies that do not learn", size=(7.2, 3.2))
    for i, (name, values) in enumerate(curves.items()):
        values = 100 * np.array(values)
        ax.fill_between(run.history["val_step"], values.min(0), values.max(0), color=figures.PALETTE[i], alpha=0.2)
        ax.plot(run.history["val_step"], np.median(values, 0), label=name, **figures.style(i))
    ax.set(xlabel="step of the head", ylabel="right on validation / %\n(4 seeds: median, range)", ylim=(0, 100))
    figures.direct_labels(ax)
    ends = {name: 100 * np.median([value[-1] for value in values]) for name, values in curves.items()}
    figures.show(fig, alt="Right answers on validation over the steps of the head; at the end "
                 + ", ".join(f"{value:.0f} % where the body {name}" for name, value in ends.items()) + ".")
    images, batch_size = 1197, 64  # the handwritten digits; what is counted here are pictures that go through the body
    epochs = epochs_until_cheaper(images, batch_size, 0, images // batch_size)
    passes = images // batch_size * batch_size
    print(f"With features kept {images:,} pictures go through the body, once; without, {passes:,} in each epoch.")
    print(f"After {epochs} epochs it has paid.")

# %%
book.progress()
