// rerank.cu - the canonical float64 value of every kept pair: what the order is decided by.
//
// Work    a block a query; eight threads a pair, the lanes of its canonical sum
// Shapes  x_md (m, d) INPUT, y_nd (n, d) GALLERY, as given; list (m, capacity) keys of filter.cu, whose places are multiples of
//         `step` modulo n; count (m,); square_x (m,), square_y (n,), exponent_x (m,), exponent_y (n,): of prepare.cu,
//         for METRIC 2; row_bias (m,), column_bias (n,) float64, or null -> value (m, capacity) float64, ascending is
//         better
// Launch  a multiple of 32 threads a block, grid = m; no shared memory
// Cost    3 d flops in float64 and 2 d elements a pair
// Sum     canonical (metrics.py), no FMA, no flush to zero. METRIC 0: (x - y)^2; 1: -(x y), larger is nearer; 2: cosine
#include "keys.cuh"
#include "lanes.cuh"
#ifndef INPUT
#define INPUT float
#endif
#ifndef GALLERY
#define GALLERY INPUT
#endif
#ifndef METRIC
#define METRIC 0
#endif

__device__ __forceinline__ double term(double x, double y) {
#if METRIC == 0
  const double gap = __dsub_rn(x, y);
  return __dmul_rn(gap, gap);
#else
  return __dmul_rn(x, y);
#endif
}

__device__ __forceinline__ double cosine_distance(double total, double square_x, double square_y) {
  double cosine = __ddiv_rn(total, __dsqrt_rn(__dmul_rn(square_x, square_y)));
  if (square_x == 0 || square_y == 0) cosine = 0;  // a zero row is at distance 1 from every row
  cosine = cosine < -1 ? -1 : cosine > 1 ? 1 : cosine;  // NaN stays
  return __dsub_rn(1, cosine);
}

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
    double total = 0;
    for (int i = lane; i < (here ? d : 0); i += LANES) {
#if METRIC == 2
      total = __dadd_rn(total, term(scaled(widen(x[i]), -exponent_x[query]), scaled(widen(y[i]), -exponent_y[j])));
#else
      total = __dadd_rn(total, term(widen(x[i]), widen(y[i])));
#endif
    }
    total = lanes_total(total);
    if (!here || lane) continue;
#if METRIC == 2
    total = cosine_distance(total, square_x[query], square_y[j]);
#endif
    if (row_bias) total = __dadd_rn(total, __dadd_rn(row_bias[query], column_bias[j]));
    value[at] = METRIC == 1 ? -total : total;
  }
}
