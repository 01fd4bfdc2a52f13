"""Recorded results of fitting on real data: correlations, few pairs in a shared space, views of digits, speech."""

import numpy as np
import pytest

from crossmodal_fast import evaluate, fit_transfer
from crossmodal_fast.fitting import CCA, TransferStatistics
from crossmodal_fast.preprocess import Chain, Standardize, normalize
from fitted import orthogonal


def both_ways(images, texts, labels):
    return tuple(
        evaluate.retrieval(*sides, labels=(labels, labels))["map"] for sides in ((images, texts), (texts, images))
    )


# ---- Wikipedia


@pytest.fixture(scope="module")
def wikipedia(shared_file):
    loadmat = pytest.importorskip("scipy.io").loadmat
    features = loadmat(shared_file("wikipedia/raw_features.mat"))
    lines = shared_file("wikipedia/testset_txt_img_cat.list").read_text().splitlines()
    return features, np.array([int(line.split("\t")[2]) for line in lines])


def test_wikipedia_correlation_matching(wikipedia):
    features, labels = wikipedia
    found = CCA(7).fit(features["I_tr"], features["T_tr"])
    images, texts = found.transform(features["I_te"], features["T_te"])
    assert both_ways(images, texts, labels) == pytest.approx((0.2463, 0.2007), abs=5e-4)


def test_wikipedia_correlations_and_the_rank_trap(wikipedia):
    features, _ = wikipedia
    recorded = [0.5577, 0.4477, 0.4365, 0.3718, 0.3468, 0.3297, 0.2933, 0.2796, 0.2479]
    sums = TransferStatistics().partial_fit(features["I_tr"], features["T_tr"])
    for found in (CCA().fit(features["I_tr"], features["T_tr"]), CCA().fit(sums)):
        np.testing.assert_allclose(found.correlations_, recorded, atol=1e-4)  # machine eps keeps a tenth, rho_1 .5595


# ---- CLIP-500: the first 250 pairs to learn from, the last 250 to search


@pytest.fixture(scope="module")
def clip(shared_file):
    return normalize(np.load(shared_file("clip500/features_clip.npy")).reshape(1000, 512).astype(float)).reshape(
        2, 500, 512
    )


@pytest.fixture(scope="module")
def centred(clip):
    return [Chain(["center", "normalize"]).fit(side[:250]).transform(side) for side in clip]


def hit_rate(found, queries, targets):
    return evaluate.retrieval(found.apply(queries), targets, k=(1,), ties="optimistic")["hit_rate@1"]


@pytest.mark.parametrize(("penalty", "expected"), [(1.0, 0.524), (10.0, 0.584)])
def test_clip_ridge_to_the_identity(centred, penalty, expected):
    image, text = centred
    options = {"regularization": penalty, "prior": "identity", "center": False}
    found = fit_transfer(image[:250], text[:250], "ridge", **options)
    assert hit_rate(found, image[250:], text[250:]) == expected


@pytest.mark.parametrize(("k", "expected"), [(16, 0.220), (32, 0.320), (64, 0.280), (128, 0.240)])
def test_clip_regularised_cca(centred, k, expected):
    image, text = centred
    found = CCA(k, shrinkage=1 / 3).fit(image[:250], text[:250])  # C + tr(C) / (2 d) I, times 2/3
    measured = evaluate.retrieval(*found.transform(image[250:], text[250:]), k=(1,), ties="optimistic")
    assert measured["hit_rate@1"] == expected


def test_clip_doing_nothing_wins(clip):
    image, text = clip
    found = fit_transfer(image[:250], text[:250], n_threads=1)
    assert found.method == "auto: identity (doing nothing wins)"
    assert hit_rate(found, image[250:], text[250:]) == 0.660


@pytest.mark.parametrize("determinant", [1, -1])
def test_clip_a_known_turn_is_recovered(clip, determinant):
    Q = orthogonal(512, determinant=determinant)
    rows = clip.reshape(1000, 512)
    np.testing.assert_allclose(fit_transfer(rows, rows @ Q.T, "procrustes").M, Q, atol=1e-10)


# ---- mfeat: views of the same digits


@pytest.mark.parametrize(
    ("views", "k", "expected", "rho"),
    [(("fac", "pix"), 20, (1.000, 1.000), (0.9993, 0.9987, 0.9981)), (("fac", "pix"), 10, (0.998, 1.000), ()),
     (("zer", "kar"), 10, (0.460, 0.880), (0.9863, 0.9806, 0.9407)),
     (("fou", "kar"), 10, (0.052, 0.418), (0.9227, 0.8900, 0.8384))],
)  # fmt: skip
def test_mfeat_cca(shared_file, views, k, expected, rho):
    digits = np.load(shared_file("mfeat/mfeat.npz"))
    train = np.arange(2000) % 200 < 150
    A, B = (digits[view].astype(float) / digits[view][train].astype(float).std(axis=0) for view in views)
    found = CCA(k, regularization=1e-3).fit(A[train], B[train])
    np.testing.assert_allclose(found.correlations_[: len(rho)], rho, atol=1e-4)
    measured = evaluate.retrieval(*found.transform(A[~train], B[~train]), k=(1, 10), ties="optimistic")
    assert (measured["hit_rate@1"], measured["hit_rate@10"]) == pytest.approx(expected, abs=5e-4)


# ---- spoken against written digits, paired at random within their class


@pytest.mark.heavy
def test_spoken_against_written_digits_by_cca(shared_file):
    sounds, digits = np.load(shared_file("fsdd/fsdd_logmel_20x40.npz")), np.load(shared_file("mfeat/mfeat.npz"))
    test, train = sounds["index"] < 5, np.arange(2000) % 200 < 150
    spoken, written = sounds["label"].astype(int), digits["label"].astype(int)
    step = Standardize().fit(sounds["X"][~test].astype(float))
    step.scale_ = step.scale_ + 1e-6
    audio = step.transform(sounds["X"].astype(float))
    views = [digits[name].astype(float) for name in ("fou", "kar", "zer")]
    image = np.hstack([Standardize().fit(view[train]).transform(view) for view in views])
    rng = np.random.default_rng(0)
    partner = np.array([rng.choice(np.flatnonzero(train & (written == label))) for label in spoken[~test]])
    found = CCA(9, shrinkage=0.1 / 1.1).fit(audio[~test], image[partner])
    a, b = found.transform(audio[test], image[~train])
    truth = spoken[test], written[~train]
    there = evaluate.retrieval(a, b, labels=truth)["map"]
    back = evaluate.retrieval(b, a, labels=truth[::-1])["map"]
    assert (there, back) == pytest.approx((0.916, 0.926), abs=0.015)  # pairs are drawn: .01 either way


# ---- sentences, turned, shuffled and with noise: no pair is known


@pytest.mark.heavy
def test_sentences_without_any_pair(shared_file):
    rows = np.load(shared_file("minilm/docstrings_20k_x384.npy")).astype(float)
    rng = np.random.default_rng(5)
    Q, order = orthogonal(384), rng.permutation(len(rows))
    A, B = (rows[order[:1500]] + 0.015 * rng.standard_normal((1500, 384)) for _ in range(2))
    found = fit_transfer(A, rng.permutation(B @ Q.T), "unsupervised", runs=1)
    others = rows[order[-1000:]]
    assert hit_rate(found, others, others @ Q.T) > 0.98
