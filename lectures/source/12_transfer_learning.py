# %% [markdown]
# # 12 · Transfer learning: begin where others ended
#
# You have five pictures of each class. Somebody else had 8,000 pictures of other things, trained a network on them, and
# gives it to you. Is it worth more than a network that knows nothing? On one task of this lecture it wins over ten
# points of accuracy. On the next it wins next to nothing. On the third it costs you six. And all of that only holds if
# you choose one number well, for both networks: the learning rate.
#
# **After this lecture you can** say what the layers of a trained network know, and measure it; freeze them, let them
# learn at rates of their own, and unfreeze them one by one; compute once what need not be computed again; say from two
# questions about your data whether transfer will pay; and choose the rate for weights that are good already.
#
# Seven sections, about 70 minutes of your time. The cells need some 50 seconds of the machine's, on two CPU cores.
# The range test you know from [lecture 6](06_finding_the_rate.ipynb), warm restarts from
# [lecture 7](07_schedules.ipynb), augmentation from [lecture 10](10_augmentation.ipynb).

# %%
import copy
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from IPython.display import display
from torch import nn
from torchvision.models import ResNet18_Weights

import lrlab
from lrlab import Run, data, evidence, figures, instruments, models, range_test, rules, source, sweep, transfer
from lrlab import schedules as S
from lrlab.augmentation import HorizontalFlip, Translate
from lrlab.data import Split

assert lrlab.__version__.startswith("0.1"), f"written for lrlab 0.1, this is {lrlab.__version__}: run make install"
torch.set_num_threads(1)  # networks this small are faster on one: two threads would wait for each other

# %% [markdown]
# ## 12.1 What does it know already?
# <small>About 15 minutes; the cells run in 12 s, and some ten more where the network has to be trained first.</small>
#
# The network you are given is small: three convolutions, each with a normalisation, and a linear layer, 32,660
# weights. It has learned to tell the ten digits and 26 capitals apart, **printed**, in sixteen faces, at 8 × 8
# pixels. That was the **source task**. It
# ships with the package as a recipe, so it is trained on your machine the first time and then kept.

# %%
knowing = transfer.pretrained("glyphs", progress=False)
printed = data.load("glyphs", device="cpu", side=8)


def right(network, split):  # the share that it gets right
    with torch.no_grad():
        return float((network(split.x).argmax(1) == split.y).float().mean())


reads = right(knowing, printed.test)
evidence.verdict("it reads over 95 % of 2,000 printed characters that it has not seen", reads > 0.95, f"{reads:.3f}")

# %% [markdown]
# You want it for another task, the **target task**. We take three, each with ten classes and 8 × 8 pixels, ever less
# like the source:
#
# | target | what is alike, and what is not |
# |---|---|
# | **printed letters** | ten small letters that do not look like their capitals, in the same faces |
# | **handwritten digits** | strokes too, but from people's hands |
# | **scrambled digits** | the same digits, with their 64 pixels in another order, the same order in all pictures |
#
# Nobody has the third task. It marks the end of the scale: the same classes, as many pictures, the same pixels. Only
# that what lies side by side does not belong together any more. Each **seed** draws its own order.

# %%
letters = data.load("glyphs", device="cpu", side=8, characters="abdeghnqrt", count=3000)
digits = data.load("digits", device="cpu")


def scrambled(dataset, seed):
    order = torch.randperm(64, generator=torch.Generator().manual_seed(seed))
    train, validation, test = (Split(x.flatten(1)[:, order].view_as(x), y)
                               for x, y in (dataset.train, dataset.validation, dataset.test))
    return replace(dataset, train=train, validation=validation, test=test, source=None)


targets = {"printed letters": lambda seed: letters, "handwritten digits": lambda seed: digits,
           "scrambled digits": lambda seed: scrambled(digits, seed)}


def few(dataset, images, seed):  # so many training images of each class, others for every seed
    x, y = dataset.train
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(seed))
    keep = torch.cat([order[y[order] == k][:images] for k in range(len(dataset.classes))])
    return replace(dataset, train=Split(x[keep], y[keep]), source=None)


# %% tags=["nbval-ignore-output"]
fig, axes = figures.figure("What the network has learned, and three tasks ever less like it", 4, 10, size=(7.2, 3.6))
rows = {"source: printed": printed, **{name: target(0) for name, target in targets.items()}}
for row, (name, dataset) in zip(axes, rows.items(), strict=True):
    classes = range(10) if dataset is not printed else range(0, 36, 4)
    for ax, k in zip(row, [*classes, 35], strict=False):
        ax.imshow(dataset.train.x[dataset.train.y == k][1, 0].numpy(), cmap="gray_r")
        ax.axis("off")
    row[0].set_title(name, loc="left", fontsize=9)
figures.show(fig, alt="Four rows of ten pictures: printed digits and capitals, printed small letters, handwritten "
             "digits, and digits whose pixels are scrambled so that nobody can read them.")

# %% [markdown]
# <details><summary><b>Predict (Q1).</b> You have 5 pictures of each class. You train the given network on, or a fresh
# one with the same number of steps; for both you have tried six rates. Who wins on the letters? On the handwritten
# digits? On the scrambled ones? Write down three words: given, fresh, or alike.</summary>
#
# Keep them until 12.4. If you wrote "given" three times, you think as most people do: what harm can knowledge do?
# </details>
#
# ### Look inside
#
# The first layer is a row of sixteen **filters**, each 3 × 3. One answers where the picture looks like the filter.
# Three patterns to look for: an edge with ink above, an edge with ink on the left, a horizontal stroke. How alike two
# patterns are says their **cosine**: 1 for equal up to size, 0 for unrelated.

# %%
patterns = {"ink above": [[1, 1, 1], [0, 0, 0], [-1, -1, -1]], "ink on the left": [[1, 0, -1]] * 3,
            "horizontal stroke": [[-1] * 3, [2] * 3, [-1] * 3]}
wanted = nn.functional.normalize(torch.tensor([*patterns.values()]).float().flatten(1))


def cosines(network):  # of each filter with each pattern, [16, 3]
    return nn.functional.normalize(network[0].weight.detach().flatten(1)) @ wanted.T


def fresh(seed):  # a network that knows nothing
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return models.cnn()


