"""Every link to a file of this repository leads to one."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from urllib.parse import unquote

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
TRACKED = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.split("\n")
PAGES = [name for name in TRACKED if name.endswith((".md", ".ipynb"))]
LINK = re.compile(r"\]\(<?([^)\s>]+)>?\)")
SOMEWHERE_ELSE = ("http://", "https://", "mailto:", "#", "data:", "attachment:")


def text_of(page: Path) -> str:
    if page.suffix == ".md":
        return re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    notebook = nbformat.read(page, as_version=4)
    return "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


@pytest.mark.skipif(not PAGES, reason="this is no clone: git names no files")
@pytest.mark.parametrize("name", PAGES)
def test_links_lead_to_files(name: str) -> None:
    page = ROOT / name
    links = [link for link in LINK.findall(text_of(page)) if not link.startswith(SOMEWHERE_ELSE)]
    broken = [link for link in links if not (page.parent / unquote(link.split("#")[0])).exists()]
    assert not broken, f"{name} links to what is not there: {broken}"


@pytest.mark.skipif(not PAGES, reason="this is no clone: git names no files")
def test_links_were_looked_at() -> None:
    texts = {name: text_of(ROOT / name) for name in PAGES}
    assert "](../../lectures/03_momentum.ipynb)" in texts["exercises/solved/03_momentum.ipynb"]
    assert "](../lectures/03_momentum.ipynb)" in texts["exercises/03_momentum.ipynb"]
    assert "](lectures/03_momentum.ipynb)" in texts["README.md"]
