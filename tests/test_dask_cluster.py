"""`crossmodal_fast.dask` on processes of a LocalCluster: shards that stay, threads, and a worker that is lost."""

import logging
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

import crossmodal_fast as cmf

pytest.importorskip("distributed", reason="Dask's distributed is not installed")

import dask
import dask.array as da
from distributed import Client, LocalCluster, as_completed, wait

from crossmodal_fast import dask as cmd
from crossmodal_fast.dask import _worker

MEBIBYTE = 1 << 20


@pytest.fixture
def cluster(request):
    """A client of workers, each a process with a thread and a memory limit; nothing is spilled to disk."""
    workers, limit = request.param
    given = {"threads_per_worker": 1, "memory_limit": limit, "dashboard_address": "127.0.0.1:0"}
    with (
        dask.config.set({f"distributed.worker.memory.{name}": False for name in ("target", "spill")}),
        LocalCluster(n_workers=workers, silence_logs=logging.CRITICAL, **given) as made,
        Client(made) as client,
    ):
        client.wait_for_workers(workers)  # shards go to those that are there
        yield client


def shard(seed, start, rows, d):
    """A chunk that a worker makes."""
    return np.random.default_rng([seed, start]).standard_normal((rows, d), dtype=np.float32)


def made(seed, shards, rows, d):
    """A gallery of chunks that the workers make, again where they have to."""
    return da.concatenate(
        [
            da.from_delayed(dask.delayed(shard, pure=True)(seed, at, rows, d), (rows, d), np.float32)
            for at in range(shards)
        ]
    )


def kill_one(client):
    """The process of a worker that holds shards, in the middle of what it does."""
    victim = max(client.has_what().items(), key=lambda item: len(item[1]))[0]
    os.kill(client.run(os.getpid, workers=[victim])[victim], signal.SIGKILL)


@pytest.mark.parametrize("cluster", [(2, "1GiB")], indirect=True)
def test_two_processes(cluster):
    gallery = cmd.ShardedGallery(made(1, 3, 400, 16)).persist()
    wait([part.rows for part in gallery._shards])
    queries = np.random.default_rng(0).standard_normal((60, 16), dtype=np.float32)
    x, y = da.from_array(queries, chunks=(20, 16)), np.concatenate([shard(1, at, 400, 16) for at in range(3)])
    kill_one(cluster)
    found, expected = gallery.topk(x, 5), cmf.topk(queries, y, 5)
    for lazy, plain in zip(found, expected, strict=True):
        np.testing.assert_array_equal(lazy.compute(), plain)
    settled = cluster.submit(_worker.settled, {}).result()
    assert (settled.n_threads, settled.max_bytes, settled.check_finite) == (1, 128 * MEBIBYTE, False)


@pytest.mark.heavy
@pytest.mark.parametrize("cluster", [(4, "1GiB")], indirect=True)
def test_a_gallery_larger_than_any_worker_and_one_killed_in_the_middle(cluster):
    """Three workers can hold it: each takes 230 MiB with all that it imports, and 53 for each shard and its codes."""
    shards, rows, d, size = 27, 40_000, 256, 10
    assert shards * rows * d * 4 > 1024 * MEBIBYTE
    gallery = cmd.ShardedGallery(made(2, shards, rows, d), "cosine").persist()
    wait([part.rows for part in gallery._shards])
    assert sorted(len(held) for held in cluster.has_what().values()) == [6, 7, 7, 7]
    queries = np.random.default_rng(0).standard_normal((shards * size, d), dtype=np.float32)
    found = gallery.topk(da.from_array(queries, chunks=(size, d)), 10, max_bytes=32 * MEBIBYTE)
    blocks = cluster.compute(
        [da.stack([found.distances.blocks[at], found.indices.blocks[at]]) for at in range(shards)]
    )  # as many as shards: each begins at another one
    next(iter(as_completed(blocks)))
    assert sum(block.done() for block in blocks) < len(blocks)
    kill_one(cluster)
    distances, indices = np.concatenate(cluster.gather(blocks), axis=1)
    y = np.concatenate([shard(2, at, rows, d) for at in range(shards)])
    expected = cmf.topk(queries, y, 10, "cosine")
    np.testing.assert_array_equal(indices, expected.indices)
    np.testing.assert_array_equal(distances, expected.distances)


INTERRUPTED = """
import os, signal, sys, threading, time

import numpy as np

if __name__ == "__main__":
    import dask.array as da
    from distributed import Client, LocalCluster

    import crossmodal_fast as cmf
    from crossmodal_fast import dask as cmd

    signal.signal(signal.SIGINT, signal.default_int_handler)
    rng = np.random.default_rng(7)
    x, y = (rng.standard_normal((rows, 32), dtype=np.float32) for rows in (300, 8000))
    few, expected = da.from_array(x[:20], chunks=(20, 32)), cmf.topk(x[:20], y, 5, backend="numpy")
    shards = da.from_array(y, chunks=(2000, 32))
    many = da.concatenate([da.from_array(x, chunks=(300, 32))] * 100)

    def right():
        found = cmd.topk(few, shards, 5)
        return all(np.array_equal(part.compute(), law) for part, law in zip(found, expected, strict=True))

    def interrupted(queries, begun):
        def ctrl_c():
            while not begun():
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGINT)

        threading.Thread(target=ctrl_c).start()
        try:
            cmd.topk(queries, shards, 5, "cityblock", backend="numpy").indices.compute()
        except KeyboardInterrupt:
            return True
        return False

    begun = threading.Event()
    told = many.map_blocks(lambda part: (begun.set(), part)[1], dtype=many.dtype, meta=many._meta)
    print(right(), interrupted(told, begun.is_set), right())
    made = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0")
    with made, Client(made) as client:
        client.wait_for_workers(2)
        workers = client.run(os.getpid)
        print(right(), interrupted(many, lambda: any(client.processing().values())), right())
        print(workers == client.run(os.getpid))
"""


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
def test_ctrl_c_in_the_client_ends_its_search_and_leaves_the_workers(tmp_path):
    """In threads of this process and in processes of a cluster, which go on to their next task."""
    (tmp_path / "client.py").write_text(INTERRUPTED, encoding="utf-8")
    command = [sys.executable, str(tmp_path / "client.py")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.split() == ["True"] * 7
