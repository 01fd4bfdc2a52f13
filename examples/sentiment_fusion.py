"""Sentiment from text, voice and face: three weak opinions, fused.

All data is made here, with a seed: no free data set of this kind ships with any dependency. A text is eight words, some
of which lean one way; voice and face are rows of 12 and 16 features (as of pitch and energy, or of a face's muscles)
whose means depend a little on the sentiment. A fifth of the clips has no sound. Scores by ridge regression, or
features, are fused. Where UCI's Multiple Features lie beside the project, its six views of digits are fused as well.
"""

from pathlib import Path

import numpy as np
from common import Numbers, accuracy, bars, canvas, run, save, shared, told, views_of_digits

from crossmodal_fast import fit_transfer, similarity
from crossmodal_fast.fusion import concatenate, fuse, learn_weights
from crossmodal_fast.preprocess import Chain, HashedText

SEED, CLIPS, LEARNED, CLASSES = 0, 1200, 600, 3
WORDS = [["awful", "boring", "broken", "hate", "worst", "sad"], ["table", "seen", "went", "today", "film", "then"],
         ["great", "lovely", "best", "enjoy", "happy", "superb"]]  # fmt: skip
LEANING, MOVED, SILENT = 0.25, 0.45, 0.2  # words that lean; shift of a feature's mean, in deviations; without sound
VIEWS = "mfeat/mfeat.npz"
RULES = {"weighted_sum": "zmuv", "reciprocal_rank": "none", "borda": "none"}


def main(output: Path) -> Numbers:
    """Fuse, print the shares of clips whose sentiment is right, draw them."""
    random = np.random.default_rng(SEED)
    sentiment = random.integers(0, CLASSES, CLIPS)
    text, silent = texts(sentiment, random), random.random(CLIPS) < SILENT
    voice, face = (
        MOVED * random.standard_normal((CLASSES, width))[sentiment] + random.standard_normal((CLIPS, width))
        for width in (12, 16)
    )
    voice[silent] = 0.0
    views = {"text": text, "voice": voice, "face": face}
    scores = {name: opinions(rows, sentiment) for name, rows in views.items()}
    scores["voice"][silent] = np.nan
    known, unseen = slice(LEARNED), slice(LEARNED, None)
    weights = learn_weights([one[known] for one in scores.values()], labels=(sentiment[known], np.arange(CLASSES)))
    early = opinions(concatenate([Chain(["center"]).fit_transform(rows) for rows in views.values()]), sentiment)
    late = list(scores.values())
    fused = scores | {"early: side by side": early, "late: mean of scores": fuse(late)}
    fused |= {"late: weights learned": fuse(late, weights), "late: ranks": fuse(late, method="reciprocal_rank")}
    right = sentiment[unseen]
    numbers = {"chance": float(np.bincount(right).max() / len(right))}
    numbers |= {name: accuracy(np.nan_to_num(one[unseen]).argmax(axis=1), right) for name, one in fused.items()}
    if shared(VIEWS):
        numbers |= digits()
    told(f"Sentiment of {len(right)} clips, {int(silent[unseen].sum())} without sound", numbers)
    figure, (axes,) = canvas(1)
    bars(axes, numbers, "Share of right answers")
    save(figure, output, "sentiment_fusion.png")
    return numbers


def texts(sentiment: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Rows of word counts of eight words for each clip."""
    leans = np.where(random.random((CLIPS, 8)) < LEANING, sentiment[:, None], random.integers(0, CLASSES, (CLIPS, 8)))
    words = np.array(WORDS)[leans, random.integers(0, len(WORDS[0]), leans.shape)]
    return HashedText(64, analyzer="word", longest=1).fit_transform([" ".join(clip) for clip in words])


def opinions(rows: np.ndarray, sentiment: np.ndarray) -> np.ndarray:
    """(CLIPS, CLASSES): ridge regression to one column per class, learned on the first half."""
    one_hot = np.eye(CLASSES)[sentiment[:LEARNED]]
    return fit_transfer(rows[:LEARNED], one_hot, "ridge", regularization="path").apply(rows).astype(float)


def digits() -> Numbers:
    """One nearest neighbour of 500 digits by the fused cosines of six views."""
    views, label, known = views_of_digits(shared(VIEWS))
    cosines = [similarity(rows[~known], rows[known], metric="cosine") for rows in views.values()]
    nearest = {rule: fuse(cosines, method=rule, normalizer=normal).argmax(axis=1) for rule, normal in RULES.items()}
    return {f"mfeat, {rule}": accuracy(label[known][found], label[~known]) for rule, found in nearest.items()}


if __name__ == "__main__":
    run(main, __doc__)
