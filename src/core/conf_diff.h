/*
 * From one configuration to the next: which apps are rolled, added, removed,
 * and which listeners are kept, opened, closed (by address, whichever app has
 * them). Pure; daemon/reload carries the plan out: first every new socket is
 * opened, and when one fails the plan is dropped.
 */
#ifndef CORE_CONF_DIFF_H
#define CORE_CONF_DIFF_H

#include <stddef.h>

struct address;
struct config;

#define CONF_DIFF_NONE ((size_t)-1)

enum conf_diff_app {
	CONF_DIFF_ROLL,		/* in both: a reload starts its workers anew */
	CONF_DIFF_ADD,
	CONF_DIFF_REMOVE,
};

struct conf_diff {
	struct conf_diff_row {
		enum conf_diff_app what;
		size_t old_app;	/* index, or CONF_DIFF_NONE */
		size_t new_app;
	} *apps;		/* new file's order, then the removed */
	size_t n_apps;
	/* Borrowed from the configs, which must outlive the diff. */
	const struct address **open;
	size_t n_open;
	const struct address **keep;	/* as the new config has them */
	size_t n_keep;
	const struct address **close;	/* as the old config has them */
	size_t n_close;
};

/* `old` may be NULL (everything is added). 0 or -ENOMEM. */
int conf_diff(const struct config *old, const struct config *new,
    struct conf_diff *ret_diff);
void conf_diff_free(struct conf_diff *diff);

#endif
