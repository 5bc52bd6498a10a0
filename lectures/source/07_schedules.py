# %% [markdown]
# # 7 · Schedules
#
# One rate is too high at the end or too low at the beginning. So you turn it while the network trains, and somebody
# has drawn every way of turning it that you can think of: stairs, slides, teeth, hills. Which ones pay, and for what?
#
# **After this lecture you can** write every common schedule as a function α(t), and join, scale and draw your own;
# say what its falling part does and when it needs a rising one; tell what cycles and restarts are good for; and find
# six bugs that code with a schedule easily has.
#
# Six sections and a list of traps, about 70 minutes of your time. The cells need some 45 seconds of the machine's.
# The rate itself you have found in [lecture 6](06_finding_the_rate.ipynb); what noise has to do with it stood in
# [lecture 1](01_learning_rate.ipynb).

# %%
import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from IPython.display import display

import lrlab
from lrlab import Run, data, evidence, figures, instruments, models, regularization, rules, source, sweep, tuning
from lrlab import schedules as S
from lrlab.data import Split

assert lrlab.__version__.startswith("0.1"), f"written for lrlab 0.1, this is {lrlab.__version__}: run make install"
torch.set_num_threads(1)  # networks this small are faster on one: two threads would wait for each other
digits = data.load("digits")


# %% [markdown]
# Three helpers for the whole lecture. The first trains every schedule under the same 16 seeds, all at once, and
# returns the validation losses. The second makes a claim about the last ones.


# %%
def train(schedules, steps, **settings):  # {name: schedule} -> {name: validation losses [seeds, validations]}
    usual = {"model": "mlp", "data": digits, "batch_size": 4, "seeds": 16, "how": "batched", "progress": False}
    result = sweep(lr=list(schedules.values()), steps=steps, **{**usual, **settings})
    losses = np.nan_to_num(result.val_losses, nan=np.inf).reshape(len(schedules), -1, len(result.val_steps))
    return dict(zip(schedules, losses, strict=True))


def claim(losses, steps, metric=evidence.METRICS["val_loss"]):  # steps: one number for all, or {name: steps}
    ends = {name: values[:, -1] for name, values in losses.items()}
    budgets = steps if isinstance(steps, dict) else dict.fromkeys(ends, steps)
    return evidence.Comparison(metric, ends, budgets, dict.fromkeys(ends, ()))


# %% [markdown]
# And a picture: the losses above, and below them, on the same steps, the rates that were applied.


# %%
def alt_of(losses):
    ends = ", ".join(f"{name}: {np.median(values[:, -1]):.3g}" for name, values in losses.items())
    return f"Median loss at the end: {ends}."


# %%
def curves(title, schedules, losses, steps, ylim=None):
    fig, (ax, below) = figures.figure(title, 2, heights=(3, 1.2), size=(7.2, 4.4))
    for i, (name, values) in enumerate(losses.items()):
        low, middle, high = np.quantile(values, [0.25, 0.5, 0.75], axis=0)
        at, look = np.linspace(0, steps, len(middle)), figures.style(i)
        ax.fill_between(at, low, high, color=look["color"], alpha=0.2, linewidth=0)
        ax.plot(at, middle, label=name, **look)
        below.plot(np.arange(steps), schedules[name](np.arange(steps)), **look)
    ax.set(ylabel="validation loss (nats)\nmedian, quartiles", yscale="log", ylim=ylim)
    below.set(xlabel="step", ylabel="applied α")
    figures.direct_labels(ax)
    figures.show(fig, alt=f"{title}. Loss over step; below it the applied rate. " + alt_of(losses))


# %% [markdown]
# ## 7.1 Which way down?
# <small>About 15 minutes; the cells run in 12 s.</small>
#
# The small network and its digits, four images at a time, 400 steps. Two constant rates, and one that falls.

# %% tags=["nbval-ignore-output"]
three = {"constant 0.05": S.Constant(0.05), "constant 0.2": S.Constant(0.2), "cosine": S.Cosine(0.2, total=400)}
opening = train(three, 400, validate_every=20)
curves("Fast like the high rate, and in the end below both", three, opening, 400, ylim=(0.1, 3))

# %% [markdown]
# This is **decay**, and you know why it works: the height of the noise floor goes with α, and the way down is long.
# First high, because the way is long; then low, because the floor is.
#
# <details><summary><b>Predict.</b> Seven schedules fall in seven different ways. Each may choose its own best first
# rate. By how much does the best of the falling ones beat the worst of them, and by how much does it beat the best
# constant rate? Write down two factors.</summary>
#
# The best ends at about two thirds of the loss of the worst, and the worst is no better than a constant rate. If you
# wrote "the shape does not matter, it only has to fall": one that falls in the wrong way wins nothing.
# </details>
#
# **Say.** Time $t$ counts steps or epochs, whichever you think in; $T$ is the length in the same unit; $\alpha_0$ is
# the first rate. These are most of what you will meet in papers:

# %%
gallery = {
    "constant\nα₀": S.Constant(1.0),
    "step (ResNet)\nα₀ γ^⌊t / every⌋": S.Step(1.0, every=30),
    "multi-step\nα₀ γ^(number of milestones ≤ t)": S.MultiStep(1.0, milestones=(50, 75), gamma=0.3),
    "exponential\nα₀ γᵗ": S.Exponential(1.0, gamma=0.96),
    "÷ e from epoch n on\nα₀ γ^max(t − n, 0)": S.DelayedExponential(1.0, delay=50, gamma=math.exp(-0.1)),
    "inverse time\nα₀ / (1 + k t)": S.InverseTime(1.0, k=0.1),
    "inverse square root\nk α₀ / √t": S.InverseSqrt(1.0),
    "linear\nα₀ (1 − t / T)": S.Linear(1.0, total=100),
    "cosine\n½ α₀ (1 + cos(π t / T))": S.Cosine(1.0, total=100),
}


# %%
def pictures(title, schedules, top="α₀"):
    rows = len(schedules) // 3
    fig, axes = figures.figure(title, rows, 3, size=(7.2, 0.6 + 1.45 * rows), sharey=True)
    t = np.linspace(0, 99.99, 2001)
    for i, (ax, (name, schedule)) in enumerate(zip(np.ravel(axes), schedules.items(), strict=True)):
        ax.plot(t, schedule(t), color=figures.PALETTE[i % 7], linestyle="-", linewidth=1.8)
        ax.set_title(name, fontsize=9)
        ax.set(ylim=(0, 1.08), xlim=(0, 100), yticks=[0, 0.5, 1], yticklabels=["0", "", top])
    fig.supxlabel("t, of T = 100", fontsize=10)
    half = ", ".join(f"{name.splitlines()[0]} {schedule(50):.2g}" for name, schedule in schedules.items())
    figures.show(fig, alt=f"{title}. Half way, as a share of the highest rate: {half}.")


