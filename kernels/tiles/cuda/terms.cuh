// terms.cuh - a metric: what a feature of a pair adds to its lanes, and what is made of their totals (metrics.py).
//
// Rows come as derive.cu makes them where METRIC compares other rows than those given: COSINE, HELLINGER, JENSENSHANNON.
// MINKOWSKI and JENSENSHANNON come near the canonical values (../nearness.py), the others are those to the bit.
#pragma once
#include "cosine.cuh"
#include "powers.cuh"
#ifndef METRIC
#define METRIC 0
#endif
#ifndef TWICE
#define TWICE 0  // 2 p of MINKOWSKI where products give the power, else 0
#endif
constexpr int SQUARE = 0, DOT = 1, COSINE = 2, CITYBLOCK = 3, CHEBYSHEV = 4, CANBERRA = 5, BRAYCURTIS = 6, HAMMING = 7,
              JACCARD = 8, HELLINGER = 9, EUCLIDEAN = 10, MINKOWSKI = 11, JENSENSHANNON = 12;
constexpr bool NEAR = METRIC == MINKOWSKI || METRIC == JENSENSHANNON;
constexpr bool COUNTS = METRIC == HAMMING || METRIC == JACCARD;  // lanes of whole numbers: exact in any order
constexpr int TOTALS = METRIC == BRAYCURTIS || METRIC == JACCARD ? 2 : 1;

template <bool counts> struct LaneOf { typedef double type; };
template <> struct LaneOf<true> { typedef int type; };
typedef LaneOf<COUNTS>::type Lane;

__device__ __forceinline__ int folded(int a, int b) { return a + b; }
__device__ __forceinline__ double folded(double a, double b) {
  if constexpr (METRIC == CHEBYSHEV) return a < b || b != b ? b : a;  // NaN of either stays
  return __dadd_rn(a, b);
}

__device__ __forceinline__ void add_terms(Lane (&lane)[TOTALS], double x, double y, double p) {
  Lane first, last = 0;
  if constexpr (METRIC == HAMMING) {
    first = x != y;
  } else if constexpr (METRIC == JACCARD) {  // of truth values
    first = (x != 0) != (y != 0), last = x != 0 || y != 0;
  } else if constexpr (METRIC == DOT || METRIC == COSINE) {
    first = __dmul_rn(x, y);
  } else if constexpr (METRIC == JENSENSHANNON) {
    const double both = __dadd_rn(x, y);
    const bool least = __double_as_longlong(both) == 1;  // half of it is 0: share / 0 in metrics.py
    first = __dmul_rn(both, least ? -INFINITE : logarithm(__dmul_rn(0.5, both)));
  } else {
    const double gap = fabs(__dsub_rn(x, y));
    first = gap;
    if constexpr (METRIC == SQUARE || METRIC == EUCLIDEAN || METRIC == HELLINGER) first = __dmul_rn(gap, gap);
    if constexpr (METRIC == BRAYCURTIS) last = fabs(__dadd_rn(x, y));
    if constexpr (METRIC == MINKOWSKI) first = TWICE ? by_products<TWICE>(gap) : power(gap, p);
    if constexpr (METRIC == CANBERRA) {
      const double size = __dadd_rn(fabs(x), fabs(y));
      first = size != 0 ? __ddiv_rn(gap, size) : gap;  // 0/0 stays the gap, 0
    }
  }
  lane[0] = folded(lane[0], first);
  if constexpr (TOTALS == 2) lane[TOTALS - 1] = folded(lane[TOTALS - 1], last);
}

constexpr double CEILING = 0x1p1023;  // whether metrics.py overflows just above is not known here

// The value. stat_x, stat_y: of derive.cu, for COSINE and JENSENSHANNON; p: of MINKOWSKI, or the logarithm of the base
__device__ __forceinline__ double finished(const Lane (&total)[TOTALS], int d, double stat_x, double stat_y, double p) {
  const double first = total[0], last = total[TOTALS - 1];
  if constexpr (METRIC == COSINE) return cosine_distance(first, stat_x, stat_y);
  if constexpr (METRIC == HAMMING) return __ddiv_rn(first, d);
  if constexpr (METRIC == BRAYCURTIS) return __ddiv_rn(first, last);
  if constexpr (METRIC == JACCARD) return last == 0 ? 0 : __ddiv_rn(first, last);
  if constexpr (METRIC == HELLINGER) return __dsqrt_rn(__dmul_rn(0.5, first));
  if constexpr (METRIC == EUCLIDEAN) return __dsqrt_rn(first);
  if constexpr (METRIC == MINKOWSKI) {
    const double root = power(first > CEILING ? CEILING : first, __ddiv_rn(1, p));
    return root > CEILING ? CEILING : root;
  }
  if constexpr (METRIC == JENSENSHANNON) {
    const double half = __dmul_rn(__dsub_rn(__dadd_rn(stat_x, stat_y), first), __ddiv_rn(0.34657359027997264, p));
    return stat_x == INFINITE || stat_y == INFINITE ? INFINITE : __dsqrt_rn(half < 0 ? 0 : half);
  }
  return first;
}
