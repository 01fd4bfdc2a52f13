"""Speech recognition: an utterance finds the written word that was said.

Written words are rows of letter counts. A ridge map from utterances to the word that each says is learned on ten
voices; ten other voices say the words to be found among twenty, in English and German. The voices are synthetic
(espeak-ng, see make_spoken_digits.py). Recordings of people (FSDD), where they lie beside the project: the nearest of
2,700 known recordings says the digit of 300 others.
"""

from pathlib import Path

import numpy as np
from common import Numbers, accuracy, canvas, nearest, run, save, shared, told

from crossmodal_fast import fit_transfer
from crossmodal_fast.demo.data import speech
from crossmodal_fast.preprocess import PCA, Chain, HashedText, Standardize

RECORDINGS = "fsdd/fsdd_logmel_20x40.npz"


def main(output: Path) -> Numbers:
    """Recognise, print the accuracies, draw what is taken for what."""
    sounds = speech()
    said, heard = (np.array([f"{word.split(',')[0]} {word.split()[1]}" for word in half.caption])
                   for half in (sounds.learned, sounds.unseen))  # fmt: skip
    vocabulary = np.unique(said)
    spelled = HashedText(256).fit_transform(vocabulary.tolist())
    features = Chain([PCA(128), "whiten", "normalize"]).fit(sounds.learned.vectors)
    rows = features.transform(sounds.learned.vectors)
    to_words = fit_transfer(rows, spelled[np.searchsorted(vocabulary, said)], "ridge", regularization=1.0)
    predicted = to_words.apply(features.transform(sounds.unseen.vectors))
    found = vocabulary[nearest(predicted, spelled)]
    numbers = {
        "word, of 20 by chance": 1 / len(vocabulary),
        "word, voices never heard": accuracy(found, heard),
        "digit, whatever the language": accuracy(
            [digit_of(word, said, sounds.learned.label) for word in found], sounds.unseen.label
        ),
    }
    if shared(RECORDINGS):
        numbers |= recordings()
    told(f"Speech -> word: {len(heard)} utterances", numbers)
    draw(found, heard, vocabulary, output)
    return numbers


def digit_of(word: str, said: np.ndarray, label: np.ndarray) -> int:
    """The digit that a word of the vocabulary names."""
    return int(label[np.argmax(said == word)])


def recordings() -> Numbers:
    """One nearest neighbour on the official split of FSDD."""
    stored = np.load(shared(RECORDINGS))
    known, rows = stored["index"] >= 5, stored["X"].astype(float)
    step = Standardize().fit(rows[known])
    step.scale_ = step.scale_ + 1e-6
    rows, label = step.transform(rows), stored["label"]
    found = label[known][nearest(rows[~known], rows[known])]
    return {"FSDD, digit of the nearest recording": accuracy(found, label[~known])}


def draw(found: np.ndarray, heard: np.ndarray, vocabulary: np.ndarray, output: Path) -> None:
    """Share of each word's utterances that were taken for each word."""
    places = np.arange(len(vocabulary))
    taken = np.zeros((len(vocabulary), len(vocabulary)))
    np.add.at(taken, tuple(np.searchsorted(vocabulary, [heard, found])), 1)
    figure, (axes,) = canvas(1)
    axes.imshow(taken / taken.sum(axis=1, keepdims=True), cmap="Blues", vmin=0, vmax=1)
    axes.set(title="Spoken words (rows) and what they were taken for", xticks=places, yticks=places)
    axes.set_yticklabels(vocabulary)
    axes.set_xticklabels(vocabulary, rotation=90)
    save(figure, output, "speech_recognition.png")


if __name__ == "__main__":
    run(main, __doc__)
