"""How good an answer is: against the float64 law, on a sample of rows."""

from functools import lru_cache

import numpy as np
from contenders import arguments

import judge
from crossmodal_fast.kernels.pairwise import reference as pairwise_law
from crossmodal_fast.kernels.topk import reference as topk_law
from crossmodal_fast.kernels.transfer import reference as transfer_law

SAMPLED = 16  # rows, spread evenly: the law takes 2 s for 16 against 100,000 x 768


def sample(count):
    return np.unique(np.linspace(0, count - 1, min(count, SAMPLED)).astype(np.int64))


@lru_cache(maxsize=1)
def truth(case):
    """[(sampled rows, the law's answer for them)]: one pair, for topk_both one for either side."""
    given = arguments(case)
    rows = sample(case.m)
    if case.operation == "pairwise_distances":
        return [(rows, pairwise_law.pairwise_distances(given[0][rows], given[1]))]
    if case.operation == "transfer":
        e, m, which = given
        mapped = (
            transfer_law.transfer(e[rows], m) if which is None else transfer_law.transfer_which(e[rows], m, which[rows])
        )
        return [(rows, mapped)]
    x, y, k = given
    found = [(rows, topk_law.topk(x[rows], y, k))]
    if case.operation == "topk_both":
        columns = sample(case.n)
        found.append((columns, topk_law.topk(y[columns], x, k)))
    return found


def quality(case, answer):
    """Worst relative error and number of wrong neighbours in the sample; None for what an answer does not have.

    Relative to the distance; for transfer to the largest entry of the row. A wrong neighbour is another index than the
    law's at that place.
    """
    if answer is None or case.operation == "prepare":
        return {"error": None, "wrong": None}
    errors, wrong = [], None
    for part, (rows, law) in zip(parts(case, answer), truth(case), strict=True):
        if case.k is not None:
            values, indices = (np.asarray(column)[rows] for column in part)
            law, law_indices = law
            wrong = (wrong or 0) + int(np.count_nonzero(indices != law_indices))
        else:
            values = np.asarray(part)[rows]
        scale = np.abs(law)
        if case.operation == "transfer":
            scale = scale.max(axis=1, keepdims=True)
        errors.append(np.max(np.abs(values - law) / np.where(scale > 0, scale, 1.0)))
    return {"error": float(max(errors)), "wrong": wrong}


def must_keep_promise(case, answer):
    """AssertionError unless the answer is what we promise: to the bit, or within the stated bound."""
    if case.operation == "prepare":
        return  # judged by what is found in it
    given = arguments(case)
    for part, (rows, law) in zip(parts(case, answer), truth(case), strict=True):
        if case.k is not None:
            judge.same_bits([np.asarray(column)[rows] for column in part], law, np.float32)
        elif case.operation == "pairwise_distances":
            judge.pairwise_within_bound(part[rows], given[0][rows], given[1])
        elif given[2] is None:
            judge.transfer_within_bound(part[rows], given[0][rows], given[1])
        else:
            for row in rows:
                judge.transfer_within_bound(part[row : row + 1], given[0][row : row + 1], given[1][given[2][row]])


def parts(case, answer):
    return answer if case.operation == "topk_both" else [answer]
