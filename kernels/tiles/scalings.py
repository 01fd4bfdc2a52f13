"""Sinkhorn's iterations by a kept kernel: what its backends share, which is everything of size m or n.

Work    potentials from sums and sums from potentials; when to make the kernel anew, when to give up
Shapes  goals, potentials: pairs of (m,) and (n,) float64
Cost    some 10 passes over m + n numbers an iteration
Sum     NumPy's
"""

import numpy as np

SPREAD = 20.0  # of the logarithms of v
REACH = 40.0  # of a column's sum below the sum of all weights, in its logarithm
LARGEST = 700.0  # exponent that float64 holds


def missed(weights, f, ahead):
    """How far the plan's row sums are from where one more half step puts them, in total."""
    return float(weights @ np.abs(np.expm1(np.clip(f - ahead, -LARGEST, LARGEST))))


def iterate(build, sweep, *, goals, share, potentials, weights, tolerance, iterations):
    """(iterations done, error, whether to stop); the potentials are changed in place.

    build(shift) -> top (m,) makes the kernel; sweep(v, lead) -> log w = lead - share log r (m,), and c (n,).
    """
    f, g = potentials
    made, done = None, 0
    with np.errstate(all="ignore"):
        while True:
            if made is None or np.ptp(g - made) > SPREAD:
                made = g.copy()
                top = build(made)
                lead = share * goals[0] + (1 - share) * top
                level = lead.max()
            most = (g - made).max()
            log_w, sums = sweep(np.exp(g - made - most), lead - level - share * most)
            ahead = log_w + level - top
            error = missed(weights, f, ahead)
            if np.isnan(error):
                f[:] = ahead
            if not error > tolerance or done == iterations:
                return done, error, True
            f[:], done = ahead, done + 1
            if not (sums > np.exp(-REACH) * np.exp(log_w).sum()).all():
                return done, error, False
            g[:] = share * (goals[1] - np.log(sums) - level + made)
