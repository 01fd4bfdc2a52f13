"""Work done in a fork of this process, which may break whatever it likes."""

import contextlib
import ctypes
import os
import pickle
import resource
import select
import signal
import time

BYTES = 8 << 30  # of address space more than the parent has: a changed size must not take the machine with it
LONGEST = 3600  # seconds of a core, for work without a limit of its own
WAITING = 1800.0  # seconds that pass at most: a busy machine may stand still for minutes
DIES_WITH_PARENT = 1  # PR_SET_PDEATHSIG
SLOW, CRASHED, OUTSIDE = "slow", "crashed", "raised outside a test"


def in_child(work, limit=LONGEST, waiting=WAITING):
    """What `work` gives in a fork; SLOW where nothing came in time, CRASHED past the limit, of seconds of a core,
    or where the fork gives nothing else, OUTSIDE if it raises."""
    reading, writing = os.pipe()
    process = os.fork()
    if not process:
        os.close(reading)
        _alone(int(limit) + 1)
        answer = OUTSIDE
        try:
            answer = work()
        finally:
            with open(writing, "wb") as file:
                pickle.dump(answer, file)
            os._exit(0)
    os.close(writing)
    answer = _read(reading, time.monotonic() + waiting)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process, signal.SIGKILL)  # with what it has started
    os.waitpid(process, 0)
    return answer


def _alone(limit):
    """Quiet, in a group of its own, bounded in memory, and ended with its parent."""
    os.setpgid(0, 0)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    with open("/proc/self/statm") as file:
        room = int(file.read().split()[0]) * resource.getpagesize() + BYTES
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    room = room if hard == resource.RLIM_INFINITY else min(room, hard)
    resource.setrlimit(resource.RLIMIT_AS, (room, room))
    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
    ctypes.CDLL(None).prctl(DIES_WITH_PARENT, signal.SIGKILL)


def _read(reading, ends):
    content = b""
    with open(reading, "rb", buffering=0) as file:
        while True:
            ready, _, _ = select.select([file], [], [], max(0.0, ends - time.monotonic()))
            if not ready:
                return SLOW
            part = file.read(1 << 20)
            if not part:
                return pickle.loads(content) if content else CRASHED
            content += part
