"""Which GPUs share a gallery: numbers, "all" that are visible, or None for the current one."""

from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_wanted: ContextVar[Any] = ContextVar("crossmodal_fast_devices", default=None)


@contextmanager
def devices(given):
    """Set `wanted()` inside the block; None changes nothing."""
    token = _wanted.set(_wanted.get() if given is None else given)
    try:
        yield
    finally:
        _wanted.reset(token)


def wanted():
    """What was set last."""
    return _wanted.get()
