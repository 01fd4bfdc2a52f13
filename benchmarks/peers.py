"""The libraries that can do the same; each is imported where it is asked for, see `contenders`."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from time import perf_counter

import numpy as np
from floors import by_blocks, in_groups, nearest, smallest
from rows import THREADS
from shapes import NotTimed

ALWAYS_BLAS, NEVER_BLAS = 0, 2**31 - 1  # of FAISS's threshold, in numbers of the queries
TRIED_QUERIES = 100  # for the tuning
NOTABLE = 0.9  # share of the time below which a tuned setting is a contender of its own

# ------------------------------------------------------------------------------------------------- SciPy, scikit-learn


def scipy_topk(x, y, k):
    """cdist, argpartition"""
    from scipy.spatial.distance import cdist

    return lambda: by_blocks(lambda part: nearest(cdist(part, y, "sqeuclidean"), k), x, 2 * len(y))


def scipy_pairwise(x, y):
    """cdist, float64"""
    from scipy.spatial.distance import cdist

    return lambda: cdist(x, y)


def scipy_transfer(e, m, which):
    """linalg.blas.sgemm"""
    from scipy.linalg.blas import sgemm

    if which is not None:
        raise NotTimed("SciPy has no batched product")
    return lambda: sgemm(1.0, m.T, e.T, trans_a=True).T  # Fortran order, so turned: nothing is copied


def sklearn_topk(x, y, k):
    """NearestNeighbors(algorithm="brute").fit(y).kneighbors(x), which is ArgKmin"""
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


def tuned(prepare, x, y, k):
    """The call with the better threshold, if that is another way than the default one."""
    import faiss

    call, trial = prepare(x, y, k), prepare(x[:TRIED_QUERIES], y, k)

    def under(threshold, call):
        default = faiss.cvar.distance_compute_blas_threshold
        faiss.cvar.distance_compute_blas_threshold = threshold
        try:
            return call()
        finally:
            faiss.cvar.distance_compute_blas_threshold = default

    seconds = {}
    for threshold in (ALWAYS_BLAS, NEVER_BLAS):
        under(threshold, trial)
        began = perf_counter()
        under(threshold, trial)
        seconds[threshold] = perf_counter() - began
    usual = ALWAYS_BLAS if x.size >= faiss.cvar.distance_compute_blas_threshold else NEVER_BLAS
    best = min(seconds, key=seconds.get)
    if seconds[best] > NOTABLE * seconds[usual]:
        raise NotTimed("the default distance_compute_blas_threshold takes the better way here")
    return partial(under, best, call)


def faiss_tuned_topk(x, y, k):
    """faiss.knn, the better of BLAS always and never (distance_compute_blas_threshold)"""
    return tuned(faiss_topk, x, y, k)


def faiss_tuned_gallery_topk(x, y, k):
    """IndexFlatL2, filled before, the better of BLAS always and never (distance_compute_blas_threshold)"""
    return tuned(faiss_gallery_topk, x, y, k)


def faiss_prepare(y):
    """IndexFlatL2.add and a first query"""
    import faiss

    def filled():
        index = faiss.IndexFlatL2(y.shape[1])
        index.add(y)
        index.search(y[:1], 1)

    return filled


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
    return lambda: by_blocks(lambda part: torch.cdist(part, y).topk(k, largest=False), x, len(y))


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

    def search():
        kept = y.square().sum(1)
        return by_blocks(lambda part: torch_found(part, y, k, kept), x, 2 * len(y))

    return search


def torch_gallery_topk(x, y, k):
    """(|y|^2 - 2 x @ y.T).topk, |y|^2 kept"""
    _, x, y = tensors(x, y)
    kept = y.square().sum(1)
    return lambda: by_blocks(lambda part: torch_found(part, y, k, kept), x, 2 * len(y))


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


# ---------------------------------------------------------------------------------------------------- NumKong, USearch


def numkong_packed(y):
    """The gallery in a part for each thread, packed, with the place of its first row."""
    import numkong

    parts = np.array_split(y, THREADS)
    first = np.cumsum([0, *map(len, parts[:-1])])
    return [(numkong.dots_pack(part), place) for part, place in zip(parts, first, strict=True) if len(part)]


def numkong_search(x, packed, k, n):
    from numkong import euclideans_packed

    def one_part(block, pack, first):
        distances, index = smallest(np.asarray(euclideans_packed(block, pack)), k)
        return distances, index + first

    def one_block(block):
        with ThreadPoolExecutor(THREADS) as pool:
            found = [task.result() for task in [pool.submit(one_part, block, *part) for part in packed]]
        distances, index = (np.concatenate(column, axis=1) for column in zip(*found, strict=True))
        distances, place = smallest(distances, k)
        return distances, np.take_along_axis(index, place, 1)

    return by_blocks(one_block, x, 2 * n)


def numkong_topk(x, y, k):
    """dots_pack, euclideans_packed on a thread for each core, argpartition"""
    numkong_packed(y[:1])
    return lambda: numkong_search(x, numkong_packed(y), k, len(y))


def numkong_gallery_topk(x, y, k):
    """euclideans_packed on a thread for each core, packed before, argpartition"""
    return partial(numkong_search, x, numkong_packed(y), k, len(y))


def numkong_pairwise(x, y):
    """euclideans_packed on a thread for each core, float64"""
    numkong_packed(y[:1])

    def distances():
        from numkong import euclideans_packed

        with ThreadPoolExecutor(THREADS) as pool:
            parts = pool.map(lambda part: np.asarray(euclideans_packed(x, part[0])), numkong_packed(y))
            return np.concatenate(list(parts), axis=1)

    return distances


def usearch_topk(x, y, k):
    """usearch.index.search(exact=True)"""
    from usearch.index import MetricKind, search

    def found():
        matches = search(y, x, k, MetricKind.L2sq, exact=True, threads=THREADS)
        distances, indices = matches.distances.reshape(-1, k), matches.keys.reshape(-1, k)
        return rooted((distances, indices.astype(np.int64)))

    return found
