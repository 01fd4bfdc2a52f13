"""What a pipeline is given: files, parameters, calls out of order and bad values, with every sentence."""

import json
import re
import subprocess
import sys
import warnings
from typing import ClassVar

import numpy as np
import pytest
from scipy import sparse
from threadpoolctl import threadpool_info, threadpool_limits

from crossmodal_fast.files import FileError, MissingFileError
from crossmodal_fast.fitting import fit_transfer
from crossmodal_fast.matching import METHODS
from crossmodal_fast.pipeline import CrossModalPipeline
from crossmodal_fast.preprocess import PCA, STEPS, Whiten
from modalities import TEST, TRAIN, fitted, loaded, prepared

# ---- files and parameters


def test_paths_are_read(tmp_path):
    for name, rows in TRAIN.items():
        np.save(tmp_path / f"{name}.npy", rows)
    paths = {name: tmp_path / f"{name}.npy" for name in TRAIN}
    pipeline = CrossModalPipeline(["center", "normalize"]).fit({**paths, "image": str(paths["image"])})
    assert isinstance(pipeline.data_["audio"], np.memmap)
    np.testing.assert_array_equal(pipeline.transform(TEST)["audio"], fitted().transform(TEST)["audio"])


def test_a_saved_pipeline_does_the_same(tmp_path):
    steps = {"image": [Whiten("pca", epsilon=0.1), "normalize"], "audio": ["standardize", PCA(np.int64(5))]}
    parameters = {"preprocess": steps, "transfer": {"method": "ridge", "regularization": 2.0}, "shared": "text",
                  "weights": {"image": 2.0}, "k": 3}  # fmt: skip
    pipeline = CrossModalPipeline(**parameters).fit(TRAIN)
    pipeline.save(tmp_path / "pipeline.npz")
    again = CrossModalPipeline.load(tmp_path / "pipeline.npz")
    for name, rows in pipeline.transform(TEST).items():
        np.testing.assert_array_equal(again.transform(TEST)[name], rows)
    first, second = pipeline.run(TEST), again.run(TEST)
    assert first.measures == second.measures
    for direction, alignment in first.alignments.items():
        np.testing.assert_array_equal(second.alignments[direction].pairs, alignment.pairs)
    assert {**again.get_params(), "preprocess": 0} == {**pipeline.get_params(), "preprocess": 0}
    np.testing.assert_array_equal(again.fit(TRAIN).transform(TEST)["image"], pipeline.transform(TEST)["image"])
    with np.load(tmp_path / "pipeline.npz", allow_pickle=False) as archive:
        assert all(archive[name].dtype.kind in "fU" for name in archive)


def test_an_unfitted_pipeline_can_be_saved(tmp_path):
    CrossModalPipeline("center", None).save(tmp_path / "pipeline.npz")
    assert CrossModalPipeline.load(tmp_path / "pipeline.npz").transfer is None


def test_what_cannot_be_saved_or_loaded(tmp_path):
    scaler = pytest.importorskip("sklearn.preprocessing").StandardScaler()
    sentence = f"^preprocess must consist of {', '.join(STEPS)} to be saved, got StandardScaler$"
    with pytest.raises(TypeError, match=sentence):
        CrossModalPipeline([scaler]).save(tmp_path / "pipeline.npz")
    sentence = "^parameters must be plain numbers, names, lists and dicts to be saved, got ndarray$"
    with pytest.raises(TypeError, match=sentence):
        CrossModalPipeline(transfer={"method": "ridge", "sample_weight": np.ones(3)}).save(tmp_path / "pipeline.npz")
    assert list(tmp_path.iterdir()) == []
    fit_transfer(TRAIN["image"], TRAIN["audio"]).save(tmp_path / "map.npz")
    sentence = (
        r"map\.npz' must be a whole file that CrossModalPipeline\.save wrote, got other content without 'pipeline'$"
    )
    with pytest.raises(FileError, match=sentence):
        CrossModalPipeline.load(tmp_path / "map.npz")


def spoiled(tmp_path, **changes):
    """Arrays of a fitted pipeline, some of them replaced."""
    fitted().save(tmp_path / "whole.npz")
    with np.load(tmp_path / "whole.npz") as archive:
        np.savez(tmp_path / "spoiled.npz", **(dict(archive) | changes))
    return tmp_path / "spoiled.npz"


