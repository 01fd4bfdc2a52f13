"""Every error sentence of the core, word for word, and a count: no `raise` without a row here."""
# ruff: noqa: E501 - one row, one sentence

import ast
import copy
import functools
import itertools
import traceback
from pathlib import Path
from unittest import mock

import ml_dtypes
import numpy as np
import pytest

import crossmodal_fast as cmf
import crossmodal_fast.kernels.topk as kernels
from crossmodal_fast.files import FileError
from crossmodal_fast.kernels.tiles import results

PACKAGE, KERNELS = Path(cmf.__file__).parent, Path(kernels.__file__).parents[1]
CORE = [
    *(
        PACKAGE / name
        for name in ("_config.py", "_dispatch.py", "_gallery.py", "_operations.py", "_search.py", "_validate.py")
    ),
    *sorted(path for path in KERNELS.glob("*/*.py") if path.name not in ("reference.py", "gpu_cuda.py")),
    # what gpu_cuda.py says is said in tests/test_cuda_*.py, which have an emulator
]

X, Y = np.arange(12.0).reshape(3, 4), np.arange(20.0).reshape(5, 4)
CUBE = np.zeros((2, 5, 4))
NAN = np.where(np.arange(20).reshape(5, 4) == 13, np.nan, Y)
INF = np.where(np.arange(20).reshape(5, 4) == 6, -np.inf, Y)
METRIC_NAMES = (
    "['braycurtis', 'canberra', 'chebyshev', 'cityblock', 'correlation', 'cosine', 'dice', 'dot', 'euclidean', "
    "'hamming', 'hellinger', 'jaccard', 'jensenshannon', 'mahalanobis', 'minkowski', 'rogerstanimoto', 'russellrao', "
    "'seuclidean', 'sokalsneath', 'sqeuclidean', 'yule']"
)
NUMBERS = "bool, integer, float16, bfloat16, float32 or float64"


def topk(queries=X, gallery=Y, k=2, *metric, **keywords):
    return cmf.topk(queries, gallery, k, *metric, **keywords)


def both(k=2, **keywords):
    return cmf.topk_both(X, Y, k, **keywords)


def ranks(positives, **keywords):
    return cmf.ranks(X, Y, positives, **keywords)


def gallery(vectors=Y, **keywords):
    return cmf.Gallery(vectors, **keywords)


def transfer(E=X, M=Y, bias=None, **keywords):
    return cmf.transfer(E, M, bias, **keywords)


def assign(name, value):
    setattr(cmf.config, name, value)


def frozen(shape, dtype=np.float64):
    out = np.zeros(shape, dtype)
    out.flags.writeable = False
    return out


