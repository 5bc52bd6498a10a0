# %% [markdown]
# # 10 · More pictures than you have
#
# Twenty pictures of each class are few. So shift them a little, turn them, brighten them, and you have as many as you
# like. Does it work? On one data set of this lecture shifts by a pixel win some sixteen points of accuracy. On another
# the very same shifts win nothing, and the transform that many recipes put first does harm. You will be able to say
# beforehand which is which.
#
# **After this lecture you can** ask of each transform whether it keeps the label; choose those that help and measure
# it; mix two pictures and read the loss of soft labels; say when asking a network sixteen times pays; and keep your
# device from starving.
#
# Five sections, about 55 minutes of your time. The cells need some 45 seconds of the machine's.

# %%
import time
from dataclasses import replace

import torch

import lrlab
from lrlab import Run, augmentation, data, evidence, figures, instruments, mixing, rules, source
from lrlab.augmentation import ColourJitter, HorizontalFlip, Mixup, Pipeline, ResNetCrop, Rotate, Translate
from lrlab.data import Split

assert lrlab.__version__.startswith("0.1"), f"written for lrlab 0.1, this is {lrlab.__version__}: run make install"
torch.set_num_threads(1)  # networks this small are faster on one: two threads would wait for each other

# %% [markdown]
# ## 1 · Which of these is still a 2?
# *About 15 minutes; the cells run in 4 s.*
#
# **Data augmentation** shows the network a changed copy of each picture, another one at every step, under the label of
# the original. Here is each family of changes, once on a photograph and once on a 2.

# %%
photo, digits = data.load("photos", device="cpu").train.x[1:], data.load("digits", device="cpu")
two = digits.pixels(digits.train.x[digits.train.y == 2][2:3])
lens, shear, stretch = augmentation.LensDistortion, augmentation.Shear, augmentation.Stretch
families = {"flip": HorizontalFlip(p=1), "crop & scale": ResNetCrop(), "colour": ColourJitter(0.7, 0.7, 0.7, 0.2),
            "translate": Translate(90), "rotate": Rotate(60), "stretch": stretch(0.5), "shear": shear(40),
            "lens": lens(1.0)}
on_digit = {**families, "crop & scale": ResNetCrop.scaled(8), "translate": Translate(2)}


# %%
def examples(x, transforms):  # of each family one draw; the strong ones of six, so that you see them
    shown = {"as it is": x[0]}
    for name, transform in transforms.items():
        draws = Pipeline((transform,)).batched(x.expand(6, -1, -1, -1), seed=3)
        shown[name] = draws[(draws - draws.mean(0)).flatten(1).norm(dim=1).argmax()]
    return shown


