"""What this machine has, what it lacks, and what to do about each lack: ``lrlab doctor`` and ``lrlab.doctor()``."""

from __future__ import annotations

import html
import os
import shutil
import subprocess
import sys
import sysconfig
import textwrap
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from packaging.requirements import Requirement

#: "limited": the lab runs, without some part of it. "needed": the lab cannot run before this is mended.
State = Literal["ok", "limited", "needed"]

#: The packages with a row of their own. The others share one.
SHOWN = ("torch", "torchvision", "jupyterlab", "ipywidgets", "anywidget", "ipykernel")

#: Of the extra "lab": without these two there is no lab; without its other packages a lecture or two lack something.
NEEDED_OF_LAB = ("jupyterlab", "ipykernel")

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@dataclass(frozen=True)
class Check:
    """One line of the table: what was looked for, what was found, and what to do."""

    name: str
    found: str
    state: State = "ok"
    advice: str = ""


@dataclass(frozen=True)
class Report:
    """All checks. A notebook shows them as a table, a terminal as text."""

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """True where the lab can run, with or without its optional parts."""
        return all(check.state != "needed" for check in self.checks)

    @property
    def verdict(self) -> str:
        """The report in one sentence."""
        needed = [check.name for check in self.checks if check.state == "needed"]
        return "The lab can run here." if self.ok else f"The lab cannot run yet. To mend: {', '.join(needed)}."

    def __repr__(self) -> str:
        width = max(len(check.name) for check in self.checks)
        margin = " " * (11 + width)
        lines = []
        for check in self.checks:
            start = f"{check.state:<8} {check.name:<{width}}  "
            lines.append(textwrap.fill(check.found, 100, initial_indent=start, subsequent_indent=margin))
            if check.advice:
                lines.append(textwrap.fill(check.advice, 100, initial_indent=margin, subsequent_indent=margin))
        return "\n".join([*lines, "", self.verdict])

    def _repr_html_(self) -> str:
        left = 'style="text-align: left"'
        head = "".join(f'<th scope="col" {left}>{name}</th>' for name in ("looked for", "state", "found", "what to do"))
        rows = "".join(
            f'<tr><th scope="row" {left}>{html.escape(check.name)}</th>'
            + "".join(f"<td {left}>{html.escape(text)}</td>" for text in (check.state, check.found, check.advice))
            + "</tr>"
            for check in self.checks
        )
        caption = f"<caption {left}>{html.escape(self.verdict)}</caption>"
        return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def doctor() -> Report:
    """Look at this machine: versions, device, front end, data, and the helpers that some parts of the lab need.

    Returns:
        A report; ``report.ok`` says whether the lab can run.
    """
    checks = [_python(), *_packages(), _device(), _widgets(), _front_end(), *_data_sets()]
    return Report((*checks, _compiler(), _sandbox(), _browser()))


def _python() -> Check:
    from packaging.specifiers import SpecifierSet

    allowed = metadata.metadata("lrlab")["Requires-Python"]
    version = ".".join(map(str, sys.version_info[:3]))
    if SpecifierSet(allowed).contains(version, prereleases=True):
        return Check("python", version)
    return Check("python", version, "needed", f"Python {allowed} is needed: make install PYTHON=path/to/python")


def _packages() -> Iterator[Check]:
    """The versions found against the ranges that lrlab's own metadata states."""
    others = []
    for requirement in requirements():
        check = _package(requirement)
        if requirement.name in SHOWN or check.state != "ok":
            yield check
        else:
            others.append(f"{check.name} {check.found}")
    yield Check("other packages", ", ".join(others))


def requirements() -> list[Requirement]:
    """What lrlab and its extra "lab" require, as the metadata of the installed package states it."""
    from packaging.requirements import Requirement

    stated = [Requirement(text) for text in metadata.requires("lrlab") or ()]
    return [r for r in stated if r.marker is None or r.marker.evaluate({"extra": "lab"})]


def _package(requirement: Requirement) -> Check:
    of_lab = requirement.marker is not None
    state: State = "limited" if of_lab and (_in_colab() or requirement.name not in NEEDED_OF_LAB) else "needed"
    wanted = f'"{requirement.name}{requirement.specifier}"'
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return Check(requirement.name, "not installed", state, f"pip install {wanted}")
    if requirement.specifier.contains(version, prereleases=True):
        return Check(requirement.name, version)
    return Check(requirement.name, f"{version}, wanted {requirement.specifier}", state, f"pip install -U {wanted}")


def _device() -> Check:
    try:
        import torch
    except Exception as error:  # a torch that is installed and broken fails in many ways
        return Check("device", f"torch does not load: {error}", "needed", "pip install --force-reinstall torch")
    if torch.cuda.is_available():
        return Check("device", f"cuda: {torch.cuda.get_device_name()}")
    name = "mps: Apple GPU" if torch.backends.mps.is_available() else "cpu"
    return Check("device", f"{name}, {torch.get_num_threads()} threads")


