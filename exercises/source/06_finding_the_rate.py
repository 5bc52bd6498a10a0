# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Workbook 6 · Finding the rate
#
# Seven functions, from one line to eight. Afterwards you can search for a rate without wasting tries, and read a range
# test without being fooled by it. At the end your own range test reads the advice for a network off its losses, and you
# see what that advice is worth. It belongs to [lecture 6](../lectures/06_finding_the_rate.ipynb); about 45 minutes.
#
# **How it goes.** Write a function in place of the line that raises `NotImplementedError`, run the cell, and run the
# check below it. The check tries your function on a few inputs, small ones first, and says what it expected and what
# it got; if it knows your mistake, it names it. Wrong tries cost nothing. When you are stuck:
#
# | you type | you get |
# |---|---|
# | `book.hint("zoom")` | a hint, one stage further each time |
# | `zoom(*book.given("zoom"))` | your function on the input that failed |
# | `book.solution("zoom")` | the solution, after a try |
#
# **Symbols**, as in the lecture: every rate is α (x² per loss), a number above 0; losses are in nats; a share and a
# chance are numbers between 0 and 1, without a unit. No function may change its arguments.

# %%
import math

import numpy as np
import torch

from lrlab import Run, figures, sweep
from lrlab.workbook import load

torch.set_num_threads(1)
book = load("06_finding_the_rate", version=1)

# %% [markdown]
# ## 1 · Dice for rates   ★☆☆ · 5 min · 2 points
#
# `random.random()` gives a number that is even between 0 and 1. You want a learning rate, and every decade of the
# interval shall be as likely as any other (section 2 of the lecture).
#
# **Given** `u`, a number from 0 to 1, and the ends `low` and `high` of an interval of rates. **Asked:** the rate at u,
# a number: low at u = 0, high at u = 1, and between them even in the logarithm.
#
# *Example.* From 0.0001 to 1: at u = 0.5 the rate is 0.01, at u = 0.25 it is 0.001.

# %% question="log_uniform"
def log_uniform(u, low, high):
    """The rate at u between low and high, evenly in the logarithm."""
    ### BEGIN SOLUTION
    return math.exp(math.log(low) + u * math.log(high / low))
    ### END SOLUTION

# %% question="log_uniform" points=2 difficulty=1 minutes=5
book.check("log_uniform", log_uniform)

# %% [markdown]
# ## 2 · How many tries?   ★☆☆ · 5 min · 2 points
#
# You draw points at random. How many, until you can be rather sure that a good one is among them?
#
# **Given** `share`, the share of all points that you call good, and `chance`, how sure you want to be. **Asked:** the
# least number of tries of which at least one is good with at least that chance, a whole number.
#
# *Example.* Half of the points are good. One try hits with the chance 0.5, two with 0.75. So a chance of 0.75 takes
# 2 tries, and one of 0.7 takes 2 as well. The 59 of the lecture belong to the chance 0.95 and the share 0.05.

# %% question="tries_needed"
def tries_needed(chance, share):
    """The least number of random tries that hit the good share with at least this chance."""
    ### BEGIN SOLUTION
    return math.ceil(math.log(1 - chance) / math.log(1 - share))
    ### END SOLUTION

# %% question="tries_needed" points=2 difficulty=1 minutes=5
book.check("tries_needed", tries_needed)

# %% [markdown]
# ## 3 · Look closer   ★★★ · 9 min · 4 points
#
# From coarse to fine: the first round has found its best rate. Where does the second one search?
#
# **Given** the interval of the first round, from `low` to `high`; the `best` rate in it; and a `factor`. **Asked:** the
# ends of the new interval, two numbers. On the logarithmic axis it is `factor` times narrower than the old one, and
# the best stands in its middle. Where it would stick out of the old one, it is pushed inside, as wide as it is.
#
# *Example.* 0.0001 to 1 are four decades; with a factor of 2 the new interval has two. Around 0.01 it goes from 0.001
# to 0.1. Around 0.5 it would stick out: it goes from 0.01 to 1.

