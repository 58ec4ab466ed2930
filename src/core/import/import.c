#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "core/conf/conf.h"
#include "core/conf/conf_check.h"
#include "core/conf/conf_error.h"
#include "core/conf/conf_host.h"
#include "core/conf/conf_read.h"
#include "core/conf/conf_source.h"
#include "core/import/draft.h"
#include "core/import/import.h"
#include "core/import/pm2.h"
#include "core/import/procfile.h"
#include "core/import/supervisord.h"
#include "core/names/placeholder.h"

#define FILE_NAME "the result"

/* ---- which it is ---- */

static bool
ends(const char *s, const char *with)
{
	size_t n = strlen(s), len = strlen(with);

	return n >= len && strcmp(s + n - len, with) == 0;
}

int
import_guess(const char *file, const char *text, enum import_from *ret_from,
    struct error *err)
{
	const char *name = str_base_name(file);

	if (ends(name, ".js") || ends(name, ".cjs") || ends(name, ".mjs"))
		*ret_from = IMPORT_PM2_SCRIPT;
	else if (ends(name, ".json"))
		*ret_from = IMPORT_PM2;
	else if (ends(name, ".yaml") || ends(name, ".yml"))
		return error_set(err, -EINVAL, "%s: YAML is not read here; as "
		    "JSON it is", file);
	else if (str_starts(name, "Procfile") || ends(name, "Procfile"))
		*ret_from = IMPORT_PROCFILE;
	else if (strstr(text, "[program:") != NULL ||
	    strstr(text, "[supervisord]") != NULL)
		*ret_from = IMPORT_SUPERVISORD;
	else
		return error_set(err, -EINVAL, "%s is no ecosystem file of PM2 "
		    "(.json, .js), no configuration of supervisord "
		    "([program:NAME]) and no Procfile", file);
	return 0;
}

/* ---- what -t would say ---- */

/* Users and files are those of the machine that it is for. */
static int
any_file(void *ctx, const char *path, char **ret_text, size_t *ret_len,
    struct error *err)
{
	(void)ctx;
	(void)path;
	(void)err;
	*ret_len = 0;
	*ret_text = strdup("");
	return *ret_text != NULL ? 0 : -ENOMEM;
}

static int
any_creds(void *ctx, const char *user, const char *group,
    struct conf_creds *ret_creds, struct error *err)
{
	(void)ctx;
	(void)err;
	(void)group;
	*ret_creds = (struct conf_creds){ .set = true };
	if (user == NULL)
		return 0;
	ret_creds->name = strdup(user);
	ret_creds->home = strdup("/");
	if (ret_creds->name != NULL && ret_creds->home != NULL)
		return 0;
	conf_creds_free(ret_creds);
	return -ENOMEM;
}

/* And so are variables. */
static void
set_all_variables(const char *text, struct strlist *env)
{
	size_t len;

	while (!env->failed && (text = placeholder_find_unset(text, env->v,
	    &len)) != NULL) {
		strlist_printf(env, "%.*s=", (int)(len - strlen("{env:}")),
		    text + strlen("{env:"));
		text += len;
	}
}

static int
check(const char *text, struct conf_errors *errors)
{
	struct strlist env = STRLIST_INIT;
	struct conf_host host = {
		.base_dir = "/", .read_file = any_file,
		.find_creds = any_creds,
	};
	struct conf_source source;
	struct config *config = NULL;
	int r = conf_read(text, strlen(text), &source, errors);

	set_all_variables(text, &env);
	host.environ = env.v;
	if (env.failed)
		r = -ENOMEM;
	if (r == 0)
		r = conf_check(&source, &host, &config, errors);
	conf_errors_sort(errors);
	config_unref(config);
	conf_source_free(&source);
	strlist_free(&env);
	return r;
}

/* ---- what is refused becomes a comment ---- */

struct line {
	const char *at;
	size_t len;
};

static struct line
line_at(const char *text, unsigned number)
{
	struct line l = { .at = text };

	for (unsigned i = 1; i < number && *l.at != '\0'; i++) {
		l.at += strcspn(l.at, "\n");
		l.at += *l.at == '\n';
	}
	l.len = strcspn(l.at, "\n");
	return l;
}

