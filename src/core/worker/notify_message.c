#include <errno.h>
#include <string.h>

#include "core/worker/notify_message.h"

static bool
is(const char *line, size_t len, const char *word)
{
	return len == strlen(word) && memcmp(line, word, len) == 0;
}

static void
take_line(const char *line, size_t len, struct notify_message *m)
{
	const size_t status = strlen("STATUS=");

	if (is(line, len, "READY=1")) {
		m->ready = true;
	} else if (is(line, len, "STOPPING=1")) {
		m->stopping = true;
	} else if (len >= status && memcmp(line, "STATUS=", status) == 0) {
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
