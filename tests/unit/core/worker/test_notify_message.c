#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/worker/notify_message.h"

/* What a failed parse has to leave alone. */
static const char untouched[] = "untouched";

/*
 * Parse a copy that is exactly as long as the message, so that a sanitizer
 * sees every byte that is read beyond it.
 */
static int
parse(const char *text, size_t len, char **ret_copy, struct notify_message *m)
{
	char *copy = malloc(len > 0 ? len : 1);

	assert_non_null(copy);
	memcpy(copy, text, len);
	*m = (struct notify_message){
		.ready = true, .stopping = true, .status = untouched,
		.status_len = 77,
	};
	*ret_copy = copy;
	return notify_message_parse(copy, len, m);
}

static void
expect_bytes(const char *text, size_t len, bool ready, bool stopping,
    const char *status)
{
	struct notify_message m;
	char *copy;

	assert_int_equal(parse(text, len, &copy, &m), 0);
	assert_int_equal(m.ready, ready);
	assert_int_equal(m.stopping, stopping);
	if (status == NULL) {
		assert_null(m.status);
	} else {
		assert_non_null(m.status);
		assert_true(m.status >= copy && m.status <= copy + len);
		assert_int_equal(m.status_len, strlen(status));
		assert_memory_equal(m.status, status, m.status_len);
	}
	free(copy);
}

static void
expect_refused_bytes(const char *text, size_t len)
{
	struct notify_message m;
	char *copy;

	assert_int_equal(parse(text, len, &copy, &m), -EINVAL);
	assert_true(m.ready);
	assert_true(m.stopping);
	assert_ptr_equal(m.status, untouched);
	assert_int_equal(m.status_len, 77);
	free(copy);
}

#define EXPECT(text, ready, stopping, status) \
	expect_bytes(text, sizeof(text) - 1, ready, stopping, status)
#define EXPECT_REFUSED(text) \
	expect_refused_bytes(text, sizeof(text) - 1)

static void
single_words(void **state)
{
	(void)state;
	EXPECT("READY=1", true, false, NULL);
	EXPECT("READY=1\n", true, false, NULL);
	EXPECT("STOPPING=1", false, true, NULL);
	EXPECT("STATUS=warming up", false, false, "warming up");
}

static void
near_misses_mean_nothing(void **state)
{
	(void)state;
	EXPECT("READY=0", false, false, NULL);
	EXPECT("READY=", false, false, NULL);
	EXPECT("READY=10", false, false, NULL);
	EXPECT("READY=1 ", false, false, NULL);
	EXPECT("READY=1\r\n", false, false, NULL);
	EXPECT(" READY=1", false, false, NULL);
	EXPECT("ready=1", false, false, NULL);
	EXPECT("XREADY=1", false, false, NULL);
	EXPECT("READYREADY=1", false, false, NULL);
	EXPECT("STOPPING=0", false, false, NULL);
	EXPECT("STOPPING=11", false, false, NULL);
	EXPECT("STATU=1", false, false, NULL);
	EXPECT("STATUSX=1", false, false, NULL);
	EXPECT("XSTATUS=1", false, false, NULL);
}

static void
several_keys(void **state)
{
	(void)state;
	EXPECT("READY=1\nSTATUS=ok\nSTOPPING=1", true, true, "ok");
	EXPECT("MAINPID=4711\nREADY=1\nFDNAME=x=y\n", true, false, NULL);
	EXPECT("WATCHDOG=1\nERRNO=2\nX_MINE==\n", false, false, NULL);
	/* One READY=1 is enough, wherever it stands; nothing takes it back. */
	EXPECT("READY=1\nREADY=0", true, false, NULL);
	EXPECT("READY=0\nREADY=1\nREADY=1", true, false, NULL);
	/* The last status counts, also when it is empty. */
	EXPECT("STATUS=one\nSTATUS=two", false, false, "two");
	EXPECT("STATUS=one\nSTATUS=", false, false, "");
	EXPECT("STATUS=\nREADY=1", true, false, "");
	EXPECT("STATUS=a=b READY=1", false, false, "a=b READY=1");
	EXPECT("STATUS=\xff\x01\xfe", false, false, "\xff\x01\xfe");
}

static void
expect_times(const char *text, int64_t watchdog, int64_t extend, bool odd)
{
	struct notify_message m;
	char *copy;

	assert_int_equal(parse(text, strlen(text), &copy, &m), 0);
	assert_int_equal(m.watchdog_us, watchdog);
	assert_int_equal(m.extend_us, extend);
	assert_int_equal(m.odd, odd);
	free(copy);
}

