"""The page: what is shown, what is right, and the files of this folder filled with it."""

import base64
import hashlib
import html
import json
import os
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._arguments import array_of, brief, label_pair, numbers_of, whole
from ..files import atomic, check_output
from ..matching import Matches
from ._items import Items
from ._media import Media

ROWS = 200  # queries shown unless told otherwise
SHOWN = 10  # matches of each
TEXT_SIGNS = 2000  # of one text
SUFFIXES = (".html", ".htm")
SLOT = re.compile(r"\{\{(\w+)\}\}")

Mask = NDArray[np.bool_]


class Page(NamedTuple):
    """`html`, UTF-8, and `told`: in a sentence what it shows and what was left out."""

    html: bytes
    told: str


class Truth(NamedTuple):
    """Of each match and of each query whether it is right; None where nobody knows."""

    matches: Mask | None
    first: Mask | None


def write_report(
    path: str | os.PathLike[str],
    matches: Matches,
    queries: Items | None = None,
    gallery: Items | None = None,
    **options: Any,
) -> str:
    """Write matches as one page to look through and to listen to, whole or not at all.

    Parameters
    ----------
    path : path
        Ends in .html or .htm.
    matches : Matches
        rows, columns and scores (p,), as `match` gives.
    queries, gallery, **options
        As in `page_of`.

    Returns
    -------
    str
        What the page shows and what was left out.

    Raises
    ------
    ValueError
        As in `page_of`; a path that cannot be written.

    Examples
    --------
    >>> from crossmodal_fast import match
    >>> from crossmodal_fast.report import Items, write_report
    >>> words = Items(text=["dog", "rain"])
    >>> write_report("words.html", match([[1.0, 0], [0, 1]], [[1.0, 0], [1, 1]]), words, words)  # doctest: +SKIP
    '2 queries with their matches.'
    """
    target = check_output(path, SUFFIXES)
    page = page_of(matches, queries, gallery, **options)
    with atomic(target) as file:
        file.write(page.html)
    return page.told


def page_of(
    matches: Matches,
    queries: Items | None = None,
    gallery: Items | None = None,
    *,
    labels: Sequence[ArrayLike] | None = None,
    pairs: ArrayLike | None = None,
    rows: int = ROWS,
    shown: int = SHOWN,
    title: str = "Matches",
) -> Page:
    """One page with the matches of each query, that loads nothing from elsewhere.

    Parameters
    ----------
    matches : Matches
        rows, columns and scores (p,), in order of rows, best first, as `match` gives.
    queries, gallery : Items, optional
        What the m and n rows are; numbers alone where left out.
    labels : (array_like (m,), array_like (n,)), optional
        A match is right if its two labels are equal.
    pairs : array_like, shape (r, 2), optional
        The right pairs, row and column; not with `labels`.
    rows, shown : int, default 200 and 10
        How many queries, the first ones, and how many matches of each, the best ones, go into the page.
    title : str, default "Matches"

    Returns
    -------
    Page
        html and what it shows in words. A query is a hit if its best match is right.

    Raises
    ------
    TypeError, ValueError
        Matches of rows that the items or labels do not have; labels and pairs at once; a file that is missing, damaged,
        or outside the folder of its table.

    Notes
    -----
    Cost: thumbnails and sounds of what is shown, each once; at most 64 MiB of media, what exceeds that is named in
    place. Texts are escaped and cut at 2000 signs.

    Examples
    --------
    >>> from crossmodal_fast import match
    >>> from crossmodal_fast.report import Items, page_of
    >>> words = Items(text=["dog", "rain"])
    >>> page_of(match([[1.0, 0], [0, 1]], [[1.0, 0], [1, 1]]), words, words, pairs=[[0, 0]]).told
    '2 queries with their matches; 1 of all 2 queries hits.'
    """
    whole("rows", rows)
    whole("shown", shown)
    found = _checked(matches)
    for name, side, numbers in (("queries", queries, found.rows), ("gallery", gallery, found.columns)):
        if side is not None and not isinstance(side, Items):
            raise TypeError(f"{name} must be Items or None, got {brief(side)}")
        if side is not None and numbers.size and numbers.max() >= len(side):
            raise ValueError(
                f"{name} must have a row for each match, got {len(side)} and a match of row {numbers.max()}"
            )
    starts = np.flatnonzero(np.diff(found.rows, prepend=-1))
    truth = _truth(found, starts, labels, pairs)
    media = Media()
    cards = [
        _query(found, truth, media, queries, gallery, begin, end, shown, place)
        for place, (begin, end) in enumerate(
            zip(starts[:rows].tolist(), [*starts[1:].tolist(), len(found.rows)], strict=False)
        )
    ]
    told = _told(found, starts, truth, media, rows, shown)
    return Page(_inlined(title, told, cards, media, truth.matches is not None).encode(errors="replace"), told)


def _checked(matches: Matches) -> Matches:
    if not isinstance(matches, Matches):
        raise TypeError(f"matches must be Matches, as match gives them, got {brief(matches)}")
    rows, columns = (array_of(f"matches.{name}", getattr(matches, name)) for name in ("rows", "columns"))
    scores = numbers_of("matches.scores", matches.scores)
    for name, part in (("rows", rows), ("columns", columns)):
        if (
            part.dtype.kind not in "iu"
            or part.ndim != 1
            or part.shape != scores.shape
            or (part.size and part.min() < 0)
        ):
            raise ValueError(
                f"matches.{name} must be whole numbers from 0, one for each score, got shape {part.shape}, {part.dtype}"
            )
    if (np.diff(rows.astype(np.int64)) < 0).any():
        raise ValueError("matches.rows must ascend, as match gives them, got a smaller one after a larger one")
    return Matches(rows.astype(np.int64), columns.astype(np.int64), scores)


