#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "core/ledger/ledger.h"
#include "daemon/output/out_place.h"
#include "linux/ledger/kept_files.h"

/* How often a file is tried that cannot be rotated. */
#define ROTATE_MS	10000

/* ---- which ---- */

void
out_place_set_standard(struct out_place *place, int fd, const char *name)
{
	place->name = name;
	sink_inherit(&place->sink, fd);
}

static void
take_file(struct out_place *place)
{
	place->sink = (struct sink){
		.kind = SINK_OWN,
		.fd = place->file.fd,
		.waits = !place->file.regular,
	};
	kept_file_note(place->ledger, &place->record, place->path,
	    place->file.fd);
}

int
out_place_set_file(struct out_place *place, const char *path,
    struct config *config, const struct conf_app *conf, struct error *err)
{
	int code;

	place->path = strdup(path);
	place->name = place->path;
	place->config = config_ref(config);
	place->conf = conf;
	place->record = LEDGER_NOWHERE;
	if (place->path == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	code = log_file_open(path, &conf->creds, &place->file, err);
	if (code == 0)
		take_file(place);
	return code;
}

bool
out_place_take_file(struct out_place *place, struct kept_files *kept)
{
	int fd = place->path != NULL ? kept_files_take(kept, place->path) : -1;

	if (fd < 0)
		return false;
	log_file_of(fd, &place->file);
	take_file(place);
	return true;
}

void
out_place_keep(struct out_place *place, struct ledger *ledger)
{
	place->ledger = ledger;
	if (place->path != NULL && place->file.fd >= 0)
		kept_file_note(ledger, &place->record, place->path,
		    place->file.fd);
}

void
out_place_close(struct out_place *place)
{
	if (place->path != NULL)
		kept_file_drop(place->ledger, &place->record);
	sink_close(&place->sink);
	config_unref(place->config);
	free(place->path);
	*place = (struct out_place)OUT_PLACE_INIT;
}

bool
out_place_is(const struct out_place *place, const char *path,
    const struct conf_app *conf)
{
	return strcmp(place->path, path) == 0 &&
	    conf_creds_same(&place->conf->creds, &conf->creds);
}

void
out_place_adjust(struct out_place *place, struct config *config,
    const struct conf_app *conf)
{
	config_ref(config);
	config_unref(place->config);
	place->config = config;
	place->conf = conf;
	place->rotate_again.ns = 0;
	place->rotate_told = false;
}

int
out_place_reopen(struct out_place *place, struct sink *ret_old,
    struct error *err)
{
	struct log_file file;
	int code = log_file_open(place->path, &place->conf->creds, &file, err);

	if (code < 0)
		return code;
	if (file.dev != place->file.dev || file.ino != place->file.ino)
		place->mid_line = false;
	*ret_old = place->sink;
	place->file = file;
	take_file(place);
	place->rotate_again.ns = 0;
	place->rotate_told = false;
	return 0;
}

/* ---- rotation ---- */

/* Returns whether there is room in the file now. */
static bool
rotate(struct out_place *place)
{
	struct error err = ERROR_INIT;
	int code;

	if (mono_before(mono_now(), place->rotate_again))
		return false;
	code = log_file_rotate(place->path, &place->conf->creds,
	    place->conf->log_keep, &place->file, &err);
	if (code < 0) {
		place->rotate_again = mono_add_ms(mono_now(), ROTATE_MS);
		if (!place->rotate_told)
			log_own_often(LOG_LEVEL_ERROR, "%s; going on with the full file",
			    error_text(&err));
		place->rotate_told = true;
	} else {
		take_file(place);
		place->rotate_told = false;
	}
	error_clear(&err);
	return code == 0;
}

size_t
out_place_piece(struct out_place *place, const char *lines, size_t len)
{
	int64_t max = place->conf->log_max_size, room;
	const char *last = NULL;

	if (!place->file.regular || max < 0 ||
	    place->file.size + (int64_t)len <= max)
		return len;
	log_file_measure(&place->file);
	room = max - place->file.size;
	if (room >= (int64_t)len)
		return len;
	if (room > 0)
		last = memrchr(lines, '\n', (size_t)room);
	if (last != NULL)
		return (size_t)(last + 1 - lines);
	/* A new file has room for any line. */
	return rotate(place) ? out_place_piece(place, lines, len) : len;
}

/* ---- writing ---- */

size_t
out_place_write(struct out_place *place, const char *bytes, size_t len,
    int *ret_code)
{
	size_t done = 0;

	*ret_code = 0;
	while (done < len) {
		ssize_t n = sink_write(&place->sink, bytes + done, len - done);

		if (n == -EINTR)
			continue;
		if (n <= 0) {
			*ret_code = n == 0 ? -EAGAIN : (int)n;
			break;
		}
		done += (size_t)n;
	}
	if (done > 0) {
		place->mid_line = bytes[done - 1] != '\n';
		place->file.size += (int64_t)done;
	}
	return done;
}

void
out_place_set_cut(struct out_place *place, const char *app)
{
	place->mid_line = true;
	strcpy(place->cut_app, app);
}
