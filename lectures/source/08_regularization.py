# %% [markdown]
# # 8 · Against overfitting: penalties and early stopping
#
# So far you made a network fit its training data as fast as it can. Now it has few data, and fits them too well: it
# learns the 360 images by heart, and what it learns about the rest of the world turns wrong. You see that happen, and
# then hold it back in two ways: by making large weights cost something, and by stopping in time.
#
# **After this lecture you can** tell overfitting from its curves, and say what it spoils and what it does not; choose
# λ with a sweep and say what a wrong one costs; say which penalty makes zeros, and why only with the right step; stop
# early without fooling yourself; and tell the two things apart that are both called "weight decay".
#
# Five sections, about 55 minutes of your time. The cells need some 45 seconds of the machine's, on two CPU cores.
# You have met the two decays in [lecture 4](04_adaptive.ipynb), and the sweep in
# [lecture 6](06_finding_the_rate.ipynb).

# %%
from dataclasses import replace

import numpy as np
import torch
from torch.nn import functional as F

import lrlab
from lrlab import Run, data, evidence, figures, instruments, rules, source, sweep, tuning
from lrlab.data import Split
from lrlab.regularization import L1, L2, EarlyStopping, ElasticNet, MaxNorm, hinge, place

assert lrlab.__version__.startswith("0.1"), f"written for lrlab 0.1, this is {lrlab.__version__}: run make install"
torch.set_num_threads(1)  # networks this small are faster on one: two threads would wait for each other
glyphs = data.load("glyphs")  # drawn once, some 5 s, and kept

# %% [markdown]
# ## 8.1 What goes wrong when everything goes right?
# <small>About 9 minutes; the cells run in 5 s.</small>
#
# The task: 36 characters, 16 × 16 pixels, and **ten images of each**. The network has 37,540 weights, a hundred for
# every image. It is judged on 2,000 images that it never sees. Each seed draws ten images of each kind anew, so that no
# result hangs on a lucky choice.


# %%
def draw(seed, each=10):  # a data set with `each` training images of every character, others for every seed
    order = torch.randperm(len(glyphs.train.y), generator=torch.Generator().manual_seed(seed))
    keep = torch.cat([order[glyphs.train.y[order] == label][:each] for label in range(36)])
    return replace(glyphs, train=Split(glyphs.train.x[keep], glyphs.train.y[keep]))


def arm(every=0, each=10, **changes):  # a function of the seed, as `evidence.compare` wants it
    given = {"rule": rules.SGD(), "lr": 0.3, "batch_size": 36, "validate_every": every, **changes}
    return lambda seed: Run("mlp", draw(seed, each), seed=seed, **given)


# %% [markdown]
# <details><summary><b>Predict (Q1).</b> You train for 300 steps. The training loss falls towards 0. What does the loss
# on the other images do: fall too, but less; fall and then stay level; fall and then rise? And the share of right
# answers?</summary>
#
# The validation loss **falls and then rises**. The accuracy does *not* fall with it: it stays level. If you said
# "both get worse", you are in good company. Look at the curves before you read on.
# </details>

# %%
plain = [arm(every=20)(seed).train(300, progress=False) for seed in range(12)]
steps = plain[0].history["val_step"]
trained = np.array([run.history["loss"] for run in plain])
losses = np.array([run.history["val_loss"] for run in plain])
right = np.array([run.history["val_accuracy"] for run in plain])
turn = int(np.median(losses, 0).argmin())
lowest, last = np.median(losses, 0)[[turn, -1]]


def draw_band(ax, x, y, i, name):  # the median and the quartiles of y [seeds, x]
    low, middle, high = np.quantile(y, [0.25, 0.5, 0.75], 0)
    ax.fill_between(x, low, high, color=figures.PALETTE[i], alpha=0.2)
    ax.plot(x, middle, label=name, **figures.style(i))


# %% tags=["nbval-ignore-output"]
fig, (top, low) = figures.figure("The loss on new images turns round; the share of right answers does not", 2,
                                 heights=(2, 1), size=(7.2, 4.8))
