/* Does a command line ask for an address that is private to this host? */
#ifndef CORE_SOCKETS_PRIVATE_WORD_H
#define CORE_SOCKETS_PRIVATE_WORD_H

#include <stddef.h>

struct strlist;

/*
 * The word that does, for a server of that port: one with 127.0.0.1:PORT,
 * localhost:PORT or [::1]:PORT in it, or such a host behind an option that says
 * what is served (--host, --bind and their like). NULL: there is none.
 */
const char *private_word(const struct strlist *words, unsigned port);

#endif
