// column_sums.cu - the largest term of each column of a tile, and the sum of all relative to it.
//
// Work    a block takes `stretch` rows of 32 columns, a thread every 8th row of its column, up to HELD terms, which stay in
//         registers; the eight threads of a column meet in shared memory
// Shapes  score (rows, columns) float64, shift (rows,): terms scale * score_ic + shift_i
//         -> largest, total (ceil(rows / stretch), columns) float64; C order
// Launch  256 threads, grid = (ceil(columns / 32), ceil(rows / stretch)); stretch <= 128; 2 KB of shared memory
// Cost    8 bytes and some 40 operations in float64 a score
// Sum     float64: a thread adds its rows ascending, then the eight threads in their order
#include "exponential.cuh"
constexpr int WARPS = 8, HELD = 16;

extern "C" __global__ void __launch_bounds__(256)
column_sums(const double* __restrict__ score, int rows, int columns, int stretch, double scale,
            const double* __restrict__ shift, double* __restrict__ largest, double* __restrict__ total) {
  __shared__ double part[WARPS][32];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, column = blockIdx.x * 32 + lane;
  const int first = blockIdx.y * stretch, last = column < columns ? min(rows, first + stretch) : 0;
  double term[HELD], top = -INFINITE, sum = 0;
  for (int i = 0; i < HELD; i++) {
    const int r = first + warp + WARPS * i;
    term[i] = r < last ? __dadd_rn(__dmul_rn(scale, score[(long long)r * columns + column]), shift[r]) : -INFINITE;
    top = fmax(top, term[i]);
  }
  part[warp][lane] = top;
  __syncthreads();
  for (int w = 0; w < WARPS; w++) top = fmax(top, part[w][lane]);
  for (int i = 0; i < HELD; i++) sum = __dadd_rn(sum, share(term[i], top));
  __syncthreads();  // all have read the largest
  part[warp][lane] = sum;
  __syncthreads();
  if (warp || column >= columns) return;
  for (int w = 1; w < WARPS; w++) sum = __dadd_rn(sum, part[w][lane]);
  const long long at = (long long)blockIdx.y * columns + column;
  largest[at] = top, total[at] = kept(sum, top);
}