# %% tags=["nbval-ignore-output"]
pictures("Eight ways down, and one that stays", gallery)

# %% [markdown]
# And these are the tested lines. A schedule is a pure function: `schedule(t)` remembers nothing, so you can plot it,
# ask it twice or resume in the middle, and it answers the same. (`t // every` is the ⌊ ⌋ of the formula.)

# %%
falling = (S.Step, S.MultiStep, S.Exponential, S.DelayedExponential, S.InverseTime, S.InverseSqrt, S.Linear, S.Cosine)
for kind in falling:
    display(source(kind.rate))
display(source(S.cosine, docstring=False))

# %% [markdown]
# The inverse square root has two forms, and they are mixed up a lot. The *epoch* form is
# $\alpha_0/\sqrt{\text{epoch}}$. The *mini-batch* form is $k\,\alpha_0/\sqrt{t}$ with $t$ in steps. With $n$ steps an
# epoch and $k = \sqrt n$ they are one curve from the end of the first epoch on; inside it the mini-batch form is
# higher.

# %%
n = 300
epoch, mini_batch = S.InverseSqrt(0.1), S.InverseSqrt(0.1, k=math.sqrt(n))
agree = all(math.isclose(epoch(step / n), mini_batch(step)) for step in range(n, 99 * n))
evidence.verdict("epoch form and mini-batch form agree at every step from epoch 1 to 99", agree)
evidence.verdict("at the first step the mini-batch form is √n times as high", mini_batch(1) > 17 * epoch(1))

# %% [markdown]
# Whatever is missing you build: `.until(t)` cuts, `.then(...)` joins, `*` scales. What large language models are
# trained with today, for example, is three pieces: up, hold, and fall at the very end. **WSD** (warm-up, stable,
# decay) they call it, and its charm is that the middle has no end: you need not know T when you start.

# %%
wsd = S.Warmup(0.2, steps=20).then(S.Constant(0.2).until(280)).then(S.Linear(0.2, total=100))
print([round(wsd(t), 3) for t in (0, 10, 20, 299, 300, 350, 400, 1000)])

# %% [markdown]
# **Your turn.** Here are three designs, each with its formula and its code. (1) Give the cosine a warm-up: **join**
# one before it, and drag the handle at its peak. Which number of the code changes? (2) **Draw** one of your own, as
# you think it should be. (3) Press **train**: all of them learn under the same three seeds. Keyboard: <kbd>Tab</kbd>
# to a handle, then the arrow keys (<kbd>Shift</kbd>: far). Drawing needs a pointer; by keyboard, join pieces and move
# their handles instead.

# %%
cosine, stairs = S.Cosine(0.2, total=400), S.Step(0.2, every=130, gamma=0.25)
designer = instruments.ScheduleDesigner(400, cosine, stairs, run=Run("mlp", digits, batch_size=4), seeds=3)
designer.add(wsd, name="WSD")
designer

# %% tags=["nbval-ignore-output"]
figures.show(designer.figure(), alt=designer.alt)
if designer.result is None:  # nobody has played: a script trains the three as they are
    designer.train()
designer.wait()
print(designer.verdict())

# %% [markdown]
# **Measure.** A fair race, in two heats. First every shape looks for its own α₀: five rates, three seeds, on the
# validation split. Then 16 other seeds, on the test split, at the rate it has chosen.

# %%
T = 400
shapes = {
    "constant": S.Constant,
    "inverse root": lambda a: S.InverseSqrt(a, k=5),
    "exponential": lambda a: S.Exponential(a, gamma=0.01 ** (1 / T)),
    "three stairs": lambda a: S.Step(a, every=T / 3, gamma=0.25),
    "inverse time": lambda a: S.InverseTime(a, k=10 / T),
    "cosine": lambda a: S.Cosine(a, total=T),
    "hold, then ÷ e": lambda a: S.DelayedExponential(a, delay=T / 2, gamma=math.exp(-10 / T)),
    "linear": lambda a: S.Linear(a, total=T),
}

# %%
rates = (0.05, 0.1, 0.2, 0.3, 0.4)
tried = train({(name, a): make(a) for name, make in shapes.items() for a in rates}, T, seeds=range(1000, 1003))
best = {name: min(rates, key=lambda a: np.median(tried[name, a])) for name in shapes}
chosen = {name: make(best[name]) for name, make in shapes.items()}
final = claim(train(chosen, T, validation=tuple(digits.test)), T, tuning.TEST_LOSS)
for name in ("cosine", "hold, then ÷ e", "linear"):
    final.better(name, than="constant", in_at_least=13)
    final.better(name, than="inverse root", in_at_least=12)

# %% tags=["nbval-ignore-output"]
title = "Lowest: those that stay high for half of the time, and then go all the way down"
fig, ax = figures.figure(title, size=(7.2, 3.9))
for row, (name, values) in enumerate(final.values.items()):
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
    half, end = chosen[name](T / 2) / best[name], chosen[name](T) / best[name]
    i = 1 if half > 0.4 and end < 0.02 else 0
    ax.plot([low, middle, high], [row] * 3, "-" + "oD"[i], color=figures.PALETTE[i], markevery=[1], linewidth=2)
    ax.text(1.02, row, f"{half:.0%} → {end:.0%}", va="center", fontsize=9, transform=ax.get_yaxis_transform())
ax.set(yticks=range(8), yticklabels=[f"{name}, α₀ = {best[name]:g}" for name in chosen], ylim=(7.6, -0.6))
ax.set(xlabel="test loss in nats after 400 steps (median and quartiles of 16 seeds)", xmargin=0.04)
ax.set_title("α at half time → end", loc="right", fontsize=9)
figures.show(fig, alt=final.alt)

