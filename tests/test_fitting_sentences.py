"""What fitting refuses, word for word."""

import re

import numpy as np
import pytest

from crossmodal_fast import TransferMap, fit_transfer
from crossmodal_fast.fitting import CCA, PLS, MultiStep, RidgePath, TransferStatistics
from fitted import pairs, two_views

A, B = pairs()
S = pairs(d_out=6)[1]
NAN = np.where(np.arange(60)[:, None] == 7, np.nan, A)
SUMS = TransferStatistics().partial_fit(A, B)
MAP = fit_transfer(A, B, "lstsq")


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        # ---- options
        (lambda: fit_transfer(A, B, "lstsq", regularization=1.0), ValueError,
         "regularization must be left out with method='lstsq', got 1.0; it belongs to ridge, cca"),
        (lambda: fit_transfer(A, B, "ridge", penalty=1.0), TypeError,
         "options must be among regularization, selection, prior, metric with method='ridge', got 'penalty'"),
        (lambda: fit_transfer(A, B, "lstsq", penalty=1.0), TypeError,
         "options must be among none with method='lstsq', got 'penalty'"),
        (lambda: fit_transfer(A, B, "ridge", backend="gpu"), ValueError,
         "backend must be 'auto' or one of ['cuda', 'numba', 'numpy'], got 'gpu'"),
        (lambda: fit_transfer(A, B, center=1), ValueError, "center must be True or False, got 1"),
        (lambda: fit_transfer(A, None, "lstsq"), ValueError,
         "B must be given unless A is TransferStatistics, got None"),
        (lambda: fit_transfer(SUMS, B, "lstsq"), ValueError,
         "B must be left out where A is TransferStatistics, got an array of shape (60, 4)"),
        (lambda: fit_transfer(SUMS, method="lstsq", sample_weight=[1.0]), ValueError,
         "sample_weight must be left out where A is TransferStatistics, got [1.0]"),
        (lambda: fit_transfer(A, B, "identity"), ValueError,
         "method must be another one between spaces of 6 and 4 columns, got doing nothing"),
        # ---- ridge
        (lambda: fit_transfer(A, B, "ridge", regularization=[1.0, -2.0]), ValueError,
         "regularization must be finite and at least 0, got [1.0, -2.0]"),
        (lambda: fit_transfer(A, B, "ridge", regularization=[]), ValueError,
         "regularization must be finite and at least 0, got []"),
        (lambda: fit_transfer(A, B, "ridge", regularization=["a"]), TypeError,
         "regularization must hold numbers, got dtype <U1"),
        (lambda: fit_transfer(A, B, "ridge", regularization="loo"), ValueError,
         "regularization must be one of path, got 'loo'"),
        (lambda: fit_transfer(A, B, "ridge", regularization=None), TypeError,
         "regularization must be a number, got None"),
        (lambda: fit_transfer(A, B, "ridge", selection="aic"), ValueError,
         "selection must be one of loo, gcv, retrieval, got 'aic'"),
        (lambda: fit_transfer(A, B, "ridge", prior="identity"), ValueError,
         "prior must not be 'identity' between spaces of 6 and 4 columns"),
        (lambda: fit_transfer(A, B, "ridge", prior="zero"), ValueError,
         "prior must be one of identity, procrustes, got 'zero'"),
        (lambda: fit_transfer(A, B, "ridge", prior=np.eye(3)), ValueError,
         "prior must be finite of shape (4, 6), (d_out, d_in), got an array of shape (3, 3)"),
        (lambda: fit_transfer(A, B, "ridge", prior=np.full((4, 6), np.nan)), ValueError,
         "prior must be finite of shape (4, 6), (d_out, d_in), got an array of shape (4, 6)"),
        (lambda: fit_transfer(np.ldexp(A, 800), np.ldexp(S, -800), "ridge", prior="identity"), ValueError,
         "A and B must be of sizes whose ratio float64 holds, got 5.33441e+241 and 2.39951e-240"),
        (lambda: RidgePath(SUMS).loo([1.0]), ValueError,
         "A must be rows to leave one out, got TransferStatistics; selection='gcv' takes them"),
        (lambda: RidgePath(*pairs(5, 9, 4)).loo_predictions(0.0), ValueError,
         "regularization must be above 0 where a pair alone determines a direction, "
         "got 0.0 and such a pair in row 0"),
        (lambda: RidgePath(np.ones((5, 2)), B[:5]), ValueError, "A must hold rows that differ, got 5 equal rows"),
        # ---- statistics
        (lambda: fit_transfer(SUMS), ValueError,
         "method must not be 'auto' for TransferStatistics, which hold no rows to find; name another"),
        (lambda: fit_transfer(TransferStatistics(), method="lstsq"), ValueError,
         "A must hold pairs, got TransferStatistics without any; call partial_fit first"),
        (lambda: TransferStatistics().partial_fit(A, B).partial_fit(A, S), ValueError,
         "A and B must have 6 and 4 columns, as before, got 6 and 6"),
        (lambda: TransferStatistics().partial_fit(A, S).merge(SUMS), ValueError,
         "other must have 6 and 6 columns, as this one, got 6 and 4"),
        (lambda: SUMS.merge(MAP), TypeError,
         "other must be TransferStatistics, got TransferMap(6 -> 4, method='lstsq')"),
        (lambda: TransferStatistics().partial_fit(A * 1e200, B), ValueError,
         "A and B must have squares that float64 holds, got larger ones; divide them by 2**100 first"),
        (lambda: TransferStatistics().partial_fit(NAN, B), ValueError,
         "A must be finite, got nan in row 7; remove or fill such rows first"),
        (lambda: TransferStatistics().partial_fit(A, B[:3]), ValueError,
         "B must have one row for each of the 60 rows of A, got 3"),
        # ---- two views
        (lambda: CCA(9).fit(*two_views()), ValueError,
         "n_components must be in 1..5 (the lower rank of A and B), got 9"),
        (lambda: CCA(0), ValueError, "n_components must be at least 1, got 0"),
        (lambda: CCA("2"), TypeError, "n_components must be a whole number, got '2'"),
        (lambda: CCA(shrinkage=1.5), ValueError, "shrinkage must be in 0..1, got 1.5"),
        (lambda: CCA(regularization=(1.0, 2.0, 3.0)), ValueError,
         "regularization must be one number or a pair, got (1.0, 2.0, 3.0)"),
        (lambda: CCA(regularization=-1.0), ValueError, "regularization must be finite and at least 0, got -1.0"),
        (lambda: CCA(regularization=1e308).fit(A * 1e-200, B), ValueError,
         "regularization must be near the variances of the rows, got 1e+308"),
        (lambda: CCA(shrink_to="zero"), ValueError, "shrink_to must be one of mean, identity, got 'zero'"),
        (lambda: CCA().fit(A, np.ones((60, 3))), ValueError, "B must hold rows that differ, got 60 equal rows"),
        (lambda: CCA().fit(A[:1], B[:1]), ValueError, "A must hold rows that differ, got 1 row"),
        (lambda: CCA().fit(NAN, B), ValueError,
         "A must be finite, got nan in row 7; remove or fill such rows first"),
        (lambda: CCA().transform(A), RuntimeError, "CCA must be fitted before it is applied: call fit(A, B) first"),
        (lambda: PLS().transfer_map, RuntimeError, "PLS must be fitted before it is applied: call fit(A, B) first"),
        (lambda: CCA().fit(A, B).transform(), ValueError, "A or B must be given, got neither"),
        (lambda: CCA().fit(A, B).transform(B), ValueError,
         "A must have 6 columns, as fit saw, got shape (60, 4)"),
        (lambda: CCA().fit(A, B).transform(NAN), ValueError, "A must be finite, got NaN or infinity in row 7"),
        (lambda: CCA().set_params(k=3), ValueError,
         "parameters must be one of n_components, regularization, shrinkage, shrink_to, correlation_power, got 'k'"),
        (lambda: CCA().set_params(n_components=0), ValueError, "n_components must be at least 1, got 0"),
        (lambda: PLS(mode="b"), ValueError, "mode must be one of regression, canonical, svd, got 'b'"),
        (lambda: PLS(7).fit(A, B), ValueError,
         "n_components must be in 1..6 (the components that carry covariance), got 7"),
        (lambda: PLS().fit(np.array([[1.0], [-1.0], [1.0], [-1.0]]), np.array([[1.0], [1.0], [-1.0], [-1.0]])),
         ValueError, "A and B must covary to have a component, got no covariance"),
        (lambda: MultiStep(dewhiten=1), ValueError, "dewhiten must be True or False, got 1"),
        (lambda: MultiStep(reweight=-1), ValueError, "reweight must be finite and at least 0, got -1"),
        # ---- auto
        (lambda: fit_transfer(A[:1], B[:1], center=False), ValueError,
         "A must hold at least 2 pairs for method='auto', got 1"),
        (lambda: fit_transfer(A[:1], B[:1]), ValueError, "A must hold rows that differ, got 1 row"),
        (lambda: fit_transfer(A, B, metric="cosinus"), ValueError, None),
        (lambda: fit_transfer(A, B, seed=-1), ValueError, "seed must be at least 0, got -1"),
        # ---- unpaired
        (lambda: fit_transfer(A, S, "self_learning"), ValueError,
         "pairs must be given with method='self_learning', got None; 'unsupervised' needs none"),
        (lambda: fit_transfer(A, S, "self_learning", pairs=[1, 2]), ValueError,
         "pairs must have shape (p, 2) with p >= 1, got (2,)"),
        (lambda: fit_transfer(A, S, "self_learning", pairs=[[0.5, 1.0]]), TypeError,
         "pairs must be row numbers, got dtype float64"),
        (lambda: fit_transfer(A, S, "self_learning", pairs=[[0, 60]]), ValueError,
         "pairs must name rows of B in 0..59, got 60"),
        (lambda: fit_transfer(A, S, "self_learning", pairs=[[0, 0]], keep=0.0), ValueError,
         "keep must be above 0, got 0"),
        (lambda: fit_transfer(A, S, "self_learning", pairs=[[0, 0]], sample_weight=[1.0]), ValueError,
         "sample_weight must be left out with method='self_learning', got [1.0]"),
        (lambda: fit_transfer(A, None, "unsupervised"), ValueError,
         "B must be given with method='unsupervised', got None"),
        (lambda: fit_transfer(A, S, "unsupervised", clusters=61), ValueError,
         "clusters must be in 1..60 (the rows of the smaller set), got 61"),
        (lambda: fit_transfer(np.ones((5, 2)), S, "unsupervised", clusters=2), ValueError,
         "A must hold rows that differ in direction, got 5 that do not"),
        (lambda: fit_transfer(np.zeros((5, 2)), S, "unsupervised", center=False, clusters=2), ValueError,
         "A must hold a row other than zero in direction, got 5 that do not"),
        (lambda: fit_transfer(NAN, S, "unsupervised"), ValueError,
         "A must be finite, got nan in row 7; remove or fill such rows first"),
        # ---- the map
        (lambda: TransferMap(np.eye(2), np.zeros(2), details={"x": object}), TypeError, None),
        (lambda: MAP.set_params(k=1), ValueError,
         "parameters must be among M, bias, method, training_rank, training_residual, details, got 'k'"),
        (lambda: MAP.set_params(method="other"), ValueError,
         "method must stay as it was fitted, got 'other'; make another TransferMap"),
        (lambda: MAP.report(rows=A), ValueError,
         "rows and targets must both be given or both be left out, got no targets"),
        (lambda: MAP.report(rows=A, targets=B[:1]), ValueError,
         "targets must be at least 2 for a second best, got 1"),
    ],
)  # fmt: skip
def test_sentences(call, error, sentence):
    with pytest.raises(error, match=None if sentence is None else f"^{re.escape(sentence)}$"):
        call()


def test_details_that_cannot_be_saved():
    with pytest.raises(TypeError, match=r"^details must be a dict of plain values, got \{'x': <class 'object'>\}$"):
        TransferMap(np.eye(2), np.zeros(2), details={"x": object})
