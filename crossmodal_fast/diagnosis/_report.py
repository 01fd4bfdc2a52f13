"""What a diagnosis found, as an object that reads as text."""

import os
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Float64 = NDArray[np.float64]

WAYS = ("X -> Y", "Y -> X")


def signed(value: float | None) -> str:
    """Three digits with their sign, without a negative zero; "" for None."""
    return "" if value is None else f"{round(value, 3) + 0.0:+.3f}"


@dataclass(frozen=True)
class Contender:
    """A remedy as tried on the pairs held out: two numbers are those of X -> Y and of Y -> X.

    Examples
    --------
    >>> Contender("nothing", (0.5, 0.7), (0.6, 0.8), None, None, None, None).hit_rate_mean
    0.6
    """

    name: str
    hit_rate: tuple[float, float]  # at 1
    mrr: tuple[float, float]
    hit_rate_gain: float | None  # over doing nothing, mean of both directions; None where nothing cannot be done
    gain: float | None  # in MRR, likewise
    interval: tuple[float, float] | None  # of the gain, 95 %, bootstrap
    p_value: float | None  # of the gain, paired randomisation

    @property
    def hit_rate_mean(self) -> float:
        """Of both directions."""
        return sum(self.hit_rate) / 2

    @property
    def mrr_mean(self) -> float:
        """Of both directions."""
        return sum(self.mrr) / 2


@dataclass(frozen=True)
class Curves:
    """What `plot` draws."""

    ranks: tuple[Float64, Float64] | None  # (p,) of every pair, both ways
    singular_values: tuple[Float64, Float64]  # of the centred unit rows, descending
    occurrences: tuple[Array, Array] | None  # N_k of the rows of Y and of X
    similarities: tuple[Float64 | None, Float64 | None]  # (p,) cosines of matched and of unmatched rows


@dataclass(frozen=True)
class Diagnosis:
    """What `diagnose` found. `str` gives it as text; None stands for what these sides do not have.

    Parameters
    ----------
    rows, columns : (int, int)
        Of X and Y, as used: after sampling.
    paired : bool
    neighbours : int
        k of hubness, mutual neighbours and CSLS.
    held_out : int
        Pairs that the contenders were tried on.
    modality_gap : float, optional
        Distance of the means of the unit rows, 0..2.
    effective_rank : (float, float)
        Of the centred unit rows of X and Y.
    cka, mutual_neighbours : float, optional
        How alike the two spaces are, 0..1.
    hubness : (dict, dict), optional
        Of Y among the neighbours of X, and of X among those of Y, as in `evaluate.hubness`.
    contenders : tuple of Contender
        Each remedy that could be tried, doing nothing first.
    choice : str
        Name of the contender that is recommended, the simplest that no other beats beyond chance; "" without any.
    recommendation : str
        In words.
    curves : Curves
    """

    rows: tuple[int, int]
    columns: tuple[int, int]
    paired: bool
    neighbours: int
    held_out: int
    modality_gap: float | None
    effective_rank: tuple[float, float]
    cka: float | None
    mutual_neighbours: float | None
    hubness: tuple[dict[str, float], dict[str, float]] | None
    contenders: tuple[Contender, ...]
    choice: str
    recommendation: str
    curves: Curves

    def to_dict(self) -> dict[str, Any]:
        """All but the curves, as plain numbers, text, lists and dicts that JSON takes."""
        found = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "curves"}
        found["contenders"] = [asdict(one) for one in self.contenders]
        return {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}

    def plot(self, path: str | os.PathLike[str]) -> None:
        """Draw ranks, spectra, occurrences and similarities to `path`, of any format that Matplotlib writes."""
        from ._plot import draw

        draw(self, path)

    def __str__(self) -> str:
        return "\n".join([*self._spaces(), *self._table(), "", self.recommendation])

    def _spaces(self) -> list[str]:
        m, n = self.rows
        lines = [
            f"{m} pairs of {self.columns[0]} and {self.columns[1]} columns, by cosine" if self.paired else
            f"{m} and {n} rows of {self.columns[0]} and {self.columns[1]} columns, not paired, by cosine",
            "",
        ]  # fmt: skip
        if self.modality_gap is not None:
            lines.append(f"modality gap       {self.modality_gap:.3f} between the means of the unit rows")
        most = [min(count - 1, width) for count, width in zip(self.rows, self.columns, strict=True)]
        used = " and ".join(f"{rank:.1f} of {top}" for rank, top in zip(self.effective_rank, most, strict=True))
        lines.append(f"effective rank     {used}, of X and Y")
        if self.cka is not None:
            lines.append(f"CKA                {self.cka:.3f}")
        if self.mutual_neighbours is not None:
            lines.append(f"mutual neighbours  {self.mutual_neighbours:.3f} of the nearest {self.neighbours}")
        for way, found in zip(WAYS, self.hubness or (), strict=False):
            lines.append(
                f"hubs, {way}       skewness {found['skewness']:.2f}, the largest in {found['groupie_share']:.1%} of "
                f"the lists, {found['antihub_share']:.1%} of the rows in none"
            )
        return lines

    def _table(self) -> list[str]:
        if not self.contenders:
            return []
        head = f"{self.held_out} pairs held out", "hit_rate@1 there, back", "MRR there, back", "gain in MRR (95 %)"
        rows = [head]
        for one in self.contenders:
            gain = ""
            if one.gain is not None and one.interval is not None:
                low, high = map(signed, one.interval)
                gain = f"{signed(one.gain)} ({low} to {high}), p = {one.p_value:.4f}"
            hits, mrr = ("  ".join(f"{value:.3f}" for value in pair) for pair in (one.hit_rate, one.mrr))
            rows.append((one.name, hits, mrr, gain))
        return ["", *(f"{name:<22}{hits:<24}{mrr:<17}{gain}".rstrip() for name, hits, mrr, gain in rows)]
