// lanes.cuh - canonical sums: eight neighbouring threads are the eight lanes of one sum.
//
// Lane i mod 8 adds term i in order of i, starting at +0.0, product and sum rounded separately; the total is
// ((l0+l1)+(l2+l3))+((l4+l5)+(l6+l7)). A butterfly of shuffles gives that to every lane, since a sum of two rounds the
// same either way round.
#pragma once
#include "instructions.cuh"

constexpr unsigned WARP = 0xffffffffu;
constexpr int LANES = 8;  // of a canonical sum; a warp has four

__device__ __forceinline__ double lanes_total(double lane) {
  for (int by = 1; by < LANES; by <<= 1) lane = __dadd_rn(lane, __shfl_xor_sync(WARP, lane, by));
  return lane;
}

__device__ __forceinline__ double power_of_two(int exponent) {  // within -1022..1023
  return __longlong_as_double((long long)(exponent + 1023) << 52);
}

// x * 2**exponent, rounded once; |exponent| <= 1074. Two steps only where the first is exact.
__device__ __forceinline__ double scaled(double x, int exponent) {
  if (exponent > 1000) return x * power_of_two(500) * power_of_two(exponent - 500);  // a tiny x grows
  if (exponent < -1022) return x * __longlong_as_double(1ll << (exponent + 1074));   // a subnormal factor
  return x * power_of_two(exponent);
}

// As frexp: |x| = f * 2**exponent with f in [0.5, 1); 0 for 0 and for what is not finite.
__device__ __forceinline__ int binary_exponent(double x) {
  int field = (int)(__double_as_longlong(x) >> 52) & 0x7ff;
  if (field == 0x7ff || x == 0) return 0;
  if (field) return field - 1022;
  field = (int)(__double_as_longlong(x * power_of_two(54)) >> 52) & 0x7ff;
  return field - 1022 - 54;
}
