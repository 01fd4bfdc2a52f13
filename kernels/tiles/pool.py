"""The package's own threads: one pool for the process, shared by all callers, made anew after a fork.

Kernels release the GIL, so Python threads are enough; more callers than cores wait for each other instead of adding
threads.
"""

import os
import threading
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from contextvars import ContextVar, copy_context
from functools import cache, partial, wraps
from itertools import pairwise
from pathlib import Path

ENVIRONMENT = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS")  # what joblib, Dask and users set to keep workers apart
GROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")  # number:controllers:path, a line for each hierarchy; version 2 is number 0
COPIED = 2 << 20  # bytes; less takes a thread longer to start than to copy: 30 MB took 3.7 ms, by 1 MB 4.0, by 4 MB 5.4

_most: ContextVar[int | None] = ContextVar("crossmodal_fast_threads", default=None)
_worker = threading.local()  # .busy: this thread is one of the pool
_lock = threading.Lock()
_pool, _size = None, 0


def cores():
    """Cores that this process may use: its affinity, its share of the container, the environment's wish."""
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    found = min(found, quota())
    for name in ENVIRONMENT:
        wish = os.environ.get(name, "").split(",")[0].strip()  # OpenMP takes a number for each level of nesting
        if wish.isdecimal() and int(wish) > 0:
            found = min(found, int(wish))
    return max(1, found)


@cache
def quota():
    """Whole cores' worth of time that the control groups of this process leave it; a large number without a limit."""
    shares = [share for folder in _groups() if (share := _share(folder)) is not None]
    return max(1, round(min(shares))) if shares else 1 << 20


def _groups():
    """Folders of the groups with a say over this process's CPU time: its own, and all those around it."""
    try:
        lines = MEMBERSHIP.read_text().splitlines()
    except OSError:
        lines = []
    paths = [line.split(":", 2)[1:] for line in lines if line.count(":") >= 2]
    for controllers, path in [*paths, ["", "/"], ["cpu", "/"]]:  # in a container a path may be one of the host's
        if controllers and "cpu" not in controllers.split(","):
            continue
        for root in {GROUPS / controllers, GROUPS / "cpu"} if controllers else {GROUPS, GROUPS / "unified"}:
            folder = root / path.strip("/")
            yield from (place for place in (folder, *folder.parents) if place.is_relative_to(root))


def _share(folder):
    """Cores of one group, None if it sets no limit."""
    try:
        if (folder / "cpu.max").is_file():
            given, period = (folder / "cpu.max").read_text().split()
        else:
            given, period = ((folder / f"cpu.cfs_{name}_us").read_text().strip() for name in ("quota", "period"))
        return int(given) / int(period) if given not in ("max", "-1") else None
    except (OSError, ValueError, ZeroDivisionError):
        return None


@contextmanager
def at_most(threads):
    """Set `threads()` inside the block; None changes nothing."""
    token = _most.set(threads if threads is not None else _most.get())
    try:
        yield
    finally:
        _most.reset(token)


def threads():
    """How many threads a call may use."""
    most = _most.get()
    return cores() if most is None else max(most, 1)


class Short(ValueError):
    """`max_bytes` is too little for so many threads."""


def fewer_if_short(function):
    """The function, on half as many threads as often as they are too many for its `max_bytes`."""

    @wraps(function)
    def fitting(*arguments, **keywords):
        size = threads()
        while True:
            try:
                with at_most(size):
                    return function(*arguments, **keywords)
            except Short as short:
                if size == 1:
                    raise ValueError(*short.args) from short
                size //= 2

    return fitting


def _submit(work, size, tasks):
    """`work` handed to so many threads, each with the caller's context; fewer, or none, where no thread can start.

    Ctrl-C may come between any two lines: the pool and its size change as one, and `tasks` are known to the caller.
    """
    global _pool, _size
    with _lock:  # also while submitting: another caller may be about to replace the pool
        if _size < size:
            most, before = max(size, cores()), _pool
            made = ThreadPoolExecutor(most, "crossmodal_fast", initializer=setattr, initargs=(_worker, "busy", True))
            _pool, _size = made, most
            if before is not None:
                before.shutdown(wait=False)  # its threads end with the work they have
        with suppress(RuntimeError):  # the interpreter is ending, or the system has no more threads
            for _ in range(size):
                tasks.append(_pool.submit(copy_context().run, work))


def _forget():
    """In a forked child the threads of the parent do not exist."""
    global _pool, _size, _lock
    _pool, _size, _lock = None, 0, threading.Lock()
    _worker.busy = False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


class _Stopped(BaseException):
    """Nobody waits for the rest of a job."""


def go_on():
    """For long jobs, now and then: end this one if its `run` has been stopped."""
    if getattr(_worker, "stopped", bool)():
        raise _Stopped


def run(jobs):
    """Call every job of an iterable, on up to `threads()` threads; the first exception stops the others and is raised.

    Jobs see the context variables of the caller. A job that calls `run` does its jobs itself. The caller waits where
    Ctrl-C reaches it; jobs under way then end by themselves, those waiting are dropped.
    """
    jobs = list(jobs)
    waiting, turn = iter(jobs), threading.Lock()
    stopped, tasks = False, []

    def work():
        around = getattr(_worker, "stopped", bool)  # of a job that called `run`, which goes on with itself
        _worker.stopped = lambda: stopped or around()
        try:
            while not stopped:
                with turn:
                    job = next(waiting, None)
                if job is None:
                    return
                with suppress(_Stopped):
                    job()
        finally:
            _worker.stopped = around

    size = min(threads(), len(jobs))
    try:
        if size > 1 and not getattr(_worker, "busy", False):
            _submit(work, size, tasks)
        if not tasks:
            work()
        for task in wait(tasks, return_when=FIRST_EXCEPTION).done:
            task.result()
    finally:
        stopped = True
        wait(tasks)
    for task in tasks:
        task.result()


def over(rows, nbytes, job, least=COPIED):
    """Call job(start, stop) for stretches of rows that have `nbytes` together, with at least `least` bytes a thread."""
    shares = max(1, min(threads(), rows, nbytes // least))
    edges = [rows * share // shares for share in range(shares + 1)]
    run([partial(job, *edge) for edge in pairwise(edges)])
