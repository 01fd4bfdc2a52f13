"""Encoders on real, small, randomly initialised models, built from configuration without a network."""

import numpy as np
import pytest

from crossmodal_fast import encoders

TEXTS = ["one two three", "two", "three two one two", "one"]
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "one", "two", "three"]


@pytest.fixture(scope="module")
def torch():
    library = pytest.importorskip("torch")
    library.manual_seed(0)
    return library


@pytest.fixture(scope="module")
def transformers(torch):
    library = pytest.importorskip("transformers")
    torch.manual_seed(0)
    return library


@pytest.fixture
def tokenizer(transformers):
    tokenizers = pytest.importorskip("tokenizers")
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel({word: i for i, word in enumerate(WORDS)}, "[UNK]"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="[PAD]", unk_token="[UNK]", model_max_length=8
    )


@pytest.fixture
def bert(transformers):
    configuration = transformers.BertConfig(
        vocab_size=len(WORDS), hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=16,
    )  # fmt: skip
    return transformers.BertModel(configuration)


def kept_once(encoder, inputs, folder):
    """Rows of an encoder, whose name in the cache is the same after it was used, and which do not depend on batches."""
    rows = encoder.encode(inputs, cache=folder)
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(encoder.encode(inputs, cache=folder), rows)
    assert len(list(folder.iterdir())) == 1
    np.testing.assert_allclose(encoder.encode(inputs, batch_size=1), rows, atol=1e-5)
    return rows


def test_torch_module(torch, tmp_path):
    module = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3), torch.nn.Dropout(0.5)).train()
    rows = np.random.default_rng(0).standard_normal((5, 4))
    found = kept_once(encoders.TorchModule(module), rows, tmp_path)
    linear, normal = module[0], module[1]
    expected = (rows @ linear.weight.detach().numpy().T + linear.bias.detach().numpy()) / np.sqrt(1 + normal.eps)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert all(part.training for part in module.modules())
    assert float(normal.running_mean.abs().max()) == 0.0


@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
def test_torch_module_of_another_dtype(torch, dtype, tmp_path):
    module = torch.nn.Linear(4, 3).to(getattr(torch, dtype))
    rows = np.eye(4)
    found = kept_once(encoders.TorchModule(module), rows, tmp_path)
    expected = module.weight.detach().float().numpy().T + module.bias.detach().float().numpy()
    np.testing.assert_allclose(found, expected, atol=0.01)


def test_token_ids_stay_whole_numbers(torch):
    module = torch.nn.EmbeddingBag(5, 3, mode="sum")
    found = encoders.TorchModule(module).encode(np.array([[0, 1], [4, 4]]))
    weight = module.weight.detach().numpy()
    np.testing.assert_allclose(found, [weight[0] + weight[1], 2 * weight[4]], rtol=1e-6)


@pytest.mark.parametrize(
    ("pooling", "side"),
    [("mean", "right"), ("first", "right"), ("last", "right"), ("pooler", "right"), ("mean", "left")],
)
def test_transformers_text(torch, bert, tokenizer, pooling, side, tmp_path):
    tokenizer.padding_side = side
    encoder = encoders.TransformersText(bert, tokenizer, pooling=pooling)
    rows = encoder.encode(TEXTS, cache=tmp_path)
    bert.eval()
    with torch.inference_mode():
        outputs = [bert(**tokenizer(text, return_tensors="pt")) for text in TEXTS]
    states = [output.last_hidden_state[0].numpy() for output in outputs]
    alone = {
        "mean": [state.mean(axis=0) for state in states],
        "first": [state[0] for state in states],
        "last": [state[-1] for state in states],
        "pooler": [output.pooler_output[0].numpy() for output in outputs],
    }[pooling]
    if side == "right":  # on the left padding moves the positions of BERT
        np.testing.assert_allclose(rows, alone, atol=1e-5)
    np.testing.assert_array_equal(encoder.encode(TEXTS, cache=tmp_path), rows)
    assert len(list(tmp_path.iterdir())) == 1


