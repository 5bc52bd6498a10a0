# %% [markdown]
# # 1 · The learning rate
#
# You have one slider. At the end of this hour you know what unit it is marked in, where its cliff stands and why, how
# to read a loss that has gone flat, and why you want to turn the slider while the network trains.
#
# Six sections of about eight minutes each. In each you **predict**, then **run**, then **check**: every claim stands
# beside the cell that measures it over many seeds, and the cell fails if the claim does not hold.

# %%
import numpy as np
import torch
from torch.nn import functional as F

import lrlab
from lrlab import Run, data, evidence, figures, instruments, models, rules, schedules, source, surfaces

assert lrlab.__version__.startswith("0.1"), f"not lrlab 0.1 but {lrlab.__version__}: run make install"
torch.set_num_threads(1)  # networks this small are faster on one
digits = data.load("digits")

# %% [markdown]
# ## 1 · Who turns what?
# *About 7 minutes; the cells run in 5 s.*
#
# A small network is about to learn to read handwritten digits. It is full of numbers. Which of them does training
# turn, and which do you?

# %%
run = Run("mlp", digits, lr=0.01, batch_size=64)
shapes = [tuple(weight.shape) for weight in run.model.parameters()]
print(f"training turns {run.parameters:,} numbers:", *shapes)
print("you turn:", ", ".join(run.knobs), "and the rule itself:", run.rule)

# %% [markdown]
# The numbers that training turns are the **parameters**, here the weights and biases of two layers. What you set, and
# no gradient ever touches, is a **hyperparameter**. The **learning rate** α is the one to get right first: if you
# have time to tune only one, it is this one (Goodfellow, Bengio and Courville 2016).
#
# **Your turn.** Press ▶. While the network trains, turn the learning rate and find the one at which the loss falls
# fastest. Keyboard: <kbd>Tab</kbd> to the slider, then the arrow keys. Note the number: you will meet it again in
# section 3.

# %%
tuner = instruments.LiveTuner(run, speed=60)
tuner

# %% tags=["nbval-ignore-output"]
if run.step == 0:  # nobody has played: a script turns the knob
    tuner.speed = None
    for lr in (0.01, 0.05, 0.3):
        tuner.turn("lr", lr)
        tuner.play(steps=100)
        tuner.wait()
tuner.pause()
figures.show(tuner.figure(), alt=tuner.alt)

# %% [markdown]
# <details>
# <summary><b>Predict.</b> You measure the loss in nats. Your colleague measures it in bits, so each of her losses,
# and each of her gradients, is 1.44 times yours. She trains with your α, your seed and your data. Does she get your
# network? (Choose, then open.)</summary>
#
# No. Each of her steps is 1.44 times as long as yours. To walk your path she needs α / 1.44. A learning rate without
# the unit of the loss is like a price without a currency.
# </details>
#
# **Say.** One step of **gradient descent** is
#
# $$x_{t+1} = x_t - \alpha\, g_t, \qquad g_t = \frac{\partial\,\ell}{\partial x}(x_t)$$
#
# | symbol | is | unit |
# |---|---|---|
# | $x$ | the parameters, one long vector | whatever they are measured in; call it $[x]$ |
# | $\ell$ | the loss | $[\ell]$, nats for the cross entropy |
# | $g$ | the **gradient** | $[\ell]/[x]$ |
# | $\alpha$ | the learning rate | $[x]^2/[\ell]$, so that $\alpha g$ is in $[x]$ |
#
# So α is *not* the length of a step. The step is α‖g‖ long, and it shrinks by itself where the slope gets gentle.
# This is the line that takes every step of plain gradient descent in this course:

# %%
source(rules.SGD, docstring=False)


# %% [markdown]
# **Measure.** Double the loss and halve α: by its unit, nothing may change, not even the last bit of a weight. (A
# computer multiplies by 2 and by ½ exactly; after 1.44 the last digits would differ.)


# %%
def doubled(outputs, labels):
    return 2 * F.cross_entropy(outputs, labels)


def trained(seed, loss, lr):
    run = Run("mlp", digits, loss=loss, lr=lr, seed=seed, device="cpu", validate_every=0)
    return torch.cat([w.flatten() for w in run.train(200, progress=False).model.parameters()])


claim = "twice the loss at half the rate: the same weights to the last bit, 8 seeds of 8"
same = [
    torch.equal(trained(seed, "cross_entropy", 0.1), trained(seed, doubled, 0.05)) for seed in range(8)
]
evidence.verdict(claim, all(same))

# %% [markdown]
# **Beware.**
# - `reduction="sum"` in place of `"mean"` multiplies the loss by the batch size. Keep α, and with a batch of 64 you
#   train 64 times as fast as you meant to.
# - Adam divides the gradient by its own size. The unit of the loss cancels, so Adam's α is in $[x]$: about the
#   distance each weight moves in a step. This is why its usual 0.001 travels well from task to task, and why a rate
#   tuned for SGD says nothing about one for Adam.
# - Defaults are no advice. For SGD, keras starts at 0.01, torch at 0.001 (older versions made you choose, and optax
#   still does).

