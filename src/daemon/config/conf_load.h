/* From where the configuration comes to a checked struct config. */
#ifndef DAEMON_CONFIG_CONF_LOAD_H
#define DAEMON_CONFIG_CONF_LOAD_H

#include <stdbool.h>

struct config;
struct conf_errors;
struct conf_source;
struct creds_cache;

struct conf_origin {
	const char *file;	/* as the user named it; NULL: command line */
	const char *path;	/* absolute */
	const char *base_dir;	/* absolute, for relative paths in it */
	bool testing;		/* nothing will be started */
	bool background;	/* our standard streams are the log */
	const struct conf_source *source;	/* of the command line */
	int kept;			/* not 0: the descriptor of a text that was
					   read before, in the file's place; it is
					   the configuration's */
};

/*
 * Read and check. Every problem, an unreadable file included, goes to
 * `errors`. When users or groups are not in `cache` yet, they are entered there
 * as pending and *ret_config is NULL: look them up and call again. -ENOMEM.
 * Must not be called again with the same errors without freeing them.
 */
int conf_load(const struct conf_origin *origin, struct creds_cache *cache,
    struct config **ret_config, struct conf_errors *errors);

/*
 * The same with the look-ups made and waited for, and with a look at the files
 * that are named, unless it was read before (`kept`): for the start only. Also
 * -errno of a look-up that could not be begun.
 */
int conf_load_wait(const struct conf_origin *origin,
    struct config **ret_config, struct conf_errors *errors);

/* Its warnings go to the log, but for those that the one before it had. */
void conf_tell_warnings(const struct config *config,
    const struct config *old);

#endif
