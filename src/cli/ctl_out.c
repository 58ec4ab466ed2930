#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "cli/ctl_out.h"
#include "cli/ctl_text.h"

#define MUCH (64 * 1024)

static int
write_all(const char *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = write(STDOUT_FILENO, bytes, len);

		if (n >= 0) {
			bytes += n;
			len -= (size_t)n;
		} else if (errno == EAGAIN) {
			/* Somebody else has made it so. */
			struct pollfd pfd = {
				.fd = STDOUT_FILENO, .events = POLLOUT,
			};

			(void)poll(&pfd, 1, -1);
		} else if (errno != EINTR) {
			return -errno;
		}
	}
	return 0;
}

int
ctl_out_flush(struct ctl_out *out)
{
	if (out->text.failed && out->code == 0)
		out->code = -ENOMEM;
	if (out->code == 0 && out->text.len > 0)
		out->code = write_all(out->text.text, out->text.len);
	out->text.len = 0;
	return out->code;
}

int
ctl_out_check(struct ctl_out *out)
{
	return out->text.len >= MUCH || out->text.failed ?
	    ctl_out_flush(out) : out->code;
}

int
ctl_out_finish(struct ctl_out *out, int status)
{
	int code = ctl_out_flush(out);

	strbuf_free(&out->text);
	if (code == 0)
		return status;
	if (code != -EPIPE) {
		struct error err = ERROR_INIT;

		error_set(&err, code, "standard output: %s", strerror(-code));
		ctl_text_complain(error_text(&err));
		error_clear(&err);
	}
	return 1;
}
