"""Parameters of metrics mean what they mean in SciPy, in every operation and for every block size."""

import numpy as np
import pytest
from scipy.spatial import distance as scipy

import crossmodal_fast as cmf
import judge
from cases import arrays
from least import least_max_bytes

WEIGHTS = np.array([1.0, 0.0, 2.0, 1.0, 0.5, 1.0])
OF_TRUTH_VALUES = ("dice", "rogerstanimoto", "russellrao", "sokalsneath", "yule")
WEIGHTED = (
    "euclidean", "sqeuclidean", "cosine", "correlation", "cityblock", "chebyshev", "canberra", "braycurtis", "hamming",
    "jaccard", *OF_TRUTH_VALUES,
)  # fmt: skip
PARAMETERS = {
    "seuclidean": {"V": np.array([0.5, 1.0, 2.0, 4.0, 1.0, 3.0])},
    "mahalanobis": {"VI": np.diag([0.5, 1.0, 2.0, 4.0, 1.0, 3.0])},
    "minkowski": {"p": 3.0, "w": WEIGHTS},
    "minkowski-2": {"p": 2, "w": WEIGHTS},
    **{metric: {"w": WEIGHTS} for metric in WEIGHTED},
}
FROM_ALL_ROWS = ("seuclidean", "mahalanobis")


