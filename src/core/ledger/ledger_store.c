#include "core/ledger/ledger_store.h"

void
ledger_store(uint64_t *at, uint64_t value)
{
	__atomic_store_n(at, value, __ATOMIC_RELAXED);
}

/* What comes after may not be seen before, either: the slot that counted until
   now may be written next. To a reader who comes when the writer is dead, that is
   the compiler's business alone. */
void
ledger_publish(uint32_t *at, uint32_t value)
{
	__atomic_store_n(at, value, __ATOMIC_RELEASE);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}
