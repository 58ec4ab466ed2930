#include <stdint.h>
#include <string.h>

#include "base/iso_time.h"
#include "base/json.h"
#include "base/str.h"
#include "core/control/answer.h"
#include "core/control/event_json.h"

void
event_json_put_time(struct strbuf *sb, const struct answer_line *line)
{
	char text[ISO_TIME_LEN];
	uint64_t ms;

	if (!answer_line_number(line, "time_ms", &ms))
		ms = 0;
	iso_time_put(text, ms > INT64_MAX ? INT64_MAX : (int64_t)ms);
	strbuf_add(sb, text, sizeof(text));
}

/* What is a number is one, but for the texts that may look like one. */
void
event_json_put(struct strbuf *sb, const struct answer_line *line)
{
	static const char *const texts[] = {
		"app", "event", "next", "text", NULL,
	};

	strbuf_puts(sb, "{\"time\":\"");
	event_json_put_time(sb, line);
	strbuf_putc(sb, '"');
	for (size_t i = 0; i < line->n_fields; i++) {
		const struct answer_field *f = &line->fields[i];
		uint64_t n;

		if (strcmp(f->key, "time_ms") == 0)
			continue;
		strbuf_putc(sb, ',');
		json_put_string(sb, f->key);
		strbuf_putc(sb, ':');
		if (!str_is_one_of(f->key, texts) &&
		    answer_line_number(line, f->key, &n))
			strbuf_printf(sb, "%llu", (unsigned long long)n);
		else
			json_put_bytes(sb, f->value, f->len);
	}
	strbuf_putc(sb, '}');
}
