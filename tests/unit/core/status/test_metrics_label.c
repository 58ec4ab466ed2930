#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/str.h"
#include "core/status/metrics_label.h"

static void
expect_refused(struct metrics_labels *labels, const char *text,
    const char *words)
{
	struct error err = ERROR_INIT;
	size_t n = labels->n;

	if (metrics_label_add(labels, text, &err) != -EINVAL)
		fail_msg("%s is taken", text);
	if (strstr(error_text(&err), words) == NULL)
		fail_msg("%s: %s", text, error_text(&err));
	assert_int_equal(labels->n, n);
	error_clear(&err);
}

static void
expect_text(const char *label, const char *text)
{
	struct metrics_labels labels = { .n = 0 };
	struct strbuf sb = STRBUF_INIT;

	assert_int_equal(metrics_label_add(&labels, label, NULL), 0);
	metrics_labels_put(&sb, &labels, 0);
	assert_string_equal(sb.text, text);
	strbuf_free(&sb);
}

static void
what_is_taken(void **state)
{
	(void)state;
	expect_text("clusterd=web", "clusterd=\"web\"");
	expect_text("_A9z=x", "_A9z=\"x\"");
	expect_text("a=b=c", "a=\"b=c\"");
	expect_text("a= ", "a=\" \"");
	/* those that begin like a name that is taken, or are a part of one */
	expect_text("apps=x", "apps=\"x\"");
	expect_text("ap=x", "ap=\"x\"");
	expect_text("instance=x", "instance=\"x\"");
	expect_text("a=},\"\\\n\xe2\x82\xac",
	    "a=\"},\\\"\\\\\\n\xe2\x82\xac\"");
}

static void
what_is_refused(void **state)
{
	static const char *const taken[] = {
		"address", "app", "balance", "reason", "result", "role",
		"version", "worker",
	};
	struct metrics_labels labels = { .n = 0 };
	char text[32];

	(void)state;
	expect_refused(&labels, "", "NAME=VALUE");
	expect_refused(&labels, "clusterd", "NAME=VALUE");
	expect_refused(&labels, "=x", "not the name");
	expect_refused(&labels, "9a=x", "not the name");
	expect_refused(&labels, "a-b=x", "not the name");
	expect_refused(&labels, "a:b=x", "not the name");
	expect_refused(&labels, " a=x", "not the name");
	expect_refused(&labels, "\xc3\xa9=x", "not the name");
	expect_refused(&labels, "a\n=x", "not the name");
	expect_refused(&labels, "__name__=x", "Prometheus's own");
	expect_refused(&labels, "__=x", "Prometheus's own");
	expect_refused(&labels, "le=x", "Prometheus's own");
	expect_refused(&labels, "quantile=x", "Prometheus's own");
	expect_refused(&labels, "a=", "has no value");
	expect_refused(&labels, "a=\xff", "not UTF-8");
	expect_refused(&labels, "a=x\r", "control");
	expect_refused(&labels, "a=\x7f", "control");
	expect_refused(&labels, "a=\xc2\x85", "control");
	expect_refused(&labels, "a=\xe2\x80\xa8", "control");
	for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++) {
		snprintf(text, sizeof(text), "%s=x", taken[i]);
		expect_refused(&labels, text, "already");
	}
}

static void
no_name_twice(void **state)
{
	struct metrics_labels labels = { .n = 0 };
	struct strbuf sb = STRBUF_INIT;

	(void)state;
	assert_int_equal(metrics_label_add(&labels, "a=1", NULL), 0);
	assert_int_equal(metrics_label_add(&labels, "ab=1", NULL), 0);
	expect_refused(&labels, "a=1", "twice");
	expect_refused(&labels, "ab=2", "twice");
	assert_int_equal(metrics_label_add(&labels, "abc=1", NULL), 0);
	metrics_labels_put(&sb, &labels, 1);
	assert_string_equal(sb.text, ",a=\"1\",ab=\"1\",abc=\"1\"");
	strbuf_free(&sb);
}

static void
limits(void **state)
{
	struct metrics_labels labels = { .n = 0 };
	char text[METRICS_LABELS_MAX + 1][16];
	char longest[METRICS_LABEL_LEN + 2] = "long=";

	(void)state;
	memset(longest + 5, 'x', sizeof(longest) - 6);
	expect_refused(&labels, longest, "1024 bytes");
	longest[METRICS_LABEL_LEN] = '\0';
	assert_int_equal(metrics_label_add(&labels, longest, NULL), 0);
	for (int i = 1; i <= METRICS_LABELS_MAX; i++) {
		snprintf(text[i], sizeof(text[i]), "a%d=x", i);
		if (i < METRICS_LABELS_MAX)
			assert_int_equal(metrics_label_add(&labels, text[i],
			    NULL), 0);
	}
	expect_refused(&labels, text[METRICS_LABELS_MAX], "16 labels");
}

/* Of what clusterd says, which may be anything. */
static void
what_is_no_text_is_replaced(void **state)
{
	struct strbuf sb = STRBUF_INIT;

	(void)state;
	metrics_label_put(&sb, "address", "a\xff\xc3\r\n\xe2\x80\xa9z");
	assert_string_equal(sb.text, "address=\"a\xef\xbf\xbd\xef\xbf\xbd"
	    "\xef\xbf\xbd\\n\xef\xbf\xbdz\"");
	strbuf_free(&sb);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_taken),
		cmocka_unit_test(what_is_refused),
		cmocka_unit_test(no_name_twice),
		cmocka_unit_test(limits),
		cmocka_unit_test(what_is_no_text_is_replaced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