def test_an_encoder_and_decoder_gives_its_encoder(transformers, tokenizer, tmp_path):
    configuration = transformers.T5Config(
        vocab_size=len(WORDS), d_model=8, d_kv=4, d_ff=16, num_layers=1, num_heads=2, decoder_start_token_id=0
    )
    encoder = encoders.TransformersText(transformers.T5Model(configuration), tokenizer)
    assert kept_once(encoder, TEXTS, tmp_path).shape == (4, 8)


def test_sentence_transformer(torch, bert, tokenizer, tmp_path):
    library = pytest.importorskip("sentence_transformers")
    bert.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    model = library.SentenceTransformer(str(tmp_path / "model"), device="cpu")  # by mean, where nothing else is said
    (tmp_path / "kept").mkdir()
    rows = kept_once(encoders.SentenceTransformer(model), TEXTS, tmp_path / "kept")
    expected = encoders.TransformersText(bert, tokenizer).encode(TEXTS)
    np.testing.assert_allclose(rows, expected, atol=1e-5)
    unit = encoders.SentenceTransformer(model, normalize_embeddings=True).encode(TEXTS, cache=tmp_path / "kept")
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1.0, atol=1e-6)


def test_transformers_clip(torch, transformers, tokenizer, tmp_path):
    pytest.importorskip("PIL")
    sizes = {"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    configuration = transformers.CLIPConfig(
        text_config=sizes | {"vocab_size": len(WORDS), "max_position_embeddings": 8, "eos_token_id": 6},
        vision_config=sizes | {"image_size": 16, "patch_size": 8},
        projection_dim=6,
    )
    model = transformers.CLIPModel(configuration)
    images = np.random.default_rng(0).integers(0, 256, (3, 20, 24, 3), dtype=np.uint8)
    processor = transformers.CLIPImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16})
    rows = kept_once(encoders.TransformersClip(model, processor), images, tmp_path)
    assert rows.shape == (3, 6)
    with torch.inference_mode():
        output = model.eval().vision_model(**processor(images=list(images), return_tensors="pt"))
        expected = model.visual_projection(output.pooler_output).numpy()
    np.testing.assert_allclose(rows, expected, atol=1e-5)
    (tmp_path / "texts").mkdir()
    texts = kept_once(encoders.TransformersClip(model, tokenizer, side="text"), TEXTS, tmp_path / "texts")
    assert texts.shape == (4, 6)
    assert len(np.unique(texts.round(5), axis=0)) == 4


def test_transformers_audio(torch, transformers, tmp_path):
    configuration = transformers.Wav2Vec2Config(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, conv_dim=(8, 8),
        conv_stride=(5, 2), conv_kernel=(10, 3), num_feat_extract_layers=2, num_conv_pos_embeddings=4,
        num_conv_pos_embedding_groups=2,
    )  # fmt: skip
    model = transformers.Wav2Vec2Model(configuration)
    random = np.random.default_rng(0)
    sounds = [random.standard_normal(size) for size in (400, 800, 640)]
    encoder = encoders.TransformersAudio(model, transformers.Wav2Vec2FeatureExtractor(), sampling_rate=16000)
    rows = kept_once(encoder, sounds, tmp_path)
    normal = torch.tensor((sounds[1] - sounds[1].mean()) / np.sqrt(sounds[1].var() + 1e-7), dtype=torch.float32)
    with torch.inference_mode():
        expected = model.eval()(normal[None]).last_hidden_state[0].mean(0).numpy()
    np.testing.assert_allclose(rows[1], expected, atol=1e-4)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # inside Keras
def test_keras_model(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_BACKEND", "torch") if _found("torch") and not _found("tensorflow") else None
    keras = pytest.importorskip("keras", exc_type=ImportError)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.Dropout(0.5)])
    rows = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)
    (tmp_path / "kept").mkdir()
    found = kept_once(encoders.KerasModel(model), rows, tmp_path / "kept")
    weight, bias = model.get_weights()
    np.testing.assert_allclose(found, rows @ weight + bias, atol=1e-5)
    model.save(tmp_path / "model.keras")
    np.testing.assert_allclose(encoders.KerasModel(tmp_path / "model.keras").encode(rows), found, atol=1e-6)


def _found(name):
    import importlib.util

    return importlib.util.find_spec(name) is not None
