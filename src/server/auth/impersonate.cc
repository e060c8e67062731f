// Acting as somebody else: KEP-5284's narrower ways first, then the old one.
#include <algorithm>

#include "base/ascii.h"
#include "base/encoding.h"
#include "machinery/validation.h"
#include "server/auth/state.h"

namespace keles::auth {
namespace {

constexpr std::string_view kExtraHeader = "impersonate-extra-";
constexpr size_t kMany = 4;  // checks, before which all of them are asked for at once

bool split_account(std::string_view user, std::string* ns, std::string* name) {
  constexpr std::string_view kAccount = "system:serviceaccount:";
  if (!user.starts_with(kAccount)) return false;
  const std::string_view rest = user.substr(kAccount.size());
  const size_t colon = rest.find(':');
  if (colon == rest.npos || rest.find(':', colon + 1) != rest.npos) return false;
  *ns = rest.substr(0, colon);
  *name = rest.substr(colon + 1);
  return name_is_dns_label(*ns, false).empty() && name_is_dns_subdomain(*name, false).empty();
}

bool split_node(std::string_view user, std::string* node) {
  constexpr std::string_view kNode = "system:node:";
  if (!user.starts_with(kNode)) return false;
  *node = user.substr(kNode.size());
  return name_is_dns_subdomain(*node, false).empty();
}

// What the headers ask for, as it stands there.
struct Wanted {
  Caller user;
  bool anything = false;
};

Wanted read_headers(const net::Headers& headers) {
  Wanted out;
  out.user.name = headers.get("impersonate-user").value_or("");
  out.user.uid = headers.get("impersonate-uid").value_or("");
  for (std::string_view g : headers.get_all("impersonate-group")) out.user.groups.emplace_back(g);
  for (const auto& [name, value] : headers) {
    if (name.size() < kExtraHeader.size()) continue;
    const std::string lower = ascii_lower(name);
    if (!lower.starts_with(kExtraHeader)) continue;
    std::string key = lower.substr(kExtraHeader.size());
    if (auto plain = percent_decode(key)) key = std::move(*plain);
    out.user.extra[key].push_back(value);
  }
  out.anything = !out.user.name.empty() || !out.user.uid.empty() || !out.user.groups.empty() ||
                 !out.user.extra.empty();
  return out;
}

// One way of acting as somebody: what is asked of the authorizers for it.
class Way {
 public:
  Way(const Auth& auth, const Caller& caller, Questions* open, std::string mode)
      : auth_(auth), caller_(caller), open_(open), mode_(std::move(mode)) {}

  Result<Caller> check(const Caller& wanted, const Access& request) const {
    if (narrow()) {
      Access on = request;
      on.verb = "impersonate-on:" + mode_ + ":" + request.verb;
      TRY(may(on));
    }
    Caller out = wanted;
    TRY(user(wanted, &out));
    if (!wanted.uid.empty()) {
      Access a = about("uids", true);
      a.name = wanted.uid;
      TRY(may(a));
    }
    TRY(groups(wanted.groups));
    TRY(extra(wanted.extra));
    const bool nobody = out.name == "system:anonymous";
    const bool unknown = has_group(out, "system:unauthenticated");
    const char* last = nobody ? "system:unauthenticated" : "system:authenticated";
    if ((nobody || !unknown) && !has_group(out, last)) out.groups.emplace_back(last);
    return out;
  }
  std::string verb() const { return narrow() ? "impersonate:" + mode_ : "impersonate"; }
  bool narrow() const { return !mode_.empty(); }

 private:
  Access about(std::string resource, bool authentication) const {
    Access a;
    a.verb = verb();
    if (authentication || narrow()) a.group = "authentication.k8s.io";
    a.version = "v1";
    a.resource = std::move(resource);
    return a;
  }
  // An agent that may act as its own node may as any that its account runs on: what tells its pods
  // apart is left out, so that the answer is the same for all.
  Status may(Access a) const {
    if (mode_ != "associated-node") return asked(caller_, a);
    Caller plain = caller_;
    plain.extra.clear();
    std::vector<std::string>& keys =
        plain.extra["authentication.kubernetes.io/associated-node-keys"];
    for (const auto& [key, values] : caller_.extra) keys.push_back(key);
    if (a.verb == verb()) a.name = "*";
    return asked(plain, a);
  }
  Status asked(const Caller& who, const Access& a) const {
    Decision d = auth_.decide(who, a, open_);
    if (d.allowed) return Status();
    std::string why = d.error;
    if (!d.error.empty() && !d.reason.empty()) why += ": ";
    return refusal(who, a, why + d.reason);
  }

