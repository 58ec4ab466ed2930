/*
 * Files that clusterd writes to: which of them may be one and the same.
 */
#ifndef CORE_CONF_CONF_FILES_H
#define CORE_CONF_CONF_FILES_H

#include <stddef.h>

struct conf_app;
struct conf_errors;

/* One place of the configuration that names such a file. */
struct conf_file {
	const char *path;
	const struct conf_app *app;	/* whose output; NULL: clusterd's own */
	const char *key;
	unsigned line;
	size_t order;			/* of the configuration */
};

/*
 * Several streams of output may go into one file, when what their apps say of
 * it is the same: log_max_size, log_keep, and whose file it is. Nothing else
 * may, nor may one file be what another one is renamed to when it is full. Adds
 * to the errors; sorts `files`.
 */
void conf_files_check(struct conf_file *files, size_t n,
    struct conf_errors *errors);

#endif
