#include <string.h>

#include "core/conf/advice_env.h"
#include "core/conf/advice_value.h"
#include "core/conf/conf_error.h"
#include "core/conf/conf_keys.h"
#include "core/conf/conf_source.h"

void
advice_env(const struct conf_keys *keys, struct conf_errors *warnings)
{
	const struct conf_entry *entry = keys->seen[CONF_KEY_ENV].entry;

	if (entry == NULL || keys->seen[CONF_KEY_ENV].bad)
		return;
	for (size_t i = 0; i < entry->lines.n; i++) {
		const char *line = entry->lines.v[i];
		size_t len = strcspn(line, "=");
		const char *why = line[len] == '=' ?
		    advice_value(line + len + 1, len, false) : NULL;

		if (why != NULL)
			conf_error_add(warnings, entry->numbers[i], "env",
			    "%.*s: %s", (int)(len < 60 ? len : 60), line, why);
	}
}
