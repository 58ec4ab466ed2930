#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/conf/conf_error.h"
#include "core/conf/conf_foreign.h"
#include "core/conf/conf_keys.h"
#include "core/conf/conf_parse.h"
#include "core/conf/conf_source.h"
#include "core/conf/conf_value.h"

const char *
conf_key_name(enum conf_key_id id)
{
	size_t n;

	return conf_schema(&n)[id].name;
}

unsigned
conf_keys_line(const struct conf_keys *keys, enum conf_key_id id)
{
	const struct conf_entry *entry = keys->seen[id].entry;

	if (entry != NULL)
		return entry->line;
	return keys->section != NULL ? keys->section->line : 0;
}

static void
report_unknown(struct conf_keys *keys, enum conf_scope scope,
    const struct conf_entry *entry)
{
	bool in_app = scope == CONF_SCOPE_APP;
	enum conf_scope other = in_app ? CONF_SCOPE_CLUSTERD : CONF_SCOPE_APP;
	const char *home = in_app ? "the section [clusterd]" :
				    "an app's section";
	const char *near = NULL;

	/* The search takes its time, for up to 65536 keys. */
	if (conf_errors_full(keys->errors, entry->line)) {
		keys->errors->dropped++;
	} else if (conf_schema_find(other, entry->key) != NULL) {
		conf_error_add(keys->errors, entry->line, entry->key,
		    "is not a key of %s, it belongs into %s",
		    in_app ? "an app" : "[clusterd]", home);
	} else if ((near = conf_foreign(entry->key)) != NULL) {
		conf_error_add(keys->errors, entry->line, entry->key,
		    "unknown key, %s", near);
	} else if ((near = conf_schema_near(scope, entry->key)) != NULL) {
		conf_error_add(keys->errors, entry->line, entry->key,
		    "unknown key, did you mean %s?", near);
	} else if ((near = conf_schema_near(other, entry->key)) != NULL) {
		conf_error_add(keys->errors, entry->line, entry->key,
		    "unknown key, did you mean %s? it belongs into %s", near,
		    home);
	} else {
		conf_error_add(keys->errors, entry->line, entry->key,
		    "unknown key, see clusterd.ini(5) for those that are "
		    "allowed");
	}
}

size_t
conf_keys_collect(struct conf_keys *keys, enum conf_scope scope,
    const struct conf_source *source, size_t section, size_t next)
{
	const struct conf_key *schema;
	size_t n;

	schema = conf_schema(&n);
	memset(keys->seen, 0, sizeof(keys->seen));
	for (; next < source->n_entries &&
	     source->entries[next].section == section; next++) {
		const struct conf_entry *e = &source->entries[next];
		const struct conf_key *key = conf_schema_find(scope, e->key);
		struct conf_seen *seen;

		if (key == NULL) {
			report_unknown(keys, scope, e);
			continue;
		}
		seen = &keys->seen[key - schema];
		if (seen->entry != NULL)
			conf_error_add(keys->errors, e->line, e->key,
			    "duplicate key, the first is %s",
			    conf_errors_where(keys->errors,
				seen->entry->line, e->line).text);
		else
			seen->entry = e;
	}
	return next;
}

/* Parse the value in the file, or the default. 0 or -ENOMEM. */
static int
parse_key(struct conf_keys *keys, const struct conf_key *key,
    struct conf_seen *seen, void *target, unsigned *listen_lines)
{
	char *preset = NULL;
	unsigned line = 0;
	struct conf_value value = {
		.key = key,
		.base_dir = keys->base_dir,
		.errors = keys->errors,
		.listen_lines = listen_lines,
		.placeholders = keys->placeholders,
	};
	int r;

	if (seen->entry != NULL) {
		value.lines = seen->entry->lines.v;
		value.numbers = seen->entry->numbers;
		value.n = seen->entry->lines.n;
	} else {
		preset = strdup(key->preset);
		if (preset == NULL)
			return -ENOMEM;
		value.lines = &preset;
		value.numbers = &line;
		value.n = 1;
	}
	r = conf_parse(&value, target);
	free(preset);
	if (r == -ENOMEM)
		return r;
	assert(r == 0 || seen->entry != NULL);	/* a default is good */
	seen->bad = r < 0;
	return 0;
}

static void
report_missing(struct conf_keys *keys, const struct conf_key *key)
{
	conf_error_add(keys->errors, keys->section->line, key->name,
	    "missing in section [%.40s], every app needs one",
	    keys->section->name);
}

int
conf_keys_parse(struct conf_keys *keys, enum conf_scope scope, void *target,
    unsigned *listen_lines)
{
	const struct conf_key *schema;
	size_t n;
	int r;

	schema = conf_schema(&n);
	for (size_t i = 0; i < n; i++) {
		const struct conf_key *key = &schema[i];
		struct conf_seen *seen = &keys->seen[i];

		if (key->scope != scope)
			continue;
		if (seen->entry == NULL && key->preset == NULL) {
			if (!keys->duplicate)
				report_missing(keys, key);
			seen->bad = true;
			continue;
		}
		r = parse_key(keys, key, seen, target, listen_lines);
		if (r < 0)
			return r;
	}
	return 0;
}