draw_band(top, range(1, 301), trained, 0, "training")
draw_band(top, steps, losses, 1, "validation")
draw_band(low, steps, 100 * right, 1, "validation")
top.plot(steps[turn], lowest, "o", color=figures.PALETTE[1], markersize=6)
top.annotate(f"lowest: step {steps[turn]:.0f}", (steps[turn], lowest - 0.2), ha="center", fontsize=9)
top.set(ylabel="loss\n(12 draws: median, quartiles)", ylim=(0, 2.6))
low.set(xlabel="step", ylabel="right / %", ylim=(0, 100), xlim=(0, 300))
[figures.direct_labels(ax) for ax in (top, low)]
figures.show(fig, alt=f"Validation loss: lowest {lowest:.2f} at step {steps[turn]:.0f}, then {last:.2f}. Training "
             f"loss: {np.median(trained[:, -30:]):.2f}. Right answers: level at {100 * np.median(right[:, -1]):.0f} %.")

# %%
rise = losses[:, -1] / losses.min(1)
evidence.verdict("the validation loss ends over 2 % above its minimum in 12 of 12 draws", bool((rise > 1.02).all()))
evidence.verdict("the training loss ends below a tenth of it", bool((trained[:, -30:].mean(1) < 0.1 * last).all()))
kept = right.max(1) - right[:, -1] < 0.03
evidence.verdict("the accuracy ends within 3 points of its best in 12 of 12", bool(kept.all()), f"{right[:, -1]}")

# %% [markdown]
# So this is **overfitting**: the training loss falls while that on new data rises. But what rises is the *loss*. The
# answers are as right as before; the network has become too **sure** of them. Cross-entropy is the surprise at the
# right answer, and whoever is always sure is badly surprised when wrong.
#
# **Beware.** "The validation loss rises, so the model gets worse" is half the story. Say which of the two you need:
# probabilities that can be trusted (watch the loss), or answers (watch the accuracy). And the best cure is none of the
# below. It is more data:

# %%
more = evidence.compare({"10 of each": arm(), "100 of each": arm(each=100)}, steps=300, metric=tuning.TEST_LOSS,
                        seeds=6, progress=False)
more.better("100 of each", than="10 of each", in_at_least=6)

# %% [markdown]
# ## 8.2 What does λ do?
# <small>About 11 minutes; the cells run in 14 s.</small>
#
# If you cannot have more data, make large weights cost something. A **penalty** R(W) is added to the loss:
#
# $$L(W) = \frac1N \sum_i L_i(W) + \lambda R(W), \qquad\text{here } R(W) = \sum w^2$$
#
# | symbol | is | unit |
# |---|---|---|
# | $L_i$ | the loss of sample i, any that you like | nats, for cross-entropy |
# | $R$ | the penalty, summed over the weights; biases are left alone | that of $w^2$ |
# | $\lambda$ | its strength: what a unit of R costs | loss per unit of R |
#
# This one is called **L2**. Its gradient is $2\lambda w$: every weight is pulled towards 0 in proportion to its size.
# (Lecture 4 wrote ½λ in front, as many papers do: the λ there is the 2λ here.) The tested lines:

# %%
source(L2.each)

# %%
source(L2.slope)

# %% [markdown]
# <details><summary><b>Predict (Q2).</b> You raise λ from 0 to 0.1. How does the *training* loss go: down and up, or
# only up? And the validation loss?</summary>
#
# The training loss **only goes up**: without a penalty it is as low as the steps allow, and the penalty only takes away
# from that. The validation loss goes **down and up**. That λ has a best value at all is not in the training data; you
# need other data to see it. Hence a validation split, and hence a sweep.
# </details>
#
# Eight λ, four seeds each, 32 networks at once:

# %%
lams = [0, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1]
table = sweep("mlp", draw(0), rule=rules.SGD(), lr=0.3, batch_size=36, steps=300, penalty=L2(), lam=lams, seeds=4,
              how="batched", progress=False)
middle = table.by("lam")
best = middle["val_loss"].idxmin()