VALUES = [
    # k
    (lambda: topk(k=0), "k must be in 1..5 (the rows of gallery), got 0"),
    (lambda: topk(k=6), "k must be in 1..5 (the rows of gallery), got 6"),
    (lambda: topk(k=-1), "k must be in 1..5 (the rows of gallery), got -1"),
    (lambda: both(4), "k must be in 1..3 (the rows of X), got 4"),
    (lambda: both((6, 1)), "k[0] must be in 1..5 (the rows of Y), got 6"),
    (lambda: both((1, 4)), "k[1] must be in 1..3 (the rows of X), got 4"),
    (lambda: both((1, 2, 3)), "k must be one number or (k_rows, k_columns), got (1, 2, 3)"),
    # shapes
    (lambda: topk(X[0]), "queries must have shape (..., rows, features), got (4,)"),
    (lambda: topk(np.zeros((3, 0)), np.zeros((5, 0))), "queries must have at least one feature, got shape (3, 0)"),
    (lambda: topk(X, Y[:0]), "gallery must have at least one row, got shape (0, 4)"),
    (lambda: topk(X, Y[:, :3]), "queries and gallery must have the same number of features, got 4 and 3"),
    (lambda: cmf.pairwise_distances(X, Y[:, :3]), "X and Y must have the same number of features, got 4 and 3"),
    (lambda: topk(np.zeros((3, 6, 4)), CUBE), "leading axes of queries and gallery must broadcast, got shapes (3, 6, 4) and (2, 5, 4)"),
    (lambda: cmf.within(CUBE, Y, 1.0), "queries must have shape (rows, features), got (2, 5, 4); this result has no batch axes"),
    (lambda: gallery(CUBE), "vectors must have shape (n, d), got (2, 5, 4)"),
    # numbers
    (lambda: topk(X, NAN), "gallery must be finite, got nan in row 3; check_finite=False sorts such rows last"),
    (lambda: topk(INF, Y), "queries must be finite, got -inf in row 1; check_finite=False sorts such rows last"),
    (lambda: topk(INF.astype(np.float16), Y), "queries must be finite, got -inf in row 1; check_finite=False sorts such rows last"),
    (lambda: topk(np.stack([Y, NAN]), Y), "queries[1] must be finite, got nan in row 3; check_finite=False sorts such rows last"),
    (lambda: cmf.pairwise_distances(X, NAN), "Y must be finite, got nan in row 3; check_finite=False sorts such rows last"),
    (lambda: topk(-X, Y, 2, "jensenshannon"), "rows must be non-negative for metric='jensenshannon', got -11.0"),
    (lambda: topk(X, -Y, 2, "hellinger"), "rows must be non-negative for metric='hellinger', got -19.0"),
    # metric
    (lambda: topk(X, Y, 2, "cosinus"), f"metric must be one of {METRIC_NAMES}, got 'cosinus'"),
    (lambda: topk(X, Y, 2, np.ones(2)), f"metric must be one of {METRIC_NAMES}, got array([1., 1.])"),
    (lambda: topk(X, Y, 2, None), f"metric must be one of {METRIC_NAMES}, got None"),
    (lambda: cmf.logsumexp(X, Y, beta=0), "beta must be a finite number above 0, got 0"),
    (lambda: cmf.logsumexp(X, Y, beta=[1.0]), "beta must be a finite number above 0, got [1.0]"),
    (lambda: cmf.logsumexp(X, Y, axis=0), "axis must be one of ['rows', 'columns', 'both'], got 0"),
    (lambda: cmf.logsumexp(X), "Y must be given with metric='cosine', got None; ready scores go with metric='precomputed'"),
    (lambda: cmf.logsumexp(X, Y, "precomputed"), "Y must be None with metric='precomputed', where X holds the scores, got shape (5, 4)"),
    (lambda: cmf.logsumexp(X, metric="precomputed", metric_kwargs={"p": 3}), "metric_kwargs must be None with metric='precomputed', got {'p': 3}"),
    (lambda: cmf.logsumexp(X, metric="precomputed", max_bytes=400), "max_bytes must be at least 496 (one row of 4 scores), got 400"),
    (lambda: cmf.logsumexp(X, metric="precomputed", max_bytes=400, backend="numba"), "max_bytes must be at least 33360 (one row of 4 scores), got 400"),
    (lambda: cmf.similarity(X, Y, "euclidean"), "metric must be one of ['correlation', 'cosine', 'dot'], got 'euclidean'"),
    (lambda: topk(X, Y, 2, "euclidean", metric_kwargs={"p": 3}), "metric_kwargs for metric='euclidean' must be among ['w'], got 'p'"),
    (lambda: topk(X, Y, 2, "dot", metric_kwargs={"w": [1] * 4}), "metric_kwargs for metric='dot' must be among [], got 'w'"),
    (lambda: topk(X, Y, 2, "minkowski", metric_kwargs={"p": 0}), "metric_kwargs['p'] must be a number above 0, got 0"),
    (lambda: topk(X, Y, 2, "minkowski", metric_kwargs={"p": np.nan}), "metric_kwargs['p'] must be a number above 0, got nan"),
    (lambda: topk(X, Y, 2, "minkowski", metric_kwargs={"p": "3"}), "metric_kwargs['p'] must be a number above 0, got '3'"),
    (lambda: topk(X, Y, 2, "jensenshannon", metric_kwargs={"base": 0.5}), "metric_kwargs['base'] must be a number above 1, got 0.5"),
    (lambda: cmf.pairwise_distances(X, X, out=X), "out must not share memory with X, got an array that overlaps it"),
    (lambda: cmf.Gallery(Y[:1], ids=[2**63 - 1]).add(Y[:1]), "ids must be given behind an id as large as 9223372036854775807, got none for 1 rows"),
    (lambda: topk(X, Y, 2, "jensenshannon", metric_kwargs={"base": 1}), "metric_kwargs['base'] must be a number above 1, got 1"),
    (lambda: topk(X, Y, 2, "euclidean", metric_kwargs={"w": [1, 2]}), "metric_kwargs['w'] must be numbers of shape (4,), got [1, 2]"),
    (lambda: topk(X, Y, 2, "mahalanobis", metric_kwargs={"VI": np.ones(4)}), "metric_kwargs['VI'] must be numbers of shape (4, 4), got array([1., 1., 1., 1.])"),
    (lambda: gallery(metric="cosine", metric_kwargs={"w": ["a"] * 4}), "metric_kwargs['w'] must be numbers of shape (4,), got ['a', 'a', 'a', 'a']"),
    (lambda: topk(X, Y, 2, "seuclidean", metric_kwargs={"V": [1, -1, 1, 1]}), "metric_kwargs['V'] must be finite and not negative, got [1, -1, 1, 1]"),
    (lambda: cmf.pairwise_distances(X, Y, "cityblock", metric_kwargs={"w": [1, 1, np.inf, 1]}), "metric_kwargs['w'] must be finite and not negative, got [1, 1, inf, 1]"),
    (lambda: topk(X[:0], Y[:1], 1, "seuclidean"), "metric='seuclidean' must have two rows or more to know V, got 1; give metric_kwargs"),
    (lambda: topk(X[:, :2] * 0, Y[:, :2] * 0, 2, "mahalanobis"), "metric='mahalanobis' must have rows of full rank, got 8 rows of 2 features with a singular covariance; give metric_kwargs"),
    # filters
    (lambda: topk(exclude_self=True), "exclude_self must have as many queries as gallery rows, got 3 and 5; use exclude="),
    (lambda: topk(Y, exclude_self=True, exclude=np.zeros(5, int)), "exclude_self must be False where exclude is given, got both; put arange(m) into exclude"),
    (lambda: topk(exclude=[0, 1, 5]), "exclude must be -1 (none) or a gallery row in 0..4, got 5"),
    (lambda: topk(exclude=[0, -2, 5]), "exclude must be -1 (none) or a gallery row in 0..4, got -2"),
    (lambda: topk(exclude=[0, 1]), "exclude must have shape (3,), got (2,)"),
    (lambda: topk(mask=np.ones(3, bool)), "mask must have shape (3, 5), got (3,)"),
    (lambda: topk(bias=(np.zeros(5), np.zeros(5))), "bias[0] must have shape (3,), got (5,)"),
    (lambda: topk(bias=(np.zeros(3), np.zeros(3))), "bias[1] must have shape (5,), got (3,)"),
    (lambda: topk(bias=(np.zeros(3), [0, 0, np.inf, 0, 0])), "bias[1] must be finite, got inf; mask= leaves pairs out"),
    (lambda: topk(mask=True), "mask must have shape (5,) or (3, 5), got True"),
    (lambda: topk(Y, exclude_self="no"), "exclude_self must be True or False, got 'no'"),
    (lambda: topk(Y, exclude_self=np.ones(2)), "exclude_self must be True or False, got array([1., 1.])"),
    # out
    (lambda: cmf.pairwise_distances(X, Y, out=np.zeros((3, 4))), "out must be a writeable array of shape (3, 5) and dtype float64, got (3, 4) float64"),
    (lambda: cmf.pairwise_distances(X, Y, out=np.zeros((3, 5), "f4")), "out must be a writeable array of shape (3, 5) and dtype float64, got (3, 5) float32"),
    (lambda: cmf.pairwise_distances(X, Y, out=[]), "out must be a writeable array of shape (3, 5) and dtype float64, got list"),
    # within and ranks
    (lambda: cmf.within(X, Y, [1, np.nan, 2]), "radius must be a number, got nan for query 1"),
    (lambda: cmf.within(X, Y, [1, 2]), "radius must have shape (3,), got (2,)"),
    (lambda: ranks([0, 1, 2], ties="first"), "ties must be one of ['index', 'optimistic', 'pessimistic', 'mean'], got 'first'"),
    (lambda: ranks([0, 1, 2], ties=np.ones(2)), "ties must be one of ['index', 'optimistic', 'pessimistic', 'mean'], got array([1., 1.])"),
    (lambda: ranks((np.array([0, 2, 1, 2], np.uint64), [0, 1])), "positives must have an ascending indptr of 4 numbers from 0 to 2"),
    (lambda: ranks([0, 1]), "positives must have shape (3,), one a query, or be (indptr, indices), got (2,)"),
    (lambda: ranks(([0, 2, 1, 2], [0, 1])), "positives must have an ascending indptr of 4 numbers from 0 to 2"),
    (lambda: ranks([0, 1, 5]), "positives must be gallery rows in 0..4, got 5"),
    (lambda: ranks([0, -1, 5]), "positives must be gallery rows in 0..4, got -1"),
    # transfer
    (lambda: transfer(X, Y[:, :3]), "E and M must agree in d_in, their last axis, got 4 and 3; rows are e_j = M e_i"),
    (lambda: transfer(X, Y, [1.0, 2.0]), "bias must have shape (5,), got (2,)"),
    (lambda: transfer(X, CUBE, np.zeros((3, 5))), "bias must have shape (2, 5), got (3, 5)"),
    (lambda: transfer(X, CUBE, np.zeros((3, 5)), which=[0, 1, 1]), "bias must have shape (2, 5), got (3, 5)"),
    (lambda: transfer(X, Y, [1.0, 2.0, np.nan, 4.0, -np.inf]), "bias must be finite, got nan"),
    (lambda: transfer(X, Y, which=[0, 0, 0]), "which must come with E (n, d_in) and M (g, d_out, d_in), got (3, 4) and (5, 4)"),
    (lambda: transfer(X, CUBE, which=[0, 1]), "which must have shape (3,), got (2,)"),
    (lambda: transfer(X, CUBE, which=[0, 2, -1]), "which must name a matrix in 0..1, got -1"),
    (lambda: transfer(X, CUBE, which=[0, 2, 1]), "which must name a matrix in 0..1, got 2"),
    (lambda: transfer(X, CUBE, which=np.array([0, 2**63, 1], np.uint64)), "which must name a matrix in 0..1, got 9223372036854775808"),
    (lambda: transfer(X, Y, normalize=1), "normalize must be True or False, got 1"),
    (lambda: transfer(X, NAN), "M must be finite, got nan at M[3, 1]"),
    (lambda: transfer(X, np.stack([Y, NAN]), which=[0, 1, 1]), "M must be finite, got nan at M[1, 3, 1]"),
    (lambda: transfer(NAN, Y), "E must be finite, got nan in row 3; check_finite=False sorts such rows last"),
    # gallery
    (lambda: gallery(ids=[1, 2, 3]), "ids must have shape (5,), one a row, got (3,)"),
    (lambda: gallery(ids=[1, 2, 3, 2, 5]), "ids must be distinct, got 2 twice"),
    (lambda: gallery(ids=[1, 2, 3, -1, 5]), "ids must be 0 or above (-1 says that a slot is empty), got -1"),
    (lambda: gallery().add(Y, ids=[9, 8, 7, 6, 4]), "ids must be distinct, got 4 twice"),
    (lambda: gallery().add(Y[:, :3]), "vectors and gallery must have the same number of features, got 3 and 4"),
    (lambda: gallery().remove(range(5)), "ids must leave at least one row, got all 5"),
    (lambda: gallery().topk(X, 6), "k must be in 1..5 (the rows of gallery), got 6"),
    (lambda: gallery(copy="no"), "copy must be True or False, got 'no'"),
    (lambda: gallery(check_finite="no"), "check_finite must be True or False, got 'no'"),
    (lambda: gallery(Y[:1], ids=np.array([2**63], np.uint64)), "ids must be at most 9223372036854775807, got 9223372036854775808"),
    # control
    (lambda: topk(backend=["numpy"]), "backend must be 'auto' or one of ['cuda', 'numba', 'numpy'], got ['numpy']"),
    (lambda: topk(backend=np.ones(2)), "backend must be 'auto' or one of ['cuda', 'numba', 'numpy'], got array([1., 1.])"),
    (lambda: topk(precision=np.ones(2)), "precision must be one of ['auto', 'float32', 'float64', 'float16', 'int16', 'int8', 'int7', 'int6'], got array([1., 1.])"),
    (lambda: topk(progress=np.ones((2, 2))), "progress must be True, False or a callable (done, total), got array([[1., 1.], [1., 1.]])"),
    (lambda: topk(backend="gpu"), "backend must be 'auto' or one of ['cuda', 'numba', 'numpy'], got 'gpu'"),
    (lambda: cmf.use_backend("gpu"), "backend must be 'auto' or one of ['cuda', 'numba', 'numpy'], got 'gpu'"),
    (lambda: topk(precision="float8"), "precision must be one of ['auto', 'float32', 'float64', 'float16', 'int16', 'int8', 'int7', 'int6'], got 'float8'"),
    (lambda: topk(max_bytes=0), "max_bytes must be a whole number of bytes above 0, got 0"),
    (lambda: topk(max_bytes=1e9), "max_bytes must be a whole number of bytes above 0, got 1000000000.0"),
    (lambda: topk(n_threads=0), "n_threads must be a whole number above 0 or None, got 0"),
    (lambda: topk(devices="both"), "devices must be 'all', numbers of GPUs in a list, or None, got 'both'"),
    (lambda: topk(devices=b"0"), "devices must be 'all', numbers of GPUs in a list, or None, got b'0'"),
    (lambda: topk(check_finite="no"), "check_finite must be True or False, got 'no'"),
    (lambda: topk(progress="yes"), "progress must be True, False or a callable (done, total), got 'yes'"),
    (lambda: assign("max_bytes", "1G"), "max_bytes must be a whole number of bytes above 0, got '1G'"),
]  # fmt: skip

