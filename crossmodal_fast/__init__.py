"""The numerical core of cross-modal learning: exact, fast distances, top-k matching and matrix transfer."""

from . import evaluate, fitting, fusion, preprocess
from ._config import Control, config, config_context, use_backend
from ._dispatch import BackendUnavailable, backends
from ._gallery import Gallery
from ._operations import logsumexp, pairwise_distances, ranks, similarity, topk, topk_both, transfer, within
from ._search import LogSums, SearchStats, TopK, Within
from ._warmup import warmup
from .diagnosis import Diagnosis, diagnose
from .fitting import TransferMap, fit_transfer
from .matching import Assignment, Matches, Plan, SegmentMatches, match, match_segments
from .pipeline import CrossModalPipeline

__version__ = "0.2.0"
__all__ = [
    "Assignment",
    "BackendUnavailable",
    "Control",
    "CrossModalPipeline",
    "Diagnosis",
    "Gallery",
    "LogSums",
    "Matches",
    "Plan",
    "SearchStats",
    "SegmentMatches",
    "TopK",
    "TransferMap",
    "Within",
    "backends",
    "config",
    "config_context",
    "diagnose",
    "evaluate",
    "fit_transfer",
    "fitting",
    "fusion",
    "logsumexp",
    "match",
    "match_segments",
    "pairwise_distances",
    "preprocess",
    "ranks",
    "similarity",
    "topk",
    "topk_both",
    "transfer",
    "use_backend",
    "warmup",
    "within",
]
