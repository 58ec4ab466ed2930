#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/num.h"
#include "base/str.h"
#include "core/names/address.h"

/*
 * sockaddr_un takes 107 bytes. A new generation binds a temporary name beside
 * the path and renames it over, so some room is kept for its suffix.
 */
#define UNIX_PATH_MAX_BYTES 100

#define ALLOWED "PORT, IPV4:PORT, [IPV6]:PORT (udp: before it for UDP) " \
	"or unix:PATH is allowed"

bool
address_has_control(const char *s)
{
	for (; *s != '\0'; s++) {
		if (((unsigned char)*s < ' ' && *s != '\t') || *s == 0x7f)
			return true;
	}
	return false;
}

/* Shortens `path`, which begins with a slash, where it stands. */
static void
normalise(char *path)
{
	const char *in = path;
	char *out = path;

	while (*in != '\0') {
		size_t len;

		in += strspn(in, "/");
		len = strcspn(in, "/");
		if (len > 0 && !(len == 1 && *in == '.')) {
			*out++ = '/';
			memmove(out, in, len);
			out += len;
		}
		in += len;
	}
	if (out == path)
		*out++ = '/';
	*out = '\0';
}

char *
address_path(const char *path, const char *base_dir)
{
	char *full;

	if (*path == '/')
		full = strdup(path);
	else if (asprintf(&full, "%s/%s", base_dir, path) < 0)
		full = NULL;
	if (full != NULL)
		normalise(full);
	return full;
}

/* Whether the path ends in a directory: `x/`, `.` or `..`. */
static bool
names_no_file(const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *last = slash != NULL ? slash + 1 : path;

	return *last == '\0' || strcmp(last, ".") == 0 ||
	    strcmp(last, "..") == 0;
}

static int
parse_unix(const char *text, const char *base_dir, struct address *ret_address,
    struct error *err)
{
	const char *path = text + strlen("unix:");
	char *full;

	if (*path == '@')
		return error_set(err, -EINVAL, "\"%.80s\" is an abstract "
		    "address, which has no owner and no mode; unix:PATH is "
		    "allowed", text);
	if (names_no_file(path))
		return error_set(err, -EINVAL, "\"%.80s\" names no file, "
		    "unix:PATH is allowed", text);
	full = address_path(path, base_dir);
	if (full == NULL)
		return -ENOMEM;

	/* A comma would end the entry where a file lists several. */
	if (strlen(full) > UNIX_PATH_MAX_BYTES) {
		error_set(err, -EINVAL, "\"%.120s\" is too long for a Unix "
		    "socket, %d bytes are allowed", full, UNIX_PATH_MAX_BYTES);
	} else if (address_has_control(full) ||
	    strpbrk(full, ",\t") != NULL) {
		error_set(err, -EINVAL, "\"%.120s\" holds a comma or a "
		    "control byte, a path without them is allowed", full);
	} else {
		*ret_address = (struct address){
			.kind = ADDRESS_UNIX,
			.path = full,
		};
		return 0;
	}
	free(full);
	return -EINVAL;
}

static int
parse_port(const char *text, const char *port, struct address *a,
    struct error *err)
{
	uint64_t number;

	if (num_parse(port, 0, UINT16_MAX, &number)) {
		a->port = (uint16_t)number;
		return 0;
	}
	if (strcmp(text, port) == 0)
		return error_set(err, -EINVAL, "\"%.40s\" is not a port, a "
		    "number from 0 to 65535 is allowed", port);
	return error_set(err, -EINVAL, "\"%.80s\": \"%.40s\" is not a port, a "
	    "number from 0 to 65535 is allowed", text, port);
}

static int
parse_ipv6(const char *text, const char *host, size_t len, struct address *a,
    struct error *err)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	char name[INET6_ADDRSTRLEN];

	if (memchr(host, '%', len) != NULL)
		return error_set(err, -EINVAL, "\"%.80s\" names an interface "
		    "(%%), an address without one is allowed", text);
	if (len < sizeof(name)) {
		memcpy(name, host, len);
		name[len] = '\0';
		a->host = ADDRESS_HOST_IPV6;
		if (inet_pton(AF_INET6, name, a->ip) != 1)
			len = sizeof(name);
	}
	if (len >= sizeof(name))
		return error_set(err, -EINVAL, "\"%.80s\" is not an IPv6 "
		    "address and a port, [IPV6]:PORT is allowed", text);
	if (memcmp(a->ip, mapped, sizeof(mapped)) == 0)
		return error_set(err, -EINVAL, "\"%.80s\" is an IPv4 address "
		    "in IPv6 clothes, write it as %u.%u.%u.%u:PORT", text,
		    a->ip[12], a->ip[13], a->ip[14], a->ip[15]);
	return 0;
}

