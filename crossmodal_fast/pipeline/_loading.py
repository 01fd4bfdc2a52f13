"""What `load_data` takes, read and checked: rows, labels and pairs of named modalities."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._arguments import array_of, brief, label_pair, rows_of
from ..matching import Indices

Array = NDArray[Any]


def rows_by_name(data: Any) -> dict[str, Array]:
    """dict modality -> (n, d); values may be paths of files."""
    if not isinstance(data, Mapping) or not data:
        got = "an empty dict" if isinstance(data, Mapping) else type(data).__name__
        raise TypeError(f"data must be a dict of at least one modality, got {got}")
    for name in data:
        if not isinstance(name, str) or not name:
            raise TypeError(f"data must name each modality by a text, got {brief(name)}")
    return {name: _rows(name, value) for name, value in data.items()}


def _rows(name: str, value: Any) -> Array:
    if isinstance(value, str | os.PathLike):
        from ..files import read_embeddings

        value = read_embeddings(value)
    return rows_of(f"data[{name!r}]", array_of(f"data[{name!r}]", value))


def labels_by_name(labels: Any, data: Mapping[str, Array]) -> dict[str, Array]:
    """dict modality -> (n,), all of one kind; one array stands for all modalities."""
    if labels is None:
        return {}
    if not isinstance(labels, Mapping):
        labels = dict.fromkeys(data, labels)
    for name, value in labels.items():
        if name not in data:
            raise ValueError(f"labels must be for the modalities {', '.join(data)}, got {brief(name)}")
        shape = array_of(f"labels[{name!r}]", value).shape
        if shape != (len(data[name]),):
            raise ValueError(f"labels[{name!r}] must have shape ({len(data[name])},), got {shape}")
    return dict(zip(labels, label_pair(*((f"labels[{name!r}]", value) for name, value in labels.items())), strict=True))


def pairs_by_names(pairs: Any, data: Mapping[str, Array]) -> dict[tuple[str, str], Indices]:
    """dict (modality, modality) -> (p, 2); one array stands for the only two modalities."""
    if pairs is None:
        return {}
    if not isinstance(pairs, Mapping):
        if len(data) != 2:
            raise ValueError(
                f"pairs must be a dict (modality, modality) -> (p, 2) for {len(data)} modalities, got one array"
            )
        pairs = {tuple(data): pairs}
    found = {}
    for names, value in pairs.items():
        if not (isinstance(names, tuple) and len(names) == 2 and set(names) <= set(data)):
            raise ValueError(f"pairs must be for two of the modalities {', '.join(data)}, got {names!r}")
        found[names] = pairs_of(value, names, data)
    return found


def pairs_of(pairs: ArrayLike, names: tuple[str, str], data: Mapping[str, Array]) -> Indices:
    """(p, 2) rows of two modalities that belong together."""
    what = f"pairs of {names[0]!r} and {names[1]!r}"
    found = array_of(what, pairs)
    if found.ndim != 2 or found.shape[1] != 2 or not len(found):
        raise ValueError(f"{what} must have shape (p, 2) with p >= 1, got {found.shape}")
    if found.dtype.kind not in "iu":
        raise TypeError(f"{what} must be row numbers, got dtype {found.dtype}")
    for side, name in enumerate(names):
        worst = found[:, side].min() if found[:, side].min() < 0 else found[:, side].max()
        if not 0 <= worst < len(data[name]):
            raise ValueError(f"pairs must name rows of {name!r} in 0..{len(data[name]) - 1}, got {worst}")
    return found.astype(np.int64)
