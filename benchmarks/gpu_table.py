"""Rows of a GPU as Markdown: contenders of each case, and our kernels by stage against the roofline.

The floor of a stage is what it cannot be quicker than on that card: its operations at the rate that cuBLAS had in the
same run, its bytes at that of a copy. Stages that have none written here depend on the data. Nothing is measured here.
"""

import json

SIZES = ("operation", "matrices", "m", "n", "d", "k", "d_out", "d_in", "rows_each")
MEASURED = {
    "ms": lambda row: f"{row['ms']:,.3g}",
    "TFLOP/s": lambda row: f"{row['tflops']:.3g}",
    "GB/s": lambda row: f"{row['gbs']:,.0f}" if "gbs" in row else "",
    "wrong": lambda row: f"{row['wrong']} of {row['of']}" if "wrong" in row else "",
    "error": lambda row: f"{row['error']:.1g}" if "error" in row else "",
    "rounds": lambda row: str(row["rounds"]),
}
OPERATIONS = {  # (operation, stage) -> multiplications and additions, and the peak that they are held against
    ("topk", "gemm"): lambda r: (2 * r["m"] * r["n"] * r["d"], "fp16_tflops"),
    ("pairwise_distances", "product"): lambda r: (2 * r["m"] * r["n"] * r["d"], "float64_tflops"),
    ("logsumexp", "product"): lambda r: (2 * r["m"] * r["n"] * r["d"], "float64_tflops"),
}
BYTES = {  # (operation, stage) -> read and written once
    ("topk", "prepare"): lambda r: r["m"] * (6 * r["d"] + 24),  # float32 read, codes and six vectors written
    ("topk", "bound"): lambda r: 60 * r["m"],
    ("topk", "gemm"): lambda r: 2 * (r["m"] * r["n"] + r["d"] * (r["m"] + r["n"])),
    ("topk", "filter"): lambda r: 2 * r["m"] * r["n"],  # scores in float16
    ("pairwise_distances", "vectors"): lambda r: 4 * r["d"] * (r["m"] + r["n"]),
    ("pairwise_distances", "distances"): lambda r: 12 * r["m"] * r["n"],  # products in float64, distances in float32
    ("logsumexp", "vectors"): lambda r: 4 * r["d"] * (r["m"] + r["n"]),
    ("transfer", "mapping"): lambda r: 4 * r["matrices"] * r["d_out"] * r["d_in"],
}


def case(row):
    """The sizes of a row, in words."""
    parts = (f"{name} = {row[name]:,}" for name in SIZES[1:] if name in row)
    return f"{row.get('operation', 'topk')}, {', '.join(parts)}"


def by_case(found):
    """Rows of each case, in the order of the file."""
    cases = {}
    for row in found:
        cases.setdefault(case(row), []).append(row)
    return cases


def floor(row, stage, peaks):
    """Milliseconds, or None where nothing is known of the stage."""
    key, least = (row.get("operation", "topk"), stage), []
    if key in OPERATIONS:
        count, peak = OPERATIONS[key](row)
        least.append(count / peaks[peak] / 1e9)
    if key in BYTES:
        least.append(BYTES[key](row) / peaks["copy_gbs"] / 1e6)
    return max(least, default=None)


def contenders(found):
    """Lines of the table of one case, and of why some are not in it."""
    timed = [row for row in found if "ms" in row]
    shown = {head: [write(row) for row in timed] for head, write in MEASURED.items()}
    shown = {head: cells for head, cells in shown.items() if any(cells)}
    names = (row["contender"] for row in timed)
    return [
        f"| contender | {' | '.join(shown)} |", "|---" + "|---:" * len(shown) + "|",
        *(f"| {name} | {' | '.join(cells)} |"
          for name, cells in zip(names, zip(*shown.values(), strict=True), strict=True)),
        *(f"\nNot timed: {row['contender']}: {row['skipped']}" for row in found if "ms" not in row),
    ]  # fmt: skip


def stages(row, peaks):
    """Lines of the table of our kernels; what runs beside each other counts in full."""
    lines = ["| stage | ms | floor, ms | of the floor |", "|---|---:|---:|---:|"]
    for stage, spent in row["stages_ms"].items():
        least = floor(row, stage, peaks)
        cells = ("–", "–") if least is None else (f"{least:.3g}", f"{least / spent:.2f}")
        lines.append(f"| {stage} | {spent:.3g} | {' | '.join(cells)} |")
    return lines


def tables(stored):
    """Markdown of all cases of a file of `gpu.py` or `gpu_matrices.py`."""
    parts = []
    for name, found in by_case(stored["rows"]).items():
        parts += [f"## {name}", "\n".join(contenders(found))]
        parts += ["\n".join(stages(row, stored | row)) for row in found if "stages_ms" in row]
    return "\n\n".join(parts) + "\n"


def heading(stored):
    """What the rows have in common."""
    facts = {name: value for name, value in stored.items() if name not in ("rows", "gpu", "date")}
    told = "; ".join(f"{name.replace('_', ' ')} {_short(value)}" for name, value in facts.items())
    return f"# {stored['gpu']}, {stored['date']}\n\n{told}.\n"


def _short(value):
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def keep(stored, path):
    """Write a file of rows, and its page beside it."""
    path.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")
    path.with_suffix(".md").write_text(f"{heading(stored)}\n{tables(stored)}", encoding="utf-8")
