/*
 * Why a worker that runs is replaced by clusterd itself: it is unhealthy, which
 * health.h tells, or it has grown, lived or served enough, without anything wrong
 * with it: max_memory, max_age, max_connections. Pure.
 */
#ifndef CORE_HEALTH_RECYCLE_H
#define CORE_HEALTH_RECYCLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mono.h"

struct conf_app;
struct strbuf;

enum recycle_cause {
	RECYCLE_UNHEALTHY,	/* its checks failed */
	RECYCLE_MEMORY,
	RECYCLE_AGE,
	RECYCLE_CONNECTIONS,
	RECYCLE_CAUSES
};

/* "unhealthy", "memory", "age", "connections": part of the protocol. */
const char *recycle_cause_name(enum recycle_cause cause);

/* What is known of a worker's process. */
struct recycle_facts {
	uint64_t serial;	/* another one's is another */
	int64_t age_ms;		/* since it was executed */
	int64_t memory;		/* of it and its descendants; -1: not known */
	int64_t connections;	/* that it has taken; -1: not counted */
};

/* Does the app ask for any of it? */
bool recycle_is_asked(const struct conf_app *app);

/* RECYCLE_CAUSES: not. */
enum recycle_cause recycle_why(const struct conf_app *app,
    const struct recycle_facts *facts);

/* One of these: `uses 530M, more than max_memory = 512M`. */
void recycle_put_words(struct strbuf *sb, const struct conf_app *app,
    enum recycle_cause cause, const struct recycle_facts *facts);

/*
 * max_age of this one: up to a tenth more or less, so that those who were started
 * together do not go together. A number from 0 up.
 */
int64_t recycle_age_ms(int64_t max_age_ms, uint64_t serial);

/*
 * How soon the next one of an app: where replacements fail, or have to be replaced
 * themselves as soon as they serve, only after a pause, which doubles from
 * RECYCLE_PAUSE_MS to RECYCLE_PAUSE_MAX_MS. Zero-initialised.
 */
struct recycle_pace {
	unsigned failures;	/* in a row */
	struct mono until;
};

#define RECYCLE_PAUSE_MS	(10 * INT64_C(1000))
#define RECYCLE_PAUSE_MAX_MS	(10 * 60 * INT64_C(1000))

/* Who lives no longer than this has not served for nothing. */
#define RECYCLE_YOUNG_MS	(10 * INT64_C(1000))

bool recycle_may(const struct recycle_pace *pace, struct mono now);

/* Returns how long the pause is; 0: none. */
int64_t recycle_note(struct recycle_pace *pace, bool well, struct mono now);

#endif
