"""A diagnosis of two embedding spaces before anything is done to them: what is wrong, and what would help."""

from ._diagnose import diagnose
from ._report import Contender, Diagnosis

__all__ = ["Contender", "Diagnosis", "diagnose"]
