"""The charts of a run's report: loss, validation accuracy and learning rate over the steps, each with an alt text."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from lrlab import figures
from lrlab._words import count, percent, short
from lrlab.finder import local_line
from lrlab.instruments.curves import LARGEST, LOSS_HIGH, LOSS_LOW, LR, Curve
from lrlab.run import Run

SIZE = (4.8, 3.0)  # inches: two figures side by side on a screen, one readable on a phone
MOST_LINES = 40  # that mark a move
SMOOTHING = 0.02  # the standard deviation of the weights that smooth the loss, as a share of the run

Chart = tuple[Figure, str]


def charts(run: Run) -> list[Chart]:
    """Figures of a run's history, each with an alt text; none before its first step."""
    if not len(run.history):
        return []
    curve = Curve()
    curve.grow(run.history)
    drawn = [_loss(run, curve), _accuracy(run), _rate(run, curve)]
    return [chart for chart in drawn if chart is not None]


def last_tenth(run: Run) -> float:
    """The mean training loss over the last tenth of the steps: one mini-batch says little."""
    losses = run.history["loss"]
    return float(np.mean(losses[-max(1, len(losses) // 10) :]))


def _steps(curve: Curve) -> np.ndarray:
    """The last step of each row."""
    return np.minimum((np.arange(len(curve.rows)) + 1) * curve.width, curve.end)


# Loss -----------------------------------------------------------------------------------------------------------------


def _loss(run: Run, curve: Curve) -> Chart:
    steps, smooth = _steps(curve), smoothed(run.history["loss"], curve.width, _turns(run))
    checks = run.history.validation_since(0)
    first, last = short(float(next(iter(smooth[np.isfinite(smooth)]), np.nan))), short(last_tenth(run))
    fig, ax = figures.figure(f"Training loss: from {first} to {last}", size=SIZE)
    # Of one step a thin line, of many the span between the lowest and the highest.
    low, high = curve.rows[:, LOSS_LOW], curve.rows[:, LOSS_HIGH]
    ax.fill_between(steps, low, high, color=figures.PALETTE[0], alpha=0.25, linewidth=0.8 if curve.width == 1 else 0)
    ax.plot(steps, smooth, **figures.style(0), label=f"training {_drawn(last)}")
    alt = (
        f"Training loss, smoothed, over {count(run.step, 'step')}: {first} at the start, {last} in the mean of the last"
        " tenth."
    )
    if len(checks["val_loss"]):
        start, end = (short(float(checks["val_loss"][place])) for place in (0, -1))
        ax.plot(checks["val_step"], checks["val_loss"], **figures.style(1), label=f"validation {_drawn(end)}")
        alt += f" Validation loss: {start} at the start, {end} at the end."
    ax.set(xlabel="step", ylabel="loss", xlim=(0, curve.end))
    _scale(ax, smooth[np.isfinite(smooth)])
    alt += _mark_moves(run, ax)
    figures.direct_labels(ax)
    return fig, alt


def smoothed(losses: np.ndarray, width: int = 1, breaks: Iterable[int] = ()) -> np.ndarray:
    """The smoothed training loss, without lag: straight lines fitted around each point, see `finder.local_line`.

    What a turned knob did must not show before it was turned: each stretch between two breaks is smoothed by itself. So
    is each stretch between two leaps; far above the loss of the start, ten times and more, there is no smooth curve.
    At the beginning of a stretch, where the loss changes most, less is smoothed.

    Args:
        losses: of every step, ``[steps]``; those that are not finite are left out.
        width: steps that are averaged to one point.
        breaks: steps before which something changed.

    Returns:
        ``[ceil(steps / width)]``; NaN where no loss is finite, or it has leapt away.
    """
    points = _means(losses, width)
    known = points[np.isfinite(points)]
    if not len(known):
        return points
    start, lowest = known[: max(3, len(known) // 10)].max(), known.min()
    gone = ~(points <= start + 9 * max(start - lowest, abs(start)))
    begins = {step // width for step in breaks} | set(np.flatnonzero(np.diff(gone)) + 1)
    for place in np.split(np.arange(len(points)), sorted(begins - {0})):
        if len(place) and not gone[place[0]]:
            widths = np.minimum(max(1.0, SMOOTHING * len(points)), 1 + np.arange(len(place)) / 4)
            found = points[place]
            points[place] = local_line(found, widths).clip(found.min(), found.max())
    points[gone] = np.nan
    return points


def _means(losses: np.ndarray, width: int) -> np.ndarray:
    """The mean of the finite losses of every ``width`` steps; NaN where there is none."""
    known = np.abs(losses) < LARGEST
    starts = np.arange(0, len(losses), width)
    sums, numbers = (np.add.reduceat(column, starts) for column in (np.where(known, losses, 0.0), known.astype(float)))
    return sums / np.where(numbers > 0, numbers, np.nan)


def _scale(ax: Axes, smooth: np.ndarray) -> None:
    """Logarithmic, if no loss forbids it; filled by the smoothed curve, whatever a single mini-batch does."""
    if len(smooth) and smooth.min() > 0:
        ax.set_yscale("log")
        low, high = ax.get_ylim()
        ax.set_ylim(max(low, float(smooth.min()) / 3), min(high, 3 * float(smooth.max())))


def _turns(run: Run) -> list[int]:
    """The steps at which a knob was turned; none where they are too many to tell apart."""
    steps = sorted({step for step, _, _ in run.moves})
    return steps if len(steps) <= MOST_LINES else []


def _mark_moves(run: Run, ax: Axes) -> str:
    """A thin line where a knob was turned; what to say of it in the alt text."""
    steps = _turns(run)
    if not steps:
        return ""
    for step in steps:
        ax.axvline(step, color="#777777", linestyle=":", linewidth=1.2, zorder=1.5, label="_move")
    return f" Dotted lines mark the {count(len(steps), 'step')} at which a knob was turned."


# Accuracy and rate ----------------------------------------------------------------------------------------------------


def _accuracy(run: Run) -> Chart | None:
    checks = run.history.validation_since(0)
    steps, accuracies = checks["val_step"], checks["val_accuracy"]
    if not np.isfinite(accuracies).any():
        return None
    best = int(np.nanargmax(accuracies))
    first, last, top = (percent(accuracies[place]) for place in (0, -1, best))
    fig, ax = figures.figure(f"Validation accuracy: {last}, at best {top}", size=SIZE)
    ax.plot(steps, accuracies, **figures.style(1), label=last)
    ax.plot(steps[best], accuracies[best], "o", color=figures.PALETTE[1], markersize=4, label="_best", clip_on=False)
    ax.set(xlabel="step", ylabel="validation accuracy", ylim=(0, 1.02), xlim=(0, len(run.history)))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f} %"))
    figures.direct_labels(ax)
    alt = f"Validation accuracy over the steps: {first} at the start, {top} at best, after step {int(steps[best]):,},"
    return fig, f"{alt} {last} at the end."


def _rate(run: Run, curve: Curve) -> Chart:
    rates, steps = np.append(curve.rows[0, LR], curve.rows[:, LR]), np.append(0, _steps(curve))
    low, high, last = (short(float(rate)) for rate in (rates.min(), rates.max(), rates[-1]))
    span = f"stays at {last}" if low == high else f"goes from {short(float(rates[0]))} to {last}"
    fig, ax = figures.figure(f"The learning rate {span}", size=SIZE)
    ax.step(steps, rates, where="pre", **figures.style(2), label=_drawn(last))
    turned = [(s, v) for s, knob, v in run.moves if knob == "lr" and isinstance(v, (int, float))]
    ax.plot(
        [s for s, _ in turned], [v for _, v in turned], "o", markersize=4, color=figures.PALETTE[2], label="_turned"
    )
    ax.set(xlabel="step", ylabel="applied learning rate", xlim=(0, len(run.history)))
    if rates.min() > 0:
        # A rate that hardly moves shall not look as if it did: whole decades.
        ax.set_yscale("log")
        bottom, top = ax.get_ylim()
        ax.set_ylim(10 ** np.floor(np.log10(bottom)), 10 ** np.ceil(np.log10(top)))
    figures.direct_labels(ax)
    alt = f"The learning rate that was applied {span}; it lies between {low} and {high}."
    return fig, alt + (f" It was turned by hand {count(len(turned), 'time')}." if turned else "")


def _drawn(number: str) -> str:
    """A number of `short` for a figure: the small raised digits of the font are too thin at this size."""
    mantissa, _, power = number.partition("10")
    raised = power.translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789"))
    return f"${mantissa.replace('·', chr(92) + 'cdot ')}10^{{{raised}}}$" if raised != power else number