DTYPES = [
    (lambda: cmf.Gallery(Y.astype(ml_dtypes.bfloat16)).add(Y.astype(np.float16)), "vectors must have a dtype that goes with bfloat16, got float16: convert them to float32"),
    (lambda: topk(X, Y, 2, mask=np.ma.ones(5, bool)), "mask must be an array without masked or missing entries, got MaskedArray"),
    (lambda: topk(X, Y, 2, bias=([1, [2]], 0)), "bias[0] must be an array, got [1, [2]]"),
    (lambda: topk(k=2.0), "k must be a whole number, got 2.0"),
    (lambda: topk(k=True), "k must be a whole number, got True"),
    (lambda: topk(k=None), "k must be a whole number, got None"),
    (lambda: topk(X, Y, 2, "euclidean", metric_kwargs=[("w", 1)]), "metric_kwargs must be a dict, got [('w', 1)]"),
    (lambda: topk(X * 1j), f"queries must be {NUMBERS}, got dtype complex128"),
    (lambda: topk([["a", "b"]]), f"queries must be {NUMBERS}, got dtype <U1"),
    (lambda: topk(X, [[1, None]]), f"gallery must be {NUMBERS}, got dtype object"),
    (lambda: topk([[1, 2], [3]]), "queries must be rows of numbers of one length, got [[1, 2], [3]]"),
    (lambda: topk([list(range(40)), [3]]), f"queries must be rows of numbers of one length, got {str([list(range(40))])[:57]}..."),
    (lambda: topk(np.ma.masked_less(X, 3)), "queries must be an array without masked entries, got a masked array; fill it first"),
    (lambda: topk(dtype="float"[:3]), "dtype must be float16, float32 or float64, got 'flo'"),
    (lambda: topk(dtype=np.int32), "dtype must be float16, float32 or float64, got int32"),
    (lambda: topk(exclude=[0.0, 1.0, 2.0]), "exclude must be whole numbers, got dtype float64"),
    (lambda: topk(mask=np.ones((3, 5))), "mask must be bool, got dtype float64"),
    (lambda: topk(bias=np.zeros(3)), "bias must be a pair (per query, per gallery row), got array([0., 0., 0.])"),
    (lambda: topk(bias=np.zeros((2, 5))), "bias must be a pair (per query, per gallery row), got array([[0., 0., 0., 0., 0.], [0., 0., 0., 0., 0.]])"),
    (lambda: gallery().save(None), "path must be the name of a file, got None"),
    (lambda: topk(bias=(np.zeros(3), ["a"] * 5)), "bias[1] must be numbers, got dtype <U1"),
    (lambda: cmf.within(X, Y, "near"), "radius must be a number or numbers (m,), got dtype <U4"),
    (lambda: ranks([0.0, 1.0, 2.0]), "positives must be whole numbers, got dtype float64"),
    (lambda: transfer(X, Y, ["a"] * 5), f"bias must be {NUMBERS}, got dtype <U1"),
    (lambda: transfer(X, CUBE, which=[0.0, 1.0, 1.0]), "which must be whole numbers, got dtype float64"),
    (lambda: gallery(ids=[0.5] * 5), "ids must be whole numbers, got dtype float64"),
    (lambda: gallery().topk(X, 1, exclude=[0.5] * 3), "exclude must be whole numbers, got dtype float64"),
    (lambda: topk(threads=2), "control arguments must be among ['backend', 'check_finite', 'devices', 'max_bytes', 'n_threads', 'precision', 'progress'], got 'threads'"),
]  # fmt: skip

