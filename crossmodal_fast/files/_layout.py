"""How a file of sections is laid out: two slots that name the directory, sections behind them, nothing overwritten.

    byte 0       slot   magic, version, generation, place and CRC-32 of the directory, CRC-32 of the slot itself
    byte 4096    slot   the same again
    byte 8192    sections, each at a multiple of 64 bytes: numbers of an array, CRC-32s of its blocks, a directory

A change appends sections and a directory, then writes one slot, then the other, with a flush to the disk before and
behind each. So one slot is whole at any moment, and what it names is on the disk: a process that dies in the middle
leaves the old or the new state, and whoever reads meanwhile has one of them. Both slots say the same once a change is
done, so a spoiled one takes nothing away. Bytes behind the directory are left over from a change that did not end.
Whole numbers are little-endian; the directory is JSON. Nothing is trusted before its CRC and its place are checked.
"""

import json
import math
import struct
import zlib
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

MAGIC = b"\x89CMFS\r\n\x1a"  # not text, and spoiled by whatever changes line ends
VERSION = 2  # 1 was an .npz
SLOT = struct.Struct("<8sIIQQQ")
SLOT_PLACES = (0, 4096)  # in pages of their own
FIRST_SECTION, ALIGNMENT = 8192, 64
BLOCK_BYTES = 1 << 16  # with a CRC of their own: what one row costs that is read before its block was checked
DIRECTORY_BYTES = 1 << 28  # at most
DTYPES = {
    name: np.dtype(name).newbyteorder("<")
    for name in (
        *("bool", "float16", "float32", "float64"),
        *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
    )
}
BRAIN = "bfloat16"  # whose dtype NumPy has from ml_dtypes alone


class Foreign(Exception):
    """Bytes that are no file of sections, or a spoiled one; the text says in what."""


@dataclass(frozen=True)
class Slot:
    """Which directory counts: the one of the highest generation."""

    generation: int
    offset: int
    nbytes: int
    crc: int

    def packed(self) -> bytes:
        slot = SLOT.pack(MAGIC, VERSION, self.crc, self.generation, self.offset, self.nbytes)
        return slot + struct.pack("<I", zlib.crc32(slot))

    @property
    def end(self) -> int:
        return self.offset + self.nbytes


@dataclass(frozen=True)
class Entry:
    """An array in the file: `rows_per_block` rows to a CRC, the CRCs, little-endian uint32, at `sums`."""

    dtype: str
    shape: Any  # a tuple of whole numbers, once it is checked
    offset: int
    rows_per_block: int
    sums: int
    sums_crc: int

    @property
    def rows(self) -> int:
        return int(self.shape[0]) if self.shape else 1

    @property
    def row_bytes(self) -> int:
        return int(math.prod(self.shape[1:])) * (2 if self.dtype == BRAIN else DTYPES[self.dtype].itemsize)

    @property
    def blocks(self) -> int:
        return -(-self.rows // self.rows_per_block)


def slots_of(head: bytes) -> list[Slot | None]:
    """The two slots in the first bytes of a file, None for one that is spoiled. Other versions are refused."""
    found: list[Slot | None] = []
    for place in SLOT_PLACES:
        slot, crc = head[place : place + SLOT.size], head[place + SLOT.size : place + SLOT.size + 4]
        if len(crc) < 4 or not slot.startswith(MAGIC) or struct.unpack("<I", crc)[0] != zlib.crc32(slot):
            found.append(None)
            continue
        _, version, directory_crc, generation, offset, nbytes = SLOT.unpack(slot)
        if version != VERSION:
            raise Foreign(f"of format {version}, not {VERSION}")
        found.append(Slot(generation, offset, nbytes, directory_crc))
    if found == [None, None]:
        known = any(head[place:].startswith(MAGIC) for place in SLOT_PLACES)
        raise Foreign("its header is damaged" if known else "its first bytes are of another format")
    return found


def current(slots: list[Slot | None]) -> Slot:
    return max((slot for slot in slots if slot), key=lambda slot: slot.generation)


def check_slot(slot: Slot, file_bytes: int) -> None:
    """Raise unless the directory lies in the file and may be read."""
    if slot.end > file_bytes:
        raise Foreign(f"{file_bytes} bytes of {slot.end}")
    if slot.offset < FIRST_SECTION or slot.nbytes > DIRECTORY_BYTES:
        raise Foreign(f"a directory of {slot.nbytes} bytes at byte {slot.offset}")


def directory_bytes(about: dict[str, Any], arrays: dict[str, Entry]) -> bytes:
    return json.dumps({"about": about, "arrays": {name: asdict(entry) for name, entry in arrays.items()}}).encode()


def directory_of(slot: Slot, content: bytes) -> tuple[dict[str, Any], dict[str, Entry]]:
    """(about, arrays) of the bytes that a slot names."""
    if zlib.crc32(content) != slot.crc:
        raise Foreign("its directory is damaged")
    try:
        directory = json.loads(content)
        arrays = {name: Entry(**stated) for name, stated in directory["arrays"].items()}
        about = dict(directory["about"])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise Foreign("its directory has other entries") from error
    return about, {name: _checked(name, entry, slot.offset) for name, entry in arrays.items()}


def _checked(name: str, entry: Entry, before: int) -> Entry:
    """An entry whose numbers are whole and whose bytes lie between the slots and the directory."""
    if not isinstance(entry.shape, list) or entry.dtype not in (*DTYPES, BRAIN):
        raise Foreign(f"its directory has other entries for {name!r}")
    numbers = (*entry.shape, entry.offset, entry.rows_per_block, entry.sums, entry.sums_crc)
    if not all(type(number) is int and 0 <= number < 2**63 for number in numbers) or not entry.rows_per_block:
        raise Foreign(f"its directory has impossible numbers for {name!r}")
    found = Entry(**(asdict(entry) | {"shape": tuple(entry.shape)}))
    for place, nbytes in ((found.offset, found.rows * found.row_bytes), (found.sums, 4 * found.blocks)):
        if place < FIRST_SECTION or place + nbytes > before:
            raise Foreign(f"{name!r} of {nbytes} bytes at byte {place} of {before}")
    return found


def dtype_of(name: str) -> np.dtype[Any]:
    if name == BRAIN:
        import ml_dtypes

        brain: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
        return brain
    return DTYPES[name]
