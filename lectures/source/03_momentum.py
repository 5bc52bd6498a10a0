# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 3 · Momentum
#
# A ball that rolls does not forget at every step where it was going. With this one idea the number of steps grows as
# √κ and no longer as κ. It also nearly doubles the largest rate you may use, rolls over small ridges, and, as you
# will measure, does **nothing at all** in a place where most people expect it to help.
#
# **After this lecture you can** choose ρ and α together; say why the two formulas you find in libraries are the same,
# and when they are not; read a map of convergence rates; and write Nesterov's momentum in either form.
#
# About 55 minutes of your time. The cells need some 20 seconds of the machine's, on two CPU cores.

# %%
import torch

import lrlab
from lrlab import Run, analysis, data, evidence, figures, instruments, rules, schedules, source, surfaces

assert lrlab.__version__.startswith("0.1"), f"written for lrlab 0.1, this is {lrlab.__version__}: run make install"
torch.set_num_threads(1)  # networks this small are faster on one: two threads would wait for each other
float64 = torch.float64

# %% [markdown]
# ## 3.1 What if the ball could roll?
#
# The valley of the last lecture, twenty times as curved across as along. Gradient descent at its best rate, and a ball
# that keeps half of its velocity from step to step.
# <br><small>(measured: 2 s)</small>

# %% tags=["nbval-ignore-output"]
valley = surfaces.ravine(condition=20)
fig, ax = figures.figure("The sideways pushes cancel, the forward pushes add up", size=(7.2, 3.6))
analysis.contours(ax, valley)
left = []
for index, (name, rule, lr) in enumerate([("SGD", rules.SGD(), 0.095), ("momentum", rules.Momentum(0.5), 0.1)]):
    path = rules.descend(rule, valley, [-9.0, 3.0], lr=lr, steps=14)
    ax.plot(*path.T, marker=".", zorder=3, **figures.style(index))
    ax.text(*[(-6.4, -3.3), (-3.0, 1.9)][index], name, color=figures.style(index)["color"], zorder=5)
    left.append(float(path[-1].norm()))
figures.show(fig, alt=f"Fourteen steps in a narrow valley. Gradient descent zigzags and is still {left[0]:.1f} away "
             f"from the minimum; momentum swings out, settles on the floor and is {left[1]:.1f} away.")

# %% [markdown]
# <details><summary><b>Predict</b>: you keep the share ρ of the velocity at each step, and the gradient stays the same
# for a long time. How much longer than without momentum does the step become for ρ = 0.9? 1.9 times · 9 times · 10
# times · without limit</summary>
#
# **10 times.** The velocity is g + ρg + ρ²g + … = g / (1 − ρ). For ρ = 0.9 that is 10 g, for ρ = 0.99 it is 100 g.
# (1.9 counts one step of memory only; 9 leaves out the newest gradient; there is a limit as long as ρ is below 1.)
# </details>
#
# **Task.** Four frictions on one valley, all at the same rate. Which is there first, and which one circles? Select
# ρ = 0.0 and turn its rate up until it wins. Now try the same with ρ = 0.99: no rate makes it win, and 3.2 says why.
# Look at its velocity arrow: how long is it against the gradient's?

# %% tags=["nbval-ignore-output"]
frictions = {f"ρ = {rho}": rules.Momentum(rho) for rho in (0.0, 0.5, 0.9, 0.99)}
race = instruments.Race(valley, frictions, lr=0.02)
race

# %% tags=["nbval-ignore-output"]
race.play(steps=120)
race.wait()
figures.show(race.figure(), alt=race.alt)

# %% [markdown]
# ### The formula, twice
#
# You find it in two forms.
#
# $$\text{A (torch, optax):}\quad v \leftarrow \rho v + g,\quad x \leftarrow x - \alpha v
# \qquad\qquad
# \text{B (Sutskever, keras):}\quad u \leftarrow \rho u - \alpha g,\quad x \leftarrow x + u$$
#
# | symbol | is | unit |
# |---|---|---|
# | $\rho$ | the **friction**: the share of the velocity that survives a step, 0 to just below 1 | none |
# | $v$ | a decaying sum of gradients | loss per $x$, like $g$ |
# | $u$ | the step itself | that of $x$ |
# | $\alpha$ | the learning rate | $x^2$ per loss |
#
# (A high ρ means *little* friction; the libraries' argument is called `momentum`.) **They are one rule while α is
# constant**, with u = −αv. Proof, by induction over the steps: at the start u = 0 = −αv. If u = −αv before a step,
# then after it
#
# $$\rho u - \alpha g = -\alpha\rho v - \alpha g = -\alpha\,(\rho v + g),$$
#
# which is −α times the new v. So both add the same to x. The first equality uses that the α in u = −αv is the α of
# *this* step. Keep that in mind for section 3.4.

