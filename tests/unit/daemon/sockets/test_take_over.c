/*
 * A supervisor is killed, and another one takes its listeners over: what waits in
 * their queues is served, nothing is refused, nothing is left open.
 *
 * The test is the keeper. It clones the first supervisor, with which it shares its
 * descriptors, kills it, and is the next one itself.
 */
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
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "core/ledger/ledger.h"
#include "core/ledger/ledger_read.h"
#include "daemon/sockets/balancing.h"
#include "daemon/sockets/lanes.h"
#include "daemon/sockets/lanes_live.h"
#include "daemon/sockets/lanes_founder.h"
#include "daemon/sockets/lanes_hush.h"
#include "daemon/sockets/lanes_sockets.h"
#include "daemon/sockets/listener_open.h"
#include "house.h"
#include "linux/bpf/steering_ebpf.h"
#include "linux/ledger/descriptors.h"
#include "linux/ledger/ledger_memory.h"
#include "linux/socket/socket.h"
#include "linux/socket/socket_filter.h"

#define CLIENTS 24
#define OTHERS_MAX 512

static struct house h;
static struct ledger ledger;
static int ledger_fd = -1;

/* What is the keeper's, and the clients'. */
static int others[OTHERS_MAX];
static size_t n_others;

static void
note_other(int fd)
{
	assert_true(n_others < OTHERS_MAX);
	others[n_others++] = fd;
}

static bool
is_other(int fd)
{
	for (size_t i = 0; i < n_others; i++)
		if (others[i] == fd)
			return true;
	return false;
}

static size_t
count_open(void)
{
	struct descriptors d;
	size_t n;

	assert_int_equal(descriptors_list(NULL, &d), 0);
	n = d.n;
	free(d.v);
	return n;
}

static void
begin(void)
{
	struct descriptors d;

	assert_int_equal(ledger_memory_new(&ledger, &ledger_fd, NULL), 0);
	n_others = 0;
	assert_int_equal(descriptors_list(NULL, &d), 0);
	for (size_t i = 0; i < d.n; i++)
		note_other(d.v[i]);
	free(d.v);
}

static void
end(void)
{
	for (uint32_t i = 0; i < ledger_end(&ledger, LEDGER_LISTENER); i++) {
		struct ledger_listener r;

		assert_int_equal(ledger_get_listener(&ledger, i, &r), 0);
	}
	for (uint32_t i = 0; i < ledger_end(&ledger, LEDGER_LANE); i++) {
		struct ledger_lane r;

		assert_int_equal(ledger_get_lane(&ledger, i, &r), 0);
	}
	h.all.ledger = NULL;
	munmap(ledger.memory, ledger.size);
	close(ledger_fd);
	ledger_fd = -1;
}

/* ---- the order of things ---- */

int __real_close(int fd);
int __real_listen(int fd, int backlog);
int __wrap_close(int fd);
int __wrap_listen(int fd, int backlog);
int __real_steering_ebpf_set_lane(struct steering_ebpf *s, size_t slot, int fd,
    struct error *err);
int __wrap_steering_ebpf_set_lane(struct steering_ebpf *s, size_t slot, int fd,
    struct error *err);

static size_t n_listens, n_closes, n_sets;

/* Does a supervisor that comes now find it? */
static bool
stands(int fd)
{
	const uint64_t ino = socket_inode(fd);

	for (uint32_t i = 0; i < ledger_end(&ledger, LEDGER_LANE); i++) {
		struct ledger_listener l;
		struct ledger_lane r;

		if (ledger_get_lane(&ledger, i, &r) == 1 && r.fd == fd &&
		    r.ino == ino)
			return ledger_get_listener(&ledger, r.listener_place,
			    &l) == 1 && l.serial == r.listener;
	}
	return false;
}

/* Such as the founder of a group: it is not there for clients. */
static bool
hears_nobody(int fd)
{
	socklen_t n = 0;

	return getsockopt(fd, SOL_SOCKET, SO_GET_FILTER, NULL, &n) == 0 &&
	    n > 0;
}

