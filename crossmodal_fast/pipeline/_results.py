"""What the steps give back."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..fitting import TransferMap
from ..matching import Indices, Matches

Array = NDArray[Any]
Names = str | Sequence[str]  # one modality, or several that describe the same items row by row
Direction = tuple[Names, Names]


@dataclass(frozen=True, eq=False)
class Similarity:
    """scores (m, n) of all rows of `source` with all rows of `target`, higher is better."""

    source: Names
    target: Names
    metric: str
    scores: Array


@dataclass(frozen=True, eq=False)
class Alignment:
    """Which rows of `source` go with which rows of `target`."""

    source: Names
    target: Names
    method: str
    metric: str
    matches: Matches

    @property
    def pairs(self) -> Indices:
        """(p, 2) int64: fit for `knowledge_transfer(.., pairs=)`."""
        pairs: Indices = self.matches.pairs
        return pairs

    def take(self, source_rows: ArrayLike, target_rows: ArrayLike) -> tuple[Array, Array]:
        """The two arrays with row p of one beside row p of the other."""
        return np.asarray(source_rows)[self.matches.rows], np.asarray(target_rows)[self.matches.columns]


@dataclass(frozen=True, eq=False)
class Transfer:
    """The map from `source` to `target`, and embeddings (n, d_out): the loaded rows of `source` mapped by it."""

    source: str
    target: str
    map: TransferMap
    embeddings: Array


@dataclass(frozen=True, eq=False)
class RunResult:
    """What `run` found, by direction (source, target). `measures` is empty for directions without known truth."""

    alignments: dict[Direction, Alignment]
    measures: dict[Direction, dict[str, float]]
