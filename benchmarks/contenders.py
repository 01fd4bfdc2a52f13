"""What is timed: the cases, and for each operation our call and those of the libraries that can do the same.

A contender takes the arguments of a case, prepares what is not timed and returns the call that is. The call returns
(distances, indices) or an array; a floor, which is no answer, returns None. Distances are Euclidean. A contender that
cannot take part raises ImportError or NotTimed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
from rows import THREADS

import cases
import crossmodal_fast as cmf

OURS = "crossmodal_fast"
SLOWEST = 1e10  # products of SciPy's cdist: 7 s on the machine of the first rows


class NotTimed(Exception):
    """Why a contender is left out of a case, in words."""


@dataclass(frozen=True)
class Case:
    """m rows of x against n of y, or for transfer m rows mapped from d to n features by one of `maps` matrices."""

    operation: str
    m: int
    n: int
    d: int
    k: int | None = None
    maps: int | None = None
    make: Callable = cases.normal
    data: str = "normal"

    @property
    def name(self):
        return f"{self.operation}-{self.m}x{self.n}x{self.d}"

    @property
    def operations(self):
        """Floating-point operations that nobody who computes all products can avoid; None for preparation."""
        return None if self.operation == "prepare" else 2 * self.m * self.n * self.d

    def arguments(self):
        rng = cases.generator(f"{self.m}x{self.n}x{self.d}")
        if self.operation != "transfer":
            x, y = self.make(self.m, self.n, self.d)(rng)
            return (y,) if self.operation == "prepare" else (x, y) if self.k is None else (x, y, self.k)
        e = rng.standard_normal((self.m, self.d), dtype=np.float32)
        if self.maps is None:
            return e, rng.standard_normal((self.n, self.d), dtype=np.float32), None
        matrices = rng.standard_normal((self.maps, self.n, self.d), dtype=np.float32)
        return e, matrices, rng.permutation(np.arange(self.m) % self.maps)


CASES = (
    Case("topk", 2000, 50_000, 256, k=10),
    Case("topk", 200, 100_000, 384, k=10),
    Case("topk", 1, 100_000, 768, k=10),
    Case("Gallery.topk", 200, 100_000, 384, k=10),
    Case("Gallery.topk", 1, 100_000, 768, k=10),
    Case("prepare", 0, 100_000, 768),
    Case("topk_both", 1000, 20_000, 256, k=10),
    Case("pairwise_distances", 1000, 10_000, 256),
    Case("pairwise_distances", 4000, 4000, 64),
    Case("pairwise_distances", 500, 5000, 768, make=partial(cases.near_duplicates, gap=1e-4), data="near duplicates"),
    Case("transfer", 20_000, 512, 768),
    Case("transfer", 100_000, 64, 64),
    Case("transfer", 800, 768, 768, maps=200),
)


@lru_cache(maxsize=1)
def arguments(case):
    return case.arguments()


# --------------------------------------------------------------------------------------------------------------- ours


def our_topk(x, y, k, backend):
    """crossmodal_fast.topk"""
    return partial(cmf.topk, x, y, k, backend=backend)


def our_gallery_topk(x, y, k, backend):
    """Gallery.topk, the Gallery made before"""
    return partial(cmf.Gallery(y).topk, x, k, backend=backend)


def our_prepare(y, backend):
    """Gallery"""
    if backend not in ("auto", "numpy"):
        raise NotTimed("a Gallery is encoded by NumPy for all backends")
    return partial(cmf.Gallery, y)


def our_topk_both(x, y, k, backend):
    """crossmodal_fast.topk_both"""
    return partial(cmf.topk_both, x, y, k, backend=backend)


def our_pairwise(x, y, backend):
    """crossmodal_fast.pairwise_distances"""
    return partial(cmf.pairwise_distances, x, y, backend=backend)


def our_transfer(e, m, which, backend):
    """crossmodal_fast.transfer"""
    return partial(cmf.transfer, e, m, which=which, backend=backend)


# -------------------------------------------------------------------------------------------------------------- NumPy


def bare_product(x, y, *_):
    """np.matmul(x, y.T, out=...) alone: a floor, not an answer"""
    scores = np.empty((len(x), len(y)), np.float32)

    def product():
        np.matmul(x, y.T, out=scores)

    return product


def squares(y):
    return np.einsum("nd,nd->n", y, y)


def expanded(x, y, squares_y):
    """|y|^2 - 2 <x, y>: ordered like the distances."""
    scores = x @ y.T
    scores *= -2
    scores += squares_y
    return scores


def nearest(scores, k, shift=0.0):
    """Of each row the k smallest, ascending: roots of the scores plus shift, and their indices."""
    index = (
        np.argpartition(scores, k, axis=1)[:, :k] if k < scores.shape[1] else np.arange(k)[None].repeat(len(scores), 0)
    )
    score = np.take_along_axis(scores, index, axis=1)
    order = np.argsort(score, axis=1, kind="stable")
    return np.sqrt(np.maximum(np.take_along_axis(score, order, 1) + shift, 0)), np.take_along_axis(index, order, 1)


def numpy_topk(x, y, k):
    """|y|^2 - 2 x @ y.T, argpartition"""
    return lambda: nearest(expanded(x, y, squares(y)), k, squares(x)[:, None])


def numpy_gallery_topk(x, y, k):
    """-2 x @ y.T + |y|^2 kept, argpartition"""
    kept = squares(y)
    return lambda: nearest(expanded(x, y, kept), k, squares(x)[:, None])


def numpy_topk_both(x, y, k):
    """|x|^2 + |y|^2 - 2 x @ y.T, argpartition along both axes"""

    def both():
        scores = expanded(x, y, squares(y))
        scores += squares(x)[:, None]
        return nearest(scores, k), nearest(scores.T, k)

    return both


def numpy_pairwise(x, y):
    """sqrt(|x|^2 + |y|^2 - 2 x @ y.T)"""

    def distances():
        scores = expanded(x, y, squares(y))
        scores += squares(x)[:, None]
        return np.sqrt(np.maximum(scores, 0, out=scores), out=scores)

    return distances


def in_groups(multiply):
    """Rows sorted by their matrix, one batched product (each matrix has as many rows), and back."""

    def grouped(e, m, which):
        order = np.argsort(which, kind="stable")
        out = np.empty((len(e), m.shape[1]), np.float32)
        out[order] = multiply(e[order].reshape(len(m), -1, e.shape[1]), m).reshape(out.shape)
        return out

    return grouped


def numpy_transfer(e, m, which):
    """e @ m.T; for many maps rows sorted by map and one batched matmul"""
    if which is None:
        return lambda: e @ m.T
    grouped = in_groups(lambda rows, matrices: rows @ matrices.swapaxes(1, 2))
    return lambda: grouped(e, m, which)


# ------------------------------------------------------------------------------------------------- SciPy, scikit-learn


def scipy_cdist(x, y):
    from scipy.spatial.distance import cdist

    if (products := x.shape[0] * y.shape[0] * x.shape[1]) > SLOWEST:
        raise NotTimed(f"cdist would take over {SLOWEST / 1.5e9:.0f} s for {products:.1e} products")
    return cdist


def scipy_topk(x, y, k):
    """cdist, argpartition"""
    cdist = scipy_cdist(x, y)

    def search():
        distances = cdist(x, y, "sqeuclidean")
        return nearest(distances, k)

    return search


def scipy_pairwise(x, y):
    """cdist, float64"""
    cdist = scipy_cdist(x, y)
    return lambda: cdist(x, y)


def scipy_transfer(e, m, which):
    """linalg.blas.sgemm"""
    from scipy.linalg.blas import sgemm

    if which is not None:
        raise NotTimed("SciPy has no batched product")
    return lambda: sgemm(1.0, m.T, e.T, trans_a=True).T  # Fortran order, so turned: nothing is copied


def sklearn_topk(x, y, k):
    """NearestNeighbors(algorithm="brute").fit(y).kneighbors(x)"""
    from sklearn.neighbors import NearestNeighbors

    return lambda: NearestNeighbors(n_neighbors=k, algorithm="brute").fit(y).kneighbors(x)


def sklearn_gallery_topk(x, y, k):
    """NearestNeighbors(algorithm="brute"), fitted before"""
    from sklearn.neighbors import NearestNeighbors

    fitted = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(y)
    return lambda: fitted.kneighbors(x)


def sklearn_topk_both(x, y, k):
    """kneighbors of x in y and of y in x"""
    one, other = sklearn_topk(x, y, k), sklearn_topk(y, x, k)
    return lambda: (one(), other())


def sklearn_pairwise(x, y):
    """euclidean_distances"""
    from sklearn.metrics.pairwise import euclidean_distances

    return lambda: euclidean_distances(x, y)


def sklearn_transfer(e, m, which):
    """LinearRegression.predict with m as coefficients"""
    from sklearn.linear_model import LinearRegression

    if which is not None:
        raise NotTimed("scikit-learn has no model with one matrix a row")
    model = LinearRegression()
    model.coef_, model.intercept_ = m, np.zeros(len(m), np.float32)
    return lambda: model.predict(e)


# -------------------------------------------------------------------------------------------------------------- FAISS


def rooted(found):
    distances, indices = found
    return np.sqrt(np.maximum(distances, 0)), indices


def faiss_topk(x, y, k):
    """faiss.knn"""
    import faiss

    return lambda: rooted(faiss.knn(x, y, k))


def faiss_gallery_topk(x, y, k):
    """IndexFlatL2, filled before"""
    import faiss

    index = faiss.IndexFlatL2(y.shape[1])
    index.add(y)
    return lambda: rooted(index.search(x, k))


def faiss_prepare(y):
    """IndexFlatL2.add"""
    import faiss

    return lambda: faiss.IndexFlatL2(y.shape[1]).add(y)


def faiss_topk_both(x, y, k):
    """faiss.knn of x in y and of y in x"""
    one, other = faiss_topk(x, y, k), faiss_topk(y, x, k)
    return lambda: (one(), other())


def faiss_pairwise(x, y):
    """faiss.pairwise_distances, np.sqrt"""
    import faiss

    def distances():
        found = faiss.pairwise_distances(x, y)
        return np.sqrt(np.maximum(found, 0, out=found), out=found)

    return distances


def faiss_transfer(e, m, which):
    """LinearTransform.apply"""
    import faiss

    if which is not None:
        raise NotTimed("FAISS has no batched product")
    transform = faiss.LinearTransform(m.shape[1], m.shape[0], False)
    faiss.copy_array_to_vector(m.ravel(), transform.A)
    transform.is_trained = True
    return lambda: transform.apply(e)


# -------------------------------------------------------------------------------------------------------------- torch


def tensors(*arrays):
    import torch

    torch.set_num_threads(THREADS)  # its own default is one a physical core, the others take the logical ones
    return torch, *(torch.from_numpy(array) for array in arrays)


def torch_cdist_topk(x, y, k):
    """torch.cdist(x, y).topk"""
    torch, x, y = tensors(x, y)
    return lambda: torch.cdist(x, y).topk(k, largest=False)


def torch_cdist_topk_both(x, y, k):
    """torch.cdist(x, y), topk along both axes"""
    torch, x, y = tensors(x, y)

    def both():
        distances = torch.cdist(x, y)
        columns = distances.topk(k, dim=0, largest=False)
        return distances.topk(k, largest=False), tuple(part.T for part in columns)

    return both


def torch_found(x, y, k, squares_y):
    values, indices = squares_y.sub((x @ y.T).mul_(2)).topk(k, largest=False)
    return values.add_(x.square().sum(1, keepdim=True)).clamp_(min=0).sqrt_(), indices


def torch_topk(x, y, k):
    """(|y|^2 - 2 x @ y.T).topk"""
    _, x, y = tensors(x, y)
    return lambda: torch_found(x, y, k, y.square().sum(1))


def torch_gallery_topk(x, y, k):
    """(|y|^2 - 2 x @ y.T).topk, |y|^2 kept"""
    _, x, y = tensors(x, y)
    kept = y.square().sum(1)
    return lambda: torch_found(x, y, k, kept)


def torch_pairwise(x, y):
    """torch.cdist"""
    torch, x, y = tensors(x, y)
    return lambda: torch.cdist(x, y)


def torch_transfer(e, m, which):
    """e @ m.T; for many maps rows sorted by map and one torch.bmm"""
    torch, e_tensor, m_tensor = tensors(e, m)
    if which is None:
        return lambda: e_tensor @ m_tensor.T
    grouped = in_groups(lambda rows, _: torch.bmm(torch.from_numpy(rows), m_tensor.mT).numpy())
    return lambda: grouped(e, m, which)


# -------------------------------------------------------------------------------------------------------- who does what

OUR_CALLS = {
    "topk": our_topk,
    "Gallery.topk": our_gallery_topk,
    "prepare": our_prepare,
    "topk_both": our_topk_both,
    "pairwise_distances": our_pairwise,
    "transfer": our_transfer,
}
PEERS = {
    "topk": {
        "bare GEMM": bare_product,
        "NumPy": numpy_topk,
        "SciPy": scipy_topk,
        "scikit-learn": sklearn_topk,
        "FAISS": faiss_topk,
        "torch cdist": torch_cdist_topk,
        "torch matmul": torch_topk,
    },
    "Gallery.topk": {
        "bare GEMM": bare_product,
        "NumPy": numpy_gallery_topk,
        "scikit-learn": sklearn_gallery_topk,
        "FAISS": faiss_gallery_topk,
        "torch matmul": torch_gallery_topk,
    },
    "prepare": {
        "FAISS": faiss_prepare,
    },
    "topk_both": {
        "bare GEMM": bare_product,
        "NumPy": numpy_topk_both,
        "scikit-learn": sklearn_topk_both,
        "FAISS": faiss_topk_both,
        "torch cdist": torch_cdist_topk_both,
    },
    "pairwise_distances": {
        "bare GEMM": bare_product,
        "NumPy": numpy_pairwise,
        "SciPy": scipy_pairwise,
        "scikit-learn": sklearn_pairwise,
        "FAISS": faiss_pairwise,
        "torch cdist": torch_pairwise,
    },
    "transfer": {
        "NumPy": numpy_transfer,
        "SciPy": scipy_transfer,
        "scikit-learn": sklearn_transfer,
        "FAISS": faiss_transfer,
        "torch matmul": torch_transfer,
    },
}
