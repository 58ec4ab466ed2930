#include <string.h>

#include "base/str.h"
#include "core/status/status.h"
#include "core/status/status_grid.h"

#define BAR_LEAST	6	/* with its brackets */
#define BAR_MOST	32
#define NAME_GOOD	16
#define NAME_LEAST	10

static const struct {
	const char *heading;
	const char *brief;
	bool right;
	unsigned keep;		/* the lowest is left out first */
} columns[STATUS_COLUMNS] = {
	[STATUS_COLUMN_NAME] = { "NAME", "NAME", false, 99 },
	[STATUS_COLUMN_PID] = { "PID", "PID", true, 8 },
	[STATUS_COLUMN_STATE] = { "STATE", "STATE", false, 99 },
	[STATUS_COLUMN_GENERATION] = { "GEN", "GEN", true, 1 },
	[STATUS_COLUMN_UPTIME] = { "UPTIME", "UPTIME", true, 3 },
	[STATUS_COLUMN_RESTARTS] = { "RESTARTS", "RST", true, 4 },
	[STATUS_COLUMN_CPU] = { "CPU %", "CPU %", true, 99 },
	[STATUS_COLUMN_CPU_BAR] = { "", "", false, 6 },
	[STATUS_COLUMN_MEMORY] = { "MEM", "MEM", true, 7 },
	[STATUS_COLUMN_CONNECTIONS] = { "CONN", "CONN", true, 7 },
	[STATUS_COLUMN_SHARE_BAR] = { "", "", false, 5 },
	[STATUS_COLUMN_QUEUE] = { "QUEUE", "QUEUE", true, 2 },
	[STATUS_COLUMN_DEATH] = { "LAST DEATH", "LAST DEATH", false, 0 },
};

static bool
is_bar(enum status_column column)
{
	return column == STATUS_COLUMN_CPU_BAR ||
	    column == STATUS_COLUMN_SHARE_BAR;
}

static const char *
heading_of(const struct status_grid *grid, enum status_column column)
{
	return grid->brief ? columns[column].brief : columns[column].heading;
}

/* ---- cells ---- */

/* Of the name of an app what there is room for, and the rest whole: it tells
   the rows apart. 0: all of it. */
static void
put_name(struct strbuf *sb, const struct status_app *app,
    const struct status_instance *instance, size_t max,
    const struct status_style *style)
{
	struct strbuf rest = STRBUF_INIT;
	size_t name = 0;

	strbuf_printf(&rest, ".%llu",
	    (unsigned long long)instance->instance);
	if (instance->role != STATUS_SEAT)
		strbuf_printf(&rest, " %s",
		    status_role_name(instance->role));
	if (max > 0)
		name = max > rest.len ? max - rest.len : 1;
	status_put(sb, app->name, name, style);
	if (rest.failed)
		sb->failed = true;
	else
		strbuf_puts(sb, rest.text);
	strbuf_free(&rest);
}

void
status_grid_death(struct strbuf *sb, const struct status_instance *instance)
{
	bool waits = instance->restart_in_ms != STATUS_UNKNOWN;

	/* What is wrong now comes before what was. */
	if (instance->healthy == 0 && instance->unhealthy != NULL) {
		strbuf_puts(sb, instance->unhealthy);
		return;
	}
	if (instance->death != NULL)
		strbuf_puts(sb, instance->death);
	if (instance->death != NULL &&
	    instance->death_ago_ms != STATUS_UNKNOWN) {
		strbuf_puts(sb, ", ");
		status_put_duration(sb, instance->death_ago_ms);
		strbuf_puts(sb, " ago");
	}
	if (waits) {
		strbuf_puts(sb, instance->death != NULL ?
		    "; restarts in " : "restarts in ");
		status_put_duration(sb, instance->restart_in_ms);
	}
}

/* One that is ready, and not well, is that. */
static const char *
shown_state(const struct status_instance *i)
{
	if (i->state == NULL)
		return "-";
	return i->healthy == 0 && strcmp(i->state, "ready") == 0 ?
	    "unhealthy" : i->state;
}

