"""Judges: whether an answer keeps its promise. Each raises AssertionError with the first place where it does not."""

import numpy as np

from crossmodal_fast.kernels.pairwise import reference as pairwise_law
from crossmodal_fast.kernels.softmax import reference as softmax_law
from crossmodal_fast.kernels.transfer import reference as transfer_law

SINGLE_SHARE, DOUBLE_SHARE, DOUBLE_FEATURES = 1e-6, 1e-13, 256  # DESIGN section 2, accuracy of pairwise_distances
ABSOLUTE = {"cosine", "correlation"}  # judged on the scale 1
UNIT_ROUNDOFF = {np.dtype(np.float32): 2.0**-24, np.dtype(np.float64): 2.0**-53}


def same_bits(answer, law, dtype):
    """Promise 1: indices equal, distances equal to the law's float64 values rounded once to `dtype`."""
    distances, indices = (np.asarray(part) for part in answer)
    value, index = law
    assert indices.dtype == np.int64, f"indices are {indices.dtype}, must be int64"
    assert distances.dtype == dtype, f"distances are {distances.dtype}, must be {np.dtype(dtype)}"
    assert indices.shape == index.shape, f"indices have shape {indices.shape}, must be {index.shape}"
    assert distances.shape == value.shape, f"distances have shape {distances.shape}, must be {value.shape}"
    with np.errstate(over="ignore"):
        expected = value.astype(dtype)
    wrong = np.argwhere(indices != index)
    if len(wrong):
        at = tuple(wrong[0])
        raise AssertionError(
            f"index at {_place(at)} is {indices[at]} (distance {distances[at]!r}), the law says {index[at]} "
            f"({value[at]!r}); {len(wrong)} of {index.size} differ"
        )
    wrong = np.argwhere(_bits(distances) != _bits(expected))
    if len(wrong):
        at = tuple(wrong[0])
        raise AssertionError(
            f"distance at {_place(at)} is {distances[at]!r}, the law says {expected[at]!r}; "
            f"{len(wrong)} of {value.size} differ"
        )


def same_rows(answer, law, dtype):
    """`within`: the same number of partners for each row, then the same bits."""
    indptr, indices, distances = (np.asarray(part) for part in answer)
    expected, index, value = law
    assert indptr.dtype == np.int64, f"indptr is {indptr.dtype}, must be int64"
    assert indptr.shape == expected.shape, f"indptr has shape {indptr.shape}, must be {expected.shape}"
    wrong = np.flatnonzero(indptr != expected)
    if len(wrong):
        row = wrong[0] - 1
        found, lawful = (np.diff(part)[row] if row >= 0 else part[0] for part in (indptr, expected))
        raise AssertionError(f"row {row} has {found} partners, the law says {lawful}")
    same_bits((distances, indices), (value, index), dtype)


def same_ranks(answer, law, ties):
    """`ranks`: equal counts, as float64 only where a rank may be a half."""
    answer, dtype = np.asarray(answer), np.dtype(np.float64 if ties == "mean" else np.int64)
    assert answer.dtype == dtype, f"ranks are {answer.dtype}, must be {dtype}"
    assert answer.shape == law.shape, f"ranks have shape {answer.shape}, must be {law.shape}"
    wrong = np.flatnonzero(answer != law)
    if len(wrong):
        pair = wrong[0]
        raise AssertionError(
            f"rank of pair {pair} is {answer[pair]}, the law says {law[pair]}; {len(wrong)} of {len(law)} differ"
        )


def _place(at):
    return tuple(int(i) for i in at)


def _bits(values):
    """The bytes of each value; every NaN counts as the same one."""
    canonical = np.where(np.isnan(values), values.dtype.type(np.nan), values)
    return np.ascontiguousarray(canonical).view(f"u{values.dtype.itemsize}")


def pairwise_within_bound(answer, x, y, metric="euclidean", p=2.0):
    """`pairwise_distances` against canonical values, on the scale that DESIGN names for the metric."""
    value, answer = pairwise_law.pairwise_distances(x, y, metric, p), np.asarray(answer)
    _within(answer, value, _pairwise_allowance(value, x, y, metric, answer.dtype))


def _pairwise_allowance(value, x, y, metric, dtype):
    if metric == "dot":
        x, y = np.asarray(x).astype(np.float64), np.asarray(y).astype(np.float64)
        with np.errstate(over="ignore"):
            scale = np.sqrt(np.square(x).sum(axis=1))[:, None] * np.sqrt(np.square(y).sum(axis=1))[None]
    else:
        scale = np.ones_like(value) if metric in ABSOLUTE else np.abs(value)
    return scale * (SINGLE_SHARE if dtype == np.float32 else DOUBLE_SHARE * max(1.0, x.shape[1] / DOUBLE_FEATURES))


