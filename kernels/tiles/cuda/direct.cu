// direct.cu - every pair of a tile by its canonical float64 value: keys of a search, or the values themselves.
//
// Work    a block takes TILE x TILE pairs and STEP features at a time through shared memory; eight threads are the lanes
//         of DOWN x ACROSS pairs, held in registers. A term costs (DOWN + ACROSS) / (DOWN ACROSS) reads of shared memory.
//         Halves of the pairs are exchanged when lanes are added, so that each lane ends with an eighth of the values:
//         28 shuffles where one butterfly a pair takes 96
// Shapes  x_md (m, d), y_nd (n, d) INPUT; stat_x (m,), stat_y (n,) float64 of derive.cu, of some metrics; row_bias (m,),
//         column_bias (n,) float64, or null; nearness: parameter, relative and absolute error, ceiling of ../nearness.py
//         and slack, or null -> out (m, stride) OUT, C order; columns behind n stay as they are
// Launch  256 threads, 512 for two totals; grid = (ceil(n / 32), ceil(m / 32)), m at most 2,097,120; 33 KB static
// Cost    2 to 4 operations in float64 a term, 1 division for CANBERRA; each input is read once for 32 rows of the other
// Sum     canonical (terms.cuh), no FMA, no flush to zero. KEY 0: the value, rounded once to OUT. KEY 1: float32, the
//         negated value rounded up: no pair with a smaller key precedes one with a larger, equal keys tell nothing. What
//         is infinite or NaN has the smallest key. Of near values: no less than the negated canonical value, and no more
//         than 2^-21 of itself and slack above it, or infinite
#include "keys.cuh"
#include "terms.cuh"
#ifndef INPUT
#define INPUT float
#endif
#ifndef GALLERY
#define GALLERY INPUT
#endif
#ifndef KEY
#define KEY 1
#endif
#ifndef OUT
#define OUT float
#endif
constexpr int TILE = 32, ACROSS = 8, DOWN = NEAR ? 2 : 4 / TOTALS, PAIRS = DOWN * ACROSS;
constexpr int GROUPS = TILE / ACROSS;  // of lanes, side by side; the four of a warp
constexpr int THREADS = LANES * GROUPS * (TILE / DOWN);
constexpr int STEP = 64, PITCH = STEP + 1;  // rows ACROSS apart begin 8 doubles apart, modulo the 32 banks

// Features of rows to shared memory as float64; `row_of` gives a row, or -1 behind the last.
template <class T, class F>
__device__ __forceinline__ void stage(const T* __restrict__ rows, F row_of, int d, int from, int width, double* tile) {
  for (int e = threadIdx.x; e < TILE * STEP; e += THREADS) {
    const int feature = e % STEP, row = row_of(e / STEP);
    if (feature >= width) continue;
    const bool here = row >= 0 && from + feature < d;
    tile[e / STEP * PITCH + feature] = here ? widen(rows[(long long)row * d + from + feature]) : 0;
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
__device__ __forceinline__ void put(double value, float* out) { *out = to_float(value); }

// Infinite, which no threshold excludes and none comes from, where a near value leaves more open than keys may.
__device__ __forceinline__ float key_of(double value, double bias, const double* nearness) {
  constexpr float LOWEST = -3.402823466e38f;
  double low = value, high = value;
  if constexpr (NEAR) {
    const double held = value < nearness[3] ? value : nearness[3];
    const double room = __dmul_rn(2, __dadd_rn(__dmul_rn(nearness[1], held), nearness[2]));
    low = __dsub_rn(held, room), high = value < nearness[3] ? __dadd_rn(value, room) : INFINITE;
  }
  low = __dadd_rn(low, bias);
  const float key = fmaxf(to_float_up(METRIC == DOT ? low : -low), LOWEST);  // of NaN: the other
  if constexpr (!NEAR) return key;
  const double wide = widen(key), reach = __dsub_rn(wide, __dadd_rn(__dmul_rn(0x1p-21, fabs(wide)), nearness[4]));
  const bool bounded = key == LOWEST || reach <= -__dadd_rn(high, bias);
  return value == value && bounded ? key : INFINITE;
}

extern "C" __global__ void __launch_bounds__(THREADS, 512 / THREADS)
direct(const INPUT* __restrict__ x_md, const GALLERY* __restrict__ y_nd, int m, int n, int d, unsigned first_place,
       unsigned step, unsigned total_rows,
       const double* __restrict__ stat_x, const double* __restrict__ stat_y, const double* __restrict__ row_bias,
       const double* __restrict__ column_bias, const double* __restrict__ nearness, OUT* __restrict__ out,
       long long stride) {
  __shared__ double x_tile[TILE * PITCH], y_tile[TILE * PITCH];
  __shared__ int y_row[TILE];
  const int lane = threadIdx.x % LANES, group = threadIdx.x / LANES;
  const int down = group / GROUPS * DOWN, across = group % GROUPS * ACROSS;
  const int top = blockIdx.y * TILE, left = blockIdx.x * TILE;
  if (threadIdx.x < TILE) {
    const int j = left + threadIdx.x;
    y_row[threadIdx.x] = j < n ? (int)row_at(first_place + j, step, total_rows) : -1;
  }
  const double parameter = NEAR ? nearness[0] : 0;
  Lane total[PAIRS][TOTALS] = {};
#pragma unroll 1
  for (int from = 0; from < d; from += STEP) {
    const int width = min(STEP, (d - from + LANES - 1) / LANES * LANES);  // features of zero leave a lane as it is
    __syncthreads();  // the last features have been read
    stage(x_md, [&](int r) { return top + r < m ? top + r : -1; }, d, from, width, x_tile);
    stage(y_nd, [&](int r) { return y_row[r]; }, d, from, width, y_tile);
    __syncthreads();
#pragma unroll 1
    for (int at = lane; at < width; at += LANES) {
      double x[DOWN], y[ACROSS];
#pragma unroll
      for (int r = 0; r < DOWN; r++) x[r] = x_tile[(down + r) * PITCH + at];
#pragma unroll
      for (int c = 0; c < ACROSS; c++) y[c] = y_tile[(across + c) * PITCH + at];
#pragma unroll
      for (int p = 0; p < PAIRS; p++) add_terms(total[p], x[p / ACROSS], y[p % ACROSS], parameter);
    }
  }
  int first = 0;  // of the pairs that this lane keeps
  add_lanes<PAIRS / 2, 1>(total, first);
  add_lanes<PAIRS / 4, 2>(total, first);
  add_lanes<PAIRS / 8, 4>(total, first);
  const int i = top + down + first / ACROSS;
#pragma unroll
  for (int p = 0; p < PAIRS / LANES; p++) {
    const int place = across + first % ACROSS + p, j = y_row[place];
    if (i >= m || j < 0) continue;
    const double value = finished(total[p], d, stat_x ? stat_x[i] : 0, stat_y ? stat_y[j] : 0, parameter);
#if KEY
    const double bias = row_bias ? __dadd_rn(row_bias[i], column_bias[j]) : 0;
    out[i * stride + left + place] = key_of(value, bias, nearness);
#else
    put(value, out + i * stride + left + place);
#endif
  }
}
