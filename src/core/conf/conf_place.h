/*
 * Which line of a configuration is of which file. Lines are numbered through all
 * of its files, so that a number alone is a place: those of the first file are
 * their own numbers, those of each further one come behind all before it.
 */
#ifndef CORE_CONF_CONF_PLACE_H
#define CORE_CONF_CONF_PLACE_H

#include <stddef.h>

struct conf_place {
	char *file;		/* for messages */
	char *dir;		/* absolute: of relative paths in it */
	unsigned before;	/* lines in the files before it */
};

struct conf_places {
	struct conf_place *v;	/* as they were read */
	size_t n;
};

/* Copies of both. -ENOMEM. */
int conf_places_add(struct conf_places *places, const char *file,
    const char *dir, unsigned before);
int conf_places_copy(const struct conf_places *places,
    struct conf_places *ret_places);
void conf_places_free(struct conf_places *places);

/* The file that a line is of; NULL: of none (0, or no file is known). */
const struct conf_place *conf_places_find(const struct conf_places *places,
    unsigned line);

#endif
