"""Many threads that call at once, each answer compared; what they call, and what a process holds."""

import os
import threading
import time

import numpy as np

import crossmodal_fast as cmf

RAISED = ArithmeticError, AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError
HUNG_S = 120  # after the end, until which every thread has to come back


def nothing():
    pass


def called_by_many(jobs, callers, seconds, between=nothing, leaving=nothing, meanwhile=lambda going: None):
    """How often each of so many threads called, until the time was up; AssertionError for a wrong answer or a hang.

    jobs : (call, what it must give); between() : in each thread, behind each of its calls, and leaving() at its end;
    meanwhile(going) : here, while going() says that they call
    """
    wrong, made, until = [], [0] * callers, time.monotonic() + seconds

    def going():
        return time.monotonic() < until and not wrong

    def caller(number):
        rng = np.random.default_rng(number)
        while going():
            at = int(rng.integers(len(jobs)))
            call, expected = jobs[at]
            try:
                if not equal(call(), expected):
                    wrong.append(f"caller {number}: job {at} differs")
            except RAISED as error:
                wrong.append(f"caller {number}: job {at} raised {error!r}")
            made[number] += 1
            between()
        leaving()

    threads = [threading.Thread(target=caller, args=(number,), daemon=True) for number in range(callers)]
    for thread in threads:
        thread.start()
    meanwhile(going)
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()) + HUNG_S)
    assert not any(thread.is_alive() for thread in threads), "a caller hangs"
    assert not wrong, wrong[0]
    return made


def flat(answer):
    return [answer] if isinstance(answer, np.ndarray) else [part for piece in answer for part in flat(piece)]


def equal(answer, expected):
    pairs = list(zip(flat(answer), expected, strict=True))
    return all(part.dtype == twin.dtype and np.array_equal(part, twin) for part, twin in pairs)


def calls():
    """(search, what NumPy says) of all operations, several shapes, filters and limits; galleries are shared."""
    rng = np.random.default_rng(301)
    found = []
    for turn, (m, n, d, metric, dtype) in enumerate(
        [
            (1, 3000, 32, "euclidean", np.float32), (70, 400, 9, "cosine", np.float32),
            (13, 900, 65, "dot", np.float64), (200, 200, 24, "sqeuclidean", np.int8),
            (6, 300, 12, "cityblock", np.float32), (25, 700, 16, "correlation", np.float32),
        ]
    ):  # fmt: skip
        x, y = ((10 * rng.standard_normal((rows, d))).astype(dtype) for rows in (m, n))
        y[n // 2 :] = y[: n - n // 2]
        filters = [{}, {"mask": rng.random(n) < 0.7}, {"exclude": rng.integers(-1, n, m)}][turn % 3]
        distances, indices = cmf.topk(x, y, 4, metric, dtype=np.float64, backend="numpy", **filters)
        third = {"topk": 4, "topk_both": (3, 1), "within": distances[:, -1], "ranks": indices[:, -1]}
        gallery = cmf.Gallery(y, metric)
        limits = {"n_threads": (None, 1, 3)[turn % 3], "max_bytes": (1 << 30, 1 << 24)[turn % 2]}
        for name, argument in third.items():

            def alone(backend, name=name, argument=argument, x=x, y=y, metric=metric, filters=filters, limits=limits):
                return getattr(cmf, name)(x, y, argument, metric, backend=backend, **filters, **limits)

            def prepared(backend, name=name, argument=argument, x=x, gallery=gallery, filters=filters, limits=limits):
                return getattr(gallery, name)(x, argument, backend=backend, **filters, **limits)

            expected = flat(alone("numpy"))
            found += [(call, expected) for call in (alone, prepared)[: 1 if name == "topk_both" else 2]]
    return found


def resident(process="self"):
    with open(f"/proc/{process}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon")) * 1024


def handles(process="self"):
    return len(os.listdir(f"/proc/{process}/fd"))
