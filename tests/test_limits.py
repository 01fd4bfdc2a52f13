"""Arguments on both sides of every rule: the last that is taken, the first that is not, and kinds in between."""

import numpy as np
import pytest

import crossmodal_fast as cmf
from crossmodal_fast import _validate

X, Y = np.arange(12.0).reshape(3, 4), np.arange(20.0).reshape(5, 4)
CUBE = np.arange(40.0).reshape(2, 5, 4)
MASKED = np.ma.masked_less([1, 2, 3], 2)
RAGGED = [[1], [1, 2]]
NUMPY = {"backend": "numpy"}


def topk(queries=X, gallery=Y, k=2, *more, **keywords):
    return cmf.topk(queries, gallery, k, *more, **NUMPY, **keywords)


def ranks(positives):
    return cmf.ranks(X, Y, positives, **NUMPY)


def within(radius):
    return cmf.within(X, Y, radius, **NUMPY)


def transfer(E=X, M=Y, bias=None, **keywords):
    return cmf.transfer(E, M, bias, **NUMPY, **keywords)


class Store:
    """Rows that are there only in slices; without one of the three attributes it is no store."""

    def __init__(self, rows, lacks=""):
        self.rows, self.lacks = rows, lacks

    def __getattribute__(self, name):
        if name in ("dtype", "shape"):
            if name == object.__getattribute__(self, "lacks"):
                raise AttributeError(name)
            return getattr(object.__getattribute__(self, "rows"), name)
        return object.__getattribute__(self, name)

    def __getitem__(self, at):
        return self.rows[at]

    def __array__(self, *_, **__):
        raise TypeError("too large to be read at once")


def test_a_store_is_read_in_slices_alone():
    expected = topk(X, Y)
    for given in (topk(Store(X), Y), topk(X, Store(Y))):
        np.testing.assert_array_equal(given.indices, expected.indices)
    allowed = np.arange(15).reshape(3, 5) % 2 == 0
    np.testing.assert_array_equal(topk(mask=Store(allowed)).indices, topk(mask=allowed).indices)


@pytest.mark.parametrize("lacks", ["dtype", "shape"])
def test_what_is_no_store_must_be_an_array(lacks):
    with pytest.raises(TypeError, match="queries must be rows of numbers of one length, got <"):
        topk(Store(X, lacks), Y)


def test_a_dtype_and_a_shape_alone_are_no_rows():
    class Described:
        dtype, shape = np.dtype(np.float64), (3, 4)

    with pytest.raises(TypeError, match=f"queries must be {_validate.WIDENED}, got dtype object"):
        topk(Described(), Y)


# --------------------------------------------------------------------------------------------------- names in sentences

ARRAYS = [
    ("radius", within),
    ("positives", ranks),
    ("exclude", lambda value: topk(exclude=value)),
    ("mask", lambda value: topk(mask=value)),
    ("bias[0]", lambda value: topk(bias=(value, np.zeros(5)))),
    ("bias[1]", lambda value: topk(bias=(np.zeros(3), value))),
    ("bias", lambda value: transfer(bias=value)),
    ("which", lambda value: transfer(X, CUBE, which=value)),
    ("ids", lambda value: cmf.Gallery(Y, ids=value)),
    ("metric_kwargs['w']", lambda value: topk(X, Y, 2, "cityblock", metric_kwargs={"w": value})),
    ("metric_kwargs['V']", lambda value: topk(X, Y, 2, "seuclidean", metric_kwargs={"V": value})),
    ("metric_kwargs['VI']", lambda value: topk(X, Y, 2, "mahalanobis", metric_kwargs={"VI": value})),
]


@pytest.mark.parametrize(("name", "call"), ARRAYS, ids=[row[0] for row in ARRAYS])
def test_masked_and_ragged_arrays_are_refused_by_name(name, call):
    for value, said in ((MASKED, "without masked or missing entries, got MaskedArray"), (RAGGED, "got [[1], [1, 2]]")):
        with pytest.raises(TypeError) as caught:
            call(value)
        assert str(caught.value).startswith(f"{name} must be an array")
        assert str(caught.value).endswith(said)


