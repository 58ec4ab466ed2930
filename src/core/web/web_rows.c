#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "core/status/status.h"
#include "core/web/web_rows.h"

#define MS_PER_S	1000

/* ---- members ---- */

static void
put_number(struct strbuf *sb, const char *key, uint64_t n)
{
	if (n != STATUS_UNKNOWN)
		strbuf_printf(sb, ",\"%s\":%llu", key, (unsigned long long)n);
}

static void
put_text(struct strbuf *sb, const char *key, const char *text)
{
	if (text == NULL)
		return;
	strbuf_printf(sb, ",\"%s\":", key);
	json_put_string(sb, text);
}

/* That many milliseconds ago, in seconds since 1970. */
static void
put_since(struct strbuf *sb, const char *key, uint64_t ago_ms, int64_t now_ms)
{
	if (ago_ms <= (uint64_t)now_ms)
		put_number(sb, key, ((uint64_t)now_ms - ago_ms) / MS_PER_S);
}

/* ---- rows ---- */

static struct web_row *
begin_row(struct web_rows *rows)
{
	struct web_row *row;

	if (rows->n == rows->cap) {
		size_t cap = rows->cap == 0 ? 64 : rows->cap * 2;
		struct web_row *more = reallocarray(rows->rows, cap,
		    sizeof(*more));

		if (more == NULL)
			return NULL;
		rows->rows = more;
		rows->cap = cap;
	}
	row = &rows->rows[rows->n++];
	*row = (struct web_row){ .id = rows->text.len };
	return row;
}

/* The id stands there: what follows is the object, which begins with it. */
static void
begin_object(struct web_rows *rows, struct web_row *row)
{
	struct strbuf id = STRBUF_INIT;

	row->id_len = rows->text.len - row->id;
	if (rows->text.failed)
		return;
	strbuf_add(&id, rows->text.text + row->id, row->id_len);
	row->json = rows->text.len;
	strbuf_puts(&rows->text, "{\"id\":");
	json_put_string(&rows->text, id.text != NULL ? id.text : "");
	rows->text.failed |= id.failed;
	strbuf_free(&id);
}

static void
end_object(struct web_rows *rows, struct web_row *row)
{
	strbuf_putc(&rows->text, '}');
	row->json_len = rows->text.len - row->json;
}

static void
put_listeners(struct strbuf *sb, const struct status_app *app)
{
	strbuf_puts(sb, ",\"listeners\":[");
	for (size_t i = 0; i < app->n_listeners; i++) {
		const struct status_listener *l = &app->listeners[i];

		strbuf_puts(sb, i > 0 ? ",{\"address\":" : "{\"address\":");
		json_put_string(sb, l->address);
		put_text(sb, "balance", l->balance);
		put_text(sb, "state", l->state);
		put_number(sb, "waiting", l->waiting);
		put_number(sb, "backlog", l->backlog);
		put_number(sb, "dropped", l->dropped);
		strbuf_putc(sb, '}');
	}
	strbuf_putc(sb, ']');
}

static int
add_app(struct web_rows *rows, const struct status_app *app, size_t place)
{
	struct strbuf *sb = &rows->text;
	struct web_row *row = begin_row(rows);

	if (row == NULL)
		return -ENOMEM;
	strbuf_printf(sb, "%s", app->name);
	begin_object(rows, row);
	put_text(sb, "app", app->name);
	put_number(sb, "place", place);
	put_text(sb, "state", app->state);
	put_number(sb, "generation", app->generation);
	put_number(sb, "wanted", app->wanted);
	put_number(sb, "least", app->least);
	put_number(sb, "most", app->most);
	put_number(sb, "ready", app->ready);
	put_number(sb, "target", app->target);
	put_number(sb, "moved", app->moved);
	put_number(sb, "reloads_ok", app->reloads_ok);
	put_number(sb, "reloads_aborted", app->reloads_aborted);
	put_text(sb, "reload_error", app->reload_error);
	put_text(sb, "stdout", app->stdout_to);
	put_text(sb, "stderr", app->stderr_to);
	put_listeners(sb, app);
	end_object(rows, row);
	return 0;
}

/* Those of one number are told apart by what they are, and where there may be
   several by their process. */
static void
put_id(struct strbuf *sb, const struct status_app *app,
    const struct status_instance *w)
{
	strbuf_printf(sb, "%s:%llu", app->name,
	    (unsigned long long)w->instance);
	if (w->role == STATUS_SEAT)
		return;
	strbuf_printf(sb, " %s", status_role_name(w->role));
	if (w->pid != STATUS_UNKNOWN)
		strbuf_printf(sb, " %llu", (unsigned long long)w->pid);
}