  Status user(const Caller& wanted, Caller* out) const {
    Access a = about("users", false);
    a.name = wanted.name;
    std::string ns, name;
    if (narrow() && split_node(wanted.name, &name)) {
      a.resource = "nodes";
      a.name = name;
      out->groups = {"system:nodes"};
    }
    if (split_account(wanted.name, &ns, &name)) {
      a.resource = "serviceaccounts";
      a.ns = ns;
      a.name = name;
      if (wanted.groups.empty()) {
        out->groups = {"system:serviceaccounts", "system:serviceaccounts:" + ns};
      }
    }
    return may(a);
  }

  Status groups(const std::vector<std::string>& list) const {
    Access a = about("groups", false);
    if (narrow()) {
      if (std::find(list.begin(), list.end(), "") != list.end()) {
        return refusal(caller_, a, "impersonating the empty string group is not allowed");
      }
      if (std::find(list.begin(), list.end(), "system:masters") != list.end()) {
        a.name = "system:masters";
        return refusal(caller_, a, "impersonating the system:masters group is not allowed");
      }
      a.name = "*";
      if (list.size() >= kMany && may(a).ok()) return Status();
    }
    for (const std::string& g : list) {
      a.name = g;
      TRY(may(a));
    }
    return Status();
  }

  using Extra = std::map<std::string, std::vector<std::string>>;
  static std::string objection(const Extra& extra) {
    for (const auto& [key, values] : extra) {
      if (key.empty()) return "impersonating the empty string key in extra is not allowed";
      const size_t slash = key.find('/');
      if (slash == key.npos || slash + 1 == key.size() ||
          !check_dns1123_subdomain(std::string_view(key).substr(0, slash)).empty()) {
        return "impersonating an invalid key in extra is not allowed: extra.key: Invalid value: " +
               quoted(key) + ": must be a domain-prefixed path (such as \"acme.io/foo\")";
      }
      for (const std::string& v : values) {
        if (v.empty()) return "impersonating the empty string value in extra is not allowed";
      }
    }
    return "";
  }
  Status extra(const Extra& all) const {
    if (all.empty()) return Status();
    Access a = about("userextras", true);
    size_t count = 0;
    for (const auto& [key, values] : all) count += values.size();
    if (narrow()) {
      if (std::string why = objection(all); !why.empty()) return refusal(caller_, a, why);
      a.subresource = a.name = "*";
      if ((all.size() >= kMany || count >= kMany) && may(a).ok()) return Status();
    }
    for (const auto& [key, values] : all) {
      a.subresource = key;
      for (const std::string& v : values) {
        a.name = v;
        TRY(may(a));
      }
    }
    return Status();
  }

  const Auth& auth_;
  const Caller& caller_;
  Questions* open_;
  std::string mode_;
};

// Whether the caller is the account of a pod on that node.
bool is_on_node(const Caller& caller, std::string_view node) {
  std::string ns, name;
  if (!split_account(caller.name, &ns, &name)) return false;
  auto it = caller.extra.find("authentication.kubernetes.io/node-name");
  return it != caller.extra.end() && it->second.size() == 1 && it->second[0] == node;
}

// The narrow ways that fit, by their names in verbs.
std::vector<std::string> ways(const Caller& caller, const Caller& wanted) {
  std::vector<std::string> out;
  const bool only_name = wanted.uid.empty() && wanted.groups.empty() && wanted.extra.empty();
  std::string node, ns, name;
  const bool is_node = split_node(wanted.name, &node);
  const bool is_account = split_account(wanted.name, &ns, &name);
  if (only_name && is_node && is_on_node(caller, node)) out.emplace_back("associated-node");
  if (only_name && is_node) out.emplace_back("arbitrary-node");
  if (only_name && is_account) out.emplace_back("serviceaccount");
  if (!is_node && !is_account) out.emplace_back("user-info");
  return out;
}

}  // namespace

Result<Caller> Auth::impersonate(const Caller& caller, const net::Headers& headers,
                                 const Access& request, Questions* open,
                                 std::string* constraint) const {
  const Wanted wanted = read_headers(headers);
  if (!wanted.anything) return caller;
  if (wanted.user.name.empty()) {
    return Status::bad_request("requested impersonation without impersonating a user name");
  }
  Status first;
  std::vector<std::string> modes = ways(caller, wanted.user);
  modes.emplace_back();  // the old one
  for (const std::string& mode : modes) {
    Way way(*this, caller, open, mode);
    auto acting = way.check(wanted.user, request);
    if (open != nullptr && open->pending()) return Status::unauthorized();
    if (acting.ok()) {
      if (constraint != nullptr) *constraint = way.narrow() ? way.verb() : "";
      return acting;
    }
    if (first.ok()) first = acting.status();
  }
  return first;
}

}  // namespace keles::auth
