"""Searches as graphs of tasks: blocks of queries against shards, what they found joined in a tree."""

from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _validate
from .._config import resolve
from .._search import TopK, Within
from . import _merge, _shard
from ._blocks import FAN_IN, Block, beside, blocks, parts, rows_of, tree, whole
from ._needed import needed
from ._worker import travelling

Array = npt.NDArray[Any]
MEASURED = {"seuclidean": "V", "mahalanobis": "VI"}  # what these metrics take from all rows where it is not given
Chunks = tuple[int, ...]


def given_to(metric: str, metric_kwargs: dict[str, Any] | None, d: int) -> dict[str, Any]:
    """The keywords of a metric, which may not depend on rows that nobody sees at once."""
    given = _validate.metric_keywords(_validate.metric_name(metric), metric_kwargs, d)
    wanted = MEASURED.get(metric)
    if wanted is not None and wanted not in given:
        raise ValueError(f"metric_kwargs must give {wanted} for metric={metric!r} of dask arrays, got {metric_kwargs}")
    return given


def held_of(pairs: tuple[Any, Any, Any, Any], rows: Chunks, columns: Chunks) -> dict[str, Any]:
    """Delayed chunks of exclude, mask, u and v, those that are given."""
    exclude_self, exclude, mask, bias = pairs
    m, n = sum(rows), sum(columns)
    if _validate.flag("exclude_self", exclude_self):
        exclude = _validate.exclusion(True, exclude, (), m, n)
    if bias is not None and (not isinstance(bias, tuple | list) or len(bias) != 2 or any(u is None for u in bias)):
        _validate.biases(bias, (), m, n)  # refuses it
    u, v = bias or (None, None)
    axes = len(mask.shape) if hasattr(mask, "shape") else np.ndim(mask)
    mask_chunks = (columns,) if axes == 1 else (rows, columns)

    def numbers(value: Any, at: int) -> Any:
        sides: list[Any] = [np.zeros(m), np.zeros(n)]
        sides[at] = value
        checked = _validate.biases(sides, (), m, n)
        return None if checked is None else checked[at]

    found = {
        "exclude": beside("exclude", exclude, (rows,), lambda value: _validate.exclusion(False, value, (), m, n)),
        "mask": beside("mask", mask, mask_chunks, lambda value: _validate.allowance(value, (), m, n)),
        "u": beside("bias[0]", u, (rows,), lambda value: numbers(value, 0)),
        "v": beside("bias[1]", v, (columns,), lambda value: numbers(value, 1)),
    }
    return {name: parts(value) for name, value in found.items() if value is not None}


def rounds(count: int) -> list[slice]:
    """1 of `count`, 7 more, 56 more, ..: after each round FAN_IN times as many as before."""
    edges = [0, 1]
    while edges[-1] < count:
        edges.append(edges[-1] * FAN_IN)
    return [slice(*edge) for edge in pairwise(edges)]


