"""Methods of the toolkit beside those who offer the same: `pytest benchmarks/bench.py -k toolkit`.

A tool names the arguments of a case, our call, its peers, what float64 says, and how an answer is held against that.
"""

from functools import lru_cache, partial

import numpy as np
from assignment import ASSIGNMENT
from floors import blocks
from shapes import CSLS_NEIGHBOURS, EPSILON, ITERATIONS, LONG, NotTimed
from tool import Tool, rows_of, sampled, unit

import cases
import crossmodal_fast as cmf

LAW_ROWS = 1000  # of scores in float64 at a time
CORRELATIONS = np.geomspace(0.95, 0.4, 24)  # of two views: apart enough for scikit-learn's iterations to end

# --------------------------------------------------------------------------------------------------------------- CSLS


def our_csls(x, y, backend):
    """match(method="csls")"""
    return partial(cmf.match, x, y, "csls", neighbours=min(CSLS_NEIGHBOURS, len(x), len(y)), backend=backend)


def two_passes(x, y):
    """topk(k=10) twice: a floor, not an answer"""
    k = min(CSLS_NEIGHBOURS, len(y))

    def passes():
        for _ in range(2):
            cmf.topk(x, y, k, "cosine")

    return passes


def muse(x, y, near):
    """MUSE's own steps: means of the nearest by `near`, then 2 s - r_i - r_j, block by block."""
    k = min(CSLS_NEIGHBOURS, len(x), len(y))

    def matched():
        one, other = unit(x), unit(y)
        r, c = near(one, other, k), near(other, one, k)
        found = []
        for at, part in zip(np.cumsum([0, *map(len, blocks(one, len(y)))]), blocks(one, len(y)), strict=False):
            scores = 2 * (part @ other.T)
            scores -= r[at : at + len(part), None]
            scores -= c
            best = scores.argmax(axis=1)
            found.append((best, np.take_along_axis(scores, best[:, None], 1)[:, 0]))
        columns, scores = (np.concatenate(part) for part in zip(*found, strict=True))
        return np.arange(len(x)), columns, scores

    return matched


def numpy_csls(x, y):
    """x @ y.T, np.partition of both sides, x @ y.T again"""

    def near(one, other, k):
        return np.concatenate([
            np.partition(part @ other.T, len(other) - k, axis=1)[:, -k:].mean(axis=1)
            for part in blocks(one, len(other))
        ])  # fmt: skip

    return muse(x, y, near)


def faiss_csls(x, y):
    """IndexFlatIP.search of both sides, x @ y.T"""
    import faiss

    def near(one, other, k):
        index = faiss.IndexFlatIP(other.shape[1])
        index.add(other)
        return index.search(one, k)[0].mean(axis=1)

    return muse(x, y, near)


@lru_cache(maxsize=1)
def csls_law(case):
    """(sampled rows, their scores (r, n)) in float64."""
    x, y = (unit(rows.astype(np.float64)) for rows in rows_of(case))
    k = min(CSLS_NEIGHBOURS, len(x), len(y))

    def near(one, other):
        parts = (one[start : start + LAW_ROWS] @ other.T for start in range(0, len(one), LAW_ROWS))
        return np.concatenate([np.partition(part, len(other) - k, axis=1)[:, -k:].mean(axis=1) for part in parts])

    taken = sampled(len(x))
    return taken, 2 * x[taken] @ y.T - near(x, y)[taken, None] - near(y, x)


def judged_csls(case, answer):
    taken, law = csls_law(case)
    _, columns, scores = (np.asarray(part)[taken] for part in answer)
    best = law.max(axis=1)
    return np.abs(scores - best).max(), int(np.count_nonzero(columns != law.argmax(axis=1)))


# ----------------------------------------------------------------------------------------------------------- Sinkhorn


def our_sinkhorn(x, y, backend, keep_scores=True):
    """match(method="sinkhorn", keep_scores=True); of more rows streamed, 2 iterations"""
    if backend == "numpy" and len(x) > LONG:
        raise NotTimed("a call would take many minutes")
    if len(x) > LONG:
        return partial(_sinkhorn, x, y, backend, False, iterations=2)
    return partial(_sinkhorn, x, y, backend, keep_scores)


def streamed_sinkhorn(x, y):
    """ours with keep_scores=False: nothing m x n is stored"""
    return our_sinkhorn(x, y, "auto", keep_scores=False)


def _sinkhorn(x, y, backend, keep_scores, iterations=ITERATIONS):
    found = cmf.match(
        x, y, "sinkhorn", epsilon=EPSILON, iterations=iterations, tolerance=0, levels=0, keep_scores=keep_scores,
        backend=backend,
    )  # fmt: skip
    assert found.iterations == iterations, f"all iterations must be taken, got {found.iterations}"
    return found.f / EPSILON, found.g / EPSILON


def pot(method, x, y):
    """Turned, so that its first half step is that of our rows."""
    import ot

    if len(x) > LONG:
        raise NotTimed("POT stores the plan")
    a, b = (np.full(len(rows), 1 / len(rows)) for rows in (x, y))

    def plan():
        cost = 1 - unit(y).astype(np.float64) @ unit(x).T.astype(np.float64)
        return ot.sinkhorn(
            b, a, cost, EPSILON, method, numItermax=ITERATIONS, stopThr=0, log=True, warn=False
        )[1]  # fmt: skip

    return plan


