"""Browser tests: a Jupyter server, a real Chromium, and a fresh kernel for each test.

What makes them hold: notebooks are driven through Jupyter's own commands (a click on "Run All" in a page that is not
ready runs nothing), and everything waits for a state, never for a time.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install lrlab[test]")

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
START_SECONDS = 60
RUN_ALL_SECONDS = 240  # the longest lecture takes a minute on two quiet cores
REPOSITORY = Path(__file__).parents[2]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)
            if CHROMIUM is None:
                item.add_marker(pytest.mark.skip(reason="no Chromium on this machine"))


class Server:
    """JupyterLab and Notebook 7 on a free port, with a home of their own, serving an empty folder."""

    def __init__(self, home: Path) -> None:
        self.folder = home / "notebooks"
        self.folder.mkdir()
        self.url = f"http://127.0.0.1:{_free_port()}"
        self.log = home / "server.log"
        self.kernels = {"7.4": None, "7.3": REPOSITORY / ".venv" / "kernels" / "ipykernel-7.3"}
        for version, path in self.kernels.items():
            _install_kernelspec(home / "share" / "kernels" / f"ipykernel-{version}", path)
        self.process = self._start(home)
        self._wait_until_up()

    def _start(self, home: Path) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
        options = {
            "ServerApp.ip": "127.0.0.1",
            "ServerApp.port": self.url.split(":")[-1],
            "ServerApp.port_retries": 0,
            "IdentityProvider.token": "",
            "ServerApp.disable_check_xsrf": True,
            "ServerApp.root_dir": self.folder,
            "LabApp.expose_app_in_browser": True,
            "JupyterNotebookApp.expose_app_in_browser": True,
        }
        environment = {
            **os.environ,
            "JUPYTER_CONFIG_DIR": str(home / "config"),
            "JUPYTER_DATA_DIR": str(home / "share"),
            "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
            "IPYTHONDIR": str(home / "ipython"),
            "OMP_NUM_THREADS": "1",
        }
        with self.log.open("wb") as log:
            arguments = [*command, *(f"--{name}={value}" for name, value in options.items())]
            return subprocess.Popen(arguments, env=environment, stdout=log, stderr=log, cwd=home)

    def _wait_until_up(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                with urllib.request.urlopen(f"{self.url}/api/status", timeout=2):
                    return
            except OSError:
                time.sleep(0.1)
        raise RuntimeError(f"the Jupyter server did not come up:\n{self.log.read_text()}")

    def write(self, name: str, *cells: str, kernel: str = "7.4") -> None:
        """Put a notebook with these code cells into the folder."""
        if kernel != "7.4" and not self.kernels[kernel].is_dir():
            pytest.skip(f"ipykernel {kernel} is not in .venv/kernels (make install puts it there)")
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        spec = f"ipykernel-{kernel}"
        notebook.metadata["kernelspec"] = {"name": spec, "display_name": spec, "language": "python"}
        nbformat.write(notebook, self.folder / name)

    def stop(self) -> None:
        """End the server; it ends its kernels."""
        self.process.terminate()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _install_kernelspec(folder: Path, path: Path | None) -> None:
    """A kernel of this Python, with the ipykernel in ``path`` instead of the installed one."""
    folder.mkdir(parents=True)
    spec = {
        "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": folder.name,
        "language": "python",
        "env": {"PYTHONPATH": str(path)} if path else {},
    }
    (folder / "kernel.json").write_text(json.dumps(spec))


# What the page must be asked, in Jupyter's own terms. `jupyterapp` is there because the server was told to expose it.
_READY = """async () => {
    const app = window.jupyterapp;
    const widget = app?.shell.currentWidget;
    if (!widget?.sessionContext || !app.commands.hasCommand('notebook:run-all-cells')) return false;
    await widget.revealed; await widget.context.ready; await widget.sessionContext.ready;
    await widget.sessionContext.session.kernel.info;
    return true;
}"""
_EVALUATE = """async (expression) => {
    const { kernel } = window.jupyterapp.shell.currentWidget.sessionContext.session;
    const future = kernel.requestExecute({ code: '', user_expressions: { it: expression }, store_history: false });
    const { it } = (await future.done).content.user_expressions;
    if (it.status !== 'ok') throw new Error(`${it.ename}: ${it.evalue}`);
    return it.data['text/plain'];
}"""
_IN_TIME = """(argument) => Promise.race([
    (%s)(argument),
    new Promise((_, refuse) => setTimeout(() => refuse(new Error('the page gave no answer in %g s')), %g)),
])"""
_RUN_ALL_ERRORS = """() => window.jupyterapp.shell.currentWidget.content.widgets
    .filter((cell) => cell.model.type === 'code')
    .flatMap((cell) => cell.model.outputs.toJSON())
    .filter((output) => output.output_type === 'error').map((output) => output.traceback.join('\\n'))"""

# Notebook 7.6 throws while it starts, before any widget is there: errors that come from its own bundle alone.
_NOTEBOOK_7S_OWN = re.compile(r"[^\n]*(\n +at [^\n]*(/static/notebook/notebook_core\.|async Promise)[^\n]*)+")


class Notebook:
    """A notebook open in a page, and its kernel."""

    def __init__(self, page: Any, server: Server) -> None:
        self.page, self.server = page, server
        self.errors: list[str] = []
        self.requests: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(error.stack))
        page.on("dialog", lambda dialog: dialog.accept())  # "leave this page?"
        page.on("request", lambda request: self.requests.append(request.url))

    def open(self, name: str, app: str | None = None) -> None:
        """Open a notebook of the server's folder and wait until its kernel answers.

        JupyterLab gets a workspace of its own: in a shared one it would open the notebooks of earlier tests as well,
        each with a kernel, and show one of them.
        """
        self.page.goto(f"{self.server.url}/{app or f'lab/workspaces/{uuid.uuid4().hex}/tree'}/{name}")
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Wait until the notebook is there and its kernel answers."""
        deadline = time.monotonic() + START_SECONDS
        while not self.ask(_READY, seconds=START_SECONDS):
            assert time.monotonic() < deadline, "the notebook did not become ready"
            self.page.wait_for_timeout(50)

    def ask(self, script: str, argument: Any = None, seconds: float = 30) -> Any:
        """What a function in the page gives; Playwright itself would wait for its promise without end."""
        return self.page.evaluate(_IN_TIME % (script, seconds, 1000 * seconds), argument)

    def command(self, name: str, seconds: float = 30) -> None:
        """Run one of Jupyter's commands to its end."""
        self.ask("(name) => window.jupyterapp.commands.execute(name)", name, seconds)

    def run_all(self) -> None:
        """Run all cells; an exception in one of them fails the test."""
        self.command("notebook:run-all-cells", RUN_ALL_SECONDS)
        assert self.ask(_RUN_ALL_ERRORS) == []

    def theme(self, name: str) -> None:
        """Change to "JupyterLab Dark" or "JupyterLab Light"."""
        self.ask("(theme) => window.jupyterapp.commands.execute('apputils:change-theme', { theme })", name)
        light = str(name.endswith("Light")).lower()
        self.page.wait_for_function("(light) => document.body.dataset.jpThemeLight === light", arg=light)
        self.page.wait_for_timeout(300)

    def save(self) -> None:
        """Save the notebook, with its outputs."""
        self.command("docmanager:save")

    def reload(self) -> None:
        """Reload the page, as F5 does."""
        self.page.reload()
        self.wait_until_ready()

    def value(self, expression: str) -> Any:
        """What a Python expression is in the kernel; it must be something that JSON can write."""
        text = self.ask(_EVALUATE, f"__import__('json').dumps({expression}, default=lambda it: it.tolist())")
        return json.loads(eval(text))

    def wait_for(self, expression: str, holds: Callable[[Any], bool] = bool, seconds: float = 30) -> Any:
        """Wait until the value of a Python expression in the kernel holds; returns it."""
        deadline = time.monotonic() + seconds
        while not holds(value := self.value(expression)):
            assert time.monotonic() < deadline, f"{expression} stayed {value!r}"
            self.page.wait_for_timeout(50)
        return value

    def check(self) -> None:
        """No exception in the page, and no request that left this machine."""
        assert [error for error in self.errors if not _NOTEBOOK_7S_OWN.fullmatch(error)] == []
        inside = (f"{self.server.url}/", self.server.url.replace("http", "ws") + "/", "data:", "blob:")
        assert [url for url in self.requests if not url.startswith(inside)] == []

    def shut_down(self) -> None:
        """End every kernel of the server, so that the next test gets a fresh one."""
        with urllib.request.urlopen(f"{self.server.url}/api/sessions", timeout=START_SECONDS) as reply:
            sessions = json.load(reply)
        for session in sessions:
            request = urllib.request.Request(f"{self.server.url}/api/sessions/{session['id']}", method="DELETE")
            urllib.request.urlopen(request, timeout=START_SECONDS).close()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The Jupyter server of all browser tests."""
    server = Server(tmp_path_factory.mktemp("jupyter"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """The Chromium of all browser tests."""
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def notebook(server: Server, browser: Any) -> Iterator[Notebook]:
    """A page without history, for one notebook with a kernel of its own; checked for errors at the end."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    notebook = Notebook(context.new_page(), server)
    yield notebook
    context.close()
    notebook.shut_down()
    notebook.check()
