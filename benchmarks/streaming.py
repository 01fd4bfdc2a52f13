"""Searches in a gallery on disk: the memory that 20 GB take, and the rate beside those of the disk and of the engine.

    python benchmarks/streaming.py memory --folder /var/tmp      a file of 20 GB
    python benchmarks/streaming.py rate --folder /var/tmp        4 GB of real bytes, read from the disk each time

A row goes to `results/<machine>-streaming-<date>.json`.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from rows import FOLDER, commit, machine, rounded, slug, versions

import crossmodal_fast as cmf
from crossmodal_fast import streaming
from crossmodal_fast.streaming._sources import Source

D, K = 768, 10
LARGE_BYTES, REAL_BYTES = 20 * 10**9, 3 * 10**9
MAX_BYTES = 512 << 20
ROUNDS = 3
TARGET = 0.8

WAYS = (("topk", "path"), ("topk", "memmap"), ("within", "path"), ("ranks", "path"))

PEAK = """
import json, resource, sys
import numpy as np
from crossmodal_fast import streaming
search, way, folder, k, max_bytes = *sys.argv[1:4], *map(int, sys.argv[4:])
queries, path, nearest = (f"{folder}/{name}" for name in ("queries.npy", "gallery.npy", "nearest.npz"))
gallery = path if way == "path" else np.load(path, mmap_mode="r")
if search == "topk":
    distances, answer = streaming.topk(queries, gallery, k, max_bytes=max_bytes)
    np.savez(nearest, farthest=distances[:, -1], last=answer[:, -1])
elif search == "within":
    radius = np.nextafter(np.load(nearest)["farthest"], np.float32(np.inf))
    indptr, answer, _ = streaming.within(queries, gallery, radius, max_bytes=max_bytes)
    answer = np.split(answer, indptr[1:-1])
else:
    answer = streaming.ranks(queries, gallery, np.load(nearest)["last"], max_bytes=max_bytes)
try:
    with open("/proc/self/status") as status:  # ru_maxrss begins with that of who started it
        peak = next(1024 * int(line.split()[1]) for line in status if line.startswith("VmHWM"))
except OSError:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
print(json.dumps({"peak_bytes": peak,
                  "answer": [np.asarray(row).tolist() for row in answer]}))
"""


def real_file(path, size):
    """Normal numbers; one block of them, turned by a feature each time, since to draw 20 GB takes minutes."""
    rows, step = size // (4 * D), 1 << 15
    block = np.random.default_rng(2).standard_normal((step, D), dtype=np.float32)
    with open(path, "wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (rows, D)}
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, rows, step):
            file.write(np.roll(block, start // step, axis=1)[: rows - start].data)
        file.flush()
        os.fsync(file.fileno())


def forget(path):
    """Out of the page cache: the next read is one of the disk."""
    with open(path, "rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def seconds(call):
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def memory(folder, m):
    queries = np.random.default_rng(0).standard_normal((m, D), dtype=np.float32)
    np.save(folder / "queries.npy", queries)
    real_file(folder / "gallery.npy", LARGE_BYTES)  # of zeros alone, in a sparse file, all would tie
    nearest = None
    for search, way in WAYS:  # within finds the pairs of topk, and ranks the place of the last of them
        command = [sys.executable, "-c", PEAK, search, way, str(folder), str(K), str(MAX_BYTES)]
        began = time.perf_counter()
        told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        took = time.perf_counter() - began
        nearest = nearest or told["answer"]
        assert told["answer"] == ([K] * m if search == "ranks" else nearest), f"{search} disagrees with topk"
        yield {
            "what": f"peak memory of {search}, gallery as {way}",
            "gallery_bytes": LARGE_BYTES,
            "m": m,
            "seconds": took,
            "peak_bytes": told["peak_bytes"],
            "met": told["peak_bytes"] < 1 << 30,
        }


def rate(folder, m):
    path, queries = folder / "gallery.npy", np.random.default_rng(0).standard_normal((m, D), dtype=np.float32)
    real_file(path, REAL_BYTES)
    size = path.stat().st_size
    held = np.load(path)

    def disk():
        for _ in Source("gallery", path).parts(lambda: (16 << 20) // (4 * D)):
            pass

    def engine():
        return cmf.topk(queries, held, K, max_bytes=MAX_BYTES // 2)

    def streamed():
        return streaming.topk(queries, path, K, max_bytes=MAX_BYTES)

    for part, other in zip(streamed(), engine(), strict=True):  # compiles, and no timing before agreement
        assert (part == other).all()
    took = {name: [] for name in ("disk", "engine", "streamed")}
    cpu = {name: [] for name in took}
    for _ in range(ROUNDS):
        for name, call in (("disk", disk), ("engine", engine), ("streamed", streamed)):
            forget(path)
            began = time.process_time()
            took[name].append(seconds(call))
            cpu[name].append(time.process_time() - began)
    rates = {name: size / statistics.median(each) for name, each in took.items()}
    slower = [max(each) for each in zip(took["disk"], took["engine"], strict=True)]
    share = statistics.median(least / all_ for least, all_ in zip(slower, took["streamed"], strict=True))
    yield {
        "what": "rate against the slower of disk and engine",
        "gallery_bytes": size,
        "m": m,
        **{f"{name}_bytes_per_second": value for name, value in rates.items()},
        **{f"{name}_cpu_seconds": statistics.median(each) for name, each in cpu.items()},
        "share": share,
        "target": TARGET,
        "met": share >= TARGET,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["memory", "rate"])
    parser.add_argument("--folder", type=Path, help="on the disk that is to be measured")
    parser.add_argument("--queries", type=int, nargs="+", default=[16, 256])
    parser.add_argument("--dry", action="store_true", help="print the rows, keep none")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        for m in given.queries:
            for row in globals()[given.what](Path(folder), m):
                row |= {"d": D, "k": K, "max_bytes": MAX_BYTES, "machine": machine(), "versions": versions()}
                row |= {"commit": commit(), "date": f"{datetime.now(UTC):%Y-%m-%d}"}
                line = json.dumps({name: rounded(value) for name, value in row.items()})
                print(line, flush=True)
                if not given.dry:
                    keep(row)


def keep(row):
    target = FOLDER / f"{slug(row['machine'])}-streaming-{row['date']}.json"  # report.py takes each .jsonl for its own
    before = json.loads(target.read_text(encoding="utf-8")) if target.exists() else []
    rows = [*before, {name: rounded(value) for name, value in row.items()}]
    target.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
