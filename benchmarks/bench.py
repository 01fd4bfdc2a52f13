"""`pytest benchmarks/bench.py`: every contender on every case, answers first, then time in turns with ours.

Each round times ours, then the contender, with a pause before either: threads of OpenBLAS and OpenMP spin for some
milliseconds after their work and would be charged to whoever comes next. A contender's ratio is the median of its
rounds' ratios, so that what slows a shared machine down for a while slows both. Ours against itself shows the noise.
"""

import os
import time
from functools import partial, update_wrapper
from statistics import median, quantiles

import numpy as np
import psutil
import pytest
import rows
from answers import must_keep_promise, quality
from contenders import CASES, OUR_CALLS, OURS, PEERS, THREADS, NotTimed, arguments
from threadpoolctl import threadpool_limits

import crossmodal_fast as cmf

PAUSE = 0.03  # seconds; OpenBLAS gives up spinning after 2**26 cycles, about 25 ms
SECONDS = 1.5  # of rounds a contender, pauses not counted
LEAST_ROUNDS, MOST_ROUNDS = 5, 15
LARGE_BLOCK = 31 << 20  # bytes; once one that large is freed, glibc keeps smaller ones instead of returning them

FIELD = [  # one case after the other: data and truth are kept for one at a time
    entry
    for case in CASES
    for entry in (
        *((case, OURS, backend) for backend in cmf.backends()),
        *((case, peer, None) for peer in PEERS[case.operation]),
    )
]

np.empty(LARGE_BLOCK, np.uint8)  # as in a process that has worked for a while: without, temporaries of some MB cost new
# pages every time and a contender's time depends on who ran before it (ours, 4000 x 4000 x 64: 170 or 70 ms)

# Before FAISS loads its own OpenBLAS, an older one: it took a Zen 5 for a CPU of 2007, and faiss.knn 540 ms for
# 2000 x 50,000 x 256 instead of 130
if rows.numpy_blas().get("internal_api") == "openblas":
    os.environ.setdefault("OPENBLAS_CORETYPE", rows.numpy_blas()["architecture"])

pytestmark = pytest.mark.filterwarnings("default")  # the peers' warnings are theirs


def name(entry):
    case, contender, backend = entry
    return "-".join(filter(None, [case.name, contender, backend]))


@pytest.mark.parametrize("entry", FIELD, ids=name)
def test_speed(benchmark, entry):
    case, contender, backend = entry
    benchmark.group = case.name
    prepare = contestant(case, contender, backend)
    row = rows.described(case, contender, backend, prepare.__doc__)
    ours = OUR_CALLS[case.operation](*arguments(case), backend="auto")
    try:
        call = prepare(*arguments(case))
        with threadpool_limits(THREADS):
            first, columns = answered(case, contender, ours, call)
            row |= {"threads": THREADS} | columns | turns(benchmark, case, ours, call, first)
    except (ImportError, NotTimed, cmf.BackendUnavailable) as reason:
        row |= {"skipped": str(reason)}
    if benchmark.enabled:
        rows.record(row)
    if "skipped" in row:
        pytest.skip(row["skipped"])


def contestant(case, contender, backend):
    """The function that prepares the contender's call."""
    if contender == OURS:
        return update_wrapper(partial(OUR_CALLS[case.operation], backend=backend), OUR_CALLS[case.operation])
    return PEERS[case.operation][contender]


def answered(case, contender, ours, call):
    """Seconds of one round, and the columns about the answer. Ours has to be right, timed itself or beside another."""
    began = time.perf_counter()
    our_answer, answer = ours(), call()
    seconds = time.perf_counter() - began
    must_keep_promise(case, our_answer)
    if contender == OURS:
        must_keep_promise(case, answer)
    columns = quality(case, answer) | {"candidates": None}
    if contender == OURS and case.k is not None:
        columns["candidates"] = call(return_stats=True)[-1].candidates.mean()
    return seconds, columns


def turns(benchmark, case, ours, call, first):
    """The columns about the time: round by round, ours and then theirs."""
    seconds = []

    def our_turn():
        time.sleep(PAUSE)
        began = time.perf_counter()
        ours()
        seconds.append(time.perf_counter() - began)
        time.sleep(PAUSE)

    rounds = max(LEAST_ROUNDS, min(MOST_ROUNDS, int(SECONDS / first)))
    began, own = busy(), time.process_time()
    benchmark.pedantic(call, setup=our_turn, rounds=rounds)
    ended, own = busy(), time.process_time() - own
    if not benchmark.enabled:
        return {}
    theirs = list(benchmark.stats.stats.data)
    middle = median(theirs)
    quarter, _, three_quarters = quantiles(theirs, n=4)
    return {
        "ms": 1e3 * middle,
        "ms_best": 1e3 * min(theirs),
        "ms_worst": 1e3 * max(theirs),
        "spread": (three_quarters - quarter) / middle,
        "gflops": None if case.operations is None else case.operations / middle / 1e9,
        "ours_ms": 1e3 * median(seconds),
        "ratio": median(their / our for their, our in zip(theirs, seconds, strict=True)),
        "ratio_best": min(theirs) / min(seconds),
        "rounds": rounds,
        "others": max(0.0, (ended[0] - began[0] - own) / (ended[1] - began[1])),
    }


def busy():
    """Seconds that all cores have worked, and all seconds they have had."""
    spent = psutil.cpu_times()
    idle = spent.idle + getattr(spent, "iowait", 0.0)
    return sum(spent) - idle, sum(spent)
