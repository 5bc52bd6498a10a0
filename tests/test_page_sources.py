"""The JavaScript of the pages: what one file imports is exported by the other, is used, and comes before it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lrlab.instruments import page

FOLDER = Path(page.__file__).parent
SCRIPTS = {path.name: path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.js"))}
IMPORT = re.compile(r"^import \{([^}]*)\} from \"\./([^\"]+)\";\n", re.MULTILINE)
EXPORT = re.compile(r"^export (?:const|class|function) (?:\[([^\]]*)\]|(\w+))", re.MULTILINE)
PAGES = [kind for kind in page.Page.__subclasses__() if kind.__module__ == page.__name__]


def names(listed: str) -> list[str]:
    return [name.strip() for name in listed.split(",") if name.strip()]


EXPORTS = {
    file: {name for many, one in EXPORT.findall(script) for name in names(many or one)}
    for file, script in SCRIPTS.items()
}
IMPORTS = {file: {other: names(listed) for listed, other in IMPORT.findall(script)} for file, script in SCRIPTS.items()}


def code(file: str) -> str:
    """A script without its imports and its comments."""
    return re.sub(r"/\*.*?\*/|(?<!:)//[^\n]*", "", IMPORT.sub("", SCRIPTS[file]), flags=re.DOTALL)


@pytest.mark.parametrize("file", SCRIPTS)
def test_imports_are_there_and_are_used(file: str) -> None:
    used = set(re.findall(r"(?:(?<![.\w])|(?<=\.\.\.))(\w+)", code(file)))
    for other, wanted in IMPORTS[file].items():
        assert set(wanted) <= EXPORTS[other], f"{file} takes from {other} what is not there"
        assert set(wanted) <= used, f"{file} does not use all of {other} that it takes"


@pytest.mark.parametrize("file", SCRIPTS)
def test_nothing_of_another_file_is_used_without_an_import(file: str) -> None:
    own = set(re.findall(r"(?:const|let|class|function) (\w+)", SCRIPTS[file]))
    taken = {name for wanted in IMPORTS[file].values() for name in wanted}
    called = set(re.findall(r"(?:new |(?<![.\w]))(\w+)\(", code(file)))
    methods = set(re.findall(r"^  (?:get |set |static |async )?(\w+)\(", SCRIPTS[file], re.MULTILINE))
    for other in SCRIPTS:
        assert called & EXPORTS[other] <= own | taken | methods, f"{file} uses {other} without saying so"


@pytest.mark.parametrize("kind", PAGES, ids=lambda kind: kind.__name__)
def test_a_page_holds_what_it_imports_each_before_its_use(kind: type[page.Page]) -> None:
    module = str(kind._esm)
    places = {file: module.find(IMPORT.sub("", script)) for file, script in SCRIPTS.items()}
    held = {file for file, place in places.items() if place >= 0}
    for file in held:
        for other in IMPORTS[file]:
            assert 0 <= places[other] < places[file], f"{file} comes before {other}, or without it"
    assert module.count("export default") == 1


def test_every_page_can_say_that_its_kernel_is_silent() -> None:
    """`Link` shows that below the root it is given; a page without one would look alive and do nothing."""
    links = {file: re.findall(r"new Link\((.*)\);", text) for file, text in SCRIPTS.items() if "new Link(" in text}
    assert len(links) > 9
    assert [file for file, calls in links.items() if not all(call.endswith(", this.root") for call in calls)] == []
