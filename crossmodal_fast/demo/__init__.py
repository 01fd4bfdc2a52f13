"""The demo: written, spoken and spelled digits find one another in a minute at most, on data that ships with it."""

import importlib.util
import time
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from .._progress import bar
from ..files import atomic, check_output, write_table
from . import data, picture, report, search

__all__ = ["run"]

NEEDED = {"sklearn": "scikit-learn", "matplotlib": "matplotlib"}
PICTURE, TABLE = "matches.png", "matches.csv"


def run(output: Path | str) -> report.Report:
    """Learn on one half of the digits, match and measure on the other, print the findings, write picture and table.

    Parameters
    ----------
    output : path
        Folder for `matches.png` and `matches.csv`; made where it is missing.

    Returns
    -------
    Report
        What was printed, as numbers.

    Raises
    ------
    ModuleNotFoundError
        scikit-learn or matplotlib is not installed.
    ValueError, OSError
        `output` is a file, lies in no folder, or cannot be written.

    Examples
    --------
    >>> from crossmodal_fast.demo import run
    >>> run("demo-output").exact  # doctest: +SKIP
    (3400, 3400)
    """
    for module, package in NEEDED.items():
        if importlib.util.find_spec(module) is None:
            sentence = f"the demo needs {package}, which is not installed: pip install 'crossmodal-fast[demo]'"
            raise ModuleNotFoundError(sentence, name=module)
    folder = _folder(Path(output))
    started = time.perf_counter()
    # One BLAS thread: the matrices are small, and beside other work on two cores the SVD took 0.4 s so, 4 to 10 s with
    # two threads that wait for each other.
    with bar("demo") as progress, threadpool_limits(1, "blas"):
        digits = {"image": data.images(), "speech": data.speech(), "name": data.names()}
        pipeline = search.learn(digits)
        learned = time.perf_counter()
        progress(1, 3)
        found = search.explore(pipeline, digits)
        explored = time.perf_counter()
        progress(2, 3)
        folder.mkdir(exist_ok=True)
        write_table(folder / TABLE, search.table(found))
        with atomic(folder / PICTURE) as file:
            picture.draw(_scene(found), file)
        written = time.perf_counter()
    told = report.Report(
        sizes={
            name: (len(one.learned.label), len(one.unseen.label), one.learned.vectors.shape[1], found.columns[name])
            for name, one in digits.items()
        },
        scores=found.scores,
        exact=found.exact,
        searches=[
            (one.name, stats, len(one.gallery.label)) for one, stats in zip(found.searches, found.stats, strict=True)
        ],
        mutual=found.mutual,
        seconds={"learning": learned - started, "searching": explored - learned, "writing": written - explored},
        files=[folder / PICTURE, folder / TABLE],
    )
    report.show(told)
    return told


def _folder(output: Path) -> Path:
    """The folder to write into; raises before any work is done, and makes nothing."""
    if output.exists() and not output.is_dir():
        raise ValueError(f"output must be a folder, got the file '{output}': choose another name")
    if not output.exists():
        check_output(output)
        return output
    for name in (PICTURE, TABLE):
        check_output(output / name)
    return output


def _scene(found: search.Findings) -> picture.Scene:
    of_images = found.searches[0]
    hit_rate = np.mean(of_images.gallery.label[of_images.indices[:, 0]] == of_images.query.label)
    bars, chance = [], 0.0
    for score in found.scores:
        if score.kind == "chance":
            chance = score.measures["map"]
        else:
            bars.append(picture.Bar(score.search, score.measures["map"], chance, score.kind == "map"))
    return picture.Scene(
        images=of_images.query,
        speech=of_images.gallery,
        indices=of_images.indices,
        similarity=found.similarity,
        bars=bars,
        title="Handwritten digits find their spoken names",
        subtitle=(
            f"The first unseen image of each digit, and the five nearest of {len(of_images.gallery.label)} utterances "
            f"by unseen voices. Green: right, red: wrong. {hit_rate:.1%} of {len(of_images.indices)} images find "
            "theirs first."
        ),
    )
