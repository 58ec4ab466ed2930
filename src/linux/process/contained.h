/* Are we in a container, where nearly everybody is root? */
#ifndef LINUX_PROCESS_CONTAINED_H
#define LINUX_PROCESS_CONTAINED_H

#include <stdbool.h>

/*
 * As process 1; with the variable `container`, which Podman, LXC and
 * systemd-nspawn set; with Docker's or Podman's file in the root directory; in
 * a pod of Kubernetes; or where root is the root of a user namespace only.
 */
bool process_is_contained(void);

#endif
