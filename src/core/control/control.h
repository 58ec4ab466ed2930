/*
 * The control protocol, clusterd-control(7): lines of words, over a Unix
 * stream socket. This is its grammar, both ways; daemon/control has the server,
 * linux/control/control_client the client.
 *
 * A client sends a request: a verb and its arguments. The server greets, and
 * answers with records, progress and one last line:
 *
 *   clusterd 1 pid=4711 version=0.1.0
 *   + instance app=web instance=0 pid=4712 state=ready
 *   * instance app=web instance=1 pid=4799 state=starting
 *   ok
 *   error failed web: reload aborted: …
 */
#ifndef CORE_CONTROL_H
#define CORE_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct strbuf;

#define CONTROL_VERSION		1

/* Bytes of a line, newline included; of an answer: one line of 16 KiB of a
   worker's output, every byte of it escaped, and what is told about it. */
#define CONTROL_REQUEST_MAX	1024
#define CONTROL_ANSWER_MAX	(64 * 1024)

/* ---- requests ---- */

enum control_verb {
	CONTROL_STATUS,		/* status */
	CONTROL_RELOAD,		/* reload [APP] */
	CONTROL_RESTART,	/* restart APP[:N] */
	CONTROL_SCALE,		/* scale APP N|+N|-N */
	CONTROL_STOP,		/* stop [APP] */
	CONTROL_START,		/* start APP */
	CONTROL_LOGS,		/* logs [APP[:N]] */
	CONTROL_FOLLOW,		/* follow [APP[:N]] */
	CONTROL_WAIT,		/* wait */
	CONTROL_VERBS
};

enum control_scale {
	CONTROL_SCALE_TO,
	CONTROL_SCALE_UP,
	CONTROL_SCALE_DOWN,
};

struct control_request {
	enum control_verb verb;
	char app[33];		/* CONF_NAME_MAX; "": none was named */
	int instance;		/* -1: none was named */
	enum control_scale scale;
	unsigned amount;	/* of scale: 1 to CONF_INSTANCES_MAX */
};

/*
 * Parse one request without its newline. -EINVAL with words for whoever sent
 * it: an unknown verb, a missing, superfluous or bad argument.
 */
int control_request_parse(const char *line, size_t len,
    struct control_request *ret_request, struct error *err);

/* The same from words of a command line: the verb, then at most two. */
int control_request_from_words(const char *const *words, size_t n,
    struct control_request *ret_request, struct error *err);

/* The line that asks for it, newline included. */
void control_request_print(struct strbuf *sb,
    const struct control_request *request);

const char *control_verb_name(enum control_verb verb);

/* ---- answers ---- */

enum control_kind {
	CONTROL_GREETING,	/* clusterd VERSION FIELD... */
	CONTROL_RECORD,		/* + WORD FIELD...: what was asked for */
	CONTROL_PROGRESS,	/* * WORD FIELD...: what happens meanwhile */
	CONTROL_OK,		/* ok [TEXT]: the end */
	CONTROL_ERROR,		/* error WORD [TEXT]: the end */
};

#define CONTROL_FIELDS_MAX 64

struct control_field {
	const char *key;
	char *value;		/* unescaped, NUL-terminated */
	size_t len;		/* it may hold NUL bytes */
};

struct control_line {
	enum control_kind kind;
	const char *word;	/* of what, or why: "instance", "denied" */
	unsigned version;	/* of a greeting */
	const char *text;	/* of OK and ERROR; "" if there is none */
	struct control_field fields[CONTROL_FIELDS_MAX];
	size_t n_fields;
};

/*
 * Parse one line of an answer in place; `line` is NUL-terminated in the place
 * of its newline, and what the result points to. -EPROTO: it is none. A field
 * beyond CONTROL_FIELDS_MAX is left out.
 */
int control_line_parse(char *line, size_t len,
    struct control_line *ret_line);

/* The value of a field, or NULL. */
const char *control_line_get(const struct control_line *line,
    const char *key);

/* … as a number; false: not there, or none. */
bool control_line_number(const struct control_line *line, const char *key,
    uint64_t *ret_value);

/*
 * Print a line: begin, fields, end. Bytes of values that would end a word or a
 * line are escaped as %XX, and so is the escape: the control bytes, DEL, space
 * and %. What else there is, UTF-8 or not, goes as it is.
 */
void control_begin(struct strbuf *sb, enum control_kind kind,
    const char *word);
void control_put(struct strbuf *sb, const char *key, const char *value);
void control_put_bytes(struct strbuf *sb, const char *key, const char *bytes,
    size_t len);
void control_put_number(struct strbuf *sb, const char *key, uint64_t value);
void control_end(struct strbuf *sb);

/* "ok" and "error WHY TEXT", whole; control bytes of the text become '?'. The
   text may be NULL. */
void control_put_ok(struct strbuf *sb, const char *text);
void control_put_error(struct strbuf *sb, const char *why, const char *text);

#endif
