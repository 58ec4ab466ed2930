/* What a child tells of a program that it could not execute. */
#include <sys/stat.h>
#include <sys/wait.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
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
	struct spawn_failure failure;
	struct strbuf sb = STRBUF_INIT;
	struct pollfd p = { .events = POLLIN };
	int trap = -1;
	pid_t pid;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &plan.nofile), 0);
	assert_int_equal(spawn(&plan, &pid, &p.fd), 0);
	assert_int_equal(poll(&p, 1, 60000), 1);
	assert_int_equal(spawn_read_report(p.fd, &failure, &trap),
	    SPAWN_REPORT_FAILED);
	fd_close(&p.fd);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bare_names),
		cmocka_unit_test(paths),
	};

	return cmocka_run_group_tests_name("spawn", tests, make_files,
	    remove_files);
}
