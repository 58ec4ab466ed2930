#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "core/health/http_reply.h"
#include "core/health/verdict.h"

/* In pieces of each size the same comes of it. */
static void
expect(const char *text, enum http_reply_news news, unsigned status)
{
	size_t len = strlen(text);

	for (size_t piece = 1; piece <= len; piece++) {
		struct http_reply r = HTTP_REPLY_INIT;

		for (size_t at = 0; at < len; at += piece)
			(void)http_reply_feed(&r, text + at,
			    len - at < piece ? len - at : piece);
		assert_int_equal(r.news, news);
		if (news == HTTP_REPLY_DONE)
			assert_int_equal(r.status, status);
	}
}

static void
answers(void **state)
{
	(void)state;
	expect("HTTP/1.1 200 OK\r\n\r\n", HTTP_REPLY_DONE, 200);
	expect("HTTP/1.0 204\r\n\r\n", HTTP_REPLY_DONE, 204);
	expect("HTTP/1.1 503 \r\nRetry-After: 5\r\n\r\nbody", HTTP_REPLY_DONE,
	    503);
	expect("HTTP/1.1 302 Found\nLocation: /x\n\n", HTTP_REPLY_DONE, 302);
	expect("HTTP/1.1 999 \xff\x01 words\r\nA: b\r\n\r\n", HTTP_REPLY_DONE,
	    999);
	/* A header longer than the status line is one all the same. */
	expect("HTTP/1.1 200 OK\r\nAccept-Ranges-And-More: bytes\r\n\r\n",
	    HTTP_REPLY_DONE, 200);
}

static void
what_comes_before_the_answer(void **state)
{
	(void)state;
	expect("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n"
	    "Link: x\r\n\r\nHTTP/1.1 500 No\r\n\r\n", HTTP_REPLY_DONE, 500);
	expect("HTTP/1.1 101 Switching Protocols\r\n\r\n", HTTP_REPLY_DONE,
	    101);
	expect("HTTP/1.1 100 Continue\r\n\r\n", HTTP_REPLY_MORE, 0);
}

static void
no_end_yet(void **state)
{
	(void)state;
	expect("HTTP/1.1 200 OK", HTTP_REPLY_MORE, 0);
	expect("HTTP/1.1 200 OK\r\n", HTTP_REPLY_MORE, 0);
	expect("HTTP/1.1 200 OK\r\nA: b\r\n", HTTP_REPLY_MORE, 0);
}

static void
garbage(void **state)
{
	static const char *const texts[] = {
		"220 mail.example.org ESMTP\r\n", "HTTP/2 200\r\n\r\n",
		"HTTP/1.1  200 OK\r\n", "HTTP/1.x 200 OK\r\n",
		"HTTP/1.1 20 OK\r\n", "HTTP/1.1 2000 OK\r\n",
		"HTTP/1.1 099 OK\r\n", "HTTP/1.1 -20 OK\r\n",
		"http/1.1 200 OK\r\n", "\r\nHTTP/1.1 200 OK\r\n",
		"\x15\x03\x01", "HTTP/1.1 200\tOK\r\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		expect(texts[i], HTTP_REPLY_GARBAGE, 0);
}

static void
no_end_at_all(void **state)
{
	struct http_reply r = HTTP_REPLY_INIT;
	size_t n = 0;

	(void)state;
	(void)http_reply_feed(&r, "HTTP/1.1 200 OK\r\n", 17);
	while (http_reply_feed(&r, "X: y\r\n", 6) == HTTP_REPLY_MORE)
		assert_true(n++ < HTTP_REPLY_HEAD_MAX);
	assert_int_equal(r.news, HTTP_REPLY_TOO_LONG);
	assert_true(n > HTTP_REPLY_HEAD_MAX / 6 - 10);
	r = (struct http_reply)HTTP_REPLY_INIT;
	(void)http_reply_feed(&r, "HTTP/1.1 200 ", 13);
	for (n = 0; http_reply_feed(&r, "x", 1) == HTTP_REPLY_MORE; n++)
		assert_true(n < HTTP_REPLY_LINE_MAX);
	assert_int_equal(r.news, HTTP_REPLY_GARBAGE);
	/* Nor do 1xx, one after the other. */
	r = (struct http_reply)HTTP_REPLY_INIT;
	while (http_reply_feed(&r, "HTTP/1.1 100 C\r\n\r\n", 18) ==
	    HTTP_REPLY_MORE)
		continue;
	assert_int_equal(r.news, HTTP_REPLY_TOO_LONG);
}

static void
verdicts(void **state)
{
	struct verdict v = { .kind = VERDICT_GOOD };

	(void)state;
	assert_true(verdict_of_status(200) && verdict_of_status(399));
	assert_false(verdict_of_status(199) || verdict_of_status(400));
	verdict_say_late(&v, 5000);
	assert_int_equal(v.kind, VERDICT_BAD);
	assert_string_equal(v.words, "no answer in 5s");
	verdict_say_late(&v, 250);
	assert_string_equal(v.words, "no answer in 250ms");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers),
		cmocka_unit_test(what_comes_before_the_answer),
		cmocka_unit_test(no_end_yet),
		cmocka_unit_test(garbage),
		cmocka_unit_test(no_end_at_all),
		cmocka_unit_test(verdicts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
