#include "kind/pause_image.h"

asm(".pushsection .rodata\n"
    ".balign 16\n"
    "keles_pause_image:\n"
    ".incbin \"" KELES_PAUSE_TAR
    "\"\n"
    "keles_pause_image_end:\n"
    ".popsection\n");

extern "C" {
extern const char keles_pause_image[];
extern const char keles_pause_image_end[];
}

namespace keles::kind {

std::string_view pause_image() {
  return {keles_pause_image, static_cast<size_t>(keles_pause_image_end - keles_pause_image)};
}

}  // namespace keles::kind
