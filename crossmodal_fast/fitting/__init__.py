"""Maps from one embedding space to another, fitted on pairs, on sums over pairs, or without any.

`fit_transfer` is the entry to every method and gives a `TransferMap`. Those that project both sides into one space are
classes as well: `CCA`, `PLS`, `MultiStep`. `RidgePath` shows what each penalty gives, `TransferStatistics` sums over
any number of pairs, `induced` finds pairs between two sets of rows that lie in one space already.
"""

from ._canonical import CCA
from ._dictionary import Dictionary, induced
from ._fit import fit_transfer
from ._linear import RidgePath
from ._map import TransferMap
from ._multistep import MultiStep
from ._partial import PLS
from ._statistics import TransferStatistics

__all__ = [
    "CCA",
    "PLS",
    "Dictionary",
    "MultiStep",
    "RidgePath",
    "TransferMap",
    "TransferStatistics",
    "fit_transfer",
    "induced",
]