# %%
source(rules.Momentum.step)

# %%
source(rules.VelocityMomentum.step)

# %%
starts = torch.randn(16, 2, generator=torch.Generator().manual_seed(0), dtype=float64)
for surface in (surfaces.ravine(50), surfaces.beale, surfaces.double_well):
    a, b = (rules.descend(rule(rho=0.9), surface, starts, lr=1e-3, steps=200)
            for rule in (rules.Momentum, rules.VelocityMomentum))
    assert (a - b).abs().max() < 1e-10
print("forms A and B: one path to 1e-10, 200 steps, 16 starts, 3 surfaces, with α constant: holds")

# %% [markdown]
# **Beware.** Change ρ from 0 to 0.9 and leave α as it is, and you have made the steps ten times as long. It is the
# mistake that everybody makes once. Two settings are comparable when α / (1 − ρ) is the same, the **effective rate**.
# torch has one more knob, `dampening`: v ← ρv + (1 − dampening) g; its default is 0, as here. With
# `dampening=rho` v becomes a weighted *mean* of gradients (this is how Adam does it, in the next lecture), and α means
# something else again.

# %% [markdown]
# ## 3.2 √κ instead of κ
#
# <details><summary><b>Predict</b>: a valley with κ = 1000 costs gradient descent some 3,000 steps, at its best rate.
# With the best α and ρ momentum takes about: 1,500 · 300 · 200 · 30</summary>
#
# About **200**. The number of steps goes with √κ ≈ 32 instead of κ = 1000. The factor below alone would make it
# ½ √κ ln 1000 ≈ 110; the rest is the price of a double eigenvalue, which you will see in the figure. 1,500 would be a
# mere halving; 300 a tenth, as if momentum were a rate ten times as large; 30 forgets the constant.
# </details>
#
# On a bowl, one step of momentum is a matrix that acts on the pair (v, x), one for each curvature λ:
#
# $$\begin{pmatrix} v \\ x \end{pmatrix} \leftarrow
# \begin{pmatrix} \rho & \lambda \\ -\alpha\rho & 1 - \alpha\lambda \end{pmatrix}
# \begin{pmatrix} v \\ x \end{pmatrix}$$
#
# Its **spectral radius**, the largest |eigenvalue|, is the factor by which a step shrinks the distance in the long
# run. The determinant is ρ. So while the eigenvalues are a complex pair, each has absolute value **√ρ, whatever α and
# λ are**. The best choice puts both ends of the spectrum just where the pair becomes complex (Polyak 1964):
#
# $$\rho^\ast = \left(\frac{\sqrt\kappa - 1}{\sqrt\kappa + 1}\right)^2, \qquad
# \alpha^\ast = \frac{4}{(\sqrt{\lambda_{\max}} + \sqrt{\lambda_{\min}})^2}, \qquad
# \text{factor} = \sqrt{\rho^\ast} \approx 1 - \frac{2}{\sqrt\kappa} .$$
#
# Gradient descent has 1 − 2/κ in this place. Ten dimensions, sixteen starts, each rule with the best setting for each
# κ:
# <br><small>(measured: 1 s)</small>

# %%
conditions = torch.tensor([3.0, 10, 30, 100, 300, 1000], dtype=float64)
starts = torch.randn(16, 10, generator=torch.Generator().manual_seed(1), dtype=float64)
steps = {"SGD": [], "momentum": []}
for kappa in conditions.tolist():
    root, bowl = kappa**0.5, surfaces.ravine(condition=kappa, dimension=10)
    best = {"SGD": (rules.SGD(), 2 / (1 + kappa)),
            "momentum": (rules.Momentum(((root - 1) / (root + 1)) ** 2), 4 / (root + 1) ** 2)}
    for name, (rule, lr) in best.items():
        distance = rules.descend(rule, bowl, starts, lr=lr, steps=int(5 * kappa) + 40).norm(dim=-1)
        steps[name].append(analysis.settled_after(distance / distance[0], 1e-3))

