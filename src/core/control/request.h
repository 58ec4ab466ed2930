/*
 * What a client of the control socket sends, clusterd-control(7): one line, a
 * verb and its arguments. An instance may also be written web.1 and web[1].
 *
 *   restart web:1
 */
#ifndef CORE_CONTROL_REQUEST_H
#define CORE_CONTROL_REQUEST_H

#include <stddef.h>

struct error;
struct strbuf;

/* Bytes of the line, newline included. */
#define REQUEST_MAX	1024

enum request_verb {
	REQUEST_STATUS,		/* status [APP[:N]] */
	REQUEST_RELOAD,		/* reload [APP] */
	REQUEST_UPDATE,		/* update */
	REQUEST_RESTART,	/* restart APP[:N] */
	REQUEST_SCALE,		/* scale APP N|+N|-N */
	REQUEST_STOP,		/* stop [APP] */
	REQUEST_START,		/* start APP */
	REQUEST_LOGS,		/* logs [APP[:N]] */
	REQUEST_FOLLOW,		/* follow [APP[:N]] */
	REQUEST_WAIT,		/* wait [APP] [min=N] */
	REQUEST_SIGNAL,		/* signal APP[:N] SIGNAL */
	REQUEST_UPGRADE,	/* upgrade */
	REQUEST_EVENTS,		/* events [APP[:N]] */
	REQUEST_WATCH,		/* watch [APP[:N]] */
	REQUEST_CHECK,		/* check APP[:N] [/PATH] */
	REQUEST_VERBS
};

/* Bytes of the path of a check. */
#define REQUEST_PATH_MAX 512

enum request_scale {
	REQUEST_SCALE_TO,
	REQUEST_SCALE_UP,
	REQUEST_SCALE_DOWN,
};

struct request {
	enum request_verb verb;
	char app[33];		/* CONF_NAME_MAX; "": none was named */
	int instance;		/* -1: none was named */
	enum request_scale scale;
	unsigned amount;	/* of scale: 1 to CONF_INSTANCES_MAX */
	unsigned min;		/* of wait: so many of each app; 0: all */
	int signo;		/* of signal */
	char path[REQUEST_PATH_MAX + 1];	/* of check; "": none */
};

/*
 * Parse one request without its newline. -EINVAL with words for whoever sent
 * it: an unknown verb, a missing, superfluous or bad argument.
 */
int request_parse(const char *line, size_t len,
    struct request *ret_request, struct error *err);

/* The same from words of a command line: the verb, then at most two. */
int request_from_words(const char *const *words, size_t n,
    struct request *ret_request, struct error *err);

/* The line that asks for it, newline included. */
void request_print(struct strbuf *sb, const struct request *request);

const char *request_verb_name(enum request_verb verb);

#endif
