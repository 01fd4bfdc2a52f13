"""Matching two modalities: one function, a table of methods."""

from ._match import METHODS, match
from ._results import Indices, Matches
from ._sources import scores_of

__all__ = ["METHODS", "Indices", "Matches", "match", "scores_of"]
