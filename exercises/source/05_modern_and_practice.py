# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Workbook 5 · The modern rules, and which to take
#
# Eight functions, from one line to eight. Afterwards you can clip a gradient, take Lion, RAdam and Lookahead apart, and
# hold a fair contest between rules: the same tries for all, compared seed by seed, with an answer to the question
# whether it was luck. At the end momentum, Adam and Lion stand in yours. It belongs to
# [lecture 5](../lectures/05_modern_and_practice.ipynb); about 50 minutes.
#
# **How it goes.** Write a function in place of the line that raises `NotImplementedError`, run the cell, and run the
# check below it. The check tries your function on a few inputs, small ones first, and says what it expected and what
# it got; if it knows your mistake, it names it. Wrong tries cost nothing. When you are stuck:
#
# | you type | you get |
# |---|---|
# | `book.hint("clip")` | a hint, one stage further each time |
# | `clip(*book.given("clip"))` | your function on the input that failed |
# | `book.solution("clip")` | the solution, after a try |
#
# **Symbols**, as in the lecture: x the parameters, g the gradient (loss per x), `lr` is α. No function may change its
# arguments.

# %%
import math

import torch

from lrlab import Run, figures, rules, sweep
from lrlab.workbook import load

torch.set_num_threads(1)
book = load("05_modern_and_practice", version=1)

# %% [markdown]
# ## 1 · Clip the gradient   ★☆☆ · 5 min · 2 points
#
# Once in a while a mini-batch has a huge gradient, and one step undoes a hundred. Clipping by norm (section 5.6 of the
# lecture) bounds the length of the gradient, *with its direction kept*. A network has one gradient for each of its
# tensors; the length is that of all of them together, as if they were one long vector.
#
# **Given** `gradients`, a list of tensors of any shapes, and `limit`, a number above 0. **Asked:** a list of the
# gradients after clipping: if their length is above the limit, all are made shorter by the same factor, so that it is
# the limit; else they are as they were. And the length before clipping, a plain number.
#
# *Example.* The gradients `[6.0]` and `[8.0]` have the length 10. With a limit of 5 they become `[3.0]` and `[4.0]`.

# %% question="clip"
def clip(gradients, limit):
    """The gradients, together no longer than limit, and their length before that."""
    ### BEGIN SOLUTION
    norm = math.sqrt(sum(float((g * g).sum()) for g in gradients))
    return [g * min(1, limit / norm) for g in gradients], norm
    ### END SOLUTION

# %% question="clip" points=2 difficulty=1 minutes=5
book.check("clip", clip)

# %% [markdown]
# ## 2 · A step of Lion   ★☆☆ · 5 min · 2 points
#
# **Given** `x`, `g` and the memory `m`, tensors `[P]`; `lr`, `beta1` and `beta2`. **Asked:** one step of Lion without
# weight decay (section 5.3 of the lecture): x moves by α against the *sign* of a mixture, β₁ parts old memory and
# 1 − β₁ parts gradient. The new memory is a mixture of the same two, with β₂. Return the new x and the new m.
#
# *Example.* A ball at 1 remembers −4 and meets the gradient 8, with α = 0.1, β₁ = 0.5 and β₂ = 0.75. The first mixture
# is 2, so it moves to 0.9; the second is −1, and that is what it remembers.

# %% question="lion"
def lion(x, g, m, lr, beta1, beta2):
    """One step of Lion: the new x and the new m, each [P]."""
    ### BEGIN SOLUTION
    step = lr * torch.sign(beta1 * m + (1 - beta1) * g)
    return x - step, beta2 * m + (1 - beta2) * g
    ### END SOLUTION

# %% question="lion" points=2 difficulty=1 minutes=5
book.check("lion", lion)

# %% [markdown]
# ## 3 · RAdam's warm-up   ★★☆ · 7 min · 3 points
#
# How many squared gradients does v really remember after t steps, and how many will it ever?
#
# $$\rho_t = \rho_\infty - \frac{2\,t\,\beta_2^t}{1-\beta_2^t}, \qquad \rho_\infty = \frac{2}{1-\beta_2} - 1, \qquad
# r_t = \sqrt{\frac{(\rho_t-4)(\rho_t-2)\,\rho_\infty}{(\rho_\infty-4)(\rho_\infty-2)\,\rho_t}}$$
#
# **Given** the number of the step `t`, from 1 on, and `beta2`. **Asked:** the share r of Adam's step that RAdam takes,
# a number: 0 while ρₜ is not above 4 (then it takes a step of momentum instead), else rₜ.
#
# *Example.* With β₂ = 0.999, ρ₁ = 1: no division yet, 0. At the fifth step ρ₅ = 4.996, and r = 0.0173. When you are
# done, try β₂ = 0.5 at ever later steps. Why?

