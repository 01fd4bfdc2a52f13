"""The options of the methods of `fit_transfer` as options of `transfer fit`."""

from pathlib import Path
from typing import Any

from .. import TransferMap
from .._arguments import one_of
from ..files import check_input, read_pairs
from ..fitting._fit import METHODS, UNPAIRED, options_of
from ._groups import refuse_foreign, with_options_of
from ._options import number, whole

PATH = "path"  # of penalties, in place of a number


def numbers(text: str) -> Any:
    """One number, or several by commas."""
    found = [number(word) for word in text.split(",")]
    return found if len(found) > 1 else found[0]


def penalties(text: str) -> Any:
    return PATH if text == PATH else numbers(text)


OPTIONS: dict[str, tuple[Any, str, str]] = {
    "regularization": (penalties, "NUMBERS", "weight of the squared map; ridge: or several, or path; cca: or one each"),
    "selection": (str, "NAME", "how one of several is chosen: loo, gcv or retrieval"),
    "prior": (str, "MAP", "what the map shrinks to: identity, procrustes or a map (.npz); nothing if left out"),
    "metric": (str, "NAME", "of the retrieval that is scored, cosine if left out"),
    "rotation_only": (bool, "", "no reflection"),
    "scale": (bool, "", "times the one factor that fits best"),
    "n_components": (whole, "COUNT", "directions kept; all if left out"),
    "shrinkage": (numbers, "NUMBERS", "of the covariances, 0..1, of both sides or one each"),
    "shrink_to": (str, "TARGET", "mean or identity"),
    "correlation_power": (number, "NUMBER", "of the correlations as weights of the map"),
    "mode": (str, "KIND", "regression, canonical or svd"),
    "reweight": (number, "NUMBER", "power of the correlations on each side"),
    "no_dewhiten": (bool, "", "leave out the step back from whitened rows"),
    "pairs": (Path, "FILE", "seed dictionary: a table with columns query (row of A) and gallery (row of B)"),
    "keep": (number, "SHARE", "of the rows that a round sees, at first"),
    "clusters": (whole, "COUNT", "that are matched"),
    "runs": (whole, "COUNT", "starts by clusters"),
    "neighbours": (whole, "COUNT", "nearest rows of CSLS"),
    "most_rows": (whole, "COUNT", "of each side, the first ones"),
    "seed": (whole, "NUMBER", "of what is drawn"),
}

TAKES = {
    method: [f"no_{name}" if f"no_{name}" in OPTIONS else name for name in options_of(method)]
    for method in METHODS | UNPAIRED
}

with_fit_options = with_options_of(TAKES, OPTIONS)


def checked_options(method: str, options: dict[str, Any]) -> None:
    """Raise before any file is read: an unknown method, an option that it does not take."""
    refuse_foreign(method, TAKES[one_of("method", method, TAKES)], options)


def with_files(options: dict[str, Any]) -> dict[str, Any]:
    """The options as `fit_transfer` takes them, their files read."""
    read = dict(options)
    if "pairs" in options:
        read["pairs"] = read_pairs(options["pairs"])
    if Path(options.get("prior", "")).suffix == ".npz":
        read["prior"] = TransferMap.load(check_input(options["prior"], (".npz",)))
    if read.pop("no_dewhiten", False):
        read["dewhiten"] = False
    return read
