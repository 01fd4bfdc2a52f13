"""Which backend runs an operation. File names are the registry: (operation, backend) -> kernels/<operation>/<file>."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ._usable import fault, found
from .kernels.tiles import worth

FILES = {"cuda": "gpu_cuda", "numba": "cpu_numba", "numpy": "cpu_numpy"}  # preferred first
LIBRARY = {"cuda": "cupy", "numba": "numba"}
INSTALL = {"cuda": "crossmodal-fast[cuda12] or crossmodal-fast[cuda13]", "numba": "numba"}
KERNELS = "crossmodal_fast.kernels"


class BackendUnavailable(RuntimeError):
    """A backend was demanded that cannot run here, or cannot run this call; the message says why."""


def obstacle(operation: str, backend: str) -> str | None:
    """What keeps a backend from running an operation on this machine, in words; None if nothing does."""
    library = LIBRARY.get(backend)
    if library is not None and not found(library):
        return f"{library} is not installed; pip install {INSTALL[backend]}"
    if not found(f"{KERNELS}.{operation}.{FILES[backend]}"):
        return f"this version has no {backend} kernel for {operation}"
    return None


def loaded(name: str) -> Any:
    """A library that a backend needs; None where it is not installed."""
    return importlib.import_module(name) if name in sys.modules or found(name) else None


def backends() -> dict[str, str]:
    """What can run here: backend -> "ready", or the reason in words why it cannot. Loads CuPy and Numba."""
    return {name: _state(name) or "ready" for name in FILES}


def _state(name: str) -> str | None:
    operations = sorted(path.parent.name for path in _folder().glob(f"*/{FILES['numpy']}.py"))
    reasons = [obstacle(operation, name) for operation in operations]
    if None not in reasons:
        return reasons[0]
    if name == "cuda":
        reason: str | None = importlib.import_module(f"{KERNELS}.tiles.cuda.driver").obstacle()
        return reason
    return fault(LIBRARY[name]) if name in LIBRARY else None


def _folder() -> Path:
    return Path(next(iter(importlib.import_module(KERNELS).__path__)))


def implementation(operation: str, backend: str, *arguments: Any, **keywords: Any) -> tuple[str, Callable[..., Any]]:
    """The first allowed backend with nothing in its way, and its function: "auto" allows all, a name only itself."""
    reasons = []
    for name in FILES if backend == "auto" else [backend]:
        reason = obstacle(operation, name)  # this machine
        if reason is None and backend == "auto":
            reason = worth.objection(name, operation, *arguments, **keywords)  # would rather not
        if reason is None and name == "numba":
            reason = fault(name)
        if reason is None:
            module = importlib.import_module(f"{KERNELS}.{operation}.{FILES[name]}")
            declines = getattr(module, "declines", None)
            reason = declines and declines(*arguments, **keywords)  # this call
            if reason is None:
                return name, getattr(module, operation)
        reasons.append(f"{name}: {reason}")
    raise BackendUnavailable(f"{operation} cannot run with backend={backend!r} ({'; '.join(reasons)})")
