// bounds.cuh - the interval of a pair's key, as __init__.py of this folder defines it.
//
// SCORE: what holds the scores of a tile. float16: products of codes, each rounded once more; float: upper bounds as
// they are, of pairs whose column has a = 1 and nothing else.
#pragma once
#include "instructions.cuh"
#ifndef SCORE
#define SCORE float16
#endif

constexpr float LOWEST = -3.402823466e38f;  // a threshold that excludes nothing but -inf
constexpr float SLOP = 0x1p-20f;            // above the roundings of a bound
constexpr float RAISED_TWICE = 0x1p-17f, LEAST_TWICE = 0x1p-29f;      // what bound.cu adds to an offset, and as much below
constexpr float ROUNDED = sizeof(SCORE) == 2 ? 0x1.004p-11f : 0;      // of a score
constexpr float TWICE_ROUNDED = sizeof(SCORE) == 2 ? 0x1.01p-10f : 0;  // of what a score and its rounding add up to

// x: of a row (|rest|, |code|, w, q), w > 0; y: of a column (a, n, r, raised offset)
__device__ __forceinline__ float margin_of(const float4& x, const float4& y) {
  return __fmaf_rn(x.x, y.y, __fmul_rn(x.y, y.z));
}
__device__ __forceinline__ float raised(float score) {  // above what it stands for; a key may be infinite
  return ROUNDED ? __fmaf_rn(fabsf(score), ROUNDED, score) : score;
}
__device__ __forceinline__ float upper_bound(float score, const float4& x, const float4& y) {
  return __fmaf_rn(raised(score), y.x, __fmaf_rn(y.w, x.z, margin_of(x, y)));
}
// Where columns are compared all rows need one unit (q) and their own offset.
__device__ __forceinline__ float turned(float upper, const float4& x, float row_offset) {
  return __fmaf_rn(upper, x.w, row_offset);
}
__device__ __forceinline__ float below(float upper, const float4& x, const float4& y) {  // how far a key may be
  const float margin = margin_of(x, y), offset = __fmul_rn(y.w, x.z);
  return 2.000001f * margin + TWICE_ROUNDED * fabsf(upper - offset - margin) + SLOP * fabsf(upper) +
         RAISED_TWICE * fabsf(offset) + LEAST_TWICE * x.z;
}
__device__ __forceinline__ float lower_bound(float upper, const float4& x, const float4& y) {
  const float low = upper - below(upper, x, y);
  return low == low ? low : -INFINITE;
}
__device__ __forceinline__ float lower_bound_turned(float reached, const float4& x, const float4& y, float row_offset) {
  const float upper = (reached - row_offset) / x.w;
  const float low = reached - x.w * below(upper, x, y) - SLOP * fabsf(reached) - RAISED_TWICE * fabsf(row_offset);
  return low == low ? low : -INFINITE;
}
