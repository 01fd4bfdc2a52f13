"""What a call must hold before "auto" gives it to Numba: asked before a file that imports Numba is.

Less should take NumPy less time than Numba's import, the first load of a kernel, or what a call costs at any size. The
sizes are estimates: where the two really cross has not been measured.
"""

import sys

from . import pool

LOADING, LOADED = 1 << 29, 1 << 22  # multiply-adds of a search while Numba is not loaded yet, and after
PREPARED = 1 << 23  # numbers of a gallery that is there to be searched again
DISTANCES, TERMS = 2e8, 2e7  # multiply-adds of distances; terms of metrics outside the GEMM family
EXPONENTIALS = 1 << 20  # of ready scores
MATRICES = 1 << 24  # numbers of the matrices of a transfer
ONLY_NUMBA = ("int6", "int7", "int8", "int16")  # precisions
FEW_ROWS = 16  # by one matrix; BLAS maps more as fast
SAME_BITS = ("topk", "within", "ranks")  # operations whose answers are the same on every backend
OTHER_BITS = "its answers differ from the host's in their last bits; name it to have it"
GPU_PRODUCTS, GPU_COPIES, GPU_CALL, GPU_FIRST = 3e13, 6e9, 2e-3, 3.0
CORE_PRODUCTS, PAYS = 1.3e11, 2.0
"""Of a GPU and of a core: operations a second, bytes a second of a copy, seconds of a call and of the first one. An
H100 did 3e14, 2.5e10, 1e-3 and 2; these are for a card a tenth as fast. A core of Zen 3 did 8e10, one of Sapphire
Rapids with AVX-512 1.3e11, by integer codes. PAYS is how much faster the GPU must be by these."""


def objection(backend, operation, *arguments, **keywords):
    """Why "auto" should rather take the next backend for this call, None if it should not."""
    if backend == "cuda":
        if any(hasattr(getattr(rows, "store", None), "on_device") for rows in arguments[:2]):
            return None  # what lies on a device stays there
        return _on_device(*arguments, **keywords) if operation in SAME_BITS else OTHER_BITS
    return NUMBA[operation](*arguments, **keywords) if backend == "numba" else None


def _on_device(x, y, metric, *, prepared=None, **_):
    if metric.form is None:
        return f"metric={metric.name!r} is not weighed for it"
    products, there = 2.0 * len(x) * len(y) * x.shape[1], prepared is not None and prepared.begins("cuda")
    copies = x.dtype.itemsize * x.shape[1] * (len(x) + (0 if there else len(y)))
    first = 0.0 if "cupy" in sys.modules else GPU_FIRST
    device = products / GPU_PRODUCTS + copies / GPU_COPIES + GPU_CALL + first
    host = products / (CORE_PRODUCTS * pool.threads())
    return None if PAYS * device <= host else f"{products:.1e} operations do not pay for {copies:.1e} bytes to copy"


def _search(x, y, metric, *, precision, prepared=None, **_):
    pairs, d = len(x) * len(y), x.shape[1]
    if (prepared is not None and len(y) * d >= PREPARED) or precision in ONLY_NUMBA:
        return None
    least = LOADED if "numba" in sys.modules else LOADING
    return None if pairs * d >= least else f"NumPy is through with {pairs} pairs of {d} features before Numba is ready"


def _pairwise(x, y, metric, **_):
    terms = len(x) * len(x if y is None else y) * x.shape[1]
    few = terms < (DISTANCES if metric.form else TERMS)
    return f"NumPy is through with {terms} terms before Numba is ready" if few else None


def _softmax(x, y, metric, **_):
    if y is not None:
        return _pairwise(x, y, metric)
    terms = x.shape[0] * x.shape[1]
    return f"NumPy is through with {terms} scores before Numba is ready" if terms < EXPONENTIALS else None


def _scaling(scores, kernel, **_):
    few = scores.size < EXPONENTIALS
    return f"NumPy is through with {scores.size} scores before Numba is ready" if few else None


def _transfer(e, m, bias, which, **_):
    if which is None and len(e) > FEW_ROWS:
        return f"BLAS maps {len(e)} rows by one matrix"
    numbers = (1 if which is None else min(len(e), len(m))) * m.shape[-1] * m.shape[-2]
    return f"NumPy is through with {numbers} numbers before Numba is ready" if numbers < MATRICES else None


NUMBA = {
    "topk": _search, "within": _search, "ranks": _search, "pairwise": _pairwise, "softmax": _softmax,
    "scaling": _scaling, "transfer": _transfer,
}  # fmt: skip
