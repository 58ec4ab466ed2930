#include <assert.h>
#include <string.h>

#include "base/str.h"
#include "core/names/placeholder.h"

static const char *const texts[] = {
	[PLACEHOLDER_FD] = "{fd}",
	[PLACEHOLDER_PORT] = "{port}",
	[PLACEHOLDER_INSTANCE] = "{instance}",
	[PLACEHOLDER_APP] = "{app}",
	[PLACEHOLDER_WORKER_ID] = "{worker_id}",
	[PLACEHOLDER_ENV] = "{env:",	/* and NAME} */
};

static_assert(sizeof(texts) / sizeof(texts[0]) == PLACEHOLDERS,
    "a text for each");

const char *
placeholder_text(enum placeholder which)
{
	return which == PLACEHOLDER_ENV ? "{env:NAME}" : texts[which];
}

/* Of what a shell takes for a variable. */
static size_t
name_len(const char *s)
{
	size_t len = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "abcdefghijklmnopqrstuvwxyz_0123456789");

	return *s >= '0' && *s <= '9' ? 0 : len;
}

/* Which one begins here, and how long it is; PLACEHOLDERS: none. */
static enum placeholder
find_here(const char *s, size_t *ret_len)
{
	for (unsigned i = 0; *s == '{' && i < PLACEHOLDERS; i++) {
		size_t len = strlen(texts[i]);

		if (strncmp(s, texts[i], len) != 0)
			continue;
		if (i == PLACEHOLDER_ENV) {
			size_t name = name_len(s + len);

			if (name == 0 || s[len + name] != '}')
				continue;
			len += name + 1;
		}
		*ret_len = len;
		return (enum placeholder)i;
	}
	return PLACEHOLDERS;
}

/* The value of {env:NAME}, which is at `s`; the last one wins. */
static const char *
find_env(char *const *env, const char *s, size_t len)
{
	const char *name = s + strlen(texts[PLACEHOLDER_ENV]);
	size_t n = len - strlen(texts[PLACEHOLDER_ENV]) - 1;
	const char *value = NULL;

	for (; env != NULL && *env != NULL; env++)
		if (strncmp(*env, name, n) == 0 && (*env)[n] == '=')
			value = *env + n + 1;
	return value;
}

char *
placeholders_expand(const struct placeholders *p, const char *text)
{
	struct strbuf sb = STRBUF_INIT;

	while (*text != '\0') {
		size_t len = 1;
		enum placeholder which = find_here(text, &len);
		const char *value = which == PLACEHOLDERS ? NULL :
		    which == PLACEHOLDER_ENV ? find_env(p->env, text, len) :
		    p->values[which];

		if (value != NULL)
			strbuf_puts(&sb, value);
		else
			strbuf_add(&sb, text, len);
		text += len;
	}
	return strbuf_take(&sb);
}

bool
placeholder_in(enum placeholder which, const char *text)
{
	size_t len;

	for (; *text != '\0'; text++)
		if (find_here(text, &len) == which)
			return true;
	return false;
}

const char *
placeholder_find_unset(const char *text, char *const *env, size_t *ret_len)
{
	for (; *text != '\0'; text++) {
		size_t len;

		if (find_here(text, &len) != PLACEHOLDER_ENV ||
		    find_env(env, text, len) != NULL)
			continue;
		*ret_len = len;
		return text;
	}
	return NULL;
}

const char *
placeholder_find_unknown(const char *text, size_t *ret_len)
{
	for (; *text != '\0'; text++) {
		size_t len;
		const char *end;

		if (*text != '{' || find_here(text, &len) != PLACEHOLDERS)
			continue;
		end = strchr(text, '}');
		if (end == NULL)
			return NULL;
		*ret_len = (size_t)(end - text) + 1;
		return text;
	}
	return NULL;
}