# %%
nearest = cosines(knowing).max(0)
by_chance = torch.stack([cosines(fresh(seed)).max(0).values for seed in range(100)])  # the best of 16 random ones
evidence.verdict("for each pattern a filter has a cosine over 0.65", bool((nearest.values > 0.65).all()))
middle = by_chance.median(0).values
between = bool(((middle > 0.5) & (middle < 0.65)).all())
evidence.verdict("the best of 16 random filters: over 0.5 in the median, below 0.65", between, f"{middle}")

# %%
sevens = {"printed": printed, "by hand": digits, "scrambled": scrambled(digits, 0)}
sevens = {name: dataset.train.x[dataset.train.y == 7][0] for name, dataset in sevens.items()}
with torch.no_grad():
    answers = {name: knowing[:3](x[None])[0, nearest.indices] for name, x in sevens.items()}  # [3, 8, 8], with ReLU

# %% tags=["nbval-ignore-output"]
fig, axes = figures.figure("A filter answers where the picture looks like it", 3, 4, size=(7.2, 5.6), sharex=False)
for row, name, filter_ in zip(axes, patterns, knowing[0].weight.detach()[nearest.indices, 0], strict=True):
    row[0].imshow(filter_.numpy(), cmap="RdBu", vmin=-0.3, vmax=0.3)
    row[0].set_title(f"filter: {name}", fontsize=9)
for i, (what, x) in enumerate(sevens.items()):
    for ax, places in zip(axes[:, 1 + i], answers[what].numpy(), strict=True):
        ax.imshow(x[0].numpy(), cmap="gray_r", alpha=0.35)
        down, across = np.nonzero(places > 0.05)
        ax.scatter(across, down, s=70 * places[down, across], color=figures.PALETTE[1])
        ax.set_title(f"a 7, {what}", fontsize=9)
for ax in axes.flat:
    ax.set(xticks=[], yticks=[])
    ax.grid(False)
figures.show(fig, alt="Three filters of the first layer, two edges and a stroke, and dots where they answer in three "
             "sevens. On the printed and the written one the edges mostly follow an outline, the stroke also answers "
             "beside the ink; on the scrambled one the dots lie about.")

# %% [markdown]
# (Blue wants ink, red wants paper; the larger the dot, the stronger the answer.) With some good will that is
# the well-known picture: the first layer detects edges and strokes, and those are of use for other writing, too. (The
# third filter answers beside the ink as well.) Now look at the second verdict. Of sixteen filters drawn **by dice**,
# the best is not much less like an edge. A 3 × 3 filter can hardly help being some kind of edge detector.
#
# So pictures of filters prove little. Measure: how well can a *linear* classifier tell the classes apart from what
# comes out of the first k blocks? It is called a **linear probe**. Do that for the trained blocks, and for fresh ones.
# Every probe gets the same three rates, and the validation split says which counts.
#
# <details><summary><b>Predict (Q2).</b> Printed letters, 20 of each. Where do trained blocks beat fresh ones: after the
# first, the second, the third? And the handwritten digits: which block is best to stand on?</summary>
#
# On the letters after every block, and by more the higher up. Yet neither the letters nor the digits are best off on
# top of block 3: a surprise for everybody who took "deeper is better" for granted. Look.
# </details>


# %%
def seen_through(layers, dataset):  # the data set as it comes out of some layers, which stay as they are
    with torch.no_grad():
        train, validation, test = (Split(layers(x).flatten(1), y)
                                   for x, y in (dataset.train, dataset.validation, dataset.test))
    shape = tuple(train.x.shape[1:])
    return replace(dataset, train=train, validation=validation, test=test, image_shape=shape, source=None)


def probe(layers, dataset, seed, lrs=(0.1, 0.3, 1.0)):  # the test accuracy of a linear classifier on top of them
    there, tried = seen_through(layers, dataset), []
    for lr in lrs:
        run = Run(lambda: models.mlp(there.image_shape[0], (), 10), there, rule=rules.Momentum(),  # made under the seed
                  lr=S.Cosine(lr, total=100), batch_size=32, seed=seed, device="cpu", validate_every=0)
        linear = run.train(100, progress=False).model
        tried.append((right(linear, there.validation), right(linear, there.test)))
    return max(tried, key=lambda pair: pair[0])[1]  # the rate that is best in validation


# %%
stages = {"pixels": 0, "block1": 4, "block2": 8, "block3": 12}  # how many layers come before
probes = {}  # (target, trained?) -> [4 seeds, 4 stages]
for target in ("printed letters", "handwritten digits"):
    for trained in (True, False):
        probes[target, trained] = np.array([
            [probe((knowing if trained else fresh(seed))[:depth], few(targets[target](seed), 20, seed), seed)
             for depth in stages.values()] for seed in range(4)])

# %% tags=["nbval-ignore-output"]
fig, axes = figures.figure("Up the blocks the lead grows for print, not for handwriting", 1, 2, size=(7.2, 3.2))
for ax, target in zip(axes, ("printed letters", "handwritten digits"), strict=True):
    for i, trained in enumerate((True, False)):
        values, name = 100 * probes[target, trained], "trained" if trained else "fresh"
        ax.plot(range(4), np.median(values, 0), marker="os"[i], label=name, **figures.style(i))
        ax.vlines(range(4), values.min(0), values.max(0), color=figures.PALETTE[i], alpha=0.4)
    ax.set(xticks=range(4), xticklabels=stages, xlabel="linear classifier after", xlim=(-0.15, 3.15))
    ax.set_title(target, loc="left")
    figures.direct_labels(ax)
axes[0].set_ylabel("test accuracy / %\n(4 seeds: median, range)")
words = "; ".join(f"{target}, {'trained' if t else 'fresh'}: " + ", ".join(f"{v:.0%}" for v in np.median(p, 0))
                  for (target, t), p in probes.items())
figures.show(fig, alt=f"Accuracy of a linear classifier on pixels and after blocks 1, 2 and 3: {words}.")

# %%
lead = {target: probes[target, True] - probes[target, False] for target in ("printed letters", "handwritten digits")}
in_print = np.median(lead["printed letters"], 0)
evidence.verdict("letters: after block1 the trained one leads by over 3 points in the median", in_print[1] > 0.03)
evidence.verdict("after block3 by over 4 points more", in_print[3] > in_print[1] + 0.04, f"{in_print}")
block1, block3 = np.median(probes["printed letters", True], 0)[[1, 3]]
evidence.verdict("letters: yet the trained block3 is no better to stand on than block1", block3 < block1 + 0.01)
by_hand = probes["handwritten digits", True][:, 0] - probes["handwritten digits", True][:, 3]
evidence.verdict("handwritten: bare pixels beat the trained block3 in at least 3 of 4, by over 1 point in the median",
                 bool((by_hand > 0).sum() >= 3 and np.median(by_hand) > 0.01), f"{by_hand}")

