"""How good an answer is: against the float64 law, on a sample of rows."""

from functools import lru_cache

import numpy as np
from data import arguments, rows
from toolkit import TOOLS

import judge
from crossmodal_fast.kernels.pairwise import reference as pairwise_law
from crossmodal_fast.kernels.topk import reference as topk_law
from crossmodal_fast.kernels.transfer import reference as transfer_law

SAMPLED = 16  # rows, spread evenly: the law takes 4 s for 16 against 100,000 x 768
MOST_K = 1000  # of all cases


def sample(count):
    return np.unique(np.linspace(0, count - 1, min(count, SAMPLED)).astype(np.int64))


@lru_cache(maxsize=1)
def found(problem, both):
    """[the law's values and order for a sample of x], with `both` for one of y as well: as many as any k asks for."""
    x, y = rows(problem)
    sides = [(x, y), (y, x)] if both else [(x, y)]
    return [topk_law.topk(one[sample(len(one))], other, min(len(other), MOST_K)) for one, other in sides]


@lru_cache(maxsize=1)
def truth(case):
    """[(sampled rows, the law's answer for them)]: one pair, for topk_both one for either side."""
    if case.k is not None:
        laws = found(case.problem, case.operation == "topk_both")
        counts = (case.m, case.n)[: len(laws)]
        return [
            (sample(count), tuple(part[:, : case.k] for part in law)) for count, law in zip(counts, laws, strict=True)
        ]
    x, y, *which = arguments(case)
    taken = sample(case.m)
    if case.operation == "pairwise_distances":
        return [(taken, pairwise_law.pairwise_distances(x[taken], y))]
    if which[0] is None:
        return [(taken, transfer_law.transfer(x[taken], y))]
    return [(taken, transfer_law.transfer_which(x[taken], y, which[0][taken]))]


def quality(case, answer):
    """Worst relative error and number of wrong neighbours in the sample; None for what an answer does not have.

    Relative to the distance; for transfer to the largest entry of the row. A wrong neighbour is another index than the
    law's at that place.
    """
    if answer is None or case.operation == "prepare":
        return {"error": None, "wrong": None}
    if case.operation in TOOLS:
        error, wrong = TOOLS[case.operation].judge(case, answer)
        return {"error": float(error), "wrong": wrong}
    errors, wrong = [], None
    for part, (taken, law) in zip(parts(case, answer), truth(case), strict=True):
        if case.k is not None:
            values, indices = (np.asarray(column)[taken] for column in part)
            law, law_indices = law
            wrong = (wrong or 0) + int(np.count_nonzero(indices != law_indices))
        else:
            values = np.asarray(part)[taken]
        scale = np.abs(law)
        if case.operation == "transfer":
            scale = scale.max(axis=1, keepdims=True)
        errors.append(np.max(np.abs(values - law) / np.where(scale > 0, scale, 1.0)))
    return {"error": float(max(errors)), "wrong": wrong}


def must_keep_promise(case, answer):
    """AssertionError unless the answer is what we promise: to the bit, or within the stated bound."""
    if case.operation == "prepare":
        return  # judged by what is found in it
    if case.operation in TOOLS:
        found, most = quality(case, answer), TOOLS[case.operation].promise
        assert found["error"] <= most, f"the law says at most {most} for {case.name}, got {found['error']}"
        assert not found["wrong"], f"the law has other partners for {found['wrong']} rows of {case.name}"
        return
    given = arguments(case)
    for part, (taken, law) in zip(parts(case, answer), truth(case), strict=True):
        if case.k is not None:
            judge.same_bits([np.asarray(column)[taken] for column in part], law, np.float32)
        elif case.operation == "pairwise_distances":
            judge.pairwise_within_bound(part[taken], given[0][taken], given[1])
        elif given[2] is None:
            judge.transfer_within_bound(part[taken], given[0][taken], given[1])
        else:
            for row in taken:
                judge.transfer_within_bound(part[row : row + 1], given[0][row : row + 1], given[1][given[2][row]])


def parts(case, answer):
    return answer if case.operation == "topk_both" else [answer]
