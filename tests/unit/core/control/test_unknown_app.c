/* What is said where an app is named that is not there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/str.h"
#include "core/control/unknown_app.h"

static void
expect(const char *name, const struct strlist *apps, const char *expected)
{
	struct strbuf sb = STRBUF_INIT;

	unknown_app_put(&sb, name, apps);
	assert_string_equal(sb.text, expected);
	strbuf_free(&sb);
}

static void
apps_are_named(void **state)
{
	struct strlist apps = STRLIST_INIT;

	(void)state;
	expect("web", &apps, "there is no app \"web\"");
	strlist_add(&apps, "web");
	expect("wbe", &apps, "there is no app \"wbe\", did you mean web?");
	expect("x", &apps, "there is no app \"x\": there is web");
	strlist_add(&apps, "webhooks");
	strlist_add(&apps, "api");
	expect("wbe", &apps, "there is no app \"wbe\", did you mean web? there "
	    "are web, webhooks and api");
	expect("we", &apps, "there is no app \"we\", did you mean web or "
	    "webhooks? there are web, webhooks and api");
	expect("x", &apps, "there is no app \"x\": there are web, webhooks and "
	    "api");
	for (int i = 0; i < 9; i++)
		strlist_printf(&apps, "queue-%d", i);
	expect("x", &apps, "there is no app \"x\": there are web, webhooks, "
	    "api, queue-0, queue-1, queue-2, queue-3, queue-4, queue-5, "
	    "queue-6 and 2 more");
	expect("queue-z", &apps, "there is no app \"queue-z\": there are web, "
	    "webhooks, api, queue-0, queue-1, queue-2, queue-3, queue-4, "
	    "queue-5, queue-6 and 2 more");
	/* What begins too many of them. */
	expect("queue-", &apps, "there is no app \"queue-\": there are web, "
	    "webhooks, api, queue-0, queue-1, queue-2, queue-3, queue-4, "
	    "queue-5, queue-6 and 2 more");
	strlist_free(&apps);
	/* … one of them by a letter. */
	for (int i = 0; i < 5; i++)
		strlist_printf(&apps, "web%.*s", i * i + 1, "xxxxxxxxxxxxxxxxx");
	expect("web", &apps, "there is no app \"web\", did you mean webx? there "
	    "are webx, webxx, webxxxxx, webxxxxxxxxxx and webxxxxxxxxxxxxxxxxx");
	strlist_free(&apps);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(apps_are_named),
	};

	return cmocka_run_group_tests_name("unknown_app", tests, NULL, NULL);
}