# %% [markdown]
# Three things in one picture. On the letters every trained block knows something that a fresh one does not, and the
# lead more than doubles from the first to the third. It does not grow because the trained blocks get better and better:
# the fresh ones lose, block by block, what a linear classifier needs, and the trained ones hold on to it. And what
# they hold on to is **specific**: for handwriting their third block leads by little, and bare pixels are better ground.
#
# (Yosinski and others found it on ImageNet: first layers general, last layers specific.)
#
# **Beware.** Had we taken the rate 0.1 for all of these classifiers, you would have read something else about letters:

# %%
at_one_rate = np.median([[probe(knowing[:depth], few(letters, 20, seed), seed, lrs=[0.1]) for depth in (4, 8, 12)]
                         for seed in range(4)], 0)
evidence.verdict("at 0.1 block3 seems to be the best ground for letters", at_one_rate.argmax() == 2, f"{at_one_rate}")

# %% [markdown]
# The classifiers on blocks 1 and 2 want a larger rate, and at 0.1 they are not done after 100 steps. A rate chosen for
# all is a rate chosen for one, and the others look stupid.
#
# ## 12.2 Which layers may learn, and how fast?
# <small>About 12 minutes; the cells run in 3 s.</small>
#
# So you keep some layers, let some learn, and replace the last, whose 36 answers are not yours. Layers have names, in
# **layer groups** from the input to the head:

# %%
network = transfer.new_head(copy.deepcopy(knowing), classes=10)
for name, paths in transfer.layer_groups(network).items():
    print(f"{name}: {sum(w.numel() for path in paths for w in network.get_submodule(path).parameters()):,} weights")

# %% [markdown]
# **Say.** Every group has a **factor** $c$, and the rate of a weight in it is
#
# $$\alpha_\text{group}(t) = c_\text{group}\,\alpha(t)$$
#
# One rate α(t), with whatever schedule; the factors say who gets how much of it. That is all there is to it:
#
# | name | factors |
# |---|---|
# | **frozen** | 0: the weight stands still, bit for bit, and no gradient is computed for it |
# | **head only** | 1 for the head, 0 for the rest; also called **feature extraction** |
# | **fine-tuning** all layers | 1 for all |
# | **discriminative** rates | 1 for the head, and less from group to group below it |
# | **gradual unfreezing** | head only at first, then one group more at a time |

# %%
source(transfer.discriminative, docstring=False)

# %% [markdown]
# The 2.6 is ULMFiT's; fast.ai's course takes 3 to 10. Gradual unfreezing is a **plan**: moves at steps, as in the log
# of any run.

# %%
plan = transfer.gradual(network, every=20)
print(plan)

# %%
lower = transfer.discriminative(network)
run = Run(network, few(letters, 5, 0), rule=rules.Momentum(), lr=S.Cosine(0.03, total=100), factors=lower, seed=0,
          batch_size=32, device="cpu", validate_every=0)
before = network[0].weight.detach().clone()
transfer.follow(run, plan, steps=60, progress=False)
evidence.verdict("gradual: block1 has not moved by a bit in 60 steps", torch.equal(run.model[0].weight, before))
run.turn("factors", lower)
run.train(40, progress=False)
evidence.verdict("it moves as soon as its factor is not 0", not torch.equal(run.model[0].weight, before))
evidence.verdict("the run's log has all four moves", [knob for _, knob, _ in run.moves] == ["factors"] * 4)

# %% [markdown]
# <details><summary><b>Predict (Q3).</b> Head only, block 3 too, all layers: in which of them does the training loss
# fall lowest? And which has the highest validation accuracy?</summary>
#
# The loss falls lowest where most may learn; that is what more weights are for. The accuracy is another matter, with 50
# pictures: the three are within four points of each other (12.4 has the medians).
# </details>
#
# **Your turn.** Printed letters, 5 of each. (1) *head only*, play some 60 steps, and read the accuracy. (2) Unfreeze
# from the top, *next* after each 20 steps: what does the loss do at the dashed lines, and the accuracy? (3) Rewind to
# 0, choose *all equal*, and raise the base rate to 0.3. Look at "moved": which group has gone furthest, and what is
# left of the accuracy? If nobody plays, the next cell makes (1) and (2).

# %%
dataset = few(letters, 5, 1)
run = Run(transfer.new_head(copy.deepcopy(knowing), 10), dataset, rule=rules.Momentum(), lr=0.03, batch_size=32,
          validate_every=10, device="cpu")
view = instruments.TransferView(run)
view.preset("head only")
view

# %% tags=["nbval-ignore-output"]
if run.step == 0:
    for steps in (60, 20, 20, 40):  # head only, then one group more at a time
        view.play(steps)
        view.wait(timeout=60)
        if view.frozen and steps != 40:
            view.preset("next")
figures.show(view.figure(), alt=view.alt)

# %% [markdown]
# <details><summary>What there was to see</summary>
#
# (1) Some 72 %. (2) The pale line, the loss of each batch, bends down a little; the accuracy creeps up by three points
# and knows of no dashed line. (3) The head, by far. But blocks 1 to 3 have moved by several times their own length,
# too: of what they knew nothing is left, and 60 steps later 10 or 20 % are right, where 10 % is guessing.
# </details>
#
# **Beware.** A torch optimizer is given its parameters when it is made. Given only those that were not frozen, as in
# many tutorials, it never learns what you unfreeze later, without any message, unless you `add_param_group` it. Freeze
# one by `requires_grad = False` *after* it has had a gradient, and with `zero_grad(set_to_none=False)` its momentum and
# weight decay go on moving it. And a frozen **batch normalisation** that stays in `train()` mode still changes: its
# running statistics are no parameters. Here factors take care of all three; when a group thaws, the rule's memory
# starts anew.
#
# ## 12.3 Why compute the same thing a hundred times?
# <small>About 6 minutes; the cells run in 1 s.</small>
#
# With everything below the head frozen, the head is shown the same 256 numbers for the same picture, in every epoch.
# So compute them once, and train the head on them. That is **precomputing features**.

