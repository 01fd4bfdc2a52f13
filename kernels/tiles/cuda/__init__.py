"""The scan on CUDA: fp16 codes, rigorous bounds, canonical float64 values.

    step      kernel        what it does
    prepare   prepare.cu    rows -> fp16 codes, exponents, norms, residuals, canonical squares, first row not finite
              bound.cu      what a pair's bound needs of its query and of its gallery row
    scan      (cuBLAS)      s_ij = sum of code products in fp32, rounded once to fp16: a tile at a time
    filter    filter.cu     keeps pairs whose upper bound reaches the threshold of their row, their column, or both
    select    tighten.cu    raises a threshold to the k-th largest lower bound, drops who no longer reaches it
    rerank    rerank.cu     canonical float64 value of every pair kept
    order     order.cu      the k first by (value, index)

**Units.** A row is x = 2**(e - 14) (code + rest), e as frexp gives it of the largest magnitude: codes lie within 2**14,
none of weight is subnormal. Norms and residuals count in units of 2**(e - 14), so that they fit float32 whatever e is.
For L2 all of it is of the rows less a centre of the gallery. A gallery's codes lie in an order in which any stretch of
them is a sample: data sorted by class or time fill no list.

**Key and bound.** Larger is nearer, per query in units of its own scale: K_ij = s_ij a_j - o_j w_i with
a_j = 2**(e_j - E) (cosine: 1 / |y_j|), o = |y|^2 / 2 for L2. The upper bound that a filter tests is
    h_ij = s_ij a_j + (o'_j w_i + (u_i n_j + v_i r_j)),   u_i = |rest_i|, v_i = |code_i|, n_j = |y_j| a_j,
    r_j = (|rest_j| + A |code_j|) a_j,   o' = -o, raised
by Cauchy-Schwarz and the accumulation bound A of the tensor cores; a score is in fp16, rounded to nearest:
s + 2**-11 |s| stands for it; what fp32 loses in h itself is inside A and o', which is -o raised by
2**-18 |o| and 2**-30. The lower bound takes all of that off again, twice (`below` of bounds.cuh).

Distances of all pairs (expansion.py, tiling.py) take float64 products: vectors.cu makes rows, distances.cu ends them.
Log-sum-exps (sums.py) read such tiles: row_sums.cu and column_sums.cu a stretch at a time, merge.cu stretch by stretch.
Transfer (mapper.py) reads every matrix once: mapping.cu for few rows of each, finish.cu for biases and lengths.

Where columns are compared (`columns.py`), keys are of one unit and whole: q_i K_ij - p_i, which bound.cu gives for rows
and bounds.cuh (`turned`) makes of the others.

**Other metrics.** Without a bound by products, direct.cu fills the tile with keys of its own: canonical values of all
pairs, negated and rounded up to float32 (`direct.py`), of rows that derive.cu makes where a metric compares others than
those given. What is done with a tile is the same. Correlation is the cosine of rows less their mean.

Device code comes with -fmad=false; CuPy forces -ftz=true on what it compiles, so that conversions from and to float64
are PTX of our own (instructions.cuh). tests/simt runs these files on a CPU, tests/test_cuda_source.py compiles them.
"""
