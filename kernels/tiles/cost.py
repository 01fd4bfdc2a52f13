"""Which codes a search takes: what the scan costs in each, and the candidates that each leaves.

seconds = m n d / (threads PEAK rate) + m candidates d SETTLE,     candidates = k + spread (n, d)
"""

from . import simd

PEAK = 2.4e10  # multiply-adds a second of one core in float32: AVX2 at 3 GHz, half of its limit
SETTLE = 2e-10  # seconds a feature of a candidate: 0.15 us at d = 768 (2-core Zen, from memory 0.5)
RATES = {  # of the register tiles, in units of float32; measured on AVX2, elsewhere what the instructions give
    "avx512vnni": {"int8": 3.5, "int16": 1.9},
    "avx512": {"int8": 1.2, "int16": 1.5},
    "avxvnni": {"int8": 3.5, "int16": 1.9},
    "avx2": {"int8": 1.23, "int16": 1.49},
    "neon": {"int8": 3.5, "int16": 0.8},
    "portable": {"int8": 0.5, "int16": 0.8},
}
SPREAD = {"int8": 3.2e-7, "int16": 1.6e-9}  # share of the gallery beyond the k best that white noise leaves, at d = 1;
# two points, k = 10: in int8 146 of 20,000 rows are left at d = 768 and 29 of 100,000 at d = 64, in int16 10.7 and 10.1


def precision(m, n, d, k, k_columns, form):
    """The codes with the least time for m queries in n rows of d features."""
    rates = RATES.get(simd.runnable()[0].name, RATES["portable"])
    if k_columns:  # columns have no room for the candidates of bytes
        rates = {"int16": rates["int16"]}

    def seconds(kind):
        candidates = k + min(n, SPREAD[kind] * n * d**1.5)
        return m * n * d / (PEAK * rates[kind]) + m * candidates * d * SETTLE

    return min(rates, key=seconds)
