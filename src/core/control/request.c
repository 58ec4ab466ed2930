#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/num.h"
#include "base/str.h"
#include "core/conf/conf.h"
#include "core/conf/conf_schema.h"
#include "core/conf/guess.h"
#include "core/control/request.h"
#include "core/names/signal_name.h"

_Static_assert(sizeof(((struct request *)0)->app) == CONF_NAME_MAX + 1,
    "a name fits");

enum arguments {
	ARGUMENTS_NONE,
	ARGUMENTS_APP_OR_NONE,
	ARGUMENTS_APP,
	ARGUMENTS_SEAT,		/* APP[:N] */
	ARGUMENTS_SEAT_OR_NONE,
	ARGUMENTS_SCALE,	/* APP N|+N|-N */
	ARGUMENTS_WAIT,		/* [APP] [min=N] */
	ARGUMENTS_SIGNAL,	/* APP[:N] SIGNAL */
	ARGUMENTS_CHECK,	/* APP[:N] [/PATH] */
	ARGUMENTS
};

static const struct {
	const char *name;
	enum arguments arguments;
	const char *usage;
} verbs[REQUEST_VERBS] = {
	[REQUEST_STATUS] = { "status", ARGUMENTS_SEAT_OR_NONE,
	    "status [APP[:N]]" },
	[REQUEST_RELOAD] = { "reload", ARGUMENTS_APP_OR_NONE,
	    "reload [APP]" },
	[REQUEST_UPDATE] = { "update", ARGUMENTS_NONE, "update" },
	[REQUEST_RESTART] = { "restart", ARGUMENTS_SEAT, "restart APP[:N]" },
	[REQUEST_SCALE] = { "scale", ARGUMENTS_SCALE, "scale APP N|+N|-N" },
	[REQUEST_STOP] = { "stop", ARGUMENTS_APP_OR_NONE, "stop [APP]" },
	[REQUEST_START] = { "start", ARGUMENTS_APP, "start APP" },
	[REQUEST_LOGS] = { "logs", ARGUMENTS_SEAT_OR_NONE,
	    "logs [APP[:N]]" },
	[REQUEST_FOLLOW] = { "follow", ARGUMENTS_SEAT_OR_NONE,
	    "follow [APP[:N]]" },
	[REQUEST_WAIT] = { "wait", ARGUMENTS_WAIT, "wait [APP] [min=N]" },
	[REQUEST_SIGNAL] = { "signal", ARGUMENTS_SIGNAL,
	    "signal APP[:N] SIGNAL" },
	[REQUEST_UPGRADE] = { "upgrade", ARGUMENTS_NONE, "upgrade" },
	[REQUEST_EVENTS] = { "events", ARGUMENTS_SEAT_OR_NONE,
	    "events [APP[:N]]" },
	[REQUEST_WATCH] = { "watch", ARGUMENTS_SEAT_OR_NONE,
	    "watch [APP[:N]]" },
	[REQUEST_CHECK] = { "check", ARGUMENTS_CHECK,
	    "check APP[:N] [/PATH]" },
};

const char *
request_verb_name(enum request_verb verb)
{
	return verbs[verb].name;
}

static int
parse_app(const char *word, size_t len, struct request *r, struct error *err)
{
	if (!conf_name_valid(word, len))
		return error_set(err, -EINVAL,
		    "\"%.*s\" is not the name of an app",
		    (int)(len > 64 ? 64 : len), word);
	memcpy(r->app, word, len);
	r->app[len] = '\0';
	return 0;
}

/* APP, or APP:N; as the log and others write it, APP[N] and APP.N too. */
static int
parse_seat(const char *word, struct request *r, struct error *err)
{
	size_t len = strcspn(word, ":.[");
	const char *number = word + len;
	char digits[16];
	size_t n_digits;
	uint64_t n;
	int code = parse_app(word, len, r, err);

	if (code < 0 || *number == '\0')
		return code;
	n_digits = strlen(number + 1);
	if (*number == '[' && n_digits > 0 && number[n_digits] == ']')
		n_digits--;
	else if (*number == '[')
		n_digits = 0;
	snprintf(digits, sizeof(digits), "%.*s", (int)(n_digits <
	    sizeof(digits) ? n_digits : sizeof(digits) - 1), number + 1);
	if (n_digits >= sizeof(digits) ||
	    !num_parse(digits, 0, CONF_INSTANCES_MAX - 1, &n))
		return error_set(err, -EINVAL, "\"%.64s\" is not the number "
		    "of an instance, which is from 0 to %d",
		    *number == '[' ? number : number + 1,
		    CONF_INSTANCES_MAX - 1);
	r->instance = (int)n;
	return 0;
}

