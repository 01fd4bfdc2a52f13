"""Rows as the float scan sees them: vectors, scales, the columns behind the features, what a product makes of them."""

from fractions import Fraction

import numpy as np
import pytest

from crossmodal_fast.kernels.tiles import encode, metrics
from crossmodal_fast.kernels.tiles.rows import Rows

METRICS = ("sqeuclidean", "cosine", "correlation", "dot")
DTYPES = ("float32", "float64")
EPS = {"float32": 2.0**-24, "float64": 2.0**-53}


def metric(name, d=3):
    return metrics.metric(name, d)


def normal(b, d, seed=0, scale=1.0):
    return scale * np.random.default_rng(seed).standard_normal((b, d))


def encoded(rows, name="dot", dtype="float32", centre=None, first=0):
    return encode.encode(
        rows, np.arange(first, first + len(rows)), encode.Space(metric(name, rows.shape[1]), centre), dtype
    )


# -------------------------------------------------------------------------------------------------------------- vectors


def test_vectors_of_each_form():
    rows, centre = normal(4, 3), np.array([1.0, -2.0, 0.5])
    kept = rows.copy()
    vectors, norm, safe = encode.Space(metric("dot")).vectors(rows)
    np.testing.assert_array_equal(vectors, rows)
    np.testing.assert_allclose(norm, np.linalg.norm(rows, axis=1), rtol=1e-15)
    assert safe.all()
    vectors, norm, _ = encode.Space(metric("sqeuclidean"), centre).vectors(rows.astype(np.float32))
    np.testing.assert_array_equal(vectors, rows.astype(np.float32).astype(float) - centre)
    np.testing.assert_allclose(norm, np.linalg.norm(vectors, axis=1), rtol=1e-15)
    for given in (rows, rows.astype(np.float32)):
        vectors, norm, _ = encode.Space(metric("cosine")).vectors(given)
        np.testing.assert_allclose(vectors, given / np.linalg.norm(given, axis=1)[:, None], rtol=1e-6)
        assert norm.tolist() == [1, 1, 1, 1]
        vectors, norm, _ = encode.Space(metric("correlation")).vectors(given)
        less = given - given.mean(axis=1)[:, None]
        np.testing.assert_allclose(vectors, less / np.linalg.norm(less, axis=1)[:, None], rtol=1e-5)
    np.testing.assert_array_equal(rows, kept)


@pytest.mark.parametrize("name", METRICS)
def test_rows_of_zeros(name):
    vectors, norm, safe = encode.Space(metric(name)).vectors(np.zeros((2, 3)))
    assert not vectors.any()
    assert not norm.any()
    assert safe.all()


@pytest.mark.parametrize("sign", [1, -1])
def test_norms_that_float64_squares(sign):
    """2**-400 to 2**400, both excluded; squares that vanish are no zero row."""
    size = 2.0 ** (sign * np.array([399.0, 399.99, 400.0, 401.0, 500.0, 700.0, 1000.0]))
    with np.errstate(over="ignore", under="ignore"):
        _, _, safe = encode.Space(metric("dot", 1)).vectors(size[:, None])
    assert safe.tolist() == [True, True, False, False, False, False, False]


def test_cosines_need_no_range():
    rows = normal(6, 5) * 2.0 ** np.array([900, 600, 410, -410, -600, -900.0])[:, None]
    vectors, norm, safe = encode.Space(metric("cosine", 5)).vectors(rows)
    assert safe.all()
    assert norm.tolist() == [1.0] * 6
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-14)


# ------------------------------------------------------------------------------------------------------------ the space


@pytest.mark.parametrize(
    ("n", "d", "found"),
    [(10, 3, range(10)), (256, 3, range(256)), (257, 3, range(0, 257, 2)), (1000, 3, range(0, 1000, 4)),
     (128, 1024, range(128)), (129, 1024, range(0, 129, 2)), (9, 1 << 20, range(0, 9, 2)), (0, 3, [])],
)  # fmt: skip
def test_which_rows_decide(n, d, found):
    class Shape:
        shape = n, d

        def __len__(self):
            return n

    if n:
        assert encode.sampled(Shape()).tolist() == list(found)


def test_a_scan_is_in_float32_up_to_a_million_features():
    assert encode.scan_dtype(1 << 20) == "float32"
    assert encode.scan_dtype((1 << 20) + 1) == "float64"


def centre(rows, name="sqeuclidean"):
    return encode.space(metric(name, rows.shape[1]), Rows("gallery", rows)).centre


