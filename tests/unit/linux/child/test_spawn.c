/* What a child tells of a program that it could not execute. */
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "core/conf/conf.h"
#include "linux/child/spawn.h"

static char root[] = "/tmp/spawn.XXXXXX";

static int
make_files(void **state)
{
	static const struct { const char *name; mode_t mode; } files[] = {
		{ "run", 0755 }, { "plain", 0644 },
	};

	(void)state;
	if (mkdtemp(root) == NULL || chdir(root) < 0 || mkdir("dir", 0755) < 0)
		return -1;
	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
		int fd = open(files[i].name, O_CREAT | O_WRONLY | O_CLOEXEC,
		    files[i].mode);

		if (fd < 0 || fchmod(fd, files[i].mode) < 0 ||
		    write(fd, "#!/nowhere\n", 11) != 11)
			return -1;
		fd_close(&fd);
	}
	return 0;
}

static int
remove_files(void **state)
{
	(void)state;
	return unlink("run") < 0 || unlink("plain") < 0 || rmdir("dir") < 0 ||
	    chdir("/") < 0 || rmdir(root) < 0;
}

static void
expect(const char *program, const char *file, int err, unsigned seen,
    const char *words)
{
	const struct conf_creds creds = { .set = false };
	char *files[] = { (char *)file, NULL };
	char *argv[] = { (char *)program, NULL }, *envp[] = { NULL };
	struct spawn_plan plan = {
		.files = files, .argv = argv, .envp = envp, .in_fd = -1,
		.out_fd = -1, .err_fd = -1, .base_dir = root, .umask = -1,
		.creds = &creds,
	};
	struct spawn_room room;
	struct spawn_failure failure;
	struct strbuf sb = STRBUF_INIT;
	struct pollfd p = { .events = POLLIN };
	int trap = -1;
	pid_t pid;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &plan.nofile), 0);
	assert_int_equal(spawn(&plan, &room, &pid, &p.fd), 0);
	assert_int_equal(poll(&p, 1, 60000), 1);
	assert_int_equal(spawn_read_report(p.fd, &failure, &trap),
	    SPAWN_REPORT_FAILED);
	fd_close(&p.fd);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	spawn_room_free(&room);
	assert_int_equal(failure.stage, SPAWN_EXEC);
	assert_int_equal(failure.err, err);
	assert_int_equal(failure.seen, seen);
	spawn_failure_text(&sb, &failure, program, ".", "/base");
	if (strstr(sb.text, words) == NULL)
		fail_msg("%s", sb.text);
	strbuf_free(&sb);
}

static void
bare_names(void **state)
{
	(void)state;
	expect("run", "/nowhere/run", ENOENT,
	    SPAWN_SEEN_BESIDE | SPAWN_SEEN_EXECUTABLE, "No such file or "
	    "directory (a name without a / is looked up in PATH; for the file "
	    "in /base: ./run)");
	expect("plain", "/nowhere/plain", ENOENT, SPAWN_SEEN_BESIDE,
	    "./plain, which is not executable)");
	expect("dir", "/nowhere/dir", ENOENT, 0, "(not found in PATH)");
	expect("gone", "/nowhere/gone", ENOENT, 0, "(not found in PATH)");
	expect("cd", "/nowhere/cd", ENOENT, 0, "(a word of a shell");
}

static void
paths(void **state)
{
	(void)state;
	expect("./run", "./run", ENOENT,
	    SPAWN_SEEN_FILE | SPAWN_SEEN_EXECUTABLE, "(the file is there: the "
	    "interpreter");
	expect("./plain", "./plain", EACCES, SPAWN_SEEN_FILE,
	    "(try chmod +x)");
	expect("./gone", "./gone", ENOENT, 0, "No such file or directory");
}

/* ---- what it gets ---- */

/* Starts `sh -c script`, with what a plan can hold, and reads what it writes. */
static void
run(const char *script, char *listen_pid, char *const *envp, const int *fds,
    size_t n_fds, const char *directory, char *said, size_t size,
    pid_t *ret_pid)
{
	const struct conf_creds creds = { .set = false };
	char *files[] = { (char *)"/nowhere/sh", (char *)"/bin/sh", NULL };
	char *argv[] = {
		(char *)"sh", (char *)"-c", (char *)script, NULL,
	};
	int out[2];
	struct spawn_plan plan = {
		.files = files, .argv = argv, .envp = envp, .in_fd = -1,
		.listen_pid = listen_pid, .fds = fds, .n_fds = n_fds,
		.err_fd = -1, .directory = directory, .umask = 077,
		.creds = &creds,
	};
	struct spawn_room room;
	struct spawn_failure failure;
	struct pollfd p = { .events = POLLIN };
	size_t len = 0;
	ssize_t n;
	int trap = -1;

	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	plan.out_fd = out[1];
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &plan.nofile), 0);
	assert_int_equal(spawn(&plan, &room, ret_pid, &p.fd), 0);
	/* Nothing of the plan is needed any more. */
	files[1] = argv[0] = argv[2] = NULL;
	fd_close(&out[1]);
	assert_int_equal(poll(&p, 1, 60000), 1);
	assert_int_equal(spawn_read_report(p.fd, &failure, &trap),
	    SPAWN_REPORT_EXECUTED);
	spawn_room_free(&room);
	fd_close(&p.fd);
	while ((n = read(out[0], said + len, size - 1 - len)) > 0)
		len += (size_t)n;
	said[len] = '\0';
	fd_close(&out[0]);
	assert_int_equal(waitpid(*ret_pid, NULL, 0), *ret_pid);
}

