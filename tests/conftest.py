"""What all tests share."""

from hypothesis import settings

# The same examples everywhere and no clock: a test that fails in continuous integration fails on the desk, too.
settings.register_profile("lrlab", derandomize=True, deadline=None)
settings.load_profile("lrlab")
