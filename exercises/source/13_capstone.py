# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Workbook 13 · Capstone
#
# Six functions, from three lines to seven: what you need to say honestly what has helped. Afterwards you can keep the
# test out of the training, keep an account, compare seed by seed, and report what you may. At the end they judge a
# small recipe, in two ways that do not agree. It belongs to [lecture 13](../lectures/13_capstone.ipynb); about 45
# minutes.
#
# **How it goes.** Write a function in place of the line that raises `NotImplementedError`, run the cell, and run the
# check below it. The check tries your function on a few inputs, small ones first, and says what it expected and what
# it got; if it knows your mistake, it names it. Wrong tries cost nothing. When you are stuck:
#
# | you type | you get |
# |---|---|
# | `book.hint("standardise")` | a hint, one stage further each time |
# | `standardise(*book.given("standardise"))` | your function on the input that failed |
# | `book.solution("standardise")` | the solution, after a try |
#
# **Units.** An accuracy is in *points*: per cent of the pictures that are right, so that 71 minus 70 is one point. Only
# question 5 speaks of shares between 0 and 1. No function may change its arguments.

# %%
import math
from functools import cache

import torch

from lrlab import Run, data, figures, rules, schedules
from lrlab.augmentation import Translate
from lrlab.workbook import load

torch.set_num_threads(1)
book = load("13_capstone", version=1)

# %% [markdown]
# ## 1 · Without a leak   ★☆☆ · 6 min · 2 points
#
# The first line of many a notebook lets the test into the training: it standardises all pictures, and splits them
# afterwards. You do it in the right order.
#
# **Given** the pictures of three splits, `train`, `validation` and `test`, each `[N, C, H, W]` with an N of its own.
# **Asked:** all three, standardised with the mean and the standard deviation of each channel, measured over the images,
# heights and widths of the *training* pictures. The standard deviation divides by n: `correction=0`.
#
# *Example.* The training picture has the two pixels 1 and 3: mean 2, standard deviation 1. It becomes −1 and 1. A test
# picture of 0 and 2 becomes −2 and 0, whatever its own mean is.

# %% question="standardise"
def standardise(train, validation, test):
    """All three splits by the mean and the standard deviation of each channel in training."""
    ### BEGIN SOLUTION
    mean = train.mean((0, 2, 3), keepdim=True)
    scale = train.std((0, 2, 3), correction=0, keepdim=True)
    return (train - mean) / scale, (validation - mean) / scale, (test - mean) / scale
    ### END SOLUTION

# %% question="standardise" points=2 difficulty=1 minutes=6
book.check("standardise", standardise)

# %% [markdown]
# ## 2 · The account   ★☆☆ · 6 min · 2 points
#
# You have a budget of training steps, and a list of trials in the order in which you want to make them.
#
# **Given** `trials`, a list of pairs `(steps, seeds)`: so many steps for each of so many seeds; and `budget`, in steps.
# A trial is begun only if what is left pays for all of it. If not, it is left out, and the next one is looked at.
# **Asked:** the list of the trials that are made, by their index from 0, and the steps that are left, a whole number.
#
# *Example.* `[(200, 6), (200, 4), (100, 3)]`, and a budget of 1,500: the first costs 1,200 and is made, the second does
# not fit into the 300 that are left, the third does. `[0, 2], 0`.

# %% question="carried_out"
def carried_out(trials, budget):
    """Indices of the trials that the budget pays for, in their order, and the steps that are left."""
    ### BEGIN SOLUTION
    done = []
    for number, (steps, seeds) in enumerate(trials):
        if steps * seeds <= budget:
            done.append(number)
            budget = budget - steps * seeds
    return done, budget
    ### END SOLUTION

# %% question="carried_out" points=2 difficulty=1 minutes=6
book.check("carried_out", carried_out)

