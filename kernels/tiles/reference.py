"""The law of values: the canonical float64 value of every pair, term by term. No tricks, no shared code. Tests only."""

import numpy as np

PAIRS_AT_ONCE = 1 << 15  # pairs per step: speed only, every pair is computed on its own


def total(term, d):
    """The canonical sum of term(0) .. term(d - 1): eight lanes from +0.0, each in order, then a fixed tree."""
    lane = [0.0] * 8
    for c in range(d):
        lane[c % 8] = lane[c % 8] + term(c)
    return ((lane[0] + lane[1]) + (lane[2] + lane[3])) + ((lane[4] + lane[5]) + (lane[6] + lane[7]))


def row_total(x_md):
    return np.zeros(len(x_md)) + total(lambda c: x_md[:, c], x_md.shape[1])


def scaled(x_md):
    """Rows times the power of two that brings their largest magnitude into [0.5, 1); a zero row stays."""
    exponent = np.frexp(np.abs(x_md).max(axis=1, keepdims=True))[1]
    return np.ldexp(x_md, -exponent)


def centred(x_md):
    """Rows minus their own mean; a constant row becomes zero."""
    constant = (x_md == x_md[:, :1]).all(axis=1, keepdims=True)
    return np.where(constant, 0.0, x_md - (row_total(x_md) / x_md.shape[1])[:, None])


def prepared(x_md, metric):
    """What a metric does to each row before rows meet."""
    x_md = np.asarray(x_md).astype(np.float64)
    if metric == "cosine":
        return scaled(x_md)
    if metric == "correlation":
        return centred(scaled(x_md))
    if metric == "jensenshannon":
        mass = row_total(x_md)[:, None]
        return np.where(mass == 0, 0.0, x_md / mass)
    if metric == "hellinger":
        return np.sqrt(x_md)
    return x_md


def angle(x_dm, y_dn, d):
    xy = total(lambda c: x_dm[c] * y_dn[c], d)
    xx = total(lambda c: x_dm[c] * x_dm[c], d)
    yy = total(lambda c: y_dn[c] * y_dn[c], d)
    return np.where((xx == 0) | (yy == 0), 1.0, 1 - np.clip(xy / np.sqrt(xx * yy), -1, 1))


def chebyshev(x_dm, y_dn, d):
    largest = np.abs(x_dm[0] - y_dn[0])
    for c in range(1, d):
        largest = np.maximum(largest, np.abs(x_dm[c] - y_dn[c]))
    return largest


def canberra(x_dm, y_dn, d):
    def term(c):
        span = np.abs(x_dm[c]) + np.abs(y_dn[c])
        return np.where(span == 0, 0.0, np.abs(x_dm[c] - y_dn[c]) / span)

    return total(term, d)


def braycurtis(x_dm, y_dn, d):
    return total(lambda c: np.abs(x_dm[c] - y_dn[c]), d) / total(lambda c: np.abs(x_dm[c] + y_dn[c]), d)


def jensenshannon(x_dm, y_dn, d):
    def entropy_to_middle(own_d, other_d):
        def term(c):
            middle = (own_d[c] + other_d[c]) / 2
            return np.where(own_d[c] == 0, 0.0, own_d[c] * np.log(np.ascontiguousarray(own_d[c] / middle)))

        return total(term, d)

    both = entropy_to_middle(x_dm, y_dn) + entropy_to_middle(y_dn, x_dm)
    without_mass = (x_dm == 0).all(axis=0) | (y_dn == 0).all(axis=0)  # 0 / 0 in every share: SciPy says inf
    return np.where(without_mass, np.inf, np.sqrt(np.maximum(0.0, both / 2)))


def jaccard(x_dm, y_dn, d):
    differ = total(lambda c: (x_dm[c] != 0) != (y_dn[c] != 0), d)
    present = total(lambda c: (x_dm[c] != 0) | (y_dn[c] != 0), d)
    return np.where(present == 0, 0.0, differ / present)


def minkowski(x_dm, y_dn, d, p):
    return np.power(total(lambda c: np.power(np.abs(x_dm[c] - y_dn[c]), p), d), 1 / p)


def sqeuclidean(x_dm, y_dn, d):
    return total(lambda c: (x_dm[c] - y_dn[c]) * (x_dm[c] - y_dn[c]), d)


PAIRS = {
    "sqeuclidean": sqeuclidean,
    "euclidean": sqeuclidean,  # orders by the square
    "dot": lambda x_dm, y_dn, d: total(lambda c: x_dm[c] * y_dn[c], d),
    "cosine": angle,
    "correlation": angle,
    "cityblock": lambda x_dm, y_dn, d: total(lambda c: np.abs(x_dm[c] - y_dn[c]), d),
    "chebyshev": chebyshev,
    "minkowski": minkowski,
    "canberra": canberra,
    "braycurtis": braycurtis,
    "jensenshannon": jensenshannon,
    "hamming": lambda x_dm, y_dn, d: total(lambda c: x_dm[c] != y_dn[c], d) / d,
    "jaccard": jaccard,
    "hellinger": lambda x_dm, y_dn, d: np.sqrt(0.5 * sqeuclidean(x_dm, y_dn, d)),
}


def canonical(x_md, y_nd, metric, p=2.0):
    """(m, d), (n, d) -> (m, n) float64: what is ordered, the square for euclidean."""
    metric = name(metric, p)
    parameters = (p,) if metric == "minkowski" else ()
    with np.errstate(all="ignore"):
        x_md, y_nd = prepared(x_md, metric), prepared(y_nd, metric)
        (m, d), n = x_md.shape, len(y_nd)
        y_dn = np.ascontiguousarray(y_nd.T)[:, None, :]
        value_mn, step = np.empty((m, n)), max(1, PAIRS_AT_ONCE // n)
        for i in range(0, m, step):
            value_mn[i : i + step] = PAIRS[metric](x_md[i : i + step].T[:, :, None], y_dn, d, *parameters)
    return value_mn


def name(metric, p=2.0):
    """Which formula a metric means: minkowski is another metric for three of its powers."""
    return {1.0: "cityblock", 2.0: "euclidean", np.inf: "chebyshev"}.get(p, metric) if metric == "minkowski" else metric


def biased(x_md, y_nd, metric, p=2.0, bias=None):
    """(values (m, n) to order by, whether they are squares of what is returned)."""
    value_mn, squared = canonical(x_md, y_nd, metric, p), name(metric, p) == "euclidean"
    if bias is None:
        return value_mn, squared
    u_m, v_n = (np.asarray(part).astype(np.float64) for part in bias)
    return (np.sqrt(value_mn) if squared else value_mn) + (u_m[:, None] + v_n[None]), False


def may_match(m, n, mask, exclude):
    """(m, n): which pairs take part."""
    allowed_mn = np.ones((m, n), bool) if mask is None else np.broadcast_to(np.asarray(mask), (m, n)).copy()
    for i, j in enumerate([] if exclude is None else exclude):
        if j >= 0:
            allowed_mn[i, j] = False
    return allowed_mn
