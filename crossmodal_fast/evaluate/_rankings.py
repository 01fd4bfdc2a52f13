"""Measures of ready rankings against judgements, as trec_eval has them: everything by sorts of flat arrays."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._arguments import one_of
from .._validate import flag
from ._chosen import chosen_measures
from ._judgements import Entries, coded, entries_of
from ._listing import Float64, Indices, Listing, grouped, settled
from ._measures import EMPTY
from ._summary import columns_of, group_labels, settle_empty, summary

TIES = ("docid", "index", "optimistic", "pessimistic", "mean", "expected")
MISSING = ("error", "skip", "neg")  # what to do about judged queries that the run leaves out
USUAL = ("map", "mrr", "ndcg@10", "recall@100", "precision@10")


def rankings(
    run: Any,
    qrels: Any,
    metrics: str | Iterable[str] | None = None,
    *,
    ties: str = "docid",
    empty: str = "error",
    missing: str = "error",
    groups: ArrayLike | None = None,
    per_query: bool = False,
) -> dict[str, Any]:
    """Measure ready rankings against judgements; the values are those of trec_eval.

    Parameters
    ----------
    run : dict {query: {document: score}}, or (queries (e,), documents (e,), scores (e,))
        Ids are all text or all whole numbers, scores higher is better. `read_run` reads TREC's files.
    qrels : dict {query: {document: grade}}, or (queries (e,), documents (e,), grades (e,))
        Documents of a grade above 0 are relevant, the grade is their gain; those of 0 are judged not relevant, below 0
        not judged. `read_qrels` reads TREC's files. Queries without judgements are not counted.
    metrics : str or sequence of str, optional
        As in `retrieval`, or by the names of trec_eval: "ndcg_cut_10,P_5,Rprec". Left out: map, mrr, ndcg@10,
        recall@100, precision@10.
    ties : {"docid", "index", "optimistic", "pessimistic", "mean", "expected"}, default "docid"
        How equal scores are ordered. "docid": trec_eval's rule, scores compared as float32, equal ones by descending
        document id; "index": in the order given; the others as in `retrieval`.
    empty : {"error", "skip", "neg", "pos"}, default "error"
        A query without relevant documents, as in `retrieval`.
    missing : {"error", "skip", "neg"}, default "error"
        A judged query that the run leaves out: raise; leave it out (trec_eval); count it as an empty list (its -c).
    groups : array_like, shape (q,), optional
        As in `retrieval`, for the queries in the order in which the qrels first name them, before any is left out.
    per_query : bool, default False
        Values of each query that is counted, with their ids as "query", instead of means.

    Returns
    -------
    dict
        queries, the number of queries counted, then each measure by the name it was asked for.

    Notes
    -----
    Cost: a dict of ids, and sorts of the entries: 2000 queries of 100 documents take a fifth of a second from dicts.

    Examples
    --------
    >>> rankings({"q": {"a": 0.9, "b": 0.8}}, {"q": {"b": 1}}, "mrr,P_1")
    {'queries': 1, 'mrr': 0.5, 'P_1': 0.0}
    """
    one_of("ties", ties, TIES)
    one_of("empty", empty, EMPTY)
    one_of("missing", missing, MISSING)
    per_query, chosen = flag("per_query", per_query), chosen_measures(USUAL if metrics is None else metrics)
    given, judged = entries_of("run", run, "scores"), entries_of("qrels", qrels, "grades")
    queries: dict[Any, int] = {}
    documents: dict[Any, int] = {}
    judged_query, judged_document = _codes(judged, queries, documents, "qrels")
    m = len(queries)
    query, document = _codes(given, queries, documents, "run")
    taken = query < m
    names = list(queries)[:m]
    seen = np.bincount(query[taken], minlength=m)[:m] > 0
    if not seen.any():
        raise ValueError("run must hold a query that the qrels judge, got none; ids must be equal, text or numbers")
    if missing == "error" and not seen.all():
        absent = np.flatnonzero(~seen)
        raise ValueError(
            f"run must hold all {m} judged queries, got none for {absent.size}, {names[absent[0]]!r} first; "
            "missing='skip' or 'neg' allows it"
        )
    listing = _listing(
        (query[taken], document[taken], given.values[taken]), (judged_query, judged_document, judged.values),
        m, list(documents), ties,
    )  # fmt: skip
    values, without = columns_of([listing], chosen)
    counted = seen if missing == "skip" else np.ones(m, dtype=np.bool_)
    values = {name: column[counted] for name, column in values.items()}
    values = settle_empty(values, without[counted], chosen, empty)
    if empty == "skip":
        counted = counted & ~without
    if per_query:
        return {"query": [name for name, kept in zip(names, counted, strict=True) if kept], **values}
    group = group_labels(groups, m)
    return {"queries": int(counted.sum()), **summary(values, chosen, None if group is None else group[counted])}


def _codes(entries: Entries, queries: dict[Any, int], documents: dict[Any, int], name: str) -> tuple[Indices, Indices]:
    query = coded(queries, entries.queries, f"queries of {name}")
    if entries.counts is not None:
        query = np.repeat(query, entries.counts)
    document = coded(documents, entries.documents, f"documents of {name}")
    if entries.counts is None and query.size:
        pair = np.sort(query * (len(documents) + 1) + document)
        again = np.flatnonzero(np.diff(pair) == 0)
        if again.size:
            q, d = divmod(int(pair[again[0]]), len(documents) + 1)
            raise ValueError(
                f"{name} must name a document once per query, got {list(documents)[d]!r} twice for {list(queries)[q]!r}"
            )
    return query, document


def _listing(
    run: tuple[Indices, Indices, Float64],
    qrels: tuple[Indices, Indices, Float64],
    m: int,
    names: list[Any],
    ties: str,
) -> Listing:
    query, document, score = run
    if ties == "docid":
        with np.errstate(over="ignore"):
            score = score.astype(np.float32).astype(np.float64)
    grade = _grades(query, document, qrels, len(names))  # NaN: not judged
    retrieved = np.bincount(query, minlength=m)
    relevant = qrels[2] > 0
    ideal = qrels[0][relevant], qrels[2][relevant]
    nonrelevant = np.bincount(qrels[0][qrels[2] == 0], minlength=m)
    start = np.cumsum(retrieved) - retrieved
    if ties in ("mean", "expected"):
        order = np.lexsort((-grade, -score, query))
        query, score, grade = query[order], score[order], grade[order]
        group = np.cumsum(_begins(query, score)) - 1
        first = np.flatnonzero(_begins(query, score))[group]
        best, size = first - start[query] + 1, np.bincount(group, minlength=1)[group]
        hits = grade > 0
        if ties == "expected":
            found = query[hits], best[hits], (best + size - 1)[hits], grade[hits]
            return grouped(*found, *ideal, retrieved, nonrelevant)
        place = np.arange(len(query)) - first  # hits lead their group: the one at this place follows as many others
        others = size - np.bincount(group, weights=hits, minlength=1)[group]
        zeros = np.bincount(group, weights=grade == 0, minlength=1)
        above = (np.cumsum(zeros) - zeros / 2)[group] - (np.cumsum(zeros) - zeros)[group[start[query]]]
        rank = best + place + others / 2
        return settled(query[hits], rank[hits], grade[hits], *ideal, retrieved, nonrelevant, above[hits])
    order = np.lexsort((_tie_breaker(query, document, score, grade, names, ties), -score, query))
    query, grade = query[order], grade[order]
    rank = np.arange(len(query)) - start[query] + 1.0
    zero = np.cumsum(grade == 0) - (grade == 0)
    running = zero - np.append(zero, 0)[start][query]
    hits = grade > 0
    above = running[hits].astype(np.float64)
    return settled(query[hits], rank[hits], grade[hits], *ideal, retrieved, nonrelevant, above)


def _begins(*columns: NDArray[Any]) -> NDArray[np.bool_]:
    """Where a run of equal entries begins."""
    return np.append(True, np.any([column[1:] != column[:-1] for column in columns], axis=0))[: len(columns[0])]


def _grades(
    query: Indices, document: Indices, qrels: tuple[Indices, Indices, Float64], width: int
) -> NDArray[np.float64]:
    """The grade of each entry, NaN where it was not judged."""
    key = qrels[0] * width + qrels[1]
    order = np.argsort(key)
    key, value = key[order], qrels[2][order]
    wanted = query * width + document
    at = np.minimum(np.searchsorted(key, wanted), len(key) - 1)
    return np.where(key[at] == wanted, value[at], np.nan) if len(key) else np.full(len(query), np.nan)


def _tie_breaker(
    query: Indices, document: Indices, score: Float64, grade: Float64, names: list[Any], ties: str
) -> Float64 | Indices:
    """What orders entries of equal score, ascending."""
    if ties == "index":
        return np.zeros(len(query))
    if ties in ("optimistic", "pessimistic"):
        worth = np.nan_to_num(grade, nan=0.0)
        return -worth if ties == "optimistic" else worth
    order = np.lexsort((score, query))
    alone = np.append(_begins(query[order], score[order]), True)
    tied = np.empty(len(query), dtype=np.bool_)
    tied[order] = ~(alone[:-1] & alone[1:])
    # Only ids in ties are compared: sorting all 200,000 ids of a run took longer than all the rest.
    codes = np.unique(document[tied])
    place = np.zeros(len(names), dtype=np.int64)
    place[sorted(codes.tolist(), key=names.__getitem__, reverse=True)] = np.arange(len(codes))
    return np.where(tied, place[document], 0)
