// derive.cu - rows as a metric compares them: at one scale, about their mean, or as roots.
//
// Work    eight threads a row, the lanes of its canonical sums; two to four passes over the row, the later ones find it
//         in a cache
// Shapes  rows_md (m, d) INPUT -> made_md (m, d), stat (m,) float64; C order; said (2,) int32: the first row that is not
//         finite, the first with a negative number; both start at m
// Launch  a multiple of 32 threads a block, grid = ceil(m / (blockDim.x / 8)); no shared memory
// Cost    m d (size of INPUT + 8) bytes of memory; 6 m d operations in float64
// Sum     canonical, as metrics.py prepares rows. WAY 0 (cosine): times the power of two that brings the largest
//         magnitude into [0.5, 1), stat: its square; 1 (correlation): that less its mean, stat: its square, 0 for equal
//         numbers; 2 (hellinger): roots, stat: 0; 3 (jensenshannon): shares of the sum, stat: of share log2 share, near that,
//         infinite without a sum; 4: nothing but `said`
#include "powers.cuh"
#ifndef INPUT
#define INPUT float
#endif
#ifndef WAY
#define WAY 1
#endif
constexpr int CENTRED = 1, ROOTS = 2, SHARES = 3, GIVEN = 4;

extern "C" __global__ void __launch_bounds__(256, 4)
derive(const INPUT* __restrict__ rows_md, int m, int d, double* __restrict__ made_md, double* __restrict__ stat,
       int* said) {
  const int row = blockIdx.x * (blockDim.x / LANES) + threadIdx.x / LANES, lane = threadIdx.x % LANES;
  const bool here = row < m;  // the others take part in the shuffles
  const long long start = (long long)(here ? row : 0) * d;
  const INPUT* x = rows_md + start;
  const int end = here ? d : 0;

  double largest = 0;
  bool finite = true, negative = false;
  for (int i = lane; i < end; i += LANES) {
    const double given = widen(x[i]);
    largest = fmax(largest, fabs(given));
    finite &= fabs(given) < INFINITE;  // false for NaN too
    negative |= given < 0 && given > -INFINITE;
  }
  for (int by = 1; by < LANES; by <<= 1) {
    largest = fmax(largest, __shfl_xor_sync(WARP, largest, by));
    finite &= __shfl_xor_sync(WARP, (int)finite, by) != 0;
    negative |= __shfl_xor_sync(WARP, (int)negative, by) != 0;
  }
  if (here && lane == 0 && !finite) atomicMin(&said[0], row);
  if (here && lane == 0 && negative) atomicMin(&said[1], row);
  if constexpr (WAY == GIVEN) return;
  const int exponent = finite ? binary_exponent(largest) : 0;
  double mean = 0;
  bool equal = false;
  if constexpr (WAY == CENTRED) {
    const double one = scaled(widen(x[0]), -exponent);
    equal = true;
    for (int i = lane; i < end; i += LANES) {
      const double unit = scaled(widen(x[i]), -exponent);
      mean = __dadd_rn(mean, unit);
      equal &= unit == one;
    }
    mean = __ddiv_rn(lanes_total(mean), d);
    for (int by = 1; by < LANES; by <<= 1) equal &= __shfl_xor_sync(WARP, (int)equal, by) != 0;
  }
  double mass = 0;
  if constexpr (WAY == SHARES) {
    for (int i = lane; i < end; i += LANES) mass = __dadd_rn(mass, widen(x[i]));
    mass = lanes_total(mass);
  }
  double total = 0;
  bool some = false;
  for (int i = lane; i < end; i += LANES) {
    double made = widen(x[i]);
    if constexpr (WAY == ROOTS) made = __dsqrt_rn(made);
    if constexpr (WAY == SHARES) made = mass != 0 ? __ddiv_rn(made, mass) : 0;
    if constexpr (WAY < ROOTS) made = scaled(made, -exponent);
    if constexpr (WAY == CENTRED) made = equal ? 0 : __dsub_rn(made, mean);
    made_md[start + i] = made;
    some |= made != 0;
    if constexpr (WAY < ROOTS) total = __dadd_rn(total, __dmul_rn(made, made));
    if constexpr (WAY == SHARES) total = __dadd_rn(total, made == 0 ? 0 : __dmul_rn(made, logarithm(made)));
  }
  total = lanes_total(total);
  for (int by = 1; by < LANES; by <<= 1) some |= __shfl_xor_sync(WARP, (int)some, by) != 0;
  if (here && lane == 0) stat[row] = WAY == SHARES && !some ? INFINITE : total;
}
