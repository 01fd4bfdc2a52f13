"""The shared engine: every heavy operation visits the m x n tiles of X and Y once, through certified bounds.

    prepare   rows -> float32 (or float64) codes, norms, offsets          encode.py
    scan      tiles of upper bounds, one GEMM each; keep what can matter  loop.py, an epilogue per operation
    rerank    canonical float64 value of the survivors                    metrics.py
    certify   the bound says that nothing else can enter, else topk's     shortlist.py
              queries concerned take a float64 scan, all in the end canonical values

**Key.** The GEMM family is ordered by a linear key, larger is nearer: K_ij = <x_i, y_j> - o_j (- p_i), with
o = |y|^2 / 2 for L2, 0 for dot and cosine (unit rows), plus the bias. A tile holds upper bounds h_ij >= K_ij, with
K_ij >= h_ij - 2 T_ij, and T_ij = g (|x_i||y_j| + |o_j| (+ |p_i|)) is part of the GEMM itself, as extra columns of its
operands, so that every pair has its own margin and one huge row widens nobody else's.

**Bound.** u = unit roundoff of the scan, D its inner dimension: any order of summation, blocking and FMA gives a
computed product within D u / (1 - D u) of the sum of absolute products (Higham 2002, section 3.1); rounding the rows to
codes adds 2 u, and everything done in float64, the canonical value included, less than 3 (D + 16) 2^-53. Powers of two
scale rows of like norm (`encode.CLASS_BITS`) so that nothing overflows and what underflows is far below the margin.

**Exact without a bound.** Rows that are not finite or whose squares leave the range of float64, and metrics outside the
GEMM family, are compared by canonical value in every pair.
"""
