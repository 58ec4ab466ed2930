/* Placeholders that are replaced at a worker's start: is there something to put
   in their place? */
#ifndef CORE_CONF_CONF_BRACES_H
#define CORE_CONF_CONF_BRACES_H

struct conf_app;
struct conf_host;
struct conf_keys;

/* Reports those without. `app` is all read, its env file too. 0 or -ENOMEM. */
int conf_braces_check(struct conf_keys *keys, const struct conf_host *host,
    const struct conf_app *app);

#endif
