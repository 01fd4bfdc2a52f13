// rerank.cu - the canonical float64 value of every kept pair: what the order is decided by.
//
// Work    a block a query; eight threads a pair, the lanes of its canonical sum
// Shapes  x_md (m, d) INPUT, y_nd (n, d) GALLERY, as given or of derive.cu; list (m, capacity) keys of filter.cu, whose
//         places are multiples of `step` modulo n; count (m,); square_x (m,), square_y (n,), exponent_x (m,), exponent_y
//         (n,): of prepare.cu, for METRIC 2; row_bias (m,), column_bias (n,) float64, or null -> value (m, capacity)
//         float64, ascending is better
// Launch  a multiple of 32 threads a block, grid = m; no shared memory
// Cost    3 d flops in float64 and 2 d elements a pair
// Sum     canonical (metrics.py, terms.cuh), no FMA, no flush to zero. METRIC 1: negated, larger is nearer
#include "keys.cuh"
#include "terms.cuh"
#ifndef INPUT
#define INPUT float
#endif
#ifndef GALLERY
#define GALLERY INPUT
#endif

extern "C" __global__ void __launch_bounds__(256, 4)
rerank(const INPUT* __restrict__ x_md, const GALLERY* __restrict__ y_nd, int d, unsigned step, unsigned total_rows,
       const unsigned long long* __restrict__ list, const int* __restrict__ count, int capacity, const double* __restrict__ square_x,
       const double* __restrict__ square_y, const int* __restrict__ exponent_x, const int* __restrict__ exponent_y,
       const double* __restrict__ row_bias, const double* __restrict__ column_bias, double* __restrict__ value) {
  const int query = blockIdx.x, lane = threadIdx.x % LANES, groups = blockDim.x / LANES;
  const int size = min(count[query], capacity);
  const INPUT* x = x_md + (long long)query * d;
  for (int base = 0; base < size; base += groups) {
    const int slot = base + (int)threadIdx.x / LANES;
    const bool here = slot < size;  // the others take part in the shuffles
    const long long at = (long long)query * capacity + slot;
    const unsigned j = here ? row_at(key_index(list[at]), step, total_rows) : 0;
    const GALLERY* y = y_nd + (long long)j * d;
    const int scale_x = exponent_x ? exponent_x[query] : 0, scale_y = exponent_y && here ? exponent_y[j] : 0;
    Lane total[TOTALS] = {};
    for (int i = lane; i < (here ? d : 0); i += LANES) {
      double one = widen(x[i]), other = widen(y[i]);
      if constexpr (METRIC == COSINE) one = scaled(one, -scale_x), other = scaled(other, -scale_y);
      add_terms(total, one, other, 0);
    }
    for (int q = 0; q < TOTALS; q++)
      for (int by = 1; by < LANES; by <<= 1) total[q] = folded(total[q], __shfl_xor_sync(WARP, total[q], by));
    if (!here || lane) continue;
    double found = METRIC == COSINE ? finished(total, d, square_x[query], square_y[j], 0) : finished(total, d, 0, 0, 0);
    if (row_bias) found = __dadd_rn(found, __dadd_rn(row_bias[query], column_bias[j]));
    value[at] = METRIC == DOT ? -found : found;
  }
}
