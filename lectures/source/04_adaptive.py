# %% [markdown]
# # 4 · A rate for every weight
#
# So far one learning rate served all weights, and the steepest direction set it for the others. Here every weight gets
# a rate of its own, read off its own gradients. You build the idea up in four small steps, AdaGrad, RMSProp, Adam
# without its correction, Adam, and each step is there because the one before it broke.
#
# **After this lecture you can** say what each of Adam's five symbols repairs; predict when an adaptive rule helps and
# when it cannot; recognise the three places where ε may stand; and say why Adam with L2 is not AdamW.
#
# Six sections, about 55 minutes of your time. The cells need some 20 seconds of the machine's, on two CPU cores.

# %%
import math

import torch
from torch.nn import functional as F

import lrlab
from lrlab import Run, analysis, evidence, figures, instruments, rules, schedules, source, surfaces

assert lrlab.__version__.startswith("0.1"), f"written for lrlab 0.1, this is {lrlab.__version__}: run make install"
torch.set_num_threads(1)  # networks this small are faster on one: two threads would wait for each other
torch.set_default_dtype(torch.float64)  # of the surfaces; the networks below stay in float32
torch.set_num_threads(1)  # so small a network gains nothing from two, and on a busy machine loses much

# %% [markdown]
# ## 4.1 Can one slider serve a wall and a floor?
# <small>About 12 minutes; the cells run in 4 s.</small>
#
# In lecture 2 the walls of the valley allowed a rate of 0.1, and the floor would have borne 2. The ball crept along the
# floor because of the walls. What if each direction divided its step by the size of the gradients it has seen?
#
# <details><summary><b>Predict (Q1).</b> The gradient is always 10 in the steep direction and always 0.1 in the flat
# one. Each direction divides its gradient by √(sum of its squared gradients so far). Which direction takes the longer
# first step: the steep one, 100 times; the steep one, 10 times; neither?</summary>
#
# **Neither.** 10 / √(10²) = 1 and 0.1 / √(0.1²) = 1: both take a step of exactly α. Steep directions are damped, flat
# ones are sped up, until both walk alike. "100 times" is plain gradient descent. "10 times" is what you get if you
# forget one of the two powers: dividing by √|g| would leave √100 = 10.
# </details>
#
# **Your turn.** Four rules meet these two gradients. (1) Read off the first step of each of the four panels: which are
# α long, and which are not? (2) Raise the number of steps to 1,000: whose steps fade? (3) Find the β₂ at which the
# third panel starts correctly. (<kbd>Tab</kbd> to a slider, then the arrow keys.)

# %%
view = instruments.AdaptiveView(lr=0.1, steps=100)
view

# %% tags=["nbval-ignore-output"]
figures.show(view.figure(), alt=view.alt)

# %% [markdown]
# Keep the two middle panels in mind: sections 4.2 and 4.3 explain them. The first panel is **AdaGrad**:
#
# $$s \leftarrow s + g^2, \qquad x \leftarrow x - \alpha\,\frac{g}{\sqrt{s} + \varepsilon}$$
#
# | symbol | is | unit |
# |---|---|---|
# | $g$ | the gradient of one weight | loss per $x$ |
# | $s$ | the sum of its squares so far; every weight has its own | (loss per $x$)² |
# | $\alpha$ | the learning rate: the length of the first step | **that of $x$**, no longer $x^2$ per loss |
# | $\varepsilon$ | a small number against 0 / 0, here $10^{-7}$ | that of $g$ |
#
# Everything works weight by weight. The tested line:

# %%
source(rules.AdaGrad.step)

# %% [markdown]
# **Measure.** On a valley ½(x² + κy²) the gradient of y has a factor κ in it, and so has √s. It cancels. So AdaGrad
# should not notice how narrow the valley is:

# %%
paths = [rules.descend(rules.AdaGrad(), surfaces.ravine(condition=k), [-9.0, 3.0], lr=2.0) for k in (1, 100, 10_000)]
apart = max((path - paths[0]).abs().max() for path in paths)
evidence.verdict("AdaGrad walks the same path for κ = 1, 100 and 10,000, to six digits", apart < 1e-6, f"{apart:.1g}")

