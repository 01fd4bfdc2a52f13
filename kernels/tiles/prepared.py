"""A gallery between searches: what each backend made of its rows, at the first search that it ran."""

import threading
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Prepared:
    """Codes by name. Searches may go on while others replace it: a name is added once, nothing changes.

    Codes know `extended(rows, start)`, `kept(rows, kept)` and `nbytes`.
    """

    rows: object  # `Rows` of the gallery
    made: dict = field(default_factory=dict)
    _making: threading.Lock = field(default_factory=threading.Lock)

    def of(self, name, make):
        """The codes of that name, made from the rows where they are not there."""
        with self._making:
            if name not in self.made:
                self.made[name] = make(self.rows)
            return self.made[name]

    def begins(self, name):
        """Whether there are codes whose name begins so."""
        return any(made.startswith(name) for made in list(self.made))

    def extended(self, rows, start):
        """With the rows from `start` on behind those already here."""
        return Prepared(rows, {name: codes.extended(rows, start) for name, codes in list(self.made.items())})

    def kept(self, rows, kept):
        """Without the rows where `kept` (n,) is False; `rows` are those left."""
        return Prepared(rows, {name: codes.kept(rows, kept) for name, codes in list(self.made.items())})

    @property
    def nbytes(self):
        return sum(codes.nbytes for codes in list(self.made.values()))
