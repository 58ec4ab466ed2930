/*
 * Listeners on real sockets: who shares them, how they are opened, refused,
 * closed, and what becomes of a Unix listener's file.
 */
#include <sys/socket.h>
#include <sys/stat.h>

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "daemon/sockets/lanes.h"
#include "daemon/sockets/lanes_heal.h"
#include "daemon/sockets/lanes_sockets.h"
#include "daemon/sockets/listener_open.h"
#include "house.h"
#include "linux/socket/socket.h"

#define ANY_PORT "127.0.0.1:0"

static struct house h;

static void
assert_served(const struct address *a)
{
	int fd = client_connect(a);

	if (fd < 0)
		fail_msg("%s: %s", address_text(a).s, strerror(-fd));
	close(fd);
}

static void
assert_refused(const struct address *a)
{
	assert_int_equal(client_connect(a), -ECONNREFUSED);
}

/* ---- references ---- */

static void
the_last_reference_closes(void **state)
{
	struct listener *l, *again;
	struct address bound;

	(void)state;
	house_open(&h, ANY_PORT, CONF_BALANCE_RANDOM);
	l = house_acquire(&h);
	bound = l->bound;
	assert_int_not_equal(bound.port, 0);
	assert_true(listener_is_open(l) && listener_is_own_tcp(l));
	again = house_acquire(&h);
	assert_ptr_equal(again, l);
	assert_int_equal(l->refs, 2);
	assert_served(&bound);

	listeners_release(l);
	assert_served(&bound);
	listeners_release(again);
	assert_refused(&bound);
	assert_null(h.all.first);
	listeners_release(NULL);
	house_close(&h);
}

/* "Any free port" is another one for each app; a port that is written is the
   same one for whoever writes it. */
static void
a_port_that_is_written_is_shared(void **state)
{
	struct error err = ERROR_INIT;
	struct listener *l, *other = NULL;
	struct conf_app app;
	char name[] = "api";

	(void)state;
	house_open(&h, ANY_PORT, CONF_BALANCE_SHARED);
	app = h.app;
	app.name = name;
	l = house_acquire(&h);
	assert_int_equal(listeners_acquire(&h.all, &app, 0, &other, &err), 0);
	assert_ptr_not_equal(other, l);
	listeners_release(other);
	h.written.port = l->bound.port;
	listeners_release(l);

	l = house_acquire(&h);
	assert_int_equal(l->bound.port, h.written.port);
	assert_int_equal(listeners_acquire(&h.all, &app, 0, &other, &err), 0);
	assert_ptr_equal(other, l);
	/* A reload moves it from one to the other. */
	assert_string_equal(l->app, "web");
	listener_enlist(l, &app, 0);
	assert_string_equal(l->app, "api");
	listeners_release(other);
	listeners_release(l);
	house_close(&h);
}

static void
an_address_in_use_is_told_in_words(void **state)
{
	struct socket_options options = { .backlog = 1 };
	struct error err = ERROR_INIT;
	struct listener *l = NULL;
	struct socket_file file;
	struct address bound;
	char expected[256];
	int fd = -1;

	(void)state;
	house_open(&h, ANY_PORT, CONF_BALANCE_RANDOM);
	assert_int_equal(socket_listen(&h.written, &options, &fd, &bound,
	    &file, &err), 0);
	h.written.port = bound.port;
	assert_true(listeners_taken(&h.written));
	assert_int_equal(listeners_acquire(&h.all, &h.app, 0, &l, &err),
	    -EADDRINUSE);
	assert_null(l);
	assert_null(h.all.first);
	snprintf(expected, sizeof(expected), "cannot listen on %s: ",
	    address_text(&bound).s);
	assert_memory_equal(error_text(&err), expected, strlen(expected));
	error_clear(&err);

	close(fd);
	assert_false(listeners_taken(&h.written));
	l = house_acquire(&h);
	listeners_release(l);
	house_close(&h);
}

/* ---- what servers ask for ---- */