# %% question="zoom"
def zoom(low, high, best, factor):
    """The ends of an interval around the best, factor times narrower in the logarithm, inside the old one."""
    ### BEGIN SOLUTION
    start, width = math.log(low), math.log(high / low) / factor
    new_start = math.log(best) - width / 2
    new_start = min(max(new_start, start), math.log(high) - width)
    return math.exp(new_start), math.exp(new_start + width)
    ### END SOLUTION

# %% question="zoom" points=4 difficulty=3 minutes=9
book.check("zoom", zoom)

# %% [markdown]
# ## 4 · The rates of a range test   ★☆☆ · 5 min · 2 points
#
# **Given** the rates `start` and `end`, and the number of `steps`, 2 or more. **Asked:** a list of as many rates. The
# first is start, the last is end, and each is the same number of times as large as the one before.
#
# *Example.* From 0.001 to 1 in 4 steps: 0.001, 0.01, 0.1, 1.

# %% question="rates"
def rates(start, end, steps):
    """The rates of a range test, a list from start to end, each the same factor above the one before."""
    ### BEGIN SOLUTION
    return [start * (end / start) ** (i / (steps - 1)) for i in range(steps)]
    ### END SOLUTION

# %% question="rates" points=2 difficulty=1 minutes=5
book.check("rates", rates)

# %% [markdown]
# ## 5 · Out of the noise   ★★☆ · 7 min · 3 points
#
# **Given** `losses`, a list, and `beta`, a number from 0 to 1. **Asked:** a list as long: the exponential moving
# average after each loss. It begins with 0; it keeps the share β of itself and takes the share 1 − β of the new loss.
# And it is corrected, as Adam corrects its averages: a loss that is always 7 must read 7 from the first value on.
#
# *Example.* The losses 4 and 1 with β = 0.5: the average is 2 and then 1.5. Of the weights, a half and then three
# quarters have been given out. So the answer is 4 and 2.

# %% question="smooth"
def smooth(losses, beta):
    """The moving average of the losses, a list, right from its first value on."""
    ### BEGIN SOLUTION
    average, smoothed = 0.0, []
    for n, loss in enumerate(losses, start=1):
        average = beta * average + (1 - beta) * loss
        smoothed.append(average / (1 - beta**n))
    return smoothed
    ### END SOLUTION

# %% question="smooth" points=3 difficulty=2 minutes=7
book.check("smooth", smooth)

# %% [markdown]
# ## 6 · The steepest stretch   ★★☆ · 8 min · 3 points
#
# Two range tests, a coarse one and a fine one, were put together, so their rates are not evenly spaced. Between two
# neighbours lies a stretch of the curve. On which stretch does the loss fall most *per factor of α*?
#
# **Given** `lrs`, a rising tensor `[n]` of rates, and the smoothed `losses` at them, a tensor `[n]`. **Asked:** the
# middle of that stretch on the logarithmic axis, a plain number.
#
# *Example.* At the rates 0.001, 0.01, 0.1, 1 the losses are 2.3, 2.0, 1.0, 1.5. All stretches are one decade wide; the
# second falls most, and its middle is √(0.01 · 0.1) = 0.0316.

# %% question="steepest"
def steepest(lrs, losses):
    """The middle, in the logarithm, of the stretch on which the loss falls most per factor of the rate."""
    ### BEGIN SOLUTION
    slopes = losses.diff() / lrs.log().diff()
    i = slopes.argmin()
    return math.sqrt(lrs[i] * lrs[i + 1])
    ### END SOLUTION

# %% question="steepest" points=3 difficulty=2 minutes=8
book.check("steepest", steepest)

