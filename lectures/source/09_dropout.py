# %% [markdown]
# # 9 · Dropout: a network that must do without itself
#
# In every training step you switch off a random half of the hidden units. It sounds like sabotage. In this lecture you
# see what the network does about it, why that is a sample from more networks than there are atoms, how one pass stands
# in for all of them, and when you should leave it alone.
#
# **After this lecture you can** say what p means in whose code, and convert; compute the average over masks exactly,
# estimate it, and say what the usual shortcut computes; choose p by a sweep; and tell the three cases in which dropout
# costs more than it gives.
#
# Five sections, about 55 minutes of your time. The cells need some 40 seconds of the machine's, on two CPU cores.

# %%
from dataclasses import replace

import numpy as np
import torch
from torch import nn

import lrlab
from lrlab import analysis, data, dropout, evidence, figures, instruments, source, sweep
from lrlab.data import Split

assert lrlab.__version__.startswith("0.1"), f"written for lrlab 0.1, this is {lrlab.__version__}: run make install"
torch.set_num_threads(1)  # networks this small are faster on one: two threads would wait for each other
few = data.load("digits", per_class=20, device="cpu")  # 200 digits: so few that learning by heart pays


# %% [markdown]
# Two functions serve the whole lecture: a network with **dropout** after each hidden layer, and its training under
# eight seeds. Here `p` is the share of the hidden units that is dropped, as in torch. A `p` of 0 drops nothing, so both
# arms of every comparison are the same code.

# %%
def net(p, hidden=(128, 128)):
    layers, width = [nn.Flatten()], 64
    for units in hidden:
        layers += [nn.Linear(width, units), nn.ReLU(), dropout.InvertedDropout(p)]
        width = units
    return nn.Sequential(*layers, nn.Linear(width, 10))


def train(p, dataset=few, hidden=(128, 128), steps=200):
    return sweep(lambda: net(p, hidden), dataset, lr=0.15, batch_size=20, steps=steps, seeds=8, how="looped",
                 keep_weights=True, progress=False)


# %% [markdown]
# ## 9.1 What does a unit learn when it cannot rely on the others?
# <small>About 14 minutes; the cells run in 5 s.</small>
#
# In an ordinary network units make deals: "I count every loop, and you subtract the sixes." Such a **co-adaptation**
# fits the training images well. If one partner errs on a new image, the deal errs.
#
# Dropout draws a **mask** in every step, for each image its own: a one for each unit that stays, a zero for each that
# goes. No unit knows who will be there next. So what matters must be known to several of them: the network learns a
# **redundant representation**. That is Srivastava's explanation; below you measure the redundancy.
#
# **Your turn.** A network with 16 + 16 hidden units that has learned digits with dropout, and a mask. (1) Press
# **step** a few times: how many of the 32 units go, and does the answer change? (2) Press **play** until there are 60
# masks. Each dot is what one mask says. Where is their average, and where does the network with all units stand? (3)
# Turn p to 0.9, then to 0.1. Keyboard:
# <kbd>Tab</kbd> to the network, then <kbd>→</kbd> for a new mask and <kbd>↓</kbd> for another digit.

# %%
view = instruments.DropoutView(p=0.5)
view

# %% tags=["nbval-ignore-output"]
if view.masks == 1:  # nobody has played
    view.step(59)
view.pause()
figures.show(view.figure(), alt=view.alt)

# %% [markdown]
# The masks disagree a good deal, and yet their average leans the right way. ("Scaled" is the network with all units;
# the histogram is for section 9.2, and its last bar holds all that lies beyond.) Redundancy can be measured: you need
# only take units away.
#
# <details><summary><b>Predict.</b> Two networks get about 90 % of new digits right, one trained without dropout, one
# with p = 0.5. Now remove a random three quarters of the hidden units of both, for every image another set, and scale
# up what is left. How much do they get right: both about 80 %; both about 40 %; the first 40 % and the second 60
# %?</summary>
#
# The third is nearest. The first network was never asked to do without a part of itself. The second has done nothing
# else, though with half of its units and not with a quarter. "Both about 80 %" would say that any wide network is
# redundant by itself. A little it is: see how gently the first curve below begins to fall.
# </details>