static void
all_of_the_plan(void **state)
{
	char listen_pid[] = "LISTEN_PID=..........", word[] = "WORD=a b";
	char *envp[] = { word, listen_pid, NULL };
	char said[512], expected[512], first[] = "first.XXXXXX";
	char second[] = "second.XXXXXX";
	/* Numbers in the way of their places, and the wrong way round. */
	int fds[] = { mkostemp(second, O_CLOEXEC), mkostemp(first, O_CLOEXEC) };
	pid_t pid;

	(void)state;
	run("echo $LISTEN_PID.$WORD.$(umask).$(pwd -P | sed 's/.*[.]//'); "
	    "readlink /proc/$$/fd/3 /proc/$$/fd/4 | sed 's/.*[/]//'",
	    listen_pid + strlen("LISTEN_PID="), envp, fds, 2, "dir", said,
	    sizeof(said), &pid);
	snprintf(expected, sizeof(expected), "%d.a b.0077.%s/dir\n%s\n%s\n",
	    (int)pid, strrchr(root, '.') + 1, second, first);
	assert_string_equal(said, expected);
	/* The digits were written in the child's copy. */
	assert_string_equal(listen_pid, "LISTEN_PID=..........");
	fd_close(&fds[0]);
	fd_close(&fds[1]);
	assert_int_equal(unlink(first), 0);
	assert_int_equal(unlink(second), 0);
}

/* CLUSTERD_FORK: with memory of its own. */
static void
all_of_it_by_a_fork(void **state)
{
	assert_int_equal(setenv("CLUSTERD_FORK", "1", 1), 0);
	all_of_the_plan(state);
	paths(state);
	assert_int_equal(unsetenv("CLUSTERD_FORK"), 0);
}

/* A child that fails sets an errno, which is not ours: one after the other, while
   we look at ours. */
static void
errno_is_not_the_childs(void **state)
{
	const struct conf_creds creds = { .set = false };
	char *files[] = { (char *)"/nowhere/a", (char *)"/nowhere/b", NULL };
	char *argv[] = { (char *)"a", NULL }, *envp[] = { NULL };
	struct spawn_plan plan = {
		.files = files, .argv = argv, .envp = envp, .in_fd = -1,
		.out_fd = -1, .err_fd = -1, .base_dir = root, .umask = -1,
		.creds = &creds,
	};

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &plan.nofile), 0);
	for (int i = 0; i < 50; i++) {
		struct spawn_room room;
		pid_t pid, ended = 0;
		int report;

		assert_int_equal(spawn(&plan, &room, &pid, &report), 0);
		errno = EXFULL;
		while (ended == 0) {
			ended = waitpid(pid, NULL, WNOHANG);
			if (errno != EXFULL)
				fail_msg("errno is %d", errno);
		}
		assert_int_equal(ended, pid);
		spawn_room_free(&room);
		fd_close(&report);
	}
}

/* Who becomes somebody else takes nothing of ours along: dumpable is the memory's,
   and lost by whoever changes its ids. */
static void
ids_are_changed_elsewhere(void **state)
{
	const struct conf_creds creds = {
		.set = true, .name = (char *)"x", .uid = 65534, .gid = 65534,
	};
	char *files[] = { (char *)"/bin/true", NULL };
	char *argv[] = { (char *)"true", NULL }, *envp[] = { NULL };
	struct spawn_plan plan = {
		.files = files, .argv = argv, .envp = envp, .in_fd = -1,
		.out_fd = -1, .err_fd = -1, .umask = -1, .creds = &creds,
	};
	struct spawn_room room;
	int report, status;
	pid_t pid;

	(void)state;
	if (geteuid() != 0)
		skip();
	assert_int_equal(prctl(PR_GET_DUMPABLE), 1);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &plan.nofile), 0);
	assert_int_equal(spawn(&plan, &room, &pid, &report), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(prctl(PR_GET_DUMPABLE), 1);
	spawn_room_free(&room);
	fd_close(&report);
}

/* Does a child that is yet to execute share our memory? */
static bool
shares_ours(pid_t pid, volatile int *value)
{
	int theirs = 0;
	struct iovec to = { &theirs, sizeof(theirs) };
	struct iovec from = { (void *)(uintptr_t)value, sizeof(*value) };

	*value = 2;
	assert_int_equal(process_vm_readv(pid, &to, 1, &from, 1, 0),
	    sizeof(theirs));
	return theirs == 2;
}

/* Where its limits are too small for it even to execute, the OOM killer kills it, with
   all who share its memory. It stands at the door of its group here, a pipe that
   is full. */