# %%
fits = {name: analysis.power_law(conditions, torch.stack(rows)) for name, rows in steps.items()}
assert (fits["SGD"][0] - 1).abs().max() < 0.05
print("SGD: steps grow as κ to a power between 0.95 and 1.05, from each of 16 starts: holds")
assert fits["momentum"][0].min() > 0.48 and fits["momentum"][0].max() < 0.62
print("momentum: a power between 0.48 and 0.62, from each of 16 starts: holds")

# %% tags=["nbval-ignore-output"]
fig, ax = figures.figure("Momentum needs √κ steps, not κ", size=(7.2, 3.6))
for index, (name, (p, c)) in enumerate(fits.items()):
    look = figures.style(index)
    ax.plot(conditions, torch.stack(steps[name]), "os"[index], color=look["color"], markersize=3, linestyle="none")
    ax.plot(conditions, c.median() * conditions ** p.median(), label=f"{name}: κ^{p.median():.2f}", **look)
ax.set(xscale="log", yscale="log", xlabel="condition number κ (no unit)", ylabel="steps to a thousandth")
ax.margins(x=0.03)
figures.direct_labels(ax, [line for line in ax.get_lines() if "κ" in str(line.get_label())])
spread = "; ".join(f"{name} {p.median():.3f}, {p.min():.3f} to {p.max():.3f}" for name, (p, _) in fits.items())
figures.show(fig, alt=f"Steps against condition number, both logarithmic, two straight lines. Exponents over 16 "
             f"starts, median and range: {spread}.")

# %% [markdown]
# The exponent is a little above ½, and there is a reason. At the very best ρ the two eigenvalues coincide, and then
# the distance shrinks like t · factorᵗ: the t is what you see.
#
# ### The whole map
#
# One valley with κ = 100, every α up to twice the limit of gradient descent, every ρ from 0 to 0.99. The **colour** is
# measured: 4,800 descents of 400 steps, run at once, and the slope of each. The **lines** are theory: the spectral
# radius of the matrix. The bottom edge of the map, ρ = 0, is gradient descent.

# %%
source(analysis.momentum_matrix, docstring=False)

# %%
kappa = 100.0
alpha = torch.linspace(0.05, 4.0, 80, dtype=float64) / kappa
rho = torch.linspace(0, 0.99, 60, dtype=float64)
every_rho = rules.Momentum(rho[:, None, None])
path = rules.descend(every_rho, surfaces.ravine(kappa), [1.0, 1.0], lr=alpha[:, None], steps=400)
measured = analysis.measured_rate(path)
curvatures = torch.tensor([1.0, kappa])[:, None, None]
radius = torch.linalg.eigvals(analysis.momentum_matrix(curvatures, alpha, rho[:, None])).abs().amax((0, -1))

# %%
off = (measured - radius).abs()[radius <= 1]
assert off.median() < 1e-4 and off.quantile(0.99) < 0.01
print("where it converges, measured rate and spectral radius differ by less than 0.01 in 99 %: holds")
limit = 2 * (1 + rho[:, None]) / kappa
assert (measured[alpha < 0.98 * limit] < 1).all() and (measured[alpha > 1.02 * limit] > 1).all()
print("momentum converges up to α = 2 (1 + ρ) / λmax and not above: holds")
swinging = (radius - rho[:, None].sqrt()).abs() < 1e-9
assert (measured - rho[:, None].sqrt())[swinging].abs().max() < 0.03
print("where both directions swing, the rate is √ρ within 0.03, whatever α is: holds")
digits_per_100 = (-100 * measured.clamp(1e-3, 1.0).log10()).where(measured < 1, torch.nan)
top_gain = digits_per_100.nan_to_num().max()
best = 4 * kappa / (kappa**0.5 + 1) ** 2, ((kappa**0.5 - 1) / (kappa**0.5 + 1)) ** 2

