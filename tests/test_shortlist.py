"""The k best from tiles of bounds alone: the answer of brute force, few canonical values, bounded memory."""

import numpy as np
import pytest

from crossmodal_fast.kernels.tiles.loop import Tile
from crossmodal_fast.kernels.tiles.shortlist import CROWD, ENTRY_BYTES, FEW, Shortlist, foremost

COLUMNS = 16  # of a tile


class Pairs:
    """Values of owners and partners, tiles that say of them what their bounds say, and which values were asked for."""

    def __init__(self, value, width=0.0, allowed=None, widened=0.0, seed=0):
        self.value, self.width, self.allowed, self.widened = value, width, allowed, widened
        self.owners = 3 + 2 * np.arange(len(value))
        self.share = np.random.default_rng(seed).uniform(0, 2, value.shape)
        self.asked, self.wide = [], []

    def exact(self, owners, partners):
        self.asked += zip(owners.tolist(), partners.tolist(), strict=True)
        return self.value[(owners - 3) // 2, partners]

    def bounds(self, rows, columns, width):
        key = -self.value[np.ix_(rows, columns)]
        high = key + width * self.share[np.ix_(rows, columns)]  # key <= high <= key + 2 width
        if self.allowed is not None:
            high[~self.allowed[np.ix_(rows, columns)]] = -np.inf
        tile = Tile(self.owners[rows], columns, high, slack=np.zeros((1, 1)))
        tile.margin = tile.most = lambda *_: width
        tile.key = lambda row, order: (-order - 1e-9, -order + 1e-9)
        if width > self.widened:

            def widen(crowded):
                self.wide.append(rows[crowded])
                for half in np.array_split(columns, 2):
                    yield self.bounds(rows[crowded], half, self.widened)

            tile.widen = widen
        return tile

    def values(self, rows, columns):
        at = np.ix_(rows, columns)
        return Tile(self.owners[rows], columns, value=self.value[at], allowed=self.allowed and self.allowed[at])

    def tiles(self, columns=COLUMNS):
        m, n = self.value.shape
        for start in range(0, n, columns):
            yield self.bounds(np.arange(m), np.arange(start, min(start + columns, n)), self.width)


def lawful(value, k, allowed=None):
    """Brute force: by (value, partner), empty slots last."""
    value = value if allowed is None else np.where(allowed, value, np.inf)
    index = np.argsort(value, axis=1, kind="stable")[:, :k]
    found = np.take_along_axis(value, index, 1)
    return found, np.where(np.isinf(found), -1, index)


class Watched(Shortlist):
    """Keeps the most entries that waited at a time, as they were added and afterwards."""

    most = left = 0

    def _add(self, entries):
        self.most = max(self.most, self._waiting + len(entries) - self.settled)
        super()._add(entries)
        self.left = max(self.left, self._waiting - self.settled)


def same(found, expected):
    for part, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(part, other)


def drawn(m, n, kind, seed=1):
    rng = np.random.default_rng(seed)
    return {
        "normal": lambda: rng.standard_normal((m, n)),
        "ties": lambda: rng.integers(0, 4, (m, n)).astype(float),
        "rising": lambda: np.sort(rng.standard_normal((m, n))),
        "falling": lambda: -np.sort(rng.standard_normal((m, n))),
        "equal": lambda: np.ones((m, n)),
    }[kind]()


@pytest.mark.parametrize("width", [0.0, 0.05, 10.0])
@pytest.mark.parametrize("kind", ["normal", "ties", "rising", "falling", "equal"])
@pytest.mark.parametrize("k", [1, 3, 40])
def test_equals_brute_force(kind, width, k):
    pairs = Pairs(drawn(3, 120, kind), width)
    for capacity in (3, 64, 1 << 20):
        chosen = Watched(pairs.owners, k, capacity, pairs.exact)
        for tile in pairs.tiles():
            chosen.offer(tile)
        same(chosen.result(), lawful(pairs.value, k))
        assert chosen.most <= capacity // 2 + max(1, capacity // 4)
        assert chosen.left <= capacity // 2
        assert len(pairs.asked) == len(set(pairs.asked))  # no value twice
        pairs.asked.clear()


@pytest.mark.parametrize("kind", ["normal", "falling"])
def test_few_canonical_values(kind):
    """A threshold rises with every tile: of bounds that are nearly tight, what is left is nearly the answer."""
    pairs = Pairs(drawn(5, 400, kind), 1e-6)
    chosen = Shortlist(pairs.owners, 6, 200, pairs.exact)
    for tile in pairs.tiles():
        chosen.offer(tile)
    chosen.tighten()
    chosen.result()
    assert len(pairs.asked) == len(set(pairs.asked))
    assert len(pairs.asked) <= (1.3 if kind == "normal" else 12) * 5 * 6


def test_bytes_of_an_entry():
    """Itself, its sorted copy and the sort's own arrays."""
    pairs = Pairs(drawn(2, 9, "normal"), 1.0)
    chosen = Shortlist(pairs.owners, 4, 64, pairs.exact)
    chosen.offer(next(pairs.tiles()))
    assert 3 * sum(column.itemsize for column in chosen._joined()) == ENTRY_BYTES


def test_owners_in_some_tiles_only():
    """Blocks of rows, each offered as it comes; others keep what they have."""
    pairs = Pairs(drawn(6, 50, "normal"), 0.1)
    chosen = Shortlist(pairs.owners, 4, 64, pairs.exact)
    for rows in ([4, 5], [0, 2], [1, 3]):
        for columns in (np.arange(20, 50), np.arange(20)):
            chosen.offer(pairs.bounds(np.array(rows), columns, 0.1))
    same(chosen.result(), lawful(pairs.value, 4))


@pytest.mark.parametrize("share", [0.0, 0.05, 0.6])
def test_pairs_that_may_not_match(share):
    allowed = np.random.default_rng(2).random((5, 120)) < share
    pairs = Pairs(drawn(5, 120, "ties"), 0.3, allowed)
    chosen = Shortlist(pairs.owners, 7, 40, pairs.exact)
    for tile in pairs.tiles():
        chosen.offer(tile)
    same(chosen.result(), lawful(pairs.value, 7, allowed))
    assert all(allowed[(owner - 3) // 2, partner] for owner, partner in pairs.asked)


@pytest.mark.parametrize("k", [1, 5])
def test_a_limit_leaves_out_what_is_above_it(k):
    pairs = Pairs(drawn(5, 200, "normal"), 0.01)
    limit = np.array([-2.0, -1.0, 0.0, 1.0, np.nan])
    chosen = Shortlist(pairs.owners, k, 1000, pairs.exact, limit)
    for tile in pairs.tiles():
        chosen.offer(tile)
    value, partner = chosen.result()
    law = lawful(pairs.value, k)
    for owner in range(5):
        inside = law[0][owner] <= limit[owner] if owner < 4 else np.ones(k, bool)
        same((value[owner][inside], partner[owner][inside]), (law[0][owner][inside], law[1][owner][inside]))
    asked = np.array(
        [pairs.value[(owner - 3) // 2, partner] - limit[(owner - 3) // 2] for owner, partner in pairs.asked]
    )
    assert np.nanmax(asked) < 0.03
    assert limit[0] == -2.0  # not written to
    assert chosen.worst is not limit


def test_a_crowd_is_thinned_by_the_tile_itself():
    """Before any threshold is known, the k-th largest bound of the tile is one: nobody is scanned again."""
    n = 8 * (CROWD + FEW)
    pairs = Pairs(drawn(3, n, "normal"), 1e-3)
    chosen = Watched(pairs.owners, 1, 1 << 20, pairs.exact)
    chosen.offer(pairs.bounds(np.arange(3), np.arange(n), 1e-3))
    assert chosen.left <= 6
    assert pairs.wide == []
    same(chosen.result(), lawful(pairs.value, 1))


def test_a_crowd_is_thinned_at_the_kth_of_its_tile():
    """Of many owners: where a partition ends beside the k-th, it is in its place by chance."""
    m, n, k = 300, 300, 30
    assert n > CROWD * k + FEW
    pairs = Pairs(drawn(m, n, "normal"), 1e-9)
    chosen = Watched(pairs.owners, k, 1 << 20, pairs.exact)
    chosen.offer(pairs.bounds(np.arange(m), np.arange(n), 1e-9))
    assert chosen.left == m * k
    same(chosen.result(), lawful(pairs.value, k))


@pytest.mark.parametrize("spare", [0, 1])
def test_a_crowd_that_the_bound_does_not_tell_apart_is_scanned_again(spare):
    """CROWD k + FEW candidates are none yet, one more is."""
    k, n = 2, CROWD * 2 + FEW + spare
    pairs = Pairs(drawn(4, n, "normal"), 100.0)
    pairs.value[1] *= 1e6  # told apart
    pairs.share[1] = 1.0
    pairs.width = 100.0
    chosen = Watched(pairs.owners, k, 1 << 20, pairs.exact)
    chosen.offer(pairs.bounds(np.arange(4), np.arange(n), 100.0))
    assert [rows.tolist() for rows in pairs.wide] == ([[0, 2, 3]] if spare else [])
    assert 3 * n < chosen.left < 3 * n + 6 if spare else chosen.left == 4 * n  # nobody twice
    same(chosen.result(), lawful(pairs.value, k))


def test_a_crowd_in_a_tile_narrower_than_k():
    k = 200
    pairs = Pairs(drawn(3, 150, "normal"), 1.0)
    chosen = Shortlist(pairs.owners, k, 1 << 20, pairs.exact)
    for tile in pairs.tiles(150):
        chosen.offer(tile)
    value, partner = chosen.result()
    same((value[:, :150], partner[:, :150]), lawful(pairs.value, 150))
    assert (partner[:, 150:] == -1).all()
    assert np.isposinf(value[:, 150:]).all()


# -------------------------------------------------------------------------------------------------------------- values


@pytest.mark.parametrize("kind", ["normal", "ties", "falling", "equal"])
@pytest.mark.parametrize("share", [None, 0.0, 0.5])
@pytest.mark.parametrize("k", [1, 3, 30])
def test_tiles_of_values(kind, share, k):
    allowed = None if share is None else np.random.default_rng(3).random((4, 300)) < share
    pairs = Pairs(drawn(4, 300, kind), 0.2)
    chosen = Watched(pairs.owners, k, 100, pairs.exact)
    for start in (200, 100, 0):
        columns, at = np.arange(start, start + 100), np.s_[:, start : start + 100]
        part = None if allowed is None else allowed[at]
        chosen.offer(Tile(pairs.owners, columns, value=pairs.value[at], allowed=part))
    same(chosen.result(), lawful(pairs.value, k, allowed))
    assert pairs.asked == []  # they are known
    assert chosen.most <= 100 // 2 + 100 // 4


@pytest.mark.parametrize("spare", [0, 1])
def test_values_beyond_the_kth_of_their_tile_do_not_wait(spare):
    """Where more than k + FEW of a row are left on average."""
    value = drawn(5, FEW + 3 + spare, "normal")
    pairs = Pairs(value)
    chosen = Watched(pairs.owners, 3, 1 << 20, pairs.exact)
    chosen.offer(Tile(pairs.owners, np.arange(value.shape[1]), value=value))
    assert chosen.left == (15 if spare else value.size)
    same(chosen.result(), lawful(value, 3))


def test_the_kth_value_of_a_tile_of_many():
    value = drawn(400, 200, "normal")
    pairs = Pairs(value)
    chosen = Watched(pairs.owners, 20, 1 << 20, pairs.exact)
    chosen.offer(Tile(pairs.owners, np.arange(200), value=value))
    assert chosen.left == 400 * 20
    same(chosen.result(), lawful(value, 20))


def test_values_behind_what_an_owner_has_do_not_wait():
    """The fourth is 3.0: of the second tile that one and a tie stay, which has a higher index."""
    first, second = np.arange(20.0), np.array([3.5, 3.0, 2.5, 10.0, 19.0, 30.0])
    value = np.tile(np.r_[first, second], (3, 1))
    pairs = Pairs(value)
    chosen = Watched(pairs.owners, 4, 1 << 20, pairs.exact)
    chosen.offer(Tile(pairs.owners, np.arange(20), value=value[:, :20]))
    chosen.settle()
    chosen.offer(Tile(pairs.owners, np.arange(20, 26), value=value[:, 20:]))
    assert chosen._waiting == 3 * (4 + 2)
    same(chosen.result(), lawful(value, 4))


def test_nan_comes_after_everything():
    value = np.array([[np.nan, 3.0, np.nan, 1.0], [np.nan] * 4])
    pairs = Pairs(value)
    chosen = Shortlist(pairs.owners, 3, 100, pairs.exact)
    chosen.offer(Tile(pairs.owners, np.arange(4), value=value))
    found, partner = chosen.result()
    assert partner.tolist() == [[3, 1, 0], [0, 1, 2]]
    np.testing.assert_array_equal(found, [[1, 3, np.nan], [np.nan] * 3])


def test_values_and_bounds_of_one_owner():
    pairs = Pairs(drawn(4, 120, "ties"), 0.4)
    chosen = Shortlist(pairs.owners, 9, 60, pairs.exact)
    for at, tile in enumerate(pairs.tiles()):
        columns = tile.partner
        chosen.offer(Tile(pairs.owners, columns, value=pairs.value[:, columns]) if at % 2 else tile)
    same(chosen.result(), lawful(pairs.value, 9))


def test_nobody_was_offered():
    chosen = Shortlist(np.arange(2), 3, 10, None)
    chosen.exact = lambda *_: np.zeros(0)
    value, partner = chosen.result()
    assert np.isposinf(value).all()
    assert (partner == -1).all()
    assert value.shape == partner.shape == (2, 3)


def test_the_foremost_of_every_row():
    value = np.array([[2.0, np.nan, 1.0, 1.0, np.inf], [0.0, 5.0, np.inf, np.inf, 4.0]])
    partner = np.array([[9, 1, 7, 0, -1], [-1, 2, 8, -1, 6]])
    found, where = foremost(value, partner, 4)
    assert where.tolist() == [[0, 7, 9, 1], [6, 2, 8, -1]]
    np.testing.assert_array_equal(found, [[1, 1, 2, np.nan], [4, 5, np.inf, 0]])