# %% [markdown]
# ## 2 · Why is there a cliff?
# *About 9 minutes; the cells run in 2 s.*
#
# Four balls start at the same place of the same parabola. Only α differs. Why does the third one zigzag, and why does
# the fourth one leave?

# %%
L = 4.0  # the curvature, in loss per x²


def parabola(x):
    return 0.5 * L * (x * x).sum(-1)


rates = torch.tensor([[0.15], [1.0], [1.8], [2.1]], dtype=torch.float64) / L
path = rules.descend(rules.SGD(), parabola, [1.0], lr=rates, steps=8)[..., 0]  # [steps + 1, rates]

# %% tags=["nbval-ignore-output"]
title = "The same slope, four rates: creep, jump, zigzag, leave"
fig, axes = figures.figure(title, 1, 4, size=(7.2, 2.7), sharey=True)
bowl = torch.linspace(-2.3, 2.3, 101, dtype=torch.float64)[:, None]
for i, ax in enumerate(axes):
    ax.plot(bowl, parabola(bowl), color="#AAAAAA", linestyle="-", linewidth=4)
    ax.plot(path[:, i], parabola(path[:, i, None]), "o-", color=figures.PALETTE[i], markersize=4)
    ax.plot(1, L / 2, "o", markersize=9, markerfacecolor="none", color="black")  # the start
    ax.set_title(f"α = {rates[i, 0] * L:.3g} / L", fontsize=10)
    ax.set(xlabel="x", xlim=(-2.3, 2.3), ylim=(-0.3, 9))
axes[0].set(ylabel="loss ½ L x²")
ends = ", ".join(f"{x:.2g}" for x in path[-1])
figures.show(fig, alt=f"Eight steps from x = 1, at four rates, end at x = {ends}.")

# %% [markdown]
# <details>
# <summary><b>Predict.</b> The curvature is L = 4. What is the largest rate at which the ball still comes to rest at
# the bottom: 0.25, 0.5, 1, or does it depend on where the ball starts?</summary>
#
# Anything below 0.5, from every start. 0.25 is the *best* rate: one step and the ball is there. If you said "it
# depends on the start": on a network it does, as section 4 shows; on a parabola it cannot, because the step and the
# distance grow together.
# </details>
#
# **Your turn.** Here is a network with a single weight, whose loss is this very parabola. Find the largest rate at
# which the loss still falls, to two digits. **step** makes one step; after an accident, **rewind** goes back. Then
# change `L` two cells up, run again, and find it once more.


# %%
def one_weight():
    network = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.ones_(network.weight)
    return network


def loss(output, label):  # the output is the weight; the label is not used
    return parabola(output).mean()


one = (torch.ones(4, 1), torch.zeros(4, dtype=torch.long))
run = Run(one_weight, one, validation=one, loss=loss, lr=0.05, batch_size=4)
tuner = instruments.LiveTuner(run, speed=5)
tuner

# %% [markdown]
# **Say.** The gradient of $f(x)=\tfrac12 L x^2$ is $Lx$. Put it into the step:
#
# $$x_{t+1} = x_t - \alpha L\, x_t = (1-\alpha L)\,x_t \quad\Longrightarrow\quad x_t = (1-\alpha L)^t\, x_0$$
#
# Every step multiplies the distance by the same number, $1-\alpha L$. The path converges exactly if
# $|1-\alpha L| < 1$, which is
#
# $$0 < \alpha < \frac{2}{L}$$
#
# | α | $1-\alpha L$ | the ball |
# |---|---|---|
# | below $1/L$ | between 0 and 1 | creeps down one side |
# | $1/L$ | 0 | is there after one step |
# | between $1/L$ and $2/L$ | between −1 and 0 | zigzags, a little closer each time |
# | $2/L$ | −1 | jumps between two points for ever |
# | above $2/L$ | below −1 | leaves, faster and faster |
#
# Check the units: L is in $[\ell]/[x]^2$, so $2/L$ is in $[x]^2/[\ell]$. It is a learning rate. The **curvature**
# sets the cliff; neither the height nor the steepness does.
#
# The gradient, as the package has it, for any number of directions. Each has a curvature of its own, an eigenvalue λ:

# %%
source(surfaces.Ravine.grad)

# %% [markdown]
# **Measure.** Three curvatures from very flat to very steep, 300 rates each: 900 balls, 500 steps.

# %%
curvatures = torch.tensor([0.01, 1.0, 250.0], dtype=torch.float64).view(3, 1, 1)
in_units_of_1_L = torch.linspace(0.005, 2.995, 300, dtype=torch.float64).view(300, 1)


