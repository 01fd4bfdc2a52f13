"""64 threads that call for minutes: mixed operations, each answer compared; memory and open files must not grow by 1 %.

`make soak SECONDS=600`. Now and then all threads stand still and what they freed is given back to the system: what is
counted then is what is kept. While they run, the resident memory follows how many calls happen to be inside at once.

glibc gives back neither the end of an arena of threads nor what each thread puts by, and both fill for as long as
another call happens to be the largest of its arena: 6 % from the second to the last fifth of 53,000 calls, all of it
in arenas (/proc/self/smaps); calls one after the other keep 4 KiB in 600. So the process that is looked at has one
arena, and its threads put nothing by: 0.74 % in 600 s and 31,637 calls on two busy cores, no file more.
"""

import argparse
import contextlib
import ctypes
import gc
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

import crossmodal_fast as cmf
from crossmodal_fast import files, streaming
from crowd import HUNG_S, called_by_many, calls, equal, flat, handles, resident

CALLERS = 64
RESTS = 60  # standstills
GROWTH = 0.01


def mixed(folder):
    """(call, what it must give) for searches and for what reads, writes, maps and matches."""
    rng = np.random.default_rng(307)
    x, y = (rng.standard_normal((rows, 24)).astype(np.float32) for rows in (40, 2000))
    held = cmf.Gallery(y, "cosine", np.arange(2000) * 2)
    held.save(folder / "gallery")
    files.write_array(folder / "y.npy", y)
    stored = cmf.Gallery.load(folder / "gallery", on_disk=True)

    def searched_in_parts():
        output = folder / f"{threading.get_ident()}.npy"
        streaming.topk(x, folder / "y.npy", 3, output=output, backend="numba")
        return tuple(np.load(output.with_suffix(f".{name}.npy")) for name in ("distances", "indices"))

    def written_and_read():
        path = folder / f"{threading.get_ident()}.gallery"
        cmf.Gallery(x).save(path)
        gallery = cmf.Gallery.load(path, on_disk=True, writable=True)
        gallery.add(y[:50])
        gallery.remove([3, 50])
        return cmf.Gallery.load(path).vectors

    def refused():
        try:
            cmf.topk(x, y, 5000)
        except ValueError as error:
            return (np.array(str(error)),)
        return ()

    others = [
        searched_in_parts, written_and_read, refused,
        lambda: stored.topk(x, 5, backend="numba"),
        lambda: held.topk(x, 5, backend="numba"),
        lambda: cmf.pairwise_distances(x, y, backend="numba"),
        lambda: cmf.transfer(x, y, backend="numba"),
        lambda: tuple(cmf.match(x, y, "csls", k=3, backend="numba"))[:3],
        lambda: cmf.fit_transfer(y[:300, :8], y[:300], method="ridge").M,
        lambda: cmf.topk(x, y, 5, backend="numpy"),
    ]  # fmt: skip
    found = [(lambda call=call: call("numba"), expected) for call, expected in calls()]
    return found + [(call, flat(call())) for call in others]


def work(seconds):
    """Call until the time is up; how often, and (bytes, open files) at each standstill. Raises at a wrong answer."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as folder:
        jobs = mixed(Path(folder))
        for call, expected in jobs:
            assert equal(call(), expected)
        resting, standstill = threading.Event(), threading.Barrier(CALLERS + 1)
        samples, trim = [], getattr(ctypes.CDLL(None), "malloc_trim", lambda _: None)

        def rest():
            if resting.is_set():
                with contextlib.suppress(threading.BrokenBarrierError):
                    standstill.wait(HUNG_S)
                    standstill.wait(HUNG_S)

        def sampled(going):
            while going():
                time.sleep(seconds / RESTS)
                with contextlib.suppress(threading.BrokenBarrierError):
                    resting.set()
                    standstill.wait(HUNG_S)
                    resting.clear()
                    gc.collect()
                    trim(0)
                    samples.append((resident(os.getpid()), handles(os.getpid())))
                    standstill.wait(HUNG_S)

        # At the end the barrier is broken: nobody waits for who has left
        made = called_by_many(jobs, CALLERS, seconds, rest, standstill.abort, sampled)
    return {"calls": sum(made), "fewest of a thread": min(made), "callers": CALLERS, "samples": samples}


def soak(seconds):
    """{calls, medians of each fifth, the growth from the second to the last}, of a process of its own."""
    command = [sys.executable, __file__, "--work", "--seconds", str(seconds)]
    told = os.environ | {"GLIBC_TUNABLES": "glibc.malloc.arena_max=1:glibc.malloc.tcache_count=0"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 4 * HUNG_S, env=told, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout) | {"seconds": seconds}
    fifths = np.array_split(np.array(told.pop("samples")), 5)
    for at, name in enumerate(("bytes", "open files")):
        medians = [float(np.median(fifth[:, at])) for fifth in fifths]
        told |= {name: medians, f"growth of {name}": round(medians[4] / medians[1] - 1, 5)}
    return told


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--work", action="store_true", help="be the process that is looked at")
    given = parser.parse_args()
    if given.work:
        print(json.dumps(work(given.seconds)))
        return 0
    told = soak(given.seconds)
    print(json.dumps(told | {"cores": len(os.sched_getaffinity(0))}, indent=1))
    return int(max(told["growth of bytes"], told["growth of open files"]) >= GROWTH)


if __name__ == "__main__":
    sys.exit(main())
