"""The scan on CUDA: fp16 codes, rigorous bounds, canonical float64 values.

    step      kernel        what it does
    prepare   prepare.cu    rows -> fp16 codes, exponents, norms, residuals, canonical squares, first row not finite
    scan      (cuBLAS)      s_ij = sum of code products, fp32: a tile at a time
    filter    filter.cu     keeps pairs whose upper bound reaches the threshold of their row, their column, or both
    select    tighten.cu    raises a threshold to the k-th largest lower bound, drops who no longer reaches it
    rerank    rerank.cu     canonical float64 value of every pair kept
    order     order.cu      the k first by (value, index), and whether nothing can be missing

**Units.** A row is x = 2**(e - 14) (code + rest), e as frexp gives it of the largest magnitude: codes lie within 2**14,
none of weight is subnormal. Norms and residuals count in units of 2**(e - 14), so that they fit float32 whatever e is.

**Key and bound.** Larger is nearer, per query in units of its own scale: K_ij = s_ij a_j - o_j w_i with
a_j = 2**(e_j - E) (cosine: 1 / |y_j|), o = |y|^2 / 2 for L2. The upper bound that a filter tests is
    h_ij = s_ij a_j + (o'_j w_i + (u_i n_j + v_i r_j)),   u_i = |rest_i|, v_i = |code_i|, n_j = |y_j| a_j,
    r_j = (|rest_j| + A |code_j|) a_j,   o' = -o, raised
by Cauchy-Schwarz and the accumulation bound A of the tensor cores; what fp32 loses in h itself is inside A and o'.
The lower bound is h_ij - 2 (u_i n_j + v_i r_j) - 2**-20 |o'_j w_i|.

Device code comes with -fmad=false; CuPy forces -ftz=true on what it compiles, so that conversions from and to float64
are PTX of our own (instructions.cuh). tests/simt runs these files on a CPU, tests/test_cuda_source.py compiles them.
"""