static void
a_derived_one_is_bound_first(void **state)
{
	struct error err = ERROR_INIT;
	struct listener *l, *d = NULL, *again = NULL;
	struct address target;

	(void)state;
	house_open(&h, ANY_PORT, CONF_BALANCE_RANDOM);
	l = house_acquire(&h);
	target = l->bound;
	target.ip[3] = 2;	/* 127.0.0.2 */
	assert_int_equal(listeners_derive(&h.all, &h.app, 0, &target,
	    BALANCE_ACCEPTS_UNKNOWN, &d, &err), 0);
	assert_ptr_not_equal(d, l);
	assert_true(d->derived && d->beside && !d->listening);
	assert_true(address_equal(&d->bound, &target));
	assert_refused(&target);
	assert_served(&l->bound);

	assert_int_equal(listeners_derive(&h.all, &h.app, 0, &target,
	    BALANCE_ACCEPTS_UNKNOWN, &again, &err), 0);
	assert_ptr_equal(again, d);
	listeners_release(again);

	assert_int_equal(listener_begin(d, &h.app, true, &err), 0);
	assert_served(&target);
	listener_take_place(d);
	assert_false(d->beside);
	listeners_release(d);
	assert_refused(&target);
	listeners_release(l);
	house_close(&h);
}

/* Where one lane cannot be kept quiet, none is. */
static void
a_tryout_that_fails_is_heard(void **state)
{
	struct error err = ERROR_INIT;
	struct listener *l, *d = NULL;
	struct lane *lane[2];
	struct address target;
	size_t served[2] = { 0 };
	int pipes[2], kept, client;
	HOLDER(first, 0);
	HOLDER(second, 1);

	(void)state;
	house_open(&h, ANY_PORT, CONF_BALANCE_RANDOM);
	l = house_acquire(&h);
	target = l->bound;
	target.ip[3] = 2;
	assert_int_equal(listeners_derive(&h.all, &h.app, 0, &target,
	    BALANCE_ACCEPTS_UNKNOWN, &d, &err), 0);
	lane[0] = house_take(d, &first);
	lane[1] = house_take(d, &second);
	assert_int_equal(pipe(pipes), 0);
	kept = dup(lane[1]->fd);
	assert_int_equal(dup2(pipes[0], lane[1]->fd), lane[1]->fd);
	assert_true(lanes_sockets_start_quietly(d) < 0);
	assert_int_equal(dup2(kept, lane[1]->fd), lane[1]->fd);
	assert_false(d->quiet);
	assert_int_equal(listener_begin(d, &h.app, true, &err), 0);
	house_serve(d, (const struct lane *[]){ lane[0] }, 1);
	client = client_connect(&target);
	assert_true(client >= 0);
	serve(lane, 2, 1, served);
	assert_int_equal(served[0], 1);
	close(client);
	close(kept);
	close(pipes[0]);
	close(pipes[1]);
	listeners_release(d);
	listeners_release(l);
	house_close(&h);
}

/* ---- refused ---- */

static void
a_suspended_one_is_opened_by_the_next_reload(void **state)
{
	struct listener *l;

	(void)state;
	house_open(&h, ANY_PORT, CONF_BALANCE_RANDOM);
	l = house_acquire(&h);
	listener_suspend(l);
	assert_false(l->listening);
	assert_refused(&l->bound);
	listener_suspend(l);
	listener_enlist(l, &h.app, 0);
	assert_true(l->listening);
	assert_served(&l->bound);
	listeners_release(l);
	house_close(&h);
}

/* What a reload has changed of an address is so when it listens again. */
static void
options_of_a_suspended_one_are_changed(void **state)
{
	socklen_t len = sizeof(int);
	struct listener *l;
	int seconds = 0;

	(void)state;
	house_open(&h, ANY_PORT, CONF_BALANCE_RANDOM);
	l = house_acquire(&h);
	listener_suspend(l);
	h.written.options.defer_accept = 60;
	listener_adjust(l, &h.app, BALANCE_ACCEPTS_UNKNOWN);
	assert_int_equal(getsockopt(listener_first_lane(l)->fd, IPPROTO_TCP,
	    TCP_DEFER_ACCEPT, &seconds, &len), 0);
	assert_true(seconds >= 60);
	assert_int_equal(l->bound.options.defer_accept, 60);
	listeners_release(l);
	house_close(&h);
}

