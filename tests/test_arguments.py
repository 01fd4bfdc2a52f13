"""What the toolkit makes of its arguments: the last that is taken, the first that is not, and every sentence whole."""

import math

import numpy as np
import pytest
import scipy.sparse

from crossmodal_fast import _arguments

LONG = "a" * 59
MASKED = np.ma.masked_less([[1.0, 2.0]], 2)


def said(call, *arguments, kind=ValueError, **keywords):
    with pytest.raises(kind) as caught:
        call(*arguments, **keywords)
    assert caught.type is kind
    return str(caught.value)


def type_said(call, *arguments, **keywords):
    return said(call, *arguments, kind=TypeError, **keywords)


def test_values_are_repeated_on_one_line_and_cut_behind_sixty_signs():
    assert _arguments.brief("a" * 58) == f"'{'a' * 58}'"
    assert _arguments.brief(LONG) == f"'{'a' * 56}..."
    assert len(_arguments.brief(LONG)) == 60
    assert _arguments.brief({"a": 1}) == "{'a': 1}"
    assert _arguments.brief(np.zeros((2, 3))) == "an array of shape (2, 3)"
    assert _arguments.brief(np.array(3)) == "array(3)"

    class Lines:
        def __repr__(self):
            return "one\n  two"

    assert _arguments.brief(Lines()) == "one two"


def test_arrays(tmp_path):
    assert _arguments.array_of("x", [[1, 2]]).tolist() == [[1, 2]]
    kept = np.memmap(tmp_path / "rows", np.float32, "w+", shape=(2, 2))
    assert _arguments.array_of("x", kept) is kept
    assert type_said(_arguments.array_of, "x", scipy.sparse.eye(2)) == (
        "x must be dense, got a SciPy sparse matrix; .toarray() makes it so"
    )
    assert type_said(_arguments.array_of, "x", MASKED) == (
        "x must be an array without masked entries, got a masked array; fill it first"
    )
    assert type_said(_arguments.array_of, "x", [[1], [1, 2]]) == (
        "x must be an array, or lists of one length, got [[1], [1, 2]]"
    )


@pytest.mark.parametrize("kind", ["?", "i1", "u8", "f2", "f4", "f8"])
def test_rows(kind):
    rows = np.ones((2, 3), kind)
    assert _arguments.rows_of("x", rows) is rows
    assert _arguments.rows_of("x", rows[:1, :1]).shape == (1, 1)


@pytest.mark.parametrize("shape", [(3,), (0, 3), (3, 0), (1, 2, 3), ()])
def test_what_are_no_rows(shape):
    assert said(_arguments.rows_of, "x", np.ones(shape)) == f"x must have shape (n, d) with n, d >= 1, got {shape}"


def test_rows_of_other_kinds():
    wanted = "x must be bool, integer, float16, bfloat16, float32 or float64, got dtype"
    assert type_said(_arguments.rows_of, "x", [["a", "b"]]) == f"{wanted} <U1"
    assert type_said(_arguments.rows_of, "x", [[1j]]) == f"{wanted} complex128"
    if np.dtype(np.longdouble).itemsize > 8:
        assert type_said(_arguments.rows_of, "x", np.ones((1, 1), np.longdouble)).startswith(wanted)
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    assert _arguments.rows_of("x", np.ones((2, 2), bfloat16)).dtype == bfloat16
    sparse = _arguments.rows_of("x", scipy.sparse.csr_matrix(np.eye(3)))
    np.testing.assert_array_equal(np.asarray(sparse), np.eye(3))


def test_numbers_of_any_shape():
    for kind in ("?", "i1", "u8", "f2", "f8"):
        found = _arguments.numbers_of("x", np.ones((2, 1, 2), kind))
        assert (found.dtype, found.shape) == (np.float64, (2, 1, 2))
    assert type_said(_arguments.numbers_of, "x", ["a"]) == "x must hold numbers, got dtype <U1"


@pytest.mark.parametrize("value", [0, 0.0, 1, 2.5, np.float32(1), np.int64(3), 1e308])
def test_a_number(value):
    found = _arguments.number("x", value)
    assert type(found) is float
    assert found == value


@pytest.mark.parametrize("value", [-1e-300, -1, math.inf, math.nan])
def test_numbers_that_are_too_small_or_no_numbers(value):
    assert said(_arguments.number, "x", value) == f"x must be finite and at least 0, got {value}"


