#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/conf/conf_place.h"

int
conf_places_add(struct conf_places *places, const char *file, const char *dir,
    unsigned before)
{
	struct conf_place *v = reallocarray(places->v, places->n + 1,
	    sizeof(*v));
	struct conf_place place = { .before = before };

	if (v == NULL)
		return -ENOMEM;
	places->v = v;
	place.file = strdup(file);
	place.dir = strdup(dir);
	if (place.file == NULL || place.dir == NULL) {
		free(place.file);
		free(place.dir);
		return -ENOMEM;
	}
	v[places->n++] = place;
	return 0;
}

int
conf_places_copy(const struct conf_places *places,
    struct conf_places *ret_places)
{
	struct conf_places copy = { .v = NULL };

	for (size_t i = 0; i < places->n; i++) {
		const struct conf_place *p = &places->v[i];

		if (conf_places_add(&copy, p->file, p->dir, p->before) < 0) {
			conf_places_free(&copy);
			return -ENOMEM;
		}
	}
	*ret_places = copy;
	return 0;
}

void
conf_places_free(struct conf_places *places)
{
	for (size_t i = 0; i < places->n; i++) {
		free(places->v[i].file);
		free(places->v[i].dir);
	}
	free(places->v);
	*places = (struct conf_places){ .v = NULL };
}

const struct conf_place *
conf_places_find(const struct conf_places *places, unsigned line)
{
	if (line == 0)
		return NULL;
	for (size_t i = places->n; i > 0; i--)
		if (places->v[i - 1].before < line)
			return &places->v[i - 1];
	return NULL;
}
