"""What the examples share: `--output`, printed numbers, pictures, and the data kept beside the project."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from crossmodal_fast import match
from crossmodal_fast.files import atomic
from crossmodal_fast.preprocess import Standardize

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"  # tests/conftest.py skips where it is absent
Numbers = dict[str, float]


def run(main: Callable[[Path], Numbers], description: str | None) -> None:
    """`main` as a script: its `--output` folder, `example-output` where none is named."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("example-output"), help="folder of the picture")
    with threadpool_limits(1, "blas"):  # small matrices: two threads on two busy cores took 3 times as long
        main(parser.parse_args().output)


def shared(name: str) -> Path | None:
    """A file of the data beside the project, None where it is absent."""
    return SHARED / name if (SHARED / name).exists() else None


def views_of_digits(path: Path) -> tuple[dict[str, Any], Any, Any]:
    """UCI's Multiple Features: six views by name (2000, d), standardised; the digits; which 1,500 are known."""
    stored, known = np.load(path), np.arange(2000) % 200 < 150
    views = {}
    for name in ("fac", "fou", "kar", "mor", "pix", "zer"):
        rows = stored[name].astype(float)
        views[name] = Standardize().fit(rows[known]).transform(rows)
    return views, stored["label"], known


def told(title: str, numbers: Numbers) -> Numbers:
    """Print the numbers under a title, and give them back."""
    print(title, *(f"  {name:<44} {value:.4f}" for name, value in numbers.items()), sep="\n")
    return numbers


def nearest(queries: Any, gallery: Any, **options: Any) -> Any:
    """(m,): the best gallery row of each query, by cosine where nothing else is asked."""
    return match(queries, gallery, **options).columns


def accuracy(found: Any, expected: Any) -> float:
    """Share of equal entries."""
    return float(np.mean(np.asarray(found) == np.asarray(expected)))


def canvas(columns: int) -> Any:
    """A figure and its axes side by side, drawn without a screen."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6 * columns, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(1, columns, squeeze=False)[0]


def mosaic(axes: Any, pictures: Any, lines: list[str]) -> None:
    """Small pictures (rows, columns, height, width) as one image, a text before each row of it."""
    rows, columns, height, width = np.shape(pictures)
    framed = np.pad(pictures, ((0, 0), (0, 0), (1, 1), (1, 1)))
    axes.imshow(framed.swapaxes(1, 2).reshape(rows * (height + 2), columns * (width + 2)), cmap="gray_r")
    axes.set(xticks=[], yticks=(np.arange(rows) + 0.5) * (height + 2), yticklabels=lines)


def bars(axes: Any, numbers: Numbers, title: str) -> None:
    """Numbers in 0..1 as bars with their values."""
    drawn = axes.barh(list(numbers), list(numbers.values()), color="#3b5b92")
    axes.bar_label(drawn, fmt="%.3f", padding=3)
    axes.set(title=title, xlim=(0, 1.15))
    axes.invert_yaxis()


def save(figure: Any, output: Path, name: str) -> None:
    """Write the picture, whole or not at all; the folder is made where it is missing."""
    output.mkdir(parents=True, exist_ok=True)
    with atomic(output / name) as file:
        figure.savefig(file, format="png", dpi=90)
    print(f"  picture: {output / name}")
