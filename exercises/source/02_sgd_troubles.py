# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Workbook 2 · What makes descent hard
#
# Seven functions, from two lines to six. Afterwards you can read from a Hessian what kind of place you are in and how
# fast you get out, cure the commonest trouble with one division, and say how wrong a mini-batch is before anybody draws
# one: at the end your formula does so for a real network. It belongs to [lecture 2](../lectures/02_sgd_troubles.ipynb);
# about 45 minutes.
#
# **How it goes.** Write a function in place of the line that raises `NotImplementedError`, run the cell, and run the
# check below it. The check tries your function on a few inputs, small ones first, and says what it expected and what
# it got; if it knows your mistake, it names it. Wrong tries cost nothing. When you are stuck:
#
# | you type | you get |
# |---|---|
# | `book.hint("best_rate")` | a hint, one stage further each time |
# | `best_rate(*book.given("best_rate"))` | your function on the input that failed |
# | `book.solution("best_rate")` | the solution, after a try |
#
# **Symbols**, as in the lecture: a curvature λ is an eigenvalue of the Hessian (loss per x²), `lr` is α (x² per loss),
# κ = λmax/λmin is the condition number (no unit). No function may change its arguments.

# %%
import math

import torch

from lrlab import Run, analysis, data, figures
from lrlab.workbook import load

torch.set_num_threads(1)
book = load("02_sgd_troubles", version=1)

# %% [markdown]
# ## 1 · The best rate for a valley   ★☆☆ · 6 min · 2 points
#
# **Given** `hessian`, the matrix of second derivatives of a valley, `[n, n]`, in loss per x²; it is symmetric, and all
# its curvatures are above 0. **Asked:** the fixed learning rate with which gradient descent gets down fastest (section
# 2.1), and the share of the distance that each step leaves, in the slowest direction; two numbers `lr, share`.
#
# *Example.* With the curvatures 2 and 6 the best rate is 0.25. Each step leaves half of the distance.

# %% question="best_rate"
def best_rate(hessian):
    """The best fixed learning rate on a bowl with this Hessian [n, n], and the share that a step leaves."""
    ### BEGIN SOLUTION
    curvatures = torch.linalg.eigvalsh(hessian)
    low, high = curvatures[0].item(), curvatures[-1].item()
    return 2 / (low + high), (high - low) / (high + low)
    ### END SOLUTION

# %% question="best_rate" points=2 difficulty=1 minutes=6
book.check("best_rate", best_rate)

# %% [markdown]
# ## 2 · The cheapest cure   ★★☆ · 8 min · 3 points
#
# A linear model with the loss 1/N Σ ½ (w·xᵢ − yᵢ)² has the Hessian XᵀX/N, where the rows of X are the inputs xᵢ. If
# one input is in millimetres and another in kilometres, you can guess what κ is.
#
# **Given** `inputs`, the table X, `[N, n]`: a row for each example, a column for each input. **Asked:** κ of the
# Hessian as it is, and κ after each column is divided by its root mean square; two numbers `before, after`. (Nothing
# else is done to the columns: their mean stays.)
#
# *Example.* The rows (1, 10), (1, −10), (−1, 10), (−1, −10) have the Hessian diag(1, 100), and κ = 100. The columns
# have the root mean squares 1 and 10. After the division the Hessian is the unit matrix, and κ = 1. (Is it always?)

# %% question="condition_numbers"
def condition_numbers(inputs):
    """κ of the Hessian of a linear model with inputs [N, n]: as they are, and with every column scaled."""
    ### BEGIN SOLUTION
    def kappa(table):
        curvatures = torch.linalg.eigvalsh(table.T @ table / len(table))
        return (curvatures[-1] / curvatures[0]).item()

    return kappa(inputs), kappa(inputs / inputs.square().mean(dim=0).sqrt())
    ### END SOLUTION

# %% question="condition_numbers" points=3 difficulty=2 minutes=8
book.check("condition_numbers", condition_numbers)

