#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>

#include "base/error.h"
#include "core/conf/conf.h"
#include "core/conf/conf_instance.h"

static char form[] = "127.0.0.1:924{instance}";
static char path_form[] = "unix:/run/{instance}/s";
static char *forms[] = { NULL, form, path_form };
static struct address listens[] = {
	{ .kind = ADDRESS_TCP, .port = 80 },
	{ .kind = ADDRESS_TCP, .host = ADDRESS_HOST_IPV4,
	  .ip = { 127, 0, 0, 1 }, .port = 9240 },
	{ .kind = ADDRESS_UNIX },
};
static const struct conf_app app = {
	.listens = listens, .n_listens = 3, .listen_forms = forms,
};

static void
a_view_has_its_own(void **state)
{
	struct conf_app view;

	(void)state;
	assert_int_equal(conf_view(&app, 7, &view, NULL), 0);
	assert_true(view.is_view);
	assert_int_equal(view.view_instance, 7);
	assert_int_equal(view.listens[0].port, 80);
	assert_int_equal(view.listens[1].port, 9247);
	assert_string_equal(view.listens[2].path, "/run/7/s");
	conf_view_free(&view);
	assert_false(conf_listen_is_own(&app, 0));
	assert_true(conf_listen_is_own(&app, 1));
	assert_true(conf_has_own_listens(&app));
}

static void
a_view_is_renewed(void **state)
{
	static struct address newer_listens[3];
	struct conf_app newer = {
		.listens = newer_listens, .n_listens = 3, .listen_forms = forms,
		.backlog = 7,
	};
	struct conf_app view;

	(void)state;
	newer_listens[0] = listens[0];
	newer_listens[0].options.mark = 5;
	assert_int_equal(conf_view(&app, 3, &view, NULL), 0);
	conf_view_renew(&view, &newer);
	assert_true(view.is_view);
	assert_int_equal(view.view_instance, 3);
	assert_int_equal(view.backlog, 7);
	assert_int_equal(view.listens[0].options.mark, 5);
	assert_int_equal(view.listens[1].port, 9243);
	assert_string_equal(view.listens[2].path, "/run/3/s");
	conf_view_free(&view);
}

static void
what_is_no_address(void **state)
{
	struct error err = ERROR_INIT;
	struct conf_app view;

	(void)state;
	assert_int_equal(conf_view(&app, 10, &view, &err), -EINVAL);
	assert_string_equal(error_text(&err), "\"127.0.0.1:92410\": "
	    "\"92410\" is not a port, a number from 0 to 65535 is allowed");
	error_clear(&err);
}

static void
all_of_all_instances(void **state)
{
	size_t n = 0;
	struct address *all = conf_all_listens(&app, 12, &n);

	(void)state;
	assert_non_null(all);
	/* One for all, ten that are ports, and twelve paths. */
	assert_int_equal(n, 1 + 10 + 12);
	assert_int_equal(all[10].port, 9249);
	assert_string_equal(all[22].path, "/run/11/s");
	conf_all_listens_free(all, n);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_view_has_its_own),
		cmocka_unit_test(a_view_is_renewed),
		cmocka_unit_test(what_is_no_address),
		cmocka_unit_test(all_of_all_instances),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
