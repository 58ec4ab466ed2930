#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "linux/keeper/keeper_page.h"
#include "linux/keeper/keeper_post.h"
#include "linux/keeper/keeper_upgrade.h"

/* For what the file has to say, and for its supervisor to begin. */
#define CHECK_MS	10000
#define BEGIN_MS	10000
/* For ours to make place, before it is killed for it. */
#define YIELD_MS	5000
/* For a check to be gone that has been killed: it may be in an exec that sleeps. */
#define GONE_MS		1000

/* What it says, and if it does. */
#define SAYS		"clusterd"
#define TAKES		" takes state "

static struct {
	char *const *argv;
	const pid_t *supervisor;
	enum {
		AT_REST,
		CHECKING,
		REPLACING,	/* the supervisor is to die for it */
		TRYING,		/* this is the new program */
		RETURNING,	/* … and its supervisor is to die */
	} state;
	struct mono by;
	pid_t check;		/* 0: none; it may outlive the state */
	int out;		/* what it says; -1: none */
	int binary;		/* O_PATH; -1: none */
	int back;		/* … of the program before */
	char words[KEEPER_WORDS_SIZE];	/* the version; in RETURNING why */
} u = { .out = -1, .binary = -1, .back = -1 };

/* ---- the answer ---- */

/* It has no longer a supervisor that would say it. */
static void
answer(const char *how, const char *words)
{
	struct keeper_page *p = keeper_page();
	char line[KEEPER_WORDS_SIZE + 64];
	int n = snprintf(line, sizeof(line), "%s%s\n", how, words);
	int fd = fd_take(&p->asker_fd);

	/* Whoever has the answer may ask for the next one. */
	__atomic_store_n(&p->upgrade, KEEPER_IDLE, __ATOMIC_RELEASE);
	if (fd >= 0 && n > 0 && (size_t)n < sizeof(line))
		(void)send(fd, line, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT);
	fd_close(&fd);
}

/* For the next supervisor, which leaves them open. */
static void
note_fds(void)
{
	int *mine = keeper_page()->upgrade_fds;

	mine[0] = u.out;
	mine[1] = u.binary;
	mine[2] = u.back;
}

static void
rest(void)
{
	u.state = AT_REST;
	u.by = MONO_NEVER;
	keeper_page()->yield = false;
	fd_close(&u.out);
	fd_close(&u.binary);
	fd_close(&u.back);
	note_fds();
}

static void __attribute__((format(printf, 1, 2)))
refuse(const char *fmt, ...)
{
	struct keeper_page *p = keeper_page();
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(p->upgrade_words, sizeof(p->upgrade_words), fmt, ap);
	va_end(ap);
	log_follow(&p->log);
	log_error("upgrade: %s; going on as before", p->upgrade_words);
	rest();
	if (*u.supervisor != 0 && p->asked_by == *u.supervisor) {
		fd_close(&p->asker_fd);
		__atomic_store_n(&p->upgrade, KEEPER_DONE, __ATOMIC_RELEASE);
		keeper_post_wake();
	} else {
		answer("error failed upgrade: ", p->upgrade_words);
	}
}

/* ---- what does the file say? ---- */

/* With the words that it is to begin with. */
static void
execute_check(void)
{
	char word[KEEPER_STATE_WORD_SIZE];
	char **argv;
	size_t n = 1;

	while (u.argv[0] != NULL && u.argv[n] != NULL)
		n++;
	argv = calloc(n + 3, sizeof(*argv));
	if (argv == NULL)
		return;
	argv[0] = (char *)"clusterd";
	argv[1] = (char *)"--check-state";
	argv[2] = (char *)keeper_state_word(word);
	memcpy(argv + 3, u.argv + 1, (n - 1) * sizeof(*argv));
	(void)syscall(SYS_execveat, u.binary, "", argv, environ,
	    AT_EMPTY_PATH);
}

/* It never outlives the keeper. */
static void
be_check(int out, pid_t keeper)
{
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (getppid() != keeper)
		_exit(127);
	signals_child_reset();
	(void)dup2(out, STDOUT_FILENO);
	signals_child_unblock();
	execute_check();
	keeper_page()->check_errno = errno;
	_exit(127);
}

