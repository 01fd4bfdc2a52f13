"""Models of other libraries as encoders: batches of inputs in, embeddings (n, d) out, float32, kept on disk if asked.

Thin adapters and no network of our own. Each takes a ready model, most of them the name of one as well; the library is
imported when the adapter is made, and `pip install 'crossmodal-fast[encoders]'` brings all but Keras.

    Function              any Python function, batch in, rows out
    SentenceTransformer   sentence-transformers: texts, and images where the model takes them
    TransformersText      Hugging Face transformers: texts by mean, first or last token, or the model's pooler
    TransformersClip      models with get_image_features and get_text_features: images or texts in one space
    TransformersAudio     speech models: sounds by the mean of their frames
    TorchModule           any PyTorch module, arrays in
    KerasModel            any Keras or TensorFlow model, arrays in

A new library is a class with `_embed` (a batch in, rows out) and `_identity` (what its results depend on).
"""

from ._encoder import Encoder
from ._function import Function
from ._keras import KerasModel
from ._sentences import SentenceTransformer
from ._torch import TorchModule
from ._transformers import TransformersAudio, TransformersClip, TransformersText

__all__ = [
    "Encoder",
    "Function",
    "KerasModel",
    "SentenceTransformer",
    "TorchModule",
    "TransformersAudio",
    "TransformersClip",
    "TransformersText",
]
