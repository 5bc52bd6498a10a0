# %% [markdown]
# # 11 · Ensembles: several answers are better than one
#
# Five networks with the same task, the same images, the same recipe. Each reads about 58 % of the characters right.
# You let all five answer and take the mean. Nobody has learned anything new, and more answers are right than before.
# Why? How many more? And could you have had it for the price of one?
#
# **After this lecture you can** say what an average removes from an error and what it cannot; tell beforehand where an
# ensemble wins nothing; compare it fairly, at equal training budget; take snapshots of one run, and say when they are
# worth it; average weights in place of answers, and know the layer that breaks it; and read a reliability diagram.
#
# Six sections, about 70 minutes of your time. The cells need about a minute of the machine's, on two CPU cores.
# Warm restarts you have met in [lecture 7](07_schedules.ipynb), weight decay in
# [lecture 8](08_regularization.ipynb).

# %%
import copy
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from scipy.stats import binom
from torch import nn
from torch.nn import functional as F

import lrlab
from lrlab import Run, data, ensembles, evidence, figures, instruments, models, source
from lrlab import schedules as S
from lrlab.data import Split

assert lrlab.__version__.startswith("0.1"), f"written for lrlab 0.1, this is {lrlab.__version__}: run make install"
torch.set_num_threads(1)  # networks this small are faster on one: two threads would wait for each other
glyphs, digits = data.load("glyphs", device="cpu"), data.load("digits", device="cpu")
x, y = glyphs.test

# %% [markdown]
# ## 11.1 Why should two be better than one?
# <small>About 13 minutes; the cells run in 6 s.</small>
#
# The task of lecture 8: 36 characters, **ten images of each**, 2,000 test images, weight decay. The rate falls by a
# cosine over 200 steps. Five networks that differ in their first weights and in the order of the data, and share the
# 360 training images, make an **ensemble**; each is a **member** of it.
#
# One ensemble is one number, so we make **16**. Each draws its own 360 images and its own first weights. No two share a
# network, and of their images some 16 of 360. So they count as 16 independent tries, and a quartile or an interval over
# them means what it says. (All are judged by the same 2,000 test images. What others would say, we do not ask.)
#
# <details><summary><b>Predict (Q1).</b> If each of five judges is right in 58 % of the cases, and they judge
# independently of each other, then three or more of them are right in 65 % of the cases; of a hundred judges more than
# half are right in over 93 %. Where will twenty networks end?</summary>
#
# Nowhere near it. The sum is right, and the word "independently" is wrong. All have seen the same 360 images, and a
# badly printed O looks like a 0 to each of them. What they get wrong together, no average repairs.
# </details>


# %%
def draw(seed, each=10):  # a data set with `each` training images of every character, others for every seed
    order = torch.randperm(len(glyphs.train.y), generator=torch.Generator().manual_seed(seed))
    keep = torch.cat([order[glyphs.train.y[order] == label][:each] for label in range(36)])
    return replace(glyphs, train=Split(glyphs.train.x[keep], glyphs.train.y[keep]), source=None)


def train(dataset, seeds, steps=200, lr=0.8, weight_decay=0.01, model="mlp", how="batched"):  # all networks at once
    falling = S.Cosine(lr, total=steps)
    return ensembles.independent(model, dataset, members=seeds, lr=falling, steps=steps, weight_decay=weight_decay,
                                 batch_size=32, how=how, progress=False)


# %% [markdown]
# From which rate does it fall? Whoever chooses by the test images has no test any more. So every rate of this lecture
# is chosen on the **validation** images, with two draws of training images that are used for nothing else:


# %%
def tried(train_at, rates):  # validation loss at each rate, the mean over two draws
    return {lr: np.mean([train_at(draw(seed), seed, lr).evaluate(glyphs.validation).whole.loss for seed in (100, 101)])
            for lr in rates}


def five_at(dataset, seed, lr):
    return train(dataset, range(seed, seed + 5), lr=lr)


by_rate = {"five of 200": tried(five_at, (0.4, 0.8, 1.2))}


def suits(way, lr):
    losses = by_rate[way]
    evidence.verdict(f"{way} steps: {lr:g} is the best of {len(losses)} rates on validation, or within 0.02 nats of it",
                     losses[lr] < min(losses.values()) + 0.02, str(losses))


suits("five of 200", 0.8)

# %%
draws = [draw(seed) for seed in range(16)]
first = range(0, 80, 5)  # the first seed of each ensemble: 0 to 4, 5 to 9, ...
teams = [train(dataset, range(seed, seed + 5)) for dataset, seed in zip(draws, first, strict=True)]

# %% tags=["nbval-ignore-output"]
teams[0].table(glyphs.test).round(3)

# %% [markdown]
# One of the 16, member by member. The last row is the ensemble: all five answers averaged. (The column `ece` waits for
# 11.3.)
#
# **Say.** Let every member's error be a random number with variance $\sigma^2$, and any two of them correlate with ρ.
# Then the mean of M errors has the variance
#
# $$\operatorname{Var}\Big(\frac1M\sum_m e_m\Big) = \frac1{M^2}\Big(M\sigma^2 + M(M-1)\,\rho\,\sigma^2\Big)
# = \rho\,\sigma^2 + \frac{1-\rho}{M}\,\sigma^2$$
#
# M variances and M(M − 1) pairs. The second part goes away with M. The first stays, for ever: it is what they share.
# Try it with numbers whose ρ we know, because we made them of a shared and an own part:


# %%
def variance_of_mean(M, rho, draws=200_000):
    dice = torch.Generator().manual_seed(0)
    shared, own = torch.randn(draws, 1, generator=dice), torch.randn(draws, M, generator=dice)
    return float((rho**0.5 * shared + (1 - rho) ** 0.5 * own).mean(1).var())


def formula(M, rho, variance=1.0):
    return variance * (rho + (1 - rho) / M)


cases = [(M, rho) for M in (1, 2, 5, 20) for rho in (0, 0.5, 0.9)]
close = all(abs(variance_of_mean(*case) / formula(*case) - 1) < 0.03 for case in cases)
evidence.verdict("the variance of the mean is that of the formula within 3 %, 12 cases of 12", close)
most = binom.sf(2, 5, 0.58), binom.sf(50, 100, 0.58)  # at least 3 of 5, at least 51 of 100
evidence.verdict("independent judges: 65 % and over 93 %", round(most[0], 2) == 0.65 and most[1] > 0.93)

# %% [markdown]
# Now networks. The error of one on one image is a vector: its 36 probabilities minus the truth, which is 1 at the right
# character and 0 elsewhere. The mean of its squared length is called the **Brier score**: 0 is perfect. It takes the
# place of $\sigma^2$, and ρ is the mean product of two members' errors, in units of it.
#
# (Strictly these are mean squares around 0, not variances. So ρ holds everything that is shared: the **bias**, which
# any such network has on any such images, and what these 360 images have taught all of them.)
#
# For a curve over M we train twenty networks on the images of the first draw.

# %%
pool = train(draws[0], 20)
p, truth = pool.logits(x).softmax(-1), F.one_hot(y, 36)  # [20 members, 2,000 images, 36 characters]
errors = (p - truth).flatten(1)
products = errors @ errors.T / len(y)  # [20, 20]: squares on the diagonal, pairs beside it
brier = float(products.diag().mean())
rho = float((products.sum() - products.diag().sum()) / (20 * 19) / brier)