def _truth(found: Matches, starts: NDArray[Any], labels: Any, pairs: Any) -> Truth:
    if labels is not None and pairs is not None:
        raise ValueError("labels and pairs must not be given together, got both")
    if labels is not None:
        right = _by_labels(found, labels)
    elif pairs is not None:
        right = _by_pairs(found, pairs)
    else:
        return Truth(None, None)
    return Truth(right, right[starts])


def _by_labels(found: Matches, labels: Any) -> Mask:
    if not isinstance(labels, Sequence) or isinstance(labels, str) or len(labels) != 2:
        raise ValueError(f"labels must be two arrays, of queries and of gallery, got {brief(labels)}")
    own, other = label_pair(("labels[0]", labels[0]), ("labels[1]", labels[1]))
    for name, side, numbers in (("labels[0]", own, found.rows), ("labels[1]", other, found.columns)):
        if numbers.size and numbers.max() >= len(side):
            raise ValueError(f"{name} must have one for each row, got {len(side)} and a match of row {numbers.max()}")
    return np.asarray(own[found.rows] == other[found.columns], dtype=np.bool_)


def _by_pairs(found: Matches, pairs: Any) -> Mask:
    right = array_of("pairs", pairs)
    if right.ndim != 2 or right.shape[1] != 2 or right.dtype.kind not in "iu":
        raise ValueError(f"pairs must be whole numbers (r, 2), got shape {right.shape}, {right.dtype}")
    known = set(map(tuple, right.tolist()))
    return np.array([pair in known for pair in zip(found.rows.tolist(), found.columns.tolist(), strict=True)], np.bool_)


def _told(found: Matches, starts: NDArray[Any], truth: Truth, media: Media, rows: int, shown: int) -> str:
    total = len(starts)
    longest = int(np.diff(np.append(starts, len(found.rows))).max(initial=0))
    words = f"{min(rows, total)} queries with their matches" if total <= rows else (
        f"{rows} of {total} queries, the first ones, with their matches; {total - rows} were left out"
    )  # fmt: skip
    if longest > shown:
        words += f"; of each at most the {shown} best of up to {longest} matches"
    if media.left:
        words += f"; {media.left} pictures or sounds too large were left out"
    if truth.first is not None:
        hits = int(truth.first.sum())
        words += f"; {hits} of all {total} queries {'hits' if hits == 1 else 'hit'}"
    return f"{words}."


def _query(
    found: Matches, truth: Truth, media: Media, queries: Items | None, gallery: Items | None,
    begin: int, end: int, shown: int, place: int,
) -> str:  # fmt: skip
    """A card: the query and its best matches."""
    row, last = int(found.rows[begin]), min(end, begin + shown)
    lines = [
        _filled(
            "match.html",
            row=str(found.columns[p]),
            score=f"{found.scores[p]:.4g}",
            verdict="" if truth.matches is None else "right" if truth.matches[p] else "wrong",
            item=_item(media, "gallery", gallery, int(found.columns[p])),
        )
        for p in range(begin, last)
    ]
    verdict, told = "", ""
    if truth.matches is not None and truth.first is not None:
        ranks = np.flatnonzero(truth.matches[begin:end])
        verdict = "hit" if truth.first[place] else "miss"
        told = verdict if verdict == "hit" else f"miss, first right one at rank {ranks[0] + 1}" if ranks.size else (
            f"miss, no right one among {end - begin}"
        )  # fmt: skip
    return _filled(
        "query.html", row=str(row), score=repr(float(found.scores[begin])), verdict=verdict, told=told,
        item=_item(media, "query", queries, row), matches="".join(lines),
    )  # fmt: skip


def _item(media: Media, side: str, items: Items | None, row: int) -> str:
    """Picture, sound and text of a row, as far as it has them."""
    parts = []
    for kind in ("image", "audio"):
        value = None if items is None else items.value(kind, row)
        if items is not None and value is not None:
            made = media.add(kind, side, row, value, items.folder, items.rate)
            name = "left.html" if made.left else f"{kind}.html"
            fill = {"key": made.key, "look": "tiny" if made.tiny else "", "left": html.escape(made.left)}
            parts.append(_filled(name, side=side, row=str(row), **fill))
    text = None if items is None else items.value("text", row)
    if text is not None:
        told = str(text)
        parts.append(_filled("text.html", text=html.escape(told[:TEXT_SIGNS] + "…" * (len(told) > TEXT_SIGNS))))
    return "".join(parts)


def _inlined(title: str, told: str, cards: list[str], media: Media, judged: bool) -> str:
    """The page with style, script, data, and a policy that lets no other style or script in."""
    style, script = _file("style.css"), _file("script.js")
    return _filled(
        "page.html",
        policy=f"default-src 'none'; img-src data:; media-src data:; style-src {_hash(style)}; "
        f"script-src {_hash(script)}; base-uri 'none'; form-action 'none'",
        title=html.escape(title),
        summary=html.escape(told),
        judged="" if judged else " hidden",
        queries="".join(cards),
        media=_json(media.uris),
        style=style,
        script=script,
    )


def _json(value: Mapping[str, str]) -> str:
    """JSON that no browser takes for markup."""
    return json.dumps(value, separators=(",", ":")).translate({ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&"})


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _filled(name: str, **parts: str) -> str:
    """A template with its slots filled, in one pass: what is filled in is never taken for a slot."""
    return SLOT.sub(lambda slot: parts[slot[1]], _file(name))


@cache
def _file(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
