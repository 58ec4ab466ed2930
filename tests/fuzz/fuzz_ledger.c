/*
 * Any bytes as the memory of a ledger: no crash, no read or write beyond its end;
 * what is read is possible; and who goes on with it finds what he has written.
 *
 * The input is the memory, but for magic number and size, which are put right:
 * no mutation would find them.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/ledger/ledger.h"
#include "core/ledger/ledger_read.h"
#include "core/names/address.h"
#include "fuzz.h"

static void
check_listener(struct ledger_listener *r)
{
	struct address a;

	CHECK(r->serial != 0);
	CHECK(r->app[0] != '\0' && strnlen(r->app, sizeof(r->app)) <
	    sizeof(r->app));
	CHECK(strnlen(r->path, sizeof(r->path)) < sizeof(r->path));
	CHECK(ledger_address_get(&r->written, r->path, &a) == 0);
	CHECK(strlen(address_text(&a).s) > 0);
	CHECK(ledger_address_get(&r->bound, r->path, &a) == 0);
	CHECK(strlen(address_text_numeric(&a).s) > 0);
	CHECK(address_equal(&a, &a));
}

static void
read_all(const struct ledger *l)
{
	struct ledger_listener listener;
	struct ledger_lane lane;
	struct ledger_worker worker;
	struct ledger_conf conf;
	struct ledger_call call;
	struct ledger_program program;
	struct ledger_count count;
	struct ledger_stop stop;
	struct ledger_file file;
	struct ledger_lines lines;

	for (uint32_t i = 0; i < ledger_end(l, LEDGER_LISTENER); i++)
		if (ledger_get_listener(l, i, &listener) == 1)
			check_listener(&listener);
	for (uint32_t i = 0; i < ledger_end(l, LEDGER_LANE); i++)
		if (ledger_get_lane(l, i, &lane) == 1)
			CHECK(lane.fd >= 3 && lane.ino != 0);
	for (uint32_t i = 0; i < ledger_end(l, LEDGER_WORKER); i++)
		if (ledger_get_worker(l, i, &worker) == 1)
			CHECK(worker.pid != 1 && worker.number != 0 &&
			    worker.deaths_n <= LEDGER_DEATHS &&
			    strnlen(worker.app, sizeof(worker.app)) <
			    sizeof(worker.app));
	for (uint32_t i = 0; i < ledger_end(l, LEDGER_CONF); i++)
		if (ledger_get_conf(l, i, &conf) == 1)
			CHECK(conf.text == -1 || conf.text >= 3);
	for (uint32_t i = 0; i < ledger_end(l, LEDGER_CALL); i++)
		if (ledger_get_call(l, i, &call) == 1)
			CHECK(call.tid > 0);
	if (ledger_get_count(l, &count) == 1)
		for (int i = 0; i < LEDGER_COUNT_FDS + LEDGER_HUB_FDS; i++)
			CHECK(count.fds[i] >= 3);
	for (uint32_t i = 0; i < ledger_end(l, LEDGER_FILE); i++)
		if (ledger_get_file(l, i, &file) == 1)
			CHECK(file.fd >= 3 && file.path[0] == '/' &&
			    strnlen(file.path, sizeof(file.path)) <
			    sizeof(file.path));
	if (ledger_get_lines(l, &lines) == 1)
		CHECK(lines.fd >= 3);
	if (ledger_get_stop(l, &stop) == 1)
		CHECK(stop.phase >= LEDGER_STOP_LEAVES &&
		    stop.phase <= LEDGER_STOP_STOPS);
	if (ledger_get_program(l, &program) == 1)
		CHECK(strnlen(program.notify_path,
		    sizeof(program.notify_path)) < sizeof(program.notify_path));
}

static void
write_some(struct ledger *l)
{
	const struct ledger_lane lane = {
		.ino = 7, .listener = 8, .fd = 9, .joined = 10,
	};
	struct ledger_lane got;
	uint32_t place[3], end;
	int n = 0;

	while (n < 3 && ledger_add(l, LEDGER_LANE, &lane, &place[n]) == 0)
		n++;
	end = ledger_end(l, LEDGER_LANE);
	for (int i = 0; i < n; i++) {
		CHECK(place[i] < end);
		CHECK(ledger_get_lane(l, place[i], &got) == 1);
		CHECK(memcmp(&got, &lane, sizeof(got)) == 0);
		ledger_set(l, LEDGER_LANE, place[i], &lane);
		CHECK(ledger_get_lane(l, place[i], &got) == 1);
		ledger_drop(l, LEDGER_LANE, place[i]);
		CHECK(ledger_get_lane(l, place[i], &got) == 0);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char magic[8] = "clusterd";
	const uint64_t whole = size;
	void *memory;
	struct ledger l, again;

	if (size < 24)
		return 0;
	memory = fuzz_place(size);
	memcpy(memory, data, size);
	memcpy(memory, magic, sizeof(magic));
	memcpy((char *)memory + 16, &whole, sizeof(whole));
	if (ledger_open(&l, memory, size, NULL) == 0) {
		read_all(&l);
		(void)ledger_enter(&l);
		write_some(&l);
		/* It is as good a ledger as it was. */
		CHECK(ledger_open(&again, memory, size, NULL) == 0);
		read_all(&again);
	}
	free(memory);
	return 0;
}
