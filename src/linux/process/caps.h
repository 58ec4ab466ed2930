/* What we may do beside what our user may: capabilities(7). */
#ifndef LINUX_PROCESS_CAPS_H
#define LINUX_PROCESS_CAPS_H

#include <linux/capability.h>
#include <stdbool.h>
#include <stdint.h>

#define CAPS_BIT(cap)	(UINT64_C(1) << (cap))

/* The effective ones of this thread, as CAPS_BIT()s. False: a filter of system calls
   refuses to tell, and there are none in *ret_caps. */
bool caps_effective(uint64_t *ret_caps);

/* All of these, as far as is told. */
bool caps_has(uint64_t caps);

#endif
