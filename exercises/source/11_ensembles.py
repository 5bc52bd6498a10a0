# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Workbook 11 · Ensembles
#
# Seven functions, from one line to ten. Afterwards you can let networks speak together, say what a further one would be
# worth and whether their percentages can be believed, and average weights along a run. At the end sixteen networks
# speak through your functions. It belongs to [lecture 11](../lectures/11_ensembles.ipynb); about 50 minutes.
#
# **How it goes.** Write a function in place of the line that raises `NotImplementedError`, run the cell, and run the
# check below it. The check tries your function on a few inputs, small ones first, and says what it expected and what
# it got; if it knows your mistake, it names it. Wrong tries cost nothing. When you are stuck:
#
# | you type | you get |
# |---|---|
# | `book.hint("together")` | a hint, one stage further each time |
# | `together(*book.given("together"))` | your function on the input that failed |
# | `book.solution("together")` | the solution, after a try |
#
# **Shapes**, as in the lecture: M members, N examples, K classes. `logits` are `[M, N, K]`, what the members put out
# before the softmax. No function may change its arguments.

# %%
import torch

from lrlab import data, ensembles, figures, rules
from lrlab.workbook import load

torch.set_num_threads(1)
book = load("11_ensembles", version=1)

# %% [markdown]
# ## 1 · What do they say together?   ★☆☆ · 5 min · 2 points
#
# **Given** `logits`, `[M, N, K]`. **Asked:** the probabilities of the whole, `[N, K]`: the mean of the members'
# probabilities.
#
# *Example.* Two members that both put out 0 and 0 for one example of two classes: one half each.

# %% question="together"
def together(logits):
    """The mean of the members' probabilities, [N, K]."""
    ### BEGIN SOLUTION
    return logits.softmax(-1).mean(0)
    ### END SOLUTION

# %% question="together" points=2 difficulty=1 minutes=5
book.check("together", together)

# %% [markdown]
# ## 2 · How much do they differ?   ★★☆ · 7 min · 3 points
#
# Five equal networks are no better than one. How different are these?
#
# **Given** `logits`, `[M, N, K]`, of at least two members; no two logits of an example are equal. **Asked:** on which
# share of the examples two members choose different classes, as the mean over all pairs of members, a number.
#
# *Example.* Two members agree on the first of two examples and not on the second: 0.5. A third one agrees with neither
# of them on the first, and with the second member on the second: the pairs have 0.5, 1 and 0.5, in the mean 2/3.

# %% question="disagreement"
def disagreement(logits):
    """The share of examples on which two members choose different classes, mean over all pairs."""
    ### BEGIN SOLUTION
    classes = logits.argmax(-1)
    members = len(classes)
    shares = [(classes[i] != classes[j]).double().mean().item() for i in range(members) for j in range(i)]
    return sum(shares) / len(shares)
    ### END SOLUTION

# %% question="disagreement" points=3 difficulty=2 minutes=7
book.check("disagreement", disagreement)

# %% [markdown]
# ## 3 · Why does it help?   ★★☆ · 6 min · 3 points
#
# Each of M members is wrong by an error of mean 0 and variance σ². The errors of any two have the correlation ρ,
# because all of them learned from the same images.
#
# **Given** `variance`, σ²; `correlation`, ρ from 0 to 1; and `members`, M. **Asked:** the variance of the mean of the M
# errors, a number.
#
# *Example.* σ² = 1, ρ = 0.5 and two members: 0.75. With members without number it would be 0.5: what they have in
# common no mean takes away.

# %% question="variance_of_mean"
def variance_of_mean(variance, correlation, members):
    """The variance of the mean of so many errors, of which any two have this correlation."""
    ### BEGIN SOLUTION
    return variance * (correlation + (1 - correlation) / members)
    ### END SOLUTION

# %% question="variance_of_mean" points=3 difficulty=2 minutes=6
book.check("variance_of_mean", variance_of_mean)

# %% [markdown]
# ## 4 · When to take a snapshot   ★★☆ · 8 min · 3 points
#
# Under warm restarts the rate falls, jumps up and falls again. The weights are saved each time it has come down. (There
# may be a warm-up before all that, in which it only climbs.)
#
# **Given** `rates`, `[T]`, the rate of each of T steps: rates[0] is that of the first. **Asked:** a list of whole
# numbers, after how many steps a snapshot is taken: the rate has fallen just before, and either the next step has a
# higher one, or there is no next step.
#
# *Example.* Rates 1, 0.5, 0.1, 1, 0.5, 0.1: after 3 steps and after 6, `[3, 6]`. Rates 1, 0.5, 0.1, 1: `[3]`, for at
# the end the rate has just been raised.

# %% question="snapshot_steps"
def snapshot_steps(rates):
    """After how many steps the rate has come down, a list of whole numbers."""
    ### BEGIN SOLUTION
    steps = []
    for step in range(2, len(rates) + 1):
        has_fallen = rates[step - 1] < rates[step - 2]
        if has_fallen and (step == len(rates) or rates[step] > rates[step - 1]):
            steps.append(step)
    return steps
    ### END SOLUTION

# %% question="snapshot_steps" points=3 difficulty=2 minutes=8
book.check("snapshot_steps", snapshot_steps)

