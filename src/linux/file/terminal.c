#include <sys/ioctl.h>

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "linux/file/terminal.h"

/* Other screen, no cursor, no wrapping; and back. */
static const char enter[] = "\033[?1049h\033[?25l\033[?7l\033[H\033[J";
static const char leave[] = "\033[?7h\033[?25h\033[?1049l";

/* Whole, or not at all if the terminal has gone. */
static void
put(const char *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = write(STDOUT_FILENO, bytes, len);

		if (n < 0 && errno != EINTR && errno != EAGAIN)
			return;
		if (n > 0) {
			bytes += n;
			len -= (size_t)n;
		}
	}
}

void
terminal_enter(struct terminal *t)
{
	struct termios mode;

	if (t->entered)
		return;
	t->keys = t->changed = tcgetattr(STDIN_FILENO, &t->saved) == 0;
	if (t->keys) {
		mode = t->saved;
		mode.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
		mode.c_cc[VMIN] = 1;
		mode.c_cc[VTIME] = 0;
		(void)tcsetattr(STDIN_FILENO, TCSANOW, &mode);
	}
	put(enter, strlen(enter));
	t->entered = true;
}

void
terminal_leave(struct terminal *t)
{
	if (!t->entered)
		return;
	put(leave, strlen(leave));
	if (t->changed)
		(void)tcsetattr(STDIN_FILENO, TCSANOW, &t->saved);
	t->entered = false;
}

void
terminal_size(unsigned *ret_rows, unsigned *ret_columns)
{
	struct winsize size = { .ws_row = 0 };

	(void)ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
	*ret_rows = size.ws_row != 0 ? size.ws_row : 24;
	*ret_columns = size.ws_col != 0 ? size.ws_col : 80;
}

int
terminal_key(const struct terminal *t)
{
	struct pollfd pfd = { .fd = STDIN_FILENO, .events = POLLIN };
	unsigned char c;

	if (!t->keys)
		return -1;
	if (poll(&pfd, 1, 0) <= 0)
		return 0;
	return read(STDIN_FILENO, &c, 1) == 1 ? c : -1;
}
