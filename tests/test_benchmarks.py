"""The benchmark's own judgement: answers are checked, and can be found wrong; rows become a table. Nothing is timed."""

import json
import re
import socket
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
sys.path.append(str(BENCHMARKS))

import answers  # noqa: E402
import contenders  # noqa: E402
import report  # noqa: E402
import rows  # noqa: E402

SMALL = {"m": 12, "n": 40, "d": 9}  # of every case
SHRUNK = [replace(case, **SMALL, k=case.k and 3, maps=case.maps and 4) for case in contenders.CASES]
CASES = {f"{case.operation}, {case.data}, {case.maps}": case for case in SHRUNK}
MEASURED = {
    "ms",
    "ms_best",
    "ms_worst",
    "spread",
    "gflops",
    "ours_ms",
    "ratio",
    "rounds",
    "error",
    "wrong",
    "candidates",
}
GOOD_ENOUGH = 1e-3  # of a peer in float32 on near duplicates; a wrong formula is off by far more


def answer_of(case, prepare, **keywords):
    return prepare(*contenders.arguments(case), **keywords)()


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_our_answers_keep_the_promise(case):
    answer = answer_of(case, contenders.OUR_CALLS[case.operation], backend="auto")
    answers.must_keep_promise(case, answer)
    assert answers.quality(case, answer)["wrong"] in (0, None)


PEERS = contenders.PEERS
CONTESTS = {f"{name}, {peer}": (case, peer) for name, case in CASES.items() for peer in PEERS[case.operation]}


@pytest.mark.parametrize(("case", "peer"), CONTESTS.values(), ids=CONTESTS)
def test_peers_compute_the_same(case, peer):
    try:
        answer = answer_of(case, PEERS[case.operation][peer])
    except (ImportError, contenders.NotTimed) as reason:
        pytest.skip(str(reason))
    found = answers.quality(case, answer)
    if case.data == "normal" and found["error"] is not None:
        assert found["error"] < GOOD_ENOUGH
        assert not found["wrong"]


def swapped(part):
    distances, indices = part
    return distances, indices[:, ::-1]


def farther(part):
    distances, indices = part
    return distances * np.float32(1.01), indices


@pytest.mark.parametrize("operation", ["topk", "Gallery.topk", "topk_both"])
@pytest.mark.parametrize(
    ("spoil", "wrong", "error", "message"),
    [(swapped, 24, 1e-7, "index at"), (farther, 0, 0.0101, "distance at")],
)
def test_wrong_neighbours_are_seen(operation, spoil, wrong, error, message):
    case = CASES[f"{operation}, normal, None"]
    answer = answer_of(case, contenders.OUR_CALLS[operation], backend="auto")
    if operation == "topk_both":  # the second side alone is spoiled: 16 of its 40 rows are in the sample
        spoiled, wrong = (answer[0], spoil(answer[1])), wrong * 16 // 12
    else:
        spoiled = spoil(answer)
    found = answers.quality(case, spoiled)
    assert found["wrong"] == wrong
    assert found["error"] <= error
    with pytest.raises(AssertionError, match=message):
        answers.must_keep_promise(case, spoiled)


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith(("pairwise", "transfer"))])
def test_a_wrong_entry_is_seen(name):
    case = CASES[name]
    answer = answer_of(case, contenders.OUR_CALLS[case.operation], backend="auto").copy()
    before = answers.quality(case, answer)["error"]
    answer[3] *= np.float32(1.001)
    assert before < 1e-6
    assert answers.quality(case, answer)["error"] == pytest.approx(1e-3, rel=0.01)
    with pytest.raises(AssertionError, match="the law says"):
        answers.must_keep_promise(case, answer)


def row(contender, **columns):
    case = CASES["topk, normal, None"]
    backend = "numpy" if contender == contenders.OURS else None
    timed = {"ms": 12.5, "ratio": 1.0, "error": 3.2e-8, "wrong": 0, "others": 0.014, "rounds": 7, **columns}
    return rows.described(case, contender, backend, "call") | (columns if "skipped" in columns else timed)


def test_the_table_shows_losses_wrong_neighbours_and_who_is_missing():
    text = report.report(
        [
            row("FAISS", ratio=0.643, wrong=3),
            row(contenders.OURS),
            row("SciPy", ratio=47.11, error=None, wrong=None),
            row("torch cdist", skipped="No module named 'torch'"),
        ]
    )
    assert [line for line in text.splitlines() if line.startswith("|")] == [
        "|  | crossmodal_fast numpy | FAISS | SciPy |",
        "|---|---:|---:|---:|",
        "| `topk` 12 x 40 x 9, k = 3 | 12 ms (3e-08) | **0.64x** (3e-08, 3 wrong) | 47x |",
    ]
    assert "medians of 7 to 7 rounds; other processes took up to 1% of the cores" in text
    assert "- torch cdist: No module named 'torch'" in text.splitlines()


def test_a_later_row_takes_the_place_of_an_earlier_one(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row("FAISS", ratio=ratio)) + "\n" for ratio in (1.0, 2.0)))
    assert [found["ratio"] for found in rows.read([path])] == [2.0]


def test_the_table_goes_between_the_markers():
    text = f"above\n{report.START}\nold\n{report.END}\nbelow\n"
    assert report.inserted(text, "new\n") == f"above\n{report.START}\nnew\n{report.END}\nbelow\n"
    with pytest.raises(SystemExit, match=r"README.md must have the lines .*; nothing was written"):
        report.inserted("above\nbelow\n", "new\n")


def test_recorded_rows_are_complete_and_say_nothing_about_the_machine_but_its_kind():
    paths = sorted(rows.FOLDER.glob("*.jsonl"))
    known = set(rows.described(CASES["topk, normal, None"], "FAISS", None, "call"))
    for found in rows.read(paths):
        measured = (
            {"skipped"} if "skipped" in found else {"ms", "ms_best", "ms_worst", "spread", "ratio", "error", "wrong"}
        )
        assert known | measured <= found.keys()
        if found["contender"] == contenders.OURS and "skipped" not in found:
            assert found["wrong"] in (0, None)
    text = "".join(path.read_text(encoding="utf-8") for path in paths)
    assert socket.gethostname() not in text
    assert not re.search(r"(?<![\w.])/\w", text)
