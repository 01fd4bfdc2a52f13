"""Matching sentences across languages: each English sentence finds its German translation.

The sentences are made here, with a seed: four to seven number words in a row, "three nine nine two". Both languages
are rows of letter counts. A ridge map from one to the other is learned on 15 pairs, and 400 others are matched by
nearest neighbours, with a correction for hubs (CSLS), and one to one (assignment). With MiniLM's embeddings of English
sentences beside the project, the second language is a stand-in made here: the same rows turned and with noise.
"""

from pathlib import Path

import numpy as np
from common import Numbers, accuracy, bars, canvas, nearest, run, save, shared, told

from crossmodal_fast import fit_transfer
from crossmodal_fast.demo.data import LEARNED_NAMES
from crossmodal_fast.preprocess import HashedText, normalize

SEED, PAIRS, LEARNED = 0, 415, 15
METHODS = {"nearest": "topk", "CSLS": "csls", "one to one": "assignment"}
MINILM, KNOWN, WANTED, NOISE = "minilm/docstrings_20k_x384.npy", 500, 1000, 0.1


def main(output: Path) -> Numbers:
    """Match, print the shares of right pairs, draw them."""
    english, german = sentences("English", "German")
    left, right = (HashedText(512).fit_transform(side) for side in (english, german))
    to_german = fit_transfer(left[:LEARNED], right[:LEARNED], "ridge", regularization=0.1)
    mapped, targets = to_german.apply(left[LEARNED:]), right[LEARNED:]
    rows = np.arange(len(targets))
    numbers = {
        "chance": 1 / len(targets),
        "letters alone, nearest": accuracy(nearest(left[LEARNED:], targets), rows),
    }
    numbers |= {f"mapped, {name}": accuracy(nearest(mapped, targets, method=by), rows) for name, by in METHODS.items()}
    if shared(MINILM):
        numbers |= stand_in()
    told(f"English -> German: {len(targets)} sentences", numbers)
    for row in range(3):
        print(f"  {english[LEARNED + row]}  ->  {german[LEARNED + nearest(mapped, targets)[row]]}")
    figure, (scores, shares) = canvas(2)
    scores.imshow(normalize(mapped[:40]) @ targets[:40].T, cmap="magma")
    scores.set(title="Cosine of 40 sentences with 40", xlabel="German", ylabel="English, mapped")
    bars(shares, numbers, "Share of right pairs")
    save(figure, output, "sentences_across_languages.png")
    return numbers


def sentences(*languages: str) -> list[list[str]]:
    """PAIRS sentences in each language; no two say the same numbers in another order."""
    random, chosen = np.random.default_rng(SEED), {}
    while len(chosen) < PAIRS:
        digits = random.integers(0, 10, size=random.integers(4, 8)).tolist()
        chosen.setdefault(tuple(sorted(digits)), digits)
    words = [LEARNED_NAMES[language].split() for language in languages]
    return [[" ".join(named[digit] for digit in digits) for digits in chosen.values()] for named in words]


def stand_in() -> Numbers:
    """English sentences against a turned and noisy copy of themselves, an orthogonal map learned from KNOWN pairs."""
    random = np.random.default_rng(SEED)
    stored = np.load(shared(MINILM), mmap_mode="r")
    rows = stored[np.sort(random.choice(len(stored), KNOWN + WANTED, replace=False))].astype(float)
    turn = np.linalg.qr(random.standard_normal((rows.shape[1],) * 2))[0]
    other = (rows + NOISE * random.standard_normal(rows.shape)) @ turn
    learned = random.permutation(len(rows))[:KNOWN]
    wanted = np.setdiff1d(np.arange(len(rows)), learned)
    found = fit_transfer(rows[learned], other[learned], "procrustes").apply(rows[wanted])
    return {
        f"MiniLM stand-in, {name}": accuracy(nearest(found, other[wanted], method=METHODS[name]), np.arange(WANTED))
        for name in ("nearest", "CSLS")
    }


if __name__ == "__main__":
    run(main, __doc__)
