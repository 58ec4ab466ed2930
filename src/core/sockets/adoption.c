#include <sys/socket.h>
#include <sys/un.h>

#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>

#include "core/sockets/adoption.h"
#include "core/conf/conf.h"

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262	/* Go uses it for every listener from 1.24 on */
#endif

/* The shortest sockaddr_in6 that the kernel takes (RFC 2133: without scope). */
#define IN6_LEN_MIN offsetof(struct sockaddr_in6, sin6_scope_id)

static const uint8_t mapped_prefix[12] = { [10] = 0xff, [11] = 0xff };
static const uint8_t nought[16];

static uint16_t
big_endian_16(const void *bytes)
{
	const uint8_t *b = bytes;

	return (uint16_t)(b[0] << 8 | b[1]);
}

static bool
kind_of(const struct adoption_socket *s, enum address_kind *ret_kind)
{
	if (s->family == AF_UNIX) {
		*ret_kind = ADDRESS_UNIX;
		return s->type == SOCK_STREAM;
	}
	if (s->family != AF_INET && s->family != AF_INET6)
		return false;
	if (s->type == SOCK_STREAM) {
		*ret_kind = ADDRESS_TCP;
		return s->protocol == 0 || s->protocol == IPPROTO_TCP ||
		    s->protocol == IPPROTO_MPTCP;
	}
	*ret_kind = ADDRESS_UDP;
	return s->type == SOCK_DGRAM &&
	    (s->protocol == 0 || s->protocol == IPPROTO_UDP);
}

static int
parse_unix(const void *bytes, size_t len, const char *cwd, struct address *a)
{
	char path[sizeof(((struct sockaddr_un *)0)->sun_path) + 1] = "";
	size_t offset = offsetof(struct sockaddr_un, sun_path);

	if (len <= offset || len > sizeof(struct sockaddr_un))
		return -EAFNOSUPPORT;
	memcpy(path, (const char *)bytes + offset, len - offset);
	/* Unnamed and abstract ones have no path. */
	if (path[0] == '\0' || (path[0] != '/' && cwd == NULL))
		return -EAFNOSUPPORT;
	a->path = address_path(path, cwd);
	return a->path != NULL ? 0 : -ENOMEM;
}

static int
parse_inet(const void *bytes, size_t len, int family, struct address *a)
{
	struct sockaddr_in in;

	if (len < sizeof(in))
		return -EAFNOSUPPORT;
	memcpy(&in, bytes, sizeof(in));
	memcpy(a->ip, &in.sin_addr, 4);
	/* The kernel's "compatibility games": AF_UNSPEC with address 0. */
	if (family != AF_INET && memcmp(a->ip, nought, 4) != 0)
		return -EAFNOSUPPORT;
	a->host = ADDRESS_HOST_IPV4;
	a->port = big_endian_16(&in.sin_port);
	return 0;
}

static int
parse_inet6(const void *bytes, size_t len, bool v6only, struct address *a)
{
	struct sockaddr_in6 in6 = { .sin6_scope_id = 0 };

	if (len < IN6_LEN_MIN)
		return -EAFNOSUPPORT;
	memcpy(&in6, bytes, len < sizeof(in6) ? len : sizeof(in6));
	memcpy(a->ip, &in6.sin6_addr, 16);
	a->host = ADDRESS_HOST_IPV6;
	if (memcmp(a->ip, nought, 16) == 0 && !v6only)
		a->host = ADDRESS_HOST_ANY;
	/* fe80::/10: the scope is part of the address (RFC 4007). */
	if (len >= sizeof(in6) && a->ip[0] == 0xfe && (a->ip[1] & 0xc0) == 0x80)
		a->scope = in6.sin6_scope_id;
	a->port = big_endian_16(&in6.sin6_port);
	return 0;
}

int
adoption_parse(const struct adoption_socket *s, const void *bytes, size_t len,
    const char *cwd, struct address *ret_asked)
{
	struct address a = { .kind = ADDRESS_TCP };
	sa_family_t family;
	int code;

	if (!kind_of(s, &a.kind) || len < sizeof(family))
		return -EAFNOSUPPORT;
	memcpy(&family, bytes, sizeof(family));
	if (s->family == AF_INET &&
	    (family == AF_INET || family == AF_UNSPEC))
		code = parse_inet(bytes, len, family, &a);
	else if (family != s->family)
		code = -EAFNOSUPPORT;
	else if (family == AF_INET6)
		code = parse_inet6(bytes, len, s->v6only, &a);
	else
		code = parse_unix(bytes, len, cwd, &a);
	if (code == 0)
		*ret_asked = a;
	return code;
}