/* What it says, before it is made harmless and cut. */
static void
put_text(struct strbuf *sb, enum status_column column,
    const struct status_instance *i)
{
	switch (column) {
	case STATUS_COLUMN_PID:
		status_put_number(sb, i->pid);
		break;
	case STATUS_COLUMN_STATE:
		strbuf_puts(sb, shown_state(i));
		break;
	case STATUS_COLUMN_GENERATION:
		status_put_number(sb, i->generation);
		break;
	case STATUS_COLUMN_UPTIME:
		status_put_duration(sb, i->uptime_ms);
		break;
	case STATUS_COLUMN_RESTARTS:
		status_put_number(sb, status_restarts(i));
		break;
	case STATUS_COLUMN_CPU:
		status_put_percent(sb, i->cpu_permille);
		break;
	case STATUS_COLUMN_MEMORY:
		status_put_bytes(sb, i->memory_bytes);
		break;
	case STATUS_COLUMN_CONNECTIONS:
		status_put_number(sb, i->connections);
		break;
	case STATUS_COLUMN_QUEUE:
		status_put_number(sb, i->waiting);
		break;
	case STATUS_COLUMN_DEATH:
		status_grid_death(sb, i);
		break;
	default:
		break;
	}
}

/* Eighths of a column where the terminal has them, so that little shows. */
static void
put_bar(struct strbuf *sb, uint64_t permille, size_t width,
    const struct status_style *style)
{
	static const char *const eighths[] = {
		"", "▏", "▎", "▍", "▌", "▋", "▊", "▉",
	};
	size_t inside = width - 2, steps, whole, parts = style->utf8 ? 8 : 1;

	if (permille == STATUS_UNKNOWN)
		return;
	permille = permille > 1000 ? 1000 : permille;
	steps = (permille * inside * parts + 500) / 1000;
	whole = steps / parts;
	strbuf_putc(sb, '[');
	for (size_t i = 0; i < whole; i++)
		strbuf_puts(sb, style->utf8 ? "█" : "#");
	if (steps % parts > 0) {
		strbuf_puts(sb, eighths[steps % parts]);
		whole++;
	}
	status_put_spaces(sb, inside - whole);
	strbuf_putc(sb, ']');
}

static uint64_t
share_of(uint64_t part, uint64_t all)
{
	if (part == STATUS_UNKNOWN || all == STATUS_UNKNOWN)
		return STATUS_UNKNOWN;
	if (all == 0)
		return 0;
	return part > UINT64_MAX / 1000 ? part / (all / 1000 + 1) :
	    part * 1000 / all;
}

/* ---- widths ---- */

struct status_grid
status_grid_begin(const enum status_column *which, size_t n, bool brief,
    const struct status_style *style)
{
	struct status_grid grid = {
		.style = style, .columns = which, .n = n, .brief = brief,
		.gap = 2,
	};

	for (size_t i = 0; i < n; i++)
		grid.widths[which[i]] = is_bar(which[i]) ? BAR_LEAST :
		    strlen(heading_of(&grid, which[i]));
	return grid;
}

void
status_grid_measure(struct status_grid *grid, const struct status_app *app,
    const struct status_instance *instance)
{
	struct strbuf cell = STRBUF_INIT;

	for (size_t i = 0; i < grid->n; i++) {
		enum status_column column = grid->columns[i];
		size_t width;

		if (is_bar(column))
			continue;
		cell.len = 0;
		if (column == STATUS_COLUMN_NAME)
			put_name(&cell, app, instance, 0, grid->style);
		else
			put_text(&cell, column, instance);
		if (cell.failed)
			break;
		if (cell.len == 0)
			continue;
		width = status_columns(cell.text, grid->style);
		if (width > grid->widths[column])
			grid->widths[column] = width;
	}
	grid->failed |= cell.failed;
	strbuf_free(&cell);
}

size_t
status_grid_width(const struct status_grid *grid)
{
	size_t sum = 0;

	for (size_t i = 0; i < grid->n; i++)
		if (grid->widths[grid->columns[i]] > 0)
			sum += grid->widths[grid->columns[i]] + grid->gap;
	return sum > 0 ? sum - grid->gap : 0;
}

/* How much it is too wide. */
static size_t
excess(const struct status_grid *grid)
{
	size_t width = status_grid_width(grid);

	return width > grid->style->width ? width - grid->style->width : 0;
}

/* No column is wider than what anybody needs, whatever is in it. */
static void
cut_long_ones(struct status_grid *grid)
{
	static const struct {
		enum status_column column;
		size_t most;
	} cuts[] = {
		{ STATUS_COLUMN_STATE, 10 }, { STATUS_COLUMN_NAME, 24 },
	};

	for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++)
		if (grid->widths[cuts[i].column] > cuts[i].most)
			grid->widths[cuts[i].column] = cuts[i].most;
}

static void
widen_bars(struct status_grid *grid)
{
	size_t width = status_grid_width(grid);
	size_t spare = grid->style->width > width ?
	    grid->style->width - width : 0;
	size_t *cpu = &grid->widths[STATUS_COLUMN_CPU_BAR];
	size_t *share = &grid->widths[STATUS_COLUMN_SHARE_BAR];
	size_t each = *cpu > 0 && *share > 0 ? spare / 2 : spare;

	if (each > BAR_MOST - BAR_LEAST)
		each = BAR_MOST - BAR_LEAST;
	*cpu += *cpu > 0 ? each : 0;
	*share += *share > 0 ? each : 0;
}

