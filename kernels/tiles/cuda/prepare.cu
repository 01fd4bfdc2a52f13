// prepare.cu - rows to fp16 codes and what the bounds need to know of them.
//
// Work    eight threads a row, the lanes of its canonical sum; two passes over the row, the second finds it in a cache
// Shapes  rows_md (m, d) INPUT, centre (d,) float64 or null -> code_md (m, pitch) fp16, exponent (m,) int32, norm, code_norm,
//         rest (m,) float32, square (m,) float64, first_bad, largest (1,) int32; C order. Row i has its code at i `turn` modulo m,
//         zeros behind its d numbers: cuBLAS is quick where rows of codes begin at 16 bytes
// Launch  a multiple of 32 threads a block, grid = ceil(m / (blockDim.x / 8)); no shared memory; first_bad starts at m, largest at -SAFE_BITS
// Cost    m d (size of INPUT + 2) bytes of memory; 9 m d flops in float64
// Sum     square: canonical, of the row times 2**-exponent, as metrics.py takes it; norms: any order, raised by ROOM
//
// All is of the row less `centre`, rounded once: distances of two such rows are those of the rows, but for a rounding of
// 2**-53 of each, which the bounds have room for.
// A row that is not finite has codes of zero and infinite norms, so that no bound excludes it.
#include "lanes.cuh"
#ifndef INPUT
#define INPUT float
#endif
constexpr double ROOM = 1 + 1e-5;  // above the rounding of the sums behind a norm, d up to 2**30
constexpr int CODE_BITS = 14;      // codes lie within 2**14

extern "C" __global__ void __launch_bounds__(256)
prepare(const INPUT* __restrict__ rows_md, int m, int d, const double* __restrict__ centre, unsigned turn,
        int pitch, float16* __restrict__ code_md, int* __restrict__ exponent,
        float* __restrict__ norm, float* __restrict__ code_norm, float* __restrict__ rest, double* __restrict__ square,
        int* first_bad, int* largest) {
  const int row = blockIdx.x * (blockDim.x / LANES) + threadIdx.x / LANES, lane = threadIdx.x % LANES;
  const bool here = row < m;  // the others take part in the shuffles
  const INPUT* x = rows_md + (long long)(here ? row : 0) * d;
  const int end = here ? d : 0;
  float16* codes = code_md + (long long)((unsigned long long)row * turn % (unsigned)m) * pitch;
  auto entry = [&](int i) { return centre ? __dsub_rn(widen(x[i]), centre[i]) : widen(x[i]); };

  double most = 0;
  bool given = true, finite = true;  // the row as given, and less the centre
  for (int i = lane; i < end; i += LANES) {
    const double size = fabs(entry(i));
    given &= fabs(widen(x[i])) < INFINITE;  // false for NaN too
    finite &= size < INFINITE;
    most = fmax(most, size);
  }
  for (int by = 1; by < LANES; by <<= 1) {
    most = fmax(most, __shfl_xor_sync(WARP, most, by));
    given &= __shfl_xor_sync(WARP, (int)given, by) != 0;
    finite &= __shfl_xor_sync(WARP, (int)finite, by) != 0;
  }
  const int e = finite ? binary_exponent(most) : 0;

  double squares = 0, code_squares = 0, rest_squares = 0;
  for (int i = lane; i < end; i += LANES) {
    const double unit = scaled(entry(i), -e);  // within 1
    const float16 code = to_float16(finite ? unit * (1 << CODE_BITS) : 0);
    const double held = widen(code) * (1.0 / (1 << CODE_BITS)), left = unit - held;
    codes[i] = code;
    squares = __dadd_rn(squares, __dmul_rn(unit, unit));
    code_squares = __dadd_rn(code_squares, __dmul_rn(held, held));
    rest_squares = __dadd_rn(rest_squares, __dmul_rn(left, left));
  }
  for (int i = d + lane; i < (here ? pitch : 0); i += LANES) codes[i] = to_float16(0);
  squares = lanes_total(squares);
  code_squares = lanes_total(code_squares);
  rest_squares = lanes_total(rest_squares);
  if (!here || lane) return;
  const double units = ROOM * (1 << CODE_BITS);
  exponent[row] = e;
  square[row] = squares;
  norm[row] = finite ? to_float_up(__dsqrt_rn(squares) * units) : INFINITE;
  code_norm[row] = finite ? to_float_up(__dsqrt_rn(code_squares) * units) : INFINITE;
  rest[row] = finite ? to_float_up(__dsqrt_rn(rest_squares) * units) : INFINITE;
  if (!given) atomicMin(first_bad, row);
  if (finite && most > 0) atomicMax(largest, e);
}