def pot_log(x, y):
    """ot.sinkhorn(method="sinkhorn_log")"""
    call = pot("sinkhorn_log", x, y)

    def potentials():
        found = call()
        return found["log_v"], found["log_u"]

    return potentials


def pot_plain(x, y):
    """ot.sinkhorn, which keeps exp(-cost / epsilon)"""
    call = pot("sinkhorn", x, y)

    def potentials():
        found = call()
        return np.log(found["v"]), np.log(found["u"])

    return potentials


@lru_cache(maxsize=1)
def plan_law(case):
    """log P of sampled rows less the cost: scalings of exp(-cost / epsilon) in float64."""
    x, y = (unit(rows.astype(np.float64)) for rows in rows_of(case))
    cost = 1 - x @ y.T
    kernel, v = np.exp(-cost / EPSILON), np.ones(len(y))
    for _ in range(ITERATIONS):
        u = 1 / len(x) / (kernel @ v)
        v = 1 / len(y) / (u @ kernel)
    return np.log(u)[:, None], np.log(v)


def judged_plan(case, answer):
    """The largest error of log P; the rows' sums alone where the plan is too large."""
    f, g = answer
    if case.m > LONG:
        x, y = rows_of(case)
        taken = sampled(len(x))
        cost = 1 - unit(x[taken].astype(np.float64)) @ unit(y.astype(np.float64)).T
        sums = np.exp(f[taken, None] + g - cost / EPSILON).sum(axis=1)
        return np.abs(sums * len(x) - 1).max(), 0
    u, v = plan_law(case)
    return np.abs((f[:, None] + g) - (u + v)).max(), 0


# ---------------------------------------------------------------------------------------------------------------- CCA


@lru_cache(maxsize=1)
def views_of(case):
    """(a, b, components): noise, but for what some columns of both share; then mixed."""
    rng = cases.generator(case.name)
    shares = CORRELATIONS[: min(case.d, case.n)]
    hidden, views = rng.standard_normal((case.m, len(shares))), []
    for width in (case.d, case.n):
        side = rng.standard_normal((case.m, width))
        side[:, : len(shares)] *= np.sqrt(1 - shares)
        side[:, : len(shares)] += np.sqrt(shares) * hidden
        views.append(side @ np.linalg.qr(rng.standard_normal((width, width)))[0] * rng.uniform(1, 5, width))
    return *views, case.k


def our_cca(a, b, k, backend):
    """fitting.CCA(k).fit, transform"""
    if backend not in ("auto", "numpy"):
        raise NotTimed("its linear algebra is NumPy's, whatever the backend")
    return lambda: cmf.fitting.CCA(k).fit(a, b).transform(a, b)


def sklearn_cca(a, b, k):
    """CCA(k, scale=False).fit, transform"""
    from sklearn.cross_decomposition import CCA

    return lambda: CCA(k, scale=False).fit(a, b).transform(a, b)


@lru_cache(maxsize=1)
def correlations_law(case):
    """Cosines of the angles between the centred views."""
    a, b, k = views_of(case)
    one, other = (np.linalg.qr(side - side.mean(axis=0))[0] for side in (a, b))
    return np.linalg.svd(one.T @ other, compute_uv=False)[:k]


def judged_correlations(case, answer):
    left, right = (side - side.mean(axis=0) for side in answer)
    found = (left * right).sum(axis=0) / np.linalg.norm(left, axis=0) / np.linalg.norm(right, axis=0)
    return np.abs(found - correlations_law(case)).max(), None


# -------------------------------------------------------------------------------------------------------------- ranks


def our_ranks(x, y, backend):
    """crossmodal_fast.ranks, one positive for each query"""
    if backend == "numpy" and len(x) > LONG:
        raise NotTimed("a call would take many minutes")
    return partial(cmf.ranks, x, y, np.arange(len(x)) % len(y), "cosine", backend=backend)


def judged_ranks(case, answer):
    x, y = rows_of(case)
    taken = sampled(len(x))
    score = unit(x[taken].astype(np.float64)) @ unit(y.astype(np.float64)).T
    law = 1 + (score > score[np.arange(len(taken)), taken % len(y), None]).sum(axis=1)
    return 0.0, int(np.count_nonzero(np.asarray(answer)[taken] != law))


TOOLS = {
    "csls": Tool(
        rows_of, our_csls, {"two passes": two_passes, "NumPy": numpy_csls, "FAISS": faiss_csls}, judged_csls, 1e-6
    ),
    "sinkhorn": Tool(
        rows_of,
        our_sinkhorn,
        {"streamed": streamed_sinkhorn, "POT log": pot_log, "POT": pot_plain},
        judged_plan,
        1e-3,
    ),
    "cca": Tool(views_of, our_cca, {"scikit-learn": sklearn_cca}, judged_correlations, 1e-9),
    "assignment": ASSIGNMENT,
    "ranks": Tool(rows_of, our_ranks, {}, judged_ranks, 0.0),
}
