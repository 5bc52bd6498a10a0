# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Workbook 4 · A rate for every weight
#
# Seven functions, from one line to five. Afterwards you can write AdaGrad, RMSProp, Adam and AdamW from memory, and say
# what each correction and each ε in them is there for. At the end three rules of yours train a network. It belongs to
# [lecture 4](../lectures/04_adaptive.ipynb); about 45 minutes.
#
# **How it goes.** Write a function in place of the line that raises `NotImplementedError`, run the cell, and run the
# check below it. The check tries your function on a few inputs, small ones first, and says what it expected and what
# it got; if it knows your mistake, it names it. Wrong tries cost nothing. When you are stuck:
#
# | you type | you get |
# |---|---|
# | `book.hint("adagrad")` | a hint, one stage further each time |
# | `adagrad(*book.given("adagrad"))` | your function on the input that failed |
# | `book.solution("adagrad")` | the solution, after a try |
#
# **Symbols**, as in the lecture: `x` the parameters, `g` the gradient (loss per x), both tensors of one shape; `lr` is
# α, here in units of x; `eps` is ε, in units of g. Everything goes weight by weight. No function may change its
# arguments. ε is large in most inputs of the checks: so you see where it stands.

# %%
import torch

from lrlab import Run, figures, rules
from lrlab.workbook import load

torch.set_num_threads(1)
book = load("04_adaptive", version=1)

# %% [markdown]
# ## 1 · A step of AdaGrad   ★☆☆ · 5 min · 2 points
#
# **Given** `x`, `g` and `s`, the sum of the squared gradients so far, tensors `[P]`; numbers `lr` and `eps`.
# **Asked:** one step of AdaGrad (section 4.1): the sum gains the squared gradient; then x moves against the gradient,
# at the rate α, divided by the root of the sum plus ε. ε stands outside of the root. Return the new x and the new s.
#
# *Example.* At 1, with s = 16, comes the gradient 3; α = 0.1 and ε = 1. The sum becomes 25, and x = 1 − 0.1 · 3/6 =
# 0.95.

# %% question="adagrad"
def adagrad(x, g, s, lr, eps):
    """One step of AdaGrad: the new x and the new s, each [P]."""
    ### BEGIN SOLUTION
    s = s + g * g
    return x - lr * g / (s.sqrt() + eps), s
    ### END SOLUTION

# %% question="adagrad" points=2 difficulty=1 minutes=5
book.check("adagrad", adagrad)

# %% [markdown]
# ## 2 · The rate that is left   ★★☆ · 7 min · 3 points
#
# You set one rate α. Which rate does each weight really get, and what becomes of it?
#
# **Given** `gradients`, a tensor `[T, P]`: row t is the gradient at step t; numbers `lr` and `eps`. AdaGrad's sum is 0
# at first. **Asked:** the effective rates, a tensor `[T, P]`: what each weight's gradient is multiplied by at each
# step.
#
# *Example.* One weight, the gradients 4 and then 3, α = 0.6, ε = 1. At first the root of the sum is 4, and the rate
# 0.6/5 = 0.12. Then the root is 5, and the rate 0.1.

# %% question="effective_rates"
def effective_rates(gradients, lr, eps):
    """AdaGrad's effective rates [T, P] for a stream of gradients [T, P]."""
    ### BEGIN SOLUTION
    s = gradients.square().cumsum(dim=0)
    return lr / (s.sqrt() + eps)
    ### END SOLUTION

# %% question="effective_rates" points=3 difficulty=2 minutes=7
book.check("effective_rates", effective_rates)

# %% [markdown]
# ## 3 · A step of RMSProp   ★☆☆ · 4 min · 2 points
#
# **Given** the same as in question 1, but `s` is a running mean; and `decay`, β (no unit). **Asked:** one step of
# RMSProp: the mean keeps the share β of itself and takes the share 1 − β of the squared gradient; x moves as in
# question 1. Return the new x and the new s.
#
# *Example.* At 1, with s = 0, comes the gradient 4; α = 0.1, β = 0.75 and ε = 2. The mean becomes 4, and x = 1 − 0.1 ·
# 4/4 = 0.9.

# %% question="rmsprop"
def rmsprop(x, g, s, lr, decay, eps):
    """One step of RMSProp: the new x and the new s, each [P]."""
    ### BEGIN SOLUTION
    s = decay * s + (1 - decay) * g * g
    return x - lr * g / (s.sqrt() + eps), s
    ### END SOLUTION

# %% question="rmsprop" points=2 difficulty=1 minutes=4
book.check("rmsprop", rmsprop)

# %% [markdown]
# ## 4 · Too long, and by how much?   ★★☆ · 8 min · 3 points
#
# Adam *without* its correction: m is the running mean of g with β₁, v that of g² with β₂, both 0 at first, and the step
# is α m / √v. Let the gradient be one and the same at every step. An honest step would be α long.
#
# **Given** `t`, the number of the step, from 1 on; `beta1` and `beta2` (no unit). **Asked:** how many times α the step
# number t is long, a number. (ε is 0.)
#
# *Example.* With β₁ = 0.5 and β₂ = 0.99 the first step is 0.5/√0.01 = 5 times as long as it should be.

# %% question="too_long"
def too_long(t, beta1, beta2):
    """The length of step t, in units of α, of Adam without bias correction and with a constant gradient."""
    ### BEGIN SOLUTION
    return (1 - beta1**t) / (1 - beta2**t) ** 0.5
    ### END SOLUTION

# %% question="too_long" points=3 difficulty=2 minutes=8
book.check("too_long", too_long)

