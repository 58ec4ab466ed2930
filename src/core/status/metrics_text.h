/*
 * `clusterctl metrics`: a status as text for Prometheus, in one of two formats.
 * They differ in their counters: in text format 0.0.4, which node_exporter's
 * textfile collector and `promtool check metrics` read, the type stands at the
 * name with _total, in OpenMetrics 1.0 at the one without it, and neither takes
 * the other's for a counter. OpenMetrics has a type for clusterd_info, too, and an
 * end, # EOF, by which a text that was cut is told from a whole one.
 *
 * Names begin with clusterd_; units are seconds and bytes. What is not known
 * has no sample, a metric without samples no HELP. Metrics of an instance are
 * those of its seat; workers that retire, or are about to take a seat, are
 * counted for each app. Its number is the label `worker`, as `instance` is the
 * one that a Prometheus gives to what it scrapes.
 *
 * Names, labels and HELP texts are an interface: see CONTRIBUTING.md.
 */
#ifndef CORE_STATUS_METRICS_TEXT_H
#define CORE_STATUS_METRICS_TEXT_H

struct metrics_labels;
struct status;
struct strbuf;

enum metrics_format {
	METRICS_CLASSIC,	/* text format 0.0.4 */
	METRICS_OPENMETRICS,	/* 1.0 */
};

/* `labels` stand behind the metric's own in every sample; NULL: none. */
void metrics_text(struct strbuf *sb, const struct status *status,
    enum metrics_format format, const struct metrics_labels *labels);

#endif
