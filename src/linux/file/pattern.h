/* Which files a pattern of a shell stands for. */
#ifndef LINUX_FILE_PATTERN_H
#define LINUX_FILE_PATTERN_H

struct error;
struct strlist;

/*
 * What is there, sorted by bytes, onto the end of *ret_paths: glob(7), in which
 * a backslash takes its meaning from what follows, and without tildes. That
 * nothing is there is no error. -errno with words.
 */
int pattern_list(const char *pattern, struct strlist *ret_paths,
    struct error *err);

#endif
