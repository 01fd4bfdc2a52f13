"""Preprocessing against its definitions, written out; identities of whitening and PCA; every sentence."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmodal_fast.preprocess import PCA, STEPS, Center, Chain, Normalize, Standardize, Whiten, _rows, normalize


def rows(n=60, d=7, seed=0, offset=0.0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d)) @ rng.standard_normal((d, d)) + offset


def covariance(X):
    centred = X - X.mean(axis=0)
    return centred.T @ centred / (len(X) - 1)


FITTED = [Center(), Standardize(), Whiten(), Whiten("pca"), Whiten(epsilon=0.1, shrinkage=0.2), PCA(3), PCA()]


# ---- unit rows


def test_normalize_divides_by_the_length_and_leaves_zero_rows():
    X = rows()
    X[3] = 0
    unit = normalize(X)
    for row, one in zip(X, unit, strict=True):
        length = sum(value * value for value in row) ** 0.5
        np.testing.assert_allclose(one, row / length if length else 0 * row, rtol=1e-15)
    assert (unit[3] == 0).all()


@pytest.mark.parametrize("scale", [1e-320, 1e-200, 1e-30, 1.0, 1e30, 1e200])
def test_normalize_neither_overflows_nor_vanishes(scale):
    np.testing.assert_allclose(
        normalize(np.array([[3.0, 4.0]]) * scale), [[0.6, 0.8]], rtol=1e-3 if scale < 1e-300 else 1e-15
    )


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 9), st.integers(1, 20), st.integers(0, 2**32 - 1))
def test_normalize_gives_length_one_in_float32(n, d, seed):
    X = np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32)
    unit = normalize(X)
    assert unit.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(unit.astype(np.float64), axis=1), 1, atol=1e-7 * max(1, d**0.5))


@pytest.mark.parametrize(
    ("given_dtype", "expected"),
    [("float16", "float32"), ("float32", "float32"), ("uint8", "float32"), ("int8", "float32"), ("bool", "float32"),
     ("float64", "float64"), ("int32", "float64"), (">f4", "float32"), (">f8", "float64")],
)  # fmt: skip
@pytest.mark.parametrize("step", [Normalize(), *FITTED], ids=repr)
def test_dtype_of_the_result(step, given_dtype, expected):
    X = (rows(offset=3) * 3).clip(0, 100).astype(given_dtype)
    result = Chain(step).fit(X).transform(X)
    assert result.dtype == expected
    exact = Chain(step).fit_transform(X.astype(np.float64))
    np.testing.assert_allclose(result, exact, rtol=1e-5, atol=1e-5 * np.abs(exact).max())


def test_bfloat16_is_taken():
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    np.testing.assert_allclose(normalize(np.array([[3, 4]], bfloat16)), [[0.6, 0.8]], rtol=1e-7)


# ---- fitted steps


def test_center_and_standardize_by_their_definitions():
    X, others = rows(), rows(5, seed=1)
    np.testing.assert_allclose(Center().fit(X).transform(others), others - X.mean(axis=0), atol=1e-13)
    np.testing.assert_allclose(
        Standardize().fit(X).transform(others), (others - X.mean(axis=0)) / X.std(axis=0), atol=1e-12
    )


@pytest.mark.parametrize("constant", [0.0, 0.1, -7e8])
def test_standardize_leaves_a_constant_column_undivided(constant):
    X = rows()
    X[:, 2] = constant
    step = Standardize().fit(X)
    assert step.scale_[2] == 1
    assert (step.transform(X)[:, 2] == 0).all()


@pytest.mark.parametrize("method", ["zca", "pca"])
def test_whitening_gives_the_identity_as_covariance(method):
    X = rows(offset=50.0)
    np.testing.assert_allclose(covariance(Whiten(method).fit_transform(X)), np.eye(7), atol=1e-10)


def test_zca_is_the_symmetric_root_of_the_inverse_covariance():
    X = rows()
    step = Whiten().fit(X)
    np.testing.assert_allclose(step.components_, step.components_.T, atol=1e-12)
    np.testing.assert_allclose(step.components_ @ step.components_, np.linalg.inv(covariance(X)), rtol=1e-9, atol=1e-10)


def test_epsilon_and_shrinkage_whiten_the_regularised_covariance():
    X = rows()
    C = covariance(X)
    regular = 0.7 * C + 0.3 * np.trace(C) / 7 * np.eye(7) + 0.25 * np.eye(7)
    W = Whiten(epsilon=0.25, shrinkage=0.3).fit(X).components_
    np.testing.assert_allclose(W @ regular @ W.T, np.eye(7), atol=1e-11)


def test_pca_whitening_is_pca_over_the_deviations():
    X = rows()
    scores = PCA().fit(X)
    np.testing.assert_allclose(
        Whiten("pca").fit(X).transform(X), scores.transform(X) / np.sqrt(scores.explained_variance_), atol=1e-11
    )


def test_pca_against_scikit_learn():
    other = pytest.importorskip("sklearn.decomposition").PCA(4, svd_solver="full").fit(rows())
    ours = PCA(4).fit(rows())
    np.testing.assert_allclose(ours.explained_variance_, other.explained_variance_, rtol=1e-10)
    np.testing.assert_allclose(ours.explained_variance_ratio_, other.explained_variance_ratio_, rtol=1e-10)
    np.testing.assert_allclose(np.abs(ours.components_), np.abs(other.components_), atol=1e-10)


@pytest.mark.parametrize("shape", [(60, 7), (5, 7), (2, 7), (7, 7)])
def test_pca_signs_order_and_orthonormality(shape):
    step = PCA().fit(rows(*shape))
    assert len(step.components_) == min(shape[0] - 1, shape[1])
    assert (step.components_[np.arange(len(step.components_)), np.abs(step.components_).argmax(axis=1)] > 0).all()
    assert (np.diff(step.explained_variance_) <= 0).all()
    np.testing.assert_allclose(step.components_ @ step.components_.T, np.eye(len(step.components_)), atol=1e-12)
    np.testing.assert_allclose(step.explained_variance_ratio_.sum(), 1, rtol=1e-12)


@pytest.mark.parametrize("step", [Whiten("pca"), PCA()], ids=repr)
def test_rows_that_sum_to_one_lose_one_dimension(step):
    X = np.abs(rows(200, 9)).astype(np.float32)
    X /= X.sum(axis=1, keepdims=True)  # to 1e-7: the ninth direction is the rounding of float32
    assert step.fit(X).transform(X).shape[1] == 8


def test_a_far_offset_does_not_spoil_the_spectrum():
    near, far = PCA().fit(rows()), PCA().fit(rows(offset=2.0**20))
    np.testing.assert_allclose(far.explained_variance_, near.explained_variance_, rtol=1e-8)


@pytest.mark.parametrize("step", FITTED, ids=repr)
def test_inverse_undoes_the_step(step):
    X = rows(offset=4.0)
    if isinstance(step, PCA) and step.n_components:
        X = X[:, :3] @ rows(3, 7, seed=2)  # what three components hold whole
    step = Chain(step).fit(X).steps[0]
    np.testing.assert_allclose(step.inverse_transform(step.transform(X)), X, atol=1e-10)


@pytest.mark.parametrize("step", [Normalize(), *FITTED], ids=repr)
def test_blocks_do_not_matter(step, monkeypatch):
    X = rows(offset=1.0)
    whole = Chain(step).fit_transform(X)
    monkeypatch.setattr(_rows, "BLOCK_BYTES", 8 * 7 * 11)  # blocks of 11 rows, the last one of 5
    np.testing.assert_allclose(Chain(step).fit_transform(X), whole, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("step", [Normalize(), *FITTED], ids=repr)
def test_input_is_left_alone_and_may_be_strided_or_read_only(step):
    X = np.asfortranarray(np.repeat(rows(), 2, axis=0))[::2]
    X.flags.writeable = False
    before = X.copy()
    np.testing.assert_allclose(Chain(step).fit_transform(X), Chain(step).fit_transform(before), atol=1e-12)
    np.testing.assert_array_equal(X, before)


def test_a_memory_map_is_read_in_blocks(tmp_path, monkeypatch):
    X = rows().astype(np.float32)
    np.save(tmp_path / "x.npy", X)
    monkeypatch.setattr(_rows, "BLOCK_BYTES", 8 * 7 * 11)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    np.testing.assert_array_equal(Whiten().fit_transform(mapped), Whiten().fit_transform(X))


@pytest.mark.parametrize("step", FITTED, ids=repr)
def test_state_is_plain_arrays_and_comes_back(step):
    X = rows()
    fitted = Chain(step).fit(X).steps[0]
    state = fitted.get_state()
    assert state
    assert all(isinstance(value, np.ndarray) and value.dtype == np.float64 for value in state.values())
    again = type(step)(**step.get_params()).set_state(state)
    np.testing.assert_array_equal(again.transform(X), fitted.transform(X))
    assert type(step)().get_state() == {}


def test_repr_shows_how_it_was_made():
    assert repr(Chain(["center", PCA(2), Whiten("pca", epsilon=1.0)])) == (
        "Chain([Center(), PCA(n_components=2), Whiten(method='pca', epsilon=1.0, shrinkage=0.0)])"
    )


# ---- chain


def test_chain_fits_each_step_on_what_the_ones_before_give():
    X, others = rows(offset=5.0), rows(9, seed=3)
    chain = Chain(["standardize", PCA(3), "normalize"]).fit(X)
    first = Standardize().fit(X)
    second = PCA(3).fit(first.transform(X))
    np.testing.assert_allclose(
        chain.transform(others), normalize(second.transform(first.transform(others))), atol=1e-12
    )


def test_chain_leaves_the_callers_steps_unfitted():
    step = Center()
    Chain([step]).fit(rows())
    assert step.get_state() == {}


def test_chain_takes_foreign_steps():
    other = pytest.importorskip("sklearn.preprocessing").StandardScaler()
    np.testing.assert_allclose(Chain([other]).fit_transform(rows()), Standardize().fit_transform(rows()), atol=1e-12)


def test_chain_inverse_runs_backwards():
    X = rows(offset=2.0)
    chain = Chain(["standardize", "whiten"]).fit(X)
    np.testing.assert_allclose(chain.inverse_transform(chain.transform(X)), X, atol=1e-10)


def test_an_empty_chain_changes_nothing():
    X = rows()
    np.testing.assert_array_equal(Chain().fit_transform(X), X)


# ---- sizes


@pytest.mark.parametrize("power", [-900, -600, 600, 900])
@pytest.mark.parametrize("shape", [(40, 7), (5, 7)])
def test_powers_of_two_change_no_bit(power, shape):
    X = rows(*shape)
    scaled = np.ldexp(X, power)
    np.testing.assert_array_equal(normalize(scaled), normalize(X))
    np.testing.assert_array_equal(Standardize().fit_transform(scaled), Standardize().fit_transform(X))
    np.testing.assert_array_equal(Whiten().fit_transform(scaled), Whiten().fit_transform(X))
    np.testing.assert_array_equal(PCA().fit_transform(scaled), np.ldexp(PCA().fit_transform(X), power))
    ratios = PCA().fit(scaled).explained_variance_ratio_
    np.testing.assert_array_equal(ratios, PCA().fit(X).explained_variance_ratio_)


def test_a_block_of_larger_rows_after_smaller_ones(monkeypatch):
    X = rows(60, 7)
    X[:11] *= 1e-5
    X[11:22] = X[0]
    whole = [step.fit(X).get_state() for step in (Standardize(), Whiten(), PCA())]
    monkeypatch.setattr(_rows, "BLOCK_BYTES", 8 * 7 * 11)
    for step, expected in zip((Standardize(), Whiten(), PCA()), whole, strict=True):
        for name, value in step.fit(X).get_state().items():
            np.testing.assert_allclose(value, expected[name], rtol=1e-9, atol=1e-12)


# ---- sentences

BAD = rows(4, 3)
BAD[2, 1] = np.inf


class Foreign:
    """A step of somebody else's."""

    def __init__(self, transform):
        self.transform = transform

    def fit(self, X):
        return self


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda: normalize([1.0, 2.0]), ValueError, "X must have shape (n, d) with n, d >= 1, got (2,)"),
        (lambda: normalize(np.empty((0, 3))), ValueError, "X must have shape (n, d) with n, d >= 1, got (0, 3)"),
        (lambda: normalize([["a"]]), TypeError,
         "X must be bool, integer, float16, bfloat16, float32 or float64, got dtype <U1"),
        (lambda: normalize([[1j]]), TypeError,
         "X must be bool, integer, float16, bfloat16, float32 or float64, got dtype complex128"),
        (lambda: normalize(rows().astype(np.longdouble)), TypeError,
         f"X must be bool, integer, float16, bfloat16, float32 or float64, got dtype {np.dtype(np.longdouble)}"),
        (lambda: normalize([[1.0], [2.0, 3.0]]), TypeError,
         "X must be an array, or lists of one length, got [[1.0], [2.0, 3.0]]"),
        (lambda: normalize(np.ma.masked_less(rows(), 0)), TypeError,
         "X must be an array without masked entries, got a masked array; fill it first"),
        (lambda: Center().fit(np.full((4, 2), 1e308) * [[1], [-1], [1], [1]]), ValueError,
         "X must have sums that float64 holds, got more; divide it by 2**100 first"),
        (lambda: Center().fit_transform(np.array([[3e38], [-3e38], [3e38]], dtype=np.float32)), ValueError,
         "X must give numbers that float32 holds, got larger ones in rows 0..2"),
        (lambda: Whiten().fit(np.ldexp(rows(), -1030)), ValueError,
         "X must vary by more than float64 needs to divide by it, got 6.95336e-310 at most"),
        (lambda: Whiten(epsilon=1.0).fit(np.ldexp(rows(), -600)), ValueError,
         "epsilon must be near the variances of X, got 1.0 and 0"),
        (lambda: normalize(BAD), ValueError, "X must be finite, got inf in row 2; remove or fill such rows first"),
        (lambda: Center().fit(BAD), ValueError, "X must be finite, got inf in row 2; remove or fill such rows first"),
        (lambda: Center().fit(rows()).inverse_transform([[0.0, np.nan] + [0.0] * 5]), ValueError,
         "Z must be finite, got nan in row 0; remove or fill such rows first"),
        (lambda: Center().transform(rows()), RuntimeError,
         "Center must be fitted before it is applied: call fit(X) first"),
        (lambda: PCA().inverse_transform(rows()), RuntimeError,
         "PCA must be fitted before it is applied: call fit(X) first"),
        (lambda: PCA(2).fit(rows()).transform(rows(4, 3)), ValueError,
         "X must have 7 columns, as fit saw, got shape (4, 3)"),
        (lambda: PCA(2).fit(rows()).inverse_transform(rows(4, 3)), ValueError,
         "Z must have 2 columns, as transform gives, got shape (4, 3)"),
        (lambda: PCA(0), ValueError, "n_components must be at least 1, got 0"),
        (lambda: PCA(0.95), TypeError, "n_components must be a whole number, got 0.95"),
        (lambda: PCA(True), TypeError, "n_components must be a whole number, got True"),
        (lambda: PCA(5).fit(rows(4, 9)), ValueError, "n_components must be in 1..3 (the rank of the centred X), got 5"),
        (lambda: PCA().fit(rows(1)), ValueError, "X must have at least 2 rows to have a covariance, got 1"),
        (lambda: Whiten().fit(np.full((9, 2), 0.1)), ValueError,
         "X must vary to have a principal direction, got 9 equal rows"),
        (lambda: Whiten("zac"), ValueError,
         "method must be one of zca, pca, cholesky, zca_cor, pca_cor, vecmap, got 'zac'"),
        (lambda: Whiten(epsilon=-1.0), ValueError, "epsilon must be finite and at least 0, got -1.0"),
        (lambda: Whiten(epsilon=None), TypeError, "epsilon must be a number, got None"),
        (lambda: Whiten(shrinkage=1.5), ValueError, "shrinkage must be in 0..1, got 1.5"),
        (lambda: Whiten(shrinkage=np.nan), ValueError, "shrinkage must be in 0..1, got nan"),
        (lambda: Chain("centre"), ValueError,
         f"step must be one of {', '.join(STEPS)} or an object with fit and transform, got 'centre'"),
        (lambda: Chain([3]), TypeError,
         "step must be a name or an object with fit and transform, got 3; () stands for none"),
        (lambda: Chain([PCA]), TypeError,
         f"step must be a name or an object with fit and transform, got {PCA!r}; () stands for none"),
        (lambda: Chain(Foreign(lambda X: X[1:])).fit(rows(4)), ValueError,
         "the result of Foreign must have the 4 rows that it was given, got 3"),
        (lambda: Center().set_state({"mean_": ["a"]}), TypeError, "mean_ must hold numbers, got dtype <U1"),
        (lambda: Chain(["normalize"]).fit(rows()).inverse_transform(rows()), TypeError,
         "steps must all have an inverse to be undone, got Normalize, which has none"),
    ],
)  # fmt: skip
def test_sentences(call, error, sentence):
    with pytest.raises(error, match=f"^{re.escape(sentence)}$"):
        call()


def test_a_signalling_nan_is_refused_without_a_warning():
    """Spoiled bytes may be one; a cast tells of it."""
    rows = np.ones((3, 2), np.float32)
    rows.view(np.uint32)[1, 0] = 0x7FA00000
    with pytest.raises(ValueError, match="row 1"):
        normalize(rows)
