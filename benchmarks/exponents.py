"""Rows of `growth.py` as a table, a sentence and a picture."""

import json

import numpy as np
from plot import Picture
from rows import FOLDER, slug


def table(grown):
    """Markdown: a line for each sweep."""
    lines = [
        "| operation | size | from | to | exponent | 95 % interval | of the definition |",
        "|---|---|" + "---:|" * 5,
    ]
    for row in grown:
        among = ", ".join(f"{name} = {size:,}" for name, size in row["fixed"].items())
        lines.append(
            f"| `{row['operation']}`, {among} | {row['axis']} | {row['sizes'][0]:,} | {row['sizes'][-1]:,} "
            f"| {row['exponent']:.2f} | {row['low']:.2f} to {row['high']:.2f} | {row['expected']:g} |"
        )
    return "\n".join(lines)


def sentence(grown):
    """The exponents of topk, in words."""
    found = [row for row in grown if row["operation"] == "topk"]
    powers = ", ".join(f"{row['axis']}^{row['exponent']:.2f} ({row['low']:.2f} to {row['high']:.2f})" for row in found)
    return f"Between the sizes of `make growth` the time of `topk` grows as {powers}; in brackets the 95 % intervals."


def drawn_growth(grown, figure):
    """A plane for each operation: medians, and the fitted lines through them."""
    operations = list(dict.fromkeys(row["operation"] for row in grown))
    for plane, operation in zip(figure.subplots(1, len(operations), squeeze=False)[0], operations, strict=True):
        for number, row in enumerate(part for part in grown if part["operation"] == operation):
            sizes, ms = np.array(row["sizes"]), np.array(row["ms"])
            line = np.exp(np.log(ms).mean() + row["exponent"] * (np.log(sizes) - np.log(sizes).mean()))
            label = f"{row['axis']}, exponent {row['exponent']:.2f}"
            plane.plot(sizes, ms, "o", color=f"C{number}", markersize=4)
            plane.plot(sizes, line, color=f"C{number}", linewidth=1, label=label)
        plane.set(xscale="log", yscale="log", xlabel="size", ylabel="ms", title=operation)
        plane.grid(alpha=0.25)
        plane.legend(frameon=False)
    return bool(operations)


def newest(machine):
    """The latest file of this kind of machine, or None."""
    return max(FOLDER.glob(f"{slug(machine)}-growth-*.json"), default=None)


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))["rows"]


PICTURE = Picture("", "Time against size, and the fitted powers", (11, 4), drawn_growth)
