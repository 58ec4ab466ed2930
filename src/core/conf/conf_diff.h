/*
 * From one configuration to the next: which apps are rolled, added, removed,
 * and which listeners are kept, opened, closed (by address, whichever app has
 * them). Pure. daemon/config/reload carries out the rows of the apps, and of
 * the listeners it only logs how many there are: their sockets are found and
 * opened by daemon/sockets/listeners, app by app, before the plan is made, and
 * what they have in common with it is conf_same_listener().
 */
#ifndef CORE_CONF_CONF_DIFF_H
#define CORE_CONF_CONF_DIFF_H

#include <stdbool.h>
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

/*
 * Whether one socket serves both: the addresses are equal. Only any free port
 * (0) is another one each time, so that there the app, by its name, and the
 * position in conf_app.listens must be the same too.
 */
bool conf_same_listener(const char *app_a, size_t position_a,
    const struct address *a, const char *app_b, size_t position_b,
    const struct address *b);

/* `old` may be NULL (everything is added). 0 or -ENOMEM. */
int conf_diff(const struct config *old, const struct config *new,
    struct conf_diff *ret_diff);
void conf_diff_free(struct conf_diff *diff);

#endif
