# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 2 · What makes descent hard
#
# Gradient descent has one line of code and four enemies: a valley that is steep one way and flat the other, places
# where the gradient vanishes, the number of dimensions, and the noise of the mini-batch. You will meet each of them on
# a surface you can see, and then look for it in a real network.
#
# **After this lecture you can** say from the curvature how large a learning rate may be and how many steps it will
# need; tell a minimum from a saddle; and predict how much noise a batch of 64 images carries.
#
# About 50 minutes of your time. The cells need some 20 seconds of the machine's, on two CPU cores.

# %%
import torch

import lrlab
from lrlab import Run, analysis, data, figures, instruments, models, rules, source, surfaces

assert lrlab.__version__.startswith("0.1"), f"written for lrlab 0.1, this is {lrlab.__version__}: run make install"
torch.set_num_threads(1)  # networks this small are faster on one: two threads would wait for each other
float64 = torch.float64

# %% [markdown]
# ## 2.1 Why does the path zigzag?
#
# A ball stands at the end of a long, narrow valley. The valley floor slopes gently to the star. The walls are twenty
# times as curved as the floor. Here is what two learning rates make of it.
# <br><small>(measured: 1 s)</small>

# %% tags=["nbval-ignore-output"]
valley = surfaces.ravine(condition=20)
fig, ax = figures.figure("A rate that suits the floor is too much for the walls", size=(7.2, 3.6))
analysis.contours(ax, valley)
for index, (lr, word) in enumerate([(0.02, "creeps"), (0.097, "zigzags")]):
    path = rules.descend(rules.SGD(), valley, [-9.0, 3.0], lr=lr, steps=30)
    ax.plot(*path.T, marker=".", zorder=3, **figures.style(index))
    place = [(-9.7, -3.6), (-3.6, 2.2)][index]
    ax.text(*place, f"α = {lr}: {word}", color=figures.style(index)["color"], zorder=5)
crossings = int((path[1:, 1] * path[:-1, 1] < 0).sum())
figures.show(fig, alt=f"Contours of a narrow valley. With rate 0.02 the path drops to the floor and after 30 steps has "
             f"not come half way to the minimum; with rate 0.097 it crosses the floor {crossings} times in 30 steps.")

# %% [markdown]
# The small rate is right for the walls: a few steps, and the ball is on the floor. Then it creeps. The large rate is
# right for the floor, but at the walls every step lands on the other side.
#
# <details><summary><b>Predict</b>: the floor has curvature 1, the walls have curvature 20. Above which rate does the
# ball leave the map for good? Choose before you open this: 0.05 · 0.1 · 1 · 2</summary>
#
# Above **0.1**. Up the wall the gradient is 20 y, so a step takes y to y − α · 20 y = (1 − 20 α) y. At α = 0.05 that is
# 0: the wall is done in one step. At α = 0.1 it is −y: the ball jumps to the opposite wall at the same height, for
# ever. Above it, each jump ends higher than the last. The floor alone would bear any rate below 2. *The steepest
# direction sets the limit for all of them.*
# </details>
#
# **Task.** Find the largest rate that still reaches the star, to two digits. Then find the rate that reaches it in
# the fewest steps. It is not the same one. (Move the rate with the arrow keys. The steps made so far are made again
# with each new rate, so you see at once what it would have done.)

# %% tags=["nbval-ignore-output"]
race = instruments.Race(valley, [rules.SGD()], lr=0.05)
race

# %% [markdown]
# If nobody is at the controls, this cell turns them: the zigzag of the picture above, with its score
# (from the instrument's own start).

# %% tags=["nbval-ignore-output"]
race.turn("SGD", "lr", 0.097)
race.play(steps=60)
race.wait()
print(race.verdict(tolerance=0.1))

