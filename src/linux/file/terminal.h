/*
 * A terminal that is drawn on from top to bottom: its other screen, no cursor,
 * keys as they are pressed. Whoever enters leaves, however it ends.
 */
#ifndef LINUX_FILE_TERMINAL_H
#define LINUX_FILE_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>
#include <termios.h>

struct terminal {
	bool entered;
	bool keys;		/* standard input is a terminal too, and has not
				   failed */
	bool changed;		/* … its settings are ours */
	struct termios saved;	/* of it */
};

/* Standard output is a terminal that understands ECMA-48. */
void terminal_enter(struct terminal *terminal);

/* As it was before; nothing if it was not entered. */
void terminal_leave(struct terminal *terminal);

/* Lines and columns, 24 and 80 where they are not known. */
void terminal_size(unsigned *ret_rows, unsigned *ret_columns);

/* The next key that was pressed; 0: none is waiting; -1: there are none. */
int terminal_key(const struct terminal *terminal);

#endif
