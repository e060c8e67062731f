// Transformer: what stored values look like on the disk (encryption at rest; store/encryption).
// It stands between a replica, which knows plain values only, and its backend, which keeps sealed
// ones; nothing above the store knows of it. A value is sealed for its key: under another key it
// does not open.
//
// Threads: any. seal() does not wait for anybody; open() may, for a key management service, for
// some seconds: it is called where a store is opened, and where others' changes come in.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "machinery/object.h"

namespace keles {

// What every sealed value begins with; no plain one does.
inline constexpr std::string_view kSealedPrefix = "k8s:enc:";

class Transformer {
 public:
  // A value and its mark: with what it is sealed. "": with nothing.
  struct Sealed {
    Bytes bytes;
    std::string mark;
  };
  struct Opened {
    Bytes plain;
    std::string mark;
  };
  virtual ~Transformer() = default;
  virtual Result<Sealed> seal(std::string_view key, Bytes plain) = 0;
  virtual Result<Opened> open(std::string_view key, Bytes stored) = 0;
  // The mark that a value of the key would be sealed with now: one that has another is stale, and
  // is to be written anew by the next write, even by one that changes nothing.
  virtual std::string mark(std::string_view key) const = 0;
  // `fn` is called, by any thread, whenever values that did not open may do so now. One at most.
  virtual void on_change(std::function<void()> fn) = 0;
};

}  // namespace keles
