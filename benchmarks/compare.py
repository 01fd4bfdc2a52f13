"""`python benchmarks/compare.py [--cases=a,b] -- BASE`: this working tree against another revision, case by case.

Both are installed from their files in git into folders of their own, with kernel caches of their own, and run in two
processes that stay. Each answer is held against float64 first. Then they take turns, one call each, the order changed
every round: a ratio is that of two calls next to each other, so that what slows the machine down slows both. Above 1
the working tree is faster. All that was made is removed at the end.
"""

import argparse
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import numpy as np
from shapes import BATCHES, FULL, LARGE, PAIRS, SINGLE, TOOLKIT, Case, search
from words import milliseconds

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ("crossmodal_fast", "kernels")
USUAL = (
    SINGLE, BATCHES[0], BATCHES[2], search(500, 10_000, 256), search(500, 10_000, 256, 100), search(2000, 10_000, 1024),
    Case("topk_both", 1000, 20_000, 256, k=10), PAIRS[0], Case("transfer", 20_000, 512, 768),
)  # fmt: skip
ANYBODY = ("-c", "user.name=nobody", "-c", "user.email=nobody@localhost")  # of what `git stash create` makes
SECONDS, LEAST_ROUNDS, MOST_ROUNDS = 4.0, 5, 15  # of a case, pauses not counted
ALIKE = 0.03  # of a ratio: less is no difference worth a word
QUARTERS = (0.25, 0.5, 0.75)


def git(*words):
    """What git says, or an explanation instead of its error."""
    done = subprocess.run(["git", "-C", str(ROOT), *ANYBODY, *words], check=False, capture_output=True)
    if done.returncode:
        *_, sentence = ["", *done.stderr.decode().strip().splitlines()]
        raise SystemExit(f"git {words[0]} failed: {sentence}")
    return done.stdout


def commit_of(base):
    """The full name of a commit."""
    words = ["git", "-C", str(ROOT), "rev-parse", "--verify", "--quiet", "--end-of-options", f"{base}^{{commit}}"]
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"BASE must name a commit of this clone, such as HEAD~1, a tag or a branch, got {base!r}")
    return done.stdout.strip()


def working_tree():
    """(a commit of the tracked files as they are, what is to be known about it): nothing in the tree changes."""
    loose = git("ls-files", "--others", "--exclude-standard", "--", *SOURCES).decode().split()
    if loose:
        raise SystemExit(
            f"all files of {' and '.join(SOURCES)} must be known to git, got {', '.join(loose)}; `git add` them first"
        )
    changed = git("stash", "create").decode().strip()
    head = git("rev-parse", "HEAD").decode().strip()
    return (changed, f"{head[:9]} with changes that are not committed") if changed else (head, head[:9])


def chosen(names):
    """The cases whose names contain one of the words; the usual ones without any."""
    if not names:
        return list(USUAL)
    known = dict.fromkeys((*USUAL, *FULL, *TOOLKIT, *LARGE))
    for word in names:
        if not any(word in case.name for case in known):
            raise SystemExit(f"CASES must be parts of names of cases, such as {USUAL[3].name}, got {word!r}")
    return [case for case in known if any(word in case.name for word in names)]


def installed(commit, folder):
    """Install the files of a commit into `folder/site`."""
    source = folder / "source"
    source.mkdir(parents=True)
    with zipfile.ZipFile(io.BytesIO(git("archive", "--format=zip", commit))) as files:
        files.extractall(source)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    words = [*pip, "--target", str(folder / "site"), str(source)]
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    if done.returncode:
        *_, sentence = ["", *done.stderr.strip().splitlines()]
        raise SystemExit(f"{commit[:9]} must install, got: {sentence}")
    return folder / "site"


