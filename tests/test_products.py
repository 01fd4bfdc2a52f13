"""Products in register tiles: `pairwise` and `transfer` on Numba, every tile that this CPU runs."""

import numpy as np
import pytest

import crossmodal_fast as cmf
import judge
from crossmodal_fast.kernels.tiles import distances, expansion, mapper, metrics, products, simd, store, worth
from crossmodal_fast.kernels.tiles.rows import Rows
from crossmodal_fast.kernels.transfer import cpu_numba as mapping
from stores import Store

MACHINES = simd.runnable()
GEMM_FAMILY = ("euclidean", "sqeuclidean", "cosine", "correlation", "dot")
KINDS = [("float32", "float32"), ("float64", "float32"), ("float64", "float64")]  # of codes, of values
SHAPES = [(1, 1, 1), (5, 17, 8), (29, 33, 9), (64, 70, 200)]


def normal(*shape, seed=71, dtype=np.float32):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def swept(x, y, machine, kind, result, name="sqeuclidean", alone=False, capacity=4096, chunk=None):
    """(values, pairs to repair) of one job on one machine."""
    d, kinds = x.shape[1], (kind, np.dtype(result))
    found = store.endings(metrics.metric(name, d), np.zeros(d), *kinds, d)[-1 if chunk is None else chunk]
    widths = machine.rows, machine.columns(simd.KINDS[kind])
    sides = [
        store.Side(found, at, len(rows), x.shape[1], width)
        for at, (rows, width) in enumerate(zip((x, y), widths, strict=True))
    ]
    for side, rows in zip(sides, (x, y), strict=True):
        side.encode(rows, 0)
    out, pairs = np.full((len(x), len(y)), np.nan, result), []
    sweep = products.sweeper(simd.KINDS[kind], machine, result, found.rooted)
    at, tiles = 0, sides[0].panels * sides[1].panels
    while at < tiles:
        room, listed = (np.empty(widths, result), np.empty(widths[0], np.int64)), np.empty((2, capacity), np.int64)
        count, at = sweep(
            *((side.codes, side.numbers) for side in sides), found.chunk, found.ceiling, 0, 0, alone, alone, out, 0, 0,
            *out.shape, at, listed, room,
        )  # fmt: skip
        pairs.append(listed[:, :count])
    return out, np.concatenate(pairs, axis=1)


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
@pytest.mark.parametrize(("kind", "result"), KINDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_every_tile_keeps_the_bound(shape, kind, result, machine):
    m, n, d = shape
    x, y = normal(m, d), normal(n, d, seed=72)
    exact = ((x[:, None].astype(float) - y[None].astype(float)) ** 2).sum(axis=2)
    share = store.SHARE["l2"] * store.promised(np.dtype(result), d) + np.finfo(result).eps
    for chunk in range(len(products.CHUNKS[kind])):
        value, pairs = swept(x, y, machine, kind, result, chunk=chunk)
        good = np.abs(value - exact) <= share * exact
        good[*pairs] = True
        assert good.all(), f"{(~good).sum()} of {good.size} are off"
        assert np.isfinite(value).all()


@pytest.mark.parametrize("d", [64, 768])
def test_longer_chunks_leave_more_to_repair(d):
    x, y = normal(96, d), normal(64, d, seed=72) + normal(1, d, seed=73)
    listed = [swept(x, y, MACHINES[0], "float32", "float32", "euclidean", chunk=chunk)[1] for chunk in (0, 1)]
    longer, shorter = ({tuple(pair) for pair in pairs.T.tolist()} for pairs in listed)
    assert shorter <= longer


@pytest.mark.parametrize(("apart", "chunk"), [(0.0, 16), (1.0, 8), (50.0, 64)])
def test_chunks_are_as_long_as_the_rows_are_apart(apart, chunk):
    """Two clusters around 0: rows of one have cosine 0, 1/2, or nearly 1."""
    shift = apart * np.repeat([[1], [-1]], 100, axis=0).astype(np.float32) * normal(1, 96, seed=72)
    x, y = (Rows("x", normal(200, 96, seed=seed) + shift, False) for seed in (71, 73))
    metric, out = metrics.metric("euclidean", 96), np.empty((200, 200), np.float32)
    for partners in (None, y):
        assert expansion.Filling(x, partners, metric, out, 1 << 26, "auto").ending.chunk == chunk


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_pairs_to_repair_are_listed_once_each(kind, machine):
    x = normal(40, 96)
    y = np.vstack([x[::-1], normal(30, 96, seed=73)])
    expected = {(i, 39 - i) for i in range(40)}
    for capacity in (4096, machine.rows * machine.columns(simd.KINDS[kind])):  # the second makes it stop and go on
        _, pairs = swept(x, y, machine, kind, "float32", "euclidean", capacity=capacity)
        assert len(pairs.T) == len(expected)
        assert set(map(tuple, pairs.T.tolist())) == expected


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_alone_the_upper_half_is_mirrored(machine):
    x = normal(77, 96)
    value, pairs = swept(x, x, machine, "float32", "float32", "euclidean", alone=True)
    whole, _ = swept(x, x, machine, "float32", "float32", "euclidean")
    above = np.triu_indices(77, 1)
    np.testing.assert_array_equal(value[above], whole[above])
    np.testing.assert_array_equal(value, value.T)
    assert set(map(tuple, pairs.T.tolist())) == {(i, i) for i in range(77)}


@pytest.mark.parametrize("d", [1, 8, 100, 3000])
def test_totals_of_the_largest_products_fit(d):
    """Rows that are equal or opposite reach the bound of Cauchy and Schwarz."""
    rng = np.random.default_rng(74)
    for row in (np.ones(d), rng.standard_normal(d), np.r_[1e6, np.full(d - 1, 1e-3)], np.r_[np.zeros(d - 1), 1.0]):
        x = np.vstack([row, -row]).astype(np.float32)
        value, _ = swept(x, x, MACHINES[0], "float32", "float32", "dot")
        size = (x[0].astype(float) ** 2).sum()
        np.testing.assert_allclose(value, size * np.array([[1, -1], [-1, 1]]), rtol=1e-6)


@pytest.mark.parametrize("name", GEMM_FAMILY)
@pytest.mark.parametrize("many", [0.0, 1.0, None])
def test_near_rows_whatever_repairs_them(many, name, monkeypatch):
    """Entries at every distance from the limit: left as they are, by canonical value, by rectangles in float64."""
    if many is not None:
        monkeypatch.setattr(expansion, "MANY", many)
        monkeypatch.setattr(expansion, "LEAST_MANY", 0)
        monkeypatch.setattr(expansion.Filling, "_repaired", lambda self, found: 0.0)
    x = normal(90, 40) + np.float32(3)
    gaps = np.logspace(-7, 1, 400, dtype=np.float32)
    y = x[np.arange(400) % 90] + gaps[:, None] * normal(400, 40, seed=75)
    for dtype in (np.float32, np.float64):
        answer = cmf.pairwise_distances(x, y, name, dtype=dtype, backend="numba")
        judge.pairwise_within_bound(answer, x, y, name)
        alone = cmf.pairwise_distances(y, metric=name, dtype=dtype, backend="numba")
        judge.pairwise_within_bound(alone, y, y, name)
        np.testing.assert_array_equal(alone, alone.T)


@pytest.mark.parametrize("name", GEMM_FAMILY)
def test_rows_of_every_size(name):
    """Norms that have no bound in float32 codes, nor their squares in float32."""
    x, y = normal(40, 24, dtype=np.float64), normal(60, 24, seed=83, dtype=np.float64)
    x[:15] *= np.logspace(-36, 30, 15)[:, None]
    y[:20] *= np.logspace(-36, 30, 20)[:, None]
    x[3], y[7] = 0, 0
    for dtype in (np.float32, np.float64):
        answer = cmf.pairwise_distances(x.astype(dtype), y.astype(dtype), name, backend="numba")
        judge.pairwise_within_bound(answer, x.astype(dtype), y.astype(dtype), name)


@pytest.mark.parametrize("name", ["euclidean", "cosine", "dot"])
def test_positive_rows_of_many_features(name):
    """All roundings one way: nothing cancels in a sum of positive terms."""
    rng = np.random.default_rng(76)
    x, y = (rng.uniform(0.5, 1, (rows, 2500)).astype(np.float32) for rows in (20, 30))
    judge.pairwise_within_bound(cmf.pairwise_distances(x, y, name, backend="numba"), x, y, name)


@pytest.mark.parametrize("name", [*GEMM_FAMILY, "cityblock", "minkowski"])
def test_threads_blocks_and_memory_order_leave_the_bits(name, monkeypatch):
    monkeypatch.setattr(expansion, "MANY", 1.0)  # else what goes again in float64 depends on the rectangle
    x, y = normal(300, 30), normal(700, 30, seed=77)
    y[::50] = x[:14]
    given = {"metric_kwargs": {"p": 3}} if name == "minkowski" else {}
    for second in (y, None):
        first = cmf.pairwise_distances(x, second, name, backend="numba", n_threads=1, **given)
        for threads in (2, 5):
            again = cmf.pairwise_distances(x, second, name, backend="numba", n_threads=threads, **given)
            np.testing.assert_array_equal(again, first)
        columns = np.full(first.shape[::-1], np.nan, np.float32).T
        cmf.pairwise_distances(x, second, name, backend="numba", out=columns, **given)
        np.testing.assert_array_equal(columns, first)
        with monkeypatch.context() as smaller:
            smaller.setattr(expansion, "BLOCK_ROWS", 70)
            smaller.setattr(expansion, "BLOCK_COLUMNS", 90)
            smaller.setattr(distances, "VALUES", (7, 90))
            smaller.setattr(distances, "FAST_VALUES", (7, 90))
            again = cmf.pairwise_distances(x, second, name, backend="numba", **given)
        np.testing.assert_array_equal(again, first)


@pytest.mark.parametrize("name", ["euclidean", "correlation", "chebyshev"])
def test_a_store_is_read_in_pieces(name):
    x, y = normal(500, 64), normal(900, 64, seed=78)
    stored = Store(x), Store(y)
    answer = cmf.pairwise_distances(*stored, name, backend="numba", max_bytes=20_000_000)
    judge.pairwise_within_bound(answer, x, y, name)
    alone = cmf.pairwise_distances(stored[1], metric=name, backend="numba")
    np.testing.assert_array_equal(alone, cmf.pairwise_distances(y, metric=name, backend="numba"))


@pytest.mark.parametrize("name", ["euclidean", "cosine", "cityblock"])
def test_the_first_row_that_is_not_finite_is_named(name):
    x, y = normal(40, 12), normal(3000, 12, seed=79)
    y[[2990, 1234]] = np.nan
    with pytest.raises(ValueError, match=r"^Y must be finite, got nan in row 1234"):
        cmf.pairwise_distances(x, y, name, backend="numba")


def test_small_problems_are_left_to_numpy():
    x, metric = normal(100, 16), metrics.metric("euclidean", 16)
    assert "NumPy" in worth.objection("numba", "pairwise", x, None, metric)
    assert "NumPy" in worth.objection("numba", "transfer", x, normal(3, 4, 16), None, np.zeros(100), out=x)
    assert "BLAS" in worth.objection("numba", "transfer", x, normal(4, 16), None, None, out=x)
    large = np.broadcast_to(np.float32(0), (10_000, 16))
    assert worth.objection("numba", "pairwise", large, None, metric) is None
    matrices = np.broadcast_to(np.float32(0), (1000, 300, 300))
    assert worth.objection("numba", "transfer", np.zeros((1000, 300)), matrices, None, np.arange(1000), out=x) is None


def test_what_it_cannot_do_is_said():
    x = normal(5, 4)
    for name, precision, words in (("euclidean", "int8", "precision='int8'"), ("cityblock", "float32", "cityblock")):
        with pytest.raises(cmf.BackendUnavailable, match=words):
            cmf.pairwise_distances(x, x, name, precision=precision, backend="numba")


# ------------------------------------------------------------------------------------------------------------ transfer


def mapped_alike(e, m, bias, which, **control):
    answer = cmf.transfer(e, m, bias, which=which, backend="numba", **control)
    within_bound = judge.unit_transfer_within_bound if control.get("normalize") else judge.transfer_within_bound
    for number in np.unique(which):
        rows = np.flatnonzero(which == number)
        within_bound(answer[rows], e[rows], m[number], None if bias is None else bias[number])
    return answer


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
@pytest.mark.parametrize("tile", [mapper.READING, mapper.MULTIPLYING], ids=["reading", "multiplying"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_machine_maps(dtype, tile, machine, monkeypatch):
    """Up to where a step, a vector and a lane end."""
    monkeypatch.setattr(mapping, "mapper", lambda kind, *_: mapper.mapper(kind, machine, tile))
    for d in (1, 31, 32, 33, 47, 64, 100):
        e, m = normal(9, d, dtype=dtype), normal(3, 4, d, seed=81, dtype=dtype)
        mapped_alike(e, m, None, np.arange(9) % 3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1, 1), (3, 7), (4, 8), (10, 65), (13, 300)])
def test_groups_of_every_size(shape, dtype):
    """Of few rows each, and of so many that multiplying counts; nobody names the first matrix."""
    sizes = np.arange(mapper.MOST_ROWS + 4)
    which = np.random.default_rng(80).permutation(np.repeat(sizes, sizes))
    e, m = normal(len(which), shape[1], dtype=dtype), normal(len(sizes), *shape, seed=81, dtype=dtype)
    bias = normal(len(sizes), shape[0], seed=82, dtype=dtype)
    first = mapped_alike(e, m, None, which, n_threads=1)
    np.testing.assert_array_equal(mapped_alike(e, m, None, which, n_threads=3), first)
    mapped_alike(e, m, bias, which)
    mapped_alike(e, m, bias, which, normalize=True)
    which = np.arange(60) % 20
    mapped_alike(e[:60], m, bias, which)
    mapped_alike(e[:60], m, bias, which, normalize=True)


@pytest.mark.parametrize(
    "view",
    [
        lambda m: np.broadcast_to(m[:1], m.shape),
        lambda m: m[::-1],
        lambda m: np.concatenate([m, m], axis=2)[:, :, 3 : 3 + m.shape[2]],
        lambda m: m.transpose(0, 2, 1).copy().transpose(0, 2, 1),
        lambda m: m.astype(">f4"),
        lambda m: m.astype(np.float16),
        lambda m: m[:, ::-1],
    ],
    ids=["broadcast", "reversed", "columns", "transposed", "byte order", "float16", "rows reversed"],
)
def test_matrices_are_read_where_they_are(view):
    m = view(normal(9, 11, 21, seed=83))
    which = np.random.default_rng(84).integers(0, 9, 60)
    mapped_alike(normal(60, 21), m, None, which)


@pytest.mark.parametrize("rows", [1, 3, 16, 17])
def test_a_large_matrix_is_shared_out(rows, monkeypatch):
    monkeypatch.setattr(mapping, "LEAST_JOB_BYTES", 1 << 12)
    e, m = normal(rows, 50), normal(333, 50, seed=85)
    answer = cmf.transfer(e, m, backend="numba")
    judge.transfer_within_bound(answer, e, m)
    out = np.full((333, rows), np.nan, np.float32).T
    judge.transfer_within_bound(cmf.transfer(e, m, out=out, backend="numba"), e, m)
    bias = normal(333, seed=89)
    judge.unit_transfer_within_bound(cmf.transfer(e, m, bias, normalize=True, backend="numba"), e, m, bias)


def test_blocks_of_rows_leave_the_bits(monkeypatch):
    e, m = normal(200, 30), normal(40, 20, 30, seed=86)
    which = np.random.default_rng(87).integers(0, 40, 200)
    first = mapped_alike(e, m, None, which)
    monkeypatch.setattr(mapping, "BLOCK_BYTES", 1)
    np.testing.assert_array_equal(mapped_alike(e, m, None, which), first)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("rows", [1, 30])
def test_numbers_that_are_not_finite_are_named(rows, value):
    e, m, which = normal(6 * rows, 10), normal(6, 5, 10, seed=88), np.repeat(np.arange(6), rows)
    e[:, 4] = 0  # an infinity times zero is seen as well
    spoiled = m.copy()
    spoiled[5, 1, 1] = spoiled[3, 2, 4] = value
    with pytest.raises(ValueError, match=rf"^M must be finite, got {value} at M\[3, 2, 4\]"):
        cmf.transfer(e, spoiled, which=which, backend="numba")
    if rows == 1:
        with pytest.raises(ValueError, match=rf"^M must be finite, got {value} at M\[2, 4\]"):
            cmf.transfer(e, spoiled[3], backend="numba")
    e[4 * rows, 9] = value
    with pytest.raises(ValueError, match=rf"^E must be finite, got {value} in row {4 * rows}"):
        cmf.transfer(e, m, which=which, backend="numba")
    answer = cmf.transfer(e, m, which=which, check_finite=False, backend="numba")
    assert not np.isfinite(answer[4 * rows]).any()
    assert np.isfinite(np.delete(answer, 4 * rows, axis=0)).all()
    large = np.full((2, 3, 10), 3e38, np.float32)  # an overflow is nobody's fault
    assert not np.isfinite(cmf.transfer(np.abs(normal(2, 10)) + 1, large, which=[0, 1], backend="numba")).any()
