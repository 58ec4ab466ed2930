#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/conf/conf_items.h"
#include "core/conf/conf_value.h"

int
conf_items_next(const struct conf_value *v, const char *separators,
    struct conf_items *it, char **ret_item)
{
	for (;;) {
		if (it->text == NULL) {
			if (it->line >= v->n)
				return 0;
			it->text = strdup(v->lines[it->line]);
			if (it->text == NULL)
				return -ENOMEM;
			it->rest = it->text;
		}
		if (it->rest != NULL) {
			*ret_item = strsep(&it->rest, separators);
			return 1;
		}
		free(it->text);
		it->text = NULL;
		it->line++;
	}
}

int
conf_items_word(const struct conf_value *v, struct conf_items *it,
    char **ret_word)
{
	int r;

	do
		r = conf_items_next(v, " \t,", it, ret_word);
	while (r > 0 && **ret_word == '\0');
	return r;
}
