"""The set-up: make, the package's metadata, the conda environment, the floors, the command that opens the lab."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

import lrlab

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

CONDA_NAMES = {"torch": "pytorch"}


def make(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    # Without the make that may have started these tests.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MAKE") and name != "MFLAGS"}
    return subprocess.run(
        ["make", *arguments], cwd=ROOT, env=inherited | environment, capture_output=True, text=True, timeout=60
    )


# --- make ---


@pytest.fixture
def fake_python(tmp_path: Path) -> tuple[Path, Path]:
    """A Python that writes down what it is asked for, and whose venv is another such Python."""
    log = tmp_path / "log"
    python = tmp_path / "python3"
    python.write_text(
        "#!/bin/sh\n"
        f'echo "$@" >> {log}\n'
        '[ "$1" = --version ] && echo "Python 3.9.2"\n'
        '[ "$1" = -c ] && exit ${TOO_OLD:-0}\n'
        f'[ "$1 $2" = "-m venv" ] && {{ mkdir -p "$3/bin"; cp {python} "$3/bin/python"; }}\n'
        'case "$*" in *ipykernel==7.3*) exit ${NO_OLD_KERNEL:-0};; esac\n'
        "exit 0\n"
    )
    python.chmod(0o755)
    return python, log


def test_install_creates_the_venv_once(fake_python: tuple[Path, Path], tmp_path: Path) -> None:
    python, log = fake_python
    venv = tmp_path / "venv"
    first = make("install", f"PYTHON={python}", f"VENV={venv}")
    assert first.returncode == 0, first.stderr
    assert "Next: make lab" in first.stdout
    asked = log.read_text()
    assert f"-m venv {venv}" in asked
    assert "-e .[lab,test]" in asked
    assert f"--target {venv}/kernels/ipykernel-7.3 ipykernel==7.3.*" in asked

    second = make("install", f"PYTHON={python}", f"VENV={venv}")
    assert second.returncode == 0
    assert log.read_text() == asked, "the second call must find nothing to do"

    changed = make("install", "--what-if=pyproject.toml", f"PYTHON={python}", f"VENV={venv}")
    assert changed.returncode == 0
    assert log.read_text().count("-e .[lab,test]") == 2
    assert log.read_text().count("-m venv") == 1


def test_install_says_when_python_is_too_old(fake_python: tuple[Path, Path], tmp_path: Path) -> None:
    python, log = fake_python
    answer = make("install", f"PYTHON={python}", f"VENV={tmp_path / 'venv'}", TOO_OLD="1")
    assert answer.returncode != 0
    assert "is Python 3.9.2; lrlab needs Python 3.10 or newer" in answer.stdout
    assert "PYTHON=python3.12" in answer.stdout
    assert "-m venv" not in log.read_text()


def test_install_says_when_there_is_no_python(tmp_path: Path) -> None:
    answer = make("install", "PYTHON=python-of-nowhere", f"VENV={tmp_path / 'venv'}")
    assert answer.returncode != 0
    assert "There is no python-of-nowhere here" in answer.stdout


def test_install_does_without_the_older_kernel(fake_python: tuple[Path, Path], tmp_path: Path) -> None:
    python, _ = fake_python
    answer = make("install", f"PYTHON={python}", f"VENV={tmp_path / 'venv'}", NO_OLD_KERNEL="1")
    assert answer.returncode == 0
    assert "browser tests on ipykernel 7.3 will be skipped" in answer.stdout


def planned(*arguments: str) -> str:
    """What make would run, were everything installed."""
    answer = make("-n", "--assume-old=.venv/.installed", *arguments)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def test_lab_passes_its_arguments_on() -> None:
    assert ".venv/bin/lrlab lab --no-browser --port=8890" in planned("lab", "LAB_ARGS=--no-browser --port=8890")


def test_test_runs_every_stage_and_pytest_last() -> None:
    plan = planned("test")
    stages = ["ruff check", "lint-imports", "mypy", "lrlab notebooks check", "-m pytest -n"]
    places = [plan.index(stage) for stage in stages]
    assert places == sorted(places)
    assert " --nbval " in plan and "--nbval-cell-timeout=" in plan
    for notebook in ROOT.glob("lectures/*.ipynb"):
        assert f"lectures/{notebook.name}" in plan
    fast = planned("test-fast")
    assert "--nbval" not in fast and "not browser" in fast


def test_a_failed_stage_fails_the_tests(tmp_path: Path) -> None:
    tools = tmp_path / "venv" / "bin"
    tools.mkdir(parents=True)
    for tool in ("ruff", "lint-imports", "mypy", "lrlab", "python"):
        (tools / tool).write_text(f"#!/bin/sh\necho ran {tool}\nexit {int(tool == 'mypy')}\n")
        (tools / tool).chmod(0o755)
    (tools.parent / ".installed").touch()
    answer = make("test", f"VENV={tools.parent}", f"--assume-old={tools.parent}/.installed")
    assert answer.returncode != 0
    assert "== failed so far: mypy" in answer.stdout
    assert answer.stdout.rstrip().endswith("ran python"), "pytest's closing line comes last"

    (tools / "mypy").write_text("#!/bin/sh\nexit 0\n")
    assert make("test", f"VENV={tools.parent}", f"--assume-old={tools.parent}/.installed").returncode == 0


def test_portability_tries_four_machines() -> None:
    plan = planned("portability")
    assert "for capability in default avx2" in plan and "for threads in 1 2" in plan
    assert "ATEN_CPU_CAPABILITY=$capability OMP_NUM_THREADS=$threads" in plan


def test_bench_installs_its_extra_and_names_one() -> None:
    plan = planned("bench", "ONLY=run", "--what-if=.venv/.installed")
    assert ".[bench]" in plan and "-m benchmarks run" in plan


def test_help_names_every_target() -> None:
    text = make("help").stdout
    targets = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert targets is not None
    for target in targets[1].split():
        assert f"make {target} " in text


# --- continuous integration ---


def test_ci_is_a_program_that_bash_can_read() -> None:
    program = ROOT / ".ci" / "run"
    assert os.access(program, os.X_OK)
    assert subprocess.run(["bash", "-n", program]).returncode == 0


def test_ci_says_when_it_may_not_install_a_browser(tmp_path: Path) -> None:
    (tmp_path / "dirname").symlink_to(str(shutil.which("dirname")))
    (tmp_path / "id").write_text("#!/bin/sh\necho 1000\n")
    (tmp_path / "id").chmod(0o755)
    program = [str(shutil.which("bash")), ROOT / ".ci" / "run"]
    answer = subprocess.run(program, env={"PATH": str(tmp_path)}, capture_output=True, text=True, timeout=60)
    assert answer.returncode == 1
    assert "sudo apt-get install chromium" in answer.stderr


# --- what the package says of itself ---


def bounds(requirements: list[str]) -> dict[str, str]:
    return {r.name: str(r.specifier) for r in map(Requirement, requirements)}


def test_the_conda_environment_agrees_with_the_package() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert environment["channels"] == ["conda-forge"]
    conda = bounds([item for item in environment["dependencies"] if isinstance(item, str)])
    extras = PROJECT["optional-dependencies"]
    wanted = bounds([*PROJECT["dependencies"], *extras["lab"]])
    assert conda.pop("python") == PROJECT["requires-python"]
    assert conda.pop("pip") == ""
    for name, bound in wanted.items():
        assert conda.pop(CONDA_NAMES.get(name, name)) == bound, name
    assert conda.items() <= bounds(extras["test"]).items(), "what else it names must be a test tool with the same bound"
    assert environment["dependencies"][-1] == {"pip": ["-e ."]}


# Installed with the package on the right, and only used where that one is.
COMES_WITH = {"jupyter_core": "jupyterlab", "jupyter_server": "jupyterlab"}


def test_everything_imported_is_declared() -> None:
    extras = PROJECT["optional-dependencies"]
    declared = {name.lower() for name in bounds([*PROJECT["dependencies"], *extras["lab"], *extras["test"]])}
    declared |= {name for name, owner in COMES_WITH.items() if owner in declared}
    owners = metadata.packages_distributions()
    for path in (ROOT / "lrlab").rglob("*.py"):
        for module in imports(path) - set(sys.stdlib_module_names) - {"lrlab"}:
            names = {owner.lower() for owner in owners.get(module, [module])}
            assert names & declared, f"{path.name} imports {module}, which pyproject.toml does not name"


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add((node.module or "").split(".")[0])
    return found - {"google"}


def test_the_licences() -> None:
    assert "MIT License" in (ROOT / "LICENSE").read_text()
    assert "CC-BY-4.0" in (ROOT / "LICENSE-lectures").read_text()
    for name in PROJECT["license-files"]:
        assert (ROOT / name).exists()


def test_the_version_is_the_one_of_the_package() -> None:
    assert lrlab.__version__ == PROJECT["version"]


# --- import lrlab ---


def test_importing_lrlab_does_not_load_torch() -> None:
    code = "import sys, lrlab; sys.exit('torch' in sys.modules or 'matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_every_public_name_is_there() -> None:
    for name in lrlab.__all__:
        assert getattr(lrlab, name) is not None
        assert name in dir(lrlab)
    with pytest.raises(AttributeError, match="lrlab has no 'Tuner'; it has Run, augmentation, data"):
        lrlab.Tuner  # noqa: B018


def test_a_function_named_like_its_module_stays_a_function() -> None:
    import lrlab.doctor
    import lrlab.source

    assert callable(lrlab.doctor) and callable(lrlab.source)


# --- the floors ---


def broken_imports(package: Path) -> str:
    """What import-linter says of a package, by the project's own contract."""
    shutil.copy(ROOT / "pyproject.toml", package.parent)
    answer = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=package.parent,
        env=os.environ | {"PYTHONPATH": str(package.parent), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    return "" if answer.returncode == 0 else answer.stdout


def test_an_import_upwards_is_noticed(tmp_path: Path) -> None:
    package = tmp_path / "lrlab"
    shutil.copytree(ROOT / "lrlab", package, ignore=shutil.ignore_patterns("__pycache__"))
    assert broken_imports(package) == ""
    rules = package / "rules.py"
    rules.write_text(rules.read_text() + "\nfrom lrlab import run\n")
    assert "lrlab.rules -> lrlab.run" in broken_imports(package)


def test_a_module_on_no_floor_is_noticed(tmp_path: Path) -> None:
    package = tmp_path / "lrlab"
    shutil.copytree(ROOT / "lrlab", package, ignore=shutil.ignore_patterns("__pycache__"))
    (package / "attic.py").touch()
    assert "lrlab.attic" in broken_imports(package)


# --- lrlab lab ---


def test_lab_opens_on_the_first_lecture(tmp_path: Path) -> None:
    (tmp_path / "lectures").mkdir()
    empty = {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    (tmp_path / "lectures" / "00_welcome.ipynb").write_text(json.dumps(empty))
    folders = {name: str(tmp_path / name) for name in ("JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR")}
    server = subprocess.Popen(
        [sys.executable, "-m", "lrlab.cli", "lab", "--no-browser", "--port=0"],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if name != "DISPLAY"} | folders,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stderr is not None and server.stdout is not None
        address = next((found for line in server.stderr if (found := re.search(r"http://\S+", line))), None)
        assert address is not None, "the address was not printed"
        page, token = address[0].split("?token=")
        base = page.removesuffix("lab/tree/lectures/00_welcome.ipynb")
        assert base != page, f"it does not open on the first lecture: {page}"
        wait_until_it_listens(f"{base}api/status", token)  # the address is printed a moment before
        assert get(f"{base}api/status", token)["kernels"] == 0
        assert get(f"{base}api/contents/lectures", token)["content"][0]["name"] == "00_welcome.ipynb"
        with pytest.raises(urllib.error.HTTPError, match="403"):
            get(f"{base}api/status", "a guess")
    finally:
        server.send_signal(signal.SIGTERM)
        said, _ = server.communicate(timeout=20)
    assert server.returncode == 0
    assert ("--allow-root" in said) == (os.geteuid() == 0)
    with pytest.raises(urllib.error.URLError):
        get(f"{base}api/status", token)


def wait_until_it_listens(url: str, token: str) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            get(url, token)
            return
        except urllib.error.URLError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def get(url: str, token: str) -> dict:
    request = urllib.request.Request(url, headers={"Authorization": f"token {token}"})
    without_proxy = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with without_proxy.open(request, timeout=10) as answer:
        return json.load(answer)


def test_lab_says_where_it_must_be_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    from lrlab import cli

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli, "__file__", str(tmp_path / "lrlab" / "cli.py"))
    assert cli.main(["lab"]) == 1
    assert "Run lrlab lab in a clone" in capsys.readouterr().err


def test_an_unknown_argument_is_refused(capsys) -> None:
    from lrlab import cli

    with pytest.raises(SystemExit):
        cli.main(["doctor", "--fix"])
    assert "unrecognized arguments: --fix" in capsys.readouterr().err


def test_a_benchmark_that_does_not_exist() -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "benchmarks", "nothing"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert answer.returncode == 2
    assert "no benchmark nothing; there are:" in answer.stderr
