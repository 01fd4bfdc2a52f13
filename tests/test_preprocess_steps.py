"""Steps of rows, columns and directions against their definitions; statistics gathered in parts; saving and loading."""

import re
from itertools import pairwise

import numpy as np
import pytest

from crossmodal_fast import CrossModalPipeline
from crossmodal_fast.preprocess import (
    PCA,
    STEPS,
    AllButTheTop,
    Center,
    CenterRows,
    Chain,
    GapShift,
    Hellinger,
    LogMel,
    MinMax,
    MinMaxRows,
    Normalize,
    RandomProjection,
    Relative,
    Standardize,
    StandardizeRows,
    Truncate,
    UnitColumns,
    Whiten,
    _rows,
    normalize,
)  # fmt: skip


def rows(n=60, d=7, seed=0, offset=0.0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d)) @ rng.standard_normal((d, d)) + offset


def covariance(X):
    centred = X - X.mean(axis=0)
    return centred.T @ centred / (len(X) - 1)


ROTATED = [Whiten(method) for method in ("cholesky", "zca_cor", "pca_cor", "vecmap")]
GATHERED = [
    Center(), Standardize(), MinMax(), UnitColumns(), PCA(), PCA(3), AllButTheTop(2), AllButTheTop(uncentered=True),
    *ROTATED, Whiten(), Whiten("pca", epsilon=0.1), Whiten(shrinkage=0.2), Whiten("cholesky", shrinkage=0.1),
    Whiten("zca_cor", epsilon=0.5, shrinkage=0.3),
]  # fmt: skip
ALONE = [Normalize(), CenterRows(), StandardizeRows(), MinMaxRows(), Hellinger(), Truncate(3)]
OTHERS = [
    Relative(), Relative(20, top_k=5, power=2, seed=3), Relative(signed=True), RandomProjection(5),
    RandomProjection(4, kind="sparse", seed=1), LogMel(8000, window=4, hop=2, fft=64, mels=3, low=0.0),
]  # fmt: skip
ALL = [*GATHERED, *ALONE, *OTHERS]


# ---- definitions


def test_rows_by_their_definitions():
    X = np.abs(rows(offset=3.0))
    mean, deviation = X.mean(axis=1, keepdims=True), X.std(axis=1, keepdims=True)
    low, high = X.min(axis=1, keepdims=True), X.max(axis=1, keepdims=True)
    for step, expected in [
        (CenterRows(), X - mean),
        (StandardizeRows(), (X - mean) / deviation),
        (MinMaxRows(), (X - low) / (high - low)),
        (Hellinger(), np.sqrt(X / X.sum(axis=1, keepdims=True))),
        (Truncate(3), X[:, :3] / np.linalg.norm(X[:, :3], axis=1, keepdims=True)),
    ]:
        np.testing.assert_allclose(step.transform(X), expected, rtol=1e-12, atol=1e-12)
    correlation = normalize(CenterRows().transform(X))
    np.testing.assert_allclose(correlation @ correlation.T, np.corrcoef(X), atol=1e-12)


@pytest.mark.parametrize("value", [0.0, 0.1, 7e8])
@pytest.mark.parametrize("step", [CenterRows(), StandardizeRows(), MinMaxRows()], ids=repr)
def test_a_constant_row_becomes_zero(step, value):
    assert (step.transform(np.full((1, 7), value)) == 0).all()


@pytest.mark.parametrize("step", [StandardizeRows(), MinMaxRows(), Hellinger()], ids=repr)
@pytest.mark.parametrize("power", [-1000, 1000])
def test_powers_of_two_change_no_bit_of_rows(step, power):
    X = np.abs(rows())
    np.testing.assert_array_equal(step.transform(np.ldexp(X, power)), step.transform(X))


def test_columns_by_their_definitions():
    X, others = rows(offset=3.0), rows(5, seed=1)
    X[:, 2] = 4.0
    spread = np.ptp(X, axis=0)
    spread[2] = 1.0
    np.testing.assert_allclose(MinMax().fit(X).transform(others), (others - X.min(axis=0)) / spread, atol=1e-12)
    np.testing.assert_allclose(UnitColumns().fit(X).transform(others), others / np.linalg.norm(X, axis=0), rtol=1e-12)
    assert (UnitColumns().fit_transform(np.zeros((3, 2))) == 0).all()


