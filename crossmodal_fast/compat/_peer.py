"""What is left to the peers themselves: their own functions, also while `patch` has ours in their place."""

from importlib import import_module
from typing import Any

SWAPPED: dict[tuple[str, str], Any] = {}
"""(module, attribute) -> the peer's own, while `patch` holds ours there."""

PACKAGES = {"sklearn": "scikit-learn", "sentence_transformers": "sentence-transformers", "ot": "POT"}


def peers_own(module: str, attribute: str, what: str) -> Any:
    """The peer's own function, for `what` is asked of it."""
    if (module, attribute) in SWAPPED:
        return SWAPPED[module, attribute]
    root = module.partition(".")[0]
    try:
        return getattr(import_module(module), attribute)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != root:
            raise  # the peer is there, and something that it needs is not
        raise ModuleNotFoundError(f"{what} is left to {package_of(root)}, which is not installed", name=root) from error


def package_of(root: str) -> str:
    """What is installed for a module to be there."""
    return PACKAGES.get(root, root)
