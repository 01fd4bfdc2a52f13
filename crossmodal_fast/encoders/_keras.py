"""Keras and TensorFlow models as encoders."""

import os
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .._arguments import brief
from ._encoder import Encoder
from ._key import plain
from ._needed import needed
from ._torch import stacked


class KerasModel(Encoder):
    """A Keras or TensorFlow model as an encoder: arrays of one shape are stacked to a batch and given to it.

    Parameters
    ----------
    model : keras.Model, tf.keras.Model or path
        (batch, ...) -> (batch, d), by its `predict_on_batch`, so without dropout. A path is loaded by
        `keras.saving.load_model`, which runs no code from the file (safe mode). What has no such method, as a loaded
        `tf.saved_model`, fits `Function`.

    Examples
    --------
    >>> import keras  # doctest: +SKIP
    >>> KerasModel(keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])).encode(np.ones((10, 4))).shape
    ... # doctest: +SKIP
    (10, 2)
    """

    takes = "arrays"

    def __init__(self, model: Any) -> None:
        if isinstance(model, str | os.PathLike):
            model = needed("keras", "KerasModel").saving.load_model(os.fspath(model), compile=False)
        if not hasattr(model, "predict_on_batch"):
            raise TypeError(f"model must be a Keras model or the path of one, got {brief(model)}")
        self.model = model

    def _embed(self, batch: list[Any]) -> ArrayLike:
        return np.asarray(self.model.predict_on_batch(stacked(batch)))

    def _identity(self) -> Iterable[Any]:
        return ["KerasModel", type(self.model).__name__, plain(self.model.get_config()), *self.model.get_weights()]