static void
limited_with_memory_of_its_own(void **state)
{
	static volatile int value;
	const struct conf_creds creds = { .set = false };
	char *files[] = { (char *)"/bin/true", NULL };
	char *argv[] = { (char *)"true", NULL }, *envp[] = { NULL };
	struct spawn_plan plan = {
		.files = files, .argv = argv, .envp = envp, .in_fd = -1,
		.out_fd = -1, .err_fd = -1, .umask = -1, .creds = &creds,
		.limited = true,
	};
	static char page[4096];
	struct spawn_room room;
	int report, status, door[2];
	pid_t pid;

	(void)state;
	assert_int_equal(pipe2(door, O_CLOEXEC), 0);
	assert_int_equal(fcntl(door[1], F_SETPIPE_SZ, sizeof(page)),
	    sizeof(page));
	assert_int_equal(write(door[1], page, sizeof(page)), sizeof(page));
	plan.group = door[1];
	value = 1;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &plan.nofile), 0);
	assert_int_equal(spawn(&plan, &room, &pid, &report), 0);
	assert_false(shares_ours(pid, &value));
	assert_int_equal(read(door[0], page, sizeof(page)), sizeof(page));
	assert_int_equal(read(door[0], page, sizeof(page)), 1);
	assert_int_equal(page[0], '0');
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	spawn_room_free(&room);
	fd_close(&report);
	fd_close(&door[0]);
	fd_close(&door[1]);
}

/* It is executed all the same, and that is told. */
static void
group_that_takes_nobody(void **state)
{
	const struct conf_creds creds = { .set = false };
	char *files[] = { (char *)"/bin/true", NULL };
	char *argv[] = { (char *)"true", NULL }, *envp[] = { NULL };
	struct spawn_plan plan = {
		.files = files, .argv = argv, .envp = envp, .in_fd = -1,
		.out_fd = -1, .err_fd = -1, .umask = -1, .creds = &creds,
		.limited = true,
	};
	struct spawn_room room;
	struct spawn_failure failure;
	struct strbuf sb = STRBUF_INIT;
	int report, status, trap = -1;
	pid_t pid;

	(void)state;
	plan.group = open("/dev/full", O_WRONLY | O_CLOEXEC);
	assert_true(plan.group >= 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &plan.nofile), 0);
	assert_int_equal(spawn(&plan, &room, &pid, &report), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(spawn_read_report(report, &failure, &trap),
	    SPAWN_REPORT_UNLIMITED);
	assert_int_equal(failure.err, ENOSPC);
	spawn_failure_text(&sb, &failure, "true", ".", "/");
	assert_non_null(strstr(sb.text, "cannot join its control group"));
	strbuf_free(&sb);
	assert_int_equal(spawn_read_report(report, &failure, &trap),
	    SPAWN_REPORT_EXECUTED);
	spawn_room_free(&room);
	fd_close(&report);
	fd_close(&plan.group);
}

/* It ends without one, which would be one of our memory. */
static void
no_core_before_the_exec(void **state)
{
	enum { TRIES = 20000 };
	const struct conf_creds creds = { .set = false };
	char **files = calloc(TRIES + 1, sizeof(*files));
	char *argv[] = { (char *)"a", NULL }, *envp[] = { NULL };
	struct spawn_plan plan = {
		.files = files, .argv = argv, .envp = envp, .in_fd = -1,
		.out_fd = -1, .err_fd = -1, .umask = -1, .creds = &creds,
	};
	struct spawn_room room;
	sigset_t quit, before;
	int report, status = 0;
	pid_t pid;

	(void)state;
	assert_non_null(files);
	for (int i = 0; i < TRIES; i++)
		files[i] = (char *)"/nowhere/a";
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &plan.nofile), 0);
	sigemptyset(&quit);
	sigaddset(&quit, SIGQUIT);
	assert_int_equal(sigprocmask(SIG_BLOCK, &quit, &before), 0);
	/* On a busy machine one may have failed before it is signalled. */
	for (int i = 0; i < 100 && WEXITSTATUS(status) != 128 + SIGQUIT; i++) {
		assert_int_equal(spawn(&plan, &room, &pid, &report), 0);
		assert_int_equal(kill(pid, SIGQUIT), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFEXITED(status));
		spawn_room_free(&room);
		fd_close(&report);
	}
	assert_int_equal(WEXITSTATUS(status), 128 + SIGQUIT);
	assert_int_equal(sigprocmask(SIG_SETMASK, &before, NULL), 0);
	free(files);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ids_are_changed_elsewhere),
		cmocka_unit_test(limited_with_memory_of_its_own),
		cmocka_unit_test(group_that_takes_nobody),
		cmocka_unit_test(no_core_before_the_exec),
		cmocka_unit_test(all_of_the_plan),
		cmocka_unit_test(all_of_it_by_a_fork),
		cmocka_unit_test(errno_is_not_the_childs),
		cmocka_unit_test(bare_names),
		cmocka_unit_test(paths),
	};

	return cmocka_run_group_tests_name("spawn", tests, make_files,
	    remove_files);
}
