"""What the parameters of a pipeline mean, checked where they are used: they may be changed at any time."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from .. import fusion as fusions
from .._arguments import brief, number, one_of
from ..preprocess import Chain
from ._results import Names

LateFusion = Callable[..., Any]  # (score matrices, weights) -> scores

FUSIONS = ("concatenate", *fusions.METHODS)


def one_modality(role: str, name: Any, known: Iterable[str]) -> str:
    if not isinstance(name, str) or name not in known:
        raise ValueError(f"{role} must be one of the modalities {', '.join(known)}, got {brief(name)}")
    return name


def one_side(role: str, names: Any, lengths: Mapping[str, int]) -> Names:
    """One modality as a str, several as a tuple. `lengths`: how many rows are loaded of each."""
    if isinstance(names, str):
        return one_modality(role, names, lengths)
    if not isinstance(names, Sequence) or not names:
        raise TypeError(f"{role} must be a modality or a sequence of them, got {brief(names)}")
    several = tuple(one_modality(role, name, lengths) for name in names)
    if len(set(several)) < len(several):
        raise ValueError(f"{role} must name each modality once, got {', '.join(several)}")
    if len({lengths[name] for name in several}) > 1:
        raise ValueError(
            f"{role} must name modalities with equally many rows, "
            f"got {[lengths[name] for name in several]} in {', '.join(several)}"
        )
    return several if len(several) > 1 else several[0]


def new_steps(preprocess: Any, names: Iterable[str]) -> dict[str, Chain]:
    """An unfitted chain for each modality."""
    if not isinstance(preprocess, Mapping):
        return {name: Chain(preprocess) for name in names}
    for name in preprocess:
        one_modality("preprocess", name, names)
    return {name: Chain(preprocess.get(name, ())) for name in names}


def fit_keywords(transfer: Any) -> dict[str, Any]:
    """Keywords of `fit_transfer`."""
    if isinstance(transfer, str):
        return {"method": transfer}
    if not isinstance(transfer, Mapping | None):
        raise TypeError(f"transfer must be a method, a dict of keywords of fit_transfer or None, got {brief(transfer)}")
    return dict(transfer or {})


def late_fusion(fusion: Any) -> LateFusion | None:
    """The function that fuses scores; None where embeddings are fused instead."""
    if not isinstance(fusion, str | Mapping):
        raise TypeError(f"fusion must be a name or a dict with method and keywords, got {brief(fusion)}")
    options = {"method": fusion} if isinstance(fusion, str) else dict(fusion)
    method = one_of("fusion", options.pop("method", None), FUSIONS)
    if method in fusions.METHODS:
        return partial(fusions.fuse, method=method, **options)
    if options:
        raise TypeError(f"fusion must have no keywords with method='concatenate', got {', '.join(options)}")
    return None


def weights_by_name(weights: Any, names: Iterable[str]) -> dict[str, float]:
    if not isinstance(weights, Mapping | None):
        raise TypeError(f"weights must be a dict modality -> number, got {brief(weights)}")
    return {
        one_modality("weights", name, names): number(f"weights[{name!r}]", weight)
        for name, weight in (weights or {}).items()
    }


def control_keywords(control: Any) -> dict[str, Any]:
    if not isinstance(control, Mapping | None):
        raise TypeError(f"control must be a dict of control arguments, got {brief(control)}")
    return dict(control or {})
