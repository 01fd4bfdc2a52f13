"""Measures of ready rankings against judgements, as trec_eval has them: everything by sorts of flat arrays."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._arguments import one_of
from .._validate import flag
from ._chosen import chosen_measures
from ._judgements import entries_of, looked_up, numbered, one_kind, per_entry, refuse_repeats
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
    one_kind(run=given.queries, qrels=judged.queries)
    one_kind(run=given.documents, qrels=judged.documents)
    refuse_repeats("run", given)
    refuse_repeats("qrels", judged)
    queries: dict[Any, int] = {}
    documents: dict[Any, int] = {}
    judged_query = per_entry(judged, numbered(queries, judged.queries))
    judged_document = numbered(documents, judged.documents)
    query = per_entry(given, looked_up(queries, given.queries))
    names, m, taken = list(queries), len(queries), np.flatnonzero(query >= 0)
    seen = np.bincount(query[taken], minlength=m) > 0
    if not seen.any():
        raise ValueError("run must hold a query that the qrels judge, got none; ids must be equal, text or numbers")
    if missing == "error" and not seen.all():
        absent = np.flatnonzero(~seen)
        raise ValueError(
            f"run must hold all {m} judged queries, got none for {absent.size}, {names[absent[0]]!r} first; "
            "missing='skip' or 'neg' allows it"
        )
    key = judged_query * len(documents) + judged_document
    document = looked_up(documents, given.documents)[taken]
    wanted = np.where(document >= 0, query[taken] * len(documents) + document, -1)
    listed = Listed(query[taken], given.values[taken], _grades(wanted, key, judged.values), taken, given.documents)
    listing = _listing(listed, judged_query, judged.values, m, ties)
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


class Listed(NamedTuple):
    """Entries of a run for judged queries, (e,) each."""

    query: Indices
    score: Float64
    grade: Float64  # NaN: not judged
    entry: Indices  # which of `documents`
    documents: list[Any]


def _listing(listed: Listed, judged_query: Indices, judged_grade: Float64, m: int, ties: str) -> Listing:
    query, score, grade = listed[:3]
    if ties == "docid":
        with np.errstate(over="ignore"):
            score = score.astype(np.float32).astype(np.float64)
    retrieved = np.bincount(query, minlength=m)
    relevant = judged_grade > 0
    ideal = judged_query[relevant], judged_grade[relevant]
    nonrelevant = np.bincount(judged_query[judged_grade == 0], minlength=m)
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
    order = _order(listed._replace(score=score), ties)
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


def _grades(wanted: Indices, key: Indices, grade: Float64) -> Float64:
    """The grade behind each wanted key, NaN where there is none."""
    if not len(key):
        return np.full(len(wanted), np.nan)
    order = np.argsort(key)
    at = order[np.minimum(np.searchsorted(key, wanted, sorter=order), len(key) - 1)]
    return np.where(key[at] == wanted, grade[at], np.nan)


def _order(listed: Listed, ties: str) -> Indices:
    """Entries by query and descending score; those of equal score by the rule for ties."""
    query, score, grade, entry, documents = listed
    order = np.lexsort((-score, query))
    begins = np.append(_begins(query[order], score[order]), True)
    tied = np.flatnonzero(~(begins[:-1] & begins[1:]))
    if ties == "index" or not tied.size:
        return order
    entries = order[tied]
    if ties == "docid":
        # Only ids in ties are compared: sorting all 200,000 ids of a run took longer than all the rest.
        names = [documents[at] for at in entry[entries].tolist()]
        place = {name: at for at, name in enumerate(sorted(set(names), reverse=True))}
        key: Indices | Float64 = looked_up(place, names)
    else:
        worth = np.nan_to_num(grade[entries], nan=0.0)
        key = -worth if ties == "optimistic" else worth
    order[tied] = entries[np.lexsort((key, np.cumsum(begins)[tied]))]
    return order
