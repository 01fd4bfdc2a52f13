"""Run the test suites of SciPy and scikit-learn with ours in the place of their functions: `make peers`.

    python tests/peers/run.py [--backend numpy] [suite ..]

Each suite is the one that the installed package ships and runs in a process of its own. Printed is how many tests
passed, failed, were skipped by themselves, were excluded (with the reasons), and in how many of them one of our kernels
ran. The exit code is 0 where all suites that are there passed.
"""

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from suites import MOST, SUITES  # noqa: E402 - beside this file

COUNTS = {
    "passed": "passed",
    "failed": "failed",
    "skipped": "skipped",
    "xskipped": "failed as they expect",
    "xpassed": "passed against what they expect",
    "excluded": "excluded",
    "ours": "on our kernels",
}


def shipped(module):
    """Whether a module is installed; some distributions leave out tests."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def run(name, backend):
    """What the plugin counted while the suite ran, and what pytest said."""
    suite = SUITES[name]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        environment = {
            **os.environ,
            "SKLEARN_RUN_FLOAT32_TESTS": "1",
            "PEERS_SUITE": name,
            "PEERS_BACKEND": backend,
            "PEERS_REPORT": str(report),
            "PYTHONPATH": os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])]),
        }
        (Path(folder) / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")  # not that of this project
        command = [
            sys.executable, "-m", "pytest", "-p", "plugin", "-p", "no:cacheprovider", "-q", "--tb=short",
            "-c", str(Path(folder) / "pytest.ini"), "--pyargs", suite.module,
            "-k", suite.chosen,
        ]  # fmt: skip
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        counted = json.loads(report.read_text(encoding="utf-8")) if report.exists() else {"failures": ["pytest itself"]}
    return counted, done.stdout + done.stderr


def wrong(name, counted):
    """Sentences on what is not as it should be."""
    suite = SUITES[name]
    yield from (f"failed: {test}" for test in counted["failures"])
    yield from (f"excluded, but there is no such test: {test}" for test in counted.get("unused", ()))
    if not counted.get("ours"):
        yield "no test reached one of our kernels"
    if len(suite.excluded) > MOST:
        yield f"{len(suite.excluded)} exclusions, at most {MOST} are allowed"


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("suites", nargs="*", metavar="suite", help=f"of {', '.join(SUITES)}; all, if none is named")
    parser.add_argument("--backend", default="auto", help="of all calls")
    given = parser.parse_args(arguments)
    for name in given.suites:
        if name not in SUITES:
            parser.error(f"suite must be one of {', '.join(SUITES)}, got {name!r}")
    bad = False
    for name in given.suites or SUITES:
        suite = SUITES[name]
        if not shipped(suite.module):
            print(f"{name}: {suite.module} is not installed")
            continue
        counted, said = run(name, given.backend)
        print(f"{name}: {', '.join(f'{counted[key]} {label}' for key, label in COUNTS.items() if counted.get(key))}")
        for test, reason in suite.excluded.items():
            print(f"  excluded {test}: {reason}")
        faults = list(wrong(name, counted))
        for fault in faults:
            print(f"  {fault}")
        if faults:
            bad = True
            print(said)
    return int(bad)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