static void
begin(bool stops)
{
	struct keeper_page *p = keeper_page();
	pid_t keeper = getpid();
	int fds[2];

	if (stops || p->stopping) {
		refuse("clusterd is stopping");
		return;
	}
	u.binary = open(p->binary, O_PATH | O_CLOEXEC);
	if (u.binary < 0) {
		refuse("%s: %s", p->binary, strerror(errno));
		return;
	}
	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0) {
		refuse("pipe: %s", strerror(errno));
		return;
	}
	p->check_errno = 0;
	u.out = fds[0];
	note_fds();
	u.check = fork();
	if (u.check == 0)
		be_check(fds[1], keeper);
	fd_close(&fds[1]);
	if (u.check < 0) {
		u.check = 0;
		refuse("fork: %s", strerror(errno));
		return;
	}
	u.state = CHECKING;
	u.by = mono_add_ms(mono_now(), CHECK_MS);
}

/* Its first line; "": none. */
static void
read_line(char *line, size_t size)
{
	ssize_t n = read(u.out, line, size - 1);

	line[n > 0 ? n : 0] = '\0';
	line[strcspn(line, "\n")] = '\0';
	for (char *c = line; *c != '\0'; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
}

/* It does so itself, so that it is not in the middle of a stop. */
static void
replace(void)
{
	u.state = REPLACING;
	u.by = mono_add_ms(mono_now(), YIELD_MS);
	__atomic_store_n(&keeper_page()->yield, true, __ATOMIC_RELEASE);
	keeper_post_wake();
}

/* Executed by a descriptor that closes with that it is "not there": its interpreter
   would have nothing to read. */
static bool
is_script(void)
{
	char path[32], start[2] = "";
	int fd;
	bool is;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", u.binary);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	is = fd >= 0 && read(fd, start, sizeof(start)) == sizeof(start) &&
	    memcmp(start, "#!", sizeof(start)) == 0;
	fd_close(&fd);
	return is;
}

static void
checked(int status)
{
	const char *path = keeper_page()->binary;
	char line[KEEPER_WORDS_SIZE / 2];
	char *takes;

	read_line(line, sizeof(line));
	takes = strstr(line, TAKES);
	if (keeper_page()->check_errno == ENOENT && is_script()) {
		refuse("%.128s is a script, and no clusterd", path);
	} else if (keeper_page()->check_errno != 0) {
		refuse("%.128s cannot be executed: %s", path,
		    strerror(keeper_page()->check_errno));
	} else if (WIFEXITED(status) && WEXITSTATUS(status) == 0 &&
	    strncmp(line, SAYS, strlen(SAYS)) == 0 && takes != NULL) {
		*takes = '\0';
		snprintf(u.words, sizeof(u.words), "%s", line);
		replace();
	} else if (WIFSIGNALED(status)) {
		refuse("%.128s was killed by signal %d", path,
		    WTERMSIG(status));
	} else if (strncmp(line, SAYS, strlen(SAYS)) == 0) {
		refuse("%.64s: %s", path, line);
	} else {
		refuse("%.128s is no clusterd that could take over", path);
	}
}

bool
keeper_upgrade_reaped(pid_t pid, int status)
{
	if (pid != u.check || u.check == 0)
		return false;
	u.check = 0;
	if (u.state == CHECKING)
		checked(status);
	return true;
}

void
keeper_upgrade_end(void)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	struct mono by = mono_add_ms(mono_now(), GONE_MS);

	if (u.check == 0)
		return;
	(void)kill(u.check, SIGKILL);
	while (waitpid(u.check, NULL, WNOHANG) == 0 &&
	    mono_before(mono_now(), by))
		(void)nanosleep(&pause, NULL);
	u.check = 0;
}

/* ---- the new program ---- */

void
keeper_upgrade_give_up(const char *why)
{
	snprintf(u.words, sizeof(u.words), "%s", why);
	u.state = RETURNING;
	u.by = MONO_NEVER;
	if (*u.supervisor != 0)
		(void)kill(*u.supervisor, SIGKILL);
}

