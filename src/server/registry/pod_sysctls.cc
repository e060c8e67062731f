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

// The flag by which the pod shares the namespace of the sysctl with its node; null: with none.
const char* shared_namespace(std::string_view sysctl, const core::PodSpec& spec) {
  const std::string dotted = normalized(sysctl);
  if (spec.host_network() && of_network(dotted)) return "hostNetwork";
  return spec.host_ipc() && of_ipc(dotted) ? "hostIPC" : nullptr;
}

}  // namespace

bool has_host_sysctl(const core::PodSpec& spec) {
  for (core::Sysctl s : spec.security_context().sysctls()) {
    if (shared_namespace(s.name(), spec)) return true;
  }
  return false;
}

void validate_sysctls(FieldErrors& e, const FieldPath& p, const core::PodSpec& spec,
                      bool with_hosts_allowed) {
  std::set<std::string_view> seen;
  size_t i = 0;
  for (core::Sysctl s : spec.security_context().sysctls()) {
    const FieldPath at = p[i++]["name"];
    const std::string_view name = s.name();
    if (name.empty()) {
      field::required(e, at);
    } else if (!is_name(name)) {
      field::invalid(e, at, name,
                     "must have at most 253 characters and match regex "
                     "^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$");
    } else if (seen.count(name) != 0) {
      field::duplicate(e, at, name);
    }
    seen.insert(name);
    const char* shared = with_hosts_allowed ? nullptr : shared_namespace(name, spec);
    if (!shared) continue;
    field::invalid(e, at, name, "may not be specified when '" + std::string(shared) + "' is true");
  }
}

}  // namespace keles::registry
