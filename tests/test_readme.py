"""The README's code runs as it stands there, with smaller numbers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lrlab import Run

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)

# What makes a block quick: fewer rates, seeds, trials, members, steps; the answers stay answers of the same kind.
SMALLER = {
    r"logspace\(-5, 0, 64\)": "logspace(-5, 0, 3)",
    r"seeds=8": "seeds=2",
    r"trials=60": "trials=3",
    r"members=5": "members=2",
    r"every=50": "every=2",
    r"steps=300\b": "steps=12",
}


def small(block: str) -> str:
    for large, few in SMALLER.items():
        block = re.sub(large, few, block)
    return block


@pytest.fixture
def names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """An empty folder to work in, but for some photographs of pets."""
    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for number in range(12):
            pixels = draw.integers(0, 256, (40, 48, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pets" / name / f"{number}.png")
    return {}


def test_the_blocks_are_found() -> None:
    assert [block.split("\n")[0] for block in BLOCKS] == [
        "from lrlab import Run, rules, schedules, instruments",
        "import torch",
        'v = self.rho * state["v"] + g',
        "from lrlab import data, ensembles, transfer",
        "from dask.distributed import Client, LocalCluster",
    ]
    assert all(re.search(large, "".join(BLOCKS)) for large in SMALLER), "a number of the README has changed"


def test_the_package_at_work(names: dict[str, Any]) -> None:
    exec(small(BLOCKS[0]), names)
    run = names["run"]
    assert run.step == names["other"].step == 120 and run.moves == []  # the knob was turned at step 200
    assert names["tuner"].run is run
    assert Run.replay(*Run.load_moves("run.json"), steps=120).step == 120

    exec(small(BLOCKS[1]), names)
    assert len(names["table"]) == 3 * 2
    assert Path("trials.log").exists()


def test_layers_networks_and_folders(names: dict[str, Any]) -> None:
    exec("from lrlab import Run\n" + small(BLOCKS[3]), names)
    assert names["run"].step == 12 and {knob for _, knob, _ in names["run"].moves} == {"factors"}
    assert len(names["five"]) == 2
    assert names["pets"].classes == ("cat", "dog")