/* A worker may hold it open, without a thought of accepting. */
static void
a_forsaken_one_refuses_at_the_end(void **state)
{
	struct address bound;
	struct listener *l;
	int workers;

	(void)state;
	for (unsigned forsaken = 0; forsaken < 2; forsaken++) {
		house_open(&h, ANY_PORT, CONF_BALANCE_RANDOM);
		l = house_acquire(&h);
		bound = l->bound;
		workers = fcntl(listener_first_lane(l)->fd, F_DUPFD_CLOEXEC,
		    0);
		assert_true(workers >= 0);
		listener_forsake(l);
		if (!forsaken)
			listener_reclaim(l);
		listeners_release(l);
		if (forsaken)
			assert_refused(&bound);
		else
			assert_served(&bound);
		close(workers);
		house_close(&h);
	}
}

static void
the_end_closes_whoever_refers_to_them(void **state)
{
	struct listener *l;

	(void)state;
	house_open(&h, ANY_PORT, CONF_BALANCE_RANDOM);
	l = house_acquire(&h);
	listeners_shut(&h.all);
	assert_false(listener_is_open(l));
	assert_refused(&l->bound);
	listeners_release(l);
	house_close(&h);
}

/* ---- doors ---- */

/* Take what it takes to filter TCP, and give it back. */
static void
permit_filters(bool on)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[2];
	const uint32_t bit = UINT32_C(1) << CAP_NET_ADMIN;

	assert_int_equal(syscall(SYS_capget, &head, data), 0);
	if (!on)
		data[0].effective &= ~bit;
	else
		data[0].effective |= data[0].permitted & bit;
	assert_int_equal(syscall(SYS_capset, &head, data), 0);
}

/* Ends the test where neither way is to be had. */
static void
close_door(struct listener *l)
{
	listener_close_door(l);
	assert_true(l->door_closed && l->listening);
	if (l->door_filter)
		return;
	print_message("skipped: neither filters nor signatures here\n");
	permit_filters(true);
	listeners_release(l);
	house_close(&h);
	skip();
}

static void
closed_and_open(void)
{
	struct listener *l;
	struct lane *lane;
	size_t served = 0;
	int there, late;

	house_open(&h, ANY_PORT, CONF_BALANCE_SHARED);
	l = house_acquire(&h);
	lane = house_share(l);
	there = client_connect(&l->bound);
	assert_true(there >= 0);
	close_door(l);
	late = client_try(&l->bound);
	assert_true(late >= 0);
	assert_int_equal(waiting_in(lane), 1);
	serve(&lane, 1, 1, &served);
	assert_int_equal(client_end(there), 0);

	/* It knocks again, and finds the door open. */
	listener_enlist(l, &h.app, 0);
	assert_false(l->door_closed);
	client_await(late);
	serve(&lane, 1, 1, &served);
	close(there);
	close(late);
	listeners_release(l);
	house_close(&h);
}

static void
behind_a_closed_door_are_those_who_were_there(void **state)
{
	(void)state;
	closed_and_open();
}

static void
a_door_is_closed_without_filters(void **state)
{
	(void)state;
	permit_filters(false);
	closed_and_open();
	permit_filters(true);
}

/* The lane that hears nothing is the next worker's, with who waits there. */
static void
a_door_without_filters_opens_for_the_next_worker(void **state)
{
	struct listener *l;
	struct lane *old, *next;
	size_t served = 0;
	bool with_deaf;
	int client;
	HOLDER(first, 0);
	HOLDER(second, 1);

	(void)state;
	permit_filters(false);
	house_open(&h, ANY_PORT, CONF_BALANCE_RANDOM);
	l = house_acquire(&h);
	old = house_take(l, &first);
	close_door(l);
	client = client_try(&l->bound);
	assert_true(client >= 0);
	with_deaf = listener_deaf_lane(l) != NULL;
	listener_enlist(l, &h.app, 0);
	client_await(client);
	next = house_take(l, &second);
	/* Before Linux 6.18 anybody may filter. */
	assert_int_equal(waiting_in(with_deaf ? next : old), 1);
	serve(with_deaf ? &next : &old, 1, 1, &served);
	close(client);
	permit_filters(true);
	listeners_release(l);
	house_close(&h);
}

