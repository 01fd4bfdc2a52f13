// simt.h - the words of CUDA for g++: what a `.cu` of the project may use when the emulator (simt.cpp) runs it.
//
// Included before the kernel's text, which is compiled as C++. A GPU thread is a fibre; simt.cpp schedules the fibres of
// one block at a time. Barriers and warp collectives carry the line that called them: threads that meet from two lines
// are reported, whatever the hardware would make of it.
#pragma once
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

extern "C" {  // as in math.h; <cmath> is two thirds of the time to compile a kernel
int abs(int) noexcept __attribute__((const));
double fabs(double) noexcept;
double fmax(double, double) noexcept;
double fma(double, double, double) noexcept;
double sqrt(double) noexcept;
float fabsf(float) noexcept;
float fmaxf(float, float) noexcept;
float fmaf(float, float, float) noexcept;
float nextafterf(float, float) noexcept;
}

struct uint3 { unsigned x, y, z; };
struct dim3 { unsigned x, y, z; };
struct alignas(8) int2 { int x, y; };
struct alignas(8) uint2 { unsigned x, y; };
struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
struct alignas(16) double2 { double x, y; };

namespace simt {
struct Place { uint3 thread, block; int index, warp, lane; };
extern Place* here;  // of the thread that runs
extern dim3 block_size, grid_size;
enum Vote { NONE, COUNT, AND, OR };
enum Kind { SYNC = 1, BALLOT, SHUFFLE, SHUFFLE_UP, SHUFFLE_DOWN, SHUFFLE_XOR };
unsigned barrier(Vote vote, bool yes, int line);
const uint64_t* collective(unsigned mask, uint64_t value, Kind kind, int line);  // what each lane brought
void before_atomic(void* address, int bytes);
void after_atomic();
void* dynamic_shared();
[[noreturn]] void fail(const char* format, ...) __attribute__((format(printf, 1, 2)));

template <class T> uint64_t bits(T value) {
  static_assert(sizeof value <= 8, "a lane brings at most 8 bytes");
  uint64_t raw = 0;
  memcpy(&raw, &value, sizeof value);
  return raw;
}
template <class T> T unbits(uint64_t raw) {
  T value;
  memcpy(&value, &raw, sizeof value);
  return value;
}
template <class T> T shuffle(unsigned mask, T value, int source, Kind kind, int line) {
  const uint64_t* brought = collective(mask, bits(value), kind, line);
  if (!(mask >> source & 1)) fail("shuffle from lane %d, which is not in the mask %08x (line %d)", source, mask, line);
  return unbits<T>(brought[source]);
}
// One step: other fibres run before it and after it, never inside. Its own accesses are not shown to the race detector.
template <class T, class F> __attribute__((no_sanitize_thread, noinline)) T atomic(T* address, F change) {
  before_atomic(address, sizeof(T));
  const T old = *address;
  *address = change(old);
  after_atomic();
  return old;
}
template <class T> using Same = std::common_type_t<T>;  // lets atomicAdd(&an_unsigned, 1) compile

// ---- kernels by name, called through pointers to their arguments as cuLaunchKernel does -----------------------------
template <class T> void describe(char*& text) {
  if constexpr (std::is_pointer_v<T>) {
    *text++ = 'p';
    describe<std::remove_cv_t<std::remove_pointer_t<T>>>(text);
  } else {
    *text++ = std::is_class_v<T> ? 'V' : std::is_floating_point_v<T> ? 'f' : std::is_unsigned_v<T> ? 'u' : 'i';
    if (sizeof(T) >= 10) *text++ = '0' + sizeof(T) / 10;
    *text++ = '0' + sizeof(T) % 10;
    *text++ = ' ';
  }
}
struct Kernel { const char* name; void (*call)(void**); char signature[256]; };
void enlist(const Kernel& kernel);

template <auto function, class... P, size_t... I> void call_with(void** given, std::index_sequence<I...>) {
  function(*(P*)given[I]...);
}
template <auto function> struct Caller;
template <class... P, void (*function)(P...)> struct Caller<function> {
  static void call(void** given) { call_with<function, P...>(given, std::index_sequence_for<P...>()); }
  explicit Caller(const char* name) {
    Kernel kernel{name, call, {}};
    char* text = kernel.signature;
    (describe<P>(text), ...);
    *text = 0;
    enlist(kernel);
  }
};
}  // namespace simt
#define SIMT_KERNEL(name) static const simt::Caller<name> simt_caller_##name(#name);

// ---- words that stand before a name ---------------------------------------------------------------------------------
#define __global__
#define __device__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __shared__ static __attribute__((section("simt_shared")))
#define __restrict__ __restrict

