#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "base/str.h"
#include "core/sockets/lane_name.h"

#define PREFIX	"clusterd "
#define UNIX	"unix"
#define WORDS	7	/* behind the prefix; the last one may have spaces */

static void
exchange(char *text, char from, char to)
{
	for (; *text != '\0'; text++)
		if (*text == from)
			*text = to;
}

int
lane_name_put(const struct lane_name *name, char ret_text[LANE_NAME_SIZE])
{
	char *written = name->is_unix ? strdup(UNIX) :
	    address_format(&name->written);
	char instance[24] = "-";
	int n;

	if (written == NULL)
		return -ENOMEM;
	exchange(written, ':', ';');
	if (name->instance >= 0)
		snprintf(instance, sizeof(instance), "%ld", name->instance);
	n = snprintf(ret_text, LANE_NAME_SIZE, PREFIX "%s %u %s %llu %llu "
	    ".%s%s%s %s", name->app, name->position, instance,
	    (unsigned long long)name->listener,
	    (unsigned long long)name->joined, name->live ? "l" : "",
	    name->derived ? "d" : "", name->beside ? "b" : "", written);
	free(written);
	return n >= 0 && n < LANE_NAME_SIZE ? 0 : -ENAMETOOLONG;
}

bool
lane_name_is_ours(const char *text)
{
	return str_starts(text, PREFIX);
}

/* Behind the prefix. False: there are too few. */
static bool
split(char *text, char *ret_words[WORDS])
{
	for (int i = 0; i < WORDS; i++) {
		ret_words[i] = text;
		text = i < WORDS - 1 ? strchr(text, ' ') : NULL;
		if (text != NULL)
			*text++ = '\0';
		else if (i < WORDS - 1)
			return false;
	}
	return true;
}

static bool
get_flags(const char *word, struct lane_name *n)
{
	if (*word++ != '.')
		return false;
	for (; *word != '\0'; word++) {
		if (*word == 'l')
			n->live = true;
		else if (*word == 'd')
			n->derived = true;
		else if (*word == 'b')
			n->beside = true;
		else
			return false;
	}
	return true;
}

static bool
get_app(const char *word, struct lane_name *n)
{
	size_t len = strlen(word);

	if (len == 0 || len >= sizeof(n->app))
		return false;
	memcpy(n->app, word, len + 1);
	return true;
}

static bool
get_numbers(char *const *words, struct lane_name *n)
{
	uint64_t position, instance;

	n->instance = -1;
	if (strcmp(words[2], "-") != 0) {
		if (!num_parse(words[2], 0, INT32_MAX, &instance))
			return false;
		n->instance = (long)instance;
	}
	if (!num_parse(words[1], 0, INT32_MAX, &position) ||
	    !num_parse(words[3], 1, UINT64_MAX, &n->listener) ||
	    !num_parse(words[4], 0, UINT64_MAX, &n->joined))
		return false;
	n->position = (uint32_t)position;
	return true;
}

static int
get_written(char *word, struct lane_name *n)
{
	int code;

	n->is_unix = strcmp(word, UNIX) == 0;
	if (n->is_unix)
		return 0;
	exchange(word, ';', ':');
	code = address_parse(word, "/", &n->written, NULL);
	if (code == 0 && n->written.kind == ADDRESS_UNIX) {
		address_free(&n->written);
		return -EINVAL;
	}
	return code;
}

int
lane_name_get(const char *text, struct lane_name *ret_name)
{
	struct lane_name n = { .live = false };
	char copy[LANE_NAME_SIZE], *words[WORDS];
	int code;

	if (!lane_name_is_ours(text) || strlen(text) >= sizeof(copy))
		return -EINVAL;
	snprintf(copy, sizeof(copy), "%s", text + strlen(PREFIX));
	if (!split(copy, words) || !get_app(words[0], &n) ||
	    !get_numbers(words, &n) || !get_flags(words[5], &n))
		return -EINVAL;
	code = get_written(words[6], &n);
	if (code == 0)
		*ret_name = n;
	return code;
}
