"""Where an array is not finite, found in its own dtype, in pieces: a copy could be larger than the workspace."""

import numpy as np

PIECE = 1 << 18  # numbers looked at at a time, a byte each


def first_unfinite(array):
    """Index of the first NaN or infinity in C order, None where there is none."""
    if array.dtype.kind in "biu":
        return None
    if array.ndim < 2:
        finite = np.isfinite(array)
        return None if finite.all() else tuple(int(at) for at in np.argwhere(~finite)[0])
    step = max(1, PIECE * len(array) // max(1, array.size))
    for start in range(0, len(array), step):
        finite = np.isfinite(array[start : start + step])
        if not finite.all():
            first, *rest = np.argwhere(~finite)[0]
            return (start + int(first), *(int(at) for at in rest))
    return None


def scratch(shape):
    """Bytes that the search of an array of this shape takes at most."""
    count = int(np.prod(shape, dtype=object))
    return min(count, max(PIECE, count // max(1, shape[0])))
