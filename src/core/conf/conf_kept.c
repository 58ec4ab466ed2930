#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/conf/conf.h"
#include "core/conf/conf_kept.h"

/* A record: a head, its key and its value. */
enum kind {
	FILE_TEXT = 1,		/* path: text */
	CREDS = 2,		/* who: a struct creds, groups, name, home */
	FILE_LIST = 3,		/* pattern: paths, each with its NUL */
};

struct head {
	uint32_t kind;
	uint32_t key;		/* bytes */
	uint32_t value;
};

#define NO_TEXT UINT32_MAX

struct creds {
	uint32_t set;
	uint32_t uid;
	uint32_t gid;
	uint32_t n_groups;
	uint32_t name;		/* bytes; NO_TEXT: none */
	uint32_t home;
};

struct bytes {
	const char *at;
	size_t len;
};

/* The first `n` of them, and the rest stays. False: there are not so many. */
static bool
take(struct bytes *from, size_t n, struct bytes *ret)
{
	if (n > from->len)
		return false;
	*ret = (struct bytes){ .at = from->at, .len = n };
	from->at += n;
	from->len -= n;
	return true;
}

static bool
take_copy(struct bytes *from, void *to, size_t n)
{
	struct bytes b;

	if (!take(from, n, &b))
		return false;
	memcpy(to, b.at, n);
	return true;
}

size_t
conf_kept_split(struct conf_kept *kept, const char *bytes, size_t len)
{
	const char *end = memchr(bytes, '\0', len);

	if (end == NULL)
		return len;
	kept->before = end + 1;
	kept->before_len = len - (size_t)(end + 1 - bytes);
	return (size_t)(end - bytes);
}

void
conf_kept_free(struct conf_kept *kept)
{
	strbuf_free(&kept->now);
	*kept = (struct conf_kept)CONF_KEPT_INIT;
}

/* ---- records ---- */

static bool
find(struct bytes all, enum kind kind, struct bytes key, struct bytes *ret)
{
	struct head head;
	struct bytes k, value;

	while (take_copy(&all, &head, sizeof(head)) &&
	    take(&all, head.key, &k) && take(&all, head.value, &value))
		if (head.kind == (uint32_t)kind && k.len == key.len &&
		    memcmp(k.at, key.at, k.len) == 0) {
			*ret = value;
			return true;
		}
	return false;
}

static struct bytes
before(const struct conf_kept *kept)
{
	return (struct bytes){ .at = kept->before, .len = kept->before_len };
}

/* Once. */
static void
add(struct conf_kept *kept, enum kind kind, struct bytes key,
    struct bytes value)
{
	const struct head head = {
		.kind = kind, .key = (uint32_t)key.len,
		.value = (uint32_t)value.len,
	};
	struct bytes there;

	if (key.len > INT32_MAX || value.len > INT32_MAX ||
	    find((struct bytes){ .at = kept->now.text, .len = kept->now.len },
		kind, key, &there))
		return;
	strbuf_add(&kept->now, (const char *)&head, sizeof(head));
	strbuf_add(&kept->now, key.at, key.len);
	strbuf_add(&kept->now, value.at, value.len);
}

/* ---- files ---- */

static struct bytes
bytes_of(const char *text)
{
	return (struct bytes){ .at = text, .len = strlen(text) };
}

static struct bytes
whole(const struct strbuf *sb)
{
	return (struct bytes){ .at = sb->text, .len = sb->len };
}

bool
conf_kept_find_file(const struct conf_kept *kept, const char *path,
    const char **ret_text, size_t *ret_len)
{
	struct bytes text;

	if (!find(before(kept), FILE_TEXT, bytes_of(path), &text))
		return false;
	*ret_text = text.at;
	*ret_len = text.len;
	return true;
}

void
conf_kept_add_file(struct conf_kept *kept, const char *path, const char *text,
    size_t len)
{
	add(kept, FILE_TEXT, bytes_of(path),
	    (struct bytes){ .at = text, .len = len });
}

bool
conf_kept_find_list(const struct conf_kept *kept, const char *pattern,
    struct strlist *ret_paths)
{
	struct bytes all, path;

