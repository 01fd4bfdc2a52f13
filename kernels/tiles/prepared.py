"""A gallery encoded once: codes kept between searches, rows added and removed without encoding the others again."""

from dataclasses import dataclass, field, replace

import numpy as np

from .encode import Group, Space, encode, scan_dtype, space

BLOCK_ROWS = 1 << 16  # encoded together: what a converted copy of them may take


@dataclass
class Prepared:
    """Groups of all rows of a gallery, positions ascending within each."""

    space: Space
    dtype: str
    groups: list[Group] = field(default_factory=list)
    rows: int = 0

    def extend(self, added):
        """Encode the rows of a `Rows` behind those already here."""
        groups = []  # nothing is kept of rows that raise
        for start, stop in added.blocks(BLOCK_ROWS):
            index = np.arange(self.rows + start, self.rows + stop)
            groups += encode(added.block(start, stop), index, self.space, self.dtype)
        self.groups += groups
        self.rows += len(added)

    def keep(self, kept):
        """Drop the rows where `kept` (n,) is False and close the gaps."""
        position = np.cumsum(kept) - 1
        parts = (group[np.flatnonzero(kept[group.index])] for group in self.groups)
        self.groups = [replace(part, index=position[part.index]) for part in parts if len(part)]
        self.rows = int(kept.sum())

    @property
    def nbytes(self):
        return sum(group.nbytes for group in self.groups)


def prepare(rows, metric):
    """All rows of a `Rows`, encoded for a metric."""
    prepared = Prepared(space(metric, rows), scan_dtype(rows.shape[1]))
    prepared.extend(rows)
    return prepared
