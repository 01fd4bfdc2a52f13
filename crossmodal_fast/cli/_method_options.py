"""The options of the methods of `match` as options of the command."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer  # noqa: TID253 - only the command line imports this module

from .._arguments import one_of
from ..matching import METHODS
from ._groups import with_group
from ._options import number, read_rows, whole

TYPES: dict[Callable[[str], Any], type] = {whole: int, number: float}  # of parsers; others give what they are

# Without `marginals`, two vectors, which only Python takes.
OPTIONS: dict[str, tuple[Any, str, str]] = {
    "neighbours": (whole, "COUNT", "nearest rows of the other side that a row is compared with"),
    "beta": (number, "NUMBER", "inverse temperature of the softmax"),
    "bank": (Path, "FILE", "other queries, rows (b, d), to correct by"),
    "alpha": (number, "NUMBER", "share of the correction (nnn), discount of what is aligned (itermax)"),
    "activation": (whole, "COUNT", "best columns of a bank query that are corrected"),
    "margin": (str, "KIND", "absolute, distance or ratio"),
    "candidates": (whole, "COUNT", "best columns of each row to start from"),
    "solver": (str, "NAME", "auto, dense or sparse"),
    "epsilon": (number, "NUMBER", "weight of the entropy"),
    "rho": (number, "NUMBER", "weight of the marginals' divergence: unbalanced transport"),
    "iterations": (whole, "COUNT", "at most"),
    "tolerance": (number, "NUMBER", "error of the marginals to stop at"),
    "levels": (whole, "COUNT", "larger epsilon first, each twice the next"),
    "keep_scores": (bool, "", "hold all scores in memory"),
    "rounds": (whole, "COUNT", "of aligning"),
    "retrieval": (str, "WAY", "forward, backward, intersect or max"),
}


def flag_of(option: str) -> str:
    return "-k" if option == "k" else f"--{option.replace('_', '-')}"


def _option(name: str, parser: Any, metavar: str, text: str) -> tuple[Any, Any]:
    told = f"Of {', '.join(method for method in METHODS if name in METHODS[method].options)}: {text}"
    if parser is bool:
        return bool, typer.Option(flag_of(name), help=told)
    return TYPES.get(parser, parser), typer.Option(flag_of(name), parser=parser, metavar=metavar, help=told)


with_method_options = with_group("options", {name: _option(name, *row) for name, row in OPTIONS.items()})


def checked_options(method: str, k: int | None, options: dict[str, Any]) -> None:
    """Raise before any file is read: an unknown method, an option that it does not take."""
    takes = METHODS[one_of("method", method, METHODS)].options
    for name, value in ({} if k is None else {"k": k}).items() | options.items():
        if name not in takes:
            told = ", ".join(map(flag_of, takes))
            raise ValueError(
                f"{flag_of(name)} must be left out with --method {method}, which takes {told}, got {value}"
            )


def with_bank(options: dict[str, Any]) -> dict[str, Any]:
    """The options, the bank's file read."""
    return {**options, "bank": read_rows(options["bank"], None)} if "bank" in options else options