# %% [markdown]
# ### The formula
#
# $$x \leftarrow x - \alpha\, g, \qquad g = \nabla L(x)$$
#
# | symbol | is | unit |
# |---|---|---|
# | $x$ | the parameters | those of $x$ |
# | $g$ | the **gradient** of the loss $L$ at $x$ | loss per $x$ |
# | $\alpha$ | the **learning rate** | $x^2$ per loss |
# | $\lambda$ | a **curvature**: eigenvalue of the **Hessian** $H$ (all second derivatives) | loss per $x^2$ |
#
# Near a minimum $x^\ast$ a smooth loss is nearly a bowl, $g \approx H (x - x^\ast)$. Along an eigenvector of $H$ one
# step multiplies the distance to the minimum by
#
# $$1 - \alpha\lambda .$$
#
# The path converges as long as this is between −1 and 1 for **every** eigenvalue, so $\alpha < 2/\lambda_{\max}$.
# (Look at the units: 2/λ *is* a learning rate.) Close to the limit the factor of the steepest direction is nearly −1:
# that is the zigzag. The flattest direction meanwhile shrinks by $1 - \alpha\lambda_{\min}$, which is nearly 1.
#
# The best compromise makes both equally bad, $\alpha = 2/(\lambda_{\min} + \lambda_{\max})$. With the **condition
# number** $\kappa = \lambda_{\max}/\lambda_{\min}$ (no unit) each step then leaves the share
#
# $$\frac{\kappa - 1}{\kappa + 1}$$
#
# of the distance.
#
# And this is the rule as every network of this course runs it:

# %%
source(rules.SGD.step)

# %% [markdown]
# Is the limit where the formula says? Three valleys, sixteen starts each, one rate 1 % below $2/\lambda_{\max}$ and
# one 1 % above.

# %%
starts = torch.randn(16, 2, generator=torch.Generator().manual_seed(0), dtype=float64)
for condition in (5, 20, 100):
    bowl = surfaces.ravine(condition=condition)
    limit = 2 / torch.linalg.eigvalsh(bowl.hessian(starts[0])).max()
    for share, converges in ((0.99, True), (1.01, False)):
        path = rules.descend(rules.SGD(), bowl, starts, lr=float(share * limit), steps=1500)
        closer = path[-1].norm(dim=-1) < 0.01 * path[0].norm(dim=-1)
        assert bool((closer == converges).all())
print("1 % below 2/λmax every start converges, 1 % above none does: holds for κ = 5, 20 and 100")

# %% [markdown]
# **Beware.** torch, keras and optax all do exactly this, x − α g, and none of them warns you above the limit: on a bowl
# the loss turns into `nan`, later, and somewhere else; a network may instead escape to where its walls are less steep
# (the edge of stability of lecture 1). A second trap: *scaling the loss* scales every λ. Take the sum over a
# batch where you used to take the mean (`reduction="sum"`), and a rate just below the limit is now B times
# too large.

# %% [markdown]
# ## 2.2 How many steps does a narrow valley cost?
#
# <details><summary><b>Predict</b>: a valley with κ = 10 takes about 30 steps at its best rate. How many does κ = 1000
# take? 60 · 300 · 3,000 · 300,000</summary>
#
# About **3,000**. Each step leaves (κ − 1)/(κ + 1) ≈ 1 − 2/κ of the distance. To leave a thousandth you need about
# ½ κ ln 1000 ≈ 3.5 κ steps. The cost is proportional to κ: not to its logarithm, and not to its square.
# </details>
#
# Ten dimensions, curvatures from 1 to κ, sixteen random starts, the best rate for each κ. We count the steps until a
# thousandth of the distance is left, and fit steps = c · κᵖ to every start on its own.
# <br><small>(measured: 1 s)</small>

# %%
conditions = [3, 10, 30, 100, 300, 1000]
starts = torch.randn(16, 10, generator=torch.Generator().manual_seed(1), dtype=float64)
rows = []
for condition in conditions:
    bowl = surfaces.ravine(condition=condition, dimension=10)
    path = rules.descend(rules.SGD(), bowl, starts, lr=2 / (1 + condition), steps=5 * condition + 20)
    distance = path.norm(dim=-1)
    rows.append(analysis.settled_after(distance / distance[0], 1e-3))
steps = torch.stack(rows)
exponents, factors = analysis.power_law(conditions, steps)
assert (exponents - 1).abs().max() < 0.05
print("steps grow as κ to a power between 0.95 and 1.05, from each of 16 starts: holds")

