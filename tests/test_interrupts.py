"""Ctrl-C at any moment, or no memory, also in a worker: the search ends there and leaves nothing behind it.

Python looks for a signal when a function begins and when a built-in one has returned; at the n-th such place in our
files a profile function raises KeyboardInterrupt, for every n or one in so many.
"""

import os
import subprocess
import sys

import pytest

SECONDS = 1200  # after which a process counts as hung: 400 interrupts take 20 s of a core, of which there may be few
TRIALS = 12  # interrupts of a call where time is short

SCRIPT = """
import os, signal, sys, threading, time
from pathlib import Path
import numpy as np
import crossmodal_fast as cmf
from crossmodal_fast import cli, streaming
from crossmodal_fast.kernels.tiles import pool

what, trials, workers = sys.argv[1], int(sys.argv[2]), sys.argv[4] == "workers"
raised = {"interrupt": KeyboardInterrupt, "memory": MemoryError}[sys.argv[3]]
OURS = tuple(os.path.dirname(module.__file__) for module in (cmf, sys.modules[pool.__name__.rpartition(".tiles")[0]]))
signal.signal(signal.SIGINT, signal.default_int_handler)
rng = np.random.default_rng(5)
x, y = (rng.standard_normal((rows, 24)).astype(np.float32) for rows in (30, 900))
folder = Path.cwd()
for name, rows in (("x", x), ("y", y)):
    np.save(f"{name}.npy", rows)
os.mkdir("out")


def flat(answer):
    return [answer] if isinstance(answer, np.ndarray) else [part for piece in answer for part in flat(piece)]


def gallery():
    held = cmf.Gallery(y[:600])
    held.add(y[600:])
    return held.topk(x, 4, backend="numba", n_threads=2)


def streamed(resume=False):
    streaming.topk("x.npy", "y.npy", 4, output="out/o.npy", resume=resume, backend="numpy")
    return tuple(np.load(f"out/o.{name}.npy") for name in ("distances", "indices"))


def parts():
    return streaming.topk(x, iter(np.array_split(y, 5)), 4, backend="numpy")


def command():
    code = cli.main(["match", "x.npy", "y.npy", "-k", "4", "--backend", "numpy", "-o", "out/m.csv"])
    if code == cli.INTERRUPTED:
        raise KeyboardInterrupt
    assert code == 0
    return np.loadtxt("out/m.csv", delimiter=",", skiprows=1)


def changed():
    if not Path("out/g").exists():
        cmf.Gallery(y[:600], ids=np.arange(600)).save("out/g")
    held = cmf.Gallery.load("out/g", on_disk=True, writable=True)
    if len(held) == 600:
        held.add(y[600:], ids=np.arange(600, 900))
    found = cmf.Gallery.load("out/g").topk(x, 4, backend="numpy")
    held.remove(np.arange(600, 900))
    return found


def matched():
    return tuple(cmf.match(x, y, "csls", k=3, backend="numba", n_threads=2))[1:3]


def fitted():
    return cmf.fit_transfer(y[:, :8], y, method="ridge").M


CALLS = {
    "numpy": lambda: cmf.topk(x, y, 4, backend="numpy"),
    "numba": lambda: cmf.topk(x, y, 4, backend="numba", n_threads=2),
    "both": lambda: cmf.topk_both(x, y, (4, 2), "cosine", backend="numba", n_threads=2),
    "within": lambda: cmf.within(x, y, 5.5, backend="numba", n_threads=2),
    "ranks": lambda: (cmf.ranks(x, y, np.arange(30), backend="numba", n_threads=2),),
    "more threads each time": lambda: cmf.topk(x, y, 4, backend="numba", n_threads=2 + len(went)),
    "gallery": gallery, "streamed": streamed, "resumed": lambda: streamed(True), "parts": parts, "command": command,
    "gallery on disk": changed, "matched": matched, "fitted": fitted,
}
call, went = CALLS[what], []
sys.stdout.flush()
said = os.dup(1)
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


class Profile:
    # At the event of number `at` it raises.
    def __init__(self, at):
        self.at, self.count = at, 0

    def __call__(self, frame, event, argument):
        if event in ("call", "c_return") and frame.f_code.co_filename.startswith(OURS):
            self.count += 1
            if self.count == self.at:
                sys.setprofile(None)
                raise raised


def interrupted(at):
    # (whether it was interrupted, how many places there were, the answer)
    profile, answer = Profile(at), None
    if workers:  # threads that know the function from their first line on
        pool._pool.shutdown()
        pool._forget()
    try:
        (threading.setprofile if workers else sys.setprofile)(profile)
        answer = call()
    except raised:
        return True, profile.count, None
    finally:
        (threading.setprofile if workers else sys.setprofile)(None)
    return False, profile.count, answer


def right(answer):
    return all(np.array_equal(part, other) for part, other in zip(flat(answer), expected, strict=True))


expected = flat(call())
assert right(call())
_, places, _ = interrupted(0)
handles = len(os.listdir("/proc/self/fd"))
step = max(1, places // trials)
for at in range(1 + step // 2, places + 1, step):
    stopped, _, answer = interrupted(at)
    assert stopped or answer is None or right(answer), f"place {at}: another answer"
    went.append(stopped)
    left = [path.name for path in folder.rglob("*") if path.name.endswith(".partial")]
    assert not left or what in ("streamed", "resumed"), f"place {at}: left {left}"
    assert right(call()), f"place {at}: another answer afterwards"
    left = [path.name for path in Path("out").glob("[!.]*.partial")]
    assert not left, f"place {at}: left {left}"
until = time.monotonic() + 120
readers = lambda: [one.name for one in threading.enumerate() if "fast-read" in one.name]
while readers() and time.monotonic() < until:
    time.sleep(0.01)
assert not readers(), readers()
grown = len(os.listdir("/proc/self/fd")) - handles
assert grown <= 2, f"{grown} files more are open"
assert pool._pool is None or pool._pool.submit(lambda: 3).result(120) == 3
os.write(said, f"{places} {len(went)} {sum(went)}".encode())
"""
QUICK = ["numba", "streamed"]
ALL = [
    "numpy", "numba", "both", "within", "ranks", "more threads each time", "gallery", "streamed", "resumed", "parts",
    "command", "gallery on disk", "matched", "fitted",
]  # fmt: skip


def interrupts(folder, what, trials, error="interrupt", where="main"):
    command = [sys.executable, "-c", SCRIPT, what, str(trials), error, where]
    alone = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=SECONDS, env=alone, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    places, tried, stopped = map(int, done.stdout.split())
    assert stopped > 0.9 * tried > 0, f"{stopped} of {tried} interrupts at {places} places ended the call"


@pytest.mark.skipif(sys.platform != "linux", reason="counts open files in /proc")
@pytest.mark.parametrize("what", QUICK)
def test_interrupts_at_some_places(what, tmp_path):
    interrupts(tmp_path, what, TRIALS)


@pytest.mark.heavy
@pytest.mark.skipif(sys.platform != "linux", reason="counts open files in /proc")
@pytest.mark.parametrize("what", ALL)
def test_interrupts_at_many_places(what, tmp_path):
    interrupts(tmp_path, what, 400)


@pytest.mark.heavy
@pytest.mark.skipif(sys.platform != "linux", reason="counts open files in /proc")
@pytest.mark.parametrize("where", ["main", "workers"])
@pytest.mark.parametrize("what", ["numba", "both", "within", "ranks", "gallery"])
def test_no_memory_at_many_places(what, where, tmp_path):
    interrupts(tmp_path, what, 200 if where == "main" else 40, "memory", where)
