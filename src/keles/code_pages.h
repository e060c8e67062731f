// What the process keeps mapped of its own program and of the libraries that it uses.
#pragma once

#include <cstddef>

namespace keles {

// Lets go of the pages of code and constants that are mapped: most were read once, while the
// program started or did what it seldom does, and the kernel maps sixteen around each that is
// touched. They stay in the system's cache of files, which may now reclaim them; what is used again
// is mapped again at its next use, without a read of the disk while it is there. What the program
// wrote (addresses that were filled in, data) is kept. Any thread, at any time. Returns the bytes
// of the places that were looked at.
size_t release_code_pages();

}  // namespace keles
