"""One page about a run: what was trained and how, what came of it, and how to make it again.

    report.write(run, "run.html")
    report.write("run.json", "run.html")        # what run.save_moves wrote: the run is made again first

The page is one HTML file that fetches nothing: figures are in it as pictures with an alt text, and so is the move log,
to be saved and replayed. It is made for the screen (light and dark), for a phone, and for print. ``lrlab report
run.json`` writes the same page from the shell.
"""

from __future__ import annotations

import base64
import math
import os
import platform
import tempfile
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from html import escape
from importlib import metadata
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import binomtest

from lrlab import figures, moves
from lrlab._charts import charts, last_tenth
from lrlab._words import count, percent, short
from lrlab.data import resolve_device
from lrlab.run import Run

if TYPE_CHECKING:
    import pandas as pd

    from lrlab.data import Split

MARK = '<meta name="generator" content="lrlab report">'  # by this line of the template a report is known again
MOST_MOVES = 40  # in the table; the record has them all
MOST_VALUES = 6  # of a list that is written out
FEW_MOVES = 8  # stand beside the figures
WIDE = 560  # pixels: a figure that would be unreadable if a phone made it fit


@dataclass(frozen=True)
class Section:
    """A section of one's own for a report.

    Attributes:
        heading: what it says, in a line.
        text: paragraphs, with an empty line between two.
        table: a pandas DataFrame; its index is shown where it has a name or is more than row numbers.
        figure: a matplotlib Figure.
        alt: what the figure shows, in a sentence or two; needed with a figure.
    """

    heading: str
    text: str = ""
    table: pd.DataFrame | None = None
    figure: Figure | None = None
    alt: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.heading, str) or not self.heading.strip():
            raise ValueError(f"heading must be a line of text, got {self.heading!r}")
        if self.figure is not None and not self.alt.strip():
            raise ValueError(f"the figure of the section {self.heading!r} needs alt=, a text that says what it shows")


def write(
    run: Run | str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    title: str | None = None,
    sections: Sequence[Section] = (),
    overwrite: bool = False,
    progress: bool = False,
    device: str | None = None,
) -> Path:
    """Write the report of a run to an HTML file, whole or not at all.

    Args:
        run: a run that is not running; or the path of a file that `Run.save_moves` wrote: then the run is made again.
        path: the file to write, ``*.html``. A former report there is replaced; any other file is not.
        title: the heading; default: model and data.
        sections: sections of your own, which come after the results.
        overwrite: replace a file that is no report, too.
        progress: show a bar while the run is made again.
        device: for a saved run: make it again on this device, not on the one it was made on. The same moves on another
            device round otherwise: the curves begin alike and end a little apart.

    Returns:
        The path.

    Raises:
        ValueError: a file name that is not ``*.html``; a damaged move log, or one whose run had parts of its own (a
            module, tensors): replay that run with them, ``Run.replay(config, moves, model=...)``, and give the run; one
            that was made on a device that is not here.
        FileNotFoundError, FileExistsError, IsADirectoryError, PermissionError: the path cannot be written.
        TypeError: ``run`` or a section is of the wrong kind.
        RuntimeError: the run is running: pause it first.
    """
    target = _target(path, overwrite)
    if not isinstance(run, Run):
        run = _made_again(run, device, progress)
    elif device is not None:
        raise TypeError(f"device={device!r} is for the path of a saved run; this run has been made, on {run.device}")
    content = page(run, title=title, sections=sections)
    return moves.write_whole(target, content.encode("utf-8", "backslashreplace"))


