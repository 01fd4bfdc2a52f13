"""`make coverage`: branch coverage of the package and of the kernels, compiled and as Python.

Two passes, whose lines are put together. The first runs the tests with an empty folder of kernels, so that what emits
LLVM IR runs. The second runs calls of a few rows with `-p interpreted`: kernels on Numba as the Python they are
written in, whose lines no tracer sees once they are machine code. (NUMBA_DISABLE_JIT does not do that: `jit.kernel`
compiles all the same, and intrinsics cannot run without.) Nothing is left out of the count.

What neither pass sees: what LLVM makes of the IR of simd.py, lanes.py, tile.py, canonical.py and bits.py, whose Python
only emits it; and on a machine without a GPU what tiles/cuda/driver.py and staging.py do with CuPy itself, in whose
place the tests have an emulator.

`python tests/covered.py [test file ...]` runs the first pass over some files only and looks at what there is.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "build" / "coverage"
LEAST = 95.0  # per cent of statements and branches, of the package and of the kernels
INTERPRETED = ["tests/test_few_rows.py"]  # tests with more rows, of ranks or softmax, were not through in ten minutes
UNTRACED = [  # a tracer takes time, and its own file is one more where none may grow
    "tests/test_import.py::test_import_is_quick", "tests/test_files_whole.py::test_file_limit",
]  # fmt: skip
COVERAGE = [sys.executable, "-m", "coverage"]


def measured(arguments, name, cache, python=()):
    """Run pytest under coverage; its exit status."""
    command = [*COVERAGE, "run", f"--data-file={DATA / name}", "-m", "pytest", "-n", "auto", "--dist", "worksteal"]
    settings = {"CROSSMODAL_FAST_CACHE_DIR": cache, "OPENBLAS_NUM_THREADS": "1"}
    skipped = [f"--deselect={name}" for name in UNTRACED]
    return subprocess.run([*command, *python, *skipped, *arguments], cwd=ROOT, env=os.environ | settings).returncode


def folder(path):
    """Where a file belongs in the table: a folder of the package, an operation, or the engine."""
    parts = Path(path).parts
    return "/".join(parts[: min(len(parts) - 1, 3 if "cuda" in parts else 2)])


def shares(files):
    """Folder, and "crossmodal_fast", "kernels" and "all" -> (covered, all) statements and branches."""
    covered, everything = Counter(), Counter()
    for path, found in files.items():
        summary = found["summary"]
        for name in {folder(path), Path(path).parts[0], "all"}:
            covered[name] += summary["covered_lines"] + summary["covered_branches"]
            everything[name] += summary["num_statements"] + summary["num_branches"]
    return {name: (covered[name], total) for name, total in sorted(everything.items()) if total}


def table(found):
    """A line for each folder."""
    width = max(map(len, found))
    return [
        f"{name:<{width}} {100 * part / total:6.1f} %  {total - part:5} left" for name, (part, total) in found.items()
    ]


def too_little(found):
    """A sentence for each side below LEAST."""
    for name in ("crossmodal_fast", "kernels"):
        part, total = found.get(name, (0, 1))
        if 100 * part < LEAST * total:
            yield f"{name}: coverage must be at least {LEAST:g} %, got {100 * part / total:.1f} %"


def report():
    """Put the passes together, print the tables; the exit status."""
    together = DATA / "all"
    pieces = sorted(str(path) for path in DATA.glob("data.*"))
    subprocess.run([*COVERAGE, "combine", "-q", "--keep", f"--data-file={together}", *pieces], cwd=ROOT, check=True)
    written = DATA / "all.json"
    subprocess.run([*COVERAGE, "json", "-q", f"--data-file={together}", "-o", str(written)], cwd=ROOT, check=True)
    subprocess.run(
        [*COVERAGE, "report", "--skip-covered", "--show-missing", f"--data-file={together}"], cwd=ROOT, check=True
    )
    found = shares(json.loads(written.read_text(encoding="utf-8"))["files"])
    print("\n".join(["", *table(found), *too_little(found)]))
    return int(any(too_little(found)))


def main(files):
    if not files:
        shutil.rmtree(DATA, ignore_errors=True)
    DATA.mkdir(parents=True, exist_ok=True)
    failed = 0
    with tempfile.TemporaryDirectory() as cache:
        failed |= measured(files, "data.compiled", cache)
        if not files:
            failed |= measured(INTERPRETED, "data.interpreted", cache, ["-p", "interpreted"])
    return report() or failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
