#include <sys/stat.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/error.h"
#include "base/str.h"
#include "core/names/address.h"
#include "core/conf/conf.h"
#include "core/conf/conf_error.h"
#include "core/conf/conf_read.h"
#include "core/conf/conf_schema.h"
#include "core/control/answer.h"
#include "core/control/request.h"
#include "core/conf/conf_source.h"
#include "core/names/words.h"
#include "linux/client/client_find.h"
#include "linux/client/client_talk.h"
#include "linux/control/control_link.h"
#include "linux/control/control_place.h"
#include "linux/file/file.h"
#include "linux/file/place.h"

/* Time to greet; where several may have to be asked, of each. */
#define GREETING_MS	5000
#define SCAN_MS		2000

/* So many are told of when there are several. */
#define TELL_MAX	16

static struct mono
until(struct mono deadline, int64_t ms)
{
	struct mono t = mono_add_ms(mono_now(), ms);

	return mono_before(t, deadline) ? t : deadline;
}

/* There are several; and: the configuration cannot be read. */
#define SEVERAL		(-ENOTUNIQ)
#define NO_CONFIG	(-EBADF)

int
client_find_status(int code)
{
	return code == SEVERAL ? EX_USAGE :
	    code == NO_CONFIG || code == -ENOMEM ? 1 : EX_UNAVAILABLE;
}

bool
client_find_again(int code)
{
	return client_find_status(code) == EX_UNAVAILABLE &&
	    code != -EOPNOTSUPP && code != -EPROTONOSUPPORT &&
	    code != -ENAMETOOLONG;
}

/* ---- -s ---- */

static int
open_socket(const char *path, struct mono deadline,
    struct control_link *client, struct error *err)
{
	return control_link_open(client, path, until(deadline, GREETING_MS),
	    err);
}

/* ---- -c ---- */

/* The value of `control` in [clusterd], or NULL. */
static const char *
find_control(const struct conf_source *source)
{
	for (size_t i = 0; i < source->n_entries; i++) {
		const struct conf_entry *e = &source->entries[i];

		if (e->section < source->n_sections && e->lines.n > 0 &&
		    strcmp(source->sections[e->section].name,
		    CONF_CLUSTERD_SECTION) == 0 &&
		    strcmp(e->key, "control") == 0)
			return e->lines.v[0];
	}
	return NULL;
}

/*
 * What the file says of its socket, whatever else is wrong with it. 0, and
 * *ret_value (the caller frees) is NULL where it says nothing; -errno with
 * words.
 */
static int
read_control(const char *file, char **ret_value, struct error *err)
{
	struct conf_errors errors = { .file = file };
	struct conf_source source = { .sections = NULL };
	const char *value;
	char *text;
	size_t len;
	int code = file_read(file, CONF_FILE_MAX, &text, &len, err);

	if (code < 0)
		return code;
	code = conf_read(text, len, &source, &errors);
	free(text);
	*ret_value = NULL;
	value = code == 0 ? find_control(&source) : NULL;
	if (value != NULL && *value != '\0') {
		*ret_value = strdup(value);
		if (*ret_value == NULL)
			code = -ENOMEM;
	}
	conf_source_free(&source);
	conf_errors_free(&errors);
	return code < 0 ? error_set(err, code, "%s: %s", file,
	    strerror(-code)) : 0;
}

/* Relative paths are as of the file's directory. */
static char *
control_path(const char *file, const char *value)
{
	char *dir = place_absolute(file), *path, *slash;

	if (dir == NULL)
		return NULL;
	slash = strrchr(dir, '/');
	slash[slash == dir ? 1 : 0] = '\0';
	path = address_path(value, dir);
	free(dir);
	return path;
}

/* Why it is not found, or that it may not be spoken to, which is no reason to
   believe that it is not there. */
static int
not_reached(const char *file, int code, const struct error *why,
    struct error *err)
{
	return error_set(err, code, code == -EACCES || code == -EPERM ?
	    "cannot talk to the clusterd of %s: %s" :
	    "no clusterd runs %s: %s", file, error_text(why));
}

