# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Workbook 8 · Against overfitting
#
# Seven functions, from one line to ten. Afterwards you can hand a penalty to torch without losing its factor 2, make
# weights exactly 0, and stop a run in time. At the end two of your penalties look at ten measurements of 442 patients,
# and one of the two says which measurement it would give up last. It belongs to
# [lecture 8](../lectures/08_regularization.ipynb); about 45 minutes.
#
# **How it goes.** Write a function in place of the line that raises `NotImplementedError`, run the cell, and run the
# check below it. The check tries your function on a few inputs, small ones first, and says what it expected and what
# it got; if it knows your mistake, it names it. Wrong tries cost nothing. When you are stuck:
#
# | you type | you get |
# |---|---|
# | `book.hint("l2_gradient")` | a hint, one stage further each time |
# | `l2_gradient(*book.given("l2_gradient"))` | your function on the input that failed |
# | `book.solution("l2_gradient")` | the solution, after a try |
#
# **Symbols**, as in the lecture: w the weights, g the gradient of the loss *without* the penalty (loss per w), both
# tensors of one shape; `lr` is α (w² per loss) and `lam` is λ, what a unit of the penalty costs, both plain numbers
# above 0. No function may change its arguments.

# %%
import math

import torch
from sklearn.datasets import load_diabetes

from lrlab import figures
from lrlab.workbook import load

torch.set_num_threads(1)
book = load("08_regularization", version=1)

# %% [markdown]
# ## 1 · The pull of L2   ★☆☆ · 4 min · 2 points
#
# **Given** `w` and `g`, tensors `[P]`, and `lam`. **Asked:** the gradient of the whole loss, L(w) + λ Σ w², a tensor
# `[P]`.
#
# *Example.* A weight of 3, a gradient of 1 and λ = 0.1 give 1.6.

# %% question="l2_gradient"
def l2_gradient(w, g, lam):
    """The gradient of the loss plus lam times the sum of squares, [P]."""
    ### BEGIN SOLUTION
    return g + 2 * lam * w
    ### END SOLUTION

# %% question="l2_gradient" points=2 difficulty=1 minutes=4
book.check("l2_gradient", l2_gradient)

# %% [markdown]
# ## 2 · Say it to torch   ★★☆ · 6 min · 3 points
#
# torch's optimizers take a number `weight_decay` for each parameter, and add `weight_decay * w` to its gradient. You
# want your λ of question 1, and only where it belongs: on the weights, which are matrices and filters, and not on
# biases, on the scales of normalisations or on other vectors and single numbers.
#
# **Given** `shapes`, a dictionary from the name of each parameter to its shape, a tuple; and `lam`. **Asked:** a
# dictionary from each name to the `weight_decay` that it should get, 0 for those that are left alone.
#
# *Example.* With λ = 0.1, `{"0.weight": (3, 2), "0.bias": (3,)}` gets `{"0.weight": 0.2, "0.bias": 0}`.

# %% question="weight_decays"
def weight_decays(shapes, lam):
    """The weight_decay of torch for each parameter, by name, that makes lam times the sum of squared weights."""
    ### BEGIN SOLUTION
    return {name: 2 * lam if len(shape) >= 2 else 0 for name, shape in shapes.items()}
    ### END SOLUTION

# %% question="weight_decays" points=3 difficulty=2 minutes=6
book.check("weight_decays", weight_decays)

# %% [markdown]
# ## 3 · The step that stops at zero   ★★☆ · 7 min · 3 points
#
# Now L1: the penalty is λ Σ |w|, and zeros are wanted, not weights that jump to and fro around zero.
#
# **Given** `w` and `g`, tensors `[P]`, `lr` and `lam`. **Asked:** one proximal step (section 8.3 of the lecture): first
# the step of the loss; then every weight moves towards 0 by αλ, and those that would come to 0 or beyond it stay
# there. The new w, a tensor `[P]`.
#
# *Example.* With α = 0.1 and λ = 3 the pull is 0.3. A weight of 1 with gradient 2 goes to 0.8 and on to 0.5. A weight
# of 0.2 with gradient 0 ends at 0.

