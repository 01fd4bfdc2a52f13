"""Columns of a row: of times, of what the machine can do at best, and of how an answer was found."""

from statistics import median

import machine
import numpy as np
import psutil

WIDTH = {"int8": 1, "int16": 2, "float16": 2, "float32": 4, "float64": 8}  # bytes of a number of the gallery as read
QUARTERS = (0.25, 0.5, 0.75)


def about(stats, backend, answer):
    """Where it ran and in what: ours tell of a search, of all others the numbers of the answer are known."""
    if stats is None:
        return {
            "ran": backend,
            "precision": numbers(answer),
            "candidates": None,
            "widened": None,
            "prepare_ms": None,
            "scan_ms": None,
        }
    return {
        "ran": stats.backend,
        "precision": stats.precision,
        "candidates": float(stats.candidates.mean()),
        "widened": int(stats.widened.sum()),
        "prepare_ms": 1e3 * stats.prepare_seconds,
        "scan_ms": 1e3 * stats.scan_seconds,
    }


def numbers(answer):
    """The dtype of the values of an answer; None where it has none, as indices alone or a floor."""
    parts = answer if isinstance(answer, tuple) else [answer]
    kinds = (numbers(part) if isinstance(part, tuple) else str(getattr(part, "dtype", "")) for part in parts)
    return next((kind.removeprefix("torch.") for kind in kinds if kind and "float" in kind), None)


def compared(theirs, ours):
    """Of two series of times, round by round."""
    ratios = [their / our for their, our in zip(theirs, ours, strict=True)]
    low, middle, high = np.quantile(ratios, QUARTERS)
    return timed(theirs) | {
        "ours_ms": 1e3 * median(ours),
        "ratio": middle,
        "ratio_low": low,
        "ratio_high": high,
        "ratio_best": min(theirs) / min(ours),
    }


def timed(seconds):
    """Of one series of times; `spread` is the middle half of them, as a share of the median."""
    low, middle, high = np.quantile(seconds, QUARTERS)
    return {
        "ms": 1e3 * middle,
        "ms_best": 1e3 * min(seconds),
        "ms_worst": 1e3 * max(seconds),
        "spread": (high - low) / middle,
        "rounds": len(seconds),
    }


def shares(row, case, read):
    """Of what the machine can do at best: float32 multiply-adds, and reading what has to be read, or `read` bytes."""
    codes = row["precision"] if row["candidates"] is not None else None  # others read the float32 rows they are given
    size = read or case.bytes(WIDTH.get(codes, 4))
    gbs = size / row["ms"] / 1e6
    bandwidth, peak = machine.read_gbs(machine.comparable(size)), machine.peak_gflops(case)
    return {
        "peak_gflops": peak,
        "share_of_peak": None if row["gflops"] is None else row["gflops"] / peak,
        "bytes": size,
        "gbs": gbs,
        "bandwidth_gbs": bandwidth,
        "share_of_bandwidth": gbs / bandwidth,
    }


def busy():
    """Seconds that all cores have worked, and all seconds they have had."""
    spent = psutil.cpu_times()
    idle = spent.idle + getattr(spent, "iowait", 0.0)
    return sum(spent) - idle, sum(spent)