@pytest.mark.parametrize("step", [PCA(3), Whiten(), Whiten("pca"), *ROTATED, MinMax(), UnitColumns()], ids=repr)
@pytest.mark.parametrize("n", [60, 7, 1000])
def test_dewhitening_gives_the_rows_back(step, n):
    X = rows(n, offset=4.0)
    if isinstance(step, PCA):
        X = X[:, :3] @ rows(3, 7, seed=2)
    if n <= 7 and isinstance(step, Whiten) and step.method == "cholesky":
        pytest.skip("needs full rank")
    step = Chain(step).fit(X).steps[0]
    np.testing.assert_allclose(step.inverse_transform(step.transform(X)), X, atol=1e-8)


@pytest.mark.parametrize("method", ["zca", "pca", "cholesky", "zca_cor", "pca_cor"])
def test_every_whitening_gives_the_identity(method):
    X = rows(offset=50.0) * [1, 10, 100, 0.1, 1, 1, 1]
    np.testing.assert_allclose(covariance(Whiten(method).fit_transform(X)), np.eye(7), atol=1e-8)


def test_cholesky_is_triangular_and_the_root_of_the_precision():
    X = rows()
    W = Whiten("cholesky").fit(X).components_
    precision = np.linalg.inv(covariance(X))
    np.testing.assert_allclose(W, np.linalg.cholesky(precision).T, atol=1e-9 * np.abs(W).max())


def test_zca_cor_is_zca_of_the_standardised_columns():
    X = rows() * [1, 10, 100, 0.1, 1, 1, 1]
    deviation = X.std(axis=0, ddof=1)
    step = Whiten("zca_cor", shrinkage=0.25).fit(X)
    values, vectors = np.linalg.eigh(0.75 * np.corrcoef(X.T) + 0.25 * np.eye(7))
    np.testing.assert_allclose(step.components_, vectors / np.sqrt(values) @ vectors.T / deviation, rtol=1e-8)

    # of all whitenings the one whose columns correlate most with the given ones, in sum (Kessy et al. 2018)
    def agreement(method):
        Z = Whiten(method).fit_transform(X)
        return sum(np.corrcoef(Z[:, j], X[:, j])[0, 1] for j in range(7))

    assert agreement("zca_cor") > max(agreement("zca"), agreement("cholesky")) + 1e-6


def test_vecmap_whitening_makes_columns_orthonormal():
    X = rows(offset=2.0)
    step = Whiten("vecmap").fit(X)
    Z = step.transform(X)
    np.testing.assert_allclose(Z.T @ Z, np.eye(7), atol=1e-10)
    _, S, Vt = np.linalg.svd(X, full_matrices=False)
    np.testing.assert_allclose(step.components_, Vt.T / S @ Vt, atol=1e-10)
    assert (step.mean_ == 0).all()


@pytest.mark.parametrize("method", ["zca", "cholesky", "zca_cor"])
def test_regularisation_reaches_where_few_rows_do_not_vary(method):
    X = rows(5, 9)
    C = covariance(X) if method != "zca_cor" else np.corrcoef(X.T)
    regular = 0.7 * C + 0.3 * np.trace(C) / 9 * np.eye(9)
    W = Whiten(method, shrinkage=0.3).fit(X).components_
    if method == "zca_cor":
        W = W * X.std(axis=0, ddof=1)
    np.testing.assert_allclose(W @ regular @ W.T, np.eye(9), atol=1e-10)


def test_all_but_the_top_by_its_definition():
    X, others = rows(offset=3.0), rows(5, seed=1)
    mean = X.mean(axis=0)
    U = np.linalg.svd(X - mean)[2][:2]
    gap = others - mean
    np.testing.assert_allclose(AllButTheTop(2).fit(X).transform(others), gap - gap @ U.T @ U, atol=1e-10)
    found = AllButTheTop(2, uncentered=True).fit(X).transform(others)
    np.testing.assert_allclose(found, gap - others @ U.T @ U, atol=1e-10)
    assert len(AllButTheTop().fit(rows(300, 250)).components_) == 2


def test_relative_by_its_definition():
    X, others = rows(offset=1.0), rows(5, seed=1, offset=1.0)
    cosines = normalize(others) @ normalize(X).T
    np.testing.assert_allclose(Relative().fit(X).transform(others), normalize(cosines.clip(min=0)), atol=1e-12)
    np.testing.assert_allclose(Relative(signed=True).fit(X).transform(others), normalize(cosines), atol=1e-12)
    kept = np.where(cosines >= np.sort(cosines, axis=1)[:, -4:][:, :1], cosines, 0).clip(min=0)
    np.testing.assert_allclose(Relative(top_k=4, power=3).fit(X).transform(others), normalize(kept**3), atol=1e-12)


