"""What is left to the peers themselves: their own functions, also while `patch` has ours in their place."""

from importlib import import_module
from typing import Any

SWAPPED: dict[tuple[str, str], Any] = {}
"""(module, attribute) -> the peer's own, while `patch` holds ours there."""

PACKAGES = {
    "faiss": ("faiss", "faiss-cpu"),
    "ot": ("POT", "POT"),
    "scipy": ("SciPy", "scipy"),
    "sentence_transformers": ("sentence-transformers", "'crossmodal-fast[encoders]'"),
    "sklearn": ("scikit-learn", "'crossmodal-fast[sklearn]'"),
    "torch": ("torch", "'crossmodal-fast[torch]'"),
}
"""Module -> what it is called, and what installs it."""


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
        raise ModuleNotFoundError(f"{what} is left to {missing(root)}", name=root) from error


def missing(root: str) -> str:
    """The end of a sentence about a module that is not there: what it is called, and how to get it."""
    package, command = PACKAGES[root]
    return f"{package}, which is not installed: pip install {command}"
