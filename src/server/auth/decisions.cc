#include "server/auth/decisions.h"

#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/list_text.h"

namespace keles::auth {
namespace {

constexpr size_t kMostBytes = 256 * 1024;
constexpr size_t kLongestKey = 1024;

struct Found {
  Decision decision;
  bool by_name = false;  // a rule of some names had a part in it: it is this object's alone
};

Found look(const RbacIndex& index, const Caller& caller, const Access& access) {
  Found out;
  std::vector<std::string> missing;
  index.visit(caller, access.resource.empty() ? "" : access.ns,
              [&](const RbacIndex::Bound& b, const std::string& subject) {
                if (!b.rules) {
                  missing.push_back(b.missing);
                  return true;
                }
                for (const Rule& r : *b.rules) {
                  if (!allows_some(r, access)) continue;
                  out.by_name |= !r.names.empty();
                  if (!allows(r, access)) continue;
                  out.decision.allowed = true;
                  out.decision.reason = "RBAC: allowed by " + b.description + " to " + subject;
                  return false;
                }
                return true;
              });
  Decision& d = out.decision;
  if (!d.allowed && !index.unreadable().empty()) {
    missing.push_back("cannot be read: " + index.unreadable());
  }
  if (d.allowed || missing.empty()) return out;
  d.reason = "RBAC: " + aggregate(missing);
  return out;
}

// All that a decision goes by but the object's name. Lengths keep apart what stands together.
void write_key(std::string& key, const Caller& caller, const Access& a) {
  auto add = [&key](std::string_view text) {
    const auto size = static_cast<uint32_t>(text.size());
    key.append(reinterpret_cast<const char*>(&size), sizeof size).append(text);
  };
  key.clear();
  for (std::string_view part :
       {std::string_view(a.verb), std::string_view(a.group), std::string_view(a.resource),
        std::string_view(a.subresource), std::string_view(a.ns), std::string_view(a.path),
        std::string_view(caller.name)}) {
    add(part);
  }
  for (const std::string& g : caller.groups) add(g);
}

struct Memory {
  // Held, so that no other index ever has its address while its decisions stand here.
  std::shared_ptr<const RbacIndex> index;
  std::unordered_map<std::string, Decision> known;
  size_t bytes = 0;
  std::string key;

  void clear() {
    known.clear();
    bytes = 0;
  }
};
Memory& memory() {
  static thread_local Memory mine;
  return mine;
}

}  // namespace

Decision decide_by_rbac(const std::shared_ptr<const RbacIndex>& index, const Caller& caller,
                        const Access& access) {
  Memory& m = memory();
  if (m.index != index) {
    m.clear();
    m.index = index;
  }
  write_key(m.key, caller, access);
  if (auto at = m.known.find(m.key); at != m.known.end()) return at->second;
  Found found = look(*index, caller, access);
  if (found.by_name || m.key.size() > kLongestKey) return std::move(found.decision);
  const size_t cost = m.key.size() + found.decision.reason.size() + 160;
  if (m.bytes + cost > kMostBytes) m.clear();
  m.bytes += cost;
  m.known.emplace(m.key, found.decision);
  return std::move(found.decision);
}

size_t remembered_decisions() { return memory().known.size(); }

}  // namespace keles::auth