def parabolas(x):
    return 0.5 * (curvatures * x * x).sum(-1)


end = rules.descend(rules.SGD(), parabolas, [1.0], lr=in_units_of_1_L / curvatures, steps=500)[-1]
as_said = (end.abs() < 1) == (in_units_of_1_L < 2)
evidence.verdict("the path converges where α < 2/L, and nowhere else, 900 of 900", as_said.all())

# %% tags=["nbval-ignore-output"]
fig, ax = figures.figure("One rate is perfect; at twice that rate stands the cliff")
aL = np.linspace(0.002, 2.4, 1200)
for t in (2, 5, 20):
    ax.plot(aL, np.abs(1 - aL) ** t, label=f"after {t} steps")
ax.axvline(2, color="black", linestyle=":", linewidth=1.2)
ax.annotate("2 / L", (2, 3e4), ha="right", xytext=(-4, 0), textcoords="offset points")
ax.set(xlabel="learning rate α, in units of 1 / L")
ax.set(ylabel="distance left\n(in units of the start)", yscale="log", ylim=(1e-8, 1e6))
figures.direct_labels(ax)
alt = "Distance left after 2, 5 and 20 steps: zero at 1/L, and at 2/L what it was at the start."
figures.show(fig, alt=alt)

# %% [markdown]
# **Beware.**
# - In more than one direction every direction has its own L, and there is one α for all. The *steepest* one sets the
#   cliff, the *flattest* one sets how long you wait. Their ratio, the condition number, is the subject of [lecture
#   2](02_sgd_troubles.ipynb).
# - 2/L is the cliff of *plain* gradient descent. With momentum ρ (torch's form) it stands at 2(1 + ρ)/L, further out.
#   The next cell finds it, by 450 rates.

# %%
wider = torch.linspace(0.005, 4.495, 450, dtype=torch.float64).view(450, 1)
for rho in (0.5, 0.9):
    momentum = rules.Momentum(rho=rho)
    end = rules.descend(momentum, surfaces.ravine(condition=1), [1.0, 1.0], lr=wider, steps=2000)[-1]
    as_said = (end.norm(dim=-1, keepdim=True) < 1) == (wider < 2 * (1 + rho))
    evidence.verdict(f"momentum {rho}: the cliff stands at {2 * (1 + rho):g} / L", as_said.all())

# %% [markdown]
# ## 3 · And in a network?
# *About 10 minutes; the cells run in 15 s.*
#
# A network has 9,610 directions, each bent in its own way, and the bends change as it learns. Is there still one
# cliff?
#
# <details>
# <summary><b>Predict.</b> You train with α = 0.001, 0.002, 0.005 and so on upwards, 200 steps each, until training
# breaks. How far apart are the best rate and the first one that breaks: a factor of 1,000, of 100, or below
# 10?</summary>
#
# Below 10. The more you dare, the better it gets, until it falls off. The best rate lives next to the cliff, which is
# why a rate that feels safe is mostly a slow one.
# </details>
#
# **Your turn.** Find the largest rate at which the network still learns. Then push it over: turn α to 10 for a
# moment, and turn it back to your good rate. Does the network recover? Wait a while. Then press **rewind** and go
# back to before.

# %%
run = Run("mlp", digits, lr=0.1, batch_size=64)
tuner = instruments.LiveTuner(run, speed=60)
tuner

# %% tags=["nbval-ignore-output"]
if run.step == 0:  # nobody has played: a script pushes it over, for ten steps
    tuner.speed = None
    for lr, steps in [(0.1, 150), (10.0, 10), (0.1, 240)]:
        tuner.turn("lr", lr)
        tuner.play(steps)
        tuner.wait()
tuner.pause()
figures.show(tuner.figure(), alt=tuner.alt)

# %% [markdown]
# Here are the regimes you have just been through, side by side.

# %%
regimes = {"very low": 0.003, "low": 0.03, "good": 0.5, "high": 4.0, "far too high": 50.0}
runs = {}
for name, lr in regimes.items():
    runs[name] = Run("mlp", digits, lr=lr, batch_size=64, validate_every=3)
    runs[name].train(200, progress=False)

# %% tags=["nbval-ignore-output"]
fig, ax = figures.figure("Five rates: two are slow, one is good, two are lost")
for name, run in runs.items():
    label = f"{name}: {regimes[name]:g}"
    ax.plot(run.history["val_step"], run.history["val_loss"], label=label)
ax.axhline(np.log(10), color="black", linestyle=":", linewidth=1)
ax.text(110, 2.5, "ln 10: knows nothing", fontsize=9)
ax.set(xlabel="step", ylabel="validation loss (nats)", yscale="log", ylim=(0.08, 40))
ax.set_yticks([0.1, 1, 10], [0.1, 1, 10])
figures.direct_labels(ax)
ends = ", ".join(f"{name} ends at {run.history['val_loss'][-1]:.2g}" for name, run in runs.items())
figures.show(fig, alt=f"Validation loss against steps for five learning rates: {ends}.")

