"""`survivors.md`: counts for each file, and every survivor with the reason why it is none, or why nobody misses it."""

import re
from pathlib import Path

from . import reasons

PAGE = Path(__file__).with_name("survivors.md")
HEAD = """# Planted faults that no test notices

Written by `make mutation` (`tests/mutation/run.py`), which plants one fault at a time in dispatch, validation and
certificate and runs the tests of the file; reasons stand in `tests/mutation/reasons.py`. A survivor without a reason
fails the run, a reason without a survivor too.

| file | mutants | killed | left |
|---|---:|---:|---:|
"""
SECTION = re.compile(r"^## `(.+?)`: (\d+) mutants, (\d+) killed, (\d+) left\n(.*?)(?=^## |\Z)", re.M | re.S)


def write(results, page=PAGE):
    """Renew the sections of the files in `results`; those of other files stay as they are."""
    known = {}
    if page.exists():
        for name, *counts, body in SECTION.findall(page.read_text(encoding="utf-8")):
            known[name] = (*map(int, counts), body.strip())
    for name, fates in results.items():
        left = [mutant for mutant, fate in fates.items() if fate in reasons.LEFT]
        lines = [f"- `{mutant.key}`: {reasons.of(name, mutant) or 'NO REASON'}" for mutant in left]
        known[name] = len(fates), len(fates) - len(left), len(left), "\n".join(lines)
    total = [sum(entry[at] for entry in known.values()) for at in range(3)]
    rows = [f"| `{name}` | {made} | {killed} | {left} |" for name, (made, killed, left, _) in sorted(known.items())]
    rows.append(f"| all | {total[0]} | {total[1]} | {total[2]} |")
    sections = [
        f"## `{name}`: {made} mutants, {killed} killed, {left} left\n\n{body}\n".rstrip() + "\n"
        for name, (made, killed, left, body) in sorted(known.items())
    ]
    page.write_text(HEAD + "\n".join(rows) + "\n\n" + "\n".join(sections), encoding="utf-8")