OTHERS = [
    (AttributeError, lambda: assign("threads", 2), "config must be one of ['backend', 'check_finite', 'devices', 'max_bytes', 'n_threads', 'precision', 'progress'], got 'threads'"),
    (KeyError, lambda: gallery().remove([3, 9]), "'ids must be in the gallery, got 9'"),
    (KeyError, lambda: gallery().topk(X, 1, exclude=[0, 7, 1]), "'ids must be in the gallery, got 7'"),
    (cmf.BackendUnavailable, lambda: topk(backend="numpy", precision="int8"), "topk cannot run with backend='numpy' (numpy: it scans in float32 or float64, not precision='int8')"),
    (cmf.BackendUnavailable, lambda: cmf.pairwise_distances(X, Y, backend="numpy", precision="float32"), "pairwise cannot run with backend='numpy' (numpy: it computes in float64, not precision='float32')"),
    (cmf.BackendUnavailable, lambda: transfer(backend="numpy", precision="float32"), "transfer cannot run with backend='numpy' (numpy: it computes in float64 here, not precision='float32')"),
]  # fmt: skip

SENTENCES = [*((ValueError, *row) for row in VALUES), *((TypeError, *row) for row in DTYPES), *OTHERS]


def refused(kind, call):
    with pytest.raises(kind) as caught:
        call()
    assert caught.type is kind
    return caught