def log_sums_within_bound(answer, x, y, metric, dtype, *, beta=1.0, u=0.0, v=0.0, p=2.0):
    """`logsumexp` of rows and columns, as the contract of `softmax` has it; dtype: the narrowest that holds all.

    The law's own roundings get (10 + log N) 2**-53; those of the additions, (N + 8 B) 2**-53, are not granted.
    """
    if metric == "precomputed":
        score, error = np.asarray(x).astype(np.float64), 0.0
    else:
        score = softmax_law.scores(x, y, metric, p)
        error = _pairwise_allowance(score, x, y, metric, dtype)
    laws, rounding = softmax_law.softmax(score, beta, u, v), UNIT_ROUNDOFF[dtype]
    for axis, (part, law, added) in enumerate(zip(answer, laws, (v, u), strict=True)):
        part, n = np.asarray(part), score.shape[1 - axis]
        assert part.dtype == np.float64, f"log-sums are {part.dtype}, must be float64"
        finite = np.where(np.isfinite(score), score, 0.0)  # an infinite distance adds nothing
        spread = np.where(np.isfinite(score), error, 0.0).max(axis=1 - axis)
        size = np.abs(beta * finite).max(axis=1 - axis) + np.abs(added).max()
        allowance = beta * spread + 2.0**-51 * size
        _within(part, law, allowance + (10 + np.log(n)) * (rounding + 2.0**-53) + n * np.exp(-80))


def transfer_within_bound(answer, e, m, bias=None):
    """`transfer` against the law, componentwise: gamma(d_in + 2) sum |e||m| + |bias| u."""
    answer = np.asarray(answer)
    _within(answer, transfer_law.transfer(e, m, bias), _transfer_allowance(answer.dtype, e, m, bias))


def unit_transfer_within_bound(answer, e, m, bias=None):
    """`transfer` with `normalize`: with w that allowance of a row y, (w_r + |w|) / |y| + u + (d_out + 4) 2**-53."""
    answer = np.asarray(answer)
    value, mapped = (transfer_law.transfer(e, m, bias, normalize) for normalize in (True, False))
    width = _transfer_allowance(answer.dtype, e, m, bias)
    length, spread = (np.hypot.reduce(part, axis=1, initial=0.0)[:, None] for part in (mapped, width))
    rounding = UNIT_ROUNDOFF[answer.dtype] + 2 * (value.shape[1] + 4) * 2.0**-53  # the law rounds too
    with np.errstate(divide="ignore", over="ignore"):
        allowance = np.where(length > 0, (width + spread) / length, np.inf) + rounding
    zero = ~np.asarray(e).astype(bool).any(axis=1) if bias is None or not np.asarray(bias).any() else [False]
    _within(answer, value, np.where(np.reshape(zero, (-1, 1)), 0.0, allowance))


def _transfer_allowance(dtype, e, m, bias):
    allowance = 0.0
    size = transfer_law.transfer(np.abs(np.asarray(e).astype(np.float64)), np.abs(np.asarray(m).astype(np.float64)))
    shift = 0.0 if bias is None else np.abs(np.asarray(bias).astype(np.float64))
    for u in (UNIT_ROUNDOFF[dtype], UNIT_ROUNDOFF[np.dtype(np.float64)]):  # the law rounds too
        terms = (np.shape(e)[-1] + 2) * u
        allowance = allowance + terms / (1 - terms) * size + 2 * u * shift  # rounded to the dtype, then added
    underflow = np.shape(e)[-1] * float(np.finfo(dtype).smallest_subnormal)  # of each product
    return allowance + underflow


def _within(answer, value, allowance):
    """|answer - value| <= allowance, plus the rounding of a value below the normal numbers of the answer's dtype."""
    assert answer.shape == value.shape, f"the answer has shape {answer.shape}, must be {value.shape}"
    with np.errstate(over="ignore", invalid="ignore"):
        rounded = value.astype(answer.dtype)
        allowance = allowance + float(np.finfo(answer.dtype).smallest_subnormal)
        good = np.abs(answer.astype(np.float64) - value) <= allowance
    special = ~np.isfinite(rounded)  # overflow of the output dtype, and what the metric itself leaves undefined
    good = np.where(special, _bits(answer) == _bits(rounded), good & np.isfinite(answer))
    wrong = np.argwhere(~good)
    if len(wrong):
        at = tuple(wrong[0])
        raise AssertionError(
            f"entry {_place(at)} is {answer[at]!r}, the law says {value[at]!r}; {len(wrong)} of {value.size} differ"
        )
