/*
 * The configuration of another supervisor to one of ours: what cannot be carried
 * over is a comment with the reason, and the result has no errors but those that
 * are told.
 */
#ifndef CORE_IMPORT_IMPORT_H
#define CORE_IMPORT_IMPORT_H

#include <stddef.h>

struct error;
struct import_host;
struct strlist;

enum import_from {
	IMPORT_PM2,		/* as JSON */
	IMPORT_PM2_SCRIPT,	/* JavaScript, whose value is that */
	IMPORT_SUPERVISORD,
	IMPORT_PROCFILE,
};

/* By the file's name, and by what is in it. -EINVAL with words. */
int import_guess(const char *file, const char *text,
    enum import_from *ret_from, struct error *err);

struct import_result {
	char *text;		/* the caller frees */
	size_t apps;
	size_t keys;		/* carried over */
	size_t notes;		/* not carried over */
};

/*
 * `file` is named in a comment. What -t would say of the result, once what it
 * refuses has become comments, goes to `wrong`, a line each. -EINVAL with words:
 * the text is not what `from` says; -ENOMEM.
 */
int import_text(enum import_from from, const char *file, const char *text,
    size_t len, const struct import_host *host, struct import_result *ret,
    struct strlist *wrong, struct error *err);

#endif
