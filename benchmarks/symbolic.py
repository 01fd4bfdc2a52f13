"""KeOps, which compiles a formula for each number of features and of neighbours: see `contenders`."""

import os
import shutil

import numpy as np
from shapes import NotTimed

WIDEST = 64  # features: all are held in registers; its makers see it ahead up to about 100 of them
LONGEST = 10  # neighbours, held there too


def keops_topk(x, y, k):
    """pykeops LazyTensor.Kmin_argKmin"""
    if x.shape[1] > WIDEST or k > LONGEST:
        raise NotTimed(
            f"KeOps is for few features and neighbours, and takes 20 s to 70 s to compile for each number of them: "
            f"up to {WIDEST} and {LONGEST} are timed"
        )
    compiler = os.environ.get("CXX", "g++")
    if not shutil.which(compiler):
        raise NotTimed(f"KeOps compiles with {compiler}, which is not installed")
    import pykeops

    pykeops.set_verbose(False)
    from pykeops.numpy import LazyTensor

    def search():
        gap = LazyTensor(x[:, None, :]) - LazyTensor(y[None])
        squares, indices = (gap**2).sum(-1).Kmin_argKmin(k, dim=1)
        return np.sqrt(squares), indices

    return search
