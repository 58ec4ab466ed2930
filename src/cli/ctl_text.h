/*
 * Text for people, on this terminal: text that came from elsewhere is made
 * harmless by core/status/status_text, in the style that is told here.
 */
#ifndef CLI_CTL_TEXT_H
#define CLI_CTL_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "core/status/status_text.h"

struct strbuf;

/* May escape sequences go to this descriptor: is it a terminal, and no dumb
   one? And colours (NO_COLOR)? */
bool ctl_text_terminal(int fd);
bool ctl_text_colour(int fd);

/* The style of what goes there; width 0: no terminal. */
struct status_style ctl_text_style(int fd);

/* Append the text, made harmless. */
void ctl_text_put(struct strbuf *sb, const char *text);

/* "clusterctl: TEXT" to stderr, made harmless; its newlines stay. */
void ctl_text_complain(const char *text);

#endif
