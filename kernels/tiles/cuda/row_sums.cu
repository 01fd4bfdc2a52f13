// row_sums.cu - the largest term of each row of a tile, and the sum of all relative to it.
//
// Work    a warp takes `stretch` columns of a row, a lane up to HELD terms of them, which stay in registers
// Shapes  score (rows, columns) float64, shift (columns,): terms scale * score_ic + shift_c
//         -> largest, total (ceil(columns / stretch), rows) float64; C order
// Launch  256 threads, grid = (ceil(columns / stretch), ceil(rows / 8)); stretch <= 512; no shared memory
// Cost    8 bytes and some 40 operations in float64 a score
// Sum     float64: a lane adds every 32nd column, ascending; lanes by a butterfly
#include "exponential.cuh"
constexpr unsigned WARP = 0xffffffffu;
constexpr int HELD = 16;

extern "C" __global__ void __launch_bounds__(256)
row_sums(const double* __restrict__ score, int rows, int columns, int stretch, double scale,
         const double* __restrict__ shift, double* __restrict__ largest, double* __restrict__ total) {
  const int lane = threadIdx.x % 32, row = blockIdx.y * (blockDim.x / 32) + threadIdx.x / 32;
  if (row >= rows) return;  // whole warps
  const int first = blockIdx.x * stretch, last = min(columns, first + stretch);
  const double* mine = score + (long long)row * columns;
  double term[HELD], top = -INFINITE, sum = 0;
  for (int i = 0; i < HELD; i++) {
    const int c = first + lane + 32 * i;
    term[i] = c < last ? __dadd_rn(__dmul_rn(scale, mine[c]), shift[c]) : -INFINITE;
    top = fmax(top, term[i]);
  }
  for (int by = 1; by < 32; by <<= 1) top = fmax(top, __shfl_xor_sync(WARP, top, by));
  for (int i = 0; i < HELD; i++) sum = __dadd_rn(sum, share(term[i], top));
  for (int by = 1; by < 32; by <<= 1) sum = __dadd_rn(sum, __shfl_xor_sync(WARP, sum, by));
  if (lane) return;
  const long long at = (long long)blockIdx.x * rows + row;
  largest[at] = top, total[at] = kept(sum, top);
}