@pytest.mark.parametrize(("kind", "call", "sentence"), SENTENCES, ids=[row[2][:60] for row in SENTENCES])
def test_sentence(kind, call, sentence):
    assert str(refused(kind, call).value) == sentence


@pytest.mark.skipif(np.dtype(np.longdouble).itemsize == 8, reason="long double is float64 here")
@pytest.mark.parametrize(
    ("name", "call"), [("queries", lambda wide: topk(wide)), ("M", lambda wide: transfer(X, wide))]
)
def test_long_double_is_refused_as_it_would_be_rounded(name, call):
    wide = np.ones((3, 4), np.longdouble)
    assert str(refused(TypeError, lambda: call(wide)).value) == f"{name} must be {NUMBERS}, got dtype {wide.dtype}"


def memory_refusals():
    """Calls with too small a workspace, and the sentence around the bytes that each asks for."""
    calls = {
        "k=2": topk,
        "k=3": lambda **control: both((3, 2), **control),
        "k=1": lambda **control: cmf.within(X, Y, 1.0, **control),
        "k=1 too": lambda **control: ranks([0, 1, 2], **control),
    }
    what = {"numba": {"k=1": "a radius", "k=1 too": "3 positives"}}
    found = []
    for backend, name in itertools.product(("numpy", "numba"), calls):
        sentence = f"max_bytes must be at least {{}} for d=4 and {what.get(backend, {}).get(name, name[:3])}, got 1000"
        metrics = ("euclidean", "cityblock") if backend == "numba" else ("euclidean",)
        found += [(functools.partial(calls[name], metric=metric, backend=backend), sentence) for metric in metrics]
    for backend in ("numpy", "numba"):
        pairwise = functools.partial(cmf.pairwise_distances, X, Y, backend=backend)
        mapped = functools.partial(transfer, backend=backend)
        found.append((pairwise, "max_bytes must be at least {} for d=4, got 1000"))
        found.append(
            (
                functools.partial(mapped, np.ones((99, 4))),
                "max_bytes must be at least {} for M of shape (5, 4), got 1000",
            )
        )
        ragged = functools.partial(mapped, np.ones((99, 4)), np.ones((3, 5, 4)), which=np.arange(99) % 3)
        found.append((ragged, "max_bytes must be at least {} for M of shape (5, 4), got 1000"))
    return found


