/*
 * Addresses that an app serves, as data: parsed, compared and printed without
 * a system call. linux/socket turns them into sockets.
 */
#ifndef CORE_NAMES_ADDRESS_H
#define CORE_NAMES_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/names/address_options.h"

struct error;
struct strbuf;

enum address_kind {
	ADDRESS_TCP,
	ADDRESS_UDP,
	ADDRESS_UNIX,	/* stream */
};

enum address_host {
	ADDRESS_HOST_ANY,	/* every address: one dual-stack socket,
				   IPv4 only where there is no IPv6 */
	ADDRESS_HOST_IPV4,
	ADDRESS_HOST_IPV6,
};

struct address {
	enum address_kind kind;
	enum address_host host;	/* TCP, UDP */
	uint8_t ip[16];		/* network order; 4 bytes used for IPv4 */
	uint16_t port;		/* host order; 0 = one that is free */
	uint32_t scope;		/* IPv6: the interface of a link-local address
				   that a worker asked for; else 0 */
	char *path;		/* UNIX: absolute, owned; else NULL */
	struct address_options options;	/* TCP, UDP */
};

/*
 * `path`, put behind `base_dir` (absolute) where it is relative. Empty and `.`
 * parts and a slash at the end are taken out, so that equal paths are equal
 * texts; `..` stays, because a link may stand before it. The caller frees;
 * NULL when memory is short.
 */
char *address_path(const char *path, const char *base_dir);

/* Whether a control byte other than a tab is in `s`. */
bool address_has_control(const char *s);

/*
 * Parse `8080`, `127.0.0.1:8080`, `[::1]:8080`, `*:8080`, each with `udp:` or
 * `tcp:` before it and options behind it (address_options.h), or `unix:PATH`,
 * where PATH goes through address_path(). On
 * success the caller owns *ret_address and frees it with address_free().
 * -EINVAL with words, or -ENOMEM.
 */
int address_parse(const char *text, const char *base_dir,
    struct address *ret_address, struct error *err);

/* Deep copy; -ENOMEM leaves *ret_address untouched. */
int address_copy(const struct address *from, struct address *ret_address);
void address_free(struct address *a);

/* Same kind, host, port, interface and path: one socket serves both. */
bool address_equal(const struct address *a, const struct address *b);

/* A total order in which equal addresses stand together: for qsort(3). */
int address_compare(const struct address *a, const struct address *b);

/*
 * As a configuration writes it (`udp:[::1]:53`, `unix:/run/x`); parses back to
 * an equal address. The caller frees; NULL when memory is short.
 */
char *address_format(const struct address *a);

/*
 * HOST:PORT with the host spelled out (`[::]:80`, `0.0.0.0:80`) or the bare
 * path of a Unix socket; or with no brackets around IPv6 (`:::80`), as php-fpm
 * has it. Caller frees; NULL when memory is short.
 */
char *address_format_numeric(const struct address *a);
char *address_format_bare(const struct address *a);

/* The host alone, without brackets: 0.0.0.0, ::1. Not for Unix. */
void address_put_host(struct strbuf *sb, const struct address *a);

/* ::ffff:127.0.0.1 is 127.0.0.1; others are as they were. Borrows the path. */
struct address address_unmapped(const struct address *a);

/*
 * The same two for messages, which need no memory of their own and cannot fail:
 * `address_text(a).s` lasts as long as the expression that it stands in. A path
 * longer than any socket's is cut.
 */
struct address_text {
	char s[128];
};
struct address_text address_text(const struct address *a);
struct address_text address_text_numeric(const struct address *a);

#endif
