/* How a listener is to be made, and the file that a Unix listener has. */
#ifndef LINUX_SOCKET_SOCKET_OPTIONS_H
#define LINUX_SOCKET_SOCKET_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct socket_options {
	unsigned backlog;
	bool bind_only;		/* TCP: do not listen yet */
	bool hold;		/* TCP, Unix: nobody listens for now, but the
				   address is to be kept from others */
	bool beside;		/* TCP, UDP: sockets that socket_let_beside()
				   has opened may overlap with this one */
	bool stays_beside;	/* … and goes on to: of datagrams, what the
				   kernel finds a socket without SO_REUSEPORT
				   for is its own, past its group's program
				   (udp4_lib_lookup2() in net/ipv4) */
	bool over;		/* UDP: … with one that has SO_REUSEADDR
				   (socket_let_over()) */
	bool group;		/* UDP: alone in a reuseport group, as of
				   socket_found_group() */
	/* Unix listeners: */
	uint32_t mode;
	uint32_t uid;		/* (uint32_t)-1: leave */
	uint32_t gid;
};

/* The file of a Unix listener, so that only our own is ever removed. */
struct socket_file {
	dev_t dev;
	ino_t ino;
};

#endif
