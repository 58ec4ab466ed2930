/* Values: text to fields, as a row of the schema asks for. */
#ifndef CORE_CONF_CONF_PARSE_H
#define CORE_CONF_CONF_PARSE_H

struct conf_value;

/*
 * Parse into the target of key->scope. Replaces what stood there before (but
 * appends to app->listens). 0; -EINVAL when something was added to
 * value->errors; -ENOMEM.
 */
int conf_parse(const struct conf_value *value, void *target);

#endif
