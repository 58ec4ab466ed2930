/*
 * What a line of a worker's output looks like where clusterd writes it: behind
 * its tag, behind its time, or as an object.
 *
 *	web.2 | text
 *	2026-11-23T10:00:00.123Z web.2 | text
 *	{"time":"2026-11-23T10:00:00.123Z","app":"web","instance":2,
 *	"stream":"stdout","line":"text"}
 *
 * the last one without the break. An object of a line that was too long, and goes
 * on in the next one, has "cont":true at its end.
 */
#ifndef CORE_OUTPUT_OUT_FORM_H
#define CORE_OUTPUT_OUT_FORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/iso_time.h"
#include "core/conf/conf.h"
#include "core/output/out_tag.h"

enum out_kind {
	OUT_KIND_PLAIN,		/* a file's */
	OUT_KIND_TAG,
	OUT_KIND_JSON,		/* always with its time */
};

#define OUT_HEAD_MAX (OUT_TAG_MAX + 112)

struct out_form {
	enum out_kind kind;
	bool timed;
	bool goes_on;		/* the last line does, of those that it is for */
	size_t time_at;		/* in the head, if `timed` */
	size_t head_len;	/* 0: lines are written as they are */
	char head[OUT_HEAD_MAX];
};

/* Of one stream of an instance; `stream` is 1 or 2. The time is not set. */
void out_form_make(struct out_form *form, enum out_kind kind, bool timed,
    const char *app, unsigned instance, unsigned stream, bool colour);

void out_form_set_time(struct out_form *form, int64_t ms);

/* How many bytes more than its own a line may take, its newline apart, and how
   many each of its bytes may become. */
size_t out_form_line_cost(const struct out_form *form);
size_t out_form_byte_cost(const struct out_form *form);

/* What a line that goes on may take more than that. */
#define OUT_FORM_CUT_MAX 16

/* Write the line, of `len` bytes without its newline, and a newline; at most
   `room` bytes. Returns how many; 0: it does not fit. */
size_t out_form_put(const struct out_form *form, const char *line, size_t len,
    bool goes_on, char *to, size_t room);

#endif
