"""Rules of single arguments, asked one by one: what a public function would only show in a sentence about another."""

import math

import numpy as np
import pytest

import crossmodal_fast as cmf
from crossmodal_fast import _config, _validate
from crossmodal_fast.kernels.tiles import finite
from stores import PairStore

# ----------------------------------------------------------------------------------------------------------- validation


def test_metrics_or_ready_scores():
    x = np.ones((2, 3))
    assert _validate.ready_scores(x, x, "cosine") is False
    assert _validate.ready_scores(x, None, "precomputed") is True
    with pytest.raises(ValueError, match=r"^metric must be one of \['braycurtis', .*\], got 'nearest'$"):
        _validate.ready_scores(x, None, "nearest")


@pytest.mark.parametrize("axis", ["rows", "columns", "both"])
def test_axes(axis):
    _validate.axis_name(axis)


@pytest.mark.parametrize("axis", ["row", 0, None, ["rows"]])
def test_what_is_no_axis(axis):
    with pytest.raises(ValueError, match=r"^axis must be one of \['rows', 'columns', 'both'\], got "):
        _validate.axis_name(axis)


def test_features_are_counted_along_the_last_axis():
    x, y = np.ones((5, 2, 3)), np.ones((5, 7, 4))
    with pytest.raises(ValueError, match=r"^X and Y must have the same number of features, got 3 and 4$"):
        _validate.same_features("X", x, "Y", y)
    _validate.same_features("X", x, "Y", np.ones((9, 3)))


def test_masks_as_the_engine_takes_them():
    """A store of pairs stays one; what serves several batches is spread."""
    pairs = PairStore(np.eye(3, 5, dtype=bool))
    assert _validate.allowance(pairs, (), 3, 5) is pairs
    row = np.array([True, False, True, True, False])
    for given in (row, row.tolist()):
        assert _validate.allowance(given, (), 3, 5).tolist() == row.tolist()
    assert _validate.allowance(row, (2,), 3, 5).shape == (5,)
    spread = _validate.allowance(np.eye(3, 5, dtype=bool), (2,), 3, 5)
    np.testing.assert_array_equal(spread, np.tile(np.eye(3, 5, dtype=bool), (2, 1, 1)))
    assert _validate.allowance(None, (), 3, 5) is None


@pytest.mark.parametrize("kind", [tuple, list])
def test_biases_as_the_engine_takes_them(kind):
    u, v = np.arange(3, dtype=np.float32), np.arange(10.0).reshape(2, 5)
    found = _validate.biases(kind((u, v)), (2,), 3, 5)
    np.testing.assert_array_equal(found[0], [[0, 1, 2], [0, 1, 2]])
    np.testing.assert_array_equal(found[1], v)
    assert [part.dtype for part in found] == [np.float64] * 2
    assert _validate.biases(None, (2,), 3, 5) is None


def test_features_of_maps_are_counted_along_the_last_axis():
    E, M = np.ones((2, 5, 4)), np.ones((2, 3, 6))
    with pytest.raises(ValueError, match=r"^E and M must agree in d_in, their last axis, got 4 and 6; "):
        _validate.maps(E, M, None, None, True)


def test_shifts_of_maps_are_spread():
    E, M = np.ones((2, 5, 4)), np.ones((3, 4))
    np.testing.assert_array_equal(_validate.maps(E, M, [1, 2, 3], None, True)[2], [[1, 2, 3]] * 2)
    found = _validate.maps(E[0], np.ones((2, 3, 4)), np.arange(3.0), np.array([0, 1, 1, 0, 1], np.int8), True)
    np.testing.assert_array_equal(found[2], [[0, 1, 2]] * 2)
    assert found[3].dtype == np.int64


def test_keywords_that_were_checked_are_not_checked_again():
    """Those of all rows may be infinite."""
    known = _validate.Known(V=np.full(3, np.inf))
    assert _validate.metric_keywords("seuclidean", known, 3) is known
    with pytest.raises(ValueError, match="must be finite and not negative"):
        _validate.metric_keywords("seuclidean", dict(known), 3)