# %% tags=["nbval-ignore-output"]
fig, ax = figures.figure("The training loss only rises with λ; the validation loss has a valley")
for i, (name, column) in enumerate((("training", "loss"), ("validation", "val_loss"))):
    values = table[column].to_numpy().reshape(8, 4).T  # [seeds, λ]
    draw_band(ax, lams[1:], values[:, 1:], i, name)
    ax.axhline(middle[column][0], color=figures.PALETTE[i], linestyle=":", linewidth=1)
    ax.annotate("λ = 0", (1e-4, middle[column][0]), xytext=(3, 5), textcoords="offset points", fontsize=9)
ax.set(xscale="log", xlabel="λ / loss per squared weight", ylim=(0, 3.6))
ax.set_ylabel("loss after 300 steps\n(4 seeds: median, quartiles)")
figures.direct_labels(ax)
figures.show(fig, alt=f"Training loss rises with λ from {middle['loss'][0]:.2f} to {middle['loss'].iloc[-1]:.2f}. "
             f"Validation loss: {middle['val_loss'][0]:.2f} at λ = 0, {middle['val_loss'][best]:.2f} at λ = {best:g}.")

# %%
monotone = bool((middle["loss"].diff().dropna() > 0).all())
evidence.verdict("the training loss rises with every step of λ", monotone)
evidence.verdict("the validation loss is lowest at a λ from 0.001 to 0.01", 1e-3 <= best <= 1e-2, f"{best}")

# %% [markdown]
# λ was chosen on the validation split, on one draw of images. The claim is measured elsewhere: twelve fresh draws, the
# test split.

# %%
arms = {"no penalty": arm(), "λ = 0.0003": arm(penalty=L2(3e-4)), "λ = 0.003": arm(penalty=L2(3e-3)),
        "λ = 0.03": arm(penalty=L2(3e-2))}
price = evidence.compare(arms, steps=300, metric=tuning.TEST_LOSS, seeds=12, progress=False)
price.better("λ = 0.003", than="no penalty", in_at_least=11)
price.better("λ = 0.0003", than="λ = 0.03", in_at_least=11)
price.better("no penalty", than="λ = 0.03", in_at_least=11)

# %% tags=["nbval-ignore-output"]
price.show("Ten times too little is a chance missed; ten times too much is a loss")

# %% [markdown]
# **The cost of a wrong λ is not even.** Too small, and you are nearly where you were. Too large, and you are worse off
# than without. If you cannot sweep, err on the small side.
#
# **Any loss will do** in front of the penalty. The **hinge** loss of the support vector machine asks that the right
# score leads every other by 1, and not a hair more:
#
# $$L_i = \sum_{j\ne y_i} \max(0,\; f_j - f_{y_i} + 1)$$

# %%
source(hinge)

# %% [markdown]
# <details><summary><b>Predict.</b> All right scores lead by 1. What does the next step do under the hinge, and what
# under cross-entropy?</summary>
#
# Under the hinge the loss is exactly 0 and so is its gradient: **nothing moves any more**, bit for bit. Cross-entropy
# is never satisfied: with two classes it is ln(1 + e^(−lead)), which falls however large the lead. Once all answers
# are right, larger scores always pay, so the weights keep growing. The hinge brakes itself, cross-entropy needs a
# brake.
# </details>


# %%
def moved(loss, seed):  # how far the weights still move over the last 40 of 300 steps, as a share of their length
    run = Run("mlp", data.load("digits", seed=seed, per_class=10), lr=0.05, batch_size=25, loss=loss, seed=seed,
              validate_every=0).train(260, progress=False)
    before = torch.cat([w.detach().flatten() for w in run.model.parameters()])
    run.train(40, progress=False)
    return float((torch.cat([w.detach().flatten() for w in run.model.parameters()]) - before).norm() / before.norm())


still = all(moved("hinge", s) == 0 for s in range(8))
evidence.verdict("under the hinge 8 of 8 networks stand still, bit for bit", still)
goes_on = all(moved("cross_entropy", s) > 1e-4 for s in range(8))
evidence.verdict("under cross-entropy 8 of 8 still move", goes_on)

# %% [markdown]
# **Beware.** Three traps around λ:
#
# - torch's `weight_decay` is the factor of w in the *gradient*, so it is **2λ**, and it touches biases too.
# - λ belongs to the **mean** over the batch. If your loss is a *sum* over N samples, the same λ is N times weaker.
# - Do not add the penalty to the loss you *report*: a training loss with λR in it cannot be compared with validation.

