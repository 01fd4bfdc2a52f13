"""The k best of an owner, by (value, partner), NaN after everything: pairs merged into what it holds.

Work    a pair, or a list of pairs, put where it belongs; what it moves down moves; nogil
Shapes  value, index (m, k); index -1 (value +inf) marks the empty slots at the end of a row
Cost    log k for a pair of a list, and what it moves
Sum     none
"""

import numpy as np

from .jit import kernel, part


@part()
def before(a, i, b, j):
    """Whether value a of partner i comes before b of j: NaN after everything, then the lower index."""
    if a == b or (a != a and b != b):
        return i < j
    return a < b or (a == a and b != b)


@part()
def insert(value_mk, index_mk, i, value, partner):
    """Put a pair among the k first of row i; index -1 is an empty slot."""
    slot = value_mk.shape[1] - 1
    if index_mk[i, slot] >= 0 and not before(value, partner, value_mk[i, slot], index_mk[i, slot]):
        return
    while slot > 0 and (
        index_mk[i, slot - 1] < 0 or before(value, partner, value_mk[i, slot - 1], index_mk[i, slot - 1])
    ):
        value_mk[i, slot], index_mk[i, slot] = value_mk[i, slot - 1], index_mk[i, slot - 1]
        slot -= 1
    value_mk[i, slot], index_mk[i, slot] = value, partner


@kernel()
def listed(owner_p, partner_p, value_p, first_row, value_mk, index_mk):
    """Merge each owner's pairs into its row, which may hold earlier ones; pairs come owner by owner."""
    k, at, size = value_mk.shape[1], 0, owner_p.shape[0]
    while at < size:
        row, end = owner_p[at], at
        while end < size and owner_p[end] == row:
            end += 1
        i = row - first_row
        filled = _held(index_mk[i])
        for p in range(at, end):
            value, partner = value_p[p], partner_p[p]
            if filled == k and not before(value, partner, value_mk[i, k - 1], index_mk[i, k - 1]):
                continue
            low, high = 0, filled
            while low < high:
                middle = (low + high) // 2
                if before(value_mk[i, middle], index_mk[i, middle], value, partner):
                    low = middle + 1
                else:
                    high = middle
            filled = min(filled + 1, k)
            for slot in range(filled - 1, low, -1):
                value_mk[i, slot], index_mk[i, slot] = value_mk[i, slot - 1], index_mk[i, slot - 1]
            value_mk[i, low], index_mk[i, low] = value, partner
        at = end


@part()
def _held(index_k):
    """How many slots are taken."""
    low, high = 0, index_k.shape[0]
    while low < high:
        middle = (low + high) // 2
        if index_k[middle] < 0:
            high = middle
        else:
            low = middle + 1
    return low


def rows(value, index, value_ok, index_ok):
    """Merge rows of results into others."""
    owner, slot = np.nonzero(index >= 0)
    listed(owner, index[owner, slot], value[owner, slot], 0, value_ok, index_ok)
