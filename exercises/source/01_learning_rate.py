# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Workbook 1 · The learning rate
#
# Seven functions, from one line to eight. Afterwards you can say what a rate will do before you run it, carry it over
# from one loss to another, and find the edge that nobody has told you: at the end your search finds the cliff of a real
# network, in seven tries. It belongs to [lecture 1](../lectures/01_learning_rate.ipynb); about 45 minutes.
#
# **How it goes.** Write a function in place of the line that raises `NotImplementedError`, run the cell, and run the
# check below it. The check tries your function on a few inputs, small ones first, and says what it expected and what
# it got; if it knows your mistake, it names it. Wrong tries cost nothing. When you are stuck:
#
# | you type | you get |
# |---|---|
# | `book.hint("descend")` | a hint, one stage further each time |
# | `descend(*book.given("descend"))` | your function on the input that failed |
# | `book.solution("descend")` | the solution, after a try |
#
# **Symbols**, as in the lecture: x the parameters, g the gradient (loss per x), `lr` is α (x² per loss), `curvature` is
# L (loss per x²). No function may change its arguments.

# %%
import math

import torch

from lrlab import Run, figures
from lrlab.workbook import load

torch.set_num_threads(1)
book = load("01_learning_rate", version=1)

# %% [markdown]
# ## 1 · The path down   ★☆☆ · 6 min · 2 points
#
# **Given** `start`, a tensor `[P]`; `gradient`, a function: `gradient(x)` is the gradient at any point, `[P]`; the rate
# `lr` and a number of `steps`. **Asked:** the path of gradient descent, a tensor `[steps + 1, P]`, whose first row is
# the start.
#
# *Example.* From 1, with `gradient(x) = 4 * x`, one step at 0.1: the slope is 4, the step 0.4 long, and the path
# `[[1.0], [0.6]]`.

# %% question="descend"
def descend(start, gradient, lr, steps):
    """The path of gradient descent, [steps + 1, P], from the start on."""
    ### BEGIN SOLUTION
    path = [start]
    for _ in range(steps):
        path.append(path[-1] - lr * gradient(path[-1]))
    return torch.stack(path)
    ### END SOLUTION

# %% question="descend" points=2 difficulty=1 minutes=6
book.check("descend", descend)

# %% [markdown]
# ## 2 · Sum or mean   ★☆☆ · 4 min · 2 points
#
# You trained with a loss that was the *mean* over mini-batches of `batch_size` samples, at the rate `lr`. Now you take
# the *sum* over mini-batches of `new_batch_size` samples, and want steps as long as before.
#
# **Given** these three numbers. **Asked:** the new rate, a number. (Take all samples for alike: each has the same
# gradient.)
#
# *Example.* A rate of 0.1 for the mean over 64 becomes 0.01 for the sum over 10.

# %% question="rate_for_sum"
def rate_for_sum(lr, batch_size, new_batch_size):
    """The rate for the sum over new_batch_size samples whose steps are as long as those of lr for the mean."""
    ### BEGIN SOLUTION
    return lr / new_batch_size
    ### END SOLUTION

# %% question="rate_for_sum" points=2 difficulty=1 minutes=4
book.check("rate_for_sum", rate_for_sum)

# %% [markdown]
# ## 3 · What will the ball do?   ★☆☆ · 5 min · 2 points
#
# A ball on a parabola of curvature L. One rate, five possible fates.
#
# **Given** two numbers above 0, `lr` and `curvature`. **Asked:** one of the words `"creeps"` (nearer at each step, on
# one side), `"arrives"` (there after one step), `"zigzags"` (nearer at each step, on alternate sides), `"jumps"`
# (between two points for ever) and `"leaves"`.
#
# *Example.* With the curvature 4, a rate of 0.1 creeps and a rate of 1 leaves.

# %% question="fate"
def fate(lr, curvature):
    """What gradient descent does on a parabola: "creeps", "arrives", "zigzags", "jumps" or "leaves"."""
    ### BEGIN SOLUTION
    factor = 1 - lr * curvature
    if abs(factor) > 1:
        return "leaves"
    if factor == -1:
        return "jumps"
    if factor == 0:
        return "arrives"
    return "creeps" if factor > 0 else "zigzags"
    ### END SOLUTION

# %% question="fate" points=2 difficulty=1 minutes=5
book.check("fate", fate)

# %% [markdown]
# ## 4 · How long?   ★★☆ · 7 min · 3 points
#
# **Given** `lr` and `curvature` as before, and `level`, a share between 0 and 1. **Asked:** after how many steps the
# ball is at most `level` times as far from the bottom as it was at the start, a whole number; `math.inf` if it never
# is.
#
# *Example.* With α = 0.25 and L = 2 each step leaves half of the distance. A level of 0.5 is reached after 1 step, a
# level of 0.1 after 4, for 0.5⁴ = 0.0625.

# %% question="steps_to"
def steps_to(lr, curvature, level):
    """Steps until the distance is at most level times that at the start; math.inf if it never is."""
    ### BEGIN SOLUTION
    factor = abs(1 - lr * curvature)
    if factor >= 1:
        return math.inf
    return math.ceil(math.log(level) / math.log(factor))
    ### END SOLUTION