# %% [markdown]
# On the right stands how much of α₀ is left, half way and at the end. **Falling pays**, up to a third of the loss. It
# pays to fall **late**: the exponential arrives at 1 % as well, but it has spent half of its steps below a tenth of
# its rate. And it pays to go **all the way**: the shapes with a long tail are the ones that theory proved first
# (Robbins and Monro 1951), for a run that never ends. Yours does, and for a run of known length theory asks for a
# line to zero (Defazio and others 2023). Linear is lowest here, yet between cosine, linear and "hold, then fall" we
# claim nothing: each had only five rates to choose from, and another grid may turn them round. Two shapes, exponential
# and inverse time, chose the highest rate of the grid. The best try is at the border ([lecture
# 6](06_finding_the_rate.ipynb)): they may do better at a rate that was not tried, and we claim nothing about those two
# either.
#
# **Beware.**
# - *Schedules that fall want a higher first rate.* The best constant rate was one of the lowest. Who compares a
#   schedule with a constant rate at the same α₀ compares a tuned one with an untuned one.
# - *It does not always pay.* With 64 images a step there is little noise to lose: [lecture 1](01_learning_rate.ipynb)
#   measures it.
# - *.99 per what?* $\gamma = 0.99$ per epoch halves the rate every 69 epochs; per step, every 69 steps. The same line
#   of code, called at another place.

# %% [markdown]
# ## 7.2 Why begin low?
# <small>About 10 minutes; the cells run in 8 s.</small>
#
# Many schedules do not begin with α₀. They climb to it. That costs steps at a rate that is too low; what does it buy?
#
# Take two networks of the same size. One starts from torch's own small weights. The other starts from weights five
# times as large.


# %%
def small():
    return models.mlp(64, (32, 32), 10)


def large():
    network = small()
    with torch.no_grad():
        for weight in network.parameters():
            weight.mul_(5 if weight.dim() == 2 else 1)
    return network


# %% [markdown]
# <details><summary><b>Predict.</b> You give each of them a warm-up: 60 of 200 steps in which α climbs from 0 in a
# straight line. Who gains: both; the one with small weights; the one with large weights; neither?</summary>
#
# The one with **large** weights, and it gains a lot. The other gains nothing that we can measure. If you said "both, it
# is in every recipe": recipes are written for networks that start in a steep place.
# </details>
#
# **Say.** A **warm-up** over $w$ steps, linear or exponential:
#
# $$\alpha(t) = \alpha_s + (\alpha_0-\alpha_s)\,\frac tw \qquad\text{or}\qquad
# \alpha(t)=\alpha_s\left(\frac{\alpha_0}{\alpha_s}\right)^{t/w} \qquad (t<w)$$
#
# with $\alpha_s$ the first rate, often 0. At $t=w$ it hands over at exactly α₀.

# %%
source(S.Warmup.rate)

# %% [markdown]
# **Measure.** Five peak rates, with and without warm-up, both networks, 12 seeds, 32 images a step.

# %%
T, peaks = 200, (0.05, 0.1, 0.2, 0.4, 0.8)
ways = {
    "cosine": lambda a: S.Cosine(a, total=T),
    "warm-up, cosine": lambda a: S.Warmup(a, steps=60).then(S.Cosine(a, total=T - 60)),
    "one-cycle": lambda a: S.OneCycle(a, total=T),  # for section 7.4
}
arms = {(name, a): make(a) for name, make in ways.items() for a in peaks}
started = {start.__name__: train(arms, T, model=start, batch_size=32, seeds=12) for start in (large, small)}


# %%
def at(start, peak=0.4):  # the three ways at one peak rate
    return {name: started[start][name, peak] for name in ways}


claim(at("large"), T).better("warm-up, cosine", than="cosine", in_at_least=9)
median = {key: {arm: np.median(values) for arm, values in losses.items()} for key, losses in started.items()}
lowest = {(key, name): min(median[key][name, a] for a in peaks) for key in median for name in ways}
gains = lowest["large", "warm-up, cosine"] < 0.9 * lowest["large", "cosine"]
evidence.verdict("large weights: over all peaks, the best loss with warm-up is over 10 % lower", gains)
level = abs(lowest["small", "warm-up, cosine"] / lowest["small", "cosine"] - 1) < 0.1
evidence.verdict("small weights: with or without warm-up, the best losses differ by less than 10 %", level)

# %% tags=["nbval-ignore-output"]
title = "Warm-up opens higher rates where the start is steep, and matters little elsewhere"
fig, axes = figures.figure(title, 1, 2, size=(7.2, 3.5), sharey=True)
for ax, (key, medians) in zip(axes, median.items(), strict=True):
    for i, name in enumerate(ways):
        ax.plot(peaks, [medians[name, a] for a in peaks], "os^"[i], label=name, **figures.style(i))
    ax.set(xscale="log", yscale="log", xlabel="peak rate α₀", xlim=(0.042, 0.95), ylim=(0.12, 3))
    ax.set(title=f"{key} first weights", xticks=peaks, xticklabels=peaks)
    ax.xaxis.minorticks_off()
axes[0].set_ylabel("validation loss (nats)\nmedian of 12 seeds")
figures.direct_labels(axes[1])
words = "; ".join(f"{key} weights, {name}: {value:.3g}" for (key, name), value in lowest.items())
figures.show(fig, alt=f"Validation loss over the peak rate for two networks. Lowest medians: {words}.")

# %% [markdown]
# (The third curve belongs to section 7.4.) *Why?* Remember the cliff at $2/L$. At the start it stands elsewhere than
# later. Let us measure $L$, the largest curvature of the loss over all training images, as in [lecture
# 1](01_learning_rate.ipynb).


# %%
def sharpness(run, rounds=20):
    weights = list(run.model.parameters())
    loss = torch.nn.functional.cross_entropy(run.model(digits.train.x), digits.train.y)
    g = torch.autograd.grad(loss, weights, create_graph=True)
    v = [torch.ones_like(w) for w in weights]
    for _ in range(rounds):  # power iteration: Hv, made 1 long again
        v = torch.autograd.grad(g, weights, v, retain_graph=True)
        length = math.sqrt(sum(float((part * part).sum()) for part in v))
        v = [part / length for part in v]
    return length


# %%
first = {start: [sharpness(Run(start, digits, seed=seed)) for seed in range(8)] for start in (large, small)}
evidence.verdict("large weights start with 2/L below 0.1, 8 networks of 8", min(first[large]) > 20)
evidence.verdict("small weights start with 2/L above 1, 8 networks of 8", max(first[small]) < 2)

cliff = np.empty((3, 21))
for seed in range(3):
    run = Run(large, digits, lr=arms["warm-up, cosine", 0.4], batch_size=32, seed=seed, validate_every=0)
    for column in range(21):
        cliff[seed, column] = 2 / sharpness(run)
        run.train(10, progress=False) if column < 20 else None