/* Where an instance is named all the same, it is said that it cannot be. */
static int
parse_whole_app(const char *word, struct request *r, struct error *err)
{
	struct request seat = { .instance = -1 };

	if (parse_seat(word, &seat, NULL) == 0 && seat.instance >= 0)
		return error_set(err, -EINVAL, "\"%.64s\" is an instance, and "
		    "%s takes a whole app: %s %s", word, verbs[r->verb].name,
		    verbs[r->verb].name, seat.app);
	return parse_app(word, strlen(word), r, err);
}

static int
parse_scale(const char *word, struct request *r, struct error *err)
{
	const char *digits = word;
	uint64_t n;

	r->scale = REQUEST_SCALE_TO;
	if (*word == '+' || *word == '-') {
		r->scale = *word == '+' ? REQUEST_SCALE_UP :
		    REQUEST_SCALE_DOWN;
		digits++;
	}
	if (r->scale == REQUEST_SCALE_TO && strcmp(word, "0") == 0)
		return error_set(err, -EINVAL,
		    "an app has 1 instance at least: \"stop APP\" stops it");
	if (!num_parse(digits, 1, CONF_INSTANCES_MAX, &n))
		return error_set(err, -EINVAL,
		    "\"%.64s\" is not N, +N or -N with a number from 1 to %d",
		    word, CONF_INSTANCES_MAX);
	r->amount = (unsigned)n;
	return 0;
}

static int
parse_signal(const char *word, struct request *r, struct error *err)
{
	if (signal_parse(word, &r->signo))
		return 0;
	return error_set(err, -EINVAL, "\"%.64s\" is not a signal, such as "
	    "USR1, SIGUSR1 or a number from 1 to %d", word,
	    SIGNAL_NAME_MAX_NUMBER);
}

/* As it stands in a request of HTTP: nothing that would end a word there. */
static int
parse_path(const char *word, struct request *r, struct error *err)
{
	size_t len = strlen(word);
	bool plain = word[0] == '/' && len <= REQUEST_PATH_MAX;

	for (size_t i = 0; plain && i < len; i++)
		plain = word[i] > ' ' && word[i] < 0x7f;
	if (!plain)
		return error_set(err, -EINVAL, "\"%.64s\" is not a path: it "
		    "begins with /, and is printable ASCII without spaces, %d "
		    "bytes at most", word, REQUEST_PATH_MAX);
	memcpy(r->path, word, len + 1);
	return 0;
}

/* An app has no = in its name: in any order. */
static int
parse_wait(const char *const *words, size_t n, struct request *r,
    struct error *err)
{
	for (size_t i = 0; i < n; i++) {
		bool is_min = str_starts(words[i], "min=");
		uint64_t min;
		int code;

		if (is_min ? r->min != 0 : r->app[0] != '\0')
			return error_set(err, -EINVAL, "too many arguments, "
			    "usage: %s", verbs[r->verb].usage);
		if (!is_min) {
			code = parse_whole_app(words[i], r, err);
			if (code < 0)
				return code;
			continue;
		}
		if (!num_parse(words[i] + 4, 1, CONF_INSTANCES_MAX, &min))
			return error_set(err, -EINVAL, "\"%.64s\" is not a "
			    "number of instances, from 1 to %d", words[i] + 4,
			    CONF_INSTANCES_MAX);
		r->min = (unsigned)min;
	}
	return 0;
}

static int
parse_arguments(const char *const *words, size_t n,
    struct request *r, struct error *err)
{
	static const struct {
		size_t least, most;
	} numbers[ARGUMENTS] = {
		[ARGUMENTS_NONE] = { 0, 0 },
		[ARGUMENTS_APP_OR_NONE] = { 0, 1 },
		[ARGUMENTS_APP] = { 1, 1 },
		[ARGUMENTS_SEAT] = { 1, 1 },
		[ARGUMENTS_SEAT_OR_NONE] = { 0, 1 },
		[ARGUMENTS_SCALE] = { 2, 2 },
		[ARGUMENTS_WAIT] = { 0, 2 },
		[ARGUMENTS_SIGNAL] = { 2, 2 },
		[ARGUMENTS_CHECK] = { 1, 2 },
	};
	enum arguments want = verbs[r->verb].arguments;
	int code;