# %% question="warm_up"
def warm_up(t, beta2):
    """The share of Adam's step that RAdam takes at step t, counted from 1; 0 while it does not divide."""
    ### BEGIN SOLUTION
    longest = 2 / (1 - beta2) - 1
    memory = longest - 2 * t * beta2**t / (1 - beta2**t)
    if memory <= 4:
        return 0
    return math.sqrt((memory - 4) * (memory - 2) * longest / ((longest - 4) * (longest - 2) * memory))
    ### END SOLUTION

# %% question="warm_up" points=3 difficulty=2 minutes=7
book.check("warm_up", warm_up)

# %% [markdown]
# ## 4 · Lookahead around anything   ★★★ · 8 min · 4 points
#
# Lookahead does not care which rule it is wrapped around. So the rule is a function here: `advance(x)` is where it goes
# from x in one step.
#
# **Given** the `start`, a tensor `[P]`; `advance`; the length `k` of a round, the share `a`, and a number of `steps`.
# **Asked:** the path, a tensor `[steps + 1, P]` whose first row is the start. The slow weights begin at the start, too.
# Each step advances x; each k-th step then takes part of it back: the slow weights go the share a of the way to where x
# is now, and x is set to them. The row of such a step is x after that.
#
# *Example.* From 8, with `advance(x) = 0.5 * x`, k = 2 and a = 0.5: the first step leads to 4. The second would lead to
# 2; half of the way from 8 to 2 is 5, so it ends there. The third leads to 2.5.

# %% question="lookahead"
def lookahead(start, advance, k, a, steps):
    """The path of Lookahead around a rule, [steps + 1, P], from the start on."""
    ### BEGIN SOLUTION
    slow, fast, path = start, start, [start]
    for t in range(1, steps + 1):
        fast = advance(fast)
        if t % k == 0:
            slow = slow + a * (fast - slow)
            fast = slow
        path.append(fast)
    return torch.stack(path)
    ### END SOLUTION

# %% question="lookahead" points=4 difficulty=3 minutes=8
book.check("lookahead", lookahead)

# %% [markdown]
# ## 5 · The same tries for all   ★★☆ · 6 min · 3 points
#
# Now compare rules. Each was tried at the same rates, with the same number of seeds. Which rate does each rule go to
# the contest with?
#
# **Given** `validation`, the losses, a tensor `[rules, rates, seeds]`; a run that diverged has the loss NaN. **Asked:**
# for each rule the index of its best rate, an int64 tensor `[rules]`. The best rate has the lowest mean over the seeds.
# A rate at which *any* run has diverged is out; every rule has at least one that is not.
#
# *Example.* One rule, three rates, two seeds: `[[[3, 3], [1, nan], [2, 2]]]`. The second rate is out, and of the others
# the third is better: `tensor([2])`.

# %% question="choose"
def choose(validation):
    """The index of the best rate of each rule, int64 [rules]."""
    ### BEGIN SOLUTION
    means = validation.mean(-1)
    return means.nan_to_num(nan=math.inf).argmin(1)
    ### END SOLUTION

# %% question="choose" points=3 difficulty=2 minutes=6
book.check("choose", choose)

# %% [markdown]
# ## 6 · Seed by seed   ★☆☆ · 5 min · 2 points
#
# Some seeds are easy and some are hard, for every rule. So compare within a seed.
#
# **Given** `a` and `b`, the losses of two rules, tensors `[n]`; entry i of both has the same seed. **Asked:** in how
# many seeds a is better, a whole number (an equal loss is no win); and the median of the differences a − b, a plain
# number. If there are two numbers in the middle, the median is half way between them.
#
# *Example.* Losses of 1, 5, 4 against 2, 9, 3. The differences are −1, −4 and 1: a wins in 2 seeds, and the median is
# −1. (The median losses would be 4 and 3, the other way round!)

# %% question="paired"
def paired(a, b):
    """In how many seeds a is lower than b, and the median of a − b."""
    ### BEGIN SOLUTION
    return int((a < b).sum()), float((a - b).quantile(0.5))
    ### END SOLUTION

# %% question="paired" points=2 difficulty=1 minutes=5
book.check("paired", paired)

# %% [markdown]
# ## 7 · Could it be luck?   ★★☆ · 6 min · 3 points
#
# If two rules were alike, each seed would be a coin.
#
# **Given** `wins` and `seeds`, two whole numbers. **Asked:** the chance that a fair coin, thrown once for each seed,
# shows heads *at least* so many times as there were wins; a number between 0 and 1, exactly.
#
# *Example.* 3 wins in 4 seeds: of the 16 ways in which four coins may fall, 4 have three heads and 1 has four, which
# makes 5/16 = 0.3125. No evidence at all.

# %% question="luck"
def luck(wins, seeds):
    """The chance of at least so many heads in so many throws of a fair coin."""
    ### BEGIN SOLUTION
    return sum(math.comb(seeds, count) for count in range(wins, seeds + 1)) / 2**seeds
    ### END SOLUTION

# %% question="luck" points=3 difficulty=2 minutes=6
book.check("luck", luck)

