"""Numbers near the ends of float64: the right answer without a warning, or one sentence."""

import re

import numpy as np
import pytest

import crossmodal_fast as cmf
from crossmodal_fast import evaluate, fitting, fusion, match

pytestmark = pytest.mark.filterwarnings("error")

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((14, 5)), RNG.standard_normal((14, 5))
SIZES = [1e300, 1e160, 1e30, 1e-30, 1e-170, 1e-300]


@pytest.mark.parametrize("size", SIZES)
def test_answers_do_not_depend_on_the_size(size):
    induced, plain = fitting.induced(X * size, Y / size), fitting.induced(X, Y)
    assert induced.similarity == pytest.approx(plain.similarity, rel=1e-12)
    assert evaluate.modality_gap(X * size, Y * size) == pytest.approx(size * evaluate.modality_gap(X, Y), rel=1e-12)
    gap = evaluate.alignment(X * size, Y * size, a=1.0)
    assert gap == pytest.approx(size * evaluate.alignment(X, Y, a=1.0), rel=1e-12)
    near = {"k": 3, "backend": "numpy"}
    for method in ("nicdm", "local_scaling", "mutual_proximity"):
        scaled = match(X * size, Y * size, method, metric="cosine", **near)
        assert (scaled.columns == match(X, Y, method, metric="cosine", **near).columns).all()


def test_a_mean_of_powers_that_float64_cannot_hold_is_infinite():
    assert evaluate.alignment(X * 1e200, Y) == np.inf


def test_a_prior_that_is_far_too_large():
    found = cmf.fit_transfer(X * 1e300, Y, "ridge", prior="procrustes")
    assert np.isfinite(found.M).all()


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (
            lambda: cmf.TransferMap(np.eye(2) * 1e-310, np.zeros(2)).inverse(),
            "M must have an inverse that float64 holds, got entries up to 1e-310",
        ),
        (
            lambda: fitting.CCA().fit(X, Y * 1e-310),
            "A and B must be of sizes that float64 divides by, got 2 and",
        ),
        (
            lambda: fusion.GCCA(2).fit([X, Y * 1e-310]),
            "views[1] must vary by more than float64 needs to divide by it, got 4",
        ),
        (
            lambda: fusion.learn_weights([X[:5] * 1e160, Y[:5]], np.arange(5)),
            "scores must have squares that float64 holds to learn weights, got larger ones; normalise them",
        ),
        (
            lambda: match(X * 1e160, Y, "nicdm", metric="euclidean"),
            "scores must be finite for a method that computes with them, got -inf",
        ),
        (
            lambda: match(X * 1e160, Y, "mutual_proximity", metric="euclidean"),
            "scores must be finite for a method that computes with them, got -inf",
        ),
    ],
)
def test_sentences(call, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        call()