# %% tags=["nbval-ignore-output"]
fig, ax = figures.figure("Gradient descent pays for the condition number in full", size=(7.2, 3.6))
ax.plot(conditions, steps, "o", markersize=3, color="#888888", linestyle="none")
law = f"steps = {factors.median():.1f} κ^{exponents.median():.2f}"
fit = factors.median() * torch.tensor(conditions) ** exponents.median()
ax.plot(conditions, fit, label=law, **figures.style(0))
ax.set(xscale="log", yscale="log", xlabel="condition number κ (no unit)", ylabel="steps to a thousandth")
ax.margins(x=0.03)
figures.direct_labels(ax)
figures.show(fig, alt=f"Steps against condition number, both logarithmic: a straight line. Median exponent "
             f"{exponents.median():.3f}, over 16 starts {exponents.min():.3f} to {exponents.max():.3f}.")

# %% [markdown]
# **Beware.** "κ" of a real network is not a number you can look up. Section 2.4 measures the Hessian of a
# trained one, and finds eigenvalues of exactly 0: κ is infinite, and training works all the same, because a direction
# without curvature *and* without gradient has nothing to be learned in. What counts is the spread of the curvatures
# along which there is still something to gain. Scaling the inputs (as the digits here are) is the cheapest way to
# narrow it. Momentum (lecture 3) leaves it as it is and pays less for it; adaptive rules (lecture 4) rescale each
# parameter on its own.

# %% [markdown]
# ## 2.3 Where the gradient is zero, or nearly
#
# There are three kinds of places where a step of gradient descent is short: a **minimum** (it may be only a **local**
# one), a **saddle point**, which goes up one way and down another, and a **plateau**, where the surface is flat. Which
# of them should you fear?
# <br><small>(measured: 1 s)</small>

# %% tags=["nbval-ignore-output"]
fig, panels = figures.figure("Three ways to get nowhere", columns=3, size=(7.2, 3.2))
places = [(surfaces.double_well, (1.9, 1.1)), (surfaces.saddle, (-1.8, 1e-4)), (surfaces.plateau, (-3.4, 1.2))]
ends = []
for ax, (surface, start) in zip(panels, places, strict=True):
    analysis.contours(ax, surface)
    path = rules.descend(rules.SGD(), surface, start, lr=0.05, steps=150)
    ax.plot(*path.T, marker=".", zorder=3, **figures.style(1))
    ax.plot(*start, "o", color="white", markeredgecolor="black", zorder=3)
    ax.set(title=surface.name, ylabel="y" if ax is panels[0] else "")
    ends.append(f"on the {surface.name} it ends at ({path[-1, 0]:.1f}, {path[-1, 1]:.1f})")
figures.show(fig, alt=f"Gradient descent, rate 0.05, 150 steps; stars are minima: {'; '.join(ends)}.")

# %% [markdown]
# All three paths had 150 steps at the same rate. None of them got to the deepest minimum: the first sits in the wrong
# well, the second has only just left the saddle, the third has hardly moved.
#
# <details><summary><b>Predict</b>: the ball starts at a distance y₀ from the ridge line that leads straight to the
# saddle. You move it a <i>thousand times</i> closer to that line. How many more steps does it take to get away:
# a thousand times as many, or some fixed number more?</summary>
#
# **A fixed number.** At the saddle the curvature across is −1, so a step multiplies y by 1 + α. Growth is exponential,
# and so the delay is only the logarithm of y₀: log(1000)/log(1.05) ≈ 142 steps at α = 0.05, whether you go from 10⁻¹
# to 10⁻⁴ or from 10⁻⁹ to 10⁻¹².
# </details>
#
# **Task.** The ball starts on y = 0 exactly. Play: it walks to the saddle and stays. Then nudge the start, by as
# little as you can, and count the steps. Then put it back on y = 0 and turn on a little noise.

# %% tags=["nbval-ignore-output"]
saddle_race = instruments.Race(surfaces.saddle, [rules.SGD()], lr=0.1, start=(-1.8, 0.0))
saddle_race

# %% tags=["nbval-ignore-output"]
saddle_race.play(steps=150)
saddle_race.wait()
figures.show(saddle_race.figure(), alt=saddle_race.alt)

