"""Log-mel features against a transform written out, and texts as hashed counts against scikit-learn and by hand."""

import builtins
import re

import numpy as np
import pytest

from crossmodal_fast.preprocess import AllButTheTop, Chain, HashedText, LogMel, mel_filters, mel_power, stretched

RATE = 8000


def tone(frequency, samples=4000):
    return np.sin(2 * np.pi * frequency * np.arange(samples) / RATE)


def noise(samples=1000, seed=0):
    return np.random.default_rng(seed).standard_normal(samples)


# ---- sounds


def test_power_by_the_discrete_fourier_transform():
    sound, window, hop, fft = noise(), 100, 30, 128
    filters = mel_filters(RATE, fft, mels=12)
    found = mel_power(sound, filters, window=window, hop=hop)
    assert found.shape == (1 + (1000 - window) // hop, 12)
    turn = np.exp(-2j * np.pi * np.outer(np.arange(fft // 2 + 1), np.arange(window)) / fft)
    for t in (0, 7, len(found) - 1):
        frame = sound[t * hop : t * hop + window] * np.sin(np.pi * np.arange(window) / window) ** 2
        np.testing.assert_allclose(found[t], filters @ np.abs(turn @ frame) ** 2, rtol=1e-10)


def test_filters_are_triangles_on_the_mel_scale():
    filters = mel_filters(RATE, 4096, mels=10, low=100.0, high=3000.0)
    frequency = np.arange(2049) * RATE / 4096
    mel = 2595 * np.log10(1 + frequency / 700)
    edges = np.linspace(2595 * np.log10(1 + 100 / 700), 2595 * np.log10(1 + 3000 / 700), 12)
    for j, weights in enumerate(filters):
        inside = (mel > edges[j]) & (mel < edges[j + 2])
        np.testing.assert_array_equal(weights > 0, inside)
        assert abs(mel[weights.argmax()] - edges[j + 1]) < 3
        corner = 700 * (10 ** (edges[j : j + 3] / 2595) - 1)
        np.testing.assert_allclose(weights, np.interp(frequency, corner, [0, 1, 0]), atol=1e-12)


@pytest.mark.parametrize("frequency", [300.0, 1000.0, 3000.0])
def test_a_pure_tone_is_loudest_in_its_band(frequency):
    step = LogMel(RATE, window=256, hop=80)
    found = step.sound(tone(frequency))
    centre = np.linspace(*(2595 * np.log10(1 + np.array([20.0, 4000.0]) / 700)), 42)[1:-1]
    nearest = np.abs(centre - 2595 * np.log10(1 + frequency / 700)).argmin()
    assert (np.abs(found.argmax(axis=1) - nearest) <= 1).all()


def test_rows_of_sounds_are_their_features_side_by_side():
    sounds = np.stack([tone(500), noise(4000)])
    step = LogMel(RATE, window=256, hop=80, frames=20)
    rows = step.transform(sounds)
    assert rows.shape == (2, 800)
    np.testing.assert_allclose(rows[1].reshape(20, 40), step.sound(sounds[1]), rtol=1e-12)
    whole = LogMel(RATE, window=256, hop=80).sound(sounds[1])
    np.testing.assert_allclose(rows[1].reshape(20, 40), stretched(whole, 20), rtol=1e-12)
    assert Chain([step, "standardize"]).fit_transform(sounds).shape == (2, 800)


def test_cepstra_are_the_cosine_transform():
    sound = noise()
    logs, found = LogMel(RATE, window=200).sound(sound), LogMel(RATE, window=200, cepstra=13).sound(sound)
    j, k = np.arange(40), np.arange(13)[:, None]
    basis = np.sqrt(2 / 40) * np.cos(np.pi * k * (2 * j + 1) / 80)
    basis[0] /= np.sqrt(2)
    np.testing.assert_allclose(found, logs @ basis.T, atol=1e-10)


def test_silence_and_short_sounds():
    assert (LogMel().sound(np.zeros(10)) == np.log(1e-10)).all()
    assert LogMel().sound(np.zeros(10)).shape == (1, 40)
    assert LogMel(frames=5).sound(np.zeros(10)).shape == (5, 40)
    assert (LogMel(floor=1.0).sound(np.zeros(399)) == 0).all()


def test_blocks_of_frames_do_not_matter(monkeypatch):
    from crossmodal_fast.preprocess import _rows

    sound, filters = noise(5000), mel_filters(RATE, 512)
    whole = mel_power(sound, filters)
    monkeypatch.setattr(_rows, "BLOCK_BYTES", 32 * 512 * 3)
    np.testing.assert_allclose(mel_power(sound, filters), whole, rtol=1e-12)


def test_stretching_keeps_the_ends():
    frames = np.array([[0.0, 5.0], [1.0, 3.0], [4.0, 1.0]])
    np.testing.assert_allclose(stretched(frames, 5), [[0, 5], [0.5, 4], [1, 3], [2.5, 2], [4, 1]])
    np.testing.assert_array_equal(stretched(frames[:1], 3), np.repeat(frames[:1], 3, axis=0))


def test_spoken_digits_are_told_apart_by_their_features(shared_file):
    data = np.load(shared_file("fsdd/fsdd_test_raw_8k_int16.npz"))
    sounds = [data["audio"][a:b] / 32768.0 for a, b in zip(data["offsets"][:-1], data["offsets"][1:], strict=True)]
    step = LogMel(RATE, window=200, hop=80, fft=256, mels=20, low=60.0, frames=40)
    X = np.stack([step.sound(sound).ravel() for sound in sounds])
    known = data["index"] < 3  # recordings of each speaker and digit
    train, test = Chain(["standardize", "normalize"]).fit(X[known]), ~known
    nearest = (train.transform(X[test]) @ train.transform(X[known]).T).argmax(axis=1)
    assert np.mean(data["label"][known][nearest] == data["label"][test]) > 0.8  # .858


# ---- texts

TEXTS = ["one small step", "one giant leap for one", "", "small steps", "LEAP"]


def counted(texts, **keywords):
    """Counts of slots without the vectoriser: a text as scikit-learn hashes single words."""
    text = pytest.importorskip("sklearn.feature_extraction.text")
    return text.HashingVectorizer(norm=None, alternate_sign=False, **keywords).transform(texts).toarray()


@pytest.mark.parametrize("analyzer", ["word", "char", "char_wb"])
def test_tfidf_against_scikit_learn(analyzer):
    text = pytest.importorskip("sklearn.feature_extraction.text")
    counts = counted(TEXTS, n_features=64, analyzer=analyzer, ngram_range=(1, 2))
    others = counted(["one leap", "giant"], n_features=64, analyzer=analyzer, ngram_range=(1, 2))
    expected = text.TfidfTransformer().fit(counts).transform(others).toarray()
    step = HashedText(64, analyzer=analyzer, longest=2, weighting="tfidf").fit(TEXTS)
    found = step.transform(["one leap", "giant"])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_sif_by_its_definition():
    step = HashedText(2048, analyzer="word", longest=1, weighting="sif", rarity=0.05).fit(TEXTS)
    words = ["one", "small", "step", "giant", "leap", "for", "steps"]
    occurrences = {"one": 3, "small": 2, "step": 1, "giant": 1, "leap": 2, "for": 1, "steps": 1}
    slots = {word: int(counted([word], n_features=2048).argmax()) for word in words}
    assert len(set(slots.values())) == len(words)
    expected = np.zeros(2048)
    for word in ("small", "step", "step"):
        expected[slots[word]] += 0.05 / (0.05 + occurrences[word] / 11)
    np.testing.assert_allclose(step.transform(["small step step"])[0], expected / np.linalg.norm(expected), atol=1e-6)
    assert AllButTheTop(1).fit_transform(step.transform(TEXTS)).shape == (5, 2048)


def test_texts_without_terms_are_zero_and_case_does_not_count():
    rows = HashedText(64).transform(["", "Leap", "leap"])
    assert not rows[0].any()
    np.testing.assert_array_equal(rows[1], rows[2])
    np.testing.assert_allclose(np.linalg.norm(rows[1:], axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize("weighting", ["tfidf", "sif"])
def test_texts_in_parts_and_saved(weighting):
    whole = HashedText(128, weighting=weighting).fit(TEXTS)
    first, second = (HashedText(128, weighting=weighting).partial_fit(part) for part in (TEXTS[:2], TEXTS[2:]))
    first.merge(second)
    again = HashedText(**whole.get_params()).set_state(whole.get_state())
    for found in (first, again, HashedText(128, weighting=weighting).partial_fit(TEXTS[:4]).partial_fit(TEXTS[4:])):
        np.testing.assert_array_equal(found.transform(TEXTS), whole.transform(TEXTS))
    np.testing.assert_array_equal(
        whole.fit_transform(TEXTS[:2]), HashedText(**whole.get_params()).fit_transform(TEXTS[:2])
    )


def test_without_scikit_learn_one_sentence_says_so(monkeypatch):
    real = builtins.__import__

    def without(name, *others):
        if name.startswith("sklearn"):
            raise ImportError(name)
        return real(name, *others)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError) as raised:
        HashedText().transform(TEXTS)
    assert str(raised.value) == (
        "scikit-learn must be installed for HashedText, got none; pip install 'crossmodal-fast[sklearn]'"
    )


# ---- sentences


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda: mel_filters(RATE, 64, mels=40), ValueError,
         "fft must be large enough for 40 mels in 20..4000 Hz, got 64, which has no frequency in filter 0"),
        (lambda: mel_filters(RATE, 512, low=3000.0, high=2000.0), ValueError, "low must be in 0..2000, got 3000.0"),
        (lambda: mel_filters(RATE, 512, high=5000.0), ValueError, "high must be in 0..4000, got 5000.0"),
        (lambda: mel_filters("fast", 512), TypeError, "sample_rate must be a number, got 'fast'"),
        (lambda: mel_power([], mel_filters(RATE, 512)), ValueError,
         "sound must have shape (samples,) with at least one, got (0,)"),
        (lambda: mel_power([[0.0]], mel_filters(RATE, 512)), ValueError,
         "sound must have shape (samples,) with at least one, got (1, 1)"),
        (lambda: mel_power([0.0, np.nan], mel_filters(RATE, 512)), ValueError, "sound must be finite, got nan"),
        (lambda: mel_power([0.0], mel_filters(RATE, 256)), ValueError,
         "filters must have shape (m, fft // 2 + 1) with fft at least 400, the window, got (40, 129)"),
        (lambda: LogMel(fft=256), ValueError, "fft must be at least 400, got 256"),
        (lambda: LogMel(fft=513), ValueError, "fft must be even, got 513"),
        (lambda: LogMel(cepstra=41), ValueError, "cepstra must be in 1..40 (the mels), got 41"),
        (lambda: LogMel(frames=0), ValueError, "frames must be at least 1, got 0"),
        (lambda: LogMel(window=0), ValueError, "window must be at least 1, got 0"),
        (lambda: mel_power([0.0, 1e200], mel_filters(RATE, 512)), ValueError,
         "sound must have a power that float64 holds, got samples up to 1e+200"),
        (lambda: mel_power([0.0], np.full((2, 257), np.inf)), ValueError, "filters must be finite, got inf"),
        (lambda: stretched([[0.0], [np.nan]], 4), ValueError, "frames must be finite, got NaN or infinity in row 1"),
        (lambda: stretched(np.ones(3), 4), ValueError, "frames must have shape (n, d) with n, d >= 1, got (3,)"),
        (lambda: HashedText(analyzer="sound"), ValueError, "analyzer must be one of word, char, char_wb, got 'sound'"),
        (lambda: HashedText(shortest=3, longest=2), ValueError, "longest must be at least 3, got 2"),
        (lambda: HashedText(weighting="bm25"), ValueError, "weighting must be one of none, tfidf, sif, got 'bm25'"),
        (lambda: HashedText(weighting="sif").transform(TEXTS), RuntimeError,
         "HashedText must be fitted to weigh by 'sif': call fit(texts) first"),
        (lambda: HashedText().transform("one"), TypeError, "texts must be a sequence of texts, got 'one'"),
        (lambda: HashedText().transform(["one", 2]), TypeError, "texts must all be texts, got 2 in row 1"),
        (lambda: HashedText().transform([]), ValueError, "texts must hold at least one text, got none"),
        (lambda: HashedText(64).merge(HashedText(32)), TypeError,
         "other must be another HashedText(n_features=64, analyzer='char_wb', shortest=1, longest=3, weighting='none', "
         "rarity=0.001) to be merged, got HashedText(n_features=32, analyzer='char_wb', shortest=1,..."),
    ],
)  # fmt: skip
def test_sentences(call, error, sentence):
    with pytest.raises(error, match=f"^{re.escape(sentence)}$"):
        call()
