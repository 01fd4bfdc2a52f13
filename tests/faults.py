"""Faults to plant in the NumPy backend: each must be caught by the tests named, or they cannot fail."""

from typing import NamedTuple


class Fault(NamedTuple):
    """`text`, which stands in the file exactly once, becomes `spoiled`; `caught_by` must then fail."""

    name: str
    file: str  # below kernels/
    text: str
    spoiled: str
    caught_by: str


TOPK, BOTH, WITHIN, RANKS, GALLERY, SEARCHES, NEAR_TIES, SCALES, PAIRWISE, SOFTMAX, SCALING, TRANSFER, RESULTS = (
    f"test_{name}.py"
    for name in (
        "topk", "topk_both", "within", "ranks", "gallery", "gallery_searches", "near_ties", "scales", "pairwise",
        "softmax", "scaling", "transfer", "results",
    )
)  # fmt: skip

FAULTS = [
    # blocks
    Fault(
        "a block of one row at the end is dropped",
        "tiles/rows.py",
        "for start in range(first, len(self), step))",
        "for start in range(first, max(1, len(self) - 1), step))",
        TOPK,
    ),
    Fault(
        "the tail behind the last full block is dropped",
        "tiles/rows.py",
        "for start in range(first, len(self), step))",
        "for start in range(0, len(self) // step * step or min(1, len(self)), step))",
        TOPK,
    ),
    Fault(
        "the last row of each block of a prepared gallery is skipped",
        "tiles/loop.py",
        "piece = group[start : start + width]",
        "piece = group[start : start + max(1, width - 1)]",
        GALLERY,
    ),
    Fault(
        "the columns keep the last block of queries instead of merging it",
        "topk/cpu_numpy.py",
        "_merge(column_value, column_index, group.index, *columns.result())",
        "column_value[group.index], column_index[group.index] = columns.result()",
        BOTH,
    ),
    Fault(
        "removed rows leave gaps in the positions",
        "tiles/encoded.py",
        "replace(part, index=position[part.index])",
        "replace(part, index=part.index)",
        GALLERY,
    ),
    # order and ties
    Fault(
        "ties go to the highest index",
        "tiles/shortlist.py",
        "np.lexsort((entries.partner, entries.value, entries.owner))",
        "np.lexsort((-entries.partner, entries.value, entries.owner))",
        TOPK,
    ),
    Fault(
        "columns of two blocks are ordered by index before value",
        "tiles/shortlist.py",
        "np.lexsort((partner, value, partner < 0), axis=1)",
        "np.lexsort((value, partner, partner < 0), axis=1)",
        BOTH,
    ),
    Fault(
        "a value equal to the k-th best is dropped",
        "tiles/shortlist.py",
        "keep = ~(tile.value > self.worst[slot][:, None])",
        "keep = ~(tile.value >= self.worst[slot][:, None])",
        TOPK,
    ),
    Fault(
        "NaN is dropped instead of sorted last",
        "tiles/shortlist.py",
        "keep = ~(tile.value > self.worst[slot][:, None])",
        "keep = tile.value <= self.worst[slot][:, None]",
        TOPK,
    ),
    Fault(
        "one neighbour too few is kept when candidates are settled",
        "tiles/shortlist.py",
        "self._replace(entries[order[rank < self.k]])",
        "self._replace(entries[order[rank < max(1, self.k - 1)]])",
        TOPK,
    ),
    # the certificate
    Fault(
        "the bound has no room for rounding",
        "tiles/encode.py",
        "return share / (1 - 4 * share) + 3 * inner * 2.0**-53",
        "return 0.0 * share",
        TOPK,
    ),
    Fault(
        "the bound has no room for the rounding of canonical values",
        "tiles/loop.py",
        "slack = np.zeros((1, 1)) if self.symmetric else growth(d, np.float64) * x.weight[:, None]",
        "slack = np.zeros((1, 1))",
        TOPK,
    ),
    Fault(
        "the bound has no room for underflow in float32",
        "tiles/loop.py",
        'FLUSHED = {"float32": 2.0**-90,',
        'FLUSHED = {"float32": 0.0,',
        RANKS,
    ),
    Fault(
        "the bound of a float64 scan has no room where the unit is tiny",
        "tiles/loop.py",
        '"float64": 2.0**-200}',
        '"float64": 2.0**-900}',
        SCALES,
    ),
    Fault(
        "the bound has no room for the 1 of a biased cosine",
        "tiles/encode.py",
        'weight = group.weight + np.abs(shift) + (form == "cosine")',
        "weight = group.weight + np.abs(shift)",
        SCALES,
    ),
    Fault(
        "the bound has no room for the bias",
        "tiles/encode.py",
        'weight = group.weight + np.abs(shift) + (form == "cosine")',
        'weight = group.weight + (form == "cosine")',
        TOPK,
    ),
    Fault(
        "the lower bound lies one margin below the upper instead of two",
        "tiles/loop.py",
        "return score - 2 * self.margin(row, column) - slack, score + slack",
        "return score - self.margin(row, column) - slack, score + slack",
        TOPK,
    ),
    Fault(
        "norms too far apart for float32 share a scale",
        "tiles/encode.py",
        "CLASS_BITS = 32 ",
        "CLASS_BITS = 320 ",
        TOPK,
    ),
    Fault(
        "the margin leaves the norm of the column out",
        "tiles/loop.py",
        "return share * (x.norm[row] * y.norm[column] + weight)",
        "return share * (x.norm[row] + weight)",
        TOPK,
    ),
    Fault(
        "the bound leaves the norm of the column out",
        "tiles/encode.py",
        "codes[:, d + 2] = group.norm * (ROUNDED_UP / group.scale)",
        "codes[:, d + 2] = 0",
        NEAR_TIES,
    ),
    Fault(
        "the offset is kept in half precision",
        "tiles/encode.py",
        "codes[:, d] = raised\n    codes[:, d + 1] = raised - codes[:, d]",
        "codes[:, d] = raised.astype(np.float16)\n    codes[:, d + 1] = 0",
        TOPK,
    ),
    Fault(
        "columns are compared without the part of the key that belongs to the row",
        "tiles/loop.py",
        "filters, stats, dtype, k_columns > 0, groups, tick)",
        "filters, stats, dtype, False, groups, tick)",
        BOTH,
    ),
    Fault(
        "the threshold is the lower bound of the (k-1)-th",
        "tiles/shortlist.py",
        "last = order[_rank_within(entries.owner[order]) == self.k - 1]",
        "last = order[_rank_within(entries.owner[order]) == max(0, self.k - 2)]",
        TOPK,
    ),
    Fault(
        "the threshold of a crowded tile is that of the (k-1)-th",
        "tiles/shortlist.py",
        "axis=1)[:, self.k - 1 : self.k]\n        row, column = np.divmod(np.flatnonzero(tile.high",
        "axis=1)[:, max(0, self.k - 2) : max(1, self.k - 1)]\n        row, column = np.divmod(np.flatnonzero(tile.high",
        TOPK,
    ),
    Fault(
        "the threshold is an upper bound",
        "tiles/shortlist.py",
        "self.threshold[owner] = np.maximum(self.threshold[owner], entries.low[last])",
        "self.threshold[owner] = np.maximum(self.threshold[owner], entries.high[last])",
        TOPK,
    ),
    Fault(
        "queries that needed a wider scan are lost",
        "tiles/shortlist.py",
        "for wide in tile.widen(crowded):\n                self.offer(wide)",
        "for wide in tile.widen(crowded):\n                pass",
        TOPK,
    ),
    Fault(
        "only the gallery is centred",
        "tiles/loop.py",
        "np.arange(start, stop), self.space, self.dtype)",
        "np.arange(start, stop), self.space if side else replace(self.space, centre=None), self.dtype)",
        TOPK,
    ),
    Fault(
        "the scale of a group of rows is forgotten",
        "tiles/encode.py",
        "scale = float(np.ldexp(1.0, CLASS_BITS * int(shared)))",
        "scale = 1.0",
        TOPK,
    ),
    # filters
    Fault(
        "the mask is forgotten where bounds decide",
        "tiles/loop.py",
        "high[~allowed] = -np.inf",
        "high[~allowed] *= 1",
        TOPK,
    ),
    Fault(
        "the row before the excluded one is excluded",
        "tiles/filters.py",
        "allowed &= columns != self.exclude[rows][:, None]",
        "allowed &= columns + 1 != self.exclude[rows][:, None]",
        TOPK,
    ),
    Fault(
        "the bias has the wrong sign for dot",
        "tiles/encode.py",
        '"dot": -1.0}',
        '"dot": 1.0}',
        TOPK,
    ),
    Fault(
        "a bias is left in the codes of a prepared gallery",
        "tiles/encode.py",
        "held = replace(group, codes=group.codes.copy(),",
        "held = replace(group, codes=group.codes,",
        SEARCHES,
    ),
    # values
    Fault(
        "terms are summed in NumPy's order instead of in lanes",
        "tiles/metrics.py",
        "    lanes = np.zeros((steps.shape[0], LANES))\n    for step",
        "    if fold is np.add:\n        return term_pd.sum(axis=1)\n"
        "    lanes = np.zeros((steps.shape[0], LANES))\n    for step",
        TOPK,
    ),
    Fault(
        "the lanes are added one after the other",
        "tiles/metrics.py",
        "return fold(fold(fold(lanes[0], lanes[1]), fold(lanes[2], lanes[3])),\n                fold(",
        "return fold(fold(fold(fold(lanes[0], lanes[1]), lanes[2]), lanes[3]),\n                fold(",
        TOPK,
    ),
    Fault(
        "a zero row is near to everything",
        "tiles/metrics.py",
        "(square_y == 0), 0.0, totals[0]",
        "(square_y == 0), 1.0, totals[0]",
        TOPK,
    ),
    Fault(
        "a row of equal numbers is not constant after rounding",
        "tiles/metrics.py",
        "gaps[(scaled == scaled[:, :1]).all(axis=1)] = 0.0",
        "gaps[(gaps == 0).all(axis=1)] = 0.0",
        TOPK,
    ),
    # within
    Fault(
        "the radius is exclusive",
        "within/cpu_numpy.py",
        "else given <= radius[owner]",
        "else given < radius[owner]",
        WITHIN,
    ),
    Fault(
        "the radius of dot is exclusive",
        "within/cpu_numpy.py",
        "inside = given >= radius[owner] if",
        "inside = given > radius[owner] if",
        WITHIN,
    ),
    Fault(
        "the radius is compared with the square",
        "within/cpu_numpy.py",
        "given = metrics.returned(scan.space.metric, value, np.float64, biased)",
        "given = metrics.returned(scan.space.metric, value, np.float64, True)",
        WITHIN,
    ),
    Fault(
        "only the first piece of what is inside is kept",
        "within/cpu_numpy.py",
        "for start in range(0, len(found), step):",
        "for start in range(0, min(1, len(found)), step):",
        WITHIN,
    ),
    Fault(
        "pairs of a row that is put off stay",
        "tiles/results.py",
        "kept = row < self.stop - self.first",
        "kept = row <= self.stop - self.first",
        RESULTS,
    ),
    Fault(
        "a row read again begins with the pair that it ended with",
        "tiles/results.py",
        "(value == pair[0]) & (column > pair[1])",
        "(value == pair[0]) & (column >= pair[1])",
        RESULTS,
    ),
    Fault(
        "equal values of a row are not in the order of the gallery",
        "tiles/results.py",
        "order = np.lexsort((column, value, row))",
        "order = np.lexsort((-column, value, row))",
        WITHIN,
    ),
    Fault(
        "the row that a radius belongs to is that of the tile",
        "within/cpu_numpy.py",
        "tile.key(np.arange(len(tile.owner)), limit[tile.owner])",
        "tile.key(np.arange(len(tile.owner)), limit[: len(tile.owner)])",
        WITHIN,
    ),
    # ranks
    Fault(
        "a positive counts itself",
        "ranks/cpu_numpy.py",
        "(goal != goal))) & (partner != positive[pair])",
        "(goal != goal)))",
        RANKS,
    ),
    Fault(
        "ties behind the positive count as before it",
        "ranks/cpu_numpy.py",
        "tied & (partner < positive[pair])",
        "tied & (partner > positive[pair])",
        RANKS,
    ),
    Fault(
        "what is surely nearer is decided without the margin",
        "tiles/loop.py",
        "return self.reaches(key + room)",
        "return self.reaches(key)",
        RANKS,
    ),
    Fault(
        "the largest margin of a row is that of the middle column",
        "tiles/loop.py",
        "return share * (x.norm[row] * y.norm.max() + y.weight.max())",
        "return share * (x.norm[row] * np.median(y.norm) + np.median(y.weight))",
        RANKS,
    ),
    Fault(
        "pairs after the first piece of a tile are not counted",
        "ranks/cpu_numpy.py",
        "for start in range(0, len(pairs), PIECE_ROWS):",
        "for start in range(0, min(1, len(pairs)), PIECE_ROWS):",
        RANKS,
    ),
    # the rest
    Fault(
        "distances that cancel are not repaired",
        "tiles/rectangle.py",
        "repair |= ~(value * promise > growth * (x_norm[:, None] + y_norm) ** 2)",
        "repair |= ~(value > 0)",
        PAIRWISE,
    ),
    Fault(
        "the other half of a symmetric matrix is not turned",
        "pairwise/cpu_numpy.py",
        "out[right:end, left:stop] = out[left:stop, right:end].T",
        "out[right:end, left:stop] = out[left:stop, right:end].mean()",
        PAIRWISE,
    ),
    Fault(
        "sums are not made relative to a larger term that comes later",
        "tiles/running.py",
        "self.total[part] *= np.exp(",
        "self.total[part] *= 1 + 0 * np.exp(",
        SOFTMAX,
    ),
    Fault(
        "a column takes the biases of the first block of rows",
        "softmax/cpu_numpy.py",
        "sums[1].add(right, score.T + u[left:stop])",
        "sums[1].add(right, score.T + u[: stop - left])",
        SOFTMAX,
    ),
    Fault(
        "a kept kernel is never made anew",
        "tiles/scalings.py",
        "if made is None or np.ptp(g - made) > SPREAD:",
        "if made is None:",
        SCALING,
    ),
    Fault(
        "columns are believed that the kept kernel does not reach",
        "tiles/scalings.py",
        "if not (sums > np.exp(-REACH) * np.exp(log_w).sum()).all():",
        "if not (sums > 0).all():",
        SCALING,
    ),
    Fault(
        "unbalanced rows forget their top",
        "tiles/scalings.py",
        "lead = share * goals[0] + (1 - share) * top",
        "lead = share * goals[0] + (1 - share) * top.max()",
        SCALING,
    ),
    Fault(
        "the last block of a kept kernel is left out of the columns",
        "scaling/cpu_numpy.py",
        'sums += np.einsum("i,ij->j", np.exp(log_w[rows]), block)',
        'sums += np.einsum("i,ij->j", np.exp(log_w[rows]), block) * (rows.stop < m or not rows.start)',
        SCALING,
    ),
    Fault(
        "every row takes the bias of the first matrix",
        "transfer/cpu_numpy.py",
        "np.broadcast_to(bias, m.shape[:2])[number]",
        "np.broadcast_to(bias, m.shape[:2])[0]",
        TRANSFER,
    ),
    Fault(
        "lengths leave the bias out",
        "transfer/cpu_numpy.py",
        "    if normalize:\n        to_unit(mapped)",
        "    if normalize and bias is None:\n        to_unit(mapped)",
        TRANSFER,
    ),
    Fault(
        "squares of float64 rows overflow",
        "tiles/matrices.py",
        "if part.dtype == np.float64:",
        "if part.dtype == np.float16:",
        TRANSFER,
    ),
]