ABOUT = {"params": {"preprocess": []}, "shared": None, "steps": {}, "maps": []}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"pipeline": np.array("{")}, "(Expecting property name enclosed in double quotes: line 1 column 2 (char 1))"),
        ({"pipeline": np.array(json.dumps(ABOUT | {"params": {"preprocess": [], "colour": 1}}))},
         "(CrossModalPipeline.__init__() got an unexpected keyword argument 'colour')"),
        ({"pipeline": np.array(json.dumps(ABOUT | {"maps": [["image", "audio"]] * 9}))}, "without 'training'"),
        ({"step.0.0.mean_": np.array(["x"])}, "(mean_ must hold numbers, got dtype <U1)"),
        ({"map.0.M": np.ones(3)},
         "(M must have shape (d_out, d_in) and bias (d_out,), got (3,) and (12,); "
         "a map without an intercept has a bias of zeros)"),
    ],
)  # fmt: skip
def test_a_file_with_other_content(changes, reason, tmp_path):
    path = spoiled(tmp_path, **changes)
    sentence = f"'{path}' must be a whole file that CrossModalPipeline.save wrote, got other content {reason}"
    with pytest.raises(FileError, match=f"^{re.escape(sentence)}$"):
        CrossModalPipeline.load(path)


def test_parameters_as_in_scikit_learn():
    pipeline = CrossModalPipeline([PCA(3)], k=2)
    assert CrossModalPipeline(**pipeline.get_params()).get_params() == pipeline.get_params()
    assert pipeline.set_params(k=5, metric="dot") is pipeline
    assert (pipeline.k, pipeline.metric) == (5, "dot")
    assert repr(CrossModalPipeline()).startswith("CrossModalPipeline(preprocess='normalize', transfer='ridge', ")
    clone = pytest.importorskip("sklearn.base").clone(pipeline)
    assert repr(clone) == repr(pipeline)


