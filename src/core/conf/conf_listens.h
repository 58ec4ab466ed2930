/* Listeners of all apps: an address has one app. */
#ifndef CORE_CONF_CONF_LISTENS_H
#define CORE_CONF_CONF_LISTENS_H

#include <stddef.h>

struct address;
struct conf_app;
struct conf_errors;

/* One place of the configuration that names an address. */
struct conf_listen {
	const struct address *address;
	const struct conf_app *app;
	const char *key;
	unsigned line;
	size_t order;			/* of the configuration */
};

/* Report addresses that are named twice. Adds to the errors; sorts
   `listens`. */
void conf_listens_check(struct conf_listen *listens, size_t n,
    struct conf_errors *errors);

#endif
