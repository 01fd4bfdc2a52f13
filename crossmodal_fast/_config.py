"""Defaults of the `**control` arguments: per call, per context, per process, in that order."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any, TypedDict

from . import _dispatch
from ._validate import brief, flag

Progress = bool | Callable[[int, int], None]
Devices = Sequence[int] | str | None
LETTERS = (str, bytes, bytearray, memoryview)  # sequences that nobody means as one of numbers
ENVIRONMENT = "CROSSMODAL_FAST_BACKEND"
PRECISIONS = ("auto", "float32", "float64", "float16", "int16", "int8", "int7", "int6")


class Control(TypedDict, total=False):
    """Keyword arguments that every operation takes. What is not given comes from `config`.

    backend : "auto" | "cuda" | "numba" | "numpy"; a name is a demand, "auto" a preference in that order, but for calls
        that NumPy does quicker; the environment variable CROSSMODAL_FAST_BACKEND replaces it by a demand
    precision : dtype of the scan, "auto" lets the backend choose; never changes an answer of a search
    max_bytes : cap on the workspace beyond inputs, outputs and `Gallery.nbytes`
    n_threads : threads to use at most, None for all that the process may use
    devices : GPUs that share the gallery of a search, their numbers or "all" that are visible; None for the current one
    check_finite : raise on NaN and infinity; otherwise such rows sort last
    progress : True for a bar on a terminal, or a callable (done, total)
    """

    backend: str | None
    precision: str | None
    max_bytes: int | None
    n_threads: int | None
    devices: Devices
    check_finite: bool | None
    progress: Progress | None


@dataclass
class Config:
    """Process-wide defaults; assign to an attribute to change one. The fields are those of `Control`."""

    backend: str = "auto"  # as the environment variable says, if it does
    precision: str = "auto"
    max_bytes: int = 1 << 30
    n_threads: int | None = None
    devices: Devices = None
    check_finite: bool = True
    progress: Progress = False

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in CHECKS:
            raise AttributeError(f"config must be one of {sorted(CHECKS)}, got {name!r}")
        CHECKS[name](value)
        super().__setattr__(name, value)


def _backend(value: Any) -> None:
    if not isinstance(value, str) or value not in ("auto", *_dispatch.FILES):
        raise ValueError(f"backend must be 'auto' or one of {sorted(_dispatch.FILES)}, got {brief(value)}")


def _precision(value: Any) -> None:
    if not isinstance(value, str) or value not in PRECISIONS:
        raise ValueError(f"precision must be one of {list(PRECISIONS)}, got {brief(value)}")


def _max_bytes(value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise ValueError(f"max_bytes must be a whole number of bytes above 0, got {brief(value)}")


def _n_threads(value: Any) -> None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, Integral) or value < 1):
        raise ValueError(f"n_threads must be a whole number above 0 or None, got {brief(value)}")


def _devices(value: Any) -> None:
    if value is None or (isinstance(value, str) and value == "all"):
        return
    numbers = list(value) if isinstance(value, Sequence) and not isinstance(value, LETTERS) else [None]
    if not numbers or any(isinstance(one, bool) or not isinstance(one, Integral) or one < 0 for one in numbers):
        raise ValueError(f"devices must be 'all', numbers of GPUs in a list, or None, got {brief(value)}")


def _check_finite(value: Any) -> None:
    flag("check_finite", value)


def _progress(value: Any) -> None:
    if not isinstance(value, bool) and not callable(value):
        raise ValueError(f"progress must be True, False or a callable (done, total), got {brief(value)}")


CHECKS: dict[str, Callable[[Any], None]] = {
    "backend": _backend,
    "precision": _precision,
    "max_bytes": _max_bytes,
    "n_threads": _n_threads,
    "devices": _devices,
    "check_finite": _check_finite,
    "progress": _progress,
}

config = Config()
_overrides: ContextVar[dict[str, Any]] = ContextVar("crossmodal_fast_overrides", default={})  # noqa: B039 - never mutated


@contextmanager
def config_context(**changes: Any) -> Iterator[Config]:
    """Other defaults inside a `with` block, for this thread or task only.

    >>> with config_context(n_threads=1, max_bytes=2**28) as inside:
    ...     inside.n_threads
    1
    """
    replace(config, **known(changes))
    token = _overrides.set(_overrides.get() | changes)
    try:
        yield resolve({})
    finally:
        _overrides.reset(token)


def use_backend(name: str) -> Any:
    """`config_context(backend=name)`: inside the `with` block a named backend is a demand."""
    _backend(name)
    return config_context(backend=name)


def resolve(control: Control) -> Config:
    """The control arguments of one call, completed and checked."""
    given = {name: value for name, value in known(dict(control)).items() if value is not None}
    settled = Config.__new__(Config)
    vars(settled).update(vars(config))  # which was checked when it was set
    _devices(settled.devices)  # but a list may have changed since
    for name, value in (_overrides.get() | given).items():
        setattr(settled, name, value)
    if settled.backend == "auto" and (environment := os.environ.get(ENVIRONMENT)):
        if environment != "auto" and environment not in _dispatch.FILES:
            allowed = f"'auto' or one of {sorted(_dispatch.FILES)}"
            raise ValueError(f"{ENVIRONMENT} must be {allowed}, got {environment!r}; unset it or mend it")
        settled.backend = environment
    return settled


def known(given: dict[str, Any]) -> dict[str, Any]:
    """The same, if all are control arguments."""
    for name in given:
        if name not in CHECKS:
            raise TypeError(f"control arguments must be among {sorted(CHECKS)}, got {name!r}")
    return given