# %% [markdown]
# **Say.** The **cross entropy** of one image is $\ell = -\ln p$, where $p$ is the probability that the network gave
# to the right class. Ten classes and no idea: $p = \tfrac1{10}$, so $\ell = \ln 10 = 2.303$ nats. This number is
# worth knowing by heart. A loss that stands at $\ln(\text{classes})$ says: "I have stopped looking at the picture."
#
# The curve at 50 shows how the cross entropy diverges: its gradient with respect to the outputs is never above 1, so
# the loss cannot run off to infinity by itself. It is thrown to a height that grows with α, and shaken there.
#
# The step is that of section 1, with the gradient of one **mini-batch**. And this is the network:

# %%
source(models.mlp, docstring=False)

# %% [markdown]
# **Measure.** Thirteen rates, five seeds, the same 200 steps for each. "Broken" is what ends above 1 nat though a
# lower rate ends far below.

# %%
rates = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0]


def arm(lr):
    return lambda seed: Run("mlp", digits, lr=lr, seed=seed, validate_every=0)


arms = {f"{lr:g}": arm(lr) for lr in rates}
claim = evidence.compare(arms, steps=200, metric="val_loss", seeds=5, progress=False)
claim.better("0.5", than="0.05", in_at_least=5)
claim.better("0.5", than="5", in_at_least=5)

# %%
median = np.array([np.median(claim.values[name]) for name in claim.arms])
best = rates[median.argmin()]
broken = min(lr for lr, loss in zip(rates, median, strict=True) if lr > best and loss > 1)
evidence.verdict("the first broken rate is at most 10 times the best one", broken <= 10 * best)

# %% tags=["nbval-ignore-output"]
low, high = np.quantile([claim.values[name] for name in claim.arms], [0.25, 0.75], axis=1)
fig, ax = figures.figure("The best rate stands next to the cliff (median and quartiles of 5 seeds)")
ax.fill_between(rates, low, high, color=figures.PALETTE[0], alpha=0.25, linewidth=0)
ax.plot(rates, median, "o-")
ax.axhline(np.log(10), color="black", linestyle=":", linewidth=1)
ax.text(0.02, 2.5, "ln 10: knows nothing", fontsize=9)
ax.text(best, 0.8 * median.min(), "best", fontsize=9, ha="center")
ax.set(xscale="log", xlabel="learning rate α", xlim=(8e-4, 12))
ax.set(yscale="log", ylabel="validation loss after 200 steps", ylim=(0.08, 4))
ax.set_yticks([0.1, 0.3, 1, 3], [0.1, 0.3, 1, 3])
alt = f"The loss falls with the rate to {median.min():.2g} at {best:g}; at {broken:g} it is above 1."
figures.show(fig, alt=alt)

# %% [markdown]
# And the accident of your turn? Thrown over the cliff for 100 steps, then 300 steps at a good rate; against going
# back to before the accident.

# %%
waited, silent, rewound = np.zeros(8), np.zeros(8), np.zeros(8)
for seed in range(8):
    run = Run("mlp", digits, lr=5.0, seed=seed, validate_every=0).train(100, progress=False)
    run.lr = 0.1
    waited[seed] = run.train(300, progress=False).validate()[1]
    W, b, *_ = run.model.parameters()
    silent[seed] = (digits.train.x.flatten(1) @ W.T + b <= 0).all(0).double().mean().item()
    run.rewind(0).lr = 0.1
    rewound[seed] = run.train(300, progress=False).validate()[1]

# %%
evidence.verdict("a good rate does not bring it back, 7 seeds of 8", sum(waited < 0.3) >= 7)
evidence.verdict("9 of 10 hidden units are silent for every image, 7 seeds of 8", sum(silent > 0.9) >= 7)
evidence.verdict("rewound, it learns to read 9 of 10 digits, 8 seeds of 8", all(rewound > 0.9))

# %% [markdown]
# **Beware.**
# - `NaN` is the exception. This network ends in a quiet corner instead: its hidden units (ReLUs) are negative for
#   every image, so they pass nothing on, and no gradient back. Tools that wait for `NaN`, such as keras'
#   `TerminateOnNaN`, never notice. Watch for ln(classes).
# - Turning α down does not undo a step. Keep checkpoints; the tuner does, and `run.rewind(step)` brings them back.

