"""The options of the methods of `match` as options of the command."""

from pathlib import Path
from typing import Any

from .._arguments import one_of
from ..matching import CORRECTIONS, METHODS
from ..matching._corrections import options_of
from ._groups import flag_of, refuse_foreign, with_options_of
from ._options import number, read_rows, read_weights, whole

OPTIONS: dict[str, tuple[Any, str, str]] = {
    "neighbours": (whole, "COUNT", "nearest rows of the other side that a row is compared with"),
    "beta": (number, "NUMBER", "inverse temperature of the softmax"),
    "bank": (Path, "FILE", "other queries, rows (b, d), to correct by"),
    "alpha": (number, "NUMBER", "share of the correction (nnn), discount of what is aligned (itermax)"),
    "activation": (whole, "COUNT", "best columns of a bank query that are corrected"),
    "distribution": (str, "KIND", "what distances are taken for, normal or empirical"),
    "margin": (str, "KIND", "absolute, distance or ratio"),
    "candidates": (whole, "COUNT", "best columns of each row to start from"),
    "solver": (str, "NAME", "auto, dense or sparse"),
    "epsilon": (number, "NUMBER", "weight of the entropy"),
    "marginals": (list[Path], "FILE", "weights of the rows of A, then of B: to be given twice; equal if left out"),
    "rho": (number, "NUMBER", "weight of the marginals' divergence: unbalanced transport"),
    "iterations": (whole, "COUNT", "at most"),
    "tolerance": (number, "NUMBER", "error of the marginals to stop at"),
    "levels": (whole, "COUNT", "larger epsilon first, each twice the next"),
    "keep_scores": (bool, "", "hold all scores in memory"),
    "rounds": (whole, "COUNT", "of aligning"),
    "retrieval": (str, "WAY", "forward, backward, intersect, union or max"),
}


with_method_options = with_options_of({name: method.options for name, method in METHODS.items()}, OPTIONS)


OF_CORRECTIONS = {name: options_of(name) for name in CORRECTIONS}
_TAKEN = {name for takes in OF_CORRECTIONS.values() for name in takes}
with_correction_options = with_options_of(
    OF_CORRECTIONS, {name: row for name, row in OPTIONS.items() if name in _TAKEN}
)


def checked_correction(name: str | None, options: dict[str, Any]) -> None:
    """Raise before any file is read: an unknown correction, an option that it does not take, options of none."""
    if name is not None:
        refuse_foreign(name, OF_CORRECTIONS[one_of("correction", name, CORRECTIONS)], options, "--correction")
    elif options:
        raise ValueError(f"{flag_of(next(iter(options)))} must come with --correction, got none")


def checked_options(method: str, k: int | None, options: dict[str, Any]) -> None:
    """Raise before any file is read: an unknown method, an option that it does not take."""
    takes = METHODS[one_of("method", method, METHODS)].options
    refuse_foreign(method, takes, ({} if k is None else {"k": k}) | options)
    if len(options.get("marginals", "AB")) != 2:
        raise ValueError(
            f"--marginals must be given twice, for the rows of A and of B, got {len(options['marginals'])} times"
        )


def with_files(options: dict[str, Any], m: int, n: int) -> dict[str, Any]:
    """The options, their files read."""
    read = dict(options)
    if "bank" in options:
        read["bank"] = read_rows(options["bank"], None)
    if "marginals" in options:
        read["marginals"] = tuple(map(read_weights, options["marginals"], (m, n)))
    return read
