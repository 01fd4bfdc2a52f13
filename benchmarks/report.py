"""Results as Markdown and HTML: `python benchmarks/report.py [--readme] [results/*.jsonl]`, the newest file by default.

Prints the bars, the cases they are about and every case that ours loses; with --readme writes that into README.md,
between the markers. Beside each file of rows it writes all of them as tables (.md) and pictures (.svg), and both as one
page without links to other files into build/benchmarks. Nothing is measured here.
"""

import argparse
import re
from pathlib import Path

import bars
import exponents
import page
import plot
import rows
from shapes import FLOORS, OURS
from words import column, megabytes, milliseconds, plain, share, times, title

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = ROOT / "build" / "benchmarks"
START, END = "<!-- benchmark table -->", "<!-- end -->"
LEGEND = """\
First our own time, then every other contender's time divided by it, both from the same rounds: **bold where ours is
slower**. In brackets the worst relative error against float64 and the wrong neighbours, if any, in a sample of rows.
Bare GEMM and bare read are no answers: the product of the two matrices alone, and reading our codes once."""
DETAILS = {
    "median": lambda row: milliseconds(row["ms"]),
    "spread": lambda row: share(row["spread"]),
    "times ours": lambda row: "" if row["ratio"] is None else times(row["ratio"]),
    "GFLOP/s": lambda row: plain(row.get("gflops"), ".1f"),
    "of FMA peak": lambda row: share(row.get("share_of_peak")),
    "of read bandwidth": lambda row: share(row.get("share_of_bandwidth")),
    "memory": lambda row: megabytes(row.get("memory")),
    "wrong": lambda row: plain(row["wrong"], "d"),
    "error": lambda row: plain(row["error"], ".0e"),
    "ran": lambda row: " ".join(filter(None, [row.get("ran"), row.get("precision")])),
    "candidates": lambda row: plain(row.get("candidates"), ".1f"),
    "commit": lambda row: f"{row['commit']}",
}


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


def cell(row):
    if "skipped" in row:
        return "–"
    time = milliseconds(row["ms"]) if row["contender"] == OURS else times(row["ratio"])
    notes = [] if row["error"] is None else [f"{row['error']:.0e}"]
    notes += [f"{row['wrong']} wrong"] if row["wrong"] else []
    return time + (f" ({', '.join(notes)})" if notes else "")


def details(found):
    """Markdown: a line for each row that was timed, with all that was measured."""
    lines = [
        "| " + " | ".join(["case", "contender", *DETAILS]) + " |",
        "|---|---" + "|---:" * len(DETAILS) + "|",
    ]
    for row in found:
        if "skipped" not in row:
            written = [title(*rows.shape(row)), column(row), *(write(row) for write in DETAILS.values())]
            lines.append("| " + " | ".join(written) + " |")
    return "\n".join(lines)


def losses(found):
    """Every case in which a contender with an answer was faster than ours, and by how much."""
    lost = {}
    for row in found:
        if "skipped" not in row and row["contender"] not in (OURS, *FLOORS) and row["ratio"] < 1:
            lost.setdefault(title(*rows.shape(row)), []).append(f"{column(row)} {times(row['ratio'])}")
    return [f"- {case}: {', '.join(names)}" for case, names in lost.items()]


SECONDS = re.compile(r"\d+ s\b")


def skipped(found):
    """Who was left out and why: of contenders that were never timed the first reason, of others each with its cases."""
    timed = {column(row) for row in found if "skipped" not in row}
    reasons = {}
    for row in found:
        name = column(row)
        if "skipped" in row and name in timed:
            alike = name, SECONDS.sub("{}", row["skipped"])
            reasons.setdefault(alike, []).append((row["skipped"], title(*rows.shape(row))))
        elif "skipped" in row and not any(name == other for other, _ in reasons):
            reasons[name, row["skipped"]] = []
    return [f"- {name}: {in_one(reason, cases)}" for (name, reason), cases in reasons.items()]


def in_one(reason, cases):
    """A reason with its cases, and with the least and the most seconds where these differ."""
    if not cases:
        return reason
    said = dict.fromkeys(said for said, _ in cases)
    if len(said) == 1:
        (text,) = said
    else:
        named = sorted(int(found[:-2]) for one in said for found in SECONDS.findall(one))
        text = reason.replace("{}", f"{named[0]} s to {named[-1]} s")
    return f"{text} ({'; '.join(case for _, case in cases)})"


def machines(found):
    """[rows of a machine]."""
    names = dict.fromkeys(rows.slug(row["machine"]) for row in found)
    return [[row for row in found if rows.slug(row["machine"]) == name] for name in names]


