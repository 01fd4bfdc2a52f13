"""What the three call sites share: the same code with two libraries, the answers compared, then both timed in turn."""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

ROUNDS = 5
TIE = 1e-5  # of a score's size: float32 does not tell values that are nearer than that


def options(description: str | None, **defaults: int | Path) -> argparse.Namespace:
    """The script's arguments: a size or a path each."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in defaults.items():
        parser.add_argument(f"--{name}", type=type(value) if isinstance(value, int) else Path, default=value)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="how often both are timed")
    return parser.parse_args()


def searches_agree(before: tuple[Any, Any], after: tuple[Any, Any]) -> str:
    """Say how scores and ids (m, k) of two searches agree; raises where they do so by more than near ties."""
    (first, ids), (second, others) = ([np.asarray(part) for part in answer] for answer in (before, after))
    size = np.maximum(np.abs(first), 1.0)
    if first.shape != second.shape or not (np.abs(first - second) <= TIE * size).all():
        raise AssertionError("the scores differ by more than float32 explains")
    same = ids == others
    return f"{same.sum():,} of {same.size:,} neighbours are the same, the rest are ties of float32"


def compare(name: str, before: Callable[[], Any], after: Callable[[], Any], agree: Callable[[Any, Any], str],
            rounds: int) -> tuple[float, float, float]:  # fmt: skip
    """Run both, print how the answers agree and the median seconds of each, in turns.

    (seconds before, seconds after, the median of the pairs' ratios).
    """
    print(f"{name}: {agree(before(), after())}")  # the first calls, which compile and load, do not count
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for call, spent in zip((before, after), seconds, strict=True):
            started = time.perf_counter()
            call()
            spent.append(time.perf_counter() - started)
    old, new = (median(spent) for spent in seconds)
    ratio = median(one / other for one, other in zip(*seconds, strict=True))
    print(f"  before {1e3 * old:9.1f} ms\n  after  {1e3 * new:9.1f} ms    {ratio:.2f}x, median of {rounds} pairs")
    return old, new, ratio
