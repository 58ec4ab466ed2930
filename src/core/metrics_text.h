/* `clusterctl metrics`: a status as text for Prometheus. */
#ifndef CORE_METRICS_TEXT_H
#define CORE_METRICS_TEXT_H

struct status;
struct strbuf;

enum metrics_format {
	METRICS_OPENMETRICS,	/* read by the parsers of both formats */
	METRICS_CLASSIC,	/* text format 0.0.4, counters with a type */
};

void metrics_text(struct strbuf *sb, const struct status *status,
    enum metrics_format format);

#endif
