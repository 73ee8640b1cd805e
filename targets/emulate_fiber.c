/* Fibers: some instructions of assembly on x86-64, ucontext elsewhere, which asks the system at each switch. */
#include "targets/emulate_fiber.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#ifndef __x86_64__
#include <ucontext.h>
#endif

#ifdef __SANITIZE_ADDRESS__
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifdef SANITIZED
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

enum { STACK = 128 << 10, GUARD = 16 << 10 };

bool fiber_stacks_new(struct fiber_stacks *s, struct fiber **fiber, int n)
{
	s->size = (size_t)n * (STACK + GUARD);
	s->memory = mmap(NULL, s->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (s->memory == MAP_FAILED) {
		*s = (struct fiber_stacks){0};
		return false;
	}
	for (int i = 0; i < n; i++) {
		char *guard = s->memory + (size_t)i * (STACK + GUARD);
		if (mprotect(guard, GUARD, PROT_NONE)) {
			fiber_stacks_free(s);
			return false;
		}
		fiber[i]->low = guard + GUARD;
		/* Stacks a multiple of a page apart would all want the same lines of the first cache. */
		fiber[i]->high = fiber[i]->low + STACK - i % 32 * 128;
	}
	return true;
}

void fiber_stacks_free(struct fiber_stacks *s)
{
	if (!s->memory)
		return;
#ifdef SANITIZED
	__asan_unpoison_memory_region(s->memory, s->size);
#endif
	munmap(s->memory, s->size);
	*s = (struct fiber_stacks){0};
}

static void arrived(struct fiber *from)
{
#ifdef SANITIZED
	__sanitizer_finish_switch_fiber(from->shadow, NULL, NULL);
#else
	(void)from;
#endif
}

static void begin(struct fiber *f)
{
#ifdef SANITIZED
	__sanitizer_finish_switch_fiber(NULL, NULL, NULL);
#endif
	f->entry(f->context);
	abort();
}

#ifdef __x86_64__

/* Keeps what a call must keep on the stack of the one, takes it from that of the other. A stack that was never run
 * holds, in their places, `begin` as the place to return to, and in r12 and r13 what it is called with. */
void attune_fiber_exchange(void **from, void *to);
void attune_fiber_first(void);
__asm__(".text\n"
        ".p2align 4\n"
        ".hidden attune_fiber_exchange\n"
        ".globl attune_fiber_exchange\n"
        ".type attune_fiber_exchange, @function\n"
        "attune_fiber_exchange:\n"
        "\tpushq %rbp\n"
        "\tpushq %rbx\n"
        "\tpushq %r12\n"
        "\tpushq %r13\n"
        "\tpushq %r14\n"
        "\tpushq %r15\n"
        "\tmovq %rsp, (%rdi)\n"
        "\tmovq %rsi, %rsp\n"
        "\tpopq %r15\n"
        "\tpopq %r14\n"
        "\tpopq %r13\n"
        "\tpopq %r12\n"
        "\tpopq %rbx\n"
        "\tpopq %rbp\n"
        "\tret\n"
        ".size attune_fiber_exchange, .-attune_fiber_exchange\n"
        ".hidden attune_fiber_first\n"
        ".globl attune_fiber_first\n"
        ".type attune_fiber_first, @function\n"
        "attune_fiber_first:\n"
        "\tmovq %r12, %rdi\n"
        "\tcall *%r13\n"
        "\tud2\n"
        ".size attune_fiber_first, .-attune_fiber_first\n");

static void prepare(struct fiber *f)
{
	/* r15, r14, r13, r12, rbx, rbp, return address; above it the stack is empty, and aligned to 16 */
	uintptr_t *sp = (uintptr_t *)(void *)f->high - 7;
	memset(sp, 0, 7 * sizeof *sp);
	sp[2] = (uintptr_t)begin;
	sp[3] = (uintptr_t)f;
	sp[6] = (uintptr_t)attune_fiber_first;
	f->stack_pointer = sp;
}

static void exchange(struct fiber *from, struct fiber *to)
{
	attune_fiber_exchange(&from->stack_pointer, to->stack_pointer);
}

#else

static void begin_halves(unsigned high, unsigned low)
{
	begin((struct fiber *)((uintptr_t)high << 16 << 16 | low));
}

static void prepare(struct fiber *f)
{
	/* The context lives at the far end of the stack that it is of. */
	ucontext_t *c = (ucontext_t *)(void *)(f->high - (sizeof(ucontext_t) + 63) / 64 * 64);
	getcontext(c);
	c->uc_stack.ss_sp = f->low;
	c->uc_stack.ss_size = (size_t)((char *)c - f->low);
	c->uc_link = NULL;
	makecontext(c, (void (*)(void))(uintptr_t)begin_halves, 2, (unsigned)((uintptr_t)f >> 16 >> 16),
	            (unsigned)(uintptr_t)f);
	f->stack_pointer = c;
}

static void exchange(struct fiber *from, struct fiber *to)
{
	ucontext_t here;
	from->stack_pointer = &here;
	swapcontext(&here, to->stack_pointer);
}

#endif

void fiber_start(struct fiber *f, void (*entry)(void *), void *context, size_t poison)
{
#ifdef SANITIZED
	__asan_unpoison_memory_region(f->low, (size_t)(f->high - f->low));
#endif
	if (poison > (size_t)(f->high - f->low))
		poison = (size_t)(f->high - f->low);
	memset(f->high - poison, 0xff, poison);
	f->entry = entry;
	f->context = context;
	f->shadow = NULL;
	prepare(f);
}

void fiber_switch(struct fiber *from, struct fiber *to)
{
#ifdef SANITIZED
	__sanitizer_start_switch_fiber(&from->shadow, to->low, to->low ? (size_t)(to->high - to->low) : 0);
#endif
	exchange(from, to);
	arrived(from);
}
