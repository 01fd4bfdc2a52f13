// finish.cu - mapped rows: the bias added, length 1 if wanted, and whether all is finite.
//
// Work    a warp a row, up to three passes, all but the first from a cache
// Shapes  row_nd (n, d) REAL, changed in place; bias (groups, d) REAL or null, group (n,) int32: the bias of a row
//         -> unfinite (1,) int32, set to 1 where a number is not finite before it is divided
// Launch  256 threads, grid = ceil(n / 8); no shared memory
// Cost    n d elements read, and written where they change
// Sum     lengths in float64: a lane every 32nd feature, lanes by a butterfly. float64 rows over their largest entry first,
//         so that no square overflows or vanishes
//
// A row of zeros stays; one with an entry that is not finite becomes NaN.
#include "instructions.cuh"
#ifndef REAL
#define REAL float
#endif
constexpr unsigned WARP = 0xffffffffu;

__device__ __forceinline__ void put(float* at, double value) { *at = to_float(value); }
__device__ __forceinline__ void put(double* at, double value) { *at = value; }

extern "C" __global__ void __launch_bounds__(256)
finish(REAL* row_nd, int n, int d, const REAL* __restrict__ bias, const int* __restrict__ group, int unit, int* unfinite) {
  const int lane = threadIdx.x % 32, row = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
  if (row >= n) return;  // whole warps
  REAL* mine = row_nd + (long long)row * d;
  const REAL* shift = bias ? bias + (long long)group[row] * d : nullptr;
  double largest = 0;
  bool finite = true;
  for (int c = lane; c < d; c += 32) {
    if (shift) mine[c] = plus(mine[c], shift[c]);
    const double size = fabs(widen(mine[c]));
    finite &= size < INFINITE;  // false for NaN too
    largest = fmax(largest, size);
  }
  if (!finite) atomicOr(unfinite, 1);
  if (!unit) return;
  for (int by = 1; by < 32; by <<= 1) largest = fmax(largest, __shfl_xor_sync(WARP, largest, by));
  if (sizeof(REAL) == 4 || largest == 0) largest = 1;
  double square = 0;
  for (int c = lane; c < d; c += 32) {
    const double value = __ddiv_rn(widen(mine[c]), largest);
    square = __dadd_rn(square, __dmul_rn(value, value));
  }
  for (int by = 1; by < 32; by <<= 1) square = __dadd_rn(square, __shfl_xor_sync(WARP, square, by));
  double length = __dsqrt_rn(square);
  if (length == 0) length = 1;
  if (length == INFINITE) length = __longlong_as_double(0x7ff8000000000000ll);
  for (int c = lane; c < d; c += 32) put(&mine[c], __ddiv_rn(__ddiv_rn(widen(mine[c]), largest), length));
}
