/*
 * Files that are written to, so that the next supervisor has them also where their
 * paths lead nowhere by then. Without a ledger (NULL) nothing is done.
 */
#ifndef LINUX_LEDGER_KEPT_FILES_H
#define LINUX_LEDGER_KEPT_FILES_H

#include <stddef.h>
#include <stdint.h>

struct descriptors;
struct ledger;

/* It is open; another one by that record (LEDGER_NOWHERE: none) is not any more. A path
   that is too long has none. */
void kept_file_note(struct ledger *ledger, uint32_t *record, const char *path,
    int fd);
void kept_file_drop(struct ledger *ledger, uint32_t *record);

/* Those of a supervisor before. */
struct kept_files {
	struct ledger *ledger;
	struct kept_file {
		uint32_t record;
		int fd;		/* owned; -1: taken */
		char *path;
	} *v;
	size_t n;
};

/* Taken from what is `left`. Undone by _end, with what was not taken, and before which
   they stand in the ledger still. */
void kept_files_look_back(struct kept_files *files, struct ledger *ledger,
    struct descriptors *left);
void kept_files_end(struct kept_files *files);

/* The one of that path, which is the caller's; -1: there is none. */
int kept_files_take(struct kept_files *files, const char *path);

#endif
