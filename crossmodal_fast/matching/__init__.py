"""Matching two modalities: one function, a table of methods."""

from ._assignment import Assignment
from ._corrections import CORRECTIONS, correction
from ._match import METHODS, match
from ._results import Indices, Matches
from ._segments import SegmentMatches, match_segments
from ._source import scores_of
from ._transport import Plan

__all__ = [
    "CORRECTIONS",
    "METHODS",
    "Assignment",
    "Indices",
    "Matches",
    "Plan",
    "SegmentMatches",
    "correction",
    "match",
    "match_segments",
    "scores_of",
]
