/* Looks by a child of ours, which may be held up. */
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/mono.h"
#include "linux/process/looker.h"
#include "linux/process/looks.h"

/* Longer than any wait of ours, however slow the machine is. */
#define LIMIT_MS 10000

/* Numbers for those who are looked at; nobody looks. */
#define BLOCKS	((pid_t)1000001)
#define OTHER	((pid_t)1000002)
#define THIRD	((pid_t)1000003)

static void end_all(void);
static int reap(void);
static void nap(void);

/* Until our child has had the CPU. */
static int
ask_question(pid_t pid, const struct looker_question *question)
{
	const struct looker_whom whom = { .pid = pid };
	struct mono begin = mono_now();
	int code;

	while ((code = looker_ask(&whom, question)) == -EAGAIN &&
	    mono_ms_between(begin, mono_now()) < LIMIT_MS)
		nap();
	return code;
}

static int
ask(pid_t pid, looker_fn *fn, const char *arg)
{
	return ask_question(pid, &(struct looker_question){
	    .fn = fn, .arg = arg, .arg_len = strlen(arg) + 1,
	});
}

/* … and as long as the look is held up. */
static bool
is_to_come_again(struct mono begin, int code)
{
	if (!looker_is_held_up(code) ||
	    mono_ms_between(begin, mono_now()) >= LIMIT_MS)
		return false;
	(void)reap();
	nap();
	return true;
}

#define TILL_ANSWERED(look) __extension__ ({				\
	struct mono begin_ = mono_now();				\
	int code_;							\
									\
	do								\
		code_ = (look);						\
	while (is_to_come_again(begin_, code_));			\
	code_;								\
})

static int
ask_till_answered(pid_t pid, looker_fn *fn, const char *arg)
{
	return TILL_ANSWERED(ask(pid, fn, arg));
}

static int
do_nothing(const void *arg, void *ret, struct looker_fds *fds)
{
	(void)arg, (void)ret, (void)fds;
	return 0;
}

/* Every child of ours that has ended; how many. */
static int
reap(void)
{
	int n = 0;
	pid_t pid;

	for (; (pid = waitpid(-1, NULL, WNOHANG)) > 0; n++)
		(void)looker_reaped(pid);
	return n;
}

static void
nap(void)
{
	(void)nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
}

/* ---- answers ---- */

struct pair {
	int a, b;
};

static int
do_swap(const void *arg, void *ret, struct looker_fds *fds)
{
	const struct pair *in = arg;
	struct pair *out = ret;

	(void)fds;
	assert_int_equal(out->a, 0);
	*out = (struct pair){ .a = in->b, .b = in->a };
	return -ENOTTY;
}

static void
answers(void **state)
{
	struct pair in = { .a = 3, .b = 4 }, out = { 0 };

	(void)state;
	assert_int_equal(ask_question(OTHER, &(struct looker_question){
	    .fn = do_swap, .arg = &in, .arg_len = sizeof(in),
	    .ret = &out, .ret_len = sizeof(out),
	}), -ENOTTY);
	assert_int_equal(out.a, 4);
	assert_int_equal(out.b, 3);
}

static int
do_pipe(const void *arg, void *ret, struct looker_fds *fds)
{
	(void)arg, (void)ret;
	assert_int_equal(pipe2(fds->v, O_CLOEXEC), 0);
	fds->n = 2;
	return 0;
}

/* And it keeps none. */
static void
sends_descriptors(void **state)
{
	struct looker_fds fds = { .n = 0 };
	char c;

	(void)state;
	assert_int_equal(ask_question(OTHER, &(struct looker_question){
	    .fn = do_pipe, .fds = &fds,
	}), 0);
	assert_int_equal(fds.n, 2);
	assert_int_equal(fcntl(fds.v[0], F_GETFD), FD_CLOEXEC);
	assert_int_equal(write(fds.v[1], "x", 1), 1);
	close(fds.v[1]);
	assert_int_equal(read(fds.v[0], &c, 1), 1);
	assert_int_equal(read(fds.v[0], &c, 1), 0);
	close(fds.v[0]);
}

static void
sees_others(void **state)
{
	struct looker_whom whom = { .pid = getpid() };
	struct look_fd fd;
	char value[256];
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(TILL_ANSWERED(look_fd(&whom, getpid(), fds[0], &fd)),
	    0);
	assert_int_equal(fd.kind, INSPECT_OTHER);
	assert_int_equal(TILL_ANSWERED(look_fd(&whom, getpid(), 1000000, &fd)),
	    0);
	assert_int_equal(fd.kind, INSPECT_NOTHING);
	assert_int_equal(TILL_ANSWERED(look_env(&whom, "NO_SUCH_NAME", value,
	    256)), -ENODATA);
	close(fds[0]);
	close(fds[1]);
}