# %% [markdown]
# ## 8 · How sure is the difference?   ★★★ · 8 min · 4 points
#
# With other seeds the median would have been another one. How far off might it be? The **bootstrap** draws new sets of
# seeds from those you have, some twice and some not at all, and looks how far their medians are spread.
#
# **Given** `differences`, a tensor `[n]`, one for each seed, with n odd; `picks`, int64 `[resamples, n]`: each row says
# which seeds are in that new set; and `cut`, a whole number. **Asked:** the medians of all the new sets, of which the
# `cut` lowest and the `cut` highest are thrown away: the lowest and the highest that are left, two plain numbers. With
# 2,000 resamples and a cut of 50 this is a 95 % interval.
#
# *Example.* The differences −3, −1, 2 and the rows (0, 0, 0), (2, 2, 1), (1, 0, 1), (0, 2, 0): the new sets are
# (−3, −3, −3), (2, 2, −1), (−1, −3, −1), (−3, 2, −3), and their medians −3, 2, −1, −3. With a cut of 1, what is left
# reaches from −3 to −1.

# %% question="interval"
def interval(differences, picks, cut):
    """The ends of what is left of the resampled medians when cut are thrown away at each end."""
    ### BEGIN SOLUTION
    medians = differences[picks].quantile(0.5, dim=1).sort().values
    return float(medians[cut]), float(medians[-1 - cut])
    ### END SOLUTION

# %% question="interval" points=4 difficulty=3 minutes=8
book.check("interval", interval)

# %% [markdown]
# ## What you have built
#
# A fair contest. Three rules, six rates each, two seeds: your `choose` says which rate each rule takes. Then eleven
# fresh seeds, and the test split, which nobody has looked at. (The picture appears once questions 5 to 8 are right.)

# %% tags=["nbval-ignore-output"]
contestants = {"Momentum": rules.Momentum(), "Adam": rules.Adam(), "Lion": rules.Lion()}
rates = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3]


def tried(rule):  # validation losses [rates, seeds]
    table = sweep("mlp", "digits", rule=rule, lr=rates, batch_size=32, steps=60, seeds=[1000, 1001], how="batched",
                  device="cpu", progress=False)
    return torch.tensor(table["val_loss"].to_numpy()).view(len(rates), 2)


def test_loss(rule, lr, seed):
    run = Run("mlp", "digits", rule=rule, lr=lr, batch_size=32, seed=seed, device="cpu", validate_every=0)
    return run.train(60, progress=False).evaluate(run.dataset.test)[0]


if book.right("choose", "paired", "luck", "interval"):
    picks = choose(torch.stack([tried(rule) for rule in contestants.values()])).tolist()
    chosen = {name: rates[pick] for name, pick in zip(contestants, picks, strict=True)}
    losses = {name: torch.tensor([test_loss(contestants[name], lr, seed) for seed in range(11)], dtype=torch.float64)
              for name, lr in chosen.items()}
    resamples = torch.randint(11, (2000, 11), generator=torch.Generator().manual_seed(0))
    fig, ax = figures.figure("Eleven seeds: who wins, by how much, and could it be luck?", size=(7.2, 3.0))
    words = []
    for row, (first, second) in enumerate([("Adam", "Momentum"), ("Lion", "Momentum"), ("Lion", "Adam")]):
        middle = paired(losses[first], losses[second])[1]
        wins, winner = max((paired(losses[a], losses[b])[0], a) for a, b in [(first, second), (second, first)])
        differences = losses[first] - losses[second]
        low, high = interval(differences, resamples, 50)
        colour = figures.PALETTE[row]
        ax.plot([low, high], [row, row], color=colour, linestyle="-", linewidth=9, alpha=0.3, solid_capstyle="butt")
        ax.plot(differences, [row] * 11, "o", color=colour, markersize=4)
        ax.plot(middle, row, "|", color=colour, markersize=22, markeredgewidth=2.5)
        text = f"{winner} wins {wins} of 11; by luck: {100 * luck(wins, 11):.2g} %"
        ax.annotate(text, (0.01, row - 0.32), xycoords=("axes fraction", "data"), fontsize=9, color="#444444",
                    bbox={"facecolor": "white", "edgecolor": "none", "pad": 1})
        words.append(f"{first} minus {second}: median {middle:.3f} ({low:.3f} to {high:.3f}); {text}.")
    ax.axvline(0, color="#444444", linestyle=":", linewidth=1)
    ax.margins(x=0.05)
    ax.set(ylim=(2.4, -0.6), yticks=range(3))
    ax.set_yticklabels(["Adam − Momentum", "Lion − Momentum", "Lion − Adam"])
    ax.set_xlabel("difference of the test losses (dots: seeds, bar: 95 % interval of the median)")
    words += [f"{name} went with the rate {lr}." for name, lr in chosen.items()]
    figures.show(fig, alt=" ".join(words))

# %% [markdown]
# Left of the dotted line the first of the two is better. An interval that reaches across the line says: with these
# seeds, no claim. And even a clear one is a claim about this network, these data and 60 steps. One more honesty: the
# picture asks for the luck of whoever has won. If you did not say before who that would be, double the number.

# %%
book.progress()