/* Who was in a handshake gets to the lane where it began. */
static void
a_door_without_filters_lets_handshakes_end(void **state)
{
	struct listener *l;
	struct lane *lane;
	size_t served = 0;
	int client, seconds = 60;

	(void)state;
	permit_filters(false);
	house_open(&h, ANY_PORT, CONF_BALANCE_SHARED);
	l = house_acquire(&h);
	lane = house_share(l);
	/* It has not ended before the client speaks. */
	assert_int_equal(setsockopt(lane->fd, IPPROTO_TCP, TCP_DEFER_ACCEPT,
	    &seconds, sizeof(seconds)), 0);
	client = client_connect(&l->bound);
	assert_true(client >= 0);
	assert_int_equal(waiting_in(lane), 0);
	close_door(l);
	assert_int_equal(send(client, "GET", 3, 0), 3);
	serve(&lane, 1, 1, &served);
	close(client);
	permit_filters(true);
	listeners_release(l);
	house_close(&h);
}

/* IPv4 on an IPv6 socket is not heard either. */
static void
a_door_without_filters_is_closed_for_both_families(void **state)
{
	struct address mapped = {
		.kind = ADDRESS_TCP, .host = ADDRESS_HOST_IPV4,
		.ip = { 127, 0, 0, 1 },
	};
	struct listener *l;
	int client;

	(void)state;
	permit_filters(false);
	house_open(&h, "0", CONF_BALANCE_RANDOM);
	l = house_acquire(&h);
	mapped.port = l->bound.port;
	close_door(l);
	client = client_try(&mapped);
	assert_true(client >= 0);
	for (size_t i = 0; i < l->lanes.n; i++)
		assert_int_equal(waiting_in(l->lanes.v[i]), 0);
	listener_enlist(l, &h.app, 0);
	client_await(client);
	close(client);
	permit_filters(true);
	listeners_release(l);
	house_close(&h);
}

static void
a_closed_door_takes_no_datagrams(void **state)
{
	struct listener *l;
	int client, fd;
	char byte;

	(void)state;
	house_open(&h, "udp:127.0.0.1:0", CONF_BALANCE_SHARED);
	l = house_acquire(&h);
	fd = house_share(l)->fd;
	client = client_try(&l->bound);
	assert_int_equal(send(client, "1", 1, 0), 1);
	listener_close_door(l);
	assert_true(l->door_filter);
	assert_int_equal(send(client, "2", 1, 0), 1);
	listener_enlist(l, &h.app, 0);
	assert_int_equal(send(client, "3", 1, 0), 1);
	assert_int_equal(recv(fd, &byte, 1, 0), 1);
	assert_int_equal(byte, '1');
	assert_int_equal(recv(fd, &byte, 1, 0), 1);
	assert_int_equal(byte, '3');
	close(client);
	listeners_release(l);
	house_close(&h);
}

/* A worker dies with clients waiting, and the next process gets its lane as a new
   one. */
static void
a_closed_door_stays_closed_for_the_next_process(void **state)
{
	struct error err = ERROR_INIT;
	struct listener *l;
	struct lane *lane;
	int there, late;

	(void)state;
	house_open(&h, ANY_PORT, CONF_BALANCE_SHARED);
	l = house_acquire(&h);
	lane = house_share(l);
	there = client_connect(&l->bound);
	assert_true(there >= 0);
	close_door(l);
	assert_int_equal(lanes_heal_renew(lane, true, &err), 0);
	late = client_try(&l->bound);
	assert_true(late >= 0);
	assert_int_equal(waiting_in(lane), 1);
	listener_enlist(l, &h.app, 0);
	client_await(late);
	close(there);
	close(late);
	listeners_release(l);
	house_close(&h);
}

static void
a_closed_door_stays_closed_for_datagrams(void **state)
{
	struct error err = ERROR_INIT;
	struct listener *l;
	struct lane *lane;
	int client;
	char byte;

	(void)state;
	house_open(&h, "udp:127.0.0.1:0", CONF_BALANCE_SHARED);
	l = house_acquire(&h);
	lane = house_share(l);
	client = client_try(&l->bound);
	listener_close_door(l);
	assert_int_equal(lanes_heal_renew(lane, true, &err), 0);
	assert_int_equal(send(client, "1", 1, 0), 1);
	lanes_sockets_spoilt(lane);
	assert_int_equal(lanes_heal_renew(lane, true, &err), 0);
	assert_int_equal(send(client, "2", 1, 0), 1);
	listener_enlist(l, &h.app, 0);
	assert_int_equal(send(client, "3", 1, 0), 1);
	assert_int_equal(recv(lane->fd, &byte, 1, 0), 1);
	assert_int_equal(byte, '3');
	close(client);
	listeners_release(l);
	house_close(&h);
}