def test_it_imports_without_the_heavy_libraries():
    code = (
        "import sys, crossmodal_fast.pipeline; "
        "heavy = ('numba', 'cupy', 'sklearn', 'scipy.spatial', 'pandas', 'pyarrow'); "
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ---- sentences


SHORT = {"image": TRAIN["image"][:9], "audio": TRAIN["audio"]}
A = TRAIN["image"]
RAGGED = [[0, 1], [1]]
NAN = A.copy()
NAN[3, 1] = np.nan


class DropsRows:
    def fit(self, X):
        return self

    def transform(self, X):
        return X[1:]


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda: CrossModalPipeline().preprocess_data(), RuntimeError,
         "load_data must be called before preprocess_data"),
        (lambda: CrossModalPipeline().run(), RuntimeError, "load_data must be called before run"),
        (lambda: loaded().preprocess_data(fit=False), RuntimeError,
         "fit or preprocess_data() must be called before fitted steps are applied"),
        (lambda: CrossModalPipeline().transform(TEST), RuntimeError,
         "fit or preprocess_data() must be called before fitted steps are applied"),
        (lambda: loaded().knowledge_transfer("image"), RuntimeError,
         "preprocess_data must be called before knowledge_transfer"),
        (lambda: loaded().calculate_similarity("image", "audio"), RuntimeError,
         "preprocess_data must be called before calculate_similarity"),
        (lambda: loaded().match_and_align("image", "audio"), RuntimeError,
         "preprocess_data must be called before match_and_align"),
        (lambda: loaded().evaluate("image", "audio"), RuntimeError, "preprocess_data must be called before evaluate"),
        (lambda: prepared().calculate_similarity("image", "audio"), RuntimeError,
         "knowledge_transfer('image', 'audio') must be called before these two are compared: "
         "they have 12 and 9 columns"),
        (lambda: prepared().knowledge_transfer("image", "audio", fit=False), RuntimeError,
         "knowledge_transfer('image', 'audio') must be fitted before it is applied: leave out fit=False"),
        (lambda: fitted().match_and_align("image", "audio", metric="precomputed"), RuntimeError,
         "calculate_similarity('image', 'audio') must be called before match_and_align(.., metric='precomputed')"),
        (lambda: loaded().load_data([A]), TypeError, "data must be a dict of at least one modality, got list"),
        (lambda: loaded().load_data({}), TypeError, "data must be a dict of at least one modality, got an empty dict"),
        (lambda: fitted().transform(A), TypeError, "data must be a dict of at least one modality, got ndarray"),
        (lambda: loaded({"image": A[0]}), ValueError, "data['image'] must have shape (n, d) with n, d >= 1, got (12,)"),
        (lambda: loaded({"image": A.astype(str)}), TypeError,
         "data['image'] must be bool, integer, float16, bfloat16, float32 or float64, got dtype <U32"),
        (lambda: fitted().run({**TEST, "video": A}), ValueError,
         "data must be one of the modalities image, audio, text, got 'video'"),
        (lambda: CrossModalPipeline(shared="video").fit(TRAIN), ValueError,
         "shared must be one of the modalities image, audio, text, got 'video'"),
        (lambda: prepared().knowledge_transfer("video"), ValueError,
         "source must be one of the modalities image, audio, text, got 'video'"),
        (lambda: prepared().knowledge_transfer("image", "video"), ValueError,
         "target must be one of the modalities image, audio, text, got 'video'"),
        (lambda: fitted().match_and_align("image", "video"), ValueError,
         "target must be one of the modalities image, audio, text, got 'video'"),
        (lambda: fitted().match_and_align("image"), ValueError, "target must be given with metric='cosine', got None"),
        (lambda: fitted().match_and_align(A, "image"), TypeError,
         "source must be a modality or a sequence of them, got an array of shape (120, 12)"),
        (lambda: CrossModalPipeline().fit(SHORT), ValueError,
         "pairs or labels must be loaded for 120 rows of 'audio' and 9 of 'image', got neither"),
        (lambda: loaded(SHORT).match_and_align(["image", "audio"], "audio"), ValueError,
         "source must name modalities with equally many rows, got [9, 120] in image, audio"),
        (lambda: CrossModalPipeline(transfer=None).fit({"a": A, "b": A[:9]}).evaluate("a", "b"), ValueError,
         "pairs or labels must be loaded to evaluate 'a' against 'b', whose rows are not equally many, got neither"),
        (lambda: fitted(fusion="best").match_and_align(["image", "audio"], "text"), ValueError,
         "fusion must be one of concatenate, weighted_sum, sum, mnz, gmnz, anz, max, min, median, product, "
         "reciprocal_rank, isr, log_isr, logn_isr, rbc, borda, condorcet, got 'best'"),
        (lambda: CrossModalPipeline().set_params(neighbours=3), ValueError,
         "parameter must be one of preprocess, transfer, shared, metric, method, k, fusion, weights, control, "
         "got 'neighbours'"),
        (lambda: CrossModalPipeline().fit(SHORT, labels={"image": ["a"] * 9, "audio": ["b"] * 120}), ValueError,
         "labels must have at least one value on both sides, got none in common"),
        (lambda: loaded().load_data(TRAIN, labels={"video": [1]}), ValueError,
         "labels must be for the modalities image, audio, text, got 'video'"),
        (lambda: loaded().load_data(TRAIN, labels={"image": [1]}), ValueError,
         "labels['image'] must have shape (120,), got (1,)"),
        (lambda: loaded().load_data(TRAIN, pairs=[[0, 0]]), ValueError,
         "pairs must be a dict (modality, modality) -> (p, 2) for 3 modalities, got one array"),
        (lambda: loaded().load_data(TRAIN, pairs={("image", "video"): [[0, 0]]}), ValueError,
         "pairs must be for two of the modalities image, audio, text, got ('image', 'video')"),
        (lambda: loaded().load_data(SHORT, pairs=[0, 1]), ValueError,
         "pairs of 'image' and 'audio' must have shape (p, 2) with p >= 1, got (2,)"),
        (lambda: loaded().load_data(SHORT, pairs=[[0.0, 1.0]]), TypeError,
         "pairs of 'image' and 'audio' must be row numbers, got dtype float64"),
        (lambda: loaded().load_data(SHORT, pairs=[[9, 1]]), ValueError,
         "pairs must name rows of 'image' in 0..8, got 9"),
        (lambda: loaded().load_data(SHORT, pairs=[[0, -1]]), ValueError,
         "pairs must name rows of 'audio' in 0..119, got -1"),
        (lambda: loaded().load_data(SHORT, pairs=RAGGED), TypeError,
         "pairs of 'image' and 'audio' must be an array, or lists of one length, got [[0, 1], [1]]"),
        (lambda: loaded({1: A}), TypeError, "data must name each modality by a text, got 1"),
        (lambda: loaded({"image": RAGGED}), TypeError,
         "data['image'] must be an array, or lists of one length, got [[0, 1], [1]]"),
        (lambda: loaded({"image": A.astype(object)}), TypeError,
         "data['image'] must be bool, integer, float16, bfloat16, float32 or float64, got dtype object"),
        (lambda: loaded({"image": np.ma.masked_less(A, 0)}), TypeError,
         "data['image'] must be an array without masked entries, got a masked array; fill it first"),
        (lambda: loaded({"image": sparse.csr_array(A)}), TypeError,
         "data['image'] must be dense, got a SciPy sparse matrix; .toarray() makes it so"),
        (lambda: loaded({"image": A[:0]}), ValueError,
         "data['image'] must have shape (n, d) with n, d >= 1, got (0, 12)"),
        (lambda: loaded({"image": "nowhere.npy"}), MissingFileError,
         "'nowhere.npy' must be an existing file: there is none of this name"),
        (lambda: prepared({**TRAIN, "image": NAN}), ValueError,
         "data['image']: X must be finite, got nan in row 3; remove or fill such rows first"),
        (lambda: fitted().transform({"image": NAN}), ValueError,
         "data['image']: X must be finite, got nan in row 3; remove or fill such rows first"),
        (lambda: fitted().run({**TEST, "image": TEST["audio"]}), ValueError,
         "data['image'] must have 12 columns, as fit saw, got shape (50, 9)"),
        (lambda: fitted(preprocess="normalize").transform({"image": TEST["audio"]}), ValueError,
         "data['image'] must have 12 columns, as fit saw, got shape (50, 9)"),
        (lambda: CrossModalPipeline({"audio": PCA(10)}).fit(TRAIN), ValueError,
         "data['audio']: n_components must be in 1..9 (the rank of the centred X), got 10"),
        (lambda: CrossModalPipeline(DropsRows()).fit(TRAIN), ValueError,
         "data['image']: the result of DropsRows must have the 120 rows that it was given, got 119"),
        (lambda: CrossModalPipeline({"imgae": "center"}).fit(TRAIN), ValueError,
         "preprocess must be one of the modalities image, audio, text, got 'imgae'"),
        (lambda: CrossModalPipeline(None).fit(TRAIN), TypeError,
         "step must be a name or an object with fit and transform, got None; () stands for none"),
        (lambda: CrossModalPipeline("center").fit({name: rows[:1] for name, rows in TRAIN.items()}), ValueError,
         "map 'audio' -> 'image': A must hold rows that differ, got 1 row"),
        (lambda: CrossModalPipeline(transfer="linear").fit(TRAIN), ValueError,
         "map 'audio' -> 'image': method must be one of auto, lstsq, ridge, procrustes, cca, "
         "pls, multistep, identity, mean_shift, self_learning, unsupervised, got 'linear'"),
        (lambda: CrossModalPipeline(transfer=3).fit(TRAIN), TypeError,
         "transfer must be a method, a dict of keywords of fit_transfer or None, got 3"),
        (lambda: prepared().knowledge_transfer("image"), ValueError,
         "target must be another modality than source, got 'image' for both"),
        (lambda: prepared().knowledge_transfer("audio", ["image"], fit=False), ValueError,
         "target must be one of the modalities image, audio, text, got ['image']"),
        (lambda: CrossModalPipeline(control={"threads": 2}).fit(TRAIN), TypeError,
         "control arguments must be among ['backend', 'check_finite', 'devices', 'max_bytes', 'n_threads', "
         "'precision', 'progress'], got 'threads'"),
        (lambda: CrossModalPipeline(control="numpy").fit(TRAIN), TypeError,
         "control must be a dict of control arguments, got 'numpy'"),
        (lambda: fitted(weights={"imgae": 2}).match_and_align("image", "audio"), ValueError,
         "weights must be one of the modalities image, audio, text, got 'imgae'"),
        (lambda: fitted(weights={"image": -2}).match_and_align("image", "audio"), ValueError,
         "weights['image'] must be finite and at least 0, got -2"),
        (lambda: fitted(weights=[1, 2]).match_and_align("image", "audio"), TypeError,
         "weights must be a dict modality -> number, got [1, 2]"),
        (lambda: fitted(fusion=3).match_and_align("image", "audio"), TypeError,
         "fusion must be a name or a dict with method and keywords, got 3"),
        (lambda: fitted(fusion={"method": "concatenate", "k": 3}).match_and_align("image", "audio"), TypeError,
         "fusion must have no keywords with method='concatenate', got k"),
        (lambda: fitted(fusion="weighted_sum").match_and_align(["image", "audio"], "text", mask=None), TypeError,
         "keywords must be control arguments where scores are ready or fused, got mask"),
        (lambda: fitted().match_and_align(["image", "image"], "text"), ValueError,
         "source must name each modality once, got image, image"),
        (lambda: fitted().match_and_align("image", "text", method=["topk"]), ValueError,
         f"method must be one of {', '.join(METHODS)}, got ['topk']"),
        (lambda: fitted().match_and_align("image", "text", k=121), ValueError,
         "k must be in 1..120 (the rows of Y), got 121"),
        (lambda: fitted().match_and_align([1.0, 2.0], metric="precomputed"), ValueError,
         "source must have shape (n, d) with n, d >= 1, got (2,)"),
        (lambda: CrossModalPipeline(control={"max_bytes": 9}).match_and_align(A, metric="precomputed"), ValueError,
         "max_bytes must be at least 384 (one row of 12 scores), got 9"),
        (lambda: fitted().evaluate("image", "audio", metric="precomputed"), RuntimeError,
         "calculate_similarity('image', 'audio') must be called before evaluate(.., metric='precomputed')"),
        (lambda: fitted().run(directions=["image", "audio"]), TypeError,
         "directions must be pairs (source, target), got 'image'"),
        (lambda: fitted().run(directions=[("image", "audio", "text")]), TypeError,
         "directions must be pairs (source, target), got ('image', 'audio', 'text')"),
        (lambda: fitted().run(k="five"), TypeError, "k must be a whole number, got 'five'"),
        (lambda: loaded(labels={"image": RAGGED * 60}), TypeError,
         "labels['image'] must be an array, or lists of one length, got " + repr(RAGGED * 60)[:57] + "..."),
        (lambda: loaded(labels=[None] * 120), TypeError,
         "labels['image'] must be all text or all numbers, got dtype object"),
        (lambda: loaded(labels=[np.nan] * 120), ValueError,
         "labels['image'] must not be NaN, got it in row 0; leave such rows out"),
        (lambda: loaded(labels={"image": [1] * 120, "text": ["1"] * 120}), TypeError,
         "labels must be of one kind on all sides, text or numbers, got int64 in labels['image'] and <U1 in "
         "labels['text']"),
    ],
)  # fmt: skip
def test_sentences(call, error, sentence):
    with pytest.raises(error, match=f"^{re.escape(sentence)}$"):
        call()