# %% question="steps_to" points=3 difficulty=2 minutes=7
book.check("steps_to", steps_to)

# %% [markdown]
# ## 5 · The cliff in many directions   ★★☆ · 6 min · 3 points
#
# **Given** `hessian`, the matrix of second derivatives of a bowl, `[n, n]`, in loss per x²; it is symmetric, and all
# its curvatures are above 0. **Asked:** the rate above which gradient descent leaves it, a number.
#
# *Example.* A bowl with the curvature 1 along one axis and 8 along the other has its cliff at 0.25.

# %% question="largest_stable_rate"
def largest_stable_rate(hessian):
    """The rate above which gradient descent diverges on a bowl with this Hessian [n, n]."""
    ### BEGIN SOLUTION
    return 2 / float(torch.linalg.eigvalsh(hessian)[-1])
    ### END SOLUTION

# %% question="largest_stable_rate" points=3 difficulty=2 minutes=6
book.check("largest_stable_rate", largest_stable_rate)

# %% [markdown]
# ## 6 · As low as you want   ★★☆ · 7 min · 3 points
#
# With a noisy gradient the loss comes to rest on a floor; the formula is in section 5 of the lecture. You know how low
# you want to come. Which rate takes you there?
#
# **Given** three numbers above 0: `level`, the mean loss you want to rest at; `curvature`, L; and `sigma`, the noise of
# the gradient, in loss per x. **Asked:** the rate whose floor is that level, a number. Exactly, not for small rates
# only.
#
# *Example.* A floor of 0.5 with L = 6 and σ = 2 takes α = 0.2.

# %% question="rate_for_floor"
def rate_for_floor(level, curvature, sigma):
    """The learning rate at which the mean loss on a noisy parabola rests at the level."""
    ### BEGIN SOLUTION
    return 4 * level / (sigma**2 + 2 * level * curvature)
    ### END SOLUTION

# %% question="rate_for_floor" points=3 difficulty=2 minutes=7
book.check("rate_for_floor", rate_for_floor)

# %% [markdown]
# ## 7 · Find the cliff   ★★★ · 10 min · 4 points
#
# Nobody gives you the curvature of a network. But you can try a rate and see whether training breaks.
#
# **Given** `breaks`, a function: `breaks(lr)` is True if training breaks at this rate; `low`, a rate that works, and
# `high`, one that breaks; and `tries`, how often you may ask `breaks`. It trains each time, and answers no more often.
# **Asked:** after so many tries, each in the middle of what is left: the highest rate known to work and the lowest one
# known to break, two numbers `low, high`. Which middle is right for learning rates?
#
# *Example.* The cliff stands at 0.5, and you know that 0.01 works and 1 breaks. The first try is at 0.1. It works, so
# what is known now is `0.1, 1.0`.

# %% question="find_cliff"
def find_cliff(breaks, low, high, tries):
    """The highest rate known to work and the lowest one known to break, after so many tries."""
    ### BEGIN SOLUTION
    for _ in range(tries):
        middle = math.sqrt(low * high)
        if breaks(middle):
            high = middle
        else:
            low = middle
    return low, high
    ### END SOLUTION

# %% question="find_cliff" points=4 difficulty=3 minutes=10
book.check("find_cliff", find_cliff)

# %% [markdown]
# ## What you have built
#
# A search that finds the cliff of anything. Here it asks a network, seven times: train for 60 steps, and call it broken
# if the loss is no lower than that of a network that knows nothing, ln 10. (The picture appears once question 7 is
# right.)

# %% tags=["nbval-ignore-output"]
tried = []


def network_breaks(lr):
    if lr in dict(tried):  # asked twice, trained once
        return not dict(tried)[lr] < math.log(10)
    run = Run("mlp", "digits", lr=lr, seed=0, device="cpu", validate_every=0).train(60, progress=False)
    loss = run.history["loss"][-10:].mean()
    tried.append((lr, loss))
    return not loss < math.log(10)


if book.right("find_cliff"):
    low, high = find_cliff(network_breaks, 0.01, 100.0, 7)
    fig, ax = figures.figure("Each try halves the decades between what works and what breaks", size=(7.2, 3.0))
    works, fails = 0.01, 100.0
    for number, (lr, loss) in enumerate(tried, 1):
        ax.plot([works, fails], [number, number], color="#AAAAAA", linestyle="-", linewidth=3)
        learns = loss < math.log(10)
        ax.plot(lr, number, "o" if learns else "X", color=figures.PALETTE[0 if learns else 1], markersize=8)
        ax.text(120, number, f"{lr:.2g} {'works' if learns else 'breaks'}, loss {loss:.2g}", va="center")
        works, fails = (lr, fails) if learns else (works, lr)
    ax.set(xscale="log", xlim=(0.01, 100), ylim=(7.6, 0.4), xlabel="learning rate (grey: what is left)", ylabel="try")
    ax.set_yticks(range(1, 8))
    alt = f"Seven tries, numbered. The network still learns at {low:.2g} and no longer at {high:.2g}."
    figures.show(fig, alt=alt)

# %%
book.progress()