# %% tags=["nbval-ignore-output"]
fig, ax = figures.figure("While the rate climbs, the cliff moves out of its way", size=(7.2, 3.4))
t, steps = np.arange(0, 201, 10), np.arange(200)
ax.fill_between(t, cliff.min(0), cliff.max(0), color=figures.PALETTE[0], alpha=0.2, linewidth=0)
ax.plot(t, np.median(cliff, 0), label="2 / L, the cliff\n(3 seeds)", **figures.style(0))
for i, (arm, words, place) in enumerate([("warm-up, cosine", "α with warm-up", 166), ("cosine", "α without", 117)], 1):
    ax.plot(steps, arms[arm, 0.4](steps), **figures.style(i))
    ax.text(place, 0.075, words, color=figures.PALETTE[i], fontsize=9)
ax.set(xlabel="step", ylabel="rate", yscale="log", ylim=(0.01, 3), xlim=(0, 200))
figures.direct_labels(ax)
first_cliff, last_cliff = np.median(cliff[:, [0, -1]], 0)
figures.show(fig, alt=f"With large first weights 2/L climbs from {first_cliff:.2g} to {last_cliff:.2g}. The rate with "
             f"warm-up starts below it and rises with it; without, it starts {0.4 / first_cliff:.0f} times as high.")

# %% [markdown]
# With the warm-up, rate and cliff climb together: the network bends itself until the rate is just bearable, as it did
# in lecture 1, and here it is asked gently. Without, the first steps are thrown from far above the cliff, and not
# every network comes back.
#
# So a warm-up is a way to walk down from a steep start before you run. Small first weights, normalisation layers and
# residual branches that start at zero all make the start flat, and each of them can make the warm-up needless.
#
# It buys most where the peak is daring. Goyal and others trained ResNet-50 on ImageNet with batches of 8,192 at 32
# times the usual rate. Their error: 23.6 % with small batches, 24.8 % without warm-up, 23.7 % with five epochs of it.
# And Adam has a second reason, its ignorant first $v$: [lecture 5](05_modern_and_practice.ipynb).
#
# **Beware.** A warm-up from 0 does not move in its first step. optax counts the warm-up into `decay_steps`; ours,
# `Warmup(...).then(Cosine(...))`, does not. And timm's warm-up, unless you say `warmup_prefix=True`, covers the
# schedule's first epochs instead of going before them: the peak is never seen.

# %% [markdown]
# ## 7.3 Why go up again?
# <small>About 10 minutes; the cells run in 9 s.</small>
#
# Some schedules fall, and then they *rise*. Twice, five times, for ever. On a noise floor that means: more noise
# again. What for?

# %% tags=["nbval-ignore-output"]
cycles = {
    "triangular\nb + (m − b) h(t)": S.Triangular(0.1, 1.0, stepsize=12.5),
    "triangular2\nb + (m − b) h(t) / 2ⁿ": S.Triangular2(0.1, 1.0, stepsize=12.5),
    "exp_range\nb + (m − b) h(t) γᵗ": S.ExpRange(0.1, 1.0, stepsize=12.5, gamma=0.98),
    "warm restarts\n½ α₀ (1 + cos(π u / P))": S.WarmRestarts(1.0, period=25),
    "warm restarts, mult = 2\nP doubles": S.WarmRestarts(1.0, period=14, mult=2),
    "one-cycle\nup, and far down": S.OneCycle(1.0, total=100),
}
pictures("Six ways up and down", cycles, top="α₀, m")

# %% [markdown]
# **Say.** **Cyclical** rates (Smith) swing between a base $b$ and a maximum $m$, on a triangle $h$:
#
# $$h(t) = 1 - \left|\frac{t}{\text{stepsize}} - 2n - 1\right|$$
#
# It climbs from 0 to 1 in one *stepsize* and falls back in the next. $n$ counts the cycles. In *exp_range* γ is
# raised to all the time since the start, not to the time in the cycle. **Warm restarts** (SGDR) fall by a cosine over
# a period $P$ and jump back; $u$ is the time since the last jump. With `mult` each period is that many times as long
# as the one before.

# %%
for kind in (S.Triangular, S.Triangular2, S.ExpRange, S.WarmRestarts, S.OneCycle):
    display(source(kind.rate))

# %% [markdown]
# <details><summary><b>Predict.</b> 600 steps. A: one cosine of 600. B: three cosines of 200, with two restarts. Which
# has the lower loss at step 200, and which at step 600?</summary>
#
# **B at 200, A at 600.** At 200 B has just landed and A is still high up in its noise. At 600 both have landed, but A
# has used its time at high rates once, and for longer. If you said "B at 600, it has escaped two bad minima": see
# below whether anything was escaped from.
# </details>
#
# **Measure.** 24 seeds.

# %%
long = {
    "constant": S.Constant(0.1),
    "one cosine": S.Cosine(0.2, total=600),
    "three cosines": S.WarmRestarts(0.2, period=200),
    "40, 80, 160, 320": S.WarmRestarts(0.2, period=40, mult=2),
}
swung = train(long, 600, seeds=24, validate_every=25)

# %%
restarted = claim(swung, 600)
restarted.better("one cosine", than="three cosines", in_at_least=19)
restarted.better("three cosines", than="constant", in_at_least=16)
restarted.better("40, 80, 160, 320", than="three cosines", in_at_least=14)
early = claim({name: values[:, :9] for name, values in swung.items()}, 200)
early.better("three cosines", than="one cosine", in_at_least=16)
higher = (swung["three cosines"][:, 9] > swung["three cosines"][:, 8]).sum()
evidence.verdict("25 steps after the restart the loss is higher, in at least 22 of 24 seeds", higher >= 22)

# %% tags=["nbval-ignore-output"]
shown = {name: swung[name] for name in ("one cosine", "three cosines")}
curves("Restarts have something to show early; one long fall ends lower", long, shown, 600, ylim=(0.1, 1.2))

# %% [markdown]
# A restart throws away what the last fall has won, and wins it back. What you get for it is an **anytime** result: at
# the end of every cycle you hold a finished network. With doubling periods you get that too, and spend more than half
# of all steps in the last fall: it ends closer to the single cosine. If any of them has escaped from a bad minimum,
# it does not show in the loss. On a larger scale Loshchilov and Hutter found restarts a little *better* in the end:
# error 4.03 % against 4.24 % with stairs on CIFAR-10 (WRN-28-10; $P$ = 10 epochs, mult 2). And several networks for
# the price of one are the start of lecture 11.
#
# Now Smith's claim for cyclical rates: *the same accuracy in fewer iterations*. His figures, CIFAR-10: a fixed rate
# 81.4 % after 70,000 iterations; triangular2 81.4 % after 25,000; exp_range 82.2 % after 42,000. Ours: a constant
# rate after 600 steps, against others that stop after 400.