# %%
ours = arm(penalty=L2(0.003, on="all"), dtype="float64")(0).train(50, progress=False)
torchs = arm(weight_decay=2 * 0.003, dtype="float64")(0).train(50, progress=False)
pair = ours.model.parameters(), torchs.model.parameters()
same = all(torch.allclose(a, b, atol=1e-12) for a, b in zip(*pair, strict=True))
evidence.verdict("L2(λ) on all parameters and weight_decay = 2λ make the same network, to twelve digits", same)

# %% [markdown]
# ## 8.3 Which penalty makes zeros?
# <small>About 15 minutes; the cells run in 9 s.</small>
#
# | penalty | R(W) | its pull on w |
# |---|---|---|
# | **L2** (ridge) | $\sum w^2$ | $2\lambda w$: weaker, the smaller w is |
# | **L1** (lasso) | $\sum \lvert w\rvert$ | $\lambda\,\mathrm{sign}(w)$: the same at any size |
# | **elastic net** | $\sum \beta w^2 + \lvert w\rvert$ | both |
#
# For a convex loss, minimising L + λR is the same as minimising L inside a **ball** R ≤ c, for a c that depends on λ.
# So the question is where a ball and the contours of a loss touch.
#
# <details><summary><b>Predict (Q3).</b> The ball of L1 is a square that stands on its corner. Why would a contour touch
# it at a corner more often than anywhere else, and what is special about a corner?</summary>
#
# A corner lies on an axis: one parameter is **exactly 0** there. And a corner sticks out. A contour that comes from
# *any* of a whole range of directions meets it first, while it touches a given point of a smooth border from one
# direction only. The circle of L2 has no corners: its solution lies on an axis only by accident.
# </details>
#
# **Your turn.** (1) With L2, turn λ all the way up: does the solution ever reach an axis before it reaches 0? (2)
# Choose L1: at which λ does w₂ become 0, and at which w₁? (3) Drag the minimum (or <kbd>Tab</kbd> to the map, arrow
# keys) until L1 drops w₁ first. (4) Set λ = 0.003 and press play: how many weights of the network (200 digits) are 0
# after 300 steps, and what does it cost in right answers? Then "L1 by gradient", reset and play: how many now? If
# nobody plays, the next cell does.

# %%
view = instruments.PenaltyView("L1", lam=0.003)
view

# %% tags=["nbval-ignore-output"]
if view.step == 0:
    view.play(steps=300)
view.wait(timeout=60)
figures.show(view.figure(), alt=view.alt)

# %% [markdown]
# <details><summary>What you should have seen</summary>
#
# (1) No: the path of L2 runs into 0 without touching an axis. (2) w₂ at about 0.012, w₁ at about 0.03; from there on
# everything is 0. (3) Wherever the minimum lies more than about twice as far up as to the right. (4) More than half of
# the weights, at next to no cost in right answers; by gradient, none, or one or two by accident.
# </details>
#
# **Say.** If you answered (4), you met the catch. The gradient of λ|w| is λ or −λ however near to 0 you are. A step of
# length αλ goes *over* zero and back, for ever. Zeros need another step: first that of the loss, then **exactly** that
# of the penalty, which stops at zero. It is called **proximal**, or soft thresholding:
#
# $$w \leftarrow \mathrm{sign}(w)\,\max(\lvert w\rvert - \alpha\lambda,\; 0)$$
#
# In the tested lines `mask` is 1 for weights and 0 for biases. The elastic net, besides, divides by 1 + 2βαλ, the
# exact step of its βw².

# %%
source(L1.after)

# %%
source(ElasticNet.after)

# %% [markdown]
# **Measure.** Five arms, eight draws each:


# %%
def touched(run):  # the weights that a penalty acts on: no biases
    return torch.cat([w.detach().flatten() for w in run.model.parameters()])[place(run.model).mask > 0]


penalties = {"none": None, "L2": L2(3e-3), "L1 by gradient": L1(1e-3), "L1 proximal": L1(1e-3, proximal=True),
             "elastic net": ElasticNet(1e-3, beta=2.0, proximal=True)}
