"""The four steps of cross-modal learning as one object, over named modalities."""

from ._pipeline import CrossModalPipeline
from ._results import Alignment, RunResult, Similarity, Transfer

__all__ = ["Alignment", "CrossModalPipeline", "RunResult", "Similarity", "Transfer"]