# %% [markdown]
# ## 5 · A step of Adam   ★★☆ · 8 min · 3 points
#
# **Given** `x`, `g`, the two running means `m` and `v`, tensors `[P]`; `t`, the number of *this* step, counted from 1;
# numbers `lr`, `beta1`, `beta2` and `eps`. **Asked:** one step of Adam with its correction, ε outside of the root and
# after the correction, as in torch (section 4.3 has the formulas). Return the new x, and m and v as the next step needs
# them.
#
# *Example.* The first step, at 1, with the gradient 4; α = 0.1, β₁ = 0.5, β₂ = 0.75, ε = 1. m becomes 2 and v becomes
# 4; corrected they are 4 and 16; and x = 1 − 0.1 · 4/5 = 0.92.

# %% question="adam"
def adam(x, g, m, v, t, lr, beta1, beta2, eps):
    """Step number t of Adam: the new x, the new m and the new v, each [P]."""
    ### BEGIN SOLUTION
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    return x - lr * m_hat / (v_hat.sqrt() + eps), m, v
    ### END SOLUTION

# %% question="adam" points=3 difficulty=2 minutes=8
book.check("adam", adam)

# %% [markdown]
# ## 6 · Where ε begins to bite   ★★☆ · 8 min · 3 points
#
# Adam's first step is α long, whatever the gradient is. Only very small gradients come off worse: ε is larger than
# they are. How small is that?
#
# **Given** `eps`, in units of g (inside the root, of g²); `beta2`; and `place`, a word that says where ε stands in the
# denominator:
#
# | `place` | denominator |
# |---|---|
# | `"after"` | √v̂ + ε |
# | `"before"` | (√v + ε) / √(1 − β₂) : ε is added before the correction |
# | `"inside"` | √(v̂ + ε) |
#
# **Asked:** the size of the gradient at which the *first* step, α m̂ / denominator, is half of α, a number. m and v are
# 0 before it.
#
# *Example.* With ε = 0.03 and β₂ = 0.99 it is 0.03 after, 0.3 before and 0.1 inside.

# %% question="half_step"
def half_step(eps, beta2, place):
    """The size of the gradient at which Adam's first step is half of the learning rate."""
    ### BEGIN SOLUTION
    if place == "after":
        return eps
    if place == "before":
        return eps / (1 - beta2) ** 0.5
    return (eps / 3) ** 0.5
    ### END SOLUTION

# %% question="half_step" points=3 difficulty=2 minutes=8
book.check("half_step", half_step)

# %% [markdown]
# ## 7 · Decay, not L2   ★★☆ · 5 min · 3 points
#
# **Given** `x`, `g`, `m`, `v`, `t` and `lr` as in question 5, and `weight_decay`, λ (1 per α). **Asked:** step number t
# of AdamW as torch makes it: Adam's step with β₁ = 0.9, β₂ = 0.999 and ε = 1e-8, and every weight is shrunk beside it,
# by the share αλ of what it was before the step. The gradient does not hear of it. Return the new x, m and v. You may
# call your `adam`.
#
# *Example.* The first step, at 2, with the gradient 1; α = 0.1 and λ = 0.5. The weight is shrunk by 5 %, to 1.9; the
# step is 0.1 long; the new x is 1.8.

# %% question="adamw"
def adamw(x, g, m, v, t, lr, weight_decay):
    """Step number t of AdamW: the new x, the new m and the new v, each [P]."""
    ### BEGIN SOLUTION
    shrunk = (1 - lr * weight_decay) * x
    return adam(shrunk, g, m, v, t, lr, 0.9, 0.999, 1e-8)
    ### END SOLUTION

# %% question="adamw" points=3 difficulty=2 minutes=5
book.check("adamw", adamw)

# %% [markdown]
# ## What you have built
#
# Three rules that train a network. A rule of this course is a class with two methods, `init` and `step`; here they call
# your functions. Each trains the digits network for 150 steps, from the same weights, on the same batches, at the same
# α = 0.01, which is now in units of the weights. AdaGrad's rate has faded, as in question 2; RMSProp's has not, and it
# shows. (The picture appears once questions 1, 3 and 5 are right. One run of each is a look and no verdict.)

# %% tags=["nbval-ignore-output"]
class YourAdaGrad(rules.AdaGrad):
    def step(self, x, g, state, lr):
        x, s = adagrad(x, g, state["sum"], lr, self.eps)
        return x, {"sum": s}


class YourRMSProp(rules.RMSProp):
    def step(self, x, g, state, lr):
        x, s = rmsprop(x, g, state["s"], lr, self.decay, self.eps)
        return x, {"s": s}


class YourAdam(rules.Adam):
    def step(self, x, g, state, lr):
        t = int(state["t"]) + 1
        x, m, v = adam(x, g, state["m"], state["v"], t, lr, self.beta1, self.beta2, self.eps)
        return x, {"m": m, "v": v, "t": state["t"] + 1}


if book.right("adagrad", "rmsprop", "adam"):
    yours = {"your AdaGrad": YourAdaGrad(), "your RMSProp": YourRMSProp(), "your Adam": YourAdam()}
    fig, ax = figures.figure("Three rules of yours train a network", size=(7.2, 3.6))
    ends = []
    for index, (name, rule) in enumerate(yours.items()):
        run = Run("mlp", "digits", rule=rule, lr=0.01, seed=0, device="cpu", validate_every=0)
        loss = torch.tensor(run.train(150, progress=False).history["loss"])
        mean = loss.unfold(0, 10, 1).mean(-1)
        ax.plot(range(10, 151), mean, label=name, **figures.style(index))
        ends.append(f"{name} ends at {mean[-1]:.2g}")
    ax.set(yscale="log", xlabel="step", ylabel="training loss, mean of 10 steps")
    figures.direct_labels(ax)
    figures.show(fig, alt=f"Training loss over 150 steps: {'; '.join(ends)}.")

# %%
book.progress()
