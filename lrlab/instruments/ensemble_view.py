"""The ensemble view: networks that are put together and taken apart, and what the whole of them says, at once."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from lrlab import data as data_sets
from lrlab import ensembles, figures
from lrlab.data import Dataset
from lrlab.ensembles import Ensemble, Evaluation, Reliability, Scores
from lrlab.instruments.instrument import Instrument

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from lrlab.instruments.page import Page

AVERAGES = {"probabilities": "probabilities", "logits": "logits"}
IMAGES = {"disputed": "most disputed", "hardest": "hardest"}
MOST_MEMBERS = 16
ROWS = 6  # examples that are shown one by one
BINS = 15  # of the calibration error, as in `ensembles.ece`
LONGEST_SIDE = 64  # pixels that the page gets of an image
RIGHT, WRONG = figures.PALETTE[2], "#B3261E"


@dataclass(frozen=True)
class _Found:
    """What the members that are in it say together. It is replaced as a whole, so that nobody sees half of it."""

    log_probabilities: Tensor  # of the whole, [N, K]
    evaluation: Evaluation
    reliability: Reliability
    training_steps: int | None


class EnsembleView(Instrument):
    """An instrument on ensembles: add and remove members, and see accuracy, loss and calibration of the whole move.

    Each member is a column: its name, its own accuracy, and what it says of six examples that are hard. Beside the
    columns stand the whole's scores with those of its members, its reliability diagram, and how often each two members
    agree. The logits of all members are computed once; a member that comes or goes costs an average of them.

    The best single member is the best by these very labels, so its score flatters it: nobody knows beforehand which
    one it is. What one network in the ensemble's place would be expected to have is the mean.

    Args:
        ensemble: up to 16 members.
        data: labelled examples that no member has learned from: a data set or its name (its test split is taken), or a
            pair ``(x [N, ...], y [N])``.
        average: what is averaged, ``"probabilities"`` or ``"logits"``; see `ensembles.average`.

    Attributes:
        names: of all members, in or out.
        classes: their names.

    Raises:
        TypeError: no ensemble, or data without labels.
        ValueError: too many members, data with other classes, examples the members do not take.

    >>> from lrlab import ensembles, instruments
    >>> members = ensembles.independent("mlp", "digits", members=3, steps=100, how="batched", progress=False)
    >>> view = instruments.EnsembleView(members, "digits")
    >>> view.remove(1)
    >>> view.members, view.training_steps
    ((0, 2), 200)
    >>> view.scores.whole.loss < view.scores.mean.loss
    True
    >>> view.average = "logits"
    """

    def __init__(
        self,
        ensemble: Ensemble,
        data: str | Dataset | tuple[Tensor, Tensor],
        *,
        average: str = "probabilities",
    ) -> None:
        super().__init__()
        self._ensemble = _check_ensemble(ensemble)
        self.names = ensemble.names
        self._title, x, self._y, pixels, classes = _examples(data, ensemble)
        self._logits = _logits(ensemble, x, classes)
        self.classes = classes or tuple(str(k) for k in range(self._logits.shape[2]))
        self._probabilities = self._logits.double().softmax(-1)
        self._alone = [ensembles.scores(one, self._y, BINS) for one in self._logits]
        self._binned = [ensembles.reliability(one.softmax(1), self._y, BINS) for one in self._logits]
        self._agreement = 1 - ensembles.disagreement(self._logits)
        self._orders = _orders(self._logits, self._y)
        self._pictures = None if pixels is None else {name: _small(pixels[rows]) for name, rows in self._orders.items()}
        self._average, self._images = _check_word("average", average, AVERAGES), "disputed"
        self._before: Scores | None = None  # of the whole, before the last change
        self._members = tuple(range(len(ensemble)))
        self._found = self._find(self._members, self._average)

    def __repr__(self) -> str:
        return f"EnsembleView({len(self.names)} members on {self._title})"

    # Who is in it ----------------------------------------------------------------------------------------------------

    @property
    def members(self) -> tuple[int, ...]:
        """The numbers of the members that are in it, counted from 0."""
        return self._members

    def add(self, *numbers: int) -> None:
        """Put members in, counted from 0; one that is in stays in.

        Raises:
            TypeError, ValueError: there is no such member.
        """
        self.only([*self._members, *numbers])

    def remove(self, *numbers: int) -> None:
        """Take members out, counted from 0; one that is out stays out.

        Raises:
            TypeError, ValueError: there is no such member, or none would be left.
        """
        for number in numbers:
            self._check_number(number)
        self.only([number for number in self._members if number not in numbers])

    def only(self, numbers: Iterable[int]) -> None:
        """Have these members in it, and no others.

        Raises:
            TypeError, ValueError: there is no such member, or none at all is given.
        """
        if not isinstance(numbers, Iterable):
            raise TypeError(f"only takes the numbers of members, such as only([0, 2]); got {numbers!r}")
        chosen = list(numbers)
        for number in chosen:
            self._check_number(number)
        if not chosen:
            raise ValueError("at least one member must stay in the ensemble: add another before you remove the last")
        self._change(tuple(sorted({int(number) for number in chosen})), self._average)

    @property
    def average(self) -> str:
        """What is averaged, ``"probabilities"`` or ``"logits"``; it can be set."""
        return self._average

    @average.setter
    def average(self, average: str) -> None:
        self._change(self._members, _check_word("average", average, AVERAGES))

    @property
    def images(self) -> str:
        """Which examples are shown one by one; it can be set.

        ``"disputed"``: where the fewest members agree on one class, and of those with as many where their
        Jensen–Shannon divergence is greatest; ``"hardest"``: where their mean loss is greatest. All members count, in
        or out: the examples stay as members come and go.
        """
        return self._images

    @images.setter
    def images(self, images: str) -> None:
        with self._lock:
            self._images = _check_word("images", images, IMAGES)
        self._show_news()

    def _check_number(self, number: Any) -> None:
        last = len(self.names) - 1
        if isinstance(number, bool) or not isinstance(number, (int, np.integer)):
            raise TypeError(f"a member is a whole number from 0 to {last}, got {number!r}")
        if not 0 <= number <= last:
            raise ValueError(f"there is no member {number}: they are counted from 0 to {last}")

    def _change(self, members: tuple[int, ...], average: str) -> None:
        with self._lock:
            if (members, average) != (self._members, self._average):
                found, self._before = self._find(members, average), self._found.evaluation.whole
                self._members, self._average, self._found = members, average, found
        self._show_news()

    def _find(self, members: tuple[int, ...], average: str) -> _Found:
        whole = self._together(list(members), average)
        evaluation = Evaluation(tuple(self._alone[m] for m in members), ensembles.scores(whole, self._y, BINS))
        part = copy.copy(self._ensemble)  # not a subset: that would look through all weights again, at every click
        part.members = tuple(self._ensemble.members[m] for m in members)
        return _Found(whole, evaluation, ensembles.reliability(whole.exp(), self._y, BINS), part.training_steps)

    def _together(self, members: list[int], average: str) -> Tensor:
        """What `ensembles.average` gives; but the exponentials, nearly all of its time, are there already."""
        if average == "logits":
            return ensembles.average(self._logits[members], average)
        mean = self._probabilities[members].mean(0).clamp(min=torch.finfo(torch.float64).tiny)
        return mean.log().to(self._logits.dtype)

    # What it says ----------------------------------------------------------------------------------------------------

    @property
    def scores(self) -> Evaluation:
        """Of the members that are in it, each alone, and of the whole: ``.whole``, ``.members``, ``.mean``."""
        return self._found.evaluation

    @property
    def best(self) -> Scores:
        """The best single member that is in it, for each score anew: least loss, greatest accuracy, least ECE."""
        members = self._found.evaluation.members
        losses, accuracies, errors = zip(*members, strict=True)
        return Scores(min(losses), max(accuracies), min(errors))

    @property
    def predictions(self) -> np.ndarray:
        """The probabilities of the whole, ``[N, K]``."""
        return self._found.log_probabilities.exp().numpy()

    @property
    def reliability(self) -> Reliability:
        """The whole's predictions in 15 bins of confidence; see `ensembles.reliability`."""
        return self._found.reliability

    @property
    def agreement(self) -> pd.DataFrame:
        """The share of examples on which two members predict the same class, for all members, in or out."""
        return pd.DataFrame(self._agreement.numpy(), self.names, self.names)

    @property
    def strip(self) -> pd.DataFrame:
        """What the members and the whole say of the examples shown: a row per example, by its number in the split."""
        rows = self._orders[self._images]
        said = torch.cat([self._logits[:, rows], self._found.log_probabilities[None, rows]]).argmax(-1)
        columns = {"truth": self._y[rows], **dict(zip([*self.names, "whole"], said, strict=True))}
        named = {name: [self.classes[k] for k in column.tolist()] for name, column in columns.items()}
        return pd.DataFrame(named, index=rows.tolist())

    @property
    def training_steps(self) -> int | None:
        """Steps of all runs that the members in it were taken from; None if unknown. See `ensembles.Cost`."""
        return self._found.training_steps

    @property
    def forward_passes(self) -> int:
        """Per example: one for each member that is in it."""
        return len(self._members)

    def _pooled(self) -> Reliability:
        """The predictions of the single members that are in it, all in the same bins."""
        parts = [self._binned[m] for m in self._members]
        examples = sum(part.examples for part in parts)
        assert isinstance(examples, Tensor)
        sums = (sum(part.examples * part[column].nan_to_num() for part in parts) / examples for column in (1, 2))
        return Reliability(examples, *sums)

    # Pictures --------------------------------------------------------------------------------------------------------

    def figure(self) -> Figure:
        """The members' answers, the scores, the reliability diagram and the agreement, as a matplotlib figure."""
        with self._lock:
            shown = copy.copy(self)  # as it is now; a click need not wait until this is drawn
        whole, mean = shown.scores.whole.accuracy, shown.scores.mean.accuracy
        title = f"{shown._how_many()} on {shown._title}: {whole:.1%} together, {mean:.1%} one by one"
        fig, axes = figures.figure(title, 2, 2, size=(7.2, 6.4), heights=(1.15, 1), sharex=False)
        shown._draw_strip(axes[0, 0])
        shown._draw_reliability(axes[0, 1])
        shown._draw_scores(axes[1, 0])
        shown._draw_agreement(axes[1, 1])
        return fig

    def _draw_strip(self, ax: Axes) -> None:
        strip, columns = self.strip, len(self.names) + 1
        size, letters = (8, 40) if columns <= 7 else (6, 53)  # points; how many letters fill the panel
        margin = 0.3 * columns  # for the picture and its class
        room = max(0, int(letters / (columns + margin)) - 2)  # letters for a class, beside its mark
        left = -0.5 - margin
        for row, said in enumerate(strip.to_numpy()):
            if self._pictures is not None:
                picture = self._pictures[self._images][row].permute(1, 2, 0).expand(-1, -1, 3).numpy()
                ax.imshow(picture, extent=(left, left + 0.42 * margin, row + 0.4, row - 0.4), aspect="auto")
            ax.text(left + 0.47 * margin, row, said[0][:6], va="center", fontsize=8)
            for column, answer in enumerate(said[1:]):
                right, inside = answer == said[0], column in self._members or column == columns - 1
                words = f"{'✓' if right else '✗'} {answer[:room]}".strip()
                colour = (RIGHT if right else WRONG) if inside else "#999999"
                ax.text(column, row, words, ha="center", va="center", fontsize=size, color=colour)
        ax.axvline(columns - 1.5, color="#999999", linewidth=0.8, linestyle="-")
        ax.set(xlim=(left, columns - 0.5), ylim=(ROWS - 0.5, -0.5), yticks=[])
        _name_columns(ax, [*self.names, "whole"], size)
        ax.set_title(f"the {IMAGES[self._images]} examples (grey: out)", loc="left", fontsize=9)
        ax.grid(False)
        ax.spines[:].set_visible(False)

    def _draw_reliability(self, ax: Axes) -> None:
        edges = np.linspace(0, 1, BINS + 1)
        examples, _, accuracy = (column.nan_to_num().numpy() for column in self.reliability)
        bars = ax.bar(edges[:-1], accuracy, 1 / BINS, align="edge", edgecolor="white", color=figures.PALETTE[0])
        for bar, share in zip(bars, examples / examples.max(), strict=True):
            bar.set_alpha(0.3 + 0.6 * share**0.5)  # few examples say little
        pooled = self._pooled()
        ax.plot(pooled.confidence, pooled.accuracy, "o", color="#666666", markerfacecolor="white", markersize=4)
        ax.plot([0, 1], [0, 1], color="#666666", linestyle="--", linewidth=1)
        ax.set(xlim=(0, 1.02), ylim=(0, 1.03), xlabel="confidence", ylabel="accuracy")
        ax.set_title(f"ECE {self.scores.whole.ece:.1%}   (○ single members)", loc="left", fontsize=9)

    def _draw_scores(self, ax: Axes) -> None:
        """Three scales in one panel: each score runs over its own span, the numbers stand beside."""
        ticks = []
        for row, name in enumerate(("accuracy", "loss", "ece")):
            alone = [getattr(one, name) for one in self._alone]
            whole, mean = getattr(self.scores.whole, name), getattr(self.scores.mean, name)
            low, high = min(*alone, whole), max(*alone, whole)
            place = [(value - low) / ((high - low) or 1) for value in (*alone, mean, whole)]
            for number, at in enumerate(place[:-2]):
                fill = "#999999" if number in self._members else "white"
                ax.plot(at, row, "o", color="#999999", markerfacecolor=fill, markersize=6)
            ax.plot(place[-2], row, "|", color="#444444", markersize=16, markeredgewidth=2)
            ax.plot(place[-1], row, "D", color=figures.PALETTE[0], markersize=8)
            ticks.append(f"{'ECE' if name == 'ece' else name}\n{_said(name, whole)}\nmean {_said(name, mean)}")
        ax.set(xlim=(-0.08, 1.08), ylim=(2.5, -0.5), xticks=[], yticks=range(3))
        ax.set_yticklabels(ticks)
        ax.set_title("◆ whole   ● members   | their mean", loc="left", fontsize=9)

    def _draw_agreement(self, ax: Axes) -> None:
        count = len(self.names)
        values = np.where(np.eye(count, dtype=bool), np.nan, self._agreement.numpy())
        low, high = (np.nanmin(values), np.nanmax(values)) if count > 1 else (0.0, 1.0)
        ax.imshow(values, cmap="Blues", vmin=low - 0.1 * (high - low), vmax=high + 0.8 * (high - low) + 1e-6)
        for i, j in np.argwhere(np.isfinite(values)):
            ax.text(j, i, f"{100 * values[i, j]:.0f}", ha="center", va="center", fontsize=9 if count <= 8 else 6)
        _name_columns(ax, self.names, 8 if count <= 8 else 6)
        ax.set_yticks(range(count), self.names, fontsize=8)
        ax.set_title("same answer in % of the examples", loc="left", fontsize=9)
        ax.grid(False)

    def _how_many(self) -> str:
        return f"{len(self._members)} of {len(self.names)} member{'s' * (len(self.names) != 1)}"

    @property
    def alt(self) -> str:
        """What `figure` shows, in words."""
        with self._lock:
            whole, mean, best = self.scores.whole, self.scores.mean, self.best
            names = ", ".join(self.names[m] for m in self._members)
            right = sum(self.strip["whole"] == self.strip["truth"])
            return (
                f"Ensemble view, {self._how_many()} ({names}), average of {self._average}, on {len(self._y):,} "
                f"examples of {self._title}: accuracy {whole.accuracy:.1%} (single members {mean.accuracy:.1%} on "
                f"average, {best.accuracy:.1%} at best), loss {whole.loss:.3g} ({mean.loss:.3g}, {best.loss:.3g}), "
                f"ECE {whole.ece:.1%} ({mean.ece:.1%}, {best.ece:.1%}). Two members agree on {self._span()} of the "
                f"examples. Of the {len(self.strip)} {IMAGES[self._images]} the whole has {right} right."
            )

    def _span(self) -> str:
        pairs = self._agreement[~torch.eye(len(self.names), dtype=torch.bool)]
        return f"{pairs.min():.1%} to {pairs.max():.1%}" if len(pairs) else "all"

    def _picture_key(self) -> Any:
        return (self._members, self._average, self._images)

    # The page --------------------------------------------------------------------------------------------------------

    def _new_page(self) -> Page:
        from lrlab.instruments.page import EnsemblePage  # a page opens a channel: not before it is needed

        return EnsemblePage(repr(self), self._hear)

    def _obey(self, message: dict[str, Any]) -> None:
        match message:
            case {"do": "only", "members": list(members)}:
                self.only(members)
            case {"do": "average", "value": str(average)}:
                self.average = average
            case {"do": "show", "images": str(images)}:
                self.images = images
            case _:
                raise ValueError(f"the page sent {message!r}, which this view does not know")

    def _state(self) -> dict[str, Any]:
        return {
            "title": self._title,
            "examples": len(self._y),
            "names": self.names,
            "classes": list(self.classes),
            "members": list(self._members),
            "average": self._average,
            "averages": list(AVERAGES.items()),
            "images": self._images,
            "choices": list(IMAGES.items()),
            "alone": [_plain(one) for one in self._alone],
            "whole": _plain(self.scores.whole),
            "mean": _plain(self.scores.mean),
            "best": _plain(self.best),
            "before": self._before and _plain(self._before),
            "steps": self.training_steps,
            "agreement": [[round(value, 4) for value in row] for row in self._agreement.tolist()],
            "reliability": [_numbers(column) for column in self.reliability],
            "pooled": [_numbers(column) for column in self._pooled()],
            "strip": self._said_of_each(),
        }

    def _said_of_each(self) -> list[dict[str, Any]]:
        """For each example shown: its class, and the answer (class, probability) of every member and of the whole."""
        rows = self._orders[self._images]
        own = self._logits[:, rows].softmax(-1)
        confidence, answer = torch.cat([own, self._found.log_probabilities[None, rows].exp()]).max(-1)
        said = zip(rows.tolist(), self._y[rows].tolist(), answer.T.tolist(), confidence.T.tolist(), strict=True)
        return [
            {"number": number, "truth": truth, "said": [[k, round(p, 4)] for k, p in zip(classes, sure, strict=True)]}
            for number, truth, classes, sure in said
        ]

    def _news(self, fresh: bool) -> tuple[dict[str, Any], list[bytes]]:
        if self._pictures is None or (not fresh and getattr(self, "_sent", None) == self._images):
            return {}, []
        self._sent = self._images
        shown = (255 * self._pictures[self._images]).round().byte().permute(0, 2, 3, 1).contiguous()
        return {"shape": list(shown.shape)}, [shown.numpy().tobytes()]


