// order.cu - the k first candidates of every query by (value, index), and whether nothing can be missing.
//
// Work    a block a query: each thread counts who precedes its candidate, which is the place of that candidate
// Shapes  list (m, capacity) keys, value (m, capacity) float64, count, lost (m,) -> value_mk (m, k) float64,
//         index_mk (m, k) int64, certified (m,) bytes; empty slots: +inf and -1
// Launch  256 threads, grid = m; no dynamic shared memory
// Cost    count^2 comparisons: some k^2, less than the rest up to k of about a thousand; any k up to n. No scratch
// Sum     none. NaN comes last, ties by the lower index; a query whose list overflowed is not certified
#include "keys.cuh"
constexpr int THREADS = 256;

__device__ __forceinline__ bool precedes(double a, unsigned i, double b, unsigned j) {
  if (a < b || a > b) return a < b;
  const bool a_lost = a != a, b_lost = b != b;
  return a_lost == b_lost ? i < j : b_lost;
}

extern "C" __global__ void __launch_bounds__(256)
order(const unsigned long long* __restrict__ list, const double* __restrict__ value, const int* __restrict__ count,
      const int* __restrict__ lost, int capacity, int k, double* __restrict__ value_mk,
      long long* __restrict__ index_mk, unsigned char* __restrict__ certified) {
  __shared__ double values[THREADS];
  __shared__ unsigned indices[THREADS];
  const int query = blockIdx.x, t = threadIdx.x, size = min(count[query], capacity);
  const long long at = (long long)query * capacity, out = (long long)query * k;
  for (int base = 0; base < size; base += THREADS) {
    const int slot = base + t;
    const bool here = slot < size;
    const double mine = here ? value[at + slot] : 0;
    const unsigned index = here ? key_index(list[at + slot]) : 0;
    int place = 0;
    for (int start = 0; start < size; start += THREADS) {
      const int other = start + t;
      if (other < size) values[t] = value[at + other], indices[t] = key_index(list[at + other]);
      __syncthreads();
      const int stop = min(THREADS, size - start);
      for (int s = 0; s < stop; s++) place += precedes(values[s], indices[s], mine, index);
      __syncthreads();
    }
    if (here && place < k) value_mk[out + place] = mine, index_mk[out + place] = index;
  }
  for (int slot = size + t; slot < k; slot += THREADS) value_mk[out + slot] = INFINITE, index_mk[out + slot] = -1;
  if (t == 0) certified[query] = lost[query] == 0;
}
