/* How many CPUs this process may really use. */
#ifndef LINUX_PROCESS_CPUS_H
#define LINUX_PROCESS_CPUS_H

/*
 * The CPUs of the affinity mask, cut by the CPU quota of the cgroup (v1 or v2)
 * and of every cgroup above it that can be seen. At least 1.
 */
unsigned cpus_available(void);

#endif
