"""Knowledge transfer between embedding spaces: a map carries what one model knows into the space of another.

Two spaces made here, with a seed: the second is the first turned, moved and with noise. How many pairs do Procrustes,
ridge and least squares need? Then labels travel: those of images name utterances, by a map from pairs of both. With 500
images and captions of CLIP beside the project: in a space that is shared already, a learned map may lose what is there.
"""

from pathlib import Path
from typing import Any

import numpy as np
from common import Numbers, accuracy, bars, canvas, nearest, run, save, shared, told

from crossmodal_fast import fit_transfer
from crossmodal_fast.demo.data import images, speech
from crossmodal_fast.preprocess import PCA, Chain, normalize

SEED, WIDTH, WANTED, NOISE = 0, 48, 500, 0.5
METHODS = {"procrustes": {}, "ridge": {"regularization": 10.0}, "lstsq": {}}
PAIRS = [12, 24, 48, 60, 96, 192]
CLIP = "clip500/features_clip.npy"


def main(output: Path) -> Numbers:
    """Transfer, print what is found by how many pairs, draw it."""
    curves = learning_curves()
    numbers = {"chance": 1 / WANTED}
    for place in (1, 2, -1):
        numbers |= {f"{PAIRS[place]} pairs, {method}": curve[place] for method, curve in curves.items()}
    numbers |= speech_by_images()
    if shared(CLIP):
        numbers |= clip()
    told(f"Transfer between spaces: {WANTED} rows wanted", numbers)
    figure, (lines, shares) = canvas(2)
    for method, curve in curves.items():
        lines.plot(PAIRS, curve, marker="o", label=method)
    lines.set(title="Rows found, by the pairs learned from", xlabel="pairs", xscale="log", ylim=(0, 1.05))
    lines.legend()
    bars(shares, numbers, "Share of right answers")
    save(figure, output, "knowledge_transfer.png")
    return numbers


def found(source: np.ndarray, target: np.ndarray, pairs: int, method: str, wanted: int, **options: Any) -> float:
    """Share of the last `wanted` rows that find themselves in the other space, learned from the first `pairs`."""
    mapped = fit_transfer(source[:pairs], target[:pairs], method, **options).apply(source[-wanted:])
    return accuracy(nearest(mapped, target[-wanted:]), np.arange(wanted))


def learning_curves() -> dict[str, list[float]]:
    """Share of WANTED rows found, for each method by the number of pairs."""
    random = np.random.default_rng(SEED)
    rows = random.standard_normal((PAIRS[-1] + WANTED, WIDTH))
    turn = np.linalg.qr(random.standard_normal((WIDTH, WIDTH)))[0]
    other = rows @ turn + 0.5 + NOISE * random.standard_normal(rows.shape)
    return {by: [found(rows, other, pairs, by, WANTED, **given) for pairs in PAIRS] for by, given in METHODS.items()}


def speech_by_images() -> Numbers:
    """The digit that unseen voices say, by the nearest labelled image; the map knows pairs, no label of speech."""
    sounds, pictures, random = speech(), images(), np.random.default_rng(SEED)
    features = Chain([PCA(128), "whiten", "normalize"]).fit(sounds.learned.vectors)
    known = pictures.learned
    partner = [random.choice(np.flatnonzero(known.label == digit)) for digit in sounds.learned.label]
    to_images = fit_transfer(features.transform(sounds.learned.vectors), known.vectors[partner], "ridge")
    seen = nearest(to_images.apply(features.transform(sounds.unseen.vectors)), known.vectors)
    return {"speech by images, chance": 0.1, "speech by images": accuracy(known.label[seen], sounds.unseen.label)}


def clip() -> Numbers:
    """250 images find their captions, maps learned from 250 other pairs, centred by those; ridge is to the identity."""
    sides = [normalize(side.astype(float)) for side in np.load(shared(CLIP))]
    image, text = (Chain(["center", "normalize"]).fit(side[:250]).transform(side) for side in sides)
    methods = {"identity": {}, "procrustes": {}, "ridge": {"regularization": 10, "prior": "identity", "center": False}}
    return {f"CLIP, {method}": found(image, text, 250, method, 250, **options) for method, options in methods.items()}


if __name__ == "__main__":
    run(main, __doc__)