# %% [markdown]
# ## 7 · A tenth of the lowest   ★★☆ · 7 min · 3 points
#
# A second kind of advice: go to the lowest loss, and take a tenth of its rate. An honest rule knows when it has nothing
# to say.
#
# **Given** `lrs` and `losses` as before, but the losses may break: from the first NaN on, nothing counts. **Asked:** a
# tenth of the rate at the lowest loss that counts, a plain number; `None` if that is the last loss that counts, for
# then the bottom may lie further on.
#
# *Example.* At 0.01, 0.1, 1 the losses 2, 1, 3 advise 0.01; the losses 2, 1, 0.5 advise nothing, `None`.

# %% question="minimum_over_10"
def minimum_over_10(lrs, losses):
    """A tenth of the rate at the lowest loss before the first NaN; None if that loss is the last one."""
    ### BEGIN SOLUTION
    if losses.isnan().any():
        losses = losses[: losses.isnan().nonzero()[0]]
    bottom = int(losses.argmin())
    if bottom == len(losses) - 1:
        return None
    return lrs[bottom].item() / 10
    ### END SOLUTION

# %% question="minimum_over_10" points=3 difficulty=2 minutes=7
book.check("minimum_over_10", minimum_over_10)

# %% [markdown]
# ## What you have built
#
# A range test. Eight networks raise their rates along yours, each for 80 steps. Of their losses we take the median,
# you smooth it, and read off two pieces of advice. Below stands what every rate ends with after 200 steps of its own.
# Which advice would you follow? (The picture appears once questions 4 to 7 are right.)

# %%
def range_test(seed, lrs):
    run = Run("mlp", "digits", batch_size=32, seed=seed, device="cpu", validate_every=0)
    steps, losses = run.steps(len(lrs)), []
    for lr in lrs:
        run.lr = lr  # acts from the next step on
        record = next(steps, None)  # None: the run has diverged
        losses.append(math.nan if record is None else record.loss)
    return losses


# %% tags=["nbval-ignore-output"]
if book.right("rates", "smooth", "steepest", "minimum_over_10"):
    tried = rates(0.001, 3, 80)
    middle = np.median([range_test(seed, tried) for seed in range(8)], axis=0)
    smoothed = torch.tensor(smooth(middle.tolist(), 0.8), dtype=torch.float64)
    lrs = torch.tensor(tried, dtype=torch.float64)
    advice = {
        "minimum / 10": minimum_over_10(lrs, smoothed),
        "steepest": steepest(lrs[::5], smoothed[::5]),  # stretches of five steps: shorter ones are noise
    }
    grid = rates(0.01, 3, 24)
    settings = {"batch_size": 32, "seeds": 4, "how": "batched", "progress": False}
    table = sweep("mlp", "digits", lr=grid, steps=200, **settings)
    ends = np.median(table["val_loss"].fillna(9.0).to_numpy().reshape(24, 4), axis=1)
    fig, (ax, below) = figures.figure("Both kinds of advice stand on the soft side of the cliff", 2, size=(7.2, 4.6))
    ax.plot(tried, middle, color="#BBBBBB", linestyle="-")
    ax.plot(tried, smoothed, **figures.style(0))
    ax.set(ylabel="loss of the test (nats)", ylim=(0.6, 3))
    below.plot(grid, ends, **figures.style(0))
    for i, (name, lr) in enumerate(advice.items(), 1):
        for each in (ax, below):
            each.axvline(lr, **figures.style(i))
        ax.text(lr * 0.95, 0.66, name, color=figures.PALETTE[i], ha="right")
    below.set(xscale="log", xlim=(0.01, 3), xlabel="learning rate α", yscale="log")
    below.set(ylabel="validation loss (nats)\nafter 200 steps", ylim=(0.1, 3))
    worth = ", ".join(f"{name} {lr:.2g}, loss {np.interp(lr, grid, ends):.2g}" for name, lr in advice.items())
    alt = f"Loss of the range test over the rate, and the validation loss after 200 steps. Advice: {worth}."
    figures.show(fig, alt=f"{alt} The best of 24 rates ends at {ends.min():.2g}.")

# %%
book.progress()
