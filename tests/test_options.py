"""Options of other types and sizes than the docstrings name: a sentence, wherever they are used or not."""

import re

import numpy as np
import pytest

import crossmodal_fast as cmf
from crossmodal_fast import evaluate, fitting, fusion, match, matching, preprocess

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((14, 5)), RNG.standard_normal((11, 5))
B, POINT, FIRST = X[:, :4] + 0.1, np.array(2), np.zeros(14, int)
SCORES = [X[:5], X[5:10]]


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda: match(X, Y, "sinkhorn", levels=65), ValueError, "levels must be at most 64, got 65"),
        (lambda: evaluate.retrieval(X, Y, FIRST, metric=POINT[None]), ValueError, "metric must be one of"),
        (lambda: evaluate.retrieval(X, Y, FIRST, k=POINT), TypeError, "k must be a sequence, got array(2)"),
        (lambda: evaluate.retrieval(X, Y, FIRST, k=b"5"), TypeError, "k must be a whole number, got b'5'"),
        (
            lambda: evaluate.retrieval(X, Y, FIRST, metrics=POINT),
            TypeError,
            "metrics must be names of measures, got array(2)",
        ),
        (
            lambda: evaluate.retrieval(X, Y, FIRST, exclude_self=None),
            ValueError,
            "exclude_self must be True or False, got None",
        ),
        (
            lambda: evaluate.from_ranks([1], 3, "mrr", per_query="no"),
            ValueError,
            "per_query must be True or False, got 'no'",
        ),
        (lambda: fusion.fuse("ab"), TypeError, "scores must be a sequence, got 'ab'"),
        (lambda: fusion.concatenate(POINT), TypeError, "views must be a sequence, got array(2)"),
        (lambda: fusion.learn_weights(SCORES, measure=3), TypeError, "measure must be a text, got 3"),
        (lambda: cmf.fit_transfer(X, B, "ridge", metric="x"), ValueError, "metric must be one of"),
        (lambda: fitting.RidgePath(X, B).best(metric=3), ValueError, "metric must be one of"),
        (lambda: cmf.TransferMap(np.eye(2), np.zeros(2), 3), TypeError, "method must be a text, got 3"),
        (lambda: matching.correction(X, Y, metric=POINT[None]), ValueError, "metric must be one of"),
        (
            lambda: preprocess.Chain(POINT),
            TypeError,
            "step must be a name or an object with fit and transform, got array(2); () stands for none",
        ),
        (
            lambda: cmf.CrossModalPipeline(shared="").fit({"a": X, "b": B}),
            ValueError,
            "shared must be one of the modalities a, b, got ''",
        ),
        (
            lambda: cmf.CrossModalPipeline(metric=POINT[None]).fit({"a": X, "b": B}).run(),
            ValueError,
            "metric must be one of",
        ),
    ],
)
def test_sentences(call, error, sentence):
    with pytest.raises(error, match=re.escape(sentence)):
        call()


@pytest.mark.filterwarnings("error")
def test_uniformity_where_distance_does_not_count():
    assert evaluate.uniformity(X, t=0) == 0.0