# %% tags=["nbval-ignore-output"]
title = "The best point lies where the fastest and the slowest direction just begin to swing"
fig, ax = figures.figure(title, size=(7.2, 4.4))
image = ax.pcolormesh(alpha * kappa, rho, digits_per_100, cmap="cividis", shading="nearest")
inside = radius.where(alpha < 0.98 * limit, torch.nan)
lines = ax.contour(alpha * kappa, rho, inside, levels=[0.85, 0.9, 0.95, 0.98], colors="white", linewidths=0.9)
ax.clabel(lines, fontsize=8)
ax.plot(*best, "*", color="#E69F00", markeredgecolor="black", markersize=15)
ax.set(xlabel="learning rate α · λmax (no unit; gradient descent bears 2)", ylabel="friction ρ (no unit)")
ax.plot(kappa * limit, rho, "--", color="#D55E00", linewidth=1.6)
fig.colorbar(image, label="decimal digits gained in 100 steps")
figures.show(fig, alt=f"Map of convergence for κ = 100; beyond α λmax = 2 (1 + ρ) it diverges. Polyak's point, "
             f"{best[0]:.2f} and {best[1]:.2f}, is at the corner of the best region: {top_gain:.0f} digits.")

# %% [markdown]
# (White: diverged; dashed: the limit of theory. The star: Polyak's α* and ρ*. Numbers on the lines: the factor per
# step.) Three things that this picture knows and most texts do not say:
#
# - **Momentum nearly doubles the largest rate.** The limit is α = 2 (1 + ρ)/λmax, up to nearly 4/λmax.
# - **Above the ridge the lines are level.** There both directions swing, the factor is √ρ, and α does not matter. So a
#   ρ that is too large cannot be cured by any learning rate.
# - **The slopes are not alike.** From the star, a little less ρ falls off the cliff; a little more costs little. If
#   you do not know κ, err upwards. That is why 0.9 is everybody's default: with it, √ρ ≈ 0.95, any κ up to
#   about 1,400 is served as well as any other.
#
# **Beware.** The formulas for α* and ρ* need λmin and λmax. On a network you have neither, and λmin is 0 (lecture 2).
# What carries over is the shape of the map, not the numbers in it.

# %%
best_kappa = ((1 + 0.9**0.5) / (1 - 0.9**0.5)) ** 2
assert 1350 < best_kappa < 1550
print("ρ = 0.9 is Polyak's ρ* for a κ between 1,350 and 1,550: holds")

# %% [markdown]
# ## 3.3 Ridges, saddles, noise
#
# A ball with a velocity can go uphill for a while.
#
# <details><summary><b>Predict</b>: of the balls that start to the right of the ridge, in the basin of the <i>local</i>
# minimum, how many end in the global one? With gradient descent at the rate 0.01, and with momentum 0.9 at the same
# rate. None and none · none and a quarter · a quarter and all</summary>
#
# **None and about a quarter.** Small steps of gradient descent stay in the basin they start in. The rolling ball
# carries its height with it: those that start high enough on the outer wall get over the ridge. (The
# measurement below gives momentum half this rate; then fewer of them get over.)
# </details>
#
# **Task.** Drag the start to the left, or move it with the arrow keys: what is the last point from which momentum
# still makes it over the ridge? Then lower ρ to 0.8. And then do it on the saddle, and on the plateau (change the
# surface in the cell): which of the three does momentum help most with?

# %% tags=["nbval-ignore-output"]
pair = {"SGD": rules.SGD(), "momentum": rules.Momentum(0.9)}
ridge_race = instruments.Race(surfaces.double_well, pair, lr=0.01, start=(2.0, 1.0))
ridge_race

# %% tags=["nbval-ignore-output"]
ridge_race.play(steps=150)
ridge_race.wait()
figures.show(ridge_race.figure(), alt=ridge_race.alt)

# %% [markdown]
# Four thousand starts in the basin of the local minimum; ten distances from the saddle's ridge line; ten starts on the
# plateau. Both rules at the *same effective rate* α / (1 − ρ), so that momentum has no advantage from longer steps.
# <br><small>(measured: 2 s)</small>

# %%
slow, rolling = (rules.SGD(), 0.05), (rules.Momentum(0.9), 0.005)
box = torch.rand(4000, 2, generator=torch.Generator().manual_seed(0), dtype=float64)
starts = torch.tensor([0.3, -1.0]) + torch.tensor([1.7, 2.0]) * box
over = {}
for name, (rule, lr) in {"SGD": slow, "momentum": rolling}.items():
    end = rules.descend(rule, surfaces.double_well, starts, lr=lr, steps=600)[-1]
    over[name] = float((end[:, 0] < 0).double().mean())
assert over["SGD"] == 0 and 0.1 < over["momentum"] < 0.4
print("over the ridge: no ball without momentum, between a tenth and four tenths with it: holds")