def test_a_refused_load_changes_nothing():
    pipeline = fitted()
    data, embeddings = pipeline.data_, pipeline.embeddings_
    with pytest.raises(ValueError, match="labels"):
        pipeline.load_data(TEST, labels={"image": [1]})
    assert pipeline.data_ is data
    assert pipeline.embeddings_ is embeddings


def test_a_refused_fit_changes_nothing():
    pipeline = fitted()
    before = pipeline.run(TEST).measures
    pipeline.set_params(preprocess={"audio": PCA(10)})
    with pytest.raises(ValueError, match="n_components"):
        pipeline.preprocess_data()
    assert pipeline.run(TEST).measures == before


@pytest.mark.parametrize(
    "as_given",
    [list, lambda rows: rows.astype(">f8"), np.asfortranarray, np.matrix, lambda rows: np.repeat(rows, 2, axis=0)[::2]],
    ids=["lists", "swapped", "fortran", "matrix", "strided"],
)
def test_any_form_of_rows_will_do(as_given):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)  # np.matrix
        given = {name: as_given(rows) for name, rows in TRAIN.items()}
    found = CrossModalPipeline(["center", "normalize"]).fit(given).transform(TEST)
    for name, rows in fitted().transform(TEST).items():
        np.testing.assert_allclose(found[name], rows, rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float16, np.int64, np.uint8, bool])