/* ---- held up ---- */

/* How often, in whichever process. */
static volatile int *opened;

/* As a file system that does not answer, but for what can end it. */
static int
do_open(const void *arg, void *ret, struct looker_fds *fds)
{
	(void)ret, (void)fds;
	++*opened;
	return open(arg, O_RDONLY) < 0 ? -errno : 0;
}

static char fifo[] = "/tmp/test_looker.XXXXXX";

/* -ETIMEDOUT when it is seen to sleep at once. */
static bool
is_held_up(int code)
{
	return code == -ETIMEDOUT || code == -EBUSY;
}

static void
costs_only_its_own(void **state)
{
	struct mono begin = mono_now();

	(void)state;
	assert_true(is_held_up(ask(BLOCKS, do_open, fifo)));
	assert_true(mono_ms_between(begin, mono_now()) < LIMIT_MS);
	/* Another one is there at once; for other looks, too. */
	assert_int_equal(ask_till_answered(OTHER, do_nothing, ""), 0);
	assert_int_equal(ask_till_answered(BLOCKS, do_nothing, ""), 0);
	/* As long as the first is, it is asked no more. */
	begin = mono_now();
	while (mono_ms_between(begin, mono_now()) < 150) {
		assert_int_equal(ask(BLOCKS, do_open, fifo), -EBUSY);
		assert_int_equal(ask(OTHER, do_nothing, ""), 0);
		nap();
	}
	/* It was killed, and then it is tried again. */
	while (reap() == 0 && mono_ms_between(begin, mono_now()) < LIMIT_MS)
		nap();
	while (ask(BLOCKS, do_open, "/dev/null") == -EBUSY &&
	    mono_ms_between(begin, mono_now()) < LIMIT_MS) {
		(void)reap();	/* of one that got no CPU, later */
		nap();
	}
	assert_int_equal(ask(BLOCKS, do_open, "/dev/null"), 0);
}

/* Less and less often. */
static void
waits_longer_each_time(void **state)
{
	struct mono begin = mono_now();
	int64_t ms;

	(void)state;
	*opened = 0;
	while ((ms = mono_ms_between(begin, mono_now())) < 700 ||
	    (*opened == 0 && ms < LIMIT_MS)) {
		assert_true(is_held_up(ask(THIRD, do_open, fifo)));
		(void)reap();
		nap();
	}
	assert_in_range(*opened, 1, 4);
}

static int
do_say_pid(const void *arg, void *ret, struct looker_fds *fds)
{
	(void)arg, (void)fds;
	*(pid_t *)ret = getpid();
	return 0;
}

static pid_t
who_answers(void)
{
	pid_t pid = 0;
	int code;

	code = TILL_ANSWERED(ask_question(OTHER, &(struct looker_question){
	    .fn = do_say_pid, .ret = &pid, .ret_len = sizeof(pid),
	}));
	assert_int_equal(code, 0);
	return pid;
}

/* One that answers late may answer nothing else. */
static pid_t
child_at_hand(void)
{
	struct mono begin = mono_now();
	pid_t pid, last = 0;

	while ((pid = who_answers()) != last &&
	    mono_ms_between(begin, mono_now()) < LIMIT_MS)
		last = pid;
	return pid;
}

