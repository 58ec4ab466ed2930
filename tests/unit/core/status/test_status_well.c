#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>

#include "core/status/status.h"
#include "core/status/status_well.h"
#include "status_lines.h"

#define RUNS "+ clusterd pid=1 state=running\n"
#define READY(n) "+ instance app=web instance=" n " role=seat state=ready\n"

static bool
is_well(const char *text, bool one)
{
	struct status s;
	bool well;

	status_read(&s, text);
	well = status_is_well(&s, one);
	status_free(&s);
	return well;
}

static void
what_is_as_it_should_be(void **state)
{
	static const char *const texts[] = {
		"",
		RUNS,
		RUNS "+ app name=web state=running wanted=2 ready=2\n"
		    READY("0") READY("1"),
		/* A reload whose new workers are on trial, and old ones go. */
		RUNS "+ app name=web state=reloading wanted=1 ready=1\n"
		    READY("0")
		    "+ instance app=web instance=0 role=next state=starting\n"
		    "+ instance app=web instance=0 role=retiring "
		    "state=draining\n",
		/* What has ended well, or was asked to go. */
		RUNS "+ app name=web state=running wanted=2 ready=1\n"
		    READY("0")
		    "+ instance app=web instance=1 role=seat state=ended\n",
		RUNS "+ app name=web state=ended wanted=2 ready=0\n",
		RUNS "+ app name=web state=stopped wanted=2 ready=0\n",
		RUNS "+ app name=web state=stopping wanted=1 ready=0\n"
		    "+ instance app=web instance=0 role=seat state=draining\n",
		/* Nobody knows better. */
		"+ app name=web\n",
		"+ clusterd state=going%20down\n"
		    "+ app name=web state=running wanted=1 ready=1\n"
		    READY("0"),
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_true(is_well(texts[i], false));
}

static void
what_is_not(void **state)
{
	static const char *const states[] = {
		"starting", "draining", "stopping", "killed", "backoff",
		"parked", "failed", "whatever",
	};
	char text[256];

	(void)state;
	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
		snprintf(text, sizeof(text), RUNS
		    "+ app name=web state=running wanted=2 ready=1\n" READY("0")
		    "+ instance app=web instance=1 role=seat state=%s\n",
		    states[i]);
		assert_false(is_well(text, false));
	}
	assert_false(is_well("+ app name=web state=failed wanted=1 ready=0\n",
	    false));
	assert_false(is_well("+ clusterd pid=1 state=stopping\n", false));
	/* One app of several. */
	assert_false(is_well("+ app name=web state=running wanted=1\n" READY("0")
	    "+ app name=db state=running wanted=1 ready=0\n"
	    "+ instance app=db instance=0 role=seat state=starting\n", false));
}

/* Of an instance that was asked for, the others are not told. */
static void
an_instance_alone(void **state)
{
	static const char text[] =
	    "+ app name=web state=running wanted=2 ready=1\n" READY("1");

	(void)state;
	assert_true(is_well(text, true));
	assert_false(is_well(text, false));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_as_it_should_be),
		cmocka_unit_test(what_is_not),
		cmocka_unit_test(an_instance_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
