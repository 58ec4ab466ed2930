/*
 * What a configuration was checked with, for whoever checks its text again, when the
 * world may be another: files of environments, what is included, users and groups. It stands behind the
 * text, and a NUL.
 */
#ifndef CORE_CONF_CONF_KEPT_H
#define CORE_CONF_CONF_KEPT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

struct conf_creds;

struct conf_kept {
	const char *before;	/* what was kept then, borrowed; NULL: nothing */
	size_t before_len;
	struct strbuf now;	/* what is to be kept now */
};

#define CONF_KEPT_INIT { .before = NULL }

/* Returns the length of the text in these bytes; what stands behind it is `before`. */
size_t conf_kept_split(struct conf_kept *kept, const char *bytes, size_t len);
void conf_kept_free(struct conf_kept *kept);

/* The contents of a file: within `before`. False: it was not kept. */
bool conf_kept_find_file(const struct conf_kept *kept, const char *path,
    const char **ret_text, size_t *ret_len);
void conf_kept_add_file(struct conf_kept *kept, const char *path,
    const char *text, size_t len);

/* What a pattern has matched: *ret_paths, which is empty, gets copies. False: it was
   not kept. Its `failed` tells of too little memory. */
bool conf_kept_find_list(const struct conf_kept *kept, const char *pattern,
    struct strlist *ret_paths);
void conf_kept_add_list(struct conf_kept *kept, const char *pattern,
    const struct strlist *paths);

/* Of a user, a group, or both; either may be NULL. 1: *ret_creds is the caller's; 0: it
   was not kept; -ENOMEM. */
int conf_kept_find_creds(const struct conf_kept *kept, const char *user,
    const char *group, struct conf_creds *ret_creds);
void conf_kept_add_creds(struct conf_kept *kept, const char *user,
    const char *group, const struct conf_creds *creds);

#endif