def _logits(ensemble: Ensemble, x: Tensor, classes: tuple[str, ...]) -> Tensor:
    """``[M, N, K]`` on the CPU, where a click needs no round trip to a device."""
    logits = ensemble.logits(x)
    logits = logits.to("cpu", torch.promote_types(logits.dtype, torch.float32))
    if classes and logits.shape[2] != len(classes):
        raise ValueError(
            f"the members know {logits.shape[2]} classes, the data have {len(classes)}: they do not belong together"
        )
    for name, one in zip(ensemble.names, logits, strict=True):
        if not bool(torch.isfinite(one).all()):
            raise ValueError(f"{name} gives logits that are not finite: leave it out")
    return logits


def _orders(logits: Tensor, y: Tensor) -> dict[str, Tensor]:
    """The examples that are shown, by what is asked for."""
    loss = torch.stack([F.cross_entropy(one, y, reduction="none") for one in logits]).mean(0)
    votes = F.one_hot(logits.argmax(-1), logits.shape[2]).sum(0).max(-1).values  # for the class that most chose
    divergence = ensembles.jensen_shannon(logits) / (1 + math.log(len(logits)))  # below 1: it decides between equals
    measures = {"disputed": divergence - votes, "hardest": loss}
    return {name: measure.argsort(descending=True, stable=True)[:ROWS] for name, measure in measures.items()}


