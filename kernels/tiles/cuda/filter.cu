// filter.cu - the pairs of a score tile whose upper bound reaches the threshold of their row, their column, or both.
//
// Work    a block takes ROWS x COLUMNS scores; what it needs of its rows lies in shared memory, what a lane needs to look
//         at its 8 neighbouring columns in registers. A first look takes the widest margin of the 8: 4 operations in
//         float32 and a comparison a score. What reaches a threshold is noted in shared memory and looked at again, by
//         all threads, when the block is through: one pair in 600 is kept, and a warp that waited there and then for
//         its bound, its place and its list took half as long as all the rest
// Shapes  score (rows, stride) SCORE, C order, 16-byte aligned, stride a multiple of 8; of the tile's rows: row (rows,)
//         float4, threshold, exclude (rows,) a place; of its columns: column (columns,) float4; allowed
//         (rows, allowed_stride) bytes -> list (rows, capacity) keys, count (rows,). BOTH 1: row_offset (rows,),
//         column_threshold (columns,) -> column_list (columns, column_capacity), column_count (columns,) as well
// Launch  256 threads, grid = (ceil(columns / 256), ceil(rows / 128)); 19 KiB of shared memory. Null: no exclude, no mask
// Cost    the bytes of the scores, once; 8 bytes a pair kept. An H100 read 2.0 TB/s of fp16 scores with 128 rows a
//         block, 1.75 with 64, 1.35 with 32
// Sum     bounds.cuh. A count above its capacity says how many there were: that many less the capacity are lost
//
// An upper bound is never NaN (bound.cu), but for what lies between `columns` and `stride`, which no comparison keeps.
#include "bounds.cuh"
#include "keys.cuh"
#ifndef BOTH
#define BOTH 0
#endif
constexpr int ROWS = 128, EACH = 8, COLUMNS = 32 * EACH, PARTS = sizeof(SCORE) / 2;
constexpr int TOGETHER = BOTH ? 2 : 4 / PARTS;  // rows whose loads are under way at once, in 64 registers
constexpr int NOTES = 8192;  // a quarter of the pairs of a block; what is beyond is kept at once

struct Eight { Words part[PARTS]; };  // neighbouring scores, as they are loaded

__device__ __forceinline__ float score_of(const Eight& held, int t) {
  const unsigned word = held.part[t * PARTS / EACH].word[t * PARTS / 2 % 4];
  if constexpr (sizeof(SCORE) == 4) return __uint_as_float(word);
  float low, high;
  widen_pair(word, low, high);
  return t & 1 ? high : low;
}

__device__ __forceinline__ float float_of(float16 v) {
  float low, high;
  widen_pair(v.bits, low, high);
  return low;
}
__device__ __forceinline__ float float_of(float v) { return v; }

extern "C" __global__ void __launch_bounds__(256, BOTH ? 3 : 4)
filter(const SCORE* __restrict__ score, int rows, int columns, int stride, int first_row, int first_column,
       const float4* __restrict__ row, const float4* __restrict__ column, const float* __restrict__ threshold,
       const int* __restrict__ exclude, const unsigned char* __restrict__ allowed, long long allowed_stride,
       unsigned long long* __restrict__ list, int* count, int capacity,
       const float* __restrict__ row_offset, const float* __restrict__ column_threshold,
       unsigned long long* __restrict__ column_list, int* column_count, int column_capacity) {
  __shared__ float4 own[ROWS];
  __shared__ float reach[ROWS];
  __shared__ unsigned short note[NOTES];
  __shared__ int notes;
#if BOTH
  __shared__ float offset[ROWS];
#endif
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, warps = blockDim.x / 32;
  const int left = blockIdx.x * COLUMNS + lane * EACH, top = blockIdx.y * ROWS, size = min(rows - top, ROWS);
  if (threadIdx.x == 0) notes = 0;
  for (int r = threadIdx.x; r < size; r += blockDim.x) {
    own[r] = row[top + r], reach[r] = threshold[top + r];
#if BOTH
    offset[r] = row_offset[top + r];
#endif
  }
  float a[EACH], offset_up[EACH], n = 0, wide = 0;  // n and r of the columns, the largest
#if BOTH
  float least[EACH];
#endif
#pragma unroll
  for (int t = 0; t < EACH; t++) {
    const bool here = left + t < columns;
    const float4 y = here ? column[left + t] : float4{0, 0, 0, -INFINITE};
    a[t] = y.x, offset_up[t] = y.w, n = fmaxf(n, y.y), wide = fmaxf(wide, y.z);
#if BOTH
    least[t] = here ? column_threshold[left + t] : INFINITE;
#endif
  }
  auto keep = [&](int at, int across) {  // a pair of the block, if its own bound reaches
    const int r = top + at, c = blockIdx.x * COLUMNS + across;
    if (c >= columns || (exclude && exclude[r] - first_column == c) || (allowed && !allowed[r * allowed_stride + c])) return;
    const float upper = upper_bound(float_of(score[(long long)r * stride + c]), own[at], column[c]);
    if (upper >= reach[at]) {
      const int place = atomicAdd(&count[r], 1);
      if (place < capacity) list[(long long)r * capacity + place] = make_key(upper, first_column + c);
    }
#if BOTH
    const float value = turned(upper, own[at], offset[at]);
    if (value >= column_threshold[c]) {
      const int place = atomicAdd(&column_count[c], 1);
      if (place < column_capacity) column_list[(long long)c * column_capacity + place] = make_key(value, first_row + r);
    }
#endif
  };
  __syncthreads();
  for (int first = warp * TOGETHER; first < size; first += warps * TOGETHER) {
    Eight held[TOGETHER];
#pragma unroll
    for (int u = 0; u < TOGETHER; u++) {  // all loads are under way before the first row is looked at
      const long long from = (long long)(top + min(first + u, size - 1)) * stride + min(left, stride - EACH);
      held[u] = *reinterpret_cast<const Eight*>(score + from);  // beyond the tile its last ones: zeros spilled on sm_120
    }
#pragma unroll
    for (int u = 0; u < TOGETHER; u++) {
      if (first + u >= size) break;
      const float4 x = own[first + u];
      const float goal = reach[first + u], margin = __fmaf_rn(x.x, n, __fmul_rn(x.y, wide));
      unsigned reached = 0;  // the columns that a first look does not exclude
#pragma unroll
      for (int t = 0; t < EACH; t++) {  // as upper_bound, and nowhere below it: roundings are monotone
        const float v = score_of(held[u], t);
        const float upper = __fmaf_rn(raised(v), a[t], __fmaf_rn(offset_up[t], x.z, margin));
        bool reaches = upper >= goal;
#if BOTH
        reaches |= turned(upper, x, offset[first + u]) >= least[t];
#endif
        reached |= (unsigned)reaches << t;
      }
      for (; reached; reached &= reached - 1) {
        const int c = lane * EACH + __ffs((int)reached) - 1, place = atomicAdd(&notes, 1);
        if (place < NOTES) note[place] = (unsigned short)((first + u) * COLUMNS + c);
        else keep(first + u, c);
      }
    }
  }
  __syncthreads();
  const int noted = min(notes, NOTES);
  for (int place = threadIdx.x; place < noted; place += blockDim.x) keep(note[place] / COLUMNS, note[place] % COLUMNS);
}
