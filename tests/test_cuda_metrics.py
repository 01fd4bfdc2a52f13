"""`topk(..., backend="cuda")` by every metric on the emulator: the bits of NumPy."""

import re

import numpy as np
import pytest

import cases
import crossmodal_fast as cmf
import simt
from crossmodal_fast.kernels.tiles.cuda import search
from crossmodal_fast.kernels.tiles.cuda.derived import INPUT, WAY
from searches import border, crowd, crowd_filters, everything
from searches import same as judged
from simt.driver import Emulated
from test_cuda_search import emulated  # noqa: F401 - a fixture

pytestmark = pytest.mark.skipif(simt.obstacle() is not None, reason=str(simt.obstacle()))

RNG = np.random.default_rng(51)
OTHERS = tuple(name for name in cases.METRICS if name not in ("euclidean", "sqeuclidean", "cosine", "dot"))


EXACT = tuple(name for name in OTHERS if name not in ("correlation", "minkowski", "jensenshannon"))
SELDOM_DOUBLE = pytest.param(np.float64, marks=pytest.mark.heavy)


def every(*usual):
    """Parameters of a test: every metric that is not the scan's own, all but the usual ones heavy."""
    return [pytest.param(name, marks=() if name in usual else pytest.mark.heavy) for name in OTHERS]


def same(x, y, k, metric, **keywords):
    keywords["metric_kwargs"] = cases.metric_kwargs(metric)
    found, wanted = (
        cmf.topk(x, y, k, metric, backend=backend, return_stats=True, **keywords) for backend in ("cuda", "numpy")
    )
    np.testing.assert_array_equal(found[1], wanted[1])
    np.testing.assert_array_equal(found[0], wanted[0], strict=True)  # NaN is NaN, of either sign
    return found[2]


def positive(m, n, d, dtype=np.float32):
    return tuple(np.abs(RNG.standard_normal((rows, d))).astype(dtype) for rows in (m, n))


@pytest.fixture
def short_lists(monkeypatch):
    monkeypatch.setattr(search, "LEAST_CAPACITY", 8)


@pytest.mark.parametrize("metric", every("correlation", "chebyshev", "jensenshannon"))
@pytest.mark.parametrize("dtype", [np.float32, SELDOM_DOUBLE])
def test_the_bits_are_those_of_numpy(metric, dtype, emulated):  # noqa: F811
    x, y = positive(5, 900, 20, dtype)
    driver = emulated()
    stats = same(x, y, 4, metric)
    assert not np.any(stats.widened)
    equal = metric in ("hamming", "jaccard")  # every row is at the same distance
    assert stats.candidates.max() <= (900 if equal else 300)
    assert ("direct" in driver.launched) == (metric != "correlation")
    assert ("rerank" in driver.launched) == (metric not in ("minkowski", "jensenshannon"))


HARD = "duplicates-12x20x16x5", "zero-rows", "huge-row-1e30", "subnormal-1e-42", "no-query", "normal-8x40x9"


@pytest.mark.parametrize("metric", every("correlation", "chebyshev", "jensenshannon"))
@pytest.mark.parametrize(
    "names", [HARD, pytest.param(tuple(cases.CASES), marks=pytest.mark.heavy)], ids=["some", "all"]
)
def test_hard_rows_give_the_same_bits(names, metric, emulated, short_lists):  # noqa: F811
    emulated()
    for name in names:
        x, y = cases.arrays(name, metric)
        same(x, y, min(3, len(y)), metric, check_finite=False)


@pytest.mark.parametrize("metric", [*every("chebyshev"), pytest.param("euclidean", marks=pytest.mark.heavy)])
@pytest.mark.parametrize("name", ["none", "rows", "pairs", "bias"])
def test_masks_exclusions_and_biases(name, metric, emulated, short_lists):  # noqa: F811
    x, y = (np.abs(rows) for rows in crowd(m=9, n=180))
    emulated()
    same(x, y, 4, metric, **crowd_filters(len(x), len(y))[name])


@pytest.mark.parametrize("metric", every("chebyshev"))
def test_parts_blocks_and_a_kept_gallery(metric, emulated, monkeypatch):  # noqa: F811
    monkeypatch.setattr(search, "QUERY_ROWS", 3)
    monkeypatch.setattr(search, "PASSING_ROWS", 3)
    monkeypatch.setattr(search, "LEAST_ROWS", 64)
    x, y = positive(7, 400, 12)
    keywords = {"metric_kwargs": cases.metric_kwargs(metric)}
    driver = emulated()
    wanted = cmf.topk(x, y, 5, metric, backend="numpy", **keywords)
    gallery = cmf.Gallery(y[:250], metric, **keywords)
    gallery.topk(x, 5, backend="cuda")
    gallery.add(y[250:])
    found = gallery.topk(x, 5, backend="cuda")
    np.testing.assert_array_equal(found.indices, wanted.indices)
    np.testing.assert_array_equal(found.distances, wanted.distances)
    plans, plan = [], search.plan
    monkeypatch.setattr(search, "plan", lambda *sizes: plans.append(plan(*sizes)) or plans[-1])
    driver.free = 1
    with pytest.raises(ValueError, match="the device must have") as refused:
        cmf.topk(x, y, 5, metric, backend="cuda", **keywords)
    driver.free = int(re.search(r"have (\d+) bytes", str(refused.value))[1]) * 3 // 2
    same(x, y, 5, metric)
    assert [len(found.groups(len(y))) > 2 for found in plans] == [True]


