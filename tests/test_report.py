"""The report of a run: what it says, that it says it safely, and that nothing half-written is left."""

from __future__ import annotations

import base64
import io
import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

from lrlab import Run, _charts, cli, data, figures, moves, regularization, report, rules, schedules

EVIL = '<script>alert("1")</script>&amp;'


class Page(HTMLParser):
    """Tags, texts and tables of a page."""

    VOID = ("meta", "img")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, Any]]] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.pairs: dict[str, str] = {}
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert not self._open, "every tag is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append((tag, given))
        if tag in self.VOID:
            return
        self._open.append(tag)
        self.texts.setdefault(tag, []).append("")
        if str(given.get("aria-label", "")).startswith("Table: "):
            self._table = self.tables.setdefault(str(given["aria-label"])[7:], [])
        if tag == "tr":
            self._table.append([])
        if tag in ("th", "td"):
            self._table[-1].append("")
        if tag == "dd":
            self.pairs[self.texts["dt"][-1]] = ""

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, text: str) -> None:
        for tag in set(self._open):
            self.texts[tag][-1] += text
        if self._open and self._open[-1] in ("th", "td"):
            self._table[-1][-1] += text
        if self._open and self._open[-1] == "dd":
            self.pairs[self.texts["dt"][-1]] += text

    def all(self, tag: str) -> list[dict[str, Any]]:
        return [attrs for name, attrs in self.tags if name == tag]

    @property
    def alts(self) -> list[str]:
        return [attrs["alt"] for attrs in self.all("img")]

    @property
    def record(self) -> bytes:
        (link,) = (attrs for attrs in self.all("a") if attrs.get("download"))
        assert link["download"] == "run.json"
        return base64.b64decode(link["href"].removeprefix("data:application/json;base64,"))


def trained(**options: Any) -> Run:
    """A run with three moves."""
    options = {"rule": rules.Momentum(rho=0.9), "lr": 0.1, "device": "cpu", "validate_every": 10, **options}
    run = Run("mlp", "digits", **options).train(steps=40, progress=False)
    run.lr, run.rho = 0.02, 0.95
    run.train(steps=20, progress=False)
    run.rule = rules.Adam()
    return run.train(steps=5, progress=False)


@pytest.fixture(scope="module")
def run() -> Run:
    return trained()


