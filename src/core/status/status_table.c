#include <string.h>

#include "base/str.h"
#include "core/status/status.h"
#include "core/status/status_grid.h"
#include "core/status/status_table.h"
#include "core/status/status_text.h"

#define WIDTH_LEAST 40

/* "pid 4711," as one more piece of running text; nothing if it is unknown. */
static void
put_measure(struct status_flow *flow, const char *before, uint64_t value,
    void (*put)(struct strbuf *sb, uint64_t value), const char *after)
{
	struct strbuf text = STRBUF_INIT;

	if (!status_put_measure(&text, before, value, put, after))
		return;
	if (text.failed)
		flow->sb->failed = true;
	else
		status_flow_put(flow, STATUS_PLAIN, text.text);
	strbuf_free(&text);
}

static void
put_piece(struct status_flow *flow, const char *before, uint64_t value,
    void (*put)(struct strbuf *sb, uint64_t value), const char *after)
{
	if (value == STATUS_UNKNOWN)
		return;
	status_flow_comma(flow);
	put_measure(flow, before, value, put, after);
}

static void
put_state(struct status_flow *flow, const char *state)
{
	status_flow_put(flow, status_state_colour(state),
	    state != NULL ? state : "-");
}

static void
put_supervisor(struct strbuf *sb, const struct status_clusterd *c,
    const struct status_style *style)
{
	struct status_flow flow;

	if (c->supervisor_restarts == STATUS_UNKNOWN ||
	    c->supervisor_restarts == 0)
		return;
	flow = status_flow_begin(sb, 2, 4, style);
	put_measure(&flow, "supervisor restarted ", c->supervisor_restarts,
	    status_put_number, c->supervisor_restarts == 1 ? " time" :
	    " times");
	if (c->supervisor_death != NULL) {
		status_flow_comma(&flow);
		status_flow_put(&flow, STATUS_PLAIN, "last:");
		status_flow_put(&flow, STATUS_RED, c->supervisor_death);
	}
	status_flow_end(&flow);
}

static void
put_clusterd(struct strbuf *sb, const struct status_clusterd *c,
    const struct status_style *style)
{
	struct status_flow flow = status_flow_begin(sb, 0, 2, style);

	status_flow_put(&flow, STATUS_BOLD, "clusterd");
	if (c->version != NULL)
		status_flow_put(&flow, STATUS_PLAIN, c->version);
	put_state(&flow, c->state);
	put_piece(&flow, "pid ", c->pid, status_put_number, "");
	put_piece(&flow, "up ", c->uptime_ms, status_put_duration, "");
	put_piece(&flow, "CPU ", c->cpu_permille, status_put_percent, " %");
	put_piece(&flow, "memory ", c->memory_bytes, status_put_bytes, "");
	status_flow_end(&flow);
	if (c->config != NULL) {
		flow = status_flow_begin(sb, 2, 4, style);
		status_flow_put(&flow, STATUS_PLAIN, "config");
		status_flow_put(&flow, STATUS_PLAIN, c->config);
		status_flow_end(&flow);
	}
	if (c->reloads_refused != STATUS_UNKNOWN && c->reloads_refused > 0) {
		flow = status_flow_begin(sb, 2, 4, style);
		put_measure(&flow, "reloads refused: ", c->reloads_refused,
		    status_put_number, "");
		status_flow_end(&flow);
	}
	put_supervisor(sb, c, style);
}

/* ---- an app ---- */

static void
put_ready(struct status_flow *flow, const struct status_app *app)
{
	struct strbuf text = STRBUF_INIT;

	if (app->ready == STATUS_UNKNOWN && app->wanted == STATUS_UNKNOWN)
		return;
	status_put_number(&text, app->ready);
	strbuf_putc(&text, '/');
	status_put_number(&text, app->wanted);
	if (app->least != STATUS_UNKNOWN && app->most != STATUS_UNKNOWN) {
		strbuf_puts(&text, " of ");
		status_put_number(&text, app->least);
		strbuf_puts(&text, "..");
		status_put_number(&text, app->most);
	}
	strbuf_puts(&text, " ready");
	status_flow_comma(flow);
	if (text.failed)
		flow->sb->failed = true;
	else
		status_flow_put(flow, STATUS_PLAIN, text.text);
	strbuf_free(&text);
}

/* What happened is said in front, be it by the error itself. */
static void
put_reload_error(struct strbuf *sb, const char *error,
    const struct status_style *style)
{
	static const char *const said[] = {
		"reload aborted: ", "restart aborted: ",
	};
	struct status_flow flow = status_flow_begin(sb, 2, 4, style);
	const char *what = "last reload aborted:";

	if (str_starts(error, said[0])) {
		error += strlen(said[0]);
	} else if (str_starts(error, said[1])) {
		what = "last restart aborted:";
		error += strlen(said[1]);
	}
	status_flow_put(&flow, STATUS_RED, what);
	status_flow_put(&flow, STATUS_PLAIN, error);
	status_flow_end(&flow);
}