# %% [markdown]
# Now both delays, measured: from how near to the ridge the ball starts at the saddle, and from how far out on the
# plain it starts on the plateau. The rate is 0.1, the same for both.

# %%
offsets = 10.0 ** -torch.arange(1, 11, dtype=float64)
starts = torch.stack([torch.full_like(offsets, -1.8), offsets], -1)
path = rules.descend(rules.SGD(), surfaces.saddle, starts, lr=0.1, steps=400)
saddle_delay = analysis.settled_after((path[..., 1] - 1).abs(), 0.5)

radii = torch.linspace(0.5, 3.75, 14, dtype=float64)
starts = torch.stack([radii, torch.zeros_like(radii)], -1)
path = rules.descend(rules.SGD(), surfaces.plateau, starts, lr=0.1, steps=2500)
plateau_delay = analysis.settled_after(path.norm(dim=-1), 0.1)

# %%
per_decade = saddle_delay.diff()
predicted = torch.log(torch.tensor(10.0)) / torch.log(torch.tensor(1.1))
assert (per_decade - predicted).abs().max() < 2
print("ten times nearer to the ridge costs ln 10 / ln(1 + α) steps more, give or take 2: holds")
assert radii[8] == 2.5 and plateau_delay[-1] > 8 * plateau_delay[8]
print("on the plateau, 1.5 times as far out costs more than 8 times the steps: holds")

# %% tags=["nbval-ignore-output"]
fig, (left, right) = figures.figure("A saddle delays you by a logarithm, a plateau by an exponential", columns=2,
                                    size=(7.2, 3.2), sharex=False)
left.plot(offsets, saddle_delay, marker="o")
left.set(xscale="log", xlabel="start's distance from the ridge, y₀", ylabel="steps to get away", title="saddle")
left.invert_xaxis()
right.plot(radii, plateau_delay, marker="o", **figures.style(1))
right.set(xlabel="start's distance from the well", ylabel="steps to get there", title="plateau", ylim=(0, None))
right.margins(x=0.03)
figures.show(fig, alt=f"Saddle: from {saddle_delay[0]:.0f} steps at a distance of 0.1, straight on a logarithmic "
             f"axis, to {saddle_delay[-1]:.0f} at 1e-10. Plateau: {plateau_delay[0]:.0f} steps from 0.5, "
             f"{plateau_delay[-1]:.0f} from 3.75, ever steeper.")

# %% [markdown]
# A saddle is a nuisance with a small price: nine decimal digits nearer, some 217 steps more. Only on the ridge
# *exactly* are you caught, and the first mini-batch pushes you off. A plateau is the real trap. The gradient itself
# is exponentially small there, and no learning rate that is safe in the well makes up for it.
#
# **Beware.** A loss curve that goes flat looks the same in all three cases. There is a fourth case, and it is the first
# one to suspect: zigzagging in a ravine makes a flat loss curve too. What tells it apart is the *length of the
# gradient* (over all the data: that of a mini-batch is never short, see 2.5). It is small on a plateau, at a saddle
# and at a minimum, and *not* small in a zigzag.

# %% [markdown]
# ## 2.4 In high dimension, nearly everything flat is a saddle
#
# At a point where the gradient is zero, every direction bends up or down. In a minimum all of them bend up.
#
# <details><summary><b>Predict</b>: draw the second derivatives at random. In one dimension half of all flat points are
# minima. How many in five dimensions? 1 in 10 · 1 in 32 · 1 in 7,000</summary>
#
# About **1 in 7,000**. If the five eigenvalues had independent signs it would be 1 in 2⁵ = 32. They are not
# independent: the eigenvalues of a random matrix push each other apart, so it is hard to crowd all of them onto the
# positive side. The chance falls like exp(−¼ ln 3 · n²), the *square* of the dimension.
# </details>
#
# Draw a hundred thousand random symmetric matrices in each dimension and look at the signs.
# <br><small>(measured: 3 s)</small>