@pytest.fixture
def no_charts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes most of the time."""
    monkeypatch.setattr(report, "charts", lambda run: [])


@pytest.fixture(scope="module")
def seen(run: Run) -> Page:
    return Page(report.page(run))


# What it says -----------------------------------------------------------------------------------------------------


def test_what_was_trained(seen: Page) -> None:
    assert seen.texts["title"] == seen.texts["h1"] == ["mlp on digits"]
    assert seen.pairs["Model"] == "mlp, 9,610 parameters"
    assert seen.pairs["Data"].startswith("digits: 1,797 handwritten digits of 13 writers")
    assert "1,197 training, 300 validation, 300 test examples; 1 x 8 x 8; 10 classes (0, 1, 2, " in seen.pairs["Data"]
    for name, text in {
        **{"Rule": "Momentum(rho=0.9)", "Learning rate": "0.1", "Batch size": "64", "Seed": "0"},
        **{"Loss": "cross entropy", "Numbers": "float32", "Validated every": "10 steps", "Device": "cpu"},
    }.items():
        assert seen.pairs[name] == text
    assert "Penalty" not in seen.pairs and "Weight decay" not in seen.pairs, "what is off is left out"
    assert seen.texts["h2"] == ["What was trained", "How it went", "Results", "Make it again", "Made with"]


def test_settings_that_are_on_are_told() -> None:
    run = Run(
        "mlp",
        {"name": "digits", "per_class": 20, "seed": 3},
        lr=schedules.Warmup(0.1, steps=5).then(schedules.Cosine(0.1, total=95)),
        weight_decay=1e-7,
        penalty=regularization.L1(lam=0.001),
        factors={"1": 0.1},
        stopping=regularization.EarlyStopping(patience=3),
        per="epoch",
        device="cpu",
    )
    pairs = Page(report.page(run)).pairs
    assert pairs["Learning rate"].startswith("Joined(parts=Warmup(lr=0.1, steps=5, ")
    assert pairs["Learning rate"].endswith(", per epoch")
    assert pairs["Weight decay"] == "10⁻⁷"
    assert pairs["Penalty"].startswith("L1(") and "lam=0.001" in pairs["Penalty"]
    assert pairs["Factors of the rate"] == "1: 0.1"
    assert pairs["Stopping"].startswith("EarlyStopping(patience=3")
    assert pairs["Data"].endswith("Loaded with per_class 20, seed 3")


def test_results_are_those_of_the_run(run: Run, seen: Page) -> None:
    head, now, best, test = seen.tables["results"]
    assert head == ["split", "after step", "loss", "accuracy", "95 % interval", "examples"]
    assert run.dataset is not None
    for row, (loss, accuracy) in ((now, run.validate()), (test, run.evaluate(run.dataset.test))):
        assert row[1:4] == ["65", f"{loss:.3g}", f"{100 * accuracy:.1f} %"] and row[5] == "300"
    lowest = int(np.argmin(run.history["val_loss"]))
    assert best[:3] == [
        "validation, lowest loss",
        f"{run.history['val_step'][lowest]:.0f}",
        f"{run.history['val_loss'][lowest]:.3g}",
    ]
    assert f"{now[3]} on validation, {test[3]} on test." in seen.texts["p"][1]
    tiles = seen.texts["b"]
    assert tiles == [now[3], test[3], f"{run.history['loss'][-6:].mean():.3g}", "65"]


def test_the_interval_is_wilsons() -> None:
    """8 of 10 (Wilson 1927, a textbook value: 0.490 to 0.943)."""
    assert report._interval(report._Result("test", 1, 0.5, 0.8, 10)) == "49.0 to 94.3 %"


def test_moves_as_a_table(run: Run, seen: Page) -> None:
    assert seen.tables["moves"] == [
        ["before step", "epoch", "knob", "new value"],
        ["40", f"{run.history['epoch'][40]:.2f}", "lr", "0.02"],
        ["40", f"{run.history['epoch'][40]:.2f}", "rho", "0.95"],
        ["60", f"{run.history['epoch'][60]:.2f}", "rule", seen.tables["moves"][3][3]],
    ]
    assert seen.tables["moves"][3][3].startswith("Adam(beta1=0.9, beta2=0.999, eps=10⁻")


def test_a_long_log_is_cut_in_the_middle_and_whole_in_the_record() -> None:
    run = Run("mlp", "digits", device="cpu", validate_every=0)
    for number in range(60):
        run.lr = 0.01 + 0.001 * number
    run.train(steps=2, progress=False)
    page = Page(report.page(run))
    rows = page.tables["moves"]
    assert len(rows) == 1 + 40 + 1 and rows[21] == ["… 20 more, in the record …"]
    assert [rows[1][3], rows[20][3], rows[22][3], rows[-1][3]] == ["0.01", "0.029", "0.05", "0.069"]
    assert len(moves.parse(page.record)[1]) == 60
    assert "Moves" in page.texts["h2"]


def test_the_record_in_the_page_makes_the_run_again(run: Run, seen: Page) -> None:
    config, log = moves.parse(seen.record)
    again = Run.replay(config, log)
    assert again.history["loss"].tolist() == run.history["loss"].tolist()
    assert json.loads(seen.texts["pre"][-1]) == json.loads(seen.record)
    assert "lrlab report run.json" in seen.texts["pre"] and "Run.replay(config, moves)" in seen.texts["pre"][1]


def test_versions_and_machine(seen: Page) -> None:
    assert f"torch {torch.__version__.partition('+')[0]}" in seen.pairs["Versions"]
    assert re.fullmatch(r"\S+ on \S+, \d+ cores?, \d+ threads?", seen.pairs["Machine"])


# Figures ----------------------------------------------------------------------------------------------------------


def test_three_figures_that_say_what_they_show(run: Run, seen: Page) -> None:
    loss, accuracy, rate = seen.alts
    assert loss.startswith("Training loss, smoothed, over 65 steps: 2.3") and "Validation loss: " in loss
    assert loss.endswith("Dotted lines mark the 2 steps at which a knob was turned.")
    best, last = run.history["val_accuracy"].max(), run.history["val_accuracy"][-1]
    assert f"{100 * best:.1f} % at best, after step" in accuracy and accuracy.endswith(
        f"{100 * last:.1f} % at the end."
    )
    assert rate == (
        "The learning rate that was applied goes from 0.1 to 0.02; it lies between 0.02 and 0.1."
        " It was turned by hand 1 time."
    )
    for attrs in seen.all("img"):
        picture = Image.open(io.BytesIO(base64.b64decode(attrs["src"].removeprefix("data:image/png;base64,"))))
        assert picture.size == (2 * int(attrs["width"]), 2 * int(attrs["height"]))


def test_a_page_stays_small_when_the_run_is_long() -> None:
    run = Run("mlp", "digits", device="cpu", validate_every=0)
    for step in range(50_000):
        run.history.append(lr=0.1, loss=1.0 + step % 7, epoch=step / 19)
    figure, alt = _charts.charts(run)[0]
    assert alt.startswith("Training loss, smoothed")
    assert max(len(line.get_xdata()) for line in figure.axes[0].get_lines()) <= 1000


def test_the_smoothed_loss_does_not_lag() -> None:
    steps = np.arange(400)
    falling = 2.3 * np.exp(-steps / 60)
    noisy = falling * np.exp(0.3 * np.random.default_rng(0).standard_normal(400))
    smooth = _charts.smoothed(noisy)
    assert np.abs(smooth / (falling * np.exp(0.3**2 / 2)) - 1).mean() < 0.06, "the mean of such noise is exp(σ²/2)"
    assert np.abs(np.diff(np.log(smooth[20:]))).mean() < 0.1 * np.abs(np.diff(np.log(noisy[20:]))).mean()
    # A step in the loss stands where it was made, neither before nor after it.
    half = _charts.smoothed(np.where(steps < 200, 2.0, 1.0))
    assert abs(int(np.argmin(np.abs(half - 1.5))) - 200) <= 1
    turned = _charts.smoothed(np.r_[2.0 * np.ones(200), np.ones(200)], breaks=[0, 200, 400])
    assert (turned[:200] == 2).all() and (turned[200:] == 1).all(), "what a turn did shows after it alone"
    # In a long run the steep fall at the start is still there.
    assert _charts.smoothed(0.1 + 2.2 * np.exp(-np.arange(5000) / 50), width=8)[0] > 2


def test_a_leap_of_the_loss_does_not_reach_back() -> None:
    losses = np.r_[np.linspace(2.3, 1.0, 100), 1e6 * np.ones(5), np.inf]
    smooth = _charts.smoothed(losses)
    assert np.isnan(smooth[100:]).all() and (np.abs(smooth[:95] - losses[:95]) < 0.1).all()
    risen = _charts.smoothed(np.r_[np.linspace(2.3, 1.0, 100), 8.0 * np.ones(50)])
    assert np.abs(risen[-40:] - 8).max() < 0.01, "a loss that has risen is drawn where it is"
    assert np.isnan(_charts.smoothed(np.array([np.nan, np.inf]))).all()
    assert (_charts.smoothed(np.r_[5.0, 1e-6 * np.ones(60)]) > 0).all(), "for a logarithmic scale"


def test_a_diverged_run_is_reported_as_such() -> None:
    run = Run("mlp", "digits", lr=1e6, device="cpu").train(steps=50, progress=False)
    assert run.status == "diverged"
    page = Page(report.page(run))
    assert f"This run diverged: at step {run.step} its loss was no longer a finite number." in page.texts["p"]
    assert len(page.alts) == 3 and not any("nan" in text for text in (*page.alts, *page.texts["td"], *page.texts["b"]))


def test_a_run_that_has_not_been_trained() -> None:
    page = Page(report.page(Run("mlp", "digits", device="cpu")))
    assert "This run has not been trained yet." in page.texts["p"]
    assert not page.alts and "How it went" not in page.texts["h2"] and "results" in page.tables


def test_a_failed_run_says_why() -> None:
    class Fails(nn.Linear):
        broken = False

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if self.broken:
                raise RuntimeError(EVIL)
            return super().forward(x.flatten(1))

    run = Run(Fails(64, 10), "digits", device="cpu").train(steps=3, progress=False)
    Fails.broken = True
    with pytest.raises(RuntimeError):
        run.train(steps=3, progress=False)
    Fails.broken = False
    page = Page(report.page(run))
    assert any("ended with an error after step" in text and EVIL in text for text in page.texts["p"])


def test_regression_has_losses_and_no_accuracy() -> None:
    x = torch.linspace(-1, 1, 40)[:, None]
    run = Run(lambda: nn.Linear(1, 1), (x, 3 * x), validation=(x, 3 * x), loss="mse", device="cpu", batch_size=8)
    page = Page(report.page(run.train(steps=20, progress=False)))
    assert len(page.alts) == 2 and page.tables["results"][1][3:] == ["–", "–", "–"]
    assert page.texts["span"][0] == "validation loss"


# Safe and self-contained ------------------------------------------------------------------------------------------


def test_everything_is_escaped() -> None:
    x, y = torch.randn(60, 5, generator=torch.Generator().manual_seed(0)), torch.arange(60) % 2
    dataset = data.from_tensors(x, y, classes=[EVIL, "b"], name=EVIL, device="cpu")
    fig, _ = figures.figure("Harmless")
    table = pd.DataFrame({EVIL: [EVIL, None]}, index=pd.Index([EVIL, "x"], name=EVIL))
    evil = report.Section(EVIL, text=EVIL, table=table, figure=fig, alt=EVIL)
    run = Run(type(EVIL, (nn.Linear,), {})(5, 2), dataset, device="cpu").train(steps=2, progress=False)
    text = report.page(run, title=EVIL, sections=[evil])
    page = Page(text)
    assert "script" not in dict(page.tags) and "<script" not in text
    assert page.texts["h1"] == [EVIL] and EVIL in page.texts["h2"] and EVIL in page.texts["p"] and EVIL in page.alts
    assert page.tables[EVIL] == [[EVIL, EVIL], [EVIL, EVIL], ["x", "–"]]
    assert EVIL in page.pairs["Data"] and EVIL in page.pairs["Model"]


@pytest.mark.usefixtures("no_charts")
def test_a_dollar_is_a_dollar(run: Run) -> None:
    page = Page(report.page(run, title="$body $$ ${date}", sections=[report.Section("5 $", "$title")]))
    assert page.texts["h1"] == ["$body $$ ${date}"] and "5 $" in page.texts["h2"] and "$title" in page.texts["p"]


def test_nothing_is_fetched(run: Run) -> None:
    text = report.page(run)
    page = Page(text)
    addresses = [attrs[name] for _, attrs in page.tags for name in ("src", "href") if name in attrs]
    assert len(addresses) == 4 and all(address.startswith("data:") for address in addresses)
    assert not {"link", "iframe", "object"} & set(dict(page.tags)) and "url(" not in text and "@import" not in text


def test_it_can_be_read_aloud(seen: Page) -> None:
    assert seen.all("html")[0]["lang"] == "en"
    assert all(attrs.get("scope") in ("col", "row") for attrs in seen.all("th"))
    assert all(alt.strip() for alt in seen.alts)
    assert all(attrs["tabindex"] == "0" for attrs in seen.all("div") if attrs.get("role") == "region")


def test_the_same_run_gives_the_same_page(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "_today", lambda: "a day")
    assert report.page(run) == report.page(run)
    assert report.page(run) == report.page(trained())


@pytest.mark.usefixtures("no_charts")
def test_making_a_report_changes_nothing_in_the_run(run: Run) -> None:
    other = trained()
    report.page(other)
    assert other.moves == run.moves and len(other.history) == len(run.history)
    assert (
        other.train(steps=5, progress=False).history["loss"][-1]
        == run.branch().train(steps=5, progress=False).history["loss"][-1]
    )


# Sections of one's own --------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_charts")
def test_sections_come_after_the_results_in_their_order(run: Run) -> None:
    sections = [report.Section("Ablation", "One.\n\n  Two\n  lines."), report.Section("Checklist")]
    page = Page(report.page(run, sections=sections))
    assert page.texts["h2"][1:4] == ["Results", "Ablation", "Checklist"]
    assert "One." in page.texts["p"] and "Two lines." in page.texts["p"]


def test_tables_of_pandas() -> None:
    frame = pd.DataFrame(
        {"lr": [0.1, 0.25], "tiny": [1e-9, 1.0], "seeds": [8, 1000], "done": [True, False], "loss": [0.5, np.nan]},
        index=pd.Index(["base", "more"], name="arm"),
    )
    page = Page(report._own(report.Section("T", table=frame)))
    assert page.tables["T"] == [
        ["arm", "lr", "tiny", "seeds", "done", "loss"],
        ["base", "0.10", "10⁻⁹", "8", "yes", "0.5"],
        ["more", "0.25", "1", "1,000", "no", "–"],
    ]
    right = [attrs.get("class") == "n" for attrs in page.all("td")]
    assert right == [True, True, True, False, True] * 2
    plain = Page(report._own(report.Section("T", table=frame.reset_index(drop=True))))
    assert plain.tables["T"][0] == ["lr", "tiny", "seeds", "done", "loss"]
    grouped = frame.groupby(["arm", "done"])[["lr"]].agg(["median", "max"])
    assert Page(report._own(report.Section("T", table=grouped))).tables["T"][:2] == [
        ["arm", "done", "lr median", "lr max"],
        ["base", "yes", "0.10", "0.10"],
    ]


def test_pictures_are_not_turned_over_in_the_dark() -> None:
    curve, axes = figures.figure("A curve")
    axes.plot([0, 1])
    spread, axes = figures.figure("A curve with its spread", size=(4, 3))
    axes.fill_between([0, 1], [0, 0], [1, 2], alpha=0.3)
    photo, axes = figures.figure("A photo", size=(4, 3))
    axes.imshow(np.zeros((4, 4)))
    points, axes = figures.figure("Points whose colour is a number", size=(4, 3))
    axes.scatter([0, 1], [0, 1], c=[0.1, 0.7])
    shown = (curve, spread, photo, points)
    pages = [Page(report._own(report.Section("S", figure=fig, alt="It."))) for fig in shown]
    assert [page.all("img")[0]["class"] for page in pages] == ["chart", "chart", "picture", "picture"]
    assert "scroll wide" in [attrs.get("class") for attrs in pages[0].all("div")] and not pages[1].all("div")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: report.Section(""), "heading must be a line of text, got ''"),
        (lambda: report.Section("F", figure=figures.figure("x")[0]), "the figure of the section 'F' needs alt="),
    ],
)
def test_sections_are_checked(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_what_is_no_section_and_no_run(run: Run, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"sections must be a list of report.Section\(heading, ...\), got dict"):
        report.page(run, sections=[{"heading": "x"}])  # type: ignore[list-item]
    with pytest.raises(TypeError, match="run must be a Run or the path of its move log, got int"):
        report.write(3, tmp_path / "x.html")  # type: ignore[arg-type]


# Files ------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_charts")
def test_a_saved_run_is_made_again(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "_today", lambda: "a day")
    saved = run.save_moves(tmp_path / "run.json")
    written = report.write(saved, tmp_path / "page.html")
    assert written.read_text("utf-8") == report.page(run)


@pytest.mark.usefixtures("no_charts")
def test_a_report_is_replaced_and_nothing_else(run: Run, tmp_path: Path) -> None:
    page, own = tmp_path / "page.html", tmp_path / "own.html"
    report.write(run, page, title="first")
    report.write(run, page, title="second")
    assert "<h1>second</h1>" in page.read_text("utf-8")
    own.write_text("my thesis")
    with pytest.raises(
        FileExistsError, match=r"own.html exists and is no report of lrlab: .* overwrite=True \(--force\)"
    ):
        report.write(run, own)
    assert own.read_text() == "my thesis"
    assert report.MARK in report.write(run, own, overwrite=True).read_text("utf-8")


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("page.pdf", ValueError, r"its name must end in .html \(for a PDF print it\), got"),
        ("page", ValueError, "its name must end in .html"),
        ("folder.html", IsADirectoryError, "is a folder: name a file in it"),
        ("none/page.html", FileNotFoundError, "there is no folder .*none; make it first"),
    ],
)
def test_paths_that_cannot_be_written(
    run: Run, tmp_path: Path, name: str, error: type[Exception], message: str
) -> None:
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(error, match=message):
        report.write(run, tmp_path / name)
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder.html"]


def test_the_path_is_checked_before_the_run_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report.Run, "replay", lambda *_, **__: pytest.fail("trained for nothing"))
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        report.write(tmp_path / "run.json", tmp_path / "none" / "page.html")


@pytest.mark.usefixtures("no_charts")
def test_nothing_half_written_stays(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = report.write(run, tmp_path / "page.html", title="first")
    before = page.read_bytes()

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        report.write(run, page, title="second")
    assert page.read_bytes() == before and [entry.name for entry in tmp_path.iterdir()] == ["page.html"]


@pytest.mark.usefixtures("no_charts")
def test_a_run_with_parts_of_its_own(tmp_path: Path) -> None:
    run = Run(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), "digits", device="cpu").train(steps=3, progress=False)
    page = Page(report.page(run))
    assert page.pairs["Model"] == "Sequential (not in the record: one's own), 650 parameters"
    assert any("a model (Sequential) of its own, which the record does not hold" in text for text in page.texts["p"])
    assert "Run.replay(config, moves, model=...)" in page.texts["pre"][0]
    assert not any("lrlab report" in text for text in page.texts["pre"])
    saved = run.save_moves(tmp_path / "run.json")
    with pytest.raises(
        ValueError, match=r"its run had a model \(Sequential\) of its own.*replay\(config, moves, model=...\)"
    ):
        report.write(saved, tmp_path / "page.html")


@pytest.mark.usefixtures("no_charts")
def test_a_run_that_is_running_must_be_paused_first(tmp_path: Path) -> None:
    run = Run("mlp", "digits", device="cpu")
    steps = run.steps()
    next(steps)
    with pytest.raises(RuntimeError, match="pause first"):
        report.write(run, tmp_path / "page.html")
    steps.close()
    report.write(run, tmp_path / "page.html")


# The command ------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_charts")
def test_the_command(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.chdir(tmp_path)
    run.save_moves("run.json")
    assert cli.main(["report", "run.json"]) == 0
    assert capsys.readouterr().out == "run.html is written.\n"
    assert "<h1>mlp on digits</h1>" in Path("run.html").read_text("utf-8")
    assert cli.main(["report", "run.json", "-o", "other.html", "--title", "Our <best> run"]) == 0
    assert "<h1>Our &lt;best&gt; run</h1>" in Path("other.html").read_text("utf-8")
    Path("own.html").write_text("my thesis")
    assert cli.main(["report", "run.json", "-o", "own.html"]) == 1
    assert "overwrite=True (--force)" in capsys.readouterr().err and Path("own.html").read_text() == "my thesis"
    assert cli.main(["report", "run.json", "-o", "own.html", "--force"]) == 0


@pytest.mark.usefixtures("no_charts")
def test_a_run_is_made_again_on_a_device_that_is_here(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("run.json").write_text(spoiled(device="cuda:99"))
    assert cli.main(["report", "run.json", "--device", "cpu"]) == 0
    page = Page(Path("run.html").read_text("utf-8"))
    assert page.pairs["Device"] == "cpu" and moves.parse(page.record)[0]["device"] == "cpu"
    assert cli.main(["report", "run.json", "--device", "gpu"]) == 1
    assert "No report: unknown device 'gpu'; known: 'auto', 'cpu'" in capsys.readouterr().err
    with pytest.raises(TypeError, match="device='cpu' is for the path of a saved run; this run has been made, on cpu"):
        report.write(run, "other.html", device="cpu")


def test_what_is_no_move_log_but_might_be_taken_for_one(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    run.save("run.safetensors")
    for given, message in ((".", ". is a folder: name the file in it"), ("run.safetensors", "report.write(Run.load('")):
        assert cli.main(["report", given]) == 1
        assert message in capsys.readouterr().err
    assert not list(tmp_path.glob("*.html"))


def spoiled(**changes: Any) -> str:
    run = Run("mlp", "digits", device="cpu").train(steps=1, progress=False)
    return json.dumps({"format": moves.FORMAT, "config": {**run.config, **changes}, "moves": []})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there is no file run.json: run.save_moves(...) writes one"),
        ("{", "run.json is not a move log: it is not valid JSON"),
        ("\x00\xff", "run.json is not a move log: it is not valid JSON"),
        ("[]", "run.json is not a move log: it lacks the line"),
        ('{"format": "lrlab moves 1"}', "run.json is a damaged move log"),
        ('{"format": "lrlab moves 1", "config": {}, "moves": []}', "this is not the configuration of a Run"),
        ('{"format": "lrlab moves 1", "config": {}, "moves": [1]}', "move 0 must be [step, knob, value], got 1"),
        (lambda: spoiled(model="mpl"), "mlp"),
        (lambda: spoiled(model={"own": "Net"}), "its run had a model (Net) of its own"),
        (lambda: spoiled(data="digit"), "did you mean 'digits'"),
        (lambda: spoiled(data={"name": "folder", "path": "gone"}), "path='gone': there is no such folder"),
        (lambda: spoiled(lr=-1), "lr must be greater than 0"),
        (lambda: spoiled(validation={"a": 1}), "No report: "),
        (lambda: spoiled(steps="many"), "run.json is damaged: its configuration makes no run"),
        (lambda: spoiled(device="cuda:99"), "run.json cannot be made again here as it was made: device='cuda:99' is"),
    ],
)
def test_files_that_make_no_report(
    content: Any, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path("run.json").write_text(content() if callable(content) else content, encoding="latin-1")
    assert cli.main(["report", "run.json"]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("No report: ") and message in captured.err and not captured.out
    assert "Traceback" not in captured.err and not list(tmp_path.glob("*.html"))


def test_the_command_without_a_file(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["report"])
    assert stopped.value.code == 2 and "run.json" in capsys.readouterr().err