static int
open_named(const char *file, const char *value, struct mono deadline,
    struct control_link *client, struct error *err)
{
	struct error why = ERROR_INIT;
	char *path;
	int code;

	if (strcmp(value, "none") == 0)
		return error_set(err, -EOPNOTSUPP, "%s says \"control = "
		    "none\": its clusterd cannot be talked to", file);
	path = control_path(file, value);
	if (path == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	code = open_socket(path, deadline, client, &why);
	free(path);
	if (code < 0)
		not_reached(file, code, &why, err);
	error_clear(&why);
	return code;
}

/* The directories, as words. */
static void
put_dirs(struct strbuf *sb, const struct strlist *dirs)
{
	for (size_t i = 0; i < dirs->n; i++)
		strbuf_printf(sb, "%s%s", i == 0 ? "" :
		    i + 1 == dirs->n ? " and " : ", ", dirs->v[i]);
}

/* Which of two failures says more. */
static int
weight(int code)
{
	return code == -ENOENT ? 0 : code == -ECONNREFUSED ? 1 : 2;
}

/* The socket of that name in the first of the directories where one answers. */
static int
open_default(const char *name, const struct strlist *dirs,
    struct mono deadline, struct control_link *client, struct error *err)
{
	int worst = -ENOENT;

	for (size_t i = 0; i < dirs->n; i++) {
		struct error why = ERROR_INIT;
		struct strbuf path = STRBUF_INIT;
		int code;

		strbuf_printf(&path, "%s/%s", dirs->v[i], name);
		if (path.failed)
			return -ENOMEM;
		code = control_link_open(client, path.text,
		    until(deadline, GREETING_MS), &why);
		strbuf_free(&path);
		if (code < 0 && weight(code) > weight(worst)) {
			worst = code;
			error_set(err, code, "%s", error_text(&why));
		}
		error_clear(&why);
		if (code == 0)
			return 0;
	}
	return worst;
}

static int
note_config(void *ctx, const struct answer_line *line)
{
	char **config = ctx;
	const char *value = answer_line_get(line, "config");

	if (strcmp(line->word, "clusterd") != 0)
		return 0;
	if (value != NULL && *value == '/')
		*config = strdup(value);
	return 1;
}

/* The configuration of the clusterd of this socket, or NULL. */
static char *
ask_config(const char *path, struct mono deadline)
{
	const struct request status = {
		.verb = REQUEST_STATUS, .instance = -1,
	};
	char *config = NULL, *text = NULL;
	const struct client_talk talk = {
		.line = note_config, .ctx = &config,
		.deadline = until(deadline, SCAN_MS),
	};
	struct control_link client;

	if (control_link_open(&client, path, talk.deadline, NULL) == 0) {
		(void)client_talk(&client, &status, &talk, &text, NULL);
		control_link_close(&client);
	}
	free(text);
	return config;
}

static bool
same_file(const char *a, const char *b)
{
	struct stat at_a, at_b;

	return stat(a, &at_a) == 0 && stat(b, &at_b) == 0 &&
	    at_a.st_dev == at_b.st_dev && at_a.st_ino == at_b.st_ino;
}

/* Who runs the same file under another name. -ENOENT: nobody. */
static int
open_by_asking(const char *file, const struct strlist *dirs,
    struct mono deadline, struct control_link *client, struct error *err)
{
	struct strlist paths = STRLIST_INIT;
	int code = -ENOENT;

