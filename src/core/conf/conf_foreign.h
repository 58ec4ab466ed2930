/* Keys that other supervisors have, and what stands for them here. */
#ifndef CORE_CONF_CONF_FOREIGN_H
#define CORE_CONF_CONF_FOREIGN_H

/* What to write for a key of PM2, supervisord or systemd, in words that go on
   "unknown key, ", or NULL. Each key that it names is one of ours. */
const char *conf_foreign(const char *key);

#endif
