"""The smallest workspace a call can do with, as its own error sentence names it."""

import re


def least_max_bytes(call):
    """`call(max_bytes=1)` must be refused; the bytes it asks for instead."""
    try:
        call(max_bytes=1)
    except ValueError as refusal:
        named = re.match(r"max_bytes must be at least (\d+)", str(refusal))
        if named is None:
            raise
        return int(named[1])
    raise AssertionError("max_bytes=1 was accepted")