# %% [markdown]
# ## 4 · Where is 2/L in a network?
# *About 8 minutes; the cells run in 8 s.*
#
# Something does not fit. The curvature of a network can be measured. At the start it is often so large that 2/L lies
# *below* rates that train well. Why does the network not leave, as the ball did?
#
# <details>
# <summary><b>Predict.</b> Train on all images at once, so that there is no noise, with α = 0.1, then 0.2, then 0.4.
# Where does the largest curvature L go while the network learns: it stays where it was; it falls towards zero; it
# depends on α?</summary>
#
# It depends on α, and how! It goes to about 2/α and stays there. You do not fit the rate to the curvature; the
# network fits its curvature to your rate.
# </details>
#
# **Say.** L is the largest eigenvalue of the matrix of second derivatives, the **Hessian** $H$. No need to write down
# 9,610 × 9,610 numbers: $Hv = \nabla(g \cdot v)$ costs one more backward pass, and **power iteration** repeats
# $v \leftarrow Hv/\|Hv\|$ until only the steepest direction is left. Then $L = v \cdot Hv$, in $[\ell]/[x]^2$.


# %%
def half_square(outputs, labels):
    return 0.5 * (outputs - F.one_hot(labels, 10)).square().sum(1).mean()


def gradient(y, weights, **options):
    return torch.cat([piece.flatten() for piece in torch.autograd.grad(y, weights, **options)])


# %%
def curvature(model, x, labels, rounds=30):
    weights = list(model.parameters())
    g = gradient(half_square(model(x), labels), weights, create_graph=True)
    v = torch.ones_like(g)
    for _ in range(rounds):
        v = v / v.norm()
        Hv = gradient(g @ v, weights, retain_graph=True)
        L, v = v @ Hv, Hv
    return L.item()


# %% [markdown]
# **Measure**, and your turn: add a rate of your own to the list, say where its curve will go, and run.

# %%
rates = [0.05, 0.1, 0.2, 0.4]
few = data.load("digits", per_class=30)  # 300 images, all of them in every step
L_of = {lr: [] for lr in rates}
for lr in rates:
    run = Run("mlp", few, loss=half_square, lr=lr, batch_size=300, validate_every=0)
    for _ in range(16):
        L_of[lr].append(curvature(run.model, *few.train))
        run.train(60, progress=False)
there = [np.isclose(np.median(L_of[lr][-5:]), 2 / lr, rtol=0.2) for lr in (0.1, 0.2, 0.4)]
climbs = L_of[0.05][1] < L_of[0.05][-1] < 2 / 0.05
evidence.verdict("at 0.1, 0.2 and 0.4 the curvature ends within 20 % of 2/α", all(there))
evidence.verdict("at 0.05 it climbs, and is not there yet", climbs)

# %% tags=["nbval-ignore-output"]
title = "The network bends itself until your rate is just bearable (broad lines: 2/α)"
fig, ax = figures.figure(title)
for i, (lr, values) in enumerate(L_of.items()):
    ax.plot(60 * np.arange(16), values, label=f"α = {lr:g}", **figures.style(i))
    ax.axhline(2 / lr, color=figures.PALETTE[i], linestyle="-", linewidth=5, alpha=0.25)
ax.set(xlabel="step", ylabel="largest curvature L\n(loss per weight²)", yscale="log", ylim=(3, 60))
ax.set_yticks([5, 10, 20, 40], [5, 10, 20, 40])
ax.minorticks_off()
figures.direct_labels(ax)
ends = "; ".join(f"at α = {lr:g} from {L[0]:.3g} to {L[-1]:.3g}" for lr, L in L_of.items())
figures.show(fig, alt=f"The largest curvature goes towards 2/α, from wherever it starts: {ends}.")

# %% [markdown]
# So a network escapes where a parabola cannot: thrown up by a step that was too long, it lands where the ground is
# flatter, and there the same α is short enough. And where it is flat, it goes on into steeper ground, until it is at
# the limit again: slowly at a low rate, as the uppermost curve shows. This **edge of stability** was described only
# in 2021 (Cohen and others). A higher rate does not just get you there sooner: it leads to a *different*, flatter
# place.
#
# **Beware.** Here it is measured where it is clearest: squared loss, all images at once. With mini-batches L settles
# lower. With the cross entropy it rises first, as far as 2/α if the rate is high, and sinks later, as the network
# gets sure of itself. And section 3 has shown that there are steps too long to escape from.

# %% [markdown]
# ## 5 · The loss has gone flat. Why?
# *About 8 minutes; the cells run in 5 s.*
#
# A **plateau** is a stretch where the loss does not move. Below, three losses stand still for three different
# reasons, and want three different remedies. In each picture α is turned at step 0.

# %%
cases = {
    "turned up 1,000 ×": (64, 0.0001, 0.1),  # images in a batch, α before, α after
    "turned down 16 ×": (4, 0.2, 0.0125),
    "turned down 50 ×": (64, 5.0, 0.1),
}
runs = {}
for name, (batch_size, before, after) in cases.items():
    run = Run("mlp", digits, lr=before, batch_size=batch_size, validate_every=10)
    run.train(300, progress=False).lr = after
    runs[name] = run.train(150, progress=False)
