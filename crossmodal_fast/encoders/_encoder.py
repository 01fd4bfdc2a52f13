"""What all encoders share: batches, the check of what a model gives, progress, and the cache."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._arguments import array_of, brief, whole
from .._progress import bar
from ..files import FileError, check_output, read_embeddings, write_array
from ._key import key_of

Float32 = NDArray[np.float32]


class Encoder:
    """Base of all encoders; a subclass has `_embed` and `_identity`.

    `encode` does the rest. An encoder holds a model and is no transformer of rows: it stands before a `Chain`.
    """

    takes = "items"  # what a sentence calls the inputs

    def encode(
        self, inputs: Iterable[Any], *, batch_size: int = 32, cache: str | os.PathLike[str] | None = None
    ) -> Float32:
        """Embed inputs, a batch at a time.

        Parameters
        ----------
        inputs : sequence of n items, or array_like (n, ...)
            Texts for encoders of text; arrays, PIL images or tensors for the others, not names of files.
        batch_size : int, default 32
            Inputs that the model is given at once.
        cache : path, optional
            Folder of one `.npy` for each set of inputs and model, made where its parent exists. What is there is read
            instead of computed. The name is a hash of the inputs, in order, and of the model: class, options,
            configuration and weights. The batch size is not in it: it moves last bits only.

        Returns
        -------
        ndarray, shape (n, d)
            float32, row i for input i, as the model gives them; `preprocess` centres and normalises.

        Raises
        ------
        TypeError, ValueError
            Inputs of another kind or none; a model that gives no (batch, d) of finite numbers.
        FileError
            A cache that cannot be written, found out before any work, or holds a damaged file.

        Notes
        -----
        Cost: that of the model; one copy of the embeddings. A cache costs one pass over the inputs and the weights
        (about 1 s per GB). A file in it is written whole or not at all; an interrupted run leaves none. A progress bar
        shows on a terminal after a second.

        Examples
        --------
        >>> from crossmodal_fast.encoders import Function
        >>> Function(lambda texts: [[len(text), text.count("e")] for text in texts], "letters").encode(["one", "three"])
        array([[3., 1.],
               [5., 2.]], dtype=float32)
        """
        items = self._checked(inputs)
        size = whole("batch_size", batch_size)
        if cache is None:
            return self._encoded(items, size)
        path = _place(cache, key_of(self._identity(), items))
        if path.exists():
            return _read(path, len(items))
        rows = self._encoded(items, size)
        write_array(path, rows)
        return rows

    def _embed(self, batch: list[Any]) -> ArrayLike:
        """Rows (batch, d) of a batch."""
        raise NotImplementedError

    def _identity(self) -> Iterable[Any]:
        """All that results depend on beside the inputs: texts, numbers, arrays, in a fixed order."""
        raise NotImplementedError

    def _check(self, name: str, item: Any) -> None:
        """Raise unless one input is of the kind that the model takes: an array, or what becomes one."""
        if isinstance(item, str | bytes | os.PathLike):
            raise TypeError(
                f"{name} must be an array, an image or a tensor, not its name, got {brief(item)}: open it first"
            )

    def _checked(self, inputs: Iterable[Any]) -> list[Any]:
        one = isinstance(inputs, str | bytes | Mapping) or getattr(inputs, "ndim", 1) == 0
        if one or not isinstance(inputs, Iterable):
            raise TypeError(f"inputs must be a sequence of {self.takes}, got {brief(inputs)}")
        items = list(inputs)
        if not items:
            raise ValueError(f"inputs must hold at least one of the {self.takes}, got none")
        for place, item in enumerate(items):
            self._check(f"inputs[{place}]", item)
        return items

    def _encoded(self, items: Sequence[Any], size: int) -> Float32:
        rows: Float32 | None = None
        with bar("encoding") as progress:
            for start in range(0, len(items), size):
                batch = list(items[start : start + size])
                found = self._rows(batch, start)
                if rows is None:
                    rows = np.empty((len(items), found.shape[1]), dtype=np.float32)
                if found.shape[1] != rows.shape[1]:
                    raise ValueError(
                        f"the model must give rows of one length, got {found.shape[1]} from inputs[{start}] on, "
                        f"{rows.shape[1]} before"
                    )
                rows[start : start + len(batch)] = found
                progress(start + len(batch), len(items))
        assert rows is not None  # there is at least one item
        return rows

    def _rows(self, batch: list[Any], start: int) -> Float32:
        """What the model gives for a batch, checked."""
        found = array_of("embeddings of the model", self._embed(batch))
        if found.ndim != 2 or len(found) != len(batch) or not found.shape[1]:
            raise ValueError(f"the model must give (n, d), one row for each of {len(batch)} inputs, got {found.shape}")
        if found.dtype.kind not in "biuf":
            raise TypeError(f"the model must give real numbers, got dtype {found.dtype}")
        with np.errstate(over="ignore"):  # what float32 cannot hold is refused below
            found = found.astype(np.float32)
        bad = ~np.isfinite(found).all(axis=1)
        if bad.any():
            place = start + int(bad.argmax())
            raise ValueError(f"the model must give finite numbers that float32 holds, got others for inputs[{place}]")
        return found


def _place(cache: str | os.PathLike[str], key: str) -> Path:
    """The file of a key; its folder is made."""
    if not isinstance(cache, str | os.PathLike):
        raise TypeError(f"cache must be the name of a folder, got {brief(cache)}")
    folder = Path(cache)
    if not folder.exists():
        check_output(folder)
        folder.mkdir(exist_ok=True)
    if not folder.is_dir():
        raise FileError(f"cache must be a folder, got the file '{folder}': choose another name")
    return check_output(folder / f"{key}.npy")


def _read(path: Path, count: int) -> Float32:
    rows = np.array(read_embeddings(path))
    if len(rows) != count or rows.dtype != np.float32:
        raise FileError(f"'{path}' must hold {count} rows of float32, got {len(rows)} of {rows.dtype}: remove it")
    return rows