/* `rest` is `text` without udp: or tcp:. */
static int
parse_brackets(const char *text, const char *rest, struct address *a,
    struct error *err)
{
	const char *end = strchr(rest, ']');
	int r;

	if (end == NULL)
		return error_set(err, -EINVAL, "\"%.80s\" has no ], "
		    "[IPV6]:PORT is allowed", text);
	if (end[1] != ':')
		return error_set(err, -EINVAL, "\"%.80s\" has no port, "
		    "[IPV6]:PORT is allowed", text);
	r = parse_ipv6(text, rest + 1, (size_t)(end - rest - 1), a, err);
	if (r < 0)
		return r;
	return parse_port(text, end + 2, a, err);
}

static int
parse_ipv4(const char *text, const char *host, size_t len, struct address *a,
    struct error *err)
{
	char name[INET_ADDRSTRLEN];

	if (len == 1 && *host == '*')
		return 0;
	if (len == 0)
		return error_set(err, -EINVAL, "\"%.80s\" has no address, "
		    ALLOWED, text);
	if (memchr(host, ':', len) != NULL &&
	    strspn(host, "0123456789abcdefABCDEF:.") >= len)
		return error_set(err, -EINVAL, "\"%.80s\": an IPv6 address "
		    "stands in brackets, such as [::1]:8080", text);
	if (len < sizeof(name)) {
		memcpy(name, host, len);
		name[len] = '\0';
		a->host = ADDRESS_HOST_IPV4;
		/* glibc and musl take four decimal numbers and no less. */
		if (inet_pton(AF_INET, name, a->ip) == 1)
			return 0;
	}
	return error_set(err, -EINVAL, "\"%.80s\": \"%.*s\" is not an address, "
	    "names are not looked up, " ALLOWED, text,
	    (int)(len < 40 ? len : 40), host);
}

static bool
all_digits(const char *s)
{
	if (*s == '\0')
		return false;
	while (*s >= '0' && *s <= '9')
		s++;
	return *s == '\0';
}

static int
parse_inet(const char *text, const char *rest, struct address *a,
    struct error *err)
{
	const char *colon;
	struct address unused;
	int r;

	if (all_digits(rest))
		return parse_port(text, rest, a, err);
	if (*rest == '[')
		return parse_brackets(text, rest, a, err);

	colon = strrchr(rest, ':');
	if (colon == NULL) {
		if (parse_ipv4(text, rest, strlen(rest), &unused, NULL) == 0)
			return error_set(err, -EINVAL, "\"%.80s\" has no port, "
			    ALLOWED, text);
		return error_set(err, -EINVAL, "\"%.80s\" is not an address, "
		    ALLOWED, text);
	}
	r = parse_ipv4(text, rest, (size_t)(colon - rest), a, err);
	if (r < 0)
		return r;
	return parse_port(text, colon + 1, a, err);
}

/* Of TCP and UDP, without what stands behind it. */
static int
parse_bare(const char *text, struct address *ret_address, struct error *err)
{
	struct address a = { .kind = ADDRESS_TCP, .host = ADDRESS_HOST_ANY };
	const char *rest = text;
	int r;

	if (str_starts(text, "udp:")) {
		a.kind = ADDRESS_UDP;
		rest += 4;
	} else if (str_starts(text, "tcp:")) {
		rest += 4;
	}
	if (rest > text && str_starts(rest, "unix:"))
		return error_set(err, -EINVAL, "\"%.80s\": a Unix listener is "
		    "always a stream, unix:PATH is allowed", text);
	r = parse_inet(text, rest, &a, err);
	if (r == 0)
		*ret_address = a;
	return r;
}

/* One socket for IPv6 alone is what [::] is; the port alone is for both. */
static int
make_v6only(struct address *a, struct error *err)
{
	if (a->host == ADDRESS_HOST_IPV4)
		return error_set(err, -EINVAL, "v6only stands behind an IPv4 "
		    "address, PORT or [IPV6]:PORT is allowed with it");
	a->host = ADDRESS_HOST_IPV6;
	return 0;
}

int
address_parse(const char *text, const char *base_dir,
    struct address *ret_address, struct error *err)
{
	size_t len = strcspn(text, " \t");
	struct address a = { .kind = ADDRESS_TCP };
	bool v6only = false;
	char *copy;
	int r;

	/* Its path may have blanks. */
	if (str_starts(text, "unix:"))
		return parse_unix(text, base_dir, ret_address, err);
	if (text[len] == '\0')
		return parse_bare(text, ret_address, err);
	copy = strdup(text);
	if (copy == NULL)
		return -ENOMEM;
	copy[len] = '\0';
	r = parse_bare(copy, &a, err);
	if (r == 0)
		r = address_options_parse(copy + len + 1,
		    a.kind == ADDRESS_TCP, &a.options, &v6only, err);
	if (r == 0 && v6only)
		r = make_v6only(&a, err);
	free(copy);
	if (r == 0)
		*ret_address = a;
	return r;
}

