"""The shared engine: every heavy operation visits the m x n tiles of X and Y once, through certified bounds.

    step        what it does                                              NumPy         Numba
    prepare     rows -> codes, norms, offsets                             encode.py     panels.py, sides.py
    scan        tiles of scores with their bounds; keep what can matter   loop.py       sweep.py on simd.py
    epilogue    what an operation keeps of a tile                         shortlist.py  select.py, gather.py, count.py
                                                                                        best.py, selfjoin.py
    rerank      canonical float64 value of the survivors                  metrics.py    canonical.py
    certify     the bound says that nothing else can enter; else wider    shortlist.py  select.py
                codes for the queries concerned, in the end canonical
                values of all of their pairs                              loop.py       exact.py
    run         blocks under `max_bytes`, progress                        plan.py       engine.py, cost.py, probe.py

Of both: metrics.py (canonical values, order, last rounding) and reference.py (the same in plain loops, for the tests);
rows.py (rows of any store), finite.py, filters.py (masks, exclusions, biases; what is reported), results.py (pairs of
`within`), prepared.py (a gallery between searches: encoded.py on NumPy, packed.py on Numba). Of exact.py: values.py
(its blocks), visit.py (its tiles and epilogues), merge.py (the k best of an owner), and the loops that fill a tile:
blocks.py (what they are given), lanes.py (canonical sums in LLVM IR), tile.py, direct.py (all metrics without pow and
log), bits.py (truth values), near.py on powers.py (values near those of minkowski and jensenshannon). Of all kernels on
Numba: jit.py (compiled once a machine), memory.py (numbers at an address), pool.py (threads), simd.py (register tiles
in LLVM IR). `pairwise` on Numba does not scan: expansion.py shares out rectangles, products.py finishes their tiles in
registers, store.py says how accurate they are; distances.py is for metrics without products; rectangle.py does the same
on NumPy. `softmax` adds such tiles to running sums: running.py on NumPy, exponential.py on Numba. `transfer` has
mapper.py, and matrices.py on both. The scan on CUDA, with a bound of its own, is the folder cuda/.

**Key.** The GEMM family is ordered by a linear key, larger is nearer: K_ij = <x_i, y_j> - o_j (- p_i), with
o = |y|^2 / 2 for L2, 0 for dot and cosine (unit rows), plus the bias. Scores are off by at most a margin of their own,
in proportion to |x_i||y_j| + |o_j| (+ |p_i|), so that one huge row widens nobody else's (Numba: its panel's alone).

**Bound.** docs/exactness.md proves it. NumPy: any order of summation, blocking and FMA gives a computed product within
D u / (1 - D u) of the sum of absolute products (Higham 2002, section 3.1); the margin is part of the GEMM itself, as
extra columns of its operands. Numba: totals of integer codes are exact (Cauchy-Schwarz), what the codes leave out of a
row is measured, and the comparison in registers rounds a score by less than 2^-20 of its parts.

**Exact without a bound.** Rows that are not finite or whose norms are far outside the others' range, and metrics
outside the GEMM family, are compared by canonical value in every pair; minkowski and jensenshannon on Numba where near
values, of a stated error, do not decide.
"""
