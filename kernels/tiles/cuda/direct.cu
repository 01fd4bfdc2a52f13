// direct.cu - every pair of a tile by its canonical float64 value: keys of a search, or the values themselves.
//
// Work    a block takes TILE x TILE pairs and STEP features at a time through shared memory; eight threads are the lanes
//         of DOWN x ACROSS pairs, held in registers. A term costs (DOWN + ACROSS) / (DOWN ACROSS) reads of shared memory.
//         Halves of the pairs are exchanged when lanes are added, so that each lane ends with an eighth of the values:
//         28 shuffles where one butterfly a pair takes 96
// Shapes  x_md (m, d), y_nd (n, d) INPUT; stat_x (m,), stat_y (n,) float64 of derive.cu, for COSINE; row_bias (m,),
//         column_bias (n,) float64, or null -> out (m, stride) OUT, C order; columns behind n stay as they are
// Launch  256 threads, 512 for two totals; grid = (ceil(n / 32), ceil(m / 32)), m at most 2,097,120; 33 KB static
// Cost    2 to 4 operations in float64 a term, 1 division for CANBERRA; each input is read once for 32 rows of the other
// Sum     canonical (terms.cuh), no FMA, no flush to zero. KEY 0: the value, rounded once to OUT. KEY 1: float32, the
//         negated value rounded up: no pair with a smaller key precedes one with a larger, equal keys tell nothing. What
//         is infinite or NaN has the smallest key
#include "terms.cuh"
#ifndef INPUT
#define INPUT float
#endif
#ifndef KEY
#define KEY 1
#endif
#ifndef OUT
#define OUT float
#endif
constexpr int TILE = 32, ACROSS = 8, DOWN = 4 / TOTALS, PAIRS = DOWN * ACROSS;
constexpr int GROUPS = TILE / ACROSS;  // of lanes, side by side; the four of a warp
constexpr int THREADS = LANES * GROUPS * (TILE / DOWN);
constexpr int STEP = 64, PITCH = STEP + 1;  // rows ACROSS apart begin 8 doubles apart, modulo the 32 banks

__device__ __forceinline__ void stage(const INPUT* __restrict__ rows, int first, int count, int d, int from, int width,
                                      double* tile) {
  for (int e = threadIdx.x; e < TILE * STEP; e += THREADS) {
    const int row = e / STEP, feature = e % STEP;
    if (feature >= width) continue;
    const bool here = first + row < count && from + feature < d;
    tile[row * PITCH + feature] = here ? widen(rows[(long long)(first + row) * d + from + feature]) : 0;
  }
}

// Lanes `by` apart add up, each for its half of the pairs.
template <int half, int by> __device__ __forceinline__ void add_lanes(Lane (&total)[PAIRS][TOTALS], int& first) {
  const bool upper = threadIdx.x & by;
  if (upper) first += half;
#pragma unroll
  for (int p = 0; p < half; p++)
#pragma unroll
    for (int q = 0; q < TOTALS; q++) {
      const Lane low = total[p][q], high = total[p + half][q];
      total[p][q] = folded(upper ? high : low, __shfl_xor_sync(WARP, upper ? low : high, by));
    }
}

__device__ __forceinline__ void put(double value, double* out) { *out = value; }
__device__ __forceinline__ void put(double value, float* out) {
#if KEY
  constexpr float LOWEST = -3.402823466e38f;
  *out = fmaxf(to_float_up(METRIC == DOT ? value : -value), LOWEST);  // of NaN: the other
#else
  *out = to_float(value);
#endif
}

extern "C" __global__ void __launch_bounds__(THREADS, 512 / THREADS)
direct(const INPUT* __restrict__ x_md, const INPUT* __restrict__ y_nd, int m, int n, int d,
       const double* __restrict__ stat_x, const double* __restrict__ stat_y, const double* __restrict__ row_bias,
       const double* __restrict__ column_bias, OUT* __restrict__ out, long long stride) {
  __shared__ double x_tile[TILE * PITCH], y_tile[TILE * PITCH];
  const int lane = threadIdx.x % LANES, group = threadIdx.x / LANES;
  const int down = group / GROUPS * DOWN, across = group % GROUPS * ACROSS;
  const int top = blockIdx.y * TILE, left = blockIdx.x * TILE;
  Lane total[PAIRS][TOTALS] = {};
#pragma unroll 1
  for (int from = 0; from < d; from += STEP) {
    const int width = min(STEP, (d - from + LANES - 1) / LANES * LANES);  // features of zero leave a lane as it is
    __syncthreads();  // the last features have been read
    stage(x_md, top, m, d, from, width, x_tile);
    stage(y_nd, left, n, d, from, width, y_tile);
    __syncthreads();
#pragma unroll 1
    for (int at = lane; at < width; at += LANES) {
      double x[DOWN], y[ACROSS];
#pragma unroll
      for (int r = 0; r < DOWN; r++) x[r] = x_tile[(down + r) * PITCH + at];
#pragma unroll
      for (int c = 0; c < ACROSS; c++) y[c] = y_tile[(across + c) * PITCH + at];
#pragma unroll
      for (int p = 0; p < PAIRS; p++) add_terms(total[p], x[p / ACROSS], y[p % ACROSS]);
    }
  }
  int first = 0;  // of the pairs that this lane keeps
  add_lanes<PAIRS / 2, 1>(total, first);
  add_lanes<PAIRS / 4, 2>(total, first);
  add_lanes<PAIRS / 8, 4>(total, first);
  const int i = top + down + first / ACROSS;
#pragma unroll
  for (int p = 0; p < PAIRS / LANES; p++) {
    const int j = left + across + first % ACROSS + p;
    if (i >= m || j >= n) continue;
    double value = METRIC == COSINE ? finished(total[p], d, stat_x[i], stat_y[j]) : finished(total[p], d, 0, 0);
    if (row_bias) value = __dadd_rn(value, __dadd_rn(row_bias[i], column_bias[j]));
    put(value, out + i * stride + j);
  }
}
