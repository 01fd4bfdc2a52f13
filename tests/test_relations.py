"""What one answer says about another: sides exchanged, subsets, copies, ranks and radii of what topk finds.

Blocks, batches, threads and whatever else must not show is in test_invariance.py. docs/attacks.md lists all relations.
"""

import re

import numpy as np
import pytest

import crossmodal_fast as cmf
import judge
from cases import BFLOAT16, arrays
from crossmodal_fast.kernels.topk import reference as law
from project import ROOT
from test_invariance import same

METRICS = ("euclidean", "cosine", "dot")


def rows(seed=71, m=20, n=150, d=12):
    """Rows with ties and copies among them."""
    rng = np.random.default_rng(seed)
    x, y = (rng.integers(-2, 3, (count, d)).astype(np.float32) for count in (m, n))
    y[n // 2 :] += np.float32(0.25) * rng.standard_normal((n - n // 2, d)).astype(np.float32)
    y[7], y[n - 1] = y[3], y[n - 9]
    return x, y


@pytest.mark.parametrize("metric", METRICS)
def test_both_ways_at_once_are_two_searches(metric, backend):
    x, y = rows()
    both = cmf.topk_both(x, y, (6, 4), metric, backend=backend)
    same(both[0], cmf.topk(x, y, 6, metric, backend=backend))
    same(both[1], cmf.topk(y, x, 4, metric, backend=backend))
    same(cmf.topk_both(y, x, (4, 6), metric, backend=backend)[0], both[1])


@pytest.mark.parametrize("metric", METRICS)
def test_a_mask_is_a_smaller_gallery(metric, backend):
    x, y = rows()
    mask = np.random.default_rng(72).random(len(y)) < 0.4
    part, left = cmf.topk(x, y[mask], 9, metric, backend=backend), np.flatnonzero(mask)
    same(cmf.topk(x, y, 9, metric, mask=mask, backend=backend), (part.distances, left[part.indices]))
    same(cmf.topk(x, y, 9, metric, mask=np.tile(mask, (len(x), 1)), backend=backend),
         (part.distances, left[part.indices]))  # fmt: skip
    found = cmf.within(x, y, part.distances[:, 4], metric, mask=mask, backend=backend)
    subset = cmf.within(x, y[mask], part.distances[:, 4], metric, backend=backend)
    same(found, (subset.indptr, left[subset.indices], subset.distances))
    positives = part.indices[:, 5]
    np.testing.assert_array_equal(
        cmf.ranks(x, y, left[positives], metric, mask=mask, backend=backend),
        cmf.ranks(x, y[mask], positives, metric, backend=backend),
    )


@pytest.mark.parametrize("metric", METRICS)
def test_who_is_excluded_is_masked(metric, backend):
    x, y = rows()
    out = np.random.default_rng(73).integers(-1, len(y), len(x))
    mask = np.ones((len(x), len(y)), bool)
    mask[np.flatnonzero(out >= 0), out[out >= 0]] = False
    same(cmf.topk(x, y, 9, metric, exclude=out, backend=backend), cmf.topk(x, y, 9, metric, mask=mask, backend=backend))
    same(cmf.topk(y[:99], y[:99], 9, metric, exclude_self=True, backend=backend),
         cmf.topk(y[:99], y[:99], 9, metric, mask=~np.eye(99, dtype=bool), backend=backend))  # fmt: skip


@pytest.mark.parametrize("metric", METRICS)
def test_some_queries_get_the_answers_of_all(metric, backend):
    x, y = rows()
    whole, chosen = cmf.topk(x, y, 9, metric, backend=backend), np.random.default_rng(74).integers(0, len(x), 17)
    same(cmf.topk(x[chosen], y, 9, metric, backend=backend), [part[chosen] for part in whole])
    same(cmf.topk(x[5:6], y, 9, metric, backend=backend), [part[5:6] for part in whole])


@pytest.mark.parametrize("metric", METRICS)
def test_ranks_are_places_and_radii_are_prefixes(metric, backend):
    x, y = rows()
    whole = cmf.topk(x, y, len(y), metric, dtype=np.float64, backend=backend)  # a radius is not rounded to float32
    for slot in (0, 3, 120):
        np.testing.assert_array_equal(cmf.ranks(x, y, whole.indices[:, slot], metric, backend=backend), slot + 1)
    found = cmf.within(x, y, whole.distances[:, 8], metric, dtype=np.float64, backend=backend)
    for i in range(len(x)):
        inside = slice(found.indptr[i], found.indptr[i + 1])
        size = inside.stop - inside.start
        assert size >= 9
        same((found.distances[inside], found.indices[inside]), [part[i, :size] for part in whole])
        assert size == len(y) or whole.distances[i, size] != whole.distances[i, 8]


@pytest.mark.parametrize("metric", METRICS)
def test_a_copy_comes_right_behind_its_row(metric, backend):
    """Same bits, the lower index first, whatever stands between them; facebookresearch/faiss#5327 has it by threads."""
    x, y = rows()
    copies = np.concatenate([y, y[::-1]])
    found = cmf.topk(x, copies, 2 * len(y), metric, backend=backend)
    whole = cmf.topk(x, y, len(y), metric, backend=backend)
    for i in range(len(x)):
        first = found.indices[i][found.indices[i] < len(y)]
        np.testing.assert_array_equal(first, whole.indices[i])
    assert (found.distances[:, ::2] == found.distances[:, 1::2]).all()
    np.testing.assert_array_equal(found.distances[:, ::2], whole.distances)


@pytest.mark.parametrize("metric", METRICS)
def test_a_bias_of_zeros_is_none(metric, backend):
    x, y = rows()
    nothing = np.zeros(len(x)), np.zeros(len(y))
    same(cmf.topk(x, y, 9, metric, bias=nothing, backend=backend), cmf.topk(x, y, 9, metric, backend=backend))


@pytest.mark.parametrize("metric", METRICS)
def test_a_gallery_that_came_in_pieces_is_the_whole(metric, backend):
    x, y = rows()
    gallery = cmf.Gallery(y[:50], metric)
    gallery.topk(x, 3, backend=backend)
    for start, stop in ((50, 51), (51, 120), (120, 150)):
        gallery.add(y[start:stop])
    same(gallery.topk(x, 9, backend=backend), cmf.topk(x, y, 9, metric, backend=backend))


@pytest.mark.parametrize("dtype", [BFLOAT16, np.float16, np.int8, np.uint8, bool])
def test_narrow_rows_are_their_numbers(dtype, backend):
    """Of every narrow dtype, also beside another."""
    x, y = (np.abs(part).round().astype(dtype) for part in rows())
    wide = [part.astype(np.float32) for part in (x, y)]
    for metric in METRICS:
        whole = cmf.topk(*wide, 9, metric, backend=backend)
        same(cmf.topk(x, y, 9, metric, dtype=np.float32, backend=backend), whole)
        same(cmf.topk(x, wide[1], 9, metric, dtype=np.float32, backend=backend), whole)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_rows_of_length_1_that_are_nearly_equal_are_not_equal(metric, dtype, backend):
    """Squared distances of 1e-5 to 9e-4, which cuVS takes for 0 where norms agree: NVIDIA/cuvs#1632."""
    rng = np.random.default_rng(75)
    x = rng.standard_normal((5, 64))
    y = np.repeat(x, 30, axis=0) + rng.uniform(0.02, 0.2, (150, 1)) * rng.standard_normal((150, 64)) / 8
    x, y = ((part / np.linalg.norm(part, axis=1, keepdims=True)).astype(dtype) for part in (x, y))
    found = cmf.topk(x, y, 10, metric, backend=backend)
    judge.same_bits(found, law.topk(x, y, 10, metric), np.float32)
    assert (found.distances != 0).all()


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_one_query_among_many_places(threads, backend):
    """Latitude and longitude: facebookresearch/faiss#3245 finds 8,388,608 for 57.8 here, with two threads."""
    rng = np.random.default_rng(76)
    y = (np.array([6_000_000.0, 4_000_000.0, 1_000_000.0]) + 1000 * rng.standard_normal((20_000, 3))).astype(np.float32)
    x = (y[:1] + 5).astype(np.float32)
    found = cmf.topk(x, y, 5, "sqeuclidean", n_threads=threads, backend=backend)
    judge.same_bits(found, law.topk(x, y, 5, "sqeuclidean"), np.float32)


def test_maps_scale_by_powers_of_two(backend):
    rng = np.random.default_rng(77)
    e, m = (rng.standard_normal(shape).astype(np.float32) for shape in ((50, 20), (9, 20)))
    mapped = cmf.transfer(e, m, backend=backend)
    np.testing.assert_array_equal(cmf.transfer(8 * e, m / 4, backend=backend), 2 * mapped)
    np.testing.assert_array_equal(cmf.transfer(-e, m, backend=backend), -mapped)
    unit = cmf.transfer(e, m, normalize=True, backend=backend)
    np.testing.assert_array_equal(cmf.transfer(8 * e, m, normalize=True, backend=backend), unit)


def test_log_sums_of_turned_and_shifted_scores(backend):
    """Exact relations, each within the bounds of both answers."""
    scores = np.random.default_rng(78).standard_normal((30, 50)).astype(np.float32)
    sums = cmf.logsumexp(scores, metric="precomputed", axis="both", backend=backend)
    turned = cmf.logsumexp(scores.T.copy(), metric="precomputed", axis="both", backend=backend)
    room = 2 * (10 + np.log(50)) * 2.0**-24
    np.testing.assert_allclose(turned.rows, sums.columns, rtol=0, atol=room)
    np.testing.assert_allclose(turned.columns, sums.rows, rtol=0, atol=room)
    bias = np.full(30, 7.0), np.full(50, 7.0)
    shifted = cmf.logsumexp(scores, metric="precomputed", axis="both", bias=bias, backend=backend)
    np.testing.assert_allclose(shifted.rows, sums.rows + 7, rtol=0, atol=room)
    np.testing.assert_allclose(shifted.columns, sums.columns + 7, rtol=0, atol=room)


def test_distances_of_turned_sides_are_turned(backend):
    for name in ("normal-17x130x64", "near-duplicates-1e-7", "zero-rows"):
        x, y = arrays(name)
        for metric in METRICS:
            one, other = (cmf.pairwise_distances(*pair, metric, backend=backend) for pair in ((x, y), (y, x)))
            size = np.linalg.norm(x, axis=1)[:, None] * np.linalg.norm(y, axis=1) if metric == "dot" else 1.0
            room = 2e-6 * (np.abs(one) if metric == "euclidean" else size)
            assert (np.abs(one - other.T) <= room).all(), (name, metric)


def test_the_tests_that_the_page_names_are_there():
    """A line names a file, then tests of it."""
    text, named = "", 0
    for name in re.findall(r"`(test_\w+(?:\.py)?)`", (ROOT / "docs" / "attacks.md").read_text(encoding="utf-8")):
        named += 1
        if name.endswith(".py"):
            text = (ROOT / "tests" / name).read_text(encoding="utf-8")
        else:
            assert f"def {name}(" in text, name
    assert named > 90
