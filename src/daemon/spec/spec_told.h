/*
 * What people were told of a spec's workers, so that nobody has to read it
 * twice: hints for addresses that are none of ours, and for those that nobody
 * binds.
 */
#ifndef DAEMON_SPEC_SPEC_TOLD_H
#define DAEMON_SPEC_SPEC_TOLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mono.h"
#include "core/names/address.h"

/* Written by this module alone; begins as zeros. */
struct spec_told {
	/* The last address that a hint was given for; and, none of ours too,
	   the last that a worker was let bind: empty where there is none. */
	struct address_text hinted, let_bind;
	unsigned let_bind_by;	/* instance */
	struct mono let_bind_at;
	/* Where its workers were seen to listen elsewhere: what was told. */
	struct address_text *elsewhere;
	size_t n_elsewhere;
	bool public;		/* that what is private is served to all */
	bool unbound;		/* that nobody binds what it serves */
};

void spec_told_free(struct spec_told *told);

/*
 * Of addresses that are none of ours, and not Unix. A worker is let bind one;
 * was another instance let bind it so shortly before `now`? A hint is given for
 * one: false if it is the same one as the last time.
 */
void spec_told_note_bind(struct spec_told *told, const struct address *address,
    unsigned instance, struct mono now);
bool spec_told_sibling_bound(const struct spec_told *told,
    const struct address *address, unsigned instance, struct mono now,
    int64_t within_ms);
bool spec_told_note_hint(struct spec_told *told, const struct address *address);

/* A private address of its command's is served to all: false, it was noted. */
bool spec_told_note_public(struct spec_told *told);

/* False: it was noted before, or there are too many. */
bool spec_told_note_elsewhere(struct spec_told *told,
    const struct address *address);

/* Has one of its workers asked for an address that is none of ours? */
bool spec_told_binds_elsewhere(const struct spec_told *told);

/* A hint is given that a worker has bound none of ours: false if it was given
   before. */
bool spec_told_note_unbound(struct spec_told *told);

#endif
