/* Connections of another process, which is this one, are ended as if their clients
   had. */
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/mono.h"
#include "lib/held_page.h"
#include "linux/process/helper.h"
#include "linux/socket/half_close.h"
#include "linux/socket/socket.h"

#define LIMIT_MS 20000

struct pair {
	int server, client;
};

static struct pair
connect_pair(void)
{
	struct sockaddr_in at = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t len = sizeof(at);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct pair p;

	assert_int_equal(bind(listener, (void *)&at, len), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (void *)&at, &len), 0);
	p.client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(p.client, (void *)&at, len), 0);
	p.server = accept(listener, NULL, NULL);
	assert_return_code(p.server, errno);
	close(listener);
	return p;
}

static void
end_pair(struct pair *p)
{
	close(p->server);
	close(p->client);
}

static struct half_close_of
as_it_is(const struct pair *p)
{
	struct tcp_info info = { .tcpi_state = 0 };
	socklen_t len = sizeof(info);

	assert_int_equal(getsockopt(p->server, IPPROTO_TCP, TCP_INFO, &info,
	    &len), 0);
	return (struct half_close_of){
		.pid = getpid(), .fd = p->server,
		.ino = socket_inode(p->server),
		.conn = {
			.n_sent = info.tcpi_data_segs_out,
			.n_received = info.tcpi_data_segs_in,
		},
	};
}

static bool
ends_within(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLRDHUP };

	return poll(&p, 1, ms) > 0 && (p.revents & POLLRDHUP) != 0;
}

/* One is as it was, in one something has moved, one is somebody else's. */
static void
those_that_have_not_moved(void **state)
{
	struct pair still = connect_pair(), moved = connect_pair();
	struct pair other = connect_pair(), last = connect_pair();
	struct half_close_of of[] = {
		as_it_is(&moved), as_it_is(&other), as_it_is(&still),
		as_it_is(&last),
	};
	struct pollfd p = { .fd = moved.server, .events = POLLIN };
	pid_t child = 0;

	(void)state;
	of[1].ino++;
	assert_int_equal(send(moved.client, "x", 1, 0), 1);
	assert_int_equal(poll(&p, 1, LIMIT_MS), 1);
	assert_int_equal(half_close(of, 4, &child), 0);
	assert_true(child > 0);
	assert_true(ends_within(last.server, LIMIT_MS));
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_true(ends_within(still.server, 0));
	assert_false(ends_within(moved.server, 0));
	assert_false(ends_within(other.server, 0));
	/* Nothing was told to the client. */
	assert_false(ends_within(still.client, 0));
	/* The next one. */
	of[0] = as_it_is(&moved);
	assert_int_equal(half_close(of, 1, &child), 0);
	assert_true(ends_within(moved.server, LIMIT_MS));
	assert_int_equal(waitpid(child, NULL, 0), child);
	end_pair(&still);
	end_pair(&moved);
	end_pair(&other);
	end_pair(&last);
}

static void *page;

static void *
send_held(void *fd)
{
	(void)send(*(int *)fd, page, 1, 0);
	return NULL;
}

/* Does somebody have the lock? To ask for this waits for it. */
static void
await_lock(int fd)
{
	struct mono begin = mono_now();
	char path[64], text[256] = "";
	pid_t asker = fork();

	if (asker == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		while (getppid() != 1) {
			struct sockaddr_in at;
			socklen_t len = sizeof(at);

			(void)getsockname(fd, (void *)&at, &len);
		}
	}
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)asker);
	while (mono_ms_between(begin, mono_now()) < LIMIT_MS) {
		FILE *f = fopen(path, "re");
		char state = '?';

		assert_non_null(f);
		assert_non_null(fgets(text, sizeof(text), f));
		fclose(f);
		assert_int_equal(sscanf(text, "%*d %*s %c", &state), 1);
		if (state == 'D') {
			(void)kill(asker, SIGKILL);
			return;
		}
		(void)poll(NULL, 0, 1);
	}
	fail_msg("nobody has the lock");
}

/* A thread has it for as long as this process lives. */
static void
locked_in_here(void)
{
	struct pair p = connect_pair(), free = connect_pair();
	struct half_close_of of = as_it_is(&p), others = as_it_is(&free);
	struct mono begin;
	pthread_t thread;
	pid_t child = 0, second = 0;

	assert_int_equal(pthread_create(&thread, NULL, send_held, &p.server),
	    0);
	await_lock(p.server);
	begin = mono_now();
	assert_int_equal(half_close(&of, 1, &child), 0);
	/* The same worker's next ones wait; nobody else does. */
	assert_int_equal(half_close(&others, 1, &child), -EBUSY);
	assert_int_equal(half_close(&others, 1, &second), 0);
	assert_true(mono_ms_between(begin, mono_now()) < LIMIT_MS);
	assert_true(ends_within(free.server, LIMIT_MS));
	assert_false(helper_has_ended(child));
}

static void
locked_by_a_call(void **state)
{
	pid_t pid;
	int status;

	(void)state;
	page = held_page();
	if (page == NULL) {
		fputs(HELD_PAGE_NEEDS, stderr);
		skip();
	}
	pid = fork();
	if (pid == 0) {
		/* The page is not its own: a fork has none of that. */
		page = held_page();
		alarm(LIMIT_MS / 1000 * 3);
		locked_in_here();
		(void)kill(getpid(), SIGKILL);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(those_that_have_not_moved),
		cmocka_unit_test(locked_by_a_call),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
