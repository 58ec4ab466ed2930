/* What is heard of a child until its program is executed. */
#include <sys/wait.h>

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/error.h"
#include "core/conf/conf.h"
#include "linux/child/exec_report.h"

static void
count(void *ctx)
{
	++*(int *)ctx;
}

static pid_t
begin(struct exec_report *r, const char *program)
{
	const struct conf_creds creds = { .set = false };
	char *files[] = { (char *)program, NULL };
	char *argv[] = { (char *)program, NULL }, *envp[] = { NULL };
	struct spawn_plan plan = {
		.files = files, .argv = argv, .envp = envp, .in_fd = -1,
		.out_fd = -1, .err_fd = -1, .base_dir = "/", .umask = -1,
		.creds = &creds,
	};
	pid_t pid;

	*r = (struct exec_report)EXEC_REPORT_INIT;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &plan.nofile), 0);
	assert_int_equal(exec_report_spawn(r, &plan, &pid), 0);
	assert_true(fcntl(r->fd, F_GETFD) & FD_CLOEXEC);
	return pid;
}

/* By a loop, or when it is dead, which tells where there is no loop. */
static void
await(struct exec_report *r, pid_t pid, bool by_loop, int *n_executed)
{
	struct loop *loop = NULL;

	if (by_loop) {
		assert_int_equal(loop_new(&loop, NULL), 0);
		assert_int_equal(exec_report_watch(r, loop,
		    &(struct exec_report_events){
			.executed = count, .ctx = n_executed,
		    }), 0);
		while (r->fd >= 0)
			loop_turn(loop);
	}
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	exec_report_read(r);
	assert_int_equal(r->fd, -1);
	assert_int_equal(r->handle, 0);
	loop_free(loop);
	r->loop = NULL;
}

static void
executed(void **state)
{
	(void)state;
	for (int by_loop = 0; by_loop < 2; by_loop++) {
		struct exec_report r;
		int n = 0;

		await(&r, begin(&r, "/bin/true"), by_loop, &n);
		assert_false(r.failed);
		assert_int_equal(n, by_loop);
		/* The room goes when the program runs. */
		assert_null(r.room.map);
		exec_report_forget(&r);
	}
}

static void
failed(void **state)
{
	(void)state;
	for (int by_loop = 0; by_loop < 2; by_loop++) {
		struct exec_report r;
		int n = 0;

		await(&r, begin(&r, "/nowhere"), by_loop, &n);
		assert_true(r.failed);
		assert_int_equal(r.failure.err, ENOENT);
		assert_int_equal(n, 0);
		exec_report_forget(&r);
		assert_false(r.failed);
		assert_null(r.room.map);
		assert_int_equal(r.fd, -1);
	}
}

/* Nobody hears of it any more, and it goes on. */
static void
forgotten(void **state)
{
	struct exec_report r;
	pid_t pid = begin(&r, "/bin/true");
	int status;

	(void)state;
	exec_report_close(&r);
	assert_int_equal(r.fd, -1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	exec_report_forget(&r);
	exec_report_forget(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(executed), cmocka_unit_test(failed),
		cmocka_unit_test(forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