class Side:
    """A process in which one revision waits for orders: `revision.py`."""

    def __init__(self, name, process):
        self.name, self.process = name, process

    def ask(self, **order):
        """Its answer to an order."""
        try:
            self.process.stdin.write(json.dumps(order) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise SystemExit(f"the process of {self.name} ended, with exit code {self.process.wait()}")
        return json.loads(line)


@contextmanager
def started(name, site, cache):
    """The side of what is installed in `site`; its process ends with the block."""
    environment = os.environ | {"PYTHONPATH": str(site), "CROSSMODAL_FAST_CACHE_DIR": str(cache)}
    words = [sys.executable, str(Path(__file__).with_name("revision.py"))]
    process = subprocess.Popen(
        words, env=environment, cwd=site, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        start_new_session=True,  # Ctrl-C is for this process, which ends them
    )  # fmt: skip
    try:
        yield Side(name, process)
    finally:
        process.kill()  # first: what is still to be written to it then raises at `close`, and matters to nobody
        process.wait()
        with suppress(BrokenPipeError):
            process.stdin.close()
        process.stdout.close()


def turns(case, sides):
    """The row of a case: both ready, their answers right, then one call each in turns."""
    ready = [side.ask(case=case.name) for side in sides]
    for side, state in zip(sides, ready, strict=True):
        if "failed" in state:
            return {"case": case.name, "failed": f"{side.name}: {state['failed']}"}
    both = sum(state["seconds"] for state in ready)
    seconds = [[], []]
    for turn in range(max(LEAST_ROUNDS, min(MOST_ROUNDS, int(SECONDS / both)))):
        for place in (0, 1) if turn % 2 == 0 else (1, 0):
            seconds[place].append(sides[place].ask(time=True)["seconds"])
    digests = [state["bits"] for state in ready]
    same = None if None in digests else digests[0] == digests[1]
    return {"case": case.name, "same": same} | ratios(*seconds)


def ratios(base, tree):
    """Columns of two series of seconds, round by round."""
    low, middle, high = np.quantile(np.array(base) / np.array(tree), QUARTERS)
    return {
        "base_ms": 1e3 * float(np.median(base)),
        "tree_ms": 1e3 * float(np.median(tree)),
        "ratio": float(middle),
        "low": float(low),
        "high": float(high),
        "rounds": len(base),
    }


def verdict(row):
    """In a word: only what the middle half of the rounds agrees on."""
    if row["low"] > 1 + ALIKE:
        return "faster"
    return "slower" if row["high"] < 1 - ALIKE else ""


BITS = {True: "same", False: "differ", None: ""}  # nothing where an answer has none to compare
HEAD = ("case", "base", "tree", "base / tree", "middle half", "rounds", "bits", "")


def cells(row):
    if "failed" in row:
        return row["case"], row["failed"]
    return (
        row["case"], milliseconds(row["base_ms"]), milliseconds(row["tree_ms"]), f"{row['ratio']:.3f}",
        f"{row['low']:.3f} to {row['high']:.3f}", str(row["rounds"]), BITS[row["same"]], verdict(row),
    )  # fmt: skip


def printed(line, width):
    print(f"{line[0]:{width}}" + "".join(f"  {cell:>16}" for cell in line[1:]).rstrip(), flush=True)


def compare(commits, cases):
    """Print a line for each case; the rows of those that failed."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="compare-")))
        sides = []
        for name, commit in commits.items():
            site = installed(commit, folder / name)
            sides.append(stack.enter_context(started(name, site, folder / name / "cache")))
        width = max(len(case.name) for case in cases)
        printed(HEAD, width)
        failed = []
        for case in cases:
            row = turns(case, sides)
            printed(cells(row), width)
            failed += [row] if "failed" in row else []
        return failed


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("base", help="the revision to compare with")
    parser.add_argument("--cases", default="", help="parts of names of cases, with commas between")
    given = parser.parse_args(arguments)
    if not shutil.which("git"):
        raise SystemExit("a comparison needs git, which is not installed")
    cases = chosen([word for word in given.cases.split(",") if word])
    base, (tree, says) = commit_of(given.base), working_tree()
    print(f"base: {base[:9]}; tree: {says}")
    failed = compare({"base": base, "tree": tree}, cases)
    if failed:
        names = ", ".join(row["case"] for row in failed)
        raise SystemExit(f"{len(failed)} of {len(cases)} cases failed and were not timed: {names}")


if __name__ == "__main__":
    main()
