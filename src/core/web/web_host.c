#include <arpa/inet.h>
#include <string.h>

#include "base/num.h"
#include "base/str.h"
#include "core/web/web_host.h"

#define NAME_MAX_LEN	253

static bool
is_port(const char *text)
{
	uint64_t port;

	return *text == '\0' ||
	    (*text == ':' && num_parse(text + 1, 1, 65535, &port));
}

static bool
is_ipv6(const char *host)
{
	const char *end = strchr(host, ']');
	char text[INET6_ADDRSTRLEN];
	unsigned char ip[16];
	size_t len;

	if (end == NULL || !is_port(end + 1))
		return false;
	len = (size_t)(end - host - 1);
	if (len >= sizeof(text))
		return false;
	memcpy(text, host + 1, len);
	text[len] = '\0';
	return inet_pton(AF_INET6, text, ip) == 1;
}

static bool
is_known(const char *name, char *const *names)
{
	unsigned char ip[4];

	if (inet_pton(AF_INET, name, ip) == 1 ||
	    str_is_word(name, strlen(name), "localhost"))
		return true;
	for (; names != NULL && *names != NULL; names++)
		if (str_is_word(name, strlen(name), *names))
			return true;
	return false;
}

bool
web_host_allowed(const char *host, char *const *names)
{
	char name[NAME_MAX_LEN + 2];
	size_t len = strcspn(host, ":");

	if (*host == '[')
		return is_ipv6(host);
	if (len == 0 || len >= sizeof(name) || !is_port(host + len))
		return false;
	memcpy(name, host, len);
	/* "localhost." is the same name, written out. */
	if (name[len - 1] == '.')
		len--;
	name[len] = '\0';
	return is_known(name, names);
}

bool
web_host_name_valid(const char *name)
{
	size_t len = strlen(name);

	return len > 0 && len <= NAME_MAX_LEN && name[0] != '.' &&
	    name[len - 1] != '.' && strspn(name, "abcdefghijklmnopqrstuvwxyz"
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == len;
}

bool
web_host_same_origin(const char *origin, const char *host)
{
	if (str_starts(origin, "http://"))
		origin += strlen("http://");
	else if (str_starts(origin, "https://"))
		origin += strlen("https://");
	else
		return false;
	return str_is_word(origin, strlen(origin), host);
}
