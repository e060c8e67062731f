// What tests of several parts have in common. For tests alone.
#pragma once

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>

#include <cstdlib>
#include <filesystem>
#include <functional>
#include <thread>

namespace keles {

// Where the tables and fixtures of upstream lie that are not part of this tree; a test that needs
// them skips when they are not there.
inline std::filesystem::path shared_dir() {
  const char* env = std::getenv("KELES_SHARED");
  return env != nullptr ? std::filesystem::path(env) : std::filesystem::path("../shared");
}

// Runs `body` on a thread in a mount namespace of its own: nothing stays on the host.
inline void with_mounts(const std::function<void()>& body) {
  bool may = false;
  std::thread([&] {
    may = unshare(CLONE_NEWNS) == 0 &&
          mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
    if (may) body();
  }).join();
  if (!may) GTEST_SKIP() << "needs root, for a mount namespace of its own";
}

}  // namespace keles
