"""Maps from one embedding space to another, fitted on pairs."""

from ._fit import fit_transfer
from ._map import TransferMap

__all__ = ["TransferMap", "fit_transfer"]