def test_any_dtype_will_do_and_memory_maps_stay(dtype, tmp_path):
    data = {name: rows > 2 if dtype is bool else (20 * np.abs(rows)).astype(dtype) for name, rows in TRAIN.items()}
    for name, rows in data.items():
        np.save(tmp_path / f"{name}.npy", rows)
    mapped = {name: np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in data}
    as_floats = {name: rows.astype(np.float64) for name, rows in data.items()}
    steps = ["standardize", "normalize"]
    found, expected = (CrossModalPipeline(steps).fit(given) for given in (mapped, as_floats))
    assert isinstance(found.data_["image"], np.memmap)
    for name, rows in expected.transform(as_floats).items():
        np.testing.assert_allclose(found.transform(mapped)[name], rows, atol=1e-12 if dtype == np.int64 else 2e-6)


def test_more_columns_than_rows():
    rng = np.random.default_rng(4)
    data = {name: rng.standard_normal((6, 40 + i)) for i, name in enumerate(TRAIN)}
    for method in ("lstsq", "ridge", "procrustes"):
        result = CrossModalPipeline(["center", "pca", "normalize"], method).run(data)
        assert result.measures["audio", "image"]["hit_rate@1"] == 1.0


def test_labels_may_be_text_in_an_array_of_objects():
    words = np.array(list("abcd" * 30), dtype=object)
    as_text = CrossModalPipeline().fit(TRAIN, labels={"image": words, "text": words[::-1].astype(str)})
    numbers = {"image": np.arange(120) % 4, "text": (np.arange(120) % 4)[::-1]}
    as_numbers = CrossModalPipeline().fit(TRAIN, labels=numbers)
    np.testing.assert_array_equal(as_text.maps_["text", "image"].M, as_numbers.maps_["text", "image"].M)
    assert as_text.evaluate("text", "image") == as_numbers.evaluate("text", "image")


