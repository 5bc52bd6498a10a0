# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Workbook 7 · Schedules
#
# Eight functions, from one line to ten. Afterwards you can write any schedule as a function of time, which a run may
# pause, rewind and branch as it likes, and you will never again mix up steps and epochs. At the end four of your
# schedules train a network. It belongs to [lecture 7](../lectures/07_schedules.ipynb); about 50 minutes.
#
# **How it goes.** Write a function in place of the line that raises `NotImplementedError`, run the cell, and run the
# check below it. The check tries your function on a few inputs, small ones first, and says what it expected and what
# it got; if it knows your mistake, it names it. Wrong tries cost nothing. When you are stuck:
#
# | you type | you get |
# |---|---|
# | `book.hint("cosine")` | a hint, one stage further each time |
# | `cosine(*book.given("cosine"))` | your function on the input that failed |
# | `book.solution("cosine")` | the solution, after a try |
#
# **Symbols**, as in the lecture: `t` is the time, a whole number of steps done, so the first step is made at t = 0;
# every length is in steps too, unless a question says epochs. `lr` is α₀ (x² per loss), as is every rate. `gamma` and
# `factor` have no unit. No function may change its arguments.

# %%
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from lrlab import figures, sweep
from lrlab.schedules import Cosine, Schedule
from lrlab.workbook import load

torch.set_num_threads(1)
book = load("07_schedules", version=1)

# %% [markdown]
# ## 1 · Stairs   ★☆☆ · 6 min · 2 points
#
# A run is paused, resumed, rewound, branched. Each time it asks what its rate is now, so the times it asks for skip,
# repeat and go back.
#
# **Given** `times`, a list of steps in any order; the first rate `lr`; `milestones`, a rising list of steps; and
# `gamma`. At each milestone the rate is multiplied by gamma, and the step at the milestone already has the new rate.
# **Asked:** a list of the rates at these times.
#
# *Example.* `lr` 1, the milestone 10, gamma 0.5: at the times 0, 9, 10 the rates are 1, 1, 0.5.

# %% question="stairs"
def stairs(times, lr, milestones, gamma):
    """The rates at these times, a list: lr, multiplied by gamma at each milestone that is passed."""
    ### BEGIN SOLUTION
    return [lr * gamma ** sum(t >= milestone for milestone in milestones) for t in times]
    ### END SOLUTION

# %% question="stairs" points=2 difficulty=1 minutes=6
book.check("stairs", stairs)

# %% [markdown]
# ## 2 · Down by a cosine   ★☆☆ · 6 min · 2 points
#
# **Given** the time `t`, the first rate `lr`, the length `total` of the fall, and the last rate `final`. **Asked:** the
# rate at t, a number: half a cosine wave from lr at t = 0 down to final at t = total. From there on it stays at final.
#
# *Example.* From 0.2 to 0 over 100 steps: at t = 50 the rate is 0.1, and at t = 150 it is 0. From 0.2 to 0.1: at t = 50
# it is 0.15.

# %% question="cosine"
def cosine(t, lr, total, final):
    """The rate at t: half a cosine wave from lr down to final, which is reached at total and kept."""
    ### BEGIN SOLUTION
    left = 0.5 * (1 + math.cos(math.pi * min(t / total, 1)))
    return final + left * (lr - final)
    ### END SOLUTION

# %% question="cosine" points=2 difficulty=1 minutes=6
book.check("cosine", cosine)

# %% [markdown]
# ## 3 · .99 per what?   ★☆☆ · 5 min · 2 points
#
# You want an exponential decay, lr · γᵗ, that arrives at a given rate at the end of training. Its γ depends on who
# counts.
#
# **Given** the rates `lr` at the start and `final` at the end; the number of `epochs` between them; and how many
# `steps_per_epoch` there are. **Asked:** the γ that multiplies the rate at every step, and the γ that would do it once
# an epoch, two numbers without a unit.
#
# *Example.* From 1 to 0.0625 in 2 epochs of 2 steps: γ is 0.5 per step and 0.25 per epoch.

