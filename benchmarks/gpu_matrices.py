"""`python benchmarks/gpu_matrices.py [--only transfer]`: distances, transfer and log-sum-exps on the GPU.

Needs what benchmarks/gpu.py needs. Every answer is compared with float64 before its time counts: ours must be within
its promise, the error of a peer stands in its row. Arrays and answers lie on the device; ours is timed from host arrays
too, copies included. Rates are of a whole call, `stages_ms` of its kernels alone.
"""

import argparse
import json
from pathlib import Path
from statistics import median

import cupy as cp
import gpu_table
import numpy as np
from gpu import CURRENT, FOLDER, Staged, machine, timed

import crossmodal_fast as cmf
from crossmodal_fast.kernels.tiles import metrics
from crossmodal_fast.kernels.tiles.cuda import driver as drivers
from crossmodal_fast.kernels.tiles.cuda.expansion import Expansion
from crossmodal_fast.kernels.tiles.cuda.mapper import finished, mapped
from crossmodal_fast.kernels.tiles.cuda.sums import Sums
from crossmodal_fast.kernels.tiles.cuda.tiling import TILE_PAIRS, even
from crossmodal_fast.kernels.tiles.encode import Space

DISTANCES = ((4000, 4000, 768), (10_000, 10_000, 256))
MAPS = ((1000, 768, 768, 1), (1000, 768, 768, 4), (1000, 768, 768, 8), (1000, 768, 768, 32), (1, 768, 768, 100_000))
LOG_SUMS = ((20_000, 20_000, 512),)
BETA = 20.0
SAMPLE = 64  # rows whose answers are checked
UNIT = 2.0**-24


class Timed(Staged):
    """Products are a stage too."""

    def product(self, *operands, **keywords):
        self._timed(CURRENT(), "product", lambda: super(Timed, self).product(*operands, **keywords))

    def products(self, *operands):
        self._timed(CURRENT(), "products", lambda: super(Timed, self).products(*operands))


def normal(*shape):
    return cp.random.standard_normal(shape, dtype=cp.float32)


# ---------------------------------------------------------------------------------------------------------- distances


