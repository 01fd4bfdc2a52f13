// bound.cu - what prepare.cu measured of rows -> the numbers that filter.cu and tighten.cu bound keys with.
//
// Work    a thread a row
// Shapes  exponent, norm, code_norm, rest, square (count,) of prepare.cu; bias (count,) float64, allowed (count,) bytes,
//         or null -> made (count,) float4. SIDE 0, queries: (|rest|, |code|, w, q), and slack, threshold (count,)
//         float32, size, lost (count,) int32, ready for a search; SIDE 1, gallery: (a, n, r, raised offset). Place p is
//         for row p `step` modulo count. TURNED 1, where columns are owners as well (`columns.py`): SIDE 0 makes q and
//         row_offset (count,) float32, and not what a search begins with
// Launch  any block, grid = ceil(count / blockDim.x); no shared memory
// Cost    60 bytes a row
// Sum     float64, rounded to float32 away from the pair; key and bound: __init__.py of this folder
//
// FORM 0: l2, 1: dot, 2: cosine. `largest` is the exponent of the gallery's largest row, the unit of keys; thresholds of
// a search among other rows, whose largest was `before`, are floors here too. `loss` is what a product's sum may lose of
// |code||code|, `score_unit` the products of codes that one unit of a score is worth. A row beyond what float32
// can bound (not finite, or of a scale far from the others') is kept everywhere: a query by its threshold, a gallery row
// by its offset. Where that fills a list, the query is searched again without bounds. w is above 0, so that an infinite
// offset gives no NaN. A query of zeros has no scale of its own: it takes the gallery's, `unit`.
//
// A bias may take away most of |y|^2 / 2 in an offset, and then hides what both have lost to roundings: that share of
// their sizes is in r, which is multiplied by w or more.
//
// Where columns are compared, keys count in units of the largest row of both sides, `common` is the exponent of the
// largest query: K_ij q_i - p_i, q = 2**(e_i - common) (cosine: 1 / |x_i|), p = |x_i|^2 / 2 for L2, and a bias. A query
// that these units cannot hold has an infinite offset, so that no column excludes it. Nothing of a pair is left out of
// these keys: what canonical values lose is in the raise of both offsets, or in A, and columns need no slack. A bias on
// L2 would hide what p lost: it is not for TURNED.
#include "lanes.cuh"
#ifndef FORM
#define FORM 0
#endif
#ifndef SIDE
#define SIDE 0
#endif
#ifndef TURNED
#define TURNED 0
#endif
constexpr int CODE_BITS = 14, SAFE_BITS = 400, SCALES = 60;  // bits between a row and the gallery's largest
constexpr double RAISED = 0x1p-18;        // above the roundings of an offset and of w
constexpr double LEAST_RAISE = 0x1p-30;   // in units of codes: a subnormal score may be flushed to zero
constexpr double ROOM = 1 + 1e-6;         // above a rounding to float32
constexpr double BIAS = FORM == 0 ? 0.5 : FORM == 1 ? -1 : 1;  // what one unit of bias is worth in units of the key

__device__ __forceinline__ int within(int v, int low, int high) { return v < low ? low : v > high ? high : v; }

