"""The numbers that certificates rest on, beside sums of single roundings: not below what was proved, not far above."""

import math
import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from crossmodal_fast.kernels.tiles import encode, metrics, nearness
from crossmodal_fast.kernels.tiles.cuda import bounds

SIZES = [1, 2, 3, 15, 16, 17, 64, 100, 768, 4096, 4097, 1 << 20]


def power(exponent):
    return Fraction(2) ** exponent


def covers(found, proved, room=2.0**-40):
    """What was proved, but for the roundings of the number itself."""
    assert abs(Fraction(float(found)) - proved) <= proved * Fraction(room)


# ---------------------------------------------------------------------------------------------------------- float scans


@pytest.mark.parametrize(("dtype", "bits"), [("float32", 24), ("float64", 53)])
@pytest.mark.parametrize("d", SIZES)
def test_growth_of_a_product(d, dtype, bits):
    """A code row has 5 numbers behind its features, and 16 roundings are made of what enters and leaves a product."""
    steps = d + 5 + 16
    share = steps * power(-bits)
    room = 2.0**-22 if dtype == "float32" else 2.0**-40  # it is a float32: four roundings, where 16 steps are spare
    covers(encode.growth(d, dtype), share / (1 - 4 * share) + 3 * steps * power(-53), room)


# --------------------------------------------------------------------------------------------------------- tensor cores


@pytest.mark.parametrize("d", SIZES)
def test_what_tensor_cores_lose(d):
    """Instructions take 16 products and the sum so far: each is cut to 22 bits, and the whole to a float32.

    Then 32 sums are added in float32; of all that a share of itself, and 2**-20 for the bound.
    """
    lost = Fraction(0)
    for _ in range(0, d, 16):
        lost += 17 * power(-22) + power(-23)
    lost += 32 * power(-23)
    covers(bounds.accumulation(d), lost + lost * lost + power(-20))


@pytest.mark.parametrize("d", SIZES)
def test_scores_fit_float16(d):
    """Codes lie within 2**14: the smallest power of two that keeps their sum of products within 2**15."""
    largest = d * power(28)
    assert largest <= power(15 + bounds.score_bits(d))
    assert d == 1 or largest > power(14 + bounds.score_bits(d))
    assert bounds.score_bits(1) == 13


@pytest.mark.parametrize("d", SIZES)
def test_what_a_subnormal_score_loses(d):
    """Half of 2**-24, the least float16; rows that are not zero have codes of 2**13 or more."""
    covers(bounds.loss(d), Fraction(bounds.accumulation(d)) + power(bounds.score_bits(d)) * power(-25) / power(26))


# ---------------------------------------------------------------------------------------------------------- near values


def minkowski(p, **more):
    return metrics.metric("minkowski", 3, {"p": p, **more})


def jensen_shannon(**base):
    return metrics.metric("jensenshannon", 3, base)


@pytest.mark.parametrize(
    ("metric", "covered"),
    [
        (minkowski(1 / 16), True), (minkowski(np.nextafter(1 / 16, 0)), False), (minkowski(64.0), True),
        (minkowski(np.nextafter(64.0, 65)), False), (minkowski(3.0, w=np.ones(3)), False),
        (jensen_shannon(), True), (jensen_shannon(base=2), True), (jensen_shannon(base=np.nextafter(1, 2)), True),
        (jensen_shannon(base=1), False), (jensen_shannon(base=0.5), False), (jensen_shannon(base=np.inf), False),
        (jensen_shannon(w=np.ones(3)), False), (metrics.metric("cityblock", 3), False),
        (metrics.metric("canberra", 3), False),
    ],
)  # fmt: skip
def test_what_near_values_are_for(metric, covered):
    assert nearness.covers(metric) is covered


def test_the_number_that_a_loop_takes():
    assert nearness.parameter(minkowski(7.25)) == 7.25
    assert nearness.parameter(jensen_shannon()) == 1.0
    assert nearness.parameter(jensen_shannon(base=8)) == math.log(8)
    assert isinstance(nearness.parameter(minkowski(np.float32(7.25))), float)


@pytest.mark.filterwarnings("error")
def test_a_base_without_a_logarithm_is_no_fault():
    assert nearness.parameter(jensen_shannon(base=0.0)) == -np.inf


@pytest.mark.parametrize("p", [1 / 16, 0.5, 0.99, 1.5, 3.0, 7.3, 64.0])
@pytest.mark.parametrize("d", SIZES)
def test_error_of_minkowski(d, p):
    """Sums in eight lanes and 16 roundings more, twice: of the loop and of the canonical values; powers; the root."""
    relative, absolute = nearness.error(minkowski(p), d)
    roundings = 2 * (Fraction(d, 8) + 16) * power(-53)
    total = power(-39) + power(-50) + roundings + power(-40)
    covers(relative, 2 * max(Fraction(1), 1 / Fraction(p)) * total + power(-39))
    lost = max(math.log2(d) - 1020 + 41, -1074)  # what underflow takes of a sum, times 2**40, and a bit
    assert math.log2(absolute) == pytest.approx(max(lost / p, -1000), rel=1e-12)


@pytest.mark.parametrize("base", [None, 1.5, 2, 10])
@pytest.mark.parametrize("d", SIZES)
def test_error_of_jensen_shannon(d, base):
    metric = jensen_shannon() if base is None else jensen_shannon(base=base)
    relative, absolute = nearness.error(metric, d)
    assert relative == 2.0**-50
    under = (d / 8 + 16) * 2.0**-53 * (4 * math.log(d) + 8) + 2.0**-45
    proved = math.sqrt(under / (1.0 if base is None else math.log(base)))
    assert proved * (1 + 2.0**-21) < absolute < proved * (1 + 2.0**-19)


def test_error_speaks_for_a_million_features():
    for metric in (minkowski(3.0), jensen_shannon()):
        assert nearness.error(metric) == nearness.error(metric, 1 << 20)


@pytest.mark.parametrize("p", [1 / 16, 0.5, 1.5, 3.0, 64.0])
def test_from_where_on_a_sum_of_powers_may_overflow(p):
    ceiling = nearness.ceiling(minkowski(p))
    assert ceiling < np.inf
    exponent = 1023 if p < 1 else 1023 / p
    assert 2.0**exponent * (1 - 2.0**-29) < ceiling < 2.0**exponent * (1 - 2.0**-31)


def test_the_ceiling_is_that_of_cuda():
    text = (Path(bounds.__file__).parent / "terms.cuh").read_text(encoding="utf-8")
    assert float.fromhex(re.search(r"double CEILING = (\w+);", text)[1]) == nearness.CEILING


def test_a_divergence_has_no_ceiling():
    assert nearness.ceiling(jensen_shannon()) == np.inf


@pytest.mark.parametrize(
    ("p", "found"), [(3.0, 3.0), (2.5, 2.5), (0.5, 0.5), (7.3, 0.0), (2.25, 0.0), (8.5, 8.5), (9.0, 0.0), (64.0, 0.0)]
)
def test_powers_by_products(p, found):
    assert nearness.products(minkowski(p)) == found


def test_a_divergence_has_no_power():
    assert nearness.products(jensen_shannon()) == 0.0


def test_entropies():
    metric = jensen_shannon()
    rows = metric.rows(np.array([[1.0, 1.0, 2.0], [0.0, 0.0, 0.0], [0.0, 5.0, 0.0]]))
    found = nearness.entropies(metric, rows)
    assert found.tolist() == [-1.5, np.inf, 0.0]
