"""The bars and what was measured: met or missed."""

from shapes import BARS, OURS, Case
from words import milliseconds, title

MET, MISSED, UNKNOWN = "met", "**missed**", "not measured"


def case_of(row):
    return Case(row["operation"], row["m"], row["n"], row["d"], row["k"], row["maps"], row["data"])


def verdicts(found):
    """[(bar, its row or None, met, missed or not measured)]."""
    return [(bar, *verdict(bar, found)) for bar in BARS]


def verdict(bar, found):
    """The row that decides and the word."""
    row = next((row for row in found if row["contender"] == bar.contender and case_of(row) == bar.case), None)
    if row is None or "skipped" in row:
        return row, UNKNOWN
    reached = row["ratio"] >= bar.ratio if bar.ratio else row["ms"] <= 1e3 * bar.seconds
    return row, MET if reached else MISSED


def table(found):
    """Markdown: a line for each bar."""
    lines = ["| bar | against | required | measured | |", "|---|---|---:|---:|---|"]
    for bar, row, word in verdicts(found):
        against = "" if bar.contender == OURS else bar.contender
        what = title(*shape(bar.case))
        what = f"{bar.what}: {what}" if bar.ratio else what
        required = f"{bar.ratio:g}x" if bar.ratio else f"{bar.seconds:g} s"
        lines.append(f"| {what} | {against} | {required} | {measured(bar, row)} | {word} |")
    return "\n".join(lines)


def measured(bar, row):
    """The median, and for a ratio the middle half of the rounds."""
    if row is None:
        return ""
    if "skipped" in row:
        return row["skipped"].replace("|", "\\|")
    if bar.ratio is None:
        return milliseconds(row["ms"])
    between = f" ({row['ratio_low']:.3g} to {row['ratio_high']:.3g})" if "ratio_low" in row else ""
    return f"{row['ratio']:.3g}x{between}"


def shape(case):
    return case.operation, case.data, case.m, case.n, case.d, case.k, case.maps
