#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/mono.h"
#include "core/ledger/ledger.h"
#include "core/names/signal_name.h"
#include "linux/keeper/background.h"
#include "linux/keeper/keeper.h"
#include "linux/keeper/keeper_asked.h"
#include "linux/keeper/keeper_clear.h"
#include "linux/keeper/keeper_pace.h"
#include "linux/keeper/keeper_page.h"
#include "linux/keeper/keeper_post.h"
#include "linux/keeper/keeper_share.h"
#include "linux/keeper/keeper_state.h"
#include "linux/keeper/keeper_upgrade.h"
#include "linux/keeper/keeper_words.h"
#include "linux/keeper/title.h"
#include "linux/ledger/ledger_memory.h"
#include "linux/loop/signals.h"
#include "linux/process/process.h"
#include "linux/process/settle.h"
#include "linux/process/usage.h"

/* For what is left to die, before the next one starts all the same; and where it
   is not ours to kill. */
#define CLEAR_MS	2000
#define SPARE_MS	200

/* Where no process can be had. */
#define FORK_MS		1000

/* For ps(1), pgrep(1): the keeper is the one called clusterd. */
#define SUPERVISOR_COMM		"clusterd-super"
#define SUPERVISOR_TITLE	"clusterd: supervisor"

static struct {
	const struct keeper_setup *setup;
	struct keeper_page *page;
	sigset_t signals;

	pid_t supervisor;	/* 0: there is none */
	struct mono started;
	bool first;		/* it is the first one */
	bool has_been_up;	/* some supervisor was */
	bool rests;		/* what it took to start this one is let go of */
	bool stops;		/* there is to be no other */
	bool over;		/* the end, with */
	int status;

	bool clearing;		/* of what is left of the last one */
	struct mono clear_by;
	struct mono next;	/* when the next is to be started */
	struct keeper_pace pace;
	bool forkless;		/* no process was to be had for it */
	bool last;		/* it is to stop all; there is no other */
} k;

/* ---- the child ---- */

/* What a supervisor allocates for each worker that it takes over, about; of few the
   faults are few. */
#define EACH_BYTES	((size_t)3 * 1024)
#define HEAP_MIN	((size_t)64 * 1024)
#define HEAP_MAX	((size_t)16 * 1024 * 1024)

static void
make_room(void)
{
	struct ledger now;
	size_t bytes;

	if (k.setup->ledger == NULL || ledger_open(&now,
	    k.setup->ledger->memory, k.setup->ledger->size, NULL) < 0)
		return;
	bytes = EACH_BYTES * ledger_count(&now, LEDGER_WORKER);
	if (bytes >= HEAP_MIN)
		settle_begin(bytes < HEAP_MAX ? bytes : HEAP_MAX);
}

static int
be_supervisor(void)
{
	pid_t keeper = k.page->pid;

	(void)prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0);
	/* It may have died before; the signal waits for who takes them. */
	if (getppid() != keeper)
		(void)kill(getpid(), SIGTERM);
	/* What a terminal sends comes once, by way of the keeper. */
	(void)setpgid(0, 0);
	(void)prctl(PR_SET_NAME, SUPERVISOR_COMM, 0, 0, 0);
	title_set(k.setup->argc, k.setup->argv, SUPERVISOR_TITLE);
	log_share(&k.page->log);
	if (!k.first) {
		make_room();
		keeper_note_left();
	}
	return k.setup->supervise(k.setup->ctx);
}

/* ---- its start and its death ---- */

static struct mono
after(int ms)
{
	return mono_add_ms(mono_now(), ms);
}

/* Of what is the next one's nothing is. */
static void
begin_to_clear(void)
{
	bool spares = k.page->spares && k.setup->ledger == NULL;

	k.clearing = k.stops || k.setup->ledger == NULL;
	k.clear_by = after(spares ? SPARE_MS : CLEAR_MS);
}

static void
end_with(int status)
{
	k.over = true;
	k.status = status;
}

