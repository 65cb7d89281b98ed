/* User-Mode-Linux 6.1 sets the vector registers of its processes through a buffer of fixed size. The host's kernel takes
   a buffer of the full size only, which is larger on processors with tile registers (AMX), and the guest dies at its
   first process. Preloaded into linux.uml, this fills the rest with what the process has. */

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { PEEK_FIRST = 1, PEEK_LAST = 3, GET_REGISTERS = 0x4204, SET_REGISTERS = 0x4205, XSTATE = 0x202 };

static _Thread_local char whole[1 << 16] __attribute__((aligned(64)));

long ptrace(int request, int pid, void *address, void *data) {
  if (request >= PEEK_FIRST && request <= PEEK_LAST) { /* libc's way to return the word that was read */
    long word, result = syscall(SYS_ptrace, request, pid, address, &word);
    if (result < 0) return result;
    errno = 0;
    return word;
  }
  if (request == SET_REGISTERS && (long)address == XSTATE) {
    struct iovec *given = data, all = {whole, sizeof whole};
    if (syscall(SYS_ptrace, GET_REGISTERS, pid, address, &all) == 0 && given->iov_len < all.iov_len) {
      memcpy(whole, given->iov_base, given->iov_len);
      return syscall(SYS_ptrace, SET_REGISTERS, pid, address, &all);
    }
  }
  return syscall(SYS_ptrace, request, pid, address, data);
}
