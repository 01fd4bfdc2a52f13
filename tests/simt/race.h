// race.h - what the scheduler tells the race detector (race.cpp); nothing at all where it is not linked.
#pragma once
#include <cstddef>
#include <vector>

namespace race {
#if defined(SIMT_RACE)
void begin();                                                            // a launch
void watch(const void* start, size_t bytes, const char* name, bool shared);  // memory that is checked
void block(int threads, unsigned number);
void joined(const std::vector<int>& threads);  // these have met: what each did before is before what any does next
void atomic(void* address, int bytes);
const char* findings();  // one line each, empty if none
#else
inline void begin() {}
inline void watch(const void*, size_t, const char*, bool) {}
inline void block(int, unsigned) {}
inline void joined(const std::vector<int>&) {}
inline void atomic(void*, int) {}
inline const char* findings() { return ""; }
#endif
}  // namespace race