/* It was held up by what came before: the next one does not pay for that. */
static void
stopped_one_is_replaced(void **state)
{
	pid_t pid = child_at_hand();

	(void)state;
	assert_true(looker_is(pid));
	assert_int_equal(kill(pid, SIGSTOP), 0);
	assert_int_equal(waitpid(pid, NULL, WUNTRACED), pid);
	assert_int_equal(ask(BLOCKS, do_nothing, ""), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_true(looker_is(pid));
	(void)looker_reaped(pid);
	assert_false(looker_is(pid));
	for (struct mono begin = mono_now(); ask(OTHER, do_say_pid, "") ==
	    -EBUSY && mono_ms_between(begin, mono_now()) < LIMIT_MS;)
		nap();
}

static void
dead_one_is_replaced(void **state)
{
	pid_t pid = child_at_hand();

	(void)state;
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	/* Nobody has said so yet. */
	assert_true(child_at_hand() != pid);
	(void)looker_reaped(pid);
	assert_int_equal(ask_till_answered(OTHER, do_nothing, ""), 0);
}

/* Another one would be late where there is much to do. */
static void
idle_one_stays(void **state)
{
	pid_t pid = child_at_hand();
	struct mono begin = mono_now();

	(void)state;
	while (mono_ms_between(begin, mono_now()) < 400) {
		assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
		nap();
	}
	assert_int_equal(child_at_hand(), pid);
}

/* Who works, or would if it had the CPU, is waited for a little longer. */
static int
do_work(const void *arg, void *ret, struct looker_fds *fds)
{
	struct mono begin = mono_now();

	(void)arg, (void)ret, (void)fds;
	while (mono_ms_between(begin, mono_now()) < 12)
		continue;
	return 0;
}

/* "WHAT N": how often this process has said it. */
static int
do_number_slowly(const void *arg, void *ret, struct looker_fds *fds)
{
	static int n;
	struct mono begin = mono_now();

	(void)fds;
	++*opened;
	while (mono_ms_between(begin, mono_now()) < 60)
		nap();
	snprintf(ret, 32, "%s %d", (const char *)arg, ++n);
	return 0;
}

static void
works_on(void **state)
{
	(void)state;
	assert_int_equal(ask_till_answered(OTHER, do_work, ""), 0);
}

static int
ask_slowly(pid_t pid, const char *what, char *ret)
{
	return TILL_ANSWERED(ask_question(pid, &(struct looker_question){
	    .fn = do_number_slowly, .arg = what, .arg_len = 2,
	    .ret = ret, .ret_len = 32,
	}));
}

/* It is not begun again, and the next one of its kind has an answer of its own. */
static void
answers_late(void **state)
{
	char first[32] = "", second[32] = "";

	(void)state;
	assert_int_equal(ask_slowly(THIRD + 1, "a", first), 0);
	/* One child has answered, the only time. */
	assert_string_equal(first, "a 1");
	assert_int_equal(looker_held_up_ms(THIRD + 1), 0);
	assert_int_equal(ask_slowly(THIRD + 1, "b", second), 0);
	assert_int_equal(second[0], 'b');
}

/* Whoever asks something else meanwhile does not get that answer. */
static void
late_answer_is_for_its_question(void **state)
{
	char ret[32] = "";

	(void)state;
	(void)looker_ask(&(struct looker_whom){ .pid = THIRD + 2 },
	    &(struct looker_question){
	    .fn = do_number_slowly, .arg = "a", .arg_len = 2,
	    .ret = ret, .ret_len = sizeof(ret),
	});
	assert_string_equal(ret, "");
	assert_int_equal(ask_slowly(THIRD + 2, "b", ret), 0);
	assert_int_equal(ret[0], 'b');
}

/* Nor does whoever asks the same on another occasion: what was seen then may be
   somebody else's by now. */
static void
late_answer_is_for_its_occasion(void **state)
{
	const struct looker_question question = {
		.fn = do_number_slowly, .arg = "a", .arg_len = 2,
		.ret = (char [32]){ "" }, .ret_len = 32,
	};
	struct looker_whom whom = { .pid = THIRD + 5, .occasion = 1 };

	(void)state;
	end_all();
	assert_int_equal(ask_till_answered(OTHER, do_nothing, ""), 0);
	*opened = 0;
	while (!looker_is_held_up(looker_ask(&whom, &question)))
		nap();
	whom.occasion = 2;
	assert_int_equal(TILL_ANSWERED(looker_ask(&whom, &question)), 0);
	assert_in_range(*opened, 2, 4);
}

/* As of several threads that bind: each has its own. */
static void
late_answers_do_not_drive_each_other_out(void **state)
{
	static const char *const what[] = { "a", "b", "c", "d" };
	struct mono begin = mono_now();
	char ret[4][32] = { "" };
	size_t left = 4;

	(void)state;
	*opened = 0;
	while (left > 0 && mono_ms_between(begin, mono_now()) < LIMIT_MS) {
		left = 0;
		for (size_t i = 0; i < 4; i++) {
			if (ret[i][0] == '\0')
				(void)looker_ask(
				    &(struct looker_whom){ .pid = THIRD + 3 },
				    &(struct looker_question){
				    .fn = do_number_slowly, .arg = what[i],
				    .arg_len = 2, .ret = ret[i],
				    .ret_len = sizeof(ret[i]),
				});
			left += ret[i][0] == '\0';
		}
		(void)reap();
		nap();
	}
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(ret[i][0], what[i][0]);
	/* More if the machine had so much to do that some were given up. */
	assert_in_range(*opened, 4, 8);
}

/* Longer than anybody is waited for. */
static int
do_stop_who_asks(const void *arg, void *ret, struct looker_fds *fds)
{
	struct mono begin;
	pid_t asks = getppid();

	(void)arg, (void)ret, (void)fds;
	(void)kill(asks, SIGSTOP);
	(void)nanosleep(&(struct timespec){ .tv_nsec = 100000000 }, NULL);
	begin = mono_now();
	(void)kill(asks, SIGCONT);
	while (mono_ms_between(begin, mono_now()) < 3)
		continue;
	return 0;
}

/* While we do not get the CPU ourselves, no time passes. In the end the child may
   not get it, on a machine that has much to do. */
static void
waits_only_while_we_run(void **state)
{
	const struct looker_whom whom = { .pid = OTHER };
	struct mono begin = mono_now();
	int status = -1;

	(void)state;
	while (status != 0 && mono_ms_between(begin, mono_now()) < LIMIT_MS) {
		pid_t pid = fork();

		if (pid == 0)
			_exit(looker_ask(&whom, &(struct looker_question){
			    .fn = do_stop_who_asks, .once = true,
			}) == 0 ? 0 : 1);
		assert_int_equal(waitpid(pid, &status, 0), pid);
	}
	assert_int_equal(status, 0);
}

/* ---- the children that are there ---- */

static int
count_children(void)
{
	char path[64], word[32];
	FILE *f;
	int n = 0;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children",
	    (int)getpid());
	f = fopen(path, "r");
	if (f == NULL)
		return -1;
	while (fscanf(f, "%31s", word) == 1)
		n++;
	fclose(f);
	return n;
}

