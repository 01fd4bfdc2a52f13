"""The four steps together: what they compute, step by step and in one go."""

from pathlib import Path

import numpy as np
import pytest

import crossmodal_fast as cmf
from crossmodal_fast import evaluate, fusion
from crossmodal_fast.fitting import fit_transfer
from crossmodal_fast.matching import match
from crossmodal_fast.pipeline import CrossModalPipeline
from crossmodal_fast.preprocess import PCA, Chain, normalize
from modalities import TEST, TRAIN, fitted, world

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


# ---- what is computed


def test_steps_give_what_their_parts_give():
    pipeline = CrossModalPipeline({"image": ["center", PCA(8)], "audio": "standardize"}, metric="cosine")
    pipeline.load_data({"image": TRAIN["image"], "audio": TRAIN["audio"]})
    embeddings = pipeline.preprocess_data()
    image = Chain(["center", PCA(8)]).fit_transform(TRAIN["image"])
    audio = Chain("standardize").fit_transform(TRAIN["audio"])
    np.testing.assert_array_equal(embeddings["image"], image)
    np.testing.assert_array_equal(embeddings["audio"], audio)
    transfer = pipeline.knowledge_transfer("image", "audio", regularization=5.0)
    expected = fit_transfer(image, audio, "ridge", regularization=5.0)
    np.testing.assert_array_equal(transfer.map.M, expected.M)
    np.testing.assert_array_equal(transfer.embeddings, expected.apply(image))
    assert (transfer.source, transfer.target) == ("image", "audio")
    similarity = pipeline.calculate_similarity("image", "audio")
    np.testing.assert_array_equal(similarity.scores, cmf.similarity(transfer.embeddings, audio))
    alignment = pipeline.match_and_align("image", "audio", k=3)
    for found, right in zip(alignment.matches, match(transfer.embeddings, audio, k=3), strict=True):
        np.testing.assert_array_equal(found, right)
    assert pipeline.evaluate("image", "audio") == evaluate.retrieval(transfer.embeddings, audio)


@pytest.mark.parametrize("method", ["csls", "dual_softmax", "greedy", "assignment"])
def test_every_method_of_match_is_one_of_the_pipeline(method):
    pipeline = fitted(shared="audio")
    spaces = pipeline.transform(TRAIN)
    found = pipeline.match_and_align("image", "audio", method=method).matches
    for part, right in zip(found, match(spaces["image"], spaces["audio"], method), strict=True):
        np.testing.assert_array_equal(part, right)
    ready = pipeline.calculate_similarity("image", "audio").scores
    assert len(match(ready, method=method, metric="precomputed").rows) == len(found.rows)


def test_both_directions_are_compared_in_the_target_of_the_map():
    pipeline = fitted(shared="audio")
    there = pipeline.calculate_similarity("image", "audio").scores
    back = pipeline.calculate_similarity("audio", "image").scores
    np.testing.assert_allclose(back, there.T, atol=1e-12)


def test_modalities_meet_in_the_shared_space():
    pipeline = fitted(shared="text")
    assert set(pipeline.maps_) == {("image", "text"), ("audio", "text")}
    image, audio = (pipeline.knowledge_transfer(name, fit=False).embeddings for name in ("image", "audio"))
    np.testing.assert_array_equal(pipeline.calculate_similarity("image", "audio").scores, cmf.similarity(image, audio))
    spaces = pipeline.transform(TRAIN)
    np.testing.assert_array_equal(spaces["image"], image)
    np.testing.assert_array_equal(spaces["text"], pipeline.embeddings_["text"])


def test_the_first_modality_is_shared_unless_said():
    assert set(fitted().maps_) == {("audio", "image"), ("text", "image")}


def test_without_transfer_equal_widths_are_compared_as_they_are():
    data = {"image": TEST["image"], "caption": TEST["image"] + 0.01}
    pipeline = CrossModalPipeline(transfer=None).fit(data)
    assert pipeline.maps_ == {}
    np.testing.assert_allclose(
        pipeline.calculate_similarity("image", "caption").scores,
        normalize(data["image"]) @ normalize(data["caption"]).T,
        atol=1e-12,
    )


