/* The keys of one section: each by its row of the schema. */
#ifndef CORE_CONF_CONF_KEYS_H
#define CORE_CONF_CONF_KEYS_H

#include <stdbool.h>
#include <stddef.h>

#include "core/conf/conf_schema.h"

struct conf_entry;
struct conf_errors;
struct placeholders;
struct conf_section;
struct conf_source;

struct conf_keys {
	const char *base_dir;	/* absolute, for relative paths */
	const struct placeholders *placeholders;	/* or NULL */
	struct conf_errors *errors;
	const struct conf_section *section;	/* NULL: not in the file */
	bool duplicate;		/* … or a second one of its name, of which
				   nothing is missing */
	struct conf_seen {
		const struct conf_entry *entry;	/* NULL: the default holds */
		bool bad;			/* was reported */
	} seen[CONF_KEY_N];
};

const char *conf_key_name(enum conf_key_id id);

/* The line to blame for a key: its own, its section's, or 0. */
unsigned conf_keys_line(const struct conf_keys *keys, enum conf_key_id id);

/*
 * Sort the entries of the source's section of that index into keys->seen;
 * unknown and duplicate keys are reported. Entries come section by section:
 * those of this one begin at `next`, and where they end is returned.
 */
size_t conf_keys_collect(struct conf_keys *keys, enum conf_scope scope,
    const struct conf_source *source, size_t section, size_t next);

/*
 * Each key of the scope into its target (see enum conf_scope), in the schema's
 * order. `listen_lines`, of CONF_LISTENS_MAX, gets where each listener of an
 * app was written; else NULL. 0 (what is wrong is in the errors) or -ENOMEM.
 */
int conf_keys_parse(struct conf_keys *keys, enum conf_scope scope,
    void *target, unsigned *listen_lines);

#endif