static void
end_all(void)
{
	struct mono begin = mono_now();

	looker_end();
	while (count_children() > 0 &&
	    mono_ms_between(begin, mono_now()) < LIMIT_MS) {
		(void)reap();
		nap();
	}
	assert_int_equal(count_children(), 0);
}

/* ---- a child that is slow to begin ---- */

/* So long it sleeps first; for ever, too. */
static int begins_after_ms;

#define NEVER	INT32_MAX

static void
begin_late(void)
{
	for (int i = 0; i < begins_after_ms; i++)
		nap();
}

static void
late_beginner_is_nobodys_fault(void **state)
{
	struct mono begin;
	pid_t whom = THIRD + 100;
	int n_late = 0, code;

	(void)state;
	end_all();
	begins_after_ms = 400;
	begin = mono_now();
	do {
		code = looker_ask(&(struct looker_whom){ .pid = ++whom },
		    &(struct looker_question){ .fn = do_nothing });
		begins_after_ms = 0;
		assert_true(code == 0 || code == -EAGAIN);
		assert_int_equal(looker_held_up_ms(whom), 0);
		/* There is no other one meanwhile. */
		if (mono_ms_between(begin, mono_now()) < 300)
			assert_int_equal(count_children(), 1);
		n_late += code == -EAGAIN;
		(void)reap();
		nap();
	} while (code != 0 && mono_ms_between(begin, mono_now()) < LIMIT_MS);
	assert_int_equal(code, 0);
	assert_int_not_equal(n_late, 0);
}

/* Whoever asks seldom finds it there. */
static void
late_beginner_waits(void **state)
{
	struct looker_question question = { .fn = do_nothing };
	int code;

	(void)state;
	end_all();
	begins_after_ms = 100;
	assert_int_equal(looker_ask(&(struct looker_whom){ .pid = OTHER },
	    &question), -EAGAIN);
	/* It would be one that begins as late. */
	for (int i = 0; i < 700; i++)
		nap();
	code = looker_ask(&(struct looker_whom){ .pid = OTHER }, &question);
	begins_after_ms = 0;
	end_all();
	assert_true(code == 0 || code == -EAGAIN);
	if (code != 0)
		skip();		/* the machine has too much to do */
}

/* It has been started for nobody yet. */
static void
kept_one_has_begun_before(void **state)
{
	struct mono begin;
	int code;

	(void)state;
	end_all();
	begins_after_ms = 300;
	assert_true(looker_keep() >= 0);
	begins_after_ms = 0;
	assert_int_equal(count_children(), 1);
	begin = mono_now();
	while (mono_ms_between(begin, mono_now()) < 700)
		nap();
	code = looker_ask(&(struct looker_whom){ .pid = OTHER },
	    &(struct looker_question){ .fn = do_nothing });
	end_all();
	assert_true(code == 0 || code == -EAGAIN);
	if (code != 0)
		skip();		/* the machine has too much to do */
}

/* And the next one is there before it is asked, when one is held up. */
static void
kept_one_has_a_successor(void **state)
{
	(void)state;
	end_all();
	assert_true(looker_keep() >= 0);
	assert_int_equal(ask_till_answered(OTHER, do_nothing, ""), 0);
	assert_int_equal(count_children(), 1);
	while (ask(BLOCKS, do_open, fifo) == -EAGAIN)
		nap();
	assert_int_equal(count_children(), 2);
	end_all();
}

static void
await_news(int news)
{
	struct pollfd p = { .fd = news, .events = POLLIN };

	assert_int_equal(poll(&p, 1, LIMIT_MS), 1);
	looker_news();
	assert_int_equal(poll(&p, 1, 0), 0);
}

static int
ask_slowly_once(const char *what, char *ret)
{
	return looker_ask(&(struct looker_whom){ .pid = THIRD + 4 },
	    &(struct looker_question){
	    .fn = do_number_slowly, .arg = what, .arg_len = 2,
	    .ret = ret, .ret_len = 32,
	});
}

