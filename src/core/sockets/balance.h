/*
 * How a listener spreads its connections: what the key `balance` comes to for
 * it on this machine. Pure.
 */
#ifndef CORE_SOCKETS_BALANCE_H
#define CORE_SOCKETS_BALANCE_H

#include <stdbool.h>

#include "core/names/address.h"
#include "core/conf/conf.h"

/* In force for one listener. */
enum balance {
	BALANCE_SHARED,		/* one lane, whoever comes first accepts */
	BALANCE_ROUND_ROBIN,
	BALANCE_LEAST_CONNECTIONS,
	BALANCE_RANDOM,
	BALANCE_SOURCE,		/* by the client's address */
	BALANCE_FLOW,		/* UDP: by the client's address and port */
};

/* How the programs of an app accept, as far as it was seen. */
enum balance_accepts {
	BALANCE_ACCEPTS_UNKNOWN,
	BALANCE_ACCEPTS_BLOCKING,	/* adopted with a blocking socket: one
					   connection at a time, likely */
	BALANCE_ACCEPTS_AT_ONCE,
};

/*
 * `auto` is least-connections where that can be had; else random, or shared for
 * a program that accepts blocking: clients would wait behind a busy worker
 * while another one is idle.
 */
enum balance balance_choose(enum conf_balance asked, enum address_kind kind,
    bool can_count, enum balance_accepts accepts);

/* May it still turn out to be `shared` for TCP? Until it is known, connections
   should wait in the one lane that would then be everybody's. */
bool balance_is_open(const struct conf_app *app, bool can_count,
    enum balance_accepts accepts);

/* Does it need the eBPF programs, and so privileges? */
bool balance_is_privileged(enum balance balance);

/* As the configuration writes it; "flow" for BALANCE_FLOW. */
const char *balance_name(enum balance balance);

#endif
