"""A page for each file of benchmarks/results: all of its rows as tables, and a picture. Nothing is measured here."""

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "benchmarks"))  # behind this folder: its modules are wanted, none of its names here

import report  # noqa: E402 - from the folder above
import rows  # noqa: E402 - from the folder above

RESULTS = ROOT / "benchmarks" / "results"
SIZES = ("operation", "matrices", "m", "n", "d", "k", "d_out", "d_in", "rows_each")
MEASURED = {
    "ms": lambda row: f"{row['ms']:,.3g}",
    "TFLOP/s": lambda row: f"{row['tflops']:.3g}",
    "GB/s": lambda row: f"{row['gbs']:,.0f}" if "gbs" in row else "",
    "wrong": lambda row: f"{row['wrong']} of {row['of']}" if "wrong" in row else "",
    "error": lambda row: f"{row['error']:.1g}" if "error" in row else "",
    "rounds": lambda row: str(row["rounds"]),
}
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


def case(row: dict[str, Any]) -> str:
    """The sizes of a row, in words."""
    parts = (f"{name} = {row[name]:,}" for name in SIZES[1:] if name in row)
    return f"{row.get('operation', 'topk')}, {', '.join(parts)}"


def by_case(found: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Rows of each case, in the order of the file."""
    cases: dict[str, list[dict[str, Any]]] = {}
    for row in found:
        cases.setdefault(case(row), []).append(row)
    return cases


def gpu_page(stored: dict[str, Any], picture: str) -> str:
    """Markdown of one file of `gpu.py` or `gpu_matrices.py`."""
    facts = {name: value for name, value in stored.items() if name != "rows"}
    parts = [f"# {facts.pop('gpu')}, {facts['date']}" + (", matrices" if "matrices" in picture else "")]
    parts.append("; ".join(f"{name.replace('_', ' ')} {_short(value)}" for name, value in facts.items()) + ".")
    parts.append(f"![Milliseconds of each contender]({picture})")
    for name, found in by_case(stored["rows"]).items():
        shown = {head: [write(row) for row in found] for head, write in MEASURED.items()}
        shown = {head: cells for head, cells in shown.items() if any(cells)}
        lines = [f"| contender | {' | '.join(shown)} |", "|---" + "|---:" * len(shown) + "|"]
        lines += [
            f"| {row['contender']} | {' | '.join(cells)} |"
            for row, cells in zip(found, zip(*shown.values(), strict=True), strict=True)
        ]
        parts += [f"## {name}", "\n".join(lines)]
    return "\n\n".join(parts) + "\n"


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def gpu_picture(stored: dict[str, Any], path: Path) -> None:
    """Bars of milliseconds, a panel for each case; ours dark."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    cases = by_case(stored["rows"])
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