def test_names_of_the_sides():
    empty = np.zeros((0, 4))
    for call, said in (
        (lambda: cmf.within(X, empty, 1.0), "gallery must have at least one row, got shape (0, 4)"),
        (lambda: cmf.ranks(X, empty, [0, 0, 0]), "gallery must have at least one row, got shape (0, 4)"),
        (lambda: cmf.within(X, CUBE, 1.0), "gallery must have shape (rows, features), got (2, 5, 4); this result has "
         "no batch axes"),
        (lambda: cmf.topk_both(X, Y, (4, 1)), None),
        (lambda: cmf.topk_both(X, Y, (6, 1)), "k[0] must be in 1..5 (the rows of Y), got 6"),
        (lambda: cmf.topk_both(X, Y, (1, 4)), "k[1] must be in 1..3 (the rows of X), got 4"),
        (lambda: cmf.topk_both(X, Y, 4), "k must be in 1..3 (the rows of X), got 4"),
        (lambda: cmf.topk_both(X, Y, 6), "k must be in 1..5 (the rows of Y), got 6"),
        (lambda: cmf.topk_both(X, Y, (1, 2, 3)), "k must be one number or (k_rows, k_columns), got (1, 2, 3)"),
        (lambda: transfer(E=X[0]), "E must have shape (..., rows, features), got (4,)"),
        (lambda: transfer(M=Y[0]), "M must have shape (..., rows, features), got (4,)"),
        (lambda: transfer(CUBE, np.zeros((3, 5, 4))), "leading axes of E and M must broadcast, got shapes (2, 5, 4) "
         "and (3, 5, 4)"),
        (lambda: topk(X[0, 0]), "queries must have shape (..., rows, features), got ()"),
    ):  # fmt: skip
        if said is None:
            call()
            continue
        with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole sentence is compared
            call()
        assert str(caught.value) == said


# ---------------------------------------------------------------------------------------------------------------- taken


def test_no_queries_are_no_fault():
    assert topk(X[:0]).indices.shape == (0, 2)
    assert topk(np.zeros((2, 0, 4))).indices.shape == (2, 0, 2)
    assert cmf.within(X[:0], Y, 1.0, **NUMPY).indices.size == 0
    assert cmf.ranks(X[:0], Y, [], **NUMPY).shape == (0,)
    assert transfer(X[:0]).shape == (0, 5)
    assert transfer(X[:0], CUBE, which=[]).shape == (0, 5)


@pytest.mark.parametrize("kind", [bool, np.int8, np.uint64, np.float16, np.float32, np.float64])
def test_kinds_of_numbers(kind):
    assert topk(X.astype(kind), Y.astype(kind)).indices.shape == (3, 2)
    assert transfer(X, Y, np.ones(5, kind)).shape == (3, 5)


@pytest.mark.parametrize("kind", [np.int8, np.uint64, int])
def test_kinds_of_positions(kind):
    np.testing.assert_array_equal(ranks(np.array([4, 0, 1], kind)), ranks([4, 0, 1]))
    np.testing.assert_array_equal(
        transfer(X, CUBE, which=np.array([1, 0, 1], kind)), transfer(X, CUBE, which=[1, 0, 1])
    )
    np.testing.assert_array_equal(topk(exclude=np.array([4, 0, 1], kind)).indices, topk(exclude=[4, 0, 1]).indices)
    assert cmf.Gallery(Y, ids=np.array([4, 0, 1, 2, 3], kind)).ids.tolist() == [4, 0, 1, 2, 3]


def test_the_ends_of_ranges():
    assert topk(k=5).indices.shape == (3, 5)
    assert topk(k=np.int64(1)).indices.shape == (3, 1)
    assert topk(exclude=[-1, 0, 4]).indices[2, 0] != 4
    assert ranks([4, 0, 4]).shape == (3,)
    assert ranks(([0, 0, 1, 3], [4, 0, 1])).shape == (3,)
    assert cmf.Gallery(Y[:1], ids=[2**63 - 1]).ids.tolist() == [2**63 - 1]
    assert within(0).indices.tolist() == [0, 1, 2]
    for low in (-np.inf, -1):
        assert within(low).indices.size == 0
    assert within([np.inf, 0, 1e300]).indices.size == 11
    assert within(True).indices.dtype == np.int64


@pytest.mark.parametrize("value", [1, 0.5, np.float32(2), np.int8(3), 1e-300, 1e300])
def test_numbers_above_nothing(value):
    assert np.isfinite(cmf.logsumexp(X, Y, beta=value, **NUMPY)).all() or value > 1e200


@pytest.mark.parametrize("value", [0, -1, np.inf, np.nan, True, "1", None, 1j])
def test_what_is_no_number_above_nothing(value):
    with pytest.raises(ValueError, match="beta must be a finite number above 0, got "):
        cmf.logsumexp(X, Y, beta=value)


@pytest.mark.parametrize("value", [1, 0.5, 1e-9, np.float32(3), np.int64(2), np.inf, 10**400])
def test_powers_of_minkowski(value):
    assert topk(X, Y, 2, "minkowski", metric_kwargs={"p": value}).indices.shape == (3, 2)


