"""What a task may use of the worker that runs it: a share of the threads, and of the memory."""

import sys
from typing import Any, cast

from .. import _config
from .._config import Config, Control, resolve
from ..kernels.tiles import pool
from ._blocks import no_progress

WORKSPACE = 8  # a task takes the eighth part of its share of a worker's memory at the most, if it is not told more


def travelling(control: Any) -> dict[str, Any]:
    """What the caller asks for, by argument and by context, checked. What nobody asks for is the worker's to say."""
    resolve(control)
    no_progress(control.get("progress"))
    given = {**_config._overrides.get(), **{name: value for name, value in control.items() if value is not None}}
    return {name: value for name, value in given.items() if name not in ("progress", "check_finite")}


def settled(given: dict[str, Any]) -> Config:
    """What holds for a task on this worker."""
    return resolve(cast(Control, asked(given)))


def asked(given: dict[str, Any]) -> dict[str, Any]:
    """The control arguments of a task on this worker; rows were checked when they came."""
    control = {"check_finite": False, "progress": False, **given}
    worker = _worker()
    if worker is not None:
        tasks, memory = worker.state.nthreads, worker.memory_manager.memory_limit
        if "n_threads" not in given:
            control["n_threads"] = max(1, pool.cores() // tasks)
        if "max_bytes" not in given and memory:
            control["max_bytes"] = min(_config.config.max_bytes, max(1, memory // (WORKSPACE * tasks)))
    return control


def _worker() -> Any:
    """Dask's worker that runs this task; None under its local schedulers, whose tasks share one pool of threads."""
    if "distributed" not in sys.modules:
        return None
    try:
        return sys.modules["distributed"].get_worker()
    except ValueError:
        return None