# %% [markdown]
# That sounds like the end of all trouble with condition numbers. It is not, and here is the small print.
#
# <details><summary><b>Predict.</b> Turn the valley by 45°, and the start with it, so that it runs diagonally through
# the coordinates. What happens to AdaGrad? And to momentum?</summary>
#
# Momentum does not notice: its steps are sums of gradients, and those turn with the valley. AdaGrad does. In the
# diagonal valley both coordinates see steep *and* flat: both have the same large s, so the division is by one number,
# and that is plain gradient descent again.
# </details>
#
# Sixteen starts, valleys turned by 0° to 45°, each rule at its own best of nine rates:

# %%
valley = surfaces.ravine(condition=100)
degrees = torch.linspace(0, 45, 10)
cos, sin = degrees.deg2rad().cos()[:, None], degrees.deg2rad().sin()[:, None]  # [angles, 1]
draw = torch.Generator().manual_seed(0)
starts = (torch.rand(16, 2, generator=draw) + 1) * torch.randn(16, 2, generator=draw).sign() * torch.tensor([5.0, 2.0])


def turned(x):  # the height at x [..., angles, rates, 2]
    return valley(torch.stack([cos * x[..., 0] - sin * x[..., 1], sin * x[..., 0] + cos * x[..., 1]], -1))


# %%
def steps_needed(rule, rates):  # to 0.1 % of the height at the start: [starts, angles]
    x, y = starts[:, None, None].unbind(-1)  # turned along with the valley
    start = torch.stack([cos * x + sin * y, cos * y - sin * x], -1)
    path = rules.descend(rule, turned, start, lr=rates[:, None], steps=400)
    needed = analysis.settled_after(turned(path) / turned(path[0]), 0.001)  # [starts, angles, rates]
    best = needed.median(0).values.argmin(-1)
    return needed[:, torch.arange(len(best)), best]


needed = {"AdaGrad": steps_needed(rules.AdaGrad(), torch.logspace(-0.5, 1.5, 9)),
          "momentum": steps_needed(rules.Momentum(), torch.logspace(-3, -1, 9))}

# %% tags=["nbval-ignore-output"]
fig, ax = figures.figure("Turn the valley, and AdaGrad's gift is gone; momentum does not notice")
for i, (name, steps) in enumerate(needed.items()):
    low, middle, high = steps.quantile(torch.tensor([0.25, 0.5, 0.75]), 0)
    ax.fill_between(degrees, low, high, color=figures.PALETTE[i], alpha=0.2)
    ax.plot(degrees, middle, label=name)
ax.set(xlabel="turn of the valley / degrees", ylabel="steps to 0.1 % of the height\n(16 starts: median, quartiles)")
ax.set(yscale="log", yticks=(3, 10, 30, 100), yticklabels=("3", "10", "30", "100"))
figures.direct_labels(ax)
ends = [f"{name} from {s[:, 0].median():.0f} to {s[:, -1].median():.0f}" for name, s in needed.items()]
figures.show(fig, alt=f"Steps needed as the valley turns from 0 to 45 degrees: {', '.join(ends)}.")

# %%
ada, mom = needed["AdaGrad"], needed["momentum"]
sooner, later = int((ada < mom)[:, 0].sum()), int((ada > mom)[:, -1].sum())
evidence.verdict("along the axes AdaGrad needs fewer steps than momentum in all 16 starts", sooner == 16)
evidence.verdict("turned by 45° it needs more steps than momentum in at least 14 of 16", later >= 14)
alike = (mom[:, -1] - mom[:, 0]).abs().max() <= 1
evidence.verdict("momentum needs the same steps at 0° and at 45°, give or take one", bool(alike))

# %% [markdown]
# So an **adaptive** rule rescales the axes, and only the axes. It is worth most where the coordinates themselves mean
# something: a word that occurs once in ten thousand sentences, an input measured in millimetres beside one in
# kilometres, the last layer against the first.
#
# **Beware.** torch's AdaGrad has ε = 1e-10, keras and optax start the sum at 0.1 and put ε inside the root. With
# gradients around 0.01, a start at 0.1 means that you walk with plain SGD for the first thousand steps.
#
# ## 4.2 What happens to the step as time goes on?
# <small>About 8 minutes; the cells run in 2 s.</small>
#
# <details><summary><b>Predict (Q2).</b> You train with mini-batches, so the gradients never become zero. What does
# AdaGrad's effective rate α / √s do: settle at a value, fall like 1/t, fall like 1/√t, fall like e⁻ᵗ?</summary>
#
# It falls like **1/√t**: after t steps s is about t times the mean of g², and the root of that grows as √t. It tends to
# 0 and never stops falling. "Settles" is right in one case that hardly occurs with mini-batches: when the gradients
# themselves die out fast enough for the sum to converge.
# </details>
#
# **Say.** The repair is one word: *forget*. **RMSProp** keeps a running mean in place of the sum, with a memory of
# about 1 / (1 − β) steps:
#
# $$s \leftarrow \beta s + (1 - \beta)\,g^2, \qquad x \leftarrow x - \alpha\,\frac{g}{\sqrt{s} + \varepsilon}$$

