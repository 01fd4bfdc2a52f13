"""The benchmark's own judgement: answers are checked, and can be found wrong; rows are complete. Nothing is timed."""

import contextlib
import re
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import answers
import bench
import checkout
import columns
import contenders
import data
import machine
import numpy as np
import pytest
import rows
import shapes
import start
import toolkit

import crossmodal_fast as cmf
from benchmark_cases import CASES, row

MEASURED = {"ms", "ms_best", "ms_worst", "spread", "ratio", "error", "wrong"}
GOOD_ENOUGH = 1e-3  # of a peer in float32 on near duplicates; a wrong formula is off by far more


def arguments_of(case):
    try:
        return data.arguments(case)
    except shapes.NotTimed as reason:
        pytest.skip(str(reason))


def answer_of(case, prepare, **keywords):
    return prepare(*arguments_of(case), **keywords)()


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_our_answers_keep_the_promise(case):
    answer = answer_of(case, contenders.OUR_CALLS[case.operation], backend="auto")
    answers.must_keep_promise(case, answer)
    assert answers.quality(case, answer)["wrong"] in (0, None)


PEERS = contenders.PEERS
COMPILES = {"KeOps"}  # for 40 s
CONTESTS = [
    pytest.param(case, peer, id=f"{name}, {peer}", marks=[pytest.mark.heavy] if peer in COMPILES else [])
    for name, case in CASES.items()
    for peer in PEERS[case.operation]
]


@pytest.mark.parametrize(("case", "peer"), CONTESTS)
def test_peers_compute_the_same(case, peer):
    try:
        answer = answer_of(case, PEERS[case.operation][peer])
    except (ImportError, shapes.NotTimed) as reason:
        pytest.skip(str(reason))
    found = answers.quality(case, answer)
    if case.data != "near duplicates" and found["error"] is not None:
        assert found["error"] < GOOD_ENOUGH
        assert not found["wrong"]


def swapped(part):
    distances, indices = part
    return distances, indices[:, ::-1]


def farther(part):
    distances, indices = part
    return distances * np.float32(1.01), indices


@pytest.mark.parametrize("operation", ["topk", "Gallery.topk", "topk_both"])
@pytest.mark.parametrize(
    ("spoil", "wrong", "error", "message"),
    [(swapped, 24, 1e-7, "index at"), (farther, 0, 0.0101, "distance at")],
)
def test_wrong_neighbours_are_seen(operation, spoil, wrong, error, message):
    case = CASES[f"{operation}, normal, None"]
    answer = answer_of(case, contenders.OUR_CALLS[operation], backend="auto")
    if operation == "topk_both":  # the second side alone is spoiled: 16 of its 40 rows are in the sample
        spoiled, wrong = (answer[0], spoil(answer[1])), wrong * 16 // 12
    else:
        spoiled = spoil(answer)
    found = answers.quality(case, spoiled)
    assert found["wrong"] == wrong
    assert found["error"] <= error
    with pytest.raises(AssertionError, match=message):
        answers.must_keep_promise(case, spoiled)


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith(("pairwise", "transfer"))])
def test_a_wrong_entry_is_seen(name):
    case = CASES[name]
    answer = answer_of(case, contenders.OUR_CALLS[case.operation], backend="auto").copy()
    before = answers.quality(case, answer)["error"]
    answer[3] *= np.float32(1.001)
    assert before < 1e-6
    assert answers.quality(case, answer)["error"] == pytest.approx(1e-3, rel=0.01)
    with pytest.raises(AssertionError, match="the law says"):
        answers.must_keep_promise(case, answer)


SPOILED = {
    "csls": lambda found: (found[0], found[1][::-1], found[2]),
    "sinkhorn": lambda found: (found[0] + 0.01, found[1]),
    "cca": lambda found: (found[0][:, ::-1], found[1]),
    "assignment": lambda found: (found[0], found[1][::-1]),
    "ranks": lambda found: found + 1,
}