@pytest.mark.parametrize("at", range(18))
def test_too_small_a_workspace_names_the_least_that_will_do(at):
    call, sentence = memory_refusals()[at]
    caught = refused(ValueError, lambda: call(max_bytes=1000))
    least = int(str(caught.value).split()[5])
    assert str(caught.value) == sentence.format(least)
    call(max_bytes=least)
    refused(ValueError, lambda: call(max_bytes=least - 1))


def test_environment_names_no_backend(monkeypatch):
    monkeypatch.setenv("CROSSMODAL_FAST_BACKEND", "gpu")
    caught = refused(ValueError, topk)
    assert str(caught.value) == (
        "CROSSMODAL_FAST_BACKEND must be 'auto' or one of ['cuda', 'numba', 'numpy'], got 'gpu'; unset it or mend it"
    )


OLDER = '{"format": 1, "metric": "cosine", "dtype": "float64", "finite": true}'


def on_disk_refusals(folder):
    """Calls that a gallery on disk turns down, and their sentences."""
    gallery().save(folder / "whole")
    np.savez(folder / "older.npz", about=OLDER, vectors=Y, ids=np.arange(5))
    whole, older = folder / "whole", folder / "older.npz"
    return [
        (
            lambda: cmf.Gallery.load(whole, writable=True),
            "on_disk must be True with writable=True, got False; save writes what is in memory",
        ),
        (
            lambda: cmf.Gallery.load(whole, on_disk=True).remove([0]),
            "writable must be True in load for a gallery on disk to be changed, got False",
        ),
        (
            lambda: cmf.Gallery.load(older, on_disk=True),
            f"'{older}' must be saved anew to be read on disk, got an older .npz: load and save it",
        ),
        (
            lambda: copy.copy(cmf.Gallery.load(whole, on_disk=True)),
            "a gallery on disk must be loaded where it is used, got a copy or a pickle of it: send its path",
        ),
    ]