@pytest.mark.parametrize(("metric", "sign"), [("cosine", 1), ("dot", 1), ("euclidean", -1), ("cityblock", -1)])
def test_higher_is_better_for_every_metric(metric, sign):
    pipeline = fitted(metric=metric)
    scores = pipeline.calculate_similarity("audio", "image").scores
    mapped = pipeline.knowledge_transfer("audio", fit=False).embeddings
    distances = cmf.pairwise_distances(mapped, pipeline.embeddings_["image"], metric)
    np.testing.assert_allclose(scores, 1 - distances if metric == "cosine" else sign * distances, atol=1e-12)
    found = pipeline.match_and_align("audio", "image", k=1).matches
    np.testing.assert_array_equal(found.columns, scores.argmax(axis=1))
    assert pipeline.evaluate("audio", "image")["hit_rate@1"] == np.mean(scores.argmax(axis=1) == np.arange(120))


def test_a_call_goes_before_the_pipelines_parameters():
    pipeline = fitted(k=4)
    assert len(pipeline.match_and_align("audio", "image").matches.rows) == 4 * 120
    assert len(pipeline.match_and_align("audio", "image", k=2).matches.rows) == 2 * 120
    assert pipeline.knowledge_transfer("audio", "image", method="procrustes").map.method == "procrustes"
    mutual = pipeline.match_and_align("audio", "image", method="mutual", k=1, metric="euclidean")
    assert (mutual.method, mutual.metric) == ("mutual", "euclidean")
    assert len(set(mutual.matches.columns.tolist())) == len(mutual.matches.columns)
    masked = pipeline.match_and_align("audio", "image", mask=np.arange(120) < 4)
    assert masked.matches.columns.max() == 3


def test_k_left_out_is_ten_or_one_for_mutual_or_all_there_are():
    pipeline = fitted()
    assert len(pipeline.match_and_align("audio", "image").matches.rows) == 1200
    assert len(pipeline.match_and_align("audio", "image", method="mutual").matches.rows) <= 120
    pipeline.load_data({name: rows[:4] for name, rows in TEST.items()})
    pipeline.preprocess_data(fit=False)
    assert len(pipeline.match_and_align("audio", "image").matches.rows) == 16


def test_keywords_reach_the_metric():
    pipeline = fitted()
    sides = ("audio", "image")
    keywords = {"metric": "minkowski", "metric_kwargs": {"p": 3}}
    scores = pipeline.calculate_similarity(*sides, **keywords).scores
    mapped = pipeline.knowledge_transfer("audio", fit=False).embeddings
    expected = (np.abs(mapped[:, None] - pipeline.embeddings_["image"]) ** 3).sum(axis=2) ** (1 / 3)
    np.testing.assert_allclose(scores, -expected, rtol=1e-12)
    np.testing.assert_array_equal(pipeline.match_and_align(*sides, k=1, **keywords).matches.columns, scores.argmax(1))
    assert pipeline.evaluate(*sides, **keywords) == pipeline.evaluate(*sides, metric="precomputed")
    pipeline.set_params(fusion="weighted_sum")
    fused = pipeline.evaluate(("audio", "text"), "image", **keywords, n_threads=1)
    assert fused == evaluate.retrieval(
        pipeline.calculate_similarity(("audio", "text"), "image", **keywords).scores, metric="precomputed"
    )


def test_a_modality_is_compared_with_itself_as_it_is():
    pipeline = fitted(shared="text")
    for name, rows in pipeline.embeddings_.items():
        np.testing.assert_array_equal(pipeline.calculate_similarity(name, name).scores, cmf.similarity(rows, rows))


def test_ready_scores_are_matched_as_they_are():
    scores = np.array([[1.0, 5.0, 2.0], [9.0, 0.0, 9.0]])
    found = CrossModalPipeline().match_and_align(scores, metric="precomputed", k=2)
    assert (found.source, found.target) == ("rows", "columns")
    assert found.pairs.tolist() == [[0, 1], [0, 2], [1, 0], [1, 2]]
    assert found.matches.scores.tolist() == [5, 2, 9, 9]
    left, right = found.take(np.array(["a", "b"]), np.array(["x", "y", "z"]))
    assert (left.tolist(), right.tolist()) == (["a", "a", "b", "b"], ["y", "z", "x", "z"])


def test_the_stored_similarity_is_matched_by_name():
    pipeline = fitted()
    pipeline.calculate_similarity("audio", "image", metric="dot")
    stored = pipeline.match_and_align("audio", "image", metric="precomputed", k=2)
    np.testing.assert_array_equal(stored.pairs, pipeline.match_and_align("audio", "image", metric="dot", k=2).pairs)