nets = {name: [arm(penalty=p)(seed).train(300, progress=False) for seed in range(8)] for name, p in penalties.items()}
weights = {name: torch.stack([touched(run) for run in runs]) for name, runs in nets.items()}  # [seeds, weights]
shares = {name: (w == 0).double().mean().item() for name, w in weights.items()}

# %% tags=["nbval-ignore-output"]
fig, axes = figures.figure("Only the step that stops at zero makes zeros; L2 shrinks, and makes none", 1, 5,
                           size=(7.2, 2.9), sharey=True)
for ax, (name, w) in zip(axes, weights.items(), strict=True):
    share = shares[name]
    ax.hist(w[w != 0], 61, range=(-0.3, 0.3), weights=torch.full(((w != 0).sum(),), 100 / w.numel()), color="#0072B2")
    ax.plot([0, 0], [1e-3, max(100 * share, 1e-3)], color="#D55E00", linestyle="-", linewidth=4)
    ax.set_title(f"{name}\n{100 * share:.0f} % zeros", fontsize=9)
    ax.set(yscale="log", ylim=(0.01, 100), xlim=(-0.3, 0.3), xlabel="weight")
axes[0].set_ylabel("share of the weights / %")
words = ", ".join(f"{name} {100 * share:.0f} %" for name, share in shares.items())
figures.show(fig, alt=f"Histograms of weights, with a bar for those exactly 0: {words}.")

# %%
gone = {name: (w == 0).double().mean(1) for name, w in weights.items()}
tiny = {name: (w.abs() < 1e-3).double().mean(1) for name, w in weights.items()}
length = {name: w.norm(dim=1) for name, w in weights.items()}
evidence.verdict("proximal L1 leaves over 25 % of the weights 0 in 8 of 8", bool((gone["L1 proximal"] > 0.25).all()))
none = bool((gone["L1 by gradient"] < 1e-3).all() and (gone["L2"] < 1e-3).all())  # a sum may be 0 by accident
evidence.verdict("under L1 by gradient and L2 less than one weight in a thousand is exactly 0", none)
near = bool((tiny["L1 by gradient"] > 0.45).all() and (tiny["L2"] < 0.1).all())
evidence.verdict("but L1 by gradient leaves over 45 % of them below 0.001, L2 less than 10 %", near)
evidence.verdict("L2 makes the weights at least 10 % shorter", bool((length["L2"] < 0.9 * length["none"]).all()))
both = bool((gone["elastic net"] > 0.2).all() and (length["elastic net"] < length["L1 proximal"]).all())
evidence.verdict("the elastic net does both: over 20 % zeros, and shorter than under L1", both)

# %% [markdown]
# Why not more zeros? A weight at 0 is lifted off by the gradient of a batch that wants it, and put back a step or two
# later: the blue stroke behind the orange bar of the elastic net are such weights.
#
# The zeros have a meaning. Ask every pixel what share of its 128 weights is left (yellow: all; the darker, the fewer):

# %% tags=["nbval-ignore-output"]
left = {name: torch.stack([(run.model[1].weight != 0).double().mean(0) for run in nets[name]]).mean(0).view(16, 16)
        for name in ("L2", "L1 proximal")}
fig, axes = figures.figure("L1 lets go of the rim first, where little is written", 1, 2, size=(5.2, 2.9), sharex=False)
for ax, (name, map_) in zip(axes, left.items(), strict=True):
    ax.imshow(100 * map_, vmin=0, vmax=100, cmap="cividis")
    rim, core = map_[0].mean(), map_[4:12, 4:12].mean()
    ax.set(xticks=[], yticks=[])
    ax.set_xlabel(f"top row {100 * rim:.0f} %, middle {100 * core:.0f} %", fontsize=9)
    ax.set_title(f"{name}: share of weights left", fontsize=9)
    ax.grid(False)
words = "; ".join(f"{name}: {ax.get_xlabel()}" for ax, name in zip(axes, left, strict=True))
figures.show(fig, alt=f"Share of each pixel's weights that are not 0, blue none, yellow all. {words}.")