# %% [markdown]
# ## 3 · What kind of place?   ★☆☆ · 6 min · 2 points
#
# The gradient is zero here. Where are you?
#
# **Given** the `hessian` at this place, `[n, n]`, symmetric. **Asked:** one of the words `"minimum"`, `"maximum"`,
# `"saddle"` (it bends up in some direction and down in another) and `"undecided"` (a curvature is zero, and the others
# do not make it a saddle: second derivatives cannot tell). Because of rounding, a curvature counts as zero if its size
# is at most 1e-9 of the largest size.
#
# *Example.* The Hessian with the rows (1, 2) and (2, 1) has the curvatures −1 and 3: a saddle, although it bends up
# along both axes.

# %% question="kind"
def kind(hessian):
    """What a place with gradient zero and this Hessian [n, n] is: a word."""
    ### BEGIN SOLUTION
    curvatures = torch.linalg.eigvalsh(hessian)
    zero = 1e-9 * curvatures.abs().max()
    if curvatures[0] < -zero and curvatures[-1] > zero:
        return "saddle"
    if curvatures[0] > zero:
        return "minimum"
    return "maximum" if curvatures[-1] < -zero else "undecided"
    ### END SOLUTION

# %% question="kind" points=2 difficulty=1 minutes=6
book.check("kind", kind)

# %% [markdown]
# ## 4 · Off the ridge   ★★☆ · 7 min · 3 points
#
# A ball near a saddle. Across the ridge the curvature is −c, so the gradient at a distance y from the ridge is −c y.
#
# **Given** `offset`, the distance y at the start, which may be negative or 0; `curvature`, c, above 0; and `lr`.
# **Asked:** after how many steps of gradient descent the ball is 1 or more away from the ridge, on either side: a whole
# number; `math.inf` if it never is. (At the start it is nearer than 1.)
#
# *Example.* With αc = 1 each step doubles the distance: 0.1, 0.2, 0.4, 0.8, 1.6. The answer is 4. From 0.0001, a
# thousand times nearer, it is 14.

# %% question="escape"
def escape(offset, curvature, lr):
    """Steps until a ball that starts offset away from the ridge of a saddle is 1 away; math.inf if it never is."""
    ### BEGIN SOLUTION
    if offset == 0:
        return math.inf
    return math.ceil(-math.log(abs(offset)) / math.log(1 + lr * curvature))
    ### END SOLUTION

# %% question="escape" points=3 difficulty=2 minutes=7
book.check("escape", escape)

# %% [markdown]
# ## 5 · How wrong is a mini-batch?   ★★☆ · 8 min · 3 points
#
# **Given** `gradients`, `[N, P]`: a row for the gradient of each single example; `batch_size`, B; and `replacement`,
# True if an example may be drawn twice into one batch. **Asked:** how far the gradient of a random batch is from that
# of the whole set: the root of the mean of ‖ĝ − g‖² over all batches, a number in units of the gradient. Section 2.5
# has the formula.
#
# *Example.* Four examples have the gradients 0, 6, 0, 6. Their mean is 3, and each is 3 off: σ² = 9. With B = 4 and
# replacement the error is √(9/4) = 1.5. Without replacement it is 0.

# %% question="batch_error"
def batch_error(gradients, batch_size, replacement):
    """Root of the mean of ‖ĝ − g‖² over all batches of batch_size rows of gradients [N, P], a number."""
    ### BEGIN SOLUTION
    N = len(gradients)
    off = gradients - gradients.mean(dim=0)
    variance = off.square().sum(dim=1).mean().item() / batch_size
    if not replacement:
        variance = variance * (N - batch_size) / (N - 1)
    return math.sqrt(variance)
    ### END SOLUTION

# %% question="batch_error" points=3 difficulty=2 minutes=8
book.check("batch_error", batch_error)

