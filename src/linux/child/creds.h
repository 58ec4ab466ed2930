/*
 * User and group names to numbers, without ever looking a name up in the
 * supervisor itself: the look-up may ask a server on the network, load
 * modules, and keep memory and descriptors. A forked child does it, with an
 * alarm that ends it, and reports over a pipe.
 *
 * The cache is filled in rounds: conf_check() asks creds_cache_find(); what is
 * not there yet is noted down and answered -EAGAIN; creds_lookup_start() and
 * creds_lookup_finish() get the answers; the configuration is checked again.
 */
#ifndef LINUX_CHILD_CREDS_H
#define LINUX_CHILD_CREDS_H

#include <stdbool.h>
#include <stddef.h>

#include "core/conf/conf.h"

struct error;

struct creds_entry {
	char *user;		/* NULL: only the group is asked for */
	char *group;		/* NULL: the user's own */
	bool answered;
	int code;		/* 0, or -errno with `why` */
	char *why;
	struct conf_creds creds;
};

struct creds_cache {
	struct creds_entry *v;
	size_t n;
};

#define CREDS_CACHE_INIT { .v = NULL }

/* As find_creds of core/conf/conf_host.h, with the cache as ctx. */
int creds_cache_find(void *cache, const char *user, const char *group,
    struct conf_creds *ret_creds, struct error *err);

/* Has something been asked for that has no answer yet? */
bool creds_cache_pending(const struct creds_cache *cache);
void creds_cache_free(struct creds_cache *cache);

/*
 * Fork the child that looks up what is pending. *ret_fd (the caller's,
 * non-blocking, close-on-exec) ends when it has said everything; the child is
 * reaped like any other. -errno.
 */
int creds_lookup_start(const struct creds_cache *cache, int *ret_fd);

/* Enter the child's answers; what it did not answer becomes an error. */
void creds_lookup_finish(struct creds_cache *cache, const char *bytes,
    size_t len);

/* Start, wait, reap, finish: for the start of the program only. -errno: it could
   not be begun, as of creds_lookup_start(). */
int creds_lookup_wait(struct creds_cache *cache);

/* May this process change to other users and groups, and still signal what it
   started as them (CAP_KILL; PR_SET_PDEATHSIG asks for the same)? */
bool creds_privileged(void);

#endif