# %%
offsets = 10.0 ** -torch.arange(1, 11, dtype=float64)
radii = torch.linspace(0.5, 3.5, 10, dtype=float64)
delays = {}
for name, (rule, lr) in {"SGD": slow, "momentum": rolling}.items():
    near_ridge, far_out = torch.stack([offsets - 1.8, offsets], -1), torch.stack([radii, 0 * radii], -1)
    saddle = rules.descend(rule, surfaces.saddle, near_ridge, lr=lr, steps=1000)
    plateau = rules.descend(rule, surfaces.plateau, far_out, lr=lr, steps=3000)
    away = analysis.settled_after((saddle[..., 1] - 1).abs(), 0.5)
    delays[name] = torch.stack([away, analysis.settled_after(plateau.norm(dim=-1), 0.3)])
gain = delays["SGD"] / delays["momentum"]
assert (gain > 0.5).all() and (gain < 2).all()
print("saddle and plateau, at equal effective rate: less than a factor of 2 either way, from all 20 starts: holds")

# %% [markdown]
# At equal effective rate momentum gets over ridges, and that is all: it leaves saddles and plateaus about as fast as
# gradient descent with ten times the rate would. What it gives there in practice comes from the *longer steps* it
# allows.
#
# ### And noise?
#
# <details><summary><b>Predict</b>: v is a sum over many mini-batches, so it is smoother than a single gradient. At the
# same effective rate, how much closer to the minimum does the noisy path of momentum stay? √10 times · 10 times · not
# at all</summary>
#
# **Not at all.** The noise in v is smoother from step to step, but it *adds up* over steps instead of cancelling, to
# all but the same cloud. Averaging over batches is what a small step does anyway.
# </details>
#
# On a bowl with curvature λ and gradient noise σ the cloud has, in the long run, the variance
#
# $$\operatorname{Var} x = \frac{\alpha\,\sigma^2\,(1+\rho)}{\lambda\,(1-\rho)\,\bigl(2(1+\rho) - \alpha\lambda\bigr)}
# \;\approx\; \frac{\alpha}{1-\rho}\cdot\frac{\sigma^2}{2\lambda} \quad\text{for small } \alpha\lambda :$$
#
# only the effective rate counts. (σ: standard deviation of each coordinate of the gradient, loss per x.) Five hundred
# balls, after a thousand steps to settle:

# %%
bowl = surfaces.noisy(surfaces.ravine(condition=1), sigma=1.0)
variance = {}
for lr, rho in [(0.1, 0.0), (0.01, 0.9), (0.01, 0.0)]:
    path = rules.descend(rules.Momentum(rho), bowl, torch.zeros(500, 2, dtype=float64), lr=lr, steps=1600)
    variance[lr, rho] = path[1000:].var()
    theory = lr * (1 + rho) / ((1 - rho) * (2 * (1 + rho) - lr))
    assert abs(variance[lr, rho] / theory - 1) < 0.1
print("the variance of the cloud is that of the formula within 10 %, for 3 settings: holds")
assert 0.8 < variance[0.01, 0.9] / variance[0.1, 0.0] < 1.2
print("momentum 0.9 at α = 0.01 and no momentum at α = 0.1 have the same cloud within 20 %: holds")

# %% [markdown]
# ### Does a network agree?
#
# The theory makes two opposite predictions. With the **whole training set** in every step there is no noise, curvature
# rules, and momentum should win clearly. With batches of **16** noise rules, and only the effective rate should count.
# Both rules get the same number of learning rates to try, the same steps and the same seeds: in the first comparison
# four rates of 60 steps each (the "240 steps" of the verdict and of the axis are these four together), in the second
# one rate of 300 steps.
# <br><small>(measured: 9 s)</small>

# %%
digits = data.load("digits")
everything = len(digits.train.x)

def tries(rule, rates, batch_size):
    return lambda seed: [Run("mlp", digits, rule=rule, lr=lr, batch_size=batch_size, seed=seed, validate_every=0)
                         for lr in rates]

whole = evidence.compare({"SGD": tries(rules.SGD(), [0.4, 0.8, 1.6, 3.2], everything),
                          "Momentum": tries(rules.Momentum(0.9), [0.1, 0.2, 0.4, 0.8], everything)},
                         steps=60, metric="train_loss", seeds=6, progress=False)
whole.better("Momentum", than="SGD", in_at_least=6)

# %% tags=["nbval-ignore-output"]
fig = whole.figure("Without noise momentum is far ahead: all images, best of four rates each")
fig.axes[0].set_xlabel(fig.axes[0].get_xlabel().replace("  (", "\n("))  # too long for one line
figures.show(fig, alt=whole.alt)