static int
add_worker(struct web_rows *rows, const struct status_app *app,
    const struct status_instance *w, int64_t now_ms)
{
	struct strbuf *sb = &rows->text;
	struct web_row *row = begin_row(rows);

	if (row == NULL)
		return -ENOMEM;
	put_id(sb, app, w);
	begin_object(rows, row);
	put_text(sb, "of", app->name);
	put_number(sb, "instance", w->instance);
	put_text(sb, "role", status_role_name(w->role));
	put_text(sb, "state", w->state);
	put_number(sb, "pid", w->pid);
	put_number(sb, "generation", w->generation);
	put_since(sb, "since", w->uptime_ms, now_ms);
	put_number(sb, "restart_in_ms", w->restart_in_ms);
	put_number(sb, "cpu", w->cpu_permille);
	put_number(sb, "memory", w->memory_bytes);
	put_number(sb, "waiting", w->waiting);
	put_number(sb, "connections", w->connections);
	put_number(sb, "restarts", status_restarts(w));
	if (w->healthy == 0)
		put_text(sb, "unhealthy", w->unhealthy != NULL ?
		    w->unhealthy : "its checks fail");
	put_text(sb, "death", w->death);
	put_since(sb, "died", w->death_ago_ms, now_ms);
	end_object(rows, row);
	return 0;
}

static int
add_rows(struct web_rows *rows, const struct status *status, int64_t now_ms)
{
	for (size_t i = 0; i < status->n_apps; i++) {
		const struct status_app *app = &status->apps[i];

		if (add_app(rows, app, i) < 0)
			return -ENOMEM;
		for (size_t k = 0; k < app->n_instances; k++)
			if (add_worker(rows, app, &app->instances[k],
			    now_ms) < 0)
				return -ENOMEM;
	}
	return rows->text.failed ? -ENOMEM : 0;
}

/* ---- order ---- */

static int
compare_rows(const void *a, const void *b)
{
	const struct web_row *x = a, *y = b;
	size_t len = x->id_len < y->id_len ? x->id_len : y->id_len;
	int order = memcmp(x->name, y->name, len);

	return order != 0 ? order : (x->id_len > y->id_len) -
	    (x->id_len < y->id_len);
}

int
web_rows_build(const struct status *status, int64_t now_ms,
    struct web_rows *ret_rows)
{
	struct web_rows rows = WEB_ROWS_INIT;
	int code = add_rows(&rows, status, now_ms);

	if (code < 0) {
		web_rows_free(&rows);
		return code;
	}
	/* The text is whole, and stays where it is. */
	for (size_t i = 0; i < rows.n; i++)
		rows.rows[i].name = rows.text.text + rows.rows[i].id;
	if (rows.n > 0)
		qsort(rows.rows, rows.n, sizeof(*rows.rows), compare_rows);
	*ret_rows = rows;
	return 0;
}

void
web_rows_free(struct web_rows *rows)
{
	strbuf_free(&rows->text);
	free(rows->rows);
	*rows = (struct web_rows)WEB_ROWS_INIT;
}

/* ---- from one sample to the next ---- */

static bool
is_same(const struct web_rows *a, const struct web_row *x,
    const struct web_rows *b, const struct web_row *y)
{
	return x->json_len == y->json_len &&
	    memcmp(a->text.text + x->json, b->text.text + y->json,
		x->json_len) == 0;
}

/* What is in both stands at the same place in the order: one way through. */
static void
put_set(struct strbuf *sb, const struct web_rows *rows,
    const struct web_rows *before, struct strbuf *gone)
{
	size_t i = 0, k = 0;
	bool comma = false;

	while (i < rows->n || k < before->n) {
		const struct web_row *new = i < rows->n ? &rows->rows[i] : NULL;
		const struct web_row *old = k < before->n ?
		    &before->rows[k] : NULL;
		int order = new == NULL ? 1 : old == NULL ? -1 :
		    compare_rows(new, old);

		if (order > 0) {
			strbuf_puts(gone, gone->len > 0 ? "," : "");
			json_put_bytes(gone, before->text.text + old->id,
			    old->id_len);
		} else if (order < 0 || !is_same(rows, new, before, old)) {
			strbuf_puts(sb, comma ? "," : "");
			strbuf_add(sb, rows->text.text + new->json,
			    new->json_len);
			comma = true;
		}
		i += order <= 0;
		k += order >= 0;
	}
}

void
web_rows_put(struct strbuf *sb, const struct web_rows *rows,
    const struct web_rows *before)
{
	static const struct web_rows nothing = WEB_ROWS_INIT;
	struct strbuf gone = STRBUF_INIT;

	strbuf_puts(sb, "\"set\":[");
	put_set(sb, rows, before != NULL ? before : &nothing, &gone);
	strbuf_puts(sb, "],\"gone\":[");
	strbuf_puts(sb, gone.text != NULL ? gone.text : "");
	strbuf_putc(sb, ']');
	sb->failed |= gone.failed;
	strbuf_free(&gone);
}

void
web_rows_put_clusterd(struct strbuf *sb, const struct status *status,
    int64_t now_ms)
{
	const struct status_clusterd *c = &status->clusterd;

	if (!status->told) {
		strbuf_puts(sb, "{}");
		return;
	}
	strbuf_puts(sb, "{\"told\":true");
	put_number(sb, "pid", c->pid);
	put_text(sb, "version", c->version);
	put_text(sb, "config", c->config);
	put_text(sb, "state", c->state);
	put_since(sb, "since", c->uptime_ms, now_ms);
	put_number(sb, "cpu", c->cpu_permille);
	put_number(sb, "memory", c->memory_bytes);
	put_number(sb, "reloads_refused", c->reloads_refused);
	put_number(sb, "supervisor_restarts", c->supervisor_restarts);
	put_text(sb, "supervisor_death", c->supervisor_death);
	strbuf_putc(sb, '}');
}