bool
adoption_socket_from_name(const char *name, struct adoption_socket *ret_socket)
{
	static const struct {
		const char *name;
		struct adoption_socket socket;
	} known[] = {
		{ "TCP", { AF_INET, SOCK_STREAM, IPPROTO_TCP, false } },
		{ "TCPv6", { AF_INET6, SOCK_STREAM, IPPROTO_TCP, false } },
		{ "MPTCP", { AF_INET, SOCK_STREAM, IPPROTO_MPTCP, false } },
		{ "MPTCPv6", { AF_INET6, SOCK_STREAM, IPPROTO_MPTCP, false } },
		{ "UDP", { AF_INET, SOCK_DGRAM, IPPROTO_UDP, false } },
		{ "UDPv6", { AF_INET6, SOCK_DGRAM, IPPROTO_UDP, false } },
		{ "UNIX-STREAM", { AF_UNIX, SOCK_STREAM, 0, false } },
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strcmp(known[i].name, name) == 0) {
			*ret_socket = known[i].socket;
			return true;
		}
	return false;
}

static bool
is_wildcard(const struct address *a)
{
	return a->host == ADDRESS_HOST_ANY ||
	    memcmp(a->ip, nought, a->host == ADDRESS_HOST_IPV4 ? 4 : 16) == 0;
}

static bool
is_mapped(const struct address *a)
{
	return a->host == ADDRESS_HOST_IPV6 &&
	    memcmp(a->ip, mapped_prefix, sizeof(mapped_prefix)) == 0;
}

static struct address
map_ipv4(const struct address *v4)
{
	struct address a = *v4;

	a.host = ADDRESS_HOST_IPV6;
	memcpy(a.ip, mapped_prefix, sizeof(mapped_prefix));
	memcpy(a.ip + sizeof(mapped_prefix), v4->ip, 4);
	return a;
}

/* "Every address" in the family of the socket that asks. */
static struct address
widen(const struct address *written, const struct address *asked)
{
	static const struct address v4 = { .host = ADDRESS_HOST_IPV4 };
	struct address a = { .kind = written->kind, .port = asked->port };

	if (asked->host == ADDRESS_HOST_IPV4) {
		a.host = ADDRESS_HOST_IPV4;
	} else if (is_mapped(asked)) {
		a = map_ipv4(&v4);
		a.kind = written->kind;
		a.port = asked->port;
	} else if (asked->host == ADDRESS_HOST_IPV6 && is_wildcard(asked)) {
		a.host = ADDRESS_HOST_IPV6;
	} else {
		a.host = ADDRESS_HOST_ANY;
	}
	return a;
}

/* How well a listener fits; 0: not at all. */
enum fit {
	FIT_NOT,
	FIT_REFUSE,	/* the port, and a family that cannot be given */
	FIT_BESIDE,	/* UDP, the number of `port` */
	FIT_MAPPED,	/* the port, IPv4 for an AF_INET6 socket */
	FIT_PORT,	/* the port */
	FIT_WIDE,	/* … and every address is served */
	FIT_EXACT,
};

/* Is 0.0.0.0 written beside [::], with the same port? */
static bool
writes_both(const struct conf_app *app, const struct address *v6)
{
	for (size_t i = 0; i < app->n_listens; i++) {
		const struct address *a = &app->listens[i];

		if (a->kind == v6->kind && a->port == v6->port &&
		    a->host == ADDRESS_HOST_IPV4 && is_wildcard(a))
			return true;
	}
	return false;
}

/* How a socket is set up has no part in whose it is. */
static struct address
without_options(const struct address *a)
{
	struct address bare = *a;

	memset(&bare.options, 0, sizeof(bare.options));
	return bare;
}

/*
 * The file's options, and what the server has set up that its address goes by:
 * one that keeps to an interface is not to be reached by others.
 */
static struct address_options
both_options(const struct address *written, const struct address *asked)
{
	struct address_options o = written->options;

	if (o.interface[0] == '\0')
		memcpy(o.interface, asked->options.interface,
		    sizeof(o.interface));
	o.freebind |= asked->options.freebind;
	o.transparent |= asked->options.transparent;
	return o;
}