# %%
plain, dropped = train(0.0), train(0.5)


# %%
def accuracy(model, share=0.0):  # with that share of the hidden units silenced, for each image others
    for layer in model[3::3]:
        layer.p = share
    torch.manual_seed(0)
    with dropout.masks_at_inference(model), torch.no_grad():
        return float((model(few.validation.x).argmax(-1) == few.validation.y).float().mean())


# %%
shares = np.arange(0, 1, 0.125)
left = {name: np.array([[accuracy(arm.model(seed), share) for share in shares] for seed in range(8)])
        for name, arm in {"without dropout": plain, "with dropout": dropped}.items()}

# %% tags=["nbval-ignore-output"]
fig, ax = figures.figure("Trained with dropout, a network can do without half of its units")
for i, (name, right) in enumerate(left.items()):
    low, middle, high = 100 * np.quantile(right, [0.25, 0.5, 0.75], axis=0)
    ax.fill_between(100 * shares, low, high, color=figures.PALETTE[i], alpha=0.2, linewidth=0)
    ax.plot(100 * shares, middle, label=name)
ax.set(xlabel="silenced hidden units / %", ylabel="right of 300 new digits / %\n(8 seeds: median, quartiles)")
ax.set(ylim=(0, 100), xlim=(0, 88))
figures.direct_labels(ax)
ends = [f"{name} {100 * np.median(right[:, 6]):.0f} %" for name, right in left.items()]
figures.show(fig, alt=f"Accuracy falls as units are silenced. With three quarters of them gone: {', '.join(ends)}.")

# %%
without, with_it = ((right[:, 0] - right[:, 4]) for right in left.values())  # what silencing one half costs
evidence.verdict("trained with dropout, a network loses less than half as much by it, in at least 7 of 8 seeds",
                 int((with_it < 0.5 * without).sum()) >= 7, f"{with_it} against {without}")

# %% [markdown]
# With half of its units the network trained with dropout still gets 83 % right, the other 68 %. Note the left end, too:
# nothing is silenced there, and the two are hardly apart. On clean digits redundancy does not
# make many more answers right. What else it does comes in section 9.4.
#
# **Beware.** The code above silences units at *inference*. In an ordinary program that happens by accident, to
# everyone, once: you forget `model.eval()`.

# %%
model, x = dropped.model(0), few.validation.x
model.train()
first, second = model(x).softmax(-1), model(x).softmax(-1)
evidence.verdict("in training mode two calls with the same images give two answers", not torch.equal(first, second))
model.eval()
evidence.verdict("after model.eval() they give one", torch.equal(model(x), model(x)))

# %% [markdown]
# ## 9.2 What must change when nobody is dropped any more?
# <small>About 11 minutes; the cells run in 1 s.</small>
#
# A unit adds two inputs, a = w₁x₁ + w₂x₂, and each of them is there with probability p = ½.
#
# <details><summary><b>Predict.</b> What is the expectation of a in training? And by what do you multiply at inference,
# when both are there, so that the next layer sees what it is used to?</summary>
#
# Four masks, a quarter each: ¼ (w₁x₁ + w₂x₂) + ¼ (w₁x₁ + 0) + ¼ (0 + w₂x₂) + ¼ (0 + 0) = **½ (w₁x₁ + w₂x₂)**. So
# multiply by ½, the probability to be there. If you do not, every layer hands on, on average, twice what the next one
# was trained with.
# </details>
#
# **Say.** With a mask m of zeros and ones, there are two ways to keep the books:
#
# | | training | inference | what the number means |
# |---|---|---|---|
# | the lecture's form (Srivastava) | $m \odot x$ | $p\,x$ | p: probability to **keep** |
# | the inverted form (torch, keras) | $\frac{m}{1-p} \odot x$ | $x$ | p: probability to **drop** |

