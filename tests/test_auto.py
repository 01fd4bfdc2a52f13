"""The method chosen by leave-one-out retrieval: what wins where, and that the scores are what they are said to be."""

import numpy as np
import pytest

from crossmodal_fast import fit_transfer, ranks
from crossmodal_fast.fitting import RidgePath, TransferMap
from fitted import orthogonal, pairs, refits, two_views


def mrr(predicted, targets, metric="cosine"):
    return np.mean(1 / ranks(predicted, targets, np.arange(len(targets)), metric, ties="mean"))


def scores(found, **options):
    return [entry for entry in found.details["scores"] if options.items() <= entry.items()]


def test_doing_nothing_wins_in_a_space_that_is_shared():
    rng = np.random.default_rng(0)
    A = rng.standard_normal((40, 12))
    found = fit_transfer(A, A + 0.5 * rng.standard_normal(A.shape))
    assert found.method == "auto: identity (doing nothing wins)"
    np.testing.assert_array_equal(found.M, np.eye(12))
    np.testing.assert_array_equal(found.bias, 0)
    assert found.report()["details"]["doing_nothing_wins"] is True
    assert found.details["verdict"] == "doing nothing wins: no method finds more than the rows as they are"


def test_moving_the_mean_wins_where_a_gap_is_all_there_is():
    rng = np.random.default_rng(0)
    A, gap = rng.standard_normal((60, 12)), 8 * rng.standard_normal(12)
    B = A + gap + 0.5 * rng.standard_normal(A.shape)
    found = fit_transfer(A, B, metric="euclidean")
    assert found.method == "auto: mean_shift (doing nothing wins)"
    np.testing.assert_allclose(found.bias, (B - A).mean(axis=0), rtol=1e-12)
    assert found.details["verdict"] == "doing nothing but moving the mean wins: no method finds more"


def test_a_turn_is_found_by_procrustes_and_a_stretch_by_ridge():
    rng = np.random.default_rng(0)
    A = rng.standard_normal((40, 10))
    turned = fit_transfer(A, A @ orthogonal(10) + 0.6 * rng.standard_normal(A.shape))
    assert turned.method == "auto: procrustes"
    assert turned.details["doing_nothing_wins"] is False
    A, B = pairs(80, 10, 10, noise=0.2)
    stretched = fit_transfer(A, B, metric="euclidean")
    assert stretched.details["method"] == "ridge"
    options = {"regularization": stretched.details["regularization"], "prior": stretched.details.get("prior")}
    np.testing.assert_allclose(stretched.M, fit_transfer(A, B, "ridge", **options).M, rtol=1e-12)
    assert stretched.details["verdict"] == f"{stretched.method.removeprefix('auto: ')} finds most"


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
def test_scores_of_closed_forms_are_those_of_refits(center, weighted):
    A, B = two_views(n=23, d_in=6, d_out=6)
    weight = np.random.default_rng(0).random(len(A)) + 0.5 if weighted else None
    found = fit_transfer(A, B, center=center, sample_weight=weight)
    assert scores(found, method="identity")[0]["mrr"] == pytest.approx(mrr(A, B))
    if center:
        moved = np.empty_like(A)
        for i in range(len(A)):
            others = np.arange(len(A)) != i
            shares = None if weight is None else weight[others]
            moved[i] = A[i] + np.average(B[others] - A[others], axis=0, weights=shares)
        assert scores(found, method="mean_shift")[0]["mrr"] == pytest.approx(mrr(moved, B))
    else:
        assert scores(found, method="mean_shift") == []
    ridges = scores(found, method="ridge")
    assert len(ridges) == 20
    for entry in ridges[::3]:
        prior = np.eye(6) if "prior" in entry else None
        expected = refits(A, B, entry["regularization"], prior, weight, center)
        assert entry["mrr"] == pytest.approx(mrr(expected, B))


@pytest.mark.parametrize("method", ["procrustes", "cca"])
@pytest.mark.parametrize("n", [23, 4])
def test_scores_of_folds_are_those_of_fits_without_every_fifth(method, n):
    A, B = two_views(n=n, d_in=6, d_out=5)
    entries = scores(fit_transfer(A, B), method=method)
    count = min(5, n)
    for entry in entries:
        options = {name: entry[name] for name in ("n_components", "shrinkage") if name in entry}
        predicted = np.empty_like(B)
        for fold in range(count):
            held = np.arange(n) % count == fold
            predicted[held] = fit_transfer(A[~held], B[~held], method, **options).apply(A[held])
        assert entry["mrr"] == pytest.approx(mrr(predicted, B))
    assert len(entries) == (1 if method == "procrustes" else 3 * len({entry["n_components"] for entry in entries}))


def test_between_spaces_of_unlike_width_nothing_is_no_contender():
    found = fit_transfer(*two_views())
    assert scores(found, method="identity") == scores(found, method="mean_shift") == []
    assert all("prior" not in entry for entry in found.details["scores"])


