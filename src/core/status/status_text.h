/*
 * Pieces of text for people: how a status is shown, whatever bytes are in it.
 * Control bytes, escape sequences, what is no UTF-8 and what turns the
 * direction of text become '?'; so does all that is not ASCII if `utf8` is
 * not set.
 */
#ifndef CORE_STATUS_STATUS_TEXT_H
#define CORE_STATUS_STATUS_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct status_app;
struct strbuf;

struct status_style {
	unsigned width;		/* of a line; 0: as long as it takes */
	bool colour;		/* escape sequences of ECMA-48 */
	bool utf8;		/* the terminal shows UTF-8 */
};

enum status_colour {
	STATUS_PLAIN,
	STATUS_BOLD,
	STATUS_GREEN,
	STATUS_YELLOW,
	STATUS_RED,
};

/* Of the state of clusterd, of an app, or of an instance; NULL: unknown. */
enum status_colour status_state_colour(const char *state);

/* The state of an app as people see it: one that runs, and of which nobody is
   ready, is starting. NULL: unknown. */
const char *status_app_state(const struct status_app *app);

/* How many columns the text takes once it is made harmless. */
size_t status_columns(const char *text, const struct status_style *style);

/* At most `max` columns of it, with ... at the end where it is cut; 0: all. */
void status_put(struct strbuf *sb, const char *text, size_t max,
    const struct status_style *style);

void status_put_spaces(struct strbuf *sb, size_t n);

/* Begin, and end, what has a colour. */
void status_colour_on(struct strbuf *sb, enum status_colour colour,
    const struct status_style *style);
void status_colour_off(struct strbuf *sb, enum status_colour colour,
    const struct status_style *style);

/* "45.2M", "12.3", "3m12s", "17"; "-" if unknown. */
void status_put_bytes(struct strbuf *sb, uint64_t bytes);
void status_put_percent(struct strbuf *sb, uint64_t permille);
void status_put_duration(struct strbuf *sb, uint64_t ms);
void status_put_number(struct strbuf *sb, uint64_t number);

/* "pid 4711,": a value by one of these, between two texts. Where it is known:
   else false, and nothing. */
bool status_put_measure(struct strbuf *sb, const char *before, uint64_t value,
    void (*put)(struct strbuf *sb, uint64_t value), const char *after);

/*
 * Running text: words of spaces between them, wrapped at the style's width,
 * the further lines indented. A word that is too long for a line is cut.
 */
struct status_flow {
	struct strbuf *sb;
	const struct status_style *style;
	size_t indent;
	size_t column;		/* of the line so far */
	bool comma;		/* is owed, before the next word */
};

/* The first line begins in column `at`. */
struct status_flow status_flow_begin(struct strbuf *sb, size_t at,
    size_t indent, const struct status_style *style);
void status_flow_put(struct status_flow *flow, enum status_colour colour,
    const char *text);
/* A comma after what stands there, if a word follows. */
void status_flow_comma(struct status_flow *flow);
void status_flow_end(struct status_flow *flow);

#endif
