/* resources_cubin.c: a cubin's own record of registers. A cubin is a 64-bit ELF file; its section .nv.info is
 * a list of records {format, attribute, size, payload}, of which {4, 0x2f, 8, {symbol, registers}} is the one
 * wanted. The bytes may be anything: whatever reaches past their end is not there. */
#include "targets/resources.h"

#include <elf.h>
#include <string.h>

struct bytes {
	const unsigned char *s;
	size_t n;
};

/* Part [offset, offset + size) of b; empty where it reaches out. */
static struct bytes part(struct bytes b, uint64_t offset, uint64_t size)
{
	return offset <= b.n && size <= b.n - offset ? (struct bytes){b.s + offset, (size_t)size}
	                                             : (struct bytes){0};
}

static bool copy(void *to, size_t size, struct bytes b, uint64_t offset)
{
	struct bytes p = part(b, offset, size);
	if (p.n != size)
		return false;
	memcpy(to, p.s, size);
	return true;
}

static bool is_name(struct bytes table, uint32_t offset, const char *name)
{
	struct bytes p = part(table, offset, strlen(name) + 1);
	return p.n && !memcmp(p.s, name, p.n);
}

struct sections {
	struct bytes file;
	uint64_t offset;
	int count, size;
	struct bytes names;
};

static bool section(const struct sections *s, uint64_t i, Elf64_Shdr *header)
{
	return i < (uint64_t)s->count && s->offset <= s->file.n &&
	       copy(header, sizeof *header, s->file, s->offset + i * (uint64_t)s->size);
}

static struct bytes content(const struct sections *s, const Elf64_Shdr *header)
{
	return header->sh_type == SHT_NOBITS ? (struct bytes){0}
	                                     : part(s->file, header->sh_offset, header->sh_size);
}

static bool open_sections(struct sections *s, struct bytes file)
{
	Elf64_Ehdr head;
	Elf64_Shdr names;
	if (!copy(&head, sizeof head, file, 0) || memcmp(head.e_ident, ELFMAG, SELFMAG) ||
	    head.e_ident[EI_CLASS] != ELFCLASS64)
		return false;
	*s = (struct sections){file, head.e_shoff, head.e_shnum, head.e_shentsize, {0}};
	if (!section(s, head.e_shstrndx, &names))
		return false;
	s->names = content(s, &names);
	return true;
}

/* Is symbol `number` called that? */
static bool symbol_is(const struct sections *s, uint32_t number, const char *name)
{
	Elf64_Shdr symbols, strings;
	Elf64_Sym symbol;
	for (int i = 0; i < s->count; i++)
		if (section(s, (uint64_t)i, &symbols) && symbols.sh_type == SHT_SYMTAB &&
		    copy(&symbol, sizeof symbol, content(s, &symbols), (uint64_t)number * sizeof symbol) &&
		    section(s, symbols.sh_link, &strings))
			return is_name(content(s, &strings), symbol.st_name, name);
	return false;
}

static int registers_in(const struct sections *s, struct bytes info, const char *kernel)
{
	enum { SIZED = 4, REGISTERS = 0x2f };
	unsigned char head[4];
	for (uint64_t at = 0; copy(head, sizeof head, info, at);) {
		uint32_t payload[2], size = head[0] == SIZED ? head[2] | (uint32_t)head[3] << 8 : 0;
		if (head[0] == SIZED && head[1] == REGISTERS && size == sizeof payload &&
		    copy(payload, sizeof payload, info, at + sizeof head) && payload[1] <= 255 &&
		    symbol_is(s, payload[0], kernel))
			return (int)payload[1];
		at += sizeof head + size;
	}
	return 0;
}

int resources_cubin_registers(const void *cubin, size_t size, const char *kernel)
{
	struct sections s;
	Elf64_Shdr header;
	if (!open_sections(&s, (struct bytes){cubin, size}))
		return 0;
	for (int i = 0; i < s.count; i++)
		if (section(&s, (uint64_t)i, &header) && is_name(s.names, header.sh_name, ".nv.info")) {
			int registers = registers_in(&s, content(&s, &header), kernel);
			if (registers)
				return registers;
		}
	return 0;
}
