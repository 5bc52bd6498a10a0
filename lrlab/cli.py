"""The command ``lrlab``: look at this machine, open the lab, build the notebooks, check a workbook, report on a run."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

WELCOME = Path("lectures", "00_welcome.ipynb")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one of the commands; the result is the exit status."""
    parser = argparse.ArgumentParser(prog="lrlab", description="A laboratory for training neural networks.")
    commands = parser.add_subparsers(dest="command", required=True)

    commands.add_parser("doctor", help="show what this machine has, what it lacks and what to do about it")
    commands.add_parser("lab", help="open JupyterLab on the first lecture; further arguments go to jupyter lab")
    notebooks = commands.add_parser("notebooks", help="build lectures and workbooks from their sources, or check them")
    notebooks.add_argument("action", choices=("build", "check"))
    notebooks.add_argument("names", nargs="*", help="01_learning_rate, for example; all without a name")
    workbook = commands.add_parser("workbook", help="for teachers: build, check or lint the workbooks, begin a new one")
    workbook.add_argument("action", choices=("build", "check", "lint", "new"))
    workbook.add_argument("names", nargs="*", help="03_momentum, for example; all without a name")
    check = commands.add_parser("check", help="run a workbook from top to bottom and say how far you are")
    check.add_argument("notebook", type=Path, help="exercises/03_momentum.ipynb, for example")
    check.add_argument("--cell-seconds", type=float, default=60, help="what a cell may take (default: 60)")
    report = commands.add_parser("report", help="make a saved run again and write a page about it (HTML)")
    report.add_argument("moves", type=Path, metavar="run.json", help="what run.save_moves wrote")
    report.add_argument("-o", "--output", type=Path, help="the page to write (default: run.html beside run.json)")
    report.add_argument("--title", help="its heading (default: model and data)")
    report.add_argument("--device", help="make the run again there, cpu for example (default: where it was made)")
    report.add_argument("--force", action="store_true", help="replace a file that is no report, too")

    known, rest = parser.parse_known_args(arguments)
    if rest and known.command != "lab":
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if known.command == "doctor":
        return _doctor()
    if known.command == "lab":
        return _lab(rest)
    if known.command == "workbook":
        return _workbook(known.action, known.names)
    if known.command == "check":
        return _check(known.notebook, known.cell_seconds)
    if known.command == "report":
        return _report(known)
    return _notebooks(known.action, known.names)


def _doctor() -> int:
    from lrlab.doctor import doctor

    report = doctor()
    print(report)
    return 0 if report.ok else 1


def _lab(arguments: list[str]) -> int:
    root = find_root()
    if root is None:
        print(f"No {WELCOME} here. Run lrlab lab in a clone of lrlab's repository.", file=sys.stderr)
        return 1
    try:
        from jupyterlab.labapp import LabApp
    except ImportError:
        print("JupyterLab is not installed: pip install 'lrlab[lab]'", file=sys.stderr)
        return 1
    # Jupyter prints the address of the page it starts on, with its token: that is the first lecture.
    options = [f"--ServerApp.root_dir={root}", f"--LabApp.default_url=/lab/tree/{WELCOME.as_posix()}"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        print("lrlab lab runs as root, so it adds --allow-root. A user of your own is safer.", flush=True)
        options.append("--allow-root")
    LabApp.launch_instance([*options, *arguments])
    return 0


def find_root() -> Path | None:
    """The folder that holds the lectures: this one, one above it, or the clone that lrlab is installed from."""
    here = Path.cwd()
    for folder in (here, *here.parents, Path(__file__).resolve().parent.parent):
        if (folder / WELCOME).exists():
            return folder
    return None


def _report(known: argparse.Namespace) -> int:
    from lrlab import report

    output = known.output or known.moves.parent / f"{known.moves.stem or 'run'}.html"
    options = {"title": known.title, "overwrite": known.force, "device": known.device}
    try:
        report.write(known.moves, output, **options, progress=sys.stderr.isatty())
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        print(f"No report: {error}", file=sys.stderr)
        return 1
    print(f"{output} is written.")
    return 0


def _notebooks(action: str, names: list[str]) -> int:
    from lrlab import notebooks

    return notebooks.main(action, names)


def _workbook(action: str, names: list[str]) -> int:
    if action == "lint":
        from lrlab.workbook import lint

        return lint.main(names)
    if action == "new":
        from lrlab.workbook import template

        return template.main(names)
    from lrlab.workbook import building

    return building.main(action, names)


def _check(notebook: Path, cell_seconds: float) -> int:
    from lrlab.workbook import checkup

    return checkup.main(notebook, cell_seconds)


if __name__ == "__main__":
    sys.exit(main())
