#include "base/iso_time.h"

#define DAY_MS		86400000
#define LAST_MS		INT64_C(253402300799999)	/* of the year 9999 */

static char *
put_digits(char *at, unsigned value, unsigned digits, char behind)
{
	for (unsigned i = digits; i-- > 0; value /= 10)
		at[i] = (char)('0' + value % 10);
	at[digits] = behind;
	return at + digits + 1;
}

void
iso_time_put(char text[ISO_TIME_LEN], int64_t ms)
{
	unsigned days, rest, era, of_era, year, of_year, month, day;

	ms = ms < 0 ? 0 : ms > LAST_MS ? LAST_MS : ms;
	days = (unsigned)(ms / DAY_MS);
	rest = (unsigned)(ms % DAY_MS);
	/* Years that begin in March have their odd day at the end. Since
	   0000-03-01, in eras of 400 years. */
	days += 719468;
	era = days / 146097;
	of_era = days % 146097;
	year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	of_year = of_era - (365 * year + year / 4 - year / 100);
	month = (5 * of_year + 2) / 153;
	day = of_year - (153 * month + 2) / 5 + 1;
	year += 400 * era + (month >= 10);
	month = month < 10 ? month + 3 : month - 9;

	text = put_digits(text, year, 4, '-');
	text = put_digits(text, month, 2, '-');
	text = put_digits(text, day, 2, 'T');
	text = put_digits(text, rest / 3600000, 2, ':');
	text = put_digits(text, rest / 60000 % 60, 2, ':');
	text = put_digits(text, rest / 1000 % 60, 2, '.');
	(void)put_digits(text, rest % 1000, 3, 'Z');
}
