/*
 * The documents against the schema: every supported key is described with its
 * default, every reserved one is listed as such, and nothing else is there.
 *
 *	test_man [man/clusterd.ini.5 [conf/app.ini]]
 *
 * In the page an entry is `.It Ic KEY`, and below it either "Required." or
 * "The default is" and `.Cm DEFAULT .`. In app.ini a key is a line of its own,
 * `KEY = ...` or, commented out, `#KEY = DEFAULT`.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/conf/conf_schema.h"


static const char *page_path = "man/clusterd.ini.5";
static const char *sample_path = "conf/app.ini";

/* A file as NUL-terminated lines, one array for the pointers. */
struct lines {
	char *text;
	char **v;
	size_t n;
};

static void
read_lines(const char *path, struct lines *ret)
{
	FILE *f = fopen(path, "r");
	struct lines l = { .n = 0 };
	size_t len = 0, cap = 0;
	char *line;

	if (f == NULL)
		fail_msg("cannot open %s", path);
	if (getdelim(&l.text, &cap, '\0', f) <= 0)
		fail_msg("%s is empty", path);
	fclose(f);
	len = strlen(l.text);
	l.v = calloc(len + 1, sizeof(*l.v));
	assert_non_null(l.v);
	for (char *rest = l.text; (line = strsep(&rest, "\n")) != NULL;)
		l.v[l.n++] = line;
	*ret = l;
}

static void
free_lines(struct lines *l)
{
	free(l->text);
	free(l->v);
}

static bool
starts(const char *line, const char *with)
{
	return strncmp(line, with, strlen(with)) == 0;
}

/* Is `word` one of the blank-separated words of the line? */
static bool
has_word(const char *line, const char *word)
{
	size_t len = strlen(word);

	for (const char *at = line; (at = strstr(at, word)) != NULL; at++)
		if ((at == line || at[-1] == ' ') &&
		    (at[len] == ' ' || at[len] == '\0'))
			return true;
	return false;
}

/* The number of the line behind the header of the page's section. */
static size_t
find_section(const struct lines *page, const char *name)
{
	for (size_t i = 0; i < page->n; i++)
		if (starts(page->v[i], ".Sh ") &&
		    strcmp(page->v[i] + 4, name) == 0)
			return i + 1;
	fail_msg("%s: no section %s", page_path, name);
	return page->n;
}

static size_t
end_of_section(const struct lines *page, size_t from)
{
	while (from < page->n && !starts(page->v[from], ".Sh "))
		from++;
	return from;
}

static const char *
section_of(enum conf_scope scope)
{
	return scope == CONF_SCOPE_APP ? "APP KEYS" : "SUPERVISOR KEYS";
}

/* The entry of a key: from behind its .It line to the next entry. */
static bool
find_entry(const struct lines *page, const struct conf_key *key,
    size_t *ret_from, size_t *ret_to)
{
	size_t i = find_section(page, section_of(key->scope));
	size_t end = end_of_section(page, i);

	while (i < end && !(starts(page->v[i], ".It Ic ") &&
	    strcmp(page->v[i] + 7, key->name) == 0))
		i++;
	if (i == end)
		return false;
	*ret_from = *ret_to = i + 1;
	while (*ret_to < end && !starts(page->v[*ret_to], ".It Ic ") &&
	    !starts(page->v[*ret_to], ".Ss "))
		++*ret_to;
	return true;
}

static void
check_default(const struct lines *page, const struct conf_key *key,
    size_t from, size_t to)
{
	char expected[128];

	assert_true(from + 1 < to);
	if (key->preset == NULL) {
		if (strcmp(page->v[from], "Required.") != 0)
			fail_msg("%s: %s: \"Required.\" is missing",
			    page_path, key->name);
		return;
	}
	snprintf(expected, sizeof(expected), ".Cm %s .", key->preset);
	if (strcmp(page->v[from], "The default is") != 0 ||
	    strcmp(page->v[from + 1], expected) != 0)
		fail_msg("%s: %s: \"The default is\", \"%s\" is expected, not "
		    "\"%s\", \"%s\"", page_path, key->name, expected,
		    page->v[from], page->v[from + 1]);
}

static void
test_every_key_is_described_with_its_default(void **state)
{
	const struct conf_key *schema;
	struct lines page;
	size_t n, from = 0, to = 0;

	(void)state;
	schema = conf_schema(&n);
	read_lines(page_path, &page);
	for (size_t i = 0; i < n; i++) {
		if (!find_entry(&page, &schema[i], &from, &to))
			fail_msg("%s: no .It Ic %s in %s", page_path,
			    schema[i].name, section_of(schema[i].scope));
		check_default(&page, &schema[i], from, to);
	}
	free_lines(&page);
}

static void
test_every_described_key_exists(void **state)
{
	static const enum conf_scope scopes[] = {
		CONF_SCOPE_CLUSTERD, CONF_SCOPE_APP,
	};
	struct lines page;

	(void)state;
	read_lines(page_path, &page);
	for (size_t s = 0; s < sizeof(scopes) / sizeof(*scopes); s++) {
		size_t i = find_section(&page, section_of(scopes[s]));
		size_t end = end_of_section(&page, i);

		for (; i < end; i++) {
			const struct conf_key *key;

			if (!starts(page.v[i], ".It Ic "))
				continue;
			key = conf_schema_find(scopes[s], page.v[i] + 7);
			if (key == NULL)
				fail_msg("%s:%zu: %s is no supported key",
				    page_path, i + 1, page.v[i] + 7);
		}
	}
	free_lines(&page);
}

