"""The peers that `crossmodal_fast.compat` stands in for: what is said of them is tried on them where they are there."""

import inspect
from importlib import import_module

import pytest


def peer_or_none(name):
    try:
        return import_module(name)
    except ModuleNotFoundError:
        return None


def with_peer(ours, name):
    """Parameters of a test that holds for our module and for the peer's alike."""
    theirs = peer_or_none(name)
    absent = pytest.mark.skipif(theirs is None, reason=f"{name} is not installed")
    return [pytest.param(ours, id="ours"), pytest.param(theirs, id=name, marks=absent)]


def parameters(function):
    """Names, kinds and plain defaults of a function's parameters."""
    plain = (bool, int, float, str, type(None))
    return [
        (name, one.kind, one.default if isinstance(one.default, plain) else "an object")
        for name, one in inspect.signature(function).parameters.items()
    ]
