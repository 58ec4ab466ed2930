/*
 * The records of a ledger, read with care: whoever has written them may have been
 * another version, or nobody. And addresses as they stand in them.
 */
#ifndef CORE_LEDGER_LEDGER_READ_H
#define CORE_LEDGER_LEDGER_READ_H

#include <stddef.h>
#include <stdint.h>

#include "core/ledger/ledger_records.h"

struct address;
struct ledger;

/* As ledger_get(), and what they say is possible. */
int ledger_get_listener(const struct ledger *ledger, uint32_t place,
    struct ledger_listener *ret_record);
int ledger_get_lane(const struct ledger *ledger, uint32_t place,
    struct ledger_lane *ret_record);
int ledger_get_worker(const struct ledger *ledger, uint32_t place,
    struct ledger_worker *ret_record);
int ledger_get_conf(const struct ledger *ledger, uint32_t place,
    struct ledger_conf *ret_record);
int ledger_get_call(const struct ledger *ledger, uint32_t place,
    struct ledger_call *ret_record);
int ledger_get_count(const struct ledger *ledger,
    struct ledger_count *ret_record);
int ledger_get_file(const struct ledger *ledger, uint32_t place,
    struct ledger_file *ret_record);
int ledger_get_lines(const struct ledger *ledger,
    struct ledger_lines *ret_record);
int ledger_get_stop(const struct ledger *ledger, struct ledger_stop *ret_record);
int ledger_get_program(const struct ledger *ledger,
    struct ledger_program *ret_record);

/* All but its path. */
void ledger_address_put(struct ledger_address *at, const struct address *from);

/* `path` as of ledger_get_listener(), borrowed by *ret_address. -EBADMSG: no
   address can be so. */
int ledger_address_get(const struct ledger_address *at, char *path,
    struct address *ret_address);

/* The text and zeros behind it. Cut, where it is too long. */
void ledger_put_text(char *at, size_t size, const char *text);

#endif
