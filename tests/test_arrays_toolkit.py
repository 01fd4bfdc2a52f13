"""The toolkit takes arrays as the engine does; rows and pairs come back as those were, measures as numbers."""

import tracemalloc

import numpy as np
import pytest
from scipy import sparse

import crossmodal_fast as cmf
from crossmodal_fast import evaluate, files, fitting, fusion, preprocess
from foreign import MATRICES, OnDevice, library

RNG = np.random.default_rng(223)
A, B = (RNG.standard_normal((24, 4)).astype(np.float32) for _ in range(2))
SCORES = RNG.random((24, 24)).astype(np.float32)
SOUND = RNG.standard_normal(900).astype(np.float32)
MAP, SHIFT = RNG.standard_normal((4, 4)).astype(np.float32), np.arange(4, dtype=np.float32)
LEARNED = cmf.fit_transfer(A, B, method="ridge")
NUMPY = {"backend": "numpy"}
FORMS = ("dlpack", "device", "csr", "csc", "pandas", "arrow-lists", "arrow-table", "torch", "jax", "tensorflow")
OWN = ("device", "torch", "jax", "tensorflow")  # that results are made of


def lists(of):
    return [cmf.match(of(rows), of(B), k=3, **NUMPY) for rows in (A, A + 1)]


ROWS = {
    "match": lambda of: cmf.match(of(A), of(B), k=2, **NUMPY),
    "match ready scores": lambda of: cmf.match(of(SCORES), method="mutual", metric="precomputed", **NUMPY),
    "pairs": lambda of: cmf.match(of(A), of(B), **NUMPY).pairs,
    "csls": lambda of: cmf.match(of(A), of(B), "csls", neighbours=3, **NUMPY),
    "inverted_softmax": lambda of: cmf.match(of(A), of(B), "inverted_softmax", bank=of(A[:9]), **NUMPY),
    "nicdm": lambda of: cmf.match(of(A), of(B), "nicdm", neighbours=3, **NUMPY),
    "assignment": lambda of: cmf.match(of(A), of(B), "assignment", **NUMPY),
    "its proof": lambda of: vars(cmf.match(of(A), of(B), "assignment", **NUMPY))["u"],
    "correction": lambda of: cmf.matching.correction(of(A), of(B), neighbours=3, **NUMPY),
    "match_segments": lambda of: cmf.match_segments(
        of(A), of(B), of(np.array([0, 9, 24])), of(np.array([0, 12, 24])), "mutual", **NUMPY
    ),
    "TransferMap.apply": lambda of: LEARNED.apply(of(A), **NUMPY),
    "TransferMap": lambda of: cmf.TransferMap(of(MAP), of(SHIFT)).transform(of(A)),
    "CCA": lambda of: fitting.CCA(n_components=2).fit_transform(of(A), of(B)),
    "normalize": lambda of: preprocess.normalize(of(A)),
    "Whiten": lambda of: preprocess.Whiten().fit_transform(of(A)),
    "its inverse": lambda of: preprocess.Whiten().fit(of(A)).inverse_transform(of(B)),
    "partial_fit": lambda of: preprocess.PCA(2).partial_fit(of(A)).partial_fit(of(B)).transform(of(A)),
    "Chain": lambda of: preprocess.Chain(["center", "normalize"]).fit_transform(of(A)),
    "no step": lambda of: preprocess.Chain().transform(of(A)),
    "GapShift": lambda of: preprocess.GapShift().fit(of(A), of(B)).transform(of(A), of(B)),
    "LogMel": lambda of: preprocess.LogMel(8000).sound(of(SOUND)),
    "stretched": lambda of: preprocess.stretched(of(A), 7),
    "concatenate": lambda of: fusion.concatenate([of(A), of(B)], of(np.array([1.0, 3.0]))),
    "hadamard": lambda of: fusion.hadamard(iter([of(A), of(B)])),
    "GCCA": lambda of: fusion.GCCA(2).fit([of(A), of(B)]).transform([None, of(B)]),
    "fused scores": lambda of: fusion.weighted_sum([of(SCORES), of(SCORES.T)], normalizer="rank"),
    "fused lists": lambda of: fusion.reciprocal_rank_fusion(lists(of)),
}  # fmt: skip