# %%
dataset, network = few(digits, 20, 0), transfer.new_head(copy.deepcopy(knowing), 10)
features = transfer.precompute(network, dataset, device="cpu")
settings = {"rule": rules.Momentum(), "lr": 0.03, "batch_size": 32, "seed": 0, "device": "cpu", "validate_every": 0}
on_features = Run(features.head, features.data, **settings).train(60, progress=False)
frozen = transfer.factors(network, {"block1": 0, "block2": 0, "block3": 0})
with_body = Run(network, dataset, factors=frozen, **settings).train(60, progress=False)
apart = (on_features.model[-1].weight - with_body.model[-1].weight).abs().max() / with_body.model[-1].weight.abs().max()
evidence.verdict("the same head, to four digits, after 60 steps", bool(apart < 1e-4), f"{apart:.1g}")

# %% tags=["nbval-ignore-output"]
print(features.speedup())

# %% [markdown]
# The factor is your machine's; ours was busy when it printed that. It grows with the body: a ResNet-50 has eight
# hundred times the weights of this network, and its head stays small.
#
# <details><summary><b>Predict (Q4).</b> You add augmentation: each step shows pictures shifted by up to a pixel. What
# do the precomputed features do?</summary>
#
# They stay those of the pictures as they *were*. No error anywhere, the loss falls, and your augmentation does nothing
# at all. So the code refuses:
# </details>

# %%
try:
    transfer.precompute(network, dataset, augment=Translate(1))
except ValueError as error:
    print(error)
body = network[:12]
with torch.no_grad():
    as_they_were, shifted = (body(x).flatten(1) for x in (dataset.train.x, dataset.train.x.roll(1, -1)))
change = (shifted - as_they_were).norm(dim=1) / as_they_were.norm(dim=1)
evidence.verdict("a shift by one pixel moves the features by over a quarter of their length",
                 bool(change.median() > 0.25), f"{change.median():.2f}")

# %% [markdown]
# **Beware.** fast.ai's old course had a switch, `precompute=True`, that had to be turned off before augmentation did
# anything. And dropout or batch statistics in the frozen part would make the features differ from step to step;
# precomputed ones are those of inference mode.
#
# ## 12.4 When does it pay?
# <small>About 15 minutes; the cells run in 9 s.</small>
#
# Back to your three words (Q1). First here and now: 5 pictures of each class, four seeds, 100 steps for everybody. The
# rates were chosen before, on the validation split, for each way by itself: of six the best, under two other seeds.


# %%
def begin(way, dataset, seed):  # the network, and the data set that it is trained on
    if way == "from scratch":
        return fresh(seed), dataset
    network = transfer.new_head(copy.deepcopy(knowing), 10, seed)
    if way == "head":
        features = transfer.precompute(network, dataset, device="cpu")
        return features.head, features.data
    return network, dataset


def score(way, dataset, seed, lr, steps=100, **settings):  # the test accuracy
    network, dataset = begin(way, dataset, seed)
    run = Run(network, dataset, rule=rules.Momentum(), lr=S.Cosine(lr, total=steps), seed=seed, device="cpu",
              batch_size=min(32, len(dataset.train.y)), validate_every=0, **settings)
    return right(run.train(steps, progress=False).model, run.dataset.test)


# %%
rates = pd.read_csv(f"{lrlab.__path__[0]}/transfer_rates.csv", index_col=["target", "images", "method"]).sort_index()
ways, seeds = ("head", "all layers", "from scratch"), (0, 3, 6, 9)  # in the record these have this network
here = {}  # (target, way) -> the test accuracies [4]
for target, make in targets.items():
    for way in ways:
        lr = rates.chosen[target, 5, way]
        here[target, way] = np.array([score(way, few(make(seed), 5, seed), seed, lr) for seed in seeds])

# %%
given, new = ({target: here[target, way] for target in targets} for way in ("all layers", "from scratch"))
won = {target: given[target] - new[target] for target in targets}
evidence.verdict("letters: the given network wins, 4 of 4 seeds", bool((won["printed letters"] > 0).all()))
evidence.verdict("and by over 8 points in the median", bool(np.median(won["printed letters"]) > 0.08))
evidence.verdict("handwritten: less than 4 points between them, in the median",
                 bool(abs(np.median(won["handwritten digits"])) < 0.04))
evidence.verdict("scrambled: the given network loses over 3 points in the median, and in 4 of 4 seeds",
                 bool((won["scrambled digits"] < 0).all() and np.median(won["scrambled digits"]) < -0.03))

# %% [markdown]
# So it was: given, alike, fresh. Knowledge **can** do harm. That is called **negative transfer**: the network starts in
# a place from which the good solutions are further away than from nowhere.
#
# Four seeds, one number of pictures, one pre-trained network: that is little. So the same was done for ten ways, four
# numbers of pictures, ten seeds and three pre-trained networks, with the rates chosen for each case. It takes a quarter
# of an hour and was recorded (`benchmarks/bench_transfer.py` makes it anew). Ten seeds draw ten sets of pictures and
# ten heads, but they share three networks. So the record says much about other pictures, and little about what another
# pre-training would have changed. Do your runs agree with it?

# %%
recorded = pd.read_csv(f"{lrlab.__path__[0]}/transfer_accuracy.csv")
recorded = recorded.set_index(["target", "images", "steps", "seed"]).sort_index()
apart = [abs(np.median(values) - recorded[way].loc[target, 5, 100][list(seeds)].median())
         for (target, way), values in here.items()]
evidence.verdict("here and recorded: the medians of the same seeds are within 5 points, 9 of 9",
                 max(apart) < 0.05, str(apart))

# %% tags=["nbval-ignore-output"]
table = recorded.xs(100, level="steps")
shown = {"head": 0, "linear after block1": 2, "all layers": 1}
title = "The less alike, the less it wins; and in the end it costs"
fig, axes = figures.figure(title, 1, 3, size=(7.2, 3.6), sharey=True)
for ax, target in zip(axes, targets, strict=True):
    for way, i in shown.items():
        lead = 100 * (table.loc[target][way] - table.loc[target]["from scratch"])
        lead = lead.groupby("images").quantile([0.25, 0.5, 0.75]).unstack()
        ax.fill_between(range(4), lead[0.25], lead[0.75], color=figures.PALETTE[i], alpha=0.2)
        ax.plot(range(4), lead[0.5], marker="os^"[i], label=way, **figures.style(i))
    ax.axhline(0, color="black", linewidth=0.8, linestyle="-")
    ax.set(xticks=range(4), xticklabels=(2, 5, 20, 90), xlabel="pictures of each class", xlim=(-0.15, 3.15))
    ax.set_title(target, loc="left")
