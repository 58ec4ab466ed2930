/*
 * What stands behind an address in `listen`: options of its socket, separated
 * by blanks. Pure; linux/socket sets them.
 */
#ifndef CORE_NAMES_ADDRESS_OPTIONS_H
#define CORE_NAMES_ADDRESS_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

struct error;
struct strbuf;

/* Zeros and nothing by default. */
struct address_options {
	char interface[16];	/* IF_NAMESIZE; empty: any. Part of the
				   address: of another one, another socket */
	bool freebind;
	bool transparent;
	uint32_t mark;
	uint32_t defer_accept;	/* seconds */
	uint32_t fastopen;	/* length of its queue */
};

/*
 * Parse `interface=eth0 freebind transparent mark=7 defer_accept=5
 * fastopen=256 v6only`; `tcp`: of a TCP listener. *ret_v6only is for whoever
 * knows the address. `text` is changed. -EINVAL with words.
 */
int address_options_parse(char *text, bool tcp,
    struct address_options *ret_options, bool *ret_v6only, struct error *err);

/* As they are parsed, with a blank before each; nothing where there is none. */
void address_options_put(struct strbuf *sb,
    const struct address_options *options);

#endif
