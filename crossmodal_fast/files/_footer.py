"""The footer of a Parquet file: how many rows its groups state, and how many values their columns.

Read here, in Thrift's compact protocol: pyarrow 26 ends the process when it is asked for a column of a footer that does
not fit together ("Definition level histogram size mismatch", from C++ that no handler waits for).
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

LENGTH_AND_MAGIC = 8  # bytes at the end of a file
DEEPEST = 16  # structures in each other; Parquet has 7
LONGEST_NUMBER = 10  # bytes of 64 bits
ALL_ROWS, ROW_GROUPS = 3, 4  # numbers of fields in parquet.thrift: of the file,
COLUMNS, NUM_ROWS, META_DATA, PATH, NUM_VALUES = 1, 3, 3, 3, 5  # of a row group, of a column and what it says of itself


class Group(NamedTuple):
    """A row group: its rows, and the values of each column, by the first word of its path."""

    rows: int
    values: dict[str, int]


class Footer(NamedTuple):
    """The rows of all groups, as stated for the file, and the groups."""

    rows: int
    groups: list[Group]


def footer_of(source: Path) -> Footer:
    """What the footer states; ValueError where it is none."""
    with open(source, "rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - LENGTH_AND_MAGIC))
        length = int.from_bytes(file.read(4), "little")
        if length + LENGTH_AND_MAGIC > size:
            raise ValueError(f"a footer of {length} bytes is more than the file")
        file.seek(size - LENGTH_AND_MAGIC - length)
        content = file.read(length)
    try:
        stated = _Compact(content).structure(0)
        return Footer(abs(stated[ALL_ROWS]), [_group(group) for group in stated[ROW_GROUPS]])
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        raise ValueError("its footer has no row groups where they belong") from error


def _group(stated: dict[int, Any]) -> Group:
    values: dict[str, int] = {}
    for column in stated[COLUMNS]:
        about = column[META_DATA]
        name = about[PATH][0].decode("utf-8")
        values[name] = values.get(name, 0) + abs(about[NUM_VALUES])
    return Group(abs(stated[NUM_ROWS]), values)


class _Compact:
    """Bytes, and where to go on; IndexError behind their end."""

    def __init__(self, content: bytes) -> None:
        self.content, self.at = content, 0

    def structure(self, depth: int) -> dict[int, Any]:
        """{number of a field: its value}"""
        found: dict[int, Any] = {}
        number = 0
        while head := self._byte():
            step, kind = head >> 4, head & 15
            number = number + step if step else self._signed()
            found[number] = kind == 1 if kind in (1, 2) else self._value(kind, depth)
        return found

    def _byte(self) -> int:
        self.at += 1
        return self.content[self.at - 1]

    def _number(self) -> int:
        value = 0
        for place in range(LONGEST_NUMBER):
            byte = self._byte()
            value |= (byte & 127) << 7 * place
            if byte < 128:
                return value
        raise IndexError  # more than 64 bits

    def _signed(self) -> int:
        value = self._number()
        return (value >> 1) ^ -(value & 1)

    def _bytes(self, count: int) -> bytes:
        part = self.content[self.at : self.at + count]
        if len(part) < count:
            raise IndexError
        self.at += count
        return part

    def _list(self, depth: int) -> list[Any]:
        head = self._byte()
        count = self._number() if head >> 4 == 15 else head >> 4
        return [self._value(head & 15, depth) for _ in range(count)]

    def _map(self, depth: int) -> list[Any]:
        count = self._number()
        kinds = self._byte() if count else 0
        return [(self._value(kinds >> 4, depth), self._value(kinds & 15, depth)) for _ in range(count)]

    def _value(self, kind: int, depth: int) -> Any:
        if depth > DEEPEST:
            raise IndexError
        return KINDS[kind](self, depth + 1)


KINDS: dict[int, Callable[[_Compact, int], Any]] = {
    **dict.fromkeys((1, 2, 3), lambda read, _: read._byte()),  # of a list: a truth takes a byte there
    **dict.fromkeys((4, 5, 6), lambda read, _: read._signed()),
    7: lambda read, _: read._bytes(8),
    8: lambda read, _: read._bytes(read._number()),
    **dict.fromkeys((9, 10), _Compact._list),
    11: _Compact._map,
    12: _Compact.structure,
    13: lambda read, _: read._bytes(16),
}
