/*
 * What an output's place has not taken yet, OUT_KEPT_MAX bytes at most, and
 * whose it is, should it have to be given up: whole lines, but for the first,
 * of which the place may have the beginning.
 */
#ifndef DAEMON_OUTPUT_OUT_KEPT_H
#define DAEMON_OUTPUT_OUT_KEPT_H

#include <stdbool.h>
#include <stddef.h>

#include "core/conf/conf.h"

#define OUT_KEPT_MAX	(256 * 1024)
/* From here on down there is room again. */
#define OUT_KEPT_LOW	(OUT_KEPT_MAX / 4)

struct out_form;
struct out_losses;
struct out_place;

struct out_kept {
	bool tagged;		/* each line says whose it is … */
	/* … or else all are that app's; "": of several. */
	char app[CONF_NAME_MAX + 1];
	char *bytes;		/* NULL: nothing is kept */
	size_t head;		/* where it begins there */
	size_t n;		/* how many bytes it is */
};

#define OUT_KEPT_INIT(is_tagged) { .tagged = (is_tagged) }

/* How many bytes more have room. */
size_t out_kept_room(struct out_kept *kept);

/* Tagged: bytes that are lines as they are, or the end of one that was cut. All
   of it or nothing; false: no room, or no memory. */
bool out_kept_add(struct out_kept *kept, const char *bytes, size_t len);

/* Untagged: whole lines of the app, or the end of one that was cut. All of it or
   nothing, too. */
bool out_kept_add_of(struct out_kept *kept, const char *app, const char *bytes,
    size_t len);

/* As many of the app's whole lines, each in that form, as have room; 0 also for
   want of memory. Returns how much of `lines` that is. */
size_t out_kept_add_lines(struct out_kept *kept, const char *app,
    const struct out_form *form, const char *lines, size_t len);

/* Write what the place takes, see out_place_write(). */
size_t out_kept_write(struct out_kept *kept, struct out_place *place,
    int *ret_code);

/* The place does not take it: count the lines as lost, whoever's each is, and
   forget them. */
void out_kept_lose(struct out_kept *kept, const struct out_place *place,
    struct out_losses *losses);

/* Nothing is kept any more. */
void out_kept_forget(struct out_kept *kept);

#endif