def test_a_pair_given_twice_counts_twice_for_the_map_and_once_as_an_answer():
    data = {"image": TRAIN["image"][:30], "audio": TRAIN["audio"][:30]}
    once = np.column_stack([np.arange(30)] * 2)
    doubled = CrossModalPipeline("center").fit(data, pairs=np.concatenate([once, once[:7]]))
    weights = np.where(np.arange(30) < 7, 2.0, 1.0)
    image, audio = doubled.embeddings_["image"], doubled.embeddings_["audio"]
    expected = fit_transfer(audio, image, "ridge", sample_weight=weights)
    np.testing.assert_allclose(doubled.maps_["audio", "image"].M, expected.M, rtol=1e-9, atol=1e-12)
    found = doubled.evaluate("audio", "image")
    doubled.pairs_ = {}
    assert doubled.evaluate("audio", "image") == found


class CountsThreads:
    """A step that notes what BLAS may use while it runs."""

    seen: ClassVar[list[int]] = []

    def fit(self, X):
        self.seen += [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
        return self

    def transform(self, X):
        self.fit(X)
        return X


def test_n_threads_limits_blas_while_steps_and_maps_are_fitted(monkeypatch):
    def fit(*arguments, **keywords):
        CountsThreads().fit(None)
        return fit_transfer(*arguments, **keywords)

    monkeypatch.setattr("crossmodal_fast.pipeline._pipeline.fit_transfer", fit)
    monkeypatch.setattr(CountsThreads, "seen", [])
    with threadpool_limits(2, "blas"):
        pipeline = CrossModalPipeline(CountsThreads(), control={"n_threads": 1}).fit(TRAIN)
        pipeline.transform(TEST)
        assert len(CountsThreads.seen) >= 3 * 2 + 2 + 3, "steps fitted and applied, maps fitted, steps applied"
        assert set(CountsThreads.seen) == {1}
        CountsThreads.seen.clear()
        pipeline.set_params(control=None).fit(TRAIN)
        assert set(CountsThreads.seen) == {2}
