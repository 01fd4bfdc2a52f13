// vectors.cu - rows as the expansion of a distance takes them: float64, centred or scaled, with their squares.
//
// Work    eight threads a row, the lanes of its canonical sums; up to three passes over the row, all but the first find
//         it in a cache
// Shapes  rows_md (m, d) INPUT, centre (d,) float64 or null -> vector_md, exact_md (m, d) or null, square, factor (m,),
//         all float64; C order
// Launch  a multiple of 32 threads a block, grid = ceil(m / (blockDim.x / 8)); no shared memory
// Cost    m d (size of INPUT + 8) bytes of memory, 8 more a feature for exact_md; 4 m d flops in float64
// Sum     canonical
//
// FORM (forms.cuh)  vector                      square               factor
//   L2, DOT         x - centre                  of the vector        its root
//   COSINE          x 2**-e, e as frexp's       of the vector        1 / its root, 0 for a row of zeros
//   CORRELATION     of that, less its mean; 0 for a row of equal numbers: then as COSINE
// exact_md is the row as it is. A row whose square says nothing of its length (not finite, or a norm beyond
// 2**+-SAFE_BITS) has a factor of NaN, which no bound holds for.
#include "forms.cuh"
#include "lanes.cuh"
#ifndef INPUT
#define INPUT float
#endif
constexpr int SAFE_BITS = 400;

extern "C" __global__ void __launch_bounds__(256)
vectors(const INPUT* __restrict__ rows_md, int m, int d, int form, const double* __restrict__ centre,
        double* __restrict__ vector_md, double* __restrict__ exact_md, double* __restrict__ square,
        double* __restrict__ factor) {
  const int row = blockIdx.x * (blockDim.x / LANES) + threadIdx.x / LANES, lane = threadIdx.x % LANES;
  const bool here = row < m, unit = form == COSINE || form == CORRELATION;  // the others take part in the shuffles
  const long long start = (long long)(here ? row : 0) * d;
  const INPUT* x = rows_md + start;
  const int end = here ? d : 0;

  int e = 0;
  if (unit) {
    double largest = 0;
    bool finite = true;
    for (int i = lane; i < end; i += LANES) {
      const double size = fabs(widen(x[i]));
      finite &= size < INFINITE;  // false for NaN too
      largest = fmax(largest, size);
    }
    for (int by = 1; by < LANES; by <<= 1) {
      largest = fmax(largest, __shfl_xor_sync(WARP, largest, by));
      finite &= __shfl_xor_sync(WARP, (int)finite, by) != 0;
    }
    e = finite ? binary_exponent(largest) : 0;
  }
  double mean = 0;
  bool constant = form == CORRELATION;
  if (form == CORRELATION) {
    const double first = scaled(widen(x[0]), -e);
    for (int i = lane; i < end; i += LANES) {
      const double value = scaled(widen(x[i]), -e);
      mean = __dadd_rn(mean, value);
      constant &= value == first;
    }
    for (int by = 1; by < LANES; by <<= 1) constant &= __shfl_xor_sync(WARP, (int)constant, by) != 0;
    mean = __ddiv_rn(lanes_total(mean), d);
  }

  double squares = 0;
  bool zero = true;
  for (int i = lane; i < end; i += LANES) {
    const double given = widen(x[i]);
    double value = given;
    if (unit) value = scaled(value, -e);
    if (form == CORRELATION) value = constant ? 0 : __dsub_rn(value, mean);  // the mean of equal numbers is rounded
    if (centre) value = __dsub_rn(value, centre[i]);
    vector_md[start + i] = value;
    if (exact_md) exact_md[start + i] = given;
    squares = __dadd_rn(squares, __dmul_rn(value, value));
    zero &= value == 0;
  }
  squares = lanes_total(squares);
  for (int by = 1; by < LANES; by <<= 1) zero &= __shfl_xor_sync(WARP, (int)zero, by) != 0;
  if (!here || lane) return;
  const double norm = __dsqrt_rn(squares);
  const bool safe = zero || (norm < power_of_two(SAFE_BITS) && norm > power_of_two(-SAFE_BITS));
  square[row] = squares;
  factor[row] = !safe ? __longlong_as_double(0x7ff8000000000000ll) : !unit ? norm : zero ? 0 : __ddiv_rn(1, norm);
}