static const struct sock_filter of_server[] = {
	BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0),
	BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, 60000, 0, 1),
	BPF_STMT(BPF_RET | BPF_K, 0),
	BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
};
#define N_OF_SERVER (sizeof(of_server) / sizeof(of_server[0]))

static void
set_filter_of_server(int fd)
{
	struct sock_fprog program;

	memset(&program, 0, sizeof(program));
	program.len = N_OF_SERVER;
	program.filter = (struct sock_filter *)of_server;
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER,
	    &program, sizeof(program)), 0);
}

static void
assert_filter_of_server(int fd)
{
	struct sock_filter found[2 * N_OF_SERVER];
	socklen_t n = 2 * N_OF_SERVER;

	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_GET_FILTER, found, &n),
	    0);
	assert_int_equal(n, N_OF_SERVER);
	assert_memory_equal(found, of_server, sizeof(of_server));
}

static void
a_servers_filter_outlives_a_closed_door(void **state)
{
	const char *const addresses[] = { ANY_PORT, "udp:127.0.0.1:0" };
	struct listener *l;
	int client, fd;
	char byte;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		house_open(&h, addresses[i], CONF_BALANCE_SHARED);
		l = house_acquire(&h);
		fd = house_share(l)->fd;
		set_filter_of_server(fd);
		if (i == 0)
			close_door(l);
		else
			listener_close_door(l);
		client = client_try(&l->bound);
		assert_true(client >= 0);
		if (i == 1)
			assert_int_equal(send(client, "1", 1, 0), 1);
		listener_enlist(l, &h.app, 0);
		assert_filter_of_server(fd);
		if (i == 0) {
			client_await(client);
		} else {
			assert_int_equal(send(client, "2", 1, 0), 1);
			assert_int_equal(recv(fd, &byte, 1, 0), 1);
			assert_int_equal(byte, '2');
		}
		close(client);
		listeners_release(l);
		house_close(&h);
	}
}

/* For the next process, and for who opens another socket. */
static void
one_that_refuses_goes_on_refusing(void **state)
{
	const char *const addresses[] = { "127.0.0.1:0 interface=lo",
	    ANY_PORT };
	struct error err = ERROR_INIT;
	struct listener *l;
	struct lane *lane;
	HOLDER(first, 0);

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		house_open(&h, addresses[i], CONF_BALANCE_RANDOM);
		l = house_acquire(&h);
		lane = house_take(l, &first);
		listener_refuse(l);
		if (!l->refuses) {	/* it takes CAP_NET_RAW */
			listeners_release(l);
			house_close(&h);
			continue;
		}
		assert_refused(&l->bound);
		assert_int_equal(lanes_heal_renew(lane, true, &err), 0);
		assert_refused(&l->bound);
		lanes_sockets_spoilt(lane);
		assert_int_equal(lanes_sockets_replace(lane, &err), 0);
		assert_true(lane->listening);
		assert_refused(&l->bound);
		listeners_release(l);
		house_close(&h);
	}
}

/* While those who are there are served. */
static void
a_port_that_is_refused_is_free_for_others(void **state)
{
	struct error err = ERROR_INIT;
	struct listener *l, *other = NULL;
	struct conf_app app;
	struct lane *lane, *next;
	size_t served = 0;
	int there, late;
	char name[] = "api";

	(void)state;
	house_open(&h, ANY_PORT, CONF_BALANCE_SHARED);
	l = house_acquire(&h);
	h.written.port = l->bound.port;
	lane = house_share(l);
	there = client_connect(&l->bound);
	assert_true(there >= 0);
	listener_refuse(l);
	app = h.app;
	app.name = name;
	if (listeners_acquire(&h.all, &app, 0, &other, &err) < 0)
		fail_msg("%s", error_text(&err));
	assert_ptr_not_equal(other, l);
	next = house_share(other);
	late = client_connect(&h.written);
	assert_true(late >= 0);
	assert_int_equal(waiting_in(lane), 1);
	assert_int_equal(waiting_in(next), 1);
	serve(&lane, 1, 1, &served);
	assert_int_equal(client_end(there), 0);
	listeners_release(l);
	serve(&next, 1, 1, &served);
	assert_int_equal(client_end(late), 0);
	close(there);
	close(late);
	listeners_release(other);
	house_close(&h);
}

