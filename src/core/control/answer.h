/*
 * What clusterd sends to a client of the control socket, clusterd-control(7):
 * lines of words. It greets, and answers a request (core/control/request) with
 * records, progress and one last line. This is their grammar, both ways.
 *
 *   clusterd 1 pid=4711 version=0.2.0
 *   + instance app=web instance=0 pid=4712 state=ready
 *   * instance app=web instance=1 pid=4799 state=starting
 *   ok
 *   error failed web: reload aborted: …
 */
#ifndef CORE_CONTROL_ANSWER_H
#define CORE_CONTROL_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct strbuf;

/* The version of the protocol, which the greeting tells. */
#define ANSWER_PROTOCOL		1

/* Bytes of a line, newline included: one line of 16 KiB of a worker's output,
   every byte of it escaped, and what is told about it. */
#define ANSWER_LINE_MAX		(64 * 1024)

enum answer_kind {
	ANSWER_GREETING,	/* clusterd VERSION FIELD... */
	ANSWER_RECORD,		/* + WORD FIELD...: what was asked for */
	ANSWER_PROGRESS,	/* * WORD FIELD...: what happens meanwhile */
	ANSWER_OK,		/* ok [TEXT]: the end */
	ANSWER_ERROR,		/* error WORD [TEXT]: the end */
};

#define ANSWER_FIELDS_MAX 64

struct answer_field {
	const char *key;
	char *value;		/* unescaped, NUL-terminated */
	size_t len;		/* it may hold NUL bytes */
};

struct answer_line {
	enum answer_kind kind;
	const char *word;	/* of what, or why: "instance", "denied" */
	unsigned version;	/* of a greeting */
	const char *text;	/* of OK and ERROR; "" if there is none */
	struct answer_field fields[ANSWER_FIELDS_MAX];
	size_t n_fields;
};

/*
 * Parse one line of an answer in place; `line` is NUL-terminated in the place
 * of its newline, and what the result points to. -EPROTO: it is none. A field
 * beyond ANSWER_FIELDS_MAX is left out.
 */
int answer_line_parse(char *line, size_t len, struct answer_line *ret_line);

/* The value of a field, or NULL. */
const char *answer_line_get(const struct answer_line *line, const char *key);

/* … as a number; false: not there, or none. */
bool answer_line_number(const struct answer_line *line, const char *key,
    uint64_t *ret_value);

/*
 * Print a line: begin, fields, end. Bytes of values that would end a word or a
 * line are escaped as %XX, and so is the escape: the control bytes, DEL, space
 * and %. What else there is, UTF-8 or not, goes as it is.
 */
void answer_begin(struct strbuf *sb, enum answer_kind kind, const char *word);
void answer_put(struct strbuf *sb, const char *key, const char *value);
void answer_put_bytes(struct strbuf *sb, const char *key, const char *bytes,
    size_t len);
void answer_put_number(struct strbuf *sb, const char *key, uint64_t value);
void answer_end(struct strbuf *sb);

/* "ok" and "error WHY TEXT", whole; control bytes of the text become '?'. The
   text may be NULL. */
void answer_put_ok(struct strbuf *sb, const char *text);
void answer_put_error(struct strbuf *sb, const char *why, const char *text);

#endif