# %% [markdown]
# ## 5 · A mean on the way   ★☆☆ · 4 min · 2 points
#
# Stochastic weight averaging keeps one more set of weights: the mean of those seen so far. It does not store them all.
#
# **Given** `mean`, `[P]`, the mean of the first `count` weights, and `x`, `[P]`, the next ones. With `count` 0 the mean
# is zeros and means nothing yet. **Asked:** the mean with x in it, `[P]`.
#
# *Example.* The mean of one is 1, and 3 comes: 2. The mean of three is 1, and 5 comes: 2 as well.

# %% question="swa_update"
def swa_update(mean, count, x):
    """The mean of count + 1 weights, from that of the first count and the last."""
    ### BEGIN SOLUTION
    return mean + (x - mean) / (count + 1)
    ### END SOLUTION

# %% question="swa_update" points=2 difficulty=1 minutes=4
book.check("swa_update", swa_update)

# %% [markdown]
# ## 6 · A mean that forgets   ★★☆ · 7 min · 3 points
#
# **Given** `path`, `[T, P]`, the weights after each of T steps, and `decay`, d in (0, 1). **Asked:** their exponential
# moving average, `[P]`: it begins at zeros and keeps the share d of itself at each step; at the end the lean to zero is
# corrected, as in Adam.
#
# *Example.* The path 3, 6 with d = 0.5: the average becomes 1.5, then 3.75; the two have brought three quarters of the
# weight, so the result is 5. The newer one counts twice as much.

# %% question="ema"
def ema(path, decay):
    """The exponential moving average of the rows, corrected for its start at zeros, [P]."""
    ### BEGIN SOLUTION
    average = torch.zeros_like(path[0])
    for x in path:
        average = decay * average + (1 - decay) * x
    return average / (1 - decay ** len(path))
    ### END SOLUTION

# %% question="ema" points=3 difficulty=2 minutes=7
book.check("ema", ema)

# %% [markdown]
# ## 7 · Can you believe the percentage?   ★★★ · 12 min · 4 points
#
# A network that says "80 %" should be right in 80 % of these cases. How far off is it?
#
# **Given** `probabilities`, `[N, K]`; the classes `y`, `[N]`; and the number of `bins` of equal width from 0 to 1.
# **Asked:** the expected calibration error, a number: sort the examples into bins by the *confidence*, the largest
# probability; in each bin take the size of the difference between the share that is right and the mean confidence; add
# these up, each weighed by the share of all examples in its bin. Bin b holds confidences from b/bins to (b + 1)/bins;
# no confidence lies on a border but 1, which belongs to the last bin.
#
# *Example.* Two examples of class 0: for one the network says 0.9 for class 0, for the other 0.8 for class 1. With ten
# bins: half of |1 − 0.9| and half of |0 − 0.8|, 0.45. With one bin they cancel in part: |0.5 − 0.85| = 0.35.

# %% question="ece"
def ece(probabilities, y, bins):
    """The expected calibration error, over bins of confidence, a fraction of 1."""
    ### BEGIN SOLUTION
    confidence, predicted = probabilities.max(-1)
    right = (predicted == y).double()
    number = (confidence * bins).long().clamp(max=bins - 1)
    error = 0.0
    for b in range(bins):
        inside = number == b
        if inside.any():
            gap = right[inside].mean() - confidence[inside].mean()
            error += float(inside.double().mean() * gap.abs())
    return error
    ### END SOLUTION

# %% question="ece" points=4 difficulty=3 minutes=12
book.check("ece", ece)

# %% [markdown]
# ## What you have built
#
# Sixteen small networks, trained at once on twenty handwritten digits of each kind. What is the loss of one, of two
# together, of three, and so on? And what would question 3 say, if the loss were a variance: a part that falls as 1/M,
# and a part that stays? (The picture appears once questions 1, 2 and 3 are right.)

# %%
digits = data.load("digits", per_class=20, device="cpu")
settings = {"rule": rules.Momentum(rho=0.9), "lr": 0.1, "steps": 200, "how": "batched", "progress": False}
sixteen = ensembles.independent("mlp", digits, members=16, **settings)
logits = sixteen.logits(digits.test.x).double()

# %% tags=["nbval-ignore-output"]
if book.right("together", "disagreement", "variance_of_mean"):
    sizes = range(1, 17)
    losses = []
    for size in sizes:  # the mean over sixteen choices of members, each starting with another one
        choices = [[(first + number) % 16 for number in range(size)] for first in range(16)]
        right = [together(logits[choice])[range(len(digits.test.y)), digits.test.y] for choice in choices]
        losses.append(float(-torch.stack(right).log().mean()))
    one, many = losses[0], losses[-1]
    common = (many - one / 16) / (one * 15 / 16)  # the correlation that fits the two ends
    fig, ax = figures.figure("Most of the gain is there with four or five of them", size=(7.2, 3.2))
    ax.plot(sizes, losses, "o-", label="measured", color=figures.PALETTE[0])
    ax.plot(sizes, [variance_of_mean(one, common, size) for size in sizes], ":", label="ρ + (1 − ρ)/M", color="black")
    ax.set(xlabel="members together", ylabel="test loss (nats)", xticks=[1, 2, 4, 8, 16])
    figures.direct_labels(ax)
    alt = f"The test loss falls from {one:.3g} with one member to {losses[3]:.3g} with four, {many:.3g} with sixteen."
    figures.show(fig, alt=alt)
    print(f"any two of them disagree on {100 * disagreement(logits):.0f} % of the test images")

# %%
book.progress()