@pytest.mark.parametrize("operation", toolkit.TOOLS)
def test_a_wrong_answer_of_a_tool_is_seen(operation):
    case = CASES[f"{operation}, normal, None"]
    answer = answer_of(case, contenders.OUR_CALLS[operation], backend="auto")
    answers.must_keep_promise(case, answer)
    with pytest.raises(AssertionError, match="the law"):
        answers.must_keep_promise(case, SPOILED[operation](answer))


def test_recorded_rows_are_complete_and_say_nothing_about_the_machine_but_its_kind():
    paths = sorted(rows.FOLDER.glob("*.jsonl"))
    known = set(rows.described(CASES["topk, normal, None"], "FAISS", None, "call"))
    for found in rows.read(paths):
        measured = {"skipped"} if "skipped" in found else MEASURED
        assert known | measured <= found.keys()
        if found["contender"] == shapes.OURS and "skipped" not in found:
            assert found["wrong"] in (0, None)
    text = "".join(path.read_text(encoding="utf-8") for path in paths)
    assert not re.search(rf"\b{re.escape(socket.gethostname())}\b", text)
    assert not re.search(r"(?<![\w.])/\w", text)


def test_the_short_run_covers_every_size_and_the_full_one_all_of_them():
    searches = [case for case in shapes.SHORT if case.k and case.operation != "topk_both"]
    for name, sizes in {
        "m": {1, 16, 64, 200, 2000, 10_000},
        "n": {10_000, 100_000, 1_000_000},
        "d": {64, 128, 256, 384, 768, 1024},
        "k": {1, 10, 100, 1000},
    }.items():
        assert sizes <= {getattr(case, name) for case in searches}
    assert {*shapes.SHORT, *shapes.LONGER, *shapes.CROSSED} == {*shapes.FULL}
    assert len(shapes.CROSSED) == 6 * 4 * (2 * 6 + 1)  # a million rows have 128 features only
    assert len({case.name for case in shapes.FULL}) == len(shapes.FULL)


def test_every_bar_is_in_the_short_run():
    for bar in shapes.BARS:
        if bar.contender == shapes.OURS:
            assert bar.case in bench.STARTS
        elif bar.case == shapes.RUNS:
            assert bar.contender in start.MEASURING
        else:
            assert bar.case in (*shapes.SHORT, *shapes.TOOLKIT)
            assert bar.contender in PEERS[bar.case.operation]


def test_copies_of_sentences_lie_near_their_originals_and_no_query_has_one():
    case = replace(shapes.SENTENCES, m=100, n=20_200)
    x, y, _ = arguments_of(case)
    originals = 20_000 - case.m
    apart = np.linalg.norm(y[: case.n - originals] - y[originals:], axis=1)  # two copies of one sentence
    assert np.allclose(np.linalg.norm(y, axis=1), 1, atol=1e-5)
    assert 0.8 < np.median(apart) / (2**0.5 * data.NOISE) < 1.2
    assert np.median(np.linalg.norm(x[0] - y, axis=1)) > 1


def test_the_peak_is_of_multiply_adds_in_registers():
    totals = np.arange(machine.ACCUMULATORS, dtype=np.float32)
    for _ in range(4):
        totals = totals / 2 + np.float32(0.5)
    assert machine.many_multiply_adds(4, np.float32(0.5)) == totals.sum()
    assembly = "".join(machine.many_multiply_adds.inspect_asm().values())
    assert len(re.findall(r"vfmadd|fmla", assembly)) >= machine.ACCUMULATORS
    assert 0.1 < machine.peak_gflops() < 1e6


def test_a_reader_reads_every_word():
    words = np.arange(1000)
    assert machine.total(words, 1) == words.sum()
    assert machine.total(words, 2) == words.sum() + (words ^ 1).sum()
    assert machine.reader(words)() is None
    assert machine.read_gbs(1 << 20) > 0


