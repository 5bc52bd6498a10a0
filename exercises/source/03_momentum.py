# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Workbook 3 · Momentum
#
# Eight functions, from two lines to eight. Afterwards you can write momentum in every form that you will meet, carry a
# rate over from one friction to another, and say what momentum is worth: at the end you draw the picture of √κ, with
# your momentum in it and not with ours. It belongs to [lecture 3](../lectures/03_momentum.ipynb); about 45 minutes.
#
# **How it goes.** Write a function in place of the line that raises `NotImplementedError`, run the cell, and run the
# check below it. The check tries your function on a few inputs, small ones first, and says what it expected and what
# it got; if it knows your mistake, it names it. Wrong tries cost nothing. When you are stuck:
#
# | you type | you get |
# |---|---|
# | `book.hint("momentum")` | a hint, one stage further each time |
# | `momentum(*book.given("momentum"))` | your function on the input that failed |
# | `book.solution("momentum")` | the solution, after a try |
#
# **Symbols**, as in the lecture: `x` the parameters, `g` the gradient (loss per x), both tensors of one shape; `lr` is
# α (x² per loss) and `rho` the friction ρ (no unit), both plain numbers. No function may change its arguments.

# %%
import torch

from lrlab import figures
from lrlab.workbook import load

torch.set_num_threads(1)
book = load("03_momentum", version=1)

# %% [markdown]
# ## 1 · One step of momentum   ★☆☆ · 5 min · 2 points
#
# **Given** `x`, `g` and the velocity `v`, tensors `[P]`; v has the unit of g. **Asked:** one step in torch's form, the
# rate outside: the velocity keeps the share ρ of itself and gains the gradient; then x moves against it, at the rate α.
# Return the new x and the new v.
#
# *Example.* A ball at 1 with velocity 4 meets the gradient 10, at α = 0.1 and ρ = 0.5. Its velocity becomes 12, and
# it lands at −0.2.

# %% question="momentum"
def momentum(x, g, v, lr, rho):
    """One step of momentum in torch's form: the new x and the new v, each [P]."""
    ### BEGIN SOLUTION
    v = rho * v + g
    return x - lr * v, v
    ### END SOLUTION

# %% question="momentum" points=2 difficulty=1 minutes=5
book.check("momentum", momentum)

# %% [markdown]
# ## 2 · The other form   ★☆☆ · 4 min · 2 points
#
# **Given** the same, but the velocity is `u`, the step itself, in units of x. **Asked:** one step in the form of keras,
# the rate inside: of the old step the share ρ is left; a step of gradient descent joins it; x makes this step. Return
# the new x and the new u.
#
# *Example.* A ball at 1 with u = 4 meets the gradient 10, at α = 0.1 and ρ = 0.5. Its step is 1, and it lands at 2.

# %% question="velocity_momentum"
def velocity_momentum(x, g, u, lr, rho):
    """One step of momentum in the form of keras: the new x and the new u, each [P]."""
    ### BEGIN SOLUTION
    u = rho * u - lr * g
    return x + u, u
    ### END SOLUTION

# %% question="velocity_momentum" points=2 difficulty=1 minutes=4
book.check("velocity_momentum", velocity_momentum)

# %% [markdown]
# ## 3 · A fair exchange   ★☆☆ · 4 min · 2 points
#
# You train at some rate and friction, and want to try another friction. If you leave the rate as it is, the steps get
# longer or shorter, and you compare two things at once.
#
# **Given** three numbers: `lr`, the friction `rho` that goes with it, and `new_rho`. **Asked:** the rate for `new_rho`
# that leaves the effective rate as it was, a number.
#
# *Example.* From gradient descent at 0.1 to ρ = 0.9: the rate becomes 0.01.

# %% question="equal_rate"
def equal_rate(lr, rho, new_rho):
    """The learning rate that has, with the friction new_rho, the effective rate of lr with rho."""
    ### BEGIN SOLUTION
    return lr * (1 - new_rho) / (1 - rho)
    ### END SOLUTION

