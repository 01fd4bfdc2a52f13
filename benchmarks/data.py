"""The arrays of a case, always the same for the same sizes; those of one case at a time are kept."""

from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

import numpy as np
from shapes import NotTimed
from toolkit import TOOLS

import cases

DOCSTRINGS = Path(__file__).parents[2] / "shared" / "data" / "minilm" / "docstrings_20k_x384.npy"
FILLERS = 8  # of many maps, at once: 2 GB took one 12 s
NOISE = 0.02  # length of what tells a copy from its original, both of length 1


def arguments(case):
    """What a contender is given."""
    if case.operation in TOOLS:
        return TOOLS[case.operation].data(case)
    if case.operation == "transfer":
        return matrices(case.problem)
    x, y = rows(case.problem)
    return (y,) if case.operation == "prepare" else (x, y) if case.k is None else (x, y, case.k)


@lru_cache(maxsize=1)
def rows(problem):
    """(x, y) float32."""
    return DATA[problem.data](problem)


@lru_cache(maxsize=1)
def matrices(problem):
    """(e, matrices, which row takes which of them or None) float32."""
    rng = generator(problem)
    e = rng.standard_normal((problem.m, problem.d), dtype=np.float32)
    if problem.maps is None:
        return e, rng.standard_normal((problem.n, problem.d), dtype=np.float32), None
    maps = np.empty((problem.maps, problem.n, problem.d), np.float32)
    parts = np.array_split(maps, FILLERS)  # by the same generators on any number of cores
    with ThreadPoolExecutor() as threads:
        list(threads.map(lambda own, part: own.standard_normal(out=part, dtype=np.float32), rng.spawn(FILLERS), parts))
    return e, maps, rng.permutation(np.arange(problem.m) % problem.maps)


def generator(problem):
    return cases.generator(f"{problem.m}x{problem.n}x{problem.d}")


def normal(problem):
    rng = generator(problem)
    return tuple(rng.standard_normal((size, problem.d), dtype=np.float32) for size in (problem.m, problem.n))


def near_duplicates(problem):
    return cases.near_duplicates(problem.m, problem.n, problem.d, gap=1e-4)(generator(problem))


def docstring_copies(problem):
    """Sentences embedded by MiniLM, some held out as queries; the others again and again, a little moved."""
    if not DOCSTRINGS.exists():
        raise NotTimed(f"{DOCSTRINGS.name} is not beside the project")
    rng, embedded = generator(problem), np.load(DOCSTRINGS)[:, : problem.d]
    embedded = embedded[rng.permutation(len(embedded))]
    x, originals = embedded[: problem.m], embedded[problem.m :]
    y = originals[np.arange(problem.n) % len(originals)]
    y += NOISE / np.sqrt(problem.d) * rng.standard_normal(y.shape, dtype=np.float32)
    return tuple(part / np.linalg.norm(part, axis=1, keepdims=True) for part in (x, y))


DATA = {"normal": normal, "near duplicates": near_duplicates, "sentences, copied": docstring_copies}
