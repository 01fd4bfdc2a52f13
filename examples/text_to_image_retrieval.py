"""Text -> image retrieval: the name of a digit finds images of it, in languages and on sheets that were not learned.

Correlation matching: letter counts of names and pixels of images are projected to where they correlate most (CCA), with
pairs drawn with a seed. Wikipedia's images and texts, beside the project, give the table of Rasiwasia et al. 2010: CM
compares projections, SM class posteriors of the features, SCM those of the projections.
"""

from pathlib import Path

import numpy as np
from common import Numbers, bars, canvas, mosaic, run, save, shared, told

from crossmodal_fast import evaluate, topk
from crossmodal_fast.demo.data import images, names
from crossmodal_fast.fitting import CCA

SEED, SHOWN, WIKIPEDIA = 0, 7, "wikipedia"


def main(output: Path) -> Numbers:
    """Retrieve, print mean average precision and first hits, draw what some names find."""
    image, name = images(), names()
    random = np.random.default_rng(SEED)
    partner = [random.choice(np.flatnonzero(name.learned.label == digit)) for digit in image.learned.label]
    projection = CCA(9, shrinkage=0.1).fit(image.learned.vectors, name.learned.vectors[partner])
    gallery, queries = projection.transform(image.unseen.vectors, name.unseen.vectors)
    truth = name.unseen.label, image.unseen.label
    found = evaluate.retrieval(queries, gallery, labels=truth, k=(1,))
    chance = evaluate.chance(len(gallery), evaluate.count_positives(*truth), k=(1,))
    named = {"chance": chance, "name -> image": found}
    numbers = {f"{name}, {side}": one[name] for name in ("map", "hit_rate@1") for side, one in named.items()}
    if shared(WIKIPEDIA):
        numbers |= wikipedia()
    told(f"Text -> image: {len(queries)} names, {len(gallery)} images", numbers)
    best = topk(queries[:40:8], gallery, SHOWN, metric="cosine").indices
    figure, (found_axes, shares) = canvas(2)
    mosaic(found_axes, image.unseen.pictures[best], name.unseen.caption[:40:8].tolist())
    bars(shares, numbers, "Retrieval")
    save(figure, output, "text_to_image_retrieval.png")
    return numbers


def wikipedia() -> Numbers:
    """Mean average precision of image and of text queries among the 693 test items of the other side."""
    from scipy.io import loadmat
    from sklearn.linear_model import LogisticRegression

    stored = loadmat(shared(f"{WIKIPEDIA}/raw_features.mat"))
    label = {
        part: np.loadtxt(shared(f"{WIKIPEDIA}/{list_}set_txt_img_cat.list"), dtype=str, delimiter="\t", usecols=2)
        for part, list_ in (("tr", "train"), ("te", "test"))
    }
    raw = {part: (stored[f"I_{part}"], stored[f"T_{part}"]) for part in label}
    projection = CCA(7).fit(*raw["tr"])
    projected = {part: projection.transform(*sides) for part, sides in raw.items()}

    def posteriors(rows: dict[str, tuple[np.ndarray, np.ndarray]]) -> list[np.ndarray]:
        learner = LogisticRegression(C=30, solver="newton-cg")
        return [learner.fit(known, label["tr"]).predict_proba(new) for known, new in zip(*rows.values(), strict=True)]

    sides = {"CM": projected["te"], "SM": posteriors(raw), "SCM": posteriors(projected)}
    truth = label["te"], label["te"]
    return {
        f"Wikipedia map, {method}, {kind} query": evaluate.retrieval(*pair, labels=truth, metrics="map")["map"]
        for method, (left, right) in sides.items()
        for kind, pair in {"image": (left, right), "text": (right, left)}.items()
    }


if __name__ == "__main__":
    run(main, __doc__)
