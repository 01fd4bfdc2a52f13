// simt.cpp - runs the kernels of one library on the CPU, one block at a time, every GPU thread a fibre.
//
// A seed fixes the order of blocks and of threads, so that a failure can be replayed; seed 0 runs each thread until it
// waits. Reported: deadlock, a thread that returned before a barrier, threads that meet at different lines, lanes that
// disagree about mask or collective, a shuffle from outside the mask. Shared memory is filled with 0xFF (NaN, -1) before
// each block. After a report the launch is over; its fibres are left where they stand.
//
// Not modelled: weak memory and fences, bank conflicts, occupancy, the rounding of tensor cores.
#include "simt.h"
#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>
#include "fibres.h"
#include "race.h"

namespace {
enum Status { READY, AT_BARRIER, IN_COLLECTIVE, RETURNED };
struct Fibre : simt::Place {
  fibres::Stack stack;
  Status status;
  int line;  // of the barrier or collective where it waits
  uint64_t received[32];
};
struct Collective { unsigned mask, arrived; simt::Kind kind; int line; uint64_t brought[32]; };

std::vector<std::unique_ptr<Fibre>> fibre;
std::vector<std::vector<Collective>> open_collectives;  // of each warp; disjoint masks may be open together
std::vector<int> ready;
std::vector<simt::Kernel>& kernels() {
  static std::vector<simt::Kernel> all;
  return all;
}
void (*body)(void**);
void** body_arguments;
int threads, returned, waiting, barrier_line;
unsigned votes[2], generation;  // two: the next barrier may fill before all have read this one
uint64_t seed, random_state;
double yield_share;
char* dynamic_memory;
std::string report;

uint64_t random_word() {  // splitmix64
  uint64_t z = random_state += 0x9e3779b97f4a7c15u;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}

Fibre& me() { return *static_cast<Fibre*>(simt::here); }
void wake(Fibre& other) {
  other.status = READY;
  ready.push_back(other.index);
}
void wait() { fibres::to_scheduler(me().stack); }
void yield() {
  ready.push_back(me().index);
  wait();
}
void maybe_yield() {
  if (seed && yield_share > 0 && (random_word() >> 11) * 0x1p-53 < yield_share) yield();
}

void open_barrier() {
  std::vector<int> met;
  for (int i = 0; i < threads; i++) met.push_back(i);
  race::joined(met);
  waiting = 0;
  generation++;
  for (int i : met) wake(*fibre[i]);
}

void enter() {
  fibres::entered();
  body(body_arguments);
  returned++;
  if (waiting) simt::fail("the thread returned, others wait at the barrier of line %d", barrier_line);
  me().status = RETURNED;
  fibres::to_scheduler(me().stack, true);
  abort();
}
}  // namespace

