"""Results as Markdown: `python benchmarks/report.py [--readme] [results/*.jsonl]`, a table for each machine.

Prints the tables; with --readme writes them into README.md, between the markers.
"""

import argparse
from pathlib import Path

import rows

OURS = "crossmodal_fast"
README = Path(__file__).parents[1] / "README.md"
START, END = "<!-- benchmark table -->", "<!-- end -->"
LEGEND = """\
First our own time, then every other contender's time divided by it, both from the same rounds: **bold where ours is
slower**. In brackets the worst relative error against float64 and the wrong neighbours, if any, in a sample of rows.
Bare GEMM is no answer: the product of the two matrices alone."""


def table(found):
    """Markdown of the rows of one machine: a line for each case, a column for each contender that was timed once."""
    timed = {column(row) for row in found if "skipped" not in row}
    columns = [name for name in dict.fromkeys(map(column, found)) if name in timed]
    columns.sort(key=lambda name: not name.startswith(OURS))
    lines = ["| " + " | ".join(["", *columns]) + " |", "|---" + "|---:" * len(columns) + "|"]
    for shape in dict.fromkeys(map(rows.shape, found)):
        cells = {column(row): cell(row) for row in found if rows.shape(row) == shape}
        lines.append("| " + " | ".join([title(*shape), *(cells.get(name, "") for name in columns)]) + " |")
    return "\n".join(lines)


def column(row):
    return " ".join(filter(None, [row["contender"], row["backend"]]))


def title(operation, data, m, n, d, k, maps):
    if operation == "transfer":
        shape = f"{m:,} rows, {d:,} to {n:,} features" + (f", {maps} maps" if maps else "")
    else:
        shape = " x ".join(f"{size:,}" for size in (m, n, d) if size) + (f", k = {k}" if k else "")
    return f"`{operation}` {shape}" + ("" if data == "normal" else f", {data}")


def cell(row):
    if "skipped" in row:
        return "–"
    time = milliseconds(row["ms"]) if row["contender"] == OURS else times(row["ratio"])
    notes = [] if row["error"] is None else [f"{row['error']:.0e}"]
    notes += [f"{row['wrong']} wrong"] if row["wrong"] else []
    return time + (f" ({', '.join(notes)})" if notes else "")


def milliseconds(value):
    return f"{value:,.0f} ms" if value >= 10 else f"{value:.2g} ms"


def times(ratio):
    text = f"{ratio:.0f}x" if ratio >= 10 else f"{ratio:.2g}x"
    return f"**{text}**" if ratio < 1 else text


def skipped(found):
    """Who was left out and why: of contenders that were never timed the first reason, of others each with its cases."""
    timed = {column(row) for row in found if "skipped" not in row}
    reasons = {}
    for row in found:
        name = column(row)
        if "skipped" in row and name in timed:
            reasons.setdefault(f"{name}: {row['skipped']}", []).append(title(*rows.shape(row)))
        elif "skipped" in row and not any(reason.startswith(f"{name}: ") for reason in reasons):
            reasons[f"{name}: {row['skipped']}"] = []
    return [f"- {reason}" + (f" ({'; '.join(cases)})" if cases else "") for reason, cases in reasons.items()]


def report(found):
    """Markdown of all rows: for each machine where and when, the table, the legend, who was left out."""
    sections = []
    for machine in dict.fromkeys(rows.slug(row["machine"]) for row in found):
        here = [row for row in found if rows.slug(row["machine"]) == machine]
        facts, last = here[0]["machine"], max(here, key=lambda row: row["date"])
        timed = [row for row in here if "skipped" not in row]
        rounds = [row["rounds"] for row in timed]
        disturbed = max(row["others"] for row in timed)
        peers = ", ".join(f"{name} {version}" for name, version in last["versions"].items())
        sections.append(
            f"{facts['cpu']}, {facts['cores']} cores, {facts['simd']}, {facts['blas']}, Python {facts['python']}; "
            f"{peers}; {last['date']}, commit {last['commit']}. float32, medians of {min(rounds)} to {max(rounds)} "
            f"rounds; other processes took up to {disturbed:.0%} of the cores meanwhile.\n\n"
            f"{table(here)}\n\n{LEGEND}\n" + "\n".join(["", *skipped(here)])
        )
    return "\n\n".join(sections).rstrip() + "\n"


def inserted(text, tables):
    """The text with the tables between its markers, in place of what was there."""
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise SystemExit(f"README.md must have the lines {START} and {END}, in this order; nothing was written")
    return f"{before}{START}\n{tables}{END}{after}"


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", nargs="*", type=Path, help="files of rows; all of benchmarks/results by default")
    parser.add_argument("--readme", action="store_true", help="write the table into README.md")
    chosen = parser.parse_args(arguments)
    found = rows.read(chosen.results or sorted(rows.FOLDER.glob("*.jsonl")))
    if not found:
        raise SystemExit("benchmarks/results has no rows yet; `make bench` writes them")
    tables = report(found)
    if chosen.readme:
        README.write_text(inserted(README.read_text(encoding="utf-8"), tables), encoding="utf-8")
    else:
        print(tables, end="")


if __name__ == "__main__":
    main()