# %%
small = evidence.compare({"SGD": tries(rules.SGD(), [0.1], 16), "Momentum": tries(rules.Momentum(0.9), [0.01], 16)},
                         steps=300, metric="train_loss", seeds=8, progress=False)
ratio = small.values["Momentum"] / small.values["SGD"]
assert abs(ratio - 1).max() < 0.3
print("batches of 16, equal effective rate: the two training losses agree within 30 % in 8 of 8 seeds: holds")

# %% tags=["nbval-ignore-output"]
small.show("With batches of 16 only α / (1 − ρ) counts: α = 0.1 without, α = 0.01 with momentum")

# %% [markdown]
# This is known from much larger experiments too: momentum pays for large batches and for long, narrow valleys, and is
# a way of writing a larger learning rate otherwise (Shallue et al. 2019). Use it all the same: it costs one vector of
# memory, and it is the larger rate that you could not have set without it.
#
# ### Should ρ start at 0.5?
#
# An old recipe says: start with ρ = 0.5 while the gradients are large and point everywhere, and raise it to 0.9 or
# 0.99 when things have settled. Here, against ρ = 0.99 from the start, at two learning rates; the rise comes in one
# jump, at step 100 of 300.

# %%
def with_friction(first, lr):
    def make(seed):
        run = Run("mlp", digits, rule=rules.Momentum(first), lr=lr, seed=seed, validate_every=0)
        run.train(steps=100, progress=False)
        run.rho = 0.99
        return run
    return make

# %%
for lr, better, worse in ((0.05, "rising from 0.5", "0.99 throughout"), (0.005, "0.99 throughout", "rising from 0.5")):
    arms = {"rising from 0.5": with_friction(0.5, lr), "0.99 throughout": with_friction(0.99, lr)}
    print(f"α = {lr}: ", end="")
    claim = evidence.compare(arms, steps=200, metric="train_loss", seeds=8, progress=False)
    claim.better(better, than=worse, in_at_least=6)

# %% [markdown]
# So the recipe is a safety belt: it pays where the rate is so large that the first hundred steps would throw the
# network about, and costs time where it is not. Today a **warm-up of the learning rate** usually does this job
# (lecture 7).

# %% [markdown]
# ## 3.4 Where the two forms part
#
# The proof in 3.1 needed a constant α. Learning rates do not stay constant: you turn them down.
#
# <details><summary><b>Predict</b>: after three steps on ½x² with ρ = 0.9 you drop α from 0.1 to 0.001. Which form
# slows down at once: A, whose velocity is a sum of gradients, or B, whose velocity is the step itself?</summary>
#
# **A.** Its step is α times v, so a hundredth of the rate is a hundredth of the step. B keeps the old *steps* in its
# memory and rolls on with 0.9, 0.81, … of them; the new α only acts on new gradients.
# </details>
#
# <small>(measured: 1 s)</small>

# %%
drop = schedules.MultiStep(0.1, milestones=[3], gamma=0.01)
paths = {name: rules.descend(rule, lambda x: 0.5 * (x * x).sum(-1), [1.0], lr=drop, steps=40).squeeze(-1)
         for name, rule in {"A: α outside": rules.Momentum(0.9), "B: α inside": rules.VelocityMomentum(0.9)}.items()}
a, b = paths.values()
assert torch.equal((a[4:6] * 1000).round(), torch.tensor([483.0, 481.0], dtype=float64))
assert torch.equal((b[4:7] * 1000).round(), torch.tensor([275.0, 85.0, -87.0], dtype=float64))
print("after the drop A goes on at .483, .481; B at .275, .085, −.087, past the minimum: holds")

# %% tags=["nbval-ignore-output"]
fig, (top, bottom) = figures.figure("When the rate drops, one form slows down and the other rolls on", rows=2,
                                    heights=(3, 1), size=(7.2, 4.2))
for name, path in paths.items():
    top.plot(range(41), path, marker=".", label=name)
top.axhline(0, color="black", linewidth=0.6, linestyle="-")
top.set(ylabel="x (minimum at 0)")
bottom.step(range(41), [drop(t) for t in range(41)], where="post", color="black", linestyle="-")
bottom.set(yscale="log", ylabel="applied α", xlabel="step")
figures.direct_labels(top, top.get_lines()[:2])
figures.show(fig, alt=f"Both forms fall together from 1 to {a[3]:.2f} in three steps. Then α drops to 0.001: form "
             f"A stays near {a[4]:.2f}, form B rolls through the minimum to {b.min():.2f}.")