NUMBERS = {
    "fit_transfer": lambda of: cmf.fit_transfer(of(A), of(B), method="ridge", sample_weight=of(np.arange(24.0))).M,
    "statistics": lambda of: cmf.fit_transfer(fitting.TransferStatistics().partial_fit(of(A), of(B)), method="lstsq").M,
    "report": lambda of: LEARNED.report(rows=of(A), targets=of(B))["margins"],
    "retrieval": lambda of: evaluate.retrieval(of(A), of(B), of(np.arange(24)), **NUMPY)["mrr"],
    "labels": lambda of: evaluate.retrieval(of(A), of(B), labels=(of(np.arange(24) % 5), of(np.arange(24) % 5)))["map"],
    "ranks": lambda of: evaluate.mrr(of(np.arange(1, 9))),
    "gap": lambda of: evaluate.modality_gap(of(A), of(B)),
    "cka": lambda of: evaluate.cka(of(A), of(B)),
    "learn_weights": lambda of: fusion.learn_weights([of(SCORES), of(np.eye(24, dtype="f4"))], of(np.arange(24))),
}


class Sparse:
    """A step of somebody else's."""

    def fit(self, X):
        return self

    def transform(self, X):
        return sparse.csr_array(X)


def parts_of(found):
    return [part for side in found for part in parts_of(side)] if isinstance(found, tuple) else [found]


def as_numpy(found):
    return found.fetched() if isinstance(found, OnDevice) else np.asarray(found)


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("form", FORMS)
def test_rows_and_pairs(form, name):
    of, call = MATRICES[form], ROWS[name]
    if name == "TransferMap" and form in ("csr", "csc"):
        with pytest.raises(TypeError, match=r"M must be dense, got a SciPy sparse matrix; .toarray[(][)] makes it so"):
            call(of)
        return
    expected, found = call(lambda rows: rows), call(of)
    assert type(found) is type(expected) or not isinstance(expected, tuple)
    kind = type(of(A)) if form in OWN else np.ndarray
    for part, right in zip(parts_of(found), parts_of(expected), strict=True):
        assert type(part) is kind
        narrow = right.astype(right.dtype.name.replace("64", "32")) if form == "jax" else right
        assert as_numpy(part).dtype == narrow.dtype
        np.testing.assert_allclose(as_numpy(part), narrow, rtol=1e-12, atol=1e-12)  # BLAS reads columns otherwise


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("form", FORMS)
def test_what_is_learned_and_measured(form, name):
    expected, found = (NUMBERS[name](of) for of in (lambda rows: rows, MATRICES[form]))
    assert type(found) is type(expected)
    np.testing.assert_array_equal(found, expected)


def test_a_diagnosis():
    expected = cmf.diagnose(A, B).recommendation
    assert [cmf.diagnose(of(A), of(B)).recommendation for of in (OnDevice, sparse.csr_array)] == [expected] * 2


@pytest.mark.parametrize(
    "learn",
    [lambda X: preprocess.PCA(3).fit_transform(X), lambda X: preprocess.Center().fit(X).mean_],
    ids=["PCA", "mean"],
)
def test_sparse_rows_are_learned_from_in_blocks(learn, monkeypatch):
    rows = sparse.random_array((4000, 100), density=0.02, rng=np.random.default_rng(7), dtype=np.float32).tocsr()
    expected = learn(rows.toarray())
    monkeypatch.setattr(preprocess._rows, "BLOCK_BYTES", 1 << 18)
    tracemalloc.start()
    found = learn(rows)
    peak = tracemalloc.get_traced_memory()[1] - found.nbytes
    tracemalloc.stop()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert peak < 4000 * 100 * 8 / 2, "all rows were dense at once"


def test_a_step_may_give_sparse_rows():
    chain = preprocess.Chain([Sparse(), "normalize"])
    np.testing.assert_array_equal(chain.fit_transform(A), preprocess.normalize(A))
    assert type(preprocess.Chain(Sparse()).transform(A)) is np.ndarray


@pytest.mark.parametrize("form", ["device", "pandas", "torch"])
def test_files(form, tmp_path):
    of = MATRICES[form]
    files.write_array(tmp_path / "rows.npy", of(A))
    np.testing.assert_array_equal(np.load(tmp_path / "rows.npy"), A)
    files.write_table(tmp_path / "pairs.csv", {"query": of(np.arange(3)), "gallery": of(np.arange(3))})
    assert files.read_pairs(tmp_path / "pairs.csv").tolist() == [[0, 0], [1, 1], [2, 2]]


def test_gradients_are_refused():
    rows = library("torch").from_numpy(A.copy()).requires_grad_()
    for call in (preprocess.normalize, lambda X: cmf.match(X, B), lambda X: fitting.CCA().fit(X, B), LEARNED.apply):
        with pytest.raises(TypeError, match="must not require gradients"):
            call(rows)
