// settle.cu - pairs that count.cu left undecided, by canonical value: nearer than a goal, before it, or level with it.
//
// Work    a block a row: its threads take the listed pairs, goal after goal
// Shapes  list (rows, capacity) keys, value (rows, capacity) float64 of rerank.cu, listed (rows,); row (rows,) float4,
//         column (all,) float4 by place; goals of row r: start[r] to start[r + 1], low, high float32, target (goals,)
//         float64, positive (goals,) int64; places are multiples of `step` modulo `total` of rows from `base` on
//         -> better, before, equal (goals,) int32 grow
// Launch  256 threads, grid = rows; no dynamic shared memory
// Cost    a read of the list and of its values a goal
// Sum     none. As count.cu decided, so is it decided here: what it has counted is passed over
#include "bounds.cuh"
#include "keys.cuh"
constexpr unsigned WARP = 0xffffffffu;

extern "C" __global__ void __launch_bounds__(256)
settle(const unsigned long long* __restrict__ list, const double* __restrict__ value, const int* __restrict__ listed,
       int capacity, const float4* __restrict__ row, const float4* __restrict__ column, const int* __restrict__ start,
       const float* __restrict__ low, const float* __restrict__ high, const double* __restrict__ target,
       const long long* __restrict__ positive, unsigned step, unsigned total, long long base, int* better, int* before,
       int* equal) {
  const int r = blockIdx.x, lane = threadIdx.x % 32, size = min(listed[r], capacity);
  const long long at = (long long)r * capacity;
  const float4 x = row[r];
  for (int g = start[r]; g < start[r + 1]; g++) {
    const double aim = target[g];
    const long long mine = positive[g];
    const bool lost = aim != aim;
    int counted[3] = {0, 0, 0};
    for (int slot = threadIdx.x; slot < size; slot += blockDim.x) {
      const unsigned long long key = list[at + slot];
      const float upper = key_upper(key);
      if (upper < low[g] || lower_bound(upper, x, column[key_index(key)]) > high[g]) continue;
      const double found = value[at + slot];
      const long long index = base + row_at(key_index(key), step, total);
      const bool level = (found == aim || (found != found && lost)) && index != mine;
      counted[0] += found < aim || (found == found && lost);
      counted[1] += level && index < mine;
      counted[2] += level;
    }
    for (int by = 16; by; by >>= 1)
      for (int what = 0; what < 3; what++) counted[what] += __shfl_xor_sync(WARP, counted[what], by);
    if (lane) continue;
    if (counted[0]) atomicAdd(&better[g], counted[0]);
    if (counted[1]) atomicAdd(&before[g], counted[1]);
    if (counted[2]) atomicAdd(&equal[g], counted[2]);
  }
}
