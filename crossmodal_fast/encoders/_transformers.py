"""Hugging Face transformers as encoders: texts, images and texts of one space, sounds."""

import os
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .._arguments import brief, number, one_of, whole
from ._encoder import Encoder
from ._key import plain
from ._needed import needed
from ._settings import settings_of
from ._torch import as_rows, described, inference


def _mean(output: Any, mask: Any) -> Any:
    """Mean of the tokens that are no padding, in float32: sums of half-precision numbers overflow."""
    kept = mask[:, :, None].float()
    return (output.last_hidden_state.float() * kept).sum(1) / kept.sum(1).clamp(min=1.0)


def _first(output: Any, mask: Any) -> Any:
    """The first token that is no padding."""
    return _token(output, mask.argmax(1))


def _last(output: Any, mask: Any) -> Any:
    """The last token that is no padding."""
    return _token(output, mask.shape[1] - 1 - mask.flip(1).argmax(1))


def _token(output: Any, place: Any) -> Any:
    states = output.last_hidden_state
    return states[list(range(len(states))), place]


def _pooler(output: Any, mask: Any) -> Any:
    pooled = getattr(output, "pooler_output", None)
    if pooled is None:
        raise ValueError("pooling must be another than 'pooler' for this model, which has no pooler_output")
    return pooled


POOLING: dict[str, Callable[[Any, Any], Any]] = {"mean": _mean, "first": _first, "last": _last, "pooler": _pooler}
PADDING = {"siglip": "max_length", "siglip2": "max_length"}  # trained so; other models of images and texts: True


class _Transformer(Encoder):
    """A model and its processor, loaded by name or given ready."""

    loaders: tuple[str, str] = ("AutoModel", "AutoProcessor")
    processing = "processor"  # what the constructor calls it

    def __init__(self, model: Any, processor: Any) -> None:
        user = type(self).__name__
        self._torch, library = needed("torch", user), needed("transformers", user)
        if isinstance(model, str | os.PathLike):
            name = os.fspath(model)
            model = getattr(library, self.loaders[0]).from_pretrained(name)
            processor = getattr(library, self.loaders[1]).from_pretrained(name) if processor is None else processor
        if not isinstance(model, self._torch.nn.Module):
            raise TypeError(f"model must be a transformers model or the name of one, got {brief(model)}")
        if not callable(processor):
            raise TypeError(f"{self.processing} must be given with a ready model, got {brief(processor)}")
        self.model, self._processor = model, processor

    def _placed(self, inputs: Any) -> dict[str, Any]:
        """Processed inputs on the model's device and in its dtype."""
        first = next(self.model.parameters())
        return {
            name: value.to(first.device, first.dtype if value.is_floating_point() else value.dtype)
            for name, value in inputs.items()
        }

    def _states(self, placed: dict[str, Any]) -> Any:
        """The output of the model, or of its encoder where it has a decoder, too."""
        two = getattr(self.model.config, "is_encoder_decoder", False)
        with inference(self._torch, self.model):
            return (self.model.get_encoder() if two else self.model)(**placed)

    def _identity(self) -> Iterable[Any]:
        yield from (type(self).__name__, plain(self.model.config.to_dict()))
        yield from settings_of(self._processor)
        yield from described(self._torch, self.model)


class TransformersText(_Transformer):
    """A text model of transformers as an encoder.

    Parameters
    ----------
    model : str, path or transformers.PreTrainedModel
        A ready model, or the name or folder of one, from the Hugging Face hub if need be.
    tokenizer : transformers tokenizer, optional
        Of a model given ready.
    pooling : {"mean", "first", "last", "pooler"}, default "mean"
        Mean over the tokens that are no padding; the first (CLS) or last of them; the model's own `pooler_output`.
    max_length : int, optional
        Tokens after which a text is cut; as many as the tokenizer says where left out.

    Examples
    --------
    >>> TransformersText("bert-base-uncased").encode(["one", "three"]).shape  # doctest: +SKIP
    (2, 768)
    """

    takes = "texts"
    loaders = ("AutoModel", "AutoTokenizer")
    processing = "tokenizer"

    def __init__(
        self, model: Any, tokenizer: Any = None, *, pooling: str = "mean", max_length: int | None = None
    ) -> None:
        self.pooling = one_of("pooling", pooling, POOLING)
        self.max_length = None if max_length is None else whole("max_length", max_length)
        super().__init__(model, tokenizer)

    def _check(self, name: str, item: Any) -> None:
        check_text(name, item)

    def _embed(self, batch: list[Any]) -> ArrayLike:
        placed = self._placed(
            self._processor(batch, padding=True, truncation=True, max_length=self.max_length, return_tensors="pt")
        )
        return as_rows(POOLING[self.pooling](self._states(placed), placed["attention_mask"]))

    def _identity(self) -> Iterable[Any]:
        return [self.pooling, self.max_length, *super()._identity()]


