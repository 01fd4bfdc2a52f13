"""The Numba engine on small inputs, forced through its rare paths: every register tile that this CPU executes, rows
longer than a block, jobs and chunks of a few rows, candidates that no bound tells apart."""

import hashlib
import inspect
import tracemalloc

import numpy as np
import pytest
from llvmlite import ir

import crossmodal_fast as cmf
import judge
from crossmodal_fast.kernels.tiles import engine, packed, pool, simd
from crossmodal_fast.kernels.topk import reference as topk_law
from least import least_max_bytes
from searches import OPERATIONS, PRECISIONS, as_numpy_says, border, crowd, crowd_filters, everything, flat, random, same
from test_near_ties import every_search, shell

# ------------------------------------------------------------------------------------------------------ rows in blocks


def at_the_seams(m, n, d):
    """Each feature next to an end of a block of any precision weighs as much as all others together."""
    x, y = random(m, n, d, seed=d)
    seams = np.unique(np.clip([at + side for at in range(0, d + 1, 2048) for side in (-1, 0)], 0, d - 1))
    for rows in (x, y):
        rows[:, seams] *= np.float32(np.sqrt(d / len(seams)))
    return x, y


@pytest.mark.parametrize("d", [8192, 16_385, pytest.param(40_001, marks=pytest.mark.heavy), 65_536])
def test_rows_longer_than_a_block(d, monkeypatch):
    monkeypatch.setattr(engine, "QUERY_BYTES", 1 << 24)  # several panels of queries wait for the next block
    x, y = at_the_seams(8, 34, d)
    y[:4] = x[:4]
    for metric in ("euclidean", "dot") if d < 20_000 else ("sqeuclidean",):
        third = border(x, y, 3, metric)
        lawful = everything(x, y, third, metric, backend="numpy")
        for precision in PRECISIONS:
            same(everything(x, y, third, metric, precision=precision, backend="numba"), lawful)
            stats = cmf.topk(x, y, 3, metric, precision=precision, backend="numba", return_stats=True)[2]
            assert stats.candidates.max() <= {"int6": 200, "int7": 70, "int8": 34}.get(precision, 12)


def test_a_row_longer_than_a_block_by_the_law():
    every_search(*at_the_seams(3, 30, 16_385), 4, "euclidean", "numba", precision="int16")


@pytest.mark.parametrize("d", [133_152, 133_153])
def test_bytes_whose_sums_could_leave_int32(d):
    """2^31 / 127^2 = 133,152.6: longer rows have no int8 codes, and get their answer without."""
    ones = np.ones((2, d), np.int8)
    x, y = ones * np.int8(127), np.concatenate([ones, -ones, ones]) * np.int8(127)
    answer = cmf.topk(x, y, 6, "dot", precision="int8", backend="numba")
    judge.same_bits(answer, topk_law.topk(x, y, 6, "dot"), np.float32)


# ---------------------------------------------------------------------------------------------------- register tiles


def unsigned_bytes(emitter, x, y, total):
    """What VNNI does, in instructions that every CPU has: codes of x unsigned, of y signed."""
    shorts = ir.VectorType(simd.SHORT, 2 * emitter.lanes)
    eight = ir.Constant(shorts, [8] * (2 * emitter.lanes))
    b = emitter.builder
    x, y = b.bitcast(x, shorts), b.bitcast(y, shorts)
    for low in (True, False):
        left, right = (b.shl(codes, eight) if low else codes for codes in (x, y))
        widened = b.lshr(left, eight), b.ashr(right, eight)
        total = b.add(total, emitter.pairs(*(b.bitcast(codes, emitter.vector) for codes in widened)))
    return total


EMULATION = hashlib.sha256(inspect.getsource(unsigned_bytes).encode()).hexdigest()[:8]  # kernels are kept by name
EMULATED = simd.Machine(f"emulated-{EMULATION}-vnni", 128, 4, 2, ())
MACHINES = (*simd.runnable(), EMULATED)
SELDOM = [("portable", kind) for kind in PRECISIONS]  # instructions that others have run
SELDOM += [(EMULATED.name, kind) for kind in ("int6", "int7")]


