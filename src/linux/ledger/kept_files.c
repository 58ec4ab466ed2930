#include <sys/stat.h>

#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "core/ledger/ledger.h"
#include "core/ledger/ledger_read.h"
#include "linux/ledger/descriptors.h"
#include "linux/ledger/kept_files.h"

void
kept_file_note(struct ledger *ledger, uint32_t *record, const char *path,
    int fd)
{
	struct ledger_file r = { .fd = fd };
	struct stat st;

	if (ledger == NULL || strlen(path) >= sizeof(r.path) ||
	    fstat(fd, &st) < 0)
		return;
	r.dev = st.st_dev;
	r.ino = st.st_ino;
	ledger_put_text(r.path, sizeof(r.path), path);
	if (*record == LEDGER_NOWHERE)
		(void)ledger_add(ledger, LEDGER_FILE, &r, record);
	else
		ledger_set(ledger, LEDGER_FILE, *record, &r);
}

void
kept_file_drop(struct ledger *ledger, uint32_t *record)
{
	if (ledger != NULL && *record != LEDGER_NOWHERE)
		ledger_drop(ledger, LEDGER_FILE, *record);
	*record = LEDGER_NOWHERE;
}

/* Is it still that file, and was not taken? */
static int
take_fd(struct descriptors *left, const struct ledger_file *r)
{
	struct stat st;

	return fstat(r->fd, &st) == 0 && st.st_dev == r->dev &&
	    st.st_ino == r->ino && descriptors_take(left, r->fd) ? r->fd : -1;
}

void
kept_files_look_back(struct kept_files *files, struct ledger *ledger,
    struct descriptors *left)
{
	uint32_t end = ledger != NULL ? ledger_end(ledger, LEDGER_FILE) : 0;
	struct ledger_file r;

	*files = (struct kept_files){
		.ledger = ledger,
		.v = end > 0 ? calloc(end, sizeof(*files->v)) : NULL,
	};
	for (uint32_t i = 0; files->v != NULL && i < end; i++) {
		int there = ledger_get_file(ledger, i, &r);
		struct kept_file *f = &files->v[files->n];

		if (there == 0)
			continue;
		*f = (struct kept_file){
			.record = i, .fd = there == 1 ? take_fd(left, &r) : -1,
			.path = there == 1 ? strdup(r.path) : NULL,
		};
		files->n++;
	}
}

int
kept_files_take(struct kept_files *files, const char *path)
{
	for (size_t i = 0; i < files->n; i++)
		if (files->v[i].fd >= 0 && files->v[i].path != NULL &&
		    strcmp(files->v[i].path, path) == 0)
			return fd_take(&files->v[i].fd);
	return -1;
}

void
kept_files_end(struct kept_files *files)
{
	for (size_t i = 0; i < files->n; i++) {
		ledger_drop(files->ledger, LEDGER_FILE, files->v[i].record);
		fd_close(&files->v[i].fd);
		free(files->v[i].path);
	}
	free(files->v);
	*files = (struct kept_files){ .v = NULL };
}