ends = "; ".join(f"{name}, the loss ends at {run.validate()[0]:.2g}" for name, run in runs.items())

# %% tags=["nbval-ignore-output"]
title = "A flat loss answers when you turn the rate"
fig, axes = figures.figure(title, 2, 3, heights=(3, 1), size=(7.2, 4), sharey=True)
for i, (name, run) in enumerate(runs.items()):
    top, below, look = axes[0, i], axes[1, i], figures.style(i)
    top.plot(run.history["val_step"] - 300, run.history["val_loss"], **look)
    below.plot(np.arange(450) - 300, run.history["lr"], **look)
    top.set_title(name, fontsize=10)
    top.set(yscale="log", xlim=(-150, 150), ylim=(0.12, 3), ylabel="" if i else "validation loss")
    below.set(xlabel="steps since the turn", yscale="log", ylabel="" if i else "applied α")
top.set_yticks([0.2, 0.5, 1, 2], [0.2, 0.5, 1, 2])
top.minorticks_off()
figures.show(fig, alt=f"Validation loss over applied rate, before and after the turn. {ends}.")

# %% [markdown]
# | you turn α | the loss | it was |
# |---|---|---|
# | up | falls at last | **too slow** (the first): the rate was 1,000 times too low |
# | down | drops within some steps | **the noise floor** (the second): the mini-batches keep shaking the weights |
# | down, and up | does nothing | **broken** (the third): rewind. Or a saddle, or as good as this network gets |
#
# **Your turn.** This network reads four images at a time. Press ▶ and wait until the loss goes no lower. Then get it
# lower, with the slider alone. Which way do you turn?

# %%
run = Run("mlp", digits, lr=0.2, batch_size=4, validate_every=25)
tuner = instruments.LiveTuner(run, speed=60)
tuner

# %% [markdown]
# <details>
# <summary><b>Predict.</b> On the noise floor you halve α. Does the floor sink to one half, to one quarter, or
# stay?</summary>
#
# To about one half. The noise of a single step shrinks to a quarter (in square), but at half the rate it takes twice
# as many steps to forget it: ¼ × 2 = ½.
# </details>
#
# **Say.** Give the parabola a noisy gradient, $g = Lx + \sigma\xi$, with a new $\xi$ of variance 1 at each step. Then
# $x_{t+1} = (1-\alpha L)x_t - \alpha\sigma\xi_t$. At rest the variance $v$ of $x$ reproduces itself,
# $v = (1-\alpha L)^2 v + \alpha^2\sigma^2$. Solve for $v$ and take the mean loss $\tfrac12 L v$:
#
# $$\text{floor} = \frac{\alpha\,\sigma^2}{2\,(2-\alpha L)} \approx \frac{\alpha\,\sigma^2}{4} \quad (\alpha \ll 1/L)$$
#
# The noise σ is in $[\ell]/[x]$, so $\alpha\sigma^2$ is in $[\ell]$: a loss. And look at the denominator: at α = 2/L
# the floor is infinite. The old cliff is still there.

# %%
source(surfaces.Noisy.minibatch_grad)

# %% [markdown]
# **Measure.** 8,192 balls, each with noise of its own, L = 1, σ = 1, three rates.

# %%
rates = torch.tensor([0.8, 0.2, 0.05], dtype=torch.float64)
start = torch.full((1, 4096, 2), 3.0, dtype=torch.float64)  # 2 directions that do not know each other
noisy = surfaces.noisy(surfaces.ravine(condition=1), sigma=1.0)
path = rules.descend(rules.SGD(), noisy, start, lr=rates.view(3, 1, 1), steps=200)
loss = 0.5 * path.square().mean((2, 3))
floor = rates / (2 * (2 - rates))
found = loss[-50:].mean(0)
as_said = torch.allclose(found, floor, rtol=0.05)
evidence.verdict("the floor is ασ²/(2(2 − αL)), within 5 %", as_said)

# %% tags=["nbval-ignore-output"]
fig, ax = figures.figure("A high rate is there first, a low rate gets lower (dotted: the formula)")
for i, lr in enumerate(rates.tolist()):
    ax.plot(loss[:, i], label=f"α = {lr:g} / L", **figures.style(i))
    ax.axhline(floor[i], color=figures.PALETTE[i], linestyle=":", linewidth=1.2)
ax.set(xlabel="step", ylabel="mean loss ½ L x² of 8,192 balls", yscale="log")
ax.set(yticks=[0.01, 0.1, 1], yticklabels=[0.01, 0.1, 1])
figures.direct_labels(ax)
ends = ", ".join(f"{f:.3g} at α = {lr:g}" for f, lr in zip(found, rates, strict=True))
figures.show(fig, alt=f"The mean loss falls to the floor that the formula says, and stays: {ends}.")

