"""The four steps on the digits: preprocess, learn the maps, match, fuse; and the check against plain float64."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import evaluate
from .._operations import topk
from .._search import SearchStats
from ..matching import Matches
from ..pipeline import CrossModalPipeline
from ..preprocess import PCA
from .data import DIGITS, Half, Modality
from .report import Score

Array = npt.NDArray[Any]
Digits = dict[str, Modality]

PREPROCESS = {
    "image": [PCA(32), "whiten", "normalize"],
    "speech": [PCA(128), "whiten", "normalize"],
    "name": ["center", "normalize"],
}
DIRECTIONS = [("image", "speech"), ("speech", "image"), ("name", "speech"), ("speech", "name")]
TOP = 5
CUTS = (1, TOP)
CHECKED = 200  # queries of each search that are compared with the plain computation


@dataclass(frozen=True)
class Search:
    """One exact search: the TOP matches of every query, (m, TOP) each."""

    name: str
    query: Half
    gallery: Half
    distances: Array
    indices: Array


@dataclass(frozen=True)
class Findings:
    """All that is printed, drawn and written."""

    searches: list[Search]
    stats: list[SearchStats]  # how the searches went
    fused: Search  # images, each with a name of its digit, in speech
    scores: list[Score]
    exact: tuple[int, int]  # matches that agree with plain float64, matches compared
    mutual: tuple[int, int]  # pairs of image and speech among each other's TOP, how many are of one digit
    similarity: npt.NDArray[np.float64]  # (10, 10) mean cosine of images (rows) with speech (columns)
    columns: dict[str, int]  # after preprocessing


def learn(digits: Digits) -> CrossModalPipeline:
    """Fit the preprocessing and the four maps on the learned halves: all pairs of one digit belong together."""
    pipeline = CrossModalPipeline(PREPROCESS, "lstsq", shared="speech", k=TOP)
    labels = {name: one.learned.label for name, one in digits.items()}
    pipeline.load_data({name: one.learned.vectors for name, one in digits.items()}, labels=labels)
    pipeline.preprocess_data()
    for direction in DIRECTIONS:
        pipeline.knowledge_transfer(*direction)
    return pipeline


def explore(pipeline: CrossModalPipeline, digits: Digits) -> Findings:
    """Search the unseen halves and measure what comes of it."""
    unseen = {name: one.unseen for name, one in digits.items()}
    embeddings = _load(pipeline, unseen)
    measured = {direction: pipeline.evaluate(*direction, k=CUTS) for direction in DIRECTIONS}
    alone = {name: pipeline.evaluate(name, name, k=CUTS, exclude_self=True) for name in unseen}
    sides = {
        (source, target): (pipeline.knowledge_transfer(source, target, fit=False).embeddings, embeddings[target])
        for source, target in DIRECTIONS
    }
    mutual = pipeline.match_and_align("image", "speech", method="mutual").matches
    similarity = pipeline.calculate_similarity("image", "speech").scores

    # Fusion: each image comes with the name of its digit in one of the unseen languages, in turn.
    named = unseen | {"name": taken(unseen["name"], name_for_each(unseen["image"].label, unseen["name"].label))}
    _load(pipeline, named)
    both: tuple[str, ...] = ("image", "name")
    fused = pipeline.evaluate(both, "speech", k=CUTS)
    matches = pipeline.match_and_align(both, "speech").matches
    pipeline.set_params(fusion="reciprocal_rank")
    by_rank = pipeline.evaluate(both, "speech", k=CUTS)

    searched = {direction: topk(*sides[direction], TOP, pipeline.metric, return_stats=True) for direction in DIRECTIONS}
    searches = [
        Search(f"{source} -> {target}", unseen[source], unseen[target], distances, indices)
        for (source, target), (distances, indices, _) in searched.items()
    ]
    compared = [agreement(*sides[direction], one) for direction, one in zip(DIRECTIONS, searches, strict=True)]
    label = {name: half.label for name, half in unseen.items()}
    speech, image, name = (len(label[kind]) for kind in ("speech", "image", "name"))
    scores = [
        _chance("image", "speech", label),
        Score("speech -> speech, no map", speech, speech - 1, alone["speech"], "no map"),
        Score("image -> speech", image, speech, measured["image", "speech"]),
        Score("name -> speech", name, speech, measured["name", "speech"]),
        Score("image + name -> speech", image, speech, fused),
        Score("image + name -> speech, RRF", image, speech, by_rank),
        _chance("speech", "image", label),
        Score("image -> image, no map", image, image - 1, alone["image"], "no map"),
        Score("speech -> image", speech, image, measured["speech", "image"]),
        _chance("speech", "name", label),
        Score("name -> name, no map", name, name - 1, alone["name"], "no map"),
        Score("speech -> name", speech, name, measured["speech", "name"]),
    ]
    return Findings(
        searches,
        [stats for _, _, stats in searched.values()],
        fused_search(named["image"], named["name"], unseen["speech"], matches),
        scores,
        (sum(agreeing for agreeing, _ in compared), sum(total for _, total in compared)),
        (len(mutual.rows), int((label["image"][mutual.rows] == label["speech"][mutual.columns]).sum())),
        class_means(similarity, label["image"], label["speech"]),
        {name: rows.shape[1] for name, rows in embeddings.items()},
    )


def _load(pipeline: CrossModalPipeline, halves: dict[str, Half]) -> dict[str, Array]:
    """Preprocessed as fitted."""
    labels = {name: half.label for name, half in halves.items()}
    pipeline.load_data({name: half.vectors for name, half in halves.items()}, labels=labels)
    return pipeline.preprocess_data(fit=False)


def taken(half: Half, rows: Array) -> Half:
    """These rows of a half, without pictures."""
    return Half(half.vectors[rows], half.label[rows], half.caption[rows])


def fused_search(images: Half, names: Half, speech: Half, matches: Matches) -> Search:
    """What image and name found together, TOP matches a row."""
    caption = np.array([f"{image} + {name}" for image, name in zip(images.caption, names.caption, strict=True)])
    found = matches.columns.reshape(-1, TOP)
    query = Half(images.vectors, images.label, caption)
    return Search("image + name -> speech", query, speech, 1.0 - matches.scores.reshape(found.shape), found)


def name_for_each(image_label: Array, name_label: Array) -> Array:
    """For every image a name of its digit (a row of the names), the languages in turn."""
    chosen = np.empty(len(image_label), dtype=np.int64)
    for digit in range(DIGITS):
        images, names = np.flatnonzero(image_label == digit), np.flatnonzero(name_label == digit)
        chosen[images] = names[np.arange(len(images)) % len(names)]
    return chosen


def class_means(scores: Array, row_label: Array, column_label: Array) -> npt.NDArray[np.float64]:
    """Mean of the scores (m, n) by digit of the row and digit of the column, (10, 10)."""
    rows, columns = (
        (label[:, None] == np.arange(DIGITS)) / np.bincount(label, minlength=DIGITS)
        for label in (row_label, column_label)
    )
    return np.asarray(rows.T @ scores @ columns, dtype=np.float64)


def _chance(query: str, gallery: str, label: dict[str, Array]) -> Score:
    n = len(label[gallery])
    measures = evaluate.chance(n, evaluate.count_positives(label[query], label[gallery]), k=CUTS)
    return Score(f"chance, {gallery} wanted", len(label[query]), n, measures, "chance")


def agreement(left: Array, right: Array, found: Search) -> tuple[int, int]:
    """How many matches of CHECKED queries are those of the definition in plain float64, and how many there are."""
    rows = np.linspace(0, len(left) - 1, min(CHECKED, len(left))).astype(np.int64)
    expected = np.stack([plain_order(left[row], right)[:TOP] for row in rows])
    return int((found.indices[rows] == expected).sum()), expected.size


def plain_order(query: Array, gallery: Array) -> Array:
    """Gallery rows by ascending cosine distance from one query, equal ones by index: a sum for each row, no BLAS."""
    x, y = query.astype(np.float64), gallery.astype(np.float64)
    cosine = (x * y).sum(axis=1) / np.sqrt((x * x).sum() * (y * y).sum(axis=1))
    return np.argsort(1.0 - np.clip(cosine, -1.0, 1.0), kind="stable")


def table(found: Findings) -> dict[str, Array]:
    """The matches of all searches as columns of equal length."""
    columns: dict[str, list[Array]] = {
        name: []
        for name in (
            *("search", "query", "query_digit", "query_caption", "rank"),
            *("match", "match_digit", "match_caption", "distance", "right"),
        )
    }
    for one in [*found.searches, found.fused]:
        m, k = one.indices.shape
        query, match = np.repeat(np.arange(m), k), one.indices.ravel()
        for name, column in {
            "search": np.full(m * k, one.name),
            "query": query,
            "query_digit": one.query.label[query],
            "query_caption": one.query.caption[query],
            "rank": np.tile(np.arange(1, k + 1), m),
            "match": match,
            "match_digit": one.gallery.label[match],
            "match_caption": one.gallery.caption[match],
            "distance": one.distances.ravel(),
            "right": one.query.label[query] == one.gallery.label[match],
        }.items():
            columns[name].append(column)
    return {name: np.concatenate(parts) for name, parts in columns.items()}