def circumstances(found):
    """Where, when and how well measured, in words."""
    facts, last = found[0]["machine"], max(found, key=lambda row: row["date"])
    commits = ", ".join(dict.fromkeys(str(row["commit"]) for row in found))
    timed = [row for row in found if "skipped" not in row]
    rounds = [row["rounds"] for row in timed]
    lasting = f"medians of {min(rounds)} to {max(rounds)} rounds" if rounds else "nothing was timed"
    disturbed = max((row.get("others") or 0.0 for row in timed), default=0.0)
    peaks = [row["peak_gflops"] for row in timed if "peak_gflops" in row]
    peak = f", {max(peaks):.0f} GFLOP/s of float32 multiply-adds" if peaks else ""
    peers = ", ".join(f"{name} {version}" for name, version in last["versions"].items())
    return (
        f"{facts['cpu']}, {facts['cores']} cores, {facts['simd']}{peak}, {facts['blas']}, Python {facts['python']}; "
        f"{peers}; {last['date']}, commit {commits}. float32, {lasting}; "
        f"other processes took up to {disturbed:.0%} of the cores meanwhile."
    )


def arrays_of(found):
    """The rows without those of fresh processes, which have a time and no contender."""
    return [row for row in found if row["n"]]


def report(found):
    """Markdown of the cases of the bars and of those lost: for each machine where and when, bars, table, losses."""
    sections = []
    for here in machines(found):
        judged = {row_bar.case for row_bar in bars.BARS}
        shown = [row for row in arrays_of(here) if bars.case_of(row) in judged]
        parts = [circumstances(here)]
        parts += [bars.table(here)] if shown else []
        parts += [table(shown or arrays_of(here)), LEGEND]
        lost = losses(arrays_of(here))
        parts += ["\n".join(["Where ours is slower than another answer:", "", *lost])] if lost else []
        left_out = skipped(shown or here)
        parts += ["\n".join(left_out)] if left_out else []
        sections.append("\n\n".join(parts))
    return "\n\n".join(sections).rstrip() + "\n"


def full(found):
    """Markdown of all rows."""
    sections = ["# Benchmark results"]
    for here in machines(found):
        arrays = arrays_of(here)
        sections += [circumstances(here), "## Bars", bars.table(here)]
        for operation in dict.fromkeys(row["operation"] for row in arrays):
            sections += [f"## {operation}", table([row for row in arrays if row["operation"] == operation])]
        if grown := exponents.newest(here[0]["machine"]):
            sections += ["## How the time grows", exponents.table(exponents.read(grown))]
        sections += [LEGEND, "## Every row", details(here), "## Left out", "\n".join(skipped(here))]
    return "\n\n".join(sections).rstrip() + "\n"


def inserted(text, tables):
    """The text with the tables between its markers, in place of what was there."""
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise SystemExit(f"README.md must have the lines {START} and {END}, in this order; nothing was written")
    return f"{before}{START}\n{tables}{END}{after}"


def shown(path, found):
    """Markdown of a file of rows for the README: its machine's results, the first picture, and where all rows are."""
    base = path.resolve().relative_to(ROOT).with_suffix("") if path.resolve().is_relative_to(ROOT) else path.stem
    grown = exponents.newest(found[0]["machine"])
    growth = f"{exponents.sentence(exponents.read(grown))}\n\n" if grown else ""
    picture = f"![{plot.PICTURES[0].says}]({base}.svg)\n\n" if path.with_suffix(".svg").exists() else ""
    return f"{report(found)}\n{growth}{picture}[Every row, more pictures]({base}.md)\n"


def drawn(path, found):
    """[(file, what it shows)] of the pictures of a file of rows and of its machine's growth, drawn beside `path`."""
    pictures = plot.draw(arrays_of(found), path)
    if grown := exponents.newest(found[0]["machine"]):
        pictures += plot.draw(exponents.read(grown), path.with_name(grown.name), [exponents.PICTURE])
    return pictures


def tables_and_pictures(found, pictures):
    """Markdown of all rows, and of the pictures beside it."""
    seen = "".join(f"![{says}]({picture.name})\n\n" for picture, says in pictures)
    head, rest = full(found).split("\n\n", maxsplit=1)
    return f"{head}\n\n{seen}{rest}"


def write(path, found):
    """The tables and the pictures beside a file of rows, and its page."""
    pictures = drawn(path, found)
    text = tables_and_pictures(found, pictures)
    path.with_suffix(".md").write_text(text, encoding="utf-8")
    PAGES.mkdir(parents=True, exist_ok=True)
    svg = {picture.name: picture.read_text(encoding="utf-8") for picture, _ in pictures}
    (PAGES / f"{path.stem}.html").write_text(page.html(text, svg), encoding="utf-8")


def newest(paths):
    """The file with the latest date in its name."""
    return sorted(paths, key=lambda path: path.stem[-len("2026-01-01") :])[-1:]


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "results", nargs="*", type=Path, help="files of rows; the newest in benchmarks/results by default"
    )
    parser.add_argument("--readme", action="store_true", help="write the bars and the tables into README.md")
    chosen = parser.parse_args(arguments)
    paths = chosen.results or newest(rows.FOLDER.glob("*.jsonl"))
    found = {path: part for path in paths if (part := rows.read([path]))}
    if not found:
        raise SystemExit("benchmarks/results has no rows yet; `make bench` writes them")
    for path, part in found.items():
        write(path, part)
    tables = "\n".join(shown(path, part) for path, part in found.items())
    if chosen.readme:
        README.write_text(inserted(README.read_text(encoding="utf-8"), tables), encoding="utf-8")
    else:
        print(tables, end="")


if __name__ == "__main__":
    main()