def stripes(driver, metric, x, y, result):
    """(first row, rows, columns as sides, expansion) of tiles as wide as y."""
    d = x.shape[1]
    expansion = Expansion(driver, Space(metrics.metric(metric, d)), d, np.dtype(np.float32), np.dtype(result))
    columns, step = expansion.encoded(y), even(len(x), TILE_PAIRS // len(y))
    for start in range(0, len(x), step):
        yield start, expansion.encoded(x[start : start + step]), columns, expansion


def our_distances(driver, x, y):
    def call():
        out = cp.empty((len(x), len(y)), cp.float32)
        for start, rows, columns, expansion in stripes(driver, "euclidean", x, y, np.float32):
            expansion.finish(rows, columns, expansion.products(rows, columns), out[start : start + len(rows)])
        return out

    return call


def distances_from_host(driver, x, y):
    host_x, host_y = cp.asnumpy(x), cp.asnumpy(y)
    out = np.zeros((len(x), len(y)), np.float32)
    return lambda: cmf.pairwise_distances(host_x, host_y, out=out, backend="cuda")


def torch_distances(mode):
    def prepared(driver, x, y):
        import torch

        torch.backends.cuda.matmul.allow_tf32 = False
        left, right = torch.from_dlpack(x), torch.from_dlpack(y)
        return lambda: cp.from_dlpack(torch.cdist(left, right, compute_mode=mode))

    return prepared


def cupy_distances(driver, x, y):
    def call():
        square = cp.square(x).sum(axis=1)[:, None] + cp.square(y).sum(axis=1) - 2 * (x @ y.T)
        return cp.sqrt(cp.maximum(square, 0))

    return call


def distance_error(answer, x, y):
    """Largest relative error of a sample of rows."""
    wide, worst = y.astype(cp.float64), 0.0
    for i in np.linspace(0, len(x) - 1, SAMPLE).astype(int):
        true = cp.sqrt(cp.square(x[i].astype(cp.float64) - wide).sum(axis=1))
        worst = max(worst, float((cp.abs(cp.asarray(answer[i]).astype(cp.float64) - true) / true).max()))
    return worst


# ----------------------------------------------------------------------------------------------------------- transfer


def our_maps(driver, e, m, rows):
    order, starts = np.arange(len(e)), rows * np.arange(len(m) + 1)

    def call():
        out = cp.empty((len(e), m.shape[1]), cp.float32)
        mapped(driver, e, m, order, starts, out)
        finished(driver, out, None, None, False)
        return out

    return call


def maps_from_host(driver, e, m, rows):
    host_e, host_m = cp.asnumpy(e), cp.asnumpy(m)
    which = np.repeat(np.arange(len(m)), rows)
    if len(m) == 1:
        return lambda: cmf.transfer(host_e, host_m[0], backend="cuda")
    return lambda: cmf.transfer(host_e, host_m, which=which, backend="cuda", max_bytes=8 << 30)


def torch_maps(driver, e, m, rows):
    import torch

    torch.backends.cuda.matmul.allow_tf32 = False
    left, right = torch.from_dlpack(e).reshape(len(m), rows, -1), torch.from_dlpack(m)
    return lambda: cp.from_dlpack(torch.bmm(left, right.transpose(1, 2)).reshape(len(e), -1))


def cupy_maps(driver, e, m, rows):
    return lambda: cp.matmul(e.reshape(len(m), rows, -1), m.transpose(0, 2, 1)).reshape(len(e), -1)


def map_error(answer, e, m, rows):
    """Largest error of a sample of rows, in units of the bound (d_in + 2) u sum |m||e|."""
    worst, bound = 0.0, (e.shape[1] + 2) * UNIT
    for i in np.linspace(0, len(e) - 1, SAMPLE).astype(int):
        row, matrix = e[i].astype(cp.float64), m[i // rows].astype(cp.float64)
        true, size = (matrix * row).sum(axis=1), (cp.abs(matrix) * cp.abs(row)).sum(axis=1)
        worst = max(worst, float((cp.abs(cp.asarray(answer[i]).astype(cp.float64) - true) / (bound * size)).max()))
    return worst


# ------------------------------------------------------------------------------------------------------- log-sum-exps


def our_log_sums(driver, x, y):
    def call():
        sums = [
            Sums(driver, axis, size, -BETA, np.full(other, BETA))
            for axis, (size, other) in enumerate(((len(x), len(y)), (len(y), len(x))))
        ]
        for start, rows, columns, expansion in stripes(driver, "cosine", x, y, np.float32):
            tile = expansion.products(rows, columns)
            expansion.finish(rows, columns, tile, tile)
            for side in sums:
                side.add(tile, start, 0)
        found = [np.empty(len(x)), np.empty(len(y))]
        for side, out in zip(sums, found, strict=True):
            side.result(out)
        return np.concatenate(found)

    return call


def log_sums_from_host(driver, x, y):
    host_x, host_y = cp.asnumpy(x), cp.asnumpy(y)
    return lambda: np.concatenate(cmf.logsumexp(host_x, host_y, beta=BETA, axis="both", backend="cuda"))


def torch_log_sums(driver, x, y):
    import torch

    torch.backends.cuda.matmul.allow_tf32 = False
    left, right = (torch.nn.functional.normalize(torch.from_dlpack(side), dim=1) for side in (x, y))

    def call():
        score = BETA * (left @ right.T)
        return torch.cat([torch.logsumexp(score, 1), torch.logsumexp(score, 0)]).cpu().numpy()

    return call


def log_sum_error(answer, x, y):
    """Largest error, rows and columns."""
    x, y = (side.astype(cp.float64) for side in (x, y))
    x, y = (side / cp.sqrt(cp.square(side).sum(axis=1))[:, None] for side in (x, y))
    worst = 0.0
    for left, right, found in ((x, y, answer[: len(x)]), (y, x, answer[len(x) :])):
        for start in range(0, len(left), 2000):
            term = cp.exp(BETA * (left[start : start + 2000] @ right.T) - BETA)
            true = cp.log(term.sum(axis=1)) + BETA
            worst = max(worst, float(cp.abs(cp.asarray(found[start : start + 2000]) - true).max()))
    return worst


# --------------------------------------------------------------------------------------------------------------- rows

OURS, HOST = "crossmodal_fast cuda, on the device", "crossmodal_fast cuda, host arrays"
KINDS = {  # contenders, the error of an answer, what ours may be
    "pairwise_distances": (
        {OURS: our_distances, HOST: distances_from_host,
         "torch cdist": torch_distances("use_mm_for_euclid_dist_if_necessary"),
         "torch cdist, direct": torch_distances("donot_use_mm_for_euclid_dist"), "cupy": cupy_distances},
        distance_error, 1e-6,
    ),
    "transfer": (
        {OURS: our_maps, HOST: maps_from_host, "torch bmm": torch_maps, "cupy matmul": cupy_maps}, map_error, 1.0,
    ),
    "logsumexp": (
        {OURS: our_log_sums, HOST: log_sums_from_host, "torch": torch_log_sums}, log_sum_error, BETA * 1e-6 + 2e-6,
    ),
}  # fmt: skip


def problems(only=None):
    """(kind, sizes, arrays, flops, bytes that must be moved); the arrays of one problem at a time."""
    made = {"pairwise_distances": _distance_problems, "transfer": _map_problems, "logsumexp": _log_sum_problems}
    for kind in KINDS if only is None else [only]:
        yield from ((kind, *problem) for problem in made[kind]())


def _distance_problems():
    for m, n, d in DISTANCES:
        yield {"m": m, "n": n, "d": d}, (normal(m, d), normal(n, d)), 2 * m * n * d, 4 * m * n


def _map_problems():
    for g, d_out, d_in, rows in MAPS:
        e, m = normal(g * rows, d_in), normal(g, d_out, d_in)
        sizes = {"matrices": g, "d_out": d_out, "d_in": d_in, "rows_each": rows}
        yield sizes, (e, m, rows), 2 * g * rows * d_out * d_in, m.nbytes + e.nbytes


def _log_sum_problems():
    for m, n, d in LOG_SUMS:
        yield {"m": m, "n": n, "d": d}, (normal(m, d), normal(n, d)), 2 * m * n * d, 4 * (m + n) * d


def row_of(kind, name, sizes, given, flops, moved):
    contenders, error_of, allowed = KINDS[kind]
    row = {"operation": kind, "contender": name, **sizes}
    try:
        rounds, answer = timed(contenders[name](drivers.Cupy(), *given))
        seconds = median(rounds)
        error = error_of(answer, *given)
        row |= {"error": error}
        if name in (OURS, HOST) and not error <= allowed:  # no time of a wrong answer
            return row | {"skipped": f"the error is {error}, {allowed} is promised"}
        row |= {"ms": 1e3 * seconds, "least_ms": 1e3 * min(rounds), "most_ms": 1e3 * max(rounds), "rounds": len(rounds)}
        row |= {"tflops": flops / seconds / 1e12, "gbs": moved / seconds / 1e9}
        if name == OURS:
            driver = Timed()
            call = contenders[name](driver, *given)
            call()
            driver.events.clear()
            call()
            row |= {"stages_ms": driver.milliseconds()}
    except (ImportError, RuntimeError, ValueError, cp.cuda.memory.OutOfMemoryError) as error:
        row |= {"skipped": f"{type(error).__name__}: {error}"}
    return row


def yardsticks():
    """TFLOP/s of cuBLAS in both precisions, 8192 cubed, and GB/s of a copy on the device, read and written."""
    driver, found = drivers.Cupy(), {}
    for name in ("float32", "float64"):
        x, y = (normal(8192, 8192).astype(name) for _ in range(2))
        out = cp.empty_like(x)
        seconds = median(timed(lambda x=x, y=y, out=out: [driver.product(x, y, out) for _ in range(3)])[0]) / 3
        found[f"{name}_tflops"] = 2 * 8192**3 / seconds / 1e12
    source = cp.empty(1 << 31, cp.uint8)
    target = cp.empty_like(source)
    seconds = median(timed(lambda: [cp.copyto(target, source) for _ in range(20)])[0]) / 20
    return found | {"copy_gbs": 2 * source.nbytes / seconds / 1e9}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=FOLDER)
    parser.add_argument("--only", choices=list(KINDS), help="one operation")
    parser.add_argument("--commit", help="of this tree, where git does not know it")
    given = parser.parse_args()
    cp.random.seed(0)
    about, found = machine(given.commit) | yardsticks(), []
    print(json.dumps(about))
    for kind, *problem in problems(given.only):
        for name in KINDS[kind][0]:
            found.append(row_of(kind, name, *problem))
            print(json.dumps(found[-1]), flush=True)
            cp.get_default_memory_pool().free_all_blocks()
    name = about["gpu"].lower().replace(" ", "-")
    gpu_table.keep(about | {"rows": found}, given.results / f"{name}-matrices-{about['date']}.json")


if __name__ == "__main__":
    main()
