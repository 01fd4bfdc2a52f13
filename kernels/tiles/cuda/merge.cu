// merge.cu - sums of stretches of terms, added to the running sums of their owners.
//
// Work    a thread an owner
// Shapes  part_top, part_total (stretches, owners) float64 -> top, total (owners,), changed in place
// Launch  256 threads, grid = ceil(owners / 256); no shared memory
// Cost    16 bytes and two exponentials a stretch
// Sum     float64, relative to the largest of all; stretches ascending
#include "exponential.cuh"

extern "C" __global__ void __launch_bounds__(256)
merge(const double* __restrict__ part_top, const double* __restrict__ part_total, int stretches, int owners, double* top,
      double* total) {
  const int owner = blockIdx.x * blockDim.x + threadIdx.x;
  if (owner >= owners) return;
  const double before = top[owner];
  double most = before;
  for (int s = 0; s < stretches; s++) most = fmax(most, part_top[(long long)s * owners + owner]);
  const bool as_it_is = endless(most);
  double sum = as_it_is ? total[owner] : __dmul_rn(total[owner], share(before, most));
  for (int s = 0; s < stretches; s++) {
    const long long at = (long long)s * owners + owner;
    sum = __dadd_rn(sum, as_it_is ? part_total[at] : __dmul_rn(part_total[at], share(part_top[at], most)));
  }
  top[owner] = most, total[owner] = sum;
}