# %%
rim, core = left["L1 proximal"][0].mean(), left["L1 proximal"][4:12, 4:12].mean()
evidence.verdict("L1 keeps fewer weights of the top row than of the middle", bool(rim < 0.8 * core), f"{rim}, {core}")

# %% [markdown]
# A zero can be left out: stored as a sparse matrix the network needs less memory, and you can read off it which inputs
# it uses. A weight of 0.0004 must be kept, and tells you nothing.
#
# **Beware.** In torch, `loss + lam * w.abs().sum()` is "L1 by gradient": no zeros, whatever the textbooks say about
# lasso. And Adam divides the gradient by √v̂, but nobody divides the threshold αλ: a proximal step after Adam, with
# the same λ, solves another problem.
#
# **Max-norm** is the blunt relative: no pull at all, but a wall. No unit's incoming weights may be longer than c.

# %%
run = arm(penalty=MaxNorm(c=0.8))(0).train(300, progress=False)
lengths = torch.cat([layer.weight.detach().norm(dim=1) for layer in (run.model[1], run.model[3])])
evidence.verdict("no unit's incoming weights are longer than c", bool((lengths <= 0.8 * (1 + 1e-6)).all()))
at_the_wall = (lengths > 0.8 * (1 - 1e-3)).double().mean()
evidence.verdict("over a tenth of the units stand at the wall", bool(at_the_wall > 0.1), f"{at_the_wall:.2f}")

# %% [markdown]
# ## 8.4 Why not just stop?
# <small>About 9 minutes; the cells run in 7 s.</small>
#
# In 8.1 the validation loss turned round after some 140 steps. **Early stopping** watches it, and ends the run when it
# has not improved for a while (the **patience**), then goes back to the best weights.
#
# <details><summary><b>Predict.</b> You validate every 20 steps, with a patience of 3. The best validation is that after
# step 140. When does the run end, and on which weights?</summary>
#
# After step **200**, the third validation in a row without improvement, on the weights of step **140**, bit for bit.
# Patience counts *validations*: validate twice as often and the same number is half as patient.
# </details>

# %%
source(EarlyStopping.observe)

# %% [markdown]
# **Measure.** The validation split says when to stop. Then it cannot also be the judge: of many looks at it you took
# the luckiest. The test split judges, which neither arm has seen.

# %%
halt = {"to the end": arm(), "stopped early": arm(every=20, stopping=EarlyStopping(patience=3))}
stopping = evidence.compare(halt, steps=300, metric=tuning.TEST_LOSS, seeds=12, progress=False)
stopping.better("stopped early", than="to the end", in_at_least=11)
made = [len(history) for history in stopping.histories["stopped early"]]
sooner = sum(steps < 300 for steps in made) >= 11
evidence.verdict("it stops before the budget is used up in at least 11 of 12", sooner, f"{made}")

# %% tags=["nbval-ignore-output"]
stopping.show("Stopped at its best validation, the network is better on the test split, and cheaper")

# %%
run = halt["stopped early"](0).train(300, progress=False)
there = run.validate()[0] == run.history["val_loss"].min() and run.step > run.best_step
evidence.verdict("the run stands on its best weights, bit for bit", there)

# %% [markdown]
# Does a penalty help on top of it, or was that the same medicine?

# %%
doses = {"stopped early": halt["stopped early"], "λ = 0.003": arm(penalty=L2(3e-3)),
         "both": arm(every=20, penalty=L2(3e-3), stopping=EarlyStopping(patience=3))}
both = evidence.compare(doses, steps=300, metric=tuning.TEST_LOSS, seeds=12, progress=False)
both.better("both", than="stopped early", in_at_least=11)
gain = {name: np.median(stopping.values["to the end"] - values) for name, values in both.values.items()}
part = gain["both"] / (gain["stopped early"] + gain["λ = 0.003"])
evidence.verdict("together they gain less than 80 % of what each gains alone, summed up", part < 0.8, f"{part:.2f}")

# %% tags=["nbval-ignore-output"]
both.show("Two doses of nearly the same medicine: the second adds little")

