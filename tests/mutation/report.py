"""`survivors.md`: counts for each file, and every survivor with the reason why it is none, or why nobody misses it."""

import re
import subprocess
from pathlib import Path

from . import reasons
from .targets import ROOT, TARGETS

PAGE = Path(__file__).with_name("survivors.md")
HEAD = """# Planted faults that no test notices

Written by `make mutation` (`tests/mutation/run.py`), which plants one fault at a time in dispatch, validation and
certificate and runs the tests of the file; reasons stand in `tests/mutation/reasons.py`. A survivor without a reason
fails the run, a reason without a survivor too.

A run may be of some files, and renews their rows alone; after tests were added, one with `--left` tries survivors
alone. The commit is the last one that had changed the file or its tests when they were run, with a + where one of them
had changes that were not committed.

| file | commit | mutants | killed | left |
|---|---|---:|---:|---:|
"""
SECTION = re.compile(r"^## `(.+?)` at (\S+): (\d+) mutants, (\d+) killed, (\d+) left\n(.*?)(?=^## |\Z)", re.M | re.S)
KEY = re.compile(r"^- `(.+?)`: ", re.M)
NOT_RUN, UNKNOWN = "not run", "unknown"


def commit_of(target):
    """The last one that changed the file or its tests; a + where they differ from it."""
    paths = [target.name, *target.files()]
    found = _git("log", "-1", "--format=%h", "--", *paths)
    return found + ("+" if _git("status", "--porcelain", "--", *paths) else "") if found else UNKNOWN


def _git(*words):
    """What git says; nothing without it, or outside a clone."""
    try:
        done = subprocess.run(["git", "-C", str(ROOT), *words], check=False, capture_output=True, text=True)
    except OSError:
        return ""
    return "" if done.returncode else done.stdout.strip()


def survivors(target, page=PAGE):
    """Keys of a file's survivors on the page; None where they are of another state of the file."""
    for name, commit, *_, body in SECTION.findall(page.read_text(encoding="utf-8")):
        if name == target.name and not _git("diff", "--name-only", commit.rstrip("+"), "--", name) and _known(commit):
            return set(KEY.findall(body))
    return None


def _known(commit):
    return bool(_git("rev-parse", "--verify", "--quiet", commit.rstrip("+")))


def write(results, commits, page=PAGE, targets=TARGETS):
    """Renew the sections of the files in `results`, run at `commits`; those of other targets stay as they are."""
    known = {}
    if page.exists():
        for name, commit, *counts, body in SECTION.findall(page.read_text(encoding="utf-8")):
            known[name] = (commit, *map(int, counts), body.strip())
    for name, fates in results.items():
        left = [mutant for mutant, fate in fates.items() if fate in reasons.LEFT]
        lines = [f"- `{mutant.key}`: {reasons.of(name, mutant) or 'NO REASON'}" for mutant in left]
        known[name] = commits[name], len(fates), len(fates) - len(left), len(left), "\n".join(lines)
    run = {target.name: known[target.name] for target in targets if target.name in known}
    rows = [row(target.name, run.get(target.name, (NOT_RUN, "", "", ""))) for target in targets]
    total = [sum(entry[at] for entry in run.values()) for at in range(1, 4)]
    rows.append(f"| {len(run)} of {len(targets)} files | | {total[0]} | {total[1]} | {total[2]} |")
    sections = [
        f"## `{name}` at {commit}: {made} mutants, {killed} killed, {left} left\n\n{body}\n".rstrip() + "\n"
        for name, (commit, made, killed, left, body) in run.items()
    ]
    page.write_text(HEAD + "\n".join(rows) + "\n\n" + "\n".join(sections), encoding="utf-8")


def row(name, entry):
    commit, made, killed, left, *_ = entry
    return f"| `{name}` | {commit} | {made} | {killed} | {left} |"