@pytest.mark.parametrize("at", range(4))
def test_what_a_gallery_on_disk_refuses(at, tmp_path):
    call, sentence = on_disk_refusals(tmp_path)[at]
    assert str(refused((ValueError, ValueError, FileError, TypeError)[at], call).value) == sentence


def spoiled_galleries(folder):
    """Files that are no gallery: path, and the sentence about each."""
    strange, newer = folder / "strange.npz", folder / "newer.npz"
    np.savez(strange, vectors=Y)
    np.savez(newer, about=np.array('{"format": 99}'), vectors=Y)
    return [
        (strange, f"'{strange}' must be a whole file that Gallery.save wrote, got other content without 'about'"),
        (newer, f"'{newer}' must be a whole file that Gallery.save wrote, got other content (of format 99, not 1)"),
    ]


@pytest.mark.parametrize("at", range(2))
def test_files_that_are_no_gallery(at, tmp_path):
    path, sentence = spoiled_galleries(tmp_path)[at]
    assert str(refused(FileError, lambda: cmf.Gallery.load(path)).value) == sentence


def test_a_gallery_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        cmf.Gallery.load(tmp_path / "none.npz")


@pytest.mark.parametrize("out", [frozen((3, 5)), np.zeros((3, 5))[:, ::-1].astype(">f8")])
def test_out_that_cannot_be_written(out):
    caught = refused(ValueError, lambda: cmf.pairwise_distances(X, Y, out=out))
    assert str(caught.value).startswith("out must be a writeable array of shape (3, 5) and dtype float64, got")


