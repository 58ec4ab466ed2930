/* The answer to a request that names an app which is not there. */
#ifndef CORE_CONTROL_UNKNOWN_APP_H
#define CORE_CONTROL_UNKNOWN_APP_H

struct strbuf;
struct strlist;

/* "there is no app "wbe", did you mean web? there are web and api": the names go as
   far as they go on a line. */
void unknown_app_put(struct strbuf *sb, const char *name,
    const struct strlist *apps);

/* What comes behind the name. */
void unknown_app_put_others(struct strbuf *sb, const char *name,
    const struct strlist *apps);

#endif
