"""Measures asked for by name: `name@parameter`, such as ndcg@10, or as trec_eval calls them, ndcg_cut_10 and P_5."""

import math
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from .._arguments import brief
from ._listing import Float64, Listing
from ._measures import cut_offs
from ._table import MEASURES, Measure

TREC = {
    "P": "precision", "relative_P": "recall_cap", "ndcg_cut": "ndcg", "map_cut": "map", "iprec_at_recall": "iprec",
    "Rprec_mult": "r_precision", "Rprec": "r_precision", "recip_rank": "mrr", "11pt_avg": "iprec_11pt",
    "set_P": "set_precision", "set_F": "set_f1", "set_relative_P": "set_recall_cap",
}  # fmt: skip


class Chosen(NamedTuple):
    """A measure that was asked for."""

    name: str
    measure: Measure
    parameter: float | None

    def values(self, listing: Listing) -> Float64:
        """(m,) one value a query."""
        if listing.open_ties and not self.measure.ties:
            raise ValueError(f"ties must be settled for {self.name}, which has no expected value, got 'expected'")
        return self.measure.of(listing, self.parameter)


def usual_measures(k: int | Sequence[int], without: str = "") -> list[str]:
    """What `retrieval` gives unless told otherwise, at the cut-offs k."""
    cuts = cut_offs(k)
    names = ["mrr", "median_rank", "mean_rank", "map"]
    return [
        *(f"hit_rate@{cut}" for cut in cuts), *(name for name in names if name != without),
        *(f"map@{cut}" for cut in cuts),
    ]  # fmt: skip


def chosen_measures(metrics: str | Iterable[str]) -> list[Chosen]:
    """The measures of these names, given one by one or in one text by commas."""
    if isinstance(metrics, str):
        metrics = metrics.split(",")
    if not isinstance(metrics, Iterable) or getattr(metrics, "ndim", 1) == 0:
        raise TypeError(f"metrics must be names of measures, got {brief(metrics)}")
    found = [_chosen(name) for name in metrics]
    if not found:
        raise ValueError("metrics must name at least one measure, got none")
    return found


def _chosen(name: object) -> Chosen:
    if not isinstance(name, str):
        raise TypeError(f"metrics must be names of measures, got {brief(name)}")
    name = name.strip()
    stem, found, text = name.partition("@")
    if not found and stem not in MEASURES and stem not in TREC:
        stem, _, text = name.rpartition("_")
    stem = TREC.get(stem, stem)
    if stem not in MEASURES:
        raise ValueError(f"metrics must be among {', '.join(MEASURES)}, with @k where they take one, got {name!r}")
    measure = MEASURES[stem]
    return Chosen(name, measure, _parameter(name, measure.parameter, text))


def _parameter(name: str, kind: str, text: str) -> float | None:
    asked = kind.strip("[]")
    if not text and kind in ("", f"[{asked}]"):
        return None
    if not kind:
        raise ValueError(f"metrics must be without @ for what takes no cut-off, got {name!r}")
    pattern = r"[1-9]\d*" if asked == "k" else r"\d+(?:\.\d+)?|\.\d+"
    value = float(text) if re.fullmatch(pattern, text, re.ASCII) else math.nan
    most = {"k": math.inf, "factor": math.inf}.get(asked, 1.0)
    if not 0 <= value <= most or (asked == "factor" and value == 0):
        rule = {"k": "a whole number above 0", "factor": "a number above 0"}.get(asked, "a number in 0..1")
        raise ValueError(f"metrics must have {rule} as {asked} behind the @, got {name!r}")
    return value