# %% [markdown]
# **Beware.** Validation *accuracy* has plateaus of its own: with 300 images it moves in steps of a third of a per
# cent, and the loss may be falling all the while. Look at the loss before you turn anything.

# %% [markdown]
# ## 6 · One rate for ever?
# *About 8 minutes; the cells run in 15 s.*
#
# Look at the last picture again: the high rate is quick and stays high, the low rate is slow and gets low. Must you
# choose?
#
# <details>
# <summary><b>Predict.</b> 600 steps, four images each. Which ends with the lowest validation loss: α = 0.2
# throughout, α = 0.1 throughout, or 0.2 first and then less and less?</summary>
#
# Less and less. First the rate has to be high, because the way is long; then low, because the floor is. No constant
# rate does both.
# </details>
#
# **Your turn.** Go back to the tuner above, press **rewind** to step 0, and **decay** the rate by hand: play 600
# steps, and turn α down when the loss stops falling. Beat the script, if you can. The next cell takes whatever you
# have done.

# %%
if run.step == 0:  # nobody has played: a script decays the rate
    tuner.speed = None
    for lr, steps in [(0.2, 300), (0.05, 150), (0.0125, 150)]:
        tuner.turn("lr", lr)
        tuner.play(steps)
        tuner.wait()
tuner.pause()
by_hand = tuner.as_schedule()
by_hand

# %% [markdown]
# What you have turned is now a **schedule**: a learning rate as a function of time. The tuner has **recorded** it as
# steps $s_0 < s_1 < \dots$ and values, and between them it holds:
#
# $$\alpha(t) = \text{value}_i \quad\text{for}\quad s_i \le t < s_{i+1}$$

# %%
source(schedules.Recorded.rate)

# %% [markdown]
# **Measure.** One run of yours was one seed: it may have been luck. Replay your hand under sixteen seeds, and set it
# against constant rates at the same budget: 600 steps each. (If the claim fails for *your* hand, that is a result.
# Look at the picture, go back to the tuner, and try again.)


# %%
def noisy_arm(lr):
    return lambda seed: Run("mlp", digits, lr=lr, batch_size=4, seed=seed, validate_every=30)


rates = {"constant 0.1": 0.1, "constant 0.2": 0.2, "by hand": by_hand}
arms = {name: noisy_arm(lr) for name, lr in rates.items()}
claim = evidence.compare(arms, steps=600, metric="val_loss", seeds=16, progress=False)
claim.better("by hand", than="constant 0.1", in_at_least=12)
claim.better("by hand", than="constant 0.2", in_at_least=12)

# %% tags=["nbval-ignore-output"]
claim.show("Turned down in time, the rate ends lower, and more surely")

# %% tags=["nbval-ignore-output"]
fig, (ax, below) = figures.figure("Each turn lowers loss and spread", 2, heights=(3, 1), size=(7.2, 4.5))
for i, name in enumerate(["constant 0.2", "by hand"]):
    history = claim.histories[name]
    low, middle, high = np.quantile([h["val_loss"] for h in history], [0.25, 0.5, 0.75], axis=0)
    steps, look = history[0]["val_step"], figures.style(i)
    ax.fill_between(steps, low, high, color=look["color"], alpha=0.25, linewidth=0)
    ax.plot(steps, middle, label=name, **look)
    below.plot(history[0]["lr"], **look)
ax.set(ylabel="validation loss, median\nand quartiles of 16 seeds", ylim=(0, 0.7))
below.set(yscale="log", ylabel="applied α", xlabel="step", ylim=(0.005, 0.5))
figures.direct_labels(ax)
figures.show(fig, alt=claim.alt)

# %% [markdown]
# **Beware.**
# - *It does not always hold.* With 64 images a step there is little noise to lose, and turning down mostly stops the
#   training early. The next cell shows it, and a catch: by its loss the constant rate wins on the images it has seen,
#   and not on those it has not.
# - In keras' form of momentum, $v \leftarrow \rho v - \alpha g$, the rate is stored in the velocity: after a drop the
#   weights go on for a while at the old speed. In torch's form, $v \leftarrow \rho v + g$, the drop bites at once.
#   The two are the same path only while α is constant.
# - A schedule counts *something*. torch's schedulers count calls of `scheduler.step()`, per epoch or per batch as you
#   wrote it; a decay "after 30" means two very different things.

# %%
decayed = schedules.Recorded(steps=(0, 300, 450), values=(0.5, 0.125, 0.03))
arms = {"constant 0.5": arm(0.5), "decayed": arm(decayed)}  # 64 images a step, as in section 3
seen = evidence.compare(arms, steps=600, metric="train_loss", seeds=6, progress=False)
seen.better("constant 0.5", than="decayed", in_at_least=5)
unseen = evidence.compare(arms, steps=600, metric="val_loss", seeds=6, progress=False)
unseen.better("decayed", than="constant 0.5", in_at_least=5)

