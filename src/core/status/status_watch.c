#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "core/status/status.h"
#include "core/status/status_grid.h"
#include "core/status/status_text.h"
#include "core/status/status_watch.h"

#define WIDTH_LEAST	40
#define WIDTH_USUAL	80
#define HEIGHT_LEAST	4
#define HEADER_LINES	2	/* about clusterd; the columns */

static const enum status_column shown[] = {
	STATUS_COLUMN_NAME, STATUS_COLUMN_STATE, STATUS_COLUMN_PID,
	STATUS_COLUMN_UPTIME, STATUS_COLUMN_RESTARTS, STATUS_COLUMN_MEMORY,
	STATUS_COLUMN_CPU, STATUS_COLUMN_CPU_BAR, STATUS_COLUMN_CONNECTIONS,
	STATUS_COLUMN_SHARE_BAR, STATUS_COLUMN_QUEUE,
};

/* A line of the frame that may have to give way: an instance, or an app with
   its instances. */
struct row {
	size_t order;		/* of the answer */
	const struct status_app *app;
	const struct status_instance *instance;	/* NULL: of the app */
	int trouble;		/* the more, the sooner it is shown */
	uint64_t cpu;
	uint64_t connections;
	bool picked;
};

static int
trouble_of(const char *state)
{
	switch (status_state_colour(state)) {
	case STATUS_RED:
		return 2;
	case STATUS_YELLOW:
		return 1;
	default:
		return 0;
	}
}

static int
descending(uint64_t a, uint64_t b)
{
	return (a < b) - (a > b);
}

static int
compare_urgency(const void *a, const void *b)
{
	const struct row *x = a, *y = b;
	int order = y->trouble - x->trouble;

	if (order == 0)
		order = descending(x->cpu, y->cpu);
	if (order == 0)
		order = descending(x->connections, y->connections);
	return order != 0 ? order : x->order < y->order ? -1 : 1;
}

static int
compare_order(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	return x->order < y->order ? -1 : 1;
}

/* Pick `most` of them, those that matter most; they stay in their order. */
static void
pick(struct row *rows, size_t n, size_t most)
{
	if (n > most)
		qsort(rows, n, sizeof(*rows), compare_urgency);
	for (size_t i = 0; i < n && i < most; i++)
		rows[i].picked = true;
	if (n > most)
		qsort(rows, n, sizeof(*rows), compare_order);
}

static uint64_t
or_nothing(uint64_t number)
{
	return number == STATUS_UNKNOWN ? 0 : number;
}

static struct row *
rows_of_apps(const struct status *status)
{
	struct row *rows = calloc(status->n_apps + 1, sizeof(*rows));

	for (size_t i = 0; rows != NULL && i < status->n_apps; i++) {
		const struct status_app *app = &status->apps[i];
		struct status_sums sums = status_app_sums(app);

		rows[i] = (struct row){
			.order = i, .app = app,
			.trouble = trouble_of(app->state),
			.cpu = or_nothing(sums.cpu_permille),
			.connections = or_nothing(sums.connections),
		};
		if (app->ready != app->wanted && rows[i].trouble == 0)
			rows[i].trouble = 1;
	}
	return rows;
}

/* Of the apps that are shown themselves. */
static struct row *
rows_of_instances(const struct status *status, const struct row *apps,
    size_t *ret_n)
{
	size_t all = 0, n = 0;
	struct row *rows;

	for (size_t i = 0; i < status->n_apps; i++)
		all += status->apps[i].n_instances;
	rows = calloc(all + 1, sizeof(*rows));
	for (size_t i = 0; rows != NULL && i < status->n_apps; i++) {
		const struct status_app *app = &status->apps[i];

		for (size_t k = 0; apps[i].picked && k < app->n_instances;
		    k++, n++)
			rows[n] = (struct row){
				.order = n, .app = app,
				.instance = &app->instances[k],
				.trouble = trouble_of(app->instances[k].state),
				.cpu = or_nothing(
				    app->instances[k].cpu_permille),
				.connections = or_nothing(
				    app->instances[k].connections),
			};
	}
	*ret_n = n;
	return rows;
}

/* ---- lines ---- */

/* A line of pieces: what does not fit any more is left out, piece by piece. */
struct pieces {
	struct strbuf *sb;
	const struct status_style *style;
	size_t column, most;
	bool full;
};

static void
put_piece(struct pieces *p, enum status_colour colour, const char *text)
{
	size_t columns = status_columns(text, p->style);

	if (p->column > 0 && p->column + columns > p->most)
		p->full = true;
	if (p->full)
		return;
	status_colour_on(p->sb, colour, p->style);
	status_put(p->sb, text, p->most, p->style);
	status_colour_off(p->sb, colour, p->style);
	p->column += columns < p->most ? columns : p->most;
}

static void
put_value(struct pieces *p, const char *before, uint64_t value,
    void (*put)(struct strbuf *sb, uint64_t value), const char *after)
{
	struct strbuf text = STRBUF_INIT;

	if (!status_put_measure(&text, before, value, put, after))
		return;
	if (text.failed)
		p->sb->failed = true;
	else
		put_piece(p, STATUS_PLAIN, text.text);
	strbuf_free(&text);
}

static void
put_state(struct pieces *p, const char *state)
{
	put_piece(p, STATUS_PLAIN, " ");
	put_piece(p, status_state_colour(state), state != NULL ? state : "-");
}

