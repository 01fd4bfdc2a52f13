"""Results that are written where the caller wants them."""

from typing import Any


def into(name: str, out: Any, found: Any) -> Any:
    """`found`, or `out` with it inside."""
    if out is None:
        return found
    if tuple(out.shape) != tuple(found.shape):
        raise ValueError(f"{name} must have shape {tuple(found.shape)}, got {tuple(out.shape)}")
    out[...] = found
    return out
