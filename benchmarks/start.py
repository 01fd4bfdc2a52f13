"""What a fresh process waits for: the import, and the first call on each path; measured in processes of their own.

Seconds, and by how many bytes the resident memory grew at most meanwhile, or None where the system does not tell.
"""

import json
import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from itertools import count

from shapes import OURS, NotTimed

CACHE = "CROSSMODAL_FAST_CACHE_DIR"
PEAK = """
def peak():
    try:
        lines = open("/proc/self/status").read().splitlines()
    except OSError:
        return None
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
def grown(before):
    return None if before is None else peak() - before
"""
SCRIPT = f"""
import json, sys, time
import numpy
{PEAK}
x, y = numpy.random.default_rng(0).standard_normal((2, 500, 64), dtype="float32")
before = peak()
began = time.perf_counter()
import crossmodal_fast
imported = time.perf_counter()
heavy = sorted({{"numba", "cupy"}} & set(sys.modules))
if sys.argv[1] != "none":
    crossmodal_fast.topk(x, y, 10, backend=sys.argv[1])
called = time.perf_counter()
seconds = {{"import": imported - began, "call": called - imported}}
print(json.dumps(seconds | {{"heavy": heavy, "memory": grown(before)}}))
"""

RANKINGS = f"""
import json, sys, time
import numpy
{PEAK}
rng = numpy.random.default_rng(0)
queries, documents = [f"q{{i}}" for i in range(2000)], numpy.array([f"d{{i}}" for i in range(100_000)])
run, qrels = {{}}, {{}}
for query in queries:
    found = documents[rng.choice(len(documents), 100, replace=False)].tolist()
    run[query] = dict(zip(found, rng.permutation(100) / 100))
    qrels[query] = dict.fromkeys([*rng.choice(found, 3, replace=False).tolist(), "not found"], 1)
wanted = ["map", "mrr", "ndcg@10", "recall@100", "precision@10"]
before = peak()
began = time.perf_counter()
%s
seconds = time.perf_counter() - began
print(json.dumps([seconds, grown(before), [float(values[name]) for name in wanted]]))
"""
MEASURING = {
    OURS: "from crossmodal_fast.evaluate import rankings; values = rankings(run, qrels, wanted)",
    "ranx": "import ranx; values = ranx.evaluate(ranx.Qrels(qrels), ranx.Run(run), wanted)",
}


def measured_rankings(contender):
    """(seconds of the import and of the measures of 2000 rankings of 100 documents, memory, their values)."""
    script = RANKINGS % MEASURING[contender]
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {CACHE: folder, "NUMBA_CACHE_DIR": folder}
        done = subprocess.run(
            [sys.executable, "-c", script], env=environment, check=False, capture_output=True, text=True
        )
    if done.returncode:
        *_, sentence = done.stderr.strip().splitlines()
        raise NotTimed(sentence) if "ModuleNotFoundError" in sentence else RuntimeError(done.stderr)
    return json.loads(done.stdout.strip().splitlines()[-1])


def measured(backend, cache):
    """Seconds of `import crossmodal_fast` after NumPy's and of the first `topk` after that, 500 x 500 x 64; memory."""
    environment = os.environ | {CACHE: cache}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, backend], env=environment, check=False, capture_output=True, text=True
    )
    if done.returncode:
        *_, sentence = done.stderr.strip().splitlines()
        raise NotTimed(sentence) if "BackendUnavailable" in sentence else RuntimeError(done.stderr)
    return json.loads(done.stdout)


def imported():
    """(seconds of the import alone, which must load no compiler, memory)."""
    found = measured("none", "")
    if found["heavy"]:
        raise AssertionError(f"the import must load neither numba nor cupy, got {', '.join(found['heavy'])}")
    return found["import"], found["memory"]


@contextmanager
def first_call(backend, state):
    """The function that gives (seconds of the first call, its imports and compilations included, memory)."""
    with tempfile.TemporaryDirectory() as folder:
        if state == "warm":
            measured(backend, folder)
        tried = count()

        def called():
            found = measured(backend, folder if state == "warm" else os.path.join(folder, str(next(tried))))
            return found["call"], found["memory"]

        yield called
