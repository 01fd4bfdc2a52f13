// powers.cuh - logarithm to base 2 and power of doubles with stated errors, as ../powers.py has them on the CPU.
//
// No table, no branch; about 30 operations and a division, and about 60. Fused multiplications are inside the errors: no
// canonical value comes from here.
#pragma once
#include "lanes.cuh"

constexpr long long HALF_ROOT = 0x3FE6A09E667F3BCDll;  // bits of the root of 1/2, rounded
constexpr long long ONE = 0x3FF0000000000000ll;

// Within 2^-48 + 2^-52 |log2| of positive finite numbers; a finite number of zero.
__device__ __forceinline__ double logarithm(double value) {
  constexpr double SERIES[] = {  // 2 / ln 2 / (2 k + 1): of atanh, s^2 <= 0.0295, what follows is below 2^-50
      2.8853900817779268, 0.9617966939259756, 0.5770780163555853, 0.4121985831111324, 0.3205988979753252,
      0.2623081892525388, 0.22195308321368667, 0.19235933878519512, 0.16972882833987804};
  const bool low = value < 0x1p-1022;
  const long long word = __double_as_longlong(low ? value * 0x1p54 : value);
  const long long exponent = (long long)((unsigned long long)(word + (ONE - HALF_ROOT)) >> 52) - 1023;
  const double near_one = __longlong_as_double(word - (long long)((unsigned long long)exponent << 52));
  const double s = __ddiv_rn(__dsub_rn(near_one, 1), __dadd_rn(near_one, 1)), square = __dmul_rn(s, s);
  double series = SERIES[8];
#pragma unroll
  for (int k = 7; k >= 0; k--) series = __fma_rn(series, square, SERIES[k]);
  return __fma_rn(s, series, (double)((int)exponent - (low ? 54 : 0)));
}

// value^exponent of numbers >= 0, relative error 2^-39; 0, infinity and NaN stay. A result from 2^1023 on may be
// infinite, one below 2^-1022 zero.
__device__ __forceinline__ double power(double value, double exponent) {
  constexpr double SERIES[] = {  // (ln 2)^k / k!: (ln 2 / 2)^12 / 12! < 2^-47
      1.0, 0.6931471805599453, 0.2402265069591007, 0.055504108664821576, 0.009618129107628477, 0.0013333558146428441,
      0.00015403530393381606, 1.5252733804059838e-05, 1.3215486790144305e-06, 1.0178086009239696e-07,
      7.054911620801121e-09, 4.44553827187081e-10};
  double at = __dmul_rn(logarithm(value), exponent);
  at = at < 1024 ? at : 1024;
  at = at > -1023 ? at : -1023;
  const double rounder = 0x1.8p52, rounded = __dadd_rn(at, rounder), part = __dsub_rn(at, __dsub_rn(rounded, rounder));
  double exponential = SERIES[11];
#pragma unroll
  for (int k = 10; k >= 0; k--) exponential = __fma_rn(exponential, part, SERIES[k]);
  const unsigned long long whole = (unsigned long long)__double_as_longlong(rounded) + 1023;
  const double result = __dmul_rn(exponential, __longlong_as_double((long long)(whole << 52)));
  return value > 0 && value < INFINITE ? result : value;
}

// value to half of `twice`, by products and a square root.
template <int twice> __device__ __forceinline__ double by_products(double value) {
  double square = value, product = twice % 2 ? __dsqrt_rn(value) : 1;
#pragma unroll
  for (int left = twice / 2; left; left /= 2) {
    if (left % 2) product = __dmul_rn(product, square);
    if (left > 1) square = __dmul_rn(square, square);
  }
  return product;
}
