#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/str.h"
#include "core/conf/conf.h"
#include "core/conf/conf_check.h"
#include "core/conf/conf_diff.h"
#include "core/conf/conf_error.h"
#include "core/conf/conf_host.h"
#include "core/conf/conf_read.h"
#include "core/conf/conf_source.h"

static int
no_file(void *ctx, const char *path, char **ret_text, size_t *ret_len,
    struct error *err)
{
	(void)ctx;
	(void)ret_text;
	(void)ret_len;
	return error_set(err, -ENOENT, "no file %s", path);
}

static int
no_creds(void *ctx, const char *user, const char *group,
    struct conf_creds *ret_creds, struct error *err)
{
	(void)ctx;
	(void)user;
	(void)group;
	(void)ret_creds;
	return error_set(err, -ENOENT, "no account");
}

static struct config *
config_of(const char *text)
{
	const struct conf_host host = {
		.base_dir = "/",
		.read_file = no_file,
		.find_creds = no_creds,
	};
	struct conf_source source;
	struct conf_errors errors = { .file = "app.ini" };
	struct config *config;

	if (text == NULL)
		return NULL;
	assert_int_equal(conf_read(text, strlen(text), &source, &errors), 0);
	assert_int_equal(conf_check(&source, &host, &config, &errors), 0);
	if (config == NULL)
		fail_msg("%s", errors.v[0].text);
	conf_source_free(&source);
	conf_errors_free(&errors);
	return config;
}

static void
add_addresses(struct strbuf *sb, const char *what,
    const struct address *const *v, size_t n)
{
	strbuf_printf(sb, "%s", what);
	for (size_t i = 0; i < n; i++) {
		char *text = address_format(v[i]);

		assert_non_null(text);
		strbuf_printf(sb, " %s", text);
		free(text);
	}
}

/* As `=a +b -c open 80 keep 81 close 82`. */
static void
expect(const char *old_text, const char *new_text, const char *expected)
{
	struct config *old = config_of(old_text), *new = config_of(new_text);
	struct strbuf sb = STRBUF_INIT;
	struct conf_diff diff;

	assert_int_equal(conf_diff(old, new, &diff), 0);
	for (size_t i = 0; i < diff.n_apps; i++) {
		const struct conf_diff_row *row = &diff.apps[i];
		const char *name;

		assert_int_equal(row->old_app == CONF_DIFF_NONE,
		    row->what == CONF_DIFF_ADD);
		assert_int_equal(row->new_app == CONF_DIFF_NONE,
		    row->what == CONF_DIFF_REMOVE);
		name = row->what == CONF_DIFF_REMOVE ?
		    old->apps[row->old_app].name :
		    new->apps[row->new_app].name;
		if (row->what == CONF_DIFF_ROLL)
			assert_string_equal(name,
			    old->apps[row->old_app].name);
		strbuf_printf(&sb, "%c%s ", "=+-"[row->what], name);
	}
	add_addresses(&sb, "open", diff.open, diff.n_open);
	add_addresses(&sb, " keep", diff.keep, diff.n_keep);
	add_addresses(&sb, " close", diff.close, diff.n_close);
	assert_string_equal(sb.text, expected);

	/* What is kept is the new configuration's, what is closed the old's. */
	for (size_t i = 0; i < diff.n_keep; i++) {
		bool found = false;

		for (size_t j = 0; j < new->n_apps; j++)
			found |= diff.keep[i] >= new->apps[j].listens &&
			    diff.keep[i] < new->apps[j].listens +
				new->apps[j].n_listens;
		assert_true(found);
	}
	strbuf_free(&sb);
	conf_diff_free(&diff);
	config_unref(old);
	config_unref(new);
}

#define A "[a]\ncommand = x\n"
#define B "[b]\ncommand = x\n"
#define C "[c]\ncommand = x\n"

static void
a_start_adds_and_opens_all(void **state)
{
	(void)state;
	expect(NULL, A "port = 80\nlisten = unix:/s, 81\n" B,
	    "+a +b open 80 unix:/s 81 keep close");
	expect(NULL, A, "+a open keep close");
}

static void
the_same_file_keeps_all(void **state)
{
	(void)state;
	expect(A "port = 80\nlisten = 81, udp:80\n" B "listen = 82\n",
	    A "port = 80\nlisten = 81, udp:80\n" B "listen = 82\n",
	    "=a =b open keep 80 81 udp:80 82 close");
}

static void
apps_come_and_go(void **state)
{
	(void)state;
	expect(A "port = 80\n" B "port = 81\n", C "port = 82\n"
	       B "port = 81\n",
	    "+c =b -a open 82 keep 81 close 80");
	expect(A B C, C B A, "=c =b =a open keep close");
}

