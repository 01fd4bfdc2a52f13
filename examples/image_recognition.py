"""Image recognition: a handwritten digit finds its label, by a learned map and by its nearest known image.

Half of scikit-learn's 1,797 digits is known, the other half, of other sheets, is named. The map is ridge regression to
one row per label (one-hot); the neighbour needs no learning. Where UCI's Multiple Features lie beside the project, six
descriptions of 2,000 digits recognise 500 of them, each alone and all together.
"""

from pathlib import Path

import numpy as np
from common import Numbers, accuracy, bars, canvas, mosaic, nearest, run, save, shared, told, views_of_digits

from crossmodal_fast import fit_transfer
from crossmodal_fast.demo.data import DIGITS, images
from crossmodal_fast.fusion import concatenate

VIEWS = "mfeat/mfeat.npz"
SHOWN = 8  # images with their neighbour


def main(output: Path) -> Numbers:
    """Recognise, print the accuracies, draw some images above the image that named them."""
    digits = images()
    known, unseen = digits.learned, digits.unseen
    labels = np.eye(DIGITS)
    to_labels = fit_transfer(known.vectors, labels[known.label], "ridge", regularization=10.0)
    neighbour = nearest(unseen.vectors, known.vectors)
    numbers = {
        "chance": float(np.bincount(unseen.label).max() / len(unseen.label)),
        "label by a learned map": accuracy(nearest(to_labels.apply(unseen.vectors), labels), unseen.label),
        "label of the nearest image": accuracy(known.label[neighbour], unseen.label),
    }
    if shared(VIEWS):
        numbers |= views()
    told(f"Image -> label: {len(unseen.label)} images", numbers)
    shown = np.linspace(0, len(unseen.label) - 1, SHOWN).astype(int)
    figure, (images_axes, shares) = canvas(2)
    named = [" ".join(map(str, labels)) for labels in (unseen.label[shown], known.label[neighbour[shown]])]
    pictures = [unseen.pictures[shown], known.pictures[neighbour[shown]]]
    mosaic(images_axes, pictures, [f"{kind}\n{line}" for kind, line in zip(("unseen", "nearest"), named, strict=True)])
    bars(shares, numbers, "Share of right labels")
    save(figure, output, "image_recognition.png")
    return numbers


def views() -> Numbers:
    """One nearest neighbour by each view of a digit, and by all six side by side."""
    rows, label, known = views_of_digits(shared(VIEWS))
    rows["all six"] = concatenate(list(rows.values()))
    return {
        f"mfeat, {name}": accuracy(label[known][nearest(view[~known], view[known])], label[~known])
        for name, view in rows.items()
    }


if __name__ == "__main__":
    run(main, __doc__)
