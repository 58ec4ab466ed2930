/* Which of the two formats of metrics a client is given. */
#ifndef CORE_WEB_WEB_ACCEPT_H
#define CORE_WEB_WEB_ACCEPT_H

#include "core/status/metrics_text.h"

/*
 * By its Accept header (RFC 9110, 12.5.1), which may be NULL: OpenMetrics where it
 * is named, by its version 1.0.0 or without one, and preferred to text, or wanted as
 * much; else text 0.0.4, also for who can take neither.
 */
enum metrics_format web_accept_metrics(const char *accept);

/* The Content-Type of that. */
const char *web_accept_type(enum metrics_format format);

#endif