# %%
short = {
    "triangular2, 400 steps": S.Triangular2(0.01, 0.3, stepsize=100),
    "exp_range, 400 steps": S.ExpRange(0.01, 0.3, stepsize=50, gamma=0.993),
    "cosine, 400 steps": S.Cosine(0.2, total=400),
}
fewer = {"constant, 600 steps": swung["constant"], **train(short, 400, seeds=24)}
fewer = claim(fewer, {**dict.fromkeys(short, 400), "constant, 600 steps": 600})
fewer.better("triangular2, 400 steps", than="constant, 600 steps", in_at_least=13)
fewer.better("cosine, 400 steps", than="constant, 600 steps", in_at_least=17)
fewer.better("cosine, 400 steps", than="triangular2, 400 steps", in_at_least=15)

# %% tags=["nbval-ignore-output"]
print(fewer.table()[["median", "95 % from", "95 % to"]].round(3))

# %% [markdown]
# It holds, for triangular2: two thirds of the steps, and in 17 of 24 seeds the lower loss (when this was written). It
# does not hold for our exp_range (the table). But the last row is the one to remember: **a plain cosine saves more.**
# What cycles win over a *constant* rate, they win by ending low. Ask of every schedule in a paper: what was it compared
# with?
#
# **Beware.** A schedule that swings for ever is as good as the moment you stop it: at a peak or in a trough?

# %%
swings = {"triangular": S.Triangular(0.01, 0.3, stepsize=50)}
loss = train(swings, 600, validate_every=50)["triangular"]  # validated at each peak and each trough
higher = np.median(loss[:, 3:12:2], 0) > 1.15 * np.median(loss[:, 4:13:2], 0)
evidence.verdict("at each of 5 peaks the median loss is over 15 % above that of the next trough", higher.all())

# %% [markdown]
# ## 7.4 One hill, and higher than you dare?
# <small>About 5 minutes; the cells run in 1 s.</small>
#
# **One-cycle** (Smith and Topin) is warm-up and decay in one piece: up to a large rate in the first third, then far
# below the first. They report **super-convergence**: ResNet-56 on CIFAR-10, 92.4 % after 10,000 iterations, where
# stairs took 80,000 for 91.2 %. The claim behind it is that the hill lets you climb to rates that no other schedule
# survives.
#
# <details><summary><b>Predict.</b> The two networks of section 7.2. Where does one-cycle beat the cosine? And does it
# beat warm-up with cosine?</summary>
#
# Where warm-up did: at large first weights. And warm-up with cosine does as well, within what we can tell. The hill
# *is* a warm-up.
# </details>
#
# **Measure.** The runs are made already, in 7.2.

# %%
peak = min(peaks, key=lambda a: median["large"]["cosine", a])
contest = {"one-cycle": started["large"]["one-cycle", 0.4], "cosine at its best peak": started["large"]["cosine", peak]}
claim(contest, T).better("one-cycle", than="cosine at its best peak", in_at_least=9)
for key in started:
    ratio = lowest[key, "one-cycle"] / lowest[key, "warm-up, cosine"]
    evidence.verdict(f"{key}: within 15 % of warm-up with cosine, each at its best peak", abs(ratio - 1) < 0.15)
ratio = lowest["small", "one-cycle"] / lowest["small", "cosine"]
evidence.verdict("small: within 15 % of the plain cosine, too", abs(ratio - 1) < 0.15)

# %% [markdown]
# Look at the picture of 7.2 again, at the third curve: it lies on the second. Super-convergence itself, eight times
# fewer steps, we do not see; our networks have no 80,000 steps to save. And one part of the recipe is missing here on
# purpose: Smith lowers the momentum while the rate is high. In this package no schedule touches anything but the
# rate. In torch it does (see the traps).
#
# ## 7.5 Who decides: the clock, the loss, or you?
# <small>About 12 minutes; the cells run in 9 s.</small>
#
# All schedules so far look at the clock. You would look at the loss. So does **reduce on plateau**: cut α when the
# validation loss has not improved for a while.
#
# $$\alpha \leftarrow \max(\text{factor}\cdot\alpha,\ \alpha_{\min}) \quad
# \text{with as many bad observations in a row as your patience}$$

# %%
source(S.Plateau.observe, docstring=False)


# %% [markdown]
# It has a memory, so it is no function of $t$; but `Run(lr=S.Plateau(...))` takes it like any other. Eight seeds;
# each cuts when its own loss stalls:


# %%
def plateau(seed):
    lr = S.Plateau(0.2, factor=0.3, patience=2)
    return Run("mlp", digits, lr=lr, batch_size=4, seed=seed, validate_every=20)


def constant(seed):
    return Run("mlp", digits, lr=0.2, batch_size=4, seed=seed, validate_every=20)


waited = evidence.compare({"constant": constant, "plateau": plateau}, steps=400, seeds=8, progress=False)
waited.better("plateau", than="constant", in_at_least=7)

# %% tags=["nbval-ignore-output"]
cuts = [int(np.flatnonzero(np.diff(run["lr"]))[0]) + 1 for run in waited.histories["plateau"]]
title = f"It cuts when the loss has stalled: for the first time at step {min(cuts)} to {max(cuts)}"
fig, (ax, below) = figures.figure(title, 2, heights=(3, 1.5), size=(7.2, 4.4))
for i, (name, runs) in enumerate(waited.histories.items()):
    ax.plot(runs[0]["val_step"], np.median([run["val_loss"] for run in runs], 0), label=name, **figures.style(i))
    for run in runs:
        below.plot(run["lr"], color=figures.PALETTE[i], linestyle="-", linewidth=0.8, alpha=0.6)
ax.set(ylabel="validation loss (nats)\nmedian of 8 seeds", yscale="log", ylim=(0.12, 2.5))
below.set(xlabel="step", ylabel="applied α", yscale="log", ylim=(0.001, 0.3))
figures.direct_labels(ax)
figures.show(fig, alt=f"{waited.alt} The first cut comes between steps {min(cuts)} and {max(cuts)}.")

# %% [markdown]
# It has a price: a noisy validation loss has bad luck too. Patience waits too long, or it takes bad luck for a
# plateau.
#
# ### You
#
# **Your turn.** The same task. Press ▶, keep your hand on α, and stop after some 400 steps (ten seconds). You have seen
# what a good schedule does. Can you do it by eye? Keyboard: <kbd>Tab</kbd> to ▶ and <kbd>Space</kbd>; <kbd>Tab</kbd> to
# the slider, then the arrow keys.

# %%
run = Run("mlp", digits, lr=0.2, batch_size=4, validate_every=10)
tuner = instruments.LiveTuner(run, speed=40)
tuner

