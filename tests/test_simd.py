"""Register tiles: every machine this host executes gives exact totals and the right hits; the others hold the
instructions that they are named for."""

import ctypes
import itertools
import re
from functools import cache

import numpy as np
import pytest
from llvmlite import binding, ir
from numba import types
from numba.core.registry import cpu_target

from crossmodal_fast.kernels.tiles import jit, simd
from grids import thinned

FORCED = (  # register tiles beside those of the table: one row, one vector, more than 32 columns, more than registers
    simd.Machine("portable", 128, 1, 1, ()),
    simd.Machine("portable", 128, 3, 5, ()),
    simd.Machine("portable", 128, 2, 16, ()),
    simd.Machine("avx2", 256, 2, 8, ("avx2", "fma")),
    simd.Machine("avx2", 256, 4, 3, ("avx2", "fma")),
    simd.Machine("avx512", 512, 2, 4, ("avx512f", "avx512bw")),
)
MACHINES = simd.MACHINES + FORCED
TARGETS = {  # triple, CPU, further features
    "avx512vnni": ("x86_64-unknown-linux-gnu", "cascadelake", ""),
    "avx512": ("x86_64-unknown-linux-gnu", "skylake-avx512", ""),
    "avxvnni": ("x86_64-unknown-linux-gnu", "haswell", "+avxvnni"),
    "avx2": ("x86_64-unknown-linux-gnu", "haswell", ""),
    "neon": ("aarch64-unknown-linux-gnu", "cortex-a76", ""),
    "portable": ("x86_64-unknown-linux-gnu", "x86-64", ""),
}
ONE_LOOP = {  # instructions of the multiplication, for each vector of accumulators
    ("avx512vnni", "int6"): [r"vpdpbusd \(?.*%zmm"], ("avx512", "int6"): [r"vpmaddubsw .*%zmm", r"vpaddw .*%zmm"],
    ("avxvnni", "int6"): [r"\{vex\} vpdpbusd .*%ymm"], ("avx2", "int6"): [r"vpmaddubsw .*%ymm", r"vpaddw .*%ymm"],
    ("neon", "int6"): [r"sdot "], ("portable", "int6"): [r"pmaddwd .*%xmm"] * 2,
    ("avx512vnni", "int8"): [r"vpdpbusd \(?.*%zmm"], ("avx512vnni", "int16"): [r"vpdpwssd .*%zmm"],
    ("avx512", "int8"): [r"vpmaddwd .*%zmm"] * 2, ("avx512", "int16"): [r"vpmaddwd .*%zmm"],
    ("avxvnni", "int8"): [r"\{vex\} vpdpbusd .*%ymm"], ("avxvnni", "int16"): [r"\{vex\} vpdpwssd .*%ymm"],
    ("avx2", "int8"): [r"vpmaddwd .*%ymm"] * 2, ("avx2", "int16"): [r"vpmaddwd .*%ymm"],
    ("neon", "int8"): [r"sdot "], ("neon", "int16"): [r"smull2? "] * 2 + [r"addp "],
    ("neon", "float32"): [r"fmla .*\.4s"], ("neon", "float64"): [r"fmla .*\.2d"],
    ("portable", "int8"): [r"pmaddwd .*%xmm"] * 2, ("portable", "int16"): [r"pmaddwd .*%xmm"],
    ("portable", "float32"): [r"mulps ", r"addps "], ("portable", "float64"): [r"mulpd ", r"addpd "],
    **{(name, "float32"): [r"vfmadd231ps .*%zmm"] for name in ("avx512vnni", "avx512")},
    **{(name, "float64"): [r"vfmadd231pd .*%zmm"] for name in ("avx512vnni", "avx512")},
    **{(name, "float32"): [r"vfmadd231ps .*%ymm"] for name in ("avxvnni", "avx2")},
    **{(name, "float64"): [r"vfmadd231pd .*%ymm"] for name in ("avxvnni", "avx2")},
}  # fmt: skip
ONE_LOOP |= {(machine, "int7"): found for (machine, kind), found in ONE_LOOP.items() if kind == "int6"}
for name, register in (("avx512", "zmm"), ("avx2", "ymm")):
    folded = [r"vpmaddubsw ", r"vpmaddubsw ", r"vpaddw ", r"vpmaddwd "]
    ONE_LOOP[name, "int7"] = [rf"{instruction}.*%{register}" for instruction in folded]