# %% question="l1_step"
def l1_step(w, g, lr, lam):
    """One proximal step of the loss plus lam times the sum of absolute values: the new w, [P]."""
    ### BEGIN SOLUTION
    z = w - lr * g
    return z.sign() * (z.abs() - lr * lam).clamp(min=0)
    ### END SOLUTION

# %% question="l1_step" points=3 difficulty=2 minutes=7
book.check("l1_step", l1_step)

# %% [markdown]
# ## 4 · From which λ on is nothing left?   ★★☆ · 7 min · 3 points
#
# A sweep over λ wants an upper end. For a linear model with L1 you can name it before you have trained anything: above
# a certain λ the best weights are all exactly 0.
#
# The loss is L(w) = 1/N Σᵢ ½ (xᵢ·w − yᵢ)², so its gradient is Xᵀ(Xw − y) / N.
#
# **Given** the inputs `X`, `[N, P]`, and the targets `y`, `[N]`. **Asked:** the smallest λ at which w = 0 is the
# minimum of L + λ Σ |w|, a plain number. Ask your `l1_step` when it leaves w = 0 where it is.
#
# *Example.* One weight, the inputs 1 and 2, the targets 3 and 4: λ = (1 · 3 + 2 · 4) / 2 = 5.5.

# %% question="nothing_left"
def nothing_left(X, y):
    """The smallest lam at which L1 leaves no weight of a linear model, a number."""
    ### BEGIN SOLUTION
    return float((X.T @ y).abs().max()) / len(y)
    ### END SOLUTION

# %% question="nothing_left" points=3 difficulty=2 minutes=7
book.check("nothing_left", nothing_left)

# %% [markdown]
# ## 5 · Both at once   ★★☆ · 7 min · 3 points
#
# The elastic net costs λ Σ (β w² + |w|). Its step is the same in two moves: the step of the loss leads from w to z, and
# the exact step of the penalty goes from there to the v that makes
#
# $$\frac{(v - z)^2}{2\alpha} + \lambda\,(\beta v^2 + |v|)$$
#
# as small as it can be: as little penalty as possible, and not far from z.
#
# **Given** `w` and `g`, tensors `[P]`, `lr`, `lam`, and `beta`, a number above 0 (1 per w). **Asked:** where the two
# moves lead, a tensor `[P]`. Find the formula yourself; a pencil helps.
#
# *Example.* A weight of 1 with gradient 0, α = 0.1, λ = 2.5, β = 1. The pull of L1 leaves 0.75, and the square makes
# that 0.5.

# %% question="elastic_step"
def elastic_step(w, g, lr, lam, beta):
    """One proximal step of the loss plus lam times the sum of beta w² + |w|: the new w, [P]."""
    ### BEGIN SOLUTION
    return l1_step(w, g, lr, lam) / (1 + 2 * lr * lam * beta)
    ### END SOLUTION

# %% question="elastic_step" points=3 difficulty=2 minutes=7
book.check("elastic_step", elastic_step)

# %% [markdown]
# ## 6 · A wall   ★☆☆ · 5 min · 2 points
#
# **Given** the matrix `W` of a layer, `[units, inputs]`: row i has the weights that lead into unit i; and `c`, a number
# above 0. **Asked:** a matrix of the same shape, in which every row that is longer than c is shortened to the length c,
# with its direction kept, and every other row is as it was. A row may be all zeros.
#
# *Example.* With c = 1 the row (3, 4), which is 5 long, becomes (0.6, 0.8); and (0.3, 0.4) stays.

# %% question="max_norm"
def max_norm(W, c):
    """The matrix [units, inputs] with no row longer than c."""
    ### BEGIN SOLUTION
    lengths = W.norm(dim=1, keepdim=True)
    return W * (c / lengths).clamp(max=1)
    ### END SOLUTION

# %% question="max_norm" points=2 difficulty=1 minutes=5
book.check("max_norm", max_norm)

