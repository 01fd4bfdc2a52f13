"""A gallery in groups of NumPy's codes: rows are added and removed without encoding the others again."""

from dataclasses import dataclass, replace

import numpy as np

from .encode import Group, Space, encode, joined, scan_dtype, space

BLOCK_ROWS = 1 << 16  # encoded together: what a converted copy of them may take


@dataclass(frozen=True)
class Encoded:
    """Groups of all rows of a gallery, positions ascending within each. Searches may go on while others replace it."""

    space: Space
    dtype: str
    groups: tuple[Group, ...] = ()
    rows: int = 0

    def extended(self, rows, start):
        """With the rows of a `Rows` from `start` on behind those already here."""
        groups = list(self.groups)
        for first in range(start, len(rows), BLOCK_ROWS):
            last = min(first + BLOCK_ROWS, len(rows))
            for group in encode(rows.block(first, last), np.arange(first, last), self.space, self.dtype):
                at = next((at for at in reversed(range(len(groups))) if groups[at].alike(group)), None)
                if at is not None and len(groups[at]) + len(group) <= BLOCK_ROWS:
                    groups[at] = joined(groups[at], group)  # row after row would leave a group for each
                else:
                    groups.append(group)
        return replace(self, groups=tuple(groups), rows=len(rows))

    def kept(self, rows, kept):
        """Without the rows where `kept` (n,) is False, the gaps closed."""
        position = np.cumsum(kept) - 1
        parts = (group[np.flatnonzero(kept[group.index])] for group in self.groups)
        groups = tuple(replace(part, index=position[part.index]) for part in parts if len(part))
        return replace(self, groups=groups, rows=len(rows))

    @property
    def nbytes(self):
        return sum(group.nbytes for group in self.groups)


def encode_all(rows, metric):
    """All rows of a `Rows`, encoded for a metric."""
    return Encoded(space(metric, rows), scan_dtype(rows.shape[1])).extended(rows, 0)
