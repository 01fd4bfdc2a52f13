"""Results in the type and on the device of the first argument."""

import sys
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ._readers import library_of

Array = NDArray[Any]
Result = TypeVar("Result")
LARGEST_IN_32_BITS = np.iinfo(np.int32).max


def given_back(like: Any, found: Result) -> Result:
    """`found` with its arrays as `like` is one, sharing memory where the library can; NumPy's where it has none."""
    if isinstance(like, np.ndarray | np.generic | list | tuple):
        return found
    make = MAKERS.get(library_of(like), _of_namespace if hasattr(like, "__array_namespace__") else None)
    if make is None:
        return found
    made: Result = _with_arrays(found, lambda array: make(like, array))
    return made


def _with_arrays(found: Any, make: Callable[[Array], Any]) -> Any:
    """Tuples keep their type and what else they hold."""
    if isinstance(found, np.ndarray):
        return make(np.require(found, requirements=("C", "W")))
    if not isinstance(found, tuple):
        return found
    parts = [_with_arrays(part, make) for part in found]
    if not hasattr(found, "_make"):
        return tuple(parts)
    changed = found._make(parts)
    for name, value in getattr(found, "__dict__", {}).items():
        setattr(changed, name, _with_arrays(value, make))
    return changed


def _of_namespace(like: Any, array: Array) -> Any:
    from array_api_compat import array_namespace, device

    return array_namespace(like).asarray(array, device=device(like))


def _of_jax(like: Any, array: Array) -> Any:
    module = sys.modules["jax"]
    made = module.numpy.asarray(array)
    largest = np.abs(array).max(initial=0) if array.dtype.kind == "i" and made.dtype != array.dtype else 0
    if largest > LARGEST_IN_32_BITS:
        raise ValueError(f"results must fit the 32 bits that JAX holds without jax_enable_x64, got {largest}")
    devices = like.devices()
    return module.device_put(made, *devices) if len(devices) == 1 else made  # other rows may not split as those did


def _of_tensorflow(like: Any, array: Array) -> Any:
    module = sys.modules["tensorflow"]
    with module.device(like.device):
        return module.convert_to_tensor(array)


MAKERS: dict[str, Callable[[Any, Array], Any]] = {
    "torch": _of_namespace,
    "jax": _of_jax,
    "jaxlib": _of_jax,
    "tensorflow": _of_tensorflow,
    "cupy": _of_namespace,
}
