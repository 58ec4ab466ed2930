#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "core/names/address.h"

#define BASE "/etc/app"

static struct address
parse(const char *text)
{
	struct error err = ERROR_INIT;
	struct address a;

	if (address_parse(text, BASE, &a, &err) != 0)
		fail_msg("%s: %s", text, error_text(&err));
	return a;
}

static void
expect(const char *text, enum address_kind kind, enum address_host host,
    unsigned port, const char *formatted, const char *numeric)
{
	struct address a = parse(text), again;
	char *s;

	assert_int_equal(a.kind, kind);
	if (kind == ADDRESS_UNIX) {
		assert_string_equal(a.path, numeric);
	} else {
		assert_null(a.path);
		assert_int_equal(a.host, host);
		assert_int_equal(a.port, port);
	}

	s = address_format(&a);
	assert_string_equal(s, formatted);
	again = parse(s);
	assert_true(address_equal(&a, &again));
	address_free(&again);
	free(s);

	s = address_format_numeric(&a);
	assert_string_equal(s, numeric);
	free(s);
	assert_string_equal(address_text(&a).s, formatted);
	assert_string_equal(address_text_numeric(&a).s, numeric);
	address_free(&a);
}

static void
bare_has_no_brackets(void **state)
{
	static const struct {
		const char *text, *bare;
	} rows[] = {
		{ "80", ":::80" },
		{ "127.0.0.1:80", "127.0.0.1:80" },
		{ "[::1]:9000", "::1:9000" },
		{ "[2001:db8::1]:1", "2001:db8::1:1" },
		{ "unix:/a[b]c", "/a[b]c" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct address a = parse(rows[i].text);
		char *bare = address_format_bare(&a);

		assert_string_equal(bare, rows[i].bare);
		free(bare);
		address_free(&a);
	}
}

static void
a_text_for_messages_has_its_limit(void **state)
{
	char path[512];
	const struct address a = { .kind = ADDRESS_UNIX, .path = path };

	(void)state;
	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(strlen(address_text(&a).s),
	    sizeof(struct address_text) - 1);
	assert_int_equal(strlen(address_text_numeric(&a).s),
	    sizeof(struct address_text) - 1);
	assert_memory_equal(address_text(&a).s, "unix:xxx", 8);
}

/* ---- options ---- */

static void
expect_options(const char *text, const char *formatted)
{
	struct address a = parse(text), again;
	char *s = address_format(&a);

	assert_non_null(s);
	if (strcmp(s, formatted) != 0)
		fail_msg("%s: %s is expected, not %s", text, formatted, s);
	again = parse(s);
	assert_true(address_equal(&a, &again));
	assert_memory_equal(&a.options, &again.options, sizeof(a.options));
	/* The key that others compare has none of it. */
	assert_null(strchr(address_text_numeric(&a).s, ' '));
	free(s);
}

static void
expect_refused(const char *text, const char *words)
{
	struct error err = ERROR_INIT;
	struct address a;

	assert_int_equal(address_parse(text, BASE, &a, &err), -EINVAL);
	if (strstr(error_text(&err), words) == NULL)
		fail_msg("%s: %s is expected in: %s", text, words,
		    error_text(&err));
	error_clear(&err);
}

static void
options_stand_behind_an_address(void **state)
{
	(void)state;
	expect_options("8080 interface=eth0", "8080 interface=eth0");
	expect_options("8080\t freebind ", "8080 freebind");
	expect_options("127.0.0.1:80 fastopen=256 defer_accept=5 mark=7 "
	    "transparent freebind interface=a",
	    "127.0.0.1:80 interface=a freebind transparent mark=7 "
	    "defer_accept=5 fastopen=256");
	expect_options("udp:53 mark=4294967295 transparent",
	    "udp:53 transparent mark=4294967295");
	expect_options("8080 mark=0", "8080");
	/* What [::] is anyway. */
	expect_options("8080 v6only", "[::]:8080");
	expect_options("[::]:8080 v6only", "[::]:8080");
	expect_options("udp:*:53 v6only mark=1", "udp:[::]:53 mark=1");
	expect_options("[::1]:8080 v6only", "[::1]:8080");
	expect_options("8080 interface=abcdefghijklmno",
	    "8080 interface=abcdefghijklmno");
}

static void
what_is_no_option_is_told_in_words(void **state)
{
	(void)state;
	expect_refused("8080 8081", "\"8081\" is not an option of a listener");
	expect_refused("8080 8081", "a comma separates addresses");
	expect_refused("8080 interface", "interface needs a value");
	expect_refused("8080 interface=", "interface=: the name of a network");
	expect_refused("8080 interface=abcdefghijklmnop", "the name of a");
	expect_refused("8080 interface=a/b", "the name of a network");
	expect_refused("8080 freebind=1", "freebind takes no value");
	expect_refused("8080 mark=-1", "mark=-1: a number from 0 to");
	expect_refused("8080 mark=4294967296", "a number from 0 to 4294967295");
	expect_refused("8080 mark=0x1", "a number from 0");
	expect_refused("8080 defer_accept=0", "a number from 1 to 3600");
	expect_refused("8080 fastopen=65536", "a number from 1 to 65535");
	expect_refused("udp:53 defer_accept=5", "defer_accept is for TCP alone");
	expect_refused("udp:53 fastopen=5", "fastopen is for TCP alone");
	expect_refused("127.0.0.1:80 v6only", "v6only stands behind an IPv4");
	expect_refused("80 mark=1 mark=1", "mark stands here twice");
	expect_refused("x freebind", "\"x\" is not an address");
}

static void
an_interface_is_part_of_the_address(void **state)
{
	struct address a = parse("80 interface=a"), b = parse("80 interface=b"),
	    none = parse("80"), marked = parse("80 mark=1 freebind");

	(void)state;
	assert_false(address_equal(&a, &b));
	assert_false(address_equal(&a, &none));
	assert_true(address_compare(&a, &b) < 0);
	assert_true(address_compare(&b, &a) > 0);
	assert_true(address_equal(&none, &marked));
}

static void
every_form_is_read(void **state)
{
	(void)state;
	expect("8080", ADDRESS_TCP, ADDRESS_HOST_ANY, 8080, "8080",
	    "[::]:8080");
	expect("tcp:8080", ADDRESS_TCP, ADDRESS_HOST_ANY, 8080, "8080",
	    "[::]:8080");
	expect("*:8080", ADDRESS_TCP, ADDRESS_HOST_ANY, 8080, "8080",
	    "[::]:8080");
	expect("0", ADDRESS_TCP, ADDRESS_HOST_ANY, 0, "0", "[::]:0");
	expect("65535", ADDRESS_TCP, ADDRESS_HOST_ANY, 65535, "65535",
	    "[::]:65535");
	expect("127.0.0.1:80", ADDRESS_TCP, ADDRESS_HOST_IPV4, 80,
	    "127.0.0.1:80", "127.0.0.1:80");
	expect("0.0.0.0:80", ADDRESS_TCP, ADDRESS_HOST_IPV4, 80,
	    "0.0.0.0:80", "0.0.0.0:80");
	expect("[::1]:80", ADDRESS_TCP, ADDRESS_HOST_IPV6, 80, "[::1]:80",
	    "[::1]:80");
	expect("[::]:80", ADDRESS_TCP, ADDRESS_HOST_IPV6, 80, "[::]:80",
	    "[::]:80");
	expect("[2001:DB8:0:0::1]:443", ADDRESS_TCP, ADDRESS_HOST_IPV6, 443,
	    "[2001:db8::1]:443", "[2001:db8::1]:443");
	expect("udp:53", ADDRESS_UDP, ADDRESS_HOST_ANY, 53, "udp:53",
	    "[::]:53");
	expect("udp:127.0.0.1:53", ADDRESS_UDP, ADDRESS_HOST_IPV4, 53,
	    "udp:127.0.0.1:53", "127.0.0.1:53");
	expect("udp:[::1]:53", ADDRESS_UDP, ADDRESS_HOST_IPV6, 53,
	    "udp:[::1]:53", "[::1]:53");
	expect("udp:*:53", ADDRESS_UDP, ADDRESS_HOST_ANY, 53, "udp:53",
	    "[::]:53");
	expect("unix:/run/web.sock", ADDRESS_UNIX, 0, 0,
	    "unix:/run/web.sock", "/run/web.sock");
	expect("unix:web.sock", ADDRESS_UNIX, 0, 0,
	    "unix:/etc/app/web.sock", "/etc/app/web.sock");
	expect("unix:.//./web.sock", ADDRESS_UNIX, 0, 0,
	    "unix:/etc/app/web.sock", "/etc/app/web.sock");
	expect("unix:a b:c", ADDRESS_UNIX, 0, 0,
	    "unix:/etc/app/a b:c", "/etc/app/a b:c");
}

static void
network_order_of_the_bytes(void **state)
{
	struct address a = parse("10.2.3.4:80");
	static const uint8_t four[] = { 10, 2, 3, 4 };

	(void)state;
	assert_memory_equal(a.ip, four, sizeof(four));
	a = parse("[102::304]:80");
	assert_int_equal(a.ip[0], 1);
	assert_int_equal(a.ip[1], 2);
	assert_int_equal(a.ip[14], 3);
	assert_int_equal(a.ip[15], 4);
}

static void
the_root_is_a_directory_too(void **state)
{
	struct address a;

	(void)state;
	assert_int_equal(address_parse("unix:x", "/", &a, NULL), 0);
	assert_string_equal(a.path, "/x");
	address_free(&a);
	assert_int_equal(address_parse("unix:./d//x", "/", &a, NULL), 0);
	assert_string_equal(a.path, "/d/x");
	address_free(&a);
}

static void
equal_paths_are_equal_texts(void **state)
{
	static const struct {
		const char *path;
		const char *base;
		const char *expected;
	} all[] = {
		{ "/a", "/b", "/a" },
		{ "/a//b", "/b", "/a/b" },
		{ "//a/./b", "/b", "/a/b" },
		{ "/a/", "/b", "/a" },
		{ "/a/.", "/b", "/a" },
		{ "/", "/b", "/" },
		{ "///.//", "/b", "/" },
		{ "/.a/..b/...", "/b", "/.a/..b/..." },
		{ "/a/../b", "/b", "/a/../b" },
		{ "..", "/b", "/b/.." },
		{ "a", "/b", "/b/a" },
		{ "a", "/b/", "/b/a" },
		{ "././/a", "/b", "/b/a" },
		{ ".", "/b", "/b" },
		{ ".a", "/b", "/b/.a" },
		{ "", "/b", "/b" },
		{ "a", "/", "/a" },
		{ ".", "/", "/" },
		{ "./a//b/", "/", "/a/b" },
		{ " a\t", "/b c ", "/b c / a\t" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		char *path = address_path(all[i].path, all[i].base);

		assert_string_equal(path, all[i].expected);
		free(path);
	}
}

static void
one_unix_path_in_two_forms_is_one_address(void **state)
{
	struct address a = parse("unix:/run/a.sock");
	struct address b = parse("unix:/run//./a.sock");

	(void)state;
	assert_true(address_equal(&a, &b));
	address_free(&a);
	address_free(&b);
}

static void
a_number_is_printed_once(void **state)
{
	struct error err = ERROR_INIT;
	struct address a;

	(void)state;
	assert_int_equal(address_parse("70000", BASE, &a, &err), -EINVAL);
	assert_string_equal(error_text(&err), "\"70000\" is not a port, a "
	    "number from 0 to 65535 is allowed");
	assert_int_equal(address_parse("udp:70000", BASE, &a, &err), -EINVAL);
	assert_string_equal(error_text(&err), "\"udp:70000\": \"70000\" is "
	    "not a port, a number from 0 to 65535 is allowed");
	error_clear(&err);
}

static void
what_is_no_address_is_told_in_words(void **state)
{
	static const struct {
		const char *text;
		const char *needle;
	} bad[] = {
		{ "", "is not an address" },
		{ "70000", "\"70000\" is not a port, a number from 0" },
		{ "127.0.0.1:70000", "\"70000\" is not a port" },
		{ "127.0.0.1:", "\"\" is not a port" },
		{ "127.0.0.1:http", "\"http\" is not a port" },
		{ "127.0.0.1:+80", "is not a port" },
		{ "127.0.0.1:-1", "is not a port" },
		{ "127.0.0.1", "has no port" },
		{ "127.1:80", "is not an address" },
		{ "0x7f.0.0.1:80", "is not an address" },
		{ "127.0.0.01:80", "is not an address" },
		{ "256.0.0.1:80", "is not an address" },
		{ "1.2.3.4.5:80", "is not an address" },
		{ "localhost:80", "names are not looked up" },
		{ "web", "is not an address" },
		{ "-80", "is not an address" },
		{ " 80", "is not an address" },
		{ "http://x:80", "\"http://x\" is not an address" },
		{ "udp:unix:/x", "\"udp:unix:/x\": a Unix listener is always "
				 "a stream" },
		{ "tcp:unix:/x", "a Unix listener is always a stream" },
		{ ":80", "has no address" },
		{ "::1:80", "stands in brackets" },
		{ "udp:::1:80", "stands in brackets" },
		{ "[::1]", "has no port" },
		{ "[::1]80", "has no port" },
		{ "[::1", "has no ]" },
		{ "[]:80", "is not an IPv6 address" },
		{ "[127.0.0.1]:80", "is not an IPv6 address" },
		{ "[:::1]:80", "is not an IPv6 address" },
		{ "[1:2:3:4:5:6:7:8:9:a:b:c:d:e:f:1:2:3:4:5:6]:80",
		    "is not an IPv6 address" },
		{ "[fe80::1%eth0]:80", "names an interface (%)" },
		{ "[::ffff:10.0.0.1]:80", "10.0.0.1:PORT" },
		{ "udp:", "is not an address" },
		{ "udp:udp:1", "is not an address" },
		{ "UDP:53", "is not an address" },
		{ "unix:", "names no file" },
		{ "unix:./", "names no file" },
		{ "unix:/run/", "names no file" },
		{ "unix:/", "names no file" },
		{ "unix:.", "names no file" },
		{ "unix:/run/.", "names no file" },
		{ "unix:..", "names no file" },
		{ "unix:@web", "abstract" },
		{ "unix:/a,b", "comma" },
		{ "unix:/a\tb", "control byte" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct error err = ERROR_INIT;
		struct address a = { .port = 4711 };

		assert_int_equal(address_parse(bad[i].text, BASE, &a, &err),
		    -EINVAL);
		if (strstr(error_text(&err), bad[i].needle) == NULL)
			fail_msg("%s: %s", bad[i].text, error_text(&err));
		assert_int_equal(a.port, 4711);	/* untouched */
		error_clear(&err);
	}
}

/* Room stays for a temporary name beside the path. */
static void
unix_path_is_limited(void **state)
{
	struct address a;
	struct error err = ERROR_INIT;
	char text[128];

	(void)state;
	snprintf(text, sizeof(text), "unix:/%099d", 0);
	a = parse(text);
	assert_int_equal(strlen(a.path), 100);
	address_free(&a);

	snprintf(text, sizeof(text), "unix:/%0100d", 0);
	assert_int_equal(address_parse(text, BASE, &a, &err), -EINVAL);
	assert_non_null(strstr(error_text(&err), "100 bytes are allowed"));
	error_clear(&err);

	/* With the directory before it. */
	snprintf(text, sizeof(text), "unix:%093d", 0);
	assert_int_equal(address_parse(text, BASE, &a, NULL), -EINVAL);
}

static void
equal_means_one_socket(void **state)
{
	static const char *const all[] = {
		"80", "81", "udp:80", "127.0.0.1:80", "127.0.0.2:80",
		"0.0.0.0:80", "[::]:80", "[::1]:80", "udp:[::1]:80",
		"unix:/80", "unix:/81",
	};
	const size_t n = sizeof(all) / sizeof(all[0]);

	(void)state;
	for (size_t i = 0; i < n; i++) {
		for (size_t j = 0; j < n; j++) {
			struct address a = parse(all[i]), b = parse(all[j]);
			int order = address_compare(&a, &b);

			assert_int_equal(address_equal(&a, &b), i == j);
			assert_int_equal(order == 0, i == j);
			assert_true((order < 0) ==
			    (address_compare(&b, &a) > 0));
			address_free(&a);
			address_free(&b);
		}
	}
}

/* Bytes that the kind does not use have no say. */
static void
unused_bytes_do_not_count(void **state)
{
	struct address a = parse("1.2.3.4:80"), b = a;
	struct address c = parse("80"), d = c;

	(void)state;
	b.ip[9] = 7;
	d.ip[0] = 7;
	assert_true(address_equal(&a, &b));
	assert_true(address_equal(&c, &d));
}

static void
a_copy_is_deep(void **state)
{
	struct address a = parse("unix:/x"), b = parse("[::1]:1"), copy;

	(void)state;
	assert_int_equal(address_copy(&a, &copy), 0);
	assert_ptr_not_equal(a.path, copy.path);
	assert_true(address_equal(&a, &copy));
	address_free(&a);
	address_free(&copy);
	assert_null(copy.path);

	assert_int_equal(address_copy(&b, &copy), 0);
	assert_true(address_equal(&b, &copy));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_form_is_read),
		cmocka_unit_test(bare_has_no_brackets),
		cmocka_unit_test(options_stand_behind_an_address),
		cmocka_unit_test(what_is_no_option_is_told_in_words),
		cmocka_unit_test(an_interface_is_part_of_the_address),
		cmocka_unit_test(a_text_for_messages_has_its_limit),
		cmocka_unit_test(network_order_of_the_bytes),
		cmocka_unit_test(the_root_is_a_directory_too),
		cmocka_unit_test(equal_paths_are_equal_texts),
		cmocka_unit_test(one_unix_path_in_two_forms_is_one_address),
		cmocka_unit_test(a_number_is_printed_once),
		cmocka_unit_test(what_is_no_address_is_told_in_words),
		cmocka_unit_test(unix_path_is_limited),
		cmocka_unit_test(equal_means_one_socket),
		cmocka_unit_test(unused_bytes_do_not_count),
		cmocka_unit_test(a_copy_is_deep),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