# %%
generator = torch.Generator().manual_seed(0)
dimensions = [1, 2, 3, 4, 5]
minima = []
for n in dimensions:
    a = torch.randn(100_000, n, n, generator=generator, dtype=float64)
    curvatures = torch.linalg.eigvalsh((a + a.mT) / 2)
    minima.append((curvatures > 0).all(-1).double().mean())
minima = torch.stack(minima)
exact = torch.tensor([1 / 2, (2 - 2**0.5) / 4, (torch.pi - 2 * 2**0.5) / (4 * torch.pi)])
assert ((minima[:3] - exact) / exact).abs().max() < 0.1 and minima[4] < 1 / 2000
print("minima are 1 in 2, 1 in 6.8, 1 in 40 of the flat points for n = 1, 2, 3 (within 10 %),")
print("and fewer than 1 in 2,000 for n = 5: holds")

# %% tags=["nbval-ignore-output"]
fig, ax = figures.figure("Five dimensions are enough to make a random flat point a saddle", size=(7.2, 3.4))
ax.plot(dimensions, minima, "o-", label="random Hessians")
ax.plot(dimensions, [0.5**n for n in dimensions], "--", label="independent signs, 2⁻ⁿ")
ax.set(yscale="log", xlabel="dimension n", ylabel="share that are minima", xticks=dimensions)
ax.margins(x=0.03)
figures.direct_labels(ax)
shares = ", ".join(f"{float(share):.2g}" for share in minima)
figures.show(fig, alt=f"The share of minima among random flat points falls faster than 2 to the minus n: {shares} "
             "in one to five dimensions.")

# %% [markdown]
# A network has thousands of dimensions. So are its flat points all saddles? Its Hessian is not random, and so we do
# not argue: we compute it. A small network on the digits, 1,210 weights, all 1,210² second derivatives, before
# training and twice on the way. (None of the three points is exactly flat; these are the curvatures that a path
# meets. One network, one seed.)

# %%
digits = data.load("digits")
run = Run(lambda: models.mlp(64, (16,), 10), digits, lr=0.5, batch_size=64, seed=0, dtype="float64", validate_every=0)
x, y = digits.train.x[:300].double(), digits.train.y[:300]
spectra = {}
for stage in (0, 100, 1500):
    run.train(steps=stage - run.step, progress=False)
    spectra[stage] = torch.linalg.eigvalsh(analysis.hessian(run.model, x, y))

# %%
first, last = spectra[0], spectra[1500]
downwards = {stage: int((s < -1e-3 * s.max()).sum()) for stage, s in spectra.items()}
assert downwards[0] > 30 and -first.min() > 0.1 * first.max() and -last.min() < 0.01 * last.max()
print("before training more than 30 directions bend downwards, the worst by over a tenth of λmax: holds")
assert last.min() / first.min() < 0.1 * last.max() / first.max()
print("training takes more than ten times as much from the curvature down as from the curvature up: holds")
assert all((s > 0.01 * s.max()).sum() < 0.25 * len(s) and (s.abs() < 1e-9).sum() > 20 for s in spectra.values())
print("fewer than a quarter of the directions exceed 1 % of λmax; more than 20 have no curvature at all: holds")

# %% tags=["nbval-ignore-output"]
fig, ax = figures.figure("What bends down fades; a few steep directions and a flat majority remain", size=(7.2, 3.8))
for stage, spectrum in spectra.items():
    ax.plot(range(1, len(spectrum) + 1), spectrum.flip(0), label=f"step {stage:,}")
ax.set(xlabel="direction, from the most curved upwards to the most curved downwards", ylabel="curvature λ (symlog)")
ax.set_yscale("symlog", linthresh=1e-3)
ax.axhline(0, color="black", linewidth=0.6, linestyle="-")
figures.direct_labels(ax, ax.get_lines()[:3])
words = [f"step {stage}: {s.max():.2g} down to {s.min():.2g}" for stage, s in spectra.items()]
figures.show(fig, alt=f"The 1,210 curvatures of a network, sorted, at three moments. {'; '.join(words)}.")

