#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <signal.h>

#include "base/str.h"
#include "core/worker/obituary.h"
#include "core/worker/worker_fsm.h"

static void
expect_cause(struct exit_status status, const char *expected)
{
	struct strbuf sb = STRBUF_INIT;

	obituary_cause(&sb, status);
	assert_false(sb.failed);
	assert_string_equal(sb.text, expected);
	strbuf_free(&sb);
}

static void
expect_duration(int64_t ms, const char *expected)
{
	struct strbuf sb = STRBUF_INIT;

	obituary_duration(&sb, ms);
	assert_false(sb.failed);
	assert_string_equal(sb.text, expected);
	strbuf_free(&sb);
}

static void
expect_line(enum worker_reason why, int64_t delay_ms, const char *expected)
{
	const struct worker_step step = { .why = why, .delay_ms = delay_ms };
	struct strbuf sb = STRBUF_INIT;

	/* Appended to what is there. */
	strbuf_puts(&sb, "web[2]: ");
	obituary_line(&sb, "exited with code 3", 3210, &step);
	assert_false(sb.failed);
	assert_string_equal(sb.text, expected);
	strbuf_free(&sb);
}

static void
causes(void **state)
{
	(void)state;
	expect_cause((struct exit_status){ .code = 0 }, "exited with code 0");
	expect_cause((struct exit_status){ .code = 3 }, "exited with code 3");
	expect_cause((struct exit_status){ .code = 255 },
	    "exited with code 255");
	/* An exit code is not a signal, whatever its number. */
	expect_cause((struct exit_status){ .code = SIGKILL },
	    "exited with code 9");
	expect_cause((struct exit_status){ .signalled = true,
	    .code = SIGKILL }, "killed by signal 9 (SIGKILL)");
	expect_cause((struct exit_status){ .signalled = true,
	    .code = SIGTERM }, "killed by signal 15 (SIGTERM)");
	expect_cause((struct exit_status){ .signalled = true,
	    .core_dumped = true, .code = SIGABRT },
	    "killed by signal 6 (SIGABRT), core dumped,");
	expect_cause(EXIT_STATUS_UNSEEN, "gone, nobody saw how,");
	/* A real-time signal has no name. */
	expect_cause((struct exit_status){ .signalled = true, .code = 40 },
	    "killed by signal 40");
	expect_cause((struct exit_status){ .signalled = true,
	    .core_dumped = true, .code = 40 },
	    "killed by signal 40, core dumped,");
}

static void
durations(void **state)
{
	const int64_t minute = 60 * 1000, hour = 60 * minute, day = 24 * hour;

	(void)state;
	expect_duration(0, "0ms");
	expect_duration(7, "7ms");
	expect_duration(120, "120ms");
	expect_duration(999, "999ms");
	expect_duration(1000, "1.0s");
	expect_duration(1099, "1.0s");
	expect_duration(1100, "1.1s");
	expect_duration(3210, "3.2s");
	expect_duration(59999, "59.9s");
	expect_duration(minute, "1m00s");
	expect_duration(minute + 9999, "1m09s");
	expect_duration(5 * minute + 42 * 1000, "5m42s");
	expect_duration(hour - 1, "59m59s");
	expect_duration(hour, "1h00m");
	expect_duration(2 * hour + 7 * minute + 59999, "2h07m");
	expect_duration(2 * day - 1, "47h59m");
	expect_duration(2 * day, "2d00h");
	expect_duration(3 * day + 5 * hour - 1, "3d04h");
	expect_duration(400 * day + 23 * hour, "400d23h");
	expect_duration(INT64_C(36500) * day, "36500d00h");
}

static void
line_tells_what_happens_next(void **state)
{
	(void)state;
	expect_line(WORKER_WHY_AGAIN, 100,
	    "web[2]: exited with code 3 after 3.2s, restarting in 100ms");
	expect_line(WORKER_WHY_AGAIN, 30000,
	    "web[2]: exited with code 3 after 3.2s, restarting in 30.0s");
	expect_line(WORKER_WHY_AGAIN, 0,
	    "web[2]: exited with code 3 after 3.2s, restarting now");
	expect_line(WORKER_WHY_NO_FORK, 200,
	    "web[2]: exited with code 3 after 3.2s, restarting in 200ms");
	expect_line(WORKER_WHY_LIMIT, 0,
	    "web[2]: exited with code 3 after 3.2s, restart_limit reached");
	expect_line(WORKER_WHY_POLICY, 0,
	    "web[2]: exited with code 3 after 3.2s, not restarted, as the "
	    "restart policy says");
	expect_line(WORKER_WHY_TRIAL, 0,
	    "web[2]: exited with code 3 after 3.2s, died on trial");
	expect_line(WORKER_WHY_READY_TIMEOUT, 0,
	    "web[2]: exited with code 3 after 3.2s, not ready within "
	    "ready_timeout");
	expect_line(WORKER_WHY_STOP_TIMEOUT, 0,
	    "web[2]: exited with code 3 after 3.2s, still there after "
	    "stop_timeout");
	/* Who asked for it knows what happens next. */
	expect_line(WORKER_WHY_ASKED, 0,
	    "web[2]: exited with code 3 after 3.2s");
	expect_line(WORKER_WHY_NOTHING, 0,
	    "web[2]: exited with code 3 after 3.2s");
}

/* The line of the specification, from its parts. */
static void
oom(void **state)
{
	struct strbuf own = STRBUF_INIT, other = STRBUF_INIT;

	(void)state;
	obituary_oom(&own, INT64_C(512) << 20);
	assert_string_equal(own.text,
	    "killed by the OOM killer (memory_limit 512M)");
	obituary_oom(&other, -1);
	assert_string_equal(other.text, "killed by the OOM killer");
	strbuf_free(&own);
	strbuf_free(&other);
}

static void
cause_age_and_consequence(void **state)
{
	const struct worker_step step = {
		.why = WORKER_WHY_AGAIN, .delay_ms = 100,
	};
	struct strbuf cause = STRBUF_INIT, line = STRBUF_INIT;

	(void)state;
	obituary_cause(&cause, (struct exit_status){
	    .signalled = true, .code = SIGKILL });
	obituary_line(&line, cause.text, 3200, &step);
	assert_string_equal(line.text, "killed by signal 9 (SIGKILL) after "
	    "3.2s, restarting in 100ms");
	strbuf_free(&cause);
	strbuf_free(&line);

	obituary_cause(&cause, (struct exit_status){
	    .signalled = true, .core_dumped = true, .code = SIGSEGV });
	obituary_line(&line, cause.text, 86400 * 1000, &step);
	assert_string_equal(line.text, "killed by signal 11 (SIGSEGV), core "
	    "dumped, after 24h00m, restarting in 100ms");
	strbuf_free(&cause);
	strbuf_free(&line);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(causes),
		cmocka_unit_test(oom),
		cmocka_unit_test(durations),
		cmocka_unit_test(line_tells_what_happens_next),
		cmocka_unit_test(cause_age_and_consequence),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
