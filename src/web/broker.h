/*
 * The half that may talk to clusterd. The other one serves strangers as an ordinary
 * user, and has to ask this one for a connection to the control socket, which it gets
 * with its one request sent and its way back shut: it can be read from, and nothing
 * more can be asked on it. Requests that change something take the token, which only
 * this half knows. So whoever takes the serving half over can read what it reads.
 */
#ifndef WEB_BROKER_H
#define WEB_BROKER_H

#include <stdint.h>

#include "core/control/request.h"

struct client_where;

#define BROKER_TOKEN_MIN	16
#define BROKER_TOKEN_MAX	256
#define BROKER_WORDS_MAX	512

/* A datagram each, over a socketpair(2) of SOCK_SEQPACKET. */
struct broker_ask {
	uint32_t number;
	char line[REQUEST_MAX];		/* with a NUL in its newline's place */
	char token[BROKER_TOKEN_MAX + 1];
};

/* With a descriptor where code is 0. */
struct broker_answer {
	uint32_t number;
	int32_t code;			/* -EACCES: the token is wrong; -errno */
	char words[BROKER_WORDS_MAX];
};

/*
 * Serve `fd` until the other half has gone, then return. `token`: NULL, nothing is
 * ever changed.
 */
void broker_serve(int fd, const struct client_where *where, const char *token);

#endif
