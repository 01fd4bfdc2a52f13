"""The driver of `kernels/tiles/cuda/driver.py` on NumPy memory and the emulator: launchers run without a GPU."""

import numpy as np

import simt


class Emulated:
    """Kernels in one build, a new seed each launch; products off by what tensor cores may lose at most.

    `hostile` moves every score by a random part of half of A |x||y|: any certificate that leans on better luck fails.
    """

    xp = np

    def __init__(self, flavour="plain", seed=1, hostile=0.0):
        self.flavour, self.seed, self.hostile = flavour, seed, hostile
        self.random = np.random.default_rng(seed)
        self.launched = []

    def array(self, host):
        return np.array(host, order="C")

    def host(self, array):
        return np.array(array)

    def launch(self, kernel, grid, block, arguments, **macros):
        self.seed += 1
        self.launched.append(kernel)
        library = simt.build(simt.CUDA / f"{kernel}.cu", self.flavour, **macros)
        library.launch(kernel, grid, block, arguments, seed=self.seed)

    def gemm(self, x_md, y_nd, out_mn):
        x, y = x_md.astype(np.float32), y_nd.astype(np.float32)
        np.matmul(x, y.T, out=out_mn)
        reach = self.hostile * np.outer(*(np.sqrt(np.einsum("ad,ad->a", side, side)) for side in (x, y)))
        out_mn += (self.random.uniform(-1, 1, out_mn.shape) * reach).astype(np.float32)
