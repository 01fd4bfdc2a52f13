"""Stand-ins of torch, transformers, sentence-transformers and Keras: the interface that the encoders use, on NumPy."""

import contextlib
import sys
from types import ModuleType, SimpleNamespace

import numpy as np


class Tensor(np.ndarray):
    """An array with the methods of tensors that the encoders call."""

    device = "cpu"

    def detach(self):
        return self

    def cpu(self):
        return self

    def float(self):
        return self.astype(np.float32)

    def to(self, device, dtype):
        assert device == "cpu"
        return self.astype(dtype)

    def numpy(self):
        return np.asarray(self)

    def is_floating_point(self):
        return self.dtype.kind == "f"

    def flip(self, axis):
        return np.flip(self, axis)

    def clamp(self, min):
        return np.maximum(self, min)


def tensor(values):
    return np.asarray(values).view(Tensor)


class Module:
    """What torch.nn.Module promises: parts, modes, parameters."""

    def __init__(self, **parameters):
        self.training = True
        self._parameters = {name: tensor(value) for name, value in parameters.items()}

    def modules(self):
        return [self]

    def named_modules(self):
        return [("", self)]

    def eval(self):
        self.training = False

    def parameters(self):
        return iter(self._parameters.values())

    def state_dict(self):
        return dict(self._parameters)

    def __repr__(self):
        return f"{type(self).__name__}()"

    def __call__(self, *args, **named):
        assert not self.training
        assert TORCH.entered
        return self.forward(*args, **named)


class Torch(ModuleType):
    nn = SimpleNamespace(Module=Module)
    uint8 = np.uint8
    entered = 0

    @contextlib.contextmanager
    def inference_mode(self):
        self.entered += 1
        yield
        self.entered -= 1

    from_numpy = staticmethod(tensor)

    @staticmethod
    def is_tensor(value):
        return isinstance(value, Tensor)


TORCH = Torch("torch")


class Linear(Module):
    """rows @ weight."""

    def __init__(self, weight, scale=1.0):
        super().__init__(weight=np.asarray(weight, np.float32))
        self.scale = scale

    def forward(self, rows):
        return rows.reshape(len(rows), -1) @ self._parameters["weight"] * np.float32(self.scale)


class TextModel(Module):
    """A row of `table` for each token; what is attended to counts."""

    config = SimpleNamespace(to_dict=lambda: {"hidden_size": 2}, model_type="clip")

    def __init__(self, table):
        super().__init__(table=np.asarray(table, np.float32))

    def forward(self, input_ids, attention_mask):
        return SimpleNamespace(last_hidden_state=self._parameters["table"][input_ids])

    def get_text_features(self, input_ids, attention_mask):
        states = self._parameters["table"][input_ids] * attention_mask[:, :, None]
        return states.sum(1).astype(np.float32)

    def get_image_features(self, pixel_values):
        return SimpleNamespace(pooler_output=pixel_values.reshape(len(pixel_values), -1))


class AudioModel(Module):
    """Frames of two samples."""

    config = SimpleNamespace(to_dict=dict)

    def __init__(self):
        super().__init__(weight=np.ones(1, np.float32))

    def forward(self, input_values):
        return SimpleNamespace(last_hidden_state=input_values.reshape(1, -1, 2))


class Tokenizer:
    """A letter is a token; padded on `padding_side` with token 0."""

    model_max_length = 8

    def __init__(self, padding_side="right"):
        self.padding_side = padding_side

    def get_vocab(self):
        return {"a": 1, "b": 2, "c": 3}

    def __call__(self, text, padding, truncation, return_tensors, max_length=None):
        assert (padding, truncation, return_tensors) == (True, True, "pt")
        tokens = [[ord(letter) - 96 for letter in one][:max_length] for one in text]
        width = max(map(len, tokens))
        left = self.padding_side == "left"
        ids = [[0] * (width - len(one)) + one if left else one + [0] * (width - len(one)) for one in tokens]
        return {"input_ids": tensor(ids), "attention_mask": tensor(np.array(ids) > 0).astype(np.int64)}


class ImageProcessor:
    def to_dict(self):
        return {"size": 2}

    def __call__(self, images, return_tensors):
        return {"pixel_values": tensor(np.stack(images).astype(np.float64) / 255)}


class FeatureExtractor:
    sampling_rate = 8000

    def __call__(self, sound, sampling_rate, return_tensors):
        assert sampling_rate == self.sampling_rate
        return {"input_values": tensor(sound[None])}


class SentenceTransformer(Module):
    """Rows (length of a text, scale)."""

    prompts = None

    def __init__(self, name="none", scale=1.0):
        super().__init__(scale=np.array([scale], np.float32))
        self.name, self.calls = name, 0

    def encode(self, batch, *, batch_size, show_progress_bar, convert_to_numpy, convert_to_tensor, prompt=""):
        assert (batch_size, show_progress_bar, convert_to_numpy, convert_to_tensor) == (len(batch), False, True, False)
        scale = float(self._parameters["scale"][0])
        return np.array([[len(prompt + text), scale] for text in batch], np.float32)


class KerasModel:
    def __init__(self, weight, name="dense"):
        self.weight, self.name = np.asarray(weight, np.float32), name

    def get_config(self):
        return {"name": self.name}

    def get_weights(self):
        return [self.weight]

    def predict_on_batch(self, rows):
        return rows @ self.weight


def installed(monkeypatch):
    """Put the stand-ins where `import` looks."""
    transformers, sentences, keras = (ModuleType(name) for name in ("transformers", "sentence_transformers", "keras"))
    named = {"letters": TextModel([[0, 0], [1, 0], [0, 1], [1, 1]])}
    transformers.AutoModel = SimpleNamespace(from_pretrained=named.__getitem__)
    transformers.AutoTokenizer = SimpleNamespace(from_pretrained=lambda name: Tokenizer())
    sentences.SentenceTransformer = SentenceTransformer
    keras.saving = SimpleNamespace(load_model=lambda path, compile: KerasModel(np.eye(2), path))
    for module in (TORCH, transformers, sentences, keras):
        monkeypatch.setitem(sys.modules, module.__name__, module)
