/* The text of sd_notify(3) datagrams: what workers say, what clusterd says. */
#ifndef CORE_WORKER_NOTIFY_MESSAGE_H
#define CORE_WORKER_NOTIFY_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NOTIFY_MESSAGE_MAX 4096	/* bytes; a longer datagram is refused */

struct notify_message {
	bool ready;		/* READY=1 */
	bool stopping;		/* STOPPING=1 */
	const char *status;	/* STATUS=…, not NUL-terminated; NULL: none */
	size_t status_len;
	bool watchdog;		/* WATCHDOG=1 */
	bool trigger;		/* WATCHDOG=trigger */
	int64_t watchdog_us;	/* WATCHDOG_USEC=…; 0: none */
	int64_t extend_us;	/* EXTEND_TIMEOUT_USEC=…; 0: none */
	bool odd;		/* one of these two is no number above 0 */
};

/* More counts as that: 100 years. */
#define NOTIFY_USEC_MAX (INT64_C(100) * 365 * 86400 * 1000000)

/*
 * Parse newline-separated NAME=value lines; names that clusterd has no use for
 * are skipped. *ret_message borrows from `text`. -EINVAL when a line is no
 * assignment or holds a NUL: nothing of the datagram counts then.
 */
int notify_message_parse(const char *text, size_t len,
    struct notify_message *ret_message);

#endif