# Two halves of an operand, or two steps at once: more than the registers
RELOADS = {("avx512", "int8"), ("avx2", "int8"), ("neon", "int16"), ("avx512", "int7"), ("avx2", "int7")}
NAMES = [f"{machine.name}-{machine.rows}x{machine.vectors}" for machine in MACHINES]

tiles = pytest.mark.parametrize(
    ("kind", "machine"),
    [
        pytest.param(
            kind, machine, id=f"{kind.name}-{name}",
            marks=pytest.mark.heavy if machine in FORCED and kind.name not in ("int7", "float32") else (),
        )
        for kind in simd.KINDS.values() for machine, name in zip(MACHINES, NAMES, strict=True)
    ],
)  # fmt: skip


# -------------------------------------------------------------------------------------------------- on this machine


@cache
def functions(kind, machine):
    """Machine code of one tile (with tests 0, 1, 2) and of its marks, called with addresses and numbers.

    From the IR of the intrinsics themselves; a kernel of Numba around them takes several times as long to compile.
    """
    triple, cpu, features = cpu_target.target_context.codegen().magic_tuple()
    module = ir.Module("tile")
    module.triple = triple
    made = {tests: simd.tile(kind, machine, tests) for tests in (0, 1, 2)} | {"marks": simd.marks(kind, machine)}
    for name, intrinsic in made.items():
        count = 6 if name == "marks" else 13
        signature, emit = intrinsic._defn(None, *[types.int64] * count)
        assert len(signature.args) == count
        function = ir.Function(module, ir.FunctionType(simd.INT64, [simd.INT64] * count), f"tile_{name}")
        builder = ir.IRBuilder(function.append_basic_block("entry"))
        builder.ret(emit(None, builder, signature, function.args))
    parsed, target = optimised(module, triple, cpu=cpu, features=features, jit=True)
    engine = binding.create_mcjit_compiler(parsed, target)
    engine.finalize_object()

    def function(name, count):
        call = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * count)(engine.get_function_address(f"tile_{name}"))
        call.engine = engine  # which owns the code
        return call

    return {name: function(name, 6 if name == "marks" else 13) for name in made}


def optimised(module, triple, **of_the_cpu):
    """(the module as LLVM optimises it, the target)."""
    target = binding.Target.from_triple(triple).create_target_machine(opt=3, **of_the_cpu)
    parsed = binding.parse_assembly(str(module))
    parsed.verify()
    passes = binding.create_pass_builder(target, binding.create_pipeline_tuning_options(3))
    passes.getModulePassManager().run(parsed, passes)
    return parsed, target


def addresses(*arrays):
    return [array.ctypes.data for array in arrays]


def runnable(machine):
    if machine not in simd.runnable() and not set(machine.needs) <= {
        need for other in simd.runnable() for need in other.needs
    }:
        pytest.skip(f"this CPU lacks some of {', '.join(machine.needs)}")


