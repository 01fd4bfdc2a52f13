"""A tensor core at its worst: the sums that docs/exactness.md, section 7, allows for, and rows that lose by them."""

import numpy as np

import simt
from crossmodal_fast.kernels.tiles.cuda import bounds
from simt.driver import Emulated

LEAST = 4 * (4 - 2.0**-9)  # of two codes, just below what is kept behind 2**26


class TensorCores(Emulated):
    """Products are added 16 at a time, each cut off behind 22 bits of the largest, their sum cut to float32."""

    planted = {}  # noqa: RUF012 - texts in the place of kernels

    def run(self, kernel, grid, arguments, block=256, **macros):
        if kernel not in self.planted:
            super().run(kernel, grid, arguments, block, **macros)
            return
        library = simt.build(simt.CUDA / f"{kernel}.cu", self.flavour, text=self.planted[kernel], **macros)
        library.launch(kernel, grid, block, arguments, seed=1)

    def gemm(self, x_md, y_nd, score, scale):
        x, y = x_md.astype(np.float64), y_nd.astype(np.float64)
        total = np.zeros((len(x), len(y)))
        for c in range(0, x.shape[1], bounds.TERMS):
            part = slice(c, c + bounds.TERMS)
            terms = np.concatenate([x[:, None, part] * y[None, :, part], total[..., None]], axis=2)
            largest = np.frexp(np.abs(terms).max(axis=2))[1] - 1
            total = cut(terms, largest[..., None] - bounds.FRACTION_BITS).sum(axis=2)
            total = cut(total, np.frexp(np.abs(total))[1] - 24)
        score[:, : len(y)] = (total * scale).astype(np.float16)


def cut(values, exponent):
    """Towards zero, to multiples of 2**exponent."""
    return np.ldexp(np.trunc(np.ldexp(values, -exponent)), exponent)


def losing(d):
    """(x, y), d of their features at least: rows that lose all that the bound of their pair allows for.

    Whole numbers from 2**13 on are their own codes. Both first features leave out half of a code's last place, the
    products of the others are cut off behind the first, and the sum lies half way between two scores, above the nearer.
    """
    x, y = np.full((1, d), 4.0), np.full((1, d), 4 - 2.0**-9)
    x[0, :2], y[0, :2] = (8192 + 3.998, 128), (8192 + 3.998, 256)
    return x.astype(np.float32), y.astype(np.float32)


def gaining(d):
    """The same the other way: the score is as far above the key."""
    x, y = np.full((1, d), 4.0), np.full((1, d), -4 + 2.0**-9)
    x[0, :2], y[0, :2] = (8200 - 3.998, 128), (8200 - 3.998, 255.625)
    return x.astype(np.float32), y.astype(np.float32)