# %%
sizes, dice = (1, 2, 3, 5, 10, 20), torch.Generator().manual_seed(0)
subsets = {M: [torch.randperm(20, generator=dice)[:M] for _ in range(1 if M == 20 else 40)] for M in sizes}
means = {M: [p[chosen].mean(0) for chosen in subsets[M]] for M in sizes}
briers = {M: np.array([float((mean - truth).square().sum(1).mean()) for mean in means[M]]) for M in sizes}
rights = {M: np.array([float((mean.argmax(1) == y).float().mean()) for mean in means[M]]) for M in sizes}
fits = all(abs(briers[M].mean() / formula(M, rho, brier) - 1) < 0.01 for M in sizes)
evidence.verdict("the Brier score of M networks is that of the formula within 1 %, at all six M", fits)
evidence.verdict("they share 93 to 97 % of their error", 0.93 < rho < 0.97, f"{rho:.3f}")
evidence.verdict("one is right in 55 to 62 %, twenty are below 65 %",
                 bool(0.55 < rights[1].mean() < 0.62 and rights[20][0] < 0.65))
part = (1 - formula(5, rho)) / (1 - formula(20, rho))
evidence.verdict("of what twenty bring in Brier score, five bring 84 %", round(part, 2) == 0.84)


# %%
def dots(ax, values, unit=1):  # over M: the mean of all choices of M members, and a line from the worst to the best
    ax.plot(sizes, [unit * values[M].mean() for M in sizes], "o", color=figures.PALETTE[0], markersize=5)
    ends = [unit * values[M].min() for M in sizes], [unit * values[M].max() for M in sizes]
    ax.vlines(sizes, *ends, color=figures.PALETTE[0], alpha=0.4)
    ax.set(xlabel="members M", xlim=(0.3, 20.7), xticks=sizes)


# %% tags=["nbval-ignore-output"]
fig, (left, right) = figures.figure("Five bring most of what twenty bring, and all stop at what they share", 1, 2,
                                    size=(7.2, 3.3))
M = np.arange(1, 21)
left.plot(M, formula(M, rho, brier), linewidth=2, **figures.style(1))
left.text(4.2, formula(3, rho, brier) + 0.003, "ρσ² + (1 − ρ)σ²/M", fontsize=9, color="#A34700")
left.axhline(rho * brier, color="#666666", linestyle=":", linewidth=1.2)
left.text(20, rho * brier - 0.0006, "what all share: ρσ²", ha="right", va="top", fontsize=9, color="#444444")
dots(left, briers)
dots(right, rights, unit=100)
left.set(ylabel="Brier score (0: perfect)", ylim=(rho * brier - 0.004, None))
right.set_ylabel("right / %\n(40 choices of M: mean, extremes)")
words = "; ".join(f"M = {M}: {briers[M].mean():.3f}, {rights[M].mean():.1%} right" for M in sizes)
figures.show(fig, alt=f"Brier score and share of right answers over the number of members, the former on the curve of "
             f"the formula with ρ = {rho:.2f}. {words}.")

# %% [markdown]
# (The lines grow shorter to the right for a poor reason, too: any two choices of ten out of twenty share five members
# on average. They are no spread of independent ensembles. That one comes in 11.2.)
#
# The formula cannot fail here: averaged over all choices of M members it is arithmetic. What is *measured* is ρ, and ρ
# says where it ends: some 95 % of the error is shared, and stays. Of the rest, five members take away 1 − 1/5, twenty
# take away 1 − 1/20. So five bring 0.8/0.95, or 84 %, of what twenty bring, whatever ρ is. That is a good reason to
# stop at five. And whoever wants more must make ρ smaller, by members that err *differently*: sections 11.2 and 11.4.
#
# ## 11.2 Is it two per cent?
# <small>About 14 minutes; the cells run in 16 s.</small>
#
# In courses one hears that an ensemble is "usually about 2 % better". Meant are points of accuracy. We measure it five
# times, each time over 16 ensembles of five that share no network:
#
# | task | the networks are |
# |---|---|
# | digits, all 1,197 | nearly always right |
# | glyphs, 10 of each, with weight decay | those of 11.1 |
# | glyphs, 10 of each, without it | the same, without the penalty |
# | glyphs, all 8,000 | stopped after 200 steps, in the first epoch |
# | glyphs, all 8,000, 40 steps | stopped much too early |
#
# The five are **no sample of tasks**. We picked them to show how far the gain can range, and had seen test results
# while we picked. Read them as five places on a map, not as an average over the country. (With all images, the 16
# ensembles share the training images and differ by their seeds only.)
#
# <details><summary><b>Predict (Q2).</b> Order the five by what the ensemble gains over its average member. And: in how
# many of the five is it about two points?</summary>
#
# Least on the digits, most where training was stopped much too early. Near two, say from 1 to 3½: two of the five, the
# ones with 10 images of each. If you thought that the worse the networks, the more there is to gain: those with all
# 8,000 images are right far more often than those with 10 of each, and gain more.
# </details>


# %%
def in_fives(pool):  # 16 ensembles that share no member
    return [pool.subset(*range(seed, seed + 5)) for seed in first]


undecayed = [train(dataset, range(s, s + 5), weight_decay=0) for dataset, s in zip(draws, first, strict=True)]
more = {"digits, all": in_fives(train(digits, 80, weight_decay=0)),
        "10 of each": teams, "10 of each, no decay": undecayed,
        "all 8,000": in_fives(train(glyphs, 80, weight_decay=0)),
        "all 8,000, 40 steps": in_fives(train(glyphs, 80, steps=40, weight_decay=0))}
labels = {name: digits.test.y if name == "digits, all" else y for name in more}
logits = {name: [team.logits(digits.test.x if name == "digits, all" else x) for team in more[name]] for name in more}


# %%
def alone(name):  # loss, accuracy and ECE of the average member of each ensemble [16, 3]
    return np.array([np.mean([ensembles.scores(z, labels[name]) for z in five], 0) for five in logits[name]])


def together(name, how="probabilities"):  # the same of the ensembles
    return np.array([ensembles.scores(ensembles.average(five, how), labels[name]) for five in logits[name]])


one, whole = {name: alone(name) for name in more}, {name: together(name) for name in more}
gain = {name: 100 * (whole[name] - one[name])[:, 1] for name in more}  # points of accuracy [16]
apart = {name: np.array([float(ensembles.disagreement(five).sum() / 20) for five in logits[name]]) for name in more}

# %% tags=["nbval-ignore-output"]
fig, (ax, beside) = figures.figure("Two points are a middle of the road, between nothing and ten", 1, 2,
                                   size=(7.2, 3.4), sharex=False, sharey=True)
ax.axvline(2, color="#666666", linestyle=":", linewidth=1.2, zorder=1)
for i, name in enumerate(more):
    for panel, values in ((ax, gain[name]), (beside, 100 * apart[name])):
        panel.plot(values, i + np.linspace(-0.2, 0.2, 16), "osD^v"[i], color=figures.PALETTE[i], markersize=4)
    ax.annotate(f"median {np.median(gain[name]):.1f}", (gain[name].mean(), i - 0.33), fontsize=9, ha="center",
                zorder=1.5, bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6})