@pytest.mark.parametrize(("kind", "call", "sentence"), SENTENCES, ids=[row[2][:60] for row in SENTENCES])
def test_one_sentence_without_blame(kind, call, sentence):
    text = sentence.strip("'")
    assert "\n" not in text
    assert not text.endswith(".") or text.endswith("...")  # a value cut short
    assert " must " in text or " cannot run with " in text
    assert not any(word in text.lower() for word in ("invalid", "illegal", "wrong", "error", "please", "sorry"))


def without_memory():
    """The system gives no pages for the pairs of a search."""
    with mock.patch.object(results.mmap, "mmap", side_effect=OSError(12, "Cannot allocate memory")):
        results.own_pages(4, np.float64)


def test_without_memory():
    with pytest.raises(MemoryError, match=r"^no 32 bytes for the pairs of a search$"):
        without_memory()


def raise_sites():
    """(file, first line, last line) of every statement that raises something new."""
    for path in CORE:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Raise) and node.exc is not None and not ast.unparse(node.exc).startswith("_"):
                yield str(path), node.lineno, node.end_lineno


def raised_at(call):
    """File and line of the innermost frames of the core that the call's error, and what caused it, came from."""
    try:
        call()
    except (ValueError, TypeError, AttributeError, KeyError, RuntimeError, MemoryError) as problem:
        for error in filter(None, (problem, problem.__cause__)):
            frames = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) in CORE]
            yield from ((frame.filename, frame.lineno) for frame in frames[-1:])
        return
    raise AssertionError("nothing was raised")


def test_every_raise_has_a_tested_sentence(tmp_path, monkeypatch):
    calls = [call for _, call, _ in SENTENCES]
    calls += [lambda call=call: call(max_bytes=1000) for call, _ in memory_refusals()]
    calls += [lambda path=path: cmf.Gallery.load(path) for path, _ in spoiled_galleries(tmp_path)]
    calls += [call for call, _ in on_disk_refusals(tmp_path)]
    reached = [site for call in calls for site in raised_at(call)]
    reached += raised_at(without_memory)
    monkeypatch.setenv("CROSSMODAL_FAST_BACKEND", "gpu")
    reached += raised_at(topk)
    untested = [
        f"{Path(path).name}:{first}"
        for path, first, last in raise_sites()
        if not any(path == where and first <= line <= last for where, line in reached)
    ]
    assert not untested, f"no test reaches {untested}"