# %% [markdown]
# ## 6 · The short batch   ★☆☆ · 4 min · 2 points
#
# An epoch goes through all examples once, in batches. Each batch makes one step, with the *mean* of its gradients. The
# last batch may be short.
#
# **Given** two whole numbers, the `examples` N and the `batch_size` B, at most N. **Asked:** how many times as much an
# example of the last batch counts in its step as one of a full batch does in its own, a number.
#
# *Example.* Five examples in batches of two: the last batch has one, which has a whole step for itself, and counts
# twice.

# %% question="overweight"
def overweight(examples, batch_size):
    """How many times as much an example of the last batch counts as one of a full batch."""
    ### BEGIN SOLUTION
    rest = examples % batch_size
    return batch_size / rest if rest else 1.0
    ### END SOLUTION

# %% question="overweight" points=2 difficulty=1 minutes=4
book.check("overweight", overweight)

# %% [markdown]
# ## 7 · A leash for the gradient   ★★☆ · 6 min · 3 points
#
# Now and then a batch has a huge gradient, and one step throws away what hundreds have gained. **Clipping** is the
# usual guard: a gradient that is longer than a limit is shortened to it, and keeps its direction. (What it is worth,
# section 5.6 of [lecture 5](../lectures/05_modern_and_practice.ipynb) shows.)
#
# **Given** `gradients`, a list of tensors of any shapes, one for each layer; and the `limit`, in units of the gradient.
# The length is that of all layers together, as if they were one long vector. **Asked:** the list of the clipped
# gradients, in the same shapes.
#
# *Example.* One layer with the gradient (3, 4) has the length 5. With the limit 1 it becomes (0.6, 0.8); with the limit
# 10 it stays.

# %% question="clip"
def clip(gradients, limit):
    """The gradients of all layers, a list, shortened to the limit if they are longer together."""
    ### BEGIN SOLUTION
    total = math.sqrt(sum((g * g).sum().item() for g in gradients))
    factor = min(1.0, limit / total)
    return [g * factor for g in gradients]
    ### END SOLUTION

# %% question="clip" points=3 difficulty=2 minutes=6
book.check("clip", clip)

# %% [markdown]
# ## What you have built
#
# The gradients of all 1,197 training images of the digits, in a network after 100 steps. The points are measured: 200
# random batches of each size. The lines are your formula, which has drawn none. Where does the noise get as short as
# the gradient itself? (The picture appears once question 5 is right.)

# %% tags=["nbval-ignore-output"]
if book.right("batch_error"):
    digits = data.load("digits", device="cpu")
    run = Run("mlp", digits, lr=0.1, seed=0, device="cpu", validate_every=0).train(100, progress=False)
    gradients = analysis.example_gradients(run.model, *digits.train).detach()
    scatter = analysis.scatter_matrix(gradients)
    sizes = [1, 4, 16, 64, 256, 600, 1000]
    fig, ax = figures.figure("Your formula knows how wrong a batch is before it is drawn", size=(7.2, 3.6))
    for index, (replacement, word) in enumerate([(True, "an image may come twice"), (False, "no image twice")]):
        drawn = [analysis.batch_errors(scatter, B, draws=200, replacement=replacement).mean().sqrt() for B in sizes]
        yours = [batch_error(gradients, B, replacement) for B in sizes]
        style = figures.style(index)
        ax.plot(sizes, yours, label=word, **style)
        ax.plot(sizes, drawn, "os"[index], color=style["color"], markersize=5, linestyle="none")
    whole = gradients.mean(dim=0).norm().item()
    ax.axhline(whole, color="#777777", linewidth=1, linestyle=":")
    ax.text(1.1, whole * 1.1, "length of the gradient itself", color="#555555", fontsize=9)
    ax.set(xscale="log", yscale="log", xlabel="batch size B (images)", ylabel="error of the gradient")
    figures.direct_labels(ax, [ax.get_lines()[0], ax.get_lines()[2]])
    ax.margins(x=0.03)
    alt = f"Error against batch size: from {yours[0]:.2g} for one image down to {yours[-1]:.2g} for 1,000, none twice."
    figures.show(fig, alt=f"{alt} The measured points lie on your lines. The gradient itself is {whole:.2g} long.")

# %%
book.progress()
