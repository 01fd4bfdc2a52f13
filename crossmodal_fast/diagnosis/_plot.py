"""The picture of a diagnosis: four panels, Matplotlib without a display."""

import os
from typing import Any

import numpy as np

from ..files import atomic
from ..files._checks import path_of
from ..preprocess import RANK_CUTOFF
from ._report import WAYS, Diagnosis

BINS = 40
SIDES = ("X", "Y")


def draw(found: Diagnosis, path: str | os.PathLike[str]) -> None:
    """Write the picture to `path`, whole or not at all; of no ending: .png is added."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "matplotlib":
            raise  # it is there, and something that it needs is not
        sentence = "plot needs matplotlib, which is not installed: pip install 'crossmodal-fast[plot]'"
        raise ModuleNotFoundError(sentence, name="matplotlib") from error
    figure = Figure(figsize=(10, 7.5), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(2, 2)
    for panel, drawing in zip(panels.flat, (_ranks, _spectra, _occurrences, _similarities), strict=True):
        if not drawing(panel, found):
            panel.text(0.5, 0.5, "not for these sides", ha="center", va="center", transform=panel.transAxes)
        else:
            panel.legend(frameon=False)
    target = path_of(path)
    target = target if target.suffix else target.with_name(f"{target.name}.png")
    with atomic(target) as file:
        figure.savefig(file, format=target.suffix[1:].lower(), dpi=120)


def _ranks(panel: Any, found: Diagnosis) -> bool:
    panel.set(title="rank of the pair, doing nothing", xlabel="rank", ylabel="pairs", xscale="log")
    if found.curves.ranks is None:
        return False
    edges = np.unique(np.floor(np.geomspace(1, found.rows[0] + 1, BINS)))
    for way, ranks in zip(WAYS, found.curves.ranks, strict=True):
        panel.hist(ranks, edges, histtype="step", label=way)
    return True


def _spectra(panel: Any, found: Diagnosis) -> bool:
    panel.set(title="spectrum of the centred unit rows", xlabel="component", ylabel="share of the sum", yscale="log")
    drawn = False
    for side, singular, rank in zip(SIDES, found.curves.singular_values, found.effective_rank, strict=True):
        kept = singular[singular > RANK_CUTOFF * singular.max()]
        if kept.size:
            panel.plot(np.arange(1, len(kept) + 1), kept / singular.sum(), label=f"{side}, rank {rank:.1f}")
            drawn = True
    return drawn


def _occurrences(panel: Any, found: Diagnosis) -> bool:
    title = f"lists of {found.neighbours} neighbours that a row is in"
    panel.set(title=title, xlabel="lists", ylabel="rows", yscale="log")
    if found.curves.occurrences is None:
        return False
    most = max(int(counts.max()) for counts in found.curves.occurrences)
    edges = np.arange(0, most + 2, max(1, most // BINS))  # whole numbers: others leave gaps between the bars
    for way, counts in zip(WAYS, found.curves.occurrences, strict=True):
        panel.hist(counts, edges, histtype="step", label=way)
    return True


def _similarities(panel: Any, found: Diagnosis) -> bool:
    panel.set(title="cosine of rows", xlabel="cosine", ylabel="pairs")
    drawn = {
        label: values
        for label, values in zip(("matched", "unmatched"), found.curves.similarities, strict=True)
        if values is not None
    }
    if drawn:
        edges = np.histogram_bin_edges(np.concatenate(list(drawn.values())), BINS)
        for label, values in drawn.items():
            panel.hist(values, edges, histtype="step", label=label)
    return bool(drawn)