def test_a_centre_where_it_shortens_rows():
    """Centred norms of 0.69 of the plain ones pay, of 0.71 do not: of the median row, by its square."""
    for share, pays in ((0.69, True), (0.71, False)):
        rows = np.array([[1 - share], [1.0], [1 + share], [1.0 - share], [1.0 + share]])
        squares = np.median(rows**2), np.median((rows - 1) ** 2)
        assert (centre(rows) is not None) == (squares[1] < 0.49 * squares[0]) == pays
    rows = normal(300, 4) + np.array([9.0, 0, 0, 5])
    np.testing.assert_array_equal(centre(rows), np.median(rows[::2], axis=0))
    np.testing.assert_array_equal(centre(1e6 * rows), np.median(1e6 * rows[::2], axis=0))
    assert centre(normal(300, 4)) is None
    for name in ("cosine", "dot", "cityblock"):
        assert centre(rows, name) is None


def test_a_centre_of_rows_within_range():
    rows = normal(30, 4) + 9.0
    expected = np.median(rows, axis=0)
    huge = np.full((3, 4), 9.0)
    huge[0, 2], huge[1, 0], huge[2] = 2.0**400, -(2.0**500), 1e300
    np.testing.assert_array_equal(centre(np.concatenate([huge, rows])), expected)
    assert centre(huge) is None
    assert centre(np.empty((0, 4))) is None


# --------------------------------------------------------------------------------------------------------------- groups


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", METRICS)
def test_a_code_row(name, dtype):
    """[x / scale | high, low | norm / scale | 1, 1], high + low = (growth * weight - offset) / offset_scale."""
    rows = normal(6, 5, scale=2.0**20)
    point = np.arange(5.0) if name == "sqeuclidean" else None
    (group,) = encoded(rows, name, dtype, point, first=40)
    vectors, norm, _ = encode.Space(metric(name, 5), point).vectors(rows)
    assert group.index.tolist() == list(range(40, 46))
    assert group.codes.dtype == dtype
    assert group.codes.shape == (6, 10)
    assert group.scale == (1.0 if norm[0] == 1 else 2.0**32)
    np.testing.assert_array_equal(group.norm, norm)
    weight = norm**2 / 2 if name == "sqeuclidean" else np.zeros(6)
    np.testing.assert_allclose(group.weight, weight, rtol=1e-15)
    np.testing.assert_array_equal(group.offset, group.weight)
    np.testing.assert_array_equal(group.codes[:, :5], (vectors / group.scale).astype(dtype))
    if name == "sqeuclidean":
        assert 1 < group.offset_scale / weight.max() <= 2
    else:
        assert group.offset_scale == 2.0**-999
    assert np.log2(group.offset_scale) % 1 == 0
    raised = (encode.growth(5, dtype) * weight - weight) / group.offset_scale
    np.testing.assert_array_equal(group.codes[:, 5], raised.astype(dtype))
    both = group.codes[:, 5].astype(float) + group.codes[:, 6].astype(float)
    np.testing.assert_allclose(both, raised, rtol=2 * EPS[dtype] ** 2 if dtype == "float32" else 1e-15)
    above = group.codes[:, 7] * group.scale / norm - 1
    assert (above > 0).all()  # a norm is never rounded down
    assert (above < 2e-6).all()
    assert (group.codes[:, 8:] == 1).all()


def test_scales_of_rows_of_every_size():
    """Norms from 2**-17 to below 2**15 share the scale 1, those from 2**15 to below 2**47 the next."""
    exponents = [-50, -49, -18, -17, 0, 14, 15, 46, 47, 200]
    rows = 2.0 ** np.array(exponents)[:, None]
    found = {}
    for group in encoded(rows, dtype="float64"):
        found[group.scale] = group.index.tolist()
        np.testing.assert_array_equal(group.codes[:, 0] * group.scale, rows[group.index, 0])
    assert found == {2.0**-64: [0], 2.0**-32: [1, 2], 1.0: [3, 4, 5], 2.0**32: [6, 7], 2.0**64: [8], 2.0**192: [9]}
    zeros = encoded(np.zeros((2, 1)))
    assert [group.scale for group in zeros] == [1.0]


def test_rows_without_a_bound_are_a_group_of_their_own():
    rows = normal(7, 3)
    rows[2], rows[5], rows[6, 1] = 1e200, 1e-200, np.nan
    lost, held = encoded(rows)
    assert (lost.index.tolist(), held.index.tolist()) == ([2, 5, 6], [0, 1, 3, 4])
    assert lost.codes is lost.norm is lost.offset is lost.weight is None
    np.testing.assert_array_equal(held.codes[:, :3], rows[held.index].astype(np.float32))
    (lost,) = encoded(rows[[2, 5]])
    assert lost.codes is None
    (group,) = encoded(rows, "cityblock")
    assert group.codes is None
    assert group.index.tolist() == list(range(7))


