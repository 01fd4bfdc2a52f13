// instructions.cuh - conversions and shared memory in words that no compiler option changes.
//
// CuPy always adds -ftz=true, which zeroes subnormal floats on their way to float64: cvt is written out here. cuda_fp16.h
// would need headers on the user's machine and adds compile time, so 16-bit floats are their bits.
// The emulator (tests/simt/instructions.h) has the same names under the same guard.
#ifndef CROSSMODAL_INSTRUCTIONS
#define CROSSMODAL_INSTRUCTIONS

#define DYNAMIC_SHARED(type, name)                                \
  extern __shared__ __align__(16) unsigned char dynamic_shared[]; \
  type* name = reinterpret_cast<type*>(dynamic_shared)

#define INFINITE __uint_as_float(0x7f800000u)  // INFINITY needs a header

struct float16 { unsigned short bits; };
struct bfloat16 { unsigned short bits; };
struct __align__(16) Words { unsigned word[4]; };  // what one instruction loads

__device__ __forceinline__ double widen(float v) {
  double wide;
  asm("cvt.f64.f32 %0, %1;" : "=d"(wide) : "f"(v));
  return wide;
}
__device__ __forceinline__ double widen(double v) { return v; }
__device__ __forceinline__ double widen(float16 v) {
  double wide;
  asm("cvt.f64.f16 %0, %1;" : "=d"(wide) : "h"(v.bits));
  return wide;
}
__device__ __forceinline__ double widen(bfloat16 v) { return widen(__uint_as_float((unsigned)v.bits << 16)); }
__device__ __forceinline__ double widen(signed char v) { return v; }
__device__ __forceinline__ double widen(unsigned char v) { return v; }

__device__ __forceinline__ void widen_pair(unsigned both, float& low, float& high) {  // exact: float32 holds them
  asm("{.reg .b16 a, b; mov.b32 {a, b}, %2; cvt.f32.f16 %0, a; cvt.f32.f16 %1, b;}"
      : "=f"(low), "=f"(high) : "r"(both));
}
__device__ __forceinline__ float16 to_float16(double v) {
  float16 narrow;
  asm("cvt.rn.f16.f64 %0, %1;" : "=h"(narrow.bits) : "d"(v));
  return narrow;
}
__device__ __forceinline__ float to_float(double v) {
  float narrow;
  asm("cvt.rn.f32.f64 %0, %1;" : "=f"(narrow) : "d"(v));
  return narrow;
}
__device__ __forceinline__ float to_float_up(double v) {  // the least float that is not below v
  float narrow;
  asm("cvt.rp.f32.f64 %0, %1;" : "=f"(narrow) : "d"(v));
  return narrow;
}

// a b + c: of floats rounded once, of doubles twice, subnormals kept.
__device__ __forceinline__ float multiply_add(float a, float b, float c) {
  float total;
  asm("fma.rn.f32 %0, %1, %2, %3;" : "=f"(total) : "f"(a), "f"(b), "f"(c));
  return total;
}
__device__ __forceinline__ double multiply_add(double a, double b, double c) { return __dadd_rn(__dmul_rn(a, b), c); }
__device__ __forceinline__ float plus(float a, float b) {
  float total;
  asm("add.rn.f32 %0, %1, %2;" : "=f"(total) : "f"(a), "f"(b));
  return total;
}
__device__ __forceinline__ double plus(double a, double b) { return __dadd_rn(a, b); }
#endif