static void
put_head(struct strbuf *sb, const struct status *status,
    const struct status_style *style, const char *when)
{
	const struct status_clusterd *c = &status->clusterd;
	size_t time = status_columns(when, style);
	struct pieces p = {
		.sb = sb, .style = style,
		.most = style->width > time + 10 ?
		    style->width - time - 1 : style->width,
	};

	put_piece(&p, STATUS_BOLD, "clusterd");
	if (status->told) {
		put_state(&p, c->state);
		put_value(&p, ", pid ", c->pid, status_put_number, "");
		put_value(&p, ", up ", c->uptime_ms, status_put_duration, "");
		put_value(&p, ", CPU ", c->cpu_permille, status_put_percent,
		    " %");
		put_value(&p, ", memory ", c->memory_bytes, status_put_bytes,
		    "");
	}
	if (p.most < style->width) {
		status_put_spaces(sb, style->width - time - p.column);
		status_put(sb, when, 0, style);
	}
	strbuf_putc(sb, '\n');
}

static void
put_app(struct strbuf *sb, const struct status_app *app,
    const struct status_style *style)
{
	struct status_sums sums = status_app_sums(app);
	struct pieces p = { .sb = sb, .style = style, .most = style->width };

	put_piece(&p, STATUS_BOLD, app->name);
	put_state(&p, status_app_state(app));
	if (app->wanted != STATUS_UNKNOWN) {
		put_value(&p, ", ", or_nothing(app->ready),
		    status_put_number, "");
		put_value(&p, "/", app->wanted, status_put_number, "");
		put_value(&p, " of ", app->least, status_put_number, "");
		put_value(&p, "..", app->most, status_put_number, "");
		put_piece(&p, STATUS_PLAIN, " ready");
	}
	put_value(&p, ", ", app->moved, status_put_number, " moved");
	put_value(&p, ", CPU ", sums.cpu_permille, status_put_percent, " %");
	put_value(&p, ", ", sums.memory_bytes, status_put_bytes, "");
	put_value(&p, ", ", sums.connections, status_put_number,
	    " connections");
	put_value(&p, ", ", sums.waiting, status_put_number, " waiting");
	put_value(&p, ", generation ", app->generation, status_put_number,
	    "");
	strbuf_putc(sb, '\n');
}

static void
put_more(struct strbuf *sb, size_t apps, size_t instances,
    const struct status_style *style)
{
	const char *dots = style->utf8 ? "…" : "...";

	if (apps > 0)
		strbuf_printf(sb, "%s and %zu more app%s\n", dots, apps,
		    apps == 1 ? "" : "s");
	else if (instances > 0)
		strbuf_printf(sb, "%s and %zu more instance%s\n", dots,
		    instances, instances == 1 ? "" : "s");
}

/* ---- the frame ---- */

struct frame {
	struct row *apps, *instances;
	size_t n_apps, n_instances;
	size_t hidden_apps, hidden_instances;
	bool airy;		/* a line of space before each app */
};

/* Which apps, and which of their instances, have room. */
static bool
choose(const struct status *status, size_t lines, struct frame *ret_frame)
{
	struct frame f = { .n_apps = status->n_apps };

	f.apps = rows_of_apps(status);
	if (f.apps == NULL)
		return false;
	if (f.n_apps > lines)
		f.hidden_apps = f.n_apps - (lines - 1);
	pick(f.apps, f.n_apps, f.n_apps - f.hidden_apps);
	f.instances = rows_of_instances(status, f.apps, &f.n_instances);
	if (f.instances == NULL) {
		free(f.apps);
		return false;
	}
	lines -= f.hidden_apps > 0 ? lines : f.n_apps;
	f.airy = f.n_instances + f.n_apps <= lines;
	if (f.n_instances > lines)
		f.hidden_instances = f.n_instances -
		    (lines > 0 ? lines - 1 : 0);
	pick(f.instances, f.n_instances, f.n_instances - f.hidden_instances);
	/* Without a line for it, the apps' lines have to say it. */
	if (lines == 0)
		f.hidden_instances = 0;
	*ret_frame = f;
	return true;
}

static struct status_grid
measure(const struct frame *f, const struct status_style *style)
{
	struct status_grid grid = status_grid_begin(shown,
	    sizeof(shown) / sizeof(shown[0]), true, style);

	for (size_t i = 0; i < f->n_instances; i++)
		if (f->instances[i].picked)
			status_grid_measure(&grid, f->instances[i].app,
			    f->instances[i].instance);
	status_grid_fit(&grid);
	return grid;
}

static void
put_instances(struct strbuf *sb, const struct frame *f,
    const struct status_app *app, const struct status_grid *grid,
    size_t *next)
{
	struct status_sums sums = status_app_sums(app);

	for (; *next < f->n_instances && f->instances[*next].app == app;
	    ++*next)
		if (f->instances[*next].picked)
			status_grid_row(sb, grid, app,
			    f->instances[*next].instance, sums.connections);
}

void
status_watch(struct strbuf *sb, const struct status *status,
    const struct status_style *given, unsigned height, const char *when)
{
	struct status_style style = *given;
	struct status_grid grid;
	struct frame f;
	size_t next = 0;

	if (style.width == 0)
		style.width = WIDTH_USUAL;
	else if (style.width < WIDTH_LEAST)
		style.width = WIDTH_LEAST;
	if (height < HEIGHT_LEAST)
		height = HEIGHT_LEAST;
	if (!choose(status, height - HEADER_LINES, &f)) {
		sb->failed = true;
		return;
	}
	grid = measure(&f, &style);
	sb->failed |= grid.failed;
	put_head(sb, status, &style, when);
	status_grid_heading(sb, &grid);
	for (size_t i = 0; i < f.n_apps; i++)
		if (f.apps[i].picked) {
			if (f.airy)
				strbuf_putc(sb, '\n');
			put_app(sb, f.apps[i].app, &style);
			put_instances(sb, &f, f.apps[i].app, &grid, &next);
		}
	put_more(sb, f.hidden_apps, f.hidden_instances, &style);
	free(f.apps);
	free(f.instances);
}