@pytest.mark.skipif(not machine.CLEAR.exists(), reason="only Linux tells the peak of the memory")
def test_the_memory_of_a_call_is_seen_again_when_it_is_called_again():
    found = {}
    for _ in range(2):
        with machine.peak_memory(found):
            np.ones(5_000_000)
        assert found["memory"] == pytest.approx(4e7, rel=0.1)
    with machine.peak_memory(found):
        pass
    assert found["memory"] < 1e6


@pytest.mark.parametrize(
    ("library", "simd", "doubtful"),
    [
        ({"internal_api": "openblas", "architecture": "Prescott"}, "AVX512_ICL", True),
        ({"internal_api": "openblas", "architecture": "Nehalem"}, "X86_V3", True),
        ({"internal_api": "openblas", "architecture": "Haswell"}, "AVX512_ICL", False),
        ({"internal_api": "openblas", "architecture": "Nehalem"}, "SSE42", False),
        ({"internal_api": "mkl"}, "X86_V3", False),
        ({}, "NEON", False),
    ],
)
def test_a_blas_for_an_older_cpu_is_refused(library, simd, doubtful):
    sentence = rows.blas_doubt(library, simd)
    assert (sentence is not None) == doubtful
    if doubtful:
        assert sentence.startswith(f"NumPy's OpenBLAS must use kernels for this CPU, which has {simd}, got those for ")


def test_the_tuned_threshold_is_put_back():
    faiss = pytest.importorskip("faiss")
    import peers

    default = faiss.cvar.distance_compute_blas_threshold
    seen = []

    def prepare(x, y, k):
        def call():
            seen.append(faiss.cvar.distance_compute_blas_threshold)
            time.sleep(0.02 if seen[-1] else 0)

        return call

    x = np.zeros((2, 3), np.float32)
    peers.tuned(prepare, x, x, 1)()
    assert seen == [peers.ALWAYS_BLAS] * 2 + [peers.NEVER_BLAS] * 2 + [peers.ALWAYS_BLAS]
    assert faiss.cvar.distance_compute_blas_threshold == default
    with pytest.raises(shapes.NotTimed, match="takes the better way here"):
        peers.tuned(prepare, np.zeros((default, 1), np.float32), x, 1)  # BLAS by default


def test_slow_calls_are_foretold(monkeypatch):
    """By a clock that goes on by a millisecond a query, however busy the machine is."""
    case, now = shapes.search(1600, 10, 4), [0.0]
    monkeypatch.setattr(bench.time, "perf_counter", lambda: now[0])

    def prepare(x, y, k):
        def call():
            now[0] += 0.001 * len(x)

        return call

    with pytest.raises(shapes.NotTimed, match="a call would take 2 s, foretold by 16 of the queries"):
        bench.foretell(case, "SciPy", prepare, data.arguments(case), slowest=0.5)
    bench.foretell(case, "SciPy", prepare, data.arguments(case), slowest=60)
    bench.foretell(case, "FAISS", prepare, data.arguments(case), slowest=0.5)

    def compiled(x, y, k):
        waits = iter([7.0])

        def call():
            now[0] += next(waits, 0.0001)

        return call

    bench.foretell(case, "KeOps", compiled, data.arguments(case), slowest=20)


def test_what_takes_ages_is_called_once(monkeypatch):
    monkeypatch.setattr(bench, "PAUSE", 0)
    calls = []
    found = bench.turns(
        Stopwatch(), shapes.SINKHORN, lambda: calls.append("ours"), lambda: calls.append("theirs"), 1, known=50.0
    )
    assert calls == ["ours"]
    assert (found["ms"], found["rounds"]) == (50_000, 1)
    assert found["ratio"] > 100


def within_reason(seconds, memory):
    return 0 < seconds < 60 and (memory is None or 1e6 < memory < 1e9)


def test_a_fresh_process_tells_its_seconds_and_who_cannot_run():
    assert within_reason(*start.imported())
    with start.first_call("numpy", "cold") as called:
        assert within_reason(*called())
    with pytest.raises(shapes.NotTimed, match="BackendUnavailable: topk cannot run with backend='cuda'"):
        start.measured("cuda", "")