# %% question="equal_rate" points=2 difficulty=1 minutes=4
book.check("equal_rate", equal_rate)

# %% [markdown]
# ## 4 · After the drop   ★★☆ · 8 min · 3 points
#
# Two balls have come down together, one in each form, and have both just made the step u. At this moment the ground
# becomes flat, g = 0 from here on, and the learning rate drops. How far does each still roll?
#
# **Given** four numbers: `u`, the last step before the drop, in units of x; `rho`; `lr`, the rate before the drop, and
# `new_lr`, the one after it. **Asked:** the whole way from here on, for ever: `a` for the form of question 1 and `b`
# for that of question 2, two numbers in units of x.
#
# *Example.* u = 1, ρ = 0.5, the rate drops from 0.1 to 0.01. B still makes the steps 0.5, 0.25, 0.125, …, together 1.
# A makes a tenth of each, together 0.1.

# %% question="after_the_drop"
def after_the_drop(u, rho, lr, new_lr):
    """How far form A and form B still roll on flat ground, two numbers a, b in units of x."""
    ### BEGIN SOLUTION
    b = u * rho / (1 - rho)
    return b * new_lr / lr, b
    ### END SOLUTION

# %% question="after_the_drop" points=3 difficulty=2 minutes=8
book.check("after_the_drop", after_the_drop)

# %% [markdown]
# ## 5 · Look first   ★★☆ · 6 min · 3 points
#
# **Given** `x` and the step `u`, tensors `[P]`, and `gradient`, a function: `gradient(y)` is the gradient at any point
# y. **Asked:** one step of Nesterov's momentum: as question 2, but the gradient is the one that you find where the
# surviving share of u would carry you. Return the new x and the new u.
#
# *Example.* A ball at 1 with u = −2, at ρ = 0.5 and α = 0.1, on a wall with `gradient(y) = 10 * y`. The look goes to
# 0, and there the gradient is 0: nothing to correct. Its step is −1, and it lands at 0. (Plain momentum would have
# asked at 1, and gone to −1.)

# %% question="lookahead"
def lookahead(x, u, gradient, lr, rho):
    """One step of Nesterov's momentum in the look-ahead form: the new x and the new u, each [P]."""
    ### BEGIN SOLUTION
    ahead = x + rho * u
    u = rho * u - lr * gradient(ahead)
    return x + u, u
    ### END SOLUTION

# %% question="lookahead" points=3 difficulty=2 minutes=6
book.check("lookahead", lookahead)

# %% [markdown]
# ## 6 · Nesterov, as libraries write it   ★★☆ · 5 min · 3 points
#
# A library wants the gradient at the weights it holds. So what it holds is the point ahead, x̃ = x + ρu, and it calls
# that x.
#
# **Given** `x`, which now means x̃, the gradient `g` at this point, and `v` as in question 1. **Asked:** one step of x̃:
# the velocity as in question 1; then x̃ moves, at the rate α, against the gradient *plus* the share ρ of the new
# velocity. Return the new x̃ and the new v.
#
# *Example.* A ball at 1 with velocity 4 meets the gradient 10, at α = 0.1 and ρ = 0.5. Its velocity becomes 12, and it
# lands at 1 − 0.1 · (10 + 6) = −0.6.

# %% question="nesterov"
def nesterov(x, g, v, lr, rho):
    """One step of Nesterov's momentum in the form of torch: the new x (the point ahead) and the new v, each [P]."""
    ### BEGIN SOLUTION
    v = rho * v + g
    return x - lr * (g + rho * v), v
    ### END SOLUTION

# %% question="nesterov" points=3 difficulty=2 minutes=5
book.check("nesterov", nesterov)