/* Not for now; or never, where the kernel, or a filter of system calls, has none that
   shares our descriptors. */
static void
no_supervisor(int err)
{
	bool never = err != EAGAIN && err != ENOMEM;

	k.forkless = true;
	k.next = after(FORK_MS);
	if (k.first && never && k.page->ready_fd < 0) {
		log_warning("there is no keeper: clone: %s", strerror(err));
		end_with(KEEPER_NONE);
		return;
	}
	log_error("cannot start the supervisor: %s", strerror(err));
	/* Somebody waits in the foreground for what will not come. */
	if (k.first && never)
		end_with(1);
	if (!k.last)
		return;
	k.stops = true;
	k.status = 1;
	begin_to_clear();
}

/* What the last one has left of it may be of no use. */
static bool
ledger_is_spoilt(void)
{
	struct ledger now;

	if (k.setup->ledger == NULL)
		return false;
	return k.page->spoilt || ledger_open(&now, k.setup->ledger->memory,
	    k.setup->ledger->size, NULL) < 0;
}

/* Nobody would know what workers and sockets there are, and yet they would have the
   ports: all is begun anew. Returns whether there is something to wait for. */
static bool
begin_all_anew(void)
{
	if (k.first || !ledger_is_spoilt())
		return false;
	log_follow(&k.page->log);
	log_error("the ledger is spoilt: killing what is left, and starting "
	    "all anew");
	ledger_memory_renew(k.setup->ledger);
	k.page->spares = k.page->spoilt = false;
	k.clearing = true;
	/* Also a stop: there is nothing left to do. */
	k.stops = k.page->stopping;
	k.status = k.stops ? 1 : 0;
	k.clear_by = after(CLEAR_MS);
	return true;
}

/* Returns whether we are the child. */
static bool
start_supervisor(void)
{
	struct keeper_page *page = k.page;
	pid_t pid;

	page->takes_signals = false;
	page->up = false;
	page->begun = false;
	/* A stop that is under way goes on, and the ledger has it. */
	page->stopping = page->stopping && k.setup->ledger != NULL;
	page->spares = page->spares && k.setup->ledger != NULL;
	page->listens = KEEPER_IDLE;
	page->mail = KEEPER_IDLE;
	/* Of one that was about to ask for an upgrade. */
	if (page->upgrade == KEEPER_IDLE)
		fd_close(&page->asker_fd);
	log_follow(&page->log);
	/* fork(2), but for the table of descriptors. */
	pid = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
	if (pid == 0)
		return true;
	if (pid < 0) {
		no_supervisor(errno);
		return false;
	}
	k.forkless = false;
	k.rests = false;
	/* Whichever of the two is first. */
	(void)setpgid(pid, pid);
	k.supervisor = pid;
	k.started = mono_now();
	k.next = MONO_NEVER;
	return false;
}

/* In how many milliseconds the next one is to be started; -1: not at all. */
static int
judge_death(void)
{
	struct mono now = mono_now();
	/* Of a stop there is nothing that it could come up with. */
	bool was_up = k.page->up || (k.page->stopping && k.page->begun);
	int ms = keeper_pace_death(&k.pace, was_up,
	    mono_ms_between(k.started, now), now);

	return k.pace.slow && !k.has_been_up ? -1 : ms;
}

/* Who has heard of a stop has written it down, and another one goes on with it; unless
   nobody gets on with it. */
static bool
ends_all(bool stopping)
{
	if (k.setup->ledger == NULL)
		return stopping || k.last;
	return stopping ? k.pace.slow || k.pace.spins : k.last;
}