# %% question="decay_factors"
def decay_factors(lr, final, epochs, steps_per_epoch):
    """The factor per step and the factor per epoch that bring the rate from lr to final."""
    ### BEGIN SOLUTION
    per_epoch = (final / lr) ** (1 / epochs)
    return per_epoch ** (1 / steps_per_epoch), per_epoch
    ### END SOLUTION

# %% question="decay_factors" points=2 difficulty=1 minutes=5
book.check("decay_factors", decay_factors)

# %% [markdown]
# ## 4 · What time is it?   ★★☆ · 6 min · 3 points
#
# A schedule thinks in epochs, a training loop in steps. Between them lies the most frequent bug of all.
#
# **Given** `step`, the number of steps done; the number of `samples` in the training set; the `batch_size`; and a
# `schedule`, a function: `schedule(epoch)` is the rate after so many whole epochs. An epoch makes as many full batches
# as it can; the few samples left over sit out. **Asked:** the rate of this step, a number. Inside an epoch it does not
# change.
#
# *Example.* 50 samples in batches of 10 make 5 steps an epoch. A schedule that halves the rate 0.1 every 2 epochs is
# at 0.1 when 9 steps are done, and at 0.05 when 10 are.

# %% question="rate_of_step"
def rate_of_step(step, samples, batch_size, schedule):
    """The rate of a step, by a schedule that counts whole epochs."""
    ### BEGIN SOLUTION
    steps_per_epoch = samples // batch_size
    return schedule(step // steps_per_epoch)
    ### END SOLUTION

# %% question="rate_of_step" points=3 difficulty=2 minutes=6
book.check("rate_of_step", rate_of_step)

# %% [markdown]
# ## 5 · Warm up, then anything   ★★☆ · 6 min · 3 points
#
# **Given** the time `t`; the length of a `warmup`; and any `schedule`, a function of its own time, which begins at 0.
# **Asked:** the rate at t, a number: in a straight line from 0 at t = 0 up to where the schedule begins, and from
# t = warmup on the schedule, of which nothing may be lost.
#
# *Example.* A schedule that falls in a straight line from 0.1 to 0 in 10 steps, after a warm-up of 4: at t = 2 the rate
# is 0.05, at t = 4 it is 0.1, at t = 9 it is 0.05 again.

# %% question="warmup_then"
def warmup_then(t, warmup, schedule):
    """The rate at t: a linear climb over the warm-up, then the schedule on its own clock."""
    ### BEGIN SOLUTION
    if t < warmup:
        return schedule(0) * t / warmup
    return schedule(t - warmup)
    ### END SOLUTION

# %% question="warmup_then" points=3 difficulty=2 minutes=6
book.check("warmup_then", warmup_then)

# %% [markdown]
# ## 6 · Teeth that halve   ★★☆ · 7 min · 3 points
#
# **Given** the time `t`, the rates `base` and `top`, and the `stepsize`. **Asked:** Smith's *triangular2* at t, a
# number: in one stepsize up from base to top in a straight line, in the next back down, and so on; but in each further
# cycle the tooth above base is only half as high as in the one before.
#
# *Example.* From 0.1 to 0.9 with a stepsize of 4: at t = 4 the rate is 0.9, at t = 8 it is 0.1, and at t = 12 it is
# 0.1 + 0.4 = 0.5.

# %% question="triangular2"
def triangular2(t, base, top, stepsize):
    """The rate at t of a triangle between base and top, whose height halves from cycle to cycle."""
    ### BEGIN SOLUTION
    cycle, phase = divmod(t, 2 * stepsize)
    height = 1 - abs(phase / stepsize - 1)
    return base + (top - base) * height / 2**cycle
    ### END SOLUTION

# %% question="triangular2" points=3 difficulty=2 minutes=7
book.check("triangular2", triangular2)

# %% [markdown]
# ## 7 · Start again   ★★☆ · 8 min · 3 points
#
# **Given** the time `t`; the rate `lr` after each restart; the length `period` of the first cycle; and `mult`, a whole
# number, 2 or more: each cycle is mult times as long as the one before. **Asked:** the rate at t, a number: in each
# cycle half a cosine wave from lr towards 0. The step at which 0 would be reached is the first of the next cycle.
#
# *Example.* With lr = 0.2, period 10 and mult 2 the cycles are 10, 20 and 40 steps long. At t = 10 and t = 30 the rate
# is 0.2; at t = 20 and t = 50, each the middle of a cycle, it is 0.1.

# %% question="warm_restarts"
def warm_restarts(t, lr, period, mult):
    """The rate at t: a cosine towards 0 that starts again, in cycles of period, period * mult, ... steps."""
    ### BEGIN SOLUTION
    while t >= period:
        t, period = t - period, period * mult
    return cosine(t, lr, period, 0)
    ### END SOLUTION

# %% question="warm_restarts" points=3 difficulty=2 minutes=8
book.check("warm_restarts", warm_restarts)

# %% [markdown]
# ## 8 · Watch the loss   ★★★ · 9 min · 4 points
#
# No function of time can do this one: it has to see the losses.
#
# **Given** `losses`, a list of validation losses in their order; the first rate `lr`; `factor`; and `patience`, a whole
# number. A loss is good if it is below the best one so far (the first one is), and bad otherwise; NaN is bad. With as
# many bad ones in a row as the patience, the rate is multiplied by factor, and the count starts anew. **Asked:** a list
# as long as losses: the rate after each of them was seen.
#
# *Example.* The losses 1.0, 0.8, 0.8, 0.9 with lr = 0.1, factor 0.5 and patience 2: the third and the fourth are bad,
# and the rates are 0.1, 0.1, 0.1, 0.05.

# %% question="plateau"
def plateau(losses, lr, factor, patience):
    """The rate after each loss, a list: multiplied by factor with the patience-th bad loss in a row."""
    ### BEGIN SOLUTION
    best, bad, rates = math.inf, 0, []
    for loss in losses:
        if loss < best:
            best, bad = loss, 0
        else:
            bad += 1
        if bad == patience:
            lr, bad = lr * factor, 0
        rates.append(lr)
    return rates
    ### END SOLUTION

# %% question="plateau" points=4 difficulty=3 minutes=9
book.check("plateau", plateau)

# %% [markdown]
# ## What you have built
#
# Four ways down, and none remembers anything. Here each of them trains the small network of the lecture for 400 steps,
# under four seeds. Which one has the lowest loss at step 180, and which at the end? (The picture appears once questions
# 1, 5, 6 and 7 are right.)

# %%
@dataclass(frozen=True)
class Yours(Schedule):  # any function of t is a schedule
    function: Any

    def rate(self, t):
        return self.function(t)


# %% tags=["nbval-ignore-output"]
if book.right("stairs", "warmup_then", "triangular2", "warm_restarts"):
    drawn = {
        "stairs": Yours(lambda t: stairs([t], 0.2, [200, 300], 0.25)[0]),
        "warm-up, cosine": Yours(lambda t: warmup_then(t, 40, Cosine(0.2, total=360))),
        "triangular2": Yours(lambda t: triangular2(t, 0.01, 0.3, 100)),
        "restarts": Yours(lambda t: warm_restarts(t, 0.2, 27, 2)),
    }
    settings = {"batch_size": 4, "seeds": 4, "validate_every": 20, "how": "batched", "progress": False}
    table = sweep("mlp", "digits", lr=list(drawn.values()), steps=400, **settings)
    losses = np.median(table.val_losses.reshape(4, 4, -1), axis=1)  # of the seeds: [schedule, moment]
    title = "The loss comes down when your rate does"
    fig, (ax, below) = figures.figure(title, 2, heights=(3, 1.6), size=(7.2, 4.8))
    for i, (name, schedule) in enumerate(drawn.items()):
        ax.plot(table.val_steps, losses[i], label=name, **figures.style(i))
        below.plot(range(400), schedule(np.arange(400)), **figures.style(i))
    ax.set(ylabel="validation loss (nats)\nmedian of 4 seeds", yscale="log", ylim=(0.12, 1.2))
    below.set(xlabel="step", ylabel="rate α", ylim=(0, 0.32))
    figures.direct_labels(ax)
    ends = ", ".join(f"{name} {loss:.2g}" for name, loss in zip(drawn, losses[:, -1], strict=True))
    figures.show(fig, alt=f"Validation loss over step, and the four rates below it. Loss at the end: {ends}.")

# %%
book.progress()
