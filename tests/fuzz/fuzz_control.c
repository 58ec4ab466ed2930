/*
 * Any bytes as lines of the control protocol, both ways: no crash, no read
 * beyond a line's end; what is a request prints as one that is the same, what
 * is a line of an answer prints as one that is the same; and a status of its
 * records is shown in lines of the width that was asked for, without a byte
 * that a terminal would obey.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/str.h"
#include "core/control/answer.h"
#include "core/control/request.h"
#include "core/status/metrics_text.h"
#include "core/status/status.h"
#include "core/status/status_json.h"
#include "core/status/status_table.h"
#include "core/status/status_text.h"
#include "core/status/status_watch.h"
#include "fuzz.h"

/* With `more`, a NUL stands at the end. */
static char *
copy_of(const char *bytes, size_t len, size_t more)
{
	char *copy = fuzz_place(len + more);

	memcpy(copy, bytes, len);
	if (more > 0)
		copy[len] = '\0';
	return copy;
}

/* ---- requests ---- */

static void
check_request(const char *line, size_t len)
{
	char *copy = copy_of(line, len, 0);
	struct request r, again;
	struct error err = ERROR_INIT;
	struct strbuf sb = STRBUF_INIT;
	int code;

	code = request_parse(copy, len, &r, &err);
	free(copy);
	if (code != 0) {
		CHECK(code == -EINVAL && err.text != NULL);
		error_clear(&err);
		return;
	}
	CHECK(r.verb < REQUEST_VERBS && r.instance < 4096);
	CHECK(err.text == NULL);
	request_print(&sb, &r);
	CHECK(!sb.failed && sb.len <= REQUEST_MAX);
	CHECK(request_parse(sb.text, sb.len - 1, &again, NULL) == 0);
	CHECK(again.verb == r.verb && strcmp(again.app, r.app) == 0);
	CHECK(again.instance == r.instance && again.scale == r.scale);
	CHECK(again.amount == r.amount);
	strbuf_free(&sb);
}

/* ---- answers ---- */

static void
print_line(struct strbuf *sb, const struct answer_line *line)
{
	if (line->kind == ANSWER_OK) {
		answer_put_ok(sb, line->text);
		return;
	}
	if (line->kind == ANSWER_ERROR) {
		answer_put_error(sb, line->word, line->text);
		return;
	}
	answer_begin(sb, line->kind, line->word);
	for (size_t i = 0; i < line->n_fields; i++)
		answer_put_bytes(sb, line->fields[i].key,
		    line->fields[i].value, line->fields[i].len);
	answer_end(sb);
}

static void
check_same(const struct answer_line *a, const struct answer_line *b)
{
	CHECK(a->kind == b->kind && a->n_fields == b->n_fields);
	CHECK(strcmp(a->word, b->word) == 0);
	for (size_t i = 0; i < a->n_fields; i++) {
		CHECK(strcmp(a->fields[i].key, b->fields[i].key) == 0);
		CHECK(a->fields[i].len == b->fields[i].len);
		CHECK(memcmp(a->fields[i].value, b->fields[i].value,
		    a->fields[i].len) == 0);
	}
}

static void
check_answer(struct status *status, const char *text, size_t len)
{
	char *copy = copy_of(text, len, 1);
	struct answer_line line, again;
	struct strbuf sb = STRBUF_INIT;
	int code = answer_line_parse(copy, len, &line);

	CHECK(code == 0 || code == -EPROTO);
	if (code == 0) {
		CHECK(line.n_fields <= ANSWER_FIELDS_MAX);
		print_line(&sb, &line);
		CHECK(!sb.failed && sb.text[sb.len - 1] == '\n');
		CHECK(memchr(sb.text, '\n', sb.len - 1) == NULL);
		sb.text[sb.len - 1] = '\0';
		CHECK(answer_line_parse(sb.text, sb.len - 1, &again) == 0);
		check_same(&line, &again);
		CHECK(status_add(status, &line) == 0);
	}
	strbuf_free(&sb);
	free(copy);
}

/* ---- views ---- */

static void
check_lines(const struct strbuf *sb, const struct status_style *style)
{
	char *copy, *rest, *line;

	CHECK(!sb->failed);
	if (sb->len == 0)
		return;
	CHECK(sb->text[sb->len - 1] == '\n');
	copy = rest = copy_of(sb->text, sb->len - 1, 1);
	while ((line = strsep(&rest, "\n")) != NULL) {
		CHECK(status_columns(line, style) <= style->width);
		for (; *line != '\0'; line++)
			CHECK((unsigned char)*line >= ' ' && *line != 0x7f &&
			    (style->utf8 || (unsigned char)*line < 0x80));
	}
	free(copy);
}

static void
check_views(struct status *status, unsigned width, bool utf8)
{
	struct status_style style = { .width = 40 + width % 80, .utf8 = utf8 };
	struct strbuf sb = STRBUF_INIT;
	size_t lines = 0;

	status_table(&sb, status, &style);
	check_lines(&sb, &style);
	sb.len = 0;
	status_watch(&sb, status, &style, 4 + width % 20, "12:34");
	check_lines(&sb, &style);
	for (size_t i = 0; i < sb.len; i++)
		lines += sb.text[i] == '\n';
	CHECK(lines <= 4 + width % 20);
	sb.len = 0;
	status_json(&sb, status);
	CHECK(!sb.failed && sb.text[0] == '{' &&
	    strcmp(sb.text + sb.len - 2, "}\n") == 0);
	CHECK(strlen(sb.text) == sb.len && strchr(sb.text, '\n') ==
	    sb.text + sb.len - 1);
	sb.len = 0;
	metrics_text(&sb, status, METRICS_CLASSIC, NULL);
	metrics_text(&sb, status, METRICS_OPENMETRICS, NULL);
	CHECK(!sb.failed && strlen(sb.text) == sb.len);
	CHECK(sb.len >= 6 && strcmp(sb.text + sb.len - 6, "# EOF\n") == 0);
	strbuf_free(&sb);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct status status = STATUS_INIT, before = STATUS_INIT;
	const char *at = (const char *)data, *end = at + size;

	while (at < end) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		size_t len = newline != NULL ? (size_t)(newline - at) :
		    (size_t)(end - at);

		check_request(at, len);
		check_answer(&status, at, len);
		/* The first half again, as the sample before. */
		if (at - (const char *)data < (ptrdiff_t)(size / 2))
			check_answer(&before, at, len);
		at += newline != NULL ? len + 1 : len;
	}
	status_measure(&status, &before);
	check_views(&status, size > 0 ? data[size / 2] : 0, size % 2 == 0);
	status_free(&status);
	status_free(&before);
	return 0;
}
