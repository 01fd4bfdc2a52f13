"""The call sites of `examples/dropin`, with their library and with ours in its place: seconds before and after.

    python benchmarks/dropin.py --data folder-of-stored-embeddings

A site whose library is absent is left out. Rows go to `results/<machine>-dropin-<date>.json`.
"""

import argparse
import importlib
import json
import sys
from pathlib import Path
from unittest import mock

from rows import FOLDER, commit, machine, rounded, slug, today, versions

SITES = {"classify_digits": "sklearn", "flat_index": "faiss", "semantic_search": "sentence_transformers"}
FROM = Path(__file__).parents[1] / "examples" / "dropin"


def seconds(site, words):
    """(before, after) of a call site, whose script judges the answers first."""
    with mock.patch.object(sys, "argv", [site, *words]):
        return importlib.import_module(site).main()


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, help="stored embeddings for semantic_search")
    given = parser.parse_args()
    sys.path.insert(0, str(FROM))
    words = {"semantic_search": ["--data", str(given.data)] if given.data else []}
    about = {"machine": machine(), "versions": versions(), "commit": commit(), "date": today()}
    rows = []
    for site, library in SITES.items():
        try:
            found = seconds(site, words.get(site, []))
        except ImportError as missing:
            found = print(f"{site} is left out: {missing}")
        if found:
            rows.append({"site": site, "library": library, "seconds before": found[0], "seconds after": found[1]})
    target = FOLDER / f"{slug(about['machine'])}-dropin-{about['date']}.json"
    rows = [{name: rounded(value) for name, value in row.items()} for row in rows]
    target.write_text(json.dumps({**about, "rows": rows}, indent=1) + "\n", encoding="utf-8")
    print(target)


if __name__ == "__main__":
    main()