static void
times(void **state)
{
	(void)state;
	expect_times("READY=1", 0, 0, false);
	expect_times("WATCHDOG_USEC=20000000", 20000000, 0, false);
	expect_times("EXTEND_TIMEOUT_USEC=1\nWATCHDOG_USEC=2", 2, 1, false);
	expect_times("EXTEND_TIMEOUT_USEC=1\nEXTEND_TIMEOUT_USEC=3", 0, 3,
	    false);
	expect_times("EXTEND_TIMEOUT_USEC=18446744073709551615", 0,
	    NOTIFY_USEC_MAX, false);
	expect_times("EXTEND_TIMEOUT_USEC=99999999999999999999999999", 0,
	    NOTIFY_USEC_MAX, false);
	expect_times("EXTEND_TIMEOUT_USEC=0", 0, 0, true);
	expect_times("EXTEND_TIMEOUT_USEC=", 0, 0, true);
	expect_times("EXTEND_TIMEOUT_USEC=-1", 0, 0, true);
	expect_times("WATCHDOG_USEC=5s", 0, 0, true);
	expect_times("WATCHDOG_USEC= 5", 0, 0, true);
	expect_times("WATCHDOG_USECS=5", 0, 0, false);
	expect_times("XWATCHDOG_USEC=5", 0, 0, false);
}

static void
expect_watchdog(const char *text, bool alive, bool trigger)
{
	struct notify_message m;
	char *copy;

	assert_int_equal(parse(text, strlen(text), &copy, &m), 0);
	assert_int_equal(m.watchdog, alive);
	assert_int_equal(m.trigger, trigger);
	free(copy);
}

static void
watchdog(void **state)
{
	(void)state;
	expect_watchdog("WATCHDOG=1", true, false);
	expect_watchdog("WATCHDOG=trigger", false, true);
	expect_watchdog("WATCHDOG=1\nWATCHDOG=trigger", true, true);
	expect_watchdog("WATCHDOG=0", false, false);
	expect_watchdog("WATCHDOG=11", false, false);
	expect_watchdog("WATCHDOG=triggered", false, false);
	expect_watchdog("WATCHDOG=", false, false);
}

static void
empty_lines_are_skipped(void **state)
{
	(void)state;
	EXPECT("", false, false, NULL);
	EXPECT("\n", false, false, NULL);
	EXPECT("\n\n\n", false, false, NULL);
	EXPECT("\n\nREADY=1\n\n\nSTATUS=x\n\n", true, false, "x");
}

static void
trailing_nul(void **state)
{
	(void)state;
	EXPECT("READY=1\0", true, false, NULL);
	EXPECT("READY=1\n\0", true, false, NULL);
	EXPECT("STATUS=x\0", false, false, "x");
	EXPECT("STATUS=\0", false, false, "");
	EXPECT("\0", false, false, NULL);
	/* One of them, at the end, and no other. */
	EXPECT_REFUSED("READY=1\0\0");
	EXPECT_REFUSED("\0\0");
	EXPECT_REFUSED("\0READY=1");
	EXPECT_REFUSED("READY=1\0\n");
	EXPECT_REFUSED("READY=1\nSTA\0TUS=x");
	EXPECT_REFUSED("READY=1\nSTATUS=a\0b");
}

static void
garbage_voids_the_whole_datagram(void **state)
{
	(void)state;
	EXPECT_REFUSED("READY");
	EXPECT_REFUSED("x");
	EXPECT_REFUSED("=1");
	EXPECT_REFUSED("=");
	EXPECT_REFUSED("READY=1\nnonsense");
	EXPECT_REFUSED("nonsense\nREADY=1");
	EXPECT_REFUSED("READY=1\n=x");
	EXPECT_REFUSED("READY=1\n \n");
	EXPECT_REFUSED("READY=1\n\r\n");
	/* The = of the next line is none of this one's. */
	EXPECT_REFUSED("READY\n=1");
	EXPECT_REFUSED("READY\nX=1");
}

/* Every cut of a message: the length counts, not some NUL behind it. */
static void
length_is_respected(void **state)
{
	static const char text[] = "READY=1\nSTATUS=abc\nSTOPPING=1";
	const size_t status = strlen("READY=1\nSTATUS=");

	(void)state;
	for (size_t len = 0; len < sizeof(text); len++) {
		struct notify_message m;
		char *copy;
		int code = parse(text, len, &copy, &m);
		size_t line = len;

		/* Bytes of the last line, which may have no = yet. */
		while (line > 0 && text[line - 1] != '\n')
			line--;
		if (len > line && memchr(text + line, '=', len - line) ==
		    NULL) {
			assert_int_equal(code, -EINVAL);
		} else {
			assert_int_equal(code, 0);
			assert_int_equal(m.ready, len >= strlen("READY=1"));
			assert_int_equal(m.stopping, len >= sizeof(text) - 1);
			if (len >= status)
				assert_int_equal(m.status_len,
				    len < status + 3 ? len - status : 3);
			else
				assert_null(m.status);
		}
		free(copy);
	}
}