	if (n < numbers[want].least || n > numbers[want].most)
		return error_set(err, -EINVAL, "%s, usage: %s",
		    n < numbers[want].least ? "an argument is missing" :
		    "too many arguments", verbs[r->verb].usage);
	if (want == ARGUMENTS_WAIT)
		return parse_wait(words, n, r, err);
	if (n == 0)
		return 0;
	code = want == ARGUMENTS_SEAT || want == ARGUMENTS_SEAT_OR_NONE ||
	    want == ARGUMENTS_SIGNAL || want == ARGUMENTS_CHECK ? parse_seat(words[0], r, err) :
	    parse_whole_app(words[0], r, err);
	if (code == 0 && want == ARGUMENTS_SCALE)
		code = parse_scale(words[1], r, err);
	if (code == 0 && want == ARGUMENTS_SIGNAL)
		code = parse_signal(words[1], r, err);
	if (code == 0 && want == ARGUMENTS_CHECK && n > 1)
		code = parse_path(words[1], r, err);
	return code;
}

int
request_from_words(const char *const *words, size_t n,
    struct request *ret_request, struct error *err)
{
	struct request r = { .instance = -1 };
	struct strbuf near = STRBUF_INIT;
	struct guess guess;
	int code;

	if (n == 0)
		return error_set(err, -EINVAL, "no command");
	guess_begin(&guess, words[0]);
	for (size_t i = 0; i < REQUEST_VERBS; i++) {
		guess_word(&guess, verbs[i].name);
		if (strcmp(words[0], verbs[i].name) != 0)
			continue;
		r.verb = (enum request_verb)i;
		code = parse_arguments(words + 1, n - 1, &r, err);
		if (code == 0)
			*ret_request = r;
		return code;
	}
	guess_put(&guess, &near);
	code = error_set(err, -EINVAL, "\"%.64s\" is not a command%s",
	    words[0], near.text != NULL && !near.failed ? near.text : "");
	strbuf_free(&near);
	return code;
}

int
request_parse(const char *line, size_t len,
    struct request *ret_request, struct error *err)
{
	char text[REQUEST_MAX], *rest = text, *word;
	const char *words[4];
	size_t n = 0;

	if (len >= sizeof(text))
		return error_set(err, -EINVAL,
		    "a request has %d bytes at most", REQUEST_MAX);
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)line[i] < ' ' ||
		    (unsigned char)line[i] >= 0x7f)
			return error_set(err, -EINVAL, "a request is "
			    "printable ASCII and ends in a newline");
	memcpy(text, line, len);
	text[len] = '\0';
	while ((word = strsep(&rest, " ")) != NULL) {
		if (*word == '\0')
			continue;
		words[n++] = word;
		/* One more than any verb takes is too many all the same. */
		if (n == sizeof(words) / sizeof(words[0]))
			break;
	}
	return request_from_words(words, n, ret_request, err);
}

void
request_print(struct strbuf *sb, const struct request *r)
{
	static const char *const signs[] = {
		[REQUEST_SCALE_TO] = "",
		[REQUEST_SCALE_UP] = "+",
		[REQUEST_SCALE_DOWN] = "-",
	};

	strbuf_puts(sb, verbs[r->verb].name);
	if (r->app[0] != '\0')
		strbuf_printf(sb, " %s", r->app);
	if (r->instance >= 0)
		strbuf_printf(sb, ":%d", r->instance);
	if (r->verb == REQUEST_SCALE)
		strbuf_printf(sb, " %s%u", signs[r->scale], r->amount);
	if (r->verb == REQUEST_WAIT && r->min > 0)
		strbuf_printf(sb, " min=%u", r->min);
	if (r->verb == REQUEST_SIGNAL && signal_name(r->signo) != NULL)
		strbuf_printf(sb, " %s", signal_name(r->signo));
	else if (r->verb == REQUEST_SIGNAL)
		strbuf_printf(sb, " %d", r->signo);
	if (r->path[0] != '\0')
		strbuf_printf(sb, " %s", r->path);
	strbuf_putc(sb, '\n');
}