axes[0].set_ylabel("points won over from scratch\n(10 seeds: median, quartiles)")
figures.direct_labels(axes[2])
medians = table.groupby(["target", "images"]).median()
gains = 100 * table[list(shown)].sub(table["from scratch"], axis=0).groupby(["target", "images"]).median()
words = "; ".join(f"{target}, {images}: " + ", ".join(f"{way} {round(gain):+d}" for way, gain in row.items())
                  for (target, images), row in gains.loc[list(targets)].iterrows())
figures.show(fig, alt=f"Points of test accuracy won over training from scratch, median difference. {words}.")

# %% [markdown]
# All ten ways, the median of ten seeds, in per cent. *Gradual* unfreezes a group every 16 steps. The *random body* is
# the control: a head on a network that knows nothing.

# %% tags=["nbval-ignore-output"]
(100 * medians.loc[list(targets)]).round(1).T

# %%
ACCURACY = replace(evidence.METRICS["val_accuracy"], name="test accuracy", is_better="gets more of the test right")


def contest(target, images, steps=100):
    values = {way: column.to_numpy() for way, column in recorded.loc[target, images, steps].dropna(axis=1).items()}
    return evidence.Comparison(ACCURACY, values, dict.fromkeys(values, steps), dict.fromkeys(values, ()))


def claim(target, images, better, than, in_at_least):
    print(f"{target}, {images} of each", end=": ")
    contest(target, images).better(better, than=than, in_at_least=in_at_least)


# %%
for images in (2, 5, 20, 90):
    claim("printed letters", images, "all layers", than="from scratch", in_at_least=9)
claim("handwritten digits", 2, "linear after block1", than="from scratch", in_at_least=9)
claim("handwritten digits", 5, "linear after block1", than="from scratch", in_at_least=9)
claim("handwritten digits", 90, "from scratch", than="linear after block1", in_at_least=8)
wins = [contest("handwritten digits", images).wins("all layers", "from scratch") for images in (2, 5, 90)]
few_wins = set(wins) <= {5, 6, 7}
evidence.verdict("handwritten digits, 2, 5 and 90 of each: all layers win in 5 to 7 of 10", few_wins, str(wins))
claim("handwritten digits", 20, "all layers", than="from scratch", in_at_least=9)
handwritten = [contest("handwritten digits", images) for images in (2, 5, 20, 90)]
gain = [result.difference("all layers", "from scratch").median for result in handwritten]
evidence.verdict("and by less than 2 points in the median, with 2, 5, 20 and 90 of each", max(gain) < 0.02, str(gain))
for images in (2, 5, 20):
    claim("scrambled digits", images, "from scratch", than="all layers", in_at_least=8)
claim("scrambled digits", 2, "linear on pixels", than="from scratch", in_at_least=9)
last = contest("scrambled digits", 90)
even = last.wins("all layers", "from scratch") == last.wins("from scratch", "all layers")
evidence.verdict("scrambled digits, 90 of each: from scratch and all layers win equally often", even)

# %%
won = [contest(target, 5).difference("all layers", "from scratch").median for target in targets]
evidence.verdict("5 of each, all layers against from scratch, in the median: over 10 points on letters", won[0] > 0.1)
evidence.verdict("less than 2 on the handwritten digits", 0 < won[1] < 0.02)
evidence.verdict("and minus 6 on the scrambled ones", round(100 * won[2]) == -6, str(won))

# %% [markdown]
# ### The two questions
#
# *How alike is it? How much have you got?* Stanford's course CS231n makes a 2 × 2 table of them, with advice in each
# corner. Here is the advice, and what was measured (similar: printed letters, different: scrambled digits; little: 5 of
# each, much: 90):


# %%
def found(target, images, *ways):  # their medians, and how often the first beats the last
    result = contest(target, images)
    text = ", ".join(f"{way} {100 * np.median(result.values[way]):.0f} %" for way in ways)
    return f"{text}; first beats last in {result.wins(ways[0], ways[-1])} of 10 seeds"


near, far = "printed letters", "scrambled digits"
corners = {
    ("similar", "little"): ("a linear classifier on top", found(near, 5, "head", "gradual", "from scratch")),
    ("similar", "much"): ("fine-tune", found(near, 90, "all layers", "head", "from scratch")),
    ("different", "little"): ("a linear classifier on an earlier stage",
                              found(far, 5, "linear on pixels", "head", "from scratch")),
    ("different", "much"): ("from scratch, or fine-tune it all", found(far, 90, "all layers", "from scratch"))}

# %% tags=["nbval-ignore-output"]
with pd.option_context("display.max_colwidth", None):
    display(pd.DataFrame(corners, index=["the advice", "measured, in 100 steps"]).T)

# %%
for images in (2, 5, 20, 90):
    claim("printed letters", images, "head", than="head on a random body", in_at_least=10)
claim("printed letters", 5, "head", than="from scratch", in_at_least=9)
claim("printed letters", 5, "block3 and head", than="head", in_at_least=9)
claim("printed letters", 90, "all layers", than="head", in_at_least=9)
claim("scrambled digits", 5, "linear on pixels", than="from scratch", in_at_least=9)
claim("scrambled digits", 5, "linear on pixels", than="linear after block1", in_at_least=9)
claim("scrambled digits", 5, "from scratch", than="head", in_at_least=10)

# %% [markdown]
# The advice is sound in all four corners, with two remarks. Similar and little: the head is good, letting block 3 learn
# too is a little better, and fine-tuning all layers is no worse (72 %). Different and little: on data without
# neighbourhoods the *earliest* stage, the bare pixels, is ahead of a fresh network, and of block 1. So what the green
# line wins on the scrambled digits is not won by transfer, but by a linear classifier.
#
# And the handwritten digits lie in between, as most real tasks do. Fine-tuning all layers wins a point or two at most,
# and only with 20 of each in nine seeds of ten. What does win is a *linear classifier after block 1*: with 2 of each it
# is over eight points ahead of from scratch, with 90 it is behind. Is that the knowledge, or only the smaller number of
# weights? The control is the same classifier on a fresh block 1:

# %%
block1 = np.array([[probe(network[:4], few(digits, 5, seed), seed) for network in (knowing, fresh(seed))]
                   for seed in range(10)])