ax.set(yticks=range(5), yticklabels=[f"{name}\none: {100 * one[name][:, 1].mean():.0f} % right" for name in more])
ax.set(xlim=(-2.2, 13.5), xticks=range(0, 13, 2), ylim=(4.5, -0.7))
ax.set(xlabel="gain over the average member\n/ points of accuracy (16 ensembles of 5)")
beside.set(xlabel="two members disagree\n/ % of the test images", xmargin=0.05)
words = "; ".join(f"{name}: {np.median(gain[name]):.1f} ({gain[name].min():.1f} to {gain[name].max():.1f}), "
                  f"disagreement {100 * np.median(apart[name]):.0f} %" for name in logits)
figures.show(fig, alt=f"Gain of ensembles of five in points of accuracy, median and range: {words}.")

# %%
middle = {name: float(np.median(values)) for name, values in gain.items()}
evidence.verdict("digits: a gain of less than half a point in the median", abs(middle["digits, all"]) < 0.5)
for name in list(more)[1:]:
    evidence.verdict(f"{name}: the five beat their average member, 16 of 16", bool((gain[name] > 0).all()))
two = [name for name in middle if 1 < middle[name] < 3.5]
evidence.verdict("a median gain from 1 to 3½ points: with 10 of each, in both tasks, and nowhere else",
                 two == ["10 of each", "10 of each, no decay"], str(middle))
evidence.verdict("40 steps: over 7 points, 16 of 16", bool((gain["all 8,000, 40 steps"] > 7).all()))

# %% [markdown]
# So "usually about 2 %" is no law. It lies **between** two ends: networks that are nearly always right have little to
# disagree on, and networks that are hardly trained disagree on half of the images. The spread over 16 ensembles says
# how sure we are for such networks on *these* test images. On other data it is another number.
#
# Does it beat the *best* of its members, too? You do not know which one that is. Choose it on the validation images:

# %%
def best_of(name):  # test accuracy of the member with the best validation accuracy, [16]
    found, validation = [], (digits if name == "digits, all" else glyphs).validation
    for team, on_test in zip(more[name], logits[name], strict=True):
        right = [ensembles.scores(z, validation.y).accuracy for z in team.logits(validation.x)]
        found.append(ensembles.scores(on_test[int(np.argmax(right))], labels[name]).accuracy)
    return np.array(found)


for name in list(more)[1:]:
    wins = int((whole[name][:, 1] > best_of(name)).sum())
    evidence.verdict(f"{name}: it beats its best member, as chosen by validation, in at least 13 of 16", wins >= 13)

# %% [markdown]
# **Say.** For a squared error there is an exact sentence, the **ambiguity decomposition**. With $p$ the members' mean:
#
# $$\underbrace{\frac1M\sum_m \lVert p_m - y\rVert^2}_{\text{error of a member}} -
# \underbrace{\lVert p - y\rVert^2}_{\text{error of the whole}} =
# \underbrace{\frac1M\sum_m \lVert p_m - p\rVert^2}_{\text{how far they are apart}}$$
#
# What you gain **is** the **diversity**, and the truth $y$ has dropped out: you can measure it without labels.

# %%
gaps = []
for name in more:
    should = F.one_hot(labels[name])
    for five_logits in logits[name]:
        said = five_logits.double().softmax(-1)
        all_say = said.mean(0)
        one_error, whole_error = (said - should).square().sum(-1).mean(), (all_say - should).square().sum(-1).mean()
        gaps.append(abs(float(one_error - whole_error - (said - all_say).square().sum(-1).mean())))
evidence.verdict("gain in Brier score = spread of the members, to twelve digits, 80 of 80", max(gaps) < 1e-12)

# %% [markdown]
# For accuracy there is no such law. Two members that disagree are not both right, so without **disagreement** there is
# no gain; but they may both be wrong:

# %%
few, many = "10 of each", "all 8,000"
evidence.verdict("members with 10 images of each disagree more often", bool(apart[few].mean() > apart[many].mean()))
evidence.verdict("and gain less than half as much", middle[few] < 0.5 * middle[many], str(middle))
evidence.verdict("digits: two members disagree on less than 3 %", bool(apart["digits, all"].max() < 0.03))

# %% [markdown]
# ### And at equal budget?
#
# So far five networks had five times the steps of one. Now they share: one run of 1,000 steps against five of 200, or
# one of 200 against five of 40.
#
# <details><summary><b>Predict (Q3).</b> Which wins where: 10 of each and 1,000 steps; 10 of each and 200 steps; all
# 8,000 and 200 steps?</summary>
#
# The five win the first and lose the other two, by a lot. After 200 steps on 360 images one network has learned nearly
# all it ever will; another 800 do not make it better, four colleagues do. Where the steps are still needed, one
# network must have them all.
# </details>
#
# Both get a rate that suits them; the long run is best at a lower one than the short ones, or as good:


# %%
def one_at(dataset, seed, lr):
    return train(dataset, [seed], steps=1000, lr=lr, how="looped")  # a single one is no batch


by_rate["one of 1,000"] = tried(one_at, (0.2, 0.4, 0.8))
suits("one of 1,000", 0.4)

# %%
long = [one_at(dataset, seed, lr=0.4) for dataset, seed in zip(draws, first, strict=True)]
short = [train(dataset, range(seed, seed + 5), steps=40) for dataset, seed in zip(draws, first, strict=True)]
logits["one, 1,000 steps"] = [network.logits(x) for network in long]
logits["five of 40"] = [team.logits(x) for team in short]
labels.update({"one, 1,000 steps": y, "five of 40": y})

# %%
ACCURACY = replace(evidence.METRICS["val_accuracy"], name="test accuracy", is_better="has a higher test accuracy")
LOSS = replace(evidence.METRICS["val_loss"], name="loss (nats)", is_better="has a lower test loss")


def contest(metric, budget, arms):  # {name: scores [16, 3]} -> a comparison at equal budget
    column = 1 if metric is ACCURACY else 0
    values = {name: scores[:, column] for name, scores in arms.items()}
    return evidence.Comparison(metric, values, dict.fromkeys(arms, budget), dict.fromkeys(arms, ()))


# %%
budgets = {"10 of each, 1,000 steps": (together("one, 1,000 steps"), whole["10 of each"]),
           "10 of each, 200 steps": (one["10 of each"], together("five of 40")),
           "all 8,000, 200 steps": (one["all 8,000"], whole["all 8,000, 40 steps"])}
long_scores = budgets["10 of each, 1,000 steps"][0]
for task, (single, several) in budgets.items():
    enough = "1,000 steps" in task
    result = contest(ACCURACY, 1000 if enough else 200, {"one run": single, "ensemble": several})
    winner, loser = ("ensemble", "one run") if enough else ("one run", "ensemble")
    print(task, end=": ")
    result.better(winner, than=loser, in_at_least=13 if enough else 16)

# %% tags=["nbval-ignore-output"]
fig, axes = figures.figure("Five short runs beat a long one only where it has little left to learn", 1, 3,
                           size=(7.2, 3.2), sharex=False)
