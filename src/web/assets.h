/* The page's files, which are in the program. */
#ifndef WEB_ASSETS_H
#define WEB_ASSETS_H

#include <stddef.h>

struct asset {
	const char *path;	/* as asked for */
	const char *type;
	const char *bytes;
	size_t len;
};

/* NULL: there is none. */
const struct asset *asset_find(const char *path);

#endif
