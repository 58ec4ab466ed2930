/* What the supervisor above keeps tells whose it is. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "core/names/address.h"
#include "core/sockets/lane_name.h"

static struct lane_name
example(const char *written)
{
	struct lane_name n = {
		.app = "web", .position = 2, .instance = -1, .listener = 7,
		.joined = 3, .live = true,
	};

	if (written == NULL)
		n.is_unix = true;
	else
		assert_int_equal(address_parse(written, "/", &n.written, NULL),
		    0);
	return n;
}

static void
assert_same(const struct lane_name *a, const struct lane_name *b)
{
	assert_string_equal(a->app, b->app);
	assert_int_equal(a->position, b->position);
	assert_int_equal(a->instance, b->instance);
	assert_int_equal(a->listener, b->listener);
	assert_int_equal(a->joined, b->joined);
	assert_int_equal(a->live, b->live);
	assert_int_equal(a->derived, b->derived);
	assert_int_equal(a->beside, b->beside);
	assert_int_equal(a->is_unix, b->is_unix);
	if (!a->is_unix)
		assert_true(address_equal(&a->written, &b->written));
}

/* systemd takes ASCII without control characters and colons. */
static void
assert_is_taken(const char *text)
{
	assert_true(strlen(text) <= 255);
	for (const char *p = text; *p != '\0'; p++)
		assert_true(*p >= ' ' && *p < 127 && *p != ':');
}

static void
check(const struct lane_name *n)
{
	struct lane_name back;
	char text[LANE_NAME_SIZE];

	assert_int_equal(lane_name_put(n, text), 0);
	assert_is_taken(text);
	assert_true(lane_name_is_ours(text));
	assert_int_equal(lane_name_get(text, &back), 0);
	assert_same(n, &back);
}

static void
test_reads_what_it_writes(void **state)
{
	static const char *const written[] = {
		"8080", "0", "127.0.0.1:1", "[::1]:65535", "[::]:80", "*:80",
		"udp:53", "udp:[fe80::1]:53", NULL,
		"10.0.0.1:80 interface=eth0 freebind mark=7 defer_accept=5",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(written) / sizeof(*written); i++) {
		struct lane_name n = example(written[i]);

		check(&n);
		n.instance = INT32_MAX;
		n.listener = n.joined = UINT64_MAX;
		n.live = false;
		n.derived = n.beside = true;
		memset(n.app, 'a', sizeof(n.app) - 1);
		check(&n);
	}
}

static void
test_form(void **state)
{
	struct lane_name n = example("127.0.0.1:80");
	char text[LANE_NAME_SIZE];

	(void)state;
	n.derived = true;
	assert_int_equal(lane_name_put(&n, text), 0);
	assert_string_equal(text, "clusterd web 2 - 7 3 .ld 127.0.0.1;80");
}

static void
test_refuses_what_says_nothing(void **state)
{
	static const char *const bad[] = {
		"", "web.socket", "stored", "clusterd", "clusterd ",
		"clusterd web", "clusterd web 0 - 1 1 .",
		"clusterd  0 - 1 1 . 127.0.0.1;80",
		"clusterd aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa 0 - 1 1 . 80",
		"clusterd web x - 1 1 . 80", "clusterd web -1 - 1 1 . 80",
		"clusterd web 0 -1 1 1 . 80", "clusterd web 0 - 0 1 . 80",
		"clusterd web 0 - 1 x . 80", "clusterd web 0 - 1 1 l 80",
		"clusterd web 0 - 1 1 .x 80", "clusterd web 0 - 1 1 . ",
		"clusterd web 0 - 1 1 . 127.0.0.1;x",
		"clusterd web 0 - 1 1 . unix;/x",
		"clusterd web 2147483648 - 1 1 . 80",
	};
	struct lane_name n = { .position = 99 };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(lane_name_get(bad[i], &n), -EINVAL);
	assert_int_equal(n.position, 99);
}

static void
test_too_long(void **state)
{
	char text[LANE_NAME_SIZE + 64];
	struct lane_name n;

	(void)state;
	memset(text, ' ', sizeof(text));
	memcpy(text, "clusterd web 0 - 1 1 . 80", 25);
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(lane_name_get(text, &n), -EINVAL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reads_what_it_writes),
		cmocka_unit_test(test_form),
		cmocka_unit_test(test_refuses_what_says_nothing),
		cmocka_unit_test(test_too_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
