#include "keles/code_pages.h"

#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>

namespace keles {
namespace {

// Segments without the right to write hold nothing that is not in the file: a page that comes back
// is the same. (Those that the loader makes read-only after filling in addresses have it.)
int release_module(dl_phdr_info* module, size_t, void* sum) {
  const uintptr_t page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  bool patched = false;  // by the loader, in the code itself: then its pages are not the file's
  for (int i = 0; i < module->dlpi_phnum; ++i) {
    const ElfW(Phdr)& p = module->dlpi_phdr[i];
    if (p.p_type != PT_DYNAMIC) continue;
    // The loader tells addresses as numbers. NOLINTNEXTLINE(performance-no-int-to-ptr)
    for (auto* d = reinterpret_cast<const ElfW(Dyn)*>(module->dlpi_addr + p.p_vaddr);
         d->d_tag != DT_NULL; ++d) {
      patched |= d->d_tag == DT_TEXTREL || (d->d_tag == DT_FLAGS && (d->d_un.d_val & DF_TEXTREL));
    }
  }
  for (int i = 0; !patched && i < module->dlpi_phnum; ++i) {
    const ElfW(Phdr)& p = module->dlpi_phdr[i];
    if (p.p_type != PT_LOAD || (p.p_flags & PF_W) != 0) continue;
    const uintptr_t start = (module->dlpi_addr + p.p_vaddr) & ~(page - 1);
    const uintptr_t end = (module->dlpi_addr + p.p_vaddr + p.p_filesz + page - 1) & ~(page - 1);
    // NOLINTNEXTLINE(performance-no-int-to-ptr)
    if (madvise(reinterpret_cast<void*>(start), end - start, MADV_DONTNEED) == 0) {
      *static_cast<size_t*>(sum) += end - start;
    }
  }
  return 0;
}

}  // namespace

size_t release_code_pages() {
  size_t sum = 0;
  dl_iterate_phdr(release_module, &sum);
  return sum;
}

}  // namespace keles
