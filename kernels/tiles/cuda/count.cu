// count.cu - how many pairs of a score tile are surely nearer than a goal of their row; and those that may or may not be.
//
// Work    a warp a row and 256 of its scores; a lane has 8 neighbouring columns, and looks at all goals of the row
// Shapes  score (rows, stride) float16 or float, as in filter.cu; row (rows,) float4, exclude (rows,), column (columns,)
//         float4, allowed, as there; goals of row r: start[r] to start[r + 1], low, high (goals,) float32 of goal.cu
//         -> better (goals,) int32 grows; list (rows, capacity) keys, count (rows,): pairs that some goal needs to settle
// Launch  256 threads, grid = (ceil(columns / 256), ceil(rows / 64)); no shared memory
// Cost    the bytes of the scores; 12 operations a score and 2 a goal of it
// Sum     bounds.cuh. A pair is nearer where its lower bound is above `high`, undecided where its upper one reaches `low`
#include "bounds.cuh"
#include "keys.cuh"
constexpr unsigned WARP = 0xffffffffu;
constexpr int ROWS = 64, EACH = 8, COLUMNS = 32 * EACH;

__device__ __forceinline__ float float_of(float16 v) {
  float low, high;
  widen_pair(v.bits, low, high);
  return low;
}
__device__ __forceinline__ float float_of(float v) { return v; }

extern "C" __global__ void __launch_bounds__(256)
count(const SCORE* __restrict__ score, int rows, int columns, int stride, int first_column,
      const float4* __restrict__ row, const float4* __restrict__ column, const int* __restrict__ exclude,
      const unsigned char* __restrict__ allowed, long long allowed_stride, const int* __restrict__ start,
      const float* __restrict__ low, const float* __restrict__ high, int* better,
      unsigned long long* __restrict__ list, int* listed, int capacity) {
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, warps = blockDim.x / 32;
  const int left = blockIdx.x * COLUMNS + lane * EACH, stop = min(rows, (int)(blockIdx.y + 1) * ROWS);
  for (int r = blockIdx.y * ROWS + warp; r < stop; r += warps) {
    const int first = start[r], last = start[r + 1];
    if (first == last) continue;
    const float4 x = row[r];
    const int out = exclude ? exclude[r] - first_column : -1;
    float upper[EACH], lower[EACH];
#pragma unroll
    for (int t = 0; t < EACH; t++) {
      const int c = left + t;
      const bool may = c < columns && c != out && (!allowed || allowed[r * allowed_stride + c]);
      upper[t] = lower[t] = -INFINITE;
      if (may) {
        const float4 y = column[c];
        upper[t] = upper_bound(float_of(score[(long long)r * stride + c]), x, y);
        lower[t] = lower_bound(upper[t], x, y);
      }
    }
    unsigned undecided = 0;
    for (int g = first; g < last; g++) {
      const float floor = low[g], ceiling = high[g];
      int nearer = 0;
#pragma unroll
      for (int t = 0; t < EACH; t++) {
        const bool surely = lower[t] > ceiling;
        nearer += surely;
        undecided |= (unsigned)(!surely && upper[t] >= floor && upper[t] > -INFINITE) << t;
      }
      for (int by = 16; by; by >>= 1) nearer += __shfl_xor_sync(WARP, nearer, by);
      if (lane == 0 && nearer) atomicAdd(&better[g], nearer);
    }
#pragma unroll
    for (int t = 0; t < EACH; t++)
      if (undecided >> t & 1) {
        const int place = atomicAdd(&listed[r], 1);
        if (place < capacity) list[(long long)r * capacity + place] = make_key(upper[t], first_column + left + t);
      }
  }
}