static void
tell_death(pid_t pid, int ms, bool was_slow)
{
	char what[80] = "starting another", lived[32];

	if (k.stops)
		snprintf(what, sizeof(what), "killing what is left");
	else if (ms < 0)
		snprintf(what, sizeof(what), "giving up: none has come up");
	else if (ms > 0)
		snprintf(what, sizeof(what), "starting another in %d.%ds",
		    ms / 1000, ms % 1000 / 100);
	keeper_words_duration(mono_ms_between(k.started, mono_now()), lived,
	    sizeof(lived));
	log_error("supervisor pid %d: %s after %s, %s", (int)pid,
	    k.page->death, lived, what);
	if (k.pace.slow && !was_slow && ms > 0)
		log_error("%d supervisors have died in %d s without coming "
		    "up: trying again every %d s", KEEPER_PACE_DEATHS,
		    KEEPER_PACE_WITHIN_MS / 1000, ms / 1000);
}

/* It has stopped its workers, unless it could not even begin. */
static void
supervisor_ended(int status)
{
	if (k.page->restarts + k.page->upgrades == 0 ||
	    k.setup->ledger == NULL) {
		end_with(status);
		return;
	}
	k.stops = true;
	k.status = status;
	begin_to_clear();
}

/* Its death is no failure; whichever program's, another one is to come. */
static bool
took_for_upgrade(int status)
{
	char words[sizeof(k.page->death)];

	keeper_words_cause(status, words, sizeof(words));
	if (!keeper_upgrade_took(words))
		return false;
	k.first = false;
	k.next = mono_now();
	return true;
}

/* Some supervisor was up, and nothing is a failed start any more. */
static void
note_up(void)
{
	if (!k.page->up || k.has_been_up)
		return;
	k.has_been_up = true;
	settle();
	if (k.page->ready_fd >= 0)
		background_tell(k.page->ready_fd, BACKGROUND_READY, "");
	fd_close(&k.page->ready_fd);
}

static void
supervisor_died(pid_t pid, int status)
{
	bool was_slow = k.pace.slow;
	int ms;

	k.supervisor = 0;
	/* The last that it had to say, which SIGCHLD comes before. */
	keeper_asked_mail();
	note_up();
	if (k.setup->ledger != NULL && took_for_upgrade(status))
		return;
	/* A program that has come to its end, or cannot begin. But one that was up
	   once is not given up for a file that cannot be read just now. */
	if (WIFEXITED(status) && (k.page->up || !k.has_been_up ||
	    WEXITSTATUS(status) == 0 || k.page->stopping)) {
		supervisor_ended(WEXITSTATUS(status));
		return;
	}
	k.first = false;
	k.page->restarts++;
	keeper_words_cause(status, k.page->death, sizeof(k.page->death));
	ms = judge_death();
	k.stops = ends_all(k.page->stopping);
	ms = k.stops ? 0 : ms;
	log_follow(&k.page->log);
	tell_death(pid, ms, was_slow);
	k.status = k.stops || ms < 0 ? 1 : 0;
	k.stops = k.stops || ms < 0;
	begin_to_clear();
	k.next = after(ms);
}

/* Without a ledger its workers have had their SIGKILL from the kernel. */
static void
clear(void)
{
	if (keeper_kill_children(k.setup->ledger, k.page->spares) &&
	    mono_before(mono_now(), k.clear_by))
		return;
	k.clearing = false;
	if (k.stops)
		end_with(k.status);
}

/* A worker that is ours by now, or what one has left. */
static void
tell_reaped(pid_t pid, int status)
{
	if (keeper_upgrade_reaped(pid, status) || keeper_reaped(pid) ||
	    k.stops || k.setup->ledger == NULL)
		keeper_post_not();
	else
		keeper_post_death(pid, status);
}

