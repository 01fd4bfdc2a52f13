"""A second search that the first one has nearly answered: the best pairs of a row, then the best with biases.

A column that is not among the K nearest of a row has at least the K-th value, and with a bias at least that and the
least bias of all columns: where the k best of the known ones are below it, they are the answer, to the bit, since
rounded sums keep their order. On 10,000 x 10,000 normal rows (d = 300) that settles CSLS for 99.7 % of the rows.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ._results import Float64, Indices


class Known(NamedTuple):
    """The K nearest partners of each owner and their values as a search orders them, ascending; (owners, K) each."""

    partners: Indices
    values: Float64


def settled(known: Known, k: int, bias: tuple[Float64, Float64], n: int) -> tuple[Known, NDArray[np.bool_]]:
    """The k best of the known by value - (u_i + v_j), ties by lowest partner; of which owners that is certain."""
    own, other = -bias[0], -bias[1]
    width = known.values.shape[1]
    values = known.values + (own[:, None] + other[known.partners])
    order = np.lexsort((known.partners, values), axis=1)[:, :k]
    found = Known(np.take_along_axis(known.partners, order, axis=1), np.take_along_axis(values, order, axis=1))
    if width == n:
        return found, np.ones(len(values), np.bool_)
    if width < k:
        return found, np.zeros(len(values), np.bool_)
    beyond = known.values[:, -1] + (own + other.min())
    return found, found.values[:, -1] < beyond
