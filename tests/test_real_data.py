"""Bit for bit on real embeddings; the data lie beside the project, the tests skip without them."""

from functools import cache

import numpy as np
import pytest

import crossmodal_fast as cmf
import judge
from crossmodal_fast.kernels.topk import reference as law

METRICS = ["cosine", "euclidean", "dot"]


@cache
def clip500(path, metric):
    """Image and text rows, and what the law says of them."""
    image, text = np.load(path)
    return image, text, law.topk_both(image, text, 10, 10, metric)


@pytest.mark.parametrize("metric", METRICS)
def test_clip500_both_ways(metric, shared_file, backend):
    image, text, expected = clip500(shared_file("clip500/features_clip.npy"), metric)
    for max_bytes in (None, 1 << 24):
        both = cmf.topk_both(image, text, 10, metric, max_bytes=max_bytes, backend=backend)
        for answer, side in zip(both, expected, strict=True):
            judge.same_bits(answer, side, np.float64 if image.dtype == np.float64 else np.float32)


@cache
def minilm(path, metric):
    """Queries, the gallery they are from, and what the law says of them."""
    y = np.load(path, mmap_mode="r")
    _, first, counts = np.unique(np.asarray(y), axis=0, return_index=True, return_counts=True)
    x = np.concatenate([y[first[counts > 1]], y[:25]])
    return x, y, law.topk(x, y, 10, metric)


@pytest.mark.parametrize("metric", METRICS)
def test_minilm_with_its_own_duplicates(metric, shared_file, backend):
    """The gallery holds four pairs of equal rows: ties in real data."""
    x, y, expected = minilm(shared_file("minilm/docstrings_20k_x384.npy"), metric)
    dtype = np.float64 if y.dtype == np.float64 else np.float32
    for max_bytes in (None, 1 << 25):
        judge.same_bits(cmf.topk(x, y, 10, metric, max_bytes=max_bytes, backend=backend), expected, dtype)