for ax, (task, pair) in zip(axes, budgets.items(), strict=True):
    values = np.stack([100 * scores[:, 1] for scores in pair])
    ax.plot([0, 1], values, color="#999999", linestyle="-", linewidth=0.6)
    for i in range(2):
        ax.plot(np.full(16, i), values[i], "os"[i], color=figures.PALETTE[i], markersize=4)
        ax.plot([i - 0.2, i + 0.2], [np.median(values[i])] * 2, color=figures.PALETTE[i], linestyle="-", linewidth=2.5)
    steps = (1000, 200) if "1,000 steps" in task else (200, 40)
    ax.set(xlim=(-0.5, 1.5), xticks=[0, 1], xticklabels=[f"one of {steps[0]:,}", f"five of {steps[1]}"])
    ax.set_title(task.replace(", ", ",\n"), fontsize=9)
axes[0].set_ylabel("right / %\n(16 each; stroke: median)")
words = "; ".join(f"{task}: {np.median(a[:, 1]):.1%} and {np.median(b[:, 1]):.1%}" for task, (a, b) in budgets.items())
figures.show(fig, alt=f"Accuracy of one run and of five short ones at equal budget, medians. {words}.")

# %% [markdown]
# (A grey line joins an ensemble to a run on the same images. In the second and the third task "one run" is the average
# member of five.) The long run uses its 1,000 steps for one cosine of that length, as it should: against a long run
# with the schedule of the short ones you win too easily.
#
# **Beware.** The other unfair rival has a fifth of the weights. Is one network with five times as many hidden units as
# good as five?

# %%
wide = [train(dataset, [seed], model=lambda: models.mlp(256, (640,), 36), how="looped")
        for dataset, seed in zip(draws, first, strict=True)]
logits["wide"], labels["wide"] = [network.logits(x) for network in wide], y
loss_of = {"one": one["10 of each"][:, 0], "wide": together("wide")[:, 0], "five": whole["10 of each"][:, 0]}
evidence.verdict("200 steps: the wide one has a lower test loss than one small network, in at least 14 of 16",
                 int((loss_of["wide"] < loss_of["one"]).sum()) >= 14)
evidence.verdict("and a higher one than five small ones, in at least 14 of 16",
                 int((loss_of["five"] < loss_of["wide"]).sum()) >= 14)
way = np.median(loss_of["wide"] - loss_of["one"]) / np.median(loss_of["five"] - loss_of["one"])
evidence.verdict("it gets 40 to 75 % of the way from one to five", 0.4 < way < 0.75, f"{way:.2f}")

# %% [markdown]
# It gets a little more than half of the way. So about half of what an ensemble wins over *one small network* is won by
# size, and the other half by asking five.
#
# ## 11.3 What do five say, and how sure are they?
# <small>About 13 minutes; the cells run in 3 s.</small>
#
# There are two averages. Of the **probabilities**, the arithmetic mean; or of the **logits**, which makes the geometric
# mean of the probabilities (Z makes them sum to 1):
#
# $$p_k = \frac1M\sum_m p_{mk} \qquad\text{or}\qquad p_k = \frac1Z \exp\Big(\frac1M\sum_m z_{mk}\Big)
# = \frac1Z\Big(\prod_m p_{mk}\Big)^{1/M}$$

# %%
source(ensembles.average, docstring=False)

# %% [markdown]
# (It returns log p, because the logarithm of a small p keeps its digits.) The geometric mean has a **veto**: one member
# that says 0 makes the product 0. The arithmetic mean has none. Two say 99 % A; the third says that A is out of the
# question:

# %%
judges = torch.tensor([[[0.99, 0.01]], [[0.99, 0.01]], [[1e-9, 1 - 1e-9]]]).log()
share = {how: float(ensembles.average(judges, how).exp()[0, 0]) for how in ("probabilities", "logits")}
evidence.verdict("mean of the probabilities: A; mean of the logits: not A",
                 share["probabilities"] > 0.6 > 0.1 > share["logits"])

# %% [markdown]
# **Your turn.** Six members of 11.1 and one that was stopped after 40 steps. (1) Take members out, one by one: does the
# whole become worse each time? (2) Put them back. Which two agree least, and why those? (3) Take the weak one out. What
# do accuracy and calibration do? (4) Switch to *logits*: which moves more, the accuracy or the calibration?
# (<kbd>Tab</kbd> to a member, <kbd>Space</kbd>.) If nobody plays, the next cell takes the weak one out.

# %%
weak = replace(short[0].members[0], name="40 steps")
view = instruments.EnsembleView(ensembles.Ensemble([*pool.members[:6], weak]), draws[0])
view

# %% tags=["nbval-ignore-output"]
if view.members == tuple(range(7)):  # nobody has played
    view.remove(6)
figures.show(view.figure(), alt=view.alt)

# %%
whole_of = {size: ensembles.Ensemble([*pool.members[:6], weak][:size]).evaluate(glyphs.test) for size in (6, 7)}
six, seven = whole_of[6].whole, whole_of[7].whole
evidence.verdict("the weak member is over 10 points worse than the others",
                 whole_of[7].members[6].accuracy < whole_of[6].mean.accuracy - 0.1)
moved = abs(six.accuracy - seven.accuracy)
evidence.verdict("with it the accuracy of the whole moves by less than a point", moved < 0.01, f"{moved:.4f}")
evidence.verdict("but its ECE is over twice as high", seven.ece > 2 * six.ece, f"{six.ece:.3f}, {seven.ece:.3f}")

# %% [markdown]
# <details><summary>What you should have seen</summary>
#
# (1) Hardly, down to four or so; the last ones cost most, as the 1/M of 11.1 says. (2) The weak one with any other: it
# errs where the others do not. (3) The accuracy hardly moves: where the six agree, they outvote it. But it makes the
# whole less sure than it should be. (4) The calibration.
# </details>
#
# ### Can you believe the percentage?
#
# A network that says "80 %" a hundred times should be right eighty times. That is **calibration**. Sort the answers by
# their confidence (the largest probability) into 15 bins, and compare in each bin what was said with what came true.
# Drawn, this is the **reliability diagram**; the mean gap, weighted by the number of answers, is the **expected
# calibration error**:
#
# $$\text{ECE} = \sum_b \frac{n_b}{N}\,\lvert \text{accuracy}_b - \text{confidence}_b\rvert$$

# %%
source(ensembles.ece, docstring=False)

# %% [markdown]
# <details><summary><b>Predict (Q4).</b> "Ensembles are better calibrated", one reads. Three of the tasks: without
# weight decay the members are too sure of themselves; with it about right; with all 8,000 images and few steps not
# sure enough. What does the average do to each?</summary>
#
# It makes all three *less sure*. That heals the first and makes the third **worse**. The reason is one line: the
# largest entry of a mean is at most the mean of the largest entries,
# $\max_k \frac1M\sum_m p_{mk} \le \frac1M\sum_m\max_k p_{mk}$. Averaging probabilities can only lower the
# confidence, while the accuracy goes up.
# </details>

# %%
three = {"too sure": "10 of each, no decay", "about right": "10 of each", "not sure enough": "all 8,000"}
surer = [bool((p.mean(0).max(-1).values <= p.max(-1).values.mean(0) + 1e-6).all())
         for name in three.values() for p in (five.softmax(-1) for five in logits[name])]
evidence.verdict("no image on which the whole is surer than its members on average, 48 ensembles of 48", all(surer))
ece = {word: (one[name][:, 2], whole[name][:, 2]) for word, name in three.items()}
lower = {word: int((five < single).sum()) for word, (single, five) in ece.items()}
evidence.verdict("too sure: the ECE of the whole is lower than a member's, 16 of 16", lower["too sure"] == 16)
evidence.verdict("not sure enough: it is higher, 16 of 16", lower["not sure enough"] == 0)


