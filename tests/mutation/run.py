"""Mutation testing: `make mutation`, or `python tests/mutation/run.py [part of a file's name ...]` for some of TARGETS.

A server has imported NumPy, Numba and pytest, but nothing of ours. For each file it forks a child that collects the
file's tests and notes which of them run which of its lines. For each mutant inside a function that child forks again,
puts the changed bytecode in the place of the function's, and runs those tests, shortest first, until one fails. What is
run at import is changed as it is imported, in a fork of the server, and meets all tests of the file.

A mutant is killed by a failed test, by a crash, or by taking ten times as long as the tests do unchanged. Survivors,
each with its reason from `reasons.py`, go to `survivors.md`. One without a reason, or a reason without one, fails.

Needs no machine of its own, but time: a mutant takes about half a second of a core, one that survives all tests of its
lines. `survivors.md` keeps what it says of files that a run leaves out. When tests were added and a file is as it was,
`--left` tries its survivors alone: what one test has killed, more of them kill too.
"""

import argparse
import os
import pickle
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "benchmarks")]

from mutation import mutants, planting, reasons, report  # noqa: E402 - found since the line above
from mutation.forks import in_child  # noqa: E402
from mutation.targets import TARGETS  # noqa: E402
from mutation.trials import AT_IMPORT, SURVIVED, Stop, Trials, say  # noqa: E402

A_DAY = 86_400.0
KILLED = "killed before"


def everything(mutant):
    return True


def tried(target, chosen=everything):
    """Mutant -> what became of it."""
    source = target.path.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        answers = Path(folder) / "answers"
        said = in_child(lambda: _run(target, Trials(target, answers, chosen)), waiting=A_DAY)
        if not answers.is_file():
            raise SystemExit(f"{target.name}: its tests did not run unchanged ({said})")
        fates = pickle.loads(answers.read_bytes())
    found = {}
    for mutant in mutants.mutants(source):
        if chosen(mutant):
            fate = fates.get(mutant.number, AT_IMPORT)
            found[mutant] = _imported(target, source, mutant.number) if fate == AT_IMPORT else fate
    return found


def again(target):
    """`tried` for what survived before; the rest as it was."""
    made = mutants.mutants(target.path.read_text(encoding="utf-8"))
    before = report.survivors(target)
    if before is None or not before <= {mutant.key for mutant in made}:
        raise SystemExit(f"{target.name}: it has changed since it was run, or was not; run it without --left")
    return dict.fromkeys(made, KILLED) | tried(target, lambda mutant: mutant.key in before)


def _imported(target, source, number):
    """The fate of a mutant that is there from the import on."""

    def trial():
        planting.at_import(source, number, target.path)
        stop = Stop()
        status = _run(target, stop)
        return stop.first or (SURVIVED if status == 0 else f"pytest ended with {int(status)}")

    return in_child(trial, target.limit)


def _run(target, plugin):
    plugins = ["no:benchmark", "no:xdist", *(["interpreted"] if target.interpreted else [])]
    arguments = [part for name in plugins for part in ("-p", name)]
    return pytest.main(["-q", "-x", *arguments, *target.selection()], plugins=[plugin])


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("parts", nargs="*", help="only files whose names hold one of these")
    parser.add_argument("--key", default="", help="only mutants whose key holds this; writes nothing")
    parser.add_argument(
        "--left", action="store_true", help="only survivors on the page, of files that are as they were"
    )
    given = parser.parse_args()
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    os.chdir(ROOT)
    import numba  # noqa: F401 - in the server, for all children
    import scipy.sparse  # noqa: F401

    np.ones((2, 2)) @ np.ones((2, 2))
    results, unexplained = {}, []
    for target in TARGETS:
        if given.parts and not any(part in target.name for part in given.parts):
            continue
        began, commit = time.monotonic(), report.commit_of(target)
        fates = results[target.name] = again(target) if given.left else tried(target, lambda one: given.key in one.key)
        left = [mutant for mutant, fate in fates.items() if fate in reasons.LEFT]
        counts = f"{len(fates)} mutants, {len(fates) - len(left)} killed, {len(left)} left"
        say(f"{target.name}: {counts}; {(time.monotonic() - began) / 60:.1f} min")
        for mutant in left:
            reason = reasons.of(target.name, mutant)
            say(f"    {mutant.key}: {reason or 'NO REASON'}")
            unexplained += [mutant.key] if reason is None else []
        if not given.key:
            report.write({target.name: fates}, {target.name: commit})  # hours may come to an end before the last file
    if not given.key:
        unexplained += [f"no such survivor: {line}" for line in reasons.idle(results)]
    sys.exit("\n".join(unexplained) or None)


if __name__ == "__main__":
    main()
