// order.cu - the k first candidates of every query by (value, index), merged with what was found before.
//
// Work    a block a query: each thread counts who precedes its candidate, which is the place of that candidate
// Shapes  list (m, capacity) keys, value (m, capacity) float64, count (m,); places of keys are multiples of `step` modulo
//         `total`, of rows that are numbered from `base` on; before_value (m, k) float64, before_index (m, k) int64 of
//         other rows, or null -> value_mk (m, k) float64, index_mk (m, k) int64; empty slots: +inf and -1
// Launch  256 threads, grid = m; no dynamic shared memory
// Cost    count^2 comparisons: some k^2, less than the rest up to k of about a thousand; any k up to n. No scratch
// Sum     none. NaN comes last, ties by the lower index
#include "keys.cuh"
constexpr int THREADS = 256;

__device__ __forceinline__ bool precedes(double a, long long i, double b, long long j) {
  if (a < b || a > b) return a < b;
  const bool a_lost = a != a, b_lost = b != b;
  return a_lost == b_lost ? i < j : b_lost;
}

extern "C" __global__ void __launch_bounds__(256)
order(const unsigned long long* __restrict__ list, const double* __restrict__ value, const int* __restrict__ count,
      int capacity, unsigned step, unsigned total, long long base, const double* __restrict__ before_value,
      const long long* __restrict__ before_index, int k, double* __restrict__ value_mk, long long* __restrict__ index_mk) {
  __shared__ double values[THREADS];
  __shared__ long long indices[THREADS];
  __shared__ int known;
  const int query = blockIdx.x, t = threadIdx.x, listed = min(count[query], capacity);
  const long long at = (long long)query * capacity, out = (long long)query * k;
  if (t == 0) known = 0;
  __syncthreads();
  if (before_index)
    for (int slot = t; slot < k; slot += THREADS)
      if (before_index[out + slot] >= 0) atomicAdd(&known, 1);
  __syncthreads();
  const int size = listed + known;
  auto value_of = [&](int slot) { return slot < listed ? value[at + slot] : before_value[out + slot - listed]; };
  auto index_of = [&](int slot) {
    return slot < listed ? base + row_at(key_index(list[at + slot]), step, total) : before_index[out + slot - listed];
  };
  for (int start = 0; start < size; start += THREADS) {
    const int slot = start + t;
    const bool here = slot < size;
    const double mine = here ? value_of(slot) : 0;
    const long long index = here ? index_of(slot) : 0;
    int place = 0;
    for (int first = 0; first < size; first += THREADS) {
      const int other = first + t;
      if (other < size) values[t] = value_of(other), indices[t] = index_of(other);
      __syncthreads();
      const int stop = min(THREADS, size - first);
      for (int s = 0; s < stop; s++) place += precedes(values[s], indices[s], mine, index);
      __syncthreads();
    }
    if (here && place < k) value_mk[out + place] = mine, index_mk[out + place] = index;
  }
  for (int slot = size + t; slot < k; slot += THREADS) value_mk[out + slot] = INFINITE, index_mk[out + slot] = -1;
}
