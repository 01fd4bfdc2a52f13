"""`max_bytes` holds: peak anonymous memory of a process that searches a mapped gallery much larger than it."""

import json
import subprocess
import sys

import numpy as np
import pytest

import judge
from crossmodal_fast.kernels.softmax import reference as softmax_law
from crossmodal_fast.kernels.topk import reference as law
from crossmodal_fast.kernels.within import reference as within_law

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc/self/status")

MIB = 1 << 20
QUERIES = 64
BLOCK = 4096  # rows written at a time
SAMPLE_S = 0.002

WATCHED = """
import json, sys, threading, time
import numpy as np
import crossmodal_fast as cmf

folder, metric, operation = sys.argv[1], sys.argv[2], sys.argv[4]
max_bytes, sample_s = int(sys.argv[3]), float(sys.argv[5])
x, y = (np.load(f"{folder}/{name}.npy", mmap_mode="r") for name in "xy")

def answer():
    if operation == "topk_both":
        rows, columns = cmf.topk_both(x, y, (10, 2), metric, max_bytes=max_bytes)
        return *rows, *columns
    if operation == "within":
        return cmf.within(x, y, np.load(f"{folder}/radius.npy"), metric, max_bytes=max_bytes, backend="numpy")
    if operation == "logsumexp":
        return cmf.logsumexp(x, y, metric, beta=3.0, axis="both", max_bytes=max_bytes)
    if operation == "transfer":
        return (cmf.transfer(x, y, max_bytes=max_bytes),)
    return cmf.topk(x, y, 10, metric, max_bytes=max_bytes)

def anonymous():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon")) * 1024

for backend in ("numpy", "numba"):  # loads what a first call loads, compiles what it compiles
    cmf.topk(np.array(x[:2]), np.array(y[:64]), 2, metric, backend=backend)
    cmf.topk_both(np.array(x[:2]), np.array(y[:64]), 2, metric, backend=backend)
    if operation == "logsumexp":
        cmf.logsumexp(np.array(x[:2]), np.array(y[:64]), metric, axis="both", backend=backend)
cmf.transfer(np.array(x[:64]), np.array(y[:64]))
before, peak, running = anonymous(), 0, True

def watch():
    global peak
    while running:
        peak = max(peak, anonymous())
        time.sleep(sample_s)

watcher = threading.Thread(target=watch)
watcher.start()
found = answer()
running = False
watcher.join()
np.savez(f"{folder}/answer.npz", *found)
print(json.dumps({"growth": peak - before, "held": sum(part.nbytes for part in found)}))
"""


def written(folder, n, d):
    """Queries and a gallery in two mapped files, written block by block; a few gallery rows are copies."""
    rng = np.random.default_rng(81)
    y = np.lib.format.open_memmap(folder / "y.npy", "w+", np.float32, (n, d))
    for start in range(0, n, BLOCK):
        y[start : start + BLOCK] = rng.standard_normal((min(BLOCK, n - start), d), np.float32)
    y[n - 3], y[n // 2] = y[5], y[5]
    np.save(folder / "x.npy", np.concatenate([y[5:6], rng.standard_normal((QUERIES - 1, d), np.float32)]))
    y.flush()


def watched(folder, metric, max_bytes, operation="topk"):
    """What the operation gave, in a process of its own that grew by less than `max_bytes` and the result."""
    arguments = [str(folder), metric, str(max_bytes), operation, str(SAMPLE_S)]
    command = [sys.executable, "-W", "error", "-c", WATCHED, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    grown = report["growth"] - report["held"]
    assert grown < max_bytes, f"grew by {grown / MIB:.0f} MiB beside a result of {report['held'] / MIB:.0f} MiB"
    with np.load(folder / "answer.npz") as answer:
        return [answer[name] for name in answer.files], report["held"]


def search(folder, metric, max_bytes, operation="topk"):
    (distances, indices, *_), _ = watched(folder, metric, max_bytes, operation)
    x, y = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in "xy")
    judge.same_bits((distances[:2], indices[:2]), law.topk(x[:2], y, 10, metric), np.float32)


@pytest.mark.parametrize(
    ("metric", "operation"),
    [
        ("euclidean", "topk"),
        pytest.param("cosine", "topk", marks=pytest.mark.heavy),
        ("cityblock", "topk"),
        ("dot", "topk_both"),
    ],
)
def test_forty_thousand_rows_in_64_mib(metric, operation, tmp_path):
    written(tmp_path, 40_000 if metric != "cityblock" else 4_000, 256)
    search(tmp_path, metric, 64 * MIB, operation)


@pytest.mark.parametrize("metric", ["euclidean", pytest.param("dot", marks=pytest.mark.heavy)])
def test_a_result_larger_than_the_workspace(metric, tmp_path):
    """`within`: pairs wait in the workspace, for several blocks of queries; some rows have more pairs than others."""
    written(tmp_path, 40_000, 16)
    x, y = (np.load(tmp_path / f"{name}.npy") for name in "xy")
    radius = np.full(QUERIES, {"euclidean": 5.5, "dot": 0.5}[metric])
    radius[[3, 40]] = np.inf if metric == "euclidean" else -np.inf
    np.save(tmp_path / "radius.npy", radius)
    (indptr, indices, distances), held = watched(tmp_path, metric, 12 * MIB, "within")
    assert held > 12 * MIB
    for row in (0, 3, QUERIES - 1):
        expected = within_law.within(x[row : row + 1], y, radius[row : row + 1], metric)
        part = slice(indptr[row], indptr[row + 1])
        judge.same_rows((indptr[row : row + 2] - indptr[row], indices[part], distances[part]), expected, np.float32)


def test_a_matrix_nearly_as_large_as_the_workspace(tmp_path):
    """`transfer`: M is mapped, and neither copied nor cast to be looked at."""
    written(tmp_path, 2048, 2048)
    (mapped,), _ = watched(tmp_path, "dot", 20 * MIB, "transfer")
    x, y = (np.load(tmp_path / f"{name}.npy") for name in "xy")
    judge.transfer_within_bound(mapped[:2], x[:2], y)


@pytest.mark.heavy
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_sums_of_scores_larger_than_the_workspace(metric, tmp_path):
    written(tmp_path, 40_000, 256)
    (rows, columns), _ = watched(tmp_path, metric, 64 * MIB, "logsumexp")
    x, y = (np.load(tmp_path / f"{name}.npy") for name in "xy")
    single = np.dtype(np.float32)
    for answer, some in (((rows[:2], None), (x[:2], y)), ((None, columns[:50]), (x, y[:50]))):
        law = [part if found is None else found for part, found in zip(_sums(*some, metric), answer, strict=True)]
        judge.log_sums_within_bound(law, *some, metric, single, beta=3.0)


def _sums(x, y, metric):
    return softmax_law.softmax(softmax_law.scores(x, y, metric), 3.0)


@pytest.mark.heavy
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_two_hundred_thousand_rows_in_256_mib(metric, tmp_path):
    written(tmp_path, 200_000, 768)
    search(tmp_path, metric, 256 * MIB)