/* Whoever was not answered need not come again until then; and who has answered
   late is asked next, whoever asks. */
static void
news_of_what_came_late(void **state)
{
	char ret[32] = "";
	int news, code;
	pid_t pid;

	(void)state;
	end_all();
	news = looker_keep();
	assert_true(news >= 0);
	pid = child_at_hand();
	*opened = 0;
	code = ask_slowly_once("a", ret);
	assert_true(looker_is_held_up(code));
	assert_string_equal(ret, "");
	/* It may not have begun before, without the CPU. */
	do {
		await_news(news);
		code = ask_slowly_once("a", ret);
	} while (looker_is_held_up(code));
	assert_int_equal(code, 0);
	assert_int_equal(ret[0], 'a');
	assert_int_equal(*opened, 1);
	assert_true(looker_is(pid));
	end_all();
}

static pid_t
who_answers_by(pid_t by)
{
	pid_t pid = 0;

	assert_int_equal(TILL_ANSWERED(looker_ask(
	    &(struct looker_whom){ .pid = OTHER }, &(struct looker_question){
	    .fn = do_say_pid, .ret = &pid, .ret_len = sizeof(pid), .by = &by,
	})), 0);
	assert_int_equal(pid, by);
	return pid;
}

/* Who was late is kept beside the one at hand: it may have a part of what is asked
   next. It ends when it is not needed. */
static void
asks_on_who_was_late(void **state)
{
	char ret[32] = "";
	struct mono begin = mono_now();
	pid_t first, second;

	(void)state;
	end_all();
	assert_true(looker_keep() >= 0);
	do {
		assert_true(mono_ms_between(begin, mono_now()) < LIMIT_MS);
		first = child_at_hand();
		(void)ask_slowly_once("a", ret);
		second = who_answers();
	} while (second == first);	/* where nobody has the CPU */
	assert_int_equal(TILL_ANSWERED(ask_slowly_once("a", ret)), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(who_answers_by(first), first);
		assert_int_equal(who_answers_by(second), second);
	}
	begin = mono_now();
	while (looker_is(first)) {
		assert_true(mono_ms_between(begin, mono_now()) < LIMIT_MS);
		(void)reap();
		nap();
	}
	assert_int_equal(who_answers(), second);
	/* It is not there any more: any other. */
	assert_int_equal(who_answers_by(first), second);
	end_all();
}

/* ---- many at once ---- */

#define MANY_AT_ONCE	16

struct said {
	pid_t by;
	int number;
};

static int
do_say_all(const void *arg, void *ret, struct looker_fds *fds)
{
	(void)fds;
	++*opened;
	*(struct said *)ret = (struct said){
		.by = getpid(), .number = *(const int *)arg,
	};
	return 0;
}

static int
ask_later(int number, struct said *ret)
{
	return looker_ask(&(struct looker_whom){ .pid = THIRD + number },
	    &(struct looker_question){
	    .fn = do_say_all, .arg = &number, .arg_len = sizeof(number),
	    .ret = ret, .ret_len = sizeof(*ret), .later = true,
	});
}

/* One is told of all, and none is asked twice. */
static void
later_ones_are_answered_together(void **state)
{
	struct said said;
	int news;
	pid_t by;

	(void)state;
	end_all();
	news = looker_keep();
	assert_true(news >= 0);
	by = child_at_hand();
	*opened = 0;
	for (int i = 0; i < MANY_AT_ONCE; i++)
		assert_int_equal(ask_later(i, &said), -EAGAIN);
	await_news(news);
	for (int i = MANY_AT_ONCE - 1; i >= 0; i--) {
		assert_int_equal(TILL_ANSWERED(ask_later(i, &said)), 0);
		assert_int_equal(said.number, i);
		assert_int_equal(said.by, by);
	}
	assert_int_equal(*opened, MANY_AT_ONCE);
	assert_int_equal(who_answers(), by);
	end_all();
}

/* Who is waited for does not wait for them. */
static void
later_ones_are_in_nobodys_way(void **state)
{
	struct said said;
	char ret[32] = "";
	int news;

	(void)state;
	end_all();
	news = looker_keep();
	assert_true(news >= 0);
	(void)child_at_hand();
	assert_int_equal(looker_ask(&(struct looker_whom){ .pid = BLOCKS },
	    &(struct looker_question){
	    .fn = do_open, .arg = fifo, .arg_len = strlen(fifo) + 1,
	    .later = true,
	}), -EAGAIN);
	for (int i = 0; i < MANY_AT_ONCE; i++)
		assert_int_equal(ask_later(i, &said), -EAGAIN);
	assert_int_equal(ask_till_answered(OTHER, do_nothing, ""), 0);
	/* Nor do they wait for one among them that is held up. */
	for (int i = 0; i < MANY_AT_ONCE; i++) {
		assert_int_equal(TILL_ANSWERED(ask_later(i, &said)), 0);
		assert_int_equal(said.number, i);
	}
	assert_int_equal(TILL_ANSWERED(ask_slowly_once("a", ret)), 0);
	assert_true(looker_is_held_up(ask(BLOCKS, do_open, fifo)));
	end_all();
}