class Search:
    """One search: the blocks of its queries against the shards."""

    def __init__(self, gallery: Any, queries: Any, pairs: Any, control: Any, name: str = "queries") -> None:
        queries = rows_of(name, queries)
        _validate.same_features(name, queries, gallery._name, gallery)
        self.gallery, self.shards, self.m = gallery, gallery._shards, queries.shape[0]
        self.dtypes = queries, gallery
        self.blocks = blocks(name, queries, resolve(control).check_finite)
        self.held = held_of(pairs, queries.chunks[0], gallery.chunks)
        self.biased = "u" in self.held
        self.way = _shard.Way(gallery._metric, gallery._given, len(gallery), travelling(control))
        self.delayed = needed("dask").delayed

    def beside(self, i: int, j: int) -> dict[str, Any]:
        """Filters of a block against a shard, delayed."""
        axes = {"exclude": i, "u": i, "v": j}
        found = {name: part[axes[name]] for name, part in self.held.items() if name != "mask"}
        if "mask" in self.held:
            mask = self.held["mask"]
            found["mask"] = mask[j] if mask.ndim == 1 else mask[i, j]
        return found

    def topk(self, k: int, dtype: Any) -> TopK:
        dtype = _validate.output_dtype(dtype, *self.dtypes)
        return self._finished([self._nearest(i, k) for i in range(len(self.blocks))], self.blocks, k, dtype)

    def _nearest(self, i: int, k: int) -> Any:
        """The k best of a block, delayed.

        With as many blocks as shards each begins at a shard of its own, goes on with 7, then 56, .. more, and tells
        them the k-th best key so far: they skip what is above it, and send nothing of it. With fewer blocks workers
        would wait for that.
        """
        nearest, limit_of = self.delayed(_shard.nearest, pure=True), self.delayed(_merge.limit_of, pure=True)
        block, count = self.blocks[i], len(self.shards)
        order = [(i + j) % count for j in range(count)]
        limit, found = None, []
        for group in rounds(count) if len(self.blocks) >= count else [slice(0, count)]:
            found += [
                nearest(self.shards[j].rows, block.rows, k, self.way, self.beside(i, j), limit) for j in order[group]
            ]
            found = [tree(partial(_merge.best, k), found)]
            limit = limit_of(k, found[0])
        return found[0]

    def within(self, radius: Array, dtype: Any) -> Within:
        inside, dtype = self.delayed(_shard.inside, pure=True), _validate.output_dtype(dtype, *self.dtypes)
        listed, made = self.delayed(_merge.listed, pure=True, nout=3), []
        for i, block in enumerate(self.blocks):
            goal = self.delayed(radius[block.start : block.stop], pure=True)
            found = [inside(shard.rows, block.rows, goal, self.way, self.beside(i, j))
                     for j, shard in enumerate(self.shards)]  # fmt: skip
            made.append(listed(tree(_merge.gathered, found), self.way, dtype, self.biased))
        counts, indices, distances = zip(*made, strict=True)
        array = needed("dask.array")
        counted = whole(counts, [(block.size,) for block in self.blocks], np.int64)
        unknown = [(np.nan,)] * len(self.blocks)
        indptr = array.concatenate([array.zeros(1, dtype=np.int64), array.cumsum(counted)])
        return Within(indptr, whole(indices, unknown, np.int64), whole(distances, unknown, dtype))

    def ranks(self, row: Array, positive: Array, ties: str) -> Any:
        keys_of, counts_of, placed, rank = (
            self.delayed(function, pure=True)
            for function in (_shard.keys_of, _shard.counts_of, _merge.placed, _merge.rank)
        )
        edges, made = np.searchsorted(row, [0, *(block.stop for block in self.blocks)]), []
        for i, block in enumerate(self.blocks):
            part = slice(edges[i], edges[i + 1])
            own, goal = row[part] - block.start, positive[part]
            where, keys = [], []
            for j, shard in enumerate(self.shards):
                at = np.flatnonzero((goal >= shard.start) & (goal < shard.stop))
                if len(at):
                    where.append(at)
                    keys.append(keys_of(shard.rows, block.rows, own[at], goal[at], self.way, self.beside(i, j)))
            target, own, goal = placed(len(own), where, keys), *(self.delayed(each, pure=True) for each in (own, goal))
            counts = [counts_of(shard.rows, block.rows, own, goal, target, self.way, self.beside(i, j))
                      for j, shard in enumerate(self.shards)]  # fmt: skip
            made.append(rank(ties, tree(_merge.summed, counts)))
        shapes = [(int(size),) for size in np.diff(edges)]
        return whole(made, shapes, np.float64 if ties == "mean" else np.int64)

    def both(self, k: tuple[int, int], dtype: Any) -> tuple[TopK, TopK]:
        """The k best of the blocks' rows, and of the shards' rows."""
        nearest, dtype = (
            self.delayed(_shard.nearest_both, pure=True, nout=2),
            _validate.output_dtype(dtype, *self.dtypes),
        )
        found = [[nearest(shard.rows, block.rows, block.start, k, self.way, self.beside(i, j))
                  for j, shard in enumerate(self.shards)] for i, block in enumerate(self.blocks)]  # fmt: skip
        rows = [tree(partial(_merge.best, k[0]), [pair[0] for pair in line]) for line in found]
        columns = [tree(partial(_merge.best, k[1]), [pair[1] for pair in line]) for line in zip(*found, strict=True)]
        return self._finished(rows, self.blocks, k[0], dtype), self._finished(columns, self.shards, k[1], dtype)

    def _finished(self, found: list[Any], sides: list[Block], k: int, dtype: Any) -> TopK:
        finished = self.delayed(_merge.finished, pure=True, nout=2)
        made, shapes = [finished(part, k, self.way, dtype, self.biased) for part in found], [(s.size, k) for s in sides]
        return TopK(*(whole([part[at] for part in made], shapes, kind) for at, kind in enumerate((dtype, np.int64))))
