"""Rankings and judgements as flat arrays of whole numbers, from dicts, flat sequences or files of TREC."""

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count, repeat
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from .._arguments import brief, numbers_of

Array = NDArray[Any]
Float64 = NDArray[np.float64]
Indices = NDArray[np.int64]


class Run(NamedTuple):
    """A ranking as (e,) entries: document `documents[e]` was given for query `queries[e]` with `scores[e]`.

    Examples
    --------
    >>> from crossmodal_fast.evaluate import rankings
    >>> rankings(Run(["q", "q"], ["a", "b"], [0.9, 0.7]), {"q": {"b": 1}}, "mrr")["mrr"]
    0.5
    """

    queries: Sequence[Any]
    documents: Sequence[Any]
    scores: Any


class Qrels(NamedTuple):
    """Judgements as (e,) entries: document `documents[e]` has `grades[e]` for query `queries[e]`.

    Examples
    --------
    >>> from crossmodal_fast.evaluate import rankings
    >>> rankings({"q": {"a": 0.9, "b": 0.7}}, Qrels(["q"], ["a"], [2]), "ndcg")["ndcg"]
    1.0
    """

    queries: Sequence[Any]
    documents: Sequence[Any]
    grades: Any


def read_run(path: str | os.PathLike[str]) -> Run:
    """A ranking in TREC's format: query, Q0, document, rank, score, name of the run, by blanks; (e,) lines.

    The rank is not read, nor is what follows the score; blank lines are skipped. Errors name the line. Cost: one pass.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     _ = Path(folder, "run").write_text("q Q0 a 1 0.9 mine")
    ...     read_run(Path(folder, "run")).documents
    ['a']
    """
    queries, documents, scores = _columns(path, (0, 2, 4), "query Q0 document rank score")
    return Run(queries, documents, scores)


def read_qrels(path: str | os.PathLike[str]) -> Qrels:
    """Judgements in TREC's format: query, 0, document, grade, by blanks; (e,) lines. Errors name the line.

    Cost: one pass.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     _ = Path(folder, "qrels").write_text("q 0 a 2")
    ...     read_qrels(Path(folder, "qrels")).grades
    array([2.])
    """
    queries, documents, grades = _columns(path, (0, 2, 3), "query 0 document grade")
    return Qrels(queries, documents, grades)


def _columns(
    path: str | os.PathLike[str], taken: tuple[int, int, int], rule: str
) -> tuple[list[str], list[str], Float64]:
    least = taken[-1] + 1
    lines = [line.split(None, least) for line in Path(path).read_text(encoding="utf-8").splitlines()]
    for number, fields in enumerate(lines, 1):
        if fields and len(fields) < least:
            raise ValueError(f"'{path}' must hold lines of {rule}, got {len(fields)} fields in line {number}")
    first, second, third = ([fields[column] for fields in lines if fields] for column in taken)
    if not first:
        raise ValueError(f"'{path}' must hold lines of {rule}, got none")
    try:
        return first, second, np.array(third, dtype=np.float64)
    except ValueError:
        told = ((number, fields[taken[2]]) for number, fields in enumerate(lines, 1) if fields)
        number, text = next((number, text) for number, text in told if not _is_number(text))
        raise ValueError(f"'{path}' must have a number as {rule.split()[-1]}, got {text!r} in line {number}") from None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


@dataclass(frozen=True)
class Entries:
    """(e,) entries with ids as they came, in lists."""

    queries: list[Any]  # of each entry, or of each query where `counts` says how many entries follow
    documents: list[Any]
    values: Float64
    counts: Indices | None


def entries_of(name: str, value: Any, what: str) -> Entries:
    """Of {query: {document: value}}, or of (queries, documents, values)."""
    if isinstance(value, Mapping):
        parts = list(value.values())
        if not all(isinstance(part, Mapping) for part in parts):
            wrong = next(part for part in parts if not isinstance(part, Mapping))
            raise TypeError(f"{name} must hold a dict of documents for each query, got {brief(wrong)}")
        counts = np.array([len(part) for part in parts], dtype=np.int64)
        documents = list(chain.from_iterable(parts))
        numbers = numbers_of(f"{what} of {name}", list(chain.from_iterable(part.values() for part in parts)))
        found = Entries(list(value), documents, numbers, counts)
    elif isinstance(value, tuple) and len(value) == 3:
        queries, documents = _ids(f"queries of {name}", value[0]), _ids(f"documents of {name}", value[1])
        numbers = numbers_of(f"{what} of {name}", value[2])
        if numbers.shape != (len(queries),) or len(documents) != len(queries):
            raise ValueError(
                f"{name} must have equally many queries, documents and {what}, "
                f"got {len(queries)}, {len(documents)} and {numbers.size}"
            )
        found = Entries(queries, documents, numbers, None)
    else:
        form = f"{{query: {{document: {what[:-1]}}}}} or a tuple (queries, documents, {what})"
        raise TypeError(f"{name} must be {form}, got {brief(value)}")
    unfit = np.isnan(found.values) if what == "scores" else ~np.isfinite(found.values)
    if unfit.any():
        at = int(unfit.argmax())
        rule = "numbers" if what == "scores" else "finite"
        raise ValueError(f"{what} of {name} must be {rule}, got {found.values[at]} for {found.documents[at]!r}")
    return found


def _ids(name: str, value: Any) -> list[Any]:
    if isinstance(value, np.ndarray):
        if value.ndim != 1:
            raise ValueError(f"{name} must have shape (e,), one for each entry, got {value.shape}")
        return cast(list[Any], value.tolist())
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise TypeError(f"{name} must be a sequence, got {brief(value)}")
    return list(value)


def one_kind(**ids: list[Any]) -> None:
    """Refuse ids that are not all text or all whole numbers, on both sides: 1 and "1" would be two things."""
    kinds = {kind for side in ids.values() for kind in set(map(type, side))}
    whole = all(issubclass(kind, int | np.integer) and kind is not bool for kind in kinds)
    if not whole and not all(issubclass(kind, str) for kind in kinds):
        told, names = ", ".join(sorted(kind.__name__ for kind in kinds)), " and ".join(ids)
        raise TypeError(f"ids of {names} must be all text or all whole numbers, got {told}")


def numbered(known: dict[Any, int], ids: list[Any]) -> Indices:
    """The number of each id, new ones for those that are not known yet."""
    fresh = [one for one in dict.fromkeys(ids) if one not in known]
    known.update(zip(fresh, count(len(known)), strict=False))
    return np.fromiter(map(known.__getitem__, ids), np.int64, len(ids))


def looked_up(known: dict[Any, int], ids: list[Any]) -> Indices:
    """The number of each id, -1 for those that are not known."""
    return np.fromiter(map(known.get, ids, repeat(-1)), np.int64, len(ids))


def per_entry(entries: Entries, query: Indices) -> Indices:
    """Numbers of queries, one for each entry."""
    return query if entries.counts is None else np.repeat(query, entries.counts)


def refuse_repeats(name: str, entries: Entries) -> None:
    """A document may come once per query; in dicts it does."""
    if entries.counts is not None:
        return
    pairs = list(zip(entries.queries, entries.documents, strict=True))
    if len(set(pairs)) < len(pairs):
        query, document = Counter(pairs).most_common(1)[0][0]
        raise ValueError(f"{name} must name a document once per query, got {document!r} again for {query!r}")
