#include <sys/socket.h>
#include <sys/un.h>

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "core/sockets/adoption.h"
#include "core/conf/conf.h"
#include "lib/alloc_fail.h"

#define MPTCP		262	/* IPPROTO_MPTCP, newer than some headers */
#define N(array)	(sizeof(array) / sizeof(*(array)))

/* ---- sockets and addresses as texts ---- */

static const struct {
	const char *name;
	struct adoption_socket socket;
} sockets[] = {
	{ "tcp4", { AF_INET, SOCK_STREAM, IPPROTO_TCP, false } },
	{ "tcp6", { AF_INET6, SOCK_STREAM, IPPROTO_TCP, false } },
	{ "v6only", { AF_INET6, SOCK_STREAM, IPPROTO_TCP, true } },
	{ "mptcp6", { AF_INET6, SOCK_STREAM, MPTCP, false } },
	{ "udp4", { AF_INET, SOCK_DGRAM, IPPROTO_UDP, false } },
	{ "udp6", { AF_INET6, SOCK_DGRAM, IPPROTO_UDP, false } },
	{ "unix", { AF_UNIX, SOCK_STREAM, 0, false } },
};

/* The bytes that bind(2) gets for `host` (of AF_UNIX: a path) and `port`. */
static size_t
sockaddr_of(int family, const char *host, unsigned port,
    struct sockaddr_storage *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->ss_family = (sa_family_t)family;
	if (family == AF_UNIX) {
		struct sockaddr_un *un = (struct sockaddr_un *)ret;

		assert_true(strlen(host) < sizeof(un->sun_path));
		memcpy(un->sun_path, host, strlen(host) + 1);
		return offsetof(struct sockaddr_un, sun_path) + strlen(host) +
		    1;
	}
	if (family == AF_INET) {
		struct sockaddr_in *in = (struct sockaddr_in *)ret;

		in->sin_port = htons((uint16_t)port);
		assert_int_equal(inet_pton(AF_INET, host, &in->sin_addr), 1);
		return sizeof(*in);
	} else {
		struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret;

		in6->sin6_port = htons((uint16_t)port);
		assert_int_equal(inet_pton(AF_INET6, host, &in6->sin6_addr),
		    1);
		return sizeof(*in6);
	}
}

/*
 * What a program asks for, of a text such as `tcp4 127.0.0.1 80`,
 * `v6only :: 80` or `unix /run/x`. Freed with address_free().
 */
static struct address
ask(const char *text, struct adoption_socket *ret_socket)
{
	char name[8], host[108];
	unsigned port = 0;
	struct sockaddr_storage bytes;
	struct address asked;
	size_t i = 0, len;

	assert_true(sscanf(text, "%7s %107s %u", name, host, &port) >= 2);
	while (i < N(sockets) && strcmp(sockets[i].name, name) != 0)
		i++;
	assert_true(i < N(sockets));
	*ret_socket = sockets[i].socket;
	len = sockaddr_of(ret_socket->family, host, port, &bytes);
	assert_int_equal(adoption_parse(ret_socket, &bytes, len, "/cwd",
	    &asked), 0);
	return asked;
}

static struct address
written(const char *text)
{
	struct error err = ERROR_INIT;
	struct address a;

	if (address_parse(text, "/base", &a, &err) != 0)
		fail_msg("%s: %s", text, error_text(&err));
	return a;
}

static void
expect_address(const char *what, const struct address *a, const char *expected)
{
	char *text = address_format(a);

	assert_non_null(text);
	if (strcmp(text, expected) != 0)
		fail_msg("%s: %s is expected, not %s", what, expected, text);
	free(text);
}

/* ---- options ---- */

static struct address
address_of(const char *text)
{
	struct address a;

	assert_int_equal(address_parse(text, "/", &a, NULL), 0);
	return a;
}

static struct adoption
decide_one(const char *written, bool has_port, const char *asked)
{
	static struct address listens[1], bound[1];
	struct conf_app app = {
		.listens = listens, .n_listens = 1, .has_port = has_port,
	};
	const struct address a = address_of(asked);

	listens[0] = bound[0] = address_of(written);
	return adoption_decide(&app, bound, &a);
}

