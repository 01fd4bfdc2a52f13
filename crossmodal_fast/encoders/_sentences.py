"""sentence-transformers models as encoders."""

from collections.abc import Iterable
from typing import Any

from numpy.typing import ArrayLike

from .._arguments import brief
from ._encoder import Encoder
from ._key import plain
from ._needed import needed
from ._settings import settings_of
from ._torch import described, inference

OWN = {"show_progress_bar": False, "convert_to_numpy": True, "convert_to_tensor": False}  # whatever `options` says
SETTINGS = ("prompts", "default_prompt_name", "truncate_dim", "similarity_fn_name")


class SentenceTransformer(Encoder):
    """A sentence-transformers model as an encoder of texts, or of images where the model takes them (CLIP).

    Parameters
    ----------
    model : str or sentence_transformers.SentenceTransformer
        A ready model, or the name or folder of one, which the library loads, from the Hugging Face hub if need be.
    **options
        Of the model's own `encode`, such as prompt_name="query" or normalize_embeddings=True.

    Examples
    --------
    >>> SentenceTransformer("all-MiniLM-L6-v2").encode(["one", "three"], cache="embeddings").shape  # doctest: +SKIP
    (2, 384)
    """

    takes = "texts"

    def __init__(self, model: Any, **options: Any) -> None:
        self._torch = needed("torch", "SentenceTransformer")
        library = needed("sentence_transformers", "SentenceTransformer")
        if isinstance(model, str):
            model = library.SentenceTransformer(model)
        if not isinstance(model, library.SentenceTransformer):
            raise TypeError(f"model must be a SentenceTransformer or the name of one, got {brief(model)}")
        self.model, self.options = model, options

    def _check(self, name: str, item: Any) -> None:
        if item is None or isinstance(item, bytes | bool | int | float):
            raise TypeError(f"{name} must be a text or an image, got {brief(item)}")

    def _embed(self, batch: list[Any]) -> ArrayLike:
        with inference(self._torch, self.model):
            found: ArrayLike = self.model.encode(batch, **{**self.options, **OWN, "batch_size": len(batch)})
        return found

    def _identity(self) -> Iterable[Any]:
        settings = {name: getattr(self.model, name, None) for name in SETTINGS}
        yield from ("SentenceTransformer", plain(self.options), plain(settings))
        yield from settings_of(getattr(self.model, "tokenizer", None))
        yield from described(self._torch, self.model)