static void
put_app_line(struct strbuf *sb, const struct status_app *app,
    const struct status_style *style)
{
	struct status_flow flow = status_flow_begin(sb, 0, 2, style);

	status_flow_put(&flow, STATUS_BOLD, app->name);
	put_state(&flow, status_app_state(app));
	put_ready(&flow, app);
	put_piece(&flow, "generation ", app->generation, status_put_number,
	    "");
	put_piece(&flow, "changing to ", app->target, status_put_number, "");
	put_piece(&flow, "", app->moved, status_put_number, " moved");
	put_piece(&flow, "reloads ", app->reloads_ok, status_put_number,
	    " ok");
	if (app->reloads_aborted != 0)
		put_piece(&flow, "", app->reloads_aborted, status_put_number,
		    " aborted");
	status_flow_end(&flow);
	if (app->reload_error == NULL)
		return;
	put_reload_error(sb, app->reload_error, style);
}

static void
put_listener(struct strbuf *sb, const struct status_listener *l,
    const struct status_style *style)
{
	struct status_flow flow = status_flow_begin(sb, 2, 4, style);

	status_flow_put(&flow, STATUS_PLAIN, "on");
	status_flow_put(&flow, STATUS_PLAIN, l->address);
	if (l->state != NULL && strcmp(l->state, "open") != 0)
		status_flow_put(&flow, STATUS_YELLOW, l->state);
	if (l->balance != NULL) {
		status_flow_comma(&flow);
		status_flow_put(&flow, STATUS_PLAIN, l->balance);
	}
	put_piece(&flow, "", l->waiting, status_put_number, "");
	if (l->waiting != STATUS_UNKNOWN) {
		put_measure(&flow, "of ", l->backlog, status_put_number, "");
		status_flow_put(&flow, STATUS_PLAIN, "waiting");
	}
	status_flow_end(&flow);
}

static const enum status_column shown[] = {
	STATUS_COLUMN_NAME, STATUS_COLUMN_PID, STATUS_COLUMN_STATE,
	STATUS_COLUMN_GENERATION, STATUS_COLUMN_UPTIME,
	STATUS_COLUMN_RESTARTS, STATUS_COLUMN_CPU, STATUS_COLUMN_MEMORY,
	STATUS_COLUMN_CONNECTIONS, STATUS_COLUMN_QUEUE, STATUS_COLUMN_DEATH,
};
#define SHOWN (sizeof(shown) / sizeof(shown[0]))

/* The same columns for all apps, so that they line up. */
static struct status_grid
measure(const struct status *status, size_t n,
    const struct status_style *style)
{
	struct status_grid grid = status_grid_begin(shown, n, false, style);

	for (size_t i = 0; i < status->n_apps; i++)
		for (size_t k = 0; k < status->apps[i].n_instances; k++)
			status_grid_measure(&grid, &status->apps[i],
			    &status->apps[i].instances[k]);
	return grid;
}

static void
put_death(struct strbuf *sb, const struct status_instance *instance,
    const struct status_style *style)
{
	struct strbuf text = STRBUF_INIT;
	struct status_flow flow;

	strbuf_puts(&text, "");
	status_grid_death(&text, instance);
	if (text.failed) {
		sb->failed = true;
	} else if (text.len > 0) {
		flow = status_flow_begin(sb, 4, 4, style);
		status_flow_put(&flow, STATUS_PLAIN, text.text);
		status_flow_end(&flow);
	}
	strbuf_free(&text);
}

static void
put_app(struct strbuf *sb, const struct status_app *app,
    const struct status_grid *grid)
{
	bool below = grid->widths[STATUS_COLUMN_DEATH] == 0;

	strbuf_putc(sb, '\n');
	put_app_line(sb, app, grid->style);
	for (size_t i = 0; i < app->n_listeners; i++)
		put_listener(sb, &app->listeners[i], grid->style);
	if (app->n_instances > 0)
		status_grid_heading(sb, grid);
	for (size_t i = 0; i < app->n_instances; i++) {
		status_grid_row(sb, grid, app, &app->instances[i],
		    STATUS_UNKNOWN);
		if (below)
			put_death(sb, &app->instances[i], grid->style);
	}
}

void
status_table(struct strbuf *sb, const struct status *status,
    const struct status_style *given)
{
	struct status_style style = *given;
	struct status_grid grid;

	if (style.width > 0 && style.width < WIDTH_LEAST)
		style.width = WIDTH_LEAST;
	grid = measure(status, SHOWN, &style);
	sb->failed |= grid.failed;
	if (style.width > 0 && status_grid_width(&grid) > style.width) {
		grid = measure(status, SHOWN - 1, &style);
		status_grid_fit(&grid);
	}
	sb->failed |= grid.failed;
	if (status->told)
		put_clusterd(sb, &status->clusterd, &style);
	for (size_t i = 0; i < status->n_apps; i++)
		put_app(sb, &status->apps[i], &grid);
	if (status->left_out > 0)
		strbuf_printf(sb, "\n%zu records more are not shown\n",
		    status->left_out);
}
