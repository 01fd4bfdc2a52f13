"""`max_bytes` holds: peak anonymous memory of a process that searches a mapped gallery much larger than it."""

import json
import subprocess
import sys

import numpy as np
import pytest

import judge
from crossmodal_fast.kernels.topk import reference as law

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc/self/status")

MIB = 1 << 20
QUERIES = 64
BLOCK = 4096  # rows written at a time
SAMPLE_S = 0.002

SEARCH = """
import json, sys, threading, time
import numpy as np
import crossmodal_fast as cmf

folder, metric, both = sys.argv[1], sys.argv[2], sys.argv[4] == "True"
max_bytes, sample_s = int(sys.argv[3]), float(sys.argv[5])
x, y = (np.load(f"{folder}/{name}.npy", mmap_mode="r") for name in "xy")

def anonymous():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon")) * 1024

cmf.topk(np.array(x[:2]), np.array(y[:64]), 2, metric)  # loads what a first call loads
before, peak, running = anonymous(), 0, True

def watch():
    global peak
    while running:
        peak = max(peak, anonymous())
        time.sleep(sample_s)

watcher = threading.Thread(target=watch)
watcher.start()
if both:
    (distances, indices), columns = cmf.topk_both(x, y, (10, 2), metric, max_bytes=max_bytes)
    held = sum(part.nbytes for part in columns)
else:
    distances, indices = cmf.topk(x, y, 10, metric, max_bytes=max_bytes)
    held = 0
running = False
watcher.join()
np.savez(f"{folder}/answer.npz", distances=distances, indices=indices)
print(json.dumps({"growth": peak - before, "held": held + distances.nbytes + indices.nbytes}))
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


def search(folder, metric, max_bytes, both=False):
    command = [
        sys.executable,
        "-W",
        "error",
        "-c",
        SEARCH,
        str(folder),
        metric,
        str(max_bytes),
        str(both),
        str(SAMPLE_S),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["growth"] - report["held"] < max_bytes, f"grew by {report['growth'] / MIB:.0f} MiB"
    x, y = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in "xy")
    with np.load(folder / "answer.npz") as answer:
        rows = answer["distances"][:2], answer["indices"][:2]
    judge.same_bits(rows, law.topk(x[:2], y, 10, metric), np.float32)


@pytest.mark.parametrize(
    ("metric", "both"), [("euclidean", False), ("cosine", False), ("cityblock", False), ("dot", True)]
)
def test_forty_thousand_rows_in_64_mib(metric, both, tmp_path):
    written(tmp_path, 40_000 if metric != "cityblock" else 4_000, 256)
    search(tmp_path, metric, 64 * MIB, both)


@pytest.mark.heavy
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_two_hundred_thousand_rows_in_256_mib(metric, tmp_path):
    written(tmp_path, 200_000, 768)
    search(tmp_path, metric, 256 * MIB)
