// instructions.h - what kernels/tiles/cuda/instructions.cuh says in PTX, said in C++ for the emulator, bit for bit.
//
// It takes the place of that file: the same guard, the same names.
#pragma once
#define CROSSMODAL_INSTRUCTIONS
#include "simt.h"

#define DYNAMIC_SHARED(type, name) type* name = (type*)simt::dynamic_shared()

#define INFINITE __builtin_inff()

struct float16 { unsigned short bits; };
struct bfloat16 { unsigned short bits; };
struct __align__(16) Words { unsigned word[4]; };  // what one instruction loads

inline double widen(float v) { return v; }
inline double widen(double v) { return v; }
inline double widen(float16 v) {
  _Float16 half;
  memcpy(&half, &v.bits, sizeof half);
  return (double)half;
}
inline double widen(bfloat16 v) { return widen(__uint_as_float((unsigned)v.bits << 16)); }
inline double widen(signed char v) { return v; }
inline double widen(unsigned char v) { return v; }

inline void widen_pair(unsigned both, float& low, float& high) {
  low = (float)widen(float16{(unsigned short)both}), high = (float)widen(float16{(unsigned short)(both >> 16)});
}
inline float16 to_float16(double v) {
  const _Float16 half = (_Float16)v;
  float16 narrow;
  memcpy(&narrow.bits, &half, sizeof half);
  return narrow;
}
inline float to_float(double v) { return (float)v; }
inline float to_float_up(double v) {  // the least float that is not below v
  const float nearest = (float)v;
  return (double)nearest < v ? nextafterf(nearest, INFINITE) : nearest;
}

inline float multiply_add(float a, float b, float c) { return fmaf(a, b, c); }
inline double multiply_add(double a, double b, double c) { return a * b + c; }  // -ffp-contract=off
template <class T> T plus(T a, T b) { return a + b; }
