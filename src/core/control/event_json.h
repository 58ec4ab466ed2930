/* An event as people's programs read it. */
#ifndef CORE_CONTROL_EVENT_JSON_H
#define CORE_CONTROL_EVENT_JSON_H

struct answer_line;
struct strbuf;

/* Append a record of `events` as a JSON object, without a newline: "time", and
   every field as it is told, those of later versions too. */
void event_json_put(struct strbuf *sb, const struct answer_line *line);

/* "time_ms" of a record as RFC 3339; 1970 if it has none. */
void event_json_put_time(struct strbuf *sb, const struct answer_line *line);

#endif
