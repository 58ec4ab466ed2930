#include <sys/ioctl.h>

#include <langinfo.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "cli/ctl_text.h"

/* Does the locale say so? setlocale(3) was called. */
static bool
is_utf8(void)
{
	return strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

bool
ctl_text_terminal(int fd)
{
	const char *term = getenv("TERM");

	return isatty(fd) && term != NULL && *term != '\0' &&
	    strcmp(term, "dumb") != 0;
}

bool
ctl_text_colour(int fd)
{
	const char *no = getenv("NO_COLOR");

	return ctl_text_terminal(fd) && (no == NULL || *no == '\0');
}

struct status_style
ctl_text_style(int fd)
{
	struct status_style style = {
		.colour = ctl_text_colour(fd), .utf8 = is_utf8(),
	};
	struct winsize size;

	if (ioctl(fd, TIOCGWINSZ, &size) == 0)
		style.width = size.ws_col != 0 ? size.ws_col : 80;
	return style;
}

void
ctl_text_put(struct strbuf *sb, const char *text)
{
	const struct status_style style = { .utf8 = is_utf8() };

	status_put(sb, text, 0, &style);
}

void
ctl_text_complain(const char *text)
{
	struct strbuf sb = STRBUF_INIT;
	char *copy = strdup(text), *rest = copy, *line;

	strbuf_puts(&sb, "clusterctl:");
	while ((line = strsep(&rest, "\n")) != NULL) {
		strbuf_puts(&sb, line == copy ? " " : "\n");
		ctl_text_put(&sb, line);
	}
	free(copy);
	if (sb.failed || copy == NULL)
		fputs("clusterctl: out of memory\n", stderr);
	else
		fprintf(stderr, "%s\n", sb.text);
	strbuf_free(&sb);
}
