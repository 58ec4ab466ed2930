/* Files and directories of control groups. */
#ifndef LINUX_PROCESS_CGROUP_FILES_H
#define LINUX_PROCESS_CGROUP_FILES_H

#include <stdbool.h>

/* `dir`/`group`/`file`, of which `group` and `file` may be NULL; the caller frees.
   NULL: no memory. */
char *cgroup_path(const char *dir, const char *group, const char *file);

/* The same for all below: -errno, and no words. */
int cgroup_file_open(const char *dir, const char *group, const char *file,
    int flags);
int cgroup_file_write(const char *dir, const char *group, const char *file,
    const char *text);

/* The caller frees *ret_text. */
int cgroup_file_read(const char *dir, const char *file, char **ret_text);

bool cgroup_is_there(const char *dir, const char *group);
int cgroup_make(const char *dir, const char *group);
int cgroup_remove(const char *dir, const char *group);	/* it may be gone */

/* The root may have processes beside groups. */
bool cgroup_is_root(const char *dir);

/* Has systemd (251 or newer, or what root may read of an older one) said that
   its cgroup is somebody else's to arrange? True where nothing is known. */
bool cgroup_may_be_delegated(const char *dir);

#endif
