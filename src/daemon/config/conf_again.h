/*
 * The configurations that were in force under the supervisor before: of the
 * program, and of each app, which after a reload of some is another one. What
 * stands in the file by now is for a reload.
 */
#ifndef DAEMON_CONFIG_CONF_AGAIN_H
#define DAEMON_CONFIG_CONF_AGAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/ledger/ledger_records.h"

struct conf_app;
struct conf_origin;
struct config;
struct descriptors;
struct ledger;

struct conf_again {
	struct conf_again_app {
		struct ledger_conf r;
		struct config *config;	/* a reference */
		const struct conf_app *conf;
	} *v;
	size_t n;
};

/* That of the program; *ret_config NULL: there is none that can be had. -ENOMEM. */
int conf_again_program(const struct conf_origin *origin,
    const struct ledger *ledger, struct config **ret_config);

/* Those of its apps, which may be that of the program. One that cannot be had is
   left out. They are taken from what is `left`; the others of them are closed
   with that. Undone by _close, also where there was no ledger (NULL). */
void conf_again_open(struct conf_again *again,
    const struct conf_origin *origin, const struct ledger *ledger,
    struct config *program, struct descriptors *left);
void conf_again_close(struct conf_again *again);

/* NULL: it was not there. Of an app that leaves and has come again it is what came
   again; of one that was stopped and has not gone yet, that it leaves. */
const struct conf_again_app *conf_again_find(const struct conf_again *again,
    const char *app);
bool conf_again_is(const struct conf_again *again, const char *app,
    uint32_t flag);

#endif