class Stopwatch:
    """What bench.py uses of pytest-benchmark."""

    enabled = True

    def pedantic(self, call, rounds, setup=lambda: None):
        self.data = []
        for _ in range(rounds):
            setup()
            began = time.perf_counter()
            call()
            self.data.append(time.perf_counter() - began)

    @property
    def stats(self):
        return SimpleNamespace(stats=self)


NOTHING_ASKED = SimpleNamespace(config=SimpleNamespace(getoption=lambda name: False))


def run(entry, request):
    with contextlib.suppress(pytest.skip.Exception):
        bench.test_speed(Stopwatch(), entry, request)


def test_a_run_records_complete_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "FOLDER", tmp_path)
    monkeypatch.setattr(bench, "rounds", lambda *_: 4)  # how many there are is of the clock, and tested by itself
    case = CASES["Gallery.topk, normal, None"]
    for contender, backend in ((shapes.OURS, "numpy"), ("NumPy", None), (shapes.OURS, "cuda")):
        run((case, contender, backend), NOTHING_ASKED)
    ours, peer, missing = rows.read(tmp_path.glob("*.jsonl"))
    assert missing["skipped"].startswith("topk cannot run with backend='cuda'")
    everything = MEASURED | {"gflops", "share_of_peak", "share_of_bandwidth", "memory", "blas", "rounds", "others"}
    everything |= {"backend", "ran", "precision", "candidates", "versions", "machine", "commit", "bytes", "threads"}
    for found in (ours, peer):
        assert everything <= found.keys()
        assert found["wrong"] == 0
        assert found["error"] < 1e-6
        assert found["ratio_low"] <= found["ratio"] <= found["ratio_high"]
        assert found["rounds"] == 4
    assert (ours["ran"], ours["precision"], peer["ran"]) == ("numpy", "float32", None)
    assert (peer["precision"], peer["candidates"]) == ("float32", None)
    assert ours["candidates"] >= case.k


def test_rows_of_fresh_processes_have_their_memory(tmp_path, monkeypatch):
    """Those of the measures are of one round: what ours is held against takes a minute and more."""
    monkeypatch.setattr(rows, "FOLDER", tmp_path)
    took = {shapes.OURS: (0.5, 30_000_000, [0.25, 0.5]), "ranx": (100.0, 700_000_000, [0.25, 0.375])}
    monkeypatch.setattr(start, "measured_rankings", took.get)
    monkeypatch.setattr(start, "imported", lambda: (0.2, 5_000_000))
    bench.test_toolkit_cold(Stopwatch(), "ranx", NOTHING_ASKED)
    bench.test_start(Stopwatch(), shapes.IMPORT, NOTHING_ASKED)
    measures, imported = rows.read(tmp_path.glob("*.jsonl"))
    assert (measures["ms"], measures["ratio"], measures["rounds"]) == (100_000, 200, 1)
    assert (measures["memory"], measures["error"]) == (700_000_000, 0.125)
    assert (imported["ms"], imported["memory"], imported["rounds"]) == (200, 5_000_000, bench.PROCESSES)
    assert {"spread", "wrong", "others", "threads"} <= measures.keys() & imported.keys()


@pytest.mark.parametrize(
    ("bar", "theirs", "ours", "count"),
    [
        (False, 0.001, 0.001, 5),
        (True, 0.1, 0.1, 9),
        (True, 0.3, 0.3, 4),
        (True, 0.6, 0.6, 3),
        (False, 0.3, 0.3, 2),
        (False, 0.5, 0.1, 1),  # far behind
        (False, 0.1, 0.5, 2),  # ahead
        (False, 0.01, 0.001, 5),
        (False, 0.6, 0.6, 2),
        (False, 1.5, 1.5, 1),
        (True, 2.0, 1.0, 3),
        (True, 4.0, 2.0, 2),
        (True, 30.0, 1.0, 1),
    ],
)
def test_rounds_are_fewer_where_they_are_long_or_the_ratio_is_clear(bar, theirs, ours, count):
    assert bench.rounds(bar, theirs, ours) == count


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (None, None),
        (np.zeros(3), "float64"),
        ((np.zeros(3, np.float32), np.zeros(3, int)), "float32"),
        ((np.zeros(3, int), np.zeros(3, int), np.zeros(3)), "float64"),
        (((np.zeros(3, np.float32), np.zeros(3, int)), None), "float32"),
        ((np.zeros(3, int), np.zeros(3, int)), None),
    ],
)
def test_the_numbers_of_an_answer_are_those_of_its_values(answer, kind):
    assert columns.numbers(answer) == kind