/* Leave out what matters less than `keep`, while it is too wide. */
static void
leave_out(struct status_grid *grid, unsigned keep)
{
	enum status_column least;

	while (excess(grid) > 0) {
		least = STATUS_COLUMN_NAME;
		for (size_t i = 0; i < grid->n; i++)
			if (grid->widths[grid->columns[i]] > 0 &&
			    columns[grid->columns[i]].keep <
			    columns[least].keep)
				least = grid->columns[i];
		if (columns[least].keep >= keep)
			return;
		grid->widths[least] = 0;
	}
}

static void
cut_name(struct status_grid *grid, size_t to)
{
	size_t *name = &grid->widths[STATUS_COLUMN_NAME];
	size_t over = excess(grid);

	if (*name > to)
		*name = *name - to < over ? to : *name - over;
}

/* As far as there is room again. */
static void
restore_name(struct status_grid *grid, size_t before)
{
	size_t *name = &grid->widths[STATUS_COLUMN_NAME];
	size_t width = status_grid_width(grid);
	size_t spare = grid->style->width > width ?
	    grid->style->width - width : 0;

	*name = before - *name < spare ? before : *name + spare;
}

void
status_grid_fit(struct status_grid *grid)
{
	size_t name;

	if (grid->style->width == 0)
		return;
	if (excess(grid) > 0)
		cut_long_ones(grid);
	if (excess(grid) > 0)
		grid->gap = 1;
	name = grid->widths[STATUS_COLUMN_NAME];
	leave_out(grid, 3);
	cut_name(grid, NAME_GOOD);
	leave_out(grid, 8);
	cut_name(grid, NAME_LEAST);
	leave_out(grid, 99);
	restore_name(grid, name);
	widen_bars(grid);
}

/* ---- lines ---- */

struct line {
	struct strbuf *sb;
	const struct status_grid *grid;
	bool begun;
	size_t owed;		/* spaces, if anything follows */
};

static void
put_cell(struct line *line, enum status_column column, const char *text,
    enum status_colour colour)
{
	const struct status_style *style = line->grid->style;
	size_t width = line->grid->widths[column];
	size_t takes = status_columns(text, style);
	size_t pad = takes < width ? width - takes : 0;
	bool right = columns[column].right;

	if (line->begun)
		line->owed += line->grid->gap;
	line->begun = true;
	line->owed += right ? pad : 0;
	if (takes > 0) {
		status_put_spaces(line->sb, line->owed);
		line->owed = 0;
		status_colour_on(line->sb, colour, style);
		status_put(line->sb, text, width, style);
		status_colour_off(line->sb, colour, style);
	}
	line->owed += right ? 0 : pad;
}

void
status_grid_heading(struct strbuf *sb, const struct status_grid *grid)
{
	struct line line = { .sb = sb, .grid = grid };

	for (size_t i = 0; i < grid->n; i++)
		if (grid->widths[grid->columns[i]] > 0)
			put_cell(&line, grid->columns[i],
			    heading_of(grid, grid->columns[i]), STATUS_BOLD);
	strbuf_putc(sb, '\n');
}

void
status_grid_row(struct strbuf *sb, const struct status_grid *grid,
    const struct status_app *app, const struct status_instance *instance,
    uint64_t connections)
{
	struct line line = { .sb = sb, .grid = grid };
	struct strbuf cell = STRBUF_INIT;

	for (size_t i = 0; i < grid->n; i++) {
		enum status_column column = grid->columns[i];
		size_t width = grid->widths[column];

		if (width == 0)
			continue;
		cell.len = 0;
		strbuf_puts(&cell, "");
		if (column == STATUS_COLUMN_NAME)
			put_name(&cell, app, instance, width, grid->style);
		else if (column == STATUS_COLUMN_CPU_BAR)
			put_bar(&cell, instance->cpu_permille, width,
			    grid->style);
		else if (column == STATUS_COLUMN_SHARE_BAR)
			put_bar(&cell, share_of(instance->connections,
			    connections), width, grid->style);
		else
			put_text(&cell, column, instance);
		if (cell.failed)
			break;
		put_cell(&line, column, cell.text,
		    column == STATUS_COLUMN_STATE ?
		    status_state_colour(instance->state) : STATUS_PLAIN);
	}
	sb->failed |= cell.failed;
	strbuf_free(&cell);
	strbuf_putc(sb, '\n');
}
