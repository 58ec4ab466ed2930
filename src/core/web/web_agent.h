/* What HAProxy's agent-check is answered. */
#ifndef CORE_WEB_WEB_AGENT_H
#define CORE_WEB_WEB_AGENT_H

struct status;
struct strbuf;

/*
 * One line, of an app: `up ready` with the part of its instances that are ready, as a
 * weight; `down` while none is; `drain` while clusterd goes down and serves on; `maint`
 * where nobody new is taken: it stops, or was stopped by request, or has ended. Nothing
 * of it stays in force behind a later line.
 */
void web_agent(const struct status *status, const char *app,
    struct strbuf *line);

#endif
