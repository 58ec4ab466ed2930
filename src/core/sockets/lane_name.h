/*
 * The name by which the supervisor above keeps a lane's socket from one start to
 * the next (FDNAME= of sd_notify(3)): what the socket itself does not tell. Pure.
 *
 *   clusterd web 0 - 7 2 .ld 0.0.0.0;8080
 *
 * is of app web, at the first place of its list, of all instances, of the listener
 * with the number 7; it came as the second to the kernel's group, gets new
 * connections (l), and a server has asked for its address (d; b: beside the one in
 * the configuration, which is 0.0.0.0:8080). No name has a colon in it, since
 * LISTEN_FDNAMES separates them by that.
 */
#ifndef CORE_SOCKETS_LANE_NAME_H
#define CORE_SOCKETS_LANE_NAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/conf/conf.h"
#include "core/names/address.h"

/* The longest that systemd takes, with its NUL. */
#define LANE_NAME_SIZE	256

struct lane_name {
	char app[CONF_NAME_MAX + 1];
	uint32_t position;
	long instance;		/* -1: all */
	uint64_t listener;	/* lanes of one have the same */
	uint64_t joined;	/* the how manieth of the group; 0: not known */
	bool live;
	bool derived;
	bool beside;
	bool is_unix;		/* `written` is the path that it is bound to */
	struct address written;	/* TCP, UDP; without a path */
};

/* -ENAMETOOLONG, -ENOMEM. */
int lane_name_put(const struct lane_name *name, char ret_text[LANE_NAME_SIZE]);

/* Is that a name which some clusterd has given, whatever it says? */
bool lane_name_is_ours(const char *text);

/* -EINVAL: it says nothing; -ENOMEM. Nothing is to be freed. */
int lane_name_get(const char *text, struct lane_name *ret_name);

#endif
