/**
 * A second lock on the door: a system call filter of the Linux kernel (seccomp(2)).
 *
 * Deno's permissions bind what goes through Deno's own calls. In a compiled binary loading a module does not: `import()` reads
 * any JavaScript or JSON file of the disk, even without the permission to read (measured with 2.7.11). And `net` cannot be
 * given up in part. So the kernel is asked to refuse, to every thread and for good: opening a file by its name, starting a
 * program, connecting to anything, and the ways around these. Accepting, listening again and what is open are not touched.
 *
 * @module
 */

/** Numbers of system calls: arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h of the kernel. */
const ARCHITECTURES = {
  x86_64: {
    audit: 0xc000003e,
    seccomp: 317n,
    sendto: 44,
    // open, creat, openat, openat2, open_by_handle_at; execve, execveat; connect, sendmsg, sendmmsg;
    // io_uring_setup (its requests pass no filter); ptrace, process_vm_readv, process_vm_writev, pidfd_getfd
    refused: [2, 85, 257, 437, 304, 59, 322, 42, 46, 307, 425, 101, 310, 311, 438],
  },
  aarch64: {
    audit: 0xc00000b7,
    seccomp: 277n,
    sendto: 206,
    // The same, less open and creat, which it does not have.
    refused: [56, 437, 265, 221, 281, 203, 211, 269, 425, 117, 270, 271, 438],
  },
} as const;

// Instructions of the filter (linux/bpf_common.h): load a word of the call's data, jump if equal, jump if at least, return.
const [LOAD, EQUAL, AT_LEAST, RETURN] = [0x20, 0x15, 0x35, 0x06] as const;
type Instruction = readonly [code: number, ifTrue: number, ifFalse: number, operand: number];

// Places in struct seccomp_data (linux/seccomp.h); the fifth argument takes two words.
const [NUMBER, ARCHITECTURE, ADDRESS_LOW, ADDRESS_HIGH] = [0, 4, 48, 52] as const;

const ALLOW: Instruction = [RETURN, 0, 0, 0x7fff0000];
const EACCES = 13;
const REFUSE: Instruction = [RETURN, 0, 0, 0x00050000 | EACCES];

/** From this number on x86_64 means its x32 interface, in which every call has another number. */
const X32 = 0x40000000;

function program({ audit, sendto, refused }: typeof ARCHITECTURES[keyof typeof ARCHITECTURES]): Instruction[] {
  return [
    [LOAD, 0, 0, ARCHITECTURE],
    [EQUAL, 1, 0, audit],
    REFUSE,
    [LOAD, 0, 0, NUMBER],
    [AT_LEAST, 0, 1, X32],
    REFUSE,
    ...refused.flatMap((number): Instruction[] => [[EQUAL, 0, 1, number], REFUSE]),
    // send(2) is sendto without an address; with one it reaches whom it wants.
    [EQUAL, 1, 0, sendto],
    ALLOW,
    [LOAD, 0, 0, ADDRESS_LOW],
    [EQUAL, 0, 3, 0],
    [LOAD, 0, 0, ADDRESS_HIGH],
    [EQUAL, 0, 1, 0],
    ALLOW,
    REFUSE,
  ];
}

/**
 * Puts the filter in force for all threads of this process.
 *
 * Needs the permission `ffi`, and no privilege of the system's. Takes 1 ms.
 *
 * @returns Whether the kernel took it.
 */
export function forbidSystemCalls(): boolean {
  const architecture = ARCHITECTURES[Deno.build.arch as keyof typeof ARCHITECTURES];
  const instructions = program(architecture);
  const filter = new DataView(new ArrayBuffer(instructions.length * 8)); // struct sock_filter[]
  instructions.forEach(([code, ifTrue, ifFalse, operand], index) => {
    filter.setUint16(index * 8, code, true);
    filter.setUint8(index * 8 + 2, ifTrue);
    filter.setUint8(index * 8 + 3, ifFalse);
    filter.setUint32(index * 8 + 4, operand, true);
  });
  const description = new DataView(new ArrayBuffer(16)); // struct sock_fprog
  description.setUint16(0, instructions.length, true);
  description.setBigUint64(8, BigInt(Deno.UnsafePointer.value(Deno.UnsafePointer.of(filter))), true);

  const [PR_SET_NO_NEW_PRIVS, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC] = [38, 1n, 1n];
  try {
    const libc = Deno.dlopen("libc.so.6", {
      prctl: { parameters: ["i32", "usize", "usize", "usize", "usize"], result: "i32" },
      syscall: { parameters: ["usize", "usize", "usize", "pointer"], result: "isize" },
    });
    const { prctl, syscall } = libc.symbols;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1n, 0n, 0n, 0n) !== 0) return false;
    const pointer = Deno.UnsafePointer.of(description);
    return syscall(architecture.seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, pointer) === 0n;
  } catch {
    return false; // no such library: not glibc
  }
}