	if (!find(before(kept), FILE_LIST, bytes_of(pattern), &all))
		return false;
	while (all.len > 0) {
		const char *end = memchr(all.at, '\0', all.len);

		if (end == NULL || !take(&all, (size_t)(end - all.at) + 1,
		    &path))
			return true;
		strlist_add(ret_paths, path.at);
	}
	return true;
}

void
conf_kept_add_list(struct conf_kept *kept, const char *pattern,
    const struct strlist *paths)
{
	struct strbuf all = STRBUF_INIT;

	for (size_t i = 0; i < paths->n; i++)
		strbuf_add(&all, paths->v[i], strlen(paths->v[i]) + 1);
	if (all.failed)
		kept->now.failed = true;
	else
		add(kept, FILE_LIST, bytes_of(pattern), whole(&all));
	strbuf_free(&all);
}

/* ---- users and groups ---- */

/* No name of either has a NUL. */
static void
put_who(struct strbuf *sb, const char *user, const char *group)
{
	strbuf_add(sb, user != NULL ? "u" : "-", 1);
	strbuf_puts(sb, user != NULL ? user : "");
	strbuf_add(sb, group != NULL ? "\0g" : "\0-", 2);
	strbuf_puts(sb, group != NULL ? group : "");
}

static bool
take_text(struct bytes *from, uint32_t len, char **ret)
{
	struct bytes text;

	if (len == NO_TEXT)
		return true;
	if (!take(from, len, &text))
		return false;
	*ret = strndup(text.at, text.len);
	return *ret != NULL;
}

/* Of the two texts. */
static uint64_t
size_of(uint32_t name, uint32_t home)
{
	return (uint64_t)(name != NO_TEXT ? name : 0) +
	    (home != NO_TEXT ? home : 0);
}

static int
read_creds(struct bytes from, struct conf_creds *ret)
{
	struct creds c;
	struct bytes groups;
	struct conf_creds creds;

	if (!take_copy(&from, &c, sizeof(c)) || c.n_groups > from.len ||
	    !take(&from, c.n_groups * sizeof(uint32_t), &groups) ||
	    size_of(c.name, c.home) > from.len)
		return 0;
	creds = (struct conf_creds){
		.set = c.set != 0, .uid = c.uid, .gid = c.gid,
		.n_groups = c.n_groups,
	};
	creds.groups = c.n_groups > 0 ? malloc(groups.len) : NULL;
	if ((c.n_groups > 0 && creds.groups == NULL) ||
	    !take_text(&from, c.name, &creds.name) ||
	    !take_text(&from, c.home, &creds.home)) {
		conf_creds_free(&creds);
		return -ENOMEM;
	}
	if (groups.len > 0)
		memcpy(creds.groups, groups.at, groups.len);
	*ret = creds;
	return 1;
}

int
conf_kept_find_creds(const struct conf_kept *kept, const char *user,
    const char *group, struct conf_creds *ret)
{
	struct strbuf who = STRBUF_INIT;
	struct bytes value;
	int code = 0;

	if (kept->before == NULL)
		return 0;
	put_who(&who, user, group);
	if (who.failed)
		code = -ENOMEM;
	else if (find(before(kept), CREDS, whole(&who), &value))
		code = read_creds(value, ret);
	strbuf_free(&who);
	return code;
}

static uint32_t
length(const char *text)
{
	return text != NULL ? (uint32_t)strlen(text) : NO_TEXT;
}

void
conf_kept_add_creds(struct conf_kept *kept, const char *user,
    const char *group, const struct conf_creds *creds)
{
	const struct creds c = {
		.set = creds->set, .uid = creds->uid, .gid = creds->gid,
		.n_groups = (uint32_t)creds->n_groups,
		.name = length(creds->name), .home = length(creds->home),
	};
	struct strbuf who = STRBUF_INIT, value = STRBUF_INIT;

	put_who(&who, user, group);
	strbuf_add(&value, (const char *)&c, sizeof(c));
	if (c.n_groups > 0)
		strbuf_add(&value, (const char *)creds->groups,
		    c.n_groups * sizeof(uint32_t));
	strbuf_puts(&value, creds->name != NULL ? creds->name : "");
	strbuf_puts(&value, creds->home != NULL ? creds->home : "");
	if (who.failed || value.failed)
		kept->now.failed = true;
	else
		add(kept, CREDS, whole(&who), whole(&value));
	strbuf_free(&who);
	strbuf_free(&value);
}
