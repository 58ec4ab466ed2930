/* A text that outlives who has read it: in a file without a name. */
#ifndef LINUX_LEDGER_KEPT_TEXT_H
#define LINUX_LEDGER_KEPT_TEXT_H

#include <stddef.h>

/* Its descriptor, close-on-exec, the caller's; nobody can change it. -errno. */
int kept_text_new(const char *text, size_t len);

/* As file_read(): *ret_text is the caller's, with a NUL behind it. -EFBIG: there is
   more than `max` of it; -errno. */
int kept_text_read(int fd, size_t max, char **ret_text, size_t *ret_len);

#endif
