"""A page for each file of benchmarks/results: all of its rows as tables, and a picture. Nothing is measured here."""

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "benchmarks"))  # behind this folder: its modules are wanted, none of its names here

import gpu_table  # noqa: E402 - from the folder above
import report  # noqa: E402 - from the folder above
import rows  # noqa: E402 - from the folder above

RESULTS = ROOT / "benchmarks" / "results"
OURS = "crossmodal_fast"
FILES = ("*.jsonl", "nvidia-*.json", "wrong-answers-*.md")
WRONG_ANSWERS = """\
# Wrong answers

What other libraries are known to get wrong, and ours beside them: `make wrong-answers` asks all that are installed.
True answers are computed in fractions; a distance counts as wrong beyond 1e-6 of it.

"""
INTRODUCTION = """\
# Benchmarks

`make bench` (CPU) and `make gpu` write these rows; the pages are made of the files in `benchmarks/results/` as they
are, losses included. Each answer was compared with float64 before its time counted. Where the CPU pages speak of other
processes, that share of the cores was not free. How it is measured: `benchmarks/bench.py`, `gpu.py`, `gpu_matrices.py`.
`make growth` fits how the time grows, `make bench-compare BASE=<rev>` holds the tree against another revision.

```{toctree}
"""


def gpu_page(stored: dict[str, Any], picture: str) -> str:
    """Markdown of one file of `gpu.py` or `gpu_matrices.py`."""
    title, facts = gpu_table.heading(stored).split("\n", 1)
    if "matrices" in picture:
        title += ", matrices"
    return f"{title}\n{facts}\n![Milliseconds of each contender]({picture})\n\n{gpu_table.tables(stored)}"


def gpu_picture(stored: dict[str, Any], path: Path) -> None:
    """Bars of milliseconds, a panel for each case; ours dark."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    cases = gpu_table.by_case([row for row in stored["rows"] if "ms" in row])
    figure = Figure(figsize=(9, 1.7 * len(cases)), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (name, found) in zip(figure.subplots(len(cases), squeeze=False)[:, 0], cases.items(), strict=True):
        colours = ["#223355" if row["contender"].startswith(OURS) else "#9aa7bd" for row in found]
        bars = axes.barh([row["contender"] for row in found], [row["ms"] for row in found], color=colours)
        axes.bar_label(bars, fmt="%.3g ms", padding=3, fontsize=8)
        axes.set_title(name, fontsize=9, loc="left")
        axes.set(xscale="log")
        axes.margins(x=0.15)
        axes.tick_params(labelsize=8)
        axes.invert_yaxis()
    figure.savefig(path, metadata={"Date": None})


def cpu_page(path: Path, folder: Path) -> str:
    """Markdown of one file of `make bench`; its pictures are drawn into the folder."""
    found = rows.read([path])
    pictures = report.drawn(folder / path.name, found)
    title = f"# {found[0]['machine']['cpu']}, {path.stem[-len('2026-01-01') :]}"
    return title + report.tables_and_pictures(found, pictures).removeprefix("# Benchmark results")


def write(folder: Path) -> None:
    """All pages, the newest first, and one that lists them."""
    folder.mkdir(parents=True)
    found = (path for name in FILES for path in RESULTS.glob(name))
    paths = sorted(found, key=lambda path: path.stem[-10:], reverse=True)
    for path in paths:
        if path.suffix == ".json":
            stored = json.loads(path.read_text(encoding="utf-8"))
            gpu_picture(stored, folder / f"{path.stem}.svg")
            text = gpu_page(stored, f"{path.stem}.svg")
        elif path.suffix == ".md":
            text = WRONG_ANSWERS + path.read_text(encoding="utf-8")
        else:
            text = cpu_page(path, folder)
        (folder / f"{path.stem}.md").write_text(text, encoding="utf-8")
    index = INTRODUCTION + "".join(f"{path.stem}\n" for path in paths) + "```\n"
    (folder / "index.md").write_text(index, encoding="utf-8")