# %%
source(rules.RMSProp.step)


# %% [markdown]
# **Measure.** The rate that a rule *really* applies is its step divided by the gradient. We feed both rules two streams
# of gradients, 16 times each: noise that never ends, and noise that dies out by 2 % a step.

# %%
def effective_rates(rule, gradients, lr=1.0):  # [steps, runs, 1] -> |Δx / g| [steps, runs, 1]
    x, rates = torch.zeros_like(gradients[0]), []
    state = rule.init(x)
    for g in gradients:
        new, state = rule.step(x, g, state, lr)
        rates.append(((new - x) / g).abs())
        x = new
    return torch.stack(rates)


noise = torch.randn(1000, 16, 1, generator=torch.Generator().manual_seed(1))
streams = {"noise": noise, "dying noise": noise * 0.98 ** torch.arange(1000.0)[:, None, None]}
applied = {(rule, stream): effective_rates(getattr(rules, rule)(), g)[..., 0]
           for rule in ("AdaGrad", "RMSProp") for stream, g in streams.items()}

# %% tags=["nbval-ignore-output"]
fig, ax = figures.figure("AdaGrad's rate only falls; RMSProp's follows the gradients, down or up")
for (rule, stream), rates in applied.items():
    ax.plot(range(1, 1001), rates.median(1).values, label=f"{rule}, {stream}")
ax.set(xscale="log", yscale="log", xlabel="step t", ylabel="effective rate |Δx| / |g|  (α = 1)", ylim=(0.02, 1000))
ax.set_xlim(1, 1000)
figures.direct_labels(ax)
ends = [f"{rule} with {stream} ends at {r[-1].median():.2g}" for (rule, stream), r in applied.items()]
figures.show(fig, alt=f"Effective rate over 1,000 steps, median of 16: {'; '.join(ends)}.")

# %%
t = torch.arange(1.0, 1001)
exponent, _ = analysis.power_law(t[30:], applied["AdaGrad", "noise"][30:])
close = bool(((exponent + 0.5).abs() < 0.15).all())
evidence.verdict("under lasting noise AdaGrad's rate falls as t to the power −0.5 ± 0.15, 16 of 16", close)
lasting = applied["RMSProp", "noise"]
steady = bool((lasting[-300:].median(0).values > 0.5 * lasting[30:300].median(0).values).all())
evidence.verdict("RMSProp's late rate is over half its early rate, 16 of 16", steady)

# %% [markdown]
# Look at the upper curve once more. As the gradients die, RMSProp's rate *grows*: it divides by ever smaller numbers,
# so its steps stay about α long however flat the place is. On a plateau that is a gift. At a minimum it is a plague.
#
# <details><summary><b>Predict.</b> RMSProp with a constant α = 0.1 goes down a valley without any noise. How near does
# it come to the minimum: as near as you like; about 0.1; about 0.001?</summary>
#
# About **α**, the length of its steps. They do not shrink with the gradient, so in the end each coordinate jumps from
# +α/2 to −α/2 and back: in two dimensions a distance of √2 · 0.05 = 0.07, for ever. "As near as you like" is true of
# plain gradient descent with a constant rate. The cure is a schedule: let α itself go to 0.
# </details>

# %%
cosine = schedules.Cosine(0.1, total=600)
racers = {"AdaGrad, α = 0.1": (rules.AdaGrad(), 0.1), "RMSProp, α = 0.1": (rules.RMSProp(), 0.1),
          "RMSProp, α by cosine": (rules.RMSProp(), cosine)}