evidence.verdict("handwritten, 5 of each: the trained block1 beats a fresh one, in at least 8 of 10",
                 int((block1[:, 0] > block1[:, 1]).sum()) >= 8, str(block1))

# %% [markdown]
# So the first block does know something, and it travels. The third knows more, and stays at home.
#
# ### Are discriminative rates and gradual unfreezing worth it?

# %%
cases = [(target, images) for target in targets for images in (2, 5, 20, 90)]
for way in ("discriminative", "gradual"):
    ahead = [case for case in cases if contest(*case).wins(way, "all layers") >= 8]
    behind = [case for case in cases if contest(*case).wins("all layers", way) >= 8]
    print(f"{way} beats all layers in at least 8 of 10 seeds in {len(ahead)} of 12 cases, and loses in {len(behind)}")
    evidence.verdict("the one where it wins: printed letters, 2 of each", ahead == [("printed letters", 2)])
    lost = {("scrambled digits", 2), ("scrambled digits", 5)}
    evidence.verdict("it loses on the scrambled digits, 2 and 5 of each", lost <= set(behind), str(behind))

# %% [markdown]
# Here they pay in one case of twelve: the most similar data and the fewest pictures. (And 8 of 10 happens by dice in
# one comparison of eighteen, so among twenty-four one or two such cases are no news.) Each loses in four: clearly on
# the scrambled digits with few pictures, where they hold on to what should be let go, and by about a point on the
# letters with 90 of each and once on the handwritten digits. Their inventors' figures, for text and a language model
# (error on TREC, some 5,500 questions, in per cent; **theirs**, not ours):
#
# | ULMFiT, Howard and Ruder 2018 | error / % |
# |---|---|
# | from scratch | 13.36 |
# | fine-tuning all layers | 6.86 |
# | with discriminative rates | 6.21 |
# | with gradual unfreezing, discriminative rates and slanted triangular rates | 5.69 |
#
# The step from the first line to the second is the large one, there too. Their network has more layers, their source
# and their target are both English. Ours has four groups and 100 steps. Try them, and measure.
#
# ### More pictures, or more time?
#
# With 90 letters of each the given network leads by eleven points. It has seen 3,200 pictures in its 100 steps. Does
# the fresh one lack pictures, or steps?

# %%
def lead_after(steps):  # with 90 letters of each, under the four seeds that were trained for longer
    rows = recorded.loc["printed letters", 90, steps].loc[:3]
    return rows["all layers"] - rows["from scratch"]


evidence.verdict("after 100 steps it leads by over 5 points, 4 of 4 seeds", bool((lead_after(100) > 0.05).all()))
still = lead_after(1600).between(0, 0.04, "neither")
evidence.verdict("after 1,600 by less than 4, and still in 4 of 4", bool(still.all()))

# %% [markdown]
# Most of that lead was time. He, Girshick and Dollár found the same for ImageNet in 2019: from scratch comes out nearly
# as good, if you let it train several times as long. A given network saves pictures where they are few, and time where
# they are many.
#
# ## 12.5 How large may the rate be when the weights are good?
# <small>About 8 minutes; the cells run in 7 s.</small>
#
# A fresh network must travel far from where it starts, and does not mind a rough ride. The given one stands in a good
# place already. So you would think that it wants small steps. How small?
#
# <details><summary><b>Predict (Q5).</b> Printed letters, 20 of each, 100 steps, momentum. The fresh network learns best
# at 0.01 to 0.03. Draw the accuracy over the rate, from 0.001 to 0.3, for both. Where is the best rate of the given
# one? And what has it at 0.3?</summary>
#
# Its best rate is hardly smaller than that of the fresh one. The difference is in the **wings**: far below, the given
# one still gets most of it, and the fresh one about half. Far above, both are lost: what the given one knew is
# gone.
# </details>

# %%
dataset = few(letters, 20, 0)
grid = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3]


def with_new_head():  # the sweep seeds torch's dice, and these draw the head
    return transfer.new_head(copy.deepcopy(knowing), 10, seed=int(torch.randint(10_000, (1,))))


def valley(network):  # the validation accuracy, [rates, 3 seeds]
    result = sweep(network, dataset, rule=rules.Momentum(), lr=[S.Cosine(lr, total=100) for lr in grid], steps=100,
                   batch_size=32, seeds=3, device="cpu", how="batched", progress=False)
    return result["val_accuracy"].fillna(0.0).to_numpy().reshape(len(grid), 3)


given, new = valley(with_new_head), valley(models.cnn)

# %% tags=["nbval-ignore-output"]
fig, ax = figures.figure("Good weights put up with small steps, not with large ones")
for i, (name, values) in enumerate({"given, all layers": given, "from scratch": new}.items()):
    ax.plot(grid, 100 * np.median(values, 1), marker="os"[i], label=name, **figures.style(i))
    ax.vlines(grid, 100 * values.min(1), 100 * values.max(1), color=figures.PALETTE[i], alpha=0.4)
ax.axhline(100 * np.median(new, 1).max(), color="#666666", linestyle=":", linewidth=1.2)
ax.text(0.29, 100 * np.median(new, 1).max() + 1, "the best from scratch", ha="right", fontsize=9, color="#444444")
ax.set(xscale="log", xlabel="first rate α₀ of the cosine", xlim=(0.0009, 0.34), ylim=(0, 100))
ax.set_ylabel("validation accuracy / %\n(3 seeds: median, range)")
figures.direct_labels(ax)
pairs = zip(grid, np.median(given, 1), np.median(new, 1), strict=True)
words = "; ".join(f"{lr:g}: {a:.0%} and {b:.0%}" for lr, a, b in pairs)
figures.show(fig, alt=f"Validation accuracy over the rate, the given network and one from scratch: {words}.")

# %%
middle, fresh_middle = np.median(given, 1), np.median(new, 1)
evidence.verdict("given: the best rate is 0.01 or 0.03", grid[middle.argmax()] in (0.01, 0.03))
evidence.verdict("from scratch: the best rate is 0.01 or 0.03", grid[fresh_middle.argmax()] in (0.01, 0.03))
evidence.verdict("at 0.001 the given one leads by over 15 points, 3 of 3 seeds", bool((given[0] > new[0] + 0.15).all()))
cost = middle.max() - middle[0], fresh_middle.max() - fresh_middle[0]
evidence.verdict("at 0.001 the fresh one has lost over twice as many points as the given one", cost[1] > 2 * cost[0])
evidence.verdict("at 0.003 the given one beats the best from scratch in the median", middle[1] > fresh_middle.max())
evidence.verdict("at 0.1 it is below the best from scratch, in the median", middle[4] < fresh_middle.max())
evidence.verdict("at 0.3 both have lost it: below 60 % right, 6 of 6", bool(max(given[5].max(), new[5].max()) < 0.6))