def page(run: Run, *, title: str | None = None, sections: Sequence[Section] = ()) -> str:
    """The report as text; see `write`. But for the last section (versions, machine) and the date it depends on the
    run alone."""
    if not isinstance(run, Run):
        raise TypeError(f"run must be a Run or the path of its move log, got {type(run).__name__}")
    for section in sections:
        if not isinstance(section, Section):
            raise TypeError(f"sections must be a list of report.Section(heading, ...), got {type(section).__name__}")
    if run.status == "running":
        raise RuntimeError("report: the run is running in another thread; pause first")
    record = _record(run)
    config, log = moves.parse(record)
    results = list(_results(run, config))
    title = run.title if title is None else title
    moved, beside = _move_table(run, log), len(run.history) > 0 and len(log) <= FEW_MOVES
    parts = [
        _tiles(run, results),
        _section("What was trained", _pairs(_settings(run, config))),
        _section("How it went", _how_it_went(run, moved if beside else "")),
        "" if beside else _section("Moves", moved),
        _section("Results", _result_table(results)),
        *(_own(section) for section in sections),
        _section("Make it again", _again(config, record)),
        _section("Made with", _pairs(_made_with(run))),
    ]
    return Template(Path(__file__).with_name("report.html").read_text("utf-8")).substitute(
        title=escape(title),
        summary=_summary(run, results),
        body="\n".join(part for part in parts if part),
        version=metadata.version("lrlab"),
        date=escape(_today()),
    )


# Files ----------------------------------------------------------------------------------------------------------------


def _target(path: str | os.PathLike[str], overwrite: bool) -> Path:
    """The file to write, after checking that it can be: a run that takes minutes is not made for nothing."""
    target = Path(path).expanduser()
    if target.suffix.lower() not in (".html", ".htm"):
        raise ValueError(
            f"a report is an HTML page: its name must end in .html (for a PDF print it), got {str(path)!r}"
        )
    if target.is_dir():
        raise IsADirectoryError(f"{target} is a folder: name a file in it, such as {target / 'report.html'}")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"{target} cannot be written: there is no folder {target.parent}; make it first")
    if not os.access(target.parent, os.W_OK):
        raise PermissionError(f"{target} cannot be written: the folder {target.parent} is read-only")
    if target.exists() and not overwrite and not _is_report(target):
        raise FileExistsError(
            f"{target} exists and is no report of lrlab: choose another name, or overwrite=True (--force)"
        )
    return target


def _is_report(path: Path) -> bool:
    with path.open("rb") as file:
        return MARK.encode() in file.read(1000)


def _made_again(path: Any, device: str | None, progress: bool) -> Run:
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"run must be a Run or the path of its move log, got {type(path).__name__}")
    if Path(path).is_dir():
        raise IsADirectoryError(f"{os.fspath(path)} is a folder: name the file in it that run.save_moves wrote")
    if Path(path).suffix == ".safetensors":
        raise ValueError(
            f"{os.fspath(path)} is no move log, but what run.save wrote perhaps: in Python, report.write(Run.load("
            f"{os.fspath(path)!r}), 'run.html')"
        )
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no file {os.fspath(path)}: run.save_moves(...) writes one")
    config, log = Run.load_moves(path)
    if own := _own_parts(config):
        raise ValueError(
            f"{os.fspath(path)} cannot be made again from the file alone: its run had {_listed(own)} of its own."
            f" In Python: config, moves = Run.load_moves({os.fspath(path)!r});"
            f" report.write(Run.replay(config, moves, {_as_arguments(own)}), 'run.html')"
        )
    config = config if device is None else {**config, "device": device}
    try:
        resolve_device(config.get("device", "auto"))
    except ValueError as error:
        if device is not None:
            raise
        raise ValueError(
            f"{os.fspath(path)} cannot be made again here as it was made: {error} That is device='cpu', and in the "
            "shell --device cpu"
        ) from None
    try:
        return Run.replay(config, log, progress=progress)
    except (LookupError, AttributeError, TypeError) as error:
        raise ValueError(f"{os.fspath(path)} is damaged: its configuration makes no run ({error!r})") from None


def _own_parts(config: Mapping[str, Any]) -> dict[str, str]:
    """The parts that JSON has no form for, each with the name of its class."""
    return {key: str(value["own"]) for key, value in config.items() if isinstance(value, Mapping) and "own" in value}


def _listed(own: Mapping[str, str]) -> str:
    return " and ".join(f"a {key} ({kind})" for key, kind in own.items())