def test_anchors_are_the_same_rows_in_all_modalities():
    step, other = Relative(10, seed=4), Relative(10, seed=4)
    step.fit(rows())
    other.fit(rows(d=4, seed=2))
    places = [int(np.flatnonzero((rows() == anchor).all(axis=1))[0]) for anchor in step.anchors_]
    np.testing.assert_array_equal(other.anchors_, rows(d=4, seed=2)[places])
    assert all(a < b for a, b in pairwise(places))


@pytest.mark.parametrize("kind", ["gaussian", "sign", "sparse"])
def test_random_projection_keeps_lengths(kind):
    step = RandomProjection(400, kind=kind, seed=2).fit(rows(3, 50))
    assert step.components_.shape == (400, 50)
    entries = step.components_ * 20
    assert abs(entries.mean()) < 0.03
    assert abs(entries.var() - 1) < 0.05
    X = rows(200, 50, seed=5)
    ratio = np.linalg.norm(step.transform(X), axis=1) / np.linalg.norm(X, axis=1)
    assert abs(ratio - 1).max() < 0.2
    np.testing.assert_array_equal(RandomProjection(400, kind=kind, seed=2).fit(X).components_, step.components_)


@pytest.mark.parametrize("delta", [0.0, 0.25, 0.5, 1.0])
def test_gap_shift(delta):
    X, Y = rows(offset=2.0), rows(40, seed=1)
    shift = GapShift(delta).fit(X, Y)
    gap = X.mean(axis=0) - Y.mean(axis=0)
    np.testing.assert_allclose(shift.gap_, gap, atol=1e-12)
    left, right = shift.transform(X, Y)
    np.testing.assert_allclose(left.mean(axis=0) - right.mean(axis=0), (1 - 2 * delta) * gap, atol=1e-11)
    for back, side in zip(shift.inverse_transform(left, right), (X, Y), strict=True):
        np.testing.assert_allclose(back, side, atol=1e-12)
    again = GapShift(**shift.get_params()).set_state(shift.get_state())
    np.testing.assert_array_equal(again.transform(X, Y)[0], left)
    parts = [GapShift(delta).partial_fit(X[:20], Y[:1]), GapShift(delta).partial_fit(X[20:50], Y[1:])]
    parts[0].merge(parts[1]).partial_fit(X[50:], Y[:1])
    np.testing.assert_allclose(parts[0]._means[0].mean_, X.mean(axis=0), atol=1e-12)
    assert repr(shift) == f"GapShift(delta={delta})"


# ---- in parts


