/*
 * `web` in [clusterd], and `agent` of apps: clusterd-web is an app like any other,
 * with a lane of its own, whose section follows from those keys and stands in no file.
 */
#ifndef CORE_CONF_CONF_WEB_H
#define CORE_CONF_CONF_WEB_H

#include <stdbool.h>

struct conf_errors;
struct conf_source;
struct error;

/* The name of the app, which no other one may have then. */
#define CONF_WEB_APP "clusterd-web"

/* Before the name of its app: the listener of an agent. */
#define CONF_WEB_AGENT "agent."

struct conf_web {
	const char *program;	/* the path of clusterd-web; NULL: it is not there,
				   and left out */
	const char *file;	/* of the configuration, absolute; NULL: none */
	const char *base_dir;	/* absolute */
	bool root;		/* it becomes web_user */
	/* Of `root`: is there such a user? -errno with words: no. */
	int (*find_user)(void *ctx, const char *user, struct error *err);
	void *ctx;
};

/*
 * Append the section where the source asks for it. What is wrong goes to `errors`.
 * A program that is not there is nothing that others are to suffer from:
 * *ret_left_out is the line that asked for it then, else 0. 0 or -ENOMEM.
 */
int conf_web_add(struct conf_source *source, const struct conf_web *web,
    unsigned *ret_left_out, struct conf_errors *errors);

#endif
