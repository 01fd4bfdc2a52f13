// bounds.cuh - the interval of a pair's key, as __init__.py of this folder defines it.
#pragma once
#include "instructions.cuh"

struct Interval { float low, high; };
constexpr float LOWEST = -3.402823466e38f;  // a threshold that excludes nothing but -inf
constexpr float SLOP = 0x1p-20f;            // of the parts: above the roundings of a bound

// x: of a row (|rest|, |code|, w, q); y: of a column (a, n, r, raised offset)
__device__ __forceinline__ float margin_of(const float4& x, const float4& y) {
  return __fmaf_rn(x.x, y.y, __fmul_rn(x.y, y.z));
}
__device__ __forceinline__ float upper_bound(float score, const float4& x, const float4& y) {
  return __fmaf_rn(score, y.x, __fmaf_rn(y.w, x.z, margin_of(x, y)));
}
// Where columns are compared all rows need one unit (q) and their own offset.
__device__ __forceinline__ float turned(float upper, const float4& x, float row_offset) {
  return __fmaf_rn(upper, x.w, row_offset);
}
__device__ __forceinline__ float lower_bound(float upper, const float4& x, const float4& y) {
  const float low = upper - 2 * margin_of(x, y) - SLOP * (fabsf(upper) + fabsf(y.w * x.z));
  return low == low ? low : -INFINITE;
}
__device__ __forceinline__ float lower_bound_turned(float upper, const float4& x, const float4& y, float row_offset) {
  const float parts = fabsf(upper) + fabsf(y.w * x.z * x.w) + fabsf(row_offset);
  const float low = upper - 2 * margin_of(x, y) * x.w - SLOP * parts;
  return low == low ? low : -INFINITE;
}
