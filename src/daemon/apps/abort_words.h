/* Why a rollout was aborted, for people. */
#ifndef DAEMON_APPS_ABORT_WORDS_H
#define DAEMON_APPS_ABORT_WORDS_H

struct app;
struct strbuf;

/* Before anything is done about it: the workers of instance `i`, which was the
   reason, still have their seats. */
void abort_words_put(struct strbuf *sb, const struct app *app, unsigned i);

#endif
