// exponential.cuh - terms of log-sum-exps, relative to the largest of them: tiles/exponential.py in float64, without FMA.
//
// exp(t) = 2**k p(r), k = t log2(e) rounded, r = t - k log(2) in two pieces, p the series up to r**13 / 13!: |r| <= 0.3466
// leaves 3e-18 of it, and with Horner's roundings, each halved by r at least, a value is within 4 units of its last place.
// A library's exp has FMA, which the gates forbid in float64, and takes tables; 35 operations here, against 2 d of a product.
#pragma once
#include "instructions.cuh"

constexpr double LEAST = -700;  // below it a term is nothing: no power of two is subnormal

__device__ __forceinline__ double step(double sum, double r, double coefficient) {
  return __dadd_rn(__dmul_rn(sum, r), coefficient);
}

__device__ __forceinline__ double exponential(double t) {  // t <= 0; NaN stays
  if (!(t > LEAST)) return t == t ? 0 : t;
  const int k = (int)(t * 1.4426950408889634 - 0.5);  // cut towards 0
  const double r = __dsub_rn(__dsub_rn(t, k * 0.6931471803691238), k * 1.9082149292705877e-10);
  double sum = 1.0 / 6227020800;  // of the last term
  sum = step(sum, r, 1.0 / 479001600), sum = step(sum, r, 1.0 / 39916800), sum = step(sum, r, 1.0 / 3628800);
  sum = step(sum, r, 1.0 / 362880), sum = step(sum, r, 1.0 / 40320), sum = step(sum, r, 1.0 / 5040);
  sum = step(sum, r, 1.0 / 720), sum = step(sum, r, 1.0 / 120), sum = step(sum, r, 1.0 / 24);
  sum = step(sum, r, 1.0 / 6), sum = step(sum, r, 0.5), sum = step(sum, r, 1), sum = step(sum, r, 1);
  return sum * __longlong_as_double((long long)(k + 1023) << 52);
}

__device__ __forceinline__ bool endless(double top) { return fabs(top) == INFINITE; }

// A term beside the largest that is not NaN. Where that is infinite, a term counts as 1: it is only asked whether one is NaN.
__device__ __forceinline__ double share(double term, double top) {
  return exponential(endless(top) ? (term == term ? 0 : term) : __dsub_rn(term, top));
}

// The sum of such shares as it is kept: infinite beside +inf, nothing beside -inf, NaN where a term was.
__device__ __forceinline__ double kept(double total, double top) {
  return !endless(top) || total != total ? total : top > 0 ? top : 0;
}