/* The lane of a worker that has gone takes nobody any more. */
static void
behind_a_closed_door_a_free_lane_refuses(void **state)
{
	struct listener *l;
	int client = -1;
	HOLDER(first, 0);

	(void)state;
	house_open(&h, ANY_PORT, CONF_BALANCE_RANDOM);
	l = house_acquire(&h);
	(void)house_take(l, &first);
	close_door(l);
	listeners_leave(&h.all, &first);
	/* Or it gets no answer. */
	if (listener_deaf_lane(l) == NULL)
		assert_refused(&l->bound);
	else
		client = client_try(&l->bound);
	listener_enlist(l, &h.app, 0);
	assert_served(&l->bound);
	if (client >= 0)
		close(client);
	listeners_release(l);
	house_close(&h);
}

/* ---- Unix ---- */

static char directory[64];

static int
make_directory(void **state)
{
	(void)state;
	strcpy(directory, "/tmp/clusterd-listeners-XXXXXX");
	return mkdtemp(directory) != NULL ? 0 : -1;
}

static int
remove_directory(void **state)
{
	(void)state;
	return rmdir(directory);
}

static void
open_unix(void)
{
	char address[128];

	snprintf(address, sizeof(address), "unix:%s/socket", directory);
	house_open(&h, address, CONF_BALANCE_AUTO);
}

static bool
is_there(void *path)
{
	struct stat st;

	return stat(path, &st) == 0;
}

static void
a_removed_path_comes_back(void **state)
{
	struct listener *l;
	struct stat st;

	(void)state;
	open_unix();
	l = house_acquire(&h);
	assert_int_equal(l->lanes.balance, BALANCE_SHARED);
	assert_int_equal(stat(l->bound.path, &st), 0);
	assert_int_equal(st.st_mode & 0777, h.app.socket_mode);
	assert_int_equal(unlink(l->bound.path), 0);
	house_turn_until(&h, is_there, l->bound.path);
	assert_served(&l->bound);
	listeners_release(l);
	assert_false(is_there(h.written.path));
	house_close(&h);
}

static bool
is_dead(void *ctx)
{
	return ((struct listener *)ctx)->dead;
}

/* A Unix socket does not listen again: the next reload makes another. */
static void
a_shut_one_is_dead(void **state)
{
	struct listener *l, *next;

	(void)state;
	open_unix();
	l = house_acquire(&h);
	worker_shuts(listener_first_lane(l));
	house_turn_until(&h, is_dead, l);
	next = house_acquire(&h);
	assert_ptr_not_equal(next, l);
	listeners_release(l);
	assert_served(&next->bound);
	listeners_release(next);
	assert_false(is_there(h.written.path));
	house_close(&h);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_last_reference_closes),
		cmocka_unit_test(a_port_that_is_written_is_shared),
		cmocka_unit_test(an_address_in_use_is_told_in_words),
		cmocka_unit_test(a_derived_one_is_bound_first),
		cmocka_unit_test(a_tryout_that_fails_is_heard),
		cmocka_unit_test(a_suspended_one_is_opened_by_the_next_reload),
		cmocka_unit_test(options_of_a_suspended_one_are_changed),
		cmocka_unit_test(a_forsaken_one_refuses_at_the_end),
		cmocka_unit_test(the_end_closes_whoever_refers_to_them),
		cmocka_unit_test(behind_a_closed_door_are_those_who_were_there),
		cmocka_unit_test(a_door_is_closed_without_filters),
		cmocka_unit_test(
		    a_door_without_filters_opens_for_the_next_worker),
		cmocka_unit_test(
		    a_door_without_filters_lets_handshakes_end),
		cmocka_unit_test(
		    a_door_without_filters_is_closed_for_both_families),
		cmocka_unit_test(a_closed_door_takes_no_datagrams),
		cmocka_unit_test(
		    a_closed_door_stays_closed_for_the_next_process),
		cmocka_unit_test(a_closed_door_stays_closed_for_datagrams),
		cmocka_unit_test(a_servers_filter_outlives_a_closed_door),
		cmocka_unit_test(one_that_refuses_goes_on_refusing),
		cmocka_unit_test(a_port_that_is_refused_is_free_for_others),
		cmocka_unit_test(behind_a_closed_door_a_free_lane_refuses),
		cmocka_unit_test(a_removed_path_comes_back),
		cmocka_unit_test(a_shut_one_is_dead),
	};

	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, make_directory,
	    remove_directory);
}
