"""What the demo says: tables by rich on a terminal, plain columns elsewhere."""

import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .._search import SearchStats

MEASURES = ("hit_rate@1", "hit_rate@5", "mrr", "map")
WHAT = {
    "image": "written by hand, 8 x 8 pixels; unseen: other sheets",
    "speech": "espeak-ng, 20 voices, 2 languages, log-mel; unseen: other voices",
    "name": "spelled in 16 languages, runs of letters; unseen: other languages",
}


@dataclass(frozen=True)
class Score:
    """One line of the table: measures by the names of `evaluate.retrieval`; a "chance" opens those of its gallery."""

    search: str
    queries: int
    gallery: int
    measures: dict[str, float]
    kind: Literal["chance", "no map", "map"] = "map"


@dataclass(frozen=True)
class Report:
    """What `run` found.

    sizes : modality -> (learned rows, unseen rows, columns, columns after preprocessing)
    scores : the lines of the table
    exact : (matches that agree with plain float64, matches compared)
    searches : (name, SearchStats, gallery rows)
    mutual : (pairs of image and speech in each other's top 5, how many are of one digit)
    seconds : step -> time
    files : what was written
    """

    sizes: dict[str, tuple[int, int, int, int]]
    scores: list[Score]
    exact: tuple[int, int]
    searches: list[tuple[str, SearchStats, int]]
    mutual: tuple[int, int]
    seconds: dict[str, float]
    files: list[Path]


def show(told: Report) -> None:
    """Print to standard output."""
    data = [
        [name, str(learned), str(unseen), f"{columns} to {kept}" if kept < columns else str(columns), WHAT[name]]
        for name, (learned, unseen, columns, kept) in told.sizes.items()
    ]
    _table("Ten digits, three ways", ["modality", "learned", "unseen", "columns", "what"], data, text=(0, 4))
    scores = [
        [score.search, str(score.queries), str(score.gallery), *(f"{score.measures[name]:.3f}" for name in MEASURES)]
        for score in told.scores
    ]
    quiet = [row for row, score in enumerate(told.scores) if score.kind == "chance"]
    heads = ["search in the unseen half", "queries", "gallery", "hit_rate@1", "hit_rate@5", "MRR", "mAP"]
    _table("Who finds whom", heads, scores, text=(0,), quiet=quiet)
    certificates = [
        [
            name,
            stats.backend,
            stats.precision,
            f"{stats.candidates.mean():.1f} (at most {stats.candidates.max()})",
            str(gallery),
            str(int(stats.widened.sum())),
            f"{1e3 * (stats.prepare_seconds + stats.scan_seconds):.1f}",
        ]
        for name, stats, gallery in told.searches
    ]
    heads = ["exact top 5", "backend", "scanned in", "candidates per query", "of", "wider pass", "ms"]
    _table("What the certificate let through to float64", heads, certificates, text=(0, 1, 2))
    agreeing, compared = told.exact
    pairs, right = told.mutual
    lines = [
        f"Exactness: {agreeing} of {compared} matches are, index for index, those of a plain float64 computation.",
        f"Mutual matches: {pairs} images and utterances are in each other's top 5, {right} of these pairs are right.",
        "Maps were learned from pairs of one digit; a search without a map only knows what looks or sounds alike.",
        f"Time: {sum(told.seconds.values()):.1f} s ("
        + ", ".join(f"{step} {seconds:.1f}" for step, seconds in told.seconds.items())
        + ").",
        f"Written: {' and '.join(str(path) for path in told.files)}",
    ]
    print("\n".join(lines))


def _on_terminal() -> bool:
    return sys.stdout.isatty() and importlib.util.find_spec("rich") is not None


def _table(
    title: str, heads: list[str], rows: list[list[str]], text: tuple[int, ...], quiet: list[int] | None = None
) -> None:
    """One table; columns in `text` stand to the left, numbers to the right; rows in `quiet` begin a section."""
    sections = quiet or []
    if _on_terminal():
        from rich import box
        from rich.console import Console
        from rich.table import Table

        shown = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
        for column, head in enumerate(heads):
            shown.add_column(head, justify="left" if column in text else "right")
        for number, row in enumerate(rows):
            if number in sections and number > 0:
                shown.add_section()
            shown.add_row(*row, style="dim" if number in sections else None)
        Console().print(shown)
        return
    widths = [max(len(row[column]) for row in [heads, *rows]) for column in range(len(heads))]
    print(f"{title}\n")
    for number, row in enumerate([heads, *rows], start=-1):  # -1: the heads
        if number in sections and number > 0:
            print()
        cells = (
            cell.ljust(width) if column in text else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        print(f"  {'  '.join(cells)}".rstrip())
    print()
