"""A minute of `make soak`."""

import sys

import pytest

import soak


@pytest.mark.heavy
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_mixed_calls_of_sixty_four_callers_for_a_minute():
    """Ten minutes must stay below 1 %; in one the allocator is still filling its arenas."""
    told = soak.soak(60)
    assert told["fewest of a thread"] > 10
    assert told["growth of bytes"] < 0.1
    assert told["growth of open files"] == 0