# %% [markdown]
# Read the picture from the left. A few dozen directions are steep, and the steepest sets the largest learning rate.
# Most are flat, thousands of times flatter. Some have a curvature of exactly 0: pixels that are black in every image,
# units that never switch on. On the right are the directions that bend *down*. You might expect training to make them
# fewer; it hardly does. It makes them *weak*: in the end the worst of them is a hundred times flatter than the
# steepest direction up.
#
# So the truth is in between. Random Hessians say why high-dimensional saddles are the rule *high up*. Low down,
# networks are not random: what does not bend up is all but flat. That is one reason why "stuck in a local minimum" is
# rarely what is wrong with your training.

# %% [markdown]
# ## 2.5 The mini-batch: an honest guess, with noise
#
# The loss of a data set is a mean over its N examples, and so is the gradient:
#
# $$L(W) = \frac1N \sum_{i=1}^{N} L_i(W), \qquad g = \frac1N \sum_{i=1}^{N} \nabla L_i(W).$$
#
# A **mini-batch** takes B of them at random. Its gradient ĝ is **unbiased**: its mean over all batches is g. What it
# costs is noise.
#
# <details><summary><b>Predict</b>: you go from 16 images a batch to 64, four times the work. By what factor does the
# typical length of the error ‖ĝ − g‖ fall? 4 · 2 · it depends on the network</summary>
#
# By **2**. The *variance* falls as 1/B, so the error itself falls as 1/√B: for half the error you pay four times the
# work. This holds for every network and every data set; it is a fact about means. (And with no image drawn twice it is
# a little better than that: at B = N nothing is left to chance.)
# </details>
#
# **Task.** Two balls in one noisy valley, one with ten times the rate of the other. Play 50 steps: which is nearer to
# the star? Play 400 more: which is nearer now? Then look at the two clouds: by what factor do they differ in width?

# %% tags=["nbval-ignore-output"]
quick_and_slow = {"α = 0.2": rules.SGD(), "α = 0.02": rules.SGD()}
noisy_race = instruments.Race(surfaces.ravine(condition=3), quick_and_slow, lr=[0.2, 0.02], sigma=2.0)
noisy_race

# %% tags=["nbval-ignore-output"]
noisy_race.play(steps=450)
noisy_race.wait()
figures.show(noisy_race.figure(), alt=noisy_race.alt)

# %% [markdown]
# The large rate is there first and then cannot come to rest: every step throws it off by α times the noise. The
# cloud's width goes with √α, so a tenth of the rate has a cloud about a third as wide. (Lecture 3 measures this
# floor.)
#
# ### The formula
#
# With σ² = 1/N Σ ‖∇Lᵢ − g‖², the scatter of the single examples (unit: gradient squared),
#
# $$\mathbb{E}\,\hat g = g, \qquad
# \mathbb{E}\,\|\hat g - g\|^2 = \frac{\sigma^2}{B}\cdot\frac{N-B}{N-1} \quad\text{(no example twice)}, \qquad
# \frac{\sigma^2}{B} \quad\text{(with replacement)}.$$
#
# The factor (N − B)/(N − 1) is the **finite-population correction**. Both, measured on the digits network: the
# gradients of all 1,197 examples, and for each batch size 400 random batches; for three networks, from three seeds.
# <br><small>(measured: 8 s)</small>

# %%
source(analysis.batch_errors, docstring=False)

# %%
sizes = [1, 3, 9, 27, 81, 243, 600, 1000]
ratio = {True: [], False: []}
for seed in range(3):
    model = Run("mlp", digits, seed=seed).model
    scatter = analysis.scatter_matrix(analysis.example_gradients(model, *digits.train))
    N, variance = len(scatter), scatter.trace() / len(scatter)
    for replacement, rows in ratio.items():
        errors = [analysis.batch_errors(scatter, B, replacement=replacement, seed=seed).mean() for B in sizes]
        rows.append(torch.stack(errors) / variance)
with_it, without = (torch.stack(ratio[kind]) for kind in (True, False))

# %%
law = 1 / torch.tensor(sizes, dtype=float64)
correction = (N - torch.tensor(sizes)) / (N - 1)
exponents, _ = analysis.power_law(sizes, with_it.T)
assert (exponents + 1).abs().max() < 0.05
print("with replacement the variance falls as B to the power −1 ± 0.05, for each of 3 networks: holds")
assert (without / (law * correction) - 1).abs().max() < 0.25
print("without it the law with its correction (N − B)/(N − 1) holds within 25 % at every batch size: holds")
assert (without[:, -1] < 0.3 * with_it[:, -1]).all()
print("at B = 1000 of 1197, no image twice: less than 0.3 of the variance with replacement: holds")

