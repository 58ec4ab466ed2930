/* The options of clusterd-web. */
#ifndef WEB_OPTIONS_H
#define WEB_OPTIONS_H

#include <stdbool.h>

#include "base/str.h"
#include "linux/client/client_find.h"

struct options {
	struct client_where where;
	struct strlist listens;
	struct strlist agents;
	struct strlist hosts;
	const char *user;	/* NULL: not given */
	const char *token_file;	/* NULL: none */
	bool help;
	bool version;
};

extern const char options_usage[];

/* False: a usage error, which was told. The strings are argv's, the lists the
   caller's. */
bool options_parse(int argc, char *argv[], struct options *ret_options);

#endif