def test_rows_that_may_not_match():
    assert _validate.exclusion(False, [-1, 4, 0], (), 3, 5).tolist() == [-1, 4, 0]
    for given, worst in (([-2, 4, 0], -2), ([-1, 5, 0], 5), ([-7, 9, 0], -7)):
        sentence = rf"^exclude must be -1 \(none\) or a gallery row in 0..4, got {worst}$"
        with pytest.raises(ValueError, match=sentence):
            _validate.exclusion(False, given, (), 3, 5)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_dtypes_of_results(dtype):
    assert _validate.output_dtype(dtype) == _validate.output_dtype(np.dtype(dtype)) == dtype


def test_row_pointers_of_other_libraries_are_named():
    arrow = pytest.importorskip("pyarrow")
    with pytest.raises(ValueError, match=r"^positives must have no missing values, got 1; "):
        _validate.csr_of((arrow.array([0, None]), arrow.array([1])))
    with pytest.raises(ValueError, match=r"^mask must have no missing values, got 1; "):
        _validate.allowance(arrow.array([True, None]), (), 3, 2)


# --------------------------------------------------------------------------------------------------------------- finite


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, bool])
def test_whole_numbers_are_finite(dtype):
    assert finite.first_unfinite(np.ones((3, 4), dtype)) is None


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("shape", [(), (7,), (7, 3), (5, 3, 2), (7, 1)])
def test_the_first_that_is_not_finite(shape, bad, monkeypatch):
    """Pieces of every size: of one row, of some, of all."""
    for piece in (1, 6, 7, 1 << 18):
        monkeypatch.setattr(finite, "PIECE", piece)
        assert finite.first_unfinite(np.ones(shape)) is None
        for at in np.ndindex(shape):
            array = np.ones(shape)
            array[at] = bad
            array.reshape(-1)[-1:] = np.nan  # a later one
            found = finite.first_unfinite(array)
            assert found == at
            assert all(type(number) is int for number in found)


def test_nothing_is_finite():
    assert finite.first_unfinite(np.empty((0, 3))) is None
    assert finite.first_unfinite(np.empty((3, 0))) is None
    assert finite.first_unfinite(np.empty(0)) is None


def test_a_piece_is_all_that_the_search_takes(monkeypatch):
    assert finite.scratch((1 << 20, 100)) == 1 << 18
    monkeypatch.setattr(finite, "PIECE", 100)
    assert finite.scratch((3, 20)) == 60
    assert finite.scratch((50, 20)) == 100
    assert finite.scratch((1, 300)) == 300
    assert finite.scratch((4, 300)) == 300
    assert finite.scratch((0, 20)) == 0
    assert finite.scratch((1 << 40, 1 << 40)) == 1 << 40  # beyond int64
    looked, isfinite = [], np.isfinite

    def watched(array):
        looked.append(array.shape)
        return isfinite(array)

    monkeypatch.setattr(np, "isfinite", watched)
    assert finite.first_unfinite(np.ones((50, 20))) is None
    assert looked == [(5, 20)] * 10
    assert max(map(math.prod, looked)) <= finite.scratch((50, 20))
    looked.clear()
    assert finite.first_unfinite(np.ones((4, 300))) is None
    assert looked == [(1, 300)] * 4


# -------------------------------------------------------------------------------------------------------------- control


def test_defaults():
    assert vars(_config.Config()) == {
        "backend": "auto", "precision": "auto", "max_bytes": 1 << 30, "n_threads": None, "devices": None,
        "check_finite": True, "progress": False,
    }  # fmt: skip


def test_the_environment_may_say_auto(monkeypatch):
    monkeypatch.setenv("CROSSMODAL_FAST_BACKEND", "auto")
    assert _config.resolve({}).backend == "auto"


def test_a_context_refuses_before_it_begins():
    """Nothing is set, not even for the sentence."""
    context = cmf.config_context(max_bytes=1 << 20, n_threads=0)
    with pytest.raises(ValueError, match=r"^n_threads must be a whole number above 0 or None, got 0$"):
        context.__enter__()
    with pytest.raises(TypeError, match=r"^control arguments must be among"):
        cmf.config_context(threads=1).__enter__()
    assert _config.resolve({}).max_bytes == cmf.config.max_bytes
