"""A pipeline as named plain arrays: one holds parameters and names as JSON, the others what was fitted."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..fitting import TransferMap
from ..preprocess import STEPS, Chain

Array = NDArray[Any]


class Stored(NamedTuple):
    """What of a pipeline is kept: all but the data."""

    params: dict[str, Any]
    shared: str | None
    steps: dict[str, Chain]
    widths: dict[str, int]
    maps: dict[tuple[str, str], TransferMap]


def to_arrays(stored: Stored) -> dict[str, Array]:
    """Raises TypeError for parameters that are no plain values, and for steps that are not of `preprocess`."""
    about = {
        "params": {**stored.params, "preprocess": _described(stored.params["preprocess"])},
        "shared": stored.shared,
        "steps": {name: _described(chain.steps) for name, chain in stored.steps.items()},
        "widths": stored.widths,
        "maps": list(stored.maps),
    }
    arrays = {"pipeline": np.array(json.dumps(about, default=_plain))}
    for i, chain in enumerate(stored.steps.values()):
        for j, step in enumerate(chain.steps):
            arrays |= {f"step.{i}.{j}.{name}": value for name, value in step.get_state().items()}
    for i, found in enumerate(stored.maps.values()):
        arrays |= {f"map.{i}.{name}": value for name, value in found.to_arrays().items()}
    return arrays


def from_arrays(arrays: Mapping[str, Array]) -> Stored:
    """Put back what `to_arrays` gave."""
    about = json.loads(str(arrays["pipeline"]))
    steps = {name: Chain(_made(described)) for name, described in about["steps"].items()}
    for i, chain in enumerate(steps.values()):
        for j, step in enumerate(chain.steps):
            step.set_state(_under(arrays, f"step.{i}.{j}."))
    maps = {
        (source, target): TransferMap.from_arrays(_under(arrays, f"map.{i}."))
        for i, (source, target) in enumerate(about["maps"])
    }
    params = {**about["params"], "preprocess": _made(about["params"]["preprocess"])}
    return Stored(params, about["shared"], steps, about.get("widths", {}), maps)


def _described(preprocess: Any) -> Any:
    """Steps as JSON: a list of {step, params}, or a dict of such lists."""
    if isinstance(preprocess, Mapping):
        return {name: _described(steps) for name, steps in preprocess.items()}
    kinds = {kind: name for name, kind in STEPS.items()}
    steps = Chain(preprocess).steps
    for step in steps:
        if type(step) not in kinds:
            raise TypeError(f"preprocess must consist of {', '.join(STEPS)} to be saved, got {type(step).__name__}")
    return [{"step": kinds[type(step)], "params": step.get_params()} for step in steps]


def _made(described: Any) -> Any:
    if isinstance(described, Mapping):
        return {name: _made(steps) for name, steps in described.items()}
    return [STEPS[entry["step"]](**entry["params"]) for entry in described]


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"parameters must be plain numbers, names, lists and dicts to be saved, got {type(value).__name__}")


def _under(arrays: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    return {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}