/* No client waits in a queue that nobody knows. */
int
__wrap_listen(int fd, int backlog)
{
	if (h.all.ledger != NULL) {
		assert_true(stands(fd) || hears_nobody(fd));
		n_listens++;
	}
	return __real_listen(fd, backlog);
}

/* And nobody is told of what is gone. */
int
__wrap_close(int fd)
{
	if (h.all.ledger != NULL) {
		assert_false(stands(fd));
		n_closes++;
	}
	return __real_close(fd);
}

int
__wrap_steering_ebpf_set_lane(struct steering_ebpf *s, size_t slot, int fd,
    struct error *err)
{
	n_sets++;
	return __real_steering_ebpf_set_lane(s, slot, fd, err);
}

/* ---- supervisors ---- */

/* As its start goes. */
static void
start(const char *address, enum conf_balance balance)
{
	struct error err = ERROR_INIT;
	struct descriptors left;

	assert_int_equal(descriptors_list(is_other, &left), 0);
	house_open(&h, address, balance);
	if (listeners_look_back(&h.all, &ledger, &err) < 0)
		fail_msg("%s", error_text(&err));
	listeners_take_over(&h.all, &left);
}

static void
stop(struct listener *l)
{
	listeners_release(l);
	house_close(&h);
}

/* In it until somebody kills it. `fn` says what it does first. */
static pid_t
supervise(void (*fn)(void *ctx), void *ctx)
{
	int ready[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	note_other(ready[0]);
	note_other(ready[1]);
	pid = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
	assert_true(pid >= 0);
	if (pid == 0) {
		fn(ctx);
		if (write(ready[1], "", 1) == 1)
			for (;;)
				pause();
		_exit(1);
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	close(ready[1]);
	n_others -= 2;
	return pid;
}

static void
slay(pid_t pid)
{
	int status;

	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
}

/* ---- a listener with two lanes ---- */

static HOLDER(first, 0);
static HOLDER(second, 1);
static HOLDER(third, 2);

struct scene {
	const char *address;
	enum conf_balance balance;
	unsigned lanes;
	bool restart;		/* one of them has begun anew since */
};

/* What the keeper knows of it: shared memory. */
static struct {
	struct address bound;
	char path[108];
	unsigned n;
	struct {
		int fd;
		uint64_t ino;
	} lanes[8];
} *seen;

static void
tell(const struct listener *l)
{
	seen->bound = l->bound;
	if (l->bound.path != NULL)
		strcpy(seen->path, l->bound.path);
	seen->bound.path = l->bound.path != NULL ? seen->path : NULL;
	seen->n = 0;
	for (size_t i = 0; i < l->lanes.n; i++) {
		seen->lanes[i].fd = l->lanes.v[i]->fd;
		seen->lanes[i].ino = l->lanes.v[i]->ino;
		seen->n++;
	}
}

static void
serve_two(void *ctx)
{
	const struct scene *s = ctx;
	struct listener *l;
	struct lane *lanes[2];

	start(s->address, s->balance);
	l = house_acquire(&h);
	lanes[0] = house_take(l, &first);
	if (s->lanes > 1) {
		lanes[1] = house_take(l, &second);
		house_serve(l, (const struct lane *const *)lanes, 2);
	}
	/* Into the place of the first one comes the last one, which joined after
	   the second. */
	if (s->restart) {
		(void)house_take(l, &third);
		lanes_sockets_list_again(lanes[0]);
	}
	tell(l);
}

static void
set_up_seen(void)
{
	seen = mmap(NULL, sizeof(*seen), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(seen != MAP_FAILED);
}

/* The same sockets, in the same slots. */
static void
assert_taken_over(const struct listener *l)
{
	assert_int_equal(l->lanes.n, seen->n);
	for (size_t i = 0; i < l->lanes.n; i++) {
		assert_int_equal(l->lanes.v[i]->fd, seen->lanes[i].fd);
		assert_int_equal(l->lanes.v[i]->ino, seen->lanes[i].ino);
		assert_int_equal(socket_inode(l->lanes.v[i]->fd),
		    seen->lanes[i].ino);
		assert_null(l->lanes.v[i]->holder);
	}
	assert_true(address_equal(&l->bound, &seen->bound));
}

static void
connect_some(int *clients, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		clients[i] = client_connect(&seen->bound);
		if (clients[i] < 0)
			fail_msg("client %zu: %s", i, strerror(-clients[i]));
		note_other(clients[i]);
	}
}

/* Each was accepted, and then closed by us: none was reset. */
static void
assert_served(int *clients, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(client_end(clients[i]), 0);
		close(clients[i]);
	}
	n_others -= n;
}

static void
it_is_taken_over(const struct scene *s)
{
	int clients[2 * CLIENTS];
	size_t counts[2] = { 0, 0 };
	size_t open_before = 0;
	struct listener *l;
	struct lane *lanes[2];
	pid_t pid;

	set_up_seen();
	begin();
	open_before = count_open();
	pid = supervise(serve_two, (void *)s);
	connect_some(clients, CLIENTS);
	slay(pid);
	/* Nobody is there; they come all the same. */
	connect_some(clients + CLIENTS, CLIENTS / 2);

	start(s->address, s->balance);
	l = house_acquire(&h);
	assert_taken_over(l);
	lanes[0] = house_take(l, &first);
	lanes[1] = lanes[0];
	if (s->lanes > 1) {
		lanes[1] = house_take(l, &second);
		assert_ptr_not_equal(lanes[0], lanes[1]);
		house_serve(l, (const struct lane *const *)lanes, 2);
	}
	connect_some(clients + CLIENTS + CLIENTS / 2, CLIENTS / 2);
	serve(lanes, s->lanes, 2 * CLIENTS, counts);
	assert_served(clients, 2 * CLIENTS);
	assert_int_equal(counts[0] + counts[1], 2 * CLIENTS);
	stop(l);
	assert_int_equal(client_connect(&seen->bound), s->address[0] == 'u' ?
	    -ENOENT : -ECONNREFUSED);
	assert_int_equal(count_open(), open_before);
	end();
	munmap(seen, sizeof(*seen));
}

#define TCP "127.0.0.1:0"

static void
clients_of_one_lane_are_served(void **state)
{
	(void)state;
	it_is_taken_over(&(struct scene){ TCP, CONF_BALANCE_SHARED, 1, false });
	it_is_taken_over(&(struct scene){ TCP, CONF_BALANCE_RANDOM, 1, false });
}

static void
clients_of_two_lanes_are_served(void **state)
{
	(void)state;
	it_is_taken_over(&(struct scene){ TCP, CONF_BALANCE_RANDOM, 2, false });
	it_is_taken_over(&(struct scene){ TCP, CONF_BALANCE_SOURCE, 2, false });
}

static bool
can_use_ebpf(void)
{
	struct balancing b;
	bool can;

	balancing_init(&b);
	can = balancing_can_count(&b, NULL);
	balancing_fini(&b);
	return can;
}

static void
clients_that_ebpf_steers_are_served(void **state)
{
	(void)state;
	if (!can_use_ebpf())
		skip();
	for (unsigned n = 1; n <= 2; n++) {
		it_is_taken_over(&(struct scene){ TCP,
		    CONF_BALANCE_ROUND_ROBIN, n, false });
		it_is_taken_over(&(struct scene){ TCP,
		    CONF_BALANCE_LEAST_CONNECTIONS, n, false });
	}
}

/* ---- and goes on as before ---- */

/* Somebody has the maps of the dead one, too, such as a child of it that has not
   executed its program yet: they live on, with what is in them. */
static void
hold_maps(int *ret_held, size_t *ret_n)
{
	struct descriptors d;

	*ret_n = 0;
	assert_int_equal(descriptors_list(is_other, &d), 0);
	for (size_t i = 0; i < d.n; i++) {
		char link[64], target[64] = "";

		snprintf(link, sizeof(link), "/proc/self/fd/%d", d.v[i]);
		if (readlink(link, target, sizeof(target) - 1) < 0 ||
		    strstr(target, "bpf-map") == NULL)
			continue;
		assert_true(*ret_n < 16);
		ret_held[*ret_n] = fcntl(d.v[i], F_DUPFD_CLOEXEC, 0);
		note_other(ret_held[(*ret_n)++]);
	}
	free(d.v);
	assert_true(*ret_n > 0);
}

/* Under eBPF each of the lanes has its turn, again and again. */
static void
they_are_steered_as_before(void **state)
{
	static const struct scene s = {
		TCP, CONF_BALANCE_ROUND_ROBIN, 2, false,
	};
	int clients[CLIENTS], held[16];
	struct listener *l = NULL;
	struct lane *lanes[2];
	size_t n_held;
	pid_t pid;

	(void)state;
	if (!can_use_ebpf())
		skip();
	set_up_seen();
	begin();
	pid = supervise(serve_two, (void *)&s);
	for (int life = 0; life < 3; life++) {
		struct scene same = s;

		slay(pid);
		pid = supervise(serve_two, &same);
	}
	slay(pid);
	hold_maps(held, &n_held);
	start(s.address, s.balance);
	n_sets = 0;
	l = house_acquire(&h);
	/* Each once: clients of the control socket wait meanwhile. */
	assert_int_equal(n_sets, 2);
	lanes[0] = house_take(l, &first);
	lanes[1] = house_take(l, &second);
	house_serve(l, (const struct lane *const *)lanes, 2);
	assert_int_equal(l->lanes.balance, BALANCE_ROUND_ROBIN);
	for (int round = 0; round < 3; round++) {
		size_t counts[2] = { 0, 0 };

		connect_some(clients, CLIENTS);
		serve(lanes, 2, CLIENTS, counts);
		assert_served(clients, CLIENTS);
		assert_int_equal(counts[0], CLIENTS / 2);
		assert_int_equal(counts[1], CLIENTS / 2);
	}
	stop(l);
	while (n_held > 0)
		close(held[--n_held]);
	end();
	munmap(seen, sizeof(*seen));
}

/* Classic BPF goes by places: only the lane that is live gets what comes, though
   others have been there and left. */
static void
places_are_those_of_the_kernel(void **state)
{
	static const struct scene s = {
		TCP, CONF_BALANCE_RANDOM, 2, true,
	};
	int clients[CLIENTS];
	struct listener *l;
	struct lane *lane;
	pid_t pid;

	(void)state;
	for (unsigned which = 0; which < 3; which++) {
		set_up_seen();
		begin();
		pid = supervise(serve_two, (void *)&s);
		slay(pid);
		start(s.address, s.balance);
		l = house_acquire(&h);
		lane = l->lanes.v[which];
		house_serve(l, (const struct lane *const *)&lane, 1);
		connect_some(clients, CLIENTS);
		assert_int_equal(waiting_in(lane), CLIENTS);
		for (int i = 0; i < CLIENTS; i++)
			close(clients[i]);
		n_others -= CLIENTS;
		stop(l);
		end();
		munmap(seen, sizeof(*seen));
	}
}

/* ---- Unix, UDP ---- */

static char directory[] = "/tmp/clusterd-take-over.XXXXXX";

static void
clients_of_a_path_are_served(void **state)
{
	char address[sizeof(directory) + 16], path[sizeof(address)];
	struct stat st;

	(void)state;
	assert_non_null(mkdtemp(directory));
	snprintf(address, sizeof(address), "unix:%s/s", directory);
	it_is_taken_over(&(struct scene){
		address, CONF_BALANCE_SHARED, 1, false,
	});
	/* Both of its names are gone with it. */
	snprintf(path, sizeof(path), "%s/s", directory);
	assert_int_equal(lstat(path, &st), -1);
	snprintf(path, sizeof(path), "%s/s.lane", directory);
	assert_int_equal(lstat(path, &st), -1);
	assert_int_equal(rmdir(directory), 0);
}

static void
datagrams_that_wait_are_there(void **state)
{
	static const struct scene s = {
		"udp:127.0.0.1:0", CONF_BALANCE_AUTO, 2, false,
	};
	struct listener *l;
	struct pollfd p[2];
	size_t got = 0;
	pid_t pid;
	int client;

	(void)state;
	set_up_seen();
	begin();
	pid = supervise(serve_two, (void *)&s);
	for (int i = 0; i < CLIENTS; i++) {
		client = client_try(&seen->bound);
		assert_true(client >= 0);
		assert_int_equal(send(client, "x", 1, 0), 1);
		close(client);
	}
	slay(pid);
	start(s.address, s.balance);
	l = house_acquire(&h);
	assert_taken_over(l);
	for (int i = 0; i < CLIENTS; i++) {
		client = client_try(&seen->bound);
		assert_int_equal(send(client, "x", 1, 0), 1);
		close(client);
	}
	while (got < 2 * CLIENTS) {
		for (size_t i = 0; i < 2; i++)
			p[i] = (struct pollfd){
				.fd = l->lanes.v[i]->fd, .events = POLLIN,
			};
		assert_true(poll(p, 2, 5000) > 0);
		for (size_t i = 0; i < 2; i++) {
			char byte;

			if ((p[i].revents & POLLIN) != 0)
				got += recv(p[i].fd, &byte, 1, 0) == 1;
		}
	}
	stop(l);
	end();
	munmap(seen, sizeof(*seen));
}

/* ---- what is not as it was ---- */

static void
serve_and_lose(void *ctx)
{
	serve_two(ctx);
	/* A worker does it while nobody is there to see. */
	assert_int_equal(shutdown(seen->lanes[0].fd, SHUT_RDWR), 0);
}

static void
a_lane_that_was_shut_listens_again(void **state)
{
	static const struct scene s = {
		TCP, CONF_BALANCE_RANDOM, 1, false,
	};
	int clients[4];
	size_t counts[1] = { 0 };
	struct listener *l;
	struct lane *lane;
	pid_t pid;

	(void)state;
	set_up_seen();
	begin();
	pid = supervise(serve_and_lose, (void *)&s);
	slay(pid);
	assert_int_equal(client_connect(&seen->bound), -ECONNREFUSED);
	start(s.address, s.balance);
	l = house_acquire(&h);
	assert_taken_over(l);
	lane = house_take(l, &first);
	connect_some(clients, 4);
	serve(&lane, 1, 4, counts);
	assert_served(clients, 4);
	stop(l);
	end();
	munmap(seen, sizeof(*seen));
}

/* It was killed just before the lane listened again, beside its founder. */
static void
serve_and_found(void *ctx)
{
	serve_and_lose(ctx);
	(void)lanes_founder_open(h.all.first->lanes.v[0]);
}

static void
a_founder_that_is_left_is_in_nobodys_way(void **state)
{
	static const struct scene s = {
		TCP, CONF_BALANCE_RANDOM, 1, false,
	};
	int clients[4];
	size_t counts[1] = { 0 };
	struct listener *l;
	struct lane *lane;

	(void)state;
	set_up_seen();
	begin();
	slay(supervise(serve_and_found, (void *)&s));
	start(s.address, s.balance);
	l = house_acquire(&h);
	assert_taken_over(l);
	lane = house_take(l, &first);
	connect_some(clients, 4);
	serve(&lane, 1, 4, counts);
	assert_served(clients, 4);
	stop(l);
	end();
	munmap(seen, sizeof(*seen));
}

/* It was killed while it was on trial: of the first lane its ledger says nothing, as
   that of a version which did not know that it could. */
static void
serve_and_hush(void *ctx)
{
	const struct lane *const *v;
	struct ledger_lane r;

	serve_two(ctx);
	v = (const struct lane *const *)h.all.first->lanes.v;
	assert_int_equal(lanes_hush((struct lane *)v[1], true), 0);
	assert_int_equal(ledger_get_lane(&ledger, v[0]->record, &r), 1);
	assert_true((r.flags & LEDGER_HEARS) != 0);
	assert_int_equal(socket_ignore_syns(v[0]->fd, true), 0);
	r.flags &= ~(uint32_t)LEDGER_HEARS;
	ledger_set(&ledger, LEDGER_LANE, v[0]->record, &r);
	assert_int_equal(ledger_get_lane(&ledger, v[1]->record, &r), 1);
	assert_int_equal(r.flags & LEDGER_HEARS, 0);
}

static void
a_lane_that_heard_nobody_does_again(void **state)
{
	static const struct scene s = {
		TCP, CONF_BALANCE_RANDOM, 2, false,
	};
	struct listener *l;

	(void)state;
	set_up_seen();
	begin();
	slay(supervise(serve_and_hush, (void *)&s));
	assert_true(hears_nobody(seen->lanes[0].fd));
	assert_true(hears_nobody(seen->lanes[1].fd));
	start(s.address, s.balance);
	l = house_acquire(&h);
	assert_taken_over(l);
	for (size_t i = 0; i < 2; i++) {
		struct ledger_lane r;

		assert_false(hears_nobody(seen->lanes[i].fd));
		assert_int_equal(ledger_get_lane(&ledger,
		    l->lanes.v[i]->record, &r), 1);
		assert_true((r.flags & LEDGER_HEARS) != 0);
	}
	stop(l);
	end();
	munmap(seen, sizeof(*seen));
}

/* The number of a record is another socket's by now. */
static void
a_number_alone_is_not_believed(void **state)
{
	static const struct scene s = {
		TCP, CONF_BALANCE_RANDOM, 1, false,
	};
	struct listener *l;
	pid_t pid;
	int stranger, fd;

	(void)state;
	set_up_seen();
	begin();
	pid = supervise(serve_two, (void *)&s);
	slay(pid);
	fd = seen->lanes[0].fd;
	stranger = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(stranger >= 0);
	assert_int_equal(dup3(stranger, fd, O_CLOEXEC), fd);
	note_other(stranger);
	start(s.address, s.balance);
	assert_null(h.all.first);
	/* It was closed as well. */
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	l = house_acquire(&h);
	assert_int_not_equal(l->bound.port, seen->bound.port);
	stop(l);
	close(stranger);
	end();
	munmap(seen, sizeof(*seen));
}

/* It was killed before the file in the place of its own was known: that one leads
   nowhere, and its own is gone. */
static void
a_path_that_leads_nowhere_is_made_anew(void **state)
{
	char path[] = "/tmp/clusterd-take-over.XXXXXX";
	char address[64], name[64], keeper[64];
	const struct socket_options options = { .backlog = 1, .mode = 0600,
	    .uid = UINT32_MAX, .gid = UINT32_MAX };
	struct scene s = { address, CONF_BALANCE_SHARED, 1, false };
	struct address bound;
	struct socket_file file;
	struct listener *l;
	int clients[4], fd = -1;
	size_t counts[1] = { 0 };
	struct lane *lane;
	pid_t pid;

	(void)state;
	assert_non_null(mkdtemp(path));
	snprintf(address, sizeof(address), "unix:%s/s", path);
	snprintf(name, sizeof(name), "%s/s", path);
	snprintf(keeper, sizeof(keeper), "%s/s.lane", path);
	set_up_seen();
	begin();
	pid = supervise(serve_two, &s);
	slay(pid);
	assert_int_equal(unlink(name), 0);
	assert_int_equal(unlink(keeper), 0);
	bound = seen->bound;
	assert_int_equal(socket_listen(&seen->bound, &options, &fd, &bound,
	    &file, NULL), 0);
	address_free(&bound);
	close(fd);
	start(address, CONF_BALANCE_SHARED);
	l = house_acquire(&h);
	assert_int_not_equal(l->lanes.v[0]->ino, seen->lanes[0].ino);
	lane = house_take(l, &first);
	connect_some(clients, 4);
	serve(&lane, 1, 4, counts);
	assert_served(clients, 4);
	stop(l);
	end();
	munmap(seen, sizeof(*seen));
	assert_int_equal(rmdir(path), 0);
}

static void
what_nobody_acquires_is_closed(void **state)
{
	static const struct scene s = {
		TCP, CONF_BALANCE_RANDOM, 2, false,
	};
	size_t open_before;
	pid_t pid;

	(void)state;
	set_up_seen();
	begin();
	open_before = count_open();
	pid = supervise(serve_two, (void *)&s);
	slay(pid);
	start(TCP, CONF_BALANCE_RANDOM);
	assert_non_null(h.all.first);
	listeners_disinherit(&h.all, NULL);
	assert_int_equal(client_connect(&seen->bound), -ECONNREFUSED);
	house_close(&h);
	assert_int_equal(count_open(), open_before);
	end();
	munmap(seen, sizeof(*seen));
}

static void
it_stands_while_it_is_open(const char *address, enum conf_balance balance)
{
	struct error err = ERROR_INIT;
	struct listener *l;
	struct lane *lane;

	begin();
	n_listens = n_closes = 0;
	start(address, balance);
	l = house_acquire(&h);
	(void)house_take(l, &first);
	if (l->bound.kind == ADDRESS_UNIX) {
		assert_int_equal(listener_renew(l, &err), 0);
		assert_int_equal(l->n_old_files, 1);
	} else {
		lane = house_take(l, &second);
		lanes_sockets_spoilt(lane);
		assert_int_equal(lanes_sockets_replace(lane, &err), 0);
	}
	if (l->bound.kind == ADDRESS_TCP) {
		lanes_sockets_list_again(lane);
		assert_int_equal(lanes_exchange(l, &second, &lane, &err), 0);
		listener_suspend(l);
		assert_int_equal(listener_begin(l, &h.app, false, &err), 0);
	}
	for (size_t i = 0; i < l->lanes.n; i++)
		assert_true(stands(l->lanes.v[i]->fd));
	assert_true(n_closes > 0);
	assert_int_equal(n_listens > 0, l->bound.kind != ADDRESS_UDP);
	stop(l);
	end();
}

static void
it_stands_there_exactly_while_it_is_open(void **state)
{
	char path[] = "/tmp/clusterd-take-over.XXXXXX", address[80];

	(void)state;
	it_stands_while_it_is_open(TCP, CONF_BALANCE_RANDOM);
	it_stands_while_it_is_open("udp:127.0.0.1:0", CONF_BALANCE_AUTO);
	assert_non_null(mkdtemp(path));
	snprintf(address, sizeof(address), "unix:%s/s", path);
	it_stands_while_it_is_open(address, CONF_BALANCE_SHARED);
	assert_int_equal(rmdir(path), 0);
}

/* ---- cut off ---- */

/* It opens and closes, takes lanes and gives them back, as fast as it can, while it
   is killed: whatever is left, the next one can have it or nobody does, and nothing
   is left open. */
static void
wild(const struct scene *s, const int *go)
{
	struct listener *l;

	start(s->address, s->balance);
	if (write(*go, "", 1) != 1)
		_exit(1);
	for (;;) {
		struct error err = ERROR_INIT;
		struct lane *lane = NULL;

		/* The test is not ours to fail: who kills us sees it. */
		if (listeners_acquire(&h.all, &h.app, 0, &l, &err) < 0 ||
		    lanes_take(l, &first, &lane, &err) < 0) {
			print_error("%s\n", error_text(&err));
			_exit(1);
		}
		if (l->bound.kind == ADDRESS_TCP) {
			lanes_sockets_refuse(l);
			(void)lanes_sockets_start(l);
		}
		if (l->bound.kind != ADDRESS_UNIX &&
		    lanes_take(l, &second, &lane, &err) == 0 &&
		    l->bound.kind == ADDRESS_TCP) {
			lanes_sockets_spoilt(lane);
			(void)lanes_sockets_replace(lane, &err);
			lanes_sockets_list_again(lane);
		}
		lanes_leave(l, &second);
		listeners_release(l);
	}
}

static void
killed_wherever_it_is(const char *address, enum conf_balance balance)
{
	const struct scene s = { address, balance, 2, false };
	size_t open_before;
	int go[2];

	begin();
	assert_int_equal(pipe2(go, O_CLOEXEC), 0);
	note_other(go[0]);
	note_other(go[1]);
	open_before = count_open();
	srand(7);
	for (int i = 0; i < 60; i++) {
		char byte;
		pid_t pid = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD,
		    0, 0, 0, 0);

		assert_true(pid >= 0);
		if (pid == 0)
			wild(&s, &go[1]);
		assert_int_equal(read(go[0], &byte, 1), 1);
		/* In the midst of it: there is nothing to wait for. */
		usleep((useconds_t)(rand() % 3000));
		slay(pid);
	}
	start(address, balance);
	for (struct listener *l = h.all.first; l != NULL; l = l->next)
		for (size_t i = 0; i < l->lanes.n; i++)
			assert_true(descriptor_is_socket(l->lanes.v[i]->fd,
			    l->lanes.v[i]->ino));
	listeners_disinherit(&h.all, NULL);
	house_close(&h);
	assert_int_equal(count_open(), open_before);
	close(go[0]);
	close(go[1]);
	end();
}

