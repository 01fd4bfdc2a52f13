"""Faults planted in the project's own CUDA kernels: the tests of those kernels, in the race build, see every one."""

from functools import partial

import numpy as np
import pytest

import simt
import test_cuda_direct as visits
import test_cuda_kernels as judges
import test_cuda_pairwise as pairs
import test_cuda_softmax as logarithms
import test_cuda_transfer as maps

pytestmark = judges.pytestmark

tightened = partial(judges.test_tighten_raises_thresholds_and_drops, False)
filtered = partial(judges.test_filter_keeps_what_reaches_the_threshold, False)
kept = partial(judges.test_filter_of_rows_alone_keeps_what_no_bound_excludes, judges.np.float16)
ordered = partial(judges.test_order_sorts_by_value_then_index, 9)
ranked = partial(judges.test_rerank_gives_canonical_values, 0, "float32", False)
bounded = partial(judges.test_bounds_hold_the_keys_of_exact_arithmetic, 1, True)
compared = partial(visits.pairs, "cityblock")
lifted = partial(visits.raised, "cityblock", False)
derived = partial(visits.derived, "correlation")
checked = judges.test_prepare_names_the_first_row_that_is_not_finite

measured = partial(pairs.test_distances_are_the_product_s_or_canonical, "sqeuclidean", False)
mirrored = partial(pairs.test_distances_are_the_product_s_or_canonical, "dot", True)
correlated = partial(pairs.test_vectors_are_canonical, "correlation", np.float64)
summed = partial(logarithms.test_sums_of_stretches, (70, 33), 20)
merged = logarithms.test_stretches_are_merged_into_running_sums
raised = logarithms.test_exponentials_are_within_four_units
mapped = partial(maps.test_mapping_is_exact_on_whole_numbers, np.float32, 5, 1050)
finished = partial(maps.test_finish_adds_divides_and_reports, np.float64)

