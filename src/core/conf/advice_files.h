/* What an app names and is not there, as far as somebody looks: conf_host. */
#ifndef CORE_CONF_ADVICE_FILES_H
#define CORE_CONF_ADVICE_FILES_H

struct conf_app;
struct conf_errors;
struct conf_host;
struct conf_keys;

/*
 * A program, a directory, a place for output, and a file that the command names
 * and that would be found beside the configuration, but not where its workers
 * run. But for the last one, only if host->testing: at a start the failure is
 * told.
 */
void advice_files(const struct conf_keys *keys, const struct conf_host *host,
    const struct conf_app *app, struct conf_errors *warnings);

#endif