namespace simt {
Place* here;
dim3 block_size, grid_size;

void enlist(const Kernel& kernel) { kernels().push_back(kernel); }
void* dynamic_shared() { return dynamic_memory; }
void before_atomic(void* address, int bytes) {
  maybe_yield();
  race::atomic(address, bytes);
}
void after_atomic() { maybe_yield(); }

void fail(const char* format, ...) {
  char text[400];
  va_list rest;
  va_start(rest, format);
  vsnprintf(text, sizeof text, format, rest);
  va_end(rest);
  report += text;
  if (!here) abort();
  const uint3 b = here->block;
  snprintf(text, sizeof text, " [block (%u, %u, %u), thread %d]", b.x, b.y, b.z, here->index);
  report += text;
  me().status = RETURNED;
  fibres::to_scheduler(me().stack, true);
  abort();
}

unsigned barrier(Vote vote, bool yes, int line) {
  if (returned) fail("%d threads returned before the barrier of line %d", returned, line);
  if (waiting && line != barrier_line) fail("threads meet at the barriers of lines %d and %d", barrier_line, line);
  unsigned& total = votes[generation % 2];
  if (!waiting) total = vote == AND, barrier_line = line;
  total = vote == COUNT ? total + yes : vote == AND ? total & yes : total | (vote == OR && yes);
  me().status = AT_BARRIER, me().line = line;
  if (++waiting == threads) open_barrier();
  wait();
  return total;
}

const uint64_t* collective(unsigned mask, uint64_t value, Kind kind, int line) {
  Fibre& caller = me();
  if (!(mask >> caller.lane & 1)) fail("lane %d is not in its own mask %08x (line %d)", caller.lane, mask, line);
  auto& open = open_collectives[caller.warp];
  auto ours = std::find_if(open.begin(), open.end(), [&](Collective& c) { return c.mask & mask; });
  if (ours == open.end()) ours = open.insert(open.end(), Collective{mask, 0, kind, line, {}});
  if (ours->mask != mask) fail("lanes of a warp disagree on the mask: %08x and %08x (line %d)", ours->mask, mask, line);
  if (ours->kind != kind || ours->line != line)
    fail("lanes of a warp meet in the collectives of lines %d and %d", ours->line, line);
  ours->brought[caller.lane] = value;
  ours->arrived |= 1u << caller.lane;
  if (ours->arrived != mask) {
    caller.status = IN_COLLECTIVE, caller.line = line;
    wait();
    return caller.received;
  }
  std::vector<int> met;
  for (int lane = 0; lane < 32; lane++)
    if (mask >> lane & 1) {
      Fibre& other = *fibre[caller.warp * 32 + lane];
      memcpy(other.received, ours->brought, sizeof other.received);
      met.push_back(other.index);
      if (&other != &caller) wake(other);
    }
  open.erase(ours);
  race::joined(met);
  if (seed) yield();  // the last to arrive need not be the first to go on
  return caller.received;
}
}  // namespace simt

namespace {
extern "C" char __start_simt_shared[] __attribute__((weak, visibility("hidden")));
extern "C" char __stop_simt_shared[] __attribute__((weak, visibility("hidden")));

__attribute__((no_sanitize_address)) void poison(char* start, char* stop) {  // redzones between the arrays included
  for (volatile char* p = start; p < stop; p++) *p = (char)0xFF;
}

void explain_deadlock() {
  int at[3] = {-1, -1, -1}, count[3] = {};
  for (int i = 0; i < threads; i++)
    if (fibre[i]->status != RETURNED) count[fibre[i]->status]++, at[fibre[i]->status] = fibre[i]->line;
  char text[200];
  snprintf(text, sizeof text, "deadlock: %d threads wait at a barrier (line %d), %d in a warp collective (line %d), %d returned",
           count[AT_BARRIER], at[AT_BARRIER], count[IN_COLLECTIVE], at[IN_COLLECTIVE], returned);
  report += text;
}

void run_block(unsigned number) {
  race::block(threads, number);
  ready.clear();
  returned = waiting = 0;
  open_collectives.assign((threads + 31) / 32, {});
  const dim3 &b = simt::block_size, &g = simt::grid_size;
  for (int i = threads; i-- > 0;) {
    Fibre& f = *fibre[i];
    const unsigned u = i;
    f.index = i, f.warp = i / 32, f.lane = i % 32, f.status = READY;
    f.thread = {u % b.x, u / b.x % b.y, u / b.x / b.y};
    f.block = {number % g.x, number / g.x % g.y, number / g.x / g.y};
    fibres::start(f.stack, enter);
    ready.push_back(i);
  }
  while (!ready.empty() && report.empty()) {
    if (seed) std::swap(ready[random_word() % ready.size()], ready.back());
    Fibre& next = *fibre[ready.back()];
    ready.pop_back();
    simt::here = &next;
    fibres::to_fibre(next.stack);
    simt::here = nullptr;
  }
  if (report.empty() && returned < threads) explain_deadlock();
}
}  // namespace

// ---- what Python calls ----------------------------------------------------------------------------------------------
#define EXPORT extern "C" __attribute__((visibility("default")))
// The i-th stack of a process: its first library supplies all, or a hundred of them reach vm.max_map_count.
EXPORT char* simt_stack(int i) {
  static std::vector<char*> all;  // kept between launches: a fresh stack costs three system calls
  while ((int)all.size() <= i && (all.empty() || all.back())) all.push_back(fibres::fresh());
  return i < (int)all.size() ? all[i] : nullptr;
}
extern "C" {
__attribute__((visibility("default"))) char* (*simt_supplier)(int) = simt_stack;
}

