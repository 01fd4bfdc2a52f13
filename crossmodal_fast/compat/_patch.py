"""Ours in a peer's place, inside code that cannot be changed."""

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from threading import Lock

from .._arguments import one_of
from ._peer import SWAPPED, missing

ESTIMATORS = (
    "KNeighborsClassifier", "KNeighborsRegressor", "KNeighborsTransformer", "NearestNeighbors",
    "RadiusNeighborsTransformer",
)  # fmt: skip
REDUCTIONS = ("ArgKmin", "RadiusNeighbors")  # private: what all searches inside scikit-learn come to
VOTES = ("ArgKminClassMode", "RadiusNeighborsClassMode")  # but for those of classifiers, which these send there
SKLEARN = (
    "pairwise_distances", "pairwise_distances_argmin", "pairwise_distances_argmin_min", "pairwise_distances_chunked",
)  # fmt: skip
TABLE: dict[str, tuple[tuple[str, tuple[str, ...]], ...]] = {
    "faiss": (
        (
            "faiss",
            ("IndexFlat", "IndexFlatIP", "IndexFlatL2", "knn", "pairwise_distances", "read_index", "write_index"),
        ),
    ),
    "ot": (("ot", ("sinkhorn",)), ("ot.bregman", ("sinkhorn",))),
    "scipy": (("scipy.spatial.distance", ("cdist", "pdist")),),
    "sentence_transformers": (
        (
            "sentence_transformers.util",
            ("semantic_search", "paraphrase_mining", "paraphrase_mining_embeddings", "community_detection"),
        ),
    ),
    "sklearn": (
        ("sklearn.metrics", (*SKLEARN, "euclidean_distances")),
        (
            "sklearn.metrics.pairwise",
            (
                *SKLEARN,
                "euclidean_distances",
                "manhattan_distances",
                "cosine_distances",
                "cosine_similarity",
                "ArgKmin",
            ),
        ),
        ("sklearn.metrics._pairwise_distances_reduction", REDUCTIONS),
        ("sklearn.neighbors", ESTIMATORS),
        ("sklearn.neighbors._base", REDUCTIONS),
        ("sklearn.neighbors._classification", VOTES),
    ),
    "torch": (("torch", ("cdist",)), ("torch.functional", ("cdist",))),
}
"""Peer -> modules and their attributes that `patch` swaps, for those of the same name in `compat`."""

_lock = Lock()
_inside: Counter[str] = Counter()  # blocks that hold each peer patched, of all threads


@contextmanager
def patch(peer: str) -> Iterator[tuple[str, ...]]:
    """Inside a `with` block a peer's functions are ours; afterwards its own again, also after an exception.

    Parameters
    ----------
    peer : "faiss", "ot", "scipy", "sentence_transformers", "sklearn" or "torch", which must be installed

    Returns
    -------
    The names that were swapped, such as "sklearn.metrics.pairwise_distances": those of `compat._patch.TABLE`, but for
    what the installed version has not. Only they are: what other modules took before by `from .. import` stays theirs,
    those of the peer included, and compiled code never looks there. Of scikit-learn the searches behind its estimators
    are among them, so that brute ones made before search with ours. Modules are shared by all threads, and so is what
    is swapped: blocks may be nested and overlap between threads, and the last one that ends restores. Also a decorator.

    Raises
    ------
    ValueError : no such peer
    ModuleNotFoundError : the peer is not installed

    Examples
    --------
    >>> import scipy.spatial.distance
    >>> with patch("scipy"):
    ...     scipy.spatial.distance.cdist is __import__("crossmodal_fast").compat.scipy.cdist
    True
    """
    one_of("peer", peer, TABLE)
    with _lock:
        if not _inside[peer]:
            _swap(peer)
        _inside[peer] += 1
        names = tuple(f"{module}.{name}" for module, name in SWAPPED if module.partition(".")[0] == peer)
    try:
        yield names
    finally:
        with _lock:
            _inside[peer] -= 1
            if not _inside[peer]:
                _restore(peer)


def _swap(peer: str) -> None:
    try:
        modules = [(import_module(module), names) for module, names in TABLE[peer]]
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != peer:
            raise
        raise ModuleNotFoundError(f"patch needs {missing(peer)}", name=peer) from error
    ours = import_module(f".{peer}", __package__)
    for module, names in modules:
        for name in names:
            if hasattr(module, name):
                SWAPPED[module.__name__, name] = getattr(module, name)
                setattr(module, name, getattr(ours, name))


def _restore(peer: str) -> None:
    for module, name in [key for key in SWAPPED if key[0].partition(".")[0] == peer]:
        setattr(sys.modules[module], name, SWAPPED.pop((module, name)))