# %% [markdown]
# Their effects overlap because stopping early acts like L2. Weights start small and grow; who stops early has small
# ones. On a parabola with curvature h, and from 0 on, t steps of plain gradient descent leave the share (1 − αh)ᵗ of
# the way to the minimum undone, and L2 leaves 2λ / (h + 2λ). In the flat directions (small h) both are near 1: neither
# lets the network follow what the data hardly say. Both shares begin to fall where h is about 1/(αt), or about 2λ. So
# αt plays the role of 1/(2λ), not exactly but nearly:

# %%
h = torch.logspace(-3, 1, 200, dtype=torch.float64)  # curvatures
early, shrunk = (1 - 0.05 * h) ** 200, 1 / (1 + 0.05 * 200 * h)  # α = 0.05, t = 200, 2λ = 1/(αt)
evidence.verdict("t steps and L2 with 2λ = 1/(αt) leave the same share of the way, within 0.25",
                 bool((early - shrunk).abs().max() < 0.25), f"{(early - shrunk).abs().max():.2f}")

# %% [markdown]
# **Beware.** Three ways to fool yourself: stopping on the test split (then it is your validation split, and you have
# no test); patience shorter than the bumps of a noisy curve; and forgetting to go back to the best weights: keras
# keeps the *last* unless you ask (`restore_best_weights=True`). And mind a falling learning rate: stopped half-way
# down a schedule, you miss the best part of it.
#
# ## 8.5 Are the two decays one?
# <small>About 8 minutes; the cells run in 2 s.</small>
#
# *Weight decay* means two things. **L2** adds 2λw to the gradient, and the rule makes of it what it makes of gradients.
# **Decoupled** decay leaves the gradient alone and shrinks the weight beside it. Under SGD,
#
# $$w - \alpha\,(g + 2\lambda w) = (1 - 2\alpha\lambda)\,w - \alpha g,$$
#
# the two are one: that is the whole proof.
#
# <details><summary><b>Predict.</b> Where does this proof break for Adam?</summary>
#
# At the first bracket. Adam takes g + 2λw *through its means and its division*: the pull becomes 2λw / √v̂, strong for
# weights with small gradients, weak for those with large ones. Decoupled decay pulls all alike. Lecture 4 showed it on
# noise; here it is on a task.
# </details>
#
# A softmax regression on the glyphs, eight draws at once, each trained with both decays on the same batches:


# %%
draws = [draw(seed).train for seed in range(8)]
images = torch.stack([split.x.flatten(1) for split in draws]).double()  # [seeds, 360, 256]
labels = torch.stack([F.one_hot(split.y, 36) for split in draws]).double()  # [seeds, 360, 36]


def slope(x, batch):  # the gradient of the cross-entropy at the weights x [seeds, 256 · 36]
    surprise = (images[:, batch] @ x.view(8, 256, 36)).softmax(-1) - labels[:, batch]
    return (images[:, batch].mT @ surprise / len(batch)).flatten(1)


# %%
def trained_by(rule, lr, l2=0.0, shrink=0.0):  # the weights after each of 150 steps: [steps, seeds, 256 · 36]
    draw_batch = torch.Generator().manual_seed(0)
    x = 0.1 * torch.randn(8, 256 * 36, generator=draw_batch, dtype=torch.float64)
    state, path = rule.init(x), []
    for _ in range(150):
        batch = torch.randint(360, (36,), generator=draw_batch)
        new, state = rule.step(x, slope(x, batch) + l2 * x, state, lr)
        x = new - lr * shrink * x
        path.append(x)
    return torch.stack(path)


# %%
decay = 0.1  # = 2λ
pairs = {"SGD": (trained_by(rules.SGD(), 0.03, l2=decay), trained_by(rules.SGD(), 0.03, shrink=decay)),
         "Adam": (trained_by(rules.Adam(), 0.003, l2=decay),
                  trained_by(rules.AdamW(weight_decay=decay), 0.003))}
apart = {name: (a - b).norm(dim=-1) / b.norm(dim=-1) for name, (a, b) in pairs.items()}  # [steps, seeds]

# %% tags=["nbval-ignore-output"]
fig, ax = figures.figure("Under SGD the two decays are one but for rounding; under Adam they part at once")
for name, distance in apart.items():
    ax.plot(range(1, 151), distance.median(1).values.clamp(min=1e-18), label=name)
