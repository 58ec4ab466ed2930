/* What is at a path, for who only wants to tell of it. */
#ifndef LINUX_FILE_LOOK_H
#define LINUX_FILE_LOOK_H

/* enum conf_look of core/conf/conf_host.h, as clusterd sees it. */
int look_at(const char *path);

#endif
