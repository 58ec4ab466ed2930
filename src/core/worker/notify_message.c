#include <errno.h>
#include <string.h>

#include "core/worker/notify_message.h"

static bool
is(const char *line, size_t len, const char *word)
{
	return len == strlen(word) && memcmp(line, word, len) == 0;
}

static bool
begins(const char *line, size_t len, const char *word)
{
	return len >= strlen(word) && memcmp(line, word, strlen(word)) == 0;
}

/* `text` is not terminated. */
static void
take_usec(const char *text, size_t len, int64_t *to, struct notify_message *m)
{
	int64_t us = 0;

	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9') {
			m->odd = true;
			return;
		}
		us = us * 10 + (text[i] - '0');
		if (us > NOTIFY_USEC_MAX)
			us = NOTIFY_USEC_MAX;
	}
	if (us > 0)
		*to = us;
	else
		m->odd = true;
}

static void
take_line(const char *line, size_t len, struct notify_message *m)
{
	const size_t status = strlen("STATUS=");
	const size_t period = strlen("WATCHDOG_USEC=");
	const size_t extend = strlen("EXTEND_TIMEOUT_USEC=");

	if (is(line, len, "READY=1")) {
		m->ready = true;
	} else if (is(line, len, "STOPPING=1")) {
		m->stopping = true;
	} else if (is(line, len, "WATCHDOG=1")) {
		m->watchdog = true;
	} else if (is(line, len, "WATCHDOG=trigger")) {
		m->trigger = true;
	} else if (begins(line, len, "WATCHDOG_USEC=")) {
		take_usec(line + period, len - period, &m->watchdog_us, m);
	} else if (begins(line, len, "EXTEND_TIMEOUT_USEC=")) {
		take_usec(line + extend, len - extend, &m->extend_us, m);
	} else if (begins(line, len, "STATUS=")) {
		m->status = line + status;
		m->status_len = len - status;
	}
}

int
notify_message_parse(const char *text, size_t len,
    struct notify_message *ret_message)
{
	struct notify_message m = { .ready = false };

	/* Some clients send the terminating NUL along. */
	if (len > 0 && text[len - 1] == '\0')
		len--;
	if (memchr(text, '\0', len) != NULL)
		return -EINVAL;

	while (len > 0) {
		const char *end = memchr(text, '\n', len);
		size_t line = end != NULL ? (size_t)(end - text) : len;

		if (line > 0) {
			const char *eq = memchr(text, '=', line);

			if (eq == NULL || eq == text)
				return -EINVAL;
			take_line(text, line, &m);
		}
		if (end == NULL)
			break;
		text += line + 1;
		len -= line + 1;
	}
	*ret_message = m;
	return 0;
}
