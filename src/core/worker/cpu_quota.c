#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "base/str.h"
#include "core/worker/cpu_quota.h"

/* The next run of bytes that are neither blank nor newline, copied. */
static bool
next_word(const char **text, char *word, size_t size)
{
	size_t len;

	*text += strspn(*text, " \t\n");
	len = strcspn(*text, " \t\n");
	if (len == 0 || len >= size)
		return false;
	memcpy(word, *text, len);
	word[len] = '\0';
	*text += len;
	return true;
}

static unsigned
cpus_of(const char *quota, const char *period)
{
	uint64_t q, p, cpus;

	if (!num_parse(quota, 1, INT64_MAX / 2, &q) ||
	    !num_parse(period, 1, INT64_MAX / 2, &p))
		return 0;
	cpus = (q + p - 1) / p;
	return cpus > 1000000 ? 0 : (unsigned)cpus;
}

unsigned
cpu_quota_v2(const char *cpu_max)
{
	char quota[32], period[32];

	/* "max 100000" or "150000 100000" */
	if (!next_word(&cpu_max, quota, sizeof(quota)) ||
	    !next_word(&cpu_max, period, sizeof(period)))
		return 0;
	return cpus_of(quota, period);
}

unsigned
cpu_quota_v1(const char *quota_us, const char *period_us)
{
	char quota[32], period[32];

	/* No limit is "-1", which is no number here. */
	if (!next_word(&quota_us, quota, sizeof(quota)) ||
	    !next_word(&period_us, period, sizeof(period)))
		return 0;
	return cpus_of(quota, period);
}

/* Is `word` an element of the comma-separated list of `len` bytes? */
static bool
list_has(const char *list, size_t len, const char *word)
{
	size_t want = strlen(word);

	while (len > 0) {
		const char *comma = memchr(list, ',', len);
		size_t n = comma != NULL ? (size_t)(comma - list) : len;

		if (n == want && memcmp(list, word, n) == 0)
			return true;
		if (comma == NULL)
			break;
		list += n + 1;
		len -= n + 1;
	}
	return false;
}

char *
cpu_quota_own_path(const char *text, const char *controller)
{
	/* Lines are ID:CONTROLLERS:PATH; the unified one is 0::PATH. */
	while (*text != '\0') {
		size_t line = strcspn(text, "\n");
		const char *c1 = memchr(text, ':', line);
		const char *c2 = c1 == NULL ? NULL : memchr(c1 + 1, ':',
		    line - (size_t)(c1 + 1 - text));

		if (c2 != NULL) {
			size_t names = (size_t)(c2 - c1 - 1);
			bool hit = controller == NULL ? names == 0 :
			    list_has(c1 + 1, names, controller);

			if (hit)
				return strndup(c2 + 1,
				    line - (size_t)(c2 + 1 - text));
		}
		text += line;
		if (*text == '\n')
			text++;
	}
	return NULL;
}

/* mountinfo writes space, tab, newline and backslash as \040 and so on. */
static char *
unescape(const char *word, size_t len)
{
	struct strbuf sb = STRBUF_INIT;

	for (size_t i = 0; i < len; i++) {
		if (word[i] == '\\' && len - i >= 4) {
			char digits[4] = { word[i + 1], word[i + 2],
				word[i + 3], '\0' };
			uint64_t byte;

			if (num_parse_octal(digits, 255, &byte) && byte != 0) {
				strbuf_putc(&sb, (char)byte);
				i += 3;
				continue;
			}
		}
		strbuf_putc(&sb, word[i]);
	}
	return strbuf_take(&sb);
}

struct field {
	const char *text;
	size_t len;
};

#define FIELDS_MAX 32

static size_t
split_fields(const char *line, size_t len, struct field *fields)
{
	size_t n = 0;

	while (len > 0 && n < FIELDS_MAX) {
		const char *blank = memchr(line, ' ', len);
		size_t flen = blank != NULL ? (size_t)(blank - line) : len;

		fields[n++] = (struct field){ .text = line, .len = flen };
		if (blank == NULL)
			break;
		line += flen + 1;
		len -= flen + 1;
	}
	return n;
}

static bool
field_is(const struct field *f, const char *word)
{
	return f->len == strlen(word) && memcmp(f->text, word, f->len) == 0;
}

/* proc(5): ID PARENT DEV ROOT POINT OPTIONS [OPTIONAL…] - TYPE SOURCE SUPER */
static bool
mount_line(const char *line, size_t len, const char *controller,
    struct cpu_quota_mount *ret)
{
	struct field f[FIELDS_MAX];
	size_t n = split_fields(line, len, f);
	size_t dash = 6;

	while (dash < n && !field_is(&f[dash], "-"))
		dash++;
	if (dash + 3 >= n)
		return false;
	if (controller == NULL ? !field_is(&f[dash + 1], "cgroup2") :
	    !(field_is(&f[dash + 1], "cgroup") &&
	    list_has(f[dash + 3].text, f[dash + 3].len, controller)))
		return false;
	ret->root = unescape(f[3].text, f[3].len);
	ret->point = unescape(f[4].text, f[4].len);
	if (ret->root == NULL || ret->point == NULL) {
		cpu_quota_mount_free(ret);
		return false;
	}
	return true;
}

bool
cpu_quota_find_mount(const char *mountinfo, const char *controller,
    struct cpu_quota_mount *ret_mount)
{
	while (*mountinfo != '\0') {
		size_t line = strcspn(mountinfo, "\n");

		if (mount_line(mountinfo, line, controller, ret_mount))
			return true;
		mountinfo += line;
		if (*mountinfo == '\n')
			mountinfo++;
	}
	return false;
}

void
cpu_quota_mount_free(struct cpu_quota_mount *mount)
{
	free(mount->point);
	free(mount->root);
	mount->point = mount->root = NULL;
}

char *
cpu_quota_dir(const struct cpu_quota_mount *mount, const char *path)
{
	struct strbuf sb = STRBUF_INIT;
	size_t root = strlen(mount->root);

	strbuf_puts(&sb, mount->point);
	if (strcmp(mount->root, "/") == 0)
		root = 0;
	if (strstr(path, "/..") == NULL &&
	    strncmp(path, mount->root, root) == 0 &&
	    (path[root] == '/' || path[root] == '\0') &&
	    strcmp(path + root, "/") != 0)
		strbuf_puts(&sb, path + root);
	return strbuf_take(&sb);
}
