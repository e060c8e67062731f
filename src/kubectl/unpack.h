// What a container's tar sends, written below a directory of this machine.
#pragma once

#include <string>
#include <string_view>

#include "base/beneath.h"
#include "kubectl/tar.h"

namespace keles::kubectl {

// Writes what begins with `prefix` below `target`, or as `target` when nothing follows the prefix.
// Nothing is written outside: no name leads there, links are not made (a warning says so; `hint`
// ends the first of them), and those that lie below the target already are not followed.
class Unpacker final : public TarReader::Sink {
 public:
  Unpacker(std::string prefix, std::string target, std::string hint)
      : prefix_(std::move(prefix)), target_(std::move(target)), hint_(std::move(hint)) {}

  Status begin(const TarEntry& entry) override;
  Status content(std::string_view piece) override;
  Status end() override;

 private:
  Status link(const TarEntry& entry, const std::string& shown);
  Status open_target(const TarEntry& entry);
  Status open_below(const TarEntry& entry, const std::string& below, const std::string& shown);
  Status take(int fd, const std::string& shown);

  std::string prefix_, target_, hint_;
  Fd root_, file_;
  bool skip_ = false;  // the content of the entry at hand
};

}  // namespace keles::kubectl