# %% [markdown]
# Neither is wrong. But a schedule that was tuned under torch behaves differently under keras at every jump, for about
# 1/(1 − ρ) steps. Warm-ups part them the other way round: when α *rises*, form A scales its old velocity up with it.
#
# **Beware.** torch: form A. optax (`optax.trace`, `optax.sgd`): form A, as the rate is applied after the trace. keras:
# form B. The weight decay of `torch.optim.SGD` is added to g and so enters the velocity as well.

# %% [markdown]
# ## 3.5 Nesterov: look first, then correct
#
# The velocity will carry you to x + ρu whatever the gradient says. So why ask for the gradient *here*? Ask for it
# *there*.
#
# $$\tilde x = x + \rho u, \qquad u' = \rho u - \alpha\, g(\tilde x), \qquad x' = x + u'.$$
#
# <details><summary><b>Predict</b>: the ball is running up the opposite wall. Does looking ahead make the next step
# longer or shorter?</summary>
#
# **Shorter.** Ahead the wall is steeper, so the gradient found there brakes more. Nesterov's ball begins to brake
# before it is on the wall: it swings less.
# </details>
#
# ### The form in the libraries, line by line
#
# The look-ahead form has a drawback: the gradient is wanted at x̃, but the network holds x. So keep x̃ in its place.
# We want a rule for x̃ alone; x̃′ is the look-ahead point of the next step.
#
# | | |
# |---|---|
# | $\tilde x' = x' + \rho u'$ | what x̃ means, one step later |
# | $= x + u' + \rho u'$ | put in x′ = x + u′ |
# | $= \tilde x - \rho u + u' + \rho u'$ | put in x = x̃ − ρu |
# | $= \tilde x - \alpha g(\tilde x) + \rho u'$ | since u′ − ρu = −α g(x̃) |
# | $= \tilde x - \alpha\,\bigl(g(\tilde x) + \rho v'\bigr)$ | u′ = −αv′ with v′ = ρv + g: α constant! |
#
# The last line has no x any more. Written with x for x̃, it is what torch and optax do:

# %%
source(rules.Nesterov.step)

# %%
source(rules.NesterovLookahead, docstring=False)

# %% [markdown]
# Is the derivation right? Sixteen starts in three valleys: run the look-ahead form, compute x̃ = x + ρu at each step,
# and lay the library form on top. They should agree to rounding.
# <br><small>(measured: 1 s)</small>

# %%
starts = torch.randn(16, 2, generator=torch.Generator().manual_seed(2), dtype=float64)
for kappa in (5, 20, 100):
    bowl, look, x = surfaces.ravine(kappa), rules.NesterovLookahead(0.9), starts
    state, ahead = look.init(x), [x]
    for _ in range(200):
        x, state = look.step(x, bowl.grad(look.gradient_point(x, state)), state, 0.5 / kappa)
        ahead.append(look.gradient_point(x, state))
    library = rules.descend(rules.Nesterov(0.9), bowl, starts, lr=0.5 / kappa, steps=200)
    assert (torch.stack(ahead) - library).abs().max() < 1e-13
print("x̃ = x + ρu of the look-ahead form is the x of the library form to 1e-13: holds")

# %% [markdown]
# **Task.** Both on one valley with the same α and ρ. Count the crossings of the floor. Then raise α: which of the two
# leaves the map first? (It is not the one you expect from all this praise.)

# %% tags=["nbval-ignore-output"]
both = {"momentum": rules.Momentum(0.9), "Nesterov": rules.Nesterov(0.9)}
nesterov_race = instruments.Race(valley, both, lr=0.03)
nesterov_race

# %% tags=["nbval-ignore-output"]
nesterov_race.play(steps=60)
nesterov_race.wait()
figures.show(nesterov_race.figure(), alt=nesterov_race.alt)

# %%
starts = torch.randn(16, 2, generator=torch.Generator().manual_seed(3), dtype=float64)
needed, largest = {}, {}
rates = torch.linspace(0.02, 4.5, 225, dtype=float64)[:, None, None] / 20
for name, rule in both.items():
    path = rules.descend(rule, valley, starts, lr=0.03, steps=300).norm(dim=-1)
    needed[name] = analysis.settled_after(path / path[0], 1e-2)
    end = rules.descend(rule, valley, starts, lr=rates, steps=400)[-1].norm(dim=-1)
    largest[name] = 20 * float(rates[(end < 1).all(-1)].max())
