#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mono.h"
#include "core/worker/obituary.h"
#include "linux/keeper/background.h"
#include "linux/keeper/keeper_clear.h"
#include "linux/keeper/keeper_page.h"
#include "linux/keeper/keeper_share.h"
#include "linux/keeper/keeper_upgrade.h"
#include "linux/loop/signals.h"
#include "linux/process/usage.h"

/* Where the keeper stands still, by a SIGSTOP. */
#define LISTEN_MS	500

pid_t
keeper_pid(void)
{
	const struct keeper_page *p = keeper_page();

	return p != NULL ? p->pid : getpid();
}

bool
keeper_is_gone(void)
{
	const struct keeper_page *p = keeper_page();

	return p != NULL && getppid() != p->pid;
}

bool
keeper_nofile(struct rlimit *ret)
{
	const struct keeper_page *p = keeper_page();

	if (p != NULL)
		*ret = p->nofile;
	return p != NULL;
}

unsigned
keeper_supervisor(void)
{
	const struct keeper_page *p = keeper_page();

	return p != NULL ? p->restarts + p->upgrades : 0;
}

bool
keeper_is_upgrade(void)
{
	return keeper_upgrade_is_tried();
}

unsigned
keeper_restarts(void)
{
	const struct keeper_page *p = keeper_page();

	return p != NULL ? p->restarts : 0;
}

const char *
keeper_last_death(void)
{
	const struct keeper_page *p = keeper_page();

	return p != NULL ? p->death : "";
}

struct mono
keeper_began(void)
{
	const struct keeper_page *p = keeper_page();

	return p != NULL ? p->began : mono_now();
}

uint64_t
keeper_cpu_ns(void)
{
	const struct keeper_page *p = keeper_page();

	return p != NULL ? p->past_cpu_ns + usage_cpu(p->pid) : 0;
}

int
keeper_wake_fd(void)
{
	const struct keeper_page *p = keeper_page();

	return p != NULL ? p->wake_fd : -1;
}

int
keeper_low_fd(void)
{
	const struct keeper_page *p = keeper_page();

	return p != NULL ? p->low_fd : -1;
}

void
keeper_taken(void)
{
	uint64_t n;

	(void)!read(keeper_wake_fd(), &n, sizeof(n));
}

void
keeper_look_again(void)
{
	const uint64_t one = 1;

	(void)!write(keeper_wake_fd(), &one, sizeof(one));
}

/* A number of a process is not another's as long as it is our parent. */
static bool
poke(void)
{
	const struct keeper_page *p = keeper_page();

	return !keeper_is_gone() && kill(p->pid, KEEPER_POKE) == 0;
}

/* ---- signals ---- */

void
keeper_takes_signals(void)
{
	if (keeper_page() != NULL)
		__atomic_store_n(&keeper_page()->takes_signals, true,
		    __ATOMIC_RELEASE);
}

void
keeper_read_signals(void (*fn)(void *ctx, int signo, int pid, bool hangup),
    void *ctx)
{
	struct keeper_page *p = keeper_page();

	while (p->taken != __atomic_load_n(&p->put, __ATOMIC_ACQUIRE)) {
		struct keeper_signal s = p->signals[p->taken % KEEPER_SIGNALS];

		/* Before it acts: one that kills us is not to kill the next
		   one, too. */
		__atomic_store_n(&p->taken, p->taken + 1, __ATOMIC_RELEASE);
		signals_give(s.signo, s.code, s.pid, fn, ctx);
	}
}

/* ---- deaths ---- */

static struct exit_status
status_of(int status)
{
	return (struct exit_status){
		.signalled = WIFSIGNALED(status),
		.core_dumped = WIFSIGNALED(status) && WCOREDUMP(status),
		.code = WIFSIGNALED(status) ? WTERMSIG(status) :
		    WEXITSTATUS(status),
	};
}

void
keeper_read_deaths(void (*fn)(void *ctx, pid_t pid,
    struct exit_status status), void *ctx)
{
	struct keeper_page *p = keeper_page();
	bool full = false;

	while (p->buried != __atomic_load_n(&p->died, __ATOMIC_ACQUIRE)) {
		struct keeper_death d = p->deaths[p->buried % KEEPER_DEATHS];

		/* It may have stopped at what it saw a moment ago. */
		full |= p->died - p->buried >= KEEPER_DEATHS / 2;
		(void)keeper_reaped(d.pid);
		fn(ctx, d.pid, status_of(d.status));
		__atomic_store_n(&p->buried, p->buried + 1, __ATOMIC_RELEASE);
	}
	if (full)
		(void)poke();
}