# %% tags=["nbval-ignore-output"]
if run.step == 0:  # nobody has played: a script turns the rate as a person would, in three stairs
    tuner.speed = None
    for lr, steps in [(0.2, 200), (0.05, 100), (0.0125, 100)]:
        tuner.turn("lr", lr)
        tuner.play(steps)
        tuner.wait()
tuner.pause()
by_hand = tuner.as_schedule()
print(by_hand)

# %% [markdown]
# Your hand is a schedule now: `Recorded`, the steps at which you turned and the rates you turned to. But it was one
# run with one seed, and you *saw* that seed's loss. Is it your judgement or this seed's luck? Let it drive 32 others,
# blind. (If the claims below fail for *your* hand, that is a result. Look at the picture, rewind, try again.)

# %%
source(S.Recorded.rate)

# %%
hands = {"constant": S.Constant(0.1), "your hand": by_hand, "cosine": S.Cosine(0.2, total=400)}
driven = train(hands, 400, seeds=range(1, 33), validate_every=40)  # the hand has seen seed 0
contest = claim(driven, 400)
contest.better("your hand", than="constant", in_at_least=24)
ratio = np.median(contest.values["your hand"]) / np.median(contest.values["cosine"])
evidence.verdict("your hand and the cosine end within 15 % of one another", abs(ratio - 1) < 0.15, f"{ratio:.3f}")

# %% tags=["nbval-ignore-output"]
shown = {name: driven[name] for name in ("your hand", "cosine")}
curves("The rate that a hand has turned against a cosine, under 32 seeds", hands, shown, 400, ylim=(0.1, 2.5))

# %% [markdown]
# In the printed run a script was the hand, with two cuts. Two well-placed cuts are as good as a cosine here, for all
# that the loss can tell. That is why stairs ruled for years: somebody
# watched, and wrote down what the hand did. The cosine's advantage is that nobody had to watch.
#
# ### The simplest schedule of all
#
# **Early stopping**: α₀ up to a time $t^*$, then 0, with $t^*$ read off the validation loss. It pays where going on
# does harm. Here 200 images, of which 60 got a random label:

# %%
few = data.load("digits", per_class=20)
draw = torch.Generator().manual_seed(0)
labels, wrong = few.train.y.clone(), torch.randperm(200, generator=draw)[:60]
labels[wrong] = torch.randint(10, (60,), generator=draw).to(labels.device)
task = {"data": replace(few, name="mislabelled", source=None, train=Split(few.train.x, labels)), "batch_size": 20}
kinds = {"constant": S.Constant(0.3), "cosine": S.Cosine(0.3, total=400)}
seen = train(kinds, 400, validate_every=20, **task)
test = train(kinds, 400, validate_every=20, validation=tuple(few.test), **task)  # the same runs, other images


# %%
def stopped_at(losses, stopping):
    state = stopping.init()
    for loss in losses:
        state = stopping.observe(loss, state)
        if state["stop"]:
            break
    return state["best_at"] - 1  # restore_best: the weights of the best validation


stops = [stopped_at(losses, regularization.EarlyStopping(patience=3)) for losses in seen["constant"]]
stopped = test["constant"][range(16), stops]

# %%
lower = {name: int((stopped < values[:, -1]).sum()) for name, values in test.items()}
evidence.verdict("stopped, it has a lower test loss than the constant rate, 14 of 16", lower["constant"] >= 14)
evidence.verdict("after less than half of the steps, 16 of 16", max(stops) < 10)

# %% tags=["nbval-ignore-output"]
print(f"stopped, it is lower than the cosine in {lower['cosine']} of 16 seeds")

# %% tags=["nbval-ignore-output"]
title = "Where labels are wrong, a rate that drops to zero early beats a constant one"
fig, ax = figures.figure(title, size=(7.2, 3.4))
for i, (name, values) in enumerate(test.items()):
    ax.plot(np.linspace(0, 400, 21), np.median(values, 0), label=name, **figures.style(i))
places = 20 * np.array(stops)
ax.plot(places, stopped, "D", color=figures.PALETTE[2], markersize=5, alpha=0.7)
ax.text(175, 0.57, "stopped by validation: 16 seeds", color="#006B4D", fontsize=9)
ax.set(xlabel="step", ylabel="test loss (nats), median of 16 seeds", ylim=(0.5, 1.2), xlim=(0, 400))
figures.direct_labels(ax)
words = f"Stopped between steps {places.min()} and {places.max()}, at a test loss of {np.median(stopped):.3g}."
figures.show(fig, alt=f"Test loss over step. {words} {alt_of(test)}")

# %% [markdown]
# Against the cosine we claim nothing: it takes its rate away in time, too, and that is half of an early stop.
#
# `Run(stopping=regularization.EarlyStopping(patience=3))` does it live, and puts the best weights back. Lecture 8
# treats it as the regularisation it also is.
#
# **Beware.** Plateau, early stopping and your eye all use the validation split up: what they choose by, they fit a
# little. Judge on the test split, as in the last claims. And torch cuts one observation later than everybody else
# (see the traps).

# %% [markdown]
# ## 7.6 Could the rate find itself?
# <small>About 8 minutes; the cells run in 4 s.</small>
#
# The slope of the loss with respect to the *weights* you follow. Why not follow its slope with respect to the *rate*?
# After the step $x_t = x_{t-1} - \alpha g_{t-1}$,
#
# $$\frac{\partial \ell(x_t)}{\partial \alpha} = g_t\cdot\frac{\partial x_t}{\partial\alpha} = -\,g_t\cdot g_{t-1}
# \qquad\Longrightarrow\qquad \alpha \leftarrow \alpha + \beta\; g_t\cdot g_{t-1}$$
#
# This is the **hypergradient** (Baydin and others 2018). Two gradients that agree: longer steps. Two that fight:
# shorter ones. You write it in this package as you would write any rule:


# %%
@dataclass(frozen=True)
class Hypergradient(rules.Rule):
    beta: float = 0.01

    def init(self, x):
        return {"gain": torch.zeros_like(x[..., :1]), "g": torch.zeros_like(x)}

    def step(self, x, g, state, lr):
        gain = state["gain"] + self.beta * (g * state["g"]).sum(-1, keepdim=True)
        return x - (lr + gain) * g, {"gain": gain, "g": g}


