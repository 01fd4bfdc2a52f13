"""The call sites of `examples/dropin`, with their library and with ours in its place: seconds before and after.

    python benchmarks/dropin.py --data folder-of-stored-embeddings

A site whose library is absent is left out. Rows go to `results/<machine>-dropin-<date>.json`, and as a table into
`examples/dropin/README.md`, between its markers.
"""

import argparse
import importlib
import json
import sys
from pathlib import Path
from unittest import mock

from rows import FOLDER, commit, machine, rounded, slug, today, versions

SITES = [  # the first is so small that NumPy searches for ours
    ("classify_digits", "sklearn", ["--copies", "10"]),
    ("classify_digits", "sklearn", ["--copies", "40"]),
    ("flat_index", "faiss", []),
    ("semantic_search", "sentence_transformers", []),
]
FROM = Path(__file__).parents[1] / "examples" / "dropin"
README, START, END = FROM / "README.md", "<!-- times -->\n", "<!-- end of times -->"
ROUNDS = 15  # medians of pairs: more than the scripts take by themselves


def seconds(site, words):
    """(before, after, ratio) of a call site, whose script judges the answers first."""
    with mock.patch.object(sys, "argv", [site, *words, "--rounds", str(ROUNDS)]):
        return importlib.import_module(site).main()


def table(stored):
    """Markdown of a file of rows."""
    lines = ["| script | library | before | after | times as fast |", "|---|---|---:|---:|---:|"]
    lines += [
        f"| `{row['site']}` | {row['library']} | {1e3 * row['seconds before']:.0f} ms "
        f"| {1e3 * row['seconds after']:.0f} ms | {row['ratio']:.2f} |"
        for row in stored["rows"]
    ]
    machine = stored["machine"]
    return "\n".join([*lines, "", f"{machine['cpu']}, {stored['date']}, commit {stored['commit']}.", ""])


def told(text, stored):
    """The README with the table between its markers."""
    before, _, rest = text.partition(START)
    _, _, after = rest.partition(END)
    return f"{before}{START}{table(stored)}{END}{after}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, help="stored embeddings for semantic_search")
    given = parser.parse_args()
    sys.path.insert(0, str(FROM))
    about = {"machine": machine(), "versions": versions(), "commit": commit(), "date": today()}
    rows = []
    for site, library, words in SITES:
        stored = ["--data", str(given.data)] if given.data and site == "semantic_search" else []
        try:
            found = seconds(site, [*words, *stored])
        except ImportError as missing:
            found = print(f"{site} is left out: {missing}")
        if found:
            before, after, ratio = found
            times = {"seconds before": before, "seconds after": after, "ratio": ratio}
            rows.append({"site": " ".join([f"{site}.py", *words]), "library": library, **times})
    target = FOLDER / f"{slug(about['machine'])}-dropin-{about['date']}.json"
    stored = {
        **about,
        "rounds": ROUNDS,
        "rows": [{name: rounded(value) for name, value in row.items()} for row in rows],
    }
    target.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")
    README.write_text(told(README.read_text(encoding="utf-8"), stored), encoding="utf-8")
    print(target)


if __name__ == "__main__":
    main()
