#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "base/str.h"
#include "core/conf/conf.h"
#include "core/worker/event_env.h"
#include "core/worker/worker_env.h"

static char *const inherited[] = {
	(char[]){ "PATH=/a:/b" }, (char[]){ "HOME=/root" },
	(char[]){ "NOTIFY_SOCKET=/x" }, (char[]){ "CLUSTERD_FD=3" },
	(char[]){ "JOURNAL_STREAM=8:1" }, NULL,
};

static int
build(struct config *config, const char *app, struct worker_env *env)
{
	return event_env_build(&(struct event_env_args){
		.config = config, .inherited = inherited, .event = "death",
		.app = app, .worker_id = "1.2",
	}, env);
}

static void
expect(const struct strlist *found, const char *const *words)
{
	size_t n = 0;

	for (; words[n] != NULL; n++)
		assert_string_equal(found->v[n], words[n]);
	assert_int_equal(found->n, n);
}

/* Nothing of other supervisors' is passed on, and nothing in braces replaced. */
static void
words_of_all(void **state)
{
	struct config config = { .refs = 1 };
	struct worker_env env;

	(void)state;
	strlist_add(&config.on_event, "tell");
	strlist_add(&config.on_event, "{app}");
	assert_int_equal(build(&config, "web", &env), 0);
	expect(&env.argv, (const char *[]){ "tell", "{app}", NULL });
	expect(&env.files, (const char *[]){ "/a/tell", "/b/tell", NULL });
	expect(&env.env, (const char *[]){ "CLUSTERD_WORKER_ID=1.2",
	    "CLUSTERD_EVENT=death", "CLUSTERD_APP=web", "PATH=/a:/b",
	    "HOME=/root", NULL });
	worker_env_free(&env);
	config.on_event_creds = (struct conf_creds){
		.set = true, .name = (char[]){ "ops" }, .home = (char[]){ "/o" },
	};
	assert_int_equal(build(&config, NULL, &env), 0);
	expect(&env.env, (const char *[]){ "CLUSTERD_WORKER_ID=1.2",
	    "CLUSTERD_EVENT=death", "USER=ops", "LOGNAME=ops", "HOME=/o",
	    "PATH=/a:/b", NULL });
	worker_env_free(&env);
	strlist_free(&config.on_event);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_of_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
