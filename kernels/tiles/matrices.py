"""What `transfer` shares between its backends: a matrix read from any store, rows of length 1."""

import numpy as np

from .finite import first_unfinite, scratch

UNIT_BYTES = 1 << 18  # of rows in float64 whose lengths are taken at a time: half an L2


def matrix(m, number, check_finite, dtype):
    """Matrix `number` of m (None: m is the one), checked, in this dtype."""
    found = np.asarray(m[:] if number is None else m[number])
    if check_finite and (at := first_unfinite(found)) is not None:
        place = at if number is None else (int(number), *at)
        raise ValueError(f"M must be finite, got {found[at]} at M[{', '.join(map(str, place))}]")
    return found.astype(dtype, copy=False)


def held(m, dtype):
    """Bytes beside one matrix while it is read, checked and turned into what BLAS takes."""
    size = m.shape[-1] * m.shape[-2]
    stored = isinstance(m, np.ndarray)
    straight = stored and m.flags.aligned and m.itemsize in m.strides[-2:] and min(m.strides[-2:]) > 0
    read = 0 if stored else size * np.dtype(m.dtype).itemsize
    cast = 0 if m.dtype == dtype and (straight or not stored) else size * dtype.itemsize
    return read + max(cast, scratch(m.shape[-2:]))


def to_unit(rows):
    """Divide each row by its Euclidean length, in place: a row of zeros stays, one that is not finite becomes NaN."""
    step = max(1, UNIT_BYTES // (8 * max(1, rows.shape[1])))
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        if part.dtype == np.float64:  # 1e200 squared is infinite; in float64 no square of a float32 is, and none is 0
            largest = np.abs(part).max(axis=1, initial=0, keepdims=True)
            np.divide(part, largest, out=part, where=largest != 0)
        wide = part.astype(np.float64, copy=False)  # einsum(dtype=) and divide(casting=): 2.8 times as long
        length = np.sqrt(np.einsum("ij,ij->i", wide, wide))[:, None]
        length[length == 0] = 1
        length[np.isinf(length)] = np.nan
        part[...] = np.divide(wide, length, out=wide)


def unit_bytes(d_out):
    """Bytes that `to_unit` takes."""
    return 2 * max(UNIT_BYTES, 8 * d_out) + (1 << 17)  # and NumPy's buffers