/* It says what was the case then. */
static void
late_answer_gets_old(void **state)
{
	char ret[32] = "";
	struct mono begin;
	int news;

	(void)state;
	end_all();
	news = looker_keep();
	assert_true(news >= 0);
	(void)child_at_hand();
	*opened = 0;
	assert_true(looker_is_held_up(ask_slowly_once("a", ret)));
	await_news(news);
	begin = mono_now();
	while (mono_ms_between(begin, mono_now()) < 2200)
		nap();
	assert_int_equal(*opened, 1);
	assert_int_equal(TILL_ANSWERED(ask_slowly_once("a", ret)), 0);
	assert_in_range(*opened, 2, 3);
	end_all();
}

static void
one_that_never_begins_is_replaced(void **state)
{
	struct mono begin = mono_now();
	int code, trouble = 0;
	int64_t ms;

	(void)state;
	end_all();
	begins_after_ms = NEVER;
	while ((code = looker_ask(&(struct looker_whom){ .pid = OTHER },
	    &(struct looker_question){ .fn = do_nothing })) != 0 &&
	    mono_ms_between(begin, mono_now()) < LIMIT_MS) {
		assert_int_equal(code, -EAGAIN);
		begins_after_ms = 0;
		if (looker_trouble(&ms) != 0)
			trouble = looker_trouble(&ms);
		(void)reap();
		nap();
	}
	assert_int_equal(code, 0);
	assert_int_equal(trouble, -ETIMEDOUT);
	assert_int_equal(looker_trouble(&ms), 0);
	assert_int_equal(looker_held_up_ms(OTHER), 0);
}

/* ---- very many hold up ---- */

#define CROWD		70
#define ONE_OF_THEM	((pid_t)2000000)

/* Of them the others pay nothing. Nor is any of them forgotten as long as its
   child is there, so that it would have another one: here all stay, as they are
   not reaped. */
static void
many_hold_up(void **state)
{
	struct mono begin;

	(void)state;
	end_all();
	for (pid_t i = 0; i < CROWD; i++) {
		int code;

		/* A child without the CPU is nobody's fault. */
		begin = mono_now();
		while ((code = ask(ONE_OF_THEM + i, do_open, fifo)) == -EAGAIN &&
		    mono_ms_between(begin, mono_now()) < LIMIT_MS)
			nap();
		if (!is_held_up(code))
			print_message("worker %d: %d\n", (int)i, code);
		assert_true(is_held_up(code));
		assert_int_equal(ask(ONE_OF_THEM + i, do_open, fifo), -EBUSY);
	}
	assert_true(count_children() >= CROWD);
	*opened = 0;
	/* The first ones' gaps are over; their zombies are still there. */
	begin = mono_now();
	while (mono_ms_between(begin, mono_now()) < 300) {
		for (pid_t i = 0; i < CROWD; i++)
			assert_int_equal(ask(ONE_OF_THEM + i, do_open, fifo),
			    -EBUSY);
		nap();
	}
	assert_int_equal(*opened, 0);
	end_all();
	assert_int_equal(ask_till_answered(OTHER, do_nothing, ""), 0);
}

static bool
starts_and_naps_quickly(void)
{
	struct mono begin = mono_now();
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	nap();
	return mono_now().ns - begin.ns < 3000000;
}

/* Whoever has many to ask for, of whom each holds up, does not wait as long for
   each of them. */
static void
patience_has_an_end(void **state)
{
	struct mono begin = mono_now();
	bool quick = false;
	int undisturbed = 0;
	pid_t whom = ONE_OF_THEM + 1000;

	(void)state;
	end_all();
	while (!quick && undisturbed < CROWD &&
	    mono_ms_between(begin, mono_now()) < LIMIT_MS) {
		struct mono since;
		int n, code;

		undisturbed += starts_and_naps_quickly();
		(void)reap();
		n = count_children();
		since = mono_now();
		code = looker_ask(&(struct looker_whom){ .pid = ++whom },
		    &(struct looker_question){
		    .fn = do_open, .arg = fifo, .arg_len = sizeof(fifo),
		});

		quick = mono_now().ns - since.ns < 5000000 &&
		    looker_is_held_up(code) && count_children() > n;
	}
	end_all();
	/* The machine has too much to do for anybody to be quick. */
	if (!quick && undisturbed < CROWD)
		skip();
	assert_true(quick);
}

