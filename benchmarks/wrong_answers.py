"""`python benchmarks/wrong_answers.py [--results FOLDER]`: known failures of other libraries, and ours beside them.

Every case is a search of float32 or float64 rows whose true answer is computed in whole numbers or fractions. A library
that is not installed is left out. Exit code 1 if one of our own answers is wrong.
"""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

import numpy as np

import crossmodal_fast as cmf

FOLDER = Path(__file__).parent / "results"
VERSIONS = {
    "crossmodal_fast": "crossmodal-fast",
    "faiss": "faiss-cpu",
    "scikit-learn": "scikit-learn",
    "torch": "torch",
}
ACCURATE = 1e-6  # relative, of a distance


@dataclass(frozen=True)
class Case:
    """A search of queries in a gallery for their k nearest rows, by Euclidean distance."""

    name: str
    source: str  # where the failure is described
    make: Callable[[], tuple[np.ndarray, np.ndarray]]
    k: int = 3


@dataclass(frozen=True)
class Way:
    """How a library is asked."""

    library: str
    how: str
    search: Callable[..., tuple[Any, Any]]  # queries, gallery, k -> distances, indices


def places():
    """One place among 20,000, in metres east and north, as maps have them."""
    rng = np.random.default_rng(0)
    y = (np.array([4.4e5, 5.4e6]) + rng.uniform(-2e4, 2e4, (20_000, 2))).astype(np.float32)
    return y[:1] + np.float32([4, 6.5]), y


def moved():
    """Whole numbers from 0 to 15, all moved by 4096: their distances are what they were."""
    rng = np.random.default_rng(1)
    x, y = (rng.integers(0, 16, (rows, 16)).astype(np.float32) + 4096 for rows in (1, 20_000))
    return x, y


def padded():
    """Whole numbers moved by 4096, with columns of zeros behind them, which change no distance."""
    x, y = moved()
    x = np.repeat(x, 64, axis=0) + np.arange(64, dtype=np.float32)[:, None] % 3
    return tuple(np.concatenate([rows, np.zeros((len(rows), 2032), np.float32)], axis=1) for rows in (x, y[:4000]))


def duplicates():
    """Every row twice: the first of two equal rows is the one with the lower number."""
    y = np.random.default_rng(2).standard_normal((5000, 16)).astype(np.float32)
    return y[:200], np.concatenate([y, y])


def millimetres():
    """A millimetre at 50 kilometres, in float64."""
    return np.array([[50_000.0]]), 50_000.0 + np.arange(1, 41)[:, None] / 1000


def far():
    """Rows around 1000, searched among themselves: everybody is nearest to itself, at distance 0."""
    y = (np.random.default_rng(3).standard_normal((300, 8)) + 1000).astype(np.float32)
    return y, y


def huge():
    """Rows of the size of 1e30, whose squares are beyond float32."""
    y = (np.random.default_rng(4).standard_normal((2000, 8)) * 1e30).astype(np.float32)
    return y[:20] * np.float32(1.5), y


CASES = (
    Case("places in metres", "facebookresearch/faiss#3245", places),
    Case("whole numbers, moved by 4096", "facebookresearch/faiss#5285", moved),
    Case("columns of zeros", "facebookresearch/faiss#5327", padded),
    Case("every row twice", "scikit-learn/scikit-learn#12136, pytorch/pytorch#27542", duplicates, k=2),
    Case("millimetres at 50 km, float64", "scikit-learn/scikit-learn#14739", millimetres),
    Case("rows far from the origin", "pytorch/pytorch#42479", far, k=1),
    Case("values of 1e30", "facebookresearch/faiss#2986", huge),
)


def truth(x, y, k):
    """(distances (m, k) float64, indices): by fractions of what the rows hold, ties by the lower index."""
    found = []
    for row in x:
        squares = [(_square(row, y[j]), j) for j in _likely(row, y, 4 * k)]
        found.append(sorted(squares)[:k])
    distances = np.array([[_root(square) for square, _ in row] for row in found])
    return distances, np.array([[j for _, j in row] for row in found])


def _likely(row, y, count):
    """Rows that float64 differences put among the first: their errors are far below 1e-9 of a distance."""
    squares = ((y.astype(np.float64) - row) ** 2).sum(axis=1)
    last = np.partition(squares, count)[count] if count < len(y) else np.inf
    return np.flatnonzero(squares <= last * (1 + 1e-9))


def _square(row, other):
    apart = np.flatnonzero(row != other)
    return sum((Fraction(float(a)) - Fraction(float(b))) ** 2 for a, b in zip(row[apart], other[apart], strict=True))


