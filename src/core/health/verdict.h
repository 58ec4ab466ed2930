/* What came of a check. Pure. */
#ifndef CORE_HEALTH_VERDICT_H
#define CORE_HEALTH_VERDICT_H

#include <stdbool.h>
#include <stdint.h>

enum verdict_kind {
	VERDICT_GOOD,
	VERDICT_BAD,
	VERDICT_UNKNOWN,	/* it could not be asked: for no fault of its */
};

/* Of words, cut to it. */
#define VERDICT_WORDS_MAX 96

struct verdict {
	enum verdict_kind kind;
	unsigned status;	/* of HTTP, or the exit code of a command; 0:
				   none came */
	int64_t took_us;
	/* Such as `no answer in 5s`, `status 500`; what was asked comes before
	   it. GOOD: empty. */
	char words[VERDICT_WORDS_MAX];
};

/* 200 to 399. */
bool verdict_of_status(unsigned status);

void verdict_say(struct verdict *verdict, enum verdict_kind kind,
    const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* `no answer in 5s`. */
void verdict_say_late(struct verdict *verdict, int64_t timeout_ms);

#endif
