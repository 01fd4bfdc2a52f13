// fibres.h - stacks that one OS thread switches between: a dozen instructions on x86-64, ucontext elsewhere.
#pragma once
#include <sys/mman.h>
#include <cstddef>
#include <cstdint>
#if !defined(__x86_64__)
#include <ucontext.h>
#endif
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace fibres {
constexpr size_t STACK = 128 << 10, GUARD = 4 << 10;  // bytes; the guard page below turns an overflow into a fault

struct Stack {
  void* saved = nullptr;  // stack pointer, or ucontext_t*, of a fibre that does not run
  char* memory = nullptr;
  void* shadow = nullptr;  // ASan's own frames of it
};

#if defined(__x86_64__)
extern "C" __attribute__((visibility("hidden"))) void simt_switch_stack(void** from, void* to);
asm(".text\n.hidden simt_switch_stack\n.globl simt_switch_stack\n.type simt_switch_stack,@function\n"
    "simt_switch_stack:\n"  // System V keeps six registers across a call
    " push %rbp\n push %rbx\n push %r12\n push %r13\n push %r14\n push %r15\n"
    " mov %rsp, (%rdi)\n mov %rsi, %rsp\n"
    " pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbx\n pop %rbp\n ret\n"
    ".size simt_switch_stack, .-simt_switch_stack\n");
inline void jump(void** from, void* to) { simt_switch_stack(from, to); }
inline void* prepared(char* memory, void (*enter)()) {
  void** top = (void**)(memory + STACK);
  *--top = nullptr;  // aligned as after a call
  *--top = (void*)enter;
  return top - 6;
}
#else
inline void jump(void** from, void* to) {
  ucontext_t here;
  *from = &here;
  swapcontext(&here, (ucontext_t*)to);
}
inline void* prepared(char* memory, void (*enter)()) {
  ucontext_t* context = (ucontext_t*)memory;
  getcontext(context);
  context->uc_stack.ss_sp = memory + sizeof *context;
  context->uc_stack.ss_size = STACK - sizeof *context;
  context->uc_link = nullptr;
  makecontext(context, enter, 0);
  return context;
}
#endif

inline char* fresh() {
  char* all = (char*)mmap(nullptr, GUARD + STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (all == (char*)MAP_FAILED) return nullptr;
  mprotect(all, GUARD, PROT_NONE);
  return all + GUARD;
}

// ASan must be told of every switch; `last` leaves a stack for good.
inline Stack scheduler;
inline const void* scheduler_memory;
inline size_t scheduler_size;

inline void to_fibre(Stack& fibre) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&scheduler.shadow, fibre.memory, STACK);
#endif
  jump(&scheduler.saved, fibre.saved);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(scheduler.shadow, nullptr, nullptr);
#endif
}
inline void to_scheduler(Stack& fibre, bool last = false) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(last ? nullptr : &fibre.shadow, scheduler_memory, scheduler_size);
#endif
  (void)last;
  jump(&fibre.saved, scheduler.saved);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fibre.shadow, &scheduler_memory, &scheduler_size);
#endif
}
inline void entered() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &scheduler_memory, &scheduler_size);
#endif
}
inline void start(Stack& fibre, void (*enter)()) {
  fibre.shadow = nullptr;
#if defined(__SANITIZE_ADDRESS__)
  __asan_unpoison_memory_region(fibre.memory, STACK);
#endif
  fibre.saved = prepared(fibre.memory, enter);
}
}  // namespace fibres