# %% tags=["nbval-ignore-output"]
fig, ax = figures.figure("Noise falls as 1/B; draw no image twice, and at B = N it is gone", size=(7.2, 3.6))
B = torch.logspace(0, 3.077, 200, dtype=float64)
ax.plot(B, 1 / B, label="σ²/B", **figures.style(1))
ax.plot(B, (N - B) / (N - 1) / B, label="with (N−B)/(N−1)", **figures.style(0))
for values, index, marker in ((with_it, 1, "s"), (without, 0, "o")):
    ax.plot(sizes, values.T, marker, color=figures.style(index)["color"], markersize=4, linestyle="none")
ax.set(xscale="log", yscale="log", xlabel="batch size B (images)", ylabel="variance / σ²", ylim=(1e-4, 2))
figures.direct_labels(ax, ax.get_lines()[:2])
figures.show(fig, alt=f"Squared error of the batch gradient against batch size, three networks, on the lines of both "
             f"laws. At B = 1000: {with_it[:, -1].mean():.1e} with replacement, {without[:, -1].mean():.1e} without.")

# %% [markdown]
# ### Noise against signal
#
# Whether that noise matters depends on how long g itself is. Their ratio σ²/‖g‖² is a *batch size*: at that B the
# noise in ĝ is as long as the signal. It is called the **gradient noise scale**, and it is not a constant. Watch it
# during training.

# %%
stages = [0, 50, 100, 200, 400, 800]
noise_scale = torch.zeros(4, len(stages))
for seed in range(4):
    run = Run("mlp", digits, lr=0.1, batch_size=64, seed=seed, validate_every=0)
    for column, stage in enumerate(stages):
        run.train(steps=stage - run.step, progress=False)
        g = analysis.example_gradients(run.model, *digits.train)
        noise_scale[seed, column] = ((g - g.mean(0)) ** 2).sum(1).mean() / (g.mean(0) ** 2).sum()
assert (noise_scale[:, 0] < 100).all() and (noise_scale[:, 3:] > 2 * noise_scale[:, :1]).all()
print("the noise scale starts below 100 images and has more than doubled from step 200 on, in 4 of 4 seeds: holds")

# %% tags=["nbval-ignore-output"]
fig, ax = figures.figure("The same batch says much at the start of training and little at its end", size=(7.2, 3.2))
ax.plot(stages, noise_scale.T, color="#888888", linestyle="-", linewidth=0.7, marker=".")
middle = noise_scale.quantile(0.5, dim=0)
ax.plot(stages, middle, label="noise scale (median)", **figures.style(0))
ax.axhline(64, label="the batch used: 64", **figures.style(1))
ax.axhline(N, label=f"all there are: {N:,}", **figures.style(2))
ax.set(yscale="log", xlabel="step", ylabel="images")
figures.direct_labels(ax, ax.get_lines()[-3:])
figures.show(fig, alt=f"The gradient noise scale of four networks in training: its median rises from {middle[0]:.0f} "
             f"images at the start to {middle[-1]:.0f} after 800 steps. A batch has 64; there are {N}.")

# %% [markdown]
# (The curves are rough because ‖g‖² itself goes up and down from step to step.) At the start a batch of 64 has more
# signal than noise. Later it is mostly noise, and only the sum over many steps makes progress. This is why
# learning rates are turned *down* during training (a small rate is an average over many batches), and why, late, a
# larger batch does the same job. (Noise is one thing. A batch whose gradient is a hundred times too long is another:
# [lecture 5](05_modern_and_practice.ipynb) ends with a leash for it.)
#
# **Beware: the last batch.** 1,197 images in batches of 63 are 19 full batches, and the mean of their gradients, at
# fixed weights, is the gradient of the whole set. In batches of 64 the last one has 45 images. Each of those counts
# 64/45 times as much.

