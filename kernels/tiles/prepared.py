"""A gallery between searches: what each backend made of its rows, at the first search that it ran."""

import threading
from dataclasses import dataclass, field
from typing import Any


@dataclass(eq=False)
class Prepared:
    """Codes by name. Searches may go on while others replace it: a name is added once, no codes change.

    Codes know `extended(rows, start)`, `kept(rows, kept)` and `nbytes`.
    """

    rows: object  # `Rows` of the gallery
    made: dict = field(default_factory=dict)
    again: Any = None  # of the last search that left it: what it was asked for, and what does one like it
    _making: dict = field(default_factory=dict)  # a lock for each name

    def of(self, name, make):
        """The codes of that name, made from the rows where they are not there."""
        with self._making.setdefault(name, threading.Lock()):
            if name not in self.made:
                self.made[name] = make(self.rows)
            return self.made[name]

    def kept_as(self, name):
        """The codes of that name, None where they are not there."""
        return self.made.get(name)

    def __reduce__(self):
        return Prepared, (self.rows,)  # codes have locks and may be on a device: a copy makes its own

    def begins(self, name):
        """Whether there are codes whose name begins so."""
        return any(made.startswith(name) for made in list(self.made))

    def extended(self, rows, start):
        """With the rows from `start` on behind those already here."""
        return Prepared(rows, {name: codes.extended(rows, start) for name, codes in self._whole()})

    def kept(self, rows, kept):
        """Without the rows where `kept` (n,) is False; `rows` are those left."""
        return Prepared(rows, {name: codes.kept(rows, kept) for name, codes in self._whole()})

    def _whole(self):
        return [(name, codes) for name, codes in list(self.made.items()) if not isinstance(codes, Stretch)]

    @property
    def nbytes(self):
        return sum(codes.nbytes for codes in list(self.made.values()))


@dataclass(frozen=True)
class Stretch:
    """Codes of some of a gallery's rows. The next search makes them again once rows have come or gone."""

    codes: object

    @property
    def nbytes(self):
        return self.codes.nbytes


@dataclass(frozen=True)
class Share:
    """A stretch of a gallery, for those who take it for a gallery."""

    prepared: Prepared
    rows: object  # `Rows` from start to stop
    start: int
    stop: int

    def of(self, name, make):
        return self.prepared.of(self._named(name), lambda _: Stretch(make(self.rows))).codes

    def kept_as(self, name):
        found = self.prepared.kept_as(self._named(name))
        return found and found.codes

    def _named(self, name):
        return f"{name} rows {self.start} to {self.stop}"