def _root(square):
    """To float64's last bit or the one before, for squares of any size."""
    square = Fraction(square)
    shift = (square.numerator.bit_length() - square.denominator.bit_length()) // 2
    return float(np.sqrt(float(square / Fraction(4) ** shift)) * 2.0**shift)


def judged(found, true):
    """What is wrong with an answer, in words, "" if nothing is: neighbours first, then distances."""
    distances, indices = (np.asarray(part) for part in found)
    wrong = np.count_nonzero(indices != true[1])
    if wrong:
        at = tuple(np.argwhere(indices != true[1])[0])
        said = f"query {at[0]}: row {indices[at]} at {distances[at]:.7g}, true: row {true[1][at]} at {true[0][at]:.7g}"
        return f"{wrong} of {indices.size} neighbours ({said})"
    with np.errstate(over="ignore", invalid="ignore"):
        off = np.abs(distances - true[0]) > ACCURATE * true[0]
    off |= ~np.isfinite(distances) & np.isfinite(true[0].astype(distances.dtype))
    if off.any():
        at = tuple(np.argwhere(off)[0])
        return f"{np.count_nonzero(off)} of {off.size} distances ({distances[at]:.7g}, true: {true[0][at]:.7g})"
    return ""


def _ours(x, y, k):
    return cmf.topk(x, y, k)


def _faiss(threads):
    def search(x, y, k):
        faiss = import_module("faiss")
        before = faiss.omp_get_max_threads()
        faiss.omp_set_num_threads(threads)
        try:
            squares, indices = faiss.knn(np.ascontiguousarray(x, np.float32), np.ascontiguousarray(y, np.float32), k)
        finally:
            faiss.omp_set_num_threads(before)
        return np.sqrt(squares), indices

    return search


def _sklearn(x, y, k):
    neighbors = import_module("sklearn.neighbors")
    return neighbors.NearestNeighbors(n_neighbors=k, algorithm="brute").fit(y).kneighbors(x)


def _torch(x, y, k):
    torch = import_module("torch")
    found = torch.cdist(torch.from_numpy(x), torch.from_numpy(y)).topk(k, largest=False)
    return found.values.numpy(), found.indices.numpy()


WAYS = (
    Way("crossmodal_fast", "topk", _ours),
    Way("faiss", "knn, 1 thread", _faiss(1)),
    Way("faiss", "knn, 2 threads", _faiss(2)),
    Way("scikit-learn", "NearestNeighbors, brute", _sklearn),
    Way("torch", "cdist and topk", _torch),
)


def rows(cases=CASES, ways=WAYS):
    """A dict for every case and library that is installed."""
    found = []
    for case in cases:
        x, y = case.make()
        true = truth(x, y, case.k)
        for way in ways:
            if (version := _version(way.library)) is None:
                continue
            wrong = judged(way.search(x, y, case.k), true)
            found.append({"case": case.name, "about": case.make.__doc__, "source": case.source, "library": way.library,
                          "version": version, "how": way.how, "wrong": wrong})  # fmt: skip
    return found


def _version(library):
    try:
        return metadata.version(VERSIONS[library])
    except metadata.PackageNotFoundError:
        return None


def table(found):
    """Markdown: a line for every case, a column for every way."""
    ways = list(dict.fromkeys((row["library"], row["version"], row["how"]) for row in found))
    lines = ["| " + " | ".join(["", *(f"{name} {version}, {how}" for name, version, how in ways)]) + " |"]
    lines.append("|---" * (len(ways) + 1) + "|")
    for case in dict.fromkeys(row["case"] for row in found):
        mine = {(row["library"], row["version"], row["how"]): row for row in found if row["case"] == case}
        cells = [mine[way]["wrong"] or "right" for way in ways]
        source = next(iter(mine.values()))["source"]
        lines.append("| " + " | ".join([f"{case} ({source})", *cells]) + " |")
    return "\n".join(lines)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=FOLDER)
    folder = parser.parse_args(arguments).results
    found = rows()
    folder.mkdir(parents=True, exist_ok=True)
    for suffix, text in (("json", json.dumps(found, indent=1)), ("md", table(found))):
        (folder / f"wrong-answers-{date.today()}.{suffix}").write_text(text + "\n", encoding="utf-8")
    print(table(found))
    return int(any(row["wrong"] and row["library"] == "crossmodal_fast" for row in found))


if __name__ == "__main__":
    sys.exit(main())