def _as_arguments(own: Mapping[str, str]) -> str:
    return ", ".join(f"{key}=..." for key in own)


def _record(run: Run) -> str:
    """What `Run.save_moves` writes."""
    with tempfile.TemporaryDirectory() as folder:
        return run.save_moves(Path(folder, "run.json")).read_text("utf-8")


# What came of it ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Result:
    split: str
    step: int
    loss: float
    accuracy: float
    examples: int | None  # None where only the loss function knows them


def _results(run: Run, config: Mapping[str, Any]) -> Iterator[_Result]:
    """Loss and accuracy now, at the best validation on the way, and on the test split."""
    dataset = run.dataset
    parts = {} if dataset is None else {"validation": dataset.validation, "test": dataset.test}
    if config["validation"] is not None:
        parts.pop("validation", None)
    checks = run.history.validation_since(0)
    if _filled(parts.get("validation")) or config["validation"] is not None:
        count = len(parts["validation"].y) if "validation" in parts else None
        yield _Result("validation", run.step, *run.validate(), count)
        if np.isfinite(checks["val_loss"]).any():
            best = int(np.nanargmin(checks["val_loss"]))
            step, loss, accuracy = (float(checks[name][best]) for name in ("val_step", "val_loss", "val_accuracy"))
            yield _Result("validation, lowest loss", int(step), loss, accuracy, count)
    if _filled(parts.get("test")):
        yield _Result("test", run.step, *run.evaluate(parts["test"]), len(parts["test"].y))


def _filled(split: Split | None) -> bool:
    return split is not None and len(split.y) > 0


def _summary(run: Run, results: Sequence[_Result]) -> str:
    text = (
        f"{run.title}, {run.parameters:,} parameters, trained for {count(run.step, 'step')} ({run.epoch:.3g} epochs)."
    )
    known = [result for result in results if _is(result.accuracy)]
    found = {result.split: percent(result.accuracy) for result in known if result.split in ("validation", "test")}
    if found:
        text += f" Accuracy: {', '.join(f'{accuracy} on {split}' for split, accuracy in found.items())}."
    alarm = {
        "ready": "This run has not been trained yet.",
        "diverged": f"This run diverged: at step {run.step:,} its loss was no longer a finite number.",
        "failed": f"This run ended with an error after step {run.step:,}: {run.error!r}",
    }.get(run.status, "")
    return f'<p class="lead">{escape(text)}</p>' + (f'\n<p class="alarm">{escape(alarm)}</p>' if alarm else "")


def _tiles(run: Run, results: Sequence[_Result]) -> str:
    tiles = []
    for result in results:
        if result.split in ("validation", "test"):
            words = f"{result.split} accuracy" if _is(result.accuracy) else f"{result.split} loss"
            tiles.append((percent(result.accuracy) if _is(result.accuracy) else short(result.loss), words))
    if len(run.history):
        tiles.append((short(last_tenth(run)), "training loss, mean of the last tenth of the steps"))
    tiles.append((f"{run.step:,}", f"steps, {run.epoch:.3g} epochs"))
    cells = "".join(f"<li><b>{escape(value)}</b><span>{escape(words)}</span></li>" for value, words in tiles)
    return f'<ul class="tiles">{cells}</ul>'


def _result_table(results: Sequence[_Result]) -> str:
    if not results:
        return ""
    rows = [[r.split, f"{r.step:,}", short(r.loss), percent(r.accuracy), _interval(r), _examples(r)] for r in results]
    head = ["split", "after step", "loss", "accuracy", "95 % interval", "examples"]
    note = (
        "The interval (Wilson's) is for the draw of the examples alone; runs with other seeds may differ by more."
        " The lowest of many validations looks better than it is."
    )
    return f'{_html_table(head, rows, "results", numbers=range(1, 6))}<p class="note">{note}</p>'