@pytest.fixture
def force(monkeypatch):
    """Let this be the only machine."""
    multiply_add = simd.Emitter.multiply_add

    def emulated(emitter, x, y, total):
        if emitter.machine is not EMULATED or not emitter.kind.exact:
            return multiply_add(emitter, x, y, total)
        if emitter.kind.code == "int8":
            return unsigned_bytes(emitter, x, y, total)
        return emitter.builder.add(total, emitter.pairs(x, y))

    monkeypatch.setattr(simd.Emitter, "multiply_add", emulated)
    return lambda machine: monkeypatch.setattr(simd, "runnable", lambda: (machine,))


MACHINES_AND_PRECISIONS = [
    pytest.param(
        machine, precision, marks=pytest.mark.heavy if (machine.name, precision) in SELDOM else (),
        id=f"{machine.name.split('-')[0]}-{precision}",
    )
    for machine in MACHINES for precision in PRECISIONS
    if machine is not EMULATED or precision in ("int6", "int7", "int8")
]  # fmt: skip


@pytest.mark.parametrize(("machine", "precision"), MACHINES_AND_PRECISIONS)
def test_every_machine_in_every_search(machine, precision, force):
    force(machine)
    rng = np.random.default_rng(202)
    bias = rng.standard_normal(13), rng.standard_normal(150)
    x, y = random(13, 150, 37)
    y[100:] = y[:50]
    for metric in ("sqeuclidean", "cosine", "dot"):
        every_search(x, y, 6, metric, "numba", precision=precision)
        every_search(x, y, 6, metric, "numba", precision=precision, bias=bias)
    every_search(*shell(5, 300, 70, 1e-6, np.float32), 7, "euclidean", "numba", precision=precision)
    whole = (rng.integers(-128, 128, (rows, 37)).astype(np.int8) for rows in (9, 140))
    every_search(*whole, 8, "euclidean", "numba", precision=precision)
    gallery = cmf.Gallery(y)
    answer = gallery.topk(x, 6, precision=precision, backend="numba")
    judge.same_bits(answer, topk_law.topk(x, y, 6), np.float32)
    stats = cmf.topk(x, y[:100], 6, precision=precision, backend="numba", return_stats=True)[2]
    assert not stats.widened.any()
    assert stats.candidates.max() <= {"int6": 60, "int7": 32, "int8": 20}.get(precision, 8)


# ------------------------------------------------------------------------------------ threads, workspace, batch splits