distance = {name: rules.descend(rule, valley, starts, lr=lr, steps=600).norm(dim=-1)
            for name, (rule, lr) in racers.items()}  # [steps + 1, starts]

# %% tags=["nbval-ignore-output"]
fig, ax = figures.figure("RMSProp arrives early, then rattles on at its step length; a schedule brings it home")
for name, d in distance.items():
    ax.plot(d.median(1).values, label=name)
ax.axhline(0.1, color="#777777", linestyle=":", linewidth=1)
ax.text(8, 0.068, "α = 0.1", color="#555555", fontsize=9, va="top")
ax.set(yscale="log", xlabel="step", ylabel="distance to the minimum\n(median of 16 starts)", ylim=(1e-7, 20))
figures.direct_labels(ax)
ends = [f"{name}: {d[-1].median():.1g}" for name, d in distance.items()]
figures.show(fig, alt=f"Distance to the minimum after 600 steps, median of 16 starts. {'; '.join(ends)}.")

# %%
ada, rms, home = distance.values()
sooner = (rms[300] < 0.1 * ada[300]).sum()
evidence.verdict("after 300 steps RMSProp is 10 times nearer than AdaGrad in at least 12 of 16", int(sooner) >= 12)
rattles = bool((rms[-100:].amax(0) > 0.01).all())
evidence.verdict("in its last 100 steps it is thrown back beyond α / 10, 16 of 16", rattles)
evidence.verdict("with the cosine it ends 10 times nearer, 16 of 16", bool((home[-1] < 0.1 * rms[-100:].amax(0)).all()))

# %% [markdown]
# **Beware.** torch's RMSProp remembers 100 steps (decay 0.99) with ε = 1e-8 outside the root; keras and optax 10 steps
# (0.9) with ε inside. "RMSProp with α = 0.001" is not one algorithm but three.
#
# ## 4.3 Why are Adam's first steps wrong, and by how much?
# <small>About 12 minutes; the cells run in 4 s.</small>
#
# Put momentum on top of RMSProp, and you have nearly Adam: a running mean of the gradient, divided by the root of a
# running mean of its square.
#
# $$m \leftarrow \beta_1 m + (1-\beta_1)\,g \qquad v \leftarrow \beta_2 v + (1-\beta_2)\,g^2 \qquad
# x \leftarrow x - \alpha\,\frac{m}{\sqrt{v}+\varepsilon}$$
#
# with β₁ = 0.9 (ten steps of memory) and β₂ = 0.999 (a thousand). Both means start at 0, which is not the mean of
# anything.
#
# <details><summary><b>Predict.</b> m and v are both too small at first. So Adam's first steps are: too short; too long;
# right, because the two errors cancel?</summary>
#
# **Too long.** m is too small by the factor 1 − 0.9 = 0.1, √v by √(1 − 0.999) = 0.03. The denominator is the worse of
# the two, so the step is 0.1 / 0.03 = 3.2 times α. If you said "too short" you looked at m alone; many do. They would
# cancel if √(1 − β₂) were 1 − β₁, that is at β₂ = 0.99, and even then for the first step only.
# </details>
#
# But the first step is not the worst one. Let a gradient that never changes go through Adam without its correction:

# %%
ones = torch.ones(3000, 1, 1)
simple = effective_rates(rules.Adam(bias_correction=False), ones).flatten()
full = effective_rates(rules.Adam(), ones).flatten()
worst = int(simple.argmax()) + 1

# %% tags=["nbval-ignore-output"]
fig, ax = figures.figure("Without correction the twelfth step is the worst, and the thousandth still too long")
t = range(1, 3001)
ax.plot(t, simple, label="Adam without correction")
ax.plot(t, full, label="Adam")
for step, dx, dy in ((1, 12, -4), (worst, 0, 8), (1000, -6, 16)):
    ax.plot(step, simple[step - 1], "o", color=figures.PALETTE[0], markersize=5, clip_on=False)
    text = f"step {step:,}: × {simple[step - 1]:.2f}"
    ax.annotate(text, (step, simple[step - 1]), xytext=(dx, dy), textcoords="offset points", fontsize=9)
ax.set(xscale="log", xlabel="step t", ylabel="step / α, for a constant gradient", ylim=(0, 7.6))
figures.direct_labels(ax)
figures.show(fig, alt=f"Without correction the step is {simple[0]:.1f} α at first, {simple[worst - 1]:.1f} α at step "
             f"{worst} and {simple[999]:.2f} α at step 1,000; with it, α throughout.")

