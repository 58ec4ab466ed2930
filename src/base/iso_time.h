/* A moment as RFC 3339 writes it, in UTC. */
#ifndef BASE_ISO_TIME_H
#define BASE_ISO_TIME_H

#include <stdint.h>

#define ISO_TIME_LEN 24		/* 2026-11-23T10:00:00.123Z */

/* Of milliseconds since 1970, up to the year 9999; no NUL at its end. */
void iso_time_put(char text[ISO_TIME_LEN], int64_t ms);

#endif
