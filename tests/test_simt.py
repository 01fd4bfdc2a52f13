"""The emulator of CUDA is on trial: sound kernels are right and bring no report, every planted fault is caught."""

import numpy as np
import pytest

import simt

pytestmark = pytest.mark.skipif(simt.obstacle() is not None, reason=str(simt.obstacle()))

SOURCE = simt.HERE / "faults.cu"
SEEDS = range(8)
X = np.random.default_rng(5).standard_normal(128).astype(np.float32)
WHOLE = np.random.default_rng(6).integers(0, 100, 300).astype(np.int32)


def turn(library, seed):
    y = np.zeros_like(X)
    library.launch("turn", 1, 128, [X, y], seed=seed)
    np.testing.assert_array_equal(y, X.reshape(4, 32)[:, ::-1].ravel())


def turn_block(library, seed):
    y = np.zeros_like(X)
    library.launch("turn_block", 1, 128, [X, y], seed=seed)
    np.testing.assert_array_equal(y, X[::-1])


def total(library, seed):
    rows, count = np.arange(124, dtype=np.float32), np.zeros(1, np.int32)
    sums = np.zeros(4, np.float32)
    library.launch("total", 4, 32, [rows, np.int32(124), sums, count], seed=seed)
    np.testing.assert_array_equal(sums, np.pad(rows, (0, 4)).reshape(4, 32).sum(axis=1))
    assert count[0] == 4


def collect(library, seed):
    found, count = np.full(300, -1, np.int32), np.zeros(1, np.int32)
    library.launch("collect", 1, 64, [WHOLE, np.int32(300), np.int32(60), found, count], seed=seed)
    assert sorted(found[: count[0]]) == sorted(WHOLE[WHOLE >= 60])


def doubled(library, seed):
    y = np.zeros_like(X)
    library.launch("doubled", 1, 32, [X, np.int32(128), y, np.int32(1)], seed=seed)
    np.testing.assert_array_equal(y, 2 * X)


def on_seeds(kernel, library, flavour):
    for seed in [1] if flavour == "address" else SEEDS:
        kernel(library, seed)


KERNELS = [turn, turn_block, total, collect, doubled]

# fault -> what it is, the kernel that shows it, the build and the words that catch it
FAULTS = {
    1: ("no __syncwarp before another lane's cell is read", turn, "race", "RACE: shared"),
    2: ("a __syncwarp where warps exchange", turn_block, "race", "RACE: shared"),
    3: ("a shared array read past its end", turn_block, "address", "index 128 out of bounds|global-buffer-overflow"),
    4: ("a global array read past its end", total, "address", "heap-buffer-overflow"),
    5: ("a shuffle in a divergent branch", total, "plain", "deadlock: .* 16 in a warp collective"),
    6: ("lanes that name different masks", total, "plain", "disagree on the mask"),
    7: ("a shared cell read that nobody wrote", turn, "race", "UNINITIALISED: shared"),
    8: ("a return before a barrier", turn_block, "plain", "returned before the barrier|others wait at the barrier"),
    9: ("halves of a block at two barriers", turn_block, "plain", "meet at the barriers of lines"),
    10: ("a barrier that half of a block passes", turn_block, "plain", "others wait at the barrier|returned before"),
    11: ("a caller that is not in its own mask", total, "plain", "not in its own mask"),
    12: ("a shuffle from a lane outside the mask", total, "plain", "shuffle from lane 0, which is not in the mask"),
    13: ("a counter of all blocks without an atomic", total, "race", "RACE: argument 3"),
    14: ("no barrier before a counter is read", collect, "race", "RACE: shared"),
    15: ("a counter rewritten while others read it", collect, "race", "RACE: shared"),
    16: ("a vector load off its alignment", doubled, "address", "misaligned address"),
    17: ("a shift by more than the width", doubled, "address", "shift exponent 33"),
    18: ("a signed overflow", doubled, "address", "signed integer overflow"),
    19: ("lanes that meet in two kinds of shuffle", total, "plain", "meet in the collectives|lanes of a warp"),
}


@pytest.mark.parametrize("flavour", simt.FLAGS)
@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.__name__)
def test_sound_kernels_are_right(kernel, flavour):
    library = simt.build(SOURCE, flavour)
    on_seeds(kernel, library, flavour)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: FAULTS[fault][0])
def test_a_planted_fault_is_caught(fault):
    _, kernel, flavour, words = FAULTS[fault]
    library = simt.build(SOURCE, flavour, FAULT=fault)
    with pytest.raises(simt.Fault, match=words):
        on_seeds(kernel, library, flavour)
