/* Configurations for tests that need one and do not test them. */
#ifndef TESTS_UNIT_LIB_CONFIG_H
#define TESTS_UNIT_LIB_CONFIG_H

struct config;

/* Of the text of a file, on a host that knows no user and no group; the test
   fails if there is an error in it. The caller owns a reference. */
struct config *config_of(const char *text);

#endif