class Tile:
    """Operands of one tile of small whole numbers, whose scores are exact, and what must come out.

    Steps come by the `fold` of the kind.
    """

    def __init__(self, kind, machine, steps, most, seed=0, whole=True):
        random = np.random.default_rng(seed)
        most, steps = min(most, kind.largest or most), steps * kind.fold
        self.kind, self.machine, self.steps = kind, machine, steps
        self.rows, self.columns = machine.rows, machine.columns(kind)
        self.bytes = kind.code == "int8"
        self.score = np.float64 if kind.name == "float64" else np.float32
        x, y = (
            random.integers(-most, most + 1, (steps, size, kind.group)) if whole
            else random.standard_normal((steps, size, kind.group)) * most
            for size in (self.rows, self.columns)
        )  # fmt: skip
        self.x, self.y = x.astype(kind.code), y.astype(kind.code)
        self.start = random.integers(-most, most + 1, (self.rows, self.columns)).astype(kind.total)
        self.scale = random.choice([0.5, 1.0, 2.0], self.columns).astype(self.score)
        self.offset = random.integers(-5, 6, (2, self.columns)).astype(self.score)
        self.row = random.integers(-5, 6, (2, self.rows)).astype(self.score)
        self.limit = np.full((2, self.rows), np.inf, self.score)

    def given_x(self):
        return (self.x + np.int16(self.machine.bump(self.kind))).astype(self.kind.code) if self.bytes else self.x

    def given_start(self, start):
        if self.bytes:
            total = self.y.astype(np.int32).sum(axis=(0, 2), dtype=np.int32)
            start = start - np.int32(self.machine.bump(self.kind)) * total
        return np.ascontiguousarray(start, self.kind.total)

    def totals(self, start):
        wide = np.float64 if not self.kind.exact else np.int64
        return start.astype(wide) + np.einsum("srg,scg->rc", self.x.astype(wide), self.y.astype(wide))

    def needed(self, test):
        return self.limit[test][:, None] + self.row[test][:, None] * self.offset[test]

    def passing(self, start, test=0):
        return self.totals(start) * self.scale.astype(np.float64) >= self.needed(test)

    def run(self, tests, start=None, shared=False, scores=None):
        """(returned, scores)."""
        start = self.start if start is None else start
        scores = np.full((self.rows, self.columns), 77, self.kind.total) if scores is None else scores
        arrays = [
            np.ascontiguousarray(part) for part in (self.given_x(), self.y, self.given_start(start), scores, self.scale)
        ]
        x, y, first, out, scale = addresses(*arrays)
        assert out == scores.ctypes.data
        limits = [addresses(self.offset[test], self.row[test], self.limit[test]) for test in range(2)]
        if tests < 2:
            limits[1] = [0, 0, 0]
        found = functions(self.kind, self.machine)[tests](
            x, y, first, 0 if shared else self.columns, self.steps, out, scale, *(limits[0] if tests else [0] * 3),
            *limits[1],
        )  # fmt: skip
        return found, scores

    def marks(self, scores, test=0):
        hits = np.zeros(self.rows, np.int64)
        held = np.ascontiguousarray(scores, self.kind.total), self.scale
        numbers = self.offset[test], self.row[test], self.limit[test], hits
        functions(self.kind, self.machine)["marks"](*addresses(*held, *numbers))
        return hits


@tiles
def test_totals_are_exact(kind, machine):
    runnable(machine)
    for steps in (1, 2, 3, 7, 64):
        tile = Tile(kind, machine, steps, most=50, seed=steps)
        found, scores = tile.run(tests=0)
        assert found == 1
        np.testing.assert_array_equal(scores, tile.totals(tile.start))
        found, scores = tile.run(tests=0, start=tile.start[:1], shared=True)
        np.testing.assert_array_equal(scores, tile.totals(tile.start[:1]))


@tiles
def test_the_largest_codes(kind, machine):
    """Sums up to the last bit of int32; floats within n eps |x| |y|."""
    runnable(machine)
    if kind.exact:
        most, steps = {"int6": (31, 69_000), "int7": (63, 67_000), "int8": (127, 33_000), "int16": (32767, 1)}[
            kind.name
        ]
        for sign in (1, -1):
            tile = Tile(kind, machine, 1, most)
            tile.x[:], tile.y[:] = most, sign * most
            if kind.name == "int16":
                tile.y[..., 1] = 0 if sign == 1 else -most  # 2 * 32767**2 is the last sum that int32 holds
            expected = steps * tile.totals(np.zeros_like(tile.start))  # all steps are alike
            tile.x, tile.y = (np.tile(part, (steps, 1, 1)) for part in (tile.x, tile.y))
            tile.steps *= steps
            _, scores = tile.run(tests=0, start=np.zeros_like(tile.start))
            np.testing.assert_array_equal(scores, expected)
        return
    for steps in (1, 5, 1000):
        tile = Tile(kind, machine, steps, 1.0, whole=False)
        _, scores = tile.run(tests=0)
        size = np.abs(tile.start) + np.einsum("srg,scg->rc", np.abs(tile.x, dtype=float), np.abs(tile.y, dtype=float))
        assert (np.abs(scores - tile.totals(tile.start)) <= (steps + 1) * np.finfo(kind.code).eps * size).all()