@pytest.mark.parametrize("value", [0, -1, np.nan, True, "2", None, [2]])
def test_what_is_no_power_of_minkowski(value):
    with pytest.raises(ValueError, match=r"metric_kwargs\['p'\] must be a number above 0, got "):
        topk(X, Y, 2, "minkowski", metric_kwargs={"p": value})


@pytest.mark.parametrize("value", [1, 1.0, 0, np.nan, np.inf, True, "2"])
def test_what_is_no_base(value):
    with pytest.raises(ValueError, match=r"metric_kwargs\['base'\] must be a number above 1, got "):
        topk(X, Y, 2, "jensenshannon", metric_kwargs={"base": value})


def test_bases_and_weights():
    for value in (2, np.float32(2), np.nextafter(1.0, 2.0)):
        assert topk(X, Y, 2, "jensenshannon", metric_kwargs={"base": value}).indices.shape == (3, 2)
    for weights in ([0, 1, 2, 3], np.ones(4, bool), np.ones(4, np.float32)):
        assert topk(X, Y, 2, "cityblock", metric_kwargs={"w": weights}).indices.shape == (3, 2)
    turn = np.array([[2.0, -1, 0, 0], [-1, 2, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    assert topk(X, Y, 2, "mahalanobis", metric_kwargs={"VI": turn}).indices.shape == (3, 2)
    with pytest.raises(ValueError, match=r"metric_kwargs\['VI'\] must be finite and not negative, got "):
        topk(X, Y, 2, "mahalanobis", metric_kwargs={"VI": np.full((4, 4), np.nan)})
    for kind in ("dot", "hellinger"):
        with pytest.raises(ValueError, match=r"must be among \[\], got 'w'"):
            topk(X, Y, 2, kind, metric_kwargs={"w": [1] * 4})
    both = topk(X, Y, 2, "minkowski", metric_kwargs={"p": 1, "w": [1, 2, 3, 4]})
    np.testing.assert_array_equal(
        both.distances, topk(X, Y, 2, "cityblock", metric_kwargs={"w": [1, 2, 3, 4]}).distances
    )


@pytest.mark.parametrize("value", [True, False, np.True_, np.False_])
def test_flags(value):
    assert topk(Y, Y, 1, exclude_self=value).indices[0, 0] == int(value)
    assert cmf.Gallery(Y, copy=value).ids.size == 5


@pytest.mark.parametrize("value", [0, 1, None, "yes"])
def test_what_is_no_flag(value):
    with pytest.raises(ValueError, match="exclude_self must be True or False, got "):
        topk(Y, Y, 1, exclude_self=value)


# ----------------------------------------------------------------------------------------------------- masks and biases


def test_masks_of_every_shape():
    gallery = np.array([True, False, True, False, True])
    pairs = np.tile(gallery, (3, 1))
    expected = topk(mask=pairs)
    np.testing.assert_array_equal(topk(mask=gallery).indices, expected.indices)
    np.testing.assert_array_equal(topk(mask=gallery.tolist()).indices, expected.indices)
    queries = np.stack([X, X])
    for mask in (gallery, pairs, np.stack([pairs, pairs]), pairs[None]):
        found = topk(queries, Y, mask=mask)
        np.testing.assert_array_equal(found.indices, np.stack([expected.indices] * 2))
    square = np.eye(3, dtype=bool)[[1, 2, 0]]
    np.testing.assert_array_equal(topk(X, X, 1, mask=square).indices[:, 0], [1, 2, 0])


@pytest.mark.parametrize("mask", [np.ones((5, 3), bool), np.ones(4, bool), np.ones((2, 3, 5), bool)])
def test_masks_of_no_shape(mask):
    with pytest.raises(ValueError, match=r"mask must have shape \(3, 5\), got \("):
        topk(mask=mask)


def test_biases_are_spread_over_batches():
    queries, u, v = np.stack([X, X]), np.arange(3), np.arange(5.0) * 10
    expected = topk(bias=(u, v))
    for bias in ((u, v), [u, v], (np.stack([u, u]), v), (u, np.stack([v, v]))):
        np.testing.assert_array_equal(topk(queries, Y, bias=bias).distances, np.stack([expected.distances] * 2))
    np.testing.assert_array_equal(topk(bias=(0, 0)).distances, topk(bias=(np.zeros(3), np.zeros(5))).distances)
    np.testing.assert_array_equal(topk(bias=(True, np.int8(1))).distances, topk(bias=(1.0, 1.0)).distances)
    for wrong in ((u,), (u, v, v)):
        with pytest.raises(TypeError, match=r"bias must be a pair \(per query, per gallery row\), got "):
            topk(bias=wrong)


# ------------------------------------------------------------------------------------------------------------ positives


@pytest.mark.parametrize(
    "given",
    [
        ([0, 2, 1, 2], [0, 1]),  # not ascending
        ([0, 1, 2], [0, 1]),  # too short
        ([1, 1, 2, 2], [0, 1]),  # does not begin at 0
        ([0, 1, 2, 3], [0, 1]),  # ends behind
        ([0, 0, 1, 1], [0, 1]),  # ends before
    ],
)
def test_row_pointers_that_do_not_fit(given):
    with pytest.raises(ValueError, match="positives must have an ascending indptr of 4 numbers from 0 to 2"):
        ranks(given)


def test_pointers_of_whole_numbers():
    with pytest.raises(TypeError, match="positives must be whole numbers, got dtype float64"):
        ranks(([0.0, 1, 2, 3], [0, 1, 2]))
    with pytest.raises(TypeError, match="positives must be whole numbers, got dtype float64"):
        ranks(([0, 1, 2, 3], [0.5, 1, 2]))


def test_two_queries_may_have_a_pair_of_positives():
    """(0, 1) is one positive a query, not pointers: its parts are numbers."""
    np.testing.assert_array_equal(cmf.ranks(X[:2], Y, (0, 1), **NUMPY), cmf.ranks(X[:2], Y, [0, 1], **NUMPY))
    with pytest.raises(ValueError, match=r"positives must have shape \(3,\), one a query"):
        ranks(([[0, 1]], [[0, 1]]))


# --------------------------------------------------------------------------------------------------------------- output


def test_outputs():
    expected = cmf.pairwise_distances(X, Y, **NUMPY)
    out = np.empty((3, 5))
    assert cmf.pairwise_distances(X, Y, out=out, **NUMPY) is out
    np.testing.assert_array_equal(out, expected)
    fixed = np.empty((3, 5))
    fixed.flags.writeable = False
    said = r"out must be a writeable array of shape \(3, 5\) and dtype float64, got a read-only \(3, 5\) float64"
    with pytest.raises(ValueError, match=said):
        cmf.pairwise_distances(X, Y, out=fixed)
    square = np.arange(16.0).reshape(4, 4)
    with pytest.raises(ValueError, match="out must not share memory with Y, got an array that overlaps it"):
        cmf.pairwise_distances(square.copy(), square, out=square)


@pytest.mark.parametrize(
    ("dtype", "sides", "expected"),
    [
        (None, (np.float32, np.float32), np.float32),
        (None, (np.float32, np.float64), np.float64),
        (None, (np.int8, np.float16), np.float32),
        (np.float16, (np.float64, np.float64), np.float16),
        ("float32", (np.float64, np.float64), np.float32),
    ],
)
def test_dtypes_of_distances(dtype, sides, expected):
    x, y = (rows.astype(kind) for rows, kind in zip((X, Y), sides, strict=True))
    assert topk(x, y, 1, dtype=dtype).distances.dtype == expected


# --------------------------------------------------------------------------------------------------------------- scores


def test_ready_scores_and_rows_are_told_apart():
    assert cmf.logsumexp(X, metric="precomputed", **NUMPY).shape == (3,)
    for metric in ("cosine", "euclidean"):
        with pytest.raises(ValueError, match=f"Y must be given with metric='{metric}', got None; ready scores go with"):
            cmf.logsumexp(X, None, metric)


def test_values_in_sentences_are_cut_behind_sixty_signs():
    for size in (58, 59):
        text = "a" * size
        said = repr(text) if size == 58 else repr(text)[:57] + "..."
        assert _validate.brief(text) == said
    assert _validate.brief(np.ones((2, 2))) == "array([[1., 1.], [1., 1.]])"


# -------------------------------------------------------------------------------------------------------------- control

CONTROL = {
    "devices": ([None, "all", [0], (0, 1)], [[], [True], [-1], [0.5], ["0"], "0", b"0", bytearray(1), 0, {0}]),
    "max_bytes": ([1, np.int64(1)], [0, -1, True, 1.0, "1"]),
    "n_threads": ([None, 1, np.int8(2)], [0, -1, True, 1.0, "1"]),
    "precision": (["auto", "int6"], [["auto"], 6, "int5"]),
    "progress": ([True, False, print], [1, 0, "yes"]),
    "check_finite": ([True, False], [1, 0, "yes"]),
}


@pytest.mark.parametrize("name", CONTROL)
def test_control_arguments(name):
    taken, refused = CONTROL[name]
    for value in taken:
        with cmf.config_context(**{name: value}):
            pass
    for value in refused:
        with pytest.raises(ValueError, match=f"^{name} must be "), cmf.config_context(**{name: value}):
            pass