static void
test_every_word_is_described(void **state)
{
	const struct conf_key *schema;
	struct lines page;
	size_t n, from = 0, to = 0;

	(void)state;
	schema = conf_schema(&n);
	read_lines(page_path, &page);
	for (size_t i = 0; i < n; i++) {
		const struct conf_word *w = schema[i].words;

		/* fd_protocol has a section of its own. */
		if (schema[i].type == CONF_TYPE_FD_PROTOCOL) {
			from = find_section(&page, "ENVIRONMENT PROTOCOLS");
			to = end_of_section(&page, from);
		} else if (w == NULL ||
		    !find_entry(&page, &schema[i], &from, &to)) {
			continue;
		}
		for (; w->word != NULL; w++) {
			bool found = false;

			for (size_t k = from; k < to && !found; k++)
				found = (starts(page.v[k], ".Cm ") ||
				    starts(page.v[k], ".It Cm ")) &&
				    has_word(page.v[k], w->word);
			if (!found)
				fail_msg("%s: %s: the value %s is not "
				    "described", page_path, schema[i].name,
				    w->word);
		}
	}
	free_lines(&page);
}

/* 1 for an active line of the key, 2 for its default commented out. */
static int
sample_line(const char *line, const struct conf_key *key)
{
	bool commented = *line == '#';
	size_t len = strlen(key->name);

	line += commented ? 1 : 0;
	if (strncmp(line, key->name, len) != 0 || !starts(line + len, " = "))
		return 0;
	if (!commented)
		return 1;
	if (key->preset == NULL || strcmp(line + len + 3, key->preset) != 0)
		fail_msg("%s: \"#%s\" is not the default of %s, which is %s",
		    sample_path, line, key->name,
		    key->preset != NULL ? key->preset : "required");
	return 2;
}

static void
test_sample_file_shows_every_key_once(void **state)
{
	const struct conf_key *schema;
	struct lines sample;
	size_t n;

	(void)state;
	schema = conf_schema(&n);
	read_lines(sample_path, &sample);
	for (size_t i = 0; i < n; i++) {
		const struct conf_key *key = &schema[i];
		unsigned seen = 0;

		for (size_t k = 0; k < sample.n; k++)
			seen += sample_line(sample.v[k], key) != 0;
		if (seen != 1)
			fail_msg("%s: %s is there %u times", sample_path,
			    key->name, seen);
	}
	free_lines(&sample);
}

/* The page lists those keys whose change needs no new workers. */
static void
test_live_keys_are_listed(void **state)
{
	const struct conf_key *schema;
	struct lines page;
	size_t n, from;

	(void)state;
	schema = conf_schema(&n);
	read_lines(page_path, &page);
	from = find_section(&page, "APP KEYS");
	for (size_t i = 0; i < n; i++) {
		bool listed = false;

		for (size_t k = from; k < page.n &&
		    !starts(page.v[k], ".Ss "); k++)
			listed |= starts(page.v[k], ".Ic ") &&
			    has_word(page.v[k], schema[i].name);
		if (listed != schema[i].live)
			fail_msg("%s: %s is %slisted", page_path,
			    schema[i].name, listed ? "" : "not ");
	}
	free_lines(&page);
}

/* And, in front of the sections of keys, those that go on over indented lines. */
static void
test_keys_of_several_lines_are_listed(void **state)
{
	const struct conf_key *schema;
	struct lines page;
	size_t n, from = 0, to;

	(void)state;
	schema = conf_schema(&n);
	read_lines(page_path, &page);
	while (from < page.n && strcmp(page.v[from], "The keys that may go on "
	    "over several lines are") != 0)
		from++;
	assert_true(from < page.n);
	for (to = from + 1; to < page.n && (starts(page.v[to], ".Ic ") ||
	    strcmp(page.v[to], "and") == 0);)
		to++;
	for (size_t i = 0; i < n; i++) {
		bool listed = false;

		for (size_t k = from; k < to; k++)
			listed |= starts(page.v[k], ".Ic ") &&
			    has_word(page.v[k], schema[i].name);
		if (listed != schema[i].list)
			fail_msg("%s: %s is %slisted", page_path,
			    schema[i].name, listed ? "" : "not ");
	}
	free_lines(&page);
}

int
main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    test_every_key_is_described_with_its_default),
		cmocka_unit_test(test_every_described_key_exists),
		cmocka_unit_test(test_every_word_is_described),
		cmocka_unit_test(
		    test_sample_file_shows_every_key_once),
		cmocka_unit_test(test_live_keys_are_listed),
		cmocka_unit_test(test_keys_of_several_lines_are_listed),
	};

	if (argc > 1)
		page_path = argv[1];
	if (argc > 2)
		sample_path = argv[2];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
