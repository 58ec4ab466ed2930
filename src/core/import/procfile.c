/*
 * foreman gives each line to sh, with PORT: 5000 for the first line, 5100 for the
 * second. Here a line that needs no shell is run without, and the port is the
 * app's.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/str.h"
#include "core/import/draft.h"
#include "core/import/procfile.h"
#include "core/names/words.h"

#define PORT_FIRST	5000
#define PORT_STEP	100

/* Where a shell takes it for the variable: $PORT or ${PORT}; its length or 0. */
static size_t
port_len(const char *s)
{
	size_t len = strlen("$PORT");

	if (strncmp(s, "${PORT}", strlen("${PORT}")) == 0)
		return strlen("${PORT}");
	if (strncmp(s, "$PORT", len) != 0)
		return 0;
	return (s[len] >= '0' && s[len] <= '9') || s[len] == '_' ||
	    (s[len] >= 'A' && s[len] <= 'Z') ||
	    (s[len] >= 'a' && s[len] <= 'z') ? 0 : len;
}

static bool
has_port(const char *command)
{
	for (; *command != '\0'; command++)
		if (port_len(command) > 0)
			return true;
	return false;
}

/* Is it the same without a shell, but for $PORT? */
static bool
is_plain(const char *command)
{
	static const char *const words[] = {
		"cd", "exec", "export", "set", ".", "source", "eval", "if",
		"while", "for", "case", "until", "trap", "ulimit", "umask",
		"test", "[", "wait", "!", NULL,
	};
	size_t first = strcspn(command, " \t");
	char *word = strndup(command, first);
	bool plain = word != NULL && !str_is_one_of(word, words) &&
	    strchr(word, '=') == NULL;

	free(word);
	for (size_t len; plain && *command != '\0';
	     command += len > 0 ? len : 1) {
		len = port_len(command);
		plain = len > 0 || strchr("`\"'\\|&;<>()*?[]#~!{}$",
		    *command) == NULL;
	}
	return plain;
}

/* A single command, which may take the shell's place. */
static bool
is_single(const char *command)
{
	static const char *const programs[] = {
		"cd", "export", "set", ".", "source", "eval", "if", "while",
		"for", "case", "until", "trap", "ulimit", "umask", "exec",
		"test", "[", "wait", "!", NULL,
	};
	char *word = strndup(command, strcspn(command, " \t"));
	bool single = word != NULL && !str_is_one_of(word, programs) &&
	    strchr(word, '=') == NULL && strpbrk(command, "|&;()`\n") == NULL;

	free(word);
	return single;
}

static void
put_plain(struct draft *d, const char *command)
{
	struct strlist words = STRLIST_INIT;
	struct strbuf sb = STRBUF_INIT;

	while (*command != '\0') {
		size_t len = port_len(command);

		if (len > 0)
			strbuf_puts(&sb, "{port}");
		else
			strbuf_putc(&sb, *command);
		command += len > 0 ? len : 1;
	}
	if (sb.failed || words_split(sb.text, &words, NULL) == -ENOMEM)
		d->text.failed = true;
	else
		draft_set_command(d, &words, NULL);
	strlist_free(&words);
	strbuf_free(&sb);
}

static void
put_shell(struct draft *d, const char *command)
{
	struct strlist words = STRLIST_INIT;

	strlist_add(&words, "sh");
	strlist_add(&words, "-c");
	strlist_printf(&words, "%s%s", is_single(command) ? "exec " : "",
	    command);
	draft_set_command(d, &words, NULL);
	strlist_free(&words);
}

static void
put_process(struct draft *d, const char *name, const char *command,
    unsigned line)
{
	struct strbuf port = STRBUF_INIT;
	bool listens = has_port(command) || strcmp(name, "web") == 0;

	draft_begin_app(d, name);
	if (is_plain(command))
		put_plain(d, command);
	else
		put_shell(d, command);
	draft_set_path(d, "directory", ".");
	draft_set(d, "instances", "1");
	strbuf_printf(&port, "%u", PORT_FIRST + PORT_STEP * line);
	if (listens && !port.failed)
		draft_set(d, "port", port.text);
	strbuf_free(&port);
	if (d->host->is_file(d->host->ctx, ".env"))
		draft_set_path(d, "env_file", ".env");
	draft_end_app(d);
}

static bool
is_name_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	    (c >= '0' && c <= '9') || c == '_' || c == '-';
}

/* One line, as a string. False: it is none of a process. */
static bool
put_line(struct draft *d, char *line, unsigned *n)
{
	char *colon = line, *end;

	while (is_name_byte(*colon))
		colon++;
	if (colon == line || *colon != ':')
		return false;
	*colon++ = '\0';
	colon += strspn(colon, " \t");
	for (end = colon + strlen(colon); end > colon && strchr(" \t\r",
	    end[-1]) != NULL; end--)
		end[-1] = '\0';
	if (*colon == '\0')
		return false;
	put_process(d, line, colon, (*n)++);
	return true;
}

int
import_procfile(struct draft *d, const char *text, size_t len,
    struct error *err)
{
	const char *end = text + len;
	unsigned n = 0;

	while (text < end) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));
		size_t n_bytes = (size_t)((newline != NULL ? newline : end) -
		    text);
		char *line = strndup(text, n_bytes);

		if (line == NULL)
			return -ENOMEM;
		if (!put_line(d, line, &n) && *line != '#' &&
		    line[strspn(line, " \t\r")] != '\0')
			draft_note(d, line, NULL, "no line of a process, "
			    "NAME: COMMAND from the first column on");
		free(line);
		text += n_bytes + 1;
	}
	return n > 0 ? 0 : error_set(err, -EINVAL, "there is no process: "
	    "NAME: COMMAND is needed");
}