def rows(seed=41, m=7, n=40):
    """Positive, with zeros and ties."""
    rng = np.random.default_rng(seed)
    x, y = (np.abs(rng.standard_normal((count, 6))) * (rng.random((count, 6)) < 0.7) for count in (m, n))
    y[n // 2 :] = y[: n - n // 2]
    return x, y


def searched(x, y, value, metric, backend, metric_kwargs=None):
    """Every search orders by these very distances, in the least workspace too."""
    m, n = value.shape
    order = np.argsort(value, axis=1, kind="stable")
    best = np.take_along_axis(value, order, axis=1)
    keywords = {"metric": metric, "metric_kwargs": metric_kwargs, "backend": backend}
    radius = best[:, n // 3]
    ends = (value <= radius[:, None]).sum(axis=1)
    inside = [order[i, : ends[i]] for i in range(m)]
    pairs = np.repeat(np.arange(m), 3), np.tile([0, n // 2, n - 1], m)
    position = np.argsort(order, axis=1)
    least = least_max_bytes(lambda max_bytes: cmf.topk_both(x, y, (n, 1), max_bytes=max_bytes, **keywords))
    for max_bytes in (None, least):
        keywords["max_bytes"] = max_bytes
        judge.same_bits(cmf.topk(x, y, n, **keywords), (best, order), np.float64)
        judge.same_bits(cmf.topk_both(x, y, (n, 1), **keywords)[0], (best, order), np.float64)
        answer = cmf.within(x, y, radius, **keywords)
        law = np.concatenate([[0], np.cumsum(ends)]), np.concatenate(inside), np.concatenate(
            [value[i, inside[i]] for i in range(m)]
        )  # fmt: skip
        judge.same_rows(answer, law, np.float64)
        answer = cmf.ranks(x, y, (np.arange(m + 1) * 3, pairs[1]), **keywords)
        judge.same_ranks(answer, position[pairs] + 1, "index")


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_of_scipy(name, backend):
    x, y = rows()
    metric = name.partition("-")[0]
    given = PARAMETERS[name]
    value = cmf.pairwise_distances(x, y, metric, metric_kwargs=given, backend=backend)
    with np.errstate(all="ignore"):
        expected = scipy.cdist(x, y, metric, **given)
    np.testing.assert_allclose(value, expected, rtol=1e-13, atol=1e-15)
    searched(x, y, value, metric, backend, given)


@pytest.mark.parametrize("metric", ["minkowski", "cityblock", "cosine", "hamming", "jaccard"])
def test_a_weight_of_one_changes_no_distance(metric, backend):
    x, y = rows()
    plain = cmf.pairwise_distances(x, y, metric, backend=backend)
    for ones in (np.ones(6), [1] * 6, np.ones(6, bool)):
        weighted = cmf.pairwise_distances(x, y, metric, metric_kwargs={"w": ones}, backend=backend)
        np.testing.assert_allclose(weighted, plain, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("metric", OF_TRUTH_VALUES)
def test_truth_values_by_scipy(metric, backend):
    x, y = arrays("bool")
    expected = scipy.cdist(x, y, metric)
    np.testing.assert_allclose(cmf.pairwise_distances(x, y, metric, backend=backend), expected, rtol=1e-6)


def test_jaccard_is_of_truth_values(backend):
    """Any number other than zero counts as present, as in SciPy since 1.15; how large it is does not matter."""
    x, y = rows()
    truth = scipy.cdist(x != 0, y != 0, "jaccard")
    for scale in (1.0, -3.0, 1e-300):
        value = cmf.pairwise_distances(scale * x, y, "jaccard", backend=backend)
        np.testing.assert_array_equal(value, truth)
    searched(x, y, truth, "jaccard", backend)


@pytest.mark.parametrize("metric", FROM_ALL_ROWS)
def test_parameters_come_from_all_rows_never_from_a_block(metric, backend):
    rng = np.random.default_rng(42)
    x, y = rng.standard_normal((40, 4)), rng.standard_normal((300, 4)) * [1, 2, 3, 4] + [0, 50, 0, -1000]

    def call(**more):
        return cmf.pairwise_distances(x, y, metric, backend=backend, **more)

    value = call()
    np.testing.assert_allclose(value, scipy.cdist(x, y, metric), rtol=1e-11)
    np.testing.assert_array_equal(call(max_bytes=least_max_bytes(call)), value)
    searched(x[:6], y[:50], cmf.pairwise_distances(x[:6], y[:50], metric, backend=backend), metric, backend)


@pytest.mark.parametrize("metric", FROM_ALL_ROWS)
def test_parameters_of_one_set_come_from_it_alone(metric, backend):
    x = np.random.default_rng(43).standard_normal((30, 4))
    value = cmf.pairwise_distances(x, metric=metric, backend=backend)
    np.testing.assert_allclose(value, scipy.squareform(scipy.pdist(x, metric)), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("metric", FROM_ALL_ROWS)
def test_threads_do_not_show_in_parameters(metric, backend):
    rng = np.random.default_rng(44)
    x, y = rng.standard_normal((50, 70)), rng.standard_normal((3000, 70))
    one = cmf.topk(x, y, 5, metric, n_threads=1, backend=backend)
    for part, other in zip(cmf.topk(x, y, 5, metric, n_threads=2, backend=backend), one, strict=True):
        np.testing.assert_array_equal(part, other)


@pytest.mark.parametrize("base", [2, 2.0, 10, np.float32(3), np.int64(3)])
def test_base_of_jensenshannon(base, backend):
    rng = np.random.default_rng(45)
    x, y = rng.random((5, 9)), rng.random((20, 9))
    value = cmf.pairwise_distances(x, y, "jensenshannon", metric_kwargs={"base": base}, backend=backend)
    expected = [[scipy.jensenshannon(a, b, float(base)) for b in y] for a in x]
    np.testing.assert_allclose(value, expected, rtol=1e-12)
    searched(x, y, value, "jensenshannon", backend, {"base": base})


@pytest.mark.parametrize("base", [0.5, np.inf])
def test_a_base_that_gives_no_distance_is_refused(base, backend):
    """Entropy to a base below 1 is negative, and to infinity 0: every distance would be 0."""
    x, y = rows()
    with pytest.raises(ValueError, match=r"metric_kwargs\['base'\] must be .* got"):
        cmf.pairwise_distances(x, y, "jensenshannon", metric_kwargs={"base": base}, backend=backend)


@pytest.mark.parametrize(("p", "metric"), [(1, "cityblock"), (2, "euclidean"), (np.inf, "chebyshev")])
def test_minkowski_delegates(p, metric, backend):
    x, y = rows()
    value = cmf.pairwise_distances(x, y, "minkowski", metric_kwargs={"p": p}, backend=backend)
    np.testing.assert_array_equal(value, cmf.pairwise_distances(x, y, metric, backend=backend))


@pytest.mark.parametrize(
    "p", [3, np.float32(1.5), *(pytest.param(p, marks=pytest.mark.heavy) for p in (0.5, np.int64(4)))]
)
def test_powers_of_minkowski(p, backend):
    x, y = rows()
    value = cmf.pairwise_distances(x, y, "minkowski", metric_kwargs={"p": p}, backend=backend)
    np.testing.assert_allclose(value, scipy.cdist(x, y, "minkowski", p=p), rtol=1e-13)
    searched(x, y, value, "minkowski", backend, {"p": p})


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_of_a_gallery(name, tmp_path, backend):
    """Kept by add and remove, written and read."""
    x, y = rows()
    metric = name.partition("-")[0]
    given = dict(PARAMETERS[name])
    expected = cmf.topk(x, y, 5, metric, metric_kwargs=given, backend=backend)
    gallery = cmf.Gallery(y[:30], metric, metric_kwargs=given)
    gallery.add(y[30:])
    gallery.add(y, ids=1000 + np.arange(40))
    gallery.remove(1000 + np.arange(40))
    gallery.save(tmp_path / "gallery.npz")
    for one in (gallery, cmf.Gallery.load(tmp_path / "gallery.npz")):
        for part, other in zip(one.topk(x, 5, backend=backend), expected, strict=True):
            np.testing.assert_array_equal(part, other)


@pytest.mark.parametrize(
    ("metric", "given"), [("minkowski", {"p": np.int64(3)}), ("jensenshannon", {"base": np.float32(2)})]
)
def test_numbers_of_numpy_are_written_too(metric, given, tmp_path, backend):
    x, y = rows()
    gallery = cmf.Gallery(y, metric, metric_kwargs=given)
    gallery.save(tmp_path / "gallery.npz")
    loaded = cmf.Gallery.load(tmp_path / "gallery.npz")
    for part, other in zip(loaded.topk(x, 5, backend=backend), gallery.topk(x, 5, backend=backend), strict=True):
        np.testing.assert_array_equal(part, other)


@pytest.mark.parametrize("metric", FROM_ALL_ROWS)
def test_parameters_of_a_gallery_come_from_its_rows_and_the_queries(metric, backend):
    rng = np.random.default_rng(46)
    x, y = rng.standard_normal((6, 4)), rng.standard_normal((60, 4)) * [1, 2, 3, 4]
    gallery = cmf.Gallery(y[:50], metric)
    gallery.add(y[50:])
    for part, other in zip(
        gallery.topk(x, 5, backend=backend), cmf.topk(x, y, 5, metric, backend=backend), strict=True
    ):
        np.testing.assert_array_equal(part, other)
