"""Functions of other libraries, under their names and with their conventions, computed here.

One module for each peer: its parameters, defaults, return types, dtypes, fillers and order; values that are exact where
the peer's are rounded, and equal values by the lowest index. What only the peer can do is passed on to it where it is
installed, else refused in one sentence. No peer is imported before that. Memory, threads and backend of all of them are
those of `crossmodal_fast.config_context`.

    from crossmodal_fast.compat import faiss       # in place of import faiss
    with crossmodal_fast.compat.patch("sklearn", "torch"):  # or inside code that cannot be changed
        ...
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._patch import patch

if TYPE_CHECKING:
    from . import cuvs as cuvs
    from . import faiss as faiss
    from . import mteb as mteb
    from . import ot as ot
    from . import scipy as scipy
    from . import sentence_transformers as sentence_transformers
    from . import sklearn as sklearn
    from . import torch as torch

PEERS = ("cuvs", "faiss", "mteb", "ot", "scipy", "sentence_transformers", "sklearn", "torch")

__all__ = ["PEERS", "patch"]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name in PEERS:
            return import_module(f".{name}", __name__)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
