/*
 * The rows of instances: columns that are as wide as what is in them, cut and
 * left out where the line is too narrow. Shared by the table and the watch.
 */
#ifndef CORE_STATUS_STATUS_GRID_H
#define CORE_STATUS_STATUS_GRID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/status/status_text.h"

struct status_app;
struct status_instance;
struct strbuf;

enum status_column {
	STATUS_COLUMN_NAME,
	STATUS_COLUMN_PID,
	STATUS_COLUMN_STATE,
	STATUS_COLUMN_GENERATION,
	STATUS_COLUMN_UPTIME,
	STATUS_COLUMN_RESTARTS,
	STATUS_COLUMN_CPU,
	STATUS_COLUMN_CPU_BAR,
	STATUS_COLUMN_MEMORY,
	STATUS_COLUMN_CONNECTIONS,
	STATUS_COLUMN_SHARE_BAR,	/* of the app's connections */
	STATUS_COLUMN_QUEUE,
	STATUS_COLUMN_DEATH,
	STATUS_COLUMNS
};

struct status_grid {
	const struct status_style *style;
	const enum status_column *columns;	/* in this order */
	size_t n;
	bool brief;			/* short words in the heading */
	size_t gap;			/* between two columns */
	size_t widths[STATUS_COLUMNS];	/* 0: left out */
	bool failed;			/* memory was short */
};

/* Columns as wide as their headings, bars of the least width. */
struct status_grid status_grid_begin(const enum status_column *columns,
    size_t n, bool brief, const struct status_style *style);

/* Make room for a row. */
void status_grid_measure(struct status_grid *grid,
    const struct status_app *app, const struct status_instance *instance);

/* Make it fit the style's width, least important things first; what is left
   over widens the bars. */
void status_grid_fit(struct status_grid *grid);

size_t status_grid_width(const struct status_grid *grid);

void status_grid_heading(struct strbuf *sb, const struct status_grid *grid);

/* `connections`: what the app's instances have together, for the share. */
void status_grid_row(struct strbuf *sb, const struct status_grid *grid,
    const struct status_app *app, const struct status_instance *instance,
    uint64_t connections);

/* How its last process ended, how long ago, and when the next one starts;
   nothing if none of it is known. */
void status_grid_death(struct strbuf *sb,
    const struct status_instance *instance);

#endif
