"""PyTorch: modules as encoders, and what encoders of libraries that stand on it share."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .._arguments import brief
from ._encoder import Encoder
from ._key import plain
from ._needed import needed


@contextmanager
def inference(torch: Any, module: Any) -> Iterator[None]:
    """No gradients, and evaluation mode of every part; the modes are as before afterwards."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        for part, training in modes:
            part.training = training


def as_rows(tensor: Any) -> ArrayLike:
    """A tensor of any device and float dtype (bfloat16 as well) as a float32 array."""
    found: ArrayLike = tensor.detach().float().cpu().numpy()
    return found


def described(torch: Any, module: Any) -> Iterator[Any]:
    """All that a module's results depend on but its code: its parts, their plain settings, parameters and buffers."""
    yield from (type(module).__module__, type(module).__qualname__, repr(module))
    for name, part in module.named_modules():
        own = {key: value for key, value in vars(part).items() if key[0] != "_" and key != "training" and _plain(value)}
        yield f"{name} {plain(own)}"
    for name, tensor in sorted(module.state_dict().items()):
        if not torch.is_tensor(tensor):  # state of a kind of its own
            yield f"{name} {tensor!r}"
            continue
        yield f"{name} {tensor.dtype} {tuple(tensor.shape)}"
        yield tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy()  # its bytes: NumPy has no bfloat16


def _plain(value: Any) -> bool:
    """What has the same text in every process."""
    if isinstance(value, list | tuple):
        return all(_plain(item) for item in value)
    return value is None or isinstance(value, bool | int | float | str)


def stacked(batch: list[Any]) -> Any:
    """(batch, ...) of inputs of one shape."""
    arrays = [np.asarray(item) for item in batch]
    shapes = sorted({array.shape for array in arrays})
    if len(shapes) > 1:
        raise ValueError(f"inputs must be arrays of one shape, got {shapes[0]} and {shapes[1]}")
    if arrays[0].dtype.kind not in "biuf":
        raise TypeError(f"inputs must be arrays of real numbers, got dtype {arrays[0].dtype}")
    return np.stack(arrays)


class TorchModule(Encoder):
    """A PyTorch module as an encoder: arrays of one shape are stacked to a batch and given to it.

    Parameters
    ----------
    module : torch.nn.Module
        (batch, ...) -> (batch, d). It stays on its device; inputs are brought there, and to its dtype where they are
        real, while whole numbers stay such (token ids). It runs in evaluation mode and without gradients, and is left
        in the mode it was in. For the cache its class, settings and weights count, not the code of the class.

    Examples
    --------
    >>> import torch  # doctest: +SKIP
    >>> TorchModule(torch.nn.Linear(4, 2)).encode(np.ones((10, 4), np.float32)).shape  # doctest: +SKIP
    (10, 2)
    """

    takes = "arrays"

    def __init__(self, module: Any) -> None:
        self._torch = needed("torch", "TorchModule")
        if not isinstance(module, self._torch.nn.Module):
            raise TypeError(f"module must be a torch.nn.Module, got {brief(module)}")
        self.module = module

    def _embed(self, batch: list[Any]) -> ArrayLike:
        rows = self._torch.from_numpy(stacked(batch))
        first = next(self.module.parameters(), None)
        if first is not None:
            rows = rows.to(first.device, first.dtype if rows.is_floating_point() else rows.dtype)
        with inference(self._torch, self.module):
            found = self.module(rows)
        if not self._torch.is_tensor(found):
            raise TypeError(f"module must give a tensor, got {brief(type(found))}: wrap it in one that does")
        return as_rows(found)

    def _identity(self) -> Iterable[Any]:
        return described(self._torch, self.module)
