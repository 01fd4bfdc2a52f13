"""`pytest benchmarks/bench.py [--full] [--missing]`: every contender on every case, answers first, then time in turns.

Each round times ours, then the contender, with a pause before either: threads of OpenBLAS and OpenMP spin for some
milliseconds after their work and would be charged to whoever comes next. A contender's ratio is the median of its
rounds' ratios, so that what slows a shared machine down for a while slows both. Ours against itself shows the noise.
With --missing only those are timed that have no row of this commit on this machine yet.
"""

import os
import time
from contextlib import nullcontext
from functools import cache, lru_cache, partial, update_wrapper
from pathlib import Path
from statistics import median

import machine
import numpy as np
import pytest
import rows
import start
from answers import must_keep_promise, quality
from columns import about, busy, compared, shares, timed
from contenders import OUR_CALLS, PEERS
from data import arguments
from shapes import (
    FIRST_CALLS,
    FULL,
    IMPORT,
    LARGE,
    MIDDLE,
    OURS,
    RUNS,
    SHORT,
    TOOLKIT,
    WITH_STATS,
    NotTimed,
    has_bar,
)
from threadpoolctl import threadpool_limits

import crossmodal_fast as cmf

PAUSE = 0.03  # seconds; OpenBLAS gives up spinning after 2**26 cycles, about 25 ms
SECONDS, SECONDS_OF_A_BAR = 0.1, 2.0  # of rounds a contender, ours counted, pauses not
LEAST_ROUNDS, LEAST_OF_A_BAR = 2, 4
MOST_ROUNDS, MOST_OF_A_BAR = 5, 9
# Seconds of a round, and how many of what takes that long are enough
FEWER, FEWER_OF_A_BAR = ((2.0, 1),), ((1.0, 3), (3.0, 2), (20.0, 1))
AGES = 4.0  # seconds of a contender's call that is not made again: its time is that of the answer that was judged
SLOW = 5.0  # seconds of a call of ours whose second one is not worth waiting for
FAR = 4.0  # times our time, from where on a round tells enough of the ratio
ONCE = 0.7  # seconds of a first call from where on imports and buffers are little of it
PROCESSES = 3  # started for each of the first calls
LARGE_BLOCK = 31 << 20  # bytes; once one that large is freed, glibc keeps smaller ones instead of returning them

# Seconds of the slowest call, foretold, of those that take 100 times as long for 1000 queries as for 10
LINEAR = {"SciPy": 0.5, "NumKong": 0.5, "USearch": 0.5, "KeOps": 20.0}  # KeOps has one size alone
FORETOLD_BY = 16  # queries
SLOWEST_OF_ALL = 60.0  # with --full
HEAVY = 4.5e10  # operations from where on `make bench` has minutes for ours, its bars and one case of all contenders
COMPLETE = {MIDDLE}
HEAVY_ON_NUMPY = 1.1e10  # our own second path
LONG_PEERS = {"streamed"}

pytestmark = pytest.mark.filterwarnings("default")  # the peers' warnings are theirs


def field(cases):
    """(case, contender, backend), one case after the other: data and truth are kept for one at a time."""
    return [
        entry
        for case in cases
        for entry in (
            *((case, OURS, backend) for backend in cmf.backends()),
            *((case, peer, None) for peer in PEERS[case.operation]),
        )
    ]


def name(entry):
    case, contender, backend = entry
    return "-".join(filter(None, [case.name, contender, backend]))


def pytest_generate_tests(metafunc):
    if "entry" in metafunc.fixturenames:
        full = metafunc.config.getoption("--full")
        if metafunc.function is test_toolkit:
            cases = (*TOOLKIT, *LARGE) if full else TOOLKIT
        else:
            cases = FULL if full else SHORT
        metafunc.parametrize("entry", field(cases), ids=name)


@pytest.fixture(scope="session", autouse=True)
def fair_conditions(request):
    """Where rows go, and what no contender should suffer from."""
    if folder := request.config.getoption("--results"):
        rows.FOLDER = Path(folder)
    # As in a process that has worked for a while: without, temporaries of some MB cost new pages every time and a
    # contender's time depends on who ran before it (ours, 4000 x 4000 x 64: 170 or 70 ms)
    np.empty(LARGE_BLOCK, np.uint8)
    if doubt := rows.blas_doubt(rows.numpy_blas(), rows.machine()["simd"]):
        pytest.exit(doubt, returncode=1)
    # Before FAISS loads its own OpenBLAS, an older one: it took a Zen 5 for a CPU of 2007, and faiss.knn 540 ms for
    # 2000 x 50,000 x 256 instead of 130
    if rows.numpy_blas().get("internal_api") == "openblas":
        os.environ.setdefault("OPENBLAS_CORETYPE", rows.numpy_blas()["architecture"])


