"""Which codes a search takes: what the scan costs in each, and the candidates that each leaves.

seconds of a query and a thread = n d / (PEAK rate) + n / tile slow TILE + near OFFER + candidates (VALUE + d SETTLE)
                                  + candidates FETCH where a store has the rows

near: rows that reach the threshold while it rises, RISING for each that is left in the end; slow: share of the tiles
that hold one; candidates: what is left, and the k best; where thresholds are raised, RAISE and k more each time.

Tried and left out: P features of a PCA basis and one that carries the tail (Cauchy-Schwarz) before all of them. For
sentences (2000 x 108,000 x 384) int6's own margin keeps 53 % of the tiles at P = 191 where the bound alone would keep
6 %, and the rotation takes 0.4 s of CPU where encoding takes 0.06: 2.2 s in all, against 1.6 (2-core Zen 3).
"""

from . import probe, simd

PEAK = 4.4e10  # multiply-adds a second of one core in float32: AVX2 on Zen 3
PEAKS = {"avx512vnni": 7.9e10, "avx512": 7.9e10, "avx512vnni on znver4": PEAK}  # where it is another: a Xeon with AMX
# Set so that the choice is the faster in pairs on a 2-core Zen 3, k = 10. Wall time of int7 beside int16: 0.95 at
# 2,000 x 100,000 x 768 normal rows, 1.04 at 256, 1.23 at 10,000 x 100,000 x 64; beside int6: 0.91 for 2,000 x 108,000
# sentences
VALUE, SETTLE = 3e-7, 1e-10  # seconds of a candidate, and of each of its features
VALUES = {"avx512vnni on znver4": 1e-6}  # where the first is another: 100,000 rows, d = 768, k = 100, 423 left in int8
FETCH = 1e-5  # of a row out of a file: 1.5 GB streamed for 256 queries took 2.5 s in int7, 2.0 in int8 and in int16
RAISE, RAISES = 2.5e-5, 4  # seconds of a query whose threshold is raised, also waiting for others; how often it is
TILE, OFFER, RISING = 1.5e-7, 1.5e-8, 4  # sentences in int6: 236 were left, 864 offered, in a third of the tiles
RATES = {  # of the register tiles, in units of float32, measured (int6 on AVX2: 2.63 from L1, less in a search);
    # of NEON and others what the instructions give. int8 does 4.1 with VNNI, but searches on 16 threads of that
    # Xeon took 1.2, 1.5 and 1.8 times as long as in int16 (d = 768, 256, 64; torch's product alone: 1.8 at d = 768)
    "avx512vnni": {"int8": 2.5, "int16": 2.1},
    # Wall time of int8 beside int16 on a 2-core Zen 4, k = 10: 0.69 at 2,000 x 100,000 x 768 normal rows, 0.76 at 256,
    # 0.88 at 10,000 x 100,000 x 64, 0.7 for 2,000 x 108,000 sentences; 1.25 at k = 100, d = 768
    "avx512vnni on znver4": {"int8": 3.8, "int16": 2.15},
    "avx512": {"int6": 1.97, "int7": 2.17, "int8": 0.83, "int16": 1.97},
    "avxvnni": {"int8": 2.5, "int16": 1.94},
    "avx2": {"int6": 2.5, "int7": 2.26, "int8": 1.27, "int16": 1.57},
    "neon": {"int8": 3.5, "int16": 0.8},
    "portable": {"int8": 0.5, "int16": 0.8},
}
SPREAD = {"int8": 3.2e-7, "int16": 1.6e-9}  # share of the gallery beyond the k best that white noise leaves, at d = 1;
# two points, k = 10: in int8 146 of 20,000 rows are left at d = 768 and 29 of 100,000 at d = 64, in int16 10.7 and 10.1
PROBED = 1 << 32  # multiply-adds from where on a look at the rows is lost in the search
DOUBT = 1.5  # the look saw 533 of 108,000 sentences left and 167 of 100,000 normal rows (d = 64); it was 236 and 360
RAISED = ("int6", "int7")  # codes with margins so wide that thresholds from canonical values pay (best.py)
FEW_VALUES = 1024  # rows for each of the k best: three times k values then cost 7 % of the sweep, and spare 15
MOST = {"int6": 1536, "int7": 1536, "int8": 1024}  # of them in doubt: lists have room for about twice as many


def raises(n, k):
    """Whether canonical values of k candidates, now and then, are few beside n rows swept."""
    return k * FEW_VALUES <= n


def worth_a_look(m, n, d, k, k_columns, max_bytes):
    """Whether the rows should be looked at before the codes are chosen."""
    long = m * n * d >= PROBED and probe.nbytes(d) <= max_bytes // 2
    return long and 0 < k < n and not k_columns and (_machine() in VALUES or "int6" in _rates())


def precision(n, d, k, k_columns, shares=None, stored=False):
    """The codes with the least time for queries in n rows of d features; `shares` of them left, by kind (probe.py)."""
    rates, shares, machine = _rates(), shares or {}, simd.runnable()[0]
    if k_columns:  # columns have no room for the candidates of bytes
        rates = {"int16": rates["int16"]}

    def seconds(kind):
        noise = min(1.0, SPREAD.get(kind, 1.0) * d**1.5)
        left = n * (DOUBT * shares[kind] if kind in shares else noise)
        if left > MOST.get(kind, n):
            return float("inf")
        pairs = machine.rows * machine.columns(simd.KINDS[kind])
        slow = 1 - (1 - min(1.0, RISING * left / n)) ** pairs
        work = n * d / (PEAKS.get(_machine(), PEAK) * rates[kind]) + n / pairs * slow * TILE
        raised = RAISES if kind in RAISED and raises(n, k) else 0
        value = VALUES.get(_machine(), VALUE) + d * SETTLE + FETCH * stored
        return work + RISING * left * OFFER + raised * RAISE + (k + left + raised * k) * value

    return min(rates, key=seconds)


def _machine():
    """Whose figures hold here: those of a CPU where it has some, else those of its instructions."""
    name = simd.runnable()[0].name
    of_cpu = f"{name} on {simd.processor()}"
    return of_cpu if of_cpu in RATES else name


def _rates():
    return RATES.get(_machine(), RATES["portable"])
