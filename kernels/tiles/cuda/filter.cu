// filter.cu - the pairs of a score tile whose upper bound reaches the threshold of their row, their column, or both.
//
// Work    a block takes ROWS x COLUMNS scores; a thread keeps what it needs of its 4 columns in registers, warps go down
//         the rows. A score costs 3 fused multiply-adds and a compare; a row of which something is kept, one ballot and
//         one atomic a warp
// Shapes  score (rows, columns) float32, C order; of the tile's rows: row (rows,) float4, threshold, exclude (rows,);
//         of its columns: column (columns,) float4, column_threshold; allowed (rows, allowed_stride) bytes
//         -> list (rows, capacity) keys, count (rows,); column_list (columns, column_capacity), column_count (columns,)
// Launch  256 threads, grid = (ceil(columns / 128), ceil(rows / 64)); no shared memory. Null: no exclude, no mask, and
//         no search of rows (list) or columns (column_list)
// Cost    4 bytes of L2 and 4 flops a score, 8 bytes a pair kept
// Sum     bounds.cuh. A count above its capacity says how many there were: that many less the capacity are lost
//
// NaN, from norms that are infinite, is kept: no bound excludes it.
#include "bounds.cuh"
#include "keys.cuh"
constexpr unsigned WARP = 0xffffffffu;
constexpr int ROWS = 64, EACH = 4, COLUMNS = 32 * EACH;

extern "C" __global__ void __launch_bounds__(256)
filter(const float* __restrict__ score, int rows, int columns, int first_row, int first_column,
       const float4* __restrict__ row, const float4* __restrict__ column, const float* __restrict__ threshold,
       const int* __restrict__ exclude, const unsigned char* __restrict__ allowed, long long allowed_stride,
       unsigned long long* __restrict__ list, int* count, int capacity,
       const float* __restrict__ row_offset, const float* __restrict__ column_threshold,
       unsigned long long* __restrict__ column_list, int* column_count, int column_capacity) {
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, warps = blockDim.x / 32;
  const int left = blockIdx.x * COLUMNS + lane;
  float4 y[EACH];
  float least[EACH];
  for (int t = 0; t < EACH; t++) {
    const int c = left + 32 * t;
    y[t] = c < columns ? column[c] : float4{0, 0, 0, -INFINITE};
    least[t] = column_list && c < columns ? column_threshold[c] : INFINITE;
  }
  const int stop = min(rows, (int)(blockIdx.y + 1) * ROWS);
  for (int r = blockIdx.y * ROWS + warp; r < stop; r += warps) {
    const float4 x = row[r];
    const float reach = list ? threshold[r] : INFINITE, offset = column_list ? row_offset[r] : 0;
    const int out = exclude ? exclude[r] - first_column : -1;
    float upper[EACH];
    unsigned kept = 0, kept_by_column = 0;
    for (int t = 0; t < EACH; t++) {
      const int c = left + 32 * t;
      upper[t] = upper_bound(c < columns ? score[(long long)r * columns + c] : 0, x, y[t]);
      const bool may = c < columns && c != out && (!allowed || allowed[r * allowed_stride + c]);
      kept |= (unsigned)(may && list && !(upper[t] < reach)) << t;
      kept_by_column |= (unsigned)(may && column_list && !(turned(upper[t], x, offset) < least[t])) << t;
    }
    if (__any_sync(WARP, kept)) {
      int taken = 0;
      for (int t = 0; t < EACH; t++) taken += __popc(__ballot_sync(WARP, kept >> t & 1));
      int place = 0;
      if (lane == 0) place = atomicAdd(&count[r], taken);
      place = __shfl_sync(WARP, place, 0);
      for (int t = 0; t < EACH; t++) {
        const unsigned votes = __ballot_sync(WARP, kept >> t & 1);
        const int mine = place + __popc(votes & ((1u << lane) - 1));
        if ((kept >> t & 1) && mine < capacity)
          list[(long long)r * capacity + mine] = make_key(upper[t], first_column + left + 32 * t);
        place += __popc(votes);
      }
    }
    for (int t = 0; t < EACH; t++)  // lanes have columns of their own: no ballot can join them
      if (kept_by_column >> t & 1) {
        const int c = left + 32 * t, place = atomicAdd(&column_count[c], 1);
        if (place < column_capacity)
          column_list[(long long)c * column_capacity + place] = make_key(turned(upper[t], x, offset), first_row + r);
      }
  }
}
