"""Least squares, ridge and Procrustes against brute force, Wikipedia's rank trap, the map itself, and sentences."""

import re
from pathlib import Path

import numpy as np
import pytest

from crossmodal_fast import evaluate
from crossmodal_fast.fitting import TransferMap, fit_transfer

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def pairs(n=80, d_in=6, d_out=4, noise=0.3, seed=0):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((n, d_in)) + 3
    return A, A @ rng.standard_normal((d_in, d_out)) + 5 + noise * rng.standard_normal((n, d_out))


def orthogonal(d, seed=0, determinant=1):
    Q = np.linalg.qr(np.random.default_rng(seed).standard_normal((d, d)))[0]
    if np.linalg.det(Q) * determinant < 0:
        Q[:, 0] *= -1
    return Q


def cost(A, B, M, bias, weight, penalty=0.0):
    return (weight[:, None] * (B - A @ M.T - bias) ** 2).sum() + penalty * (M**2).sum()


# ---- least squares and ridge


def test_lstsq_is_numpys_with_a_column_of_ones():
    A, B = pairs()
    found = fit_transfer(A, B, "lstsq")
    expected = np.linalg.lstsq(np.column_stack([A, np.ones(len(A))]), B, rcond=None)[0]
    np.testing.assert_allclose(found.W, expected[:-1], rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(found.bias, expected[-1], rtol=1e-10, atol=1e-12)
    np.testing.assert_array_equal(found.W, found.M.T)


def test_without_centring_there_is_no_intercept():
    A, B = pairs()
    found = fit_transfer(A, B, "lstsq", center=False)
    np.testing.assert_allclose(found.W, np.linalg.lstsq(A, B, rcond=None)[0], rtol=1e-10, atol=1e-12)
    assert (found.bias == 0).all()


@pytest.mark.parametrize("shape", [(80, 6, 4), (5, 30, 4), (5, 3, 40), (1500, 3, 2)])
@pytest.mark.parametrize("penalty", [0.01, 1.0, 100.0])
def test_ridge_solves_its_normal_equations(shape, penalty):
    A, B = pairs(*shape)
    found = fit_transfer(A, B, "ridge", regularization=penalty)
    X, Y = A - A.mean(axis=0), B - B.mean(axis=0)
    expected = np.linalg.solve(X.T @ X + penalty * np.eye(shape[1]), X.T @ Y)
    np.testing.assert_allclose(found.W, expected, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(found.bias, B.mean(axis=0) - A.mean(axis=0) @ expected, rtol=1e-8, atol=1e-8)


def test_ridge_ends_at_lstsq_and_at_the_mean():
    A, B = pairs()
    plain = fit_transfer(A, B, "lstsq")
    np.testing.assert_array_equal(fit_transfer(A, B, "ridge", regularization=0.0).M, plain.M)
    np.testing.assert_allclose(fit_transfer(A, B, "ridge", regularization=1e-9).M, plain.M, rtol=1e-8)
    flat = fit_transfer(A, B, "ridge", regularization=1e14)
    np.testing.assert_allclose(flat.apply(A), np.broadcast_to(B.mean(axis=0), B.shape), atol=1e-9)


def test_lstsq_of_least_norm_where_columns_repeat():
    A, B = pairs()
    doubled = fit_transfer(np.hstack([A, A[:, :1]]), B, "lstsq")
    single = fit_transfer(A, B, "lstsq")
    np.testing.assert_allclose(doubled.M[:, 0], single.M[:, 0] / 2, rtol=1e-9)
    np.testing.assert_allclose(doubled.M[:, 6], single.M[:, 0] / 2, rtol=1e-9)
    assert doubled.training_rank == 6


def test_a_direction_that_is_only_rounding_is_left_out():
    A, B = pairs()
    shares = np.exp(A) / np.exp(A).sum(axis=1, keepdims=True)
    found = fit_transfer(shares.astype(np.float32), B, "lstsq")
    assert found.training_rank == 5
    assert np.abs(found.M).max() < 1e4  # the rounding of float32, inverted, gives 1e7


@pytest.mark.parametrize("method", ["lstsq", "ridge", "procrustes"])
@pytest.mark.parametrize("center", [True, False])
def test_weights_count_like_copies(method, center):
    A, B = pairs(d_out=6)
    times = np.random.default_rng(1).integers(0, 4, len(A))
    weighted = fit_transfer(A, B, method, center=center, sample_weight=times)
    copied = fit_transfer(np.repeat(A, times, axis=0), np.repeat(B, times, axis=0), method, center=center)
    np.testing.assert_allclose(weighted.M, copied.M, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(weighted.bias, copied.bias, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(weighted.training_residual, copied.training_residual, rtol=1e-9)


@pytest.mark.parametrize("options", [{"method": "lstsq"}, {"method": "ridge", "regularization": 3.0}])
def test_no_other_map_is_better(options):
    A, B = pairs()
    weight = np.random.default_rng(2).random(len(A))
    found = fit_transfer(A, B, sample_weight=weight, **options)
    penalty = options.get("regularization", 0.0)
    best = cost(A, B, found.M, found.bias, weight, penalty)
    rng = np.random.default_rng(3)
    for size in (1e-1, 1e-3, 1e-5):
        for _ in range(20):
            M = found.M + size * rng.standard_normal(found.M.shape)
            bias = found.bias + size * rng.standard_normal(found.bias.shape)
            assert cost(A, B, M, bias, weight, penalty) > best


# ---- Procrustes


@pytest.mark.parametrize("determinant", [1, -1])
@pytest.mark.parametrize("method", ["lstsq", "procrustes"])
def test_a_known_orthogonal_map_is_recovered(determinant, method):
    Q, A = orthogonal(8, determinant=determinant), pairs(d_in=8)[0]
    found = fit_transfer(A, A @ Q.T + 7, method)
    np.testing.assert_allclose(found.M, Q, atol=1e-10)
    np.testing.assert_allclose(found.bias, 7, atol=1e-10)
    assert found.training_residual < 1e-12


def test_procrustes_against_scipy():
    A, B = pairs(d_in=5, d_out=5)
    expected = pytest.importorskip("scipy.linalg").orthogonal_procrustes(A, B)[0]
    np.testing.assert_allclose(fit_transfer(A, B, "procrustes", center=False).W, expected, atol=1e-11)


def test_rotation_only_never_reflects_and_is_the_best_rotation():
    A = pairs(d_in=4)[0]
    B = A @ orthogonal(4, determinant=-1).T + 0.1 * np.random.default_rng(5).standard_normal(A.shape)
    found = fit_transfer(A, B, "procrustes", rotation_only=True)
    np.testing.assert_allclose(np.linalg.det(found.M), 1, rtol=1e-12)
    np.testing.assert_allclose(found.M @ found.M.T, np.eye(4), atol=1e-12)
    rotation = pytest.importorskip("scipy.spatial.transform")
    three = [(X - X.mean(axis=0))[:, :3] for X in (A, B)]
    kabsch = rotation.Rotation.align_vectors(three[1], three[0])[0].as_matrix()
    ours = fit_transfer(three[0], three[1], "procrustes", rotation_only=True, center=False)
    np.testing.assert_allclose(ours.M, kabsch, atol=1e-9)


@pytest.mark.parametrize("shape", [(6, 3), (3, 6)])
def test_rectangular_procrustes_is_semi_orthogonal(shape):
    found = fit_transfer(*pairs(d_in=shape[0], d_out=shape[1]), "procrustes")
    gram = found.M @ found.M.T if shape[0] > shape[1] else found.M.T @ found.M
    np.testing.assert_allclose(gram, np.eye(3), atol=1e-12)


@pytest.mark.parametrize("shape", [(3, 8, 8), (3, 8, 5), (3, 5, 8)])
@pytest.mark.parametrize("rotation_only", [False, True])
def test_what_the_pairs_leave_open_stays_near_the_identity(shape, rotation_only):
    if rotation_only and shape[1] != shape[2]:
        return
    A, B = pairs(*shape)
    found = fit_transfer(A, B, "procrustes", rotation_only=rotation_only)
    U, _, Vt = np.linalg.svd((A - A.mean(axis=0)).T @ (B - B.mean(axis=0)))
    np.testing.assert_allclose(U[:, :2].T @ found.W @ Vt[:2].T, np.eye(2), atol=1e-10)  # two directions are determined
    rng = np.random.default_rng(0)
    for _ in range(50):  # any other completion is further from the identity
        turn = orthogonal(min(shape[1:]) - 2, seed=rng.integers(1 << 30))
        other = U[:, :2] @ Vt[:2] + U[:, 2 : 2 + len(turn)] @ turn @ Vt[2 : 2 + len(turn)]
        if not rotation_only or np.linalg.det(other) > 0:
            assert np.trace(found.W) >= np.trace(other)
    shuffled = np.random.default_rng(1).permutation(len(A))
    np.testing.assert_allclose(
        fit_transfer(A[shuffled], B[shuffled], "procrustes", rotation_only=rotation_only).W, found.W, atol=1e-10
    )


@pytest.mark.parametrize("d_out", [4, 7, 3])
def test_the_scale_is_the_best_one(d_out):
    A, B = pairs(d_in=4, d_out=d_out)
    found, plain = (fit_transfer(A, B, "procrustes", scale=scale) for scale in (True, False))
    X, Y = A - A.mean(axis=0), B - B.mean(axis=0)
    P = X @ plain.W
    np.testing.assert_allclose(found.M, plain.M * (P * Y).sum() / (P * P).sum(), rtol=1e-10)


# ---- many rows, dtypes


@pytest.mark.parametrize("method", ["lstsq", "ridge", "procrustes"])
def test_rows_are_taken_in_blocks(method):
    A, B = pairs(5000, 5, 5)  # five blocks, the last one of 904 rows
    found = fit_transfer(A, B, method)
    X, Y = A - A.mean(axis=0), B - B.mean(axis=0)
    U, _, Vt = np.linalg.svd(X.T @ Y)
    expected = {
        "lstsq": np.linalg.solve(X.T @ X, X.T @ Y),
        "ridge": np.linalg.solve(X.T @ X + np.eye(5), X.T @ Y),
        "procrustes": U @ Vt,
    }[method]
    np.testing.assert_allclose(found.W, expected, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(
        found.training_residual, np.linalg.norm(Y - X @ expected) / np.linalg.norm(Y), rtol=1e-10
    )


@pytest.mark.parametrize("dtype", ["float16", "float32", "int8", ">f4"])
def test_fitting_is_in_float64_whatever_comes(dtype):
    A, B = (X.astype(dtype) for X in pairs())
    found = fit_transfer(A, B, "lstsq")
    exact = fit_transfer(A.astype(np.float64), B.astype(np.float64), "lstsq")
    assert found.M.dtype == np.float64
    np.testing.assert_allclose(found.M, exact.M, rtol=1e-9)


def test_a_far_offset_does_not_spoil_the_fit():
    A, B = pairs()
    np.testing.assert_allclose(
        fit_transfer(A + 2.0**20, B - 2.0**20, "lstsq").M, fit_transfer(A, B, "lstsq").M, rtol=1e-7
    )


# ---- the map


@pytest.mark.parametrize(
    ("dtype", "expected"), [("float32", "float32"), ("float16", "float32"), ("float64", "float64")]
)
def test_apply_maps_rows_in_the_callers_precision(dtype, expected):
    A, B = pairs()
    found, E = fit_transfer(A, B, "lstsq"), A.astype(dtype)
    mapped = found.apply(E)
    assert mapped.dtype == expected
    exact = E.astype(np.float64) @ found.M.T + found.bias
    scale = np.abs(E.astype(np.float64)) @ np.abs(found.M.T) + np.abs(found.bias)
    assert (np.abs(mapped - exact) <= 9 * np.finfo(expected).eps * scale).all()


def test_apply_takes_lists_and_batches():
    found = TransferMap(np.array([[2.0, 0.0], [0.0, 3.0], [1.0, 1.0]]), np.array([0.0, 0.0, 1.0]))
    np.testing.assert_array_equal(found.apply([[1.0, 1.0]]), [[2.0, 3.0, 3.0]])
    E = np.arange(12.0).reshape(2, 3, 2)
    np.testing.assert_array_equal(found.apply(E)[1], found.apply(E[1]))
    np.testing.assert_allclose(np.linalg.norm(found.apply(E, normalize=True), axis=-1), 1)


def test_inverse_and_compose():
    A, B = pairs(d_in=4, d_out=6, noise=0.0)
    there = fit_transfer(A, B, "lstsq")
    np.testing.assert_allclose(there.inverse().apply(B), A, atol=1e-10)
    other = TransferMap(np.arange(12.0).reshape(2, 6), np.array([1.0, -1.0]))
    np.testing.assert_allclose(there.compose(other).apply(A), other.apply(there.apply(A)), rtol=1e-10)
    assert there.inverse().method == "inverse of lstsq"
    assert there.compose(other).method == "lstsq then given"
    Q = fit_transfer(A, A @ orthogonal(4).T, "procrustes")
    np.testing.assert_allclose(Q.inverse().M, Q.M.T, atol=1e-12)


def test_report():
    found = TransferMap(np.array([[3.0, 0.0, 0.0], [0.0, 2.0, 0.0]]), np.zeros(2))
    report = found.report()
    np.testing.assert_allclose(report["singular_values"], [3, 2])
    assert (report["rank"], report["method"]) == (2, "given")
    np.testing.assert_allclose(report["condition_number"], 1.5)
    np.testing.assert_allclose(report["round_trip_error"], (1 / 3) ** 0.5)  # one direction of three is lost
    assert report["training_rank"] is report["training_residual"] is None
    back = TransferMap(2 * np.eye(3, 2), np.zeros(3))
    np.testing.assert_allclose(found.report(back)["round_trip_error"], ((5**2 + 3**2 + 1) / 3) ** 0.5)
    assert TransferMap(np.diag([1.0, 0.0]), np.zeros(2)).report()["condition_number"] == np.inf
    fitted = fit_transfer(*pairs(), "lstsq").report()
    assert fitted["training_rank"] == 6
    assert 0 < fitted["training_residual"] < 0.5


def test_residual_is_one_for_the_mean_and_zero_for_a_constant_target():
    A, B = pairs()
    np.testing.assert_allclose(fit_transfer(A, B, "ridge", regularization=1e15).training_residual, 1)
    assert fit_transfer(A, np.ones((len(A), 2)), "lstsq").training_residual == 0


@pytest.mark.parametrize("made", [lambda found: found, TransferMap.inverse])
def test_a_saved_map_comes_back_bit_for_bit(made, tmp_path):
    found = made(fit_transfer(*pairs(), "lstsq"))
    found.save(tmp_path / "map.npz")
    again = TransferMap.load(tmp_path / "map.npz")
    assert again.M.tobytes() == found.M.tobytes()
    assert again.bias.tobytes() == found.bias.tobytes()
    for name in ("method", "training_rank", "training_residual"):
        assert getattr(again, name) == getattr(found, name)
    assert [path.name for path in tmp_path.iterdir()] == ["map.npz"]


def test_repr():
    assert repr(fit_transfer(*pairs(), "lstsq")) == "TransferMap(6 -> 4, method='lstsq')"


# ---- sentences

METHODS = "auto, lstsq, ridge, procrustes, cca, pls, multistep, identity, mean_shift, self_learning, unsupervised"
NAN = pairs()[0]
NAN = np.where(np.arange(len(NAN))[:, None] == 7, np.nan, NAN)
A, B = pairs()


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda: fit_transfer(A, B, "best"), ValueError, f"method must be one of {METHODS}, got 'best'"),
        (lambda: fit_transfer(A, B[:9]), ValueError, "B must have one row for each of the 80 rows of A, got 9"),
        (lambda: fit_transfer(A[0], B), ValueError, "A must have shape (n, d) with n, d >= 1, got (6,)"),
        (lambda: fit_transfer(A, B.astype(str)), TypeError,
         "B must be bool, integer, float16, bfloat16, float32 or float64, got dtype <U32"),
        (lambda: fit_transfer(NAN, B), ValueError,
         "A must be finite, got nan in row 7; remove or fill such rows first"),
        (lambda: fit_transfer(B, NAN), ValueError,
         "B must be finite, got nan in row 7; remove or fill such rows first"),
        (lambda: fit_transfer(A, B, "ridge", regularization=-1.0), ValueError,
         "regularization must be finite and at least 0, got -1.0"),
        (lambda: fit_transfer(A, B, "ridge", scale=True), ValueError,
         "scale must be left out with method='ridge', got True; it belongs to procrustes"),
        (lambda: fit_transfer(A, B, "procrustes", rotation_only=True), ValueError,
         "rotation_only must be False between spaces of 6 and 4 columns, got True"),
        (lambda: fit_transfer(np.full((9, 2), 0.1), B[:9]), ValueError,
         "A must hold rows that differ, got 9 equal rows"),
        (lambda: fit_transfer(np.zeros((9, 2)), B[:9], center=False), ValueError,
         "A must hold a row other than zero, got 9 zero rows"),
        (lambda: fit_transfer(A[:1], B[:1]), ValueError, "A must hold rows that differ, got 1 row"),
        (lambda: fit_transfer(A, B, sample_weight=[1.0]), ValueError,
         "sample_weight must have shape (80,), one for each pair, got (1,)"),
        (lambda: fit_transfer(A, B, sample_weight=np.arange(-1.0, 79)), ValueError,
         "sample_weight must be at least 0 with a finite sum above 0, got -1.0 to 78.0"),
        (lambda: fit_transfer(A, B, sample_weight=np.zeros(80)), ValueError,
         "sample_weight must be at least 0 with a finite sum above 0, got 0.0 to 0.0"),
        (lambda: fit_transfer(A, B, sample_weight=np.full(80, 1e308)), ValueError,
         "sample_weight must be at least 0 with a finite sum above 0, got 1e+308 to 1e+308"),
        (lambda: fit_transfer(A, B, sample_weight=["a"] * 80), TypeError,
         "sample_weight must hold numbers, got dtype <U1"),
        (lambda: fit_transfer(A, B, ["ridge"]), ValueError,
         f"method must be one of {METHODS}, got ['ridge']"),
        (lambda: fit_transfer(A, B, "ridge", regularization="1"), ValueError,
         "regularization must be one of path, got '1'"),
        (lambda: fit_transfer([[1.0], [2.0, 3.0]], B), TypeError,
         "A must be an array, or lists of one length, got [[1.0], [2.0, 3.0]]"),
        (lambda: TransferMap(A + 0j, np.zeros(80)), TypeError, "M must hold numbers, got dtype complex128"),
        (lambda: TransferMap(A, None), TypeError, "bias must hold numbers, got dtype object"),
        (lambda: fit_transfer(A, B).compose(A), TypeError,
         "other must be a TransferMap, got an array of shape (80, 6)"),
        (lambda: fit_transfer(A, B).apply([[1.0], [2.0, 3.0]]), TypeError,
         "E must be rows of numbers of one length, got [[1.0], [2.0, 3.0]]"),
        (lambda: TransferMap(A, np.zeros(3)), ValueError,
         "M must have shape (d_out, d_in) and bias (d_out,), got (80, 6) and (3,); "
         "a map without an intercept has a bias of zeros"),
        (lambda: TransferMap(NAN, np.zeros(80)), ValueError, "M and bias must be finite, got NaN or infinity in them"),
        (lambda: fit_transfer(A, B).compose(fit_transfer(A, B)), ValueError,
         "other must take 4 columns, as this map gives, got 6"),
        (lambda: fit_transfer(A, B).report(fit_transfer(B, B)), ValueError,
         "back must give 6 columns, as this map takes, got 4"),
    ],
)  # fmt: skip
def test_sentences(call, error, sentence):
    with pytest.raises(error, match=f"^{re.escape(sentence)}$"):
        call()


# ---- sizes


@pytest.mark.parametrize(("x_power", "y_power"), [(-500, 0), (500, -400), (-1000, -900), (800, 900), (600, -600)])
@pytest.mark.parametrize(
    ("method", "options"), [("lstsq", {}), ("ridge", {}), ("procrustes", {}), ("procrustes", {"scale": True})], ids=str
)
def test_powers_of_two_change_no_bit(method, options, x_power, y_power):
    if method == "ridge":
        x_power = max(-500, min(500, x_power))  # beyond these no float64 holds the penalty in squared units
        options = {"regularization": np.ldexp(1.0, 2 * x_power)}
    found = fit_transfer(A, B, method, **options | ({"regularization": 1.0} if method == "ridge" else {}))
    scaled = fit_transfer(np.ldexp(A, x_power), np.ldexp(B, y_power), method, **options)
    rotation = method == "procrustes" and not options
    np.testing.assert_array_equal(scaled.M, found.M if rotation else np.ldexp(found.M, y_power - x_power))
    assert scaled.training_rank == found.training_rank
    if not rotation:
        assert scaled.training_residual == found.training_residual
    elif x_power - y_power == 1200:
        assert scaled.training_residual == np.inf


def test_sizes_whose_ratio_is_too_large():
    with pytest.raises(ValueError, match=r"^A and B must be of sizes whose ratio float64 holds, got \S+e-301 and \S+$"):
        fit_transfer(np.ldexp(A, -1000), np.ldexp(B, 400))


# ---- real data


def wikipedia():
    loadmat = pytest.importorskip("scipy.io").loadmat
    folder = DATA / "wikipedia"
    if not (folder / "raw_features.mat").exists():
        pytest.skip(f"{folder / 'raw_features.mat'} is absent")
    features = loadmat(folder / "raw_features.mat")
    labels = [int(line.split("\t")[2]) for line in (folder / "testset_txt_img_cat.list").read_text().splitlines()]
    return *(features[name] for name in ("I_tr", "T_tr", "I_te", "T_te")), np.array(labels)


def test_wikipedia_ridge_from_image_to_text():
    I_tr, T_tr, I_te, T_te, labels = wikipedia()
    X = I_tr - I_tr.mean(axis=0)
    found = fit_transfer(I_tr, T_tr, "ridge", regularization=1e-3 * (X * X).sum() / 128)
    images, texts = found.apply(I_te) - T_tr.mean(axis=0), T_te - T_tr.mean(axis=0)
    for (queries, gallery), expected in zip([(images, texts), (texts, images)], (0.2746, 0.2164), strict=True):
        measured = evaluate.retrieval(queries, gallery, labels=(labels, labels))["map"]
        assert abs(measured - expected) <= 5e-4


def test_wikipedia_images_have_one_direction_of_rounding():
    I_tr, T_tr, *_ = wikipedia()
    assert fit_transfer(I_tr, T_tr, "lstsq").training_rank == 127
    assert fit_transfer(T_tr, I_tr, "lstsq").training_rank == 9


@pytest.fixture(scope="module")
def clip():
    path = DATA / "clip500" / "features_clip.npy"
    if not path.exists():
        pytest.skip(f"{path} is absent")
    features = np.load(path).astype(np.float64)
    return features / np.linalg.norm(features, axis=2, keepdims=True)


@pytest.mark.parametrize(
    ("method", "options", "expected"),
    [("procrustes", {}, 0.320), ("ridge", {"regularization": 0.01}, 0.172), ("ridge", {"regularization": 0.1}, 0.232),
     ("ridge", {"regularization": 1.0}, 0.204), ("ridge", {"regularization": 10.0}, 0.104),
     ("ridge", {"regularization": 100.0}, 0.068)],
)  # fmt: skip
def test_clip_few_pairs_in_a_space_that_is_shared_already(clip, method, options, expected):
    image, text = ((side - side[:250].mean(axis=0)) for side in clip)
    image, text = (side / np.linalg.norm(side, axis=1, keepdims=True) for side in (image, text))
    found = fit_transfer(image[:250], text[:250], method, center=False, **options)
    measured = evaluate.retrieval(found.apply(image[250:]), text[250:], k=(1,), ties="optimistic")
    assert round(measured["hit_rate@1"], 3) == expected


def test_mfeat_ridge_between_views():
    path = DATA / "mfeat" / "mfeat.npz"
    if not path.exists():
        pytest.skip(f"{path} is absent")
    views = np.load(path)
    train = np.arange(2000) % 200 < 150
    for names, expected in {("fac", "pix"): (0.992, 1.0), ("zer", "kar"): (0.224, 0.642)}.items():
        A, B = (views[name].astype(np.float64) / views[name][train].astype(np.float64).std(axis=0) for name in names)
        found = fit_transfer(A[train], B[train], "ridge", regularization=1.0)
        mean = B[train].mean(axis=0)
        measured = evaluate.retrieval(found.apply(A[~train]) - mean, B[~train] - mean, k=(1, 10), ties="optimistic")
        assert (measured["hit_rate@1"], measured["hit_rate@10"]) == pytest.approx(expected, abs=5e-4)
