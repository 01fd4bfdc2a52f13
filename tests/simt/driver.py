"""The driver of `kernels/tiles/cuda/driver.py` on NumPy memory and the emulator: launchers run without a GPU."""

import contextlib
import threading
import weakref
from functools import partial
from types import SimpleNamespace

import numpy as np

import simt
from crossmodal_fast.kernels.tiles.cuda import driver as drivers
from crossmodal_fast.kernels.tiles.cuda.graph import Product, Singly
from crossmodal_fast.kernels.tiles.cuda.lanes import TILES, Same

_one_block = threading.Lock()  # the emulator has one processor, whoever calls


class OutOfMemory(MemoryError):
    """Stands for CuPy's."""


class Lying(np.ndarray):
    """An array that knows its device, as do those made from it."""

    number = None

    def __array_finalize__(self, made_from):
        self.number = getattr(made_from, "number", None)


def _lying(value):
    """The same memory without holding it, and a weak reference to what does."""
    if not isinstance(value, np.ndarray):
        return value, None
    owner = value
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    seen = np.asarray(SimpleNamespace(__array_interface__=dict(value.__array_interface__))).view(Lying)
    seen.number = getattr(value, "number", None)
    return seen, weakref.ref(owner)


class Late:
    """A lane whose launches wait as long as they may: what does not wait for them finds nothing, or spoils them."""

    tiles = TILES

    def __init__(self, driver):
        self.driver, self.waiting, self.begun, self.followed = driver, [], 0, None

    def launch(self, kernel, grid, block, arguments, **macros):
        assert self.followed == self.driver.asked, "the lane was not told to wait for what was asked for last"
        lying = [_lying(value) for value in arguments]

        def late():
            for number, (_, owner) in enumerate(lying):
                assert owner is None or owner() is not None, f"argument {number} of {kernel} was given back before"
            self.driver.run(kernel, grid, [value for value, _ in lying], block, **macros)

        self.waiting.append(late)

    def follow(self):
        self.followed = self.driver.asked

    def mark(self):
        made = self, self.begun + len(self.waiting)
        self.driver.marks.append(made)
        return made

    def join(self, mark=None):
        _, until = mark or self.mark()
        while self.begun < until:
            self.begun += 1
            self.waiting.pop(0)()


class Emulated:
    """Kernels in one build, a new seed each launch; products off by what tensor cores may lose at most.

    `hostile` moves every score by a random part of so much of |x||y|: any certificate that leans on better luck fails.
    `largest` is the size of an array, in bytes, beyond which the device is out of memory; `free` what it says is left.
    Of several devices, each sees its own arrays alone.
    """

    xp, out_of_memory = np, OutOfMemory

    def __init__(self, flavour="plain", seed=1, hostile=0.0, largest=1 << 40, free=1 << 40, devices=1):
        self.flavour, self.seed, self.hostile, self.largest, self.free = flavour, seed, hostile, largest, free
        self.count, self.thread, self.used = devices, threading.local(), set()
        self.random = np.random.default_rng(seed)
        self.launched, self.released, self.marks, self.asked = [], 0, [], 0

    @property
    def device(self):
        return getattr(self.thread, "device", 0)

    def devices(self):
        return self.count

    @contextlib.contextmanager
    def on(self, device):
        before, self.thread.device = self.device, self.device if device is None else device
        try:
            yield
        finally:
            self.thread.device = before

    def _here(self, *arrays):
        """It is an error to hand a device what lies on another."""
        self.used.add(self.device)
        for array in arrays:
            assert getattr(array, "number", None) in (None, self.device), "an array lies on another device"

    def _lying(self, array):
        made = array.view(Lying)
        made.number = self.device
        return made

    def empty(self, shape, dtype=np.float64):
        self.asked += 1
        made = self._lying(np.empty(shape, dtype))
        if made.nbytes > self.largest:
            raise OutOfMemory
        made.view(np.uint8).fill(0xFF)  # NaN, and whatever else nobody should read
        return made

    def view(self, block, at, shape, dtype):
        return block[at : at + int(np.prod(shape)) * dtype.itemsize].view(dtype).reshape(shape)

    def array(self, host):
        self.asked += 1
        self._here(host)
        return self._lying(np.array(host, order="C"))

    def put(self, target, host, after=None):
        assert after is None or after in self.marks
        self.asked += 1
        self._here(target)
        target[:] = host

    def host(self, array, after=None):
        self._here(array)
        assert after is None or after in self.marks
        if isinstance(after, tuple):
            after[0].join(after)
        return np.array(array)

    def into(self, target, array, after=None):
        assert after is None or after in self.marks
        self._here(array)
        target[...] = array

    def mark(self):
        self.marks.append(len(self.launched))
        return self.marks[-1]

    def lane(self, beside):
        return Late(self) if beside else Same(self)

    def room(self):
        return self.free

    def release(self):
        self.released += 1

    def launch(self, kernel, grid, block, arguments, **macros):
        self.asked += 1
        self.run(kernel, grid, arguments, block, **macros)
        drivers.note(lambda: partial(self.launch, kernel, grid, block, arguments, **macros))

    def run(self, kernel, grid, arguments, block=256, **macros):
        self.seed += 1
        self._here(*arguments)
        self.launched.append(kernel)
        library = simt.build(simt.CUDA / f"{kernel}.cu", self.flavour, **macros)
        with _one_block:
            library.launch(kernel, grid, block, arguments, seed=self.seed)

    def gemm(self, x_md, y_nd, score, scale):
        self.asked += 1
        self._here(x_md, y_nd, score)
        x, y = x_md.astype(np.float32), y_nd.astype(np.float32)
        exact = x @ y.T
        self._move(x, y, exact)
        score[:, : len(y_nd)] = (exact * np.float32(scale)).astype(np.float16)
        drivers.note(lambda: Product(self.gemm, (x_md, y_nd, score, scale)))

    def replay(self, rows, block, calls):
        return Singly(self, rows, block, calls)

    def product(self, x_md, y_nd, out_mn, *, added=False):
        assert x_md.dtype == y_nd.dtype == out_mn.dtype
        assert out_mn.flags.c_contiguous
        self._here(x_md, y_nd, out_mn)
        with np.errstate(over="ignore", invalid="ignore"):
            out_mn[...] = x_md @ y_nd.T + (out_mn if added else 0)
        self._move(x_md, y_nd, out_mn)

    def products(self, x_bmd, y_bnd, out_bmn):
        for x_md, y_nd, out_mn in zip(x_bmd, y_bnd, out_bmn, strict=True):
            self.product(x_md, y_nd, out_mn)

    def _move(self, x, y, out_mn):
        if self.hostile:
            reach = self.hostile * np.outer(*(np.sqrt(np.einsum("ad,ad->a", side, side)) for side in (x, y)))
            out_mn += (self.random.uniform(-1, 1, out_mn.shape) * reach).astype(out_mn.dtype)
