"""Sums over blocks of pairs: merged they are those of one pass, and methods make of them what they make of the rows."""

import numpy as np
import pytest

from crossmodal_fast import fit_transfer
from crossmodal_fast.fitting import CCA, PLS, MultiStep, RidgePath, TransferStatistics
from fitted import pairs, two_views

METHODS = {
    "lstsq": {},
    "ridge": {"regularization": 3.0, "prior": "procrustes"},
    "procrustes": {"scale": True},
    "cca": {"shrinkage": 0.1},
    "pls": {"n_components": 2},
    "multistep": {"n_components": 3},
    "mean_shift": {},
}


def summed(A, B, cuts, weight=None):
    made = []
    for part in np.split(np.arange(len(A)), cuts):
        given = {} if weight is None else {"sample_weight": weight[part]}
        made.append(TransferStatistics().partial_fit(A[part], B[part], **given))
    first, *others = made
    for other in others:
        first.merge(other)
    return first


@pytest.mark.parametrize("cuts", [[], [1], [20, 21, 50]])
@pytest.mark.parametrize("weighted", [True, False])
def test_merged_is_one_pass(cuts, weighted):
    A, B = pairs()
    A += 1e4  # far from the origin, where plain sums of products would lose eight digits
    weight = np.random.default_rng(0).random(len(A)) if weighted else np.ones(len(A))
    found = summed(A, B, cuts, weight)
    joint = np.hstack([A, B])
    mean = weight @ joint / weight.sum()
    assert found.n_pairs_ == len(A)
    np.testing.assert_allclose(found.weight_, weight.sum(), rtol=1e-14)
    np.testing.assert_allclose(np.hstack([found.mean_a_, found.mean_b_]), mean, rtol=1e-14)
    expected = ((joint - mean).T * weight) @ (joint - mean)
    np.testing.assert_allclose(found.moments_, expected, rtol=1e-9, atol=1e-9)


def test_blocks_in_one_call_or_in_many(monkeypatch):
    A, B = pairs(n=100)
    whole = TransferStatistics().partial_fit(A, B)
    monkeypatch.setattr("crossmodal_fast.fitting._statistics.BLOCK_BYTES", 8 * 10 * 7)  # 7 rows
    np.testing.assert_allclose(TransferStatistics().partial_fit(A, B).moments_, whole.moments_, rtol=1e-10)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
def test_methods_make_of_sums_what_they_make_of_rows(method, center, weighted):
    A, B = two_views(d_in=5)
    weight = np.random.default_rng(0).random(len(A)) if weighted else None
    sums = summed(A, B, [30], weight)
    found = fit_transfer(sums, method=method, center=center, **METHODS[method])
    expected = fit_transfer(A, B, method, center=center, sample_weight=weight, **METHODS[method])
    np.testing.assert_allclose(found.M, expected.M, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(found.bias, expected.bias, rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(found.training_residual, expected.training_residual, rtol=1e-6)
    assert found.training_rank == expected.training_rank


@pytest.mark.parametrize("made", [CCA, PLS, MultiStep], ids=lambda made: made.__name__)
def test_views_take_sums(made):
    A, B = two_views()
    found, expected = made(2).fit(summed(A, B, [30])), made(2).fit(A, B)
    np.testing.assert_allclose(found.projection_a_, expected.projection_a_, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(found.projection_b_, expected.projection_b_, rtol=1e-6, atol=1e-8)


def test_penalties_are_chosen_by_gcv():
    A, B = pairs(n=30, d_in=12, noise=3.0)
    sums = summed(A, B, [10])
    chosen = {"regularization": "path", "selection": "gcv"}
    found, expected = fit_transfer(sums, method="ridge", **chosen), fit_transfer(A, B, "ridge", **chosen)
    np.testing.assert_allclose(found.M, expected.M, rtol=1e-7)
    np.testing.assert_allclose(RidgePath(sums).gcv([1.0]), RidgePath(A, B).gcv([1.0]), rtol=1e-9)


def test_constant_and_repeated_columns():
    A, B = pairs()
    A = np.hstack([A, np.full((len(A), 1), 7.1), A[:, :1]])
    found = fit_transfer(summed(A, B, [20, 40]), method="lstsq")
    expected = fit_transfer(A, B, "lstsq")
    assert found.training_rank == expected.training_rank == 6
    np.testing.assert_allclose(found.M, expected.M, rtol=1e-7, atol=1e-9)
    assert (found.M[:, 6] == 0).all()


@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_any_dtype_is_summed_in_float64(dtype):
    A, B = (side.astype(dtype) for side in pairs())
    exact = TransferStatistics().partial_fit(A.astype(float), B.astype(float))
    np.testing.assert_array_equal(TransferStatistics().partial_fit(A, B).moments_, exact.moments_)


def test_pairs_without_weight_count_for_nothing():
    A, B = pairs()
    weight = np.r_[np.zeros(10), np.ones(50)]
    found = TransferStatistics().partial_fit(A, B, weight)
    expected = TransferStatistics().partial_fit(A[10:], B[10:])
    assert found.n_pairs_ == 50
    np.testing.assert_allclose(found.moments_, expected.moments_, rtol=1e-12)


def test_a_refused_block_changes_nothing():
    A, B = pairs()
    sums = TransferStatistics().partial_fit(A, B)
    before = {name: array.copy() for name, array in sums.to_arrays().items()}
    with pytest.raises(ValueError, match=r"^B must be finite, got nan in row 59; remove or fill such rows first$"):
        sums.partial_fit(A, np.where(np.arange(60)[:, None] == 59, np.nan, B))
    for name, array in sums.to_arrays().items():
        np.testing.assert_array_equal(array, before[name])


def test_saved_and_loaded(tmp_path):
    sums = TransferStatistics().partial_fit(*pairs())
    sums.save(tmp_path / "sums.npz")
    again = TransferStatistics.load(tmp_path / "sums.npz")
    for name, array in sums.to_arrays().items():
        np.testing.assert_array_equal(again.to_arrays()[name], array)
    assert repr(again) == "TransferStatistics(60 pairs, 6 -> 4)"
    TransferStatistics().save(tmp_path / "none.npz")
    assert repr(TransferStatistics.load(tmp_path / "none.npz")) == "TransferStatistics(no pairs)"


def test_merging_with_none_changes_nothing():
    sums = TransferStatistics().partial_fit(*pairs())
    before = sums.moments_.copy()
    np.testing.assert_array_equal(sums.merge(TransferStatistics()).moments_, before)
    np.testing.assert_array_equal(TransferStatistics().merge(sums).moments_, before)
