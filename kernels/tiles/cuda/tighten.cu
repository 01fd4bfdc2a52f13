// tighten.cu - raises the threshold of every owner to its k-th largest lower bound and drops what no longer reaches it.
//
// Work    a block an owner: four rounds of a radix select over the lower bounds, which are computed again each time (two
//         gathers), then one pass that moves what stays to the front
// Shapes  list (owners, capacity) keys, count, threshold (owners,), all changed in place; own (owners,) float4 of the
//         owners, partner (all,) float4; row_offset: of the partners, for TURNED 1; slack (owners,) float32: how far a
//         canonical value may be from its key -> lost (owners,) int32: set where a list could not hold all
// Launch  256 threads, grid = owners; 10 KiB of shared memory
// Cost    5 reads of the list, 16 gathered bytes for the first of them; independent of k
// Sum     bounds.cuh. TURNED 0: owners are rows; 1: owners are columns
//
// The k-th largest lower bound of any k partners is a floor for the k-th best key; ties at the floor stay. An owner whose
// list overflowed is lost, which stays said; its threshold is a floor still, and the better one to begin again with.
#include "bounds.cuh"
#include "keys.cuh"
#ifndef TURNED
#define TURNED 0
#endif
constexpr unsigned WARP = 0xffffffffu;
constexpr int THREADS = 256, DIGITS = 256, DIGIT_BITS = 8, KNOWN = 2048;

extern "C" __global__ void __launch_bounds__(256)
tighten(unsigned long long* list, int* count, int capacity, int k, const float4* __restrict__ own,
        const float4* __restrict__ partner, const float* __restrict__ row_offset, const float* __restrict__ slack,
        float* threshold, int* lost) {
  __shared__ int histogram[DIGITS], warp_total[THREADS / 32];
  __shared__ unsigned known[KNOWN];  // lower bounds of the front of the list
  __shared__ unsigned digit_found;
  __shared__ int rank_left;
  const int owner = blockIdx.x, t = threadIdx.x, lane = t % 32, warp = t / 32;
  const int held = count[owner], size = min(held, capacity);
  unsigned long long* keys = list + (long long)owner * capacity;
  const float4 mine = own[owner];
  auto low_bits = [&](unsigned long long key) {
    const float4 other = partner[key_index(key)];
#if TURNED
    return ordered_bits(lower_bound_turned(key_upper(key), other, mine, row_offset[key_index(key)]));
#else
    return ordered_bits(lower_bound(key_upper(key), mine, other));
#endif
  };
  float floor = threshold[owner];
  if (size >= k) {
    unsigned prefix = 0;
    int rank = k;  // of the bound that is looked for among those of this prefix, from above
    for (int shift = 32 - DIGIT_BITS; shift >= 0; shift -= DIGIT_BITS) {
      histogram[t] = 0;
      __syncthreads();
      for (int slot = t; slot < size; slot += THREADS) {
        const bool again = shift < 32 - DIGIT_BITS && slot < KNOWN;  // a thread has the same slots each time
        const unsigned bits = again ? known[slot] : low_bits(keys[slot]);
        if (slot < KNOWN) known[slot] = bits;
        if ((unsigned long long)bits >> (shift + DIGIT_BITS) == prefix) atomicAdd(&histogram[bits >> shift & 0xff], 1);
      }
      __syncthreads();
      if (t == 0) {
        int digit = DIGITS - 1, left = rank;
        while (histogram[digit] < left) left -= histogram[digit--];
        digit_found = digit, rank_left = left;
      }
      __syncthreads();
      prefix = prefix << DIGIT_BITS | digit_found, rank = rank_left;
    }
    floor = fmaxf(floor, from_ordered(prefix) - slack[owner]);
  }
  __syncthreads();  // all have read count and threshold
  int kept = 0;
  for (int base = 0; base < size; base += THREADS) {
    const int slot = base + t;
    const unsigned long long key = slot < size ? keys[slot] : 0;
    const bool stays = slot < size && key_upper(key) >= floor;
    const unsigned votes = __ballot_sync(WARP, stays);
    if (lane == 0) warp_total[warp] = __popc(votes);
    __syncthreads();  // and all of this stretch has been read: what is written lies before its end
    int place = kept + __popc(votes & ((1u << lane) - 1));
    for (int w = 0; w < THREADS / 32; w++) {
      place += w < warp ? warp_total[w] : 0;
      kept += warp_total[w];
    }
    if (stays) keys[place] = key;
    __syncthreads();  // the totals are free again
  }
  if (t == 0) {
    threshold[owner] = floor;
    count[owner] = kept;
    if (held > capacity) lost[owner] = 1;
  }
}
