// terms.cuh - a metric: what a feature of a pair adds to its lanes, and what is made of their totals (metrics.py).
//
// Rows come as derive.cu makes them where METRIC compares other rows than those given: COSINE, HELLINGER.
#pragma once
#include "lanes.cuh"
#ifndef METRIC
#define METRIC 3
#endif
constexpr int SQUARE = 0, DOT = 1, COSINE = 2, CITYBLOCK = 3, CHEBYSHEV = 4, CANBERRA = 5, BRAYCURTIS = 6, HAMMING = 7,
              JACCARD = 8, HELLINGER = 9, EUCLIDEAN = 10;
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

__device__ __forceinline__ void add_terms(Lane (&lane)[TOTALS], double x, double y) {
  Lane first, last = 0;
  if constexpr (METRIC == HAMMING) {
    first = x != y;
  } else if constexpr (METRIC == JACCARD) {  // of truth values
    first = (x != 0) != (y != 0), last = x != 0 || y != 0;
  } else if constexpr (METRIC == DOT || METRIC == COSINE) {
    first = __dmul_rn(x, y);
  } else {
    const double gap = fabs(__dsub_rn(x, y));
    first = gap;
    if constexpr (METRIC == SQUARE || METRIC == EUCLIDEAN || METRIC == HELLINGER) first = __dmul_rn(gap, gap);
    if constexpr (METRIC == BRAYCURTIS) last = fabs(__dadd_rn(x, y));
    if constexpr (METRIC == CANBERRA) {
      const double size = __dadd_rn(fabs(x), fabs(y));
      first = size != 0 ? __ddiv_rn(gap, size) : gap;  // 0/0 stays the gap, 0
    }
  }
  lane[0] = folded(lane[0], first);
  if constexpr (TOTALS == 2) lane[TOTALS - 1] = folded(lane[TOTALS - 1], last);
}

__device__ __forceinline__ double cosine_distance(double total, double square_x, double square_y) {
  double cosine = __ddiv_rn(total, __dsqrt_rn(__dmul_rn(square_x, square_y)));
  if (square_x == 0 || square_y == 0) cosine = 0;  // a zero row is at distance 1 from every row
  cosine = cosine < -1 ? -1 : cosine > 1 ? 1 : cosine;  // NaN stays
  return __dsub_rn(1, cosine);
}

// The canonical value. stat_x, stat_y: of derive.cu, for COSINE
__device__ __forceinline__ double finished(const Lane (&total)[TOTALS], int d, double stat_x, double stat_y) {
  const double first = total[0], last = total[TOTALS - 1];
  if constexpr (METRIC == COSINE) return cosine_distance(first, stat_x, stat_y);
  if constexpr (METRIC == HAMMING) return __ddiv_rn(first, d);
  if constexpr (METRIC == BRAYCURTIS) return __ddiv_rn(first, last);
  if constexpr (METRIC == JACCARD) return last == 0 ? 0 : __ddiv_rn(first, last);
  if constexpr (METRIC == HELLINGER) return __dsqrt_rn(__dmul_rn(0.5, first));
  if constexpr (METRIC == EUCLIDEAN) return __dsqrt_rn(first);
  return first;
}
