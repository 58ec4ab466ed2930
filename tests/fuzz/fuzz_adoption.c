/*
 * Any bytes as the address of a bind(2), on any socket: no crash, no read
 * beyond the end, only addresses that a listener can have; and what is decided
 * about them never gives a program a socket of another family.
 *
 * The input: a byte each for family, type, protocol, flags (1: v6only, 2: the
 * working directory is unknown); the rest is the sockaddr, where its family,
 * which is in host order, is one byte here.
 */
#include <sys/socket.h>
#include <sys/un.h>

#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "core/sockets/adoption.h"
#include "core/conf/conf.h"
#include "fuzz.h"

/* Ports above 255, so that a byte order shows; 0 gets 0x1fff. */
static const char *const listens[] = {
	"8080", "127.0.0.1:8081", "[::1]:8081", "127.0.0.2:8081", "8082",
	"udp:8080", "udp:[::1]:8081", "0.0.0.0:8083", "[::]:8083", "0",
	"unix:/run/x", "unix:/cwd/y",
};

static struct address written[N(listens)], bound[N(listens)];

static void
set_up(void)
{
	if (written[0].port != 0)
		return;
	for (size_t i = 0; i < N(listens); i++) {
		struct error err = ERROR_INIT;

		CHECK(address_parse(listens[i], "/", &written[i], &err) == 0);
		bound[i] = written[i];
		if (written[i].kind != ADDRESS_UNIX && written[i].port == 0)
			bound[i].port = 0x1fff;
	}
}

static void
check_asked(const struct adoption_socket *s, const struct address *a)
{
	static const uint8_t zeros[16];

	if (s->family == AF_UNIX) {
		CHECK(a->kind == ADDRESS_UNIX && s->type == SOCK_STREAM);
		CHECK(a->path != NULL && a->path[0] == '/');
		CHECK(strlen(a->path) <= strlen("/cwd/") +
		    sizeof(((struct sockaddr_un *)0)->sun_path));
		CHECK(strstr(a->path, "//") == NULL);
		CHECK(strstr(a->path, "/./") == NULL);
		return;
	}
	CHECK(a->kind == (s->type == SOCK_STREAM ? ADDRESS_TCP : ADDRESS_UDP));
	CHECK(a->path == NULL);
	if (s->family == AF_INET) {
		CHECK(a->host == ADDRESS_HOST_IPV4);
		CHECK(memcmp(a->ip + 4, zeros, 12) == 0);
	} else {
		CHECK(s->family == AF_INET6);
		CHECK(a->host != ADDRESS_HOST_IPV4);
		CHECK((a->host == ADDRESS_HOST_ANY) ==
		    (!s->v6only && memcmp(a->ip, zeros, 16) == 0));
	}
	CHECK(a->scope == 0 || (a->host == ADDRESS_HOST_IPV6 &&
	    a->ip[0] == 0xfe && a->ip[1] >> 6 == 2));
}

static bool
concerns(size_t i, const struct address *asked)
{
	if (written[i].kind != asked->kind)
		return false;
	return asked->kind == ADDRESS_UNIX ?
	    strcmp(written[i].path, asked->path) == 0 :
	    asked->port != 0 && asked->port == bound[i].port;
}

static void
check_given(const struct conf_app *app, const struct address *asked,
    const struct adoption *a)
{
	bool decides = a->position == 0 && app->has_port;
	struct adoption again;

	CHECK(concerns(a->position, asked));
	CHECK(a->target.kind == asked->kind);
	CHECK(adoption_may_keep(app, a->position, &a->target));
	if (asked->kind == ADDRESS_UNIX) {
		CHECK(a->target.path == written[a->position].path);
		return;
	}
	CHECK(a->target.port == asked->port && a->target.path == NULL);
	CHECK((a->target.host == ADDRESS_HOST_IPV4) ==
	    (asked->host == ADDRESS_HOST_IPV4));
	CHECK(!decides || address_equal(&a->target, asked));
	/* No written `*` shares its port here: given once, given again. */
	again = adoption_decide(app, bound, &a->target);
	CHECK(again.verdict == ADOPTION_GIVE);
	CHECK(again.position == a->position);
	CHECK(address_equal(&again.target, &a->target));
}

static void
check_decided(const struct conf_app *app, const struct address *asked)
{
	struct adoption a = adoption_decide(app, bound, asked);
	bool any = false, possible = false;

	for (size_t i = 0; i < app->n_listens; i++)
		if (concerns(i, asked)) {
			any = true;
			possible |= asked->kind == ADDRESS_UNIX ||
			    asked->host != ADDRESS_HOST_IPV4 ||
			    written[i].host != ADDRESS_HOST_IPV6;
		}
	CHECK(a.verdict == (possible ? ADOPTION_GIVE :
	    any ? ADOPTION_REFUSE : ADOPTION_PASS));
	CHECK(a.position == 0 || a.position < app->n_listens);
	if (a.verdict == ADOPTION_GIVE)
		check_given(app, asked, &a);
}

/* The parts of a socket, those that matter more often. */
static struct adoption_socket
socket_of(const uint8_t *data)
{
	static const int families[] = {
		AF_INET, AF_INET6, AF_UNIX, AF_UNSPEC, AF_NETLINK, AF_PACKET,
	};
	static const int types[] = {
		SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET, SOCK_RAW,
	};
	static const int protocols[] = {
		0, IPPROTO_TCP, IPPROTO_UDP, 262, IPPROTO_SCTP, -1,
	};

	return (struct adoption_socket){
		.family = families[data[0] % N(families)],
		.type = types[data[1] % N(types)],
		.protocol = protocols[data[2] % N(protocols)],
		.v6only = (data[3] & 1) != 0,
	};
}

static uint8_t *
sockaddr_of(const uint8_t *data, size_t size, size_t *ret_len)
{
	size_t len = size > 0 ? size + 1 : 0;
	sa_family_t family = size > 0 ? data[0] : 0;
	uint8_t *bytes = fuzz_place(len);

	if (size > 0) {
		memcpy(bytes, &family, sizeof(family));
		memcpy(bytes + sizeof(family), data + 1, size - 1);
	}
	*ret_len = len;
	return bytes;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct conf_app app = { .listens = written, .n_listens = N(listens) };
	struct address asked = { .port = 1 }, untouched = asked;
	struct adoption_socket s;
	uint8_t *bytes;
	size_t len;
	int code;

	set_up();
	if (size < 4)
		return 0;
	s = socket_of(data);
	bytes = sockaddr_of(data + 4, size - 4, &len);
	code = adoption_parse(&s, bytes, len, (data[3] & 2) != 0 ? NULL :
	    "/cwd", &asked);
	free(bytes);
	if (code != 0) {
		CHECK(code == -EAFNOSUPPORT);
		CHECK(memcmp(&asked, &untouched, sizeof(asked)) == 0);
		return 0;
	}
	check_asked(&s, &asked);
	for (int port = 0; port < 2; port++) {
		app.has_port = port == 1;
		check_decided(&app, &asked);
	}
	address_free(&asked);
	return 0;
}