def test_speed(benchmark, entry, request):
    contest(benchmark, entry, request)


def test_toolkit(benchmark, entry, request):
    contest(benchmark, entry, request)


def contest(benchmark, entry, request):
    case, contender, backend = entry
    full = request.config.getoption("--full")
    benchmark.group = case.name
    prepare = contestant(case, contender, backend)
    row = rows.described(case, contender, backend, prepare.__doc__)
    leave_out(row, request)
    try:
        if not full:
            spare(case, contender, backend)
        given = arguments(case)
        with threadpool_limits(rows.THREADS):
            foretell(case, contender, prepare, given, SLOWEST_OF_ALL if full else LINEAR.get(contender))
            ours, our_seconds = our_call(case)
            call = prepare(*given)
            seconds, columns = answered(case, contender, backend, call)
            row |= {"threads": rows.THREADS, "blas": rows.blas_loaded()} | columns
            known = seconds if seconds > AGES else None
            row |= turns(benchmark, case, ours, call, rounds(has_bar(case, contender), seconds, our_seconds), known)
        row |= shares(row, case, getattr(call, "bytes", None)) if "ms" in row else {}
    except (NotTimed, cmf.BackendUnavailable) as reason:
        row |= {"skipped": str(reason)}
    except ImportError as reason:
        if contender == OURS:
            raise
        row |= {"skipped": str(reason)}
    finish(benchmark, row)


def leave_out(row, request):
    """Skip what has been timed, if asked to."""
    if request.config.getoption("--missing") and rows.contest(row) in timed_before():
        pytest.skip("timed at this commit before")


@cache
def timed_before():
    """The contests with a time of this commit."""
    paths = rows.FOLDER.glob("*.jsonl")
    here = rows.commit()
    if here is None or here.endswith("+"):  # changes, and nobody knows whether they are those of the row
        return set()
    return {rows.contest(row) for row in rows.read(sorted(paths)) if "ms" in row and row["commit"] == here}


def finish(benchmark, row):
    if "skipped" in row:
        row["skipped"] = " ".join(row["skipped"].split())  # a line of a list, or a cell of a table
    if benchmark.enabled:
        rows.record(row)
    if "skipped" in row:
        pytest.skip(row["skipped"])


def contestant(case, contender, backend):
    """The function that prepares the contender's call."""
    if contender == OURS:
        return update_wrapper(partial(OUR_CALLS[case.operation], backend=backend), OUR_CALLS[case.operation])
    return PEERS[case.operation][contender]


def spare(case, contender, backend):
    """NotTimed for what `make bench` has no minutes for."""
    if (contender, backend) == (OURS, "numpy"):
        spared = case.products > HEAVY_ON_NUMPY
    elif contender == OURS or has_bar(case, contender):
        spared = False
    else:
        spared = (case.products > HEAVY and case not in COMPLETE) or contender in LONG_PEERS
    if spared:
        raise NotTimed("left to `make bench-full` at this size")


def foretell(case, contender, prepare, given, slowest):
    """NotTimed for a call that would take too long, judged by a few of its queries."""
    if contender not in LINEAR or case.operation == "transfer" or case.m <= FORETOLD_BY:
        return
    x, *others = given
    call = prepare(x[:FORETOLD_BY], *others)
    for _ in range(2):  # the first one compiles: for 7 s KeOps was foretold to take 903
        foretold = clocked(call)[0] * case.m / FORETOLD_BY
        if foretold <= slowest:
            break
    else:
        raise NotTimed(f"a call would take {foretold:.0f} s, foretold by {FORETOLD_BY} of the queries")


@lru_cache(maxsize=1)
def our_call(case):
    """Our call, its answer found right, and its seconds: what every contender of the case meets."""
    call = OUR_CALLS[case.operation](*arguments(case), backend="auto")
    seconds, answer = clocked(call)
    must_keep_promise(case, answer)
    return call, seconds if seconds > SLOW else clocked(call)[0]