static void
has_begun(void)
{
	log_follow(&keeper_page()->log);
	log_info("upgraded to %s", u.words);
	answer("ok upgraded to ", u.words);
	rest();
}

static void
too_late(void)
{
	if (u.state == CHECKING) {
		(void)kill(u.check, SIGKILL);
		refuse("%.128s --check-state has not ended within %d s",
		    keeper_page()->binary, CHECK_MS / 1000);
	} else if (u.state == REPLACING) {
		u.by = MONO_NEVER;
		if (*u.supervisor != 0 && !keeper_page()->stopping)
			(void)kill(*u.supervisor, SIGKILL);
	} else if (u.state == TRYING) {
		keeper_upgrade_give_up("its supervisor has not begun within "
		    "10 s");
	}
}

struct mono
keeper_upgrade_due(void)
{
	return u.state == AT_REST ? MONO_NEVER : u.by;
}

bool
keeper_upgrade_is_tried(void)
{
	return u.state == TRYING;
}

bool
keeper_upgrade_look(bool stops)
{
	struct keeper_page *p = keeper_page();

	if (u.state == TRYING && __atomic_load_n(&p->begun, __ATOMIC_ACQUIRE))
		has_begun();
	if (u.state == AT_REST && __atomic_load_n(&p->upgrade,
	    __ATOMIC_ACQUIRE) == KEEPER_ASKED)
		begin(stops);
	if (u.state != AT_REST && !mono_before(mono_now(), u.by))
		too_late();
	return *u.supervisor == 0 && !stops &&
	    (u.state == REPLACING || u.state == RETURNING);
}

bool
keeper_upgrade_took(const char *words)
{
	char why[KEEPER_WORDS_SIZE];

	/* One that has begun in the last moment. */
	if (u.state == TRYING && keeper_page()->begun)
		has_begun();
	if (keeper_page()->stopping && u.state != AT_REST) {
		refuse("clusterd is stopping");
		return false;
	}
	if (u.state == TRYING) {
		snprintf(why, sizeof(why), "its supervisor: %s", words);
		keeper_upgrade_give_up(why);
	}
	return u.state == REPLACING || u.state == RETURNING;
}

void
keeper_upgrade_become(bool has_been_up)
{
	struct keeper_handover h = {
		.back_fd = -1, .returns = u.state == RETURNING,
		.has_been_up = has_been_up, .signals = signals_beginning(),
	};
	int code;

	(void)prctl(PR_GET_NAME, h.comm, 0, 0, 0);
	memcpy(h.words, u.words, sizeof(h.words));
	keeper_page()->upgrades++;
	if (!h.returns)
		h.back_fd = open("/proc/self/exe", O_PATH | O_CLOEXEC);
	code = keeper_state_exec(h.returns ? u.back : u.binary, u.argv, &h);
	log_follow(&keeper_page()->log);
	if (h.returns)
		log_error("upgrade: %s; cannot become the program of before "
		    "again: %s", u.words, strerror(-code));
	fd_close(&h.back_fd);
	refuse("cannot become %.128s: %s", keeper_page()->binary,
	    strerror(-code));
}

/* ---- as it begins ---- */

void
keeper_upgrade_init(char *const argv[], const pid_t *supervisor,
    const struct keeper_handover *h)
{
	u.argv = argv;
	u.supervisor = supervisor;
	u.by = MONO_NEVER;
	if (h == NULL)
		return;
	/* By execveat(2) it would be the descriptor's number. */
	(void)prctl(PR_SET_NAME, h->comm, 0, 0, 0);
	note_fds();
	/* That was the last one. */
	keeper_page()->begun = false;
	keeper_page()->yield = false;
	log_follow(&keeper_page()->log);
	if (h->returns) {
		snprintf(keeper_page()->upgrade_words,
		    sizeof(keeper_page()->upgrade_words), "%s", h->words);
		log_error("upgrade: %s; this is the clusterd of before again",
		    h->words);
		answer("error failed upgrade: ", h->words);
		return;
	}
	memcpy(u.words, h->words, sizeof(u.words));
	u.back = h->back_fd;
	note_fds();
	u.state = TRYING;
	u.by = mono_add_ms(mono_now(), BEGIN_MS);
}
