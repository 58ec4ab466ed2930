/*
 * Where an output's bytes go: our own standard output or error, as it came, or
 * a file, which is rotated when it is full. Writing waits for nobody.
 */
#ifndef DAEMON_OUTPUT_OUT_PLACE_H
#define DAEMON_OUTPUT_OUT_PLACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mono.h"
#include "base/sink.h"
#include "core/conf/conf.h"
#include "linux/file/log_file.h"

struct error;
struct kept_files;
struct ledger;

struct out_place {
	const char *name;		/* for messages */
	struct sink sink;
	bool mid_line;			/* the last byte written ends none … */
	/* … whose line that is; "": clusterd's own, or not known. */
	char cut_app[CONF_NAME_MAX + 1];

	/* A file's: */
	char *path;
	struct config *config;		/* a reference, keeps `conf` alive */
	const struct conf_app *conf;
	struct log_file file;		/* its fd is the sink's */
	struct mono rotate_again;	/* not before, after a failure */
	bool rotate_told;
	struct ledger *ledger;		/* in which it stands; NULL: in none */
	uint32_t record;
};

#define OUT_PLACE_INIT { .sink = SINK_INIT, .file = LOG_FILE_INIT }

/* Our own descriptor 1 or 2; `name` is the caller's. */
void out_place_set_standard(struct out_place *place, int fd, const char *name);

/*
 * The file at `path`, as `conf` (in `config`, of which a reference is taken)
 * says it is to be written. -errno with words; to be closed in any case.
 */
int out_place_set_file(struct out_place *place, const char *path,
    struct config *config, const struct conf_app *conf, struct error *err);

/* After that has failed: the file as `kept` has it from a supervisor before, if it does. */
bool out_place_take_file(struct out_place *place, struct kept_files *kept);

/* It is to stand in the ledger, from now on. */
void out_place_keep(struct out_place *place, struct ledger *ledger);

void out_place_close(struct out_place *place);

/* Is it that file, with that owner? */
bool out_place_is(const struct out_place *place, const char *path,
    const struct conf_app *conf);

/* The file's size and number are those of `conf` from now on. */
void out_place_adjust(struct out_place *place, struct config *config,
    const struct conf_app *conf);

/*
 * Take what the file's path leads to now. *ret_old is what it had, which the
 * caller closes when it is not watched any more. -errno with words: nothing has
 * changed.
 */
int out_place_reopen(struct out_place *place, struct sink *ret_old,
    struct error *err);

/* How much of the whole lines is to be written at once: what has room in the
   file, which is rotated when it is full. At least one line. */
size_t out_place_piece(struct out_place *place, const char *lines, size_t len);

/* All of it, or up to an error, which is -EAGAIN also where a reader is slow.
   Returns how much. */
size_t out_place_write(struct out_place *place, const char *bytes, size_t len,
    int *ret_code);

/* The last line there has no end yet, and is the app's; "": clusterd's own, or
   not known. */
void out_place_set_cut(struct out_place *place, const char *app);

#endif