def _plain(scores: Scores) -> dict[str, float]:
    return {name: round(value, 6) for name, value in scores._asdict().items()}


def _numbers(values: Tensor) -> list[float | None]:
    """As JSON can write them: an empty bin has no value."""
    return [None if value != value else round(value, 4) for value in values.tolist()]


def _said(name: str, value: float) -> str:
    return f"{value:.3g}" if name == "loss" else f"{value:.1%}"


def _name_columns(ax: Axes, names: list[str], size: int) -> None:
    """Short names in two lines, ``seed`` over ``3``; many or long ones upright."""
    upright = len(names) > 8 or max(map(len, names)) > 9
    labels = names if upright else [name.replace(" ", "\n", 1) for name in names]
    ax.set_xticks(range(len(names)), labels, rotation=90 if upright else 0, fontsize=size)


# What is given, and whether it is right -------------------------------------------------------------------------------


def _check_ensemble(ensemble: Any) -> Ensemble:
    if not isinstance(ensemble, Ensemble):
        raise TypeError(
            f"ensemble must be an ensembles.Ensemble, such as ensembles.independent(...) or Ensemble([model]); "
            f"got {type(ensemble).__name__}"
        )
    if len(ensemble) > MOST_MEMBERS:
        raise ValueError(
            f"ensemble has {len(ensemble)} members, and the view has room for {MOST_MEMBERS}: "
            f"take some of them, ensemble.subset(*range({MOST_MEMBERS}))"
        )
    return ensemble


