"""What all tests share."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings

# The same examples everywhere and no clock: a test that fails in continuous integration fails on the desk, too.
settings.register_profile("lrlab", derandomize=True, deadline=None)
settings.load_profile("lrlab")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With several workers (make test JOBS=2), a file's tests go to one of them, and all browser tests to one.

    They share a Jupyter server and a Chromium, and a browser that competes with a second one for two cores waits long.
    """
    from xdist.scheduler import LoadFileScheduling

    class OneBrowser(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return "tests/browser" if nodeid.startswith("tests/browser/") else super()._split_scope(nodeid)

    return OneBrowser(config, log)
