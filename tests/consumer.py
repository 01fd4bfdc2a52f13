"""Code of a user who has his types checked: every public name of the package, used as its documentation has it."""

from typing import Any, assert_type

import numpy as np
import numpy.typing as npt

import crossmodal_fast as cmf
from crossmodal_fast import (
    Assignment,
    BackendUnavailable,
    Control,
    CrossModalPipeline,
    Diagnosis,
    Gallery,
    LogSums,
    Matches,
    Plan,
    SearchStats,
    SegmentMatches,
    TopK,
    TransferMap,
    Within,
)

Rows = npt.NDArray[np.float32]
CONTROL: Control = {"backend": "numpy", "max_bytes": 1 << 28}


def searches(x: Rows, y: Rows) -> tuple[int, ...]:
    found = cmf.topk(x, y, k=5, metric="cosine", bias=(np.zeros(len(x)), np.zeros(len(y))), **CONTROL)
    rows, columns = cmf.topk_both(x, y, 3)
    inside = cmf.within(x, y, radius=1.0)
    ranks = cmf.ranks(x, y, positives=np.arange(len(x)), ties="mean")
    gallery = Gallery(y, metric="cosine", ids=np.arange(len(y)))
    near = gallery.topk(x, k=3)
    gallery.add(y)
    gallery.remove([0, 1])
    gallery.save("gallery.npz")
    results: list[TopK] = [rows, columns]
    assert_type(results[0], TopK)
    ranges: Within = inside
    stats: SearchStats = cmf.topk(x, y, 1, return_stats=True)[2]
    return len(found.indices), len(near[0]), len(ranks), len(ranges.indptr), int(stats.candidates.max()), len(gallery)


def streams(queries: str, gallery: str) -> tuple[TopK, int]:
    """Over files: what is found, or, written to a third file, how many rows that has."""
    written = cmf.streaming.topk(queries, gallery, 5, output="best.parquet", resume=True)
    pairs = cmf.streaming.within(queries, gallery, 0.5).indptr, cmf.streaming.ranks(queries, gallery, [0, 1])
    near = cmf.streaming.within(queries, gallery, 0.5, output="near.h5")
    placed = cmf.streaming.ranks(queries, gallery, [0, 1], output="ranks.csv")
    print(pairs, near.shape, placed.resumed)
    return cmf.streaming.topk(queries, gallery, 5), written.shape[0]


def matrices(x: Rows, y: Rows) -> float:
    distances = cmf.pairwise_distances(x, y, "euclidean", dtype=np.float64)
    scores = cmf.similarity(x, y)
    sums: LogSums = cmf.logsumexp(x, y, beta=20.0, axis="both")
    mapped = cmf.transfer(x, np.eye(x.shape[1]), normalize=True)
    return float(distances.sum() + scores.sum() + sums.rows.sum() + mapped.sum())


def transfers(a: Rows, b: Rows) -> TransferMap:
    learned = cmf.fit_transfer(a, b, method="ridge", regularization=0.1)
    assert_type(learned, TransferMap)
    return learned.inverse() if learned.report()["rank"] else learned


def matching(x: Rows, y: Rows) -> Matches:
    pairs = cmf.match(x, y, method="mutual")
    assert_type(pairs, Matches)
    one_to_one = cmf.match(x, y, method="assignment")
    if isinstance(one_to_one, Assignment):
        print(one_to_one.gap)
    plan = cmf.match(x, y, method="sinkhorn")
    if isinstance(plan, Plan):
        print(plan.f, plan.g, plan.error)
    segments: SegmentMatches = cmf.match_segments(x, y, [0, len(x)], [0, len(y)])
    bias = cmf.matching.correction(x, y, "csls")
    print(segments.rows, cmf.evaluate.retrieval(x, y, bias=bias)["mrr"])
    fused: Matches = cmf.fusion.reciprocal_rank_fusion([pairs, pairs])
    return fused


def around(x: Rows, y: Rows) -> Any:
    try:
        with cmf.use_backend("cuda"), cmf.config_context(n_threads=1) as inside:
            print(inside.max_bytes, cmf.config.max_bytes)
    except BackendUnavailable as error:
        print(error, cmf.backends()["cuda"])
    cmf.warmup()
    found: Diagnosis = cmf.diagnose(x, y)
    centred = cmf.preprocess.Center().fit(x).transform(x)
    letters = cmf.encoders.Function(lambda texts: [[float(len(text))] for text in texts], "letters, 1")
    pipeline = CrossModalPipeline(preprocess=["center", "normalize"], transfer="ridge")
    pipeline = pipeline.fit({"image": x, "text": y})
    ready = cmf.fitting.CCA(n_components=2).fit(x, y)
    with cmf.compat.patch("scipy") as names:
        print(names, found.recommendation, ready.correlations_, letters.encode(["one"]), cmf.report.write_report)
    return pipeline.run({"image": x, "text": centred})