def _interval(result: _Result) -> str:
    if result.examples is None or not _is(result.accuracy):
        return "–"
    right = round(result.accuracy * result.examples)
    low, high = binomtest(right, result.examples).proportion_ci(method="wilson")
    return f"{100 * low:.1f} to {100 * high:.1f} %"


def _examples(result: _Result) -> str:
    return "–" if result.examples is None else f"{result.examples:,}"


# What was trained -----------------------------------------------------------------------------------------------------

_LABELS = {
    **{"rule": "Rule", "optimizer": "Optimizer", "lr": "Learning rate", "batch_size": "Batch size"},
    **{
        "weight_decay": "Weight decay",
        "penalty": "Penalty",
        "factors": "Factors of the rate",
        "augment": "Augmentation",
    },
    **{"loss": "Loss", "seed": "Seed", "dtype": "Numbers", "validate_every": "Validated every", "stopping": "Stopping"},
    **{"validation": "Validated on", "compile": "Compiled"},
}
_TOLD_ELSEWHERE = ("model", "data", "steps", "checkpoint_mb", "device", "per")


def _settings(run: Run, config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The settings at step 0, each with its name; those that are off are left out."""
    yield "Model", f"{_described(config['model'])}, {run.parameters:,} parameters"
    yield "Data", _data(run, config)
    for key, value in config.items():
        if key in _TOLD_ELSEWHERE or value is None or value is False or value == {} or value == []:
            continue
        if key in ("weight_decay", "validate_every") and value == 0:
            continue
        text = _described(value).replace("_", " ") if key == "loss" else _described(value)
        if key == "lr" and isinstance(value, Mapping):
            text += f", per {config['per']}"
        if key == "validate_every":
            text += " steps"
        yield _LABELS.get(key, key.replace("_", " ").capitalize()), text


def _data(run: Run, config: Mapping[str, Any]) -> str:
    dataset = run.dataset
    if dataset is None:
        return _described(config["data"])
    sizes = [
        f"{len(s.y):,} {n}" for n, s in zip(("training", "validation", "test"), _splits(run), strict=True) if len(s.y)
    ]
    shape = " x ".join(map(str, dataset.image_shape))
    classes = f"{len(dataset.classes)} classes ({_described(list(dataset.classes))})"
    options = {} if not isinstance(config["data"], Mapping) else config["data"]
    given = ", ".join(f"{key} {_described(value)}" for key, value in options.items() if key not in ("name", "digest"))
    return f"{dataset.name}: {dataset.description}. {', '.join(sizes)} examples; {shape}; {classes}" + (
        f". Loaded with {given}" if given else ""
    )


def _splits(run: Run) -> tuple[Split, Split, Split]:
    assert run.dataset is not None
    return run.dataset.train, run.dataset.validation, run.dataset.test


def _described(value: Any) -> str:
    """A value of a configuration in words: ``Momentum(rho=0.9)`` for the spec of a rule."""
    if isinstance(value, Mapping):
        if "own" in value:
            return f"{value['own']} (not in the record: one's own)"
        fields = [(key, field) for key, field in value.items() if key != "name" and field is not None]
        if "name" not in value:
            return ", ".join(f"{key}: {_described(field)}" for key, field in fields)
        arguments = ", ".join(f"{key}={_described(field)}" for key, field in fields)
        return f"{value['name']}({arguments})" if arguments else str(value["name"])
    if isinstance(value, (list, tuple)):
        shown = ", ".join(_described(item) for item in value[:MOST_VALUES])
        return shown + (f", … {len(value) - MOST_VALUES:,} more" if len(value) > MOST_VALUES else "")
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return str(value)
    return short(value, 6) if isinstance(value, float) else str(value)


# Figures --------------------------------------------------------------------------------------------------------------


def _how_it_went(run: Run, moves_beside: str) -> str:
    """The charts, and the moves beside them if they are few."""
    pictures = "\n".join(_picture(fig, alt, "chart") for fig, alt in charts(run))
    if not pictures:
        return ""
    beside = f"<div>\n<h3>Moves</h3>\n{moves_beside}\n</div>\n" if moves_beside else ""
    return f'<div class="figures">\n{pictures}\n{beside}</div>'


def _picture(fig: Figure, alt: str, kind: str) -> str:
    width, height = (round(float(inches) * 100) for inches in fig.get_size_inches())
    picture = base64.b64encode(figures.png(fig)).decode("ascii")
    source = f"data:image/png;base64,{picture}"
    image = f'<img class="{kind}" alt="{escape(alt)}" width="{width}" height="{height}" src="{source}">'
    return f'<div class="scroll wide">{image}</div>' if width > WIDE else image


# Moves ----------------------------------------------------------------------------------------------------------------


def _move_table(run: Run, log: Sequence[moves.Move]) -> str:
    if not log:
        return "<p>No knob was turned: the run went as it was set up.</p>" if run.step else ""
    epochs = run.history["epoch"]
    rows: list[list[str] | str] = [
        [f"{step:,}", f"{epochs[step] if step < len(epochs) else run.epoch:.2f}", knob, _described(value)]
        for step, knob, value in log
    ]
    if len(rows) > MOST_MOVES:
        half = MOST_MOVES // 2
        rows = [*rows[:half], f"… {len(rows) - MOST_MOVES:,} more, in the record …", *rows[-half:]]
    head = ["before step", "epoch", "knob", "new value"]
    return _html_table(head, rows, "moves", numbers=range(2), header_column=False)


# Make it again --------------------------------------------------------------------------------------------------------


def _again(config: Mapping[str, Any], record: str) -> str:
    own = _own_parts(config)
    link = base64.b64encode(record.encode()).decode("ascii")
    save = f'<a download="run.json" href="data:application/json;base64,{link}">run.json</a>'
    replay = f"run = Run.replay(config, moves{', ' + _as_arguments(own) if own else ''})"
    python = f'from lrlab import Run\n\nconfig, moves = Run.load_moves("run.json")\n{replay}'
    parts = [f'<p class="screen">Save the record, {save}: the settings, the seed and every move.</p>']
    if own:
        needs = f"Its run had {_listed(own)} of its own, which the record does not hold: give the same again."
        parts.append(f"<p>{escape(needs)}</p>")
    else:
        parts.append("<p>From the shell, this page once more:</p>\n<pre><code>lrlab report run.json</code></pre>")
    kind = "" if own else ' class="screen"'  # paper has room for one way
    parts.append(f"<div{kind}><p>In Python, the run itself:</p>\n<pre><code>{escape(python)}</code></pre></div>")
    exact = "On the CPU, with the same versions and number of threads, weights and history are the same bit by bit."
    parts.append(f'<p class="note">{exact}</p>')
    parts.append(f"<details><summary>The record</summary><pre><code>{escape(record)}</code></pre></details>")
    return "\n".join(parts)


def _made_with(run: Run) -> Iterator[tuple[str, str]]:
    packages = ("lrlab", "torch", "torchvision", "numpy")
    yield (
        "Versions",
        ", ".join([f"Python {platform.python_version()}", *(f"{p} {metadata.version(p)}" for p in packages)]),
    )
    threads = count(torch.get_num_threads(), "thread")
    yield "Machine", f"{platform.system()} on {platform.machine()}, {count(os.cpu_count() or 1, 'core')}, {threads}"
    gpu = f" ({torch.cuda.get_device_name(run.device)})" if run.device.type == "cuda" else ""
    yield "Device", f"{run.device}{gpu}"


def _today() -> str:
    now = datetime.now(timezone.utc)
    return f"{now.day} {now:%B %Y, %H:%M} UTC"


# Pieces of HTML -------------------------------------------------------------------------------------------------------


def _own(section: Section) -> str:
    paragraphs = [" ".join(part.split()) for part in textwrap.dedent(section.text).split("\n\n")]
    content = [f"<p>{escape(part)}</p>" for part in paragraphs if part]
    if section.table is not None:
        content.append(_frame(section.table, section.heading))
    if section.figure is not None:
        # A heat map or a photograph turned over in the dark theme would say something else.
        kind = "picture" if any(map(_has_tones, section.figure.axes)) else "chart"
        content.append(_picture(section.figure, section.alt, kind))
    return _section(section.heading, "\n".join(content), always=True)


def _has_tones(ax: Axes) -> bool:
    """Whether tones of colour mean numbers there, as in a heat map, and not only in lines and filled areas."""
    return bool(ax.images) or any(part.get_array() is not None for part in ax.collections)


def _section(heading: str, content: str, always: bool = False) -> str:
    return f"<section>\n<h2>{escape(heading)}</h2>\n{content}\n</section>" if content or always else ""


def _pairs(pairs: Iterable[tuple[str, str]]) -> str:
    return (
        "<dl>"
        + "".join(f"\n<div><dt>{escape(name)}</dt><dd>{escape(text)}</dd></div>" for name, text in pairs)
        + "\n</dl>"
    )


def _frame(frame: pd.DataFrame, name: str) -> str:
    """A DataFrame, its index first where it is more than row numbers."""
    import pandas as pd

    index = frame.index
    keep = not (isinstance(index, pd.RangeIndex) and index.name is None)
    levels = [pd.Series(index.get_level_values(level)) for level in range(index.nlevels if keep else 0)]
    columns = [*levels, *(frame.iloc[:, place] for place in range(frame.shape[1]))]
    names = ["" if level is None else level for level in index.names[: len(levels)]]
    head = [" ".join(map(str, n)).strip() if isinstance(n, tuple) else str(n) for n in (*names, *frame.columns)]
    numbers = [n for n, column in enumerate(columns) if pd.api.types.is_numeric_dtype(column) and column.dtype != bool]
    rows = list(zip(*(_cells(list(column)) for column in columns), strict=True))
    return _html_table(head, rows, name, numbers, header_column=keep)


def _cells(column: Sequence[Any]) -> list[str]:
    """A column as texts; its floats with as many decimals as the one that needs most, up to four digits each."""
    floats = [float(value) for value in column if isinstance(value, (float, np.floating)) and math.isfinite(value)]
    written = [f"{value:.4g}" for value in floats]
    decimals = max((len(text.partition(".")[2]) for text in written), default=0)
    return [_cell(value, None if any("e" in text for text in written) else decimals) for value in column]


def _cell(value: Any, decimals: int | None) -> str:
    if value is None or value != value:
        return "–"
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if isinstance(value, (int, np.integer)):
        return f"{value:,}"
    if isinstance(value, (float, np.floating)):
        plain = decimals is not None and math.isfinite(value)
        return f"{value:.{decimals}f}".replace("-", "\N{MINUS SIGN}") if plain else short(float(value), 4)
    return str(value)


def _html_table(
    head: Sequence[str],
    rows: Sequence[Sequence[str] | str],
    name: str,
    numbers: Iterable[int] = (),
    header_column: bool = True,
) -> str:
    """A table that scrolls sideways where it is too wide; a row that is a text goes across."""
    right = set(numbers)

    def cell(column: int, text: str, scope: str = "") -> str:
        tag = f'th scope="{scope}"' if scope else "td"
        number = ' class="n"' if column in right else ""
        return f"<{tag}{number}>{escape(text)}</{tag[:2]}>"

    def row(texts: Sequence[str] | str) -> str:
        if isinstance(texts, str):
            return f'<tr class="gap"><td colspan="{len(head)}">{escape(texts)}</td></tr>'
        scopes = ["row" if header_column else "", *[""] * len(head)]
        return f"<tr>{''.join(cell(column, text, scopes[column]) for column, text in enumerate(texts))}</tr>"

    top = "".join(cell(column, text, "col") for column, text in enumerate(head))
    body = "\n".join(map(row, rows))
    table = f"<table>\n<thead><tr>{top}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"
    return f'<div class="scroll" role="region" aria-label="Table: {escape(name)}" tabindex="0">\n{table}\n</div>'


def _is(value: float) -> bool:
    return not math.isnan(value)
