// keys.cuh - a candidate in eight bytes: its upper bound in the order of unsigned integers, then its index.
#pragma once
#include "instructions.cuh"

// The order of floats as that of unsigned integers; NaN, which no bound can exclude, comes first with +inf.
__device__ __forceinline__ unsigned ordered_bits(float v) {
  const unsigned bits = v == v ? __float_as_uint(v) : __float_as_uint(INFINITE);
  return bits >> 31 ? ~bits : bits | 0x80000000u;
}
__device__ __forceinline__ float from_ordered(unsigned ordered) {
  return __uint_as_float(ordered >> 31 ? ordered & 0x7fffffffu : ~ordered);
}
__device__ __forceinline__ unsigned long long make_key(float upper, unsigned index) {
  return (unsigned long long)ordered_bits(upper) << 32 | index;
}
__device__ __forceinline__ unsigned key_index(unsigned long long key) { return (unsigned)key; }
__device__ __forceinline__ float key_upper(unsigned long long key) { return from_ordered((unsigned)(key >> 32)); }

// Codes of a gallery lie in the order of multiples of `step` modulo `total`: any stretch of them is a sample. A place is
// what a key holds, a row what the caller numbers.
__device__ __forceinline__ unsigned row_at(unsigned place, unsigned step, unsigned total) {
  return (unsigned)((unsigned long long)place * step % total);
}
