/*
 * The tag before each line of a worker's output that goes through clusterd to a
 * place of several: "web.2 | ", on a terminal in the instance's colour. Here it
 * is made, and read again, to tell whose line one is that could not be written.
 */
#ifndef CORE_OUTPUT_OUT_TAG_H
#define CORE_OUTPUT_OUT_TAG_H

#include <stdbool.h>
#include <stddef.h>

#include "core/conf/conf.h"

/* With its NUL. */
#define OUT_TAG_MAX	(CONF_NAME_MAX + 32)

/* Returns its length. `app` is a valid name. */
size_t out_tag_make(char tag[OUT_TAG_MAX], const char *app, unsigned instance,
    bool colour);

/* The app of the tag that the line begins with, be it behind a time, or of the
   object that it is, see out_form.h; false: it is neither. */
bool out_tag_read(const char *line, size_t len,
    char ret_app[CONF_NAME_MAX + 1]);

#endif