@pytest.mark.parametrize(
    "change",
    [
        lambda pipeline: pipeline.knowledge_transfer("audio", "image", method="procrustes"),
        lambda pipeline: pipeline.preprocess_data(fit=False),
        lambda pipeline: pipeline.run(TEST, directions=[]),
    ],
    ids=["map", "steps", "data"],
)
def test_stored_scores_are_forgotten_with_what_they_came_from(change):
    pipeline = fitted()
    pipeline.calculate_similarity("audio", "image")
    change(pipeline)
    with pytest.raises(RuntimeError, match="calculate_similarity"):
        pipeline.match_and_align("audio", "image", metric="precomputed")


# ---- pairs and labels


def test_explicit_pairs_are_what_the_map_learns_from_and_what_counts_as_right():
    shuffled = np.random.default_rng(5).permutation(120)
    data = {"image": TRAIN["image"], "audio": TRAIN["audio"][shuffled]}
    pairs = np.column_stack([shuffled, np.arange(120)])
    plain = CrossModalPipeline("center").fit({"image": TRAIN["image"], "audio": TRAIN["audio"]})
    paired = CrossModalPipeline("center").fit(data, pairs=pairs)
    np.testing.assert_allclose(paired.maps_["audio", "image"].M, plain.maps_["audio", "image"].M, rtol=1e-8, atol=1e-10)
    assert paired.evaluate("audio", "image") == pytest.approx(plain.evaluate("audio", "image"))
    assert paired.evaluate("image", "audio") == pytest.approx(plain.evaluate("image", "audio"))
    named = CrossModalPipeline("center").fit(data, pairs={("audio", "image"): pairs[:, ::-1]})
    np.testing.assert_allclose(named.maps_["audio", "image"].M, paired.maps_["audio", "image"].M, rtol=1e-10)


def test_several_partners_and_rows_without_one():
    pipeline = CrossModalPipeline("center", {"method": "lstsq"})
    pipeline.fit({"image": TRAIN["image"], "audio": TRAIN["audio"]}, pairs=[[0, 0], [0, 1], [1, 1], [5, 4], [0, 1]])
    with pytest.raises(ValueError, match="every query must have a positive, got 117 without"):
        pipeline.evaluate("image", "audio")
    assert pipeline.evaluate("image", "audio", empty="skip")["queries"] == 3
    image, audio = pipeline.embeddings_["image"], pipeline.knowledge_transfer("audio", fit=False).embeddings
    expected = evaluate.retrieval(image[[0, 1, 5]], audio, (np.array([0, 2, 3, 4]), np.array([0, 1, 1, 4])))
    assert pipeline.evaluate("image", "audio", empty="skip") == pytest.approx(expected)


def test_labels_pair_rows_of_different_numbers():
    labels = {"image": np.arange(120) % 5, "audio": np.arange(90) % 5}
    centres = np.random.default_rng(3).standard_normal((5, 9)) * 4
    data = {"audio": centres[labels["audio"]] + TRAIN["audio"][:90], "image": centres[labels["image"]] @ np.eye(9, 12)}
    pipeline = CrossModalPipeline("center").fit(data, labels=labels)
    image, audio = (pipeline.embeddings_[name] for name in ("image", "audio"))
    found = pipeline.evaluate("image", "audio")
    mapped = pipeline.knowledge_transfer("image", fit=False).embeddings
    assert found == evaluate.retrieval(mapped, audio, labels=(labels["image"], labels["audio"]))
    assert found["map"] > 2 * evaluate.chance(90, 18)["map"]
    alone = pipeline.evaluate("image", "image", exclude_self=True)  # the single-modality result
    assert alone == evaluate.retrieval(image, image, labels=(labels["image"],) * 2, exclude_self=True)


def test_equal_labels_row_by_row_leave_the_rows_paired():
    labels = np.arange(120) % 5
    with_labels = CrossModalPipeline().fit(TRAIN, labels=labels)
    np.testing.assert_array_equal(
        with_labels.maps_["text", "image"].M, CrossModalPipeline().fit(TRAIN).maps_["text", "image"].M
    )
    assert (
        with_labels.evaluate("text", "image")["map"] != CrossModalPipeline().fit(TRAIN).evaluate("text", "image")["map"]
    )


