/*
 * The memory of a ledger, and the descriptors that somebody has left.
 */
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/error.h"
#include "core/ledger/ledger.h"
#include "core/ledger/ledger_read.h"
#include "linux/ledger/descriptors.h"
#include "linux/ledger/ledger_memory.h"

static void
its_size_is_sealed_and_little_of_it_is_there(void **state)
{
	const struct ledger_lane lane = { .ino = 1, .listener = 1, .fd = 3 };
	struct ledger l;
	struct stat st;
	uint32_t place;
	int fd = -1;

	(void)state;
	assert_int_equal(ledger_memory_new(&l, &fd, NULL), 0);
	for (int i = 0; i < 100; i++)
		assert_int_equal(ledger_add(&l, LEDGER_LANE, &lane, &place),
		    0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, LEDGER_SIZE);
	/* Of 512 bytes each: the head, and a hundred lanes. */
	assert_true(st.st_blocks <= 6 * 4096 / 512);
	assert_int_equal(ftruncate(fd, 0), -1);
	assert_int_equal(ftruncate(fd, 2 * (off_t)LEDGER_SIZE), -1);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	close(fd);
	/* The mapping does without. */
	assert_int_equal(ledger_add(&l, LEDGER_LANE, &lane, &place), 0);
	assert_int_equal(munmap(l.memory, l.size), 0);
}

/* It says so, where a signal would else end the process. */
static void
a_limit_of_file_sizes_is_an_error(void **state)
{
	struct error err = ERROR_INIT;
	struct rlimit old, low;
	struct ledger l;
	int fd = -1;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	low = old;
	low.rlim_cur = 1 << 20;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
	assert_int_equal(ledger_memory_new(&l, &fd, &err), -EFBIG);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_string_equal(error_text(&err),
	    "cannot make the ledger: File too large");
	assert_int_equal(fd, -1);
	error_clear(&err);
}

static size_t seen;
static int seen_fd;

static void
note(void *ctx, int fd)
{
	(void)ctx;
	seen++;
	seen_fd = fd;
}

static bool
is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static struct descriptors before;

static bool
was_there(int fd)
{
	for (size_t i = 0; i < before.n; i++)
		if (before.v[i] == fd)
			return true;
	return false;
}

static void
what_is_left_is_closed_and_the_rest_is_not(void **state)
{
	struct descriptors d;
	int pipes[2], taken, other, epoll;

	(void)state;
	assert_int_equal(descriptors_list(NULL, &before), 0);
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	taken = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	other = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	epoll = epoll_create1(EPOLL_CLOEXEC);
	assert_true(taken >= 0 && other >= 0 && epoll >= 0);
	assert_int_equal(descriptors_list(was_there, &d), 0);
	assert_int_equal(d.n, 5);
	assert_true(descriptors_take(&d, taken));
	assert_false(descriptors_take(&d, taken));
	assert_false(descriptors_take(&d, 2));
	seen = 0;
	descriptors_close(&d, note, NULL);
	assert_true(is_open(taken));
	assert_false(is_open(pipes[0]) || is_open(pipes[1]) ||
	    is_open(other));
	assert_int_equal(seen, 1);
	assert_int_equal(seen_fd, epoll);
	/* With it go all its watches: that may wait. */
	assert_int_equal(d.n, 1);
	assert_true(is_open(epoll));
	assert_false(descriptors_close_rest(&d));
	assert_false(is_open(epoll));
	assert_false(descriptors_close_rest(&d));
	assert_true(is_open(0) && is_open(1) && is_open(2));
	assert_int_equal(d.n, 0);
	close(taken);
	free(before.v);
}

/* Wherever it is: a start may have been given any. */
static void
one_far_from_the_others_is_listed(void **state)
{
	struct rlimit limit;
	struct descriptors d;
	int far;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	if (limit.rlim_cur < 4000)
		limit.rlim_cur = limit.rlim_max < 4000 ? limit.rlim_max : 4000;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
	far = fcntl(0, F_DUPFD_CLOEXEC, (int)(limit.rlim_cur < 4000 ?
	    limit.rlim_cur : 4000) - 1);
	assert_true(far >= 0);
	assert_int_equal(descriptors_list(NULL, &before), 0);
	assert_true(before.n > 0 && before.v[before.n - 1] == far);
	free(before.v);
	close(far);
	assert_int_equal(descriptors_list(NULL, &d), 0);
	assert_false(descriptors_has(&d, far));
	free(d.v);
}

static void
a_socket_is_known_by_its_inode(void **state)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int another = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int file = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct stat st;

	(void)state;
	assert_int_equal(fstat(fd, &st), 0);
	assert_true(descriptor_is_socket(fd, st.st_ino));
	assert_false(descriptor_is_socket(another, st.st_ino));
	assert_int_equal(fstat(file, &st), 0);
	assert_false(descriptor_is_socket(file, st.st_ino));
	close(file);
	assert_false(descriptor_is_socket(file, st.st_ino));
	close(fd);
	close(another);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(its_size_is_sealed_and_little_of_it_is_there),
		cmocka_unit_test(a_limit_of_file_sizes_is_an_error),
		cmocka_unit_test(one_far_from_the_others_is_listed),
		cmocka_unit_test(what_is_left_is_closed_and_the_rest_is_not),
		cmocka_unit_test(a_socket_is_known_by_its_inode),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
