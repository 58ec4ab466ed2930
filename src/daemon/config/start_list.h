/* The apps that a start begins with, and the configuration of each: that of the
   program, or under another supervisor it was a later one. */
#ifndef DAEMON_CONFIG_START_LIST_H
#define DAEMON_CONFIG_START_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct app_spec;
struct apps;
struct conf_again;
struct config;
struct error;

struct start_list {
	struct start_part {
		struct config *config;	/* borrowed */
		bool *which;		/* of its apps */
		struct app_spec **specs;
	} *v;
	size_t n;
	const struct conf_again *again;
	bool stops;	/* all who are there leave, and nobody comes */
};

/* -ENOMEM with words. Undone by _free. */
int start_list_make(struct start_list *list, struct apps *apps,
    struct config *program, const struct conf_again *again, struct error *err);
void start_list_free(struct start_list *list);

/* Open what they listen on, then start them; those that were stopped by request are
   so again, and those that were leaving go on to. -errno with words. */
int start_list_open(struct start_list *list, struct apps *apps,
    struct error *err);
int start_list_add(struct start_list *list, struct apps *apps,
    struct error *err);

#endif