@pytest.mark.parametrize("value", [True, np.True_, "1", None, 1j, [1]])
def test_what_is_no_number(value):
    assert type_said(_arguments.number, "x", value) == f"x must be a number, got {value!r}"


def test_a_number_between_two():
    for value in (-2, 0.5, 3):
        assert _arguments.number("x", value, least=-2, most=3) == value
    for value in (-2.5, 3.5, math.inf, math.nan):
        assert said(_arguments.number, "x", value, least=-2, most=3) == f"x must be in -2..3, got {value}"
    assert said(_arguments.number, "x", 1, least=1.5) == "x must be finite and at least 1.5, got 1"


def test_a_whole_number():
    assert _arguments.whole("x", 1) == 1
    assert type(_arguments.whole("x", np.uint8(7))) is int
    assert _arguments.whole("x", 0, least=0) == 0
    assert _arguments.whole("x", -5, least=None) == -5
    assert said(_arguments.whole, "x", 0) == "x must be at least 1, got 0"
    assert said(_arguments.whole, "x", 1, least=2) == "x must be at least 2, got 1"
    for value in (True, 1.0, "1", None):
        assert type_said(_arguments.whole, "x", value) == f"x must be a whole number, got {value!r}"


def test_several():
    assert _arguments.several("x", (1, 2)) == [1, 2]
    assert _arguments.several("x", {"a": 1}) == ["a"]
    assert _arguments.several("x", np.arange(2)) == [0, 1]
    assert _arguments.several("x", iter("ab")) == ["a", "b"]
    for value in ("ab", b"ab", 3, None, np.array(1)):
        assert type_said(_arguments.several, "x", value) == f"x must be a sequence, got {value!r}"


def test_one_of_some_names():
    assert _arguments.one_of("x", "b", {"a": 1, "b": 2}) == "b"
    for value in ("c", "", 1, None, ["a"], np.array(["a", "b"])):
        sentence = f"x must be one of a, b, got {_arguments.brief(value)}"
        assert said(_arguments.one_of, "x", value, ["a", "b"]) == sentence


def test_labels():
    for given, kind in (([1, 2], "i"), ([True], "b"), ([0.5], "f"), (["a"], "U"), ([b"a"], "S"), ([], "f")):
        assert _arguments.labels_of("x", given).dtype.kind == kind
    found = _arguments.labels_of("x", np.array(["a", "bc"], object))
    assert found.dtype == np.dtype("U2")
    wanted = "x must be all text or all numbers, got dtype"
    assert type_said(_arguments.labels_of, "x", np.array(["a", 1], object)) == f"{wanted} object"
    assert type_said(_arguments.labels_of, "x", [1j]) == f"{wanted} complex128"
    assert said(_arguments.labels_of, "x", [["a"]]) == "x must have shape (n,), one for each row, got (1, 1)"
    assert said(_arguments.labels_of, "x", "a") == "x must have shape (n,), one for each row, got ()"
    assert said(_arguments.labels_of, "x", [0.5, np.nan, np.nan]) == (
        "x must not be NaN, got it in row 1; leave such rows out"
    )


def test_labels_of_two_sides():
    one, other = _arguments.label_pair(("a", [1, 2]), ("b", [0.5, True]))
    assert (one.tolist(), other.tolist()) == ([1, 2], [0.5, 1.0])
    assert len(_arguments.label_pair(("a", ["x"]), ("b", ["yz"]))) == 2
    assert len(_arguments.label_pair(("a", [True]), ("b", [1]), ("c", np.array([1], np.uint8)))) == 3
    assert type_said(_arguments.label_pair, ("a", ["1"]), ("b", [1])) == (
        "labels must be of one kind on all sides, text or numbers, got <U1 in a and int64 in b"
    )
    assert type_said(_arguments.label_pair, ("a", ["1"]), ("b", [b"1"])).endswith("got <U1 in a and |S1 in b")


@pytest.mark.parametrize(
    ("error", "kind"), [(TypeError("no"), TypeError), (ValueError("no"), ValueError), (UnicodeError("no"), ValueError)]
)
def test_sentences_say_what_they_are_about(error, kind):
    def fails():
        with _arguments.about("step 2"):
            raise error

    assert said(fails, kind=kind) == "step 2: no"


def test_other_errors_stay_as_they_are():
    with pytest.raises(KeyError, match="no"), _arguments.about("step 2"):
        raise KeyError("no")