# %%
g = analysis.example_gradients(Run("mlp", digits, seed=0).model, *digits.train).double()
for B, fair in ((63, True), (64, False)):
    mean_of_batches = torch.stack([batch.mean(0) for batch in g.split(B)]).mean(0)
    off = (mean_of_batches - g.mean(0)).norm() / g.mean(0).norm()
    assert (off < 1e-6) == fair
print("batches of 63: the mean of their gradients is g; batches of 64, the last one short: it is not: holds")

# %% [markdown]
# torch's `DataLoader` keeps the short batch unless you say `drop_last=True`; keras keeps it too. With shuffling, other
# images are in it each time, and the harm is small. Without shuffling the same images are favoured in every epoch.
# And where a layer looks at the whole batch (batch normalisation), L is no longer a sum of Lᵢ, and "unbiased" is gone.

# %% [markdown]
# ## Five lines to remember
#
# 1. One step multiplies the distance along an eigenvector of the Hessian by 1 − αλ: above 2/λmax it diverges.
# 2. Gradient descent needs steps in proportion to κ = λmax/λmin.
# 3. A saddle delays you by a logarithm, a plateau by an exponential; a zigzag looks like either on the loss curve.
# 4. Random flat points are saddles; a trained network has a few steep walls and a wide, nearly flat floor.
# 5. A mini-batch gradient is unbiased with variance σ²/B · (N − B)/(N − 1); in training the signal fades first.
#
# ## Three questions
#
# **Q1.** You multiply all inputs by 10. The largest learning rate of a linear model with squared loss becomes…
# (a) ten times smaller, (b) a hundred times smaller, (c) the same.
#
# <details><summary>Answer</summary>
#
# **(b).** The Hessian of ½(w·x − y)² is x xᵀ: it grows with the *square* of the inputs, and the limit is 2/λmax.
# (a) confuses the gradient with the curvature: the gradient for a given error does grow by ten, but so does the error
# that a step in w makes. (c) would need the loss not to depend on the inputs' scale.
# </details>
#
# **Q2.** Your loss has been flat for 200 steps, and the gradient is as long as it was at step 20. You are…
# (a) on a plateau, (b) at a saddle, (c) bouncing between the walls of a ravine, or in the noise.
#
# <details><summary>Answer</summary>
#
# **(c).** On a plateau (a) and at a saddle (b) the gradient is short; that is what makes them what they are. A long
# gradient that brings no progress is being undone by the next step. Halve the rate and watch whether the loss drops.
# </details>
#
# **Q3.** You draw batches of 600 from 1,200 images, no image twice. The variance of the gradient, against that of
# batches of 300, is…
# (a) a half, (b) a third, (c) a quarter.
#
# <details><summary>Answer</summary>
#
# **(b).** σ²/600 · 600/1199 against σ²/300 · 900/1199: a third. (a) forgets the finite-population correction, which is
# what you want in most cases, because N is usually much larger than B. (c) would be the law for the *square* of the
# variance.
# </details>
#
# **Now write it yourself:** [workbook 2](../exercises/02_sgd_troubles.ipynb), functions
# that are checked as you go.
#
# ## Sources
#
# - Robbins and Monro 1951, *A stochastic approximation method*: descent on noisy gradients, and why the rate must
#   fall.
# - Nesterov 2004, *Introductory lectures on convex optimization*: the factor (κ − 1)/(κ + 1).
# - Dauphin, Pascanu, Gulcehre, Cho, Ganguli and Bengio 2014, *Identifying and attacking the saddle point problem in
#   high-dimensional non-convex optimization*, arXiv:1406.2572: why saddles and not local minima.
# - Dean and Majumdar 2006, *Large deviations of extreme eigenvalues of random matrices*, Physical Review Letters 97:
#   the exponent ¼ ln 3.
# - Sagun, Bottou and LeCun 2016, *Eigenvalues of the Hessian in deep learning*, arXiv:1611.07476: the spectrum, a few
#   large values and a bulk at 0.
# - McCandlish, Kaplan, Amodei and the OpenAI Dota team 2018, *An empirical model of large-batch training*,
#   arXiv:1812.06162: the gradient noise scale.