/* A service that keeps to an interface is not given to all. */
static void
an_interface_that_is_asked_for_is_kept(void **state)
{
	static const struct {
		const char *written, *asked, *target;
		bool has_port;
	} rows[] = {
		{ "80", "0.0.0.0:80 interface=lo",
		  "0.0.0.0:80 interface=lo", true },
		{ "80", "0.0.0.0:80 interface=lo",
		  "0.0.0.0:80 interface=lo", false },
		{ "0.0.0.0:80", "0.0.0.0:80 interface=lo freebind",
		  "0.0.0.0:80 interface=lo freebind", false },
		{ "80 mark=7", "127.0.0.1:80 transparent",
		  "127.0.0.1:80 transparent mark=7", true },
		/* The file's own wins. */
		{ "0.0.0.0:80 interface=eth0", "0.0.0.0:80 interface=lo",
		  "0.0.0.0:80 interface=eth0", false },
		{ "0.0.0.0:80 interface=eth0", "0.0.0.0:80",
		  "0.0.0.0:80 interface=eth0", false },
		{ "127.0.0.1:80 defer_accept=3", "127.0.0.1:80",
		  "127.0.0.1:80 defer_accept=3", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct adoption a = decide_one(rows[i].written,
		    rows[i].has_port, rows[i].asked);

		assert_int_equal(a.verdict, ADOPTION_GIVE);
		expect_address(rows[i].asked, &a.target, rows[i].target);
	}
}

static void
what_is_kept_of_an_interface(void **state)
{
	static const struct {
		const char *written, *bound;
		bool kept;
	} rows[] = {
		{ "80", "0.0.0.0:80 interface=lo", true },
		{ "0.0.0.0:80", "0.0.0.0:80 interface=lo", true },
		{ "0.0.0.0:80 interface=lo", "0.0.0.0:80 interface=lo", true },
		{ "0.0.0.0:80 interface=lo", "0.0.0.0:80", false },
		{ "0.0.0.0:80 interface=lo", "0.0.0.0:80 interface=eth0",
		  false },
		{ "0.0.0.0:80", "127.0.0.1:80 interface=lo", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct address written = address_of(rows[i].written);
		struct address bound = address_of(rows[i].bound);
		struct conf_app app = { .listens = &written, .n_listens = 1 };

		if (adoption_may_keep(&app, 0, &bound) != rows[i].kept)
			fail_msg("%s, %s", rows[i].written, rows[i].bound);
	}
}

/* ---- adoption_parse ---- */

/* From an exact copy, so that a sanitizer sees a read beyond the end. */
static int
parse_bytes(const struct adoption_socket *s, const void *bytes, size_t len,
    const char *cwd, struct address *ret_asked)
{
	void *copy = malloc(len > 0 ? len : 1);
	struct address asked, untouched;
	int code;

	assert_non_null(copy);
	memcpy(copy, bytes, len);
	memset(&untouched, 0x5a, sizeof(untouched));
	asked = untouched;
	code = adoption_parse(s, copy, len, cwd, &asked);
	free(copy);
	if (code == 0)
		*ret_asked = asked;
	else
		assert_memory_equal(&asked, &untouched, sizeof(asked));
	return code;
}

static void
refused(const struct adoption_socket *s, const void *bytes, size_t len,
    const char *cwd)
{
	struct address unused;
	int code = parse_bytes(s, bytes, len, cwd, &unused);

	if (code != -EAFNOSUPPORT)
		fail_msg("family %d, type %d, protocol %d, %zu bytes: %d",
		    s->family, s->type, s->protocol, len, code);
}

static void
parsed(const struct adoption_socket *s, const void *bytes, size_t len,
    const char *cwd, const char *expected)
{
	struct address a;

	assert_int_equal(parse_bytes(s, bytes, len, cwd, &a), 0);
	expect_address("asked", &a, expected);
	address_free(&a);
}

/* Of every socket that there may be, these few can be listeners. */
static void
kinds_of_sockets(void **state)
{
	static const struct {
		int family, type, protocol;
		const char *expected;
	} good[] = {
		{ AF_INET, SOCK_STREAM, 0, "127.0.0.1:80" },
		{ AF_INET, SOCK_STREAM, IPPROTO_TCP, "127.0.0.1:80" },
		{ AF_INET, SOCK_STREAM, MPTCP, "127.0.0.1:80" },
		{ AF_INET, SOCK_DGRAM, 0, "udp:127.0.0.1:80" },
		{ AF_INET, SOCK_DGRAM, IPPROTO_UDP, "udp:127.0.0.1:80" },
		{ AF_INET6, SOCK_STREAM, 0, "[::1]:80" },
		{ AF_INET6, SOCK_STREAM, IPPROTO_TCP, "[::1]:80" },
		{ AF_INET6, SOCK_STREAM, MPTCP, "[::1]:80" },
		{ AF_INET6, SOCK_DGRAM, 0, "udp:[::1]:80" },
		{ AF_INET6, SOCK_DGRAM, IPPROTO_UDP, "udp:[::1]:80" },
		{ AF_UNIX, SOCK_STREAM, 0, "unix:/run/x" },
		{ AF_UNIX, SOCK_STREAM, PF_UNIX, "unix:/run/x" },
	};
	static const int families[] = {
		AF_UNSPEC, AF_UNIX, AF_INET, AF_INET6, AF_NETLINK, AF_PACKET,
		AF_VSOCK, AF_BLUETOOTH, -1, 65536 + AF_INET,
	};
	static const int types[] = {
		SOCK_STREAM, SOCK_DGRAM, SOCK_RAW, SOCK_RDM, SOCK_SEQPACKET,
		SOCK_DCCP, SOCK_PACKET, 0, -1,
	};
	static const int protocols[] = {
		0, PF_UNIX, IPPROTO_ICMP, IPPROTO_TCP, IPPROTO_UDP,
		IPPROTO_DCCP, IPPROTO_SCTP, IPPROTO_UDPLITE, IPPROTO_RAW,
		MPTCP, -1,
	};
	unsigned n_good = 0;

	(void)state;
	for (size_t i = 0; i < N(families) * N(types) * N(protocols); i++) {
		const struct adoption_socket s = {
			.family = families[i % N(families)],
			.type = types[i / N(families) % N(types)],
			.protocol = protocols[i / N(families) / N(types)],
		};
		int family = s.family == AF_UNIX || s.family == AF_INET6 ?
		    s.family : AF_INET;
		struct sockaddr_storage bytes;
		size_t len = sockaddr_of(family, family == AF_UNIX ?
		    "/run/x" : family == AF_INET ? "127.0.0.1" : "::1", 80,
		    &bytes);
		const char *expected = NULL;

		/* The family of the bytes is that of the socket. */
		bytes.ss_family = (sa_family_t)s.family;
		for (size_t j = 0; j < N(good); j++)
			if (s.family == good[j].family &&
			    s.type == good[j].type &&
			    s.protocol == good[j].protocol)
				expected = good[j].expected;
		/* The kernel makes no others of this family and type. */
		if (s.family == AF_UNIX && s.type == SOCK_STREAM)
			expected = "unix:/run/x";
		if (expected == NULL) {
			refused(&s, &bytes, len, "/");
			continue;
		}
		n_good++;
		parsed(&s, &bytes, len, "/", expected);
	}
	assert_int_equal(n_good, 10 + N(protocols));
}

static void
hosts_and_ports(void **state)
{
	static const struct {
		const char *asked, *expected;
		enum address_host host;
	} rows[] = {
		{ "tcp4 127.0.0.1 1", "127.0.0.1:1", ADDRESS_HOST_IPV4 },
		{ "tcp4 1.2.3.4 65535", "1.2.3.4:65535", ADDRESS_HOST_IPV4 },
		{ "tcp4 127.0.0.1 0", "127.0.0.1:0", ADDRESS_HOST_IPV4 },
		/* Not ANY: an AF_INET program has no IPv6 peers. */
		{ "tcp4 0.0.0.0 256", "0.0.0.0:256", ADDRESS_HOST_IPV4 },
		{ "tcp6 :: 80", "80", ADDRESS_HOST_ANY },
		{ "mptcp6 :: 80", "80", ADDRESS_HOST_ANY },
		{ "udp6 :: 53", "udp:53", ADDRESS_HOST_ANY },
		{ "v6only :: 80", "[::]:80", ADDRESS_HOST_IPV6 },
		{ "tcp6 ::1 80", "[::1]:80", ADDRESS_HOST_IPV6 },
		{ "v6only ::1 80", "[::1]:80", ADDRESS_HOST_IPV6 },
		{ "tcp6 ::ffff:127.0.0.1 80", "[::ffff:127.0.0.1]:80",
		  ADDRESS_HOST_IPV6 },
		{ "tcp6 ::ffff:0.0.0.0 80", "[::ffff:0.0.0.0]:80",
		  ADDRESS_HOST_IPV6 },
		{ "tcp6 2001:db8::1 258", "[2001:db8::1]:258",
		  ADDRESS_HOST_IPV6 },
		{ "unix /run/x", "unix:/run/x", ADDRESS_HOST_ANY },
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		struct adoption_socket s;
		struct address a = ask(rows[i].asked, &s);

		expect_address(rows[i].asked, &a, rows[i].expected);
		if (a.kind != ADDRESS_UNIX) {
			assert_int_equal(a.host, rows[i].host);
			assert_null(a.path);
		}
		assert_int_equal(a.scope, 0);
		address_free(&a);
	}
}

/* The kernel refuses what is too short, and looks at no more than it needs. */
static void
lengths(void **state)
{
	static const struct adoption_socket inet = {
		.family = AF_INET, .type = SOCK_STREAM,
	}, inet6 = {
		.family = AF_INET6, .type = SOCK_STREAM,
	}, local = {
		.family = AF_UNIX, .type = SOCK_STREAM,
	};
	struct sockaddr_storage bytes;
	size_t len;

	(void)state;
	sockaddr_of(AF_INET, "127.0.0.1", 80, &bytes);
	for (len = 0; len < sizeof(struct sockaddr_in); len++)
		refused(&inet, &bytes, len, "/");
	for (; len <= sizeof(bytes); len++)
		parsed(&inet, &bytes, len, "/", "127.0.0.1:80");

	/* RFC 2133 had no scope: 24 bytes. */
	sockaddr_of(AF_INET6, "::1", 80, &bytes);
	for (len = 0; len < 24; len++)
		refused(&inet6, &bytes, len, "/");
	for (; len <= sizeof(bytes); len++)
		parsed(&inet6, &bytes, len, "/", "[::1]:80");

	sockaddr_of(AF_UNIX, "/x", 0, &bytes);
	for (len = 0; len < 3; len++)
		refused(&local, &bytes, len, "/");
	for (len = 5; len <= sizeof(struct sockaddr_un); len++)
		parsed(&local, &bytes, len, "/", "unix:/x");
	for (; len <= sizeof(bytes); len++)
		refused(&local, &bytes, len, "/");
}

/* An address of another family than the socket's is for the kernel to judge;
   only AF_UNSPEC with address 0 binds an AF_INET socket. */
static void
families_of_the_bytes(void **state)
{
	struct sockaddr_storage bytes;
	size_t len;

	(void)state;
	for (size_t i = 0; i < N(sockets); i++)
		for (int family = 0; family < 50; family++) {
			const struct adoption_socket *s = &sockets[i].socket;

			if (family == s->family ||
			    (family == AF_UNSPEC && s->family == AF_INET))
				continue;
			len = sockaddr_of(AF_INET6, "::", 80, &bytes);
			bytes.ss_family = (sa_family_t)family;
			refused(s, &bytes, len, "/");
		}

	len = sockaddr_of(AF_INET, "0.0.0.0", 80, &bytes);
	bytes.ss_family = AF_UNSPEC;
	parsed(&sockets[0].socket, &bytes, len, "/", "0.0.0.0:80");
	refused(&sockets[0].socket, &bytes, len - 1, "/");
	for (int i = 0; i < 4; i++) {
		static const char *const hosts[] = {
			"1.0.0.0", "0.1.0.0", "0.0.1.0", "0.0.0.1",
		};

		len = sockaddr_of(AF_INET, hosts[i], 80, &bytes);
		bytes.ss_family = AF_UNSPEC;
		refused(&sockets[0].socket, &bytes, len, "/");
	}
}

/* Only of a link-local address is the interface a part. */
static void
scopes(void **state)
{
	static const struct {
		const char *host;
		uint32_t scope;
	} rows[] = {
		{ "fe80::1", 7 }, { "febf::1", 7 }, { "fe80::", 7 },
		{ "::1", 0 }, { "::", 0 }, { "2001:db8::1", 0 },
		{ "fec0::1", 0 }, { "fe7f::1", 0 }, { "ff80::1", 0 },
		{ "::ffff:254.128.0.1", 0 },
	};
	const struct adoption_socket s = {
		.family = AF_INET6, .type = SOCK_STREAM,
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		struct sockaddr_storage bytes;
		size_t len = sockaddr_of(AF_INET6, rows[i].host, 80, &bytes);
		struct address with, without;

		assert_int_equal(parse_bytes(&s, &bytes, len, NULL, &without),
		    0);
		assert_int_equal(without.scope, 0);
		((struct sockaddr_in6 *)&bytes)->sin6_scope_id = 7;
		((struct sockaddr_in6 *)&bytes)->sin6_flowinfo = 0x12345678;
		assert_int_equal(parse_bytes(&s, &bytes, len, NULL, &with), 0);
		assert_int_equal(with.scope, rows[i].scope);
		assert_int_equal(address_equal(&with, &without),
		    rows[i].scope == 0);
		/* Cut off before the scope. */
		assert_int_equal(parse_bytes(&s, &bytes, 24, NULL, &with), 0);
		assert_int_equal(with.scope, 0);
	}
}

static void
unix_paths(void **state)
{
	static const struct {
		const char *path, *cwd, *expected;
	} rows[] = {
		{ "/run/x", "/cwd", "unix:/run/x" },
		{ "/run/x", NULL, "unix:/run/x" },
		{ "/run//./x", NULL, "unix:/run/x" },
		{ "/run/../x", NULL, "unix:/run/../x" },
		{ "x", "/cwd", "unix:/cwd/x" },
		{ "./x", "/cwd/", "unix:/cwd/x" },
		{ "../x", "/cwd", "unix:/cwd/../x" },
		{ "x", "/", "unix:/x" },
		{ "x", NULL, NULL },
		{ "./x", NULL, NULL },
		{ "", "/cwd", NULL },
		{ "@x", "/cwd", "unix:/cwd/@x" },
	};
	const struct adoption_socket s = {
		.family = AF_UNIX, .type = SOCK_STREAM,
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		struct sockaddr_storage bytes;
		size_t len = sockaddr_of(AF_UNIX, rows[i].path, 0, &bytes);

		/* With the NUL, without it, and with bytes behind it. */
		for (size_t more = 0; more < 3; more++) {
			size_t n = len - 1 + more;

			if (more == 2)
				((char *)&bytes)[n - 1] = 'y';
			if (rows[i].expected != NULL)
				parsed(&s, &bytes, n, rows[i].cwd,
				    rows[i].expected);
			else
				refused(&s, &bytes, n, rows[i].cwd);
		}
	}
}

static void
unix_path_without_a_nul(void **state)
{
	const struct adoption_socket s = {
		.family = AF_UNIX, .type = SOCK_STREAM,
	};
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct address a;

	(void)state;
	memset(un.sun_path, 'p', sizeof(un.sun_path));
	un.sun_path[0] = '/';
	assert_int_equal(parse_bytes(&s, &un, sizeof(un), NULL, &a), 0);
	assert_int_equal(strlen(a.path), sizeof(un.sun_path));
	assert_memory_equal(a.path, un.sun_path, sizeof(un.sun_path));
	address_free(&a);

	un.sun_path[0] = 'p';
	assert_int_equal(parse_bytes(&s, &un, sizeof(un), "/c", &a), 0);
	assert_int_equal(strlen(a.path), 3 + sizeof(un.sun_path));
	address_free(&a);
}

/* Abstract and unnamed ones have no path that could be written. */
static void
unix_without_a_path(void **state)
{
	const struct adoption_socket s = {
		.family = AF_UNIX, .type = SOCK_STREAM,
	};
	struct sockaddr_un un = { .sun_family = AF_UNIX, .sun_path = "\0/x" };

	(void)state;
	for (size_t len = 0; len <= sizeof(un); len++)
		refused(&s, &un, len, "/cwd");
}

static void
parse_without_memory(void **state)
{
	const struct adoption_socket s = {
		.family = AF_UNIX, .type = SOCK_STREAM,
	};
	static const char *const paths[] = { "/run/x", "x" };

	(void)state;
	for (size_t i = 0; i < N(paths); i++) {
		struct sockaddr_storage bytes;
		size_t len = sockaddr_of(AF_UNIX, paths[i], 0, &bytes);
		struct address a;
		int code;

		/* The first is for the copy, here. */
		alloc_fail(2, ALLOC_ALL);
		code = parse_bytes(&s, &bytes, len, "/cwd", &a);
		alloc_works();
		assert_int_equal(code, -ENOMEM);
	}
}

static void
names_of_protocols(void **state)
{
	static const struct {
		const char *name;
		int family, type, protocol;
	} rows[] = {
		{ "TCP", AF_INET, SOCK_STREAM, IPPROTO_TCP },
		{ "TCPv6", AF_INET6, SOCK_STREAM, IPPROTO_TCP },
		{ "MPTCP", AF_INET, SOCK_STREAM, MPTCP },
		{ "MPTCPv6", AF_INET6, SOCK_STREAM, MPTCP },
		{ "UDP", AF_INET, SOCK_DGRAM, IPPROTO_UDP },
		{ "UDPv6", AF_INET6, SOCK_DGRAM, IPPROTO_UDP },
		{ "UNIX-STREAM", AF_UNIX, SOCK_STREAM, 0 },
	};
	/* "UNIX" is a datagram or packet one too. */
	static const char *const others[] = {
		"", "T", "TC", "tcp", "TCPv4", "TCPv66", "TCP ", "UNIX",
		"UNIX-STREAM ", "UDP-Lite", "UDPLITEv6", "SCTP", "RAW",
		"RAWv6", "PING", "NETLINK", "PACKET", "SMC", "AF_VSOCK",
	};
	struct adoption_socket s, untouched;
	struct address a;

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		struct sockaddr_storage bytes;
		size_t len;

		assert_true(adoption_socket_from_name(rows[i].name, &s));
		assert_int_equal(s.family, rows[i].family);
		assert_int_equal(s.type, rows[i].type);
		assert_int_equal(s.protocol, rows[i].protocol);
		assert_false(s.v6only);
		/* It is one that adoption_parse() takes. */
		len = sockaddr_of(s.family, s.family == AF_UNIX ? "/x" :
		    s.family == AF_INET ? "0.0.0.0" : "::", 80, &bytes);
		assert_int_equal(parse_bytes(&s, &bytes, len, NULL, &a), 0);
		address_free(&a);
	}
	memset(&untouched, 0x5a, sizeof(untouched));
	for (size_t i = 0; i < N(others); i++) {
		s = untouched;
		assert_false(adoption_socket_from_name(others[i], &s));
		assert_memory_equal(&s, &untouched, sizeof(s));
	}
}

/* ---- adoption_decide ---- */

#define LISTENS	4
#define FREE	5000	/* of port 0, listener N got the port FREE + N */

struct setup {
	struct conf_app app;
	struct address listens[LISTENS];
	struct address bound[LISTENS];
};

static void
setup_init(struct setup *s, const char *const *texts, bool has_port)
{
	*s = (struct setup){ .app.has_port = has_port };
	s->app.listens = s->listens;
	for (size_t i = 0; i < LISTENS && texts[i] != NULL; i++) {
		s->listens[i] = s->bound[i] = written(texts[i]);
		if (s->bound[i].port == 0)
			s->bound[i].port = (uint16_t)(FREE + i);
		s->app.n_listens++;
	}
}

static void
setup_free(struct setup *s)
{
	/* A path is shared with `bound`. */
	for (size_t i = 0; i < s->app.n_listens; i++)
		address_free(&s->listens[i]);
}

#define PASS	ADOPTION_PASS, 0, NULL
#define REFUSE(position)	ADOPTION_REFUSE, position, NULL
#define GIVE(position, target)	ADOPTION_GIVE, position, target
#define PORT	true
#define LISTEN	false

static const struct row {
	const char *listens[LISTENS];	/* as written */
	bool has_port;			/* the first is of `port` */
	const char *asked;
	enum adoption_verdict verdict;
	size_t position;
	const char *target;
} rows[] = {
	/* `port`: the server decides. */
	{ { "80" }, PORT, "tcp4 0.0.0.0 80", GIVE(0, "0.0.0.0:80") },
	{ { "80" }, PORT, "tcp4 127.0.0.1 80", GIVE(0, "127.0.0.1:80") },
	{ { "80" }, PORT, "tcp6 :: 80", GIVE(0, "80") },
	{ { "80" }, PORT, "v6only :: 80", GIVE(0, "[::]:80") },
	{ { "80" }, PORT, "tcp6 ::1 80", GIVE(0, "[::1]:80") },
	{ { "80" }, PORT, "mptcp6 :: 80", GIVE(0, "80") },
	{ { "80" }, PORT, "tcp6 ::ffff:127.0.0.1 80",
	  GIVE(0, "[::ffff:127.0.0.1]:80") },
	{ { "80" }, PORT, "tcp6 ::ffff:0.0.0.0 80",
	  GIVE(0, "[::ffff:0.0.0.0]:80") },
	{ { "80" }, PORT, "tcp4 127.0.0.1 81", PASS },
	{ { "80" }, PORT, "tcp4 127.0.0.1 0", PASS },
	{ { "80" }, PORT, "tcp6 :: 0", PASS },
	/* By UDP too, at the address that is asked for. */
	{ { "80" }, PORT, "udp4 0.0.0.0 80", GIVE(0, "udp:0.0.0.0:80") },
	{ { "80" }, PORT, "udp4 127.0.0.1 80", GIVE(0, "udp:127.0.0.1:80") },
	{ { "80" }, PORT, "udp6 :: 80", GIVE(0, "udp:80") },
	{ { "80" }, PORT, "udp4 0.0.0.0 81", PASS },
	{ { "80" }, PORT, "udp4 0.0.0.0 0", PASS },
	/* Unless it has its own line. */
	{ { "80", "udp:127.0.0.1:80" }, PORT, "udp4 0.0.0.0 80",
	  GIVE(1, "udp:127.0.0.1:80") },
	/* The line cannot have it, the port can. */
	{ { "80", "udp:[::1]:80" }, PORT, "udp4 127.0.0.1 80",
	  GIVE(0, "udp:127.0.0.1:80") },
	{ { "80" }, PORT, "unix /run/80", PASS },
	/* Port 0, and what came of it. */
	{ { "0" }, PORT, "tcp4 127.0.0.1 5000", GIVE(0, "127.0.0.1:5000") },
	{ { "0" }, PORT, "tcp6 :: 5000", GIVE(0, "5000") },
	{ { "0" }, PORT, "tcp6 :: 0", PASS },
	{ { "0" }, PORT, "tcp4 0.0.0.0 0", PASS },
	{ { "0" }, PORT, "tcp4 0.0.0.0 5001", PASS },

	/* `listen`, every address, in the family of the asking socket. */
	{ { "80" }, LISTEN, "tcp4 0.0.0.0 80", GIVE(0, "0.0.0.0:80") },
	{ { "80" }, LISTEN, "tcp4 127.0.0.1 80", GIVE(0, "0.0.0.0:80") },
	{ { "80" }, LISTEN, "tcp6 :: 80", GIVE(0, "80") },
	{ { "80" }, LISTEN, "v6only :: 80", GIVE(0, "[::]:80") },
	{ { "80" }, LISTEN, "tcp6 ::1 80", GIVE(0, "80") },
	{ { "80" }, LISTEN, "tcp6 fe80::1 80", GIVE(0, "80") },
	/* Whoever binds a mapped address expects no other peers. */
	{ { "80" }, LISTEN, "tcp6 ::ffff:127.0.0.1 80",
	  GIVE(0, "[::ffff:0.0.0.0]:80") },
	{ { "80" }, LISTEN, "tcp6 ::ffff:0.0.0.0 80",
	  GIVE(0, "[::ffff:0.0.0.0]:80") },
	{ { "80" }, LISTEN, "tcp4 0.0.0.0 8080", PASS },
	{ { "80" }, LISTEN, "tcp4 0.0.0.0 0", PASS },
	{ { "80" }, LISTEN, "udp4 0.0.0.0 80", PASS },
	{ { "0" }, LISTEN, "tcp4 127.0.0.1 5000", GIVE(0, "0.0.0.0:5000") },
	{ { "0" }, LISTEN, "tcp4 127.0.0.1 0", PASS },

	/* `listen`, an IPv4 address. */
	{ { "127.0.0.1:80" }, LISTEN, "tcp4 127.0.0.1 80",
	  GIVE(0, "127.0.0.1:80") },
	{ { "127.0.0.1:80" }, LISTEN, "tcp4 0.0.0.0 80",
	  GIVE(0, "127.0.0.1:80") },
	{ { "127.0.0.1:80" }, LISTEN, "tcp4 10.0.0.1 80",
	  GIVE(0, "127.0.0.1:80") },
	{ { "127.0.0.1:80" }, LISTEN, "tcp6 :: 80",
	  GIVE(0, "[::ffff:127.0.0.1]:80") },
	{ { "127.0.0.1:80" }, LISTEN, "tcp6 ::1 80",
	  GIVE(0, "[::ffff:127.0.0.1]:80") },
	{ { "127.0.0.1:80" }, LISTEN, "tcp6 ::ffff:127.0.0.1 80",
	  GIVE(0, "[::ffff:127.0.0.1]:80") },
	{ { "127.0.0.1:80" }, LISTEN, "v6only :: 80",
	  GIVE(0, "[::ffff:127.0.0.1]:80") },
	{ { "0.0.0.0:80" }, LISTEN, "tcp4 127.0.0.1 80",
	  GIVE(0, "0.0.0.0:80") },
	{ { "0.0.0.0:80" }, LISTEN, "tcp6 :: 80",
	  GIVE(0, "[::ffff:0.0.0.0]:80") },
	{ { "127.0.0.1:0" }, LISTEN, "tcp6 :: 5000",
	  GIVE(0, "[::ffff:127.0.0.1]:5000") },
	{ { "127.0.0.1:0" }, LISTEN, "tcp4 127.0.0.1 0", PASS },
	{ { "127.0.0.1:80" }, LISTEN, "tcp4 127.0.0.1 81", PASS },

	/* `listen`, an IPv6 address. */
	{ { "[::1]:80" }, LISTEN, "tcp6 ::1 80", GIVE(0, "[::1]:80") },
	{ { "[::1]:80" }, LISTEN, "tcp6 :: 80", GIVE(0, "[::1]:80") },
	{ { "[::1]:80" }, LISTEN, "v6only :: 80", GIVE(0, "[::1]:80") },
	{ { "[::1]:80" }, LISTEN, "tcp6 ::ffff:127.0.0.1 80",
	  GIVE(0, "[::1]:80") },
	{ { "[::1]:80" }, LISTEN, "tcp4 127.0.0.1 80", REFUSE(0) },
	{ { "[::1]:80" }, LISTEN, "tcp4 0.0.0.0 80", REFUSE(0) },
	{ { "[::1]:80" }, LISTEN, "tcp4 0.0.0.0 81", PASS },
	{ { "[::1]:80" }, LISTEN, "tcp4 0.0.0.0 0", PASS },
	{ { "[::]:80" }, LISTEN, "tcp4 0.0.0.0 80", REFUSE(0) },
	{ { "[::]:80" }, LISTEN, "tcp6 :: 80", GIVE(0, "[::]:80") },
	{ { "[::]:80" }, LISTEN, "tcp6 ::1 80", GIVE(0, "[::]:80") },
	{ { "[::1]:0" }, LISTEN, "tcp4 0.0.0.0 5000", REFUSE(0) },

	/* Several ports. */
	{ { "80", "81" }, PORT, "tcp4 127.0.0.1 80",
	  GIVE(0, "127.0.0.1:80") },
	{ { "80", "81" }, PORT, "tcp4 127.0.0.1 81", GIVE(1, "0.0.0.0:81") },
	{ { "80", "81" }, PORT, "tcp4 127.0.0.1 82", PASS },
	{ { "0", "127.0.0.1:0", "[::1]:0" }, PORT, "tcp6 :: 5001",
	  GIVE(1, "[::ffff:127.0.0.1]:5001") },
	{ { "0", "127.0.0.1:0", "[::1]:0" }, PORT, "tcp4 0.0.0.0 5002",
	  REFUSE(2) },

	/* Several on one port: what is asked for exactly … */
	{ { "127.0.0.1:80", "127.0.0.2:80" }, LISTEN, "tcp4 127.0.0.2 80",
	  GIVE(1, "127.0.0.2:80") },
	{ { "127.0.0.1:80", "127.0.0.2:80" }, LISTEN,
	  "tcp6 ::ffff:127.0.0.2 80", GIVE(1, "[::ffff:127.0.0.2]:80") },
	{ { "127.0.0.1:80", "[::1]:80" }, LISTEN, "tcp6 ::1 80",
	  GIVE(1, "[::1]:80") },
	{ { "[::1]:80", "127.0.0.1:80" }, LISTEN, "tcp6 ::1 80",
	  GIVE(0, "[::1]:80") },
	{ { "80", "127.0.0.1:80" }, LISTEN, "tcp4 127.0.0.1 80",
	  GIVE(1, "127.0.0.1:80") },
	{ { "80", "127.0.0.1:80" }, PORT, "tcp4 127.0.0.1 80",
	  GIVE(1, "127.0.0.1:80") },
	{ { "0.0.0.0:80", "[::]:80" }, LISTEN, "v6only :: 80",
	  GIVE(1, "[::]:80") },
	{ { "0.0.0.0:80", "[::]:80" }, LISTEN, "tcp4 0.0.0.0 80",
	  GIVE(0, "0.0.0.0:80") },
	{ { "[::]:80", "0.0.0.0:80" }, LISTEN, "tcp4 0.0.0.0 80",
	  GIVE(1, "0.0.0.0:80") },
	/* … else the first that can be given. */
	{ { "127.0.0.1:80", "127.0.0.2:80" }, LISTEN, "tcp4 127.0.0.3 80",
	  GIVE(0, "127.0.0.1:80") },
	{ { "127.0.0.2:80", "127.0.0.1:80" }, LISTEN, "tcp4 0.0.0.0 80",
	  GIVE(0, "127.0.0.2:80") },
	{ { "[::1]:80", "127.0.0.1:80" }, LISTEN, "tcp4 127.0.0.3 80",
	  GIVE(1, "127.0.0.1:80") },
	{ { "[::1]:80", "[::2]:80", "127.0.0.1:80" }, LISTEN,
	  "tcp4 0.0.0.0 80", GIVE(2, "127.0.0.1:80") },
	{ { "[::1]:80", "127.0.0.1:80" }, LISTEN, "tcp6 :: 80",
	  GIVE(0, "[::1]:80") },
	{ { "[::1]:80", "[::2]:80" }, LISTEN, "tcp4 0.0.0.0 80", REFUSE(0) },

	/* UDP has ports of its own. */
	{ { "80", "udp:80" }, LISTEN, "udp4 127.0.0.1 80",
	  GIVE(1, "udp:0.0.0.0:80") },
	{ { "udp:80", "80" }, LISTEN, "tcp4 127.0.0.1 80",
	  GIVE(1, "0.0.0.0:80") },
	{ { "80", "udp:80" }, PORT, "udp6 ::1 80", GIVE(1, "udp:80") },
	{ { "80", "udp:80" }, PORT, "udp6 ::ffff:127.0.0.1 80",
	  GIVE(1, "udp:[::ffff:0.0.0.0]:80") },
	{ { "udp:127.0.0.1:53" }, LISTEN, "udp6 :: 53",
	  GIVE(0, "udp:[::ffff:127.0.0.1]:53") },
	{ { "udp:[::1]:53" }, LISTEN, "udp4 0.0.0.0 53", REFUSE(0) },
	{ { "udp:[::1]:53" }, LISTEN, "tcp4 0.0.0.0 53", PASS },
	/* A port 0 is a client's, or a probe. */
	{ { "udp:0" }, LISTEN, "udp4 0.0.0.0 0", PASS },

	/* Unix. */
	{ { "unix:/run/x" }, LISTEN, "unix /run/x", GIVE(0, "unix:/run/x") },
	{ { "unix:/run/x" }, LISTEN, "unix /run//x", GIVE(0, "unix:/run/x") },
	{ { "unix:/run/x" }, LISTEN, "unix /run/xy", PASS },
	{ { "unix:/run/x" }, LISTEN, "unix /run", PASS },
	{ { "unix:/run/x" }, LISTEN, "unix x", PASS },
	{ { "unix:/cwd/x" }, LISTEN, "unix x", GIVE(0, "unix:/cwd/x") },
	{ { "unix:/cwd/x" }, LISTEN, "unix ./x", GIVE(0, "unix:/cwd/x") },
	{ { "unix:/run/x" }, LISTEN, "tcp6 :: 80", PASS },
	{ { "80", "unix:/a", "unix:/b" }, PORT, "unix /b",
	  GIVE(2, "unix:/b") },
	{ { "80", "unix:/a", "unix:/b" }, PORT, "tcp4 0.0.0.0 80",
	  GIVE(0, "0.0.0.0:80") },

	/* No listeners at all. */
	{ { NULL }, LISTEN, "tcp4 0.0.0.0 80", PASS },
	{ { NULL }, LISTEN, "unix /x", PASS },
};

static void
check_row(const struct row *row)
{
	struct setup s;
	struct adoption_socket socket;
	struct address asked = ask(row->asked, &socket);
	struct adoption a;
	char what[160];

	setup_init(&s, row->listens, row->has_port);
	snprintf(what, sizeof(what), "row %zu: %s%s%s asked for %s",
	    (size_t)(row - rows), row->has_port ? "port " : "",
	    row->listens[0] != NULL ? row->listens[0] : "nothing",
	    row->listens[0] != NULL && row->listens[1] != NULL ? " …" : "",
	    row->asked);
	a = adoption_decide(&s.app, s.bound, &asked);
	if (a.verdict != row->verdict)
		fail_msg("%s: verdict %d is expected, not %d", what,
		    row->verdict, a.verdict);
	if (a.verdict != ADOPTION_PASS && a.position != row->position)
		fail_msg("%s: position %zu is expected, not %zu", what,
		    row->position, a.position);
	if (a.verdict == ADOPTION_GIVE) {
		expect_address(what, &a.target, row->target);
		/* The path is the app's own. */
		assert_ptr_equal(a.target.path, s.listens[a.position].path);
	} else {
		assert_null(a.target.path);
	}
	address_free(&asked);
	setup_free(&s);
}

static void
every_rule(void **state)
{
	(void)state;
	for (size_t i = 0; i < N(rows); i++)
		check_row(&rows[i]);
}

/* The interface goes with the address where the server decides. */
static void
scope_is_given_back(void **state)
{
	static const char *const listens[LISTENS] = { "80" };
	struct adoption_socket socket;
	struct address asked = ask("tcp6 fe80::1 80", &socket);
	struct setup s;
	struct adoption a;

	(void)state;
	asked.scope = 3;
	setup_init(&s, listens, PORT);
	a = adoption_decide(&s.app, s.bound, &asked);
	assert_int_equal(a.verdict, ADOPTION_GIVE);
	assert_true(address_equal(&a.target, &asked));
	assert_int_equal(a.target.scope, 3);
	/* Every address is on every interface. */
	s.app.has_port = false;
	a = adoption_decide(&s.app, s.bound, &asked);
	assert_int_equal(a.verdict, ADOPTION_GIVE);
	assert_int_equal(a.target.host, ADDRESS_HOST_ANY);
	assert_int_equal(a.target.scope, 0);
	setup_free(&s);
}

/* ---- what is so for any listeners and any program ---- */

static const char *const pool[] = {
	"80", "0.0.0.0:80", "127.0.0.1:80", "10.0.0.1:80", "[::]:80",
	"[::1]:80", "[2001:db8::1]:80", "81", "127.0.0.1:0", "udp:80",
	"udp:[::1]:80", "udp:127.0.0.1:80", "unix:/run/x",
};

static const char *const questions[] = {
	"tcp4 0.0.0.0 80", "tcp4 127.0.0.1 80", "tcp4 10.0.0.2 80",
	"tcp4 0.0.0.0 0", "tcp4 127.0.0.1 5001", "tcp6 :: 80", "tcp6 ::1 80",
	"tcp6 ::ffff:127.0.0.1 80", "tcp6 ::ffff:0.0.0.0 80",
	"tcp6 2001:db8::2 80", "tcp6 :: 81", "tcp6 ::1 5000", "v6only :: 80",
	"v6only ::1 80", "mptcp6 :: 80", "udp4 0.0.0.0 80",
	"udp4 127.0.0.1 80", "udp6 :: 80", "udp6 ::1 80", "udp6 :: 0",
	"unix /run/x", "unix /run/y",
};

static bool
concerns(const struct setup *s, size_t i, const struct address *asked)
{
	bool beside = i == 0 && s->app.has_port && asked->kind == ADDRESS_UDP;

	if (s->listens[i].kind != asked->kind && !beside)
		return false;
	if (asked->kind == ADDRESS_UNIX)
		return strcmp(s->listens[i].path, asked->path) == 0;
	return asked->port != 0 && s->bound[i].port == asked->port;
}

/* Is there one that concerns the question, and one that can be given? */
static enum adoption_verdict
expected_verdict(const struct setup *s, const struct address *asked)
{
	enum adoption_verdict verdict = ADOPTION_PASS;

	for (size_t i = 0; i < s->app.n_listens; i++) {
		if (!concerns(s, i, asked))
			continue;
		if (asked->kind == ADDRESS_UNIX ||
		    s->listens[i].host != ADDRESS_HOST_IPV6 ||
		    asked->host != ADDRESS_HOST_IPV4)
			return ADOPTION_GIVE;
		verdict = ADOPTION_REFUSE;
	}
	return verdict;
}

static void
check_given(const struct setup *s, const struct adoption_socket *socket,
    const struct address *asked, const struct adoption *a)
{
	const struct address *w = &s->listens[a->position];
	bool decides = a->position == 0 && s->app.has_port;
	struct adoption again;

	assert_true(a->position < s->app.n_listens);
	assert_true(concerns(s, a->position, asked));
	assert_int_equal(a->target.kind, asked->kind);
	assert_true(adoption_may_keep(&s->app, a->position, &a->target));
	if (asked->kind == ADDRESS_UNIX) {
		assert_true(address_equal(&a->target, w));
		return;
	}
	assert_int_equal(a->target.port, asked->port);
	/* Never a sockaddr of a family that the program does not know. */
	assert_int_equal(socket->family == AF_INET,
	    a->target.host == ADDRESS_HOST_IPV4);
	assert_int_equal(asked->host == ADDRESS_HOST_IPV4,
	    a->target.host == ADDRESS_HOST_IPV4);
	/* Dual-stack only for a socket that is. */
	if (socket->v6only && memcmp(asked->ip, (uint8_t[16]){ 0 }, 16) == 0)
		assert_true(a->target.host == ADDRESS_HOST_IPV6);
	if (decides)
		assert_true(address_equal(&a->target, asked));

	/* Whoever asks for what was given gets just that. */
	if (decides || address_equal(&a->target, asked)) {
		again = adoption_decide(&s->app, s->bound, &a->target);
		assert_int_equal(again.verdict, ADOPTION_GIVE);
		assert_int_equal(again.position, a->position);
		assert_true(address_equal(&again.target, &a->target));
	}
}

/* Exactly what is written stands before anything else. */
static void
check_exact(const struct setup *s, const struct address *asked,
    const struct adoption *a)
{
	for (size_t i = 0; i < s->app.n_listens; i++) {
		struct address w = s->listens[i];

		if (w.kind == ADDRESS_UNIX || w.host == ADDRESS_HOST_ANY)
			continue;
		w.port = s->bound[i].port;
		if (address_equal(&w, asked))
			assert_int_equal(a->position, i);
	}
}

static void
check_question(const struct setup *s, const char *question)
{
	struct adoption_socket socket;
	struct address asked = ask(question, &socket);
	struct adoption a = adoption_decide(&s->app, s->bound, &asked);

	assert_int_equal(a.verdict, expected_verdict(s, &asked));
	if (a.verdict == ADOPTION_GIVE) {
		check_given(s, &socket, &asked, &a);
		check_exact(s, &asked, &a);
	}
	address_free(&asked);
}

static void
any_three_listeners(void **state)
{
	const size_t n = N(pool);

	(void)state;
	for (size_t i = 0; i < n * n * n; i++) {
		const char *const texts[LISTENS] = {
			pool[i % n], pool[i / n % n], pool[i / n / n],
		};
		struct setup s;

		/* No address is written twice. */
		if (texts[0] == texts[1] || texts[0] == texts[2] ||
		    texts[1] == texts[2])
			continue;
		setup_init(&s, texts, false);
		/* `port` is every address, of TCP. */
		for (int port = 0; port <= (i % n == 0); port++) {
			s.app.has_port = port == 1;
			for (size_t q = 0; q < N(questions); q++)
				check_question(&s, questions[q]);
		}
		setup_free(&s);
	}
}

/* ---- adoption_may_keep ---- */

/* A bound address that a configuration cannot write: mapped ones. */
static struct address
bound_at(const char *text)
{
	struct adoption_socket unused;

	return strchr(text, ' ') != NULL ? ask(text, &unused) : written(text);
}

static void
what_may_be_kept(void **state)
{
	static const struct {
		const char *written;
		bool has_port;
		const char *bound;
		bool keep;
	} table[] = {
		/* The server has decided. */
		{ "80", PORT, "80", true },
		{ "80", PORT, "127.0.0.1:80", true },
		{ "80", PORT, "[::1]:80", true },
		{ "80", PORT, "tcp6 ::ffff:127.0.0.1 80", true },
		{ "0", PORT, "127.0.0.1:5000", true },
		/* Every address, in whichever family. */
		{ "80", LISTEN, "80", true },
		{ "80", LISTEN, "0.0.0.0:80", true },
		{ "80", LISTEN, "[::]:80", true },
		{ "80", LISTEN, "tcp6 ::ffff:0.0.0.0 80", true },
		{ "0", LISTEN, "5000", true },
		{ "0", LISTEN, "0.0.0.0:5000", true },
		{ "udp:53", LISTEN, "udp:0.0.0.0:53", true },
		/* Narrowed while it was a `port`. */
		{ "80", LISTEN, "127.0.0.1:80", false },
		{ "80", LISTEN, "[::1]:80", false },
		{ "80", LISTEN, "tcp6 ::ffff:127.0.0.1 80", false },
		{ "80", LISTEN, "tcp6 ::ffff:0.0.0.1 80", false },
		/* IPv4, mapped or not. */
		{ "127.0.0.1:80", LISTEN, "127.0.0.1:80", true },
		{ "127.0.0.1:80", LISTEN, "tcp6 ::ffff:127.0.0.1 80", true },
		{ "127.0.0.1:0", LISTEN, "tcp6 ::ffff:127.0.0.1 5000", true },
		{ "127.0.0.1:80", LISTEN, "tcp6 ::ffff:127.0.0.2 80", false },
		{ "127.0.0.1:80", LISTEN, "127.0.0.2:80", false },
		{ "127.0.0.1:80", LISTEN, "0.0.0.0:80", false },
		{ "127.0.0.1:80", LISTEN, "80", false },
		{ "127.0.0.1:80", LISTEN, "[::1]:80", false },
		{ "0.0.0.0:80", LISTEN, "tcp6 ::ffff:0.0.0.0 80", true },
		{ "0.0.0.0:80", LISTEN, "127.0.0.1:80", false },
		{ "0.0.0.0:80", LISTEN, "80", false },
		/* IPv6 is itself only. */
		{ "[::1]:80", LISTEN, "[::1]:80", true },
		{ "[::1]:80", LISTEN, "[::]:80", false },
		{ "[::1]:80", LISTEN, "80", false },
		{ "[7f00:1::]:80", LISTEN, "tcp6 ::ffff:127.0.0.1 80", false },
		{ "[::]:80", LISTEN, "[::]:80", true },
		{ "[::]:80", LISTEN, "80", false },
		{ "[::]:80", LISTEN, "0.0.0.0:80", false },
		{ "[::]:80", LISTEN, "[::1]:80", false },
		{ "unix:/run/x", LISTEN, "unix:/run/x", true },
	};

	(void)state;
	for (size_t i = 0; i < N(table); i++) {
		const char *const texts[LISTENS] = { table[i].written };
		struct address bound = bound_at(table[i].bound);
		struct setup s;

		setup_init(&s, texts, table[i].has_port);
		if (adoption_may_keep(&s.app, 0, &bound) != table[i].keep)
			fail_msg("%s bound to %s: %d is expected",
			    table[i].written, table[i].bound, table[i].keep);
		address_free(&bound);
		setup_free(&s);
	}
}

/* `has_port` is about the first one only. */
static void
second_of_a_port_is_a_listen(void **state)
{
	static const char *const texts[LISTENS] = { "80", "81" };
	struct address bound = written("127.0.0.1:81");
	struct setup s;

	(void)state;
	setup_init(&s, texts, PORT);
	assert_false(adoption_may_keep(&s.app, 1, &bound));
	bound.port = 80;
	assert_true(adoption_may_keep(&s.app, 0, &bound));
	setup_free(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_interface_that_is_asked_for_is_kept),
		cmocka_unit_test(what_is_kept_of_an_interface),
		cmocka_unit_test(kinds_of_sockets),
		cmocka_unit_test(hosts_and_ports),
		cmocka_unit_test(lengths),
		cmocka_unit_test(families_of_the_bytes),
		cmocka_unit_test(scopes),
		cmocka_unit_test(unix_paths),
		cmocka_unit_test(unix_path_without_a_nul),
		cmocka_unit_test(unix_without_a_path),
		cmocka_unit_test(parse_without_memory),
		cmocka_unit_test(names_of_protocols),
		cmocka_unit_test(every_rule),
		cmocka_unit_test(scope_is_given_back),
		cmocka_unit_test(any_three_listeners),
		cmocka_unit_test(what_may_be_kept),
		cmocka_unit_test(second_of_a_port_is_a_listen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