# %% [markdown]
# The weights of all past gradients in m add up to 1 − β₁ᵗ, and those in v to 1 − β₂ᵗ. Divide by these sums, and both
# are honest means from the first step on. This is **bias correction**, and this is **Adam**:
#
# $$\hat m = \frac{m}{1-\beta_1^t} \qquad \hat v = \frac{v}{1-\beta_2^t} \qquad
# x \leftarrow x - \alpha\,\frac{\hat m}{\sqrt{\hat v}+\varepsilon}$$

# %%
source(rules.Adam.step)

# %% [markdown]
# **Measure.** What does the missing correction do to a real network? Two tries, at a bold rate and at a timid one.

# %%
peak = evidence.Metric("highest training loss", lambda run: run.history["loss"].max(), "has a lower peak of the loss")


def arms(lr):
    return {name: lambda seed, on=on: Run("mlp", "digits", rule=rules.Adam(bias_correction=on), lr=lr, batch_size=32,
                                          seed=seed, validate_every=0)
            for name, on in (("simple", False), ("corrected", True))}


bold = evidence.compare(arms(0.03), steps=40, metric=peak, progress=False)
timid = evidence.compare(arms(0.001), steps=40, progress=False)
bold.better("corrected", than="simple", in_at_least=14)
timid.better("simple", than="corrected", in_at_least=14)

# %% tags=["nbval-ignore-output"]
bold.show("At α = 0.03 the uncorrected start throws the network out")
timid.show("At α = 0.001 the same start is welcome: it is a larger rate in disguise")

# %% [markdown]
# Both verdicts hold, and together they say what bias correction is: not a trick that makes training faster, but one
# that makes α mean the same at step 1 and at step 10,000. Uncorrected Adam has a hidden schedule, which rises to 6.6 α
# and comes down over thousands of steps. If that helps, your α was too small, and you can have it openly: with a
# schedule.
#
# **Beware.** After a restart from a checkpoint that holds m and v but not t, the correction starts again with v full:
# m̂ = m / 0.1 and √v̂ = √(v / 0.001), and the first step is a third of what it should be. Save t with the rest
# (`state_dict` does).
#
# ## 4.4 Where does ε stand?
# <small>About 7 minutes; the cells run in 3 s.</small>
#
# Nobody tunes ε. It is "a small number against division by zero". But ε has a unit, that of a gradient, and there are
# three places for it:
#
# | | denominator | where |
# |---|---|---|
# | outside, after the correction | $\sqrt{\hat v} + \varepsilon$ | the paper's Algorithm 1, torch, optax, here |
# | outside, before the correction | $\sqrt{v} + \varepsilon$ | keras, and the paper's "ε̂" form |
# | inside the root | $\sqrt{v + \varepsilon}$ | RMSProp and AdaGrad in keras and optax |
#
# <details><summary><b>Predict.</b> Take ε = 1e-7 in all three. Below which size of gradient does it begin to swallow
# the first step?</summary>
#
# After the correction: 1e-7. Before it: √v is 32 times smaller than √v̂ at the first step, so ε weighs 32 times more:
# 3e-6. Inside the root it is compared with g², so the gradient it stands for is √1e-7 = 3e-4. That is the size of many
# honest gradients.
# </details>

# %% tags=["nbval-ignore-output"]
g, eps, first = torch.logspace(-9, 0, 200), 1e-7, 1 - 0.999  # 1 − β₂ᵗ at t = 1
places = {"after the correction": g / (g + eps), "before it": g / (g + eps / math.sqrt(first)),
          "inside the root": g / (g * g + eps).sqrt()}
half = {name: float(g[(share < 0.5).sum()]) for name, share in places.items()}
fig, ax = figures.figure("One ε = 1e-7, three places: it bites at gradients of 1e-7, 3e-6 or 3e-4")
for i, (name, share) in enumerate(places.items()):
    ax.plot(g, share, **figures.style(i))
    ax.text(half[name] * 0.75, 0.5, name, color="#333333", ha="right", rotation=62, va="center", fontsize=9)
