/* A configuration, and parts of it, as text. */
#ifndef CORE_CONF_CONF_PRINT_H
#define CORE_CONF_CONF_PRINT_H

struct conf_key;
struct conf_output;
struct config;

/* What `auto` comes to on this machine, for comments in the dump. */
struct conf_here {
	unsigned instances;
	const char *balance;	/* in words, one line; NULL: not looked up */
};

/*
 * The effective configuration as INI: every supported key with its value,
 * parses back to the same dump. `here` only goes into comments.
 * Caller frees; NULL when memory is short.
 */
char *conf_print(const struct config *config, const struct conf_here *here);

/* The value of one key, as the dump has it; `target` as for its scope. The
   caller frees; NULL when memory is short. */
char *conf_print_key(const struct conf_key *key, const void *target);

/* As the configuration writes it: a word or the path. */
const char *conf_output_text(const struct conf_output *output);

#endif
