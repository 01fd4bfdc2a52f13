// column_sums.cu - the largest term of each column of a tile, and the sum of all relative to it.
//
// Work    a block takes `stretch` rows of 32 columns, twice: a thread every 8th row of its column, for the largest term,
//         then, from a cache, for the sum; the eight threads of a column meet in shared memory
// Shapes  score (rows, columns) float64, shift (rows,): terms scale * score_ic + shift_i
//         -> largest, total (ceil(rows / stretch), columns) float64; C order
// Launch  256 threads, grid = (ceil(columns / 32), ceil(rows / stretch)); 2 KB of shared memory
// Cost    8 bytes of memory and 8 of a cache a score, some 40 operations in float64
// Sum     float64: a thread adds its rows ascending, then the eight threads in their order
#include "exponential.cuh"
constexpr int WARPS = 8;

extern "C" __global__ void __launch_bounds__(256)
column_sums(const double* __restrict__ score, int rows, int columns, int stretch, double scale,
            const double* __restrict__ shift, double* __restrict__ largest, double* __restrict__ total) {
  __shared__ double part[WARPS][32];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, column = blockIdx.x * 32 + lane;
  const int first = blockIdx.y * stretch, last = column < columns ? min(rows, first + stretch) : 0;
  double top = -INFINITE, sum = 0;
  for (int r = first + warp; r < last; r += WARPS)
    top = fmax(top, __dadd_rn(__dmul_rn(scale, score[(long long)r * columns + column]), shift[r]));
  part[warp][lane] = top;
  __syncthreads();
  for (int w = 0; w < WARPS; w++) top = fmax(top, part[w][lane]);
  for (int r = first + warp; r < last; r += WARPS)
    sum = __dadd_rn(sum, share(__dadd_rn(__dmul_rn(scale, score[(long long)r * columns + column]), shift[r]), top));
  __syncthreads();  // all have read the largest
  part[warp][lane] = sum;
  __syncthreads();
  if (warp || column >= columns) return;
  for (int w = 1; w < WARPS; w++) sum = __dadd_rn(sum, part[w][lane]);
  const long long at = (long long)blockIdx.y * columns + column;
  largest[at] = top, total[at] = kept(sum, top);
}
