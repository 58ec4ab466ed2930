/* Of advice.h: keys that do nothing with the app's `balance` or listeners. */
#ifndef CORE_CONF_ADVICE_BALANCE_H
#define CORE_CONF_ADVICE_BALANCE_H

struct conf_app;
struct conf_errors;
struct conf_keys;

void advice_balance(const struct conf_keys *keys, const struct conf_app *app,
    struct conf_errors *warnings);

#endif
