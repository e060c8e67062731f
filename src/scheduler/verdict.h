// What a plugin says of a pod or of a pod on a node. Values; cheap to copy, and free to make when
// all is well.
#pragma once

#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace keles::scheduler {

enum class Code : uint8_t {
  kSuccess,
  kError,          // something went wrong; the pod is tried again after a pause
  kUnschedulable,  // not now; evicting other pods might help
  kUnresolvable,   // not now; evicting other pods would not help
  kWait,           // Permit: not yet
  kSkip,           // the plugin has nothing to do with this pod
};

// Upstream's word for it, as metrics carry it.
std::string_view code_name(Code code);

// Texts that were made once: a plugin that says the same of a thousand nodes shares them.
using Reasons = std::shared_ptr<const std::vector<std::string>>;
Reasons make_reasons(std::initializer_list<std::string> texts);

struct [[nodiscard]] Verdict {
  Code code = Code::kSuccess;
  Reasons reasons;  // upstream's texts; null for none

  bool ok() const { return code == Code::kSuccess; }
  bool rejected() const { return code == Code::kUnschedulable || code == Code::kUnresolvable; }
  std::string message() const;  // the reasons, joined by ", "

  static Verdict unschedulable(std::string reason);
  static Verdict unresolvable(std::string reason);
  static Verdict error(std::string what);
  static Verdict error(const Status& s) { return error(s.to_string()); }
  static Verdict skip() { return {Code::kSkip, nullptr}; }
};

}  // namespace keles::scheduler
