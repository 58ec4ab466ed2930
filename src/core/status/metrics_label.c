#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/error.h"
#include "base/str.h"
#include "base/utf8.h"
#include "core/status/metrics_label.h"

#define N(array) (sizeof(array) / sizeof(*(array)))

/* Those of metrics_text.c. */
static const char *const taken[] = {
	"address", "app", "balance", "reason", "result", "role", "version",
	"worker",
};

/* Those of buckets and quantiles, which promtool takes nowhere else. */
static const char *const reserved[] = { "le", "quantile" };

/* The length of what `s` begins with; 0: it is no UTF-8, or not for a line: a
   control character, among which a carriage return ends a line to some. */
static size_t
plain(const char *s, uint32_t *ret_point)
{
	size_t len = utf8_decode(s, ret_point);
	uint32_t point = len > 0 ? *ret_point : 0;

	if (point == '\n')
		return len;
	return point < ' ' || (point >= 0x7f && point < 0xa0) ||
	    point == 0x2028 || point == 0x2029 ? 0 : len;
}

/* ---- writing ---- */

static void
put(struct strbuf *sb, const char *key, size_t key_len, const char *value)
{
	uint32_t point;
	size_t len;

	strbuf_add(sb, key, key_len);
	strbuf_puts(sb, "=\"");
	for (; *value != '\0'; value += len) {
		len = plain(value, &point);
		if (len == 0) {
			strbuf_puts(sb, "\xef\xbf\xbd");
			len = utf8_decode(value, &point);
			len = len > 0 ? len : 1;
		} else if (point == '\n') {
			strbuf_puts(sb, "\\n");
		} else {
			if (point == '"' || point == '\\')
				strbuf_putc(sb, '\\');
			strbuf_add(sb, value, len);
		}
	}
	strbuf_putc(sb, '"');
}

void
metrics_label_put(struct strbuf *sb, const char *key, const char *value)
{
	put(sb, key, strlen(key), value);
}

void
metrics_labels_put(struct strbuf *sb, const struct metrics_labels *labels,
    size_t n_before)
{
	for (size_t i = 0; i < labels->n; i++) {
		const char *text = labels->text[i];
		size_t len = strcspn(text, "=");

		if (n_before + i > 0)
			strbuf_putc(sb, ',');
		put(sb, text, len, text + len + 1);
	}
}

/* ---- reading ---- */

static bool
name_is_valid(const char *name, size_t len)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz"
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789";

	return len > 0 && strspn(name, letters) == len &&
	    (name[0] < '0' || name[0] > '9');
}

static bool
is_of(const char *const *names, size_t n, const char *name, size_t len)
{
	for (size_t i = 0; i < n; i++)
		if (strlen(names[i]) == len && memcmp(names[i], name, len) == 0)
			return true;
	return false;
}

static bool
name_is_there(const struct metrics_labels *labels, const char *text,
    size_t with_equals)
{
	for (size_t i = 0; i < labels->n; i++)
		if (strncmp(labels->text[i], text, with_equals) == 0)
			return true;
	return false;
}

static bool
value_is_plain(const char *value)
{
	uint32_t point;
	size_t len;

	for (; *value != '\0'; value += len) {
		len = plain(value, &point);
		if (len == 0)
			return false;
	}
	return true;
}

int
metrics_label_add(struct metrics_labels *labels, const char *text,
    struct error *err)
{
	size_t len = strcspn(text, "=");
	int shown = (int)(len < 64 ? len : 64);
	const char *words = NULL;

	if (strlen(text) > METRICS_LABEL_LEN)
		return error_set(err, -EINVAL, "a label has %d bytes at most",
		    METRICS_LABEL_LEN);
	if (text[len] == '\0')
		return error_set(err, -EINVAL, "a label is NAME=VALUE, such as "
		    "clusterd=web");
	if (labels->n == METRICS_LABELS_MAX)
		return error_set(err, -EINVAL, "%d labels are the most",
		    METRICS_LABELS_MAX);
	if (!name_is_valid(text, len))
		words = "is not the name of a label: letters, digits and _, "
		    "no digit first";
	else if (str_starts(text, "__") ||
	    is_of(reserved, N(reserved), text, len))
		words = "is a label of Prometheus's own";
	else if (is_of(taken, N(taken), text, len))
		words = "is a label that metrics have already";
	else if (name_is_there(labels, text, len + 1))
		words = "is given twice";
	else if (text[len + 1] == '\0')
		words = "has no value, and to Prometheus that is no label";
	else if (!value_is_plain(text + len + 1))
		words = "has a value that is not UTF-8, or control characters";
	if (words != NULL)
		return error_set(err, -EINVAL, "\"%.*s\" %s", shown, text,
		    words);
	labels->text[labels->n++] = text;
	return 0;
}
