"""What tokenizers and processors of transformers do to inputs, as texts for the cache."""

import json
from collections.abc import Iterator
from typing import Any

from ._key import plain

PARTS = ("tokenizer", "image_processor", "feature_extractor")  # of a processor that holds several
MOVED_BY_CALLS = ("padding", "truncation")  # state of the last call, no setting


def settings_of(processor: Any) -> Iterator[str]:
    """Class, settings and vocabulary of a processor and its parts; the same before and after it was used."""
    yield type(processor).__name__
    backend = getattr(processor, "backend_tokenizer", None)
    if backend is not None:
        stated = json.loads(backend.to_str())
        yield plain({name: value for name, value in stated.items() if name not in MOVED_BY_CALLS})
    elif hasattr(processor, "get_vocab"):
        yield plain(processor.get_vocab())
    parts = [part for name in PARTS if (part := getattr(processor, name, None)) is not None]
    if not parts and hasattr(processor, "to_dict"):
        yield plain(processor.to_dict())
    yield plain({name: getattr(processor, name, None) for name in ("model_max_length", "padding_side")})
    for part in parts:
        yield from settings_of(part)