/* Also those that have not begun, or are asked no more. */
static void
the_end_leaves_none(void **state)
{
	struct mono begin;
	char ret[32] = "";

	(void)state;
	end_all();
	for (pid_t i = 0; i < 10; i++)
		(void)looker_ask(
		    &(struct looker_whom){ .pid = ONE_OF_THEM - 20 + i },
		    &(struct looker_question){
		    .fn = do_open, .arg = fifo, .arg_len = sizeof(fifo),
		});
	/* An answer that nobody has fetched. */
	(void)looker_ask(&(struct looker_whom){ .pid = ONE_OF_THEM - 21 },
	    &(struct looker_question){
	    .fn = do_number_slowly, .arg = "a", .arg_len = 2,
	    .ret = ret, .ret_len = sizeof(ret),
	});
	begin = mono_now();
	while (mono_ms_between(begin, mono_now()) < 150)
		nap();
	looker_end();
	assert_int_equal(count_children(), 0);
}

/* ---- no child ---- */

static int
do_attach(const void *arg, void *ret, struct looker_fds *fds)
{
	(void)ret, (void)fds;
	return getpid() == *(const pid_t *)arg ? 0 : -EPERM;
}

static int
attach(void)
{
	const pid_t we = getpid();

	return ask_question(OTHER, &(struct looker_question){
	    .fn = do_attach, .arg = &we, .arg_len = sizeof(we),
	    .attaches = true,
	});
}

/* As Yama has it: only ancestors may. */
static void
attaches_itself_where_a_child_may_not(void **state)
{
	(void)state;
	assert_int_equal(attach(), -EPERM);
	looker_attaches_here(true);
	assert_int_equal(attach(), 0);
	/* Nothing else. */
	assert_int_equal(ask_question(OTHER, &(struct looker_question){
	    .fn = do_attach, .arg = &(pid_t){ getpid() },
	    .arg_len = sizeof(pid_t),
	}), -EPERM);
	looker_attaches_here(false);
}

/* Root's processes are not counted. */
static void
have_no_more_children(void)
{
	if (getuid() == 0 && setresuid(65534, 65534, 65534) < 0)
		_exit(2);
	(void)setrlimit(RLIMIT_NPROC, &(struct rlimit){ 0, 0 });
}

static void
run_apart(void (*fn)(void))
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		fn();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void
have_none(void)
{
	const struct looker_whom whom = { .pid = OTHER };
	struct pair in = { .a = 3, .b = 4 }, out = { 0 };
	const struct looker_question question = {
		.fn = do_swap, .arg = &in, .arg_len = sizeof(in),
		.ret = &out, .ret_len = sizeof(out),
	};
	struct mono begin = mono_now();
	int64_t ms;
	int code;

	have_no_more_children();
	code = looker_ask(&whom, &question);
	if (code != -EAGAIN || looker_trouble(&ms) != -EAGAIN)
		_exit(1);
	while ((code = looker_ask(&whom, &question)) == -EAGAIN &&
	    mono_ms_between(begin, mono_now()) < LIMIT_MS)
		nap();
	/* It is told for as long as it lasts. */
	if (code != -ENOTTY || out.a != 4 || out.b != 3 ||
	    mono_ms_between(begin, mono_now()) < 1000 ||
	    looker_trouble(&ms) != -EAGAIN || ms < 1000)
		_exit(1);
}

/* It is not made here at once, as it could sleep; but nobody waits for ever. */
static void
is_made_here_where_there_can_be_no_child(void **state)
{
	(void)state;
	run_apart(have_none);
}

/* The one there was is held up. */
static void
have_none_but_one(void)
{
	const struct looker_whom whom = { .pid = BLOCKS };
	const struct looker_question question = { .fn = do_nothing };
	struct mono begin = mono_now();
	int code;

	while ((code = ask(BLOCKS, do_open, fifo)) == -EAGAIN &&
	    mono_ms_between(begin, mono_now()) < LIMIT_MS)
		nap();
	have_no_more_children();
	if (!looker_is_held_up(code))
		_exit(3);
	while ((code = ask(OTHER, do_open, "/dev/null")) == -EAGAIN &&
	    mono_ms_between(begin, mono_now()) < LIMIT_MS)
		nap();
	if (code != 0)
		_exit(4);
	for (int i = 0; i < 20; i++) {
		if (!looker_is_held_up(looker_ask(&whom, &question)))
			_exit(5);
		nap();
	}
}

static void
is_not_made_here_at_whom_has_held_up(void **state)
{
	(void)state;
	run_apart(have_none_but_one);
}