def test_many_pairs_are_judged_by_some_of_them(monkeypatch):
    monkeypatch.setattr("crossmodal_fast.fitting._auto.JUDGED", 30)
    A, B = two_views(n=100, d_in=6, d_out=6)
    found = fit_transfer(A, B)
    taken = np.sort(np.random.default_rng(0).choice(100, 30, replace=False))
    assert found.details["judged"] == 30
    assert scores(found, method="identity")[0]["mrr"] == pytest.approx(mrr(A[taken], B[taken]))
    entry = scores(found, method="ridge")[5]
    prior = entry.get("prior")
    predicted = RidgePath(A, B, prior=prior).loo_predictions(entry["regularization"])
    assert entry["mrr"] == pytest.approx(mrr(predicted[taken], B[taken]))
    turned = np.empty_like(B)
    for fold in range(5):
        held = np.arange(100) % 5 == fold
        turned[held] = fit_transfer(A[~held], B[~held], "procrustes").apply(A[held])
    assert scores(found, method="procrustes")[0]["mrr"] == pytest.approx(mrr(turned[taken], B[taken]))
    assert scores(fit_transfer(A, B, seed=1)) != scores(found)
    assert scores(fit_transfer(A, B)) == scores(found)


def test_pairs_without_weight_are_not_judged():
    A, B = two_views(n=40, d_in=6, d_out=6)
    weight = np.r_[np.zeros(15), np.ones(25)]
    found, expected = fit_transfer(A, B, sample_weight=weight), fit_transfer(A[15:], B[15:])
    assert found.details["judged"] == 25
    for entry, other in zip(scores(found, method="ridge"), scores(expected, method="ridge"), strict=True):
        assert entry["mrr"] == pytest.approx(other["mrr"])


@pytest.mark.parametrize(
    "spoiled",
    [
        lambda A, B: (A[:2], B[:2]),
        lambda A, B: (A[:3], B[:3]),
        lambda A, B: (np.hstack([A, A]), np.hstack([B, B])),
        lambda A, B: (A[:4], B[:4]),
        lambda A, B: (A, np.ones_like(B)),
        lambda A, B: (np.where(np.arange(30)[:, None] == 7, A, 1.0), B),
        lambda A, B: (np.where(np.arange(30)[:, None] < 9, 0.0, A), np.where(np.arange(30)[:, None] > 20, 0.0, B)),
        lambda A, B: (np.repeat(A[:6], 5, axis=0), np.repeat(B[:6], 5, axis=0)),
        lambda A, B: (A[:, :1], B[:, :1]),
        lambda A, B: (A.astype(np.float16), B.astype(np.int8)),
    ],
)
@pytest.mark.parametrize("center", [True, False])
def test_poor_pairs_get_a_finite_map(spoiled, center):
    A, B = spoiled(*two_views(n=30, d_in=5, d_out=5))
    found = fit_transfer(A, B, center=center)
    assert np.isfinite(found.M).all()
    assert found.details["scores"]


def test_memory_maps_are_read_in_place(tmp_path):
    A, B = two_views(n=20)
    for name, side in (("a", A), ("b", B)):
        np.save(tmp_path / f"{name}.npy", side)
    mapped = [np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in "ab"]
    np.testing.assert_array_equal(fit_transfer(*mapped).M, fit_transfer(A, B).M)


def test_the_choice_is_saved_with_the_map(tmp_path):
    found = fit_transfer(*two_views(n=20))
    found.save(tmp_path / "map.npz")
    again = TransferMap.load(tmp_path / "map.npz")
    assert again.details == found.details
    assert again.method == found.method


SIZES = {"tiny": (-660, -660), "huge": (660, 660), "far apart": (660, -660), "subnormal": (-1060, 0)}
REFUSED = {"far apart": ("auto",), "subnormal": ("auto", "lstsq", "ridge", "cca", "pls")}


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize(
    "method", ["auto", "lstsq", "ridge", "procrustes", "cca", "pls", "multistep", "identity", "mean_shift"]
)
@pytest.mark.parametrize("weighted", [True, False])
def test_rows_of_any_size_get_a_map_or_a_sentence(method, sizes, weighted):
    A, B = (np.ldexp(side, power) for side, power in zip(two_views(30, 5, 5), SIZES[sizes], strict=True))
    weight = np.r_[np.zeros(4), np.ones(26)] if weighted else None
    if method in REFUSED.get(sizes, ()):
        with pytest.raises(ValueError, match=r"^A and B must be of sizes whose ratio float64 holds, got "):
            fit_transfer(A, B, method, sample_weight=weight)
        return
    found = fit_transfer(A, B, method, sample_weight=weight)
    assert np.isfinite(found.M).all()
    assert not np.isnan(found.training_residual)
