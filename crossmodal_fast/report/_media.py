"""Thumbnails and sounds as data URIs, in a page of bounded size."""

import base64
import importlib.util
import io
import os
import struct
import wave
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..files import FileError, MissingFileError

SIDE = 160  # pixels of a thumbnail at most; shown at 128, sharper on dense screens
TINY = 64  # pixels of a side below which they are shown as squares, not blurred
FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF")  # Pillow runs Ghostscript for others
PICTURE_BYTES = 256 << 10  # of a picture file that goes in as it is, where Pillow is not installed
SOUND_BYTES = 2 << 20  # of one sound: a minute of 16-bit speech at 16 kHz
PAGE_BYTES = 64 << 20  # of all media: browsers open that within a second or two
SOUNDS = {
    b"RIFF": "audio/wav",
    b"OggS": "audio/ogg",
    b"fLaC": "audio/flac",
    b"ID3": "audio/mpeg",
    b"\xff": "audio/mpeg",
}
PICTURES = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif", b"RIFF": "image/webp"}


@dataclass(frozen=True)
class Medium:
    """A picture or a sound; or, in words, why there is none."""

    key: str = ""
    left: str = ""
    tiny: bool = False


@dataclass
class Media:
    """The data URIs of a page by key, each once however often it is shown."""

    uris: dict[str, str] = field(default_factory=dict)
    known: dict[tuple[str, str, int], Medium] = field(default_factory=dict)
    used_bytes: int = 0
    left: int = 0

    def add(self, kind: str, side: str, row: int, value: Any, folder: Path | None, rate: int) -> Medium:
        """The medium of a row of one side, made at its first use."""
        place = kind, side, row
        if place not in self.known:
            self.known[place] = self._made(kind, f"{kind} of {side} row {row}", f"{kind[0]}{side[0]}{row}", value,
                                           folder, rate)  # fmt: skip
            self.left += bool(self.known[place].left)
        return self.known[place]

    def _made(self, kind: str, name: str, key: str, value: Any, folder: Path | None, rate: int) -> Medium:
        path = _path(name, value, folder) if isinstance(value, str | os.PathLike) else None
        tiny = False
        if kind == "image":
            data, mime = _picture_of_file(path) if path else (png(thumbnail(name, value)), "image/png")
            tiny = path is None and max(np.shape(value)[:2]) < TINY
        else:
            data, mime = _sound_of_file(path) if path else (wav(name, value, rate), "audio/wav")
        if not mime:
            return Medium(left=data.decode())
        if len(data) > SOUND_BYTES:
            return Medium(left=f"{kind} of {len(data) / 1e6:.1f} MB left out: at most {SOUND_BYTES / 1e6:.1f} MB")
        if self.used_bytes + len(data) > PAGE_BYTES:
            return Medium(left=f"{kind} left out: the page holds {PAGE_BYTES >> 20} MiB of media")
        self.used_bytes += len(data)
        self.uris[key] = f"data:{mime};base64,{base64.b64encode(data).decode()}"
        return Medium(key, tiny=tiny)


def _path(name: str, value: str | os.PathLike[str], folder: Path | None) -> Path:
    """The file that is meant, once it is sure that it lies where the user said."""
    path = Path(value) if folder is None else folder / value
    try:
        inside = folder is None or Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))
    except ValueError:  # a zero byte
        inside = False
    if not inside:
        raise FileError(f"{name} must lie in the folder '{folder}', got {os.fspath(value)[:160]!r}")
    if not os.path.isfile(path):
        raise MissingFileError(f"{name} must be an existing file, got '{path}'")
    return path


class _Bounded(io.BufferedReader):
    """A file that is asked for what it holds, no more: a read makes room for all it wants, 2 GiB by a spoiled PNG."""

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))
        self.bytes = os.fstat(self.fileno()).st_size

    def read(self, size: int | None = -1, /) -> bytes:
        left = max(0, self.bytes - self.tell())
        return super().read(left if size is None or size < 0 else min(size, left))


