// distances.cu - a tile of products to distances; where their bound exceeds the promise, the canonical value instead.
//
// Work    a block takes ROWS x COLUMNS entries, a warp a row at a time, a thread 4 of its columns, whose products it reads
//         before it writes: 1 KB a warp is under way. Entries to repair are gathered by ballot and computed four at a
//         time, eight threads each, the lanes of a canonical sum
// Shapes  product (rows, columns), x_md (rows, d), y_nd (columns, d), square and factor of either side as vectors.cu made
//         them, all float64 -> out (rows, columns) OUTPUT; C order. x_md and y_nd: exact rows for L2, else the vectors.
//         out may be product where OUTPUT is double
// Launch  256 threads, grid = (ceil(columns / 128), ceil(rows / 64)); no shared memory
// Cost    8 bytes in, the size of OUTPUT out; 8 flops in float64 an entry, 3 d and 16 d bytes of L2 more a repair
// Sum     canonical for what is repaired
//
// FORM  value                                    kept where                        then
//   L2  square_x + square_y - 2 product          > limit (norm_x + norm_y)^2       the root, if rooted
//   DOT product                                  both norms are numbers
//   COSINE, CORRELATION  1 - product factor_x factor_y   >= limit, so that duplicates are at 0; at most 2
// mirrored: the tile is of a block with itself, and an entry below the diagonal is the one above it (out is not product).
#include "cosine.cuh"
#include "forms.cuh"
#include "lanes.cuh"
#ifndef OUTPUT
#define OUTPUT float
#endif
constexpr int ROWS = 64, EACH = 4, COLUMNS = 32 * EACH;

__device__ __forceinline__ void put(float* at, double value) { *at = to_float(value); }
__device__ __forceinline__ void put(double* at, double value) { *at = value; }

__device__ __forceinline__ double ended(double value, int form, int rooted) {
  return rooted ? __dsqrt_rn(value) : form == DOT ? __dadd_rn(value, 0) : value;  // no negative zero
}

extern "C" __global__ void __launch_bounds__(256, 3)
distances(const double* product, int rows, int columns, int d, int form, int rooted, int mirrored, double limit,
          const double* __restrict__ x_md, const double* __restrict__ square_x, const double* __restrict__ factor_x,
          const double* __restrict__ y_nd, const double* __restrict__ square_y, const double* __restrict__ factor_y,
          OUTPUT* out) {
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, warps = blockDim.x / 32;
  const int left = blockIdx.x * COLUMNS, stop = min(rows, (int)(blockIdx.y + 1) * ROWS);
  double square[EACH], factor[EACH];
  for (int t = 0; t < EACH; t++) {
    const int c = min(left + 32 * t + lane, columns - 1);
    square[t] = square_y[c], factor[t] = factor_y[c];
  }
  for (int r = blockIdx.y * ROWS + warp; r < stop; r += warps) {
    const double own_square = square_x[r], own_factor = factor_x[r];
    double value[EACH];
    for (int t = 0; t < EACH; t++) {  // all of them under way before the first is written
      const int c = left + 32 * t + lane;
      const long long place = mirrored && r > c ? (long long)c * columns + r : (long long)r * columns + c;
      value[t] = c < columns ? product[place] : 0;
    }
    for (int t = 0; t < EACH; t++) {
      const int first = left + 32 * t, c = first + lane;
      const double p = value[t];
      bool good = true;
      if (form == L2) {
        const double both = __dadd_rn(own_factor, factor[t]);
        value[t] = __dsub_rn(__dadd_rn(own_square, square[t]), 2 * p);
        good = value[t] > limit * both * both;
      } else if (form == DOT) {
        good = own_factor == own_factor && factor[t] == factor[t];
      } else {
        value[t] = __dsub_rn(1, __dmul_rn(p, __dmul_rn(own_factor, factor[t])));
        good = value[t] >= limit;
        value[t] = value[t] > 2 ? 2 : value[t];
      }
      if (good && c < columns) put(&out[(long long)r * columns + c], ended(value[t], form, rooted));
      for (unsigned votes = __ballot_sync(WARP, !good && c < columns); votes;) {
        unsigned mine = votes;
        for (int group = lane / LANES; group > 0; group--) mine &= mine - 1;
        for (int group = 0; group < 32 / LANES; group++) votes &= votes - 1;
        const int at = mine ? first + __ffs((int)mine) - 1 : 0;
        const double *x = x_md + (long long)r * d, *y = y_nd + (long long)at * d;
        double total = 0;
        for (int i = lane % LANES; i < (mine ? d : 0); i += LANES) {
          const double gap = __dsub_rn(x[i], y[i]);
          total = __dadd_rn(total, form == L2 ? __dmul_rn(gap, gap) : __dmul_rn(x[i], y[i]));
        }
        total = lanes_total(total);
        if (mine == 0 || lane % LANES) continue;
        if (form >= COSINE) total = cosine_distance(total, own_square, square_y[at]);
        put(&out[(long long)r * columns + at], ended(total, form, rooted));
      }
    }
  }
}
