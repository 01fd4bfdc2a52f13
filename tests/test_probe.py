"""A look at the rows: what it foretells is near what a search leaves, and no rows are too strange for it."""

import numpy as np
import pytest

import crossmodal_fast as cmf
from crossmodal_fast.kernels.tiles import cost, metrics, probe, sides, simd
from crossmodal_fast.kernels.tiles.rows import Rows
from grids import naming
from searches import same


def shares(x, y, k, metric="euclidean"):
    x, y = Rows("queries", x, False), Rows("gallery", y, False)
    return probe.shares(x, y, sides.measure(metrics.metric(metric, x.shape[1]), y, x), k)


def clustered(m, n, d):
    """Rows around some points, of which few are near a query: what embeddings of sentences are like."""
    rng = np.random.default_rng(11)
    points = rng.standard_normal((n // 8, d))
    return (
        (points[rng.integers(len(points), size=size)] + 0.3 * rng.standard_normal((size, d))).astype(np.float32)
        for size in (m, n)
    )


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "dot"])
def test_what_is_left_is_foretold(metric):
    rng = np.random.default_rng(12)
    x, y = rng.standard_normal((40, 96), dtype=np.float32), rng.standard_normal((20_000, 96), dtype=np.float32)
    found = shares(x, y, 10, metric)
    for kind, factor in (("int6", 4), ("int7", 12), ("int8", 40)):
        distances = cmf.topk(x, y, 10, metric, backend="numpy", dtype=np.float64)[0]
        key = x.astype(float) @ y.T - ((y**2).sum(axis=1) / 2 if metric == "euclidean" else 0)
        key = key / np.linalg.norm(x, axis=1)[:, None] / np.linalg.norm(y, axis=1) if metric == "cosine" else key
        least = np.sort(key, axis=1)[:, -10]
        rows = y / np.linalg.norm(y, axis=1, keepdims=True)
        step = np.abs(rows).max(axis=1, keepdims=True) / simd.KINDS[kind].largest
        lost = np.linalg.norm(rows - step * np.rint(rows / step), axis=1).mean()
        size = 1 if metric == "cosine" else np.linalg.norm(x, axis=1).mean() * np.linalg.norm(y, axis=1).mean()
        left = np.mean(key >= least[:, None] - 4 * lost * size)
        assert left / factor - 1e-3 < found[kind] < left * factor + 1e-3, (distances[0], left)


def test_rows_that_tell_bytes_apart_get_them():
    x, y = clustered(16, 5000, 128)
    assert shares(x, y, 5)["int6"] < 0.02
    assert shares(*(np.random.default_rng(13).standard_normal((rows, 768)) for rows in (16, 5000)), 5)["int6"] > 0.1


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "correlation", "dot"])
def test_no_rows_are_too_strange(metric, monkeypatch):
    monkeypatch.setattr(cost, "PROBED", 1)
    rng = np.random.default_rng(14)
    plain = rng.standard_normal((30, 40)).astype(np.float32)
    strange = {"zeros": plain * 0, "huge": plain * np.float32(1e30), "tiny": plain * np.float32(1e-42)}
    strange["not finite"] = np.where(rng.random((30, 40)) < 0.05, np.nan, plain)
    strange |= {
        "infinite": np.where(rng.random((30, 40)) < 0.05, np.inf, plain),
        "one": plain[:1],
        "equal": plain[:1] * np.ones((9, 1), np.float32),
    }
    for name, rows in strange.items():
        for x, y in ((plain, rows), (rows, plain), (rows, rows.copy())):
            for k in (1, len(y)):
                with naming(name, str(k)):
                    answers = (
                        cmf.topk(x, y, k, metric, backend=backend, check_finite=False) for backend in ("numba", "numpy")
                    )
                    same(*answers)


def test_only_long_searches_are_looked_at():
    looked = "int6" in cost._rates() or cost._machine() in cost.VALUES
    assert cost.worth_a_look(2000, 100_000, 256, 10, 0, 1 << 30) == looked
    assert not cost.worth_a_look(200, 10_000, 256, 10, 0, 1 << 30)
    assert not cost.worth_a_look(2000, 100_000, 256, 10, 10, 1 << 30)
    assert not cost.worth_a_look(2000, 100_000, 256, 0, 0, 1 << 30)
    assert not cost.worth_a_look(2000, 100_000, 32_768, 10, 0, 64 << 20)


def test_rows_that_a_store_must_bring_are_looked_at_less(monkeypatch):
    monkeypatch.setattr(cost, "_machine", lambda: "avx2")
    left = {"int6": 0.05, "int7": 0.001, "int8": 1e-4}
    kinds = [cost.precision(488_000, 768, 10, 0, left, stored) for stored in (False, True)]
    assert kinds == ["int7", "int16"]


@pytest.mark.parametrize(
    ("k", "left", "kind"), [(10, 4.4e-4, "int8"), (100, 3.2e-3, "int16"), (10, 0.02, "int16"), (10, None, "int16")]
)
def test_bytes_are_taken_where_they_leave_little(k, left, kind, monkeypatch):
    """As they did in pairs on a Zen 4: normal rows, many neighbours, log-normal rows, and rows not looked at."""
    monkeypatch.setattr(cost, "_machine", lambda: "avx512vnni on znver4")
    assert cost.precision(100_000, 768, k, 0, left and {"int8": left}) == kind


def test_what_does_not_fit_takes_other_codes(monkeypatch):
    x, y = clustered(64, 3000, 128)
    monkeypatch.setattr(cost, "precision", lambda *_: "int6")
    control = {"backend": "numba", "return_stats": True, "n_threads": 4}
    roomy = cmf.topk(x, y, 5, **control)
    tight = cmf.topk(x, y, 5, **control, max_bytes=6 << 20)
    assert (roomy[2].precision, tight[2].precision) == ("int6", "int16")
    same(roomy[:2], tight[:2])
