#include <sys/mman.h>

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <malloc.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "linux/process/settle.h"

/* What a start has written to is less, and below it there is room for as much more
   (setrlimit(2), stack_guard_gap of the kernel): no other mapping. */
#define STACK	(256 * 1024)

/* For the calls until the next look, and what the ABI lets a function use below its
   stack pointer. */
#define SPARE	4096

/* Where the linker has put the program's header, wherever that is by now. */
extern const ElfW(Ehdr) __ehdr_start __attribute__((visibility("hidden")));

static uintptr_t
page_of(uintptr_t at, uintptr_t page)
{
	return at / page * page;
}

static void
settle_stack(uintptr_t page)
{
	uintptr_t here = (uintptr_t)__builtin_frame_address(0);
	uintptr_t end = page_of(here - SPARE, page);

	/* Where less is mapped, that is dropped all the same. */
	(void)madvise((void *)(end - STACK), STACK, MADV_DONTNEED);
}

/* Has what is not to be written to been written to all the same? */
static bool
is_relocated(const ElfW(Dyn) *d)
{
	for (; d->d_tag != DT_NULL; d++)
		if (d->d_tag == DT_TEXTREL || (d->d_tag == DT_FLAGS &&
		    (d->d_un.d_val & DF_TEXTREL) != 0))
			return true;
	return false;
}

/* The segment that begins the file, with the headers. Most linkers put symbols and
   relocations there and nothing beside them; some the code too, then only `with_code`.
   NULL: there is none of that kind, or what is not to be written to was. */
static const ElfW(Phdr) *
first_segment(const ElfW(Ehdr) *head, uintptr_t page, bool with_code)
{
	const uintptr_t base = (uintptr_t)head;
	const ElfW(Phdr) *v = (const ElfW(Phdr) *)(base + head->e_phoff);
	const ElfW(Phdr) *first = NULL;

	for (unsigned i = 0; i < head->e_phnum; i++)
		if (v[i].p_type == PT_LOAD && v[i].p_offset == 0 &&
		    (v[i].p_flags == PF_R ||
		    (with_code && (v[i].p_flags & PF_W) == 0)))
			first = &v[i];
	if (first == NULL)
		return NULL;
	/* Addresses in the headers are by as much off as the first one's. */
	for (unsigned i = 0; i < head->e_phnum; i++)
		if (v[i].p_type == PT_DYNAMIC && is_relocated((const void *)
		    (base + (v[i].p_vaddr - page_of(first->p_vaddr, page)))))
			return NULL;
	return first;
}

static void
settle_program(uintptr_t page)
{
	const ElfW(Ehdr) *head = &__ehdr_start;
	const ElfW(Phdr) *first = first_segment(head, page, false);

	if (first != NULL)
		(void)madvise((void *)head, first->p_filesz, MADV_DONTNEED);
}

/* A debugger's breakpoints are written into the code (ptrace(2)). True where that cannot
   be said; not of one outside of our pid namespace. */
static bool
is_traced(void)
{
	static const char name[] = "\nTracerPid:\t";
	char status[1024];
	const char *at;
	ssize_t n;
	int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return true;
	n = read(fd, status, sizeof(status) - 1);
	fd_close(&fd);
	if (n <= 0)
		return true;
	status[n] = '\0';
	at = strstr(status, name);
	return at == NULL || at[sizeof(name) - 1] != '0';
}

/* Whole pages of it alone: beside the rest of the last one there may be data. */
static void
drop_segment(const ElfW(Ehdr) *head, const ElfW(Phdr) *first,
    const ElfW(Phdr) *segment, uintptr_t page)
{
	uintptr_t begin = page_of(segment->p_vaddr, page);
	uintptr_t end = page_of(segment->p_vaddr + segment->p_filesz, page);

	if (end > begin)
		(void)madvise((void *)((uintptr_t)head + (begin -
		    page_of(first->p_vaddr, page))), end - begin,
		    MADV_DONTNEED);
}

void
settle_code(void)
{
	const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	const ElfW(Ehdr) *head = &__ehdr_start;
	const ElfW(Phdr) *first = first_segment(head, page, true), *v, *end;

	if (first == NULL || is_traced())
		return;
	v = (const ElfW(Phdr) *)((uintptr_t)head + head->e_phoff);
	end = v + head->e_phnum;
	/* With the first one go the headers, which are read here. */
	for (; v != end; v++)
		if (v->p_type == PT_LOAD && (v->p_flags & PF_W) == 0 &&
		    v != first)
			drop_segment(head, first, v, page);
	drop_segment(head, first, first, page);
}

#ifdef __GLIBC__

/* Linux 5.14; before, each page is had when it is written to. */
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE	23
#endif

/* What goes for malloc() if nothing else is said: mallopt(3). */
#define MMAP_MAX	65536
#define TRIM_THRESHOLD	(128 * 1024)

static bool begun;

/* One out of the heap, however large. NULL: so much is not to be had. */
static void *
heap_block(size_t size)
{
	void *block;

	if (mallopt(M_MMAP_MAX, 0) == 0)
		return NULL;
	block = malloc(size);
	(void)mallopt(M_MMAP_MAX, MMAP_MAX);
	return block;
}

/* No M_TOP_PAD: with that each time that the heap grows is to be by so much, and fails
   where a limit leaves less (RLIMIT_AS, RLIMIT_DATA, vm.overcommit_memory). */
void
settle_begin(size_t heap)
{
	const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	void *block = heap_block(heap);
	uintptr_t begin = page_of((uintptr_t)block, page);
	uintptr_t end = page_of((uintptr_t)block + heap, page);

	if (block == NULL)
		return;
	/* None is given back before settle(), neither now. */
	begun = mallopt(M_TRIM_THRESHOLD, -1) != 0;
	/* Else it lies elsewhere. */
	if (begin < end && end <= (uintptr_t)sbrk(0))
		(void)madvise((void *)begin, end - begin,
		    MADV_POPULATE_WRITE);
	free(block);
}

static void
settle_heap(void)
{
	if (begun)
		(void)mallopt(M_TRIM_THRESHOLD, TRIM_THRESHOLD);
	begun = false;
	(void)malloc_trim(0);
}

#else

void
settle_begin(size_t heap)
{
	(void)heap;
}

static void
settle_heap(void)
{
}

#endif

void
settle(void)
{
	const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

	settle_heap();
	settle_program(page);
	settle_stack(page);
}
