"""`matches.png`: written digits beside the spoken digits found for them, similarity by class, and the scores."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.gridspec import GridSpecFromSubplotSpec

from .data import DIGITS, Half

INK, FAINT, HIT, MISS, BAR, PALE = "#1f2430", "#6b7280", "#1f9d61", "#d6304a", "#3b5b92", "#c3c9d4"
SHOWN = 5  # matches beside each query
RESOLUTION = 110  # dots per inch, 1760 x 1155 pixels in all


@dataclass(frozen=True)
class Bar:
    """One search: its mean average precision, beside that of a random order."""

    name: str
    value: float
    chance: float
    mapped: bool


@dataclass(frozen=True)
class Scene:
    """What the picture shows: `indices` (m, k) are rows of `speech` found for `images`, `similarity` is (10, 10)."""

    images: Half
    speech: Half
    indices: npt.NDArray[np.int64]
    similarity: npt.NDArray[np.float64]
    bars: list[Bar]
    title: str
    subtitle: str


def draw(scene: Scene, file: BinaryIO) -> None:
    """Write the picture as PNG into an open file."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(16, 10.5), dpi=RESOLUTION, facecolor="white")
    figure.text(0.028, 0.945, scene.title, fontsize=21, fontweight="bold", color=INK)
    figure.text(0.028, 0.913, scene.subtitle, fontsize=12.5, color=FAINT)
    sides = figure.add_gridspec(
        1, 2, width_ratios=[1.62, 1], left=0.02, right=0.985, bottom=0.035, top=0.865, wspace=0.36
    )
    _matches(figure, sides[0].subgridspec(DIGITS, SHOWN + 1, hspace=0.5, wspace=0.1), scene)
    right = sides[1].subgridspec(2, 1, height_ratios=[1.55, 1], hspace=0.3)
    _heat_map(figure.add_subplot(right[0]), scene)
    _bars(figure.add_subplot(right[1]), scene)
    figure.savefig(file, format="png")


def _matches(figure: "Figure", grid: "GridSpecFromSubplotSpec", scene: Scene) -> None:
    """One row a digit: its first unseen image, then the spoken digits nearest to it, best first."""
    for digit in range(DIGITS):
        query = int(np.flatnonzero(scene.images.label == digit)[0])
        axes = figure.add_subplot(grid[digit, 0])
        assert scene.images.pictures is not None
        assert scene.speech.pictures is not None
        axes.imshow(scene.images.pictures[query], cmap="gray_r", interpolation="nearest")
        _frame(axes, INK, 1.0)
        for rank in range(SHOWN):
            found = int(scene.indices[query, rank])
            label = int(scene.speech.label[found])
            colour = HIT if label == digit else MISS
            axes = figure.add_subplot(grid[digit, rank + 1])
            axes.imshow(scene.speech.pictures[found], cmap="magma", origin="lower", aspect="auto")
            axes.set_title(str(scene.speech.caption[found]), fontsize=8.5, color=colour, pad=2.5)
            _frame(axes, colour, 2.2)


def _frame(axes: "Axes", colour: str, width: float) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set(edgecolor=colour, linewidth=width)


def _heat_map(axes: "Axes", scene: Scene) -> None:
    axes.imshow(scene.similarity, cmap="viridis")
    middle = (scene.similarity.max() + scene.similarity.min()) / 2.0
    for row, values in enumerate(scene.similarity):
        for column, value in enumerate(values):
            colour = INK if value > middle else "white"
            axes.text(column, row, f"{round(value, 2) + 0.0:.2f}", ha="center", va="center", fontsize=8.5, color=colour)
    axes.set_title("Mean cosine similarity by digit", fontsize=13, color=INK, loc="left", pad=8)
    axes.set_xticks(range(DIGITS))
    axes.set_yticks(range(DIGITS))
    axes.set_xlabel("spoken digit", color=INK)
    axes.set_ylabel("written digit", color=INK)
    axes.tick_params(length=0, colors=INK)
    for side in axes.spines.values():
        side.set_visible(False)


def _bars(axes: "Axes", scene: Scene) -> None:
    """A bar a search, grey without a map; the red tick is what chance would give in the same gallery."""
    for row, bar in enumerate(reversed(scene.bars)):
        axes.barh(row, bar.value, color=BAR if bar.mapped else PALE, height=0.62)
        axes.plot([bar.chance, bar.chance], [row - 0.42, row + 0.42], color=MISS, linewidth=1.8)
        axes.text(bar.value + 0.012, row, f"{bar.value:.2f}", va="center", fontsize=10.5, color=INK)
    axes.set_yticks(
        range(len(scene.bars)), [bar.name.replace("->", "→") for bar in reversed(scene.bars)], fontsize=10.5
    )
    axes.set_xlim(0.0, 1.08)
    axes.set_ylim(-0.6, len(scene.bars) - 0.4)
    axes.set_title("Mean average precision (grey: no map; red: chance)", fontsize=13, color=INK, loc="left", pad=8)
    axes.tick_params(length=0, colors=INK)
    axes.set_xticks([])
    for side in axes.spines.values():
        side.set_visible(False)
