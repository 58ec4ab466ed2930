/*
 * One frame of `clusterctl status --watch`, as of top: a line about clusterd
 * with the time, one for each app, and rows of instances with a bar for CPU
 * (full: one CPU) and one for the share of the app's open connections (none
 * where they are not counted: "-"). Lines end in a newline each; moving the
 * cursor and erasing what stood there is the caller's part.
 */
#ifndef CORE_STATUS_STATUS_WATCH_H
#define CORE_STATUS_STATUS_WATCH_H

struct status;
struct status_style;
struct strbuf;

/*
 * After status_measure(). At most `height` lines (at least 4 are made) of at
 * most the style's width (0: 80; at least 40). `when` stands in the first line.
 * Where not all instances have room, those in trouble are shown, then those
 * that use the most CPU, and the last line says how many there are besides.
 */
void status_watch(struct strbuf *sb, const struct status *status,
    const struct status_style *style, unsigned height, const char *when);

#endif
