/*
 * What `clusterctl status` prints: clusterd; then each app, its listeners and
 * a row per instance. How an instance's last process died is in the last
 * column where that fits, else on a line of its own below the row; with no
 * width (into a pipe) each instance is one line, and nothing is cut.
 */
#ifndef CORE_STATUS_STATUS_TABLE_H
#define CORE_STATUS_STATUS_TABLE_H

struct status;
struct status_style;
struct strbuf;

/* After status_measure(). `sb->failed` if memory is short. Lines of fewer
   than 40 columns are not made; the terminal wraps or cuts them. */
void status_table(struct strbuf *sb, const struct status *status,
    const struct status_style *style);

#endif
