// Sysctls of a pod: names, and that none reaches a namespace which the pod shares with its node.
#include <algorithm>
#include <set>
#include <string>

#include "server/registry/pod_validation.h"

namespace keles::registry {
namespace {

constexpr size_t kLongest = 253;

bool is_word(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

// Segments divided by '.' or '/': a word's character at both ends, '-' and '_' between.
bool is_name(std::string_view name) {
  if (name.empty() || name.size() > kLongest) return false;
  char before = '.';
  for (char c : name) {
    const bool begins = before == '.' || before == '/', divides = c == '.' || c == '/';
    if (begins && !is_word(c)) return false;
    if (divides && !is_word(before)) return false;
    if (!divides && !is_word(c) && c != '-' && c != '_') return false;
    before = c;
  }
  return is_word(before);
}

// With dots between its segments: a name whose first divider is a slash has the two exchanged.
std::string normalized(std::string_view name) {
  std::string out(name);
  const size_t first = out.find_first_of("./");
  if (first == std::string::npos || out[first] == '.') return out;
  for (char& c : out) c = c == '/' ? '.' : c == '.' ? '/' : c;
  return out;
}

bool of_network(std::string_view name) { return name.starts_with("net."); }
bool of_ipc(std::string_view name) {
  static constexpr std::string_view kNames[] = {
      "kernel.sem", "kernel.shmall", "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced",
      "kernel.shm", "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.msg"};
  return name.starts_with("fs.mqueue.") ||
         std::find(std::begin(kNames), std::end(kNames), name) != std::end(kNames);
}

}  // namespace

void validate_sysctls(FieldErrors& e, const FieldPath& p, const Value& spec) {
  const FieldPath list = p["securityContext"]["sysctls"];
  std::set<std::string_view> seen;
  size_t i = 0;
  for (const Value& s : spec["securityContext"]["sysctls"].items()) {
    const FieldPath at = list[i++]["name"];
    std::string_view name = s["name"].as_string();
    if (name.empty()) continue;  // required is the description's
    if (!is_name(name)) {
      field::invalid(e, at, name,
                     "must have at most 253 characters and match regex "
                     "^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$");
    } else if (!seen.insert(name).second) {
      field::duplicate(e, at, name);
    }
    const std::string dotted = normalized(name);
    if (spec["hostNetwork"].as_bool() && of_network(dotted)) {
      field::invalid(e, at, name, "may not be specified when 'hostNetwork' is true");
    } else if (spec["hostIPC"].as_bool() && of_ipc(dotted)) {
      field::invalid(e, at, name, "may not be specified when 'hostIPC' is true");
    }
  }
}

}  // namespace keles::registry