ax.set(yscale="log", xlabel="step", ylim=(1e-17, 3))
ax.set_ylabel("distance of the two networks\n/ their length (median of 8)")
figures.direct_labels(ax)
figures.show(fig, alt="Relative distance between L2 and decoupled decay after 150 steps: "
             + ", ".join(f"{name} {d[-1].median():.1g}" for name, d in apart.items()) + ".")

# %%
evidence.verdict("under SGD L2 and decoupled decay stay equal to 1e-12, 8 of 8", bool((apart["SGD"] < 1e-12).all()))
evidence.verdict("under Adam they end over 10 % apart, 8 of 8", bool((apart["Adam"][-1] > 0.1).all()))

# %% [markdown]
# **Beware.** `torch.optim.Adam(weight_decay=...)` is L2, `torch.optim.AdamW` is decoupled, and the same number means
# different things in them. And since AdamW shrinks by α times its `weight_decay`, a schedule for α is a schedule for
# the decay.
#
# ## Five lines to remember
# 1. Overfitting raises the validation *loss* first: the network becomes too sure. Its answers may be as right as
#    before.
# 2. λ is chosen on data that the training has not seen. Too small misses a chance, too large costs more than none.
# 3. L2 shrinks and makes no zeros; L1 makes zeros, and only if its step stops at zero (proximal).
# 4. Early stopping acts like L2, with αt in the place of 1/(2λ); its judge must be a third split.
# 5. L2 and decoupled decay are one under SGD and two under Adam.
#
# ## Three questions
# <details><summary><b>1.</b> You halve the batch size. Your loss is the *sum* over the batch, plus λR. What must you do
# to λ to keep the same balance? (a) nothing (b) halve it (c) double it</summary>
#
# **(b)** The sum has half as many terms, so the same λ weighs twice as much against it. (a) is right for a mean. (c) is
# the wrong way round: it would make the penalty four times too strong.
# </details>
#
# <details><summary><b>2.</b> You add `1e-3 * sum(w.abs().sum())` to the loss in torch, train with SGD, and count zeros:
# none. What is the first thing to change? (a) a larger λ (b) more steps (c) the step: soft thresholding after
# it</summary>
#
# **(c)** Near 0 the gradient still has size λ, so each step jumps over zero. (a) makes the jumps longer. (b) adds
# jumps. Counting weights below 0.001 instead would show that L1 is at work; they are small, but not 0.
# </details>
#
# <details><summary><b>3.</b> In 8.4, λ = 0.003 *and* stopping early gained little more than the better of the two. Why?
# (a) a bug (b) both hold back the same directions (c) λ is too small</summary>
#
# **(b)** Both leave the flat directions nearly where they started; after the one there is little left to do for the
# other. (a): no bug is needed. (c): a larger λ would hold back more, but 8.2 shows what that costs.
# </details>
#
# **Now write it yourself:** [workbook 8](../exercises/08_regularization.ipynb), functions
# that are checked as you go.
#
# ## Sources
# - A. Hoerl, R. Kennard 1970, *Ridge regression*, Technometrics 12: L2, and that a little bias may pay.
# - R. Tibshirani 1996, *Regression shrinkage and selection via the lasso*: L1, and the picture of ball and contours.
# - H. Zou, T. Hastie 2005, *Regularization and variable selection via the elastic net*: the elastic net.
# - I. Daubechies, M. Defrise, C. De Mol 2004, *An iterative thresholding algorithm*: the proximal step.
# - J. Weston, C. Watkins 1999, *Support vector machines for multi-class pattern recognition*: the multiclass hinge.
# - L. Prechelt 1998, *Early stopping, but when?*: patience. C. Bishop 1995, *Regularization and complexity control in
#   feed-forward networks*: early stopping as a penalty, 2λ ≈ 1/(αt).
# - I. Loshchilov, F. Hutter 2019, *Decoupled weight decay regularization*, arXiv:1711.05101: the two decays.
# - N. Srebro, A. Shraibman 2005, *Rank, trace-norm and max-norm*: max-norm.
