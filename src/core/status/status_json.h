/*
 * `clusterctl status --json`: one object and a newline.
 *
 *	{"clusterd": {"pid": 4711, …}, "apps": [{"name": "web", …,
 *	    "listeners": [{"address": …}], "instances": [{"instance": 0,
 *	    "role": "seat", …}]}]}
 *
 * Keys and units are those of clusterd-control(7); what is not known, or does
 * not apply, is left out. Besides there are cpu_percent (of one CPU, one
 * decimal; clusterd's and the instances'), and "restarts", an object of the
 * reasons exit, failure, signal, timeout and start, instead of restarts_exit
 * and the like. "clusterd" is left out if it was not told; "apps",
 * "listeners" and "instances" are always there.
 */
#ifndef CORE_STATUS_STATUS_JSON_H
#define CORE_STATUS_STATUS_JSON_H

struct status;
struct strbuf;

/* After status_measure(). Bytes that are no UTF-8 become U+FFFD. */
void status_json(struct strbuf *sb, const struct status *status);

#endif