struct Launch { unsigned grid[3], block[3]; uint64_t shared_bytes, seed; double yield_share; };

namespace race {
void yield_here() { maybe_yield(); }
}

EXPORT const char* simt_signature(const char* name) {
  for (auto& kernel : kernels())
    if (!strcmp(kernel.name, name)) return kernel.signature;
  return nullptr;
}

// The report of one launch, empty if all went well. bytes[i] is the size of the array of argument i, 0 for a number.
EXPORT const char* simt_launch(const char* name, const Launch* launch, void** arguments, const uint64_t* bytes, int count) {
  const unsigned *g = launch->grid, *b = launch->block;
  report.clear();
  body = nullptr;
  for (auto& kernel : kernels())
    if (!strcmp(kernel.name, name)) body = kernel.call;
  body_arguments = arguments;
  simt::grid_size = {g[0], g[1], g[2]}, simt::block_size = {b[0], b[1], b[2]};
  threads = b[0] * b[1] * b[2];
  seed = random_state = launch->seed, yield_share = launch->yield_share;
  while ((int)fibre.size() < threads) {
    fibre.push_back(std::make_unique<Fibre>());
    if (!(fibre.back()->stack.memory = simt_supplier(fibre.size() - 1))) return "no memory for the stacks";
  }
  race::begin();
  race::watch(__start_simt_shared, __stop_simt_shared - __start_simt_shared, "shared", true);
  dynamic_memory = nullptr;
  if (launch->shared_bytes && posix_memalign((void**)&dynamic_memory, 1024, launch->shared_bytes)) return "no memory";
  race::watch(dynamic_memory, launch->shared_bytes, "dynamic shared", true);
  for (int i = 0; i < count; i++)
    if (bytes[i]) race::watch(*(void**)arguments[i], bytes[i], ("argument " + std::to_string(i)).c_str(), false);
  std::vector<unsigned> order(g[0] * g[1] * g[2]);
  for (unsigned i = 0; i < order.size(); i++) order[i] = i;
  if (seed)
    for (size_t i = order.size(); i > 1; i--) std::swap(order[i - 1], order[random_word() % i]);
  for (unsigned number : order) {
    poison(__start_simt_shared, __stop_simt_shared);
    if (dynamic_memory) memset(dynamic_memory, 0xFF, launch->shared_bytes);
    run_block(number);
    if (!report.empty()) break;
  }
  free(dynamic_memory);
  report += race::findings();
  return report.c_str();
}

#if defined(SIMT_PROGRAM)  // under ASan: a program of its own, which reads a launch and writes the arrays back
namespace {
template <class T> T taken(FILE* file) {
  T value;
  if (fread(&value, sizeof value, 1, file) != 1) abort();
  return value;
}
}
int main(int, char** words) {  // request, answer
  FILE* file = fopen(words[1], "rb");
  char name[64];
  if (fread(name, sizeof name, 1, file) != 1) abort();
  const Launch launch = taken<Launch>(file);
  const int count = (int)taken<int64_t>(file);
  std::vector<void*> value(count), arguments(count);
  std::vector<uint64_t> bytes(count);
  for (int i = 0; i < count; i++) {
    bytes[i] = taken<uint64_t>(file);
    value[i] = (void*)taken<uint64_t>(file);  // of a number; little endian
    arguments[i] = &value[i];
    if (bytes[i] && value[i]) {  // an exact block of its own for each array: ASan sees the first byte behind it
      if (posix_memalign(&value[i], 256, bytes[i]) || fread(value[i], bytes[i], 1, file) != 1) abort();
    }
  }
  fclose(file);
  const char* found = simt_launch(name, &launch, arguments.data(), bytes.data(), count);
  if (*found) return fprintf(stderr, "%s\n", found), 3;
  file = fopen(words[2], "wb");
  for (int i = 0; i < count; i++)
    if (bytes[i]) fwrite(value[i], bytes[i], 1, file), free(value[i]);
  fclose(file);
  return 0;
}
#endif
