"""Bit for bit on real embeddings; the data lie beside the project, the tests skip without them."""

import numpy as np
import pytest

import crossmodal_fast as cmf
import judge
from crossmodal_fast.kernels.topk import reference as law

METRICS = ["cosine", "euclidean", "dot"]


@pytest.mark.parametrize("metric", METRICS)
def test_clip500_both_ways(metric, shared_file, backend):
    image, text = np.load(shared_file("clip500/features_clip.npy"))
    expected = law.topk_both(image, text, 10, 10, metric)
    for max_bytes in (None, 1 << 24):
        both = cmf.topk_both(image, text, 10, metric, max_bytes=max_bytes, backend=backend)
        for answer, side in zip(both, expected, strict=True):
            judge.same_bits(answer, side, np.float64 if image.dtype == np.float64 else np.float32)


@pytest.mark.parametrize("metric", METRICS)
def test_minilm_with_its_own_duplicates(metric, shared_file, backend):
    """The gallery holds four pairs of equal rows: ties in real data."""
    y = np.load(shared_file("minilm/docstrings_20k_x384.npy"), mmap_mode="r")
    _, first, counts = np.unique(np.asarray(y), axis=0, return_index=True, return_counts=True)
    x = np.concatenate([y[first[counts > 1]], y[:25]])
    expected = law.topk(x, y, 10, metric)
    dtype = np.float64 if y.dtype == np.float64 else np.float32
    for max_bytes in (None, 1 << 25):
        judge.same_bits(cmf.topk(x, y, 10, metric, max_bytes=max_bytes, backend=backend), expected, dtype)