def _widgets() -> Check:
    """Whether a JupyterLab of this environment would find the front end halves of the widgets."""
    try:
        from jupyter_core.paths import jupyter_path
    except ImportError:
        return Check("widgets", "Jupyter is not installed", "needed", "pip install 'lrlab[lab]'")
    folders = [Path(folder) for folder in jupyter_path("labextensions")]
    missing = [
        package
        for package, extension in (("anywidget", "anywidget"), ("ipywidgets", "@jupyter-widgets/jupyterlab-manager"))
        if not any((folder / extension / "package.json").exists() for folder in folders)
    ]
    if not missing or _in_colab():
        return Check("widgets", "JupyterLab finds them")
    advice = "pip install --force-reinstall " + " ".join(missing).replace("ipywidgets", "ipywidgets jupyterlab_widgets")
    return Check("widgets", f"JupyterLab does not find {', '.join(missing)}", "needed", advice)


def _front_end() -> Check:
    """Who shows what this process draws."""
    if _in_colab():
        advice = "Updates from a thread do not show in Colab: the live tuner trains in the cell there."
        return Check("front end", "Google Colab", "limited", advice)
    if not _in_kernel():
        return Check("front end", "a terminal; lrlab lab opens JupyterLab")
    if "VSCODE_PID" in os.environ:
        return Check("front end", "Visual Studio Code")
    server = _server()
    if server is None:
        return Check("front end", "none: the notebook is run without a browser")
    if _answers(server):
        return Check("front end", "Jupyter's server answers")
    advice = "Reload the page; if that does not help, stop the server and start it with: lrlab lab"
    return Check("front end", "Jupyter's server does not answer", "limited", advice)


def _data_sets() -> Iterator[Check]:
    try:
        from lrlab import data
    except ImportError as error:
        yield Check("data", f"does not load: {error}", "needed", "Mend the packages above first.")
        return
    yield Check("digits, photos", "embedded in scikit-learn")
    drawn = any(data.cache_folder().glob("glyphs-*.safetensors"))
    yield Check("glyphs", "cached" if drawn else "drawn at first use, in some seconds")
    for name in data.names():
        if data.at_hand(name) and name not in ("digits", "photos", "glyphs"):
            yield Check(name, "downloaded")
        elif not data.at_hand(name):
            advice = f"Only with a network: data.load({name!r}, download=True). The embedded sets serve every lecture."
            yield Check(name, "not downloaded", "limited", advice)


def _in_colab() -> bool:
    return "google.colab" in sys.modules


def _in_kernel() -> bool:
    if sys.modules.get("IPython") is None:
        return False
    from IPython.core.getipython import get_ipython

    return hasattr(get_ipython(), "kernel")


def _server() -> dict | None:
    """The Jupyter server that started this kernel."""
    try:
        from jupyter_server.serverapp import list_running_servers
    except ImportError:
        return None
    parent = int(os.environ.get("JPY_PARENT_PID", os.getppid()))
    return next((server for server in list_running_servers() if server["pid"] == parent), None)


def _answers(server: dict) -> bool:
    headers = {"Authorization": f"token {server['token']}"}
    request = urllib.request.Request(f"{server['url']}api/status", headers=headers)
    without_proxy = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with without_proxy.open(request, timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return False


def _compiler() -> Check:
    """``Run(compile=True)`` lets torch write C++, which needs a compiler and Python's headers."""
    names = [os.environ.get("CXX", ""), "c++", "g++", "clang++", "cl"]
    compiler = next((name for name in names if shutil.which(name)), None)
    if compiler is None:
        advice = "Only Run(compile=True) needs one. Debian, Ubuntu: apt install g++; macOS: xcode-select --install"
        return Check("C++ compiler", "not found", "limited", advice)
    if not (Path(sysconfig.get_path("include")) / "Python.h").exists():
        advice = "Only Run(compile=True) needs them. Debian, Ubuntu: apt install python3-dev"
        return Check("C++ compiler", f"{Path(compiler).name}, but Python's headers are missing", "limited", advice)
    return Check("C++ compiler", Path(compiler).name)


def _sandbox() -> Check:
    """Only the grader needs bubblewrap. Found is not enough: many containers forbid what it does."""
    if not shutil.which("bwrap"):
        return Check("sandbox", "bubblewrap not found", "limited", "Only the grader needs it: apt install bubblewrap")
    try:
        probe = subprocess.run(["bwrap", "--ro-bind", "/", "/", "true"], capture_output=True, timeout=5)
        works = probe.returncode == 0
    except subprocess.TimeoutExpired:
        works = False
    if works:
        return Check("sandbox", "bubblewrap works")
    advice = "Only the grader needs it. This machine, a container perhaps, must allow unprivileged user namespaces."
    return Check("sandbox", "bubblewrap is not allowed to work here", "limited", advice)


def find_browser() -> str | None:
    """The path of a Chromium or Chrome on this machine; None where there is none."""
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


def _browser() -> Check:
    path = find_browser()
    if path is None:
        return Check("browser", "no Chromium", "limited", "Only the browser tests need it: apt install chromium")
    return Check("browser", Path(path).name)