def _examples(data: Any, ensemble: Ensemble) -> tuple[str, Tensor, Tensor, Tensor | None, tuple[str, ...]]:
    """A title, x, y on the CPU, pixels in [0, 1] if they are images, and the names of the classes."""
    if isinstance(data, str):
        data = data_sets.load(data, device="cpu")
    if isinstance(data, Dataset):
        return _of_data_set(data, ensemble)
    if isinstance(data, Tensor) or not isinstance(data, (tuple, list)) or len(data) != 2 or data[1] is None:
        raise TypeError(
            "data must have labels, for there is nothing to score without them: give a data set, its name, or a pair "
            f"(x, y); got {type(data).__name__}"
        )
    x, y = data
    y = _check_labels(y, x)
    pixels = x.cpu().float() if isinstance(x, Tensor) and x.dim() == 4 and x.shape[1] in (1, 3) else None
    if pixels is not None:  # standardised, who knows how: from the least to the greatest value
        low, high = float(pixels.min()), float(pixels.max())
        pixels = (pixels - low) / ((high - low) or 1)
    return "your data", x, y, pixels, ensemble.classes or ()


def _of_data_set(data: Dataset, ensemble: Ensemble) -> tuple[str, Tensor, Tensor, Tensor | None, tuple[str, ...]]:
    x, y = data.test
    if not len(y):
        raise ValueError(f"{data.name} has no test examples: give a pair (x, y), such as dataset.validation")
    known = ensemble.classes
    if known is not None and tuple(known) != tuple(data.classes):
        raise ValueError(f"the members have learned classes {_few(known)}, but {data.name} has {_few(data.classes)}")
    images = len(data.image_shape) == 3 and data.image_shape[0] in (1, 3)
    pixels = data.pixels(x).cpu().float().clamp(0, 1) if images else None
    return data.name, x, y.cpu(), pixels, tuple(data.classes)