def test_a_single_round_has_no_spread():
    found = columns.compared([3.0], [1.5])
    assert (found["ms"], found["spread"], found["ratio_low"], found["ratio_high"], found["rounds"]) == (3e3, 0, 2, 2, 1)


@pytest.mark.parametrize(
    ("case", "contender", "backend", "spared"),
    [
        (shapes.WIDE, "scikit-learn", None, True),
        (shapes.WIDE, "FAISS", None, False),  # a bar
        (shapes.WIDE, "bare GEMM", None, False),
        (shapes.SENTENCES, "bare GEMM", None, True),
        (shapes.WIDE, shapes.OURS, "numba", False),
        (shapes.WIDE, shapes.OURS, "numpy", True),
        (shapes.MIDDLE, "scikit-learn", None, False),
        (shapes.SINGLE, shapes.OURS, "numpy", False),
        (shapes.SINKHORN, "streamed", None, True),
    ],
)
def test_what_takes_minutes_is_left_to_the_full_run(case, contender, backend, spared):
    with pytest.raises(shapes.NotTimed, match="left to") if spared else contextlib.nullcontext():
        bench.spare(case, contender, backend)


def test_only_what_is_missing_is_timed_if_asked(tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "FOLDER", tmp_path)
    monkeypatch.setattr(rows, "commit", lambda: "this")
    for contender, commit, measured in (
        ("FAISS", "this", {}),
        ("SciPy", "this", {"skipped": "why"}),
        ("NumPy", "that", {}),
    ):
        rows.record(row(contender, **measured) | {"commit": commit})
    bench.timed_before.cache_clear()
    asked = SimpleNamespace(config=SimpleNamespace(getoption=lambda name: name == "--missing"))
    with pytest.raises(pytest.skip.Exception, match="timed at this commit before"):
        bench.leave_out(row("FAISS"), asked)
    for contender in ("SciPy", "NumPy", "torch cdist"):
        bench.leave_out(row(contender), asked)
    bench.leave_out(row("FAISS"), NOTHING_ASKED)
    for unknown in ("this+", None):  # changes that are others every time; no clone
        monkeypatch.setattr(rows, "commit", lambda unknown=unknown: unknown)
        rows.record(row("USearch") | {"commit": unknown})
        bench.timed_before.cache_clear()
        bench.leave_out(row("USearch"), asked)
    bench.timed_before.cache_clear()


def test_a_wrong_answer_of_ours_is_never_timed(monkeypatch):
    case = replace(CASES["topk, normal, None"], m=11)

    def spoiled(x, y, k, backend):
        return lambda: farther(cmf.topk(x, y, k))

    monkeypatch.setitem(bench.OUR_CALLS, "topk", spoiled)
    with pytest.raises(AssertionError, match="distance at"):
        bench.our_call(case)


def test_a_checkout_is_found_where_nothing_is_installed(tmp_path):
    """As on a GPU machine without a network: other folders, no site packages of ours."""
    program = (
        "import sys; sys.meta_path = [finder for finder in sys.meta_path if 'editable' not in repr(finder)];"
        f"sys.path.insert(0, {str(Path(checkout.__file__).parent)!r}); import checkout;"
        "import crossmodal_fast.kernels as kernels; print(kernels.__path__[0])"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
    )
    assert Path(found.stdout.strip()) == checkout.ROOT / "kernels"
    assert checkout.Kernels.find_spec("crossmodal_fast.other") is None