@pytest.mark.parametrize("kind", crowd_filters(1, 1))
def test_threads_and_workspace_do_not_show(kind, monkeypatch):
    x, y = crowd()
    filters, metric = crowd_filters(len(x), len(y))[kind], "sqeuclidean"
    third = border(x, y, 7, metric, **filters)
    lawful = everything(x, y, third, metric, backend="numpy", **filters)
    for n_threads in (1, 2, 3, 8):
        same(everything(x, y, third, metric, n_threads=n_threads, backend="numba", **filters), lawful)
        if n_threads == 3:
            continue
        for name, expected in zip(OPERATIONS, lawful, strict=True):

            def call(max_bytes, name=name, n_threads=n_threads):
                return getattr(cmf, name)(x, y, third[name], metric, max_bytes=max_bytes, n_threads=n_threads,
                                          backend="numba", **filters)  # fmt: skip

            least = least_max_bytes(call)
            for max_bytes in (least, least + least // 10, 2 * least) if n_threads == 2 else (least,):
                same(call(max_bytes), expected)
    monkeypatch.setattr(packed, "PIECE_BYTES", 1 << 10)  # a job for a panel or two
    monkeypatch.setattr(engine, "QUERY_BYTES", 1)
    monkeypatch.setattr(engine, "GALLERY_BYTES", 1)
    same(everything(x, y, third, metric, n_threads=3, backend="numba", **filters), lawful)


def test_the_least_that_is_named_does_where_no_scan_is_bounded():
    """Roots with a bias: the room of a scan's lists is none of what such a search needs."""
    x, y = np.ones((1, 8), np.float32), np.random.default_rng(3).standard_normal((5000, 8)).astype(np.float32)

    def call(max_bytes):
        bias = np.zeros(1), np.zeros(5000)
        return cmf.topk(x, y, 3200, bias=bias, max_bytes=max_bytes, n_threads=7, backend="numba")

    call(least_max_bytes(call))


def test_one_byte_less_than_the_least_is_refused():
    x, y = crowd()
    third = border(x, y, 7)
    for name in OPERATIONS:

        def call(max_bytes, name=name):
            return getattr(cmf, name)(x, y, third[name], max_bytes=max_bytes, backend="numba")

        least = least_max_bytes(call)
        call(least)
        with pytest.raises(ValueError, match=rf"^max_bytes must be at least {least} for d=19 and .*, got {least - 1}$"):
            call(least - 1)


def test_split_of_the_queries():
    x, y = crowd()
    third = border(x, y, 7)
    whole = everything(x, y, third, backend="numba")
    for cuts in ([1], [6, 12, 13], [20]):
        parts = [
            (cmf.topk(rows, y, 7, backend="numba"), cmf.within(rows, y, radius, backend="numba"),
             cmf.ranks(rows, y, positives, backend="numba"))
            for rows, radius, positives in zip(
                np.split(x, cuts), np.split(third["within"], cuts), np.split(third["ranks"], cuts), strict=True)
        ]  # fmt: skip
        best, inside, ranks = zip(*parts, strict=True)
        same([np.concatenate(side) for side in zip(*best, strict=True)], whole[0])
        counts = np.concatenate([np.diff(part.indptr) for part in inside])
        np.testing.assert_array_equal(counts, np.diff(whole[2].indptr))
        same([np.concatenate([part[at] for part in inside]) for at in (1, 2)], whole[2][1:])
        same(np.concatenate(ranks), whole[3])


# ---------------------------------------------------------------------------------------------------- adversarial data


def duplicated(rng, dtype):
    """20 queries, 2000 rows of which 10 differ: 200 of each."""
    held = rng.standard_normal((10, 24)).astype(dtype)
    return np.concatenate([held, rng.standard_normal((10, 24)).astype(dtype)]), held[np.arange(2000) % 10]


def all_equal(rng, dtype):
    row = rng.standard_normal((1, 24)).astype(dtype)
    return np.repeat(row, 10, axis=0), np.repeat(row, 1500, axis=0)


def near_duplicates(gap):
    def make(rng, dtype):
        x = rng.standard_normal((12, 32))
        y = x[np.arange(1500) % 3] + gap * rng.standard_normal((1500, 32))
        return x.astype(dtype), y.astype(dtype)

    return make


def one_huge(rng, dtype):
    x, y = rng.standard_normal((15, 24)), rng.standard_normal((1000, 24))
    y[77] *= 1e30
    x[3] *= 1e30
    return x.astype(dtype), y.astype(dtype)


def zero_rows(rng, dtype):
    x, y = rng.standard_normal((15, 24)), rng.standard_normal((1000, 24))
    x[::3], y[::2] = 0, 0
    return x.astype(dtype), y.astype(dtype)


def white_noise(rng, dtype):
    return rng.standard_normal((3, 8192)).astype(dtype), rng.standard_normal((60, 8192)).astype(dtype)


def mixed_scales(rng, dtype):
    decades = 30 if dtype == np.float32 else 140
    return tuple(
        (rng.standard_normal((rows, 24)) * 10.0 ** rng.uniform(-decades, decades, (rows, 1)) / 1e3).astype(dtype)
        for rows in (15, 600)
    )


def subnormal(rng, dtype):
    tiny = float(np.finfo(dtype).smallest_subnormal)
    rows = [rng.integers(-90, 91, (rows, 24)) * tiny for rows in (15, 600)]
    rows[1][::3] = rng.standard_normal((200, 24))
    return tuple(part.astype(dtype) for part in rows)


def not_finite(rng, dtype):
    x, y = (rng.standard_normal((rows, 24)).astype(dtype) for rows in (15, 600))
    for rows, spoiled in ((x, 5), (y, 300)):
        at = rng.integers(0, len(rows), spoiled), rng.integers(0, 24, spoiled)
        rows[at] = rng.choice([np.nan, np.inf, -np.inf], spoiled)
    return x, y


ADVERSARIAL = {
    "duplicates": duplicated, "all-equal": all_equal, "near-duplicates-1e-7": near_duplicates(1e-7),
    "near-duplicates-1e-15": near_duplicates(1e-15), "one-huge-row": one_huge, "zero-rows": zero_rows,
    "white-noise": white_noise, "mixed-scales": mixed_scales, "subnormal": subnormal, "not-finite": not_finite,
}  # fmt: skip


def adversarial(name, dtype):
    return ADVERSARIAL[name](np.random.default_rng(205), dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ADVERSARIAL)
def test_adversarial_rows(name, dtype):
    x, y = adversarial(name, dtype)
    for metric in ("euclidean", "cosine", "dot"):
        as_numpy_says(x, y, 9, metric, check_finite=name != "not-finite")


@pytest.mark.parametrize("name", ["duplicates", "near-duplicates-1e-7", "mixed-scales", "not-finite"])
@pytest.mark.parametrize("metric", ["euclidean", "dot"])
def test_adversarial_rows_by_the_law(name, metric):
    x, y = adversarial(name, np.float32)
    x, y = x[:3], y[:900]
    for precision in ("int8", "int16"):
        answer = cmf.topk(x, y, 5, metric, precision=precision, check_finite=False, backend="numba")
        judge.same_bits(answer, topk_law.topk(x, y, 5, metric), np.float32)


@pytest.mark.parametrize("precision", ["int8", "int16"])
def test_queries_that_no_bound_decides_are_widened_alone(precision):
    x, y = random(6, 400, 24)
    y = np.concatenate([y, np.repeat(x[:1], 9000, axis=0)])  # more than the room of few queries
    control = {"precision": precision, "n_threads": 1, "backend": "numba"}  # a thread alone finds the others first
    distances, indices, stats = cmf.topk(x, y, 3, return_stats=True, **control)
    judge.same_bits((distances, indices), topk_law.topk(x, y, 3), np.float32)
    assert stats.widened[0]
    assert stats.candidates[0] >= 9400
    assert not stats.widened[1:].any()
    assert stats.candidates[1:].max() < 40


def test_few_queries_have_room_for_more_candidates():
    x, y = random(6, 400, 24)
    y = np.concatenate([y, np.repeat(x[:1], 3000, axis=0)])

    def call(max_bytes=None):
        control = {"precision": "int8", "n_threads": 1, "backend": "numba", "return_stats": True}
        return cmf.topk(x, y, 3, max_bytes=max_bytes, **control)

    roomy, tight = call(), call(least_max_bytes(call))
    assert (roomy[2].widened.any(), tight[2].widened[0]) == (False, True)
    judge.same_bits(roomy[:2], tight[:2], np.float32)


def test_columns_that_no_bound_decides_get_every_query():
    """More equal queries than the list of a column holds."""
    x, y = random(500, 40, 24)
    x[100:] = x[100]
    both = cmf.topk_both(x, y, (3, 5), precision="int16", backend="numba")
    for answer, law in zip(both, topk_law.topk_both(x, y, 3, 5), strict=True):
        judge.same_bits(answer, law, np.float32)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("name", ["duplicates", "all-equal", "white-noise", "one-huge-row"])
def test_adversarial_rows_stay_within_the_workspace(name, operation):
    x, y = adversarial(name, np.float32)
    x, y = np.resize(x, (simd.runnable()[0].rows + 2, x.shape[1])), y[:700]  # two panels, several blocks
    third = border(x, y, 9)[operation]

    def call(max_bytes):
        return getattr(cmf, operation)(x, y, third, max_bytes=max_bytes, n_threads=2, backend="numba")

    least = least_max_bytes(call)
    call(least)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        answer = call(least)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    held = sum(part.nbytes for part in flat(answer))
    assert peak - before - 2 * held < least, f"{peak - before - held} bytes beside {held} of the answer, of {least}"


def test_many_threads_ask_for_no_more_memory(monkeypatch):
    """What is too little for sixteen threads is searched by fewer: the bytes asked for are those of one."""
    rng = np.random.default_rng(12)
    x, y = (rng.standard_normal((rows, 32), dtype=np.float32) for rows in (50, 700))
    expected = cmf.topk(x, y, 5, backend="numba", n_threads=1)

    def call(**control):
        return cmf.topk(x, y, 5, backend="numba", **control)

    monkeypatch.setattr(pool, "cores", lambda: 16)
    least = [least_max_bytes(lambda max_bytes, n=n: call(max_bytes=max_bytes, n_threads=n)) for n in (1, 16)]
    assert least[0] == least[1]
    for more in (1.0, 1.5, 3.0):
        for part, wanted in zip(call(max_bytes=int(more * least[0]), n_threads=16), expected, strict=True):
            np.testing.assert_array_equal(part, wanted)
