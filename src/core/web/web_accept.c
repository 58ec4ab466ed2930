#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "base/str.h"
#include "core/web/web_accept.h"

/* What a media range wants, in thousandths. */
#define Q_FULL	1000

struct range {
	const char *type;	/* without parameters */
	size_t type_len;
	const char *version;	/* NULL: none */
	size_t version_len;
	int q;
};

static void
trim(const char **s, size_t *len)
{
	while (*len > 0 && strchr(" \t\"", **s) != NULL) {
		(*s)++;
		(*len)--;
	}
	while (*len > 0 && strchr(" \t\"", (*s)[*len - 1]) != NULL)
		(*len)--;
}

/* "1", "0.75": with three digits at most. Anything else is 0. */
static int
parse_q(const char *s, size_t len)
{
	int q = 0, scale = 100;

	if (len == 0 || len > 5 || (*s != '0' && *s != '1'))
		return 0;
	if (len > 1 && s[1] != '.')
		return 0;
	q = *s == '1' ? Q_FULL : 0;
	for (size_t i = 2; i < len; i++) {
		if (s[i] < '0' || s[i] > '9')
			return 0;
		q += (s[i] - '0') * scale;
		scale /= 10;
	}
	return q > Q_FULL ? Q_FULL : q;
}

static void
take_parameter(struct range *r, const char *s, size_t len)
{
	const char *equals = memchr(s, '=', len), *value;
	size_t key_len, value_len;

	if (equals == NULL)
		return;
	value = equals + 1;
	value_len = len - (size_t)(value - s);
	key_len = (size_t)(equals - s);
	trim(&s, &key_len);
	trim(&value, &value_len);
	if (str_is_word(s, key_len, "q")) {
		r->q = parse_q(value, value_len);
	} else if (str_is_word(s, key_len, "version")) {
		r->version = value;
		r->version_len = value_len;
	}
}

static struct range
parse_range(const char *s, size_t len)
{
	struct range r = { .q = Q_FULL };

	for (bool first = true; len > 0; first = false) {
		const char *semicolon = memchr(s, ';', len);
		size_t part = semicolon != NULL ? (size_t)(semicolon - s) : len;

		if (first) {
			r.type = s;
			r.type_len = part;
			trim(&r.type, &r.type_len);
		} else {
			take_parameter(&r, s, part);
		}
		part += part < len;
		s += part;
		len -= part;
	}
	return r;
}

static bool
has_version(const struct range *r, const char *version)
{
	return r->version == NULL ||
	    str_is_word(r->version, r->version_len, version);
}

/* How exactly it names plain text; 0: not at all. */
static int
names_text(const struct range *r)
{
	if (str_is_word(r->type, r->type_len, "text/plain"))
		return has_version(r, "0.0.4") ? 3 : 0;
	if (str_is_word(r->type, r->type_len, "text/*"))
		return 2;
	return str_is_word(r->type, r->type_len, "*/*") ? 1 : 0;
}

enum metrics_format
web_accept_metrics(const char *accept)
{
	int openmetrics = 0, text = 0, exact = 0;

	while (accept != NULL && *accept != '\0') {
		size_t len = strcspn(accept, ",");
		struct range r = parse_range(accept, len);
		int names = r.type_len > 0 ? names_text(&r) : 0;

		if (r.type_len > 0 && str_is_word(r.type, r.type_len,
		    "application/openmetrics-text") &&
		    has_version(&r, "1.0.0") && r.q > openmetrics)
			openmetrics = r.q;
		/* The most exact one counts, of several the best. */
		if (names > exact || (names > 0 && names == exact &&
		    r.q > text)) {
			text = r.q;
			exact = names;
		}
		accept += len;
		accept += *accept == ',';
	}
	return openmetrics > 0 && openmetrics >= text ? METRICS_OPENMETRICS :
	    METRICS_CLASSIC;
}

const char *
web_accept_type(enum metrics_format format)
{
	return format == METRICS_OPENMETRICS ?
	    "application/openmetrics-text; version=1.0.0; charset=utf-8" :
	    "text/plain; version=0.0.4; charset=utf-8";
}