# %% [markdown]
# <details><summary><b>Predict.</b> You start it at rates from 0.0001 to 1. Plain SGD has its U, with one good place.
# What does the hypergradient's curve look like: the same U; a flat line at the U's bottom; a flat line above the
# bottom?</summary>
#
# A flat line **above** the bottom, for three decades. It forgives any low start. But it looks one step ahead, and one
# step ahead a lower rate is tempting: less noise, at once. So it settles for less than the best rate of the whole run
# would give. This is called short-horizon bias (Wu and others 2018).
# </details>
#
# **Measure.** Seven first rates, 5 seeds, 300 steps, 32 images each. Beside it runs schedule-free SGD, which you met
# in lecture 5: no schedule, a mean of the path instead.

# %%
firsts = (1e-4, 1e-3, 1e-2, 0.1, 0.3, 1.0, 2.0)
grid = {a: S.Constant(a) for a in firsts}
finders = {"SGD": rules.SGD(), "hypergradient": Hypergradient(), "schedule-free": rules.ScheduleFreeSGD()}
u = {name: train(grid, 300, rule=rule, batch_size=32, seeds=5) for name, rule in finders.items()}
u = {name: [float(np.median(losses[a])) for a in firsts] for name, losses in u.items()}
flat = max(u["hypergradient"][:4]) < 1.3 * min(u["hypergradient"][:4])
evidence.verdict("from four first rates, 0.0001 to 0.1, the hypergradient ends within a factor of 1.3", flat)
above = min(u["hypergradient"][:4]) > 1.1 * min(u["SGD"])
evidence.verdict("and more than 10 % above what SGD reaches at its best rate", above)
touchy = max(u["schedule-free"]) > 5 * min(u["schedule-free"])
evidence.verdict("schedule-free SGD still needs its rate: a factor of over 5 between them", touchy)

# %% tags=["nbval-ignore-output"]
title = "From a low first rate the hypergradient gets going, but not to the lowest loss"
fig, ax = figures.figure(title, size=(7.2, 3.6))
for i, (name, losses) in enumerate(u.items()):
    ax.plot(firsts, losses, marker="os^"[i], label=name, **figures.style(i))
ax.set(xscale="log", yscale="log", xlabel="first rate", ylabel="validation loss (nats)\n300 steps, median of 5 seeds")
ax.set(xlim=(7e-5, 2.8), ylim=(0.09, 3), yticks=[0.1, 0.2, 0.5, 1, 2], yticklabels=[0.1, 0.2, 0.5, 1, 2])
ax.minorticks_off()
figures.direct_labels(ax)
words = "; ".join(f"{name} {min(losses):.3g} to {max(losses):.3g}" for name, losses in u.items())
figures.show(fig, alt=f"Validation loss over first rate from 0.0001 to 2, lowest and highest: {words}.")

# %% [markdown]
# One point of the picture we had not predicted: from a first rate of 1 the hypergradient ends lowest of all. At that
# rate it beats plain SGD, and at 2 it no longer saves the run. So it forgives low first rates, and still has a best
# one.
#
# And β? It has to be found as well. Between 0.003 and 0.03 it changes the loss by a fifth here, from a low first rate;
# with four images a step it explodes at $\beta = 0.03$ already. (Both were tried beside this lecture.) "Free" of the
# rate, in every method so far, means: a less touchy number in its place.
#
# **Where the field is going.**
# - *Schedule-free* (Defazio and others 2024): averages in place of decay; no $T$ to choose. Good at any moment, as
#   restarts are, without the jumps.
# - *Parameter-free*: D-Adaptation (2023) and Prodigy (2024) estimate the distance to the solution, and from it the
#   rate.
# - *Theory that fits*: one bound from convex analysis predicts what WSD, cosine and linear do to large models, the
#   drop at the end included (Schaipp and others 2025).
# - *Search*: rate, schedule and rule are searched together with the architecture in neural architecture search
#   (**NAS**); Bello and others (2017) let a network write update rules and found decays among them. [Lecture
#   6](06_finding_the_rate.ipynb) has the searches that you can pay for.

# %% [markdown]
# ## Six traps
# <small>About 8 minutes; the cells run in 1 s.</small>
#
# Each of them can cost you a week. All are torch, each as you would meet it, with what `f(t)` does beside it.


# %%
def torch_rates(make, steps, lr=0.1, **options):
    weights = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weights], lr=lr, **options)
    scheduler, applied = make(optimizer), []
    for _ in range(steps):
        applied.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return applied


of_torch = torch.optim.lr_scheduler

# %% [markdown]
# **1. The cosine that rises again.** You train a little longer than planned, and `CosineAnnealingLR` climbs back to
# the top.

# %%
theirs = torch_rates(lambda o: of_torch.CosineAnnealingLR(o, T_max=10), steps=21)
ours = S.Cosine(0.1, total=10)
evidence.verdict("10 steps after its end torch's cosine stands at its first rate again", math.isclose(theirs[20], 0.1))
evidence.verdict("ours stays at zero", ours(20) == 0)

# %% [markdown]
# **2. The scheduler that turns your momentum.** You asked for ρ = 0.99 and a learning-rate schedule.

# %%
weights = torch.nn.Parameter(torch.zeros(1))
optimizer = torch.optim.SGD([weights], lr=0.1, momentum=0.99)
of_torch.OneCycleLR(optimizer, max_lr=0.1, total_steps=100)
evidence.verdict("OneCycleLR has changed the momentum from 0.99 to 0.95", optimizer.param_groups[0]["momentum"] == 0.95)

# %% [markdown]
# `CyclicLR` does so too; `cycle_momentum=False` stops both.
#
# **3. The plot that ate the schedule.** You plot the scheduler before training, with the object that you train with.

# %%
optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
scheduler, plotted = of_torch.StepLR(optimizer, step_size=10, gamma=0.5), []
for _ in range(30):
    plotted.append(scheduler.get_last_lr()[0])
    optimizer.step()
    scheduler.step()
trained_with = optimizer.param_groups[0]["lr"]
seen = (plotted[0], plotted[-1], trained_with)
evidence.verdict("plotted from 1.0 down to 0.25, then trained from 0.125", seen == (1.0, 0.25, 0.125))
step = S.Step(1.0, every=10, gamma=0.5)
evidence.verdict("a function of t is the same after the plot", step(0) == 1.0 and step(29) == plotted[29])

# %% [markdown]
# **4. Two schedulers are not a product.** Chained, each works on what the other has left, and a floor breaks it. This
# is a cosine to 0.05 times an exponential, after ten of ten steps:


# %%
def chained(optimizer):
    cosine = of_torch.CosineAnnealingLR(optimizer, T_max=10, eta_min=0.05)
    return of_torch.ChainedScheduler([cosine, of_torch.ExponentialLR(optimizer, gamma=0.9)])


