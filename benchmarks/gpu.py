"""`python benchmarks/gpu.py [--results FOLDER] [--quick]`: topk on the GPU by stage, beside torch and CuPy.

Needs numpy, numba, cupy and, for its peers, torch; not the project's environment, nor a network. Every answer is
compared with float64 for a sample of queries before its time counts. Arrays of the peers lie on the device; ours is
timed from host arrays, and again from rows that are there.
"""

import argparse
import gc
import json
import subprocess
import sys
import time
from collections import defaultdict
from datetime import date
from functools import partial
from pathlib import Path
from statistics import median

import checkout  # before the package
import cupy as cp
import gpu_table
import numpy as np

import crossmodal_fast as cmf
from crossmodal_fast.kernels.tiles.cuda import driver as drivers

FOLDER = Path(__file__).parent / "results"
CASES = (
    (2000, 100_000, 768, 10),
    (64, 1_000_000, 768, 10),
    (10_000, 1_000_000, 128, 10),
    (10_000, 1_000_000, 768, 100),
)
SAMPLE, BLOCK = 32, 1000  # queries whose answers are checked; queries of a peer at a time
SECONDS, MOST = 4.0, 5  # of repetitions
BYTES = 48 << 30
CURRENT = cp.cuda.get_current_stream


class Staged(drivers.Cupy):
    """The driver with two events around whatever it launches; what runs beside each other is counted in full."""

    def __init__(self):
        super().__init__()
        self.events = []

    def _launched(self, stream, kernel, *rest):
        return self._timed(stream, kernel, lambda: super(Staged, self)._launched(stream, kernel, *rest))

    def gemm(self, *operands):
        self._timed(CURRENT(), "gemm", lambda: super(Staged, self).gemm(*operands))

    def _timed(self, stream, name, run):
        started, stopped = cp.cuda.Event(), cp.cuda.Event()
        started.record(stream)
        done = run()
        stopped.record(stream)
        self.events.append((name, started, stopped))
        return done

    def milliseconds(self):
        cp.cuda.Device().synchronize()
        spent = defaultdict(float)
        for name, started, stopped in self.events:
            spent[name] += cp.cuda.get_elapsed_time(started, stopped)
        return dict(spent)


def timed(call):
    """(seconds of every round, answer), the first call not counted."""
    answer, seconds = call(), []
    cp.cuda.Device().synchronize()
    while len(seconds) < MOST and sum(seconds) < SECONDS:
        began = time.perf_counter()
        answer = call()
        cp.cuda.Device().synchronize()
        seconds.append(time.perf_counter() - began)
    return seconds, answer


def truth(x, y, k):
    """The k best of a sample of queries in float64."""
    value, index = np.empty((len(x), 0)), np.empty((len(x), 0), np.int64)
    for start in range(0, len(y), 100_000):
        score = cp.asnumpy(x.astype(cp.float64) @ y[start : start + 100_000].astype(cp.float64).T)
        value = np.hstack([value, score])
        index = np.hstack([index, np.broadcast_to(np.arange(start, start + score.shape[1]), score.shape)])
        order = np.argsort(-value, axis=1, kind="stable")[:, :k]
        value, index = np.take_along_axis(value, order, axis=1), np.take_along_axis(index, order, axis=1)
    return index


def ours(x, y, k):
    """From host arrays, copies included."""
    host_x, host_y = cp.asnumpy(x), cp.asnumpy(y)
    return lambda: cmf.topk(host_x, host_y, k, "dot", backend="cuda", max_bytes=BYTES, check_finite=False)[1]


def resident(x, y, k):
    """A `Gallery` that is on the device, queries and answers on the host."""
    gallery, host_x = cmf.Gallery(cp.asnumpy(y), "dot"), cp.asnumpy(x)
    return lambda: gallery.topk(host_x, k, backend="cuda", max_bytes=BYTES, check_finite=False)[1]


def by_torch(kind):
    def prepared(x, y, k):
        import torch

        torch.backends.cuda.matmul.allow_tf32 = kind == "tf32"
        left, right = (torch.from_dlpack(rows) for rows in (x, y))
        if kind == "fp16":
            left, right = left.half(), right.half()

        def call():
            return torch.cat([torch.topk(part @ right.T, k)[1] for part in left.split(BLOCK)]).cpu().numpy()

        return call

    return prepared


def by_cupy(x, y, k):
    def block(rows):
        score = rows @ y.T
        best = cp.argpartition(-score, k - 1, axis=1)[:, :k]
        return cp.asnumpy(cp.take_along_axis(best, cp.argsort(-cp.take_along_axis(score, best, 1), axis=1), 1))

    return lambda: np.vstack([block(x[at : at + BLOCK]) for at in range(0, len(x), BLOCK)])


def by_faiss(x, y, k):
    """FAISS with its rows on the GPU, as ours; `faiss-cpu` has none."""
    import faiss

    if not hasattr(faiss, "GpuIndexFlatIP"):
        raise ImportError("this FAISS is for the CPU")
    index, host_x = faiss.GpuIndexFlatIP(faiss.StandardGpuResources(), x.shape[1]), cp.asnumpy(x)
    index.add(cp.asnumpy(y))
    return lambda: index.search(host_x, k)[1]


def by_cuvs(x, y, k):
    from cuvs.neighbors import brute_force

    index = brute_force.build(y, metric="inner_product")
    return lambda: cp.asnumpy(cp.asarray(brute_force.search(index, x, k)[1]))