/* A user has no more of them on their way than it may have open (unix(7)). */
static bool
fill_with_fds(void)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(4 * sizeof(int))];
	} control = { .room = "" };
	struct iovec iov = { .iov_base = (char []){ 'x' }, .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *head = CMSG_FIRSTHDR(&msg);
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) < 0)
		return false;
	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(4 * sizeof(int));
	for (int i = 0; i < 4; i++)
		memcpy(CMSG_DATA(head) + i * sizeof(int), &pair[0],
		    sizeof(int));
	for (int i = 0; i < 100; i++)
		if (sendmsg(pair[1], &msg, MSG_DONTWAIT) < 0)
			return errno == ETOOMANYREFS;
	return false;
}

static int
do_pipe_and_say(const void *arg, void *ret, struct looker_fds *fds)
{
	*(int *)ret = 7;
	return do_pipe(arg, NULL, fds);
}

static void
says_that_descriptors_cannot_be_sent(void **state)
{
	int status = -1;
	pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		struct looker_fds fds = { .n = 0 };
		int said = 0, code;

		(void)setrlimit(RLIMIT_NOFILE, &(struct rlimit){ 30, 30 });
		if ((getuid() == 0 && setresuid(65533, 65533, 65533) < 0) ||
		    !fill_with_fds())
			_exit(2);
		code = TILL_ANSWERED(ask_question(OTHER,
		    &(struct looker_question){
		    .fn = do_pipe_and_say, .fds = &fds,
		    .ret = &said, .ret_len = sizeof(said),
		}));
		_exit(code == -ETOOMANYREFS && fds.n == 0 && said == 7 ? 0 :
		    1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* ---- before Linux 5.9 ---- */

#define CLOSE_RANGE	436

/* A number that none of ours has. */
#define FAR		1000

/* For this process and those it starts; who closes what is far dies. */
static bool
take_close_range_away(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
		    offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, CLOSE_RANGE, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_close, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
		    offsetof(struct seccomp_data, args)),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, FAR, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = {
		.len = sizeof(code) / sizeof(code[0]), .filter = code,
	};

	return sysconf(_SC_OPEN_MAX) > FAR &&
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* The child has its own descriptors to close first: not by trying each of the
   million numbers that it may have. */
static void
answers_without_close_range(void **state)
{
	int status = -1;
	pid_t pid;

	(void)state;
	pid = fork();
	if (pid == 0)
		_exit(!take_close_range_away() ? 2 :
		    ask(OTHER, do_nothing, "") == 0 ? 0 : 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 2)
		skip();
	assert_int_equal(status, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers),
		cmocka_unit_test(sends_descriptors),
		cmocka_unit_test(sees_others),
		cmocka_unit_test(costs_only_its_own),
		cmocka_unit_test(waits_longer_each_time),
		cmocka_unit_test(stopped_one_is_replaced),
		cmocka_unit_test(dead_one_is_replaced),
		cmocka_unit_test(idle_one_stays),
		cmocka_unit_test(works_on),
		cmocka_unit_test(answers_late),
		cmocka_unit_test(late_answer_is_for_its_question),
		cmocka_unit_test(late_answer_is_for_its_occasion),
		cmocka_unit_test(late_answers_do_not_drive_each_other_out),
		cmocka_unit_test(waits_only_while_we_run),
		cmocka_unit_test(late_beginner_is_nobodys_fault),
		cmocka_unit_test(late_beginner_waits),
		cmocka_unit_test(kept_one_has_begun_before),
		cmocka_unit_test(kept_one_has_a_successor),
		cmocka_unit_test(news_of_what_came_late),
		cmocka_unit_test(asks_on_who_was_late),
		cmocka_unit_test(later_ones_are_answered_together),
		cmocka_unit_test(later_ones_are_in_nobodys_way),
		cmocka_unit_test(late_answer_gets_old),
		cmocka_unit_test(one_that_never_begins_is_replaced),
		cmocka_unit_test(many_hold_up),
		cmocka_unit_test(patience_has_an_end),
		cmocka_unit_test(the_end_leaves_none),
		cmocka_unit_test(attaches_itself_where_a_child_may_not),
		cmocka_unit_test(is_made_here_where_there_can_be_no_child),
		cmocka_unit_test(is_not_made_here_at_whom_has_held_up),
		cmocka_unit_test(says_that_descriptors_cannot_be_sent),
		cmocka_unit_test(answers_without_close_range),
	};
	int fd = mkstemp(fifo), failed;

	opened = mmap(NULL, sizeof(*opened), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (opened == MAP_FAILED || pthread_atfork(NULL, NULL, begin_late) != 0)
		return 1;

	if (fd < 0 || unlink(fifo) < 0 || mkfifo(fifo, 0600) < 0)
		return 1;
	close(fd);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	(void)unlink(fifo);
	return failed;
}
