#include <stdarg.h>
#include <stdio.h>

#include "core/health/verdict.h"

bool
verdict_of_status(unsigned status)
{
	return status >= 200 && status <= 399;
}

void
verdict_say(struct verdict *v, enum verdict_kind kind, const char *fmt, ...)
{
	va_list args;

	v->kind = kind;
	va_start(args, fmt);
	vsnprintf(v->words, sizeof(v->words), fmt, args);
	va_end(args);
}

void
verdict_say_late(struct verdict *v, int64_t timeout_ms)
{
	if (timeout_ms % 1000 == 0)
		verdict_say(v, VERDICT_BAD, "no answer in %llds",
		    (long long)(timeout_ms / 1000));
	else
		verdict_say(v, VERDICT_BAD, "no answer in %lldms",
		    (long long)timeout_ms);
}
