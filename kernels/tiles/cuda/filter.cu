// filter.cu - the pairs of a score tile whose upper bound reaches the threshold of their row, their column, or both.
//
// Work    a block takes ROWS x COLUMNS scores; a lane keeps what it needs of its 8 neighbouring columns in registers,
//         warps go down the rows, two at a time. A score costs 5 operations in float32 and a maximum; a warp whose
//         maximum reaches a threshold looks again, and a lane reserves its places in a list by one atomic
// Shapes  score (rows, stride) SCORE, C order, 16-byte aligned, stride a multiple of 8; of the tile's rows: row (rows,)
//         float4, threshold, exclude (rows,) a place; of its columns: column (columns,) float4; allowed
//         (rows, allowed_stride) bytes -> list (rows, capacity) keys, count (rows,). BOTH 1: row_offset (rows,),
//         column_threshold (columns,) -> column_list (columns, column_capacity), column_count (columns,) as well
// Launch  256 threads, grid = (ceil(columns / 256), ceil(rows / 128)); no shared memory. Null: no exclude, no mask
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
constexpr unsigned WARP = 0xffffffffu;
constexpr int ROWS = 128, EACH = 8, COLUMNS = 32 * EACH, TOGETHER = 2;

__device__ __forceinline__ void load(const float16* from, float (&to)[EACH]) {
  const Words words = *reinterpret_cast<const Words*>(from);
  for (int t = 0; t < EACH; t += 2) widen_pair(words.word[t / 2], to[t], to[t + 1]);
}
__device__ __forceinline__ void load(const float* from, float (&to)[EACH]) {
  for (int half = 0; half < EACH; half += 4) {
    const Words words = *reinterpret_cast<const Words*>(from + half);
    for (int t = 0; t < 4; t++) to[half + t] = __uint_as_float(words.word[t]);
  }
}

extern "C" __global__ void __launch_bounds__(256)
filter(const SCORE* __restrict__ score, int rows, int columns, int stride, int first_row, int first_column,
       const float4* __restrict__ row, const float4* __restrict__ column, const float* __restrict__ threshold,
       const int* __restrict__ exclude, const unsigned char* __restrict__ allowed, long long allowed_stride,
       unsigned long long* __restrict__ list, int* count, int capacity,
       const float* __restrict__ row_offset, const float* __restrict__ column_threshold,
       unsigned long long* __restrict__ column_list, int* column_count, int column_capacity) {
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, warps = blockDim.x / 32;
  const int left = blockIdx.x * COLUMNS + lane * EACH;
  float4 y[EACH];
#if BOTH
  float least[EACH];
#endif
#pragma unroll
  for (int t = 0; t < EACH; t++) {
    const bool here = left + t < columns;
    y[t] = here ? column[left + t] : float4{0, 0, 0, -INFINITE};
#if BOTH
    least[t] = here ? column_threshold[left + t] : INFINITE;
#endif
  }
  const int stop = min(rows, (int)(blockIdx.y + 1) * ROWS);
  for (int top = blockIdx.y * ROWS + warp * TOGETHER; top < stop; top += warps * TOGETHER) {
    float held[TOGETHER][EACH];
#pragma unroll
    for (int u = 0; u < TOGETHER; u++)  // loads of both rows are under way before either is looked at
      if (top + u < stop && left < columns) load(score + (long long)(top + u) * stride + left, held[u]);
      else for (int t = 0; t < EACH; t++) held[u][t] = 0;
#pragma unroll
    for (int u = 0; u < TOGETHER; u++) {
      const int r = min(top + u, stop - 1);
      const bool here = top + u < stop;
      const float4 x = row[r];
      const float reach = threshold[r];
      float upper[EACH], best = -INFINITE;
#if BOTH
      const float offset = row_offset[r];
      bool reached = false;
#endif
#pragma unroll
      for (int t = 0; t < EACH; t++) {
        upper[t] = upper_bound(held[u][t], x, y[t]);
        best = fmaxf(best, upper[t]);
#if BOTH
        reached |= here && turned(upper[t], x, offset) >= least[t];
#endif
      }
#if BOTH
      if (!__any_sync(WARP, reached || (here && best >= reach))) continue;
#else
      if (!__any_sync(WARP, here && best >= reach)) continue;
#endif
      const int out = exclude && here ? exclude[r] - first_column : -1;
      unsigned kept = 0;
#pragma unroll
      for (int t = 0; t < EACH; t++) {
        const int c = left + t;
        const bool may = c < columns && c != out && (!allowed || allowed[r * allowed_stride + c]);
        kept |= (unsigned)(may && upper[t] >= reach) << t;
#if BOTH
        const float value = turned(upper[t], x, offset);
        if (may && value >= least[t]) {
          const int place = atomicAdd(&column_count[c], 1);
          if (place < column_capacity)
            column_list[(long long)c * column_capacity + place] = make_key(value, first_row + r);
        }
#endif
      }
      if (!kept) continue;
      int place = atomicAdd(&count[r], __popc(kept));
#pragma unroll
      for (int t = 0; t < EACH; t++)
        if (kept >> t & 1) {
          if (place < capacity) list[(long long)r * capacity + place] = make_key(upper[t], first_column + left + t);
          place++;
        }
    }
  }
}
