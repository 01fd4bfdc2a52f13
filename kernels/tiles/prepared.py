"""A gallery encoded once: codes kept between searches, rows added and removed without encoding the others again."""

from dataclasses import dataclass, replace

import numpy as np

from .encode import Group, Space, encode, joined, scan_dtype, space

BLOCK_ROWS = 1 << 16  # encoded together: what a converted copy of them may take


@dataclass(frozen=True)
class Prepared:
    """Groups of all rows of a gallery, positions ascending within each. Searches may go on while others replace it."""

    space: Space
    dtype: str
    groups: tuple[Group, ...] = ()
    rows: int = 0

    def extended(self, added):
        """With the rows of a `Rows` behind those already here."""
        groups = list(self.groups)
        for start, stop in added.blocks(BLOCK_ROWS):
            index = np.arange(self.rows + start, self.rows + stop)
            for group in encode(added.block(start, stop), index, self.space, self.dtype):
                last = next((at for at in reversed(range(len(groups))) if groups[at].alike(group)), None)
                if last is not None and len(groups[last]) + len(group) <= BLOCK_ROWS:
                    groups[last] = joined(groups[last], group)  # row after row would leave a group for each
                else:
                    groups.append(group)
        return replace(self, groups=tuple(groups), rows=self.rows + len(added))

    def kept(self, kept):
        """Without the rows where `kept` (n,) is False, the gaps closed."""
        position = np.cumsum(kept) - 1
        parts = (group[np.flatnonzero(kept[group.index])] for group in self.groups)
        groups = tuple(replace(part, index=position[part.index]) for part in parts if len(part))
        return replace(self, groups=groups, rows=int(kept.sum()))

    @property
    def nbytes(self):
        return sum(group.nbytes for group in self.groups)


def prepare(rows, metric):
    """All rows of a `Rows`, encoded for a metric."""
    return Prepared(space(metric, rows), scan_dtype(rows.shape[1])).extended(rows)
