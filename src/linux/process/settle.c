#include <sys/mman.h>

#include <elf.h>
#include <link.h>
#include <malloc.h>
#include <stdint.h>
#include <unistd.h>

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

/* All of it the file has. The first segment is symbols and relocations, where linkers
   put nothing beside them; and the header, which is read here. */
static void
settle_program(uintptr_t page, bool code)
{
	const ElfW(Ehdr) *head = &__ehdr_start;
	const uintptr_t base = (uintptr_t)head;
	const ElfW(Phdr) *v = (const ElfW(Phdr) *)(base + head->e_phoff);

	size_t first = 0;

	for (unsigned i = 0; i < head->e_phnum; i++) {
		uintptr_t at = page_of(v[i].p_vaddr, page);
		size_t size = v[i].p_vaddr + v[i].p_filesz - at;

		if (v[i].p_type != PT_LOAD || (v[i].p_flags & PF_W) != 0)
			continue;
		if (v[i].p_offset == 0)
			first = code || v[i].p_flags == PF_R ? size : 0;
		else if (code)
			(void)madvise((void *)(base + at), size,
			    MADV_DONTNEED);
	}
	if (first > 0)
		(void)madvise((void *)base, first, MADV_DONTNEED);
}

void
settle(bool code)
{
	const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

#ifdef __GLIBC__
	(void)malloc_trim(0);
#endif
	settle_program(page, code);
	settle_stack(page);
}
