"""Progress: kept beside the notebook, through restarts and accidents."""

import json
import os

import pytest

from lrlab.workbook.progress import Progress


@pytest.fixture
def progress(tmp_path):
    return Progress("03_momentum", tmp_path)


def again(progress):
    """The same progress after a restart of the kernel."""
    return Progress(progress.workbook, progress.path.parent)


def test_nothing_is_written_before_there_is_something_to_keep(progress, tmp_path):
    assert progress.attempts("momentum") == 0 and not progress.right("momentum") and progress.hints("momentum") == 0
    assert list(tmp_path.iterdir()) == []


def test_it_survives_a_restart(progress, tmp_path):
    progress.attempted("momentum", right=False)
    progress.attempted("momentum", right=True)
    progress.hinted("nesterov", 2)
    restarted = again(progress)
    assert restarted.attempts("momentum") == 2 and restarted.right("momentum") and restarted.hints("nesterov") == 2
    assert [path.name for path in tmp_path.iterdir()] == ["03_momentum.progress.json"]


def test_what_was_right_once_stays_right(progress):
    progress.attempted("momentum", right=True)
    progress.attempted("momentum", right=False)
    assert again(progress).right("momentum")


def test_two_kernels_with_one_notebook_add_up(progress):
    other = again(progress)
    progress.attempted("momentum", right=True)
    other.attempted("nesterov", right=True)
    progress.attempted("polyak", right=False)
    assert again(progress).right("momentum") and again(progress).right("nesterov")
    assert again(progress).attempts("polyak") == 1


def test_the_file_says_what_it_is_and_holds_nothing_else(progress):
    progress.attempted("momentum", right=True)
    assert json.loads(progress.path.read_text()) == {
        "format": 1,
        "workbook": "03_momentum",
        "questions": {"momentum": {"attempts": 1, "right": True}},
    }


DAMAGED = [
    "",
    '{"format": 1, "questions": {"mom',
    "[1, 2]",
    '{"questions": 3}',
    '{"questions": {"momentum": 3}}',
    '{"questions": {"momentum": {"attempts": "many"}}}',
    "[" * 100_000,
    "x" * 2_000_000,
    '{"questions": {}}' + " " * 2_000_000,
    "9" * 5000,
]


@pytest.mark.parametrize("text", DAMAGED, ids=range(len(DAMAGED)))
def test_a_damaged_file_is_set_aside_and_not_lost(progress, tmp_path, text):
    progress.path.write_text(text)
    restarted = again(progress)
    assert "03_momentum.progress.damaged.json" in restarted.note
    assert (tmp_path / "03_momentum.progress.damaged.json").read_text() == text
    restarted.attempted("momentum", right=True)
    assert again(progress).right("momentum") and again(progress).note == ""


def test_a_file_in_another_encoding_is_set_aside(progress, tmp_path):
    progress.path.write_bytes(b"\xff\xfe\x00caf\xe9")
    assert "set" in again(progress).note or "damaged" in again(progress).note or not progress.path.exists()
    assert (tmp_path / "03_momentum.progress.damaged.json").exists()


def test_a_second_damaged_file_does_not_overwrite_the_first(progress, tmp_path):
    for text in ("first", "second", "third"):
        progress.path.write_text(text)
        again(progress)
    kept = sorted(path.read_text() for path in tmp_path.iterdir())
    assert kept == ["first", "second", "third"]


def test_where_nothing_can_be_written_progress_lasts_as_long_as_the_kernel(tmp_path):
    progress = Progress("03_momentum", tmp_path / "missing")
    progress.attempted("momentum", right=True)
    progress.attempted("momentum", right=True)
    assert progress.right("momentum") and progress.attempts("momentum") == 2
    assert "cannot be kept" in progress.note


def test_where_it_can_no_longer_be_written_what_is_in_memory_counts(progress, monkeypatch):
    progress.attempted("momentum", right=False)
    monkeypatch.setattr(os, "replace", _full)
    for _ in range(3):
        progress.attempted("momentum", right=False)
    assert progress.attempts("momentum") == 4
    assert again(progress).attempts("momentum") == 1


def test_a_write_that_fails_half_way_leaves_the_old_file_whole(progress, tmp_path, monkeypatch):
    progress.attempted("momentum", right=True)
    before = progress.path.read_text()
    monkeypatch.setattr(os, "replace", _full)
    progress.attempted("nesterov", right=True)
    assert progress.path.read_text() == before
    assert [path.name for path in tmp_path.iterdir()] == ["03_momentum.progress.json"]


def _full(*_):
    raise OSError(28, "No space left on device")


def test_a_folder_in_place_of_the_file_is_said(progress):
    progress.path.mkdir()
    progress.attempted("momentum", right=True)
    assert progress.right("momentum") and "cannot be" in progress.note


def test_the_stage_of_a_hint_never_goes_back(progress):
    progress.hinted("momentum", 3)
    progress.hinted("momentum", 1)
    assert again(progress).hints("momentum") == 3


def test_once_it_can_be_written_again_the_file_counts(progress, monkeypatch):
    with monkeypatch.context() as full:
        full.setattr(os, "replace", _full)
        progress.attempted("momentum", right=True)
    progress.attempted("nesterov", right=True)
    again(progress).attempted("polyak", right=True)
    assert all(map(progress.right, ("momentum", "nesterov", "polyak")))
