"""Dense arrays of other libraries, in the memory of the host or copied there from a device."""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
UNREADABLE = (BufferError, NotImplementedError, RuntimeError, TypeError, ValueError)  # an export that is refused
HOST = (1, 3, 11, 13)  # DLPack: the host's own memory, that pinned by CUDA and by ROCm, that managed by CUDA


def kind_of(value: Any) -> str:
    return f"{type(value).__module__.partition('.')[0]}.{type(value).__qualname__}"


def readable(name: str, value: Any, export: Callable[[Any], Any]) -> Any:
    try:
        return export(value)
    except UNREADABLE as problem:
        reason = " ".join(str(problem).split())
        raise TypeError(f"{name} must be readable as an array, got {kind_of(value)}: {reason}") from problem


def exported(value: Any) -> Any:
    """A view by the array interface or DLPack of any type; what has neither is left to its reader."""
    if hasattr(value, "__array_interface__"):
        return np.asarray(value)
    if hasattr(value, "__dlpack__"):
        if value.__dlpack_device__()[0] in HOST:
            return np.from_dlpack(value)
        return np.from_dlpack(value, device="cpu", copy=True)
    if hasattr(value, "__cuda_array_interface__"):
        raise TypeError("it is in the memory of a GPU and has no DLPack; cupy.asarray takes it over")
    return value


def torch(name: str, value: Any) -> Any:
    module = sys.modules["torch"]
    if not isinstance(value, module.Tensor):
        return value
    if value.requires_grad:
        raise TypeError(
            f"{name} must not require gradients, which no result passes on, got {kind_of(value)} with "
            f"requires_grad=True; {name}.detach() is without"
        )
    if value.layout is not module.strided or value.is_nested:
        layout = "nested" if value.is_nested else value.layout
        raise TypeError(f"{name} must be a dense tensor, got layout {layout}; {name}.to_dense() makes it so")
    if value.is_quantized:
        raise TypeError(f"{name} must not be quantised, got dtype {value.dtype}; {name}.dequantize() makes it float32")
    return readable(name, value, _bfloat16 if value.dtype is module.bfloat16 else _torch)


def _torch(tensor: Any) -> Array:
    found: Array = tensor.cpu().resolve_neg().numpy()
    return found


def _bfloat16(tensor: Any) -> Array:
    """NumPy has no such dtype, so that torch does not export it: the same bits, as ml_dtypes names them."""
    bits = _torch(tensor.view(sys.modules["torch"].int16))
    try:
        import ml_dtypes
    except ImportError:  # a bfloat16 is the upper half of a float32
        return (bits.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    return bits.view(ml_dtypes.bfloat16)


def jax(name: str, value: Any) -> Any:
    module = sys.modules["jax"]
    if isinstance(value, module.core.Tracer):
        raise TypeError(f"{name} must hold numbers, got a tracer of JAX; call outside of jit, grad and vmap")
    return readable(name, value, np.asarray) if isinstance(value, module.Array) else value


def tensorflow(name: str, value: Any) -> Any:
    module = sys.modules["tensorflow"]
    if not module.is_tensor(value):
        return value
    if not isinstance(value, module.Tensor | module.Variable):
        raise TypeError(f"{name} must be a dense tensor, got {kind_of(value)}; tf.sparse.to_dense makes one")
    if not hasattr(value, "numpy"):
        raise TypeError(f"{name} must hold numbers, got a symbolic tensor of TensorFlow; call outside of tf.function")
    return readable(name, value, np.asarray)


def cupy(name: str, value: Any) -> Any:
    return readable(name, value, lambda array: array.get()) if hasattr(value, "get") else value
