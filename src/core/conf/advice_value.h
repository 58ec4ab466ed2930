/*
 * What is legal as the value of a variable, and most likely not what is meant,
 * where the value is all of the line.
 */
#ifndef CORE_CONF_ADVICE_VALUE_H
#define CORE_CONF_ADVICE_VALUE_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Why the value of NAME=value is doubtful, in words that go on "NAME: ", or
 * NULL. `name_len` is NAME's; `in_file`: of an env file, where one pair of quotes
 * was taken away.
 */
const char *advice_value(const char *value, size_t name_len, bool in_file);

/* Is a comment behind it? A word, a blank, a `#` and a blank. */
bool advice_value_comment(const char *value);

#endif
