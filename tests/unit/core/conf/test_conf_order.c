#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/conf/conf.h"
#include "core/conf/conf_error.h"
#include "core/conf/conf_order.h"

#define N_MAX 300

/* Apps a, b, c …, or of N_MAX: n0, n1 … */
struct apps {
	struct config config;
	struct conf_app v[N_MAX];
	unsigned lines[N_MAX];
	struct conf_errors errors;
};

static void
add(struct apps *a, const char *name, const char *after)
{
	size_t n = a->config.n_apps++;
	struct conf_app *app = &a->v[n];
	char *copy = strdup(after);

	*app = (struct conf_app){ .name = strdup(name) };
	for (char *w = strtok(copy, " "); w != NULL; w = strtok(NULL, " "))
		strlist_add(&app->after, w);
	free(copy);
	app->stop_timeout_ms = 1 << n % 16;
	a->lines[n] = 10 * (unsigned)n + 10;
	a->config.apps = a->v;
}

static void
end(struct apps *a)
{
	for (size_t i = 0; i < a->config.n_apps; i++) {
		free(a->v[i].name);
		strlist_free(&a->v[i].after);
	}
	conf_errors_free(&a->errors);
}

static void
check(const char *const after[3], const char *error)
{
	struct apps a = { .errors = { .file = "app.ini" } };

	add(&a, "db", after[0]);
	add(&a, "web", after[1]);
	add(&a, "cache", after[2]);
	assert_int_equal(conf_order_check(&a.config, a.lines, &a.errors), 0);
	if (error == NULL) {
		assert_int_equal(a.errors.n, 0);
	} else {
		assert_int_equal(a.errors.n, 1);
		assert_string_equal(a.errors.v[0].text, error);
	}
	end(&a);
}

static void
orders(void **state)
{
	(void)state;
	check((const char *[]){ "", "", "" }, NULL);
	check((const char *[]){ "", "cache db", "db" }, NULL);
	check((const char *[]){ "cache web", "cache", "" }, NULL);
	check((const char *[]){ "", "db", "db" }, NULL);
}

static void
circles(void **state)
{
	(void)state;
	check((const char *[]){ "", "web", "" }, "app.ini:20: after: web waits "
	    "for web: none of them could begin");
	check((const char *[]){ "web", "db", "" }, "app.ini:20: after: web "
	    "waits for db, db for web: none of them could begin");
	check((const char *[]){ "web", "cache", "db" }, "app.ini:10: after: db "
	    "waits for web, web for cache, cache for db: none of them could "
	    "begin");
	/* One that is in none waits for it. */
	check((const char *[]){ "web", "cache", "cache" }, "app.ini:30: after: "
	    "cache waits for cache: none of them could begin");
	check((const char *[]){ "web", "cache web", "" }, "app.ini:20: after: "
	    "web waits for web: none of them could begin");
}

static void
names(void **state)
{
	(void)state;
	check((const char *[]){ "", "cach", "" }, "app.ini:20: after: there is "
	    "no app \"cach\", did you mean cache?");
	check((const char *[]){ "queue", "", "" }, "app.ini:10: after: there is "
	    "no app \"queue\"");
}

static int64_t
cost(const struct conf_app *app)
{
	return app->stop_timeout_ms;
}

static void
longest(void **state)
{
	struct apps a = { .errors = { .file = "app.ini" } };

	(void)state;
	assert_int_equal(conf_order_longest(&a.config, cost), 0);
	add(&a, "a", "");		/* 1 */
	add(&a, "b", "");		/* 2 */
	add(&a, "c", "");		/* 4 */
	assert_int_equal(conf_order_longest(&a.config, cost), 4);
	add(&a, "d", "a b c");		/* 8 */
	assert_int_equal(conf_order_longest(&a.config, cost), 8 + 4);
	add(&a, "e", "d a");		/* 16 */
	add(&a, "f", "b");		/* 32 */
	assert_int_equal(conf_order_longest(&a.config, cost), 32 + 2);
	end(&a);
}

/* The latest first, which takes the most passes. */
static void
long_chain(void **state)
{
	struct apps *a = calloc(1, sizeof(*a));
	int64_t sum = 0;

	(void)state;
	assert_non_null(a);
	a->errors.file = "app.ini";
	for (unsigned i = 0; i < N_MAX; i++) {
		char name[16], after[16] = "";

		snprintf(name, sizeof(name), "n%u", i);
		if (i + 1 < N_MAX)
			snprintf(after, sizeof(after), "n%u", i + 1);
		add(a, name, after);
		sum += cost(&a->v[i]);
	}
	assert_int_equal(conf_order_check(&a->config, a->lines, &a->errors), 0);
	assert_int_equal(a->errors.n, 0);
	assert_int_equal(conf_order_longest(&a->config, cost), sum);
	end(a);
	free(a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(orders),
		cmocka_unit_test(circles),
		cmocka_unit_test(names),
		cmocka_unit_test(longest),
		cmocka_unit_test(long_chain),
	};

	return cmocka_run_group_tests_name("conf_order", tests, NULL, NULL);
}
