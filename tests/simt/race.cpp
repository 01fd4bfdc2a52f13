// race.cpp - a happens-before race detector and a check of uninitialised shared memory, for kernels run by simt.cpp.
//
// gcc -fsanitize=thread puts a call before every memory access of the kernels; those __tsan_* functions are defined here
// and libtsan is not linked (its fibre interface takes the scheduler itself for racy). Each thread has a vector clock;
// barriers and warp collectives join the clocks of those that met. Two accesses to the same byte race if one writes, they
// are not both atomic, and no join lies between them. Blocks are never ordered: neither are atomics, so that a kernel
// that hands data over through a flag is reported. Watched: shared memory and the arrays of the launch, in granules of
// 8 bytes that remember their last four accesses.
#include "race.h"
#include <dlfcn.h>
#include <algorithm>
#include <cstdio>
#include <set>
#include <string>
#include <unordered_map>
#include "simt.h"

namespace race {
void yield_here();
}

namespace {
enum { READ = 0, WRITE = 1, ATOMIC = 2 };
struct Access { unsigned clock, block; unsigned short thread; unsigned char bytes, kind; };  // bytes: a mask, 0 = none
struct Granule { Access last[4]; };
struct Range { const char* start; size_t bytes; std::string name; bool shared; };

std::vector<Range> ranges;
std::unordered_map<uintptr_t, Granule> memory;
std::unordered_map<uintptr_t, unsigned char> written;  // bytes of shared memory that this block has written
std::vector<std::vector<unsigned>> clocks;  // clocks[t][u]: what thread t knows of thread u
std::set<std::pair<void*, bool>> places;    // code that has been reported
std::string found;
unsigned block_number, evicted;

void add(const Range& range, const char* address, void* code, bool uninitialised, const char* what) {
  if (places.size() >= 8 || !places.insert({code, uninitialised}).second) return;
  char text[400];
  Dl_info info{};
  dladdr(code, &info);
  snprintf(text, sizeof text, "%s: %s+%zu %s [%#zx in %s]\n", uninitialised ? "UNINITIALISED" : "RACE", range.name.c_str(),
           (size_t)(address - range.start), what, (size_t)((char*)code - (char*)info.dli_fbase) - 1,
           info.dli_sname ? info.dli_sname : "?");
  found += text;
}

void report(const Range& range, const char* address, const Access& now, const Access& then, void* code) {
  static const char* words[] = {"read", "write", "atomic read", "atomic write"};
  char what[160];
  snprintf(what, sizeof what, "%s by thread %d of block %u, unordered with a %s by thread %d of block %u", words[now.kind],
           now.thread, now.block, words[then.kind], then.thread, then.block);
  add(range, address, code, false, what);
}

void look(Range& range, const char* p, unsigned char mask, int kind, void* code) {
  const int me = simt::here->index;
  const uintptr_t key = (uintptr_t)p & ~(uintptr_t)7;
  const Access now{clocks[me][me], block_number, (unsigned short)me, mask, (unsigned char)kind};
  if (range.shared) {
    unsigned char& known = written[key];
    if (kind != WRITE && (mask & ~known)) add(range, p, code, true, "is read before anyone wrote it");
    if (kind & WRITE) known |= mask;
  }
  Access* slot = nullptr;  // where to remember this one: empty, or of an access that it makes superfluous
  Granule& granule = memory[key];
  for (Access& then : granule.last) {
    const bool same = then.block == block_number && then.thread == me;
    const bool before = then.block == block_number && clocks[me][then.thread] >= then.clock;
    if (!then.bytes) slot = slot ? slot : &then;
    else if (!(then.bytes & mask)) continue;
    else if (same) slot = then.bytes == mask && (then.kind == kind || kind & WRITE) ? &then : slot;
    else if (!before && (then.kind | kind) & WRITE && !(then.kind & kind & ATOMIC)) report(range, p, now, then, code);
    else if (before && then.bytes == mask && kind & WRITE) slot = slot ? slot : &then;
  }
  *(slot ? slot : &granule.last[evicted++ % 4]) = now;
}

void access(const void* address, size_t size, int kind, void* code) {
  if (!simt::here) return;  // of the host
  const char* p = (const char*)address;
  auto range = std::find_if(ranges.begin(), ranges.end(), [&](Range& r) { return p >= r.start && p < r.start + r.bytes; });
  if (range == ranges.end()) return;  // a stack
  if (!(kind & ATOMIC)) race::yield_here();  // never for a stack: a lambda's capture is read inside an atomic
  while (size > 0) {
    const unsigned offset = (uintptr_t)p & 7, n = (unsigned)std::min<size_t>(size, 8 - offset);
    look(*range, p, (unsigned char)(((1u << n) - 1) << offset), kind, code);
    p += n, size -= n;
  }
}
}  // namespace

namespace race {
void begin() {
  ranges.clear(), memory.clear(), places.clear(), found.clear();
}
void watch(const void* start, size_t bytes, const char* name, bool shared) {
  if (start && bytes) ranges.push_back({(const char*)start, bytes, name, shared});
}
void block(int threads, unsigned number) {
  block_number = number;
  clocks.assign(threads, std::vector<unsigned>(threads, 0));
  for (int t = 0; t < threads; t++) clocks[t][t] = 1;
  written.clear();
  for (Range& r : ranges)
    if (r.shared)
      for (uintptr_t g = (uintptr_t)r.start & ~(uintptr_t)7; g < (uintptr_t)r.start + r.bytes; g += 8) memory.erase(g);
}
void joined(const std::vector<int>& threads) {
  std::vector<unsigned> joint(clocks.size(), 0);
  for (int t : threads)
    for (size_t u = 0; u < joint.size(); u++) joint[u] = std::max(joint[u], clocks[t][u]);
  for (int t : threads) clocks[t] = joint, clocks[t][t]++;
}
void atomic(void* address, int bytes) { access(address, bytes, WRITE | ATOMIC, __builtin_return_address(0)); }
const char* findings() { return found.c_str(); }
}  // namespace race

// ---- the hooks of -fsanitize=thread -----------------------------------------------------------------------------------
extern "C" {
#define HERE __builtin_return_address(0)
#define HOOK(name, bytes, kind) void __tsan_##name(void* p) { access(p, bytes, kind, HERE); }
#define HOOKS(n) HOOK(read##n, n, READ) HOOK(write##n, n, WRITE) HOOK(unaligned_read##n, n, READ) \
  HOOK(unaligned_write##n, n, WRITE) HOOK(volatile_read##n, n, ATOMIC) HOOK(volatile_write##n, n, ATOMIC | WRITE)
HOOKS(1) HOOKS(2) HOOKS(4) HOOKS(8) HOOKS(16)
void __tsan_read_range(void* p, size_t n) { access(p, n, READ, HERE); }
void __tsan_write_range(void* p, size_t n) { access(p, n, WRITE, HERE); }
void* __tsan_memset(void* p, int c, size_t n) { access(p, n, WRITE, HERE); return memset(p, c, n); }
void* __tsan_memcpy(void* to, const void* from, size_t n) {
  access(from, n, READ, HERE);
  access(to, n, WRITE, HERE);
  return memcpy(to, from, n);
}
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
}