def clocked(call):
    """(seconds, what it returned)"""
    began = time.perf_counter()
    answer = call()
    return time.perf_counter() - began, answer


def answered(case, contender, backend, call):
    """Seconds of one call, and the columns about the answer and its memory. Ours has to be right."""
    columns, stats = {}, None
    for _ in range(2):  # imports, compilations and the buffers of a BLAS are not of the call
        with machine.peak_memory(columns):
            seconds, answer = clocked(call)
        if seconds > ONCE:
            break
    if contender == OURS:
        must_keep_promise(case, answer)
        if case.operation in WITH_STATS:
            stats = call(return_stats=True)[-1]
    return seconds, columns | quality(case, answer) | about(stats, backend, answer)


def rounds(bar, theirs, ours):
    """How often a contender meets ours, from the seconds that a call of either takes."""
    both = theirs + ours
    least, most, lasting, fewer = (
        (LEAST_OF_A_BAR, MOST_OF_A_BAR, SECONDS_OF_A_BAR, FEWER_OF_A_BAR)
        if bar
        else (LEAST_ROUNDS, MOST_ROUNDS, SECONDS, FEWER)
    )
    wanted = max(least, min(most, int(lasting / both)))
    if not bar and both > lasting and theirs > FAR * ours:
        wanted = 1
    return min([wanted, *(enough for slow, enough in fewer if both > slow)])


TICK = 0.01  # seconds, of what the system says of its processors


def turns(benchmark, case, ours, call, count, known=None):
    """The columns about the time: round by round, ours and then theirs, whose seconds may be known from before."""
    seconds = []

    def our_turn():
        time.sleep(PAUSE)
        began = time.perf_counter()
        ours()
        seconds.append(time.perf_counter() - began)
        time.sleep(PAUSE)

    began, own = busy(), time.process_time()
    benchmark.pedantic(call if known is None else lambda: None, setup=our_turn, rounds=count)
    ended, own = busy(), time.process_time() - own
    if not benchmark.enabled:
        return {}
    theirs = list(benchmark.stats.stats.data) if known is None else [known] * count
    return compared(theirs, seconds) | {
        "gflops": None if case.operations is None else case.operations / median(theirs) / 1e9,
        "others": max(0.0, (ended[0] - began[0] - own) / max(TICK, ended[1] - began[1])),
    }


STARTS = {IMPORT: ("none", "warm")} | {case: kind for kind, case in FIRST_CALLS.items()}


@pytest.mark.parametrize("case", STARTS, ids=lambda case: f"{case.operation}, {case.data}")
def test_start(benchmark, case, request):
    backend, state = STARTS[case]
    benchmark.group, found = case.operation, []
    row = rows.described(case, OURS, None if case is IMPORT else backend, "in a process of its own, NumPy imported")
    leave_out(row, request)
    try:
        with nullcontext(start.imported) if case is IMPORT else start.first_call(backend, state) as process:
            benchmark.pedantic(lambda: found.append(process()), rounds=PROCESSES)
        seconds, memory = zip(*found, strict=True)
        row |= {"threads": rows.THREADS, "memory": memory[-1], "ratio": None, "error": None, "wrong": None}
        row |= {"others": None} | timed(seconds) if benchmark.enabled else {}
    except NotTimed as reason:
        row |= {"skipped": str(reason)}
    finish(benchmark, row)


@pytest.mark.parametrize("contender", start.MEASURING)
def test_toolkit_cold(benchmark, contender, request):
    """Ours and theirs in turns, each in a process of its own without compiled kernels of earlier ones."""
    benchmark.group, found = RUNS.operation, []
    row = rows.described(RUNS, contender, None, "in a process of its own, NumPy imported, nothing compiled")
    leave_out(row, request)
    try:
        turn = OURS, contender
        benchmark.pedantic(lambda: found.append([start.measured_rankings(name) for name in turn]), rounds=1)
        (_, _, law), (_, memory, values) = found[-1]
        row |= {"threads": rows.THREADS, "error": max(abs(one - other) for one, other in zip(law, values, strict=True))}
        row |= {"memory": memory, "wrong": None, "others": None}
        ours, theirs = ([seconds for seconds, *_ in series] for series in zip(*found, strict=True))
        row |= compared(theirs, ours) if benchmark.enabled else {}
    except NotTimed as reason:
        row |= {"skipped": str(reason)}
    finish(benchmark, row)
