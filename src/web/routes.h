/* What is answered to whom. */
#ifndef WEB_ROUTES_H
#define WEB_ROUTES_H

#include "web/http.h"

struct serving;

void routes_init(struct serving *serving);

/* For http_init(), with struct serving as ctx. */
extern const struct http_events routes_events;

/* Nobody waits any more: who did is told that it is over. */
void routes_cancel(struct serving *serving);

#endif