# %% [markdown]
# ## Where it matters
# The rate is part of what a paper reports, because without it the result cannot be had again. CheXNet, which looks
# for pneumonia in chest X-rays, starts Adam at 0.001 and divides by ten whenever the validation loss stands still:
# section 5 as a rule (Rajpurkar and others 2017). PointPillars, which finds cars and pedestrians in laser scans for
# self-driving, starts at 0.0002 and takes 0.8 of it every 15 epochs (Lang and others 2019). YOLO, a detector for
# pictures, begins *low* and climbs, because at the full rate the untrained network often diverged (Redmon and others
# 2016): lecture 7 comes back to this warm-up. None of this makes a diagnosis or a car safe. But a comparison of two
# methods, one with a tuned rate and one without, measures the tuning; and such comparisons are what one builds on.
#
# ## Five lines to remember
# 1. α is in $[x]^2/[\ell]$. Change the scale of the loss, and the old number means nothing.
# 2. On a parabola of curvature L, 1/L is perfect and 2/L is the cliff.
# 3. The best rate stands next to the cliff. Beyond it the loss mostly stands at ln(classes): rewind, do not wait.
# 4. A network has no fixed L. Trained on all its images at once, it bends itself until 2/L is your α.
# 5. Noise times rate makes a floor. High first, because the way is long; then low, because the floor is.
#
# ## Three questions
# **1.** Your loss was the mean over 64 images. You now sum. Which rate walks the same path?
# - (a) α
# - (b) α/64
# - (c) 64 α
# - (d) α/8
#
# <details>
# <summary>Answer</summary>
#
# **(b).** The gradient is 64 times as large, and α·g has to stay. (a) would make steps 64 times as long. (c) turns
# the wrong way: 4,096 times as long. (d), the square root, belongs to another question: how to change the rate with
# the batch size, under a mean, where only the *noise* changes.
# </details>
#
# **2.** You tried α = 5 on ten classes. For 500 steps the loss has stood at 2.30. What helps?
# - (a) α = 0.05 from here
# - (b) 5,000 steps more
# - (c) going back to before, with a lower α
# - (d) larger batches
#
# <details>
# <summary>Answer</summary>
#
# **(c).** 2.30 is ln 10: the network ignores its input. (a) Its hidden units are silent for every image and get no
# gradient, so no rate moves them: you have measured it. (b) More of nothing. (d) makes the gradient less noisy; here
# there is none to make less noisy. Had the loss stood at 0.3 and shaken, (a) would have been right: that is the noise
# floor.
# </details>
#
# **3.** A bowl has the curvature 4 in one direction and 0.04 in the other. Plain gradient descent. Which is true?
# - (a) α may go up to 2/0.04 = 50
# - (b) α must stay below 0.5, and the flat direction then needs some hundred steps
# - (c) α must stay below 0.5, and both directions are quick
# - (d) the best α is 1/0.04 = 25
#
# <details>
# <summary>Answer</summary>
#
# **(b).** The steepest direction sets the cliff: 2/4 = 0.5. Just below it, each step leaves 1 − 0.5 · 0.04 = 0.98 of
# the distance in the flat direction: 0.98¹⁰⁰ is still 0.13. (a) and (d) are over the cliff of the steep direction: at
# α = 25 it multiplies by −99. (c) forgets that one α has to serve both.
# </details>
#
# **Now write it yourself:** [workbook 1](../exercises/01_learning_rate.ipynb), functions
# that are checked as you go.
#
# ## Sources
# - Cauchy 1847, *Méthode générale pour la résolution des systèmes d'équations simultanées*: the step.
# - LeCun, Bottou, Orr and Müller 1998, *Efficient BackProp*: 1/L, 2/L and their picture.
# - Bottou, Curtis and Nocedal 2018, *Optimization methods for large-scale machine learning*, arXiv:1606.04838: the
#   noise floor of a constant rate.
# - Polyak 1964, *Some methods of speeding up the convergence of iteration methods*: momentum.
# - Lewkowycz, Bahri, Dyer, Sohl-Dickstein and Gur-Ari 2020, *The large learning rate phase of deep learning: the
#   catapult mechanism*, arXiv:2003.02218: thrown up, it lands where it is flatter.
# - Cohen, Kaur, Li, Kolter and Talwalkar 2021, *Gradient descent on neural networks typically occurs at the edge of
#   stability*, arXiv:2103.00065: section 4.
# - Goodfellow, Bengio and Courville 2016, *Deep Learning*, chapter 11: which hyperparameter first.
# - Rajpurkar and others 2017, *CheXNet*, arXiv:1711.05225. Lang and others 2019, *PointPillars*, arXiv:1812.05784.
#   Redmon and others 2016, *You only look once*, arXiv:1506.02640: the rates of "Where it matters".
