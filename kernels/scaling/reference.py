"""The meaning of `scaling`: both half steps in the log domain, again and again. Tests only."""

import numpy as np


def scaling(score_mn, beta, goals, share, potentials, iterations):
    """(m, n), ((m,), (n,)), ((m,), (n,)) -> f (m,), g (n,) float64."""
    (a_m, b_n), (f_m, g_n) = goals, potentials
    term_mn = beta * np.asarray(score_mn, np.float64)
    for _ in range(iterations):
        f_m = share * (a_m - np.logaddexp.reduce(term_mn + g_n, axis=1))
        g_n = share * (b_n - np.logaddexp.reduce(term_mn.T + f_m, axis=1))
    return f_m, g_n