	for (size_t i = 0; i < dirs->n; i++)
		(void)control_place_list(dirs->v[i], &paths);
	for (size_t i = 0; code == -ENOENT && i < paths.n; i++) {
		char *config = ask_config(paths.v[i], deadline);

		if (config != NULL && same_file(config, file))
			code = control_link_open(client, paths.v[i],
			    until(deadline, GREETING_MS), err);
		free(config);
	}
	strlist_free(&paths);
	return code;
}

/* Not even a socket, or one that a dead one has left behind. */
static bool
is_nobody(int code)
{
	return code == -ENOENT || code == -ECONNREFUSED;
}

/* By what the user calls it, by what that comes to, or by asking all. */
static int
open_for_file(const char *file, const char *name, const struct strlist *dirs,
    struct mono deadline, struct control_link *client, struct error *err)
{
	char *also = control_place_name_of_target(file);
	int first = open_default(name, dirs, deadline, client, err);
	int code = first;

	if (is_nobody(code) && also != NULL && strcmp(also, name) != 0)
		code = open_default(also, dirs, deadline, client, err);
	free(also);
	if (is_nobody(code))
		code = open_by_asking(file, dirs, deadline, client, err);
	return code == -ENOENT ? first : code;
}

static int
find_default(const char *file, struct mono deadline,
    struct control_link *client, struct error *err)
{
	struct strlist dirs = STRLIST_INIT;
	struct strbuf where = STRBUF_INIT;
	struct error why = ERROR_INIT;
	char *path = place_absolute(file);
	char *name = path != NULL ? control_place_name(path) : NULL;
	int code = -ENOMEM;

	control_place_dirs(&dirs);
	if (name != NULL && !dirs.failed)
		code = open_for_file(path, name, &dirs, deadline, client,
		    &why);
	put_dirs(&where, &dirs);
	if (code == -ENOENT)
		error_set(err, code,
		    "no clusterd runs %s (looked for %s in %s; one of another "
		    "user, or without a control socket, is not found)",
		    file, name, where.text);
	else if (code < 0)
		not_reached(file, code, &why, err);
	error_clear(&why);
	strbuf_free(&where);
	strlist_free(&dirs);
	free(path);
	free(name);
	return code;
}

static int
find_by_config(const char *file, struct mono deadline,
    struct control_link *client, struct error *err)
{
	char *value = NULL;
	struct error why = ERROR_INIT;
	int unread = read_control(file, &value, &why);
	int code;

	/* Who may not read the file may be a member of control_group. */
	if (unread < 0 && unread != -EACCES) {
		code = error_set(err, NO_CONFIG, "%s", error_text(&why));
	} else if (value != NULL) {
		code = open_named(file, value, deadline, client, err);
	} else {
		code = find_default(file, deadline, client, err);
		if (code < 0 && unread < 0)
			error_set(err, code, "%s, and so it is not known "
			    "where its clusterd has its socket",
			    error_text(&why));
	}
	error_clear(&why);
	free(value);
	return code;
}

/* ---- neither ---- */

struct scan {
	struct control_link client;	/* the first that answered */
	struct strlist answering;
	struct strlist silent;		/* one of them may be the one meant */
	struct error why;		/* what stood in the way */
	int code;
};

static void
scan_one(struct scan *scan, const char *path, struct mono deadline)
{
	struct control_link client;
	struct error why = ERROR_INIT;
	int code = control_link_open(&client, path, until(deadline,
	    SCAN_MS), &why);

	if (code == 0) {
		strlist_add(&scan->answering, path);
		if (scan->client.fd < 0)
			scan->client = client;
		else
			control_link_close(&client);
	} else if (code == -ETIMEDOUT) {
		strlist_add(&scan->silent, path);
	}
	if (code < 0 && weight(code) > weight(scan->code)) {
		scan->code = code;
		error_set(&scan->why, code, "%s", error_text(&why));
	}
	error_clear(&why);
}

static bool
seen(const struct strlist *list, const char *s)
{
	for (size_t i = 0; i < list->n; i++)
		if (strcmp(list->v[i], s) == 0)
			return true;
	return false;
}

static int
compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void
scan_dirs(struct scan *scan, const struct strlist *dirs, struct mono deadline)
{
	struct strlist real = STRLIST_INIT;

	for (size_t i = 0; i < dirs->n; i++) {
		struct strlist paths = STRLIST_INIT;
		char *dir = realpath(dirs->v[i], NULL);
		int code;

		/* Two names of one directory have one clusterd in it. */
		if (dir == NULL || seen(&real, dir)) {
			free(dir);
			continue;
		}
		strlist_take(&real, dir);
		code = control_place_list(dirs->v[i], &paths);
		if (code < 0 && scan->code == -ENOENT) {
			scan->code = code;
			error_set(&scan->why, code, "cannot look into %s: %s",
			    dirs->v[i], strerror(-code));
		}
		if (paths.n > 0)
			qsort(paths.v, paths.n, sizeof(*paths.v), compare);
		for (size_t k = 0; k < paths.n; k++)
			scan_one(scan, paths.v[k], deadline);
		strlist_free(&paths);
	}
	strlist_free(&real);
}

/* What to type for it. */
static void
tell_one(struct strbuf *sb, const char *path, bool silent,
    struct mono deadline)
{
	char *config = silent ? NULL : ask_config(path, deadline);
	struct strbuf word = STRBUF_INIT;