int
address_copy(const struct address *from, struct address *ret_address)
{
	struct address copy = *from;

	if (from->path != NULL) {
		copy.path = strdup(from->path);
		if (copy.path == NULL)
			return -ENOMEM;
	}
	*ret_address = copy;
	return 0;
}

void
address_free(struct address *a)
{
	free(a->path);
	a->path = NULL;
}

static size_t
ip_size(enum address_host host)
{
	switch (host) {
	case ADDRESS_HOST_ANY:
		return 0;
	case ADDRESS_HOST_IPV4:
		return 4;
	case ADDRESS_HOST_IPV6:
		return 16;
	}
	return 0;
}

int
address_compare(const struct address *a, const struct address *b)
{
	int order;

	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	if (a->kind == ADDRESS_UNIX)
		return strcmp(a->path, b->path);
	if (a->host != b->host)
		return a->host < b->host ? -1 : 1;
	order = memcmp(a->ip, b->ip, ip_size(a->host));
	if (order != 0)
		return order;
	if (a->scope != b->scope)
		return a->scope < b->scope ? -1 : 1;
	order = strcmp(a->options.interface, b->options.interface);
	if (order != 0)
		return order;
	return (int)a->port - (int)b->port;
}

bool
address_equal(const struct address *a, const struct address *b)
{
	return address_compare(a, b) == 0;
}

void
address_put_host(struct strbuf *sb, const struct address *a)
{
	char host[INET6_ADDRSTRLEN] = "::";

	/* Neither can fail: the family is known and the room suffices. */
	if (a->host == ADDRESS_HOST_IPV4)
		(void)inet_ntop(AF_INET, a->ip, host, sizeof(host));
	else if (a->host == ADDRESS_HOST_IPV6)
		(void)inet_ntop(AF_INET6, a->ip, host, sizeof(host));
	strbuf_puts(sb, host);
}

struct address
address_unmapped(const struct address *a)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	struct address v4 = *a;

	if (a->kind == ADDRESS_UNIX || a->host != ADDRESS_HOST_IPV6 ||
	    memcmp(a->ip, mapped, sizeof(mapped)) != 0)
		return v4;
	v4.host = ADDRESS_HOST_IPV4;
	memset(v4.ip, 0, sizeof(v4.ip));
	memcpy(v4.ip, a->ip + sizeof(mapped), 4);
	return v4;
}

struct address_text
address_text_numeric(const struct address *a)
{
	char host[INET6_ADDRSTRLEN] = "::";
	struct address_text text;

	if (a->kind == ADDRESS_UNIX) {
		snprintf(text.s, sizeof(text.s), "%s", a->path);
		return text;
	}
	/* Neither can fail: the family is known and the room suffices. */
	if (a->host == ADDRESS_HOST_IPV4)
		(void)inet_ntop(AF_INET, a->ip, host, sizeof(host));
	else if (a->host == ADDRESS_HOST_IPV6)
		(void)inet_ntop(AF_INET6, a->ip, host, sizeof(host));
	snprintf(text.s, sizeof(text.s), a->host == ADDRESS_HOST_IPV4 ?
	    "%s:%u" : "[%s]:%u", host, (unsigned)a->port);
	return text;
}

struct address_text
address_text(const struct address *a)
{
	const char *udp = a->kind == ADDRESS_UDP ? "udp:" : "";
	struct address_text text;

	if (a->kind == ADDRESS_UNIX)
		snprintf(text.s, sizeof(text.s), "unix:%s", a->path);
	else if (a->host == ADDRESS_HOST_ANY)
		snprintf(text.s, sizeof(text.s), "%s%u", udp,
		    (unsigned)a->port);
	else
		snprintf(text.s, sizeof(text.s), "%s%.*s", udp,
		    (int)(sizeof(text.s) - sizeof("udp:")),
		    address_text_numeric(a).s);
	return text;
}

char *
address_format_numeric(const struct address *a)
{
	return strdup(a->kind == ADDRESS_UNIX ? a->path :
	    address_text_numeric(a).s);
}

char *
address_format_bare(const struct address *a)
{
	char *text = address_format_numeric(a);
	char *end = text != NULL && *text == '[' ? strchr(text, ']') : NULL;

	if (end == NULL)
		return text;
	memmove(end, end + 1, strlen(end));
	memmove(text, text + 1, strlen(text));
	return text;
}

char *
address_format(const struct address *a)
{
	struct strbuf sb = STRBUF_INIT;
	char *text;

	if (a->kind != ADDRESS_UNIX) {
		strbuf_puts(&sb, address_text(a).s);
		address_options_put(&sb, &a->options);
		return strbuf_take(&sb);
	}
	return asprintf(&text, "unix:%s", a->path) < 0 ? NULL : text;
}
