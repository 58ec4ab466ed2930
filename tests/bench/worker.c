/*
 * The smallest worker, for the benchmark:
 *
 *	worker [SOCKET]
 *
 * says READY=1 to its supervisor and sleeps until a signal ends it. With
 * SOCKET, the path of a datagram socket, it also reports there when it came
 * to life, as "PID ENTRY MAIN", in nanoseconds of CLOCK_MONOTONIC: ENTRY is its
 * first instruction after the exec (only x86-64 and aarch64, else 0), MAIN the
 * first line of main().
 *
 * Linked statically, so that no dynamic loader comes in between; even so, the
 * C library's start can take a while (CPUID is slow in a virtual machine),
 * hence the two times.
 */
#include <sys/socket.h>
#include <sys/un.h>

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Written before the C library is set up. */
struct timespec bench_entry_time;

/*
 * The program starts here (-Wl,-e,bench_entry): clock_gettime(1, &...) as a
 * bare system call, then on to the C library. What the kernel hands over lies
 * on the stack and in one register, which is zero after an exec.
 */
#if defined(__x86_64__)
__asm__(".text\n"
	".globl bench_entry\n"
	"bench_entry:\n"
	"	mov $228, %eax\n"
	"	mov $1, %edi\n"
	"	lea bench_entry_time(%rip), %rsi\n"
	"	syscall\n"
	"	xor %edx, %edx\n"
	"	jmp _start\n");
#elif defined(__aarch64__)
__asm__(".text\n"
	".globl bench_entry\n"
	"bench_entry:\n"
	"	mov x8, #113\n"
	"	mov x0, #1\n"
	"	adrp x1, bench_entry_time\n"
	"	add x1, x1, :lo12:bench_entry_time\n"
	"	svc #0\n"
	"	mov x0, #0\n"
	"	b _start\n");
#endif

static long long
ns_of(struct timespec ts)
{
	return (long long)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* '@' begins an abstract address, as in NOTIFY_SOCKET. */
static void
say(const char *path, const char *text)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	size_t len = strlen(path);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || len >= sizeof(sun.sun_path))
		_exit(1);
	memcpy(sun.sun_path, path, len);
	if (path[0] == '@')
		sun.sun_path[0] = '\0';
	(void)sendto(fd, text, strlen(text), 0, (struct sockaddr *)&sun,
	    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len));
	close(fd);
}

int
main(int argc, char **argv)
{
	const char *notify = getenv("NOTIFY_SOCKET");
	struct timespec in_main;
	char text[96];

	clock_gettime(CLOCK_MONOTONIC, &in_main);
	if (notify != NULL)
		say(notify, "READY=1");
	/* Last, for it blocks while the reader is busy elsewhere. */
	if (argc > 1) {
		snprintf(text, sizeof(text), "%d %lld %lld", (int)getpid(),
		    ns_of(bench_entry_time), ns_of(in_main));
		say(argv[1], text);
	}
	for (;;)
		pause();
}
