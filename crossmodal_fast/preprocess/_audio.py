"""From sound to log-mel features or cepstra.

The conventions: frames of `window` samples every `hop` samples, whole ones only; the periodic Hann window 0.5 - 0.5
cos(2 pi i / window); power |rFFT|^2 of the frame padded with zeros to `fft` samples, not divided by anything;
triangular filters of height 1 between corners that lie evenly on the mel scale of O'Shaughnessy and HTK, 2595 log10(1 +
f / 700); the natural logarithm. Samples are taken as they are: those of int16 are 32768 times as loud as -1..1.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .._arguments import number, numbers_of, rows_of, whole
from .._arrays import given_back
from . import _rows
from ._rows import Float64
from ._step import Step


def mel_filters(
    sample_rate: float, fft: int, *, mels: int = 40, low: float = 20.0, high: float | None = None
) -> Float64:
    """Triangular mel filters, each rising and falling between the centres of its neighbours.

    Parameters
    ----------
    sample_rate : float
        Samples a second.
    fft : int
        Samples of the Fourier transform, even.
    mels : int, default 40
        Filters.
    low, high : float
        Hz between which the filters lie; half the sample rate where `high` is left out.

    Returns
    -------
    ndarray, shape (m, fft // 2 + 1)
        Weights of the frequencies i * sample_rate / fft in each of the m mels, at most 1. Cost: one pass over them.
        Source: Davis and Mermelstein 1980; the scale is O'Shaughnessy's of 1987.

    Examples
    --------
    >>> mel_filters(8000, 256, mels=20).shape
    (20, 129)
    """
    rate, size, count = number("sample_rate", sample_rate, least=1.0), whole("fft", fft, least=2), whole("mels", mels)
    if size % 2:
        raise ValueError(f"fft must be even, got {size}")
    top = number("high", rate / 2 if high is None else high, most=rate / 2)
    bottom = number("low", low, most=top)
    ends = 2595.0 * np.log10(1.0 + np.array([bottom, top]) / 700.0)
    mel = np.linspace(ends[0], ends[1], count + 2)
    corner = 700.0 * (10.0 ** (mel / 2595.0) - 1.0)
    frequency = np.arange(size // 2 + 1) * rate / size
    with np.errstate(divide="ignore", invalid="ignore"):
        rise = (frequency - corner[:-2, None]) / np.diff(corner)[:-1, None]
        fall = (corner[2:, None] - frequency) / np.diff(corner)[1:, None]
    filters: Float64 = np.maximum(0.0, np.minimum(rise, fall))
    empty = np.flatnonzero(~(filters > 0).any(axis=1))
    if empty.size:
        raise ValueError(
            f"fft must be large enough for {count} mels in {bottom:g}..{top:g} Hz, got {size}, "
            f"which has no frequency in filter {empty[0]}"
        )
    return filters


def mel_power(sound: ArrayLike, filters: ArrayLike, *, window: int = 400, hop: int = 160) -> Any:
    """Power in mel bands over time.

    Parameters
    ----------
    sound : array_like, shape (samples,)
        Finite; padded with zeros to one window where shorter.
    filters : array_like, shape (m, fft // 2 + 1)
        As of `mel_filters`; fft is even and at least `window`.
    window, hop : int
        Samples of a frame, and from one frame to the next.

    Returns
    -------
    ndarray, shape (n, m)
        float64; n = 1 + (samples - window) // hop frames. Cost: n fft log fft. Source: Davis and Mermelstein 1980.

    Examples
    --------
    >>> mel_power(np.zeros(16000), mel_filters(16000, 512)).shape
    (98, 40)
    """
    samples, weights = numbers_of("sound", sound), numbers_of("filters", filters)
    if not np.isfinite(weights).all():
        raise ValueError(f"filters must be finite, got {weights[~np.isfinite(weights)][0]}")
    if samples.ndim != 1 or not len(samples):
        raise ValueError(f"sound must have shape (samples,) with at least one, got {samples.shape}")
    if not np.isfinite(samples).all():
        raise ValueError(f"sound must be finite, got {samples[~np.isfinite(samples)][0]}")
    width, step = whole("window", window), whole("hop", hop)
    fft = 2 * (weights.shape[-1] - 1)
    if weights.ndim != 2 or fft < width:
        raise ValueError(
            f"filters must have shape (m, fft // 2 + 1) with fft at least {width}, the window, got {weights.shape}"
        )
    samples = np.pad(samples, (0, max(0, width - len(samples))))
    hann = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(width) / width)
    frames = np.lib.stride_tricks.sliding_window_view(samples, width)[::step]
    power = np.empty((len(frames), len(weights)))
    block = max(1, _rows.BLOCK_BYTES // (32 * fft))  # a frame's window, its complex spectrum, and its power
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, len(frames), block):
            taken = slice(start, start + block)
            power[taken] = np.abs(np.fft.rfft(frames[taken] * hann, fft)) ** 2 @ weights.T
    if not np.isfinite(power).all():
        raise ValueError(f"sound must have a power that float64 holds, got samples up to {np.abs(samples).max():g}")
    return given_back(sound, power)


def stretched(frames: ArrayLike, count: int) -> Any:
    """As many frames as wanted: first on first, last on last, linear in between.

    Parameters
    ----------
    frames : array_like, shape (n, bands)
        Features over time.
    count : int
        Frames wanted.

    Returns
    -------
    ndarray, shape (count, bands)
        float64. Cost: one pass. Source: direct from the definition.

    Examples
    --------
    >>> stretched([[0.0], [2.0]], 3).ravel()
    array([0., 1., 2.])
    """
    given = np.asarray(rows_of("frames", frames))
    finite = np.isfinite(given).all(axis=1)
    if not finite.all():
        raise ValueError(f"frames must be finite, got NaN or infinity in row {int(finite.argmin())}")
    source, target = np.linspace(0.0, 1.0, len(given)), np.linspace(0.0, 1.0, whole("count", count))
    return given_back(frames, np.stack([np.interp(target, source, band) for band in given.T], axis=1))


class LogMel(Step):
    """Sounds of equal length, one a row, as log-mel features; `sound` turns one of any length.

    log(max(power, floor)) in mel bands, optionally as cepstra (DCT-II, orthonormal), optionally stretched or squeezed
    to a number of frames, frame after frame. It learns nothing and cannot be undone.

    Parameters
    ----------
    sample_rate : float, default 16000
        Samples a second.
    window, hop : int, default 400 and 160
        Samples of a frame, and from one frame to the next: 25 and 10 ms at 16 kHz.
    fft : int, optional
        Samples of the Fourier transform, even and at least `window`; the next power of two where left out.
    mels : int, default 40
        Bands.
    low, high : float
        Hz between which they lie; 20, and half the sample rate where `high` is left out.
    floor : float, default 1e-10
        Least power.
    cepstra : int, optional
        How many coefficients of the DCT-II of the log-mel bands are given in their place, from the zeroth.
    frames : int, optional
        Stretch or squeeze to as many; as many as the sound has where left out.

    Notes
    -----
    Sounds (n, samples) -> (n, frames * mels). Cost: fft log fft a frame. Source: Davis and Mermelstein 1980.

    Examples
    --------
    >>> LogMel(8000, window=256, hop=80, frames=20).transform(np.zeros((3, 4000))).shape
    (3, 800)
    >>> LogMel(cepstra=13).sound(np.zeros(16000)).shape
    (98, 13)
    """

    def __init__(
        self,
        sample_rate: float = 16000.0,
        *,
        window: int = 400,
        hop: int = 160,
        fft: int | None = None,
        mels: int = 40,
        low: float = 20.0,
        high: float | None = None,
        floor: float = 1e-10,
        cepstra: int | None = None,
        frames: int | None = None,
    ) -> None:
        self.sample_rate, self.mels, self.low, self.high = sample_rate, mels, low, high
        self.window, self.hop, self.fft = whole("window", window), whole("hop", hop), fft
        self.floor, self.cepstra, self.frames = number("floor", floor, least=np.finfo(float).tiny), cepstra, frames
        for name, value in (("cepstra", cepstra), ("frames", frames)):
            if value is not None:
                whole(name, value)
        self._filters()
        if cepstra is not None and cepstra > mels:
            raise ValueError(f"cepstra must be in 1..{mels} (the mels), got {cepstra}")

    def _filters(self) -> Float64:
        least = 1 << (self.window - 1).bit_length()
        size = max(2, least) if self.fft is None else whole("fft", self.fft, least=self.window)
        return mel_filters(self.sample_rate, size, mels=self.mels, low=self.low, high=self.high)

    def sound(self, sound: ArrayLike) -> Any:
        """One sound (samples,) -> (frames, mels or cepstra), float64."""
        return given_back(sound, self._features(numbers_of("sound", sound), self._filters()))

    def _features(self, sound: ArrayLike, filters: Float64) -> Float64:
        found: Float64 = np.log(np.maximum(mel_power(sound, filters, window=self.window, hop=self.hop), self.floor))
        if self.frames is not None:
            found = stretched(found, self.frames)
        if self.cepstra is not None:
            from scipy.fft import dct

            found = dct(found, type=2, norm="ortho", axis=1)[:, : self.cepstra]
        return found

    def _forward(self, block: Float64) -> Float64:
        filters = self._filters()
        return np.stack([self._features(row, filters).ravel() for row in block])
