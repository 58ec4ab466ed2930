/*
 * System calls that tell their error by their value alone. A child that shares
 * our memory (clone(2), CLONE_VM) has our errno as well, and may set it while we
 * read it; it makes its calls through these.
 */
#ifndef LINUX_PROCESS_RAW_CALL_H
#define LINUX_PROCESS_RAW_CALL_H

#include <sys/syscall.h>

#include <errno.h>
#include <unistd.h>

/* 1: errno is left alone. 0: nobody has written it for this machine, and a child
   is to have memory of its own. */
#if defined(__x86_64__) && defined(__LP64__)
#define RAW_CALLS 1
#elif defined(__aarch64__) && defined(__LP64__)
#define RAW_CALLS 1
#elif defined(__riscv) && __riscv_xlen == 64
#define RAW_CALLS 1
#else
#define RAW_CALLS 0
#endif

/* The kernel's answer: >= 0, or -errno (syscall(2), "Architecture calling
   conventions"). */
static inline long
raw_call(long number, long a, long b, long c, long d, long e)
{
#if defined(__x86_64__) && defined(__LP64__)
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	long answer;

	__asm__ volatile("syscall"
	    : "=a"(answer)
	    : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
	    : "rcx", "r11", "memory");
	return answer;
#elif defined(__aarch64__) && defined(__LP64__)
	register long x8 __asm__("x8") = number;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;

	__asm__ volatile("svc 0"
	    : "+r"(x0)
	    : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4)
	    : "memory");
	return x0;
#elif defined(__riscv) && __riscv_xlen == 64
	register long a7 __asm__("a7") = number;
	register long a0 __asm__("a0") = a;
	register long a1 __asm__("a1") = b;
	register long a2 __asm__("a2") = c;
	register long a3 __asm__("a3") = d;
	register long a4 __asm__("a4") = e;

	__asm__ volatile("ecall"
	    : "+r"(a0)
	    : "r"(a7), "r"(a1), "r"(a2), "r"(a3), "r"(a4)
	    : "memory");
	return a0;
#else
	long answer = syscall(number, a, b, c, d, e);

	return answer < 0 ? -errno : answer;
#endif
}

/*
 * RAW(name, …): the call of that name with one to five arguments, as the C
 * library's function of that name takes them; the answer is raw_call()'s.
 */
#if RAW_CALLS
#define RAW_PADDED(number, a, b, c, d, e, ...)                                \
	raw_call(number, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e))
#define RAW(name, ...)	RAW_PADDED(SYS_##name, __VA_ARGS__, 0, 0, 0, 0, 0)
/* Whose numbers have other names; of a structure that is the same. */
#define SYS_fstatat	SYS_newfstatat
#define SYS_prlimit	SYS_prlimit64
#else
static inline long
raw_answer(long answer)
{
	return answer < 0 ? -errno : answer;
}
#define RAW(name, ...)	raw_answer((long)name(__VA_ARGS__))
#endif

#endif
