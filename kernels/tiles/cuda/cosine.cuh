// cosine.cuh - the canonical distance of two rows from their product and their squares.
#pragma once
#include "instructions.cuh"

__device__ __forceinline__ double cosine_distance(double total, double square_x, double square_y) {
  double cosine = __ddiv_rn(total, __dsqrt_rn(__dmul_rn(square_x, square_y)));
  if (square_x == 0 || square_y == 0) cosine = 0;  // a zero row is at distance 1 from every row
  cosine = cosine < -1 ? -1 : cosine > 1 ? 1 : cosine;  // NaN stays
  return __dsub_rn(1, cosine);
}
