/* Lines for an output: those of workers, and clusterd's own. */
#ifndef DAEMON_OUTPUT_OUTPUT_PUT_H
#define DAEMON_OUTPUT_OUTPUT_PUT_H

#include <stdbool.h>
#include <stddef.h>

#include "core/output/out_tag.h"

struct output;

/* What goes before each line of an app's instance there. Returns its length, 0
   where lines are written as they are. */
size_t output_tag(const struct output *output, char tag[OUT_TAG_MAX],
    const char *app, unsigned instance);

/* Whole lines of an app. There is room for what output_room() has let be read;
   of more, the rest may be lost. */
void output_put(struct output *output, const char *app, const char *tag,
    size_t tag_len, const char *lines, size_t len);

/* One line of clusterd's own log that goes to the same place (base/log): false
   if it is lost. */
bool output_put_aside(struct output *output, const char *line, size_t len);

#endif