# %% tags=["nbval-ignore-output"]
fig, axes = figures.figure("The flower stays a flower. Does the 2 stay a 2?", 4, 5, size=(7.2, 5.0), sharex=False)
rows = [*examples(photo, families).items(), ("", None), *examples(two, on_digit).items(), ("", None)]
for ax, (name, picture) in zip(axes.flat, rows, strict=True):
    ax.axis("off")
    if picture is not None:
        ax.imshow(picture.permute(1, 2, 0).numpy().repeat(3 // len(picture), -1).clip(0, 1))
        ax.set_title(name, fontsize=9)
figures.show(fig, alt=f"A flower and an 8 x 8 digit 2, as they are and after: {', '.join(families)}. The flower can "
             "always be recognised; the 2 is mirrored by the flip and tilted by the turn.")

# %% [markdown]
# | family | what is drawn at random | what it tells the network |
# |---|---|---|
# | flip | mirrored or not, with probability p | left and right do not matter |
# | crop & scale | the ResNet recipe, below | size and place do not matter |
# | colour | brightness, contrast, saturation, hue | the light does not matter |
# | translate, rotate, stretch, shear | pixels, degrees, factors, degrees | the camera's place does not matter |
# | lens | the k of a barrel or a pincushion | the camera does not matter |
#
# The **ResNet recipe**: draw L from 256 to 480, scale the shorter side to L pixels, cut out a random square of 224. At
# the largest L it holds less than a quarter of a square picture. (On the digit in proportion: L from 9 to 17, then 8.)
#
# So each transform is a statement: *this does not change the label*. It is **label-preserving** if the statement is
# true. Nobody but you can know, since the network takes your word for it.
#
# **Say.** Geometry is a question asked of each new pixel: where in the old picture does your colour come from? For a
# rotation by θ, counter-clockwise, with places measured in pixels from the centre and y pointing down, the answer is
# a matrix:
#
# $$\begin{pmatrix} x_\text{old} \\ y_\text{old} \end{pmatrix} = \begin{pmatrix} \cos\theta & -\sin\theta \\
# \sin\theta & \cos\theta \end{pmatrix} \begin{pmatrix} x_\text{new} \\ y_\text{new} \end{pmatrix}$$

# %%
source(Rotate.source)

# %% [markdown]
# Several of them (the lens apart) are one matrix, their product, so that the picture is interpolated once and not
# blurred five times.
#
# <details>
# <summary><b>Predict.</b> A network has read 1,197 upright digits, and gets about 98 % of new ones right. Now you
# turn the new ones upside down. As what does it read a 6? And does it read a 9 as a 6 just as often?</summary>
#
# A 6 as a 9, nearly always. A 9 as a 6 only about half the time: many people write the 9 with a straight leg, and no 6
# has that. If you said "both alike", you thought of printed digits.
# </details>
#
# **Your turn.** (1) Raise `rotate` until one of the eleven draws is a 9 to you, and write the angle down. (2) Put
# `rotate` back to 15 and raise `shift`: at how many pixels does the first 6 lose its bow? (3) Switch to *mixup, CutMix*
# (section 3 explains them: a 3 is laid over the 6, or pasted into it, and λ is the share of the 6). Move λ from 1 to 0:
# from where on do you no longer say 6? (<kbd>Tab</kbd> to a slider, then the arrow keys.) No answer is the right one;
# yours is the limit that you would vouch for. If nobody plays, the next cell turns `rotate` to 180.

# %%
view = instruments.AugmentationView("digits", Pipeline((Translate(1), Rotate(15)), seed=0))
view.choose("6", partner="3")
view

# %% tags=["nbval-ignore-output"]
if view.settings["rotate"] == 15:  # nobody has played
    view.turn("rotate", 180)
figures.show(view.figure(), alt=view.alt)

# %% [markdown]
# **Measure.** Four networks as judges, trained on all 1,197 digits. They read the 300 test digits as they are, shifted,
# mirrored and upside down:

# %%
def network(dataset, augment, seed):
    return Run("mlp", dataset, rule=rules.Adam(), lr=0.003, augment=augment, seed=seed, device="cpu", validate_every=0)


# %%
judges = [network(digits, None, seed).train(300, progress=False).model for seed in range(4)]
x, y = digits.test
shifted = Pipeline((Translate(1),)).batched(x, seed=1, data=digits)  # by −1, 0 or 1 pixel in x and in y
versions = {"as they are": x, "shifted": shifted, "mirrored": x.flip(-1), "upside down": x.flip(-1, -2)}
answers = {name: torch.stack([judge(v).argmax(1) for judge in judges]) for name, v in versions.items()}  # [4, 300]


def share(name, of, read_as):  # of the digits `of`, how many are read so
    return float((answers[name][:, y == of] == read_as).float().mean())


# %% tags=["nbval-ignore-output"]
fig, axes = figures.figure("Shifted digits are as hard to read as turned ones, and still the same digits",
                           1, 4, size=(7.2, 2.7), sharey=True)
for ax, name in zip(axes, versions, strict=True):
    ax.imshow([[share(name, i, j) for j in range(10)] for i in range(10)], cmap="Blues", vmin=0, vmax=1)
    right = (answers[name] == y).float().mean()
    ax.set(title=f"{name}: {right:.0%} right", xticks=range(10), yticks=range(10), xlabel="read as (dark: often)")
    ax.title.set_fontsize(9)
    ax.grid(False)
axes[0].set_ylabel("it is a")
rights = ", ".join(f"{name} {(a == y).float().mean():.0%}" for name, a in answers.items())
figures.show(fig, alt=f"Four tables, digit against what it is read as; right: {rights}. Upside down, 6 is read as 9 in "
             f"{share('upside down', 6, 9):.0%}, 9 as 6 in {share('upside down', 9, 6):.0%} of the cases.")

# %%
evidence.verdict("as they are: over 95 % right", bool((answers["as they are"] == y).float().mean() > 0.95))
evidence.verdict("a 6 upside down is read as a 9 in over 70 % of the cases", share("upside down", 6, 9) > 0.7)
evidence.verdict("a 9 upside down is read as a 6 less often", share("upside down", 9, 6) < share("upside down", 6, 9))
evidence.verdict("a mirrored 0 is a 0 in over 90 %", share("mirrored", 0, 0) > 0.9)
evidence.verdict("a mirrored 5 is a 5 in under 20 %", share("mirrored", 5, 5) < 0.2)
evidence.verdict("a mirrored 2 is a 2 in under 75 %", share("mirrored", 2, 2) < 0.75)
evidence.verdict("shifted: under 70 % right", bool((answers["shifted"] == y).float().mean() < 0.7))

# %% [markdown]
# Look at the second table. A 6 that is one pixel further left is a 6 to everybody but these networks. So a failing
# judge may mean two things: the label has **changed** (the 6 that is a 9), or the network has **never seen** such a
# picture (the shifted 6). The first you must not teach. The second is what augmentation is for. The network cannot tell
# you which it is. Look at the pictures.
#
# **Beware.** "Horizontal flip" stands first in many recipes, because they were made for photographs of things. On
# writing, traffic signs with arrows, and X-rays of the chest (the heart is on the left) it is a false statement.
#
# ## 2 · What do twenty pictures of a class lack?
# *About 15 minutes; the cells run in 20 s.*
#
# Now we train with 20 images per class, other ones for every seed, and for the same number of steps in every arm of a
# comparison. The validation set stays as it is.
#
# <details>
# <summary><b>Predict.</b> 200 digits. Three networks see them flipped, turned by up to 180°, and shifted by up to one
# pixel. Which of the three reads more of the (unchanged) validation digits right than a network without augmentation?
# </summary>
#
# **None.** Flips and turns by 180° teach something false. The shift is true, but UCI's digits have been cut out and
# centred: no validation digit is shifted, so there is nothing to win. Whoever said "the shift" is right for the next
# data set.
# </details>

# %%
def few(dataset, seed, count=20):  # so many training images of each class, others for every seed
    x, y = dataset.train
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(seed))
    keep = torch.cat([order[y[order] == k][:count] for k in range(len(dataset.classes))])
    return replace(dataset, train=Split(x[keep], y[keep]), source=None)


# %%
trained = {}  # keeps the networks: they are asked more than once


def arm(dataset, augment):
    def make(seed):
        trained[dataset.name, augment, seed] = network(few(dataset, seed), augment, seed)
        return trained[dataset.name, augment, seed]
    return make


# %%
said = {"as they are": None, "flipped": HorizontalFlip(), "turned ±180°": Rotate(180), "shifted": Translate(1)}
arms = {name: arm(digits, transform) for name, transform in said.items()}
claim = evidence.compare(arms, steps=250, metric="val_accuracy", seeds=8, progress=False)
claim.better("as they are", than="flipped", in_at_least=6)
claim.better("as they are", than="turned ±180°", in_at_least=8)
wins = claim.wins("shifted", "as they are")
evidence.verdict("shifts help on these centred digits in 4 of 8 seeds or fewer", wins <= 4, str(wins))

# %% tags=["nbval-ignore-output"]
claim.show("Digits: two statements are false, the third is true and of no use here")

# %% [markdown]
# Was the shift useless, then? Only for *these* validation digits. Let a camera be held less steadily, and move each of
# them by up to a pixel:

# %%
moved = Split(Pipeline((Translate(1),)).batched(digits.validation.x, seed=2, data=digits), digits.validation.y)
steady = {name: torch.tensor(claim.values[name]) for name in said}
shaky = {name: torch.tensor([trained["digits", t, seed].evaluate(moved)[1] for seed in range(8)])
         for name, t in said.items()}

# %% tags=["nbval-ignore-output"]
fig, ax = figures.figure("Only the network that was shown shifts can read shifted digits")
for i, name in enumerate(said):
    ax.plot(100 * steady[name], 100 * shaky[name], "osD^"[i], color=figures.PALETTE[i], alpha=0.8)
    ax.annotate(name, (100 * steady[name].mean(), 100 * shaky[name].mean() + 9 - 18 * (i == 1)),
                color=figures.PALETTE[i], ha="center")
ax.set(xlabel="right on the validation digits as they are / %", ylabel="right when each is shifted / %\n(8 seeds)")
ax.set(ylim=(10, 105), xlim=(72, 98))
middles = "; ".join(f"{n}: {steady[n].median():.0%} and {shaky[n].median():.0%}" for n in said)
figures.show(fig, alt=f"Accuracy on digits as they are, and on shifted ones, medians of 8 seeds: {middles}.")

# %%
ahead = shaky["shifted"] > shaky["as they are"] + 0.2
evidence.verdict("on shifted digits, training with shifts wins over 20 points, 8 of 8 seeds", bool(ahead.all()))

# %% [markdown]
# That is the whole theory. An augmentation is a statement about the pictures you will meet:
#
# | your statement | and your pictures | so it |
# |---|---|---|
# | is true | vary in just this way | **helps** |
# | is true | never vary so | costs steps, and buys safety |
# | is false | | **harms** |
#
# Now a data set that does vary. `glyphs` are letters and digits of many faces, drawn shifted, turned, stretched and
# sheared. The network knows nothing of that; 20 images of each of the 36 classes must do.
#
# <details>
# <summary><b>Predict.</b> Order them by what they win: colour, turns of up to 10°, shifts by up to a pixel.</summary>
#
# Colour last: the glyphs all have the same light, so it is true and of next to no use. The shift first: for a network
# that looks at each pixel by itself, a letter moved by one pixel is another picture. A turn by a few degrees moves the
# outer pixels only.
# </details>

# %%
glyphs = data.load("glyphs", device="cpu")
four = Pipeline((Translate(1), Rotate(10), stretch(0.1), shear(10)))
helps = {"as they are": None, "colour": ColourJitter(0.4, 0.4), "turned": Rotate(10), "shifted": Translate(1),
         "all four": four}
arms = {name: arm(glyphs, transform) for name, transform in helps.items()}
letters = evidence.compare(arms, steps=400, metric="val_accuracy", seeds=5, progress=False)

# %% tags=["nbval-ignore-output"]
letters.show("Glyphs: the shift alone wins most of it, colour next to nothing")

# %%
letters.better("turned", than="as they are", in_at_least=4)
letters.better("shifted", than="turned", in_at_least=5)
won = torch.tensor(letters.values["all four"] - letters.values["as they are"])
evidence.verdict("all four together win over 15 points in every seed", bool((won > 0.15).all()), str(won))
light = torch.tensor(letters.values["colour"] - letters.values["as they are"])
evidence.verdict("colour moves the accuracy by less than 5 points in every seed", bool((light.abs() < 0.05).all()))

# %% [markdown]
# Two things to keep in mind. The steps were equal, so augmentation had to pay for itself within 400 of them; strong
# augmentation often wants a longer training. And this network was a perceptron. A convolution has the shift built in:
# put `"cnn"` in the place of `"mlp"` in `network` (it takes far longer) and see how much of the gain is left. What
# the architecture knows, augmentation need not teach.
#
# **Beware.** Augment the training split alone. `Run(augment=...)` never touches validation. So the two losses are now
# of different pictures, and a training loss *above* the validation loss need not be an error.
#
# ## 3 · What is half a 3 and half an 8?
# *About 12 minutes; the cells run in 11 s.*
#
# All transforms so far were meant to keep the label. **Mixup** does not even try: it lays two pictures over one
# another, and the label becomes a share of each, a **soft label**:
#
# $$\tilde x = \lambda x + (1-\lambda)\,x' \qquad \tilde y = \lambda y + (1-\lambda)\,y' \qquad
# \lambda \sim \mathrm{Beta}(\alpha, \alpha)$$
#
# | symbol | is |
# |---|---|
# | $x, x'$ | two pictures of the batch; $x'$ is the partner, in random order |
# | $y, y'$ | their labels, as shares of the classes: (0, 0, 1, 0 …) |
# | $\lambda$ | the share of the first, between 0 and 1 |
# | $\alpha$ | small: λ is nearly 0 or 1, hardly mixed; 1: every λ is as likely as any other |
#
# **CutMix** pastes a box of one into the other instead, and λ is the share of the area.

# %%
source(Mixup.__call__, docstring=False)

# %% tags=["nbval-ignore-output"]
a, b = (digits.pixels(digits.train.x[digits.train.y == k][0]) for k in (3, 8))
fig, axes = figures.figure("Above mixup, below CutMix: the label says how much of each is there", 2, 5, size=(7.2, 3.6))
for column, lam in enumerate((1, 15 / 16, 3 / 4, 7 / 16, 0)):
    cut = mixing.box(lam, (4, 4), (8, 8))
    both = ((mixing.mix(a, b, lam), lam), (mixing.paste(a, b, cut), mixing.outside(cut, (8, 8))))
    for ax, (picture, share_of_a) in zip(axes[:, column], both, strict=True):
        ax.imshow(picture[0], cmap="gray_r", vmin=0, vmax=1)
        ax.set_title(f"{share_of_a:.2f} of a 3, {1 - share_of_a:.2f} of an 8", fontsize=8)
        ax.axis("off")
figures.show(fig, alt="A 3 turns into an 8 in five steps: above by fading, below by a growing box pasted into it.")

# %% [markdown]
# <details>
# <summary><b>Predict.</b> With α = 1, ten classes and a perfect network: to what does the training loss fall?</summary>
#
# Not to 0. Whoever is shown 0.7 of a 3 and can do no better than to say "0.7", pays the entropy of the label, −0.7 ln
# 0.7 − 0.3 ln 0.3 = 0.61 nats. Averaged over λ between 0 and 1 that is exactly ½ nat; one partner in ten has the same
# class and costs nothing, so about **0.45 nats**. If you look for 0, you will think that your network is broken.
# </details>
#
# **Measure.** 20 digits per class: as they are, and with 40 % of the labels drawn anew by dice (one throw in ten hits
# the right one, so 36 % are wrong).

# %%
def spoiled(dataset, seed, share=0.4):  # so many labels are drawn anew, by chance
    dice, (x, y) = torch.Generator().manual_seed(seed), dataset.train
    drawn = torch.randint(len(dataset.classes), y.shape, generator=dice)
    return replace(dataset, train=Split(x, torch.where(torch.rand(y.shape, generator=dice) < share, drawn, y)))


right = {"plain": arm(digits, None), "mixup": arm(digits, Mixup(alpha=1.0))}
wrong = {"plain": lambda seed: network(spoiled(few(digits, seed), seed), None, seed),
         "mixup": lambda seed: network(spoiled(few(digits, seed), seed), Mixup(alpha=1.0), seed)}
clean, noisy = (evidence.compare(arms, steps=300, seeds=8, progress=False) for arms in (right, wrong))

# %% tags=["nbval-ignore-output"]
clean.show("Right labels: mixup wins nothing here")
noisy.show("Two labels in five by dice: mixup believes them less")

# %%
noisy.better("mixup", than="plain", in_at_least=7)
evidence.verdict("with right labels it wins in 4 of 8 seeds or fewer", clean.wins("mixup", "plain") <= 4)
late = torch.tensor([history["loss"][-100:].mean() for history in clean.histories["mixup"]])
evidence.verdict("but its training loss stays above 0.35 nats, 8 of 8", bool((late > 0.35).all()), str(late))
late = torch.tensor([history["loss"][-100:].mean() for history in clean.histories["plain"]])
evidence.verdict("without mixup it falls below 0.1, 8 of 8", bool((late < 0.1).all()), str(late))

# %% [markdown]
# Said honestly: **with right labels mixup wins nothing here**; it is a little worse. 200 digits and a small
# perceptron are not where it shines; its authors report 5.53 % → 4.24 % error for a PreAct-ResNet-18 on CIFAR-10.
# What does show at our scale is their other finding: a network that is taught to be linear between examples does not
# believe single wrong labels with all its heart, and its loss on new pictures is lower.
#
# And the training loss says little about how well it learned. Nor does the accuracy on the training batch, of which
# many a progress bar is proud:

# %%
def right_on(run, x, label):
    return float((run.model(x).argmax(1) == label).float().mean())


# %%
blind, plain = [], []
for seed in range(8):
    run = trained["digits", Mixup(alpha=1.0), seed]
    x, y = run.dataset.train
    mixed, soft = Mixup(alpha=1.0, per_sample=True)(x, y, seed=seed, classes=10)
    blind.append(right_on(run, mixed, soft.argmax(1)))
    plain.append(right_on(run, x, y))
evidence.verdict("mixup's network is right on over 97 % of its training pictures, 8 of 8 seeds", min(plain) > 0.97)
evidence.verdict("of the same pictures mixed on fewer, by the larger share, 8 of 8", max(blind) < 0.97)

# %% [markdown]
# **Beware.** "Mixup" is three things. The paper's code draws one λ for the whole batch, with α = 1 on CIFAR-10. fastai
# draws one for each picture, takes max(λ, 1 − λ), so that the first is always the larger share, and has α = 0.4.
# torchvision's `v2.MixUp` takes for the partner the picture before, and relies on the batch being shuffled.
# (`Mixup(per_sample=True)` is the second, without the max.) And keep the soft labels soft: `argmax` before the loss
# throws half of mixup away.
#
# ## 4 · Does it help to ask sixteen times?
# *About 6 minutes; the cells run in 2 s.*
#
# **Test-time augmentation** changes the picture when the network is used: show it M changed copies, and average what it
# says,
#
# $$p(y \mid x) \approx \frac1M \sum_{m=1}^{M} \operatorname{softmax} f(T_m x)$$
#
# It needs no training, and costs M times the time, for ever.
#
# <details>
# <summary><b>Predict.</b> Two networks for glyphs, one trained without augmentation, one with all four. Both are asked
# with one shifted copy, and with sixteen. Which of them wins by sixteen, and what does *one* copy do?</summary>
#
# The one without augmentation wins a little: it has never seen a shift, and the average smooths that out. The other
# has learned to look past shifts, so that an average has nothing to add. And one copy is worse than none in both: it
# swaps the picture as it is for one that is harder to read.
# </details>

# %%
def accuracy(transform, seed, draws):
    x, y = glyphs.validation
    model, shift = trained["glyphs", transform, seed].model, Pipeline((Translate(1),))
    p = augmentation.predict_with(model, x, shift, draws, data=glyphs) if draws else model(x).softmax(-1)
    return float((p.argmax(1) == y).float().mean())


copies = (0, 1, 4, 16)
asked = {name: torch.tensor([[accuracy(transform, seed, m) for m in copies] for seed in range(4)])
         for name, transform in {"without": None, "with augmentation": four}.items()}  # [seeds, copies]

# %% tags=["nbval-ignore-output"]
fig, ax = figures.figure("Sixteen copies help the network that has not learned to ignore shifts")
for name, values in asked.items():
    ax.plot(range(4), 100 * values.median(0).values, marker="o", label=f"trained {name}")
ax.set(xticks=range(4), xticklabels=("as it is", "1 copy", "4 copies", "16 copies"), ylim=(40, 100))
ax.set(ylabel="validation glyphs right / %\n(median of 4 seeds)", xlabel="what the network is shown of each picture")
figures.direct_labels(ax)
words = "; ".join(f"{n}: " + ", ".join(f"{v:.0%}" for v in values.median(0).values) for n, values in asked.items())
figures.show(fig, alt=f"Accuracy as it is, with 1, 4 and 16 copies, trained {words}.")

# %%
poor, good = asked.values()
evidence.verdict("one shifted copy costs both over 4 points, 4 of 4 seeds",
                 bool((poor[:, 1] < poor[:, 0] - 0.04).all() and (good[:, 1] < good[:, 0] - 0.04).all()))
evidence.verdict("sixteen win something for the network without, 4 of 4", bool((poor[:, 3] > poor[:, 0]).all()))
nothing = (good[:, 3] - good[:, 0]).abs() < 0.02
evidence.verdict("and move the one with augmentation by less than 2 points, 4 of 4", bool(nothing.all()))
evidence.verdict("training with it wins more than asking sixteen times", bool((good[:, 0] > poor[:, 3] + 0.08).all()))

# %% [markdown]
# So train with it first. Asking more than once is for the network that you may not train again.
#
# ## 5 · What does it cost, and who makes it?
# *About 8 minutes; the cells run in 2 s.*
#
# There are two places to do it. A **DataLoader** changes one picture at a time on the CPU, in worker processes, while
# the device trains. Or the device changes the whole batch at once. The same three transforms, 256 pictures of 64 × 64:

# %%
corners = [(top, left) for top in range(0, 363, 24) for left in range(0, 576, 36)]
squares = torch.stack([photo[0, :, top : top + 64, left : left + 64] for top, left in corners])  # [256, 3, 64, 64]
usual = Pipeline((HorizontalFlip(), Rotate(15), ColourJitter()))
one_by_one = augmentation.PerImage(Split(squares, torch.zeros(256).long()), usual)
there = squares.to(data.resolve_device("auto"))


# %%
def seconds(job):  # the best of three
    times = []
    for _ in range(3):
        start = time.perf_counter()
        job()
        times.append(time.perf_counter() - start)
    return min(times)


# %% tags=["nbval-ignore-output"]
single = seconds(lambda: [one_by_one[i] for i in range(256)])
batched = seconds(lambda: float(usual.batched(there).sum()))  # reading the sum waits for the device
print(f"one by one: {256 / single:,.0f} pictures a second; batched on {there.device}: {256 / batched:,.0f} a second")
print(f"batched is {single / batched:.1f} times as fast here")
print(f"a device that trains on 256 of them in 20 ms needs {int(single / 0.020) + 1} workers of one core, or it waits")

# %% tags=["nbval-ignore-output"]
for name, augment in {"plain": None, "shifted": Translate(1), "all four": four, "mixup": Mixup()}.items():
    run = network(digits, augment, seed=0)
    print(f"{name}: {10 * seconds(lambda run=run: run.train(100, progress=False)):.2f} ms a step")

# %% [markdown]
# These steps, 64 pictures of 8 × 8 and a small perceptron, are so short that augmentation is a good part of them.
# With larger pictures and networks the ratio is another one. And the machine that built this page had other work to
# do: measure yours.
#
# Who waits for whom? If the device needs $t$ seconds for a batch of $B$ pictures, and one picture costs a core $a$
# seconds, then with $W$ workers
#
# $$\text{time per step} = \max\big(t,\; B\,a / W\big) \qquad\text{so take}\qquad W \ge B\,a / t.$$
#
# Too few, and the device **starves**: it stands idle while pictures are made. You notice by its use (`nvidia-smi`
# jumping between 0 and 100 %), and you prove it by training on one batch over and over: if a step is shorter then,
# the pictures were late. More workers than cores help nobody. What helps: `num_workers`, `persistent_workers=True`;
# decoding to a smaller size once and not at every epoch; moving bytes, which take a quarter of the memory of floats;
# or the whole batch on the device, which is what `Run(augment=...)` does.
#
# ### Five traps
# 1. **Augmented validation.** Then you choose by a noisy exam, and by another one at each epoch.
# 2. **Bytes or floats.** 0 … 255 or 0 … 1: many libraries guess by the dtype, and a wrong guess is a black picture.
# 3. **Standardised before the colours.** Brightness × 1.4 of pixels with mean 0 moves them away from grey: that is
#    contrast. Colours first, standardise last.
# 4. **The same dice in every worker.** A worker is a copy of the process. torch deals out fresh seeds for the global
#    dice, but a generator that your data set holds itself is copied as it stands.
# 5. **The label that changed**, section 1. And the box, the mask, the key points: they must move with the picture.
#
# The package refuses two and three, and four is quickly shown:

# %% tags=["nbval-ignore-output"]
refused = 0
for pixels in ((255 * squares).byte(), (squares - squares.mean()) / squares.std()):
    try:
        usual.batched(pixels)
    except (TypeError, ValueError) as error:
        refused += 1
        print(f"{type(error).__name__}: {error}\n")

# %%
evidence.verdict("bytes and standardised pixels are both refused", refused == 2)
copy, another = usual.albumentations(), usual.albumentations()  # as two workers hold them
image = squares[0].permute(1, 2, 0).contiguous().numpy()
same = all((copy(image=image)["image"] == another(image=image)["image"]).all() for _ in range(5))
evidence.verdict("two copies of a pipeline with one seed draw the same five pictures", same)
torch.manual_seed(0)
mine = [one_by_one[0][0] for _ in range(5)]
torch.manual_seed(1)  # a DataLoader gives every worker another seed of torch
other = [one_by_one[0][0] for _ in range(5)]
evidence.verdict("PerImage, seeded by torch, draws others", not any(map(torch.equal, mine, other)))

# %% [markdown]
# ### Who makes it
# As of November 2026:
#
# | library | what it is | its state |
# |---|---|---|
# | torchvision 0.29, `transforms.v2` | tensors, PIL; on the device too | BSD, maintained; v2 stable since 0.17 |
# | kornia 0.9 | batches of tensors on the device, differentiable | Apache-2.0, maintained |
# | albumentations 2.0.8 | arrays on the CPU, over 70 transforms | MIT, **unmaintained** since June 2025 |
# | AlbumentationsX 2.5 | its successor, nearly the same calls | **AGPL-3.0**, or a paid licence; maintained |
# | imgaug 0.4.0 | arrays on the CPU; in old code | MIT; last release February 2020, fails with NumPy 2 |
# | Augmentor 0.2.12 | files on the disk, by PIL | MIT; no release since 2023 |
#
# Two catches. torchvision's v2 takes a batch, and then draws **once for all its pictures**; kornia draws for each. And
# AGPL means: what you publish with it, or offer over a network, must be AGPL too, or you pay.
#
# We use albumentations for the pictures one by one: it does what it does, is tested against the batched way, and its
# MIT licence cannot be taken back. What "unmaintained" means is that one day it will not install. Then the batched way
# is still there: it needs torch and nothing else. Before you move to the successor, read its licence with whoever
# publishes your code.
#
# ## Five lines to remember
# 1. An augmentation is a statement: this does not change the label. You vouch for it, the network cannot.
# 2. It helps if it is true *and* your pictures vary so; if they never do, it costs steps; if it is false, it harms.
# 3. Mixup's labels are soft: its training loss ends near ½ nat, and its training accuracy says little.
# 4. Train with augmentation before you ask sixteen times.
# 5. W ≥ B a / t workers, or the whole batch on the device; and never augment validation.
#
# ## Three questions
# **1.** You classify satellite pictures of fields by crop. Which set do you take?
# - (a) flips, turns by any angle, small changes of colour
# - (b) turns of at most 15°, as on digits, and strong changes of hue
# - (c) none, the pictures are all taken from straight above
#
# <details>
# <summary>Answer</summary>
#
# **(a).** Seen from above there is no upright, so flips and all angles are true, and fields do lie at all angles. (b)
# has it the wrong way round twice: the angle is free, and the hue may *be* the label. (c) is right about the tilt and
# forgets the north.
# </details>
#
# **2.** With augmentation your training loss is 0.6 and your validation loss 0.4. What is wrong?
# - (a) nothing need be: the two are losses of different pictures
# - (b) validation examples have leaked into training
# - (c) the network is too small
#
# <details>
# <summary>Answer</summary>
#
# **(a).** The training pictures are the harder ones; with mixup the loss cannot even go below the entropy of the
# labels. (b) would make validation too good, too, so look if nothing else explains it; (c) is possible, but measure it
# on training pictures *without* augmentation first.
# </details>
#
# **3.** Shifts win 15 points for a perceptron on glyphs, and on the centred digits nothing. Your friend concludes that
# the digits have too few pixels for it. What do you show them?
# - (a) the shifted validation digits
# - (b) a larger network
# - (c) longer training
#
# <details>
# <summary>Answer</summary>
#
# **(a).** There the same training wins over 20 points, at the same 64 pixels: what was missing were shifted pictures
# to be tested on. (b) and (c) change what the network can learn, not what it is asked.
# </details>
#
# That was the third way to keep a network from learning its pictures by heart, after the penalties of
# [lecture 8](08_regularization.ipynb) and the dropout of [lecture 9](09_dropout.ipynb). They can be combined.
#
# **Now write it yourself:** [workbook 10](../exercises/10_augmentation.ipynb), functions
# that are checked as you go.
#
# ## Sources
# - Simonyan and Zisserman 2015, *Very deep convolutional networks*, arXiv:1409.1556, and He, Zhang, Ren and Sun 2016,
#   *Deep residual learning for image recognition*, arXiv:1512.03385, section 3.4: scale and crop, 256 to 480 and 224.
# - Krizhevsky, Sutskever and Hinton 2012, *ImageNet classification with deep convolutional neural networks*, section
#   4.1: colours at training, ten crops at test.
# - Zhang, Cisse, Dauphin and Lopez-Paz 2018, *mixup: beyond empirical risk minimization*, arXiv:1710.09412: the
#   formula, wrong labels, 5.53 % and 4.24 %.
# - Yun, Han, Oh, Chun, Choe and Yoo 2019, *CutMix*, arXiv:1905.04899.
# - Shorten and Khoshgoftaar 2019, *A survey on image data augmentation for deep learning*, Journal of Big Data 6.
# - The README files of albumentations (notice of June 2025) and of AlbumentationsX 2.4 (licence); torchvision's release
#   notes 0.17; kornia's page on PyPI, 0.9.2; imgaug's issue 859 and pull request 860 (NumPy 2), its release of February
#   2020; the newest versions on PyPI in November 2026.
