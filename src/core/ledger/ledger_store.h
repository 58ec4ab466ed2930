/* The stores of which a ledger is made; all of them go through here, so that a
   test can be between any two. */
#ifndef CORE_LEDGER_LEDGER_STORE_H
#define CORE_LEDGER_LEDGER_STORE_H

#include <stdint.h>

/* One of several that count together, with the next ledger_publish(). */
void ledger_store(uint64_t *at, uint64_t value);

/* After all that were before, and before all that are after. */
void ledger_publish(uint32_t *at, uint32_t value);

#endif
