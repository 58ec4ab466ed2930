/*
 * What is in the records of a ledger. Fixed sizes, no padding, multiples of 8
 * bytes. A field may be added at the end of a struct: zeros to whoever has
 * written it without.
 */
#ifndef CORE_LEDGER_LEDGER_RECORDS_H
#define CORE_LEDGER_LEDGER_RECORDS_H

#include <stdint.h>

#define LEDGER_APP_SIZE 64
#define LEDGER_PATH_SIZE 112
#define LEDGER_OLD_FILES 2

/* A struct address; its path is the listener's. */
struct ledger_address {
	uint32_t kind;		/* enum address_kind */
	uint32_t host;		/* enum address_host */
	uint8_t ip[16];
	uint32_t port;
	uint32_t scope;
	uint8_t interface[16];
	uint32_t freebind;
	uint32_t transparent;
	uint32_t mark;
	uint32_t defer_accept;
	uint32_t fastopen;
	uint32_t reserved;
};

enum ledger_listener_flag {
	LEDGER_INHERITED = 1 << 0,	/* of LISTEN_FDS */
	LEDGER_DERIVED = 1 << 1,	/* a server asked for it */
	LEDGER_BESIDE = 1 << 2,		/* … beside the first one */
	LEDGER_REFUSES = 1 << 3,	/* for good */
	LEDGER_FORSAKEN = 1 << 4,
};

struct ledger_listener {
	uint64_t serial;	/* no other one of this ledger has it; not 0 */
	uint32_t flags;		/* those that are not known are left alone */
	uint32_t position;	/* in the list of its app, … */
	int64_t instance;	/* … for that one; -1: for all */
	uint32_t backlog;
	uint32_t mode;		/* of a Unix listener's file … */
	uint32_t uid;
	uint32_t gid;
	uint64_t file_dev;	/* … and which that is */
	uint64_t file_ino;
	uint64_t old_files[LEDGER_OLD_FILES];	/* its connections have; 0 */
	struct ledger_address written;		/* in the configuration */
	struct ledger_address bound;
	char app[LEDGER_APP_SIZE];
	char path[LEDGER_PATH_SIZE];	/* Unix; else empty */
};

enum ledger_lane_flag {
	LEDGER_LISTENING = 1 << 0,
	LEDGER_DEAF = 1 << 1,
};

struct ledger_lane {
	uint64_t ino;		/* of its socket */
	uint64_t listener;	/* its serial … */
	uint32_t listener_place;	/* … and place */
	int32_t fd;
	uint32_t slot;
	uint32_t flags;
	uint64_t joined;	/* the how manieth of the listener it was to
				   listen; 0: it has not */
};

#endif
