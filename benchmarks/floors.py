"""Floors, which are no answers, and NumPy's own ways: see `contenders`."""

from functools import partial

import numpy as np
from machine import reader
from shapes import NotTimed

import crossmodal_fast as cmf

SCORES = 1 << 28  # float32 held at once


def blocks(x, n):
    """x in blocks whose scores against n rows stay below a gigabyte, as anybody would who has 10,000 queries."""
    step = max(1, SCORES // n)
    return [x[first : first + step] for first in range(0, len(x), step)]


def by_blocks(search, x, n):
    """(distances, indices) of x, block by block."""
    return tuple(np.concatenate(part) for part in zip(*map(search, blocks(x, n)), strict=True))


def bare_product(x, y, *_):
    """np.matmul(x, y.T, out=...) alone: a floor, not an answer"""
    parts = blocks(x, len(y))
    scores = np.empty((len(parts[0]), len(y)), np.float32)

    def product():
        for part in parts:
            np.matmul(part, y.T, out=scores[: len(part)])

    return product


def bare_read(x, y, k):
    """reading as many bytes as our codes of the gallery have: a floor, not an answer"""
    *_, stats = cmf.Gallery(y).topk(x, k, return_stats=True)
    return reader(np.ones(y.size * np.dtype(stats.precision).itemsize, np.uint8))


def bare_read_maps(e, m, which):
    """reading the matrices: a floor, not an answer"""
    if which is None:
        raise NotTimed("one matrix stays in a cache")
    return reader(m)


def squares(y):
    return np.einsum("nd,nd->n", y, y)


def expanded(x, y, squares_y):
    """|y|^2 - 2 <x, y>: ordered like the distances."""
    scores = x @ y.T
    scores *= -2
    scores += squares_y
    return scores


def smallest(scores, k):
    """Of each row the k smallest, ascending, and their indices."""
    if k < scores.shape[1]:
        index = np.argpartition(scores, k, axis=1)[:, :k]
    else:
        index = np.arange(scores.shape[1])[None].repeat(len(scores), 0)
    score = np.take_along_axis(scores, index, axis=1)
    order = np.argsort(score, axis=1, kind="stable")
    return np.take_along_axis(score, order, 1), np.take_along_axis(index, order, 1)


def nearest(scores, k, shift=0.0):
    """The roots of the k smallest of scores + shift, and their indices."""
    score, index = smallest(scores, k)
    return np.sqrt(np.maximum(score + shift, 0)), index


def numpy_search(x, y, k, kept):
    return by_blocks(lambda part: nearest(expanded(part, y, kept), k, squares(part)[:, None]), x, len(y))


def numpy_topk(x, y, k):
    """|y|^2 - 2 x @ y.T, argpartition"""
    return lambda: numpy_search(x, y, k, squares(y))


def numpy_gallery_topk(x, y, k):
    """-2 x @ y.T + |y|^2 kept, argpartition"""
    return partial(numpy_search, x, y, k, squares(y))


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