assert (needed["Nesterov"] < needed["momentum"]).all()
print("at one α and ρ Nesterov needs fewer steps than momentum, from 16 of 16 starts: holds")
assert largest["momentum"] > 3.6 and largest["Nesterov"] < 1.5
print("the largest α · λmax is above 3.6 for momentum and below 1.5 for Nesterov: holds")

# %% [markdown]
# The braking has a price. For a steep enough wall the look-ahead point is so far up that the correction overshoots,
# and the limit falls to α λmax = 2 (1 + ρ)/(1 + 2ρ), for ρ = 0.9 about 1.36: *below* that of plain gradient descent,
# and a third of momentum's. When you switch `nesterov=True` on, check your rate again.
#
# **Beware.** `torch.optim.SGD(nesterov=True)` refuses ρ = 0 and dampening ≠ 0. In keras (form B inside) the two forms
# of Nesterov differ at every change of α, exactly as in 3.4. And with mini-batch noise the gain is small, for the
# reason you have measured in 3.3.

# %% [markdown]
# ## Five lines to remember
#
# 1. Momentum's step is up to 1/(1 − ρ) times as long: compare settings by their effective rate α/(1 − ρ).
# 2. Its steps grow as √κ where those of gradient descent grow as κ, and it bears nearly twice the rate, 2 (1 + ρ)/λmax.
# 3. Against noise it does nothing that a smaller effective rate would not do.
# 4. α inside or outside the velocity is the same until α changes.
# 5. Nesterov takes the gradient where the velocity is about to carry you; libraries store that point, x̃ = x + ρu.
#
# ## Three questions
#
# **Q1.** You train with SGD at α = 0.1 and switch to ρ = 0.99. A fair first α is… (a) 0.1, (b) 0.01, (c) 0.001.
#
# <details><summary>Answer</summary>
#
# **(c).** 0.001/(1 − 0.99) = 0.1, the effective rate you had. (a) makes the steps up to a hundred times as long. (b)
# is the answer for ρ = 0.9.
# </details>
#
# **Q2.** On your problem ρ = 0.99 swings and swings. What does a smaller α do about it, if all directions swing
# already? (a) damps it, (b) slows the swinging, but it takes as long to die away, (c) nothing at all.
#
# <details><summary>Answer</summary>
#
# **(b).** While the eigenvalues are complex their absolute value is √ρ = 0.995: the swings die away by that factor per
# step, at any α. α sets how *fast* they swing. (a) is what you would get from a smaller ρ. (c) forgets the frequency;
# and with a much smaller α the flat directions stop swinging and creep.
# </details>
#
# **Q3.** A colleague's keras run and your torch run agree until epoch 30, where both divide α by 10, and differ from
# there on. (a) A bug, (b) different random numbers, (c) two forms of momentum.
#
# <details><summary>Answer</summary>
#
# **(c).** They agreed for 30 epochs, so the numbers were the same (b), and the rule was the same while α was constant.
# Then form B rolled on for some 1/(1 − ρ) steps. Before you look for a bug (a), look for α inside the velocity.
# </details>
#
# **Now write it yourself:** [workbook 3](../exercises/03_momentum.ipynb), functions
# that are checked as you go.
#
# ## Sources
#
# - Polyak 1964, *Some methods of speeding up the convergence of iteration methods*: the heavy ball, α* and ρ*.
# - Nesterov 1983, *A method for solving the convex programming problem with convergence rate O(1/k²)*: the look-ahead.
# - Sutskever, Martens, Dahl and Hinton 2013, *On the importance of initialization and momentum in deep learning*:
#   form B, and Nesterov's rule as a look-ahead.
# - Bengio, Boulanger-Lewandowski and Pascanu 2012, *Advances in optimizing recurrent networks*, arXiv:1212.0901: the
#   library form of Nesterov.
# - Goh 2017, *Why momentum really works*, Distill: the matrix, and the map over α and ρ.
# - Shallue, Lee, Antognini, Sohl-Dickstein, Frostig and Dahl 2019, *Measuring the effects of data parallelism on
#   neural network training*, Journal of Machine Learning Research 20: where momentum pays, and where it does not.