static void
longest_message(void **state)
{
	char text[NOTIFY_MESSAGE_MAX + 1];
	struct notify_message m;
	char *copy;

	(void)state;
	memset(text, 'x', sizeof(text));
	memcpy(text, "STATUS=", 7);
	assert_int_equal(parse(text, NOTIFY_MESSAGE_MAX, &copy, &m), 0);
	assert_int_equal(m.status_len, NOTIFY_MESSAGE_MAX - 7);
	assert_false(m.ready);
	free(copy);

	memset(text, '\n', sizeof(text));
	memcpy(text + NOTIFY_MESSAGE_MAX - 7, "READY=1", 7);
	assert_int_equal(parse(text, NOTIFY_MESSAGE_MAX, &copy, &m), 0);
	assert_true(m.ready);
	free(copy);
}

/* ---- random messages against a reader that goes byte by byte ---- */

struct naive {
	bool valid, ready, stopping;
	bool status;
	char text[96];
};

static void
naive_line(struct naive *n, const char *line)
{
	if (*line == '\0')
		return;
	if (strchr(line, '=') == NULL || *line == '=') {
		n->valid = false;
	} else if (strcmp(line, "READY=1") == 0) {
		n->ready = true;
	} else if (strcmp(line, "STOPPING=1") == 0) {
		n->stopping = true;
	} else if (strncmp(line, "STATUS=", 7) == 0) {
		n->status = true;
		strcpy(n->text, line + 7);
	}
}

static struct naive
naive_parse(const char *text, size_t len)
{
	struct naive n = { .valid = true };
	char line[96];
	size_t fill = 0;

	for (size_t i = 0; i < len; i++) {
		if (text[i] == '\n') {
			line[fill] = '\0';
			naive_line(&n, line);
			fill = 0;
		} else if (text[i] == '\0') {
			if (i + 1 < len)
				n.valid = false;
		} else {
			line[fill++] = text[i];
		}
	}
	line[fill] = '\0';
	naive_line(&n, line);
	return n;
}

static void
random_messages(void **state)
{
	static const char *const pieces[] = {
		"READY=1", "STOPPING=1", "STATUS=", "\n", "\n", "\n", "=", "1",
		"x", "\xff", "STATUS=ok", "READY", "", "A=B",
	};
	const unsigned n_pieces = sizeof(pieces) / sizeof(*pieces);
	uint32_t seed = 7;
	unsigned valid = 0, ready = 0, with_status = 0;

	(void)state;
	for (int i = 0; i < 300000; i++) {
		char text[96];
		size_t len = 0;
		struct naive n;
		struct notify_message m;
		char *copy;
		unsigned count;

		seed = seed * 1664525 + 1013904223;
		count = seed >> 29;
		while (count-- > 0) {
			const char *piece;

			seed = seed * 1664525 + 1013904223;
			if (seed >> 26 == 0) {
				text[len++] = '\0';
				continue;
			}
			piece = pieces[(seed >> 16) % n_pieces];
			memcpy(text + len, piece, strlen(piece));
			len += strlen(piece);
			assert_true(len < sizeof(text) - 16);
		}
		n = naive_parse(text, len);
		if (parse(text, len, &copy, &m) == 0) {
			assert_true(n.valid);
			assert_int_equal(m.ready, n.ready);
			assert_int_equal(m.stopping, n.stopping);
			assert_int_equal(m.status != NULL, n.status);
			if (n.status) {
				assert_int_equal(m.status_len,
				    strlen(n.text));
				assert_memory_equal(m.status, n.text,
				    m.status_len);
				with_status++;
			}
			valid++;
			ready += n.ready;
		} else {
			assert_false(n.valid);
		}
		free(copy);
	}
	/* Every kind came up in numbers. */
	assert_in_range(valid, 50000, 250000);
	assert_true(ready > 3000);
	assert_true(with_status > 3000);
}

/* Any bytes at all: no crash, and what is accepted lies within. */
static void
random_bytes(void **state)
{
	uint32_t seed = 99;

	(void)state;
	for (int i = 0; i < 200000; i++) {
		char text[40];
		struct notify_message m;
		char *copy;
		size_t len;

		seed = seed * 1664525 + 1013904223;
		len = (seed >> 16) % sizeof(text);
		for (size_t k = 0; k < len; k++) {
			seed = seed * 1664525 + 1013904223;
			text[k] = (char)(seed >> 24);
			/* Enough of what has a meaning. */
			if ((seed >> 16) % 8 < 3)
				text[k] = "=\n\0"[(seed >> 16) % 8];
		}
		if (parse(text, len, &copy, &m) == 0) {
			assert_false(m.ready);
			assert_null(m.status);
		} else {
			assert_ptr_equal(m.status, untouched);
		}
		free(copy);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(times),
		cmocka_unit_test(watchdog),
		cmocka_unit_test(single_words),
		cmocka_unit_test(near_misses_mean_nothing),
		cmocka_unit_test(several_keys),
		cmocka_unit_test(empty_lines_are_skipped),
		cmocka_unit_test(trailing_nul),
		cmocka_unit_test(garbage_voids_the_whole_datagram),
		cmocka_unit_test(length_is_respected),
		cmocka_unit_test(longest_message),
		cmocka_unit_test(random_messages),
		cmocka_unit_test(random_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
