// A libFuzzer program begins from its target's seeds: they are written into the first corpus
// directory named on the command line, before it is read.
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>

#include "seeds.h"

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  for (int i = 1; i < *argc; ++i) {
    std::filesystem::path directory = (*argv)[i];
    if ((*argv)[i][0] == '-' || !std::filesystem::is_directory(directory)) continue;
    size_t n = 0;
    for (std::string_view seed : fuzz_seeds())
      std::ofstream(directory / ("seed-" + std::to_string(n++)), std::ios::binary) << seed;
    break;
  }
  return 0;
}
