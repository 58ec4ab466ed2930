#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "base/error.h"
#include "base/num.h"
#include "base/str.h"
#include "core/names/address_options.h"

#define ALLOWED "interface=NAME, freebind, transparent, mark=NUMBER, " \
	"defer_accept=SECONDS, fastopen=LENGTH or v6only"

/* The kernel's own limits are lower and higher, and none of them is sharp. */
#define DEFER_ACCEPT_MAX	3600
#define FASTOPEN_MAX		65535

enum option {
	OPTION_INTERFACE,
	OPTION_FREEBIND,
	OPTION_TRANSPARENT,
	OPTION_MARK,
	OPTION_DEFER_ACCEPT,
	OPTION_FASTOPEN,
	OPTION_V6ONLY,
	OPTIONS
};

static const struct {
	const char *name;
	bool has_value;
	bool tcp;		/* for TCP alone */
} known[OPTIONS] = {
	[OPTION_INTERFACE] = { "interface", true, false },
	[OPTION_FREEBIND] = { "freebind", false, false },
	[OPTION_TRANSPARENT] = { "transparent", false, false },
	[OPTION_MARK] = { "mark", true, false },
	[OPTION_DEFER_ACCEPT] = { "defer_accept", true, true },
	[OPTION_FASTOPEN] = { "fastopen", true, true },
	[OPTION_V6ONLY] = { "v6only", false, false },
};

static int
refuse_number(const char *name, const char *value, unsigned long long min,
    unsigned long long max, struct error *err)
{
	return error_set(err, -EINVAL, "%s=%.40s: a number from %llu to %llu "
	    "is allowed", name, value, min, max);
}

static int
parse_number(enum option option, const char *value, uint64_t min, uint64_t max,
    uint32_t *ret, struct error *err)
{
	uint64_t n;

	if (!num_parse(value, min, max, &n))
		return refuse_number(known[option].name, value,
		    (unsigned long long)min, (unsigned long long)max, err);
	*ret = (uint32_t)n;
	return 0;
}

static int
parse_interface(const char *name, struct address_options *o, struct error *err)
{
	if (*name == '\0' || strlen(name) >= sizeof(o->interface) ||
	    strpbrk(name, "/:=") != NULL)
		return error_set(err, -EINVAL, "interface=%.40s: the name of a "
		    "network interface, such as eth0, is allowed", name);
	memcpy(o->interface, name, strlen(name) + 1);
	return 0;
}

static int
set_option(enum option option, const char *value, struct address_options *o,
    bool *v6only, struct error *err)
{
	switch (option) {
	case OPTION_INTERFACE:
		return parse_interface(value, o, err);
	case OPTION_FREEBIND:
		o->freebind = true;
		return 0;
	case OPTION_TRANSPARENT:
		o->transparent = true;
		return 0;
	case OPTION_MARK:
		return parse_number(option, value, 0, UINT32_MAX, &o->mark,
		    err);
	case OPTION_DEFER_ACCEPT:
		return parse_number(option, value, 1, DEFER_ACCEPT_MAX,
		    &o->defer_accept, err);
	case OPTION_FASTOPEN:
		return parse_number(option, value, 1, FASTOPEN_MAX,
		    &o->fastopen, err);
	case OPTION_V6ONLY:
		*v6only = true;
		return 0;
	case OPTIONS:
		break;
	}
	return 0;
}

/* `name` or `name=value`; *ret_value behind the =, or NULL. */
static enum option
find(char *word, char **ret_value)
{
	char *equals = strchr(word, '=');
	unsigned i = 0;

	if (equals != NULL)
		*equals = '\0';
	while (i < OPTIONS && strcmp(known[i].name, word) != 0)
		i++;
	if (equals != NULL && i == OPTIONS)
		*equals = '=';
	*ret_value = equals != NULL ? equals + 1 : NULL;
	return (enum option)i;
}

/* One word, of which *seen tells those before. */
static int
parse_word(char *word, bool tcp, struct address_options *o, bool *v6only,
    unsigned *seen, struct error *err)
{
	char *value;
	enum option option = find(word, &value);

	if (option == OPTIONS)
		return error_set(err, -EINVAL, "\"%.40s\" is not an option of "
		    "a listener, " ALLOWED " is allowed behind an address; a "
		    "comma separates addresses", word);
	if (known[option].has_value && value == NULL)
		return error_set(err, -EINVAL, "%s needs a value, " ALLOWED
		    " is allowed", word);
	if (!known[option].has_value && value != NULL)
		return error_set(err, -EINVAL, "%s takes no value", word);
	if ((*seen & 1u << option) != 0)
		return error_set(err, -EINVAL, "%s stands here twice", word);
	*seen |= 1u << option;
	if (known[option].tcp && !tcp)
		return error_set(err, -EINVAL, "%s is for TCP alone", word);
	return set_option(option, value, o, v6only, err);
}

int
address_options_parse(char *text, bool tcp,
    struct address_options *ret_options, bool *ret_v6only, struct error *err)
{
	struct address_options o = { .mark = 0 };
	bool v6only = false;
	unsigned seen = 0;
	char *word;

	while ((word = strsep(&text, " \t")) != NULL) {
		int code = *word == '\0' ? 0 : parse_word(word, tcp, &o,
		    &v6only, &seen, err);

		if (code < 0)
			return code;
	}
	*ret_options = o;
	*ret_v6only = v6only;
	return 0;
}

void
address_options_put(struct strbuf *sb, const struct address_options *o)
{
	if (o->interface[0] != '\0')
		strbuf_printf(sb, " interface=%s", o->interface);
	if (o->freebind)
		strbuf_puts(sb, " freebind");
	if (o->transparent)
		strbuf_puts(sb, " transparent");
	if (o->mark != 0)
		strbuf_printf(sb, " mark=%u", (unsigned)o->mark);
	if (o->defer_accept != 0)
		strbuf_printf(sb, " defer_accept=%u",
		    (unsigned)o->defer_accept);
	if (o->fastopen != 0)
		strbuf_printf(sb, " fastopen=%u", (unsigned)o->fastopen);
}
