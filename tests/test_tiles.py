"""Tiles of the float scan: bounds of keys in exact arithmetic, each pair once, blocks of every size, scanned again."""

from fractions import Fraction

import numpy as np
import pytest

from crossmodal_fast.kernels.tiles import encode, filters, loop, metrics
from crossmodal_fast.kernels.tiles.plan import Plan
from crossmodal_fast.kernels.tiles.rows import Rows

M, N, D = 7, 23, 5
WORTH = {"l2": 0.5, "cosine": 1.0, "dot": -1.0}  # of a unit of bias, in units of the key


def rows(m, d=D, seed=0, scale=1.0):
    return scale * np.random.default_rng(seed).standard_normal((m, d))


def scan(name="sqeuclidean", x=None, y=None, dtype="float32", sizes=(M, M, N), symmetric=False, tick=None, **given):
    x, y = rows(M) if x is None else x, rows(N, seed=1) if y is None else y
    sides = Rows("queries", x, False), Rows("gallery", y, False)
    metric, k_columns = metrics.metric(name, x.shape[1]), 2 if symmetric else 0
    found = loop.visit(*sides, metric, filters.Filters(**given), 3, k_columns, 1 << 30, dtype, None, tick)
    found.plan = Plan(*sizes, 1000, 1000)
    return found


def tiles(found):
    for block in found.gallery_blocks():
        for _, groups in found.query_blocks():
            yield from found.tiles(groups, block)


def exact(part):
    return [[Fraction(number) for number in row] for row in np.asarray(part, float).tolist()]


def keys(found, symmetric):
    """Keys of all pairs, in fractions: x . y - o - p of the vectors; p where columns compare."""
    left, right = (exact(found.space.vectors(side.block(0, len(side)))[0]) for side in (found.x, found.y))
    form = found.space.metric.form
    offset = [[sum(v * v for v in row) / 2 if form == "l2" else Fraction(0) for row in side] for side in (left, right)]
    if found.filters.bias is not None:
        for side, bias in zip(offset, found.filters.bias, strict=True):
            side[:] = [o + Fraction(WORTH[form] * b) for o, b in zip(side, bias.tolist(), strict=True)]
    p, o = offset
    return [
        [sum(v * w for v, w in zip(a, b, strict=True)) - o[j] - symmetric * p[i] for j, b in enumerate(right)]
        for i, a in enumerate(left)
    ]


