/* Connections of clusterd's own, each to the lane that it means, in classic
   BPF. */
#ifndef CORE_SOCKETS_CBPF_CHECKS_H
#define CORE_SOCKETS_CBPF_CHECKS_H

#include <stddef.h>
#include <stdint.h>

#include "core/sockets/check_source.h"

struct cbpf_code;

struct steering_cbpf_check {
	struct check_source source;
	uint32_t index;		/* the position of its lane */
};

/* If it comes from where one of them does, return its position; else go on with
   what is there already. TCP; all from one address. */
void cbpf_put_checks(struct cbpf_code *c,
    const struct steering_cbpf_check *checks, size_t n);

#endif