static enum fit
fit_inet(const struct conf_app *app, size_t i, const struct address *asked,
    struct address *ret_target)
{
	const struct address bare = without_options(&app->listens[i]);
	const struct address *written = &bare;
	bool decides = i == 0 && app->has_port;
	struct address target = *written;

	target.port = asked->port;
	if (written->host == ADDRESS_HOST_ANY) {
		*ret_target = decides ? *asked : widen(written, asked);
		return asked->host == ADDRESS_HOST_ANY ? FIT_EXACT : FIT_WIDE;
	}
	if (written->host == ADDRESS_HOST_IPV6 &&
	    asked->host == ADDRESS_HOST_IPV4)
		return FIT_REFUSE;
	if (written->host == ADDRESS_HOST_IPV4 &&
	    asked->host != ADDRESS_HOST_IPV4) {
		*ret_target = map_ipv4(&target);
		return address_equal(ret_target, asked) ? FIT_EXACT :
							  FIT_MAPPED;
	}
	/* Two addresses, and a server whose one socket is for both. */
	if (asked->host == ADDRESS_HOST_ANY && is_wildcard(written) &&
	    writes_both(app, written))
		target.host = ADDRESS_HOST_ANY;
	*ret_target = target;
	if (address_equal(&target, asked))
		return FIT_EXACT;
	return is_wildcard(written) ? FIT_WIDE : FIT_PORT;
}

static enum fit
fit(const struct conf_app *app, size_t i, const struct address *bound,
    const struct address *asked, struct address *ret_target)
{
	const struct address *written = &app->listens[i];

	/* DNS, HTTP/3, syslog: one number for both, at the same addresses. */
	if (i == 0 && app->has_port && asked->kind == ADDRESS_UDP &&
	    asked->port != 0 && asked->port == bound->port) {
		*ret_target = *asked;
		return FIT_BESIDE;
	}
	if (written->kind != asked->kind)
		return FIT_NOT;
	if (written->kind == ADDRESS_UNIX) {
		*ret_target = *written;
		return address_equal(written, asked) ? FIT_EXACT : FIT_NOT;
	}
	/* Port 0 is a probe for one that is free. */
	if (asked->port == 0 || asked->port != bound->port)
		return FIT_NOT;
	return fit_inet(app, i, asked, ret_target);
}

struct adoption
adoption_decide(const struct conf_app *app, const struct address *bound,
    const struct address *asked)
{
	const struct address bare = without_options(asked);
	struct adoption a = { .verdict = ADOPTION_PASS };
	enum fit best = FIT_NOT;

	for (size_t i = 0; i < app->n_listens; i++) {
		struct address target = { .kind = ADDRESS_TCP };
		enum fit f = fit(app, i, &bound[i], &bare, &target);

		if (f <= best)
			continue;
		best = f;
		a.verdict = f == FIT_REFUSE ? ADOPTION_REFUSE : ADOPTION_GIVE;
		a.position = i;
		a.target = target;
		a.target.options = both_options(&app->listens[i], asked);
	}
	return a;
}

bool
adoption_may_keep(const struct conf_app *app, size_t position,
    const struct address *bound)
{
	const struct address *written = &app->listens[position];
	struct address target = *written;

	target.port = bound->port;
	if (written->kind != ADDRESS_UNIX &&
	    written->options.interface[0] != '\0' &&
	    strcmp(written->options.interface, bound->options.interface) != 0)
		return false;
	/* Its server may have kept to one. */
	memcpy(target.options.interface, bound->options.interface,
	    sizeof(target.options.interface));
	if (written->kind == ADDRESS_UNIX ||
	    (position == 0 && app->has_port) ||
	    address_equal(&target, bound))
		return true;
	if (written->host == ADDRESS_HOST_ANY)
		return is_wildcard(bound) || (is_mapped(bound) &&
		    memcmp(bound->ip + sizeof(mapped_prefix), nought, 4) == 0);
	if (written->host != ADDRESS_HOST_IPV4)
		return bound->host == ADDRESS_HOST_ANY &&
		    is_wildcard(written) && writes_both(app, written);
	target = map_ipv4(&target);
	return address_equal(&target, bound);
}
