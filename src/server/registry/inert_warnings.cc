#include "server/registry/inert_warnings.h"

#include <algorithm>

#include "machinery/inert.h"

namespace keles::registry {
namespace {

constexpr std::string_view kStored =
    ": accepted and stored, but this version of keles does not act on it";
// More would not be sent anyway: the front bounds all warnings of an answer.
constexpr size_t kMostFields = 64;

// Service accounts are users' but for those of the system's own namespace.
bool is_component(std::string_view user) {
  if (user.empty()) return true;  // the server itself
  constexpr std::string_view kAccount = "system:serviceaccount:";
  if (user.starts_with(kAccount)) return user.substr(kAccount.size()).starts_with("kube-system:");
  return user.starts_with("system:") && user != "system:admin" && user != "system:anonymous";
}

void add(std::vector<std::string>* out, std::string text) {
  if (std::find(out->begin(), out->end(), text) == out->end()) out->push_back(std::move(text));
}

}  // namespace

void warn_of_inert(const KindDesc& kind, const Value& object, const WriteRequest& how,
                   const std::function<bool()>& changes) {
  if (!how.warnings || is_component(how.user)) return;
  if (std::string_view why = inert_kind(kind); !why.empty()) {
    if (!changes()) return;
    add(how.warnings, std::string(kind.kind) + std::string(kStored) + ": " + std::string(why));
    return;
  }
  std::vector<std::string> found = inert_fields(kind, object, kMostFields);
  if (found.empty() || !changes()) return;
  for (std::string& path : found) add(how.warnings, std::move(path) + std::string(kStored));
}

}  // namespace keles::registry
