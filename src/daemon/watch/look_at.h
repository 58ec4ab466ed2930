/* Looks at workers, which may hold up whoever looks (linux/process/looker). */
#ifndef DAEMON_WATCH_LOOK_AT_H
#define DAEMON_WATCH_LOOK_AT_H

#include "base/mono.h"
#include "linux/process/looker.h"

/* What has been held up for so long may be for ever. */
#define LOOK_AT_LASTING_MS	1000

struct worker;

/* The worker, for a look; as long as it has its spec. */
struct looker_whom look_at_whom(const struct worker *worker);

/* … that is made because of a call of its, which has this number. */
struct looker_whom look_at_caller(const struct worker *worker, uint64_t call);

/* What a look has come to: if it was held up, and has been for some time, that is
   logged, once for each process. True: it was, so that it may be tried again
   later. */
bool look_at_failed(struct worker *worker, int code);

/* The same, and may that pass by itself? *since: it has been so since then, or
   MONO_NEVER. */
bool look_at_may_pass(struct worker *worker, int code, struct mono *since);

/* Its connections cannot be seen, with what a look at them has come to; or not when
   they were used, so that they count as busy. Each is said once for its app. */
void look_at_tell_unseen(const struct worker *worker, int code);
void look_at_tell_untimed(const struct worker *worker);

#endif
