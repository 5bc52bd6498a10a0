"""What ``lrlab doctor`` says of a machine, and of machines that lack something."""

from __future__ import annotations

import subprocess
import sys
from html.parser import HTMLParser
from importlib import metadata
from pathlib import Path

import pytest

from lrlab import cli, data
from lrlab import doctor as look
from lrlab.doctor import Check, Report

DOCTOR = sys.modules["lrlab.doctor"]


def check(report: Report, name: str) -> Check:
    return next(check for check in report.checks if check.name == name)


def test_this_machine_can_run_the_lab(capsys: pytest.CaptureFixture[str]) -> None:
    report = look()
    assert report.ok, report
    assert check(report, "python").found == ".".join(map(str, sys.version_info[:3]))
    assert check(report, "torch").found == metadata.version("torch")
    assert check(report, "digits, photos").state == "ok"
    assert cli.main(["doctor"]) == 0
    assert capsys.readouterr().out.endswith("The lab can run here.\n")


def test_it_shows_no_path_of_this_machine() -> None:
    assert "/home" not in repr(look()) and str(Path.home()) not in repr(look()) and sys.prefix not in repr(look())


@pytest.mark.parametrize(
    ("name", "state"),
    [("torch", "needed"), ("anywidget", "needed"), ("jupyterlab", "needed"), ("albumentations", "limited")],
)
def test_a_package_that_is_not_there(monkeypatch: pytest.MonkeyPatch, name: str, state: str) -> None:
    found = metadata.version

    def version(package: str) -> str:
        if package == name:
            raise metadata.PackageNotFoundError(package)
        return found(package)

    monkeypatch.setattr(metadata, "version", version)
    report = look()
    missing = check(report, name)
    assert (missing.found, missing.state) == ("not installed", state)
    assert missing.advice.startswith(f'pip install "{name}')
    assert report.ok == (state != "needed")
    assert (name in report.verdict) == (state == "needed")


def test_a_package_that_is_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    found = metadata.version
    monkeypatch.setattr(metadata, "version", lambda package: "7.0.0" if package == "ipywidgets" else found(package))
    old = check(look(), "ipywidgets")
    assert old.state == "needed"
    assert old.found == "7.0.0, wanted >=8.1"
    assert old.advice == 'pip install -U "ipywidgets>=8.1"'


def test_a_python_that_is_too_old(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 2, "final", 0))
    monkeypatch.setattr(DOCTOR, "_data_sets", lambda: iter(()))  # they need not load on such a Python
    assert cli.main(["doctor"]) == 1
    said = capsys.readouterr().out
    assert "Python >=3.10 is needed" in said
    assert said.endswith("The lab cannot run yet. To mend: python.\n")


def test_it_runs_where_nothing_is_installed_yet() -> None:
    """The one who needs the doctor most has the least: only packaging is there to compare versions."""
    code = (
        "import sys\n"
        "for name in ('torch', 'torchvision', 'numpy', 'jupyter_core', 'IPython'): sys.modules[name] = None\n"
        "from lrlab.cli import main\n"
        "sys.exit(main(['doctor']))\n"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert answer.returncode == 1, answer.stderr
    assert "torch does not load" in answer.stdout
    assert "Jupyter is not installed" in answer.stdout
    assert "The lab cannot run yet. To mend: device, widgets, data." in answer.stdout


def test_the_halves_of_the_widgets_in_the_browser(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import jupyter_core.paths

    monkeypatch.setattr(jupyter_core.paths, "jupyter_path", lambda name: [str(tmp_path)])
    missing = check(look(), "widgets")
    assert missing.state == "needed"
    assert missing.found == "JupyterLab does not find anywidget, ipywidgets"
    assert missing.advice == "pip install --force-reinstall anywidget ipywidgets jupyterlab_widgets"


def test_the_helpers_that_only_some_parts_need(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DOCTOR.shutil, "which", lambda name: None)
    report = look()
    assert report.ok
    for name, remedy in (
        ("sandbox", "apt install bubblewrap"),
        ("browser", "apt install chromium"),
        ("C++ compiler", "apt install g++"),
    ):
        assert check(report, name).state == "limited"
        assert remedy in check(report, name).advice


def test_a_sandbox_that_is_not_allowed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bwrap = tmp_path / "bwrap"
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    bwrap.write_text("#!/bin/sh\nexit 1\n")
    bwrap.chmod(0o755)
    assert DOCTOR._sandbox() == Check(
        "sandbox", "bubblewrap is not allowed to work here", "limited", DOCTOR._sandbox().advice
    )
    bwrap.write_text("#!/bin/sh\nexit 0\n")
    assert DOCTOR._sandbox() == Check("sandbox", "bubblewrap works")


def test_the_data_at_hand(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LRLAB_CACHE", str(tmp_path))
    monkeypatch.delenv("LRLAB_DATA", raising=False)
    report = look()
    assert check(report, "glyphs").found.startswith("drawn at first use")
    assert "data.load('cifar10', download=True)" in check(report, "cifar10").advice

    data.load("glyphs", count=216, device="cpu")
    (tmp_path / "data" / "cifar-10-batches-py").mkdir(parents=True)
    report = look()
    assert check(report, "glyphs").found == "cached"
    assert check(report, "cifar10") == Check("cifar10", "downloaded")
    assert check(report, "fashion-mnist").state == "limited"


def test_the_front_end_of_a_terminal() -> None:
    assert check(look(), "front end").found.startswith("a terminal")


def test_colab_limits_and_does_not_forbid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "google.colab", sys.modules["lrlab"])
    found = metadata.version
    monkeypatch.setattr(metadata, "version", lambda package: "6.17.1" if package == "ipykernel" else found(package))
    report = look()
    assert report.ok
    assert check(report, "ipykernel").state == "limited"
    assert check(report, "front end").found == "Google Colab"


class Cells(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, text: str) -> None:
        self.text += text + " "


def test_the_table_can_be_read_aloud_and_injects_nothing() -> None:
    report = Report((Check("good", "1.0"), Check("<b>bad</b>", "2 < 3 & 4", "needed", "<script>alert(1)</script>")))
    table = Cells()
    table.feed(report._repr_html_())
    tags = [tag for tag, _ in table.tags]
    assert tags.count("caption") == 1
    assert [attrs.get("scope") for tag, attrs in table.tags if tag == "th"] == ["col"] * 4 + ["row"] * 2
    assert "script" not in tags and "b" not in tags
    assert "2 < 3 & 4" in table.text and "needed" in table.text
    assert "The lab cannot run yet. To mend: <b>bad</b>." in table.text


def test_the_text_stays_within_100_columns() -> None:
    report = Report((Check("good", "word " * 60), Check("bad", "x", "limited", "advice " * 40)))
    assert max(map(len, repr(report).splitlines())) <= 100
