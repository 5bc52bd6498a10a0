"""Run the benchmarks one after the other: ``python -m benchmarks`` or ``python -m benchmarks run``."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent


def main(names: list[str]) -> int:
    programs = {path.stem.removeprefix("bench_"): path for path in sorted(HERE.glob("bench_*.py"))}
    if unknown := [name for name in names if name not in programs]:
        print(f"no benchmark {', '.join(unknown)}; there are: {', '.join(programs)}", file=sys.stderr)
        return 2
    print(_machine())
    missed = []
    for name in names or programs:
        print(f"\n== {name}", flush=True)
        start = time.perf_counter()
        # A process for each: threads, allocators and compiled code of one must not help or hurt the next.
        if subprocess.run([sys.executable, str(programs[name])], cwd=HERE.parent).returncode:
            missed.append(name)
        print(f"== {name}: {time.perf_counter() - start:.0f} s", flush=True)
    print(f"\nA target was missed or a program failed in: {', '.join(missed)}" if missed else "\nAll targets were met")
    return 1 if missed else 0


def _machine() -> str:
    """What the figures below were measured on."""
    import torch

    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = lines[0].split(":", 1)[1].strip() if lines else model
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no CUDA device"
    return f"{model}, {os.cpu_count()} CPUs; {device}; Python {platform.python_version()}, torch {torch.__version__}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
