/* Values that are lists, over all their lines. */
#ifndef CORE_CONF_CONF_ITEMS_H
#define CORE_CONF_CONF_ITEMS_H

#include <stddef.h>

struct conf_value;

/*
 * The words of a list, cut at any byte of `separators`, over all lines. The
 * caller starts with a zeroed struct and frees `text` at the end.
 */
struct conf_items {
	size_t line;	/* index of the line that the item stands on */
	char *text;
	char *rest;
};

/* 1 with *ret_item, 0 at the end, -ENOMEM. */
int conf_items_next(const struct conf_value *v, const char *separators,
    struct conf_items *items, char **ret_item);

/* The same for a list in which several separators (blanks, commas) are as good
   as one. */
int conf_items_word(const struct conf_value *v, struct conf_items *items,
    char **ret_word);

#endif
