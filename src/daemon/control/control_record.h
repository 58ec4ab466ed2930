/* What an app and a worker have in common as records and as progress. */
#ifndef DAEMON_CONTROL_CONTROL_RECORD_H
#define DAEMON_CONTROL_CONTROL_RECORD_H

struct app;
struct strbuf;
struct worker;

/* Fields of a line that was begun. */
void control_record_app(struct strbuf *sb, const struct app *app);
void control_record_worker(struct strbuf *sb, const struct worker *worker);

#endif