ax.set(xscale="log", xlabel="size of the gradient |g|", ylabel="first step / α", xlim=(1e-9, 1))
figures.show(fig, alt="The first step falls below half of α where the gradient is below "
             + ", ".join(f"{at:.1g} ({name})" for name, at in half.items()) + ".")

# %% [markdown]
# Below ε the denominator is a constant. Then Adam is momentum with the rate α / ε, and nothing adapts any more.
#
# **Measure.** Adam's promise is that the scale of the loss does not matter. Shrink the loss by 10⁸ and see the promise
# break at ε, then shrink ε with it and see it kept:

# %%
def shrunk(outputs, labels):
    return 1e-8 * F.cross_entropy(outputs, labels)


def arm(loss, eps):
    rule = rules.Adam(eps=eps)
    return lambda seed: Run("mlp", "digits", rule=rule, lr=3e-3, batch_size=32, loss=loss, seed=seed, validate_every=0)


scales = evidence.compare({"loss": arm("cross_entropy", 1e-7), "loss / 10⁸, same ε": arm(shrunk, 1e-7),
                           "loss / 10⁸, ε / 10⁸": arm(shrunk, 1e-15)},
                          steps=60, metric="val_accuracy", seeds=12, progress=False)
scales.better("loss", than="loss / 10⁸, same ε", in_at_least=12)
scales.better("loss / 10⁸, ε / 10⁸", than="loss / 10⁸, same ε", in_at_least=12)

# %% tags=["nbval-ignore-output"]
scales.show("Adam ignores the scale of the loss, as long as ε is scaled with it")

# %% [markdown]
# **Good first settings** are β₁ = 0.9, β₂ = 0.999 and α = 1e-3 or 5e-4; leave ε alone unless your gradients are tiny.
# Because α is in units of x, about the distance each weight moves in a step, these numbers travel from task to task.
#
# **Beware.** In float16 1e-8 *is* zero: there a weight whose gradient vanishes divides 0 by 0. And people who
# train language models report ε as large as 1e-6, people who train Inception 0.1 or 1: with that, Adam is mostly
# momentum.
#
# ## 4.5 Can Adam walk the wrong way for ever?
# <small>About 7 minutes; the cells run in 2 s.</small>
#
# One weight x, kept between −1 and 1. Every 101st gradient is +1010 ("go left"). The hundred between are −10 each ("go
# right").
#
# <details><summary><b>Predict.</b> Where is the minimum of the mean loss, and where does Adam end?</summary>
#
# 1010 − 100 · 10 = +10 per round, so on average left is down: the minimum is at **−1**. Adam goes to **+1**. The big
# gradient also makes v big, so it damps *itself*; a hundred steps later v has partly forgotten it (β₂ = 0.99) and the
# small ones count at nearly full size. Rare, large, informative gradients get the least say.
# </details>
#
# **Say.** The mend of Reddi, Kale and Kumar: never forget the largest v. **AMSGrad** divides by √max(v₁, …, vₜ), so
# that one large gradient lowers the rate for those after it, too.

# %%
source(rules.AMSGrad.step)


# %%
def ends(rule, rounds=80, runs=16):  # [steps, runs]: sixteen starts, each at another place of the round
    x = torch.linspace(-1, 1, runs)[:, None]
    state, phase, path = rule.init(x), torch.arange(runs)[:, None] * 6, []
    rate = schedules.Cosine(0.3, total=101 * rounds)
    for step in range(101 * rounds):
        g = torch.where((step + phase) % 101 == 0, 1010.0, -10.0)
        x, state = rule.step(x, g, state, rate(step))
        x = x.clamp(-1, 1)
        path.append(x[:, 0])
    return torch.stack(path)


walks = {rule: ends(getattr(rules, rule)(beta2=0.99)) for rule in ("Adam", "AMSGrad")}

# %% tags=["nbval-ignore-output"]
fig, ax = figures.figure("Adam settles at the wrong end; AMSGrad drifts to the right one")
for i, (name, walk) in enumerate(walks.items()):
    rounds = walk.unfold(0, 101, 101).mean(-1)  # the mean over each round of 101 steps
    ax.plot(rounds, alpha=0.25, linewidth=0.7, color=figures.PALETTE[i], label="_", linestyle="-")
    ax.plot(rounds.median(1).values, label=name, **figures.style(i), linewidth=2)