bool
keeper_has_death(pid_t pid)
{
	const struct keeper_page *p = keeper_page();

	unsigned died;

	if (p == NULL)
		return false;
	died = __atomic_load_n(&p->died, __ATOMIC_ACQUIRE);
	for (unsigned i = p->buried; i != died; i++)
		if (p->deaths[i % KEEPER_DEATHS].pid == pid)
			return true;
	/* The next one, which is reaped and not told (keeper_post_dying()). */
	return died - p->buried < KEEPER_DEATHS &&
	    p->deaths[died % KEEPER_DEATHS].pid == pid;
}

/* ---- how it goes ---- */

bool
keeper_came_up(void)
{
	struct keeper_page *p = keeper_page();
	bool first = p != NULL && !p->up;

	if (first)
		p->up = true;
	return first;
}

void
keeper_tell_up(void)
{
	if (keeper_page() != NULL)
		(void)poke();
}

/* Once we are up the keeper may close it at any time, and it is our descriptor too. */
static void
tell_waiting(char what, const char *text)
{
	const struct keeper_page *p = keeper_page();

	if (!p->up && p->ready_fd >= 0)
		background_tell(p->ready_fd, what, text);
}

void
keeper_has_log(const char *path)
{
	const struct keeper_page *p = keeper_page();

	if (p == NULL || !p->background)
		return;
	background_drop_streams(log_own_fd());
	if (path != NULL)
		tell_waiting(BACKGROUND_LOGS, path);
}

void
keeper_tell_failed(const char *apps)
{
	if (keeper_page() != NULL)
		tell_waiting(BACKGROUND_FAILED, apps);
}

void
keeper_has_begun(void)
{
	struct keeper_page *p = keeper_page();

	if (p == NULL || p->begun)
		return;
	__atomic_store_n(&p->begun, true, __ATOMIC_RELEASE);
	(void)poke();
}

int
keeper_upgrade(int client)
{
	struct keeper_page *p = keeper_page();

	if (p == NULL || p->ledger_fd < 0 || *p->binary == '\0')
		return -ENOTSUP;
	if (__atomic_load_n(&p->upgrade, __ATOMIC_ACQUIRE) != KEEPER_IDLE)
		return -EBUSY;
	p->asker_fd = client < 0 ? -1 : fcntl(client, F_DUPFD_CLOEXEC, 3);
	if (client >= 0 && p->asker_fd < 0)
		return -errno;
	p->asked_by = getpid();
	__atomic_store_n(&p->upgrade, KEEPER_ASKED, __ATOMIC_RELEASE);
	return poke() ? 0 : -ENOTSUP;
}

void
keeper_yield(void)
{
	const struct keeper_page *p = keeper_page();

	if (p != NULL && __atomic_load_n(&p->yield, __ATOMIC_ACQUIRE) &&
	    !p->stopping)
		(void)kill(getpid(), SIGKILL);
}

const char *
keeper_upgrade_words(int code)
{
	switch (code) {
	case -EBUSY:
		return "one is under way";
	case -ENOTSUP:
		return "there is no keeper that would take over";
	default:
		return strerror(-code);
	}
}

const char *
keeper_upgrade_failure(void)
{
	static char words[KEEPER_UPGRADE_WORDS];
	struct keeper_page *p = keeper_page();

	if (p == NULL || __atomic_load_n(&p->upgrade, __ATOMIC_ACQUIRE) !=
	    KEEPER_DONE)
		return NULL;
	memcpy(words, p->upgrade_words, sizeof(words));
	__atomic_store_n(&p->upgrade, KEEPER_IDLE, __ATOMIC_RELEASE);
	return words;
}

void
keeper_left_is_spoilt(void)
{
	if (keeper_page() != NULL)
		keeper_page()->spoilt = true;
}

void
keeper_stopping(void)
{
	if (keeper_page() != NULL)
		keeper_page()->stopping = true;
}

void
keeper_spare_orphans(void)
{
	if (keeper_page() != NULL)
		keeper_page()->spares = true;
}

bool
keeper_spares_orphans(void)
{
	return keeper_page() != NULL && keeper_page()->spares;
}

static void
change_helper(pid_t from, pid_t to)
{
	struct keeper_page *p = keeper_page();

	for (size_t i = 0; p != NULL && i < KEEPER_HELPERS; i++) {
		if (__atomic_load_n(&p->helpers[i], __ATOMIC_RELAXED) != from)
			continue;
		__atomic_store_n(&p->helpers[i], to, __ATOMIC_RELAXED);
		return;
	}
}

void
keeper_note_helper(pid_t pid)
{
	change_helper(0, pid);
}

void
keeper_forget_helper(pid_t pid)
{
	change_helper(pid, 0);
}

void
keeper_each_helper(void (*fn)(void *ctx, pid_t pid), void *ctx)
{
	const struct keeper_page *p = keeper_page();
	pid_t pid;

	for (size_t i = 0; p != NULL && i < KEEPER_HELPERS; i++) {
		pid = __atomic_load_n(&p->helpers[i], __ATOMIC_RELAXED);
		if (pid != 0)
			fn(ctx, pid);
	}
}

