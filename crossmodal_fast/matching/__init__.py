"""Matching two modalities: one function, a table of methods."""

from ._assignment import Assignment
from ._match import METHODS, match
from ._results import Indices, Matches
from ._sources import scores_of

__all__ = [
    "METHODS",
    "Assignment",
    "Indices",
    "Matches",
    "match",
    "scores_of",
]
