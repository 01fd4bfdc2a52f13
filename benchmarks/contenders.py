"""Who is timed: for each operation our call and those of the libraries that can do the same.

A contender takes the arguments of a case, prepares what is not timed and returns the call that is. The call returns
(distances, indices) or an array; a floor, which is no answer, returns None. Distances are Euclidean. A contender that
cannot take part raises ImportError or NotTimed.
"""

from functools import partial

import floors
import symbolic
import toolkit

import crossmodal_fast as cmf
import peers


def our_topk(x, y, k, backend):
    """crossmodal_fast.topk"""
    return partial(cmf.topk, x, y, k, backend=backend)


def our_gallery_topk(x, y, k, backend):
    """Gallery.topk, the Gallery made before"""
    gallery = cmf.Gallery(y)
    gallery.topk(x, k, backend=backend)  # encodes what this backend reads
    return partial(gallery.topk, x, k, backend=backend)


def our_prepare(y, backend):
    """Gallery and a first query, so that nothing is left for later"""
    return lambda: cmf.Gallery(y).topk(y[:1], 1, backend=backend)


def our_topk_both(x, y, k, backend):
    """crossmodal_fast.topk_both"""
    return partial(cmf.topk_both, x, y, k, backend=backend)


def our_pairwise(x, y, backend):
    """crossmodal_fast.pairwise_distances"""
    return partial(cmf.pairwise_distances, x, y, backend=backend)


def our_transfer(e, m, which, backend):
    """crossmodal_fast.transfer"""
    return partial(cmf.transfer, e, m, which=which, backend=backend)


OUR_CALLS = {
    "topk": our_topk,
    "Gallery.topk": our_gallery_topk,
    "prepare": our_prepare,
    "topk_both": our_topk_both,
    "pairwise_distances": our_pairwise,
    "transfer": our_transfer,
    **{name: tool.ours for name, tool in toolkit.TOOLS.items()},
}
PEERS = {
    "topk": {
        "bare GEMM": floors.bare_product,
        "NumPy": floors.numpy_topk,
        "SciPy": peers.scipy_topk,
        "scikit-learn": peers.sklearn_topk,
        "FAISS": peers.faiss_topk,
        "FAISS tuned": peers.faiss_tuned_topk,
        "torch cdist": peers.torch_cdist_topk,
        "torch matmul": peers.torch_topk,
        "NumKong": peers.numkong_topk,
        "USearch": peers.usearch_topk,
        "KeOps": symbolic.keops_topk,
    },
    "Gallery.topk": {
        "bare read": floors.bare_read,
        "bare GEMM": floors.bare_product,
        "NumPy": floors.numpy_gallery_topk,
        "SciPy": peers.scipy_topk,
        "scikit-learn": peers.sklearn_gallery_topk,
        "FAISS": peers.faiss_gallery_topk,
        "FAISS tuned": peers.faiss_tuned_gallery_topk,
        "torch cdist": peers.torch_cdist_topk,
        "torch matmul": peers.torch_gallery_topk,
        "NumKong": peers.numkong_gallery_topk,
        "USearch": peers.usearch_topk,
    },
    "prepare": {
        "FAISS": peers.faiss_prepare,
    },
    "topk_both": {
        "bare GEMM": floors.bare_product,
        "NumPy": floors.numpy_topk_both,
        "scikit-learn": peers.sklearn_topk_both,
        "FAISS": peers.faiss_topk_both,
        "torch cdist": peers.torch_cdist_topk_both,
    },
    "pairwise_distances": {
        "bare GEMM": floors.bare_product,
        "NumPy": floors.numpy_pairwise,
        "SciPy": peers.scipy_pairwise,
        "scikit-learn": peers.sklearn_pairwise,
        "FAISS": peers.faiss_pairwise,
        "torch cdist": peers.torch_pairwise,
        "NumKong": peers.numkong_pairwise,
    },
    "transfer": {
        "bare read": floors.bare_read_maps,
        "NumPy": floors.numpy_transfer,
        "SciPy": peers.scipy_transfer,
        "scikit-learn": peers.sklearn_transfer,
        "FAISS": peers.faiss_transfer,
        "torch matmul": peers.torch_transfer,
    },
    **{name: tool.peers for name, tool in toolkit.TOOLS.items()},
}
