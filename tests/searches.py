"""All searches on Numba and on NumPy, side by side."""

import numpy as np

import crossmodal_fast as cmf

PRECISIONS = ("int6", "int7", "int8", "int16", "float32", "float64")
OPERATIONS = ("topk", "topk_both", "within", "ranks")


def flat(answer):
    """The arrays of an answer, one after the other."""
    return [answer] if isinstance(answer, np.ndarray) else [part for piece in answer for part in flat(piece)]


def same(answer, other):
    for part, twin in zip(flat(answer), flat(other), strict=True):
        assert part.dtype == twin.dtype
        np.testing.assert_array_equal(part, twin)


def border(x, y, k, metric="euclidean", **keywords):
    """Arguments for all four operations: of within and ranks at the k-th neighbour of every query, by NumPy."""
    distances, indices = cmf.topk(x, y, k, metric, dtype=np.float64, backend="numpy", **keywords)
    radius = np.where((indices[:, -1] < 0) | np.isnan(distances[:, -1]), 0.0, distances[:, -1])
    return {"topk": k, "topk_both": (k, min(k, len(x))), "within": radius, "ranks": np.maximum(indices[:, -1], 0)}


def everything(x, y, third, metric="euclidean", **keywords):
    return [getattr(cmf, name)(x, y, third[name], metric, **keywords) for name in OPERATIONS]


def as_numpy_says(x, y, k, metric="euclidean", precision="auto", **keywords):
    """All four operations on Numba and on NumPy, which the law has judged: the same bits."""
    third = border(x, y, k, metric, **keywords)
    answer = everything(x, y, third, metric, backend="numba", precision=precision, **keywords)
    same(answer, everything(x, y, third, metric, backend="numpy", **keywords))


def random(m, n, d, dtype=np.float32, seed=201):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((m, d)).astype(dtype), rng.standard_normal((n, d)).astype(dtype)


def crowd(m=31, n=400, d=19, seed=203):
    """Ties, and neighbours whose order hangs on the last bits."""
    x, y = random(m, n, d, seed=seed)
    y[n // 2 :] = y[: n - n // 2] + np.float32(1e-7) * y[n - n // 2 - 1 :: -1][: n - n // 2]
    y[5::9] = y[4]
    return x, y


def crowd_filters(m, n, seed=204):
    rng = np.random.default_rng(seed)
    pairs = {"mask": rng.random((m, n)) < 0.6, "exclude": rng.integers(-1, n, m)}
    return {
        "none": {},
        "rows": {"mask": rng.random(n) < 0.6},
        "pairs": pairs,
        "bias": {"bias": (rng.standard_normal(m), rng.standard_normal(n))},
    }