@pytest.mark.parametrize("name", METRICS)
def test_pieces_do_not_show(name, monkeypatch):
    rows = normal(33, 5) * 2.0 ** (20 * np.arange(33) % 90)[:, None]
    whole = encoded(rows, name)
    for step in (1, 2, 10):
        monkeypatch.setattr(encode, "PIECE_BYTES", step * 40)
        for group, other in zip(encoded(rows, name), whole, strict=True):
            assert group.scale == other.scale
            for part in ("index", "codes", "norm", "offset", "weight"):
                np.testing.assert_array_equal(getattr(group, part), getattr(other, part))


def test_a_piece_is_half_a_megabyte(monkeypatch):
    seen, vectors = [], encode.Space.vectors

    def watched(space, rows):
        seen.append(rows.shape)
        return vectors(space, rows)

    monkeypatch.setattr(encode.Space, "vectors", watched)
    encoded(np.ones((20, 1 << 13)))
    encoded(np.ones((2, 1 << 17)))
    assert seen == [(8, 1 << 13), (8, 1 << 13), (4, 1 << 13), (1, 1 << 17), (1, 1 << 17)]


def test_parts_of_a_group():
    rows = normal(5, 3)
    rows[4] = 1e200
    lost, group = encoded(rows, "sqeuclidean")
    assert (len(lost), len(group)) == (1, 4)
    part = group[np.array([1, 3])]
    assert part.index.tolist() == [1, 3]
    for name in ("codes", "norm", "offset", "weight"):
        np.testing.assert_array_equal(getattr(part, name), getattr(group, name)[[1, 3]])
    assert (part.scale, part.offset_scale) == (group.scale, group.offset_scale)
    assert lost[:1].codes is None
    assert lost.nbytes == 8
    assert group.nbytes == 4 * (8 + 8 * 4 + 8 + 8 + 8)
    (far,) = encoded(rows[:4] * 2.0**40, "sqeuclidean")
    assert group.alike(part)
    assert not group.alike(far)
    assert not group.alike(lost)
    assert lost.alike(lost[:1])


@pytest.mark.parametrize("name", METRICS)
def test_groups_joined_are_those_of_all_rows(name):
    rows = normal(7, 4) * np.arange(1, 8)[:, None]
    (all_of_them,), (first,), (second,) = (
        encoded(part, name, first=start) for part, start in ((rows, 0), (rows[:3], 0), (rows[3:], 3))
    )
    found = encode.joined(first, second)
    assert (found.scale, found.offset_scale) == (all_of_them.scale, all_of_them.offset_scale)
    for part in ("index", "codes", "norm", "offset", "weight"):
        np.testing.assert_array_equal(getattr(found, part), getattr(all_of_them, part))
    lost = encode.joined(encode.Group(np.array([1, 4])), encode.Group(np.array([7])))
    assert lost.index.tolist() == [1, 4, 7]
    assert lost.codes is None


@pytest.mark.parametrize(("form", "name", "worth", "more"), [
    ("l2", "sqeuclidean", 0.5, 0), ("cosine", "cosine", 1.0, 1), ("dot", "dot", -1.0, 0),
])  # fmt: skip
def test_biased_groups(form, name, worth, more):
    (group,) = encoded(normal(5, 3), name)
    before = group.codes.copy()
    bias = np.array([3.0, -4.0, 0.0, 1e-3, 900.0])
    (found,) = encode.biased(group, bias, form)
    np.testing.assert_allclose(found.offset, group.offset + worth * bias, rtol=1e-15)
    np.testing.assert_allclose(found.weight, group.weight + abs(worth * bias) + more, rtol=1e-15)
    assert 1 < found.offset_scale / found.weight.max() <= 2
    raised = (encode.growth(3, "float32") * found.weight - found.offset) / found.offset_scale
    np.testing.assert_array_equal(found.codes[:, 3], raised.astype(np.float32))
    np.testing.assert_array_equal(found.codes[:, :3], before[:, :3])
    np.testing.assert_array_equal(group.codes, before)
    assert encode.biased(group, None, form) == [group]
    lost = encode.Group(group.index)
    assert encode.biased(lost, bias, form) == [lost]


