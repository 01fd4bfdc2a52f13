"""`pytest benchmarks/bench.py [--full]`: every contender on every case, answers first, then time in turns with ours.

Each round times ours, then the contender, with a pause before either: threads of OpenBLAS and OpenMP spin for some
milliseconds after their work and would be charged to whoever comes next. A contender's ratio is the median of its
rounds' ratios, so that what slows a shared machine down for a while slows both. Ours against itself shows the noise.
"""

import os
import time
from contextlib import nullcontext
from functools import lru_cache, partial, update_wrapper
from pathlib import Path
from statistics import median, quantiles

import machine
import numpy as np
import psutil
import pytest
import rows
import start
from answers import must_keep_promise, quality
from contenders import OUR_CALLS, PEERS
from data import arguments
from shapes import FIRST_CALLS, FULL, IMPORT, LARGE, OURS, RUNS, SHORT, TOOLKIT, WITH_STATS, NotTimed, has_bar
from threadpoolctl import threadpool_limits

import crossmodal_fast as cmf

PAUSE = 0.03  # seconds; OpenBLAS gives up spinning after 2**26 cycles, about 25 ms
SECONDS, SECONDS_OF_A_BAR = 0.7, 5.0  # of rounds a contender, ours counted, pauses not
LEAST_ROUNDS, LEAST_OF_A_BAR, MOST_ROUNDS = 3, 7, 15
SLOW, SLOW_ROUNDS = 5.0, 2  # seconds of a round, and how many of them are enough for what takes that long
PROCESSES = 5  # started for each of the first calls
LARGE_BLOCK = 31 << 20  # bytes; once one that large is freed, glibc keeps smaller ones instead of returning them

LINEAR = {"SciPy", "NumKong", "USearch"}  # as long for 1000 queries as 100 times for 10: the time can be foretold
FORETOLD_BY = 16  # queries
SLOWEST, SLOWEST_OF_ALL = 2.0, 60.0  # seconds a call, foretold
HEAVY = 3e10  # operations from where on only one of two alike is timed
ALIKE = {("torch cdist", None): "torch matmul", (OURS, "numpy"): f"{OURS} numba"}
WIDTH = {"int8": 1, "int16": 2, "float16": 2, "float32": 4, "float64": 8}

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
    try:
        spare(case, contender, backend, full)
        given = arguments(case)
        with threadpool_limits(rows.THREADS):
            foretell(case, contender, prepare, given, SLOWEST_OF_ALL if full else SLOWEST)
            ours, our_seconds = our_call(case)
            call = prepare(*given)
            seconds, columns = answered(case, contender, call)
            row |= {"threads": rows.THREADS, "blas": rows.blas_loaded()} | columns
            row |= turns(benchmark, case, contender, ours, call, our_seconds + seconds)
        row |= shares(row, case, getattr(call, "bytes", None)) if "ms" in row else {}
    except (NotTimed, cmf.BackendUnavailable) as reason:
        row |= {"skipped": str(reason)}
    except ImportError as reason:
        if contender == OURS:
            raise
        row |= {"skipped": str(reason)}
    finish(benchmark, row)


def finish(benchmark, row):
    if benchmark.enabled:
        rows.record(row)
    if "skipped" in row:
        pytest.skip(row["skipped"])


def contestant(case, contender, backend):
    """The function that prepares the contender's call."""
    if contender == OURS:
        return update_wrapper(partial(OUR_CALLS[case.operation], backend=backend), OUR_CALLS[case.operation])
    return PEERS[case.operation][contender]


def spare(case, contender, backend, full):
    """NotTimed for what `make bench` has no minutes for."""
    if not full and (case.operations or 0) > HEAVY and (contender, backend) in ALIKE:
        raise NotTimed(f"left to `make bench-full` at this size; {ALIKE[contender, backend]} stands for it")


def foretell(case, contender, prepare, given, slowest):
    """NotTimed for a call that would take too long, judged by a few of its queries."""
    if contender not in LINEAR or case.operation == "transfer" or case.m <= FORETOLD_BY:
        return
    x, *others = given
    call = prepare(x[:FORETOLD_BY], *others)
    began = time.perf_counter()
    call()
    foretold = (time.perf_counter() - began) * case.m / FORETOLD_BY
    if foretold > slowest:
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


def answered(case, contender, call):
    """Seconds of one call, and the columns about the answer and its memory. Ours has to be right."""
    columns, stats = {}, None
    for _ in range(2):  # imports, compilations and the buffers of a BLAS are not of the call
        with machine.peak_memory(columns):
            seconds, answer = clocked(call)
        if seconds > SECONDS:
            break
    if contender == OURS:
        must_keep_promise(case, answer)
        if case.operation in WITH_STATS:
            stats = call(return_stats=True)[-1]
    return seconds, columns | quality(case, answer) | about(stats)


