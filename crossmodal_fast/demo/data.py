"""Ten digits three ways: written by hand, spoken by twenty voices, spelled in sixteen languages.

Each modality is split so that the unseen half was written on other sheets, spoken by other voices and spelled in other
languages than the learned half.
"""

import unicodedata
import zlib
from dataclasses import dataclass
from importlib import resources

import numpy as np
import numpy.typing as npt

LEARNED_NAMES = {
    "English": "zero one two three four five six seven eight nine",
    "German": "null eins zwei drei vier fünf sechs sieben acht neun",
    "Swedish": "noll ett två tre fyra fem sex sju åtta nio",
    "French": "zéro un deux trois quatre cinq six sept huit neuf",
    "Italian": "zero uno due tre quattro cinque sei sette otto nove",
    "Spanish": "cero uno dos tres cuatro cinco seis siete ocho nueve",
    "Czech": "nula jedna dva tři čtyři pět šest sedm osm devět",
    "Polish": "zero jeden dwa trzy cztery pięć sześć siedem osiem dziewięć",
}
UNSEEN_NAMES = {
    "Dutch": "nul een twee drie vier vijf zes zeven acht negen",
    "Danish": "nul en to tre fire fem seks syv otte ni",
    "Norwegian": "null en to tre fire fem seks sju åtte ni",
    "Portuguese": "zero um dois três quatro cinco seis sete oito nove",
    "Catalan": "zero u dos tres quatre cinc sis set vuit nou",
    "Romanian": "zero unu doi trei patru cinci șase șapte opt nouă",
    "Croatian": "nula jedan dva tri četiri pet šest sedam osam devet",
    "Slovak": "nula jeden dva tri štyri päť šesť sedem osem deväť",
}
DIGITS = 10
LEARNED_IMAGES = 906  # every sheet begins with 0 .. 9 three times over; here begins the eighth
NAME_FEATURES = 512  # hash slots: mAP of name -> speech is .83 with 256, .88 with 512 and with 1024
LONGEST_GRAM = 3  # letters


@dataclass(frozen=True)
class Half:
    """One half of one modality: the rows, the digit of each, a caption for each, and what a picture of it shows."""

    vectors: npt.NDArray[np.float32]
    label: npt.NDArray[np.int64]
    caption: npt.NDArray[np.str_]
    pictures: npt.NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Modality:
    """A way to say a digit, its learned half and its unseen half."""

    learned: Half
    unseen: Half


def images() -> Modality:
    """Handwritten digits, 8 x 8 pixels, sheets of some 130 one after another: the first seven are learned."""
    from sklearn.datasets import load_digits

    bundled = load_digits()
    vectors = np.asarray(bundled.data, dtype=np.float32) / np.float32(16.0)
    label = np.asarray(bundled.target, dtype=np.int64)
    caption = np.array([f"image {row}" for row in range(len(label))])
    pictures = vectors.reshape(-1, 8, 8)
    return Modality(
        *(
            Half(vectors[part], label[part], caption[part], pictures[part])
            for part in np.s_[:LEARNED_IMAGES, LEARNED_IMAGES:]
        )
    )


def speech() -> Modality:
    """Spoken digits, 32 mel bands x 40 frames: every other voice is learned, the rest are unseen."""
    with (
        resources.files(__package__).joinpath("spoken_digits.npz").open("rb") as file,
        np.load(file, allow_pickle=False) as stored,
    ):
        pictures = stored["log_mel"] / np.float32(255.0)
        label, language, voice = stored["label"], stored["language"], stored["voice"]
    words = {"en": LEARNED_NAMES["English"].split(), "de": LEARNED_NAMES["German"].split()}
    variant = np.array([full.partition("+")[2] for full in voice.tolist()])
    caption = np.array(
        [f"{words[tongue][digit]}, {tongue} {who}" for tongue, digit, who in zip(language, label, variant, strict=True)]
    )
    unseen = np.isin(variant, list(dict.fromkeys(variant.tolist()))[1::2])
    return Modality(
        *(
            Half(pictures[part].reshape(int(part.sum()), -1), label[part], caption[part], pictures[part])
            for part in (~unseen, unseen)
        )
    )


def names() -> Modality:
    """Written names of the digits: eight languages are learned, eight cousins of theirs are unseen."""
    return Modality(_spelled(LEARNED_NAMES), _spelled(UNSEEN_NAMES))


def _spelled(names_by_language: dict[str, str]) -> Half:
    words = [(word, language) for language, line in names_by_language.items() for word in line.split()]
    return Half(
        np.stack([letter_grams(word) for word, _ in words]),
        np.tile(np.arange(DIGITS), len(names_by_language)),
        np.array([f"{word} ({language})" for word, language in words]),
    )


def letter_grams(word: str) -> npt.NDArray[np.float32]:
    """Counts of the runs of one to three letters in a word without its accents, hashed into NAME_FEATURES slots."""
    plain = "".join(letter for letter in unicodedata.normalize("NFKD", word) if not unicodedata.combining(letter))
    marked = f"<{plain}>"
    counts = np.zeros(NAME_FEATURES, dtype=np.float32)
    for length in range(1, LONGEST_GRAM + 1):
        for start in range(len(marked) - length + 1):
            counts[zlib.crc32(marked[start : start + length].encode()) % NAME_FEATURES] += 1.0
    return counts
