"""Figures that everybody can read: one message as the title, colours and line styles that differ, labels on the lines,
and a text that says what the picture shows.

    fig, ax = figures.figure("Momentum needs fewer steps")
    ax.plot(steps, loss, label="SGD")
    ax.plot(steps, loss_with_momentum, label="momentum")
    ax.set(xlabel="step", ylabel="loss", yscale="log")
    figures.direct_labels(ax)
    figures.show(fig, alt="Two loss curves fall; the one with momentum reaches 0.1 after 40 steps, SGD after 130.")

Only matplotlib's ``Figure`` objects are used, never pyplot and never the global rcParams: a figure may be drawn by any
thread, and drawing one changes nothing for the others.
"""

from __future__ import annotations

import base64
import html
import io
import textwrap
import threading
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.ticker import LogFormatterSciNotation

#: The colours of Okabe and Ito (2008), told apart with every common form of colour blindness, without the yellow,
#: which does not show on white.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")

#: One line style for each colour: the curves differ in a grey print as well.
STYLES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)), (0, (2, 1)))

WIDTH_PX = 720  # of a figure on the page; it is drawn with twice as many pixels
LIMIT_BYTES = 150_000  # of one picture in a notebook
_INCH_PX = 100
_FONT_SIZE = 10

# matplotlib's text parser is shared between threads and is not made for that.
_drawing = threading.Lock()


def figure(
    title: str,
    rows: int = 1,
    columns: int = 1,
    *,
    size: tuple[float, float] | None = None,
    heights: Sequence[float] | None = None,
    sharex: bool = True,
    sharey: bool = False,
) -> tuple[Figure, Any]:
    """A new figure in the style of the lectures.

    Args:
        title: the message of the figure, as a sentence.
        rows, columns: panels; with more than one, the second value is an array of axes, as ``plt.subplots`` gives.
        size: width and height in inches; 7.2 inches fill a notebook's column.
        heights: relative heights of the rows, ``(2, 1)`` for a loss over its learning rate.
        sharex, sharey: whether the panels of a column (a row) share their axis.

    Returns:
        The figure and its axes. Each axes object takes its colours and line styles from PALETTE and STYLES in turn.
    """
    width, height = size or (WIDTH_PX / _INCH_PX, 1.2 + 2.6 * rows)
    fig = Figure(figsize=(width, height), dpi=_INCH_PX, layout="constrained", facecolor="white")
    fig.suptitle(textwrap.fill(title, int(width * 11)), x=0.01, ha="left", fontsize=_FONT_SIZE + 2)
    axes = fig.subplots(
        rows,
        columns,
        sharex="col" if sharex else False,
        sharey="row" if sharey else False,
        height_ratios=heights,
    )
    for ax in np.ravel(axes):
        _dress(ax)
    return fig, axes


def _dress(ax: Axes) -> None:
    ax.set_prop_cycle(color=PALETTE, linestyle=STYLES, linewidth=[1.4] * len(PALETTE))
    ax.margins(x=0)  # a curve ends where its label begins
    ax.grid(True, color="#DDDDDD", linewidth=0.6)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(which="both", labelsize=_FONT_SIZE - 1)
    ax.xaxis.label.set_fontsize(_FONT_SIZE)
    ax.yaxis.label.set_fontsize(_FONT_SIZE)


def style(index: int) -> dict[str, Any]:
    """The colour and line style of the curve with this number, for ``ax.plot(x, y, **style(2))``."""
    return {"color": PALETTE[index % len(PALETTE)], "linestyle": STYLES[index % len(STYLES)]}


def direct_labels(ax: Axes, lines: Sequence[Line2D] | None = None) -> None:
    """Write each line's label at its right end, spread so that no two overlap, instead of a legend.

    Call it last: when everything is plotted and the limits and scales are set.

    Args:
        ax: the axes; lines without a label of their own stay without one.
        lines: the lines to label, all of ``ax`` by default.
    """
    gap = _line_height(ax)  # draws once: only then the limits of the axes are those of the picture
    ends = []
    for line in ax.get_lines() if lines is None else lines:
        end = _last_visible_point(ax, line)
        if end is not None and not str(line.get_label()).startswith("_"):
            ends.append((end[1], end, line))
    if not ends:
        return
    ends.sort(key=lambda item: item[0])
    for (_, end, line), y in zip(ends, _spread([item[0] for item in ends], gap), strict=True):
        ink = _ink(line.get_color())
        moved = abs(y - end[1]) > 0.02 or end[0] < 0.98
        leader = {"arrowstyle": "-", "color": ink, "linewidth": 0.6, "shrinkA": 1, "shrinkB": 2}
        ax.annotate(
            str(line.get_label()),
            xy=end,
            xytext=(1.02, y),
            xycoords="axes fraction",
            textcoords="axes fraction",
            va="center",
            color=ink,
            fontsize=_FONT_SIZE - 1,
            annotation_clip=False,
            arrowprops=leader if moved else None,
        )


def _last_visible_point(ax: Axes, line: Line2D) -> tuple[float, float] | None:
    """The right end of a line in fractions of the axes, clipped to them; None where nothing is drawn."""
    points = line.get_transform().transform(np.ma.filled(np.ma.asarray(line.get_xydata(), dtype=float), np.nan))
    points = ax.transAxes.inverted().transform(points[np.isfinite(points).all(axis=1)])
    if not len(points):
        return None
    x, y = np.clip(points[-1], 0, 1)
    return float(x), float(y)


