// faults.cu - small kernels that are wrong on purpose, each beside the sound one: the trial of the emulator.
//
// -DFAULT=<number> plants one fault; without it every kernel is sound.
#ifndef FAULT
#define FAULT 0
#endif
#define FULL 0xffffffffu

extern "C" __global__ void turn(const float* x, float* y) {  // one warp or more: each reversed
  __shared__ float held[128];
#if FAULT != 7
  held[threadIdx.x] = x[blockIdx.x * blockDim.x + threadIdx.x];
#else
  if (threadIdx.x != 5) held[threadIdx.x] = x[blockIdx.x * blockDim.x + threadIdx.x];  // 5 stays uninitialised
#endif
#if FAULT != 1
  __syncwarp();
#endif
  y[blockIdx.x * blockDim.x + threadIdx.x] = held[threadIdx.x ^ 31];
}

extern "C" __global__ void turn_block(const float* x, float* y) {  // the whole block of 128 reversed
  __shared__ float held[128];
  held[threadIdx.x] = x[threadIdx.x];
#if FAULT == 2
  __syncwarp();  // other warps are not waited for
#elif FAULT == 8
  if (threadIdx.x >= 96) return;  // before the barrier
  __syncthreads();
#elif FAULT == 9
  if (threadIdx.x < 64) __syncthreads();
  else
    __syncthreads();  // another one
#elif FAULT == 10
  if (threadIdx.x < 64) __syncthreads();  // half a block
#else
  __syncthreads();
#endif
#if FAULT == 3
  y[threadIdx.x] = held[128 - threadIdx.x];  // one past the end for thread 0
#else
  y[threadIdx.x] = held[127 - threadIdx.x];
#endif
}

extern "C" __global__ void total(const float* x, int n, float* sum, int* count) {  // sum of a block, in a warp's tree
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
#if FAULT == 4
  float mine = i <= n ? x[i] : 0;  // one past the end
#else
  float mine = i < n ? x[i] : 0;
#endif
#if FAULT == 5
  if (threadIdx.x & 1)  // half a warp
    for (int by = 16; by; by >>= 1) mine += __shfl_xor_sync(FULL, mine, by);
#elif FAULT == 6
  for (int by = 16; by; by >>= 1) mine += __shfl_xor_sync(threadIdx.x & 1 ? 0xaaaaaaaau : FULL, mine, by);
#elif FAULT == 11
  for (int by = 8; by; by >>= 1) mine += __shfl_xor_sync(0x0000ffffu, mine, by);  // half of the callers are not in it
#elif FAULT == 12
  mine = __shfl_sync(0x55555555u << (threadIdx.x & 1), mine, 0);  // lane 0 is not in the mask of the odd ones
#elif FAULT == 19
  for (int by = 16; by; by >>= 1)
    mine += threadIdx.x & 1 ? __shfl_xor_sync(FULL, mine, by) : __shfl_down_sync(FULL, mine, by);
#else
  for (int by = 16; by; by >>= 1) mine += __shfl_xor_sync(FULL, mine, by);
#endif
  if (threadIdx.x == 0) {
    sum[blockIdx.x] = mine;
#if FAULT == 13
    count[0] = count[0] + 1;  // blocks run at the same time
#else
    atomicAdd(count, 1);
#endif
  }
}

extern "C" __global__ void collect(const int* x, int n, int least, int* found, int* found_count) {  // x >= least, 64 threads
  __shared__ int waiting, held[64];
  if (threadIdx.x == 0) waiting = 0, *found_count = 0;
  __syncthreads();
  for (int start = 0; start < n; start += 64) {
    const int i = start + threadIdx.x;
    if (i < n && x[i] >= least) held[atomicAdd(&waiting, 1)] = x[i];
#if FAULT != 14
    __syncthreads();  // all are held before anyone counts
#endif
    const int size = waiting, base = *found_count;
    if ((int)threadIdx.x < size) found[base + threadIdx.x] = held[threadIdx.x];
#if FAULT != 15
    __syncthreads();  // all have read the counters before they change
#endif
    if (threadIdx.x == 0) waiting = 0, *found_count = base + size;
    __syncthreads();
  }
}

extern "C" __global__ void doubled(const float* x, int n, float* y, int shift) {  // four at a time
  const int i = (blockIdx.x * blockDim.x + threadIdx.x) * 4;
#if FAULT == 16
  const float4 four = *(const float4*)(x + i + 1);  // not on 16 bytes
#else
  const float4 four = *(const float4*)(x + i);
#endif
#if FAULT == 17
  const int factor = 1 << (shift + 32);
#elif FAULT == 18
  const int factor = n * 0x40000000 + (1 << shift);
#else
  const int factor = 1 << shift;
#endif
  if (i + 3 < n) *(float4*)(y + i) = {four.x * factor, four.y * factor, four.z * factor, four.w * factor};
}
