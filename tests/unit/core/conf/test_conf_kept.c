#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>

#include "core/conf/conf.h"
#include "core/conf/conf_kept.h"

#define TEXT "[web]\ncommand = x\n"

/* What one has kept, as the next one reads it: behind a text. */
struct again {
	struct strbuf bytes;
	struct conf_kept kept;
};

static void
read_again(struct conf_kept *written, struct again *a)
{
	*a = (struct again){ .bytes = STRBUF_INIT };
	strbuf_puts(&a->bytes, TEXT);
	strbuf_putc(&a->bytes, '\0');
	assert_false(written->now.failed);
	if (written->now.len > 0)
		strbuf_add(&a->bytes, written->now.text, written->now.len);
	assert_int_equal(conf_kept_split(&a->kept, a->bytes.text,
	    a->bytes.len), strlen(TEXT));
}

static void
end(struct conf_kept *written, struct again *a)
{
	conf_kept_free(written);
	conf_kept_free(&a->kept);
	strbuf_free(&a->bytes);
}

static void
files_are_found_again(void **state)
{
	struct conf_kept k = CONF_KEPT_INIT;
	struct again a;
	const char *text;
	size_t len;

	(void)state;
	conf_kept_add_file(&k, "/a", "A=1\n\0B", 6);
	conf_kept_add_file(&k, "/empty", "", 0);
	conf_kept_add_file(&k, "/a", "another", 7);
	read_again(&k, &a);
	assert_true(conf_kept_find_file(&a.kept, "/a", &text, &len));
	assert_int_equal(len, 6);
	assert_memory_equal(text, "A=1\n\0B", 6);
	assert_true(conf_kept_find_file(&a.kept, "/empty", &text, &len));
	assert_int_equal(len, 0);
	assert_false(conf_kept_find_file(&a.kept, "/ab", &text, &len));
	assert_false(conf_kept_find_file(&a.kept, "/", &text, &len));
	end(&k, &a);
}

static void
nothing_is_found_in_a_text_alone(void **state)
{
	struct conf_kept k = CONF_KEPT_INIT;
	struct conf_creds creds;
	const char *text;
	size_t len;

	(void)state;
	assert_int_equal(conf_kept_split(&k, TEXT, strlen(TEXT)),
	    strlen(TEXT));
	assert_false(conf_kept_find_file(&k, "/a", &text, &len));
	assert_int_equal(conf_kept_find_creds(&k, "a", NULL, &creds), 0);
	conf_kept_free(&k);
}

static void
creds_are_found_again(void **state)
{
	uint32_t groups[] = { 7, 8, UINT32_MAX - 1 };
	const struct conf_creds www = {
		.set = true, .uid = 33, .gid = 34, .groups = groups,
		.n_groups = 3, .name = (char *)"www", .home = (char *)"",
	};
	const struct conf_creds grp = { .set = true, .gid = 5 };
	struct conf_kept k = CONF_KEPT_INIT;
	struct conf_creds c;
	struct again a;

	(void)state;
	conf_kept_add_creds(&k, "www", NULL, &www);
	conf_kept_add_creds(&k, NULL, "www", &grp);
	conf_kept_add_file(&k, "www", "x", 1);
	read_again(&k, &a);
	assert_int_equal(conf_kept_find_creds(&a.kept, "www", NULL, &c), 1);
	assert_true(c.set);
	assert_int_equal(c.uid, 33);
	assert_int_equal(c.gid, 34);
	assert_int_equal(c.n_groups, 3);
	assert_memory_equal(c.groups, groups, sizeof(groups));
	assert_string_equal(c.name, "www");
	assert_string_equal(c.home, "");
	conf_creds_free(&c);
	assert_int_equal(conf_kept_find_creds(&a.kept, NULL, "www", &c), 1);
	assert_int_equal(c.gid, 5);
	assert_null(c.name);
	assert_null(c.home);
	assert_null(c.groups);
	assert_int_equal(conf_kept_find_creds(&a.kept, "www", "www", &c), 0);
	assert_int_equal(conf_kept_find_creds(&a.kept, "ww", NULL, &c), 0);
	end(&k, &a);
}

