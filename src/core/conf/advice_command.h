/*
 * What is legal in `command`, and most likely not what is meant: words of a
 * shell, where none runs, and a comment behind it. Whoever means them says so
 * by quotes.
 */
#ifndef CORE_CONF_ADVICE_COMMAND_H
#define CORE_CONF_ADVICE_COMMAND_H

struct conf_app;
struct conf_errors;
struct conf_keys;

/* `app` is what came of the keys; its command was read. */
void advice_command(const struct conf_keys *keys, const struct conf_app *app,
    struct conf_errors *warnings);

/*
 * Why a program of that name is not found, in words that go on "X: ", or NULL:
 * it is a word of a shell, a variable that is set for one, or a whole command
 * line within quotes.
 */
const char *advice_program(const char *program);

#endif