# %% [markdown]
# "A tenth of the usual rate" is what many recipes say for fine-tuning. Here the best rate of the two is the same, or
# the next on the grid. What is right about the rule of thumb is the **risk**. Ten times too low, 0.001 for 0.01, costs
# the given network some ten points, and the fresh one over thirty. Ten times too high, 0.3 for 0.03, costs both
# everything, and the given one had more to lose. If you can sweep, sweep; if you cannot, err on the low side.
#
# Is that so for other data? The record has twelve cases:

# %%
chosen = rates.chosen.unstack("method")
ratio = np.log10(chosen["all layers"] / chosen["from scratch"])
near_by = int((ratio.abs() < 0.6).sum())
evidence.verdict("all layers: the best rate is that of from scratch or next to it in 11 of 12 cases", near_by == 11)
evidence.verdict("lower in four, the same in four, higher in four",
                 [(ratio < -0.1).sum(), (ratio.abs() < 0.1).sum(), (ratio > 0.1).sum()] == [4, 4, 4])
evidence.verdict("discriminative rates want a higher base rate than all layers in 10 of 12 cases",
                 int((chosen["discriminative"] > chosen["all layers"]).sum()) == 10)

# %% [markdown]
# **Beware.** The third verdict is a trap for whoever compares. Lower rates below mean less movement in all. At *one*
# base rate for both, the one with discriminative factors is simply the slower one.
#
# ## 12.6 The eight steps
# <small>About 10 minutes; the cells run in 11 s.</small>
#
# In 2018 fast.ai's course taught image classification as a recipe in eight steps. Every part of it you have met. Here
# it is as one function:

# %%
source(transfer.recipe, docstring=False)

# %%
dataset = few(letters, 20, 0)
done = transfer.recipe(knowing, dataset, augment=Translate(1), batch_size=32, cycle=30, device="cpu", progress=False)

# %% tags=["nbval-ignore-output"]
done

# %% [markdown]
# And now by hand, so that you can change each step. **One**: choose the augmentation (glyphs lie anywhere: a shift by
# one pixel is a true statement), a new head, features computed once.

# %%
settings = {"rule": rules.Momentum(), "batch_size": 32, "seed": 0, "device": "cpu", "validate_every": 0}
network = transfer.new_head(copy.deepcopy(knowing).requires_grad_(True), classes=10, seed=0)
features = transfer.precompute(network, dataset, device="cpu")
head_run = Run(features.head, features.data, **settings)

# %% [markdown]
# **Two**: a range test of the head.

# %%
first = range_test(head_run)
lr = transfer.advised(first, otherwise=0.01)

# %% [markdown]
# **Three**: train the head, on features, for one cycle of 30 steps.

# %%
head_run.lr = lr
head_run.train(30, progress=False)

# %% [markdown]
# **Four**: put it back on its body, and train it with augmentation, for two cycles.

# %%
network = features.join()
only_head = transfer.factors(network, {"block1": 0, "block2": 0, "block3": 0})
run = Run(network, dataset, lr=S.WarmRestarts(lr, period=30), augment=Translate(1), factors=only_head, **settings)
run.train(60, progress=False)

# %% [markdown]
# **Five**: unfreeze all layers.

# %%
run.factors = transfer.factors(network, dict.fromkeys(transfer.layer_groups(network), 1.0))

# %% [markdown]
# **Six**: lower rates below, each a third of the one above.

# %%
run.factors = transfer.discriminative(network, divide_by=3.0)

# %% [markdown]
# **Seven**: a range test of the whole.

# %%
second = range_test(run)
lr_of_all = transfer.advised(second, otherwise=lr / 10)

# %% tags=["nbval-ignore-output"]
figures.show(second.plot(), alt=f"Range test of the whole network with discriminative rates; advised: {lr_of_all:.2g}.")

# %% [markdown]
# (A network that is good already has little left to fall. The valley is shallow, and its advice a rough one.)
#
# **Eight**: train all of it, in three cycles, each twice as long as the one before. A schedule knows the time since the
# run began, so the two cycles of step four stand before the new ones.

# %%
run.lr = S.WarmRestarts(lr, period=30).until(60).then(S.WarmRestarts(lr_of_all, period=30, mult=2))
run.train(210, progress=False)
pairs = zip(run.model.parameters(), done.network.parameters(), strict=True)
same = all(torch.equal(a, b) for a, b in pairs)
evidence.verdict("the eight cells made the network of the one function, bit for bit", same)

# %% [markdown]
# Is it better than fine-tuning all layers in one go, at a rate from the middle of 12.5, with the same augmentation and
# as many steps?


# %%
def by_recipe(seed):
    made = transfer.recipe(knowing, few(letters, 20, seed), augment=Translate(1), batch_size=32, cycle=30, seed=seed,
                           device="cpu", progress=False)
    return right(made.network, letters.test)


in_one_go = np.array([score("all layers", few(letters, 20, seed), seed, 0.02, steps=300, augment=Translate(1))
                      for seed in range(4)])
eight = np.array([by_recipe(seed) for seed in range(4)])

# %% tags=["nbval-ignore-output"]
for name, values in {"the recipe": eight, "in one go": in_one_go}.items():
    print(f"{name}: {values.round(3)}, median {np.median(values):.3f}")

# %%
evidence.verdict("the medians of the two are within 6 points", abs(np.median(eight) - np.median(in_one_go)) < 0.06)
inside = min(eight) < max(in_one_go) and min(in_one_go) < max(eight)
evidence.verdict("and the ranges of their four seeds overlap", inside)

