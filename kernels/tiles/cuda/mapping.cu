// mapping.cu - few rows of each of many matrices: every matrix is read once, as one stream.
//
// Work    a block takes up to ROWS rows of one matrix, which lie in shared memory, and OUTPUTS rows of the matrix; a warp
//         EACH of these at a time, a lane 16 bytes of each, against all ROWS
// Shapes  e_nd (n, d_in), m_god (g, d_out, d_in) REAL; order (n,) rows by matrix; tile (tiles, 3): number of a matrix, place
//         of its first row in order, how many rows -> out_no (n, d_out); C order; rows that no tile names stay
// Launch  256 threads, grid = (tiles, ceil(d_out / 64)): tiles of a matrix beside each other find it in L2; 32 KB of
//         shared memory. m_god on 16 bytes where d_in is a multiple of what they hold
// Cost    d_out d_in elements of m_god a tile, from memory once a matrix; d_in elements a row for every 64 of d_out, from L2
// Sum     in REAL: a lane adds its features ascending (float32 by FMA), lanes by a butterfly
#include "instructions.cuh"
#ifndef REAL
#define REAL float
#endif
constexpr unsigned WARP = 0xffffffffu;
constexpr int WIDTH = 16 / sizeof(REAL);
constexpr int ROWS = 8, EACH = WIDTH, WARPS = 8, OUTPUTS = 64, SETS = OUTPUTS / (WARPS * EACH);
constexpr int BLOCKS = sizeof(REAL) == 4 ? 3 : 2;  // a processor: 48 KB of loads under way; float64 would spill with 3
constexpr int TOTALS = EACH * ROWS;  // of a warp: a power of two, at most 32
constexpr int HELD = (32 << 10) / (ROWS * sizeof(REAL));  // features in shared memory

template <int N> struct alignas(N * sizeof(REAL)) Piece { REAL part[N]; };

// Products of `width` features of EACH rows of a matrix and of ROWS rows of E
template <int N>
__device__ __forceinline__ void add(REAL (&sum)[TOTALS], const REAL* (&row)[EACH], const REAL* held, int first, int width) {
#pragma unroll 1
  for (int c = threadIdx.x % 32 * N; c < width; c += 32 * N) {
    Piece<N> mine[EACH];
    for (int o = 0; o < EACH; o++) mine[o] = *reinterpret_cast<const Piece<N>*>(row[o] + first + c);
    for (int r = 0; r < ROWS; r++) {
      const Piece<N> other = *reinterpret_cast<const Piece<N>*>(held + r * HELD + c);
      for (int o = 0; o < EACH; o++)
        for (int i = 0; i < N; i++) sum[o * ROWS + r] = multiply_add(mine[o].part[i], other.part[i], sum[o * ROWS + r]);
    }
  }
}

extern "C" __global__ void __launch_bounds__(256, BLOCKS)
mapping(const REAL* __restrict__ e_nd, const REAL* __restrict__ m_god, int d_in, int d_out, const int* __restrict__ order,
        const int* __restrict__ tile, REAL* __restrict__ out_no) {
  __shared__ __align__(16) REAL held[ROWS * HELD];
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int number = tile[3 * blockIdx.x], place = tile[3 * blockIdx.x + 1], rows = tile[3 * blockIdx.x + 2];
  const REAL* matrix = m_god + (long long)number * d_out * d_in;
  for (int set = 0; set < SETS; set++) {
    const int output = blockIdx.y * OUTPUTS + (set * WARPS + warp) * EACH;
    const REAL* row[EACH];
    for (int o = 0; o < EACH; o++) row[o] = matrix + (long long)min(output + o, d_out - 1) * d_in;
    REAL sum[TOTALS] = {};
    for (int first = 0; first < d_in; first += HELD) {
      const int width = min(HELD, d_in - first);
      if (set == 0 || d_in > HELD) {
        __syncthreads();  // all have read what is there
        if (warp < ROWS) {
          const REAL* given = e_nd + (warp < rows ? (long long)order[place + warp] * d_in + first : 0);
          for (int c = lane; c < width; c += 32) held[warp * HELD + c] = warp < rows ? given[c] : 0;
        }
        __syncthreads();
      }
      if (d_in % WIDTH == 0) add<WIDTH>(sum, row, held, first, width);
      else add<1>(sum, row, held, first, width);
    }
    // Lane l ends up with the total of number l % TOTALS: each step halves what a lane still has to add.
#pragma unroll
    for (int by = 16; by; by >>= 1)
#pragma unroll
      for (int i = 0; i < min(by, TOTALS); i++) {
        const bool upper = by < TOTALS && lane & by;
        const REAL second = by < TOTALS ? sum[i + by] : sum[i], sent = upper ? sum[i] : second;
        sum[i] = plus(upper ? second : sum[i], __shfl_xor_sync(WARP, sent, by));
      }
    const int o = lane / ROWS, r = lane % ROWS;
    if (lane < TOTALS && r < rows && output + o < d_out) out_no[(long long)order[place + r] * d_out + output + o] = sum[0];
  }
}