# %%
def diagram(ax, z, y, i):  # the reliability of logits z [N, K] whose classes y are repeated
    bins = ensembles.reliability(z.softmax(1), y.repeat(len(z) // len(y)))
    seen = bins.examples > 0.005 * len(z)  # fewer say little
    ax.plot(100 * bins.confidence[seen], 100 * bins.accuracy[seen], "os"[i], markersize=3.5, **figures.style(i))
    ax.plot([0, 100], [0, 100], color="#666666", linestyle=":", linewidth=1)
    ax.set(xlabel="confidence / %", xlim=(0, 100), ylim=(0, 100))


# %% tags=["nbval-ignore-output"]
fig, axes = figures.figure("Averaging makes less sure: good for the too sure, bad for those who are not", 1, 3,
                           size=(7.2, 3.1), sharey=True)
for ax, (word, name) in zip(axes, three.items(), strict=True):
    diagram(ax, torch.cat([z for five in logits[name] for z in five]), labels[name], 0)
    diagram(ax, torch.cat([ensembles.average(five) for five in logits[name]]), labels[name], 1)
    ax.set_title(f"{word}: ECE\n{ece[word][0].mean():.1%} → {ece[word][1].mean():.1%}", fontsize=9)
axes[0].set_ylabel("of these right / %")
axes[0].text(56, 14, "one network", color=figures.PALETTE[0], fontsize=9)
axes[0].text(62, 70, "five", color=figures.PALETTE[1], fontsize=9, ha="right")
words = "; ".join(f"{word}: {a.mean():.1%} and {b.mean():.1%}" for word, (a, b) in ece.items())
figures.show(fig, alt=f"Reliability diagrams of single networks and of ensembles of five. Mean ECE of each: {words}.")

# %% [markdown]
# And the logits? Their mean keeps more of the confidence. So it is the better average where members are not sure
# enough, and the worse one where they are too sure. For the accuracy it makes next to no difference:

# %%
by_logits = {name: together(name, "logits") for name in three.values()}
lower = {word: int((by_logits[name][:, 0] < whole[name][:, 0]).sum()) for word, name in three.items()}
evidence.verdict("too sure: probabilities have the lower loss, 16 of 16", lower["too sure"] == 0, str(lower))
evidence.verdict("not sure enough: logits have the lower loss, 16 of 16", lower["not sure enough"] == 16, str(lower))
same = [abs(np.mean(by_logits[name][:, 1] - whole[name][:, 1])) < 0.005 for name in three.values()]
evidence.verdict("the accuracies are within half a point of each other, on average", all(same))

# %% [markdown]
# You need not live with either. Divide all logits by one number T, the **temperature**, and choose T on the validation
# images so that the loss is least there. No answer changes, only its percentage: T > 1 makes less sure, T < 1 surer.

# %%
rows, singles = {}, []
for word, name in three.items():
    after = more[name][0].calibration(glyphs.validation, glyphs.test)
    rows[word] = after.loc["ensemble"]
    singles.extend(after.drop("ensemble")["ece_scaled"])
calibrated = pd.DataFrame(rows).T
evidence.verdict("after it, the ECE of all three ensembles is below 5 %", bool((calibrated["ece_scaled"] < 0.05).all()))
evidence.verdict("and so is that of every single member, 15 of 15", max(singles) < 0.05, f"{max(singles):.3f}")
evidence.verdict("T is over 1 for the too sure, under 1 for the not sure enough",
                 bool(calibrated["temperature"]["too sure"] > 1 > calibrated["temperature"]["not sure enough"]))

# %% tags=["nbval-ignore-output"]
calibrated.round(3)

# %% [markdown]
# One number, a second's work, and it works on a single network too. Where the ECE was low already, there is nothing to
# win. So "better calibrated" is a poor reason to train five. **Beware:** the ECE looks at the largest probability only,
# and with few examples or many bins it is never 0.
#
# ## 11.4 Five for the price of one?
# <small>About 12 minutes; the cells run in 9 s.</small>
#
# [Lecture 7](07_schedules.ipynb) asked what a rate that falls and jumps back is good for, and found: at the end of
# every cycle you hold a finished network. Then keep them all. **Snapshot ensembles** (Huang and others 2017) are one
# run under warm restarts, with the weights saved at each minimum of the rate. A slow fall leads into a valley; the
# jump throws the network out, into another one, one hopes.


# %%
def snapshots(run, steps=1000):  # of one run, at the end of each of 5 cycles
    return ensembles.snapshots(run, cycles=5, steps=steps, progress=False)


def run_on(dataset, seed, lr=0.8, validate_every=0):
    return Run("mlp", dataset, lr=lr, batch_size=32, weight_decay=0.01, seed=seed, device="cpu",
               validate_every=validate_every)


# %%
source(ensembles.minima, docstring=False)

# %%
watched = run_on(draws[0], seed=0, validate_every=10)
taken, history = snapshots(watched), watched.history
planned = [S.WarmRestarts(0.8, period=200)(step) for step in range(1001)]
evidence.verdict("the rate has its minima after steps 200, 400, 600, 800 and 1,000",
                 ensembles.minima(planned) == [member.step for member in taken.members] == [200, 400, 600, 800, 1000])

# %% tags=["nbval-ignore-output"]
fig, (ax, below) = figures.figure("Five cycles, five minima of the rate, five snapshots", 2, heights=(2, 1.2),
                                  size=(7.2, 4))
ax.plot(history["val_step"], history["val_loss"], **figures.style(0))
below.plot(range(1000), history["lr"], **figures.style(0))
ends = {member.step: history["val_loss"][history["val_step"] == member.step][0] for member in taken.members}
ax.plot(list(ends), list(ends.values()), "D", color=figures.PALETTE[1], markersize=6)
rates = [member.lr for member in taken.members]
below.plot(list(ends), rates, "D", color=figures.PALETTE[1], markersize=6, clip_on=False)
ax.set(ylabel="validation loss (nats)", ylim=(1.2, 4), xlim=(0, 1010))
below.set(xlabel="step", ylabel="applied α", ylim=(0, 0.85))
words = ", ".join(f"{loss:.2f}" for loss in ends.values())
figures.show(fig, alt="The rate falls five times by a cosine from 0.8 and jumps back. After each jump the validation "
             f"loss is high, and falls again; at the minima of the rate it is {words}.")

# %% [markdown]
# <details><summary><b>Predict (Q5).</b> All get 1,000 steps: one long cosine; five snapshots; five independent runs of
# 200. Order them by their test loss. And is a snapshot of cycle 5 as good as the long run?</summary>
#
# The long run is highest, the snapshots are in the middle, the independent ones lowest. The last snapshot alone is
# worse than the long run: it had a fifth of the steps to fall, from a rate that had thrown it out.
# </details>

# %%
snaps = [snapshots(run_on(dataset, seed)) for dataset, seed in zip(draws, first, strict=True)]
logits["snapshots"] = [ensemble.logits(x) for ensemble in snaps]
logits["last snapshot"] = [five[-1:] for five in logits["snapshots"]]
labels.update(dict.fromkeys(["snapshots", "last snapshot"], y))
arms = {"one long run": long_scores, "snapshot ensemble": together("snapshots"),
        "independent ensemble": whole["10 of each"]}
equal = contest(LOSS, 1000, arms)
equal.better("snapshot ensemble", than="one long run", in_at_least=13)
equal.better("independent ensemble", than="snapshot ensemble", in_at_least=13)
last = contest(LOSS, 1000, {"one long run": long_scores, "last snapshot alone": together("last snapshot")})
last.better("one long run", than="last snapshot alone", in_at_least=13)

# %% tags=["nbval-ignore-output"]
equal.show("Test loss: snapshots beat the long run, and lose to independent networks")
right = contest(ACCURACY, 1000, arms)
for name in right.arms[1:]:
    more_right = right.difference(name, "one long run")
    median, low, high = (f"{100 * value:+.1f}" for value in more_right)
    print(f"{name}: {median} points over one long run (95 % interval {low} to {high}), more right in "
          f"{right.wins(name, 'one long run')} of 16")

# %% [markdown]
# (The interval is that of the median difference, draw by draw, over 16 independent draws. An interval of each arm by
# itself would be much wider: some draws of images are harder than others, for all arms alike.)
#
# So here snapshots help the loss; what they add to the *accuracy* over one long run is too little for us to claim: the
# interval reaches from below nothing to above it. And at the same price five independent runs are better, because 200
# steps from scratch are enough. Where they are not, five short runs are five bad networks, while all cycles but the
# first start from one that can read already. That is the case in the papers, where a run from scratch takes hundreds of
# epochs. We can make it so: 200 steps in all, five times 40.

# %%
logits["snapshots of 40"] = [snapshots(run_on(dataset, seed), steps=200).logits(x)
                              for dataset, seed in zip(draws, first, strict=True)]
labels["snapshots of 40"] = y
scarce = contest(ACCURACY, 200, {"one run": one["10 of each"], "snapshot ensemble": together("snapshots of 40"),
                                 "independent ensemble": together("five of 40")})
scarce.better("snapshot ensemble", than="independent ensemble", in_at_least=15)
scarce.better("one run", than="snapshot ensemble", in_at_least=13)

# %% [markdown]
# Now the snapshots win, and the order of the two is turned round. One plain run of 200 is still better than both: "five
# for the price of one" is not free when the price is short.
#
# ### What has the jump thrown it out of?
#
# Walk in a straight line from one network's weights to another's, and look at the loss on the way:
# $x(s) = (1-s)\,x_a + s\,x_b$. One valley: no hill between them.


# %%
def between(a, b, s):  # the network on the line from a to b
    network = copy.deepcopy(a)
    for weight, start, end in zip(network.parameters(), a.parameters(), b.parameters(), strict=True):
        weight.data = (1 - s) * start.data + s * end.data
    return network


def walk(a, b, dataset):  # training losses on the line
    at, (images, truth) = np.linspace(0, 1, 13), dataset.train
    with torch.no_grad():
        return np.array([float(F.cross_entropy(between(a.model, b.model, s)(images), truth)) for s in at])


# %%
gentle = [snapshots(run_on(dataset, seed, lr=0.2)) for dataset, seed in zip(draws[:6], first[:6], strict=True)]
pairs = {"two independent networks": teams, "cycles 4 and 5, α₀ = 0.8": snaps, "cycles 4 and 5, α₀ = 0.2": gentle}
lines = {name: [walk(*team.members[-2:], dataset) for team, dataset in zip(of, draws, strict=False)]
         for name, of in pairs.items()}
hill = {name: np.array([path.max() - max(path[0], path[-1]) for path in paths]) for name, paths in lines.items()}
independent, kicked, soft = hill.values()
evidence.verdict("α₀ = 0.2: no hill between two cycles, 6 of 6", bool((soft < 0.005).all()), str(soft))
over = int((kicked > 0.01).sum())
evidence.verdict("α₀ = 0.8: a hill of over 0.01 nats, in at least 13 of 16", over >= 13, str(kicked))
high = independent.min() > 5 * np.median(kicked)
evidence.verdict("between independent networks it is over five times as high", high, str(independent))

# %% tags=["nbval-ignore-output"]
fig, ax = figures.figure("A gentle restart stays in its valley; a strong one mostly crosses a hill", size=(7.2, 3.3))
for i, (name, paths) in enumerate(lines.items()):
    for path in paths[:3]:
        ax.plot(np.linspace(0, 1, 13), path, label=name if i and path is paths[0] else None, **figures.style(i))
ax.text(0.5, 0.5, "two independent networks", color=figures.PALETTE[0], ha="center", fontsize=9)
ax.set(xlabel="s: from one network (0) to the other (1)", ylabel="training loss (nats)\n3 pairs each", yscale="log")
figures.direct_labels(ax)
words = "; ".join(f"{name} {values.min():.3g} to {values.max():.3g}" for name, values in hill.items())
figures.show(fig, alt=f"Training loss on the straight line between two networks. Height of the hill in nats: {words}.")

# %%
def disagreement(members):
    return float(ensembles.disagreement(ensembles.Ensemble(members).logits(x))[0, 1])


kick = np.median([disagreement(ensemble.members[3:]) for ensemble in snaps])
nudge = [disagreement(ensemble.members[3:]) for ensemble in gentle]
evidence.verdict("after the gentle restart they disagree less than half as often, 6 of 6", max(nudge) < 0.5 * kick)

# %% [markdown]
# That is what the cyclical rate has to do with it: **the height of the restart makes the diversity.** Too low, and you
# have five copies of one network. Too high, and each cycle starts from ruins. α₀ is the knob to turn, and Huang and
# others turned it up as well. Ours was turned on validation, like all rates here:

# %%
by_rate["snapshots of 1,000"] = tried(lambda *of: snapshots(run_on(*of)), (0.4, 0.8, 1.2))
suits("snapshots of 1,000", 0.8)
ruin = by_rate["snapshots of 1,000"][1.2] - by_rate["snapshots of 1,000"][0.8]
evidence.verdict("from 1.2 the snapshots' validation loss is over 0.2 nats higher", ruin > 0.2, f"{ruin:.2f}")

# %% [markdown]
#
# ## 11.5 One network in the end?
# <small>About 9 minutes; the cells run in 5 s.</small>
#
# An ensemble costs M forward passes, for ever. Why not average the *weights*, and have one network?
#
# <details><summary><b>Predict (Q6).</b> You average the weights of five independent networks, each about 58 % right.
# How good is the result? And of five snapshots from one valley?</summary>
#
# The first is worse than each of the five, by some twenty points: remember the hill in the last figure. Unit 7 of one
# network has nothing to do with unit 7 of another. You could shuffle the hidden units of a network without changing
# what it says; so which unit should be averaged with which? In one valley the units still have their places, and the
# mean is as good as the members.
# </details>


# %%
def mean_of_weights(ensemble):
    network = copy.deepcopy(ensemble.members[0].model)
    theirs = [member.model.parameters() for member in ensemble.members]
    for weight, *others in zip(network.parameters(), *theirs, strict=True):
        weight.data = torch.stack([other.data for other in others]).mean(0)
    return network


def accuracy(network, split=glyphs.test):
    with torch.no_grad():
        return float((network.eval()(split.x).argmax(1) == split.y).float().mean())


def won(ensemble):  # by the mean of the weights, over the average member
    return accuracy(mean_of_weights(ensemble)) - ensemble.evaluate(glyphs.test).mean.accuracy


strangers = [won(team) for team in teams]
kin = [won(ensemble.without(0, 1)) for ensemble in gentle]  # cycles 3 to 5
evidence.verdict("five independent networks: their mean loses over 10 points, 16 of 16", max(strangers) < -0.1)
evidence.verdict("three cycles in one valley: it is within a point of them, 6 of 6", max(map(abs, kin)) < 0.01)

# %% [markdown]
# **Say.** So average along *one* run. **Stochastic weight averaging** (SWA) takes the plain mean of the points that a
# run visits at a rate which stays up; the older name is Polyak averaging. The **exponential moving average** (EMA)
# forgets: it looks back over about 1/(1 − d) steps.
#
# $$\text{SWA: } \bar x = \frac1n\sum_{i=1}^n x_i \qquad\qquad
# \text{EMA: } \bar x \leftarrow d\,\bar x + (1-d)\,x$$
#
# The noise of the mini-batches throws the weights about in the valley; their mean lies nearer to its middle. It is the
# formula of 11.1 once more, on weights. A falling rate reaches the middle too, by smaller and smaller steps: compare
# it with that.
#
# One layer breaks it. **Batch normalisation** keeps running statistics of the activations *as they were*, under the
# weights as they were. The averaged weights make other activations. So the statistics are measured anew, in one pass
# over the training images:

# %%
source(ensembles.renew_batchnorm, docstring=False)


# %% [markdown]
# A network with such a layer, on all 8,000 images, 300 steps. The rate, 0.8, is the one that suits the rival, the
# cosine, on validation. `swa` renews the statistics by itself, so for the last arm we put the old ones back:


# %%
def normalised():
    hidden = nn.Linear(256, 128, bias=False), nn.BatchNorm1d(128), nn.ReLU()
    return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(128, 36))


def fresh(seed, lr):
    return Run(normalised, glyphs, lr=lr, batch_size=16, seed=seed, device="cpu", validate_every=0)


def averaged(seed, steps=300):  # {arm: share of right test answers}
    run, other = fresh(seed, 0.8), fresh(seed, 0.8)
    mean = ensembles.swa(run, steps, start=steps // 2, progress=False)
    fading = ensembles.ema(other, steps, decay=0.99, progress=False)
    falling = fresh(seed, S.Cosine(0.8, total=steps)).train(steps, progress=False)
    stale = copy.deepcopy(mean)
    stale[2].running_mean, stale[2].running_var = run.model[2].running_mean, run.model[2].running_var
    networks = {"constant rate": run.model, "cosine": falling.model, "EMA": fading, "SWA": mean}
    return {name: accuracy(network) for name, network in {**networks, "SWA, old statistics": stale}.items()}


# %%
cosine = {lr: np.median([accuracy(fresh(seed, S.Cosine(lr, total=300)).train(300, progress=False).model,
                                  glyphs.validation) for seed in (100, 101, 102)]) for lr in (0.4, 0.8, 1.6)}
evidence.verdict("the cosine: 0.8 is the best of three rates on validation, or within a point of it",
                 cosine[0.8] > max(cosine.values()) - 0.01, str(cosine))

# %%
table = pd.DataFrame([averaged(seed) for seed in range(8)])
values = {name: table[name].to_numpy() for name in table}
one_network = evidence.Comparison(ACCURACY, values, dict.fromkeys(values, 300), dict.fromkeys(values, ()))
for name in ("SWA", "EMA"):
    better = bool((table[name] > table["constant rate"] + 0.04).all())
    evidence.verdict(f"{name}: over 4 points above the last weights, 8 of 8", better)
one_network.better("SWA", than="cosine", in_at_least=7)
one_network.better("SWA", than="SWA, old statistics", in_at_least=7)

# %% tags=["nbval-ignore-output"]
one_network.show("Averaged weights are far better than the last, and want statistics of their own")

# %% [markdown]
# So many points for a running sum, and one network is left. Over a cosine from the same rate it wins far less: both are
# medicine against the noise of the last steps. The old statistics cost a good part of that small advantage again; where
# the averaged points lie further apart, expect worse.
#
# **Beware.** SWA wants the rate *up*. Under a cosine that ends at 0 the last points lie on top of each other, and the
# mean of equal points is that point. And the rate must be one at which the run stays in its valley, or the mean falls
# between valleys. On the task of 11.1 that is a lower one than the cosine's:


# %%
def swa_of(dataset, seed, lr=0.4):
    mean = ensembles.swa(run_on(dataset, seed, lr), 1000, start=500, progress=False)
    return ensembles.Ensemble({f"SWA {seed}": mean})


by_rate["SWA of 1,000"] = tried(swa_of, (0.2, 0.4, 0.8))
suits("SWA of 1,000", 0.4)
thrown = by_rate["SWA of 1,000"][0.8] - by_rate["SWA of 1,000"][0.4]
evidence.verdict("at 0.8 SWA's validation loss is over 0.2 nats higher", thrown > 0.2, f"{thrown:.2f}")

# %% [markdown]
#
# ## 11.6 What does it cost?
# <small>About 6 minutes; the cells run in 4 s.</small>
#
# Everything on the task of 11.1, at 1,000 training steps, side by side, each at its own rate. First what was won: the
# median over 16 draws, and in brackets the 95 % interval of the difference from the long run. The prices that last
# stand in the last three columns. (The time is that of this machine, and changes from run to run.)

# %%
swas = [swa_of(dataset, seed) for dataset, seed in zip(draws, first, strict=True)]
logits["SWA"], labels["SWA"] = [network.logits(x) for network in swas], y
final = {"one long run": long_scores, "SWA": together("SWA"), "snapshots": together("snapshots"),
         "five independent": whole["10 of each"]}
by_accuracy, by_loss = contest(ACCURACY, 1000, final), contest(LOSS, 1000, final)
example = {"one long run": long[0], "SWA": swas[0], "snapshots": snaps[0], "five independent": teams[0]}
prices = {name: ensemble.cost(x, rounds=20) for name, ensemble in example.items()}


# %%
def cell(result, name, unit, digits):
    text = f"{unit * np.median(result.values[name]):.{digits}f}"
    if name == "one long run":
        return text
    ends = (unit * end for end in result.difference(name, "one long run")[1:])
    return f"{text} ({' to '.join(f'{end:+.{digits}f}' for end in ends)})"


# %% tags=["nbval-ignore-output"]
pd.DataFrame({name: {"right / %": cell(by_accuracy, name, 100, 1), "test loss / nats": cell(by_loss, name, 1, 3),
                     "forward passes": prices[name].forward_passes, "weights": f"{prices[name].parameters:,}",
                     "µs per image": f"{1e6 * prices[name].seconds / len(x):.1f}"} for name in final}).T

# %%
passes = {name: price.forward_passes for name, price in prices.items()}
evidence.verdict("one network answers with one pass, five with five", list(passes.values()) == [1, 1, 5, 5])
steps = [example[name].training_steps for name in ("one long run", "snapshots", "five independent")]
evidence.verdict("the others were all trained for 1,000 steps, as SWA was", steps == [1000, 1000, 1000])
by_accuracy.better("SWA", than="one long run", in_at_least=12)
by_loss.better("SWA", than="one long run", in_at_least=13)
by_loss.better("five independent", than="SWA", in_at_least=14)
ahead = by_accuracy.difference("five independent", "SWA")
evidence.verdict("in right answers the five are less than a point ahead of SWA, or behind, by the whole 95 % interval",
                 ahead.high < 0.01, str(ahead))

# %% [markdown]
# So the long run has a rival at its own price: averaged weights are a little better in both columns. And in right
# answers the five independent networks are ahead of that *one* by less than a point, with five times the passes. Its
# percentages are worse, and so is its loss.

# %% [markdown]
# ### Their figures
#
# What others have measured with real networks, error in % on CIFAR-10 / CIFAR-100. **These are theirs, not ours:**
#
# | who, network | what | error |
# |---|---|---|
# | Loshchilov and Hutter, WRN-28-10 | one run, rate in stairs from 0.1 | 4.24 / 20.33 |
# | | one run, warm restarts (first 10 epochs, × 2) | 4.03 / 19.58 |
# | | 3 snapshots of one run | 3.51 / 17.75 |
# | | 3 snapshots of each of 16 runs | 3.14 / 16.21 |
# | Huang and others, ResNet-110 | one network | 5.52 / 28.02 |
# | | snapshots of one run, α₀ = 0.2 | 5.32 / 24.19 |
#
# Take the differences: snapshots win 0.2 and 0.5 points over the single network where there are 10 classes, 1.8 and 3.8
# where there are 100 (against the restarts of the second line). "About 2 %", once more, is a middle, and where less is
# left to gain, less is gained.

# %%
theirs = {"Loshchilov, CIFAR-10": (4.03, 3.51), "Loshchilov, CIFAR-100": (19.58, 17.75),
          "Huang, CIFAR-10": (5.52, 5.32), "Huang, CIFAR-100": (28.02, 24.19)}
won_by_them = [round(single - several, 1) for single, several in theirs.values()]
evidence.verdict("the differences are 0.5, 1.8, 0.2 and 3.8 points", won_by_them == [0.5, 1.8, 0.2, 3.8])

# %% [markdown]
# ### When not to
# - **The members agree.** Digits, 11.2: measure the disagreement of two before you train five.
# - **One network still learns.** Then give it the steps.
# - **Each answer costs.** On a phone, or a million times a second, M passes are M times the bill. Average weights. Or
#   **distil**: train one network to give the ensemble's probabilities (Hinton and others 2015).
# - **You only want better percentages.** A temperature does that.
#
# ### Five traps
# 1. *Five members, one seed.* Members that start from the same weights and see the same batches are the same network.
#    Let the seed change both.
# 2. *The best five of fifty by test accuracy.* Choose members on validation, or take all.
# 3. *Averaging logits of members that were trained differently.* Logits have no common scale: the loudest member rules.
#    Probabilities have one.
# 4. *Dropout left on, or batch normalisation in training mode*, in a member. Each must be in `eval()`.
# 5. *Comparing with one member.* The honest rival has had all the steps (11.2).
#
# The third, at work: the same five answers, but one member's logits are multiplied by ten. None of its answers change.

# %%
def follows_first(z):  # on what share of the images
    return float((z.mean(0).argmax(1) == z[0].argmax(1)).float().mean())


usual = np.array([follows_first(z) for z in logits["10 of each"]])
loud = np.array([follows_first(torch.cat([10 * z[:1], z[1:]])) for z in logits["10 of each"]])
evidence.verdict("the mean of the logits says what the loud one says on over 90 % of the images", loud.min() > 0.9)
evidence.verdict("before, it did so on fewer, 16 of 16", bool((usual < loud).all()))

# %% [markdown]
# ## Five lines to remember
# 1. The mean of M errors keeps what they share, ρσ², and loses what they do not, as 1/M. Five bring 84 % of what twenty
#    bring.
# 2. No disagreement, no gain; and disagreement alone is no promise. "About 2 %" was anything from 0 to 10 points here.
# 3. At equal budget the ensemble won where one network had little left to learn, and only there.
# 4. Snapshots live by the height of the restart. At our scale independent short runs were better.
# 5. Averages of answers cost M passes; averages of weights cost one, along one run, with the statistics renewed.
#
# ## Three questions
# **1.** Two members have the same accuracy as your best one. The first disagrees with it on 2 % of the images, the
# second on 20 %. Which do you add?
# - (a) the first: they confirm each other
# - (b) the second
# - (c) it makes no difference, as they are equally good
#
# <details>
# <summary>Answer</summary>
#
# **(b).** With equal accuracy, what differs is how far they are apart, and that is what the average removes. (a) takes
# agreement for proof: they were wrong together before. (c) is true of the two alone, not of what they add.
# </details>
#
# **2.** A paper: "our ensemble of five improves on the baseline by 1.5 points". All six networks were trained for 100
# epochs. What do you ask?
# - (a) what the baseline does after 500 epochs, with its schedule stretched
# - (b) whether they averaged probabilities or logits
# - (c) the ECE
#
# <details>
# <summary>Answer</summary>
#
# **(a).** The ensemble had five times the budget. (b) hardly touches the accuracy (11.3), and (c) is another question,
# with a cheaper answer.
# </details>
#
# **3.** SWA gives you a network that is much worse than any point it averaged. It has batch normalisation. What do you
# check first?
# - (a) whether the rate was too low
# - (b) whether the running statistics were renewed
# - (c) whether to use EMA instead
#
# <details>
# <summary>Answer</summary>
#
# **(b).** The statistics belong to other weights, and without one pass over the data they are wrong. (a) would make the
# mean equal to its points, not worse. (c) has the same trouble. If it is not (b), ask whether the points lay in one
# valley.
# </details>
#
# Next comes the cheapest way to a good network: take one that somebody else has trained, in lecture 12.
#
# **Now write it yourself:** [workbook 11](../exercises/11_ensembles.ipynb), functions
# that are checked as you go.
#
# ## Sources
# - L. Hansen, P. Salamon 1990, *Neural network ensembles*: why independent errors average out.
# - A. Krogh, J. Vedelsby 1995, *Neural network ensembles, cross validation, and active learning*: the ambiguity
#   decomposition.
# - B. Lakshminarayanan, A. Pritzel, C. Blundell 2017, *Simple and scalable predictive uncertainty estimation using deep
#   ensembles*, arXiv:1612.01474: five networks from five seeds.
# - I. Loshchilov, F. Hutter 2017, *SGDR: stochastic gradient descent with warm restarts*, arXiv:1608.03983: restarts,
#   snapshots, their error rates.
# - G. Huang, Y. Li, G. Pleiss, Z. Liu, J. Hopcroft, K. Weinberger 2017, *Snapshot ensembles: train 1, get M for free*,
#   arXiv:1704.00109: their error rates, α₀.
# - L. Smith 2017, *Cyclical learning rates for training neural networks*, arXiv:1506.01186.
# - B. Polyak, A. Juditsky 1992, *Acceleration of stochastic approximation by averaging*.
# - P. Izmailov, D. Podoprikhin, T. Garipov, D. Vetrov, A. Wilson 2018, *Averaging weights leads to wider optima and
#   better generalization*, arXiv:1803.05407: SWA, and the statistics.
# - C. Guo, G. Pleiss, Y. Sun, K. Weinberger 2017, *On calibration of modern neural networks*, arXiv:1706.04599: ECE,
#   temperature.
# - G. Hinton, O. Vinyals, J. Dean 2015, *Distilling the knowledge in a neural network*, arXiv:1503.02531.
