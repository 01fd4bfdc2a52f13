"""Sinkhorn's iterations on a kept kernel, against the log domain in float64: their bound, their end, their threads."""

import numpy as np
import pytest
from scipy.special import logsumexp

from crossmodal_fast import match
from crossmodal_fast._dispatch import implementation, obstacle
from crossmodal_fast.kernels.scaling.reference import scaling as law
from crossmodal_fast.kernels.tiles import pool, scalings
from matching import FAST, cosine, sides

UNIT = {np.float32: 2.0**-24, np.float64: 2.0**-53}


@pytest.fixture(params=["numpy", "numba"])
def scaling(request):
    if reason := obstacle("scaling", request.param):
        pytest.skip(reason)
    return implementation("scaling", request.param, np.empty((1, 1)), None)[1]


def problem(m, n, dtype, seed=0, uneven=2.0):
    """Scores in -1..1 and marginals of sum 1."""
    rng = np.random.default_rng(seed)
    scores = cosine(rng.standard_normal((m, 5)), rng.standard_normal((n, 5))).astype(dtype)
    a, b = (rng.uniform(1, uneven, size) for size in (m, n))
    return scores, a / a.sum(), b / b.sum()


def run(scaling, scores, a, b, epsilon, share=1.0, constant=0.0, start=None, iterations=20, tolerance=-1.0):
    """(f, g), (iterations, error, whether to stop)."""
    potentials = tuple(np.array(part) for part in start or (np.zeros(len(a)), np.zeros(len(b))))
    found = scaling(
        scores, np.empty_like(scores), beta=1 / epsilon, goals=goals(a, b, epsilon, constant), share=share,
        potentials=potentials, weights=a, tolerance=tolerance, iterations=iterations,
    )  # fmt: skip
    return potentials, found


def goals(a, b, epsilon, constant=0.0):
    return np.log(a) + constant / epsilon, np.log(b) + constant / epsilon


def bound(scores, epsilon, potentials):
    """The contract's, of one half step."""
    size = np.abs(scores).max() / epsilon + np.abs(potentials[1]).max()
    count = max(scores.shape)
    return 2.0**-51 * size + (50 + np.log(count)) * UNIT[scores.dtype.type] + count * np.exp(-60) + np.exp(-40)


def halves(scores, a, b, epsilon, share, constant, start, found):
    """Exact half steps: of the rows from where a step began, of the columns from what it made of the rows."""
    terms, given = scores.astype(np.float64) / epsilon, goals(a, b, epsilon, constant)
    f = share * (given[0] - logsumexp(terms + start[1], axis=1))
    return f, share * (given[1] - logsumexp(terms.T + found[0], axis=1))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("m", "n"), [(1, 1), (1, 7), (6, 1), (37, 53), (130, 21)])
@pytest.mark.parametrize(("epsilon", "share", "constant"), [(0.5, 1.0, 0.0), (0.05, 1.0, 1.0), (0.05, 0.6, 1.0)])
def test_each_half_step_keeps_its_bound(scaling, m, n, dtype, epsilon, share, constant):
    scores, a, b = problem(m, n, dtype)
    start = np.zeros(m), np.zeros(n)
    for _ in range(6):
        found, (done, _, stop) = run(scaling, scores, a, b, epsilon, share, constant, start, 1)
        f, g = halves(scores, a, b, epsilon, share, constant, start, found)
        most = share * bound(scores, epsilon, found)
        assert done == 1
        assert np.abs(found[0] - f).max() <= most
        if stop:
            assert np.abs(found[1] - g).max() <= most
        start = found[0], g


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("share", [1.0, 0.7])
def test_many_iterations_are_those_of_the_log_domain(scaling, dtype, share, monkeypatch):
    """Potentials that wander by several times SPREAD, so that the kernel is made anew on the way."""
    monkeypatch.setattr(scalings, "SPREAD", 4.0)
    scores, a, b = problem(40, 60, dtype, uneven=50.0)
    epsilon, start, left, made = 0.02, (np.zeros(40), np.zeros(60)), 60, []
    while left:
        found, (done, _, stop) = run(scaling, scores, a, b, epsilon, share, 0.0, start, left)
        left -= done
        if not stop:
            found = found[0], halves(scores, a, b, epsilon, share, 0.0, start, found)[1]
        made.append(stop)
        start = found
        assert stop or left
        if stop:
            break
    exact = law(scores, 1 / epsilon, goals(a, b, epsilon), share, (np.zeros(40), np.zeros(60)), 60)
    assert max(np.ptp(part) for part in exact) > 3 * scalings.SPREAD
    for part, other in zip(start, exact, strict=True):
        assert np.abs(part - other).max() <= 120 * bound(scores, epsilon, exact)