/* Wherever it ends: what is whole is found, and nothing is read beyond it. */
static void
cut_off_anywhere(void **state)
{
	uint32_t group = 7;
	const struct conf_creds www = {
		.set = true, .uid = 33, .gid = 34, .groups = &group,
		.n_groups = 1, .name = (char *)"www", .home = (char *)"/w",
	};
	struct conf_kept k = CONF_KEPT_INIT;
	struct conf_creds c;
	const char *text;
	size_t len, first;

	(void)state;
	conf_kept_add_file(&k, "/a", "A=1", 3);
	first = k.now.len;
	conf_kept_add_creds(&k, "www", NULL, &www);
	for (size_t n = 0; n <= k.now.len; n++) {
		char *bytes = malloc(n + 1);
		struct conf_kept cut = { .before_len = n };

		assert_non_null(bytes);
		memcpy(bytes, k.now.text, n);
		cut.before = bytes;
		assert_int_equal(conf_kept_find_file(&cut, "/a", &text, &len),
		    n >= first);
		if (conf_kept_find_creds(&cut, "www", NULL, &c) == 1) {
			assert_int_equal(n, k.now.len);
			conf_creds_free(&c);
		}
		free(bytes);
	}
	conf_kept_free(&k);
}

/* As if a bug had written it: who finds nothing asks the system, and does not give up
   as where there is no memory. */
static void
creds_longer_than_their_record_are_none(void **state)
{
	const struct conf_creds www = {
		.set = true, .uid = 33, .gid = 34, .name = (char *)"www",
	};
	struct conf_kept k = CONF_KEPT_INIT, kept;
	const uint32_t three = 3;
	struct conf_creds c;

	(void)state;
	conf_kept_add_creds(&k, "www", NULL, &www);
	kept = (struct conf_kept){
		.before = k.now.text, .before_len = k.now.len,
	};
	assert_int_equal(conf_kept_find_creds(&kept, "www", NULL, &c), 1);
	conf_creds_free(&c);
	/* The length of its name, which is the last 3 there. */
	for (size_t at = k.now.len - 3; at-- > 0;)
		if (memcmp(k.now.text + at, &three, sizeof(three)) == 0) {
			k.now.text[at]++;
			break;
		}
	assert_int_equal(conf_kept_find_creds(&kept, "www", NULL, &c), 0);
	conf_kept_free(&k);
}

static void
lists_are_found_again(void **state)
{
	struct conf_kept k = CONF_KEPT_INIT;
	struct strlist paths = STRLIST_INIT, none = STRLIST_INIT;
	struct again a;

	(void)state;
	strlist_add(&paths, "/a/1");
	strlist_add(&paths, "/a/2");
	conf_kept_add_list(&k, "/a/*", &paths);
	conf_kept_add_list(&k, "/b/*", &none);
	conf_kept_add_file(&k, "/c/*", "x", 1);
	strlist_free(&paths);
	read_again(&k, &a);
	assert_true(conf_kept_find_list(&a.kept, "/a/*", &paths));
	assert_int_equal(paths.n, 2);
	assert_string_equal(paths.v[0], "/a/1");
	assert_string_equal(paths.v[1], "/a/2");
	strlist_free(&paths);
	assert_true(conf_kept_find_list(&a.kept, "/b/*", &none));
	assert_int_equal(none.n, 0);
	assert_false(conf_kept_find_list(&a.kept, "/c/*", &none));
	assert_int_equal(none.n, 0);
	end(&k, &a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(files_are_found_again),
		cmocka_unit_test(lists_are_found_again),
		cmocka_unit_test(nothing_is_found_in_a_text_alone),
		cmocka_unit_test(creds_are_found_again),
		cmocka_unit_test(creds_longer_than_their_record_are_none),
		cmocka_unit_test(cut_off_anywhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
