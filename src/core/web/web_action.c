#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "core/control/request.h"
#include "core/web/web_action.h"

enum key {
	KEY_ACTION,
	KEY_APP,
	KEY_INSTANCE,
	KEY_INSTANCES,
	KEYS
};

static const char *const keys[KEYS] = {
	[KEY_ACTION] = "action",
	[KEY_APP] = "app",
	[KEY_INSTANCE] = "instance",
	[KEY_INSTANCES] = "instances",
};

struct reader {
	const char *s;
	const char *end;
};

#define WORD_MAX 64

struct word {
	char text[WORD_MAX];	/* "": not there */
};

static void
skip_blanks(struct reader *r)
{
	while (r->s < r->end && memchr(" \t\r\n", *r->s, 4) != NULL)
		r->s++;
}

/* Is that what comes next? It is taken then. */
static bool
take(struct reader *r, char c)
{
	skip_blanks(r);
	if (r->s == r->end || *r->s != c)
		return false;
	r->s++;
	return true;
}

/* None of what is meant here needs an escape, nor what is no ASCII. */
static int
read_string(struct reader *r, struct word *ret_word, struct error *err)
{
	size_t n = 0;

	if (!take(r, '"'))
		return error_set(err, -EINVAL, "a string is missing");
	for (; r->s < r->end && *r->s != '"'; r->s++) {
		unsigned char c = (unsigned char)*r->s;

		if (c < ' ' || c >= 0x7f || c == '\\' || n + 1 == WORD_MAX)
			return error_set(err, -EINVAL, "a string has up to %d "
			    "printable characters of ASCII, and no backslash",
			    WORD_MAX - 1);
		ret_word->text[n++] = (char)c;
	}
	ret_word->text[n] = '\0';
	if (r->s == r->end || n == 0)
		return error_set(err, -EINVAL, r->s == r->end ?
		    "a string has no end" : "a string is empty");
	r->s++;
	return 0;
}

static int
read_value(struct reader *r, struct word *ret_word, struct error *err)
{
	size_t n = 0;

	skip_blanks(r);
	if (r->s < r->end && *r->s == '"')
		return read_string(r, ret_word, err);
	while (r->s < r->end && n + 1 < WORD_MAX && *r->s >= '0' &&
	    *r->s <= '9')
		ret_word->text[n++] = *r->s++;
	ret_word->text[n] = '\0';
	return n > 0 ? 0 : error_set(err, -EINVAL,
	    "a value is a string or a whole number");
}

static int
read_member(struct reader *r, struct word words[KEYS], struct error *err)
{
	struct word key = { .text = "" };
	int code = read_string(r, &key, err);

	if (code < 0)
		return code;
	if (!take(r, ':'))
		return error_set(err, -EINVAL, "a colon is missing");
	for (size_t i = 0; i < KEYS; i++)
		if (strcmp(key.text, keys[i]) == 0)
			return words[i].text[0] == '\0' ?
			    read_value(r, &words[i], err) :
			    error_set(err, -EINVAL, "\"%s\" is there twice",
				key.text);
	return error_set(err, -EINVAL, "\"%s\" is unknown: action, app, "
	    "instance and instances are allowed", key.text);
}

static int
read_object(struct reader *r, struct word words[KEYS], struct error *err)
{
	if (!take(r, '{'))
		return error_set(err, -EINVAL, "it is no JSON object");
	do {
		int code = read_member(r, words, err);

		if (code < 0)
			return code;
	} while (take(r, ','));
	if (!take(r, '}'))
		return error_set(err, -EINVAL, "the object has no end");
	skip_blanks(r);
	return r->s == r->end ? 0 : error_set(err, -EINVAL,
	    "something stands behind the object");
}

bool
web_action_is_reading(const struct request *request)
{
	return request->verb == REQUEST_STATUS ||
	    request->verb == REQUEST_FOLLOW || request->verb == REQUEST_WATCH;
}

bool
web_action_is_known(const struct request *request)
{
	return request->verb == REQUEST_RELOAD ||
	    request->verb == REQUEST_RESTART || request->verb == REQUEST_SCALE;
}

int
web_action_parse(const char *body, size_t len, struct request *ret_request,
    struct error *err)
{
	struct reader r = { .s = body, .end = body + len };
	struct word w[KEYS] = { { .text = "" } };
	char seat[2 * WORD_MAX];
	const char *words[3];
	struct request request;
	size_t n = 0;
	int code = read_object(&r, w, err);

	if (code < 0)
		return code;
	words[n++] = w[KEY_ACTION].text;
	snprintf(seat, sizeof(seat), "%s%s%s", w[KEY_APP].text,
	    w[KEY_INSTANCE].text[0] != '\0' ? ":" : "", w[KEY_INSTANCE].text);
	if (seat[0] != '\0')
		words[n++] = seat;
	if (w[KEY_INSTANCES].text[0] != '\0')
		words[n++] = w[KEY_INSTANCES].text;
	if (w[KEY_ACTION].text[0] == '\0')
		return error_set(err, -EINVAL, "\"action\" is missing");
	code = request_from_words(words, n, &request, err);
	if (code == 0 && !web_action_is_known(&request))
		code = error_set(err, -EINVAL, "\"%s\" is not done over the "
		    "web: reload, restart and scale are", words[0]);
	if (code == 0)
		*ret_request = request;
	return code;
}