BIASED = {"bias": (rows(1, M, 5)[0] * 3, rows(1, N, 6)[0] * 3)}


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("given", [{}, BIASED], ids=["plain", "biased"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["sqeuclidean", "cosine", "dot"])
def test_bounds_of_every_pair(name, dtype, given, symmetric):
    """Of x . y - o, and - p where columns compare: from below and above, no wider than stated, each pair once."""
    found = scan(name, dtype=dtype, sizes=(4, 3, 8), symmetric=symmetric, **given)
    law, seen = keys(found, symmetric), []
    growth = float(encode.growth(D, dtype))
    for tile in tiles(found):
        m, n = tile.high.shape
        assert m <= 3
        assert n <= 8
        assert tile.high.dtype == dtype
        row, column = (part.ravel() for part in np.indices((m, n)))
        low, high = tile.bounds(row, column)
        margin, most = tile.margin(row, column), tile.most(np.arange(m))
        assert low.dtype == high.dtype == np.float64
        np.testing.assert_allclose(most, np.max(margin.reshape(m, n), axis=1), rtol=0.5)
        assert (margin.reshape(m, n) <= most[:, None] * (1 + 1e-12)).all() or symmetric
        for at, (i, j) in enumerate(zip(tile.owner[row].tolist(), tile.partner[column].tolist(), strict=True)):
            seen.append((i, j))
            assert Fraction(low[at]) <= law[i][j] <= Fraction(high[at])
            slack = float(tile.slack[row[at] if len(tile.slack) > 1 else 0, 0])
            assert high[at] - low[at] <= (2 * margin[at] + 2 * slack) * (1 + 1e-9) + 1e-15 * (1 + abs(high[at]))
        assert np.log2(tile.unit) % 1 == 0
        (x,), (y,) = (
            [group for group in found.encoded(side, 0, len(side), at) if group.codes is not None]
            for at, side in enumerate((found.x, found.y))
        )
        i, j = tile.owner[row], tile.partner[column]
        size = x.norm[i] * y.norm[j] + y.weight[j] + symmetric * x.weight[i]
        np.testing.assert_allclose(margin, growth * (1 + 1e-4) * size, rtol=2e-6)
    assert sorted(seen) == [(i, j) for i in range(M) for j in range(N)]


@pytest.mark.parametrize("given", [{}, BIASED], ids=["plain", "biased"])
@pytest.mark.parametrize("name", ["sqeuclidean", "cosine", "dot"])
def test_keys_of_ordered_values(name, given):
    """A value that is at hand bounds the keys of its row as a score does: the true key of its pair is between."""
    found = scan(name, dtype="float64", **given)
    law = keys(found, False)
    for tile in tiles(found):
        row = np.arange(len(tile.owner))
        for j in range(len(tile.partner)):
            order = found.exact(tile.owner, np.full(len(row), tile.partner[j]))
            low, high = tile.key(row, order)
            for i in row:
                key = law[tile.owner[i]][tile.partner[j]]
                assert Fraction(low[i]) <= key <= Fraction(high[i])
            weight = found.encoded(found.x, 0, M, 0)[0].weight[tile.owner]
            reach = 2 * encode.growth(D, np.float64) * ((name == "cosine") + weight + np.abs(order))
            np.testing.assert_allclose(high - low, 2 * reach, rtol=0.2)
    for order in (np.inf, -np.inf, np.nan):
        low, high = tile.key(row, np.full(len(row), order))
        assert not (low > -np.inf).any() or order == -np.inf
        assert len(low) == len(high)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("symmetric", [False, True])
def test_what_reaches_a_threshold(dtype, symmetric):
    """Whatever may: the upper bound is not below it. What is surely above a key: the lower bound is."""
    found = scan("sqeuclidean", x=rows(M, scale=8.0), dtype=dtype, symmetric=symmetric)
    for tile in tiles(found):
        m, n = tile.high.shape
        row, column = (part.ravel() for part in np.indices((m, n)))
        low, high = (part.reshape(m, n) for part in tile.bounds(row, column))
        step = 1e-5 if dtype == "float32" else 1e-13
        for j in range(0, n, 5):
            at = tile.reaches(high[:, j])
            assert at[np.arange(m), j].all()
            assert (at[high > high[:, j, None]]).all()
            assert not (at & (high < high[:, j, None] - step * (np.abs(high).max() + 1))).any()
            if symmetric:  # no operation asks
                continue
            above = tile.surely_above(low[:, j])
            assert not above[np.arange(m), j].any()
            assert not (above & (low <= low[:, j, None])).any()
            assert above[low > low[:, j, None] + 8 * tile.most(np.arange(m))[:, None] + step].all()
        for far, all_of_them in ((-1e300, True), (1e300, False), (-np.inf, True), (np.inf, False)):
            assert (tile.reaches(np.full(m, far)) == all_of_them).all()


def scores(*high, slack=0.0, unit=4.0, most=0.0, dtype="float32"):
    """A tile of one owner, the scores next to a limit."""
    return loop.Tile(
        np.zeros(1, int), np.arange(len(high)), np.array([high], dtype), slack=np.full((1, 1), slack), unit=unit,
        margin=lambda row, column: np.full(len(row), most), most=lambda row: np.full(len(row), most),
    )  # fmt: skip


def below(limit):
    """The least score that reaches a limit, and the next smaller one."""
    least = np.nextafter(np.float32(limit), np.float32(-np.inf))
    return least, np.nextafter(least, np.float32(-np.inf))


def test_limits_to_the_bit():
    """What underflow may take of a score, 2**-90 units, and one rounding of the limit."""
    assert scores(*below(-(2.0**-90))).reaches(np.zeros(1)).tolist() == [[True, False]]
    assert scores(*below(1.0), slack=3.0).reaches(np.array([7.0])).tolist() == [[True, False]]
    assert scores(*below(3 * 2.0**-90)).surely_above(np.zeros(1)).tolist() == [[True, False]]
    assert scores(*below(4.25), slack=0.25, unit=1.0, most=1.0).surely_above(np.zeros(1)).tolist() == [[True, False]]


def test_bounds_to_the_bit():
    low, high = scores(0.0).bounds(np.zeros(1, int), np.zeros(1, int))
    assert (low[0], high[0]) == (-(2.0**-88), 2.0**-88)
    low, high = scores(0.0, dtype="float64").bounds(np.zeros(1, int), np.zeros(1, int))
    assert (low[0], high[0]) == (-(2.0**-198), 2.0**-198)
    low, high = scores(3.0, slack=0.5, most=0.125).bounds(np.zeros(1, int), np.zeros(1, int))
    assert (low[0], high[0]) == (12 - 0.25 - 0.5, 12.5)


@pytest.mark.parametrize("name", ["sqeuclidean", "cityblock"])
def test_some_rows_of_a_tile_and_the_tile_turned(name):
    allowed = np.random.default_rng(3).random((M, N)) < 0.7
    (tile,), (both,) = (tiles(scan(name, symmetric=symmetric, mask=allowed)) for symmetric in (False, True))
    rows_at = np.array([4, 1, 1, 6])
    part, turned = tile.at(rows_at), both.turned()
    assert part.owner.tolist() == [4, 1, 1, 6]
    assert part.partner is tile.partner
    np.testing.assert_array_equal(part.allowed, allowed[rows_at])
    np.testing.assert_array_equal(turned.allowed, allowed.T)
    assert (turned.owner is both.partner, turned.partner is both.owner) == (True, True)
    if name == "cityblock":
        assert part.high is turned.high is None
        np.testing.assert_array_equal(part.value, tile.value[rows_at])
        np.testing.assert_array_equal(turned.value, both.value.T)
        assert turned.margin is None
        return
    column = np.array([0, 5, 6, 22])
    np.testing.assert_array_equal(part.bounds(np.arange(4), column), tile.bounds(rows_at, column))
    np.testing.assert_array_equal(part.most(np.arange(4)), tile.most(rows_at))
    np.testing.assert_array_equal(part.key(np.arange(4), column * 1.0), tile.key(rows_at, column * 1.0))
    np.testing.assert_array_equal(turned.bounds(column, rows_at), both.bounds(rows_at, column))
    assert (turned.widen is both.widen_turned, turned.widen_turned is both.widen) == (True, True)
    assert turned.most is turned.key is None
    (tile,) = tiles(scan(name))
    assert tile.allowed is tile.at(rows_at).allowed is tile.turned().allowed is None


def test_a_part_of_a_tile_keeps_its_slack():
    (tile,) = tiles(scan("sqeuclidean", x=rows(M) * np.arange(1, 8)[:, None]))
    assert tile.slack.shape == (M, 1)
    part = tile.at(np.array([6, 0]))
    np.testing.assert_array_equal(part.slack, tile.slack[[6, 0]])
    np.testing.assert_array_equal(part.reaches(np.zeros(2)), tile.reaches(np.zeros(M))[[6, 0]])


# ---------------------------------------------------------------------------------------------------------------- pairs


@pytest.mark.parametrize("given", ["mask of rows", "mask", "exclude", "all"])
def test_pairs_that_may_not_match(given):
    random = np.random.default_rng(4)
    some = {"mask of rows": {"mask": random.random(N) < 0.5}, "mask": {"mask": random.random((M, N)) < 0.5},
            "exclude": {"exclude": random.integers(-1, N, M)}}  # fmt: skip
    some["all"] = some["mask"] | some["exclude"]
    allowed = np.ones((M, N), bool)
    if "mask" in some[given]:
        allowed &= some[given]["mask"]
    if "exclude" in some[given]:
        allowed &= np.arange(N) != some[given]["exclude"][:, None]
    for name in ("dot", "cityblock"):
        for tile in tiles(scan(name, sizes=(4, 3, 8), **some[given])):
            here = allowed[np.ix_(tile.owner, tile.partner)]
            np.testing.assert_array_equal(tile.allowed, here)
            if name == "dot":
                np.testing.assert_array_equal(np.isneginf(tile.high), ~here)
                assert not tile.reaches(np.full(len(tile.owner), -1e30))[~here].any()


def test_values_where_there_is_no_bound():
    """Of metrics without a form, and of rows beyond range: by the law, with their biases, in pieces of any size."""
    x, y = rows(M), rows(N, seed=1)
    x[2], y[[4, 20]] = 1e200, 1e-200
    for name in ("cityblock", "dot"):
        found = scan(name, x, y, sizes=(M, 3, 8), **BIASED)
        metric = metrics.metric(name, D)
        with np.errstate(all="ignore"):
            value = metrics.block(metric, x, y)
        u, v = BIASED["bias"]
        law, seen = metrics.ordered(metric, value, u[:, None] + v), np.zeros((M, N), int)
        for tile in tiles(found):
            at = np.ix_(tile.owner, tile.partner)
            seen[at] += 1
            assert (tile.value is None) == (name == "dot" and 2 not in tile.owner and not {4, 20} & set(tile.partner))
            if tile.value is not None:
                np.testing.assert_array_equal(tile.value, law[at])
        assert (seen == 1).all()
        candidates = np.where(np.arange(M) == 2, N, 2) if name == "dot" else np.full(M, N)
        np.testing.assert_array_equal(found.stats.candidates, candidates)
        np.testing.assert_array_equal(found.stats.widened, name == "dot")


def test_values_are_computed_a_piece_at_a_time(monkeypatch):
    seen, block = [], metrics.block

    def watched(metric, x, y):
        seen.append((len(x), len(y)))
        return block(metric, x, y)

    monkeypatch.setattr(metrics, "block", watched)
    x, y = rows(70), rows(600, seed=1)
    (tile,) = tiles(scan("cityblock", x, y, sizes=(70, 70, 600)))
    assert sorted(set(seen)) == [(6, 88), (6, 256), (32, 88), (32, 256)]
    np.testing.assert_array_equal(tile.value, block(metrics.metric("cityblock", D), x, y))
    seen.clear()
    monkeypatch.setattr(loop, "PAIR_BYTES", 16 * D * 10)
    (tile,) = tiles(scan("cityblock", x, y, sizes=(70, 70, 600)))
    assert set(seen) == {(10, 10)}
    seen.clear()
    monkeypatch.setattr(loop, "PAIR_BYTES", 1)
    list(tiles(scan("cityblock", x[:2], y[:3], sizes=(2, 2, 3))))
    assert set(seen) == {(1, 1)}


def test_values_of_single_pairs(monkeypatch):
    found = scan("euclidean")
    i, j = np.array([3, 0, 3, 6, 3]), np.array([22, 1, 0, 0, 5])
    law = ((found.x.store[i] - found.y.store[j]) ** 2).sum(axis=1)
    np.testing.assert_allclose(found.exact(i, j), law, rtol=1e-14)
    assert found.stats.candidates.tolist() == [1, 0, 0, 3, 0, 0, 1]
    np.testing.assert_array_equal(found.exact_turned(j, i), found.exact(i, j))
    seen, pairs = [], metrics.pairs

    def watched(metric, x, y):
        seen.append(len(x))
        return pairs(metric, x, y)

    monkeypatch.setattr(metrics, "pairs", watched)
    for room, pieces in ((48 * D * 2, [2, 2, 1]), (1, [1] * 5)):
        monkeypatch.setattr(loop, "PAIR_BYTES", room)
        seen.clear()
        np.testing.assert_allclose(found.exact(i, j), law, rtol=1e-14)
        assert seen == pieces
    biased = scan("dot", **BIASED)
    u, v = BIASED["bias"]
    expected = -((biased.x.store[i] * biased.y.store[j]).sum(axis=1) + u[i] + v[j])
    np.testing.assert_allclose(biased.exact(i, j), expected, rtol=1e-13)


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("given", [{}, BIASED], ids=["plain", "biased"])
def test_scanned_again_in_float64(given, symmetric):
    found = scan("sqeuclidean", sizes=(M, M, N), symmetric=symmetric, **given)
    (tile,) = tiles(found)
    law = keys(found, symmetric)
    seen = []
    for wide in tile.widen(np.array([1, 4, 5])):
        assert wide.high.dtype == np.float64
        assert len(wide.owner) <= M // 4
        assert wide.widen is wide.widen_turned is None
        row, column = (part.ravel() for part in np.indices(wide.high.shape))
        low, high = wide.bounds(row, column)
        for at, (i, j) in enumerate(zip(wide.owner[row].tolist(), wide.partner[column].tolist(), strict=True)):
            seen.append((i, j))
            assert Fraction(low[at]) <= law[i][j] <= Fraction(high[at])
            assert high[at] - low[at] < 1e-11
    assert sorted(seen) == [(i, j) for i in (1, 4, 5) for j in range(N)]
    np.testing.assert_array_equal(found.stats.widened, np.isin(np.arange(M), [1, 4, 5]))
    seen = [
        (j, i)
        for wide in tile.widen_turned(np.array([2, 9]))
        for j in wide.owner.tolist()
        for i in wide.partner.tolist()
    ]
    assert sorted(seen) == [(j, i) for j in (2, 9) for i in range(M)]
    (tile,) = tiles(scan("sqeuclidean", dtype="float64"))
    assert tile.widen is tile.widen_turned is None


def test_scanned_again_some_columns_at_a_time(monkeypatch):
    monkeypatch.setattr(loop, "WIDE_COLUMNS", 10)
    found = scan("dot", sizes=(M, 1, N))
    tile = next(tiles(found))
    assert [wide.high.shape for wide in tile.widen(np.array([0]))] == [(1, 10), (1, 10), (1, 3)]
    tile = next(tiles(scan("dot", sizes=(M, 9, 10))))
    assert [wide.high.shape for wide in tile.widen(np.arange(5))] == [(2, 10), (2, 10), (1, 10)]


# --------------------------------------------------------------------------------------------------------------- blocks


def test_blocks_and_progress():
    told = []
    found = scan("dot", sizes=(3, 2, 10), tick=lambda *done: told.append(done))
    shapes = [tile.high.shape for tile in tiles(found)]
    assert shapes[:6] == [(2, 10), (1, 10), (2, 10), (1, 10), (1, 10), (2, 10)]
    assert told == [(10, 69), (20, 69), (23, 69)]
    assert [at.tolist() for at, _ in found.query_blocks()] == [[0, 1, 2], [3, 4, 5], [6]]
    list(scan("dot").gallery_blocks())


def test_codes_that_are_kept_are_cut_to_the_width_of_a_tile():
    told = []
    found = scan("dot", sizes=(M, M, 10), tick=lambda *done: told.append(done), **BIASED)
    found.groups = encode.encode(found.y.block(0, N), np.arange(N), found.space, "float32")
    assert [len(block) for block in found.gallery_blocks()] == [10, 10, 3]
    assert told == [(10, N), (20, N), (23, N)]
    for tile in tiles(found):
        law = keys(found, False)
        row, column = (part.ravel() for part in np.indices(tile.high.shape))
        low, high = tile.bounds(row, column)
        for at, (i, j) in enumerate(zip(tile.owner[row].tolist(), tile.partner[column].tolist(), strict=True)):
            assert Fraction(low[at]) <= law[i][j] <= Fraction(high[at])


def test_time_to_encode_is_counted():
    found = scan("dot")
    assert found.stats.prepare_seconds == 0
    list(found.gallery_blocks())
    once = found.stats.prepare_seconds
    list(found.query_blocks())
    assert 0 < once < found.stats.prepare_seconds < 60


def test_one_buffer_for_all_scores():
    found = scan("dot", sizes=(M, 3, 8))
    buffers = {tile.high.__array_interface__["data"][0] for tile in tiles(found)}
    assert len(buffers) == 1
    assert found._scores.shape == (24,)


# ---------------------------------------------------------------------------------------------------------------- visit


def test_what_a_visit_is_made_of():
    x, y, metric = Rows("queries", rows(M), False), Rows("gallery", rows(N) + 9, False), metrics.metric("euclidean", D)

    def visit(metric=metric, given=None, k_columns=0, precision="auto", prepared=None, max_bytes=1 << 30):
        return loop.visit(x, y, metric, given or filters.Filters(), 3, k_columns, max_bytes, precision, prepared, None)

    found = visit()
    assert (found.dtype, found.symmetric, found.groups, found.stats.precision) == ("float32", False, None, "float32")
    np.testing.assert_array_equal(found.space.centre, np.median(y.store, axis=0))
    assert visit(k_columns=1).symmetric
    assert (visit(precision="float64").dtype, visit(precision="float32").dtype) == ("float64", "float32")
    assert visit(precision="float64").stats.precision == "float64"
    biased = visit(given=filters.Filters(**BIASED))  # a root plus a bias is no linear key
    assert biased.space.metric.form is None
    assert biased.stats.precision == "float64"
    square = visit(metrics.metric("sqeuclidean", D), filters.Filters(**BIASED))
    assert square.space.metric.form == "l2"
    assert not found.stats.widened.any()
    assert not found.stats.candidates.any()
    with pytest.raises(ValueError, match="max_bytes must be at least"):
        visit(max_bytes=1000)


def test_codes_that_are_kept_are_used_at_their_precision():
    x, y = Rows("queries", rows(M), False), Rows("gallery", rows(N, seed=1), False)
    made = []

    class Prepared:
        def of(self, name, make):
            made.append(name)
            return make(y)

    def visit(name, precision="auto", **given):
        metric = metrics.metric(name, D)
        return loop.visit(x, y, metric, filters.Filters(**given), 3, 0, 1 << 30, precision, Prepared(), None)

    found = visit("dot")
    assert [len(group) for group in found.groups] == [N]
    assert found.space.metric.name == "dot"
    assert made == ["numpy"]
    assert visit("dot", "float64").groups is None
    assert visit("cityblock").groups is None
    assert visit("euclidean", **BIASED).groups is None
    assert made == ["numpy"]
    assert visit("sqeuclidean", **BIASED).groups is not None


def test_room_for_kept_codes(monkeypatch):
    """A bias goes into a copy of the codes, which takes room as if they were made."""
    asked = []
    monkeypatch.setattr(loop, "plan", lambda *sizes: asked.append(sizes) or Plan(1, 1, 1, 1, 1))
    x, y = Rows("queries", rows(M), False), Rows("gallery", rows(N, seed=1), False)

    class Prepared:
        def of(self, name, make):
            return make(y)

    for prepared, given, there in ((None, {}, False), (Prepared(), {}, True), (Prepared(), BIASED, False)):
        loop.visit(x, y, metrics.metric("dot", D), filters.Filters(**given), 3, 2, 1 << 20, "auto", prepared, None)
        assert asked[-1] == (M, N, D, 3, 2, 1 << 20, there)


def test_precisions():
    for precision in ("auto", "float32", "float64"):
        assert loop.declines(precision) is None
    assert loop.declines("int8") == "it scans in float32 or float64, not precision='int8'"
