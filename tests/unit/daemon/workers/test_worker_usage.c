/* What is known of a worker's usage, whatever a look has found. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "daemon/workers/worker.h"
#include "linux/process/usage.h"

/* In the place of linux/process/usage.c. */
static struct usage found;

int
usage_walk_new(pid_t pid, struct usage_walk **ret_walk)
{
	(void)pid;
	*ret_walk = (struct usage_walk *)&found;
	return 0;
}

bool
usage_walk_go_on(struct usage_walk *walk, unsigned files,
    struct usage *ret_usage)
{
	(void)walk;
	(void)files;
	*ret_usage = found;
	return true;
}

void
usage_walk_free(struct usage_walk *walk)
{
	(void)walk;
}

uint64_t
usage_cpu(pid_t pid)
{
	(void)pid;
	return 0;
}

struct usage
usage_of_self(void)
{
	return found;
}

static struct worker w;

/* At so many seconds. */
static void
look(int64_t s, uint64_t cpu_ns, bool partial)
{
	found = (struct usage){
		.cpu_ns = cpu_ns, .memory_bytes = cpu_ns, .partial = partial,
	};
	assert_int_equal(worker_usage(&w,
	    (struct mono){ .ns = s * INT64_C(1000000000) }), 0);
}

/* It would go backwards, and then forwards. */
static void
what_is_known_stays_during_an_execve(void **state)
{
	int64_t at;

	(void)state;
	w = (struct worker){ .pid = 7, .serial = 1 };
	look(100, 500, false);
	at = w.usage_at.ns;
	look(200, 20, true);
	assert_int_equal(w.usage.cpu_ns, 500);
	assert_int_equal(w.usage.memory_bytes, 500);
	assert_int_equal(w.usage_at.ns, at);
	look(300, 600, false);
	assert_int_equal(w.usage.cpu_ns, 600);
	assert_true(w.usage_at.ns > at);
}

/* Of another process nothing is known. */
static void
a_part_is_better_than_nothing(void **state)
{
	(void)state;
	w = (struct worker){ .pid = 7, .serial = 1 };
	look(100, 500, false);
	w.serial = 2;
	look(200, 20, true);
	assert_true(worker_usage_known(&w));
	assert_int_equal(w.usage.cpu_ns, 20);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_known_stays_during_an_execve),
		cmocka_unit_test(a_part_is_better_than_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
