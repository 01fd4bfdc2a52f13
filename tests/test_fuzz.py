"""Random searches on Numba equal the law; and the search for the smallest case that fails works."""

import numpy as np
import pytest

import fuzz
import fuzz_matrices
import fuzz_searches
import simt
from cases import METRICS
from fuzz_matrices import Matrices
from fuzz_rows import DTYPES, FAMILIES
from fuzz_searches import Search

CASES = 600
PIECES, PIECE = 10, 2000  # 20,000 cases of all kernels: 53 ms each on Numba, so 18 minutes of a core


def test_random_searches():
    """On the kernels of the other tests: `python tests/fuzz.py --first 0 --last 600 --nearby --backends numba`."""
    fuzz.check(0, CASES, nearby=True)


@pytest.mark.heavy
@pytest.mark.parametrize("piece", range(PIECES))
def test_many_random_searches(piece):
    fuzz.check(piece * PIECE, (piece + 1) * PIECE)


def test_a_number_is_a_case():
    for number in (0, 3, 11):
        one, other = fuzz.case(number), fuzz.case(number)
        assert str(one) == str(other)
        assert one.x.tobytes() == other.x.tobytes()
    assert len({str(fuzz.case(number)) for number in range(20)}) == 20


def test_cases_are_of_every_kind():
    drawn = [fuzz.case(number) for number in range(600)]
    found = [case for case in drawn if isinstance(case, Search)]
    assert {case.operation for case in found} == set(fuzz_searches.OPERATIONS)
    assert {case.metric for case in found} == set(METRICS)
    assert {case.family for case in found} == {family.__name__ for family in FAMILIES}
    assert {case.x.dtype for case in found} == {np.dtype(dtype) for dtype in DTYPES}
    assert {case.how for case in found} == {"arrays", "stores", "gallery"}
    assert {case.control["precision"] for case in found} == set(fuzz_searches.PRECISIONS)
    for name in ("mask", "exclude", "bias", "room"):
        assert 80 < sum(getattr(case, name) is not None for case in found) < 400
    assert any(np.isnan(case.x.astype(float)).any() for case in found)
    assert any(len(case.x) == 0 for case in found)
    assert any(case.k == len(case.y) > 20 for case in found)
    assert any(case.x.shape[1] > 1000 for case in found)
    assert sum(not case.finite() and case.control["check_finite"] for case in found) > 5
    matrices = [case for case in drawn if isinstance(case, Matrices)]
    assert {case.operation for case in matrices} == set(fuzz_matrices.OPERATIONS)
    assert {case.metric for case in matrices} == {*METRICS, "precomputed", ""}
    for name in ("y", "which", "bias", "dtype", "room"):
        assert 3 < sum(getattr(case, name) is None for case in matrices) < len(matrices) - 3


@pytest.mark.parametrize("operation", fuzz_searches.OPERATIONS + fuzz_matrices.OPERATIONS)
def test_the_smallest_case_is_found(operation):
    """Of a fault that one row and one feature show, that row and that feature are left."""
    numbers = (number for number in range(1000) if fuzz.case(number).operation == operation)
    found = next(case for case in map(fuzz.case, numbers) if min(case.sizes()) > 9)
    found.x = np.zeros_like(found.x)
    found.x[4, 7] = 1

    def fails(case):
        return "a one" if (case.x == 1).any() else None

    least, said = fuzz.shrunk(found, fails)
    assert said == "a one"
    assert least.sizes() == (1, 1, 1)
    assert least.bias is None
    assert getattr(least, "mask", None) is getattr(least, "exclude", None) is None
    fuzz.judged(least)  # what is left is a call of its own


def test_a_case_is_a_program():
    """What is printed gives the answer of the case, to the bit, or judges it."""
    kinds = {"print(answer)": 0, ".judged()": 0}
    for number in range(100):
        found = fuzz.case(number, nearby=True).on("numpy")
        text, namespace = found.code(), {}
        (kind,) = (ending for ending in kinds if text.endswith(ending))
        kinds[kind] += 1
        if kind == ".judged()" and kinds[kind] > 6:
            continue
        exec(text, namespace)
        if kind == "print(answer)":
            one, other = (
                part if isinstance(part, tuple) else (part,) for part in (namespace["answer"], found.answer())
            )
            for part, twin in zip(one, other, strict=True):
                np.testing.assert_array_equal(part, twin)
    assert kinds["print(answer)"] > 10


def test_a_failure_is_told_with_its_number(monkeypatch):
    monkeypatch.setattr(Search, "answer", lambda *_, **__: (_ for _ in ()).throw(ZeroDivisionError("planted")))
    words = r"^case 5 \(nearby=False\) fails\n(.|\n)*import crossmodal_fast as cmf\n(.|\n)*ZeroDivisionError: planted"
    with pytest.raises(AssertionError, match=words):
        fuzz.check(5, 6)


def test_other_backends():
    fuzz.check(0, 40, nearby=True, backends=("numpy",))


def test_the_emulator(monkeypatch):
    if simt.obstacle():
        pytest.skip(simt.obstacle())
    monkeypatch.setattr(fuzz, "EMULATED", 1)
    fuzz.check(0, 6, nearby=True, backends=("cuda",))


def test_it_runs_for_some_seconds_or_to_a_number(capsys, monkeypatch):
    seen = []
    monkeypatch.setattr(fuzz, "judged", lambda found: seen.append((found.backend, found.control.get("precision"))))
    assert fuzz.main(["--first", "40", "--last", "60", "--backends", "numba,numpy"]) == 0
    assert capsys.readouterr().out == "20 cases from 40 on numba, numpy: 0 failed\n"
    assert [backend for backend, _ in seen] == ["numba", "numpy"] * 20
    assert not {"int6", "int8"} & {precision for backend, precision in seen if backend == "numpy"}
    drawn, case = [], fuzz.case
    monkeypatch.setattr(fuzz, "case", lambda number, nearby: (drawn.append(nearby), case(number, nearby))[1])
    assert fuzz.main(["--seconds", "0.5", "--backends", "numba"]) == 0
    assert drawn == sorted(drawn, reverse=True)
    assert {True, False} == set(drawn)
    monkeypatch.setattr(fuzz, "judged", lambda found: 1 / 0)
    monkeypatch.setattr(fuzz, "MOST_SHRINKS", 1)
    assert fuzz.main(["--first", "1", "--last", "2", "--backends", "numpy"]) == 1
