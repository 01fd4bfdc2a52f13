"""`python benchmarks/cluster.py [--workers 1,2] [--results FOLDER]`: topk over workers of Dask on this machine.

Each worker is a process with one thread; all clusters are there at once and take turns, so that what else the machine
does meets all of them; the seconds of CPU that the workers spent together say what Dask adds where the clock cannot.
The answers are those of `crossmodal_fast.Gallery` to the bit before a time counts. A worker for each core is all that a
machine can show: what a network adds is not in these numbers.
"""

import argparse
import json
import logging
import os
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import dask
import dask.array as da
import numpy as np
from distributed import Client, LocalCluster, wait
from rows import FOLDER, THREADS, commit, machine, slug, versions

import crossmodal_fast as cmf
from crossmodal_fast import dask as cmd

CASES = ((1024, 400_000, 128, 10),)
SHARDS, BLOCKS = 4, 4  # shards of 100,000 rows: "auto" leaves smaller ones to NumPy
ROUNDS = 3


def shard(number, rows, d):
    return np.random.default_rng([7, number]).standard_normal((rows, d), dtype=np.float32)


def chunked(n, d):
    """Chunks that workers make for themselves."""
    rows = n // SHARDS
    made = (dask.delayed(shard, pure=True)(number, rows, d) for number in range(SHARDS))
    return da.concatenate([da.from_delayed(part, (rows, d), np.float32) for part in made])


def on_cluster(client, queries, n, d, k):
    """A call that searches shards which lie in the workers, and what tells their seconds of CPU."""
    with client.as_current():
        gallery = cmd.ShardedGallery(chunked(n, d), "cosine").persist()
        wait([part.rows for part in gallery._shards])
    lazy = da.from_array(queries, chunks=(len(queries) // BLOCKS, d))

    def call():
        with client.as_current():
            found = gallery.topk(lazy, k)
            return client.gather(client.compute([found.distances, found.indices]))

    return call, lambda: sum(client.run(time.process_time).values())


def here(queries, n, d, k):
    """One thread of this process, without Dask."""
    gallery = cmf.Gallery(np.concatenate([shard(number, n // SHARDS, d) for number in range(SHARDS)]), "cosine")
    return lambda: gallery.topk(queries, k, n_threads=1, backend="numba"), time.process_time


def rows_of(case, clients):
    m, n, d, k = case
    queries = np.random.default_rng(1).standard_normal((m, d), dtype=np.float32)
    calls = {"one thread, no Dask": here(queries, n, d, k)}
    calls |= {f"{workers} workers": on_cluster(client, queries, n, d, k) for workers, client in clients.items()}
    expected = calls["one thread, no Dask"][0]()
    for name, (call, _) in calls.items():
        distances, indices = call()
        np.testing.assert_array_equal(indices, expected.indices, name)
        np.testing.assert_array_equal(distances, expected.distances, name)
    seconds, spent_cpu = ({name: [] for name in calls} for _ in range(2))
    for _ in range(ROUNDS):
        for name, (call, cpu) in calls.items():
            before, began = cpu(), time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - began)
            spent_cpu[name].append(cpu() - before)
    first = f"{min(clients)} workers"
    for name, spent in seconds.items():
        gains = [one / own for one, own in zip(seconds[first], spent, strict=True)]
        yield {
            "operation": "dask.ShardedGallery.topk", "contender": name, "m": m, "n": n, "d": d, "k": k,
            "shards": SHARDS, "blocks": BLOCKS, "rounds": ROUNDS,
            "ms": 1e3 * median(spent), "ms_best": 1e3 * min(spent), "cpu_ms": 1e3 * median(spent_cpu[name]),
            f"times as fast as {first}": [round(number, 3) for number in (min(gains), median(gains), max(gains))],
        }  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", default=",".join(map(str, range(1, THREADS + 1))))
    parser.add_argument("--results", type=Path, default=FOLDER)
    arguments = parser.parse_args()
    date = f"{datetime.now(UTC):%Y-%m-%d}"
    report = {"machine": machine(), "versions": versions(), "commit": commit(), "date": date, "rows": []}
    began = time.perf_counter()
    with ExitStack() as stack:
        clients = {}
        for workers in map(int, arguments.workers.split(",")):
            cluster = LocalCluster(
                n_workers=workers, threads_per_worker=1, dashboard_address="127.0.0.1:0", silence_logs=logging.ERROR
            )
            clients[workers] = stack.enter_context(Client(stack.enter_context(cluster), set_as_default=False))
            clients[workers].wait_for_workers(workers)
        for case in CASES:
            for row in rows_of(case, clients):
                print(json.dumps(row))
                report["rows"].append(row)
        report["load"] = os.getloadavg()[2]
    report["seconds"] = round(time.perf_counter() - began)
    path = arguments.results / f"cluster-{slug(report['machine'])}-{date}.json"
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(path)


if __name__ == "__main__":
    main()