@pytest.mark.parametrize("form", ["l2", "cosine", "dot"])
def test_biases_beyond_range(form):
    (group,) = encoded(normal(4, 3), {"l2": "sqeuclidean"}.get(form, form))
    bias = np.array([1.0, 2.0**400, 5.0, -(2.0**402)]) / abs(encode.OFFSET[form])
    lost, held = encode.biased(group, bias, form)
    assert (lost.codes, lost.index.tolist(), held.index.tolist()) == (None, [1, 3], [0, 2])
    assert held.codes.shape == (2, 8)
    (lost,) = encode.biased(group, np.full(4, 1e300), form)
    assert lost.codes is None
    assert lost.index.tolist() == [0, 1, 2, 3]


# -------------------------------------------------------------------------------------------------------------- product


def exact(rows):
    return [[Fraction(float(number)) for number in row] for row in rows]


def bounds(x, y, symmetric):
    """(upper bound by the product of code rows in exact arithmetic, what summing it may lose) of each pair."""
    left, unit = encode.operand(x, y, symmetric)
    share = Fraction(EPS[left.dtype.name]) * (left.shape[1] + 8)
    for a in exact(left):
        for b in exact(y.codes[:, : left.shape[1]]):
            terms = [p * q for p, q in zip(a, b, strict=True)]
            yield sum(terms) * Fraction(unit), share * sum(map(abs, terms)) * Fraction(unit)


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("biases", [None, (3.0, -7.0), (1e6, 1e3)])
@pytest.mark.parametrize("name", ["sqeuclidean", "dot", "cosine"])
@pytest.mark.parametrize("sizes", [(1.0, 1.0), (2.0**20, 2.0**-20)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_product_is_an_upper_bound_and_a_near_one(dtype, sizes, name, biases, symmetric):
    """Of x . y - o - p: above it whatever the order of the sum, by no more than twice what is lost and its room."""
    rows = [normal(3, 6, seed, size) for seed, size in enumerate(sizes)]
    form = metric(name).form
    groups = [encoded(part, name, dtype)[0] for part in rows]
    if biases is not None:
        groups = [
            encode.biased(group, bias * np.arange(1, 4), form)[0] for group, bias in zip(groups, biases, strict=True)
        ]
    x, y = groups
    vectors = [exact(encode.Space(metric(name, 6)).vectors(part)[0]) for part in rows]
    g = Fraction(float(encode.growth(6, dtype)))
    found = iter(bounds(x, y, symmetric))
    for i, a in enumerate(vectors[0]):
        for j, b in enumerate(vectors[1]):
            high, lost = next(found)
            key = sum(p * q for p, q in zip(a, b, strict=True)) - Fraction(y.offset[j])
            weight = Fraction(y.weight[j])
            if symmetric:
                key, weight = key - Fraction(x.offset[i]), weight + Fraction(x.weight[i])
            room = g * (Fraction(x.norm[i]) * Fraction(y.norm[j]) + weight)
            assert key <= high - lost + Fraction(1e-13) * room
            assert high + lost <= key + 2 * room * (1 + Fraction(1, 10_000))


def test_the_unit_of_a_product():
    """The largest of what is added up, so that a float32 holds it."""
    (x,), (y,) = encoded(normal(3, 4, scale=2.0**40), "sqeuclidean"), encoded(normal(5, 4, 1), "sqeuclidean")
    assert encode.operand(x, y, False)[1] == max(x.scale * y.scale, y.offset_scale) == 2.0**32
    assert encode.operand(x, y, True)[1] == x.offset_scale
    assert encode.operand(y, x, False)[1] == x.offset_scale
    left, _ = encode.operand(x, y, False)
    assert (left.shape, left.dtype) == ((3, 7), np.float32)
    assert encode.operand(x, y, True)[0].shape == (3, 9)
    wide, _ = encode.operand(*(encoded(normal(3, 4), "dot", "float64")[0] for _ in range(2)), True)
    assert wide.dtype == np.float64
    for size, scale in ((2.0**40, 2.0**32), (2.0**-80, 2.0**-64)):
        (x,), (y,) = (encoded(normal(3, 4, seed, size)) for seed in (2, 3))
        assert x.scale == y.scale == scale
        for symmetric in (False, True):
            assert encode.operand(x, y, symmetric)[1] == scale**2


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("symmetric", [False, True])
def test_no_norm_is_rounded_down_in_a_product(dtype, symmetric):
    """Of the share that stands for |x||y|: a little above it, whatever float32 makes of its factors."""
    (x,), (y,) = (encoded(normal(50, 4, seed, 2.0**20), "sqeuclidean", dtype) for seed in (4, 5))
    left, unit = encode.operand(x, y, symmetric)
    found = left[:, 6].astype(float) * unit / (float(encode.growth(4, dtype)) * y.scale * x.norm) - 1
    assert (found > 0).all()
    assert (found < 2e-6).all()