# %% [markdown]
# ## 7 · The best pair   ★☆☆ · 5 min · 2 points
#
# **Given** the `smallest` and the `largest` curvature of a bowl (loss per x²), numbers above 0. **Asked:** Polyak's
# choice (section 3.2 of the lecture), the learning rate and the friction with which momentum gets down fastest:
#
# $$\alpha^\ast = \frac{4}{(\sqrt{\lambda_{\max}} + \sqrt{\lambda_{\min}})^2}, \qquad
# \rho^\ast = \left(\frac{\sqrt\kappa - 1}{\sqrt\kappa + 1}\right)^2, \qquad \kappa = \lambda_{\max} / \lambda_{\min}$$
#
# *Example.* Curvatures 1 and 9: κ = 9, α* = 4/16 = 0.25 and ρ* = (2/4)² = 0.25.

# %% question="polyak"
def polyak(smallest, largest):
    """Polyak's learning rate and friction for curvatures between smallest and largest, two numbers."""
    ### BEGIN SOLUTION
    low, high = smallest**0.5, largest**0.5
    return 4 / (high + low) ** 2, ((high - low) / (high + low)) ** 2
    ### END SOLUTION

# %% question="polyak" points=2 difficulty=1 minutes=5
book.check("polyak", polyak)

# %% [markdown]
# ## 8 · How many steps?   ★★★ · 10 min · 4 points
#
# Now let it roll. The bowl is ½ Σ λᵢ xᵢ², so its gradient at x is `curvatures * x`.
#
# **Given** `curvatures`, a tensor `[P]` of the λᵢ; `lr` and `rho`; a `level` between 0 and 1 (no unit); and a `limit`
# of steps. **Asked:** start at x = (1, …, 1) with the velocity 0 and make steps as in question 1. After how many is
# the distance to the minimum, `x.norm()`, for the first time at most `level` times what it was at the start? A whole
# number; if it takes more steps than the limit, the limit.
#
# *Example.* Curvatures 1 and 2, α = 0.5, ρ = 0, level 0.5. The start is √2 away. The first step leads to (0.5, 0),
# which is 0.5 away, less than half of √2: the answer is 1.

# %% question="steps_needed"
def steps_needed(curvatures, lr, rho, level, limit):
    """Steps until the distance to the minimum is at most level times that at the start; at most limit."""
    ### BEGIN SOLUTION
    x, v = torch.ones_like(curvatures), torch.zeros_like(curvatures)
    goal = level * x.norm()
    for step in range(1, limit + 1):
        x, v = momentum(x, curvatures * x, v, lr, rho)
        if x.norm() <= goal:
            return step
    return limit
    ### END SOLUTION

# %% question="steps_needed" points=4 difficulty=3 minutes=10
book.check("steps_needed", steps_needed)

# %% [markdown]
# ## What you have built
#
# Ten curvatures from 1 to κ. Gradient descent is your momentum with ρ = 0, at its best rate 2/(1 + κ); momentum gets
# what your `polyak` says. How many steps to a thousandth of the distance? (The picture appears once questions 7 and 8
# are right.)

# %% tags=["nbval-ignore-output"]
if book.right("polyak", "steps_needed"):
    kappas = [3, 10, 30, 100, 300, 1000]
    fig, ax = figures.figure("Your momentum needs √κ steps, not κ", size=(7.2, 3.6))
    for index, name in enumerate(["gradient descent", "momentum"]):
        pairs = [(2 / (1 + kappa), 0.0) if index == 0 else polyak(1.0, kappa) for kappa in kappas]
        bowls = [torch.logspace(0, torch.tensor(kappa).log10(), 10, dtype=torch.float64) for kappa in kappas]
        steps = [steps_needed(bowl, *pair, 1e-3, 10_000) for bowl, pair in zip(bowls, pairs, strict=True)]
        ax.plot(kappas, steps, marker="os"[index], label=name, clip_on=False, **figures.style(index))
    ax.set(xscale="log", yscale="log", xlabel="condition number κ (no unit)", ylabel="steps to a thousandth")
    figures.direct_labels(ax, ax.get_lines())
    figures.show(fig, alt=f"Steps against κ, both logarithmic. With κ = 1000, momentum needs {steps[-1]} steps.")

# %%
book.progress()
