/* What a packet's sender is known by, in classic BPF. */
#ifndef CORE_SOCKETS_CBPF_CLIENT_H
#define CORE_SOCKETS_CBPF_CLIENT_H

#include <stdbool.h>

struct cbpf_code;

/* The hash of the source address, and of a flow's source port, into A. */
void cbpf_put_client(struct cbpf_code *c, bool flow);

#endif
