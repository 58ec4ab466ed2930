#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "core/sockets/private_word.h"

static const char *const hosts[] = {
	"127.0.0.1", "localhost", "[::1]", "::1",
};

/* Their own address, not somebody's whom they ask. */
static const char *const options[] = {
	"--host", "--hostname", "--bind", "--bind-address", "--address",
	"--addr", "--listen", "--ip",
};

#define N(array) (sizeof(array) / sizeof((array)[0]))

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* What may be a part of a longer name. */
static bool
is_name(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') ||
	    (c >= 'A' && c <= 'Z') || c == '.' || c == '-' || c == '_';
}

/* Is HOST:PORT in it, and not as a part of something longer? */
static bool
has_address(const char *word, unsigned port)
{
	char text[32];

	for (size_t i = 0; i < N(hosts); i++) {
		size_t len = (size_t)snprintf(text, sizeof(text), "%s:%u",
		    hosts[i], port);
		const char *at = strstr(word, text);

		if (at != NULL && (at == word || !is_name(at[-1])) &&
		    !is_digit(at[len]))
			return true;
	}
	return false;
}

static bool
is_host(const char *word)
{
	for (size_t i = 0; i < N(hosts); i++)
		if (strcmp(word, hosts[i]) == 0)
			return true;
	return false;
}

/* `--host` with its value in the next word, or behind `=`. */
static bool
is_private_option(const char *word, const char *next)
{
	for (size_t i = 0; i < N(options); i++) {
		size_t len = strlen(options[i]);

		if (strncmp(word, options[i], len) != 0)
			continue;
		if (word[len] == '\0')
			return next != NULL && is_host(next);
		if (word[len] == '=')
			return is_host(word + len + 1);
	}
	return false;
}

const char *
private_word(const struct strlist *words, unsigned port)
{
	for (size_t i = 1; i < words->n; i++) {
		const char *next = i + 1 < words->n ? words->v[i + 1] : NULL;

		if (has_address(words->v[i], port))
			return words->v[i];
		if (is_private_option(words->v[i], next))
			return next != NULL && is_host(next) ? next :
			    words->v[i];
	}
	return NULL;
}