@pytest.mark.parametrize("method", ["lstsq", "ridge", "procrustes"])
def test_rows_learn_from_all_rows_of_their_label(method):
    left, right = np.array(list("abcabxcab")), np.array(list("ccbaac"))  # nothing to the right is an x
    data = {"image": TRAIN["image"][:9, :4], "audio": TRAIN["audio"][:6, :4]}
    i, j = np.nonzero(left[:, None] == right)
    known = int((left != "x").sum())
    options = {"regularization": 3.0 * len(i) / known} if method == "ridge" else {}
    expected = fit_transfer(data["image"][i], data["audio"][j], method, **options)
    given = {"regularization": 3.0} if method == "ridge" else {}
    pipeline = CrossModalPipeline((), {"method": method, **given}, shared="audio")
    found = pipeline.fit(data, labels={"image": left, "audio": right}).maps_["image", "audio"]
    np.testing.assert_allclose(found.M, expected.M, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(found.bias, expected.bias, rtol=1e-8, atol=1e-10)


def test_matches_can_train_the_next_map():
    pipeline = fitted(shared="image")
    alignment = pipeline.match_and_align("audio", "image", method="mutual")
    again = pipeline.knowledge_transfer("audio", "image", pairs=alignment.pairs)
    audio, image = alignment.take(pipeline.embeddings_["audio"], pipeline.embeddings_["image"])
    np.testing.assert_array_equal(again.map.M, fit_transfer(audio, image, "ridge").M)


# ---- several modalities on one side


def test_two_modalities_ask_together():
    pipeline = fitted(shared="text", weights={"image": 3.0, "audio": 0.5})
    fused = pipeline.calculate_similarity(["image", "audio"], "text").scores
    single = [pipeline.calculate_similarity(name, "text").scores for name in ("image", "audio")]
    np.testing.assert_allclose(fused, fusion.weighted_sum(single, [3.0, 0.5]), atol=1e-12)
    found = pipeline.match_and_align(["image", "audio"], "text", k=1)
    assert found.source == ("image", "audio")
    np.testing.assert_array_equal(found.matches.columns, fused.argmax(axis=1))
    back = pipeline.calculate_similarity("text", ("image", "audio")).scores
    np.testing.assert_allclose(back, fused.T, atol=1e-12)


@pytest.mark.parametrize(
    ("parameter", "fuse"),
    [
        ("weighted_sum", fusion.weighted_sum),
        ({"method": "weighted_sum", "normalizer": "zmuv"}, lambda s, w: fusion.weighted_sum(s, w, normalizer="zmuv")),
        ("reciprocal_rank", fusion.reciprocal_rank_fusion),
        ({"method": "reciprocal_rank", "k": 5}, lambda s, w: fusion.reciprocal_rank_fusion(s, w, k=5)),
        ("borda", lambda s, w: fusion.fuse(s, w, method="borda")),
    ],
    ids=["weighted sum", "weighted sum, zmuv", "reciprocal rank", "reciprocal rank, k = 5", "borda"],
)
def test_late_fusions(parameter, fuse):
    pipeline = fitted(shared="text", fusion=parameter, weights={"image": 2.0})
    expected = fuse([pipeline.calculate_similarity(name, "text").scores for name in ("image", "audio")], [2.0, 1.0])
    sides = ("image", "audio"), "text"
    np.testing.assert_allclose(pipeline.calculate_similarity(*sides).scores, expected, rtol=1e-12)
    found = pipeline.match_and_align(*sides, k=2).matches
    np.testing.assert_array_equal(found.columns, match(expected, k=2, metric="precomputed").columns)
    assert pipeline.evaluate(*sides) == evaluate.retrieval(expected, metric="precomputed")


def test_two_noisy_views_do_better_than_one():
    pipeline = CrossModalPipeline("center", {"method": "lstsq"}, shared="text").fit(world(noise=0.8))
    pipeline.run(world(50, seed=200, noise=0.8))
    together = pipeline.evaluate(("image", "audio"), "text")["mrr"]
    assert together > max(pipeline.evaluate(name, "text")["mrr"] for name in ("image", "audio"))


# ---- in one go


def test_run_applies_what_fit_learned():
    pipeline = fitted(shared="text")
    before = {name: found.M.copy() for name, found in pipeline.maps_.items()}
    result = pipeline.run(TEST)
    assert set(result.alignments) == set(result.measures) == {
        (a, b) for a in TEST for b in TEST if a != b
    }  # fmt: skip
    for name, found in pipeline.maps_.items():
        np.testing.assert_array_equal(found.M, before[name])
    np.testing.assert_array_equal(
        pipeline.embeddings_["audio"], Chain(["center", "normalize"]).fit(TRAIN["audio"]).transform(TEST["audio"])
    )
    step_by_step = fitted(shared="text")
    step_by_step.load_data(TEST)
    step_by_step.preprocess_data(fit=False)
    assert result.measures["image", "audio"] == step_by_step.evaluate("image", "audio")
    np.testing.assert_array_equal(
        result.alignments["image", "text"].pairs, step_by_step.match_and_align("image", "text").pairs
    )
    assert result.measures["image", "audio"]["hit_rate@1"] > 0.8


def test_run_fits_first_where_nothing_is_fitted():
    pipeline = CrossModalPipeline(["center", "normalize"])
    assert pipeline.run(TRAIN).measures == fitted().run(TRAIN).measures
    pipeline.load_data(TEST)
    assert pipeline.run(directions=[("audio", "image")]).measures.keys() == {("audio", "image")}


def test_run_of_chosen_directions_and_options():
    result = fitted().run(TEST, directions=[(["audio", "text"], "image")], k=(2,), ties="optimistic")
    assert list(result.alignments) == [(("audio", "text"), "image")]
    assert "hit_rate@2" in result.measures[("audio", "text"), "image"]


def test_run_measures_only_where_the_truth_is_known():
    result = fitted().run({"image": TEST["image"][:40], "audio": TEST["audio"]})
    assert set(result.alignments) == {("image", "audio"), ("audio", "image")}
    assert result.measures == {}


def test_transform_leaves_the_loaded_rows_alone():
    pipeline = fitted()
    loaded = pipeline.data_
    assert pipeline.transform({"audio": TEST["audio"]})["audio"].shape == (50, 12)
    assert pipeline.data_ is loaded


def test_fitting_steps_again_forgets_the_maps():
    pipeline = fitted()
    pipeline.preprocess_data()
    assert pipeline.maps_ == {}


def test_float32_stays_float32():
    data = {name: rows.astype(np.float32) for name, rows in TRAIN.items()}
    pipeline = CrossModalPipeline(["center", "whiten", "normalize"]).fit(data)
    assert {rows.dtype for rows in pipeline.transform(data).values()} == {np.dtype(np.float32)}
    assert pipeline.calculate_similarity("audio", "image").scores.dtype == np.float32


def test_control_reaches_every_operation():
    pipeline = CrossModalPipeline(transfer=None, control={"backend": "abacus"})
    pipeline.load_data({"a": TEST["image"], "b": TEST["image"]})
    with pytest.raises(ValueError, match="backend"):
        pipeline.preprocess_data()
    pipeline.set_params(control=None).preprocess_data()
    pipeline.set_params(control={"backend": "abacus"})
    for call in (pipeline.calculate_similarity, pipeline.match_and_align, pipeline.evaluate):
        with pytest.raises(ValueError, match="backend"):
            call("a", "b")
    with pytest.raises(ValueError, match="backend"):
        pipeline.knowledge_transfer("a", "b")


# ---- real data


def test_wikipedia_through_the_pipeline():
    loadmat = pytest.importorskip("scipy.io").loadmat
    folder = DATA / "wikipedia"
    if not (folder / "raw_features.mat").exists():
        pytest.skip(f"{folder / 'raw_features.mat'} is absent")
    features = loadmat(folder / "raw_features.mat")
    labels = {
        part: np.array([int(line.split("\t")[2]) for line in (folder / f"{name}.list").read_text().splitlines()])
        for part, name in {"tr": "trainset_txt_img_cat", "te": "testset_txt_img_cat"}.items()
    }
    train, test = ({"image": features[f"I_{part}"], "text": features[f"T_{part}"]} for part in ("tr", "te"))
    centred = train["image"] - train["image"].mean(axis=0)
    ridge = {"method": "ridge", "regularization": 1e-3 * float((centred**2).sum()) / 128}
    pipeline = CrossModalPipeline("center", ridge, shared="text").fit(train, labels=labels["tr"])
    result = pipeline.run(test, labels=labels["te"])
    assert result.measures["image", "text"]["map"] == pytest.approx(0.2746, abs=5e-4)
    assert result.measures["text", "image"]["map"] == pytest.approx(0.2164, abs=5e-4)


def test_clip_through_the_pipeline():
    path = DATA / "clip500" / "features_clip.npy"
    if not path.exists():
        pytest.skip(f"{path} is absent")
    image, text = np.load(path)
    result = CrossModalPipeline(transfer=None).run({"image": image, "text": text}, ties="optimistic")
    assert result.measures["image", "text"]["hit_rate@1"] == 0.552
    assert result.measures["text", "image"]["hit_rate@1"] == 0.506