# %% [markdown]
# ## 3 · Seed by seed   ★★☆ · 6 min · 3 points
#
# The same seeds were trained before and after a change: the same first weights, the same order of the data. How much
# has the change won, and how sure is that?
#
# **Given** `after` and `before`, `[S]`: the accuracies in points, seed by seed, of three seeds or more. **Asked:** two
# numbers: the mean of what the seeds have won, and its standard error, the standard deviation of what they have won
# (with n − 1) over √S.
#
# *Example.* Before 70, 60 and 80, after 71, 63 and 82. The three have won 1, 3 and 2: `2.0`, and 1/√3 = `0.577`. That
# the seeds themselves lie ten points apart has not entered.

# %% question="won"
def won(after, before):
    """The mean difference over the seeds, in points, and its standard error."""
    ### BEGIN SOLUTION
    points = after - before
    return points.mean().item(), points.std().item() / math.sqrt(len(points))
    ### END SOLUTION

# %% question="won" points=3 difficulty=2 minutes=6
book.check("won", won)

# %% [markdown]
# ## 4 · The choice   ★★☆ · 7 min · 3 points
#
# A search has tried T settings under S seeds each. You choose one, and tell your reader what it is worth.
#
# **Given** `validation` and `test`, `[T, S]`: accuracies in points. A seed that diverged has NaN in both; a setting
# with such a seed cannot be chosen. (One without is always there, and no two have the same mean.) **Asked:** the index
# of the setting that a clean search chooses, and the number that may be reported for it, as a mean over the seeds.
#
# *Example.* On validation the settings have 70 and 72, and 78 and 80; on the test 74 and 76, and 72 and 74. The second
# one is chosen, and 73 is reported: `1, 73.0`. That the first has 75 there is nothing you may act upon.

# %% question="choose"
def choose(validation, test):
    """The index of the chosen setting, and the accuracy to report for it, in points."""
    ### BEGIN SOLUTION
    means = validation.mean(1).nan_to_num(nan=-math.inf)
    trial = int(means.argmax())
    return trial, test[trial].mean().item()
    ### END SOLUTION

# %% question="choose" points=3 difficulty=2 minutes=7
book.check("choose", choose)

# %% [markdown]
# ## 5 · How sure?   ★★☆ · 7 min · 3 points
#
# 20 of 20 test pictures are right. Certainty? Wilson's interval answers: it holds every true share p̃ from which the
# measured one, p, is at most z standard errors away, with the standard error that p̃ itself would have. With
# p = right/n:
#
# $$\frac{p + \frac{z^2}{2n} \pm z\sqrt{\frac{p(1-p)}{n} + \frac{z^2}{4n^2}}}{1 + \frac{z^2}{n}}$$
#
# **Given** `right`, how many of the `images` are right (n in the formula), and `z`, 1.96 for an interval of 95 %.
# **Asked:** its two ends, as shares between 0 and 1, the lower one first.
#
# *Example.* One of one is right, z = 1: the centre is (1 + ½)/2 = 0.75, the half width √¼/2 = 0.25. So `0.5, 1.0`.

# %% question="interval"
def interval(right, images, z):
    """The two ends of Wilson's interval for the share of right answers."""
    ### BEGIN SOLUTION
    p, whole = right / images, 1 + z**2 / images
    centre = (p + z**2 / (2 * images)) / whole
    half = z * math.sqrt(p * (1 - p) / images + z**2 / (4 * images**2)) / whole
    return centre - half, centre + half
    ### END SOLUTION

# %% question="interval" points=3 difficulty=2 minutes=7
book.check("interval", interval)

# %% [markdown]
# ## 6 · Alone, and left out   ★★★ · 10 min · 4 points
#
# A recipe was built step by step. What is one step worth? Two questions, and often two answers: what does it win
# *alone*, on top of the default recipe? And what is lost when it is *left out* of the final one?
#
# **Given** `measure`, a function: `measure(settings)` is the accuracy in points of a recipe, a dictionary with a value
# for every step; and two such recipes with the same keys, `default` and `final`. **Asked:** a dictionary from each key
# to two numbers, in points: what this step wins alone, and what is lost without it; both positive where it helps.
#
# *Example.* The default recipe has 60, with the new rate 62, with augmentation 63, with both 71. The rate is worth
# `(2.0, 8.0)`, for without it 63 are left of the 71; augmentation is worth `(3.0, 9.0)`.

