"""Random calls against the law: each from its number alone, the smallest that fails is printed as a program.

    python tests/fuzz.py [--first N] [--last N] [--seconds S] [--backends numba,numpy,cuda] [--nearby]

Without --first the numbers begin at a time; without --last they go on for --seconds (300). CUDA runs on the emulator of
tests/simt, and takes a case in EMULATED. --nearby keeps to the kernels of the normal run, which compile in a minute; so
does half of the seconds: with none compiled, and half a core, 300 s of all kernels were 43 cases.
One call in MATRICES is of distances, transfers or log-sums (fuzz_matrices.py), the others search (fuzz_searches.py).
"""

import argparse
import itertools
import sys
import time
import traceback

import numpy as np

import fuzz_matrices
import fuzz_searches
import simt

MATRICES = 5
MOST_SHRINKS = 400
WARM = 0.5  # of the seconds
BACKENDS, EMULATED = ("numba", "numpy", "cuda"), 19  # without a common factor, so that matrices have their turn


def case(number, nearby=False):
    """The case of a number."""
    drawing = fuzz_matrices if number % MATRICES == MATRICES - 1 else fuzz_searches
    return drawing.case(np.random.default_rng([number, 20261]), nearby)


def judged(found):
    """Raises AssertionError where the answer is not the law's."""
    found.judged()


def failure(found):
    """What went wrong, None if nothing did."""
    try:
        judged(found)
    except AssertionError as difference:
        return str(difference)
    except (ArithmeticError, AttributeError, LookupError, MemoryError, RuntimeError, TypeError, ValueError):
        return traceback.format_exc()
    return None


def smaller(found):
    """Simpler cases, the much simpler first."""
    sizes = found.sizes()
    everything = [np.arange(size) for size in sizes]
    for pieces in (2, 4, 8, 1 << 30):
        for axis, count in enumerate(sizes):
            step = max(1, -(-count // pieces))
            if count <= 1 or (pieces > 8 and count > 24):
                continue
            for start in range(0, count, step):
                parts = list(everything)
                parts[axis] = np.delete(everything[axis], slice(start, start + step))
                if len(parts[axis]):
                    yield found.part(*parts)
    yield from found.simpler()


def shrunk(found, fails=failure):
    """The smallest case like this that still fails, and how."""
    said, tries = fails(found), 0
    progress = True
    while progress and tries < MOST_SHRINKS:
        progress = False
        for candidate in smaller(found):
            tries += 1
            if (told := fails(candidate)) is not None:
                found, said, progress = candidate, told, True
                break
            if tries >= MOST_SHRINKS:
                break
    return found, said


def check(first, last, nearby=False, backends=("numba",)):
    """Every case from first to last - 1; raises AssertionError with the number and the smallest case that fails."""
    for number in range(first, last):
        for backend in backends:
            if backend == "cuda" and number % EMULATED:
                continue
            found = case(number, nearby).on(backend)
            if failure(found) is not None:
                least, said = shrunk(found)
                raise AssertionError(f"case {number} (nearby={nearby}) fails\n{least}\n{said}")


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--first", type=int, default=int(time.time()))
    parser.add_argument("--last", type=int)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--backends", default=",".join(BACKENDS), type=lambda names: names.split(","))
    parser.add_argument("--nearby", action="store_true")
    given = parser.parse_args(arguments)
    if "cuda" in given.backends and simt.obstacle():
        print(f"without cuda: {simt.obstacle()}")
        given.backends.remove("cuda")
    began, failed, number = time.monotonic(), 0, given.first
    for number in itertools.count(given.first):
        past = (time.monotonic() - began) / given.seconds
        if number == given.last or (given.last is None and past > 1):
            break
        try:
            check(number, number + 1, given.nearby or (given.last is None and past < WARM), given.backends)
        except AssertionError as found:
            failed += 1
            print(found, flush=True)
        if (number + 1) % 1000 == 0:
            print(f"{number + 1 - given.first} cases, {failed} failed", flush=True)
    print(f"{number - given.first} cases from {given.first} on {', '.join(given.backends)}: {failed} failed")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