def _picture_of_file(path: Path) -> tuple[bytes, str]:
    """A thumbnail through Pillow; without it small files of the common formats as they are."""
    if importlib.util.find_spec("PIL") is None:
        return _as_is(path, PICTURES, PICTURE_BYTES, "install Pillow to show it")
    import warnings

    from PIL import Image, ImageOps

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # Pillow's, of fields that a picture can do without
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with _Bounded(path) as held, Image.open(held, formats=FORMATS) as image:
                image.thumbnail((2 * SIDE, 2 * SIDE))  # first, as JPEG then decodes no more than is needed
                small = ImageOps.exif_transpose(image)
                small.thumbnail((SIDE, SIDE))
                clear = small.has_transparency_data
                small = small.convert("RGBA" if clear else "RGB")
    except (
        OSError,
        EOFError,
        ValueError,
        SyntaxError,
        struct.error,
        Image.DecompressionBombError,
        Image.DecompressionBombWarning,
    ) as error:
        told = " ".join(str(error).split())[:160]
        raise FileError(
            f"'{path}' must be a picture that can be read, got other or damaged content ({told})"
        ) from error
    made = [(png(np.asarray(small)), "image/png")]
    if not clear:  # drawings are smaller as PNG, photographs as JPEG: 6 KB in place of 40
        file = io.BytesIO()
        small.save(file, "JPEG", quality=85)
        made.append((file.getvalue(), "image/jpeg"))
    return min(made, key=lambda one: len(one[0]))


def _sound_of_file(path: Path) -> tuple[bytes, str]:
    return _as_is(path, SOUNDS, SOUND_BYTES, f"at most {SOUND_BYTES / 1e6:.1f} MB")


def _as_is(path: Path, kinds: dict[bytes, str], most_bytes: int, way_out: str) -> tuple[bytes, str]:
    """The file's bytes and what they are by their first; or the reason for leaving it out, and ""."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        data = file.read(most_bytes + 1)
    mime = next((mime for magic, mime in kinds.items() if data.startswith(magic)), "")
    if not mime:
        raise FileError(f"'{path}' must be a file of the type {', '.join(kinds.values())}, got other content")
    if len(data) > most_bytes:
        return f"{path.name} of {size / 1e6:.1f} MB left out: {way_out}".encode(), ""
    return data, mime


def thumbnail(name: str, value: ArrayLike) -> NDArray[np.uint8]:
    """Pixels (h, w, 1, 3 or 4) of an array, every so many where it is large."""
    pixels = np.asarray(value)
    if pixels.dtype.kind not in "biuf" or pixels.ndim not in (2, 3) or 0 in pixels.shape:
        raise ValueError(f"{name} must be numbers (h, w) or (h, w, c), got shape {pixels.shape}, {pixels.dtype}")
    pixels = pixels[:, :, None] if pixels.ndim == 2 else pixels
    if pixels.shape[2] not in (1, 3, 4):
        raise ValueError(f"{name} must have 1, 3 or 4 channels, got {pixels.shape[2]}")
    step = -(-max(pixels.shape[:2]) // SIDE)
    pixels = pixels[::step, ::step]
    if pixels.dtype == np.uint8:
        return np.ascontiguousarray(pixels)
    pixels = pixels.astype(np.float64)
    if not np.isfinite(pixels).all():
        raise ValueError(f"{name} must be finite, got {pixels[~np.isfinite(pixels)][0]}")
    low, high = pixels.min(), pixels.max()
    scaled: NDArray[np.uint8] = np.rint((pixels / 2 - low / 2) * (255 / max(high / 2 - low / 2, 1e-300))).astype(
        np.uint8
    )
    return scaled


def png(pixels: NDArray[np.uint8]) -> bytes:
    """A PNG file of pixels (h, w, 1, 3 or 4): grey, RGB or RGBA. Rows are not filtered: thumbnails are small."""
    height, width, channels = pixels.shape
    rows = np.zeros((height, 1 + width * channels), np.uint8)
    rows[:, 1:] = pixels.reshape(height, -1)
    head = struct.pack(">IIBBBBB", width, height, 8, {1: 0, 3: 2, 4: 6}[channels], 0, 0, 0)
    parts = (b"IHDR", head), (b"IDAT", zlib.compress(rows.tobytes(), 9)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in parts)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def wav(name: str, value: ArrayLike, rate: int) -> bytes:
    """A 16-bit WAV file of samples in -1..1; what is louder is scaled down, integers count as full scale."""
    samples = np.asarray(value)
    if samples.ndim != 1 or samples.dtype.kind not in "if" or not samples.size:
        raise ValueError(f"{name} must be numbers (samples,), got shape {samples.shape}, {samples.dtype}")
    full = np.iinfo(samples.dtype).max if samples.dtype.kind == "i" else 1.0
    loud = samples.astype(np.float64) / full
    if not np.isfinite(loud).all():
        raise ValueError(f"{name} must be finite, got {loud[~np.isfinite(loud)][0]}")
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(np.rint(loud * (32767 / max(1.0, np.abs(loud).max()))).astype("<i2").tobytes())
    return file.getvalue()