FAULTS = {  # what is wrong -> the judge, the kernel, the text and what stands in its place, the words
    "totals of warps rewritten while others read them": (
        tightened, "tighten", "    __syncthreads();  // the totals are free again\n", "", "RACE: shared",
    ),
    "count rewritten before all have read it": (
        tightened, "tighten", "  __syncthreads();  // all have read count and threshold\n", "", "RACE: argument",
    ),
    "histogram filled before it is empty": (
        tightened, "tighten", "= 0;\n      __syncthreads();\n", "= 0;\n", "RACE: shared",
    ),
    "tile of candidates rewritten while others read it": (
        ordered, "order", "mine, index);\n      __syncthreads();\n", "mine, index);\n", "RACE: shared",
    ),
    "count of a row without an atomic": (
        filtered, "filter", "place = atomicAdd(&count[r], 1)", "place = count[r]++", "RACE: argument 13",
    ),
    "pairs at the threshold dropped": (
        filtered, "filter", "if (upper >= reach[at])", "if (upper > reach[at])", "Arrays are not equal",
    ),
    "a first look that is narrower than the bound": (
        filtered, "filter", "wide = fmaxf(wide, y.z)", "wide = y.z", "Arrays are not equal",
    ),
    "rows of a tile read before they are there": (
        kept, "filter", "  };\n  __syncthreads();\n", "  };\n", "RACE: shared",
    ),
    "the rounding of scores forgotten": (
        bounded, "bound", "* scale * ROOM;", "* scale * 0;", "assert",
    ),
    "lanes added in another order": (
        ranked, "rerank", "(int by = 1; by < LANES; by <<= 1)", "(int by = 4; by; by >>= 1)", "Arrays are not equal",
    ),
    "infinity taken for a number": (
        checked, "prepare", "finite &= size < INFINITE;", "finite &= size == size;", "assert",
    ),
    "a repair of the wrong column": (
        measured, "distances", "first + __ffs((int)mine) - 1", "left + __ffs((int)mine) - 1", "Arrays are not equal",
    ),
    "a bound of one norm alone": (
        measured, "distances", "limit * both * both", "limit * own_factor * own_factor * (both == both)",
        "Arrays are not equal",
    ),
    "an entry of each triangle": (
        mirrored, "distances", "mirrored && r > c", "mirrored && r > c + 40", "Arrays are not equal",
    ),
    "equal numbers less their rounded mean": (
        correlated, "vectors", "constant ? 0 : ", "", "Arrays are not equal",
    ),
    "sums written where others still read the largest": (
        partial(summed, 1), "column_sums", "  __syncthreads();  // all have read the largest\n", "", "RACE: shared",
    ),
    "a stretch that reaches into the next": (
        partial(summed, 0), "row_sums", "min(columns, first + stretch)", "min(columns, first + stretch + 1)",
        "Arrays are not equal",
    ),
    "terms of a lane that are not all added": (
        partial(logarithms.test_sums_of_stretches, (140, 530), 512, 0), "row_sums",
        "HELD; i++) sum", "HELD - 1; i++) sum", "Not equal to tolerance",
    ),
    "a running sum that is not brought to the new largest": (
        merged, "merge", "__dmul_rn(total[owner], share(before, most))", "total[owner]", "Not equal to tolerance",
    ),
    "rows of the next features written while others read the last": (
        mapped, "mapping", "        __syncthreads();  // all have read what is there\n", "", "RACE: shared",
    ),
    "rows read before they are there": (
        mapped, "mapping", "        }\n        __syncthreads();\n", "        }\n", "RACE: shared",
    ),
    "one row of a tile taken for all": (
        mapped, "mapping", "order[place + warp] * d_in", "order[place] * d_in", "Arrays are not equal",
    ),
    "totals of two lanes exchanged": (
        mapped, "mapping", "sent = upper ? sum[i] : second", "sent = upper ? second : sum[i]", "Arrays are not equal",
    ),
    "lengths of float64 rows that vanish": (
        finished, "finish", "if (sizeof(REAL) == 4 || largest == 0)", "if (true)", "Not equal to tolerance",
    ),
    "NaN taken for a finite number": (
        finished, "finish", "finite &= size < INFINITE;", "finite &= !(size == INFINITE);", "assert",
    ),
    "a missing term beside an infinite one forgotten": (
        merged, "merge", "as_it_is ? part_total[at] :", "as_it_is ? fabs(most) :", "Not equal to tolerance",
    ),
    "features staged while others read the last ones": (
        compared, "direct", "    __syncthreads();  // the last features have been read\n", "", "RACE: shared",
    ),
    "features read before all are staged": (
        compared, "direct", "width, y_tile);\n    __syncthreads();\n", "width, y_tile);\n", "RACE: shared",
    ),
    "lanes two apart added first": (
        compared, "direct", "<PAIRS / 2, 1>(total, first);\n  add_lanes<PAIRS / 4, 2>",
        "<PAIRS / 2, 2>(total, first);\n  add_lanes<PAIRS / 4, 1>", "Arrays are not equal",
    ),
    "keys rounded to nearest": (lifted, "direct", "to_float_up(", "to_float(", "Arrays are not equal"),
    "equal numbers less their rounded mean, derived": (derived, "derive", "equal ? 0 : ", "", "Arrays are not equal"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_a_kernel_is_caught(fault):
    judge, kernel, old, new, words = FAULTS[fault]
    source = simt.CUDA / f"{kernel}.cu"
    text = source.read_text(encoding="utf-8")
    assert text.count(old) == 1

    def run(name, grid, arguments, block=256, **macros):
        planted = {"text": text.replace(old, new)} if name == kernel else {}
        library = simt.build(simt.CUDA / f"{name}.cu", "race", **planted, **macros)
        library.launch(name, grid, block, arguments, seed=1)

    with pytest.raises(AssertionError, match=words):
        judge(run)


def test_without_a_fault_the_judges_are_content():
    def run(name, grid, arguments, block=256, **macros):
        simt.build(simt.CUDA / f"{name}.cu", "race", **macros).launch(name, grid, block, arguments, seed=1)

    for judge in (
        *(tightened, filtered, kept, ordered, ranked, bounded, checked, measured, mirrored, correlated, merged),
        *(raised, mapped, finished, compared, lifted, derived),
    ):
        judge(run)
    for axis in range(2):
        summed(axis, run)