ax.set(xlabel="round of 101 gradients", ylim=(-1.1, 1.1))
ax.set_ylabel("x, mean over the round\n(thin: 16 starts; thick: median)")
figures.direct_labels(ax)
last = {name: float(walk[-404:].mean()) for name, walk in walks.items()}
figures.show(fig, alt=", ".join(f"{name} ends at {x:+.2f}" for name, x in last.items()) + ". The minimum is at −1.")

# %%
where = {name: walk[-404:].mean(0) for name, walk in walks.items()}
evidence.verdict("Adam ends above +0.9, from every start", bool((where["Adam"] > 0.9).all()))
evidence.verdict("AMSGrad ends below −0.5, from every start", bool((where["AMSGrad"] < -0.5).all()))

# %% [markdown]
# The proof of convergence in Adam's paper had a gap, and this is a walk through it. Then why does everybody use Adam?
# Because networks seldom look like this, and where they do, a β₂ nearer to 1 remembers long enough. AMSGrad seldom wins
# in practice; what it left behind is the question to ask: *does your memory outlast your rarest gradient?*
#
# **Beware.** torch and keras (`amsgrad=True`) take the maximum of v, optax that of the corrected v̂. That matters: v̂
# is largest when t is small, so one early gradient can hold optax's rate down for good.
#
# ## 4.6 Is weight decay the same as L2?
# <small>About 9 minutes; the cells run in 1 s.</small>
#
# **L2** adds ½λ‖x‖² to the loss, so λx to the gradient. **Decoupled decay** leaves the gradient alone and shrinks the
# weight beside it: x ← (1 − αλ) x. Under SGD,
#
# $$x - \alpha\,(g + \lambda x) = (1 - \alpha\lambda)\,x - \alpha g,$$
#
# so the two are one. (Loshchilov and Hutter write the decay without α; then equal means λ′ = αλ: "equal up to α".)
#
# <details><summary><b>Predict.</b> Under Adam with L2, which weights are shrunk least: those with small gradients,
# those with large gradients, or all alike?</summary>
#
# Those with **large** gradients. λx sits in the numerator with g, and the whole is divided by √v̂, the size of g. A
# weight with gradients of size 100 is decayed 100 times less than one with gradients of size 1, though nobody asked for
# it.
# </details>
#
# **Say.** **AdamW** takes the decay out of the fraction:

# %%
source(rules.AdamW.step)

# %% [markdown]
# **Measure.** Thirteen weights start at 1. All that pulls at them is noise, of size σ from 0.001 to 1,000, and a decay
# of λ = 0.5. A twin of each starts at 0 and meets the same noise. What is left of their distance is the decay's work.

# %%
sigma, lam, lr = torch.logspace(-3, 3, 13), 0.5, 1e-3
noise = sigma * torch.randn(1000, 64, 13, generator=torch.Generator().manual_seed(2))  # [steps, runs, weights]


def left(rule, l2=0.0):  # of the distance 1 between the twins; mean over 64 runs
    x = torch.stack([torch.zeros(64, 13), torch.ones(64, 13)])  # [twins, runs, weights]
    state = rule.init(x)
    for g in noise:
        x, state = rule.step(x, g + l2 * x, state, lr)
    return x.diff(dim=0)[0].mean(0)


decays = {"SGD + L2": left(rules.SGD(), l2=lam), "Adam + L2": left(rules.Adam(), l2=lam),
          "AdamW": left(rules.AdamW(weight_decay=lam))}
target = (1 - lr * lam) ** 1000

# %% tags=["nbval-ignore-output"]
fig, ax = figures.figure("Adam with L2 spares the weights with large gradients; AdamW shrinks all alike")
for i, (name, rest) in enumerate(decays.items()):
    ax.plot(sigma, rest, marker="osD"[i], markersize=4 + 3 * (i == 0), label=name, **figures.style(i))
ax.set(xscale="log", xlabel="size σ of the weight's gradients", ylim=(-0.1, 1.1))
ax.set_ylabel("left of a weight of 1 after 1,000 steps")
figures.direct_labels(ax)
ends = "; ".join(f"{n}: {rest[0]:.2f} at σ = 0.001, {rest[-1]:.2f} at σ = 1,000" for n, rest in decays.items())
figures.show(fig, alt=f"What 1,000 steps of decay leave of a weight. {ends}.")

