#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/str.h"
#include "core/conf/conf.h"
#include "core/health/recycle.h"

#define MB (INT64_C(1) << 20)

static const struct conf_app any = {
	.max_memory = -1, .max_age_ms = -1, .max_connections = -1,
};
static const struct conf_app all = {
	.max_memory = 512 * MB, .max_age_ms = 3600000, .max_connections = 1000,
};

static void
check(const struct recycle_facts *facts, enum recycle_cause reason,
    const char *words)
{
	struct strbuf sb = STRBUF_INIT;

	assert_int_equal(recycle_why(&all, facts), reason);
	assert_int_equal(recycle_why(&any, facts), RECYCLE_CAUSES);
	recycle_put_words(&sb, &all, reason, facts);
	if (words == NULL)
		assert_int_equal(sb.len, 0);
	else
		assert_string_equal(sb.text, words);
	strbuf_free(&sb);
}

static void
reasons(void **state)
{
	(void)state;
	assert_true(recycle_is_asked(&all));
	assert_false(recycle_is_asked(&any));
	check(&(struct recycle_facts){ .memory = 512 * MB, .age_ms = 3000000,
	    .connections = 999 }, RECYCLE_CAUSES, NULL);
	check(&(struct recycle_facts){ .memory = -1, .connections = -1 },
	    RECYCLE_CAUSES, NULL);
	check(&(struct recycle_facts){ .memory = 530 * MB + 7,
	    .connections = -1 }, RECYCLE_MEMORY,
	    "uses 530M, more than max_memory = 512M");
	/* Who grows slowly is found just above it. */
	check(&(struct recycle_facts){ .memory = 512 * MB + 4096,
	    .connections = -1 }, RECYCLE_MEMORY,
	    "uses 524292K, more than max_memory = 512M");
	check(&(struct recycle_facts){ .memory = 1, .age_ms = 3960123,
	    .connections = -1 }, RECYCLE_AGE,
	    "has lived for 66m, max_age = 1h");
	check(&(struct recycle_facts){ .memory = 1, .connections = 1000 },
	    RECYCLE_CONNECTIONS,
	    "has taken 1000 connections, max_connections = 1000");
}

/* Those who were started together do not go together. */
static void
ages(void **state)
{
	int64_t least = INT64_MAX, most = 0;

	(void)state;
	for (uint64_t serial = 1000; serial < 1008; serial++) {
		int64_t ms = recycle_age_ms(100000, serial);

		assert_in_range(ms, 90000, 110000);
		least = ms < least ? ms : least;
		most = ms > most ? ms : most;
	}
	assert_true(most - least > 10000);
	assert_int_equal(recycle_age_ms(0, 5), 0);
	assert_in_range(recycle_age_ms(1000, UINT64_MAX), 900, 1100);
}

static void
pauses(void **state)
{
	struct recycle_pace pace = { .failures = 0 };
	struct mono now = { .ns = 1000 };
	int64_t last = 0;

	(void)state;
	assert_true(recycle_may(&pace, now));
	assert_int_equal(recycle_note(&pace, false, now), RECYCLE_PAUSE_MS);
	assert_false(recycle_may(&pace, now));
	assert_false(recycle_may(&pace, mono_add_ms(now,
	    RECYCLE_PAUSE_MS - 1)));
	assert_true(recycle_may(&pace, mono_add_ms(now, RECYCLE_PAUSE_MS)));
	assert_int_equal(recycle_note(&pace, false, now), 2 * RECYCLE_PAUSE_MS);
	for (int i = 0; i < 100; i++)
		last = recycle_note(&pace, false, now);
	assert_int_equal(last, RECYCLE_PAUSE_MAX_MS);
	assert_int_equal(recycle_note(&pace, true, now), 0);
	assert_true(recycle_may(&pace, now));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reasons),
		cmocka_unit_test(ages),
		cmocka_unit_test(pauses),
	};

	return cmocka_run_group_tests_name("recycle", tests, NULL, NULL);
}
