/* The text of sd_notify(3) datagrams: what workers say, what clusterd says. */
#ifndef CORE_WORKER_NOTIFY_MESSAGE_H
#define CORE_WORKER_NOTIFY_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>

#define NOTIFY_MESSAGE_MAX 4096	/* bytes; a longer datagram is refused */

struct notify_message {
	bool ready;		/* READY=1 */
	bool stopping;		/* STOPPING=1 */
	const char *status;	/* STATUS=…, not NUL-terminated; NULL: none */
	size_t status_len;
};

/*
 * Parse newline-separated NAME=value lines; names that clusterd has no use for
 * are skipped. *ret_message borrows from `text`. -EINVAL when a line is no
 * assignment or holds a NUL: nothing of the datagram counts then.
 */
int notify_message_parse(const char *text, size_t len,
    struct notify_message *ret_message);

#endif
