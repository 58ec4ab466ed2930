/*
 * `clusterctl metrics`: a status as text for Prometheus.
 *
 * Two formats are about, and a text is to pass for both: OpenMetrics 1.0, which
 * scrapers speak, and text format 0.0.4, which `promtool check metrics` and
 * node_exporter's textfile collector read. They differ in their counters: there
 * the type stands at the name without _total, here at the name with it, and
 * neither takes the other's. So METRICS_OPENMETRICS gives counters their HELP,
 * and no TYPE: to both they are of an unknown type, and rate() does not ask. The
 * same for clusterd_info, a gauge here, as 0.0.4 has no type `info`.
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
	METRICS_OPENMETRICS,	/* for the parsers of both formats */
	METRICS_CLASSIC,	/* text format 0.0.4, counters with their type */
};

/* `labels` stand behind the metric's own in every sample; NULL: none. */
void metrics_text(struct strbuf *sb, const struct status *status,
    enum metrics_format format, const struct metrics_labels *labels);

#endif