def _check_labels(y: Any, x: Any) -> Tensor:
    if not isinstance(x, Tensor):
        raise TypeError(f"x must be a tensor [examples, ...], got {type(x).__name__}")
    if not isinstance(y, Tensor) or y.dim() != 1 or y.is_floating_point() or y.dtype == torch.bool:
        form = f"{y.dtype} {list(y.shape)}" if isinstance(y, Tensor) else type(y).__name__
        raise TypeError(f"y must be a tensor [examples] of classes, whole numbers; got {form}")
    if len(y) != len(x):
        raise ValueError(f"x and y must be of the same examples: {len(x)} and {len(y)}")
    return y.cpu().long()


def _small(pixels: Tensor) -> Tensor:
    """Images of at most 64 pixels to a side."""
    ratio = LONGEST_SIDE / max(pixels.shape[2:])
    if ratio >= 1:
        return pixels
    size = [max(1, round(ratio * side)) for side in pixels.shape[2:]]
    return F.interpolate(pixels, size, mode="bilinear", antialias=True).clamp(0, 1)


def _check_word(name: str, word: Any, known: dict[str, str]) -> str:
    if word not in known:
        raise ValueError(f"{name} = {word!r} is unknown; there are: {', '.join(known)}")
    return str(word)


def _few(classes: Iterable[str]) -> str:
    classes = list(classes)
    return f"{', '.join(map(str, classes[:3]))}{', ...' if len(classes) > 3 else ''} ({len(classes)})"
