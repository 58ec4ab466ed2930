#include <string.h>

#include "core/conf/conf.h"
#include "core/conf/conf_schema.h"
#include "core/import/draft.h"
#include "core/names/words.h"

#define WIDTH 76

void
draft_free(struct draft *d)
{
	strbuf_free(&d->text);
	strlist_free(&d->names);
	strlist_free(&d->env);
}

/* As one line: what would end it, or move a cursor, does not. */
static void
put_harmless(struct strbuf *sb, const char *text, size_t max)
{
	size_t n = 0;

	for (; *text != '\0' && n < max; text++, n++)
		strbuf_putc(sb, (unsigned char)*text < ' ' ||
		    *text == 0x7f ? '?' : *text);
	if (*text != '\0')
		strbuf_puts(sb, "...");
}

void
draft_say(struct draft *d, const char *words)
{
	while (*words != '\0') {
		size_t len = strlen(words);

		if (len > WIDTH) {
			len = WIDTH;
			while (len > 0 && words[len] != ' ')
				len--;
			if (len == 0)
				len = strcspn(words, " ");
		}
		strbuf_puts(&d->text, "# ");
		strbuf_add(&d->text, words, len);
		strbuf_putc(&d->text, '\n');
		words += len + strspn(words + len, " ");
	}
}

void
draft_note(struct draft *d, const char *key, const char *value,
    const char *why)
{
	struct strbuf sb = STRBUF_INIT;

	put_harmless(&sb, key, 60);
	if (value != NULL) {
		strbuf_puts(&sb, " = ");
		put_harmless(&sb, value, 200);
	}
	strbuf_printf(&sb, ": %s", why);
	if (sb.failed)
		d->text.failed = true;
	else
		draft_say(d, sb.text);
	strbuf_free(&sb);
	d->notes++;
}

/* ---- sections ---- */

static bool
is_taken(const struct draft *d, const char *name)
{
	if (strcmp(name, CONF_CLUSTERD_SECTION) == 0)
		return true;
	for (size_t i = 0; i < d->names.n; i++)
		if (strcmp(d->names.v[i], name) == 0)
			return true;
	return false;
}

static char
name_byte(char c)
{
	if (c >= 'A' && c <= 'Z')
		return (char)(c - 'A' + 'a');
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' ||
	    c == '-' ? c : '-';
}

void
draft_begin_app(struct draft *d, const char *name)
{
	struct strbuf base = STRBUF_INIT, whole = STRBUF_INIT;
	const char *s = name;

	while (*s != '\0' && (name_byte(*s) == '-' || *s == '_'))
		s++;
	/* Room for a number. */
	for (; *s != '\0' && base.len < CONF_NAME_MAX - 6; s++)
		strbuf_putc(&base, name_byte(*s));
	if (base.len == 0)
		strbuf_puts(&base, "app");
	strbuf_puts(&whole, base.text != NULL ? base.text : "");
	for (unsigned n = 2; !whole.failed && is_taken(d, whole.text); n++) {
		strbuf_free(&whole);
		strbuf_printf(&whole, "%s-%u", base.text, n);
	}
	if (base.failed || whole.failed) {
		d->text.failed = true;
	} else {
		strlist_add(&d->names, whole.text);
		strbuf_printf(&d->text, "\n[%s]\n", whole.text);
		if (strcmp(whole.text, name) != 0)
			draft_note(d, "name", name, "the name of an app has "
			    "up to 32 of a-z, 0-9, _ and -, and is there once");
	}
	strbuf_free(&base);
	strbuf_free(&whole);
}

void
draft_end_app(struct draft *d)
{
	if (d->env.n > 0)
		strbuf_puts(&d->text, "env =\n");
	for (size_t i = 0; i < d->env.n; i++)
		strbuf_printf(&d->text, "    %s\n", d->env.v[i]);
	if (d->env.failed)
		d->text.failed = true;
	strlist_free(&d->env);
}

/* ---- keys ---- */

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Which a line gives back as it is. */
static bool
fits_a_line(const char *value)
{
	size_t len = strlen(value);

	for (const char *s = value; *s != '\0'; s++)
		if (((unsigned char)*s < ' ' && *s != '\t') || *s == 0x7f)
			return false;
	return len == 0 || (!is_blank(value[0]) && !is_blank(value[len - 1]));
}

void
draft_set(struct draft *d, const char *key, const char *value)
{
	if (*value == '\0' || !fits_a_line(value)) {
		draft_note(d, key, value, "such a value cannot be written here");
		return;
	}
	strbuf_printf(&d->text, "%s = %s\n", key, value);
	d->keys++;
}

void
draft_set_words(struct draft *d, const char *key, const struct strlist *words)
{
	struct strbuf sb = STRBUF_INIT;

	for (size_t i = 0; i < words->n; i++) {
		if (i > 0)
			strbuf_putc(&sb, ' ');
		words_quote(&sb, words->v[i]);
	}
	if (words->failed || sb.failed)
		d->text.failed = true;
	else
		draft_set(d, key, sb.len > 0 ? sb.text : "");
	strbuf_free(&sb);
}

/* Here it is of the configuration's directory, and there of the app's. */
static void
put_program(struct draft *d, struct strbuf *sb, const char *program,
    const char *dir)
{
	struct strbuf path = STRBUF_INIT;
	bool relative = *program != '/' && strchr(program, '/') != NULL;

	if (relative && (dir == NULL || *dir != '/') &&
	    strcmp(d->host->dir, ".") != 0)
		strbuf_printf(&path, "%s/", d->host->dir);
	if (relative && dir != NULL)
		strbuf_printf(&path, "%s/", dir);
	strbuf_puts(&path, program);
	if (path.failed)
		sb->failed = true;
	else
		words_quote(sb, path.text);
	strbuf_free(&path);
}

void
draft_set_command(struct draft *d, const struct strlist *words,
    const char *dir)
{
	struct strbuf sb = STRBUF_INIT;

	if (words->n > 0 && words->v[0] != NULL)
		put_program(d, &sb, words->v[0], dir);
	for (size_t i = 1; i < words->n; i++) {
		strbuf_putc(&sb, ' ');
		words_quote(&sb, words->v[i]);
	}
	if (words->failed || sb.failed)
		d->text.failed = true;
	else
		draft_set(d, "command", sb.len > 0 ? sb.text : "");
	strbuf_free(&sb);
}

void
draft_set_path(struct draft *d, const char *key, const char *path)
{
	struct strbuf sb = STRBUF_INIT;

	if (*path != '/' && strcmp(d->host->dir, ".") != 0)
		strbuf_printf(&sb, "%s/", d->host->dir);
	strbuf_puts(&sb, path);
	if (sb.failed)
		d->text.failed = true;
	else
		draft_set(d, key, sb.text);
	strbuf_free(&sb);
}

void
draft_set_env(struct draft *d, const char *name, const char *value)
{
	if (*name == '\0' || strchr(name, '=') != NULL || !fits_a_line(name) ||
	    !fits_a_line(value)) {
		draft_note(d, name, value, "such a variable cannot be written "
		    "in env; in a file of env_file it can, in double quotes");
		return;
	}
	strlist_printf(&d->env, "%s=%s", name, value);
	d->keys++;
}