@pytest.mark.parametrize("step", GATHERED, ids=repr)
def test_parts_give_what_the_whole_gives(step, monkeypatch):
    X = rows(101, offset=3.0)
    whole = type(step)(**step.get_params()).fit(X)
    parts = type(step)(**step.get_params())
    for start, stop in pairwise((0, 1, 2, 30, 101)):
        parts.partial_fit(X[start:stop])
    monkeypatch.setattr(_rows, "BLOCK_BYTES", 8 * 7 * 11)
    first, second = (type(step)(**step.get_params()).partial_fit(part) for part in (X[:40], X[40:]))
    first.merge(second)
    for found in (parts, first):
        assert set(found.get_state()) == set(whole.get_state())
        np.testing.assert_allclose(found.transform(X), whole.transform(X), rtol=1e-8, atol=1e-9)
    second.merge(parts)  # a statistic may be merged again and again; that of `parts` is left alone
    np.testing.assert_allclose(parts.transform(X), whole.transform(X), rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("power", [-600, 600])
@pytest.mark.parametrize("step", [Standardize(), Whiten(), PCA(), UnitColumns()], ids=repr)
def test_parts_of_any_size_of_numbers(step, power):
    X = np.ldexp(rows(50), power)
    X[:10] = X[0]
    parts = type(step)().partial_fit(X[:10]).partial_fit(X[10:])
    np.testing.assert_allclose(
        np.ldexp(parts.transform(X), -power if isinstance(step, PCA) else 0),
        np.ldexp(type(step)().fit_transform(X), -power if isinstance(step, PCA) else 0),
        rtol=1e-9,
        atol=1e-11,
    )


def test_parts_far_from_the_origin_lose_nothing():
    X = rows(200)
    far = PCA().partial_fit(X[:50] + 2.0**20).partial_fit(X[50:] + 2.0**20)
    np.testing.assert_allclose(far.explained_variance_, PCA().fit(X).explained_variance_, rtol=1e-7)
    constant = Standardize().partial_fit(np.full((3, 2), 0.1)).partial_fit(np.full((4, 2), 0.1))
    assert (constant.scale_ == 1).all()


def test_a_bad_part_changes_nothing(monkeypatch):
    monkeypatch.setattr(_rows, "BLOCK_BYTES", 8 * 7 * 11)
    X, bad = rows(), rows()
    bad[50, 2] = np.nan
    step = Center().partial_fit(X)
    with pytest.raises(ValueError, match="X must be finite, got nan in row 50"):
        step.partial_fit(bad)
    np.testing.assert_allclose(step.mean_, X.mean(axis=0), atol=1e-13)


def test_chain_in_parts():
    X = rows(offset=3.0)
    chain = Chain(["normalize", "center", "normalize"]).partial_fit(X[:20]).partial_fit(X[20:])
    whole = Chain(["normalize", "center", "normalize"]).fit(X)
    np.testing.assert_allclose(chain.transform(X), whole.transform(X), atol=1e-12)
    halves = [Chain(["normalize", "center", "normalize"]).partial_fit(part) for part in (X[:20], X[20:])]
    np.testing.assert_allclose(halves[0].merge(halves[1]).transform(X), whole.transform(X), atol=1e-12)
    np.testing.assert_array_equal(Chain(["normalize"]).partial_fit(X).transform(X), normalize(X))


# ---- all of them


@pytest.mark.parametrize("step", ALL, ids=repr)
@pytest.mark.parametrize("dtype", ["float16", "float32", "uint8", "float64"])
def test_dtype_and_input_left_alone(step, dtype):
    X = (np.abs(rows(offset=3.0)) * 3 + 1).clip(0, 100).astype(dtype)
    X.flags.writeable = False
    before = X.copy()
    found = Chain(step).fit_transform(X)
    assert found.dtype == ("float64" if dtype == "float64" else "float32")
    np.testing.assert_array_equal(X, before)
    exact = Chain(step).fit_transform(X.astype(np.float64))
    np.testing.assert_allclose(found, exact, rtol=1e-4, atol=1e-5 * max(1.0, np.abs(exact).max()))


@pytest.mark.parametrize("step", ALL, ids=repr)
def test_blocks_do_not_matter(step, monkeypatch):
    X = np.abs(rows(offset=1.0))
    whole = Chain(step).fit_transform(X)
    monkeypatch.setattr(_rows, "BLOCK_BYTES", 8 * 7 * 11)
    np.testing.assert_allclose(Chain(step).fit_transform(X), whole, rtol=1e-8, atol=1e-9)


def test_every_step_is_tried_here():
    assert {type(step) for step in ALL} == set(STEPS.values())


@pytest.mark.parametrize("step", ALL, ids=repr)
def test_a_saved_pipeline_transforms_the_same(step, tmp_path):
    X = {"image": np.abs(rows(offset=1.0)), "text": np.abs(rows(seed=1, offset=1.0))}
    pipeline = CrossModalPipeline([step, "normalize"], None)
    pipeline.load_data(X)
    pipeline.preprocess_data()
    pipeline.save(tmp_path / "pipeline.npz")
    again = CrossModalPipeline.load(tmp_path / "pipeline.npz")
    for name, chain in pipeline.steps_.items():
        np.testing.assert_array_equal(again.steps_[name].transform(X[name]), chain.transform(X[name]))
        assert repr(again.steps_[name]) == repr(chain)


# ---- sentences


class Foreign:
    def fit(self, X):
        return self

    def transform(self, X):
        return X


HUGE = np.array([[1e308], [-1e308]])


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda: Hellinger().transform([[1.0, -2.0]]), ValueError, "X must be at least 0 for Hellinger, got -2"),
        (lambda: Truncate(3).transform(np.eye(2)), ValueError,
         "X must have at least 3 columns to be truncated, got 2"),
        (lambda: Truncate(0), ValueError, "n_components must be at least 1, got 0"),
        (lambda: Chain("truncate"), ValueError,
         "step 'truncate' must be given as Truncate(n_components), got the name alone"),
        (lambda: MinMax().fit(HUGE), ValueError,
         "X must have ranges that float64 holds, got more; divide it by 2 first"),
        (lambda: UnitColumns().fit(np.abs(HUGE) * 1.7), ValueError,
         "X must have columns whose lengths float64 holds, got longer; divide it by 2**100 first"),
        (lambda: Whiten("cholesky").fit(rows(5, 9)), ValueError,
         "X must have full rank for method='cholesky', got 4 of 9; epsilon or shrinkage help"),
        (lambda: Whiten("vecmap").fit(np.zeros((3, 2))), ValueError,
         "X must vary to have a principal direction, got 3 rows of zeros"),
        (lambda: PCA().partial_fit(rows(1)).transform(rows()), ValueError,
         "X must have at least 2 rows to have a covariance, got 1"),
        (lambda: PCA().partial_fit(np.ones((3, 2))).get_state(), ValueError,
         "X must vary to have a principal direction, got 3 equal rows"),
        (lambda: AllButTheTop(9).fit(rows()), ValueError,
         "n_components must be in 1..7 (the rank of the centred X), got 9"),
        (lambda: AllButTheTop(uncentered=1), ValueError, "uncentered must be True or False, got 1"),
        (lambda: Relative(61).fit(rows()), ValueError, "n_anchors must be in 1..60 (the rows of X), got 61"),
        (lambda: Relative(5, top_k=6).fit(rows()), ValueError, "top_k must be in 1..5 (the anchors), got 6"),
        (lambda: Relative(seed=-1), ValueError, "seed must be at least 0, got -1"),
        (lambda: Relative().partial_fit(rows()), TypeError,
         "Relative must be given all rows at once, by fit: it keeps no statistic that can be merged"),
        (lambda: Relative().transform(rows()), RuntimeError,
         "Relative must be fitted before it is applied: call fit(X) first"),
        (lambda: RandomProjection(3, kind="best"), ValueError,
         "kind must be one of gaussian, sign, sparse, got 'best'"),
        (lambda: RandomProjection(3).fit(rows()).transform(rows(d=3)), ValueError,
         "X must have 7 columns, as fit saw, got shape (60, 3)"),
        (lambda: Center().fit(rows()).partial_fit(rows()), RuntimeError,
         "Center must be begun by partial_fit to take more rows, got one made by fit or set_state"),
        (lambda: Center().set_state(Center().fit(rows()).get_state()).partial_fit(rows()), RuntimeError,
         "Center must be begun by partial_fit to take more rows, got one made by fit or set_state"),
        (lambda: Center().partial_fit(rows()).partial_fit(rows(d=3)), ValueError,
         "X must have 7 columns, as partial_fit saw, got shape (60, 3)"),
        (lambda: Center().partial_fit(rows()).merge(Center()), RuntimeError,
         "other must have been given rows by partial_fit to be merged, got Center() without"),
        (lambda: Center().partial_fit(rows()).merge(Center().partial_fit(rows(d=3))), ValueError,
         "other must have seen 7 columns to be merged, got 3"),
        (lambda: Center().partial_fit([[1e308]]).partial_fit([[-1e308]]), ValueError,
         "X must have sums that float64 holds, got more; divide it by 2**100 first"),
        (lambda: PCA(2).merge(PCA(3)), TypeError,
         "other must be another PCA(n_components=2) to be merged, got PCA(n_components=3)"),
        (lambda: Normalize().merge(3), TypeError, "other must be another Normalize() to be merged, got 3"),
        (lambda: Chain(["center", PCA(2)]).partial_fit(rows()), TypeError,
         "steps must hold at most one that learns to be fitted in parts, got Center and PCA"),
        (lambda: Chain([Foreign()]).partial_fit(rows()), TypeError,
         "steps must have partial_fit to be fitted in parts, got Foreign without"),
        (lambda: Chain([Foreign()]).merge(Chain([Foreign()])), TypeError,
         "steps must have merge to be merged, got Foreign without"),
        (lambda: Chain(["center"]).merge(Chain(["pca"])), TypeError,
         "other must be a Chain of the same steps to be merged, got Chain([PCA(n_components=None)])"),
        (lambda: GapShift().fit(np.eye(3), np.eye(2)), ValueError,
         "X and Y must have equally many columns, got 3 and 2; the gap is that of one space"),
        (lambda: GapShift().transform(np.eye(3), np.eye(3)), RuntimeError,
         "GapShift must be fitted before it is applied: call fit(X) first"),
        (lambda: GapShift().fit(rows(), rows()).transform(rows(), np.eye(3)), ValueError,
         "Y must have 7 columns, as fit saw, got shape (3, 3)"),
        (lambda: GapShift().merge(Center()), TypeError,
         "other must be another GapShift(delta=0.5) to be merged, got Center()"),
        (lambda: GapShift().fit(np.eye(2), [[0.0, np.inf]]), ValueError,
         "in Y: X must be finite, got inf in row 0; remove or fill such rows first"),
        (lambda: Center().nothing, AttributeError, "'Center' object has no attribute 'nothing'"),
    ],
)  # fmt: skip
def test_sentences(call, error, sentence):
    with pytest.raises(error, match=f"^{re.escape(sentence)}$"):
        call()