CONTENDERS = {
    "crossmodal_fast cuda, host arrays": ours,
    "crossmodal_fast cuda, prepared": resident,
    **{f"torch {kind} matmul + topk": by_torch(kind) for kind in ("fp32", "tf32", "fp16")},
    "cupy fp32 matmul + argpartition": by_cupy,
    "FAISS on the GPU": by_faiss,
    "cuVS brute force": by_cuvs,
}


def yardsticks():
    """TFLOP/s of cuBLAS in fp16, 8192 cubed, and GB/s of a copy on the device, read and written."""
    x, y = (cp.random.standard_normal((8192, 8192), dtype=cp.float32).astype(cp.float16) for _ in range(2))
    out, driver = cp.empty((8192, 8192), cp.float16), drivers.Cupy()
    product = median(timed(lambda: [driver.gemm(x, y, out, 2.0**-10) for _ in range(20)])[0]) / 20
    source = cp.empty(1 << 31, cp.uint8)
    target = cp.empty_like(source)
    copy = median(timed(lambda: [cp.copyto(target, source) for _ in range(20)])[0]) / 20
    return {"fp16_tflops": 2 * 8192**3 / product / 1e12, "copy_gbs": 2 * source.nbytes / copy / 1e9}


def machine(commit=None):
    properties = cp.cuda.runtime.getDeviceProperties(0)
    asked = ["git", "rev-parse", "--short", "HEAD"]
    found = subprocess.run(asked, cwd=checkout.ROOT, capture_output=True, text=True, check=False).stdout.strip()
    return {
        "gpu": properties["name"].decode(), "driver": cp.cuda.runtime.driverGetVersion(),
        "runtime": cp.cuda.runtime.runtimeGetVersion(), "cupy": cp.__version__, "numpy": np.__version__,
        "python": sys.version.split()[0], "commit": commit or found, "date": date.today().isoformat(),
    }  # fmt: skip


def rows_of(case):
    (m, n, d, k), yardstick = case, yardsticks()  # now: a card that has grown warm is slower
    cp.random.seed(0)
    x, y = (cp.random.standard_normal((rows, d), dtype=cp.float32) for rows in (m, n))
    expected = truth(x[:SAMPLE], y, k)
    release()
    for name, prepare in CONTENDERS.items():
        row = {"m": m, "n": n, "d": d, "k": k, "contender": name}
        try:
            before = cp.cuda.runtime.memGetInfo()[0]
            rounds, answer = timed(prepare(x, y, k))
            held, seconds = before - cp.cuda.runtime.memGetInfo()[0], median(rounds)
            wrong = sum(len(set(a) - set(b)) for a, b in zip(answer[:SAMPLE].tolist(), expected.tolist(), strict=True))
            tflops = 2 * m * n * d / seconds / 1e12
            row |= {"ms": 1e3 * seconds, "least_ms": 1e3 * min(rounds), "most_ms": 1e3 * max(rounds)}
            row |= {"rounds": len(rounds), "device_mb": held / 1e6, "wrong": wrong, "of": SAMPLE * k, "tflops": tflops}
            row |= {"of_fp16": tflops / yardstick["fp16_tflops"], **yardstick}
            if prepare is resident:
                staged, call = Staged(), prepare(x, y, k)
                with drivers.replaced(staged):  # a gallery keeps to the driver that put it on the device
                    call()
                    staged.events.clear()
                    call()
                row |= {"stages_ms": staged.milliseconds()}
        except (ImportError, RuntimeError, ValueError, cp.cuda.memory.OutOfMemoryError) as error:
            row |= {"skipped": f"{type(error).__name__}: {error}"}
        release()
        yield row


def release():
    """What pools keep, that the next row shows what it takes itself."""
    gc.collect()
    cp.get_default_memory_pool().free_all_blocks()
    if "torch" in sys.modules:
        sys.modules["torch"].cuda.empty_cache()


def without_the_device(gallery, x):
    """Microseconds of a search like the one before it, less its graph: it is answered with what lies there."""
    call = partial(gallery.topk, x, 10, backend="cuda")
    for _ in range(3):
        call()
    ((make,),) = gallery._held.prepared.again[2].held.spare.left.values()
    answer = make.noted.replay(x).copy()
    make.noted.replay = lambda _: answer
    return 1e6 * median(timed(lambda: [call() for _ in range(50)])[0]) / 50


def small():
    """Milliseconds of a first call in this process, and of one to 64 queries of a gallery on the device."""
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((64, 768), np.float32), rng.standard_normal((100_000, 768), np.float32)
    began = time.perf_counter()
    cmf.topk(x[:1], y[:1000], 10, "dot", backend="cuda")
    found = {"first_call_ms": 1e3 * (time.perf_counter() - began)}
    for m in (1, 8, 64):
        for rows in (y[:1000], y):
            gallery = cmf.Gallery(rows, "dot")
            calls = timed(lambda m=m, gallery=gallery: [gallery.topk(x[:m], 10, backend="cuda") for _ in range(50)])[0]
            found[f"{m}_of_{len(rows)}_ms"] = 1e3 * median(calls) / 50
    return found | {"python_of_a_small_search_us": without_the_device(gallery, x[:m])}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=FOLDER)
    parser.add_argument("--quick", action="store_true", help="the first case only")
    parser.add_argument("--commit", help="of this tree, where git does not know it")
    given = parser.parse_args()
    about, calls = machine(given.commit), small()
    print(json.dumps(about | calls))
    name = about["gpu"].lower().replace(" ", "-")
    found = []
    for case in CASES[:1] if given.quick else CASES:
        for row in rows_of(case):
            print(json.dumps(row), flush=True)
            found.append(row)
    gpu_table.keep(about | calls | {"rows": found}, given.results / f"{name}-{about['date']}.json")


if __name__ == "__main__":
    main()
