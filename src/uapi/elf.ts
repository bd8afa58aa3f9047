/** ELF64 and the auxiliary vector. @linux include/uapi/linux/elf.h, auxvec.h */

/** "\x7fELF", little-endian. */
export const ELF_MAGIC = 0x464c_457f;
export const ELFCLASS64 = 2;
export const ELFDATA2LSB = 1;
export const ET_EXEC = 2;
export const ET_DYN = 3;
export const EM_RISCV = 243;

// struct elf64_hdr
export const EHDR_BYTES = 64;
export const EI_CLASS = 4;
export const EI_DATA = 5;
export const E_TYPE = 16;
export const E_MACHINE = 18;
export const E_ENTRY = 24;
export const E_PHOFF = 32;
export const E_SHOFF = 40;
export const E_PHENTSIZE = 54;
export const E_PHNUM = 56;
export const E_SHENTSIZE = 58;
export const E_SHNUM = 60;
export const E_SHSTRNDX = 62;

// struct elf64_phdr
export const PHDR_BYTES = 56;
export const P_TYPE = 0;
export const P_FLAGS = 4;
export const P_OFFSET = 8;
export const P_VADDR = 16;
export const P_FILESZ = 32;
export const P_MEMSZ = 40;
export const P_ALIGN = 48;

export const PT_LOAD = 1;
export const PT_INTERP = 3;
export const PT_NOTE = 4;
export const PT_PHDR = 6;
export const PT_GNU_EH_FRAME = 0x6474_e550;
export const PT_GNU_STACK = 0x6474_e551;

// struct elf64_shdr
export const SHDR_BYTES = 64;
export const SH_NAME = 0;
export const SH_TYPE = 4;
export const SH_ADDR = 16;
export const SH_OFFSET = 24;
export const SH_SIZE = 32;
export const SH_LINK = 40;

export const SHT_SYMTAB = 2;
export const SHT_NOBITS = 8;
export const SHT_DYNSYM = 11;

// struct elf64_sym
export const SYM_BYTES = 24;
export const ST_NAME = 0;
export const ST_INFO = 4;
export const ST_SHNDX = 6;
export const ST_VALUE = 8;
export const ST_SIZE = 16;

export const SHN_UNDEF = 0;
export const STB_LOCAL = 0;
export const STT_NOTYPE = 0;
export const STT_FUNC = 2;
export const STT_GNU_IFUNC = 10;

/** struct elf64_rela: place, symbol and type, addend. */
export const RELA_BYTES = 24;
export const R_INFO_SYM = 12;

/** struct elf64_note: three words, then name and descriptor, each padded to four bytes. */
export const NHDR_BYTES = 12;
export const NT_GNU_BUILD_ID = 3;

export const PF_X = 1;
export const PF_W = 2;
export const PF_R = 4;

export const AT_NULL = 0;
export const AT_PHDR = 3;
export const AT_PHENT = 4;
export const AT_PHNUM = 5;
export const AT_PAGESZ = 6;
export const AT_BASE = 7;
export const AT_FLAGS = 8;
export const AT_ENTRY = 9;
export const AT_UID = 11;
export const AT_EUID = 12;
export const AT_GID = 13;
export const AT_EGID = 14;
export const AT_PLATFORM = 15;
export const AT_HWCAP = 16;
export const AT_CLKTCK = 17;
export const AT_SECURE = 23;
export const AT_RANDOM = 25;
export const AT_HWCAP2 = 26;
export const AT_EXECFN = 31;
export const AT_MINSIGSTKSZ = 51;

/** Letters of the base ISA in AT_HWCAP: bit n is the letter 'a' + n. Here imafdc. */
export const HWCAP_RV64GC = 0x112d;