static void
reap_supervisor(void)
{
	siginfo_t info = { .si_pid = 0 };
	int status;

	if (k.supervisor == 0 || waitid(P_PID, (id_t)k.supervisor, &info,
	    WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == 0)
		return;
	/* Until it is reaped it has a clock. */
	k.page->past_cpu_ns += usage_cpu(k.supervisor);
	if (waitpid(k.supervisor, &status, WNOHANG) == k.supervisor)
		supervisor_died(k.supervisor, status);
}

/* As waitpid(2) gives it: the code in the second byte, or a signal in the first, with
   the highest bit for a core. */
static int
status_of(const siginfo_t *info)
{
	if (info->si_code == CLD_EXITED)
		return info->si_status << 8;
	return info->si_status | (info->si_code == CLD_DUMPED ? 0x80 : 0);
}

static bool
next_dead(siginfo_t *ret_info)
{
	ret_info->si_pid = 0;
	return waitid(P_ALL, 0, ret_info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
	    ret_info->si_pid != 0;
}

static void
reap(void)
{
	siginfo_t info;

	/* Before those that wait for it to be told. */
	reap_supervisor();
	keeper_post_not();
	while ((k.stops || keeper_post_has_room()) && next_dead(&info)) {
		if (info.si_pid == k.supervisor) {
			reap_supervisor();
			continue;
		}
		/* Known before it is gone: a supervisor that begins finds the
		   one or the other. Told after: its group is then empty. */
		keeper_post_dying(info.si_pid, status_of(&info));
		keeper_forget_helper(info.si_pid);
		(void)waitpid(info.si_pid, NULL, WNOHANG);
		tell_reaped(info.si_pid, status_of(&info));
	}
}

/* ---- what the supervisor asks for ---- */

static void
do_asked(void)
{
	keeper_asked_mail();
	keeper_asked_listen();
	note_up();
	reap();
}

/* ---- signals ---- */

static bool
stops(int signo)
{
	return signo == SIGTERM || signo == SIGINT || signo == SIGQUIT;
}

/* As if nobody had handled it. */
static void
die_of(int signo)
{
	sigset_t set;

	if (k.supervisor != 0)
		(void)kill(k.supervisor, SIGKILL);
	sigemptyset(&set);
	sigaddset(&set, signo);
	(void)kill(getpid(), signo);
	(void)sigprocmask(SIG_UNBLOCK, &set, NULL);
	end_with(1);
}

/* A supervisor is due only later. One that is up once could stop all as it should be,
   or read a file that has been mended: that one is tried at once. */
static void
hear_alone(void *ctx, int signo, int pid, bool hangup)
{
	const struct keeper_signal *s = ctx;

	(void)pid;
	if (k.has_been_up && k.setup->ledger != NULL && !k.clearing &&
	    !k.last) {
		keeper_post_signal(s);
		k.last = hangup || stops(signo);
		k.next = mono_now();
		return;
	}
	if (!hangup && !stops(signo))
		return;
	log_follow(&k.page->log);
	log_info("SIG%s: stopping", signal_name(signo));
	k.stops = true;
	k.status = k.has_been_up ? 0 : 1;
	k.clearing = true;
	k.clear_by = after(CLEAR_MS);
}

/* One is about to be started, which sees to it. */
static bool
next_is_due(void)
{
	return k.setup->ledger != NULL && !k.stops && !k.clearing &&
	    !k.forkless && k.pace.deaths <= 1;
}

static void
take(const siginfo_t *info)
{
	struct keeper_signal s = {
		.signo = info->si_signo, .code = info->si_code,
		.pid = info->si_pid,
	};

	if (signals_is_echo(s.signo, s.pid))
		return;
	if (s.signo == SIGCHLD)
		reap();
	else if (s.signo == KEEPER_POKE)
		do_asked();
	else if (k.supervisor == 0 && !next_is_due() &&
	    (stops(s.signo) || s.signo == SIGHUP))
		signals_give(s.signo, s.code, s.pid, hear_alone, &s);
	else if (k.first && k.page->pid != 1 && stops(s.signo) &&
	    !__atomic_load_n(&k.page->takes_signals, __ATOMIC_ACQUIRE))
		die_of(s.signo);
	else
		keeper_post_signal(&s);
}

static struct mono
next_due(void)
{
	struct mono upgrade = keeper_upgrade_due();
	struct mono due = k.supervisor != 0 ? MONO_NEVER :
	    k.clearing ? k.clear_by : k.next;

	return mono_before(upgrade, due) ? upgrade : due;
}

/* Until a signal comes, or something is due. */
static void
sleep_once(void)
{
	struct mono due = next_due();
	struct timespec ts;
	siginfo_t info;
	int64_t ns;
	int signo;

	if (k.page->up && !k.rests && mono_is_never(due)) {
		k.rests = true;
		settle_code();
	}
	if (mono_is_never(due)) {
		signo = sigwaitinfo(&k.signals, &info);
	} else {
		ns = due.ns - mono_now().ns;
		ns = ns > 0 ? ns : 0;
		ts = (struct timespec){
			.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000,
		};
		signo = sigtimedwait(&k.signals, &info, &ts);
	}
	if (signo > 0)
		take(&info);
}

static bool
next_is_late(void)
{
	return k.supervisor == 0 && !k.clearing &&
	    !mono_before(mono_now(), k.next);
}

/* In the program that another one has become. */
static void
do_without_ledger(void)
{
	if (k.setup->ledger != NULL)
		return;
	k.page->spares = false;
	begin_to_clear();
}

/* Returns whether we are the child. */
static bool
turn(void)
{
	if (k.clearing)
		clear();
	if (!k.over && keeper_upgrade_look(k.stops)) {
		keeper_upgrade_become(k.has_been_up);
		do_without_ledger();
	}
	if (!k.over && next_is_late()) {
		if (begin_all_anew())
			return false;
		if (start_supervisor())
			return true;
	}
	if (!k.over)
		sleep_once();
	return false;
}

static void
begin_signals(void)
{
	/* One for the program before us. */
	(void)signal(KEEPER_POKE, SIG_IGN);
	signals_begin(&k.signals);
	sigaddset(&k.signals, KEEPER_POKE);
	(void)sigprocmask(SIG_BLOCK, &k.signals, NULL);
	(void)signal(KEEPER_POKE, SIG_DFL);
}

static int
begin_anew(const struct keeper_setup *setup)
{
	int code;

	k.first = true;
	begin_signals();
	code = keeper_page_open();
	if (code < 0)
		return code;
	k.page = keeper_page();
	k.page->began = mono_now();
	k.page->ready_fd = setup->ready_fd;
	k.page->background = setup->background;
	k.page->ledger_fd = setup->ledger_fd;
	if (setup->binary != NULL)
		snprintf(k.page->binary, sizeof(k.page->binary), "%s",
		    setup->binary);
	keeper_note_strangers();
	keeper_upgrade_init(setup->argv, &k.supervisor, NULL);
	return 0;
}

static int
go_on(const struct keeper_setup *setup)
{
	struct keeper_handover h;
	int code = keeper_state_take(setup->state_fd, &h);

	if (code < 0)
		return code;
	k.page = keeper_page();
	k.has_been_up = h.has_been_up;
	signals_began(&h.signals);
	begin_signals();
	keeper_upgrade_init(setup->argv, &k.supervisor, &h);
	/* It is spoilt, or has no room for what this version knows. Who has died in
	   between is for that one to reap. */
	if (setup->ledger == NULL && !h.returns) {
		keeper_upgrade_give_up("its ledger cannot be read");
		return 0;
	}
	do_without_ledger();
	/* Who has died in between. */
	reap();
	return 0;
}

int
keeper_run(const struct keeper_setup *setup)
{
	int code;

	k.setup = setup;
	code = setup->state_fd >= 0 ? go_on(setup) : begin_anew(setup);
	if (code < 0 && setup->state_fd < 0 && setup->ready_fd < 0) {
		log_warning("there is no keeper: %s", strerror(-code));
		return KEEPER_NONE;
	}
	if (code < 0) {
		log_error("cannot begin: %s", strerror(-code));
		return 1;
	}
	(void)process_become_subreaper();
	while (!k.over)
		if (turn())
			return be_supervisor();
	keeper_upgrade_end();
	if (k.status == KEEPER_NONE)
		keeper_page_close();
	return k.status;
}
