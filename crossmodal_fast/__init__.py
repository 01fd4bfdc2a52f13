"""The numerical core of cross-modal learning: exact, fast distances, top-k matching and matrix transfer."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._config import Control, config, config_context, use_backend
from ._dispatch import BackendUnavailable, backends
from ._gallery import Gallery
from ._operations import logsumexp, pairwise_distances, ranks, similarity, topk, topk_both, transfer, within
from ._search import LogSums, SearchStats, TopK, Within
from ._warmup import warmup

if TYPE_CHECKING:
    from . import compat as compat
    from . import dask as dask
    from . import encoders, evaluate, fitting, fusion, matching, preprocess, report
    from . import estimators as estimators
    from . import files as files
    from . import streaming as streaming
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
    "encoders",
    "evaluate",
    "fit_transfer",
    "fitting",
    "fusion",
    "logsumexp",
    "match",
    "match_segments",
    "matching",
    "pairwise_distances",
    "preprocess",
    "ranks",
    "report",
    "similarity",
    "streaming",
    "topk",
    "topk_both",
    "transfer",
    "use_backend",
    "warmup",
    "within",
]

# Imported when first named: with them the import took 0.35 s of a core (beside other work), without 0.12.
TOOLKIT = {
    "compat": (),
    "dask": (),
    "diagnosis": ("Diagnosis", "diagnose"),
    "encoders": (),
    "estimators": (),
    "evaluate": (),
    "files": (),
    "fitting": ("TransferMap", "fit_transfer"),
    "fusion": (),
    "matching": ("Assignment", "Matches", "Plan", "SegmentMatches", "match", "match_segments"),
    "pipeline": ("CrossModalPipeline",),
    "preprocess": (),
    "report": (),
    "streaming": (),
}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        for package, names in TOOLKIT.items():
            if name == package or name in names:
                module = import_module(f".{package}", __name__)
                globals().update({own: getattr(module, own) for own in names})
                return globals()[name]
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
