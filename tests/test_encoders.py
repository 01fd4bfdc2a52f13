"""Encoders on stand-ins of the libraries: batches, pooling, checks, and the cache."""

import re
import sys

import numpy as np
import pytest

import fakes
from crossmodal_fast import encoders
from crossmodal_fast.encoders import _encoder
from crossmodal_fast.files import FileError

TEXTS = ["abc", "b", "ccca"]


@pytest.fixture
def libraries(monkeypatch):
    fakes.installed(monkeypatch)


class Counting:
    """A function that counts its calls."""

    def __init__(self):
        self.calls = 0

    def __call__(self, batch):
        self.calls += 1
        return [[len(text), 1.0] for text in batch]


def lengths(name="lengths"):
    return encoders.Function(Counting(), name)


def text_model():
    return fakes.TextModel([[0, 0], [1, 0], [0, 1], [1, 1]])


# ---- what is embedded


@pytest.mark.parametrize("batch_size", [1, 2, 3, 50])
def test_batches_are_put_together_in_order(batch_size):
    encoder = lengths()
    found = encoder.encode(TEXTS, batch_size=batch_size)
    np.testing.assert_array_equal(found, [[3, 1], [1, 1], [4, 1]])
    assert (found.dtype, found.flags.writeable) == (np.float32, True)
    assert encoder.function.calls == -(-3 // batch_size)


def test_any_iterable_is_taken():
    np.testing.assert_array_equal(lengths().encode(text for text in TEXTS)[:, 0], [3, 1, 4])


def test_progress_is_told(monkeypatch):
    told = []

    class Bar:
        def __init__(self, label):
            assert label == "encoding"

        def __enter__(self):
            return lambda done, total: told.append((done, total))

        def __exit__(self, *problem):
            return None

    monkeypatch.setattr(_encoder, "bar", Bar)
    lengths().encode(TEXTS, batch_size=2)
    assert told == [(2, 3), (3, 3)]


def test_torch_module(libraries):
    module = fakes.Linear([[1, 0, 1], [0, 2, 1]])
    rows = np.arange(10.0).reshape(5, 2)
    np.testing.assert_array_equal(
        encoders.TorchModule(module).encode(rows, batch_size=2), rows @ [[1, 0, 1], [0, 2, 1]]
    )
    assert module.training  # evaluation mode inside alone, as the stand-in asserts
    assert fakes.TORCH.entered == 0


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize(
    ("pooling", "expected"),
    [("mean", [[2 / 3, 2 / 3], [0, 1], [1, 3 / 4]]), ("first", [[1, 0], [0, 1], [1, 1]]),
     ("last", [[1, 1], [0, 1], [1, 0]])],
)  # fmt: skip
def test_transformers_text_pools_what_is_no_padding(libraries, side, pooling, expected):
    encoder = encoders.TransformersText(text_model(), fakes.Tokenizer(side), pooling=pooling)
    for batch_size in (1, 3):
        np.testing.assert_allclose(encoder.encode(TEXTS, batch_size=batch_size), expected, rtol=1e-6)


def test_transformers_text_by_name_and_cut(libraries):
    found = encoders.TransformersText("letters", max_length=1).encode(TEXTS)
    np.testing.assert_array_equal(found, [[1, 0], [0, 1], [1, 1]])


def test_transformers_clip(libraries):
    images = np.arange(24, dtype=np.uint8).reshape(2, 2, 2, 3)
    found = encoders.TransformersClip(text_model(), fakes.ImageProcessor()).encode(images)
    np.testing.assert_allclose(found, images.reshape(2, 12) / 255, rtol=1e-6)
    found = encoders.TransformersClip(text_model(), fakes.Tokenizer(), side="text").encode(TEXTS)
    np.testing.assert_array_equal(found, [[2, 2], [0, 1], [4, 3]])


def test_transformers_audio(libraries):
    encoder = encoders.TransformersAudio(fakes.AudioModel(), fakes.FeatureExtractor(), sampling_rate=8000)
    np.testing.assert_array_equal(encoder.encode([np.arange(4), np.arange(6)]), [[1, 2], [2, 3]])


def test_sentence_transformer(libraries):
    np.testing.assert_array_equal(
        encoders.SentenceTransformer("any").encode(TEXTS, batch_size=2), [[3, 1], [1, 1], [4, 1]]
    )
    found = encoders.SentenceTransformer(fakes.SentenceTransformer(), prompt="ask ", show_progress_bar=True).encode(
        TEXTS
    )
    np.testing.assert_array_equal(found[:, 0], [7, 5, 8])


def test_keras_model(libraries, tmp_path):
    rows = np.arange(6.0).reshape(3, 2)
    np.testing.assert_array_equal(encoders.KerasModel(fakes.KerasModel([[2], [1]])).encode(rows), rows @ [[2], [1]])
    np.testing.assert_array_equal(encoders.KerasModel(tmp_path / "model.keras").encode(rows), rows)


# ---- the cache


def keys(folder):
    return {path.name for path in folder.iterdir()}


def test_what_is_kept_is_read(tmp_path):
    encoder, folder = lengths(), tmp_path / "kept"
    first = encoder.encode(TEXTS, cache=folder)
    (name,) = keys(folder)
    assert re.fullmatch(r"[0-9a-f]{40}\.npy", name)
    again = encoder.encode(TEXTS, cache=str(folder), batch_size=1)
    assert encoder.function.calls == 1
    np.testing.assert_array_equal(again, first)
    assert again.flags.writeable
    np.testing.assert_array_equal(np.load(folder / name), first)


@pytest.mark.parametrize(
    "inputs",
    [TEXTS[::-1], TEXTS[:2], [*TEXTS, ""], ["ab", "cb", "ccca"], [np.array([1.0])] * 3, [np.array([1])] * 3,
     [np.array([[1.0]])] * 3, [b"abc", b"b", b"ccca"]],
)  # fmt: skip
def test_other_inputs_have_other_names(tmp_path, inputs):
    encoder = encoders.Function(lambda batch: np.ones((len(batch), 2)), "ones")
    encoder.encode(TEXTS, cache=tmp_path)
    encoder.encode(inputs, cache=tmp_path)
    assert len(keys(tmp_path)) == 2


def test_models_that_differ_have_other_names(libraries, tmp_path):
    rows, text = np.ones((2, 2), np.float32), text_model()
    made = [
        (encoders.TorchModule(fakes.Linear(np.eye(2))), rows),
        (encoders.TorchModule(fakes.Linear(np.eye(2), scale=2.0)), rows),
        (encoders.TorchModule(fakes.Linear(2 * np.eye(2))), rows),
        (encoders.KerasModel(fakes.KerasModel(np.eye(2))), rows),
        (encoders.KerasModel(fakes.KerasModel(np.eye(2), "other")), rows),
        (encoders.KerasModel(fakes.KerasModel(2 * np.eye(2))), rows),
        (encoders.SentenceTransformer("any"), TEXTS),
        (encoders.SentenceTransformer("any", prompt="ask "), TEXTS),
        (encoders.SentenceTransformer(fakes.SentenceTransformer("any", scale=2.0)), TEXTS),
        (encoders.TransformersText(text, fakes.Tokenizer()), TEXTS),
        (encoders.TransformersText(text, fakes.Tokenizer("left")), TEXTS),
        (encoders.TransformersText(text, fakes.Tokenizer(), pooling="last"), TEXTS),
        (encoders.TransformersText(text, fakes.Tokenizer(), max_length=2), TEXTS),
        (encoders.TransformersClip(text, fakes.Tokenizer(), side="text"), TEXTS),
        (lengths(), TEXTS),
        (lengths("other"), TEXTS),
    ]
    for count, (encoder, inputs) in enumerate(made, start=1):
        for _ in range(2):
            encoder.encode(inputs, cache=tmp_path)
        assert len(keys(tmp_path)) == count


def test_weights_that_move_are_seen(libraries, tmp_path):
    module = fakes.Linear(np.eye(2))
    encoder = encoders.TorchModule(module)
    encoder.encode(np.eye(2), cache=tmp_path)
    module._parameters["weight"][0, 0] = 3.0
    np.testing.assert_array_equal(encoder.encode(np.eye(2), cache=tmp_path), [[3, 0], [0, 1]])


def test_an_interrupted_run_leaves_nothing(tmp_path):
    def stops(batch):
        if batch == ["ccca"]:
            raise KeyboardInterrupt
        return np.ones((len(batch), 2))

    with pytest.raises(KeyboardInterrupt):
        encoders.Function(stops, "stops").encode(TEXTS, cache=tmp_path, batch_size=1)
    assert keys(tmp_path) == set()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(b"", "must not be empty"), (b"no numbers", "must be a whole .npy file"),
     (np.ones((2, 2), np.float32), "must hold 3 rows of float32"),
     (np.ones((3, 2)), "must hold 3 rows of float32, got 3 of float64: remove it")],
)  # fmt: skip
def test_a_damaged_file_is_refused(tmp_path, content, sentence):
    encoder = lengths()
    encoder.encode(TEXTS, cache=tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_bytes(content) if isinstance(content, bytes) else np.save(path, content)
    with pytest.raises(FileError, match=re.escape(sentence)):
        encoder.encode(TEXTS, cache=tmp_path)


def test_a_cache_that_cannot_be_is_refused_before_any_work(tmp_path):
    encoder, file = lengths(), tmp_path / "file"
    file.write_text("")
    for cache, kind, sentence in (
        (tmp_path / "none" / "deeper", FileError, "must exist"),
        (file, FileError, f"cache must be a folder, got the file '{file}': choose another name"),
        (3, TypeError, "cache must be the name of a folder, got 3"),
    ):
        with pytest.raises(kind, match=re.escape(sentence)):
            encoder.encode(TEXTS, cache=cache)
    assert encoder.function.calls == 0


def test_inputs_without_a_name_are_refused(tmp_path):
    encoder = encoders.Function(lambda batch: np.ones((len(batch), 2)), "any")
    assert encoder.encode([{"a": 1}, object]).shape == (2, 2)
    with pytest.raises(TypeError, match="inputs must be texts or arrays of numbers to be kept in a cache, got"):
        encoder.encode([{"a": 1}], cache=tmp_path)


# ---- what is refused


@pytest.mark.parametrize(
    ("inputs", "kind", "sentence"),
    [
        ("abc", TypeError, "inputs must be a sequence of items, got 'abc'"),
        ({"a": 1}, TypeError, "inputs must be a sequence of items, got {'a': 1}"),
        (np.array(3.0), TypeError, "inputs must be a sequence of items, got array(3.)"),
        (None, TypeError, "inputs must be a sequence of items, got None"),
        ([], ValueError, "inputs must hold at least one of the items, got none"),
    ],
)
def test_inputs_are_checked(inputs, kind, sentence):
    with pytest.raises(kind, match=re.escape(sentence)):
        lengths().encode(inputs)


@pytest.mark.parametrize("batch_size", [0, -1, 2.0, True, "2"])
def test_batch_size_is_checked(batch_size):
    with pytest.raises((TypeError, ValueError), match="batch_size must be"):
        lengths().encode(TEXTS, batch_size=batch_size)


@pytest.mark.parametrize(
    ("gives", "kind", "sentence"),
    [
        (lambda batch: np.ones(len(batch)), ValueError,
         "the model must give (n, d), one row for each of 2 inputs, got (2,)"),
        (lambda batch: np.ones((1, 2)), ValueError, "one row for each of 2 inputs, got (1, 2)"),
        (lambda batch: np.ones((len(batch), 0)), ValueError, "one row for each of 2 inputs, got (2, 0)"),
        (lambda batch: np.ones((len(batch), len(batch))), ValueError,
         "the model must give rows of one length, got 1 from inputs[2] on, 2 before"),
        (lambda batch: [[text] for text in batch], TypeError, "the model must give real numbers, got dtype <U3"),
        (lambda batch: [[1.0], [1.0, 2.0]], TypeError,
         "embeddings of the model must be an array, or lists of one length"),
        (lambda batch: [[np.nan if text == "ccca" else 1.0] for text in batch], ValueError,
         "the model must give finite numbers that float32 holds, got others for inputs[2]"),
        (lambda batch: [[1e39]] * len(batch), ValueError, "that float32 holds, got others for inputs[0]"),
    ],
)  # fmt: skip
def test_what_the_model_gives_is_checked(gives, kind, sentence):
    with pytest.raises(kind, match=re.escape(sentence)):
        encoders.Function(gives, "wrong").encode(TEXTS, batch_size=2)


def make(name, *args, **options):
    return lambda: getattr(encoders, name)(*args, **options)


@pytest.mark.parametrize(
    ("make", "inputs", "kind", "sentence"),
    [
        (make("Function", 3, "x"), None, TypeError, "function must be callable, got 3"),
        (make("Function", len, ""), None, TypeError,
         "name must be a text that tells this function from others, got ''"),
        (make("TorchModule", 3), None, TypeError, "module must be a torch.nn.Module, got 3"),
        (make("TorchModule", fakes.Linear(np.eye(2))), ["a.png"], TypeError,
         "inputs[0] must be an array, an image or a tensor, not its name, got 'a.png': open it first"),
        (make("TorchModule", fakes.Linear(np.eye(2))), [np.ones(2), np.ones(3)], ValueError,
         "inputs must be arrays of one shape, got (2,) and (3,)"),
        (make("TorchModule", fakes.Linear(np.eye(2))), [np.array(["a"])], TypeError,
         "inputs must be arrays of real numbers, got dtype <U1"),
        (make("KerasModel", 3), None, TypeError, "model must be a Keras model or the path of one, got 3"),
        (make("SentenceTransformer", 3), None, TypeError,
         "model must be a SentenceTransformer or the name of one, got 3"),
        (make("SentenceTransformer", "any"), [None], TypeError, "inputs[0] must be a text or an image, got None"),
        (make("TransformersText", 3), None, TypeError, "model must be a transformers model or the name of one, got 3"),
        (make("TransformersText", text_model()), None, TypeError,
         "tokenizer must be given with a ready model, got None"),
        (make("TransformersText", text_model(), fakes.Tokenizer()), ["a", 3], TypeError,
         "inputs[1] must be a text, got 3"),
        (make("TransformersText", text_model(), fakes.Tokenizer(), pooling="pooler"), ["a"], ValueError,
         "pooling must be another than 'pooler' for this model, which has no pooler_output"),
        (make("TransformersText", "letters", pooling="max"), None, ValueError,
         "pooling must be one of mean, first, last, pooler, got 'max'"),
        (make("TransformersText", "letters", max_length=0), None, ValueError, "max_length must be at least 1, got 0"),
        (make("TransformersClip", text_model(), fakes.Tokenizer(), side="sound"), None, ValueError,
         "side must be one of image, text, got 'sound'"),
        (make("TransformersClip", text_model(), fakes.Tokenizer(), side="text"), "a", TypeError,
         "inputs must be a sequence of texts, got 'a'"),
        (make("TransformersAudio", fakes.AudioModel(), fakes.FeatureExtractor(), sampling_rate=16000), None, ValueError,
         "sampling_rate must be that of the model, 8000, got 16000: resample the sounds"),
        (make("TransformersAudio", fakes.AudioModel(), fakes.FeatureExtractor(), sampling_rate=8000), [np.ones((2, 2))],
         ValueError, "inputs[0] must have shape (samples,) with at least one, got (2, 2)"),
    ],
)  # fmt: skip
def test_adapters_are_checked(libraries, make, inputs, kind, sentence):
    with pytest.raises(kind, match=re.escape(sentence)):
        make().encode(inputs)


def test_a_module_that_gives_no_tensor(libraries):
    module = fakes.Linear(np.eye(2))
    module.forward = lambda rows: (rows, rows)
    with pytest.raises(TypeError, match="module must give a tensor, got <class 'tuple'>: wrap it in one"):
        encoders.TorchModule(module).encode(np.eye(2))


@pytest.mark.parametrize(
    ("name", "missing", "sentence"),
    [
        (
            "TorchModule",
            "torch",
            "TorchModule needs PyTorch, which is not installed: pip install 'crossmodal-fast[encoders]'",
        ),
        (
            "SentenceTransformer",
            "sentence_transformers",
            "SentenceTransformer needs sentence-transformers, which is not",
        ),
        (
            "TransformersText",
            "transformers",
            "TransformersText needs transformers, which is not installed: pip install",
        ),
        ("KerasModel", "keras", "KerasModel needs Keras, which is not installed: pip install keras tensorflow"),
    ],
)
def test_a_missing_library_is_one_sentence(libraries, monkeypatch, name, missing, sentence):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ModuleNotFoundError, match=re.escape(sentence)):
        getattr(encoders, name)("any")


def test_a_library_that_lacks_another_says_so_itself(libraries, monkeypatch, tmp_path):
    (tmp_path / "keras.py").write_text("import no_such_module_as_this")
    monkeypatch.delitem(sys.modules, "keras")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match=r"^No module named 'no_such_module_as_this'$"):
        encoders.KerasModel("any")