# %% [markdown]
# Neither is ahead by more than the seeds scatter. (The recipe made 300 steps, too, and some 200 in its range tests.)
# What it brings is something else: nobody had to sweep. Its two rates came from two range tests, and the 0.02 of the
# other from the 18 networks of 12.5. That was the point in 2018, when a network took an hour.
#
# ## 12.7 The same with ImageNet
# <small>About 4 minutes; the cell runs in no time, and for longer where everything is at hand.</small>
#
# Nothing above is about glyphs. `given` and `dataset` are all that changes:
#
# ```python
# given = transfer.pretrained("ResNet18_Weights.DEFAULT")                              # 1,000 classes of photographs
# dataset = transfer.imagenet_images(data.load("cifar10", per_class=20), side=64)       # or
# dataset = transfer.imagenet_images(data.from_folder("my-pictures", side=224))         # a folder for each class
# ```
#
# `imagenet_images` makes three channels of grey, scales, and standardises with **ImageNet's** figures. `pretrained`
# takes the path of a file, too (`model=` and, if you know it, `sha256=`), and opens it as data, never as code. The
# layer groups of a ResNet are called stem, layer1 to layer4, head.

# %% tags=["nbval-ignore-output"]
weights = ResNet18_Weights.DEFAULT
file = data.data_folder() / "weights" / "checkpoints" / weights.url.rpartition("/")[2]
missing = [what for what, there in {"the weights": file.is_file(), "CIFAR-10": data.at_hand("cifar10"),
                                    "a GPU": torch.cuda.is_available()}.items() if not there]
if missing:
    print(f"not here: {', '.join(missing)}. So this was not run.")
else:
    dataset = transfer.imagenet_images(data.load("cifar10", per_class=20), side=64)
    print(transfer.recipe(transfer.pretrained(weights), dataset, augment=HorizontalFlip(), batch_size=32))

# %% [markdown]
# ImageNet's networks were trained at 224 pixels and see more there, but CIFAR-10's 15,200 pictures at that size would
# take nine gigabytes. Without a GPU, make the steps one to three only: the head, on features.
#
# ### Five traps
# 1. **A lazy opponent.** Fine-tuning at its best rate against scratch at some rate: the difference is the rate's.
# 2. **The other side of the paper.** The body expects ink as it was trained on: contrast, channels, mean and scale are
#    part of the weights.
# 3. **Frozen, but not quite**: momentum, weight decay, batch statistics (12.2).
# 4. **Features and augmentation** (12.3).
# 5. **Old acquaintances.** If your test pictures were among those of the source, your accuracy is memory. With ImageNet
#    and pictures from the web, ask.
#
# The first two can be seen at once:

# %%
tried = rates.loc["handwritten digits", 90].drop(columns="chosen")  # validation accuracy, methods x rates
lead = tried.loc["all layers"].max() - tried.loc["from scratch"].max()
evidence.verdict("handwritten, 90 of each: all layers lead by less than 2 points, each at its best rate", lead < 0.02)
lead = tried.loc["all layers"].max() - tried.loc["from scratch", "0.1"]
evidence.verdict("by over 6 points if from scratch is tried at 0.1 alone", lead > 0.06)

# %%
inverted = replace(letters, source=None, **{part: Split(-getattr(letters, part).x, getattr(letters, part).y)
                                            for part in ("train", "validation", "test")})
lost = [score("head", few(letters, 20, s), s, 0.03) - score("head", few(inverted, 20, s), s, 0.03) for s in range(4)]
evidence.verdict("white ink on black: the head loses over 4 points, 4 of 4 seeds", min(lost) > 0.04, str(lost))

# %% [markdown]
# ## Five lines to remember
# 1. The lower layers know less, and it travels; the upper ones know more, and it is about their own task.
# 2. How alike, and how much? Alike and few: a given network wins a lot. Unlike: it can cost you.
# 3. The rate of a layer is α(t) times its factor; 0 is frozen, and everything else is a choice of factors over time.
# 4. Features are computed once, for frozen layers and unchanged pictures, and for nothing else.
# 5. Give from scratch the same tries and enough steps, and a linear classifier on pixels, before you say "transfer
#    wins".
#
# ## Three questions
# <details><summary><b>1.</b> You have 200 X-ray pictures, two classes, and a ResNet from ImageNet. What do you do
# first? (a) fine-tune all layers at a tenth of the usual rate (b) a linear classifier after several of its stages, and
# one on pixels (c) train from scratch, as X-rays are nothing like ImageNet</summary>
#
# **(b)** It costs minutes, a few rates for each included, and tells you how far up the knowledge is of use. (a)
# may be the answer after that. (c) decides beforehand what can be measured.
# </details>
#
# <details><summary><b>2.</b> You train a head on precomputed features, with augmentation switched on in the loader.
# Accuracy does not change by a digit, compared with augmentation off. Why? (a) the features are those of the
# unaugmented pictures (b) augmentation does not help here (c) the head is too small to profit</summary>
#
# **(a)** "Not by a digit" gives it away: nothing random reached the training. (b) and (c) would change the digits, only
# not for the better.
# </details>
#
# <details><summary><b>3.</b> A paper: "with pre-training 92 %, without 81 %, both at the learning rate 0.001". What do
# you ask for? (a) more seeds (b) the rate and the number of steps at which training from scratch is best (c) a larger
# network</summary>
#
# **(b)** In 12.5, at 0.001, the fresh network had come about half of its way. That is the wing in which the given one
# looks best. (a) makes the same unfair number more exact. (c) is another paper.
# </details>
#
# Next: everything at once, on data that nobody has seen, in [lecture 13](13_capstone.ipynb).
#
# **Now write it yourself:** [workbook 12](../exercises/12_transfer_learning.ipynb), functions
# that are checked as you go.
#
# ## Sources
# - J. Yosinski, J. Clune, Y. Bengio, H. Lipson 2014, *How transferable are features in deep neural networks?*,
#   arXiv:1411.1792: general below, specific above.
# - A. Razavian, H. Azizpour, J. Sullivan, S. Carlsson 2014, *CNN features off-the-shelf*, arXiv:1403.6382: linear
#   classifiers on features.
# - Stanford's CS231n, notes *Transfer learning*: the 2 × 2 table, as advice.
# - J. Howard, S. Ruder 2018, *Universal language model fine-tuning for text classification*, arXiv:1801.06146:
#   discriminative rates, 2.6, gradual unfreezing; the four error rates on TREC.
# - J. Howard 2018, *Practical deep learning for coders*, lessons 1 and 2: the eight steps.
# - K. He, R. Girshick, P. Dollár 2019, *Rethinking ImageNet pre-training*, arXiv:1811.08883: from scratch comes out as
#   good, if it is given the data and the time.
# - Z. Wang, Z. Dai, B. Póczos, J. Carbonell 2019, *Characterizing and avoiding negative transfer*, arXiv:1811.09751.
