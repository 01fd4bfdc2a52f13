"""Where modalities meet: their rows brought into one space and compared there, fused where a side names several."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import fusion as fusions
from .._operations import pairwise_distances
from ..fitting import TransferMap
from ..matching import scores_of
from ._parameters import LateFusion
from ._results import Names

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Spaces:
    """Preprocessed rows of modalities, the maps between them, the modality in whose space others meet, and weights."""

    embeddings: Mapping[str, Array]
    maps: Mapping[tuple[str, str], TransferMap]
    shared: str | None
    weights: Mapping[str, float]
    control: Mapping[str, Any]

    def mapped(self, source: str, target: str | None) -> Array:
        """Rows of source in the space of target; as they are where no map leads there."""
        found = self.maps.get((source, str(target)))
        return self.embeddings[source] if found is None else found.apply(self.embeddings[source], **self.control)

    def meeting(self, source: str, target: str) -> tuple[Array, Array]:
        """Rows of two modalities in one space."""
        if source == target:
            return self.embeddings[source], self.embeddings[target]
        sides = {(source, target), (target, source)}
        if not sides & set(self.maps) and {(source, self.shared), (target, self.shared)} <= set(self.maps):
            return self.mapped(source, self.shared), self.mapped(target, self.shared)
        if (source, target) in self.maps:
            return self.mapped(source, target), self.embeddings[target]
        left, right = self.embeddings[source], self.mapped(target, source)
        if left.shape[1] != right.shape[1]:
            raise RuntimeError(
                f"knowledge_transfer({source!r}, {target!r}) must be called before these two are compared: "
                f"they have {left.shape[1]} and {right.shape[1]} columns"
            )
        return left, right

    def embedded(self, source: Names, target: Names) -> tuple[Array, Array]:
        """Rows of both sides in one space; several modalities of a side as one, by `fusion.concatenate`."""
        if isinstance(source, str) and isinstance(target, str):
            return self.meeting(source, target)
        combinations, weights = self._combinations(source, target)
        left, right = zip(*(self.meeting(s, t) for s, t in combinations), strict=True)
        return fusions.concatenate(left, weights), fusions.concatenate(right, weights)

    def scores(self, source: Names, target: Names, metric: str, fuse: LateFusion | None, **keywords: Any) -> Array:
        """(m, n), higher is better: of the embedded sides or, with `fuse`, of each two modalities, fused."""
        if fuse is None or (isinstance(source, str) and isinstance(target, str)):
            return self._compared(*self.embedded(source, target), metric, keywords)
        combinations, weights = self._combinations(source, target)
        compared = [self._compared(*self.meeting(s, t), metric, keywords) for s, t in combinations]
        return np.asarray(fuse(compared, weights))

    def _combinations(self, source: Names, target: Names) -> tuple[list[tuple[str, str]], list[float]]:
        sources, targets = ((side,) if isinstance(side, str) else side for side in (source, target))
        combinations = list(product(sources, targets))
        return combinations, [self.weights.get(s, 1.0) * self.weights.get(t, 1.0) for s, t in combinations]

    def _compared(self, left: Array, right: Array, metric: str, keywords: Mapping[str, Any]) -> Array:
        return scores_of(pairwise_distances(left, right, metric, **{**self.control, **keywords}), metric)