def _line_height(ax: Axes) -> float:
    """The height of one line of text as a fraction of the axes, once the layout is known."""
    fig = ax.figure
    assert isinstance(fig, Figure)
    with _drawing:
        fig.draw_without_rendering()
    return 1.35 * (_FONT_SIZE - 1) / 72 * fig.dpi / ax.get_window_extent().height


def _spread(wanted: Sequence[float], gap: float) -> list[float]:
    """The heights nearest to the wanted ones (in the mean square) that keep their order and are ``gap`` apart.

    With z_i = y_i - i gap the condition reads z_1 <= z_2 <= ...: an isotonic regression.
    """
    from sklearn.isotonic import isotonic_regression

    steps = gap * np.arange(len(wanted))
    top = max(0.0, 1 - steps[-1])
    return list(isotonic_regression(np.asarray(wanted) - steps, y_min=0.0, y_max=top) + steps)


def _ink(colour: Any) -> str:
    """The colour, darkened until a text in it has the contrast of 4.5 : 1 on white that WCAG 2.2 asks for."""
    rgb = np.array(to_rgb(colour))
    while 1.05 / (_luminance(rgb) + 0.05) < 4.5:
        rgb = rgb * 0.95
    return to_hex(tuple(rgb))


def _luminance(rgb: np.ndarray) -> float:
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def png(fig: Figure) -> bytes:
    """The figure as PNG with two pixels for each pixel of the page.

    Curves need no more than 256 colours, and take half the space with them. A picture that is still over 150 kB, a
    photograph as a rule, gets fewer pixels.
    """
    for scale in (2.0, 1.5, 1.0):
        picture = _render(fig, scale)
        picture = min(picture, _in_256_colours(picture), key=len)
        if len(picture) <= LIMIT_BYTES:
            break
    return picture


class _PlainNumbers(LogFormatterSciNotation):
    """0.05, 1, 20 in place of 5 × 10⁻², 10⁰ and 2 × 10¹, at the ticks where matplotlib would write the latter."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        return f"{x:g}" if super().__call__(x, pos) else ""


def _finish(fig: Figure) -> None:
    """What can only be set once the author is done: a title and a scale bring matplotlib's own settings with them."""
    usual = FontProperties(size=matplotlib.rcParams["axes.titlesize"]).get_size_in_points()
    for ax in fig.axes:
        if ax.title.get_fontsize() == usual:
            ax.title.set_fontsize(_FONT_SIZE)
        for axis in (ax.xaxis, ax.yaxis):
            low, high = sorted(axis.get_view_interval())
            if axis.get_scale() == "log" and low >= 5e-4 and high <= 2e4:
                for own, set_to in (
                    (axis.get_major_formatter(), axis.set_major_formatter),
                    (axis.get_minor_formatter(), axis.set_minor_formatter),
                ):
                    if type(own) is LogFormatterSciNotation:
                        set_to(_PlainNumbers(minor_thresholds=own.minor_thresholds, labelOnlyBase=own.labelOnlyBase))


def _render(fig: Figure, scale: float) -> bytes:
    buffer = io.BytesIO()
    with _drawing:
        _finish(fig)
        fig.savefig(buffer, format="png", dpi=scale * _INCH_PX, metadata={"Software": None})
    return buffer.getvalue()


def _in_256_colours(picture: bytes) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.open(io.BytesIO(picture)).convert("RGB").quantize(256).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def bundle(fig: Figure, alt: str) -> tuple[dict[str, str], dict[str, Any]]:
    """The figure as a Jupyter MIME bundle and its metadata, for ``display(data, metadata=metadata, raw=True)``.

    The picture stands in it twice. As HTML, because neither JupyterLab nor nbconvert's HTML export reads an alt text
    from the metadata of a PNG: only an ``<img alt>`` of our own survives both. And as plain PNG, for exports to PDF.

    Args:
        fig: the figure.
        alt: what the figure shows, in a sentence or two, for those who cannot see it.

    Raises:
        ValueError: ``alt`` is empty.
    """
    if not alt.strip():
        raise ValueError(f"alt must say in words what the figure shows; got {alt!r}")
    picture = base64.b64encode(png(fig)).decode("ascii")
    width, height = (round(float(inches) * _INCH_PX) for inches in fig.get_size_inches())
    image = f'<img alt="{html.escape(alt)}" width="{width}" src="data:image/png;base64,{picture}">'
    # The plain text is the same on every machine: nbval compares it.
    data = {"text/html": image, "image/png": picture, "text/plain": "Figure"}
    return data, {"image/png": {"alt": alt, "width": width, "height": height}}


def show(fig: Figure, alt: str) -> None:
    """Display the figure in the notebook, with its alt text, in double resolution.

    nbval would compare the HTML picture, which differs from CPU to CPU: give the cell the tag ``nbval-ignore-output``.

    Args:
        fig: the figure.
        alt: what the figure shows, in a sentence or two, for those who cannot see it.

    Raises:
        ValueError: ``alt`` is empty.
    """
    from IPython.display import display

    data, metadata = bundle(fig, alt)
    display(data, metadata=metadata, raw=True)
