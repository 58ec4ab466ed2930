/* Can an app's protocols say which listeners it has? */
#ifndef CORE_CONF_CONF_SAID_H
#define CORE_CONF_CONF_SAID_H

struct conf_app;
struct conf_errors;

/* Add an error for each listener that a protocol of the app has no form for.
   `lines`: where each of app->listens was written. */
void conf_said_check(const struct conf_app *app, const unsigned *lines,
    struct conf_errors *errors);

#endif