def test_the_error_is_that_of_the_row_sums(scaling):
    scores, a, b = problem(30, 20, np.float64)
    (f, g), (done, error, stop) = run(scaling, scores, a, b, 0.2, iterations=3)
    plan = np.exp(f[:, None] + g + scores / 0.2)
    assert (done, stop) == (3, True)
    assert error == pytest.approx(np.abs(plan.sum(axis=1) - a).sum(), rel=1e-9)
    np.testing.assert_allclose(plan.sum(axis=0), b, rtol=1e-12)
    _, (done, error, stop) = run(scaling, scores, a, b, 0.2, iterations=1000, tolerance=1e-9)
    assert stop
    assert error <= 1e-9
    assert 3 < done < 1000


def test_columns_out_of_reach_are_left_to_others(scaling):
    """Column 0 is 100 below the best of every row: the kernel holds nothing of its sum."""
    scores = np.zeros((3, 4))
    scores[:, 0] = -1.0
    a, b = np.full(3, 1 / 3), np.full(4, 1 / 4)
    (f, g), (done, _, stop) = run(scaling, scores, a, b, 0.01)
    assert (done, stop) == (1, False)
    np.testing.assert_allclose(f, np.log(1 / 9), rtol=1e-12)
    assert not g.any()


def test_scalings_never_lie_further_apart_than_the_kernel_bears():
    scores, a, b = problem(40, 60, np.float64, uneven=50.0)
    spread, kept = [], {}

    def build(shift):
        term = scores / 0.02 + shift
        kept["k"] = np.exp(term - term.max(axis=1, keepdims=True))
        return term.max(axis=1)

    def sweep(v, lead):
        spread.append(np.ptp(np.log(v)))
        log_w = lead - np.log(kept["k"] @ v)
        return log_w, np.exp(log_w) @ kept["k"]

    potentials = np.zeros(40), np.zeros(60)
    given = {"goals": goals(a, b, 0.02), "share": 1.0, "weights": a, "tolerance": -1.0, "iterations": 60}
    assert scalings.iterate(build, sweep, potentials=potentials, **given)[0] == 60
    assert np.ptp(potentials[1]) > scalings.SPREAD
    assert 5 < max(spread) <= scalings.SPREAD


def test_scores_that_are_not_finite_end_it(scaling):
    scores, a, b = problem(9, 8, np.float32)
    for value in (np.nan, np.inf):
        scores[4, 3] = value
        (f, _), (done, _, stop) = run(scaling, scores, a, b, 0.1)
        assert (done, stop) == (0, True)
        assert not np.isfinite(f).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_threads_change_no_bit(scaling, dtype):
    scores, a, b = problem(301, 203, dtype, seed=3)
    found = []
    for threads in (1, 3):
        with pool.at_most(threads):
            found.append(run(scaling, scores, a, b, 0.05, start=(np.zeros(301), np.zeros(203)))[0])
    for part, other in zip(*found, strict=True):
        np.testing.assert_array_equal(part, other)


@pytest.mark.parametrize("epsilon", [1e-3, 0.02])
@pytest.mark.parametrize("rho", [None, 0.05, 5.0])
@pytest.mark.parametrize("levels", [0, 4])
def test_kept_scores_lead_where_streamed_ones_do(epsilon, rho, levels):
    """Small epsilon: hundreds between exponents of a column, potentials that jump by as much."""
    X, Y = sides(31, 24, seed=6)
    options = {"epsilon": epsilon, "rho": rho, "levels": levels, "iterations": 60, "tolerance": 1e-9}
    streamed, kept = (match(X, Y, "sinkhorn", keep_scores=keep, **options, **FAST) for keep in (False, True))
    assert kept.iterations == streamed.iterations
    for name in ("f", "g"):
        np.testing.assert_allclose(getattr(kept, name), getattr(streamed, name), atol=1e-9)
    assert kept.error == pytest.approx(streamed.error, rel=1e-5, abs=1e-9)
    np.testing.assert_array_equal(kept.pairs, streamed.pairs)


def test_without_room_for_the_kernel_sums_are_taken_as_before(monkeypatch):
    """Three times the scores, which take 480,000 bytes, fit or do not fit."""
    ready, options = cosine(*sides(200, 300, seed=7)), {"epsilon": 0.05, "keep_scores": True, "iterations": 20} | FAST
    tight = {"metric": "precomputed", "max_bytes": 1_430_000}
    plans = [match(ready, None, "sinkhorn", metric="precomputed", **options)]
    plans.append(match(ready, None, "sinkhorn", **tight, **options))
    np.testing.assert_allclose(plans[1].f, plans[0].f, atol=1e-9)
    X, Y = sides(1300, 1500, seed=7)
    monkeypatch.setattr("crossmodal_fast.kernels.scaling.cpu_numpy.iterate", None)
    with pytest.raises(TypeError, match="NoneType"):
        match(ready, None, "sinkhorn", metric="precomputed", **options)
    match(ready, None, "sinkhorn", **tight, **options)
    assert match(X, Y, "sinkhorn", max_bytes=40_000_000, **options | {"iterations": 1}).iterations == 1
