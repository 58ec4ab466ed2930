/* The world outside, for whoever checks a configuration. */
#ifndef CORE_CONF_CONF_HOST_H
#define CORE_CONF_CONF_HOST_H

#include <stdbool.h>
#include <stddef.h>

struct conf_creds;
struct error;

/* What is found at a path. */
enum conf_look {
	CONF_LOOK_UNKNOWN = -1,	/* that may not be looked at */
	CONF_LOOK_NOTHING = 0,
	CONF_LOOK_FILE,		/* or whatever is not one of these: */
	CONF_LOOK_PROGRAM,	/* a file that may be executed */
	CONF_LOOK_DIRECTORY,
	CONF_LOOK_SOCKET,
};

/*
 * What checking a configuration needs of the world outside, so that core/
 * makes no system call. Each returns 0 or -errno with words; -EAGAIN from a
 * look-up means "not known yet": conf_check() then goes on as if the name
 * existed with no rights, and the caller checks again with the answers.
 */
struct conf_host {
	void *ctx;
	const char *base_dir;	/* absolute directory of the file */
	char *const *environ;	/* clusterd's own; NULL: none */
	unsigned auto_instances;	/* what `auto` comes to; 0: 1 */
	/* At most CONF_FILE_MAX bytes; caller frees *ret_text (NUL added).
	   Of those, conf_check() takes CONF_ENV_FILE_MAX. */
	int (*read_file)(void *ctx, const char *path, char **ret_text,
	    size_t *ret_len, struct error *err);
	/* `group` may be NULL (the user's own), `user` may be NULL. Of an app
	   with both, each is asked for alone and then the pair. */
	int (*find_creds)(void *ctx, const char *user, const char *group,
	    struct conf_creds *ret_creds, struct error *err);
	/* May clusterd start a worker as these? NULL: it may. */
	int (*may_become)(void *ctx, const struct conf_creds *creds,
	    struct error *err);

	/* Standard output and error of clusterd are its log: what workers write there
	   goes there as with `prefix`, each line tagged. */
	bool into_log;

	/* For warnings alone; nothing is refused for what these say. */
	const char *cwd;	/* clusterd's own, absolute; NULL: not known */
	bool testing;		/* nothing is started that would tell */
	bool root;		/* workers without `user` are root, and that is
				   not a matter of course here */
	/* enum conf_look of an absolute path. NULL: nobody looks. */
	int (*look)(void *ctx, const char *path);
	/* May a file for output be opened there, as log_file_open() does it?
	   NULL: that is not looked at. */
	int (*may_write)(void *ctx, const char *path,
	    const struct conf_creds *creds, struct error *err);
	/* May it be executed, or entered, which is `what`? NULL likewise. */
	int (*may_execute)(void *ctx, const char *path, const char *what,
	    const struct conf_creds *creds, struct error *err);
};

#endif