extern "C" __global__ void __launch_bounds__(256)
bound(int count, const int* __restrict__ largest, const int* __restrict__ before, double loss, double score_unit, int d,
      const int* __restrict__ exponent, const float* __restrict__ norm, const float* __restrict__ code_norm, const float* __restrict__ rest,
      const double* __restrict__ square, const double* __restrict__ bias, const unsigned char* __restrict__ allowed,
      unsigned step, float4* __restrict__ made, float* __restrict__ slack, float* __restrict__ threshold,
      int* __restrict__ size, int* __restrict__ lost
#if TURNED
      , const int* __restrict__ common, float* __restrict__ row_offset
#endif
) {
  const int p = blockIdx.x * blockDim.x + threadIdx.x;
  if (p >= count) return;
  const int i = (int)((unsigned long long)p * step % (unsigned)count);
  const int unit = *largest, e = SIDE == 0 && square[i] == 0 ? unit : exponent[i], shift = unit - e;
  const double length = widen(norm[i]);
  bool safe = length < INFINITE;
  if (FORM != 2) safe = safe && ((SIDE && length == 0) || (abs(e) <= SAFE_BITS && abs(shift) <= SCALES));
  const double root = __dsqrt_rn(square[i]) * (1 << CODE_BITS);  // cosine: the row's length in units of codes
  const double bias_unit = FORM == 2 ? 1 : power_of_two(within(2 * (CODE_BITS - unit), -1000, 1000));
  if constexpr (SIDE == 0) {
    const double weight = FORM != 2 ? power_of_two(within(shift, -SCALES, SCALES)) : root > 0 ? root : 1;
    const double code = widen(code_norm[i]) * ROOM;
    made[p] = safe ? float4{to_float_up(widen(rest[i]) * ROOM), to_float_up(FORM == 0 && bias ? fmax(code, weight) : code),
                            to_float_up(weight), 1}
                   : float4{0, 0, 1, 1};
#if TURNED
    const int across = FORM == 2 ? 0 : unit - *common;  // from units of the gallery to those of both sides
    if (FORM != 2) safe = safe && abs(e - *common) <= SCALES && abs(across) <= SCALES;
    const double q = FORM == 2 ? 1 / weight : power_of_two(within(e - *common, -SCALES, SCALES));
    const double units = power_of_two(within(-across, -SCALES, SCALES) + 2 * CODE_BITS - 1);
    double offset = FORM == 0 ? square[i] * q * q * units : 0;
    if (bias) offset += BIAS * bias[i] * bias_unit * (FORM == 2 ? 1 : weight * q);
    safe = safe && fabs(offset) < power_of_two(2 * SCALES);
    if (safe) made[p].w = to_float(q);
    row_offset[p] = safe ? to_float_up(RAISED * fabs(offset) + LEAST_RAISE * weight * q - offset) : INFINITE;
#else
    double apart = FORM == 0 ? square[i] * power_of_two(within(-shift, -SCALES, SCALES) + 2 * CODE_BITS) : weight;
    apart *= 4 * (d + 16) * 0x1p-53;
    if (bias) apart += 0x1p-48 * fabs(BIAS * bias[i]) * bias_unit * weight;
    slack[p] = safe ? to_float_up(apart * ROOM) : INFINITE;
    constexpr float LOWEST = -3.402823466e38f;
    float reach = LOWEST;
    if (before && safe && threshold[p] > LOWEST) {
      const int moved = (*before - unit) * (square[i] == 0 ? 2 : 1);
      const double units = FORM == 2 ? 1 : power_of_two(within(moved, -1000, 1000));
      reach = -to_float_up(-widen(threshold[p]) * units);
    }
    threshold[p] = reach > LOWEST ? reach : LOWEST;
    size[p] = 0, lost[p] = 0;
#endif
  } else {
    const double scale = FORM != 2 ? power_of_two(within(-shift, -SCALES, 0)) : root > 0 ? 1 / root : 0;
    double offset = FORM == 0 ? square[i] * scale * scale * power_of_two(2 * CODE_BITS - 1) : 0;
    double lose = (widen(rest[i]) + loss * widen(code_norm[i])) * scale * ROOM;
    if (bias) {
      if (FORM == 0) lose += 4 * (d + 16) * 0x1p-53 * (offset + fabs(BIAS * bias[i]) * bias_unit);
      offset += BIAS * bias[i] * bias_unit;
      safe = safe && fabs(offset) < power_of_two(SCALES);
    }
    made[p] = safe ? float4{to_float_up(scale * score_unit), to_float_up(length * scale * ROOM), to_float_up(lose),
                            to_float_up(RAISED * fabs(offset) + LEAST_RAISE - offset)}
                   : float4{0, 0, 0, INFINITE};
    if (allowed && !allowed[i]) made[p] = float4{0, 0, 0, -INFINITE};
  }
}