@tiles
def test_features_in_blocks(kind, machine):
    runnable(machine)
    tile = Tile(kind, machine, 12, 40)
    totals, all_x, all_y = tile.totals(tile.start), tile.x, tile.y
    so_far = tile.start
    for steps in (5 * kind.fold, kind.fold, 6 * kind.fold):
        tile.x, all_x, tile.y, all_y, tile.steps = all_x[:steps], all_x[steps:], all_y[:steps], all_y[steps:], steps
        so_far = tile.run(tests=0, start=so_far, scores=np.empty_like(tile.start))[1]
    np.testing.assert_array_equal(so_far, totals)


@tiles
def test_a_single_score_at_its_limit_passes(kind, machine):
    """>=: one cell alone reaches its limit exactly; a bit less and nothing is written."""
    runnable(machine)
    tile = Tile(kind, machine, 3, 30)
    value = (tile.totals(tile.start) * tile.scale).astype(tile.score)
    for r, c in itertools.product({0, tile.rows - 1}, {0, tile.columns // 2, tile.columns - 1}):
        tile.offset[:], tile.limit[:] = np.inf, np.inf
        tile.row[:] = 1
        tile.offset[0, c], tile.limit[0, r] = 2, value[r, c] - 2
        found, scores = tile.run(tests=1)
        assert found == 1
        np.testing.assert_array_equal(scores, tile.totals(tile.start))
        hits = np.zeros(tile.rows, np.int64)
        hits[r] = np.int64(1) << c if c < 63 else np.iinfo(np.int64).min
        np.testing.assert_array_equal(tile.marks(scores), hits)
        tile.limit[0, r] += 0.5
        found, scores = tile.run(tests=1)
        assert found == 0
        assert (scores == 77).all()
        assert not tile.marks(tile.totals(tile.start).astype(kind.total)).any()


@tiles
def test_marks_are_the_scores_that_pass(kind, machine):
    runnable(machine)
    tile = Tile(kind, machine, 6, 30, seed=2)
    value = tile.totals(tile.start) * tile.scale.astype(np.float64)
    for share in (0.0, 0.3, 0.9, 1.0):
        tile.limit[:] = np.quantile(value, share)
        tile.offset[0, :: max(2, tile.columns // 3)] = np.inf  # nobody may match these
        tile.row[0] = np.abs(tile.row[0]) + 1
        found, scores = tile.run(tests=1)
        passing = tile.passing(tile.start)
        assert found == passing.any()
        scores = tile.totals(tile.start).astype(kind.total)
        bits = passing.astype(object) @ np.array([1 << c for c in range(tile.columns)], object)
        np.testing.assert_array_equal(tile.marks(scores).view(np.uint64), bits.astype(np.uint64))
        assert not passing[:, 0].any()


@tiles
def test_either_of_two_tests_suffices(kind, machine):
    runnable(machine)
    tile = Tile(kind, machine, 4, 30, seed=3)
    value = tile.totals(tile.start) * tile.scale.astype(np.float64)
    tile.offset[:], tile.row[:] = 0, 1
    for first, second in itertools.product((False, True), repeat=2):
        tile.limit[0], tile.limit[1] = (value.max() if yes else value.max() + 1 for yes in (first, second))
        found, scores = tile.run(tests=2)
        assert found == (first or second)
        np.testing.assert_array_equal(scores, tile.totals(tile.start) if found else np.full_like(scores, 77))
        for test, yes in enumerate((first, second)):
            assert tile.marks(tile.totals(tile.start).astype(kind.total), test).any() == yes


@tiles
def test_nothing_passes_a_limit_that_is_no_number(kind, machine):
    runnable(machine)
    tile = Tile(kind, machine, 2, 10)
    tile.row[:] = 1
    for limit, offset, passes in ((-np.inf, 0, True), (np.nan, 0, False), (0, np.nan, False), (np.inf, 0, False)):
        tile.limit[:], tile.offset[:] = limit, offset
        assert tile.run(tests=1)[0] == passes


def test_bits_of_a_word():
    @jit.kernel("test")
    def both(word):
        return simd_lowest(word), simd_ones(word)

    for word in (1, 2, 96, 1 << 40, -1, np.iinfo(np.int64).min):
        lowest, ones = both(np.int64(word))
        unsigned = int(word) & (2**64 - 1)
        assert lowest == (unsigned & -unsigned).bit_length() - 1
        assert ones == unsigned.bit_count()


simd_lowest, simd_ones = simd.lowest_bit, simd.ones


# ---------------------------------------------------------------------------------------------------- for any machine


@cache
def assembly(kind, machine, tests):
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    triple, cpu, features = TARGETS[machine.name]
    try:
        binding.Target.from_triple(triple)
    except RuntimeError as error:
        pytest.skip(f"this llvmlite has no such target: {error}")
    module = ir.Module("tile")
    module.triple = triple
    function = ir.Function(module, ir.FunctionType(simd.INT64, [simd.INT64] * 13), "tile")
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    builder.ret(simd.tile_code(builder, kind, machine, tests, function.args))
    parsed, target = optimised(module, triple, cpu=cpu, features=features)
    return target.emit_assembly(parsed)


def loop(text):
    """Instructions from the label of the first backward jump to the jump."""
    lines, labels = [], {}
    for line in text.splitlines():
        line = re.sub(r"\s+", " ", re.split(r"\s(?:#|//)", line)[0]).strip()
        if found := re.match(r"(\.L\w+):", line):
            labels[found[1]] = len(lines)
        elif line and not line.startswith("."):
            lines.append(line)
            target = re.match(r"(?:j\w+|b\.\w+|cbn?z|tbn?z) .*?(\.L\w+)$", line)
            if target and target[1] in labels:
                return lines[labels[target[1]] :]
    raise AssertionError("no loop")


@pytest.mark.parametrize(
    ("tests", "kind", "machine"),
    thinned(3, [0, 1, 2], list(simd.KINDS), [machine.name for machine in simd.MACHINES], always=[2]),
)
def test_the_loop_holds_the_instructions_it_is_meant_to(kind, machine, tests):
    """Two tests need the most registers beside the loop: of these every tile, of the others a third."""
    kind, machine = simd.KINDS[kind], next(one for one in simd.MACHINES if one.name == machine)
    text = assembly(kind, machine, tests)
    lines = loop(text)
    cells = machine.rows * machine.vectors
    for instruction in set(ONE_LOOP[machine.name, kind.name]):
        count = ONE_LOOP[machine.name, kind.name].count(instruction) * cells
        assert sum(bool(re.match(instruction, line)) for line in lines) == count, "\n".join(lines)
    frame = r"%[er]sp|\[sp" + ("|%rbp" if re.search(r"movq\s+%rsp, %rbp", text) else "")  # else one more pointer
    stack = [line for line in lines if re.search(frame, line)]
    if (machine.name, kind.name) in RELOADS:
        assert len(stack) <= 12
    else:
        assert not stack, "\n".join(stack)


def test_the_machines_of_this_host_come_fastest_first():
    found = simd.runnable()
    assert found[-1] == simd.MACHINES[-1]
    assert [machine for machine in simd.MACHINES if machine in found] == list(found)