/* ---- what the keeper does for us ---- */

int
keeper_mail(int fd, const struct sockaddr_un *to, socklen_t to_len,
    const char *text, size_t len, int passed)
{
	struct keeper_page *p = keeper_page();

	if (p == NULL || keeper_is_gone())
		return -ENOTCONN;
	if (__atomic_load_n(&p->mail, __ATOMIC_ACQUIRE) != KEEPER_IDLE)
		return -EBUSY;
	p->mail_fd = fd;
	p->mail_passed = passed;
	p->mail_to = *to;
	p->mail_to_len = to_len;
	p->mail_len = len < KEEPER_MAIL_MAX ? len : KEEPER_MAIL_MAX;
	memcpy(p->mail_text, text, p->mail_len);
	__atomic_store_n(&p->mail, KEEPER_ASKED, __ATOMIC_RELEASE);
	if (poke())
		return 0;
	p->mail = KEEPER_IDLE;
	return -ENOTCONN;
}

bool
keeper_mail_done(int *ret_errno)
{
	struct keeper_page *p = keeper_page();
	bool gone = keeper_is_gone();	/* it changes nothing then */
	enum keeper_asked now = p == NULL ? KEEPER_IDLE :
	    __atomic_load_n(&p->mail, __ATOMIC_ACQUIRE);

	if (now == KEEPER_IDLE || (now != KEEPER_DONE && !gone))
		return false;
	*ret_errno = now == KEEPER_DONE ? p->mail_errno : EAGAIN;
	p->mail = KEEPER_IDLE;
	return true;
}

static bool
is_under_way(const enum keeper_asked *what)
{
	enum keeper_asked now = __atomic_load_n(what, __ATOMIC_ACQUIRE);

	return now == KEEPER_ASKED || now == KEEPER_AT_IT;
}

/* The wake-ups meanwhile may have been for signals, too: there is one more. */
static void
await(const enum keeper_asked *what, int ms)
{
	struct pollfd wake = { .fd = keeper_wake_fd(), .events = POLLIN };
	struct mono end = mono_add_ms(mono_now(), ms);
	const uint64_t one = 1;

	while (is_under_way(what) && !keeper_is_gone() && mono_before(mono_now(), end))
		if (poll(&wake, 1, ms) > 0)
			keeper_taken();
	(void)!write(wake.fd, &one, sizeof(one));
}

bool
keeper_mail_await(int ms, int *ret_errno)
{
	if (keeper_page() != NULL)
		await(&keeper_page()->mail, ms);
	return keeper_mail_done(ret_errno);
}

bool
keeper_mail_cancel(void)
{
	struct keeper_page *p = keeper_page();
	enum keeper_asked asked = KEEPER_ASKED;

	return p == NULL || __atomic_compare_exchange_n(&p->mail, &asked,
	    KEEPER_IDLE, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

int
keeper_listen(int fd, int backlog)
{
	struct keeper_page *p = keeper_page();

	if (p != NULL && p->listens != KEEPER_ASKED) {
		p->listen_fd = fd;
		p->listen_backlog = backlog;
		__atomic_store_n(&p->listens, KEEPER_ASKED, __ATOMIC_RELEASE);
		if (poke())
			await(&p->listens, LISTEN_MS);
		if (__atomic_load_n(&p->listens, __ATOMIC_ACQUIRE) ==
		    KEEPER_DONE)
			return p->listen_code;
	}
	return listen(fd, backlog) < 0 ? -errno : 0;
}

void
keeper_keep_socket(int fd, dev_t dev, ino_t ino)
{
	struct keeper_page *p = keeper_page();

	if (p == NULL)
		return;
	/* Half of it is nothing. */
	__atomic_store_n(&p->kept_fd, -1, __ATOMIC_RELEASE);
	p->kept_dev = dev;
	p->kept_ino = ino;
	__atomic_store_n(&p->kept_fd, fd, __ATOMIC_RELEASE);
}

int
keeper_kept_socket(dev_t *ret_dev, ino_t *ret_ino)
{
	struct keeper_page *p = keeper_page();

	if (p == NULL || p->kept_fd < 0)
		return -1;
	*ret_dev = p->kept_dev;
	*ret_ino = p->kept_ino;
	return p->kept_fd;
}

bool
keeper_store_told(void)
{
	return keeper_page() != NULL && keeper_page()->told_store;
}

void
keeper_note_store_told(void)
{
	if (keeper_page() != NULL)
		keeper_page()->told_store = true;
}

bool
keeper_had_fd(int fd)
{
	return keeper_page_had(fd);
}