static void
nothing_leaks_wherever_it_is_killed(void **state)
{
	char path[64], address[80];

	(void)state;
	killed_wherever_it_is(TCP, CONF_BALANCE_RANDOM);
	if (can_use_ebpf())
		killed_wherever_it_is(TCP, CONF_BALANCE_ROUND_ROBIN);
	killed_wherever_it_is("udp:127.0.0.1:0", CONF_BALANCE_AUTO);
	strcpy(path, "/tmp/clusterd-take-over.XXXXXX");
	assert_non_null(mkdtemp(path));
	snprintf(address, sizeof(address), "unix:%s/s", path);
	killed_wherever_it_is(address, CONF_BALANCE_SHARED);
	/* Of one that was killed between its bind and its record, a name may be
	   left, as of any that is killed. */
	snprintf(address, sizeof(address), "%s/s", path);
	(void)unlink(address);
	snprintf(address, sizeof(address), "%s/s.lane", path);
	(void)unlink(address);
	assert_int_equal(rmdir(path), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(clients_of_one_lane_are_served),
		cmocka_unit_test(clients_of_two_lanes_are_served),
		cmocka_unit_test(clients_that_ebpf_steers_are_served),
		cmocka_unit_test(they_are_steered_as_before),
		cmocka_unit_test(places_are_those_of_the_kernel),
		cmocka_unit_test(clients_of_a_path_are_served),
		cmocka_unit_test(datagrams_that_wait_are_there),
		cmocka_unit_test(a_lane_that_was_shut_listens_again),
		cmocka_unit_test(a_founder_that_is_left_is_in_nobodys_way),
		cmocka_unit_test(a_lane_that_heard_nobody_does_again),
		cmocka_unit_test(a_number_alone_is_not_believed),
		cmocka_unit_test(a_path_that_leads_nowhere_is_made_anew),
		cmocka_unit_test(what_nobody_acquires_is_closed),
		cmocka_unit_test(
		    it_stands_there_exactly_while_it_is_open),
		cmocka_unit_test(nothing_leaks_wherever_it_is_killed),
	};

	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