# %%
source(dropout.Dropout.forward)

# %%
source(dropout.InvertedDropout.forward)

# %% [markdown]
# The sum over all masks, exactly, for as many inputs as you like:

# %%
w, x = torch.randn(2, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
for keep in (0.5, 0.8):
    exact = dropout.expectation(lambda masks: (masks * w * x).sum(-1), units=10, keep=keep)
    same = torch.allclose(exact, dropout.Dropout(keep).eval()(w * x).sum(), rtol=0, atol=1e-12)
    evidence.verdict(f"keep = {keep}: the mean over all 1,024 masks is the sum at inference, to 12 digits", same)

# %% [markdown]
# **Your turn.** Go back to the view. Switch its **mode** to inference and back, in both **forms**: in which of them
# does a kept unit hand on more than it has, and in which do all units hand on less? Press **step** a few times and
# compare the two means in the histogram: mask by mask, training's jumps about that of inference. Over all masks the two
# are equal in the first layer. In the second a ReLU stands between, and the mean of a ReLU is not the ReLU of the mean:
# there they are only near each other.
#
# The conversion is `p_drop = 1 − p_keep`; under the same mask the outputs differ by the factor `keep`, always, so one
# network can be turned into the other by scaling the weights behind it.

# %%
units = torch.randn(1000, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
torch.manual_seed(2)
ours = dropout.Dropout(keep=0.8)(units)
torch.manual_seed(2)
torchs = nn.functional.dropout(units, p=0.2)
evidence.verdict("Dropout(keep=0.8) is 0.8 times torch's dropout(p=0.2), to 12 digits",
                 torch.allclose(ours, 0.8 * torchs, rtol=1e-12, atol=0))

# %% [markdown]
# **Beware.** A paper says "p = 0.8 for the inputs" and means that a fifth is dropped. `nn.Dropout(0.8)` drops four
# fifths. Nothing warns you, the network even learns something; section 9.4 shows what such a swap costs in hidden
# layers. Before you copy a p, find out whose it is.
#
# ## 9.3 How many networks is that?
# <small>About 12 minutes; the cells run in 7 s.</small>
#
# Every mask makes a network of its own, and all of them share their weights. A layer of 4,096 units, as in AlexNet
# (the network that won the ImageNet contest of 2012), has 2⁴⁰⁹⁶ of them.
#
# <details><summary><b>Predict.</b> There are about 10⁸² atoms in the universe you can see. Is 2⁴⁰⁹⁶ more like a
# grain of sand of that, like all of it, or like something else?</summary>
#
# Something else. If each atom held a universe of its own, and each atom of these again, and so on, you would need
# fifteen levels, and the result a thousand times: 10⁸² to the fifteenth power is 10¹²³⁰.
# </details>

# %%
exponent, atoms = dropout.log10_masks(4096), 82
print(f"2^4096 = 10^{exponent:.0f}; that is {exponent / atoms:.0f} times the exponent of 10^{atoms}")
evidence.verdict("log10_masks agrees with Python's whole numbers", len(str(2**4096)) == int(exponent) + 1)

# %% [markdown]
# So training with dropout trains a sample of an **ensemble**, of many networks that answer together: one member for
# each example and step. At inference you want the answer of them all, the average over masks (papers call it an
# integral):
#
# $$\bar p(y \mid x) = \sum_m P(m)\, p(y \mid x, m) \;\approx\; \frac1M \sum_{i=1}^M p(y \mid x, m_i)
# \qquad\text{or}\qquad p(y \mid x, \text{weights scaled})$$
#
# In the middle stands its **Monte-Carlo** estimate with M drawn masks: M passes. On the right is the **weight-scaling**
# approximation, what `model.eval()` does: one pass. Who is right? With 4,096 units nobody can say. With 12 there are
# 4,096 *masks*, and you can use them all.

# %%
tiny = train(0.5, hidden=(12,))
masks = dropout.all_masks(12)  # [4096, 12], all equally likely at keep = ½


def every_answer(model):  # of all masks: log-probabilities [masks, images, classes]
    hidden = torch.relu(model[1](few.validation.x.double().flatten(1)))
    return model[4](masks[:, None] / 0.5 * hidden).log_softmax(-1)


# %%
labels = few.validation.y


def right(p):  # share of right answers, for probabilities or their logarithms [..., images, classes]
    return (p.argmax(-1) == labels).double().mean(-1)


# %%
singles, exact, scaled, geometric = [], [], [], []
with torch.no_grad():
    for model in (tiny.model(seed).double().eval() for seed in range(8)):
        logs = every_answer(model)
        singles.append(right(logs))
        exact.append(logs.exp().mean(0))
        geometric.append(logs.mean(0).softmax(-1))
        scaled.append(model(few.validation.x.double()).softmax(-1))

# %% tags=["nbval-ignore-output"]
fig, ax = figures.figure("The average of 4,096 networks is better than nearly every one of them")
best = 100 * float(right(exact[0]))
ax.hist(100 * singles[0], bins=np.arange(10, 95, 2), color=figures.PALETTE[5], edgecolor="white", linewidth=0.4)
ax.axvline(best, color=figures.PALETTE[1], linestyle="--")
ax.annotate("their average ", (best, 0.93), xycoords=("data", "axes fraction"), ha="right", color="#A34700")
ax.annotate("single masks", (17, 110), color="#1F5F87")
ax.set(xlabel="right of 300 new digits / %", ylabel="masks (of 4,096)", xlim=(8, 96))
ahead = int((singles[0] > right(exact[0])).sum())
figures.show(fig, alt=f"Single masks get {100 * singles[0].min():.0f} to {100 * singles[0].max():.0f} % right, "
                      f"their average {best:.0f} %; {ahead} of the 4,096 get more.")

# %%
beaten = [float((single < right(p)).double().mean()) for single, p in zip(singles, exact, strict=True)]
evidence.verdict("the average is right more often than 95 % of the single masks, 8 of 8", min(beaten) > 0.95)

# %% [markdown]
# <details><summary><b>Predict.</b> Scaling the weights gives the mean of the <i>inputs</i> of the softmax. Which mean
# of its <i>outputs</i> is that: the arithmetic one, the geometric one, neither?</summary>
#
# The **geometric** one, normalised. A softmax makes log-probabilities out of sums, up to a constant; the mean of the
# logarithms is the logarithm of the geometric mean. For one softmax layer behind the mask that is exact (Baldi and
# Sadowski's fact). The average over masks above is the arithmetic mean, so for that it is an approximation.
#
# How far is it off? The cell measures by the **total variation** of two answers, half the sum of the absolute
# differences of their ten probabilities.
# </details>

# %%
apart = max(float((a - b).abs().max()) for a, b in zip(scaled, geometric, strict=True))
evidence.verdict("with one softmax layer behind the mask, scaling is the geometric mean, to 10 digits", apart < 1e-10)


def distance(p, q):  # mean over images of the total variation, ½ Σ |p − q|: 0 is equal, 1 is as far as can be
    return float(0.5 * (p - q).abs().sum(-1).mean())


# %%
away = [distance(p, q) for p, q in zip(scaled, exact, strict=True)]
draws = [2, 4, 8, 16, 32, 64, 128, 256]
x = few.validation.x.double()
estimates = torch.tensor([[distance(dropout.monte_carlo(tiny.model(seed).double(), x, M, seed).mean, exact[seed])
                           for M in draws] for seed in range(8)])  # [seeds, draws]

# %% tags=["nbval-ignore-output"]
fig, ax = figures.figure("Monte Carlo comes as near as you pay for; scaling costs one pass and stays off")
low, middle, high = estimates.quantile(torch.tensor([0.25, 0.5, 0.75]), 0)
ax.fill_between(draws, low, high, color=figures.PALETTE[0], alpha=0.2, linewidth=0)
ax.plot(draws, middle, marker="o", markersize=4, label="M random masks")
ax.plot(draws, [np.median(away)] * len(draws), label="weights scaled")
ax.set(xscale="log", yscale="log", xlabel="masks M, each costs one pass", xticks=draws, xticklabels=draws)
ax.set(ylim=(0.01, 0.5), yticks=(0.01, 0.02, 0.05, 0.1, 0.2, 0.5), yticklabels=(0.01, 0.02, 0.05, 0.1, 0.2, 0.5),
       ylabel="distance to the exact average\n(total variation; 8 seeds, quartiles)")
ax.minorticks_off()
figures.direct_labels(ax)
figures.show(fig, alt=f"The distance of the Monte-Carlo estimate falls from {middle[0]:.2g} with 2 masks to "
                      f"{middle[-1]:.2g} with 256; scaling stands at {np.median(away):.2g}.")

# %%
slope, _ = analysis.power_law(torch.tensor(draws, dtype=torch.float64), estimates.T)
evidence.verdict("the error of Monte Carlo falls as M to the power −0.5 ± 0.1, 8 of 8",
                 bool(((slope + 0.5).abs() < 0.1).all()), f"{slope}")
between = all(two > off > many for two, off, many in zip(estimates[:, 0], away, estimates[:, -1], strict=True))
evidence.verdict("scaling is nearer to the integral than 2 masks, and farther than 256, 8 of 8", between)

# %% [markdown]
# So scaling is a poor estimate of this average (the verdict's "integral"): a handful of random masks comes nearer. Is
# the network it gives therefore worse? Look at what you really want, right answers and a low loss:

# %%
def loss(p):  # mean of −log p(label), in nats
    return float(-p[torch.arange(len(labels)), labels].log().mean())


pairs = list(zip(scaled, exact, strict=True))
alike = [float((p.argmax(-1) == q.argmax(-1)).double().mean()) for p, q in pairs]
evidence.verdict("scaling and the exact average answer alike on over 90 % of the images, 8 of 8", min(alike) > 0.9)
lower = sum(loss(p) < loss(q) for p, q in pairs)
evidence.verdict("the scaled network's loss is lower than the exact average's, in at least 7 of 8", lower >= 7)

# %% [markdown]
# By the loss, the approximation beats what it approximates; the answers are nearly the same. The average over 4,096
# crippled networks is too modest: it says "0.5" where it is right more than nine times in ten. The geometric mean is
# surer, and here that is deserved. So at inference use `model.eval()`. Take the average over masks where you want to
# know how much the members *disagree*: that is **Monte-Carlo dropout**. Gal and Ghahramani read the deviation as the
# network's doubt: a cheap hint, no guarantee, that an image is unlike those you trained on.
#
# **Beware.** With a second hidden layer behind the mask, scaling is not even the geometric mean, though often close to
# it. And the members are not independent, since they share all weights: this ensemble is cheaper than one of networks
# that were trained apart, but not the same thing.
#
# ## 9.4 Which p?
# <small>About 10 minutes; the cells run in 15 s.</small>
#
# Ask the machine: four values of p, eight seeds, 200 steps each. And ask it twice: once with the 200 labels as they
# are, once with 30 % of them replaced by a random digit (a tenth of those stays right by chance). That is not as odd as
# it sounds. Labels that people make on a Friday afternoon are wrong, and who learns those by heart learns nonsense.
#
# <details><summary><b>Predict.</b> Where will p = 0.5 help more, and with what: the share of right answers, the loss,
# or both?</summary>
#
# With wrong labels it helps both, the answers a lot. With clean labels it helps the loss, and hardly the answers. The
# loss also counts how *sure* a network is, and with dropout this one is less sure of its errors.
# </details>

# %%
draw = torch.Generator().manual_seed(0)
wrong = torch.rand(200, generator=draw) < 0.3
y = torch.where(wrong, torch.randint(0, 10, (200,), generator=draw), few.train.y)
mislabelled = replace(few, name="digits, 30 % relabelled", source=None, train=Split(few.train.x, y))
ps = (0.0, 0.2, 0.5, 0.8)
done = {0.0: plain, 0.5: dropped}  # section 9.1 has trained these
tables = {"clean labels": {p: done[p] if p in done else train(p) for p in ps},
          "30 % relabelled": {p: train(p, mislabelled) for p in ps}}
middle = {name: {p: table[p].median(numeric_only=True) for p in (0.0, 0.5)} for name, table in tables.items()}
alt = [f"{name}: loss {m[0.0]['val_loss']:.2g} without, {m[0.5]['val_loss']:.2g} with p = 0.5, right answers "
       f"{100 * m[0.0]['val_accuracy']:.0f} % and {100 * m[0.5]['val_accuracy']:.0f} %" for name, m in middle.items()]

# %% tags=["nbval-ignore-output"]
fig, axes = figures.figure("With wrong labels the right p is worth a lot, with clean ones little", 1, 2)
for ax, column, scale in zip(axes, ("val_loss", "val_accuracy"), (1, 100), strict=True):
    for i, (name, table) in enumerate(tables.items()):
        values = scale * np.array([table[p][column] for p in ps])
        ax.fill_between(ps, *np.quantile(values, [0.25, 0.75], axis=1), color=figures.PALETTE[i], alpha=0.2)
        ax.plot(ps, np.median(values, axis=1), label=name)
    ax.set(xlabel="p, the share that is dropped")
axes[0].set(ylabel="validation loss / nats", ylim=(0, 2))
axes[1].set(ylabel="right of 300 new digits / %", ylim=(60, 100))
figures.direct_labels(axes[1])
figures.show(fig, alt="; ".join(alt) + ".")


# %%
def wins(table, p, column, sign=1):  # seeds of 8 in which p is better than no dropout
    return int((sign * (table[p][column] - table[0.0][column]) > 0).sum())


clean, noisy = tables.values()
evidence.verdict("wrong labels: with p = 0.5 more answers are right than without, in at least 7 of 8 seeds",
                 wins(noisy, 0.5, "val_accuracy") >= 7)
lower = wins(clean, 0.5, "val_loss", -1)
evidence.verdict("clean labels: with p = 0.5 the loss is lower, in at least 6 of 8", lower >= 6)
little = (clean[0.5]["val_accuracy"] - clean[0.0]["val_accuracy"]).abs() < 0.04
evidence.verdict("clean labels: right answers change by less than 4 in 100, in at least 7 of 8", int(little.sum()) >= 7)
swapped = wins(clean, 0.8, "val_loss", -1)
evidence.verdict("clean labels: p = 0.8 has a higher loss than no dropout in at least 7 of 8", swapped <= 1)

# %% [markdown]
# The last line is the price of the letter p: who meant to keep 80 % and wrote `nn.Dropout(0.8)` would here be better
# off without any dropout. p = 0.5 for hidden units and 0.2 for inputs (in torch's counting) are the usual values to
# begin with.
#
# What can be won on a larger task? Srivastava and others measured on MNIST, with 60,000 digits:
#
# | network | error / % |
# |---|---|
# | without dropout, sigmoid units, 2 × 800 (Simard and others 2003) | 1.60 |
# | dropout, sigmoid units, 3 × 1,024 | 1.35 |
# | dropout, ReLU, 3 × 1,024 | 1.25 |
# | the same with max-norm ([lecture 8](08_regularization.ipynb)) | 1.06 |
# | with max-norm, 2 × 8,192 units | 0.95 |
#
# These figures are theirs, not ours, and from the first line to the second the size changes, too. Read the last line
# again: a network of over seventy million weights, for 60,000 images. With dropout and max-norm such a network was
# usable.
#
# **Beware.** In training the loss is measured *with* masks, at validation without. So with dropout the training loss
# may lie above the validation loss for the whole run. That is no error and no sign of underfitting: compare both in
# `eval` mode.
#
# ## 9.5 When does it not help?
# <small>About 8 minutes; the cells run in 8 s.</small>
#
# Dropout takes from a network what it could have used to learn by heart. If there is nothing to spare, or nothing to be
# gained by heart, what is taken is missed.
#
# <details><summary><b>Predict.</b> Three trainings with p = 0.5: the network from above on 200 digits; one of 12 + 12
# hidden units on the same 200; the network from above on all 1,197 digits. In which is the loss higher than without
# dropout, after the same 200 steps?</summary>
#
# In the second by far, to more than twice: on average 6 of 12 units are left, too few to learn ten digits with in 200
# steps. In the third you win nothing, and in most seeds lose a little: so many digits forbid most of what could be
# learned by heart, and learning under masks takes longer. "Dropout always helps a little" is what these two are here to
# refute.
# </details>

# %%
much = data.load("digits", device="cpu")
small, all_digits = (12, 12), len(much.train.y)
ratios = {"128 + 128 units, 200 digits": dropped["val_loss"] / plain["val_loss"],
          "12 + 12 units, 200 digits": train(0.5, hidden=small)["val_loss"] / train(0.0, hidden=small)["val_loss"],
          f"128 + 128 units, {all_digits:,} digits": train(0.5, much)["val_loss"] / train(0.0, much)["val_loss"]}

# %% tags=["nbval-ignore-output"]
fig, ax = figures.figure("Dropout pays for a large network and few digits, not for the others", size=(7.2, 2.8))
for row, ratio in enumerate(ratios.values()):
    ax.plot(ratio, np.full(8, row) + np.linspace(-0.15, 0.15, 8), "os^"[row], color=figures.PALETTE[row], markersize=5)
    ax.plot([ratio.median()] * 2, [row - 0.3, row + 0.3], color=figures.PALETTE[row], linestyle="-", linewidth=2.5)
ax.axvline(1, color="#777777", linestyle=":")
ticks = (0.7, 1, 1.5, 2, 3, 4)
ax.set(xscale="log", xlim=(0.6, 5), xticks=ticks, xticklabels=ticks, yticks=range(3), yticklabels=ratios)
ax.set(ylim=(2.5, -0.5), xlabel="validation loss with p = 0.5 / without  (dots: seeds; stroke: median)")
ax.minorticks_off()
ax.grid(False, axis="y")
alt = "; ".join(f"{name}: {ratio.median():.2f}" for name, ratio in ratios.items())
figures.show(fig, alt=f"Validation loss with dropout over that without, medians of 8 seeds: {alt}.")

# %%
large, little, plenty = ratios.values()
evidence.verdict("small network: dropout raises the loss by over a half in at least 6 of 8 seeds",
                 int((little > 1.5).sum()) >= 6, f"{list(little)}")
evidence.verdict("much data: it lowers the loss by less than 10 % in at least 7 of 8", int((plenty > 0.9).sum()) >= 7)

# %% [markdown]
# Small network, much data: two cases in which dropout costs. A third is a plain mistake: **dropout before batch
# normalisation**. Batch norm learns the variance of what comes in, with masks. At inference there are none, the
# variance is smaller, and batch norm divides by the old one. Dropout keeps the mean right; it never promised to keep
# the variance.
#
# <details><summary><b>Predict.</b> Take the ReLU of standard normal numbers and drop half of them, inverted form. By
# what factor is their deviation smaller without masks?</summary>
#
# The mean square of such a unit is ½ and its mean 0.40. With masks the mean square is ½ / ½ = 1, so the variance is
# 1 − 0.16 = 0.84; without, ½ − 0.16 = 0.34. The deviation shrinks by √(0.34 / 0.84) = **0.64**.
# </details>

# %%
units = torch.relu(torch.randn(20_000, 8, generator=torch.Generator().manual_seed(3)))
stack = nn.Sequential(dropout.InvertedDropout(0.5), nn.BatchNorm1d(8, momentum=None))  # None: the mean of all batches
torch.manual_seed(0)
with torch.no_grad():
    in_training, at_inference = stack(units).std(), stack.eval()(units).std()
evidence.verdict("behind dropout, batch norm hands on only 0.6 to 0.7 of the spread it was trained with",
                 bool(0.6 < at_inference / in_training < 0.7), f"{at_inference / in_training}")

# %% [markdown]
# So put dropout behind the last batch norm, or leave it out: many modern convolutional networks do without, and trust
# to batch norm, augmentation ([lecture 10](10_augmentation.ipynb)) and weight decay. In convolutions drop whole
# channels (`dropout.SpatialDropout`, torch's `nn.Dropout2d`), since the neighbours of a dropped pixel say what it would
# have said.
#
# ## Five lines to remember
# 1. Dropout makes each unit useful without the others; take half of them away, and the network still works.
# 2. p is the probability to keep in the papers and to drop in the libraries: p_drop = 1 − p_keep.
# 3. It trains a sample of an ensemble of 2ⁿ networks; `eval()` replaces their average by one pass, the geometric mean
#    at best.
# 4. It pays for large networks and few or bad labels; begin at 0.5, sweep, and look at loss *and* accuracy.
# 5. Small network, much data, batch norm behind it: leave it out.
#
# ## Three questions
# <details><summary><b>1.</b> You want reproducible runs and write <code>torch.manual_seed(0)</code> at the top of
# <i>every step</i>. What do you train? (a) the same as before, reproducibly (b) one fixed subnetwork for each place in
# the batch (c) a network without dropout</summary>
#
# **(b)** Every step draws the same masks, as many as the batch has places. Of the ensemble only these few are left, and
# at inference all units speak at once, which none of them ever practised. (a) holds if you seed *once*, before the
# first step. (c) would need p = 0.
# </details>
#
# <details><summary><b>2.</b> Your colleague's validation accuracy changes from call to call, with the same weights and
# images. What first? (a) a smaller rate (b) more validation data (c) look for <code>model.eval()</code></summary>
#
# **(c)** Masks are still being drawn. (a) concerns training, and nothing is trained here. (b) would make the
# symptom smaller, and the accuracy would still be too low.
# </details>
#
# <details><summary><b>3.</b> Training and validation loss are both high and close together. You add dropout with p =
# 0.5. What happens? (a) both get better (b) the gap closes (c) both get worse</summary>
#
# **(c)** That network underfits; there is nothing to learn by heart that could be taken from it, as with the 12 + 12
# units above. (b) There is hardly a gap to close. (a) is hope.
# </details>
#
# **Now write it yourself:** [workbook 9](../exercises/09_dropout.ipynb), functions
# that are checked as you go.
#
# ## Sources
# - N. Srivastava, G. Hinton, A. Krizhevsky, I. Sutskever, R. Salakhutdinov 2014, *Dropout: a simple way to prevent
#   neural networks from overfitting*, JMLR 15: the method, both forms, co-adaptation, and the table on MNIST.
# - P. Baldi, P. Sadowski 2013, *Understanding dropout*, NeurIPS: the geometric mean.
# - Y. Gal, Z. Ghahramani 2016, *Dropout as a Bayesian approximation*, ICML: the average over masks at inference.
# - A. Krizhevsky, I. Sutskever, G. Hinton 2012, *ImageNet classification with deep convolutional neural networks*,
#   NeurIPS: AlexNet, whose two layers of 4,096 units have dropout.
# - X. Li, S. Chen, X. Hu, J. Yang 2019, *Understanding the disharmony between dropout and batch normalization by
#   variance shift*, CVPR: the variance in section 9.5.
# - J. Tompson and others 2015, *Efficient object localization using convolutional networks*, CVPR: dropping channels.
