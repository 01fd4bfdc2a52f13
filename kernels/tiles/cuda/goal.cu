// goal.cu - canonical values -> where the keys of pairs with that value lie: an interval that holds all of them.
//
// Work    a thread a goal
// Shapes  value (goals,) float64, ascending is better, as it stands with bias; owner (goals,) int32: its query; of all
//         queries: own (m,) float4, slack (m,) and square (m,), exponent (m,), bias (m,) or null, as bound.cu has them;
//         largest (1,): the unit -> low, high (goals,) float32. NaN: -inf, +inf
// Launch  any block, grid = ceil(goals / blockDim.x); no shared memory
// Cost    60 bytes a goal
// Sum     float64, rounded to float32 outwards. FORM as in bound.cu
#include "lanes.cuh"
#ifndef FORM
#define FORM 0
#endif
constexpr int CODE_BITS = 14;
constexpr double ROUNDINGS = 0x1p-48;  // of what is added here, and of a canonical value beside what slack holds

extern "C" __global__ void __launch_bounds__(256)
goal(int goals, const double* __restrict__ value, const int* __restrict__ owner, const float4* __restrict__ own,
     const float* __restrict__ slack, const double* __restrict__ square, const int* __restrict__ exponent,
     const double* __restrict__ bias, const int* __restrict__ largest, float* __restrict__ low, float* __restrict__ high) {
  const int g = blockIdx.x * blockDim.x + threadIdx.x;
  if (g >= goals) return;
  const int i = owner[g], unit = *largest, e = square[i] == 0 ? unit : exponent[i];  // as bound.cu
  const double aim = value[g], added = bias ? bias[i] : 0;
  double key, parts;  // and what it is a sum of
  if (FORM == 0) {  // |x|^2 - 2 K + u = value, in units of 2**(unit + e - 28)
    const double norm = square[i] * power_of_two(min(max(2 * e, -1000), 1000));
    const double units = power_of_two(min(max(2 * CODE_BITS - 1 - unit - e, -1000), 1000));
    key = ((norm - aim) + added) * units, parts = (norm + fabs(aim) + fabs(added)) * units;
  } else if (FORM == 1) {  // -(K + u) = value
    const double units = power_of_two(min(max(2 * CODE_BITS - unit - e, -1000), 1000));
    key = (-aim - added) * units, parts = (fabs(aim) + fabs(added)) * units;
  } else {  // 1 - K / w + u = value
    const double weight = widen(own[i].z);
    key = ((1 - aim) + added) * weight, parts = (1 + fabs(aim) + fabs(added)) * weight;
  }
  const double apart = widen(slack[i]) + ROUNDINGS * parts;
  const bool known = key - apart == key - apart && key + apart == key + apart;
  low[g] = known ? -to_float_up(apart - key) : -INFINITE;
  high[g] = known ? to_float_up(key + apart) : INFINITE;
}