# %% question="ablation"
def ablation(measure, default, final):
    """For each step: the points that it wins alone, and those that are lost when it is left out."""
    ### BEGIN SOLUTION
    effects = {}
    for name in default:
        alone = measure({**default, name: final[name]}) - measure(default)
        left_out = measure(final) - measure({**final, name: default[name]})
        effects[name] = alone, left_out
    return effects
    ### END SOLUTION

# %% question="ablation" points=4 difficulty=3 minutes=10
book.check("ablation", ablation)

# %% [markdown]
# ## What you have built
#
# A judge. Here is a recipe: handwritten digits, ten of each, the small network of the lectures, AdamW, 200 steps. The
# default rate is 0.001, constant, without augmentation. The final recipe has ten times the rate, a cosine, and shifts
# by a pixel. Which of the three steps helps, alone? Which is missed, when it is left out? Write your guess down. (The
# picture appears once questions 3 to 6 are right.)

# %%
digits = data.load("digits", per_class=10, device="cpu")
default = {"rate": 0.001, "schedule": "constant", "augment": "nothing"}
final = {"rate": 0.01, "schedule": "cosine", "augment": "shifts"}


@cache
def trained(rate, schedule, augment):
    """Four seeds of a recipe, after 200 steps."""
    lr = schedules.Cosine(rate, total=200) if schedule == "cosine" else rate
    settings = {"rule": rules.AdamW(weight_decay=0), "lr": lr, "augment": Translate(1) if augment == "shifts" else None}
    settings |= {"batch_size": 32, "device": "cpu", "validate_every": 0, "checkpoint_mb": 0}
    return [Run("mlp", digits, seed=seed, **settings).train(200, progress=False) for seed in range(4)]


def points(recipe, split):
    """The accuracy of each seed, [4]."""
    return torch.tensor([100 * run.evaluate(split)[1] for run in trained(**recipe)], dtype=torch.float64)


# %% tags=["nbval-ignore-output"]
if book.right("won", "choose", "interval", "ablation"):
    effects = ablation(lambda recipe: points(recipe, digits.validation).mean().item(), default, final)
    fig, ax = figures.figure("The same step, alone and left out", size=(7.2, 2.8))
    for row, numbers in enumerate(effects.values()):
        for i, (how, number) in enumerate(zip(("alone", "left out"), numbers, strict=True)):
            ax.plot([0, number], [row + 0.3 * i] * 2, "-", color=figures.PALETTE[i], linewidth=3)
            ax.plot(number, row + 0.3 * i, "os"[i], color=figures.PALETTE[i], label=how if row == 0 else None)
    ax.axvline(0, color="black", linewidth=0.8, linestyle="-")
    ax.set(yticks=[0.15, 1.15, 2.15], yticklabels=effects, ylim=(2.6, -0.3), xlabel="points won (mean of 4 seeds)")
    ax.margins(x=0.06)
    ax.legend(loc="lower right")
    words = "; ".join(f"{name}: alone {one:+.1f}, left out {two:+.1f}" for name, (one, two) in effects.items())
    figures.show(fig, alt=f"Points that each step wins. {words}.")

    recipes = {"default": default, "final": final}
    recipes |= {f"default with its {name}": default | {name: final[name]} for name in default}
    recipes |= {f"final without its {name}": final | {name: default[name]} for name in default}
    validation, test = (torch.stack([points(recipe, split) for recipe in recipes.values()])
                        for split in (digits.validation, digits.test))
    mean, error = won(validation[1], validation[0])
    print(f"the final recipe wins {mean:+.1f} points over the default one, standard error {error:.1f}")
    trial, reported = choose(validation, test)
    low, high = interval(round(reported / 100 * len(digits.test.y)), len(digits.test.y), 1.96)
    print(f"chosen: {list(recipes)[trial]}; {reported:.1f} % right on the test, 95 % interval {low:.1%} to {high:.1%}")

# %%
book.progress()
