/*
 * Files that workers' output is written to, opened with the rights that the
 * workers have: whoever may write into their directory gains nothing by a link
 * that he puts there.
 */
#ifndef LINUX_FILE_LOG_FILE_H
#define LINUX_FILE_LOG_FILE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct conf_creds;
struct error;

struct log_file {
	int fd;			/* -1: none */
	bool regular;		/* else a FIFO or a character device */
	int64_t size;		/* of a regular one, as far as we know */
	dev_t dev;
	ino_t ino;
};

#define LOG_FILE_INIT { .fd = -1 }

/*
 * Open for appending, without waiting for anybody, and create it (0640) where
 * there is none. A symbolic link in the last place is not followed. -errno with
 * words, and nothing is changed.
 */
int log_file_open(const char *path, const struct conf_creds *creds,
    struct log_file *ret_file, struct error *err);

/* One that is open already. */
void log_file_of(int fd, struct log_file *ret_file);

/* Could it be opened so? Nothing is made. -errno with words for what is known to
   fail. */
int log_file_may_open(const char *path, const struct conf_creds *creds,
    struct error *err);

/*
 * A regular file is full: FILE.1 becomes FILE.2 and so on, the one numbered
 * `keep` goes, FILE becomes FILE.1, and *file is a new one. With `keep` 0 it is
 * emptied. Where the path leads to another file by now, that one is taken. On
 * failure (-errno with words) *file stays open.
 */
int log_file_rotate(const char *path, const struct conf_creds *creds,
    unsigned keep, struct log_file *file, struct error *err);

/* Somebody else may have emptied it: ask for the size again. */
void log_file_measure(struct log_file *file);

#endif