// ---- where a thread is, and how threads meet ------------------------------------------------------------------------
#define threadIdx (simt::here->thread)
#define blockIdx (simt::here->block)
#define blockDim (simt::block_size)
#define gridDim (simt::grid_size)
#define AT int line = __builtin_LINE()  // the line of the caller
inline void __syncthreads(AT) { simt::barrier(simt::NONE, false, line); }
inline int __syncthreads_count(int yes, AT) { return simt::barrier(simt::COUNT, yes, line); }
inline int __syncthreads_and(int yes, AT) { return simt::barrier(simt::AND, yes, line); }
inline int __syncthreads_or(int yes, AT) { return simt::barrier(simt::OR, yes, line); }
inline void __syncwarp(unsigned mask = ~0u, AT) { simt::collective(mask, 0, simt::SYNC, line); }
inline unsigned __ballot_sync(unsigned mask, int yes, AT) {
  const uint64_t* brought = simt::collective(mask, yes != 0, simt::BALLOT, line);
  unsigned votes = 0;
  for (int lane = 0; lane < 32; lane++)
    if (mask >> lane & 1) votes |= (unsigned)brought[lane] << lane;
  return votes;
}
inline int __any_sync(unsigned mask, int yes, AT) { return __ballot_sync(mask, yes, line) != 0; }
inline int __all_sync(unsigned mask, int yes, AT) { return __ballot_sync(mask, yes, line) == mask; }
template <class T> T __shfl_sync(unsigned mask, T value, int source, int width = 32, AT) {
  const int lane = (simt::here->lane & ~(width - 1)) | (source & (width - 1));
  return simt::shuffle(mask, value, lane, simt::SHUFFLE, line);
}
template <class T> T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = 32, AT) {
  const int lane = simt::here->lane, source = lane - (int)by;
  return simt::shuffle(mask, value, source < (lane & ~(width - 1)) ? lane : source, simt::SHUFFLE_UP, line);
}
template <class T> T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = 32, AT) {
  const int lane = simt::here->lane, source = lane + (int)by;
  return simt::shuffle(mask, value, source > (lane | (width - 1)) ? lane : source, simt::SHUFFLE_DOWN, line);
}
template <class T> T __shfl_xor_sync(unsigned mask, T value, int by, int width = 32, AT) {
  const int lane = simt::here->lane, source = lane ^ by;
  return simt::shuffle(mask, value, source > (lane | (width - 1)) ? lane : source, simt::SHUFFLE_XOR, line);
}
#undef AT
inline void __threadfence() {}  // memory is sequentially consistent here: a missing fence is not seen
inline void __threadfence_block() {}

template <class T> T atomicAdd(T* p, simt::Same<T> by) { return simt::atomic(p, [=](T old) { return T(old + by); }); }
template <class T> T atomicMax(T* p, simt::Same<T> v) { return simt::atomic(p, [=](T old) { return old < v ? v : old; }); }
template <class T> T atomicMin(T* p, simt::Same<T> v) { return simt::atomic(p, [=](T old) { return v < old ? v : old; }); }
template <class T> T atomicOr(T* p, simt::Same<T> v) { return simt::atomic(p, [=](T old) { return old | v; }); }
template <class T> T atomicExch(T* p, simt::Same<T> v) { return simt::atomic(p, [=](T) { return v; }); }
template <class T> T atomicCAS(T* p, simt::Same<T> expected, simt::Same<T> v) {
  return simt::atomic(p, [=](T old) { return old == expected ? v : old; });
}

// ---- arithmetic: each rounds once, to nearest; -ffp-contract=off keeps g++ from fusing ------------------------------
inline int __popc(unsigned v) { return __builtin_popcount(v); }
inline int __ffs(int v) { return __builtin_ffs(v); }
inline int __clz(int v) { return v ? __builtin_clz(v) : 32; }
inline unsigned __float_as_uint(float v) { return simt::unbits<unsigned>(simt::bits(v)); }
inline float __uint_as_float(unsigned v) { return simt::unbits<float>(v); }
inline long long __double_as_longlong(double v) { return simt::unbits<long long>(simt::bits(v)); }
inline double __longlong_as_double(long long v) { return simt::unbits<double>(v); }
inline double __dadd_rn(double a, double b) { return a + b; }
inline double __dsub_rn(double a, double b) { return a - b; }
inline double __dmul_rn(double a, double b) { return a * b; }
inline double __ddiv_rn(double a, double b) { return a / b; }
inline double __fma_rn(double a, double b, double c) { return fma(a, b, c); }
inline double __dsqrt_rn(double a) { return sqrt(a); }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
template <class T> T __ldg(const T* p) { return *p; }
template <class T> T min(T a, T b) { return b < a ? b : a; }
template <class T> T max(T a, T b) { return a < b ? b : a; }