	words_quote(&word, config != NULL ? config : path);
	if (!word.failed) {
		strbuf_printf(sb, "\n  clusterctl -%c ",
		    config != NULL ? 'c' : 's');
		strbuf_puts(sb, word.text);
		strbuf_puts(sb, silent ? "  (it does not answer)" : "");
	}
	strbuf_free(&word);
	free(config);
}

static void
tell_several(const struct scan *scan, struct mono deadline,
    struct error *err)
{
	size_t n = scan->answering.n + scan->silent.n, told = 0;
	struct strbuf sb = STRBUF_INIT;

	for (; told < scan->answering.n && told < TELL_MAX; told++)
		tell_one(&sb, scan->answering.v[told], false, deadline);
	for (size_t i = 0; i < scan->silent.n && told < TELL_MAX; i++) {
		tell_one(&sb, scan->silent.v[i], true, deadline);
		told++;
	}
	if (told < n)
		strbuf_printf(&sb, "\n  and %zu more", n - told);
	error_set(err, SEVERAL, "%zu clusterds are running, say which one is "
	    "meant:%s", n, sb.failed ? "" : sb.text);
	strbuf_free(&sb);
}

static int
find_any(struct mono deadline, struct control_link *ret_client,
    struct error *err)
{
	struct scan scan = {
		.client = CONTROL_LINK_INIT, .why = ERROR_INIT,
		.code = -ENOENT,
	};
	struct strlist dirs = STRLIST_INIT;
	struct strbuf where = STRBUF_INIT;
	int code = 0;

	control_place_dirs(&dirs);
	scan_dirs(&scan, &dirs, deadline);
	put_dirs(&where, &dirs);
	if (scan.answering.n + scan.silent.n > 1) {
		tell_several(&scan, deadline, err);
		code = SEVERAL;
	} else if (scan.answering.n == 1) {
		*ret_client = scan.client;
		scan.client = (struct control_link)CONTROL_LINK_INIT;
	} else if (scan.code == -ENOENT) {
		code = error_set(err, -ENOENT,
		    "no clusterd is running (looked in %s; one of another "
		    "user, or without a control socket, is not found)",
		    where.text);
	} else {
		code = error_set(err, scan.code, "no clusterd can be reached: %s",
		    error_text(&scan.why));
	}
	control_link_close(&scan.client);
	strlist_free(&scan.answering);
	strlist_free(&scan.silent);
	error_clear(&scan.why);
	strbuf_free(&where);
	strlist_free(&dirs);
	return code;
}

int
client_find(const struct client_where *where, struct mono deadline,
    struct control_link *ret_client, struct error *err)
{
	if (where->socket != NULL)
		return open_socket(where->socket, deadline, ret_client, err);
	if (where->config != NULL)
		return find_by_config(where->config, deadline, ret_client,
		    err);
	return find_any(deadline, ret_client, err);
}