class TransformersClip(_Transformer):
    """A model of images and texts in one space (CLIP, SigLIP and the like) as an encoder of one of them.

    Parameters
    ----------
    model : str, path or transformers.PreTrainedModel
        With `get_image_features` and `get_text_features`; a ready model, or the name or folder of one.
    processor : transformers processor, optional
        Of a model given ready; for images alone its image processor will do, for texts its tokenizer.
    side : {"image", "text"}, default "image"
        What is encoded: PIL images or arrays (height, width, 3), or texts.

    Examples
    --------
    >>> name = "openai/clip-vit-base-patch32"
    >>> TransformersClip(name, side="text").encode(["a dog", "two cats"]).shape  # doctest: +SKIP
    (2, 512)
    """

    def __init__(self, model: Any, processor: Any = None, *, side: str = "image") -> None:
        self.side = one_of("side", side, ("image", "text"))
        self.takes = f"{side}s"
        super().__init__(model, processor)

    def _check(self, name: str, item: Any) -> None:
        check_text(name, item) if self.side == "text" else super()._check(name, item)

    def _embed(self, batch: list[Any]) -> ArrayLike:
        if self.side == "text":
            padding = PADDING.get(self.model.config.model_type, True)
            inputs = self._processor(text=batch, padding=padding, truncation=True, return_tensors="pt")
        else:
            inputs = self._processor(images=batch, return_tensors="pt")
        placed = self._placed(inputs)
        with inference(self._torch, self.model):
            found = getattr(self.model, f"get_{self.side}_features")(**placed)
        return as_rows(getattr(found, "pooler_output", found))  # transformers 5 wraps what 4 gives as a tensor

    def _identity(self) -> Iterable[Any]:
        return [self.side, *super()._identity()]


class TransformersAudio(_Transformer):
    """A speech or audio model of transformers (wav2vec 2.0, HuBERT and the like) as an encoder: the mean of its frames.

    Parameters
    ----------
    model : str, path or transformers.PreTrainedModel
        A ready model, or the name or folder of one. Its frames are `last_hidden_state` (batch, frames, d).
    feature_extractor : transformers feature extractor, optional
        Of a model given ready.
    sampling_rate : float
        Samples a second of the sounds, which must be that of the model: no check can see it in the sounds.

    Notes
    -----
    Sounds (samples,) are given to the model one by one: padding would move the results of models that normalise over
    a whole batch, and wav2vec 2.0 base is trained without a mask.

    Examples
    --------
    >>> encoder = TransformersAudio("facebook/wav2vec2-base", sampling_rate=16000)  # doctest: +SKIP
    >>> encoder.encode([np.zeros(16000)]).shape  # doctest: +SKIP
    (1, 768)
    """

    takes = "sounds"
    loaders = ("AutoModel", "AutoFeatureExtractor")
    processing = "feature_extractor"

    def __init__(self, model: Any, feature_extractor: Any = None, *, sampling_rate: float) -> None:
        rate = number("sampling_rate", sampling_rate)
        super().__init__(model, feature_extractor)
        own = getattr(self._processor, "sampling_rate", None)
        if rate != own:
            raise ValueError(
                f"sampling_rate must be that of the model, {own}, got {sampling_rate}: resample the sounds"
            )
        self.sampling_rate = own

    def _check(self, name: str, item: Any) -> None:
        super()._check(name, item)
        shape = np.shape(item)
        if len(shape) != 1 or not shape[0]:
            raise ValueError(f"{name} must have shape (samples,) with at least one, got {shape}")

    def _embed(self, batch: list[Any]) -> ArrayLike:
        return np.concatenate([self._one(np.asarray(sound, np.float32)) for sound in batch])

    def _one(self, sound: Any) -> ArrayLike:
        inputs = self._processor(sound, sampling_rate=self.sampling_rate, return_tensors="pt")
        return as_rows(self._states(self._placed(inputs)).last_hidden_state.float().mean(1))


def check_text(name: str, item: Any) -> None:
    """Raise unless one input is a text."""
    if not isinstance(item, str):
        raise TypeError(f"{name} must be a text, got {brief(item)}")
