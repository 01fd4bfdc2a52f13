// prepare.cu - rows to fp16 codes and what the bounds need to know of them.
//
// Work    eight threads a row, the lanes of its canonical sum; two passes over the row, the second finds it in a cache
// Shapes  rows_md (m, d) INPUT -> code_md (m, d) fp16, exponent (m,) int32, norm, code_norm, rest (m,) float32,
//         square (m,) float64, first_bad (1,) int32; C order
// Launch  a multiple of 32 threads a block, grid = ceil(m / (blockDim.x / 8)); no shared memory; first_bad starts at m
// Cost    m d (size of INPUT + 2) bytes of memory; 9 m d flops in float64
// Sum     square: canonical, of the row times 2**-exponent, as metrics.py takes it; norms: any order, raised by ROOM
//
// A row that is not finite has codes of zero and infinite norms, so that no bound excludes it.
#include "lanes.cuh"
#ifndef INPUT
#define INPUT float
#endif
constexpr double ROOM = 1 + 1e-5;  // above the rounding of the sums behind a norm, d up to 2**30
constexpr int CODE_BITS = 14;      // codes lie within 2**14

extern "C" __global__ void __launch_bounds__(256)
prepare(const INPUT* __restrict__ rows_md, int m, int d, float16* __restrict__ code_md, int* __restrict__ exponent,
        float* __restrict__ norm, float* __restrict__ code_norm, float* __restrict__ rest, double* __restrict__ square,
        int* first_bad) {
  const int row = (blockIdx.x * blockDim.x + threadIdx.x) / LANES, lane = threadIdx.x % LANES;
  const bool here = row < m;  // the others take part in the shuffles
  const INPUT* x = rows_md + (long long)(here ? row : 0) * d;
  const int end = here ? d : 0;

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
  const int e = finite ? binary_exponent(largest) : 0;

  double squares = 0, code_squares = 0, rest_squares = 0;
  for (int i = lane; i < end; i += LANES) {
    const double unit = scaled(widen(x[i]), -e);  // within 1
    const float16 code = to_float16(finite ? unit * (1 << CODE_BITS) : 0);
    const double held = widen(code) * (1.0 / (1 << CODE_BITS)), left = unit - held;
    code_md[(long long)row * d + i] = code;
    squares = __dadd_rn(squares, __dmul_rn(unit, unit));
    code_squares = __dadd_rn(code_squares, __dmul_rn(held, held));
    rest_squares = __dadd_rn(rest_squares, __dmul_rn(left, left));
  }
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
  if (!finite) atomicMin(first_bad, row);
}