/* Can it go without harm? A header cannot. */
static bool
is_key(struct line l)
{
	return l.len > 0 && *l.at != '[' && *l.at != '#';
}

/* The lines of a list, without the first. */
static size_t
rest_of(const char *behind)
{
	size_t len = 0;

	while (behind[len] == ' ')
		len += strcspn(behind + len, "\n") + 1;
	return len;
}

/* The text with that line as a comment, and what continues it. NULL: no memory. */
static char *
comment_out(const char *text, const struct conf_error *e)
{
	struct line l = line_at(text, e->line);
	struct draft d = { .text = STRBUF_INIT };
	const char *behind = l.at + l.len + (l.at[l.len] == '\n');
	char *key = strndup(l.at, l.len), *out;
	size_t rest = *l.at != ' ' ? rest_of(behind) : 0;

	strbuf_add(&d.text, text, (size_t)(l.at - text));
	if (key != NULL)
		draft_note(&d, key + strspn(key, " "), NULL,
		    e->text + e->words);
	for (const char *s = behind; s < behind + rest;
	     s += strcspn(s, "\n") + 1)
		strbuf_printf(&d.text, "#%.*s\n", (int)strcspn(s, "\n"), s);
	strbuf_puts(&d.text, behind + rest);
	out = key != NULL ? strbuf_take(&d.text) : NULL;
	draft_free(&d);
	free(key);
	return out;
}

/* All of one look, from below, so that the lines above keep their numbers. How many
   there were, or -ENOMEM. */
static int
mend_some(struct import_result *res, const struct conf_errors *errors)
{
	unsigned below = 0;
	int n = 0;

	for (size_t i = errors->n; i > 0; i--) {
		const struct conf_error *e = &errors->v[i - 1];
		char *text;

		if (e->line == below || !is_key(line_at(res->text, e->line)))
			continue;
		text = comment_out(res->text, e);
		if (text == NULL)
			return -ENOMEM;
		free(res->text);
		res->text = text;
		below = e->line;
		n++;
	}
	res->keys -= res->keys < (size_t)n ? res->keys : (size_t)n;
	res->notes += (size_t)n;
	return n;
}

/* Until nothing is left that can go: each may have had others behind it. */
static int
mend(struct import_result *res, struct strlist *wrong)
{
	int r;

	do {
		struct conf_errors errors = { .file = FILE_NAME };

		r = check(res->text, &errors);
		if (r == 0)
			r = mend_some(res, &errors);
		for (size_t k = 0; r == 0 && k < errors.n; k++)
			strlist_add(wrong, errors.v[k].text);
		conf_errors_free(&errors);
	} while (r > 0);
	return wrong->failed ? -ENOMEM : r;
}

int
import_text(enum import_from from, const char *file, const char *text,
    size_t len, const struct import_host *host, struct import_result *ret,
    struct strlist *wrong, struct error *err)
{
	static int (*const importers[])(struct draft *, const char *, size_t,
	    struct error *) = {
		[IMPORT_PM2] = import_pm2,
		[IMPORT_PM2_SCRIPT] = import_pm2,
		[IMPORT_SUPERVISORD] = import_supervisord,
		[IMPORT_PROCFILE] = import_procfile,
	};
	struct draft d = { .host = host };
	struct strbuf head = STRBUF_INIT;
	struct import_result res = { .text = NULL };
	int r;

	strbuf_printf(&head, "From %s, by clusterctl import. What stands in "
	    "comments was not carried over.", file);
	if (!head.failed)
		draft_say(&d, head.text);
	strbuf_free(&head);
	r = importers[from](&d, text, len, err);
	res.apps = d.names.n;
	res.keys = d.keys;
	res.notes = d.notes;
	if (r == 0 && d.names.failed)
		r = -ENOMEM;
	if (r == 0) {
		res.text = strbuf_take(&d.text);
		r = res.text != NULL ? mend(&res, wrong) : -ENOMEM;
	}
	draft_free(&d);
	if (r == 0)
		*ret = res;
	else
		free(res.text);
	return r;
}
