/* What tests of listeners need: a loop, an app, and clients on the loopback
   interface. Whatever is waited for comes within a time limit, or the test
   fails. */
#ifndef TESTS_UNIT_DAEMON_SOCKETS_HOUSE_H
#define TESTS_UNIT_DAEMON_SOCKETS_HOUSE_H

#include <stdbool.h>
#include <stddef.h>

#include "core/conf/conf.h"
#include "daemon/sockets/listeners.h"
#include "linux/loop/loop.h"

struct house {
	struct loop *loop;
	struct listeners all;
	struct address written;		/* the app's only one */
	struct conf_app app;
	struct loop_timer limit;
};

/* As a configuration writes the address; port 0 mostly. */
void house_open(struct house *house, const char *address,
    enum conf_balance balance);
void house_close(struct house *house);

/* A reference to the app's listener. */
struct listener *house_acquire(struct house *house);

/* Turns until it is so. */
typedef bool house_fn(void *ctx);
void house_turn_until(struct house *house, house_fn *fn, void *ctx);

/* What lanes are given to. */
#define HOLDER(name, number) \
	struct lane_holder name = { \
		.about = { .app = "web", .instance = (number) }, \
	}
struct lane *house_take(struct listener *listener,
    const struct lane_holder *holder);

/* The common one, to a holder of no importance. */
struct lane *house_share(struct listener *listener);

/* New connections to these lanes and no others, from now on. */
void house_serve(struct listener *listener, const struct lane *const *lanes,
    size_t n);

/* A connection, or -errno; the caller closes. */
int client_connect(const struct address *address);

/* The same, without waiting for the other side. */
int client_try(const struct address *address);

/* Until it is established; until the other side has closed or reset it, which
   returns 0 or the errno. */
void client_await(int fd);
int client_end(int fd);

/* Accepts from any of the lanes until there were `n`, and closes those; in
   counts, one for each lane, are added. */
void serve(struct lane *const *lanes, size_t n_lanes, size_t n,
    size_t *counts);

/* How many wait in it. */
unsigned waiting_in(const struct lane *lane);

/* As a worker does to its descriptor of the lane. */
void worker_shuts(const struct lane *lane);

#endif