EUCLIDEAN = pytest.param("euclidean", marks=pytest.mark.heavy)


@pytest.mark.parametrize("metric", [*every("chebyshev", "jensenshannon"), EUCLIDEAN])
@pytest.mark.parametrize("name", ["none", "pairs", "bias"])
def test_all_searches(name, metric, emulated, short_lists):  # noqa: F811
    x, y = (np.abs(rows) for rows in crowd(m=8, n=150))
    emulated()
    keywords = {"metric": metric, "metric_kwargs": cases.metric_kwargs(metric)} | crowd_filters(8, 150)[name]
    third = border(x, y, 5, **keywords)
    judged(*(everything(x, y, third, backend=backend, **keywords) for backend in ("cuda", "numpy")))
    for radius in (np.nextafter(third["within"], -np.inf), np.inf):
        judged(*(cmf.within(x, y, radius, backend=backend, **keywords) for backend in ("cuda", "numpy")))


@pytest.mark.parametrize("metric", every("hellinger"))
def test_rows_that_are_refused(metric, emulated):  # noqa: F811
    emulated()
    x, y = positive(3, 40, 6)
    y[17, 2] = np.nan
    with pytest.raises(ValueError, match="gallery must be finite, got nan in row 17"):
        cmf.topk(x, y, 2, metric, backend="cuda", metric_kwargs=cases.metric_kwargs(metric))
    y[17, 2] = -0.5
    if metric in cases.NON_NEGATIVE:
        with pytest.raises(ValueError, match=f"rows must be non-negative for metric='{metric}', got -0.5"):
            cmf.topk(x, y, 2, metric, backend="cuda")
        gallery = cmf.Gallery(y[:10], metric)
        gallery.topk(x, 2, backend="cuda")
        with pytest.raises(ValueError, match=f"rows must be non-negative for metric='{metric}', got -0.5"):
            gallery.add(y[10:])
        assert len(gallery.topk(x, 10, backend="cuda")[1]) == len(x)  # of the rows before


@pytest.mark.parametrize("metric", every("chebyshev"))
def test_rows_that_are_not_finite(metric, emulated, short_lists):  # noqa: F811
    x, y = positive(5, 90, 7)
    y[11, 2], y[40, 3], y[77] = np.nan, np.inf, np.inf
    x[1, 0], x[3, 1] = np.nan, np.inf
    emulated()
    same(x, y, 6, metric, check_finite=False)


@pytest.mark.heavy  # the kernels alone run in these builds in test_cuda_direct.py
@pytest.mark.parametrize("flavour", ["race", "address"])
@pytest.mark.parametrize("metric", every("chebyshev"))
def test_no_race_and_no_stray_access(flavour, metric, emulated, short_lists):  # noqa: F811
    x, y = positive(5, 150, 9)
    emulated(flavour=flavour)
    same(x, y, 4, metric, exclude=np.arange(5))


SELDOM = [pytest.param(name, marks=pytest.mark.heavy) for name in ("float16", "int8", "uint8", "mixed-bfloat16-int8")]


@pytest.mark.parametrize("metric", [pytest.param("dot", marks=pytest.mark.heavy), *every("chebyshev")])
@pytest.mark.parametrize("case", ["bfloat16", "bool", *SELDOM])
def test_narrow_rows_stay_as_they_are(case, metric, emulated):  # noqa: F811
    if metric in cases.NON_NEGATIVE and "int8" in case:
        case = "uint8"
    driver, kinds, launch = emulated(), [], Emulated.launch
    driver.launch = lambda *given, **macros: kinds.append(macros) or launch(driver, *given, **macros)
    x, y = cases.arrays(case, metric)
    same(x, y, 5, metric)
    ours = [INPUT[np.dtype(np.uint16) if rows.dtype == cases.BFLOAT16 else rows.dtype] for rows in (x, y)]
    assert any(ours == [macros.get("INPUT"), macros.get("GALLERY")] for macros in kinds) or metric in WAY
    gallery = cmf.Gallery(y[:30], metric, metric_kwargs=cases.metric_kwargs(metric))
    gallery.topk(x, 3, backend="cuda")
    gallery.add(y[30:])
    np.testing.assert_array_equal(
        gallery.topk(x, 5, backend="cuda")[1],
        cmf.topk(x, y, 5, metric, backend="numpy", metric_kwargs=cases.metric_kwargs(metric))[1],
    )


def distances(x, y, metric, **keywords):
    found, wanted = (cmf.pairwise_distances(x, y, metric, backend=backend, **keywords) for backend in ("cuda", "numpy"))
    np.testing.assert_array_equal(found, wanted, strict=True)


@pytest.mark.parametrize("metric", [part for part in every("hellinger") if part.values[0] in EXACT])
@pytest.mark.parametrize("dtype", [np.float32, SELDOM_DOUBLE])
def test_all_distances_are_canonical(dtype, metric, emulated):  # noqa: F811
    emulated()
    x, y = positive(37, 70, 9, dtype)
    x[3], y[5] = 0, x[1]
    distances(x, y, metric)
    distances(x, None, metric)
    distances(x, y, metric, dtype=np.float16)
    if metric in cases.NON_NEGATIVE:
        y[7, 1] = -2
        with pytest.raises(ValueError, match=f"rows must be non-negative for metric='{metric}', got -2"):
            cmf.pairwise_distances(x, y, metric, backend="cuda")