def about(stats):
    """What ours tells of a search."""
    return {
        "ran": stats and stats.backend,
        "precision": stats and stats.precision,
        "candidates": stats and float(stats.candidates.mean()),
        "widened": stats and int(stats.widened.sum()),
        "prepare_ms": stats and 1e3 * stats.prepare_seconds,
        "scan_ms": stats and 1e3 * stats.scan_seconds,
    }


def turns(benchmark, case, contender, ours, call, both):
    """The columns about the time: round by round, ours and then theirs; `both` is what a round takes."""
    seconds = []

    def our_turn():
        time.sleep(PAUSE)
        began = time.perf_counter()
        ours()
        seconds.append(time.perf_counter() - began)
        time.sleep(PAUSE)

    bar = has_bar(case, contender)
    least, lasting = (LEAST_OF_A_BAR, SECONDS_OF_A_BAR) if bar else (LEAST_ROUNDS, SECONDS)
    least = SLOW_ROUNDS if both > SLOW else least
    began, own = busy(), time.process_time()
    benchmark.pedantic(call, setup=our_turn, rounds=max(least, min(MOST_ROUNDS, int(lasting / both))))
    ended, own = busy(), time.process_time() - own
    if not benchmark.enabled:
        return {}
    theirs = list(benchmark.stats.stats.data)
    return compared(theirs, seconds) | {
        "gflops": None if case.operations is None else case.operations / median(theirs) / 1e9,
        "others": max(0.0, (ended[0] - began[0] - own) / (ended[1] - began[1])),
    }


def compared(theirs, ours):
    """Columns of two series of times, round by round."""
    ratios = [their / our for their, our in zip(theirs, ours, strict=True)]
    low, middle, high = quantiles(ratios, n=4, method="inclusive")
    return timed(theirs) | {
        "ours_ms": 1e3 * median(ours),
        "ratio": middle,
        "ratio_low": low,
        "ratio_high": high,
        "ratio_best": min(theirs) / min(ours),
    }


def timed(seconds):
    """Columns of one series of times; `spread` is the middle half of them, as a share of the median."""
    low, middle, high = quantiles(seconds, n=4, method="inclusive")
    return {
        "ms": 1e3 * middle,
        "ms_best": 1e3 * min(seconds),
        "ms_worst": 1e3 * max(seconds),
        "spread": (high - low) / middle,
        "rounds": len(seconds),
    }


def shares(row, case, read):
    """Of what the machine can do at best: float32 multiply-adds, and reading what has to be read, or `read` bytes."""
    size = read or case.bytes(WIDTH.get(row["precision"], 4))
    gbs = size / row["ms"] / 1e6
    bandwidth, peak = machine.read_gbs(machine.comparable(size)), machine.peak_gflops(case)
    return {
        "peak_gflops": peak,
        "share_of_peak": None if row["gflops"] is None else row["gflops"] / peak,
        "gbs": gbs,
        "bandwidth_gbs": bandwidth,
        "share_of_bandwidth": gbs / bandwidth,
    }


def busy():
    """Seconds that all cores have worked, and all seconds they have had."""
    spent = psutil.cpu_times()
    idle = spent.idle + getattr(spent, "iowait", 0.0)
    return sum(spent) - idle, sum(spent)


STARTS = {IMPORT: ("none", "warm")} | {case: kind for kind, case in FIRST_CALLS.items()}


@pytest.mark.parametrize("case", STARTS, ids=lambda case: f"{case.operation}, {case.data}")
def test_start(benchmark, case):
    backend, state = STARTS[case]
    benchmark.group, found = case.operation, []
    row = rows.described(case, OURS, None if case is IMPORT else backend, "in a process of its own, NumPy imported")
    try:
        with nullcontext(start.import_seconds) if case is IMPORT else start.first_call(backend, state) as seconds:
            benchmark.pedantic(lambda: found.append(seconds()), rounds=PROCESSES)
        row |= {"threads": rows.THREADS, "ratio": None, "error": None, "wrong": None, "others": None}
        row |= timed(found) if benchmark.enabled else {}
    except NotTimed as reason:
        row |= {"skipped": str(reason)}
    finish(benchmark, row)


@pytest.mark.parametrize("contender", start.MEASURING)
def test_toolkit_cold(benchmark, contender):
    """Ours and theirs in turns, each in a process of its own without compiled kernels of earlier ones."""
    benchmark.group, found = RUNS.operation, []
    row = rows.described(RUNS, contender, None, "in a process of its own, NumPy imported, nothing compiled")
    try:
        turn = OURS, contender
        benchmark.pedantic(lambda: found.append([start.measured_rankings(name) for name in turn]), rounds=2)
        (_, law), (_, values) = found[0]
        row |= {"threads": rows.THREADS, "error": max(abs(one - other) for one, other in zip(law, values, strict=True))}
        row |= {"wrong": None, "others": None}
        ours, theirs = ([seconds for seconds, _ in series] for series in zip(*found, strict=True))
        row |= compared(theirs, ours) if benchmark.enabled else {}
    except NotTimed as reason:
        row |= {"skipped": str(reason)}
    finish(benchmark, row)