# %% [markdown]
# ## 7 · When to stop   ★★★ · 9 min · 4 points
#
# A validation is *good* if its loss is below the best one so far; the first is good. Every other one is *bad*, an equal
# loss too, and so is NaN. The run ends with the `patience`-th bad one in a row.
#
# **Given** `losses`, a list of validation losses in the order in which they would come, the first of them finite, and
# `patience`, a whole number from 1 on. **Asked:** the number of the validation with which the run ends, and the number
# of the one whose weights are kept, the best up to there. The first validation is number 1. If nothing stops the run,
# it ends with the last.
#
# *Example.* With a patience of 2, the losses 1.0, 0.8, 0.9, 0.7, 0.7, 0.8, 0.1 end the run at number 6, and number 4
# is kept. (That 0.1 would have come next, nobody knew.)

# %% question="when_to_stop"
def when_to_stop(losses, patience):
    """The number of the validation that ends the run, and of the best one up to there; the first is 1."""
    ### BEGIN SOLUTION
    best, best_at, bad = math.inf, 0, 0
    for number, loss in enumerate(losses, 1):
        if loss < best:
            best, best_at, bad = loss, number, 0
        else:
            bad += 1
        if bad == patience:
            return number, best_at
    return len(losses), best_at
    ### END SOLUTION

# %% question="when_to_stop" points=4 difficulty=3 minutes=9
book.check("when_to_stop", when_to_stop)

# %% [markdown]
# ## What you have built
#
# Two ways to train a linear model under a penalty. Here are 442 patients with diabetes (data that come with
# scikit-learn): ten measurements each, and how the illness went on in the year after. Everything is divided by its
# standard deviation. λ comes down from above your `nothing_left`, and at each λ your steps go on from the weights of
# the one before. (The picture appears once questions 1, 3 and 4 are right.)

# %% tags=["nbval-ignore-output"]
if book.right("l2_gradient", "l1_step", "nothing_left"):
    patients = load_diabetes(scaled=False)
    table = torch.tensor(patients.data), torch.tensor(patients.target)
    X, y = ((part - part.mean(0)) / part.std(0, correction=0) for part in table)
    end, lams = nothing_left(X, y), torch.logspace(0, -3, 40).tolist()
    moves = {
        "L1: your l1_step": lambda w, g, lam: l1_step(w, g, 0.2, lam),
        "L2: your l2_gradient": lambda w, g, lam: w - 0.2 * l2_gradient(w, g, lam),
    }
    named = {2: "body mass", 8: "triglycerides", 3: "blood pressure"}
    fig, axes = figures.figure("L1 lets go of one measurement after the other; L2 of none", 1, 2,
                               size=(7.2, 3.4), sharey=True)
    zeros = []
    for ax, (name, move) in zip(axes, moves.items(), strict=True):
        w, path = torch.zeros(10, dtype=torch.float64), []
        for lam in lams:
            for _ in range(200):
                w = move(w, X.T @ (X @ w - y) / len(y), lam)
            path.append(w)
        path = torch.stack(path)
        ax.plot(lams, path[:, [index for index in range(10) if index not in named]], linestyle="-", color="#AAAAAA")
        for row, (index, label) in enumerate(named.items()):
            ax.plot(lams, path[:, index], label=label, **figures.style(row))
        ax.axvline(end, color="#444444", linestyle=":", linewidth=1)
        ax.set(xscale="log", xlim=(1e-3, 1), xlabel="λ", title=name)
        zeros.append(int((path[13] == 0).sum()))
    axes[0].set_ylabel("weight of a measurement (no unit)")
    axes[1].legend(loc="lower right", fontsize=8)
    figures.show(fig, alt=f"Ten weights against λ, two panels. At λ = {lams[13]:.2g}, L1 has {zeros[0]} zeros of ten, "
                 f"L2 {zeros[1]}. With L1 nothing is left from λ = {end:.2g} on (dotted); body mass is the last to go.")

# %% [markdown]
# The dotted line is your `nothing_left`. Under L1 the body mass index holds out longest, up to this very line: it is
# the measurement whose slope at w = 0 is the steepest. Under L2 some weights pass through 0 on their way, but none
# stays.

# %%
book.progress()
