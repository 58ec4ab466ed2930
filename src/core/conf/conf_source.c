#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/conf/conf_source.h"

/* Make room for one more, in an array that doubles at the powers of two. */
static void *
grow(void *array, size_t n, size_t size)
{
	if ((n & (n - 1)) != 0)
		return array;
	return realloc(array, (n > 0 ? 2 * n : 1) * size);
}

int
conf_source_put_section(struct conf_source *source, const char *name,
    size_t len, unsigned line)
{
	struct conf_section *v;
	char *copy;

	v = grow(source->sections, source->n_sections, sizeof(*v));
	if (v == NULL)
		return -ENOMEM;
	source->sections = v;
	copy = strndup(name, len);
	if (copy == NULL)
		return -ENOMEM;
	v[source->n_sections++] = (struct conf_section){
		.name = copy,
		.line = line,
	};
	return 0;
}

int
conf_entry_put_line(struct conf_entry *entry, const char *value, size_t len,
    unsigned line)
{
	unsigned *v = grow(entry->numbers, entry->lines.n, sizeof(*v));

	if (v == NULL)
		return -ENOMEM;
	entry->numbers = v;
	strlist_take(&entry->lines, strndup(value, len));
	if (entry->lines.failed)
		return -ENOMEM;
	v[entry->lines.n - 1] = line;
	return 0;
}

int
conf_source_put_entry(struct conf_source *source, const char *value,
    size_t len, unsigned line)
{
	struct conf_entry *v;

	v = grow(source->entries, source->n_entries, sizeof(*v));
	if (v == NULL)
		return -ENOMEM;
	source->entries = v;
	v[source->n_entries] = (struct conf_entry){ .line = line };
	return conf_entry_put_line(&v[source->n_entries++], value, len, line);
}

int
conf_source_add_section(struct conf_source *source, const char *name,
    unsigned line)
{
	return conf_source_put_section(source, name, strlen(name), line);
}

int
conf_source_add_entry(struct conf_source *source, unsigned line,
    const char *key, const char *value)
{
	struct conf_entry *entry;
	int r;

	assert(source->n_sections > 0);
	r = conf_source_put_entry(source, value, strlen(value), line);
	if (r < 0)
		return r;
	entry = &source->entries[source->n_entries - 1];
	entry->section = (unsigned)source->n_sections - 1;
	entry->key = strdup(key);
	return entry->key != NULL ? 0 : -ENOMEM;
}

static void
entry_free(struct conf_entry *entry)
{
	free(entry->key);
	strlist_free(&entry->lines);
	free(entry->numbers);
}

void
conf_source_drop_section(struct conf_source *source, size_t section)
{
	size_t kept = 0;

	for (size_t i = 0; i < source->n_entries; i++) {
		struct conf_entry *entry = &source->entries[i];

		if (entry->section == section) {
			entry_free(entry);
			continue;
		}
		if (entry->section > section)
			entry->section--;
		source->entries[kept++] = *entry;
	}
	source->n_entries = kept;
	free(source->sections[section].name);
	source->n_sections--;
	memmove(&source->sections[section], &source->sections[section + 1],
	    (source->n_sections - section) * sizeof(*source->sections));
}

int
conf_source_note_unmatched(struct conf_source *source, const char *pattern,
    unsigned line)
{
	struct conf_unmatched *v = grow(source->unmatched,
	    source->n_unmatched, sizeof(*v));
	char *copy;

	if (v == NULL)
		return -ENOMEM;
	source->unmatched = v;
	copy = strdup(pattern);
	if (copy == NULL)
		return -ENOMEM;
	v[source->n_unmatched++] = (struct conf_unmatched){
		.pattern = copy, .line = line,
	};
	return 0;
}

void
conf_source_free(struct conf_source *source)
{
	for (size_t i = 0; i < source->n_sections; i++)
		free(source->sections[i].name);
	free(source->sections);
	for (size_t i = 0; i < source->n_entries; i++)
		entry_free(&source->entries[i]);
	free(source->entries);
	for (size_t i = 0; i < source->n_unmatched; i++)
		free(source->unmatched[i].pattern);
	free(source->unmatched);
	conf_places_free(&source->places);
	*source = (struct conf_source){ .sections = NULL };
}
