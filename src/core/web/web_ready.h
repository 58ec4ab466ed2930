/* Can a host be sent clients? What /readyz answers. */
#ifndef CORE_WEB_WEB_READY_H
#define CORE_WEB_WEB_READY_H

struct status;
struct strbuf;

enum web_ready {
	WEB_READY,
	WEB_READY_NOT,
	WEB_READY_UNKNOWN_APP,
};

/*
 * Has every app, or the one that is named (NULL: none is), at least `min` instances
 * ready, or all that it is to have, where those are fewer? Apps that have ended well
 * are left out, and so are those that were stopped by request, unless named. Never,
 * while clusterd is going down. `words` gets a line for each app that has not.
 */
enum web_ready web_ready(const struct status *status, const char *app,
    unsigned min, struct strbuf *words);

#endif
