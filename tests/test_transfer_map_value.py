"""TransferMap as a value and as a fitted transformer: its report on rows and targets, clones, chains, details."""

import copy
import pickle

import numpy as np
import pytest

from crossmodal_fast import TransferMap, fit_transfer
from crossmodal_fast.preprocess import Chain
from fitted import pairs


@pytest.mark.parametrize("metric", ["cosine", "euclidean", "dot"])
def test_the_report_says_where_the_map_is_ambiguous(metric):
    A, B = pairs()
    found = fit_transfer(A, B, "lstsq")
    report = found.report(rows=A, targets=B, metric=metric, backend="numpy")
    mapped = found.apply(A)
    score = {
        "cosine": lambda: mapped @ B.T / np.linalg.norm(B, axis=1) / np.linalg.norm(mapped, axis=1)[:, None],
        "euclidean": lambda: -np.sqrt(((mapped[:, None] - B) ** 2).sum(axis=2)),
        "dot": lambda: mapped @ B.T,
    }[metric]()
    ordered = np.sort(score, axis=1)
    np.testing.assert_array_equal(report["nearest"], score.argmax(axis=1))
    np.testing.assert_allclose(report["margins"], ordered[:, -1] - ordered[:, -2], atol=1e-12)
    assert report["rank"] == 4


def test_equal_targets_have_no_margin():
    A, B = pairs()
    report = fit_transfer(A, B, "lstsq").report(rows=A, targets=np.vstack([B, B]))
    np.testing.assert_array_equal(report["margins"], 0)


def test_a_map_is_a_value():
    found = fit_transfer(*pairs(), "lstsq")
    with pytest.raises(ValueError, match="read-only"):
        found.M[0, 0] = 1
    with pytest.raises(AttributeError, match=r"^method must stay as it was fitted, got 'x'; make another TransferMap$"):
        found.method = "x"
    assert found.fit() is found
    assert found.set_params(**found.get_params()) is found
    assert set(found.get_params()) == {"M", "bias", "method", "training_rank", "training_residual", "details"}
    made = TransferMap(**found.get_params())
    np.testing.assert_array_equal(made.M, found.M)
    for again in (copy.deepcopy(found), pickle.loads(pickle.dumps(found))):
        np.testing.assert_array_equal(again.M, found.M)


def test_scikit_learn_clones_it_and_takes_it_into_a_pipeline():
    clone = pytest.importorskip("sklearn.base").clone
    make_pipeline = pytest.importorskip("sklearn.pipeline").make_pipeline
    A, B = pairs()
    found = fit_transfer(A, B, "lstsq")
    np.testing.assert_array_equal(clone(found).M, found.M)
    np.testing.assert_array_equal(make_pipeline(found, found.inverse()).fit(A).transform(A).shape, A.shape)


def test_a_chain_may_hold_a_map():
    A, B = pairs()
    found = fit_transfer(A, B, "lstsq")
    chained = Chain([found, "normalize"]).fit(A).transform(A)
    np.testing.assert_allclose(chained, found.apply(A, normalize=True), rtol=1e-12)


def test_details_are_kept_and_maps_of_older_files_have_none(tmp_path):
    found = TransferMap(np.eye(2), np.zeros(2), details={"k": 3, "scores": [0.5, None], "name": "x"})
    assert TransferMap.from_arrays(found.to_arrays()).details == found.details
    old = {name: array for name, array in found.to_arrays().items() if name != "details"}
    assert TransferMap.from_arrays(old).details == {}


def test_doing_nothing_and_moving_the_mean_by_name():
    A, B = pairs(d_out=6)
    nothing, moved = fit_transfer(A, B, "identity"), fit_transfer(A, B, "mean_shift")
    np.testing.assert_array_equal(nothing.apply(A), A)
    np.testing.assert_allclose(moved.apply(A), A - A.mean(axis=0) + B.mean(axis=0), rtol=1e-12)
    Y = B - B.mean(axis=0)
    for found in (nothing, moved):
        missed = np.linalg.norm(B - found.apply(A)) / np.linalg.norm(Y)
        np.testing.assert_allclose(found.training_residual, missed, rtol=1e-10)
    one = fit_transfer(A[:1], B[:1], "mean_shift")
    np.testing.assert_allclose(one.apply(A[:1]), B[:1], rtol=1e-12)