# %%
sgd, adam, adamw = decays.values()
equal = torch.allclose(sgd, torch.full_like(sgd, target), atol=1e-9)
evidence.verdict("under SGD, L2 leaves (1 − αλ)¹⁰⁰⁰ of every weight, as decoupled decay does", equal)
evidence.verdict("under AdamW every weight keeps that share, within 0.05", bool(((adamw - target).abs() < 0.05).all()))
bends = bool(adam[0] < 0.3 and adam[-1] > 0.95)
evidence.verdict("under Adam with L2 the share runs from below 0.3 to above 0.95", bends)

# %% [markdown]
# **Beware.** `torch.optim.Adam(weight_decay=...)` is the curve that bends, `torch.optim.AdamW` the flat one. Their
# defaults differ as well: λ = 0.01 in torch, 0.004 in keras, 1e-4 in optax. And αλ is what counts: halve α, and AdamW's
# decay is halved with it.
#
# ## Five lines to remember
# 1. Dividing by √(Σg²) gives every weight its own rate; it cures scales along the axes, and nothing else.
# 2. AdaGrad never forgets, so its rate falls as 1/√t. RMSProp forgets, so it never settles without a schedule.
# 3. Adam is momentum over RMSProp; bias correction makes α mean the same from the first step on.
# 4. ε has the unit of a gradient: below it, Adam is momentum with the rate α/ε.
# 5. With L2, adaptive rules spare the weights with large gradients. If you mean decay, take AdamW.
#
# ## Three questions
# <details><summary><b>1.</b> You multiply the loss by 1,000 and train with AdaGrad, ε negligible. What must you do to
# α? (a) divide by 1,000 (b) divide by √1,000 (c) nothing (d) multiply by 1,000</summary>
#
# **(c)** g and √s both grow by 1,000. (a) is right for SGD. (b) is what you get if you think s stands in the fraction
# without its root, the wrong way round. (d) would be right if the rule divided by s itself, g / s.
# </details>
#
# <details><summary><b>2.</b> Adam, β₂ = 0.999. Which change makes the missing bias correction harmless at the first
# step? (a) β₂ = 0.99 (b) β₂ = 0.9 (c) β₁ = 0.99</summary>
#
# **(a)** (1 − 0.9) / √(1 − 0.99) = 1. With (b) it is 0.1 / 0.32: three times too short. With (c) it is 0.01 / 0.032,
# also three times too short. And (a) is harmless at step 1 only: at step 10 the factor is already 0.65 / 0.31 = 2.1.
# </details>
#
# <details><summary><b>3.</b> Your embeddings for rare words hardly shrink under Adam + L2, although most of their
# gradients are zero, while those of frequent words do. A friend says: "That contradicts the lecture, zero gradients are
# small gradients." Who is right?</summary>
#
# **Look at v.** λx is added at *every* step, so with L2 no gradient is zero: a weight that sees nothing but λx is moved
# by about α a step, the strongest decay in the picture (the left end). If rare words hardly shrink, your framework
# updates only the rows that occurred in the batch (sparse or lazy updates), so they are decayed only when they occur.
# Neither "L2 fails for small gradients" nor "v is large" explains it. With AdamW on sparse rows you meet the same
# catch.
# </details>
#
# **Now write it yourself:** [workbook 4](../exercises/04_adaptive.ipynb), functions
# that are checked as you go.
#
# ## Sources
# - J. Duchi, E. Hazan, Y. Singer 2011, *Adaptive subgradient methods for online learning and stochastic optimization*,
#   JMLR 12: AdaGrad, in its diagonal form.
# - G. Hinton, N. Srivastava, K. Swersky 2012, *Neural networks for machine learning*, lecture 6e: RMSProp.
# - D. Kingma, J. Ba 2015, *Adam: a method for stochastic optimization*, arXiv:1412.6980: algorithm 1, the correction,
#   the defaults and the ε̂ form.
# - S. Reddi, S. Kale, S. Kumar 2018, *On the convergence of Adam and beyond*, ICLR: the counterexample and AMSGrad.
# - I. Loshchilov, F. Hutter 2019, *Decoupled weight decay regularization*, arXiv:1711.05101: AdamW.
# - The defaults 1e-3 and 5e-4 as first tries: the course notes of Stanford's CS231n.