theirs = torch_rates(chained, steps=11)[10]
product = S.Cosine(0.1, total=10, final=0.05)(10) * 0.9**10
evidence.verdict("torch's chain is more than 10 % away from the product", abs(theirs / product - 1) > 0.1)

# %% [markdown]
# **5. Patience plus one.** The same losses, `patience=2`, and torch's `ReduceLROnPlateau` cuts one observation later
# than keras, optax and fastai (and than ours, unless you say `torch_count=True`).

# %%
optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
theirs, ours = of_torch.ReduceLROnPlateau(optimizer, patience=2), S.Plateau(0.1, patience=2)
state, cut = ours.init(), {}
for number, loss in enumerate([1.0, 1.0, 1.0, 1.0, 1.0]):
    theirs.step(loss)
    state = ours.observe(loss, state)
    for name, lr in (("torch", optimizer.param_groups[0]["lr"]), ("others", state["lr"])):
        cut.setdefault(name, number) if lr < 0.1 else None
evidence.verdict("torch cuts with the third bad one, the others with the second", cut == {"torch": 3, "others": 2})

# %% [markdown]
# **6. Epoch or step.** `scheduler.step()` stands one indentation too deep, and a schedule of 90 epochs is over after
# 90 batches. Nothing warns you: the loss just stops falling. `Run(lr=..., per="epoch")` says it once.

# %%
per = {unit: Run("mlp", digits, lr=S.Step(0.1, every=5), per=unit, validate_every=0) for unit in ("step", "epoch")}
last = {unit: run.train(30, progress=False).history["lr"][-1] for unit, run in per.items()}
evidence.verdict("every=5, 30 steps: five cuts in steps, none in epochs", last["epoch"] == 0.1 and last["step"] < 2e-6)

# %% [markdown]
# Most of them have one root. torch's schedulers compute the next rate *from the last one* and write it into an object
# that others write into as well. A rate that is computed from $t$ alone cannot drift. For your own torch loop,
# `S.as_torch(schedule, optimizer)` gives any schedule of this lecture in torch's dress.
#
# ## Five lines to remember
# 1. Falling pays where there is noise. Best here: stay high for half of the time, then go all the way down.
# 2. A warm-up is for a steep start. Measure 2/L; if your first rate lies below it, SGD hardly needs one.
# 3. Where cycles and restarts win over a constant rate, they win by ending low. A single fall does that better; they
#    can stop any time.
# 4. A hand that turns twice, at good moments, is as good as a cosine. Compare schedules at their own best α₀, or not
#    at all.
# 5. A schedule is a function of t. Plot it, join it, resume it: it cannot drift.
#
# ## Three questions
# **1.** You have a cosine with T = 100 epochs. At epoch 50 the loss is far above that of your colleague's constant
# rate. What do you do?
# - (a) cut the rate now
# - (b) wait for epoch 100
# - (c) restart with a lower α₀
#
# <details>
# <summary>Answer</summary>
#
# **(b).** Half way a cosine stands at half its rate, and on the noise floor of that. The half in which the noise goes
# is still to come. (a) is a shorter schedule, and ends higher. (c) may be right, but nothing you see
# at epoch 50 says so: schedules are compared at their ends.
# </details>
#
# **2.** Your network diverges in its first 20 steps at α = 1, and trains well from step 100 on if you bring it there
# at α = 0.1. What helps most?
# - (a) a warm-up of about 100 steps to 1
# - (b) α = 0.1 throughout
# - (c) a cosine from 1
#
# <details>
# <summary>Answer</summary>
#
# **(a).** The start is steep, and 2/L grows on the way: this is what a warm-up is for. (b) is safe, and gives the
# higher rate away. (c) begins with 1, so it diverges in the same 20 steps.
# </details>
#
# **3.** A paper: "our cyclical schedule reaches the baseline's accuracy in 40 % of the iterations". The baseline is a
# constant rate. What do you ask?
# - (a) whether a plain decay of the same short length reaches it as well
# - (b) how many cycles there were
# - (c) whether they used momentum
#
# <details>
# <summary>Answer</summary>
#
# **(a).** In 7.3 the cosine of the same short length did better than the cycles. (b) and (c) change the number, but
# not the question of what was compared with what.
# </details>
#
# **Now write it yourself:** [workbook 7](../exercises/07_schedules.ipynb), functions
# that are checked as you go.
#
# ## Sources
# - Robbins and Monro 1951, *A stochastic approximation method*: decay as 1/t, and why.
# - He, Zhang, Ren and Sun 2016, *Deep residual learning for image recognition*, arXiv:1512.03385: the stairs.
# - Smith 2017, *Cyclical learning rates for training neural networks*, arXiv:1506.01186: triangular, triangular2,
#   exp_range, the three figures.
# - Loshchilov and Hutter 2017, *SGDR: stochastic gradient descent with warm restarts*, arXiv:1608.03983: cosine,
#   restarts, the two error rates.
# - Goyal and others 2017, *Accurate, large minibatch SGD: training ImageNet in 1 hour*, arXiv:1706.02677: warm-up,
#   the three error rates.
# - Smith and Topin 2018, *Super-convergence*, arXiv:1708.07120: one-cycle, the two accuracies.
# - Gilmer and others 2022, *A loss curvature perspective on training instability in deep learning*, arXiv:2110.04369:
#   why warm-up works.
# - Prechelt 1998, *Early stopping, but when?*
# - Defazio, Cutkosky, Mehta and Mishchenko 2023, *Optimal linear decay learning rate schedules and further
#   refinements*, arXiv:2310.07831: the line to zero.
# - Hu and others 2024, *MiniCPM*, arXiv:2404.06395: warm-up, stable, decay.
# - Schaipp, Hägele, Taylor, Simsekli and Bach 2025, *The surprising agreement between convex optimization theory and
#   learning-rate scheduling for large model training*, arXiv:2501.18965.
# - Baydin, Cornish, Martínez Rubio, Schmidt and Wood 2018, *Online learning rate adaptation with hypergradient
#   descent*, arXiv:1703.04782. Wu, Ren, Liao and Grosse 2018, *Understanding short-horizon bias in stochastic
#   meta-optimization*, arXiv:1803.02021.
# - Defazio and others 2024, *The road less scheduled*, arXiv:2405.15682. Defazio and Mishchenko 2023,
#   *Learning-rate-free learning by D-Adaptation*, arXiv:2301.07733. Mishchenko and Defazio 2024, *Prodigy*,
#   arXiv:2306.06101.
# - Bello, Zoph, Vasudevan and Le 2017, *Neural optimizer search with reinforcement learning*, arXiv:1709.07417.
