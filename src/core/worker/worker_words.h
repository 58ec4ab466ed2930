/* The words for what the machine of a worker says. */
#ifndef CORE_WORKER_WORKER_WORDS_H
#define CORE_WORKER_WORKER_WORDS_H

#include "core/worker/worker_fsm.h"

const char *worker_state_name(enum worker_state state);
const char *worker_reason_text(enum worker_reason reason);

#endif
