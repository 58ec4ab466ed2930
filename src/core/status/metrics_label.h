/*
 * Labels of metrics: how one is written, and those that a user adds to every
 * sample, so that the figures of one clusterd are told from another's where
 * both come to a Prometheus by one target, such as node_exporter's textfiles.
 */
#ifndef CORE_STATUS_METRICS_LABEL_H
#define CORE_STATUS_METRICS_LABEL_H

#include <stddef.h>

struct error;
struct strbuf;

#define METRICS_LABELS_MAX	16
#define METRICS_LABEL_LEN	1024	/* of NAME=VALUE */

struct metrics_labels {
	const char *text[METRICS_LABELS_MAX];	/* NAME=VALUE, the caller's */
	size_t n;
};

/*
 * Add "NAME=VALUE", which has to live as long as the labels. -EINVAL, with
 * words: NAME is no name of a label, or Prometheus's own (__*, le, quantile),
 * or one that metrics have already, or given twice; VALUE is empty, which to
 * Prometheus is no label, or would not be shown as it is; too long, too many.
 */
int metrics_label_add(struct metrics_labels *labels, const char *text,
    struct error *err);

/* Append `key="value"`, escaped as both formats have it. What is no UTF-8 is no
   label, and becomes U+FFFD, as do control characters. */
void metrics_label_put(struct strbuf *sb, const char *key, const char *value);

/* Append all of them, after `n_before` labels that stand there already. */
void metrics_labels_put(struct strbuf *sb, const struct metrics_labels *labels,
    size_t n_before);

#endif
