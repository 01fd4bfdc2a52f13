"""The table of wrong answers: ours are right, its truth is checked by another way, and its judge can say "wrong"."""

from fractions import Fraction

import numpy as np
import pytest
import wrong_answers


@pytest.mark.parametrize("case", wrong_answers.CASES, ids=lambda case: case.make.__name__)
def test_our_answers_are_right(case):
    (row,) = wrong_answers.rows([case], wrong_answers.WAYS[:1])
    assert row["wrong"] == ""
    assert row["version"]


def test_the_truth_is_that_of_all_pairs():
    rng = np.random.default_rng(5)
    x, y = rng.integers(-3, 4, (3, 5)).astype(float), rng.integers(-3, 4, (60, 5)).astype(float)
    squares = [[sum(Fraction(int(v)) for v in (a - b) ** 2) for b in y] for a in x]
    distances, indices = wrong_answers.truth(x, y, 4)
    for row, at, square in zip(distances, indices, squares, strict=True):
        assert list(at) == sorted(range(60), key=lambda j: (square[j], j))[:4]
        np.testing.assert_array_equal(row, np.sqrt([float(square[j]) for j in at]))


@pytest.mark.parametrize(
    "square", [Fraction(2), Fraction(10**300), Fraction(1, 10**300), Fraction(2) ** 1500, Fraction(0)]
)
def test_roots_of_any_size(square):
    root = Fraction(wrong_answers._root(square))
    assert abs(root * root - square) <= square * Fraction(1, 2**50)


def test_the_judge():
    true = np.array([[0.0, 2.0]]), np.array([[4, 7]])
    assert wrong_answers.judged(true, true) == ""
    assert wrong_answers.judged((np.array([[0.0, 2.0]]), np.array([[4, 8]])), true).startswith("1 of 2 neighbours")
    assert wrong_answers.judged((np.array([[1e-9, 2.0]]), true[1]), true).startswith("1 of 2 distances")
    for wrong in (2.00001, np.inf, np.nan):
        assert wrong_answers.judged((np.array([[0.0, wrong]]), true[1]), true).startswith("1 of 2 distances")


def test_the_table_and_its_file(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(wrong_answers, "CASES", wrong_answers.CASES[4:5])
    monkeypatch.setattr(wrong_answers.rows, "__defaults__", (wrong_answers.CASES, wrong_answers.WAYS[:1]))
    assert wrong_answers.main(["--results", str(tmp_path)]) == 0
    head, _, line = capsys.readouterr().out.strip().splitlines()
    assert head.startswith("|  | crossmodal_fast ")
    assert line == "| millimetres at 50 km, float64 (scikit-learn/scikit-learn#14739) | right |"
    assert len(list(tmp_path.glob("wrong-answers-*.json"))) == 1
    lying = wrong_answers.Way("crossmodal_fast", "topk", lambda x, y, k: (np.zeros((1, k)), np.zeros((1, k), int)))
    monkeypatch.setattr(wrong_answers.rows, "__defaults__", (wrong_answers.CASES, [lying]))
    assert wrong_answers.main(["--results", str(tmp_path)]) == 1


@pytest.mark.parametrize("way", wrong_answers.WAYS[1:], ids=lambda way: f"{way.library} {way.how}")
def test_peers_are_asked_as_they_want_to_be(way):
    """Rows without a difficulty: right everywhere."""
    if wrong_answers._version(way.library) is None:
        pytest.skip(f"{way.library} is not installed")
    rng = np.random.default_rng(6)
    x, y = rng.standard_normal((30, 8)).astype(np.float32), rng.standard_normal((400, 8)).astype(np.float32)
    with np.errstate(all="ignore"):
        assert wrong_answers.judged(way.search(x, y, 5), wrong_answers.truth(x, y, 5)) == ""