static void
listeners_change(void **state)
{
	(void)state;
	expect(A "listen = 80, 81, 82\n", A "listen = 82, 83, 80\n",
	    "=a open 83 keep 82 80 close 81");
	/* The port alone does not make them the same. */
	expect(A "listen = 80\n", A "listen = 127.0.0.1:80\n",
	    "=a open 127.0.0.1:80 keep close 80");
	expect(A "listen = 80\n", A "listen = udp:80\n",
	    "=a open udp:80 keep close 80");
	expect(A "listen = unix:/a\n", A "listen = unix:/b\n",
	    "=a open unix:/b keep close unix:/a");
}

static void
port_and_listen_are_the_same(void **state)
{
	(void)state;
	expect(A "port = 8080\n", A "listen = 8080\n",
	    "=a open keep 8080 close");
	expect(A "listen = 81, *:80\n", A "port = 80\nlisten = 81\n",
	    "=a open keep 80 81 close");
}

static void
an_address_may_go_to_another_app(void **state)
{
	(void)state;
	expect(A "port = 80\n" B "port = 81\n",
	    A "port = 81\n" B "port = 80\n",
	    "=a =b open keep 81 80 close");
	expect(A "listen = unix:/s\n", B "listen = unix:/s\n",
	    "+b -a open keep unix:/s close");
}

static void
port_0_stays_with_its_app_and_place(void **state)
{
	(void)state;
	expect(A "port = 0\n", A "port = 0\n", "=a open keep 0 close");
	expect(A "port = 0\n", A "listen = 0\n", "=a open keep 0 close");
	expect(A "port = 0\n", B "port = 0\n", "+b -a open 0 keep close 0");
	expect(A "listen = 0, 80, 0\n", A "listen = 0, 0, 80\n",
	    "=a open 0 keep 0 80 close 0");
	expect(A "listen = 0\n", A "listen = udp:0\n",
	    "=a open udp:0 keep close 0");
	expect(A "listen = 0, 0\n" B "port = 0\n",
	    A "listen = 0, 0\n" B "port = 0\n",
	    "=a =b open keep 0 0 0 close");
}

static void
the_same_listener(void **state)
{
	const struct address tcp = { .kind = ADDRESS_TCP, .port = 80 };
	const struct address udp = { .kind = ADDRESS_UDP, .port = 80 };
	const struct address any = { .kind = ADDRESS_TCP };
	char path[] = "/s";
	const struct address file = { .kind = ADDRESS_UNIX, .path = path };

	(void)state;
	assert_true(conf_same_listener("a", 0, &tcp, "b", 1, &tcp));
	assert_true(conf_same_listener("a", 0, &file, "b", 1, &file));
	assert_false(conf_same_listener("a", 0, &tcp, "a", 0, &udp));
	assert_false(conf_same_listener("a", 0, &tcp, "a", 0, &any));
	assert_false(conf_same_listener("a", 0, &file, "a", 0, &any));
	assert_true(conf_same_listener("a", 1, &any, "a", 1, &any));
	assert_false(conf_same_listener("a", 1, &any, "a", 0, &any));
	assert_false(conf_same_listener("a", 1, &any, "b", 1, &any));
}

static void
many_listeners(void **state)
{
	struct strbuf old = STRBUF_INIT, new = STRBUF_INIT;
	struct config *old_config, *new_config;
	struct conf_diff diff;

	(void)state;
	for (unsigned i = 0; i < 500; i++) {
		strbuf_printf(&old, "[a%u]\ncommand = x\nlisten = ", i);
		strbuf_printf(&new, "[a%u]\ncommand = x\nlisten = ", i);
		for (unsigned j = 0; j < 20; j++) {
			strbuf_printf(&old, "%u,", 1 + i * 20 + j);
			strbuf_printf(&new, "%u,", 6000 + i * 20 + j);
		}
		strbuf_putc(&old, '\n');
		strbuf_putc(&new, '\n');
	}
	old_config = config_of(old.text);
	new_config = config_of(new.text);
	assert_int_equal(conf_diff(old_config, new_config, &diff), 0);
	assert_int_equal(diff.n_keep, 4001);
	assert_int_equal(diff.n_open, 5999);
	assert_int_equal(diff.n_close, 5999);
	conf_diff_free(&diff);
	config_unref(old_config);
	config_unref(new_config);
	strbuf_free(&old);
	strbuf_free(&new);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_start_adds_and_opens_all),
		cmocka_unit_test(the_same_file_keeps_all),
		cmocka_unit_test(apps_come_and_go),
		cmocka_unit_test(listeners_change),
		cmocka_unit_test(port_and_listen_are_the_same),
		cmocka_unit_test(an_address_may_go_to_another_app),
		cmocka_unit_test(port_0_stays_with_its_app_and_place),
		cmocka_unit_test(the_same_listener),
		cmocka_unit_test(many_listeners),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
