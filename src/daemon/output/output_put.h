/* Lines for an output: those of workers, and clusterd's own. */
#ifndef DAEMON_OUTPUT_OUTPUT_PUT_H
#define DAEMON_OUTPUT_OUTPUT_PUT_H

#include <stdbool.h>
#include <stddef.h>

#include "core/output/out_form.h"

struct output;

/* What lines are there at the moment, and whether tags are in colour. */
enum out_kind output_kind(const struct output *output);
bool output_has_colour(const struct output *output);

/* Whole lines of an app, to be written in that form. There is room for what
   output_room() has let be read; of more, the rest may be lost. */
void output_put(struct output *output, const char *app,
    const struct out_form *form, const char *lines, size_t len);

/* One line of clusterd's own log that goes to the same place (base/log): false
   if it is lost. */
bool output_put_aside(struct output *output, const char *line, size_t len);

#endif
