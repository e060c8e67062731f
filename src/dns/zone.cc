#include "dns/zone.h"

#include <algorithm>

#include "base/ip.h"
#include "base/text_parts.h"

namespace keles::dns {
namespace {

std::string key_of(std::string_view ns, std::string_view name) {
  return std::string(ns) + "/" + std::string(name);
}

std::string lower(std::string_view s) {
  std::string out(s);
  for (char& c : out) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
  return out;
}

std::string with_dashes(std::string_view ip) {
  std::string out(ip);
  std::replace_if(
      out.begin(), out.end(), [](char c) { return c == '.' || c == ':'; }, '-');
  return out;
}

// "10-1-2-3" -> "10.1.2.3"; "" when it is no address.
std::string from_dashes(std::string_view label) {
  for (char separator : {'.', ':'}) {
    std::string text(label);
    std::replace(text.begin(), text.end(), '-', separator);
    if (IpAddress::parse(text)) return text;
  }
  return "";
}

bool is_v6(std::string_view ip) { return ip.find(':') != ip.npos; }

// One text for each address, whichever way a user writes it; "" when it is none.
std::string canonical(std::string_view text) {
  auto ip = IpAddress::parse_sloppy(text);
  return ip ? ip->address.text() : "";
}

// The address that a reverse name is of: labels of in-addr.arpa or ip6.arpa, without that suffix.
std::optional<IpAddress> from_reverse(const std::vector<std::string_view>& labels, bool v6) {
  if (labels.size() != (v6 ? 32U : 4U)) return std::nullopt;
  std::string text;
  for (size_t i = 0; i < labels.size(); ++i) {
    const std::string_view label = labels[labels.size() - 1 - i];
    if (v6 && label.size() != 1) return std::nullopt;
    if (i > 0 && (!v6 || i % 4 == 0)) text += v6 ? ':' : '.';
    text += label;
  }
  return v6 ? IpAddress::parse_mapped(text) : IpAddress::parse(text);
}

std::vector<std::string_view> labels_of(std::string_view name) {
  const Split all = split_list(name, '.');
  return {all.begin(), all.end()};
}

Answer nothing(Rcode rcode) {
  Answer a;
  a.rcode = rcode;
  a.soa = true;
  return a;
}

bool strip_suffix(std::string_view& name, std::string_view suffix) {
  if (name == suffix) {
    name = {};
    return true;
  }
  if (name.size() > suffix.size() && name.ends_with(suffix) &&
      name[name.size() - suffix.size() - 1] == '.') {
    name.remove_suffix(suffix.size() + 1);
    return true;
  }
  return false;
}

}  // namespace

std::optional<IpAddress> reverse_address(std::string_view name) {
  const bool v6 = strip_suffix(name, "ip6.arpa");
  if (!v6 && !strip_suffix(name, "in-addr.arpa")) return std::nullopt;
  return from_reverse(labels_of(name), v6);
}

void Zone::set_service(const api::core_v1::Service& service) {
  std::string_view ns = service.metadata().namespace_(), name = service.metadata().name();
  remove_service(ns, name);
  Service s;
  auto spec = service.spec();
  if (spec.type() == "ExternalName") {
    s.external_name = lower(spec.external_name());
    if (s.external_name.ends_with('.')) s.external_name.pop_back();
  }
  for (std::string_view ip : spec.cluster_ips()) {
    if (std::string text = canonical(ip); !text.empty()) s.cluster_ips.push_back(std::move(text));
  }
  if (s.cluster_ips.empty()) {
    std::string text = canonical(spec.cluster_ip());
    if (!text.empty()) s.cluster_ips.push_back(std::move(text));
  }
  for (auto p : spec.ports()) {
    std::string protocol = lower(p.protocol());
    s.ports.push_back({std::string(p.name()), protocol.empty() ? "tcp" : protocol,
                       static_cast<uint16_t>(p.port())});
  }
  std::string key = key_of(ns, name);
  for (const std::string& ip : s.cluster_ips) by_ip_[ip] = key;
  services_.emplace(std::move(key), std::move(s));
}

void Zone::remove_service(std::string_view ns, std::string_view name) {
  auto it = services_.find(key_of(ns, name));
  if (it == services_.end()) return;
  for (const std::string& ip : it->second.cluster_ips) {
    auto at = by_ip_.find(ip);
    if (at != by_ip_.end() && at->second == it->first) by_ip_.erase(at);
  }
  services_.erase(it);
}

void Zone::set_slice(const api::discovery_v1::EndpointSlice& slice) {
  std::string_view ns = slice.metadata().namespace_(), name = slice.metadata().name();
  remove_slice(ns, name);
  Slice s;
  s.service = key_of(ns, slice.metadata().labels().get("kubernetes.io/service-name"));
  for (auto e : slice.endpoints()) {
    // An absent condition means ready.
    if (e.conditions().has_ready() && !e.conditions().ready()) continue;
    for (std::string_view ip : e.addresses()) {
      Endpoint out;
      out.ip = canonical(ip);
      if (out.ip.empty()) continue;  // a slice of names
      out.hostname = e.hostname().empty() ? with_dashes(ip) : std::string(e.hostname());
      for (auto p : slice.ports()) {
        std::string protocol = lower(p.protocol());
        out.ports.push_back({std::string(p.name()), protocol.empty() ? "tcp" : protocol,
                             static_cast<uint16_t>(p.port())});
      }
      s.endpoints.push_back(std::move(out));
    }
  }
  std::string key = key_of(ns, name);
  slices_of_[s.service].insert(key);
  for (const Endpoint& e : s.endpoints) slices_with_[e.ip].insert(key);
  slices_.emplace(std::move(key), std::move(s));
}

void Zone::remove_slice(std::string_view ns, std::string_view name) {
  auto it = slices_.find(key_of(ns, name));
  if (it == slices_.end()) return;
  auto of = slices_of_.find(it->second.service);
  if (of != slices_of_.end()) {
    of->second.erase(it->first);
    if (of->second.empty()) slices_of_.erase(of);
  }
  for (const Endpoint& e : it->second.endpoints) {
    auto with = slices_with_.find(e.ip);
    if (with == slices_with_.end()) continue;
    with->second.erase(it->first);
    if (with->second.empty()) slices_with_.erase(with);
  }
  slices_.erase(it);
}

void Zone::remove_namespace(std::string_view name) {
  auto it = namespaces_.find(name);
  if (it != namespaces_.end()) namespaces_.erase(it);
}

std::vector<const Zone::Endpoint*> Zone::endpoints_of(std::string_view ns,
                                                      std::string_view name) const {
  std::vector<const Endpoint*> out;
  auto of = slices_of_.find(key_of(ns, name));
  if (of == slices_of_.end()) return out;
  for (const std::string& key : of->second) {
    for (const Endpoint& e : slices_.find(key)->second.endpoints) out.push_back(&e);
  }
  return out;
}

Record Zone::address(std::string_view name, const std::string& ip) const {
  return {std::string(name), is_v6(ip) ? kAaaa : kA, ttl_seconds_, ip};
}

Answer Zone::addresses(std::string_view asked, const std::vector<std::string>& ips,
                       uint16_t type) const {
  Answer a;
  for (const std::string& ip : ips) {
    if (type == kAny || type == (is_v6(ip) ? kAaaa : kA)) a.answers.push_back(address(asked, ip));
  }
  a.soa = a.answers.empty();
  return a;
}

std::string Zone::service_name(std::string_view key) const {
  auto slash = key.find('/');
  return std::string(key.substr(slash + 1)) + "." + std::string(key.substr(0, slash)) + ".svc." +
         domain_;
}

std::optional<Answer> Zone::answer(std::string_view name, uint16_t type) const {
  std::string_view relative = name;
  if (!strip_suffix(relative, domain_)) return reverse(name, type);
  Answer a = lookup(name, relative, type);
  follow(a, type);
  return a;
}

// An alias is answered together with what it stands for (RFC 1034, 3.6.2): here as long as that is
// ours, then by whoever is asked for `chase`. Chains that users tie into a ring end.
void Zone::follow(Answer& a, uint16_t type) const {
  constexpr int kMostAliases = 8;
  if (type == kCname || type == kAny) return;
  for (int i = 0; i < kMostAliases; ++i) {
    if (a.answers.empty() || a.answers.back().type != kCname) return;
    const std::string target = a.answers.back().text;
    std::string_view relative = target;
    if (!strip_suffix(relative, domain_)) {
      a.chase = target;
      return;
    }
    Answer next = lookup(target, relative, type);
    a.answers.insert(a.answers.end(), next.answers.begin(), next.answers.end());
    a.additional.insert(a.additional.end(), next.additional.begin(), next.additional.end());
    if (next.answers.empty()) return;
  }
}

Answer Zone::lookup(std::string_view asked, std::string_view relative, uint16_t type) const {
  std::vector<std::string_view> labels = labels_of(relative);
  if (labels.empty()) {
    Answer a;
    a.soa = true;
    return a;
  }
  if (relative == "dns-version") {
    Answer a;
    if (type == kTxt || type == kAny)
      a.answers.push_back({std::string(asked), kTxt, ttl_seconds_, "1.1.0"});
    a.soa = a.answers.empty();
    return a;
  }
  std::string_view kind = labels.back();
  if (kind != "svc" && kind != "pod") return nothing(kNxDomain);
  if (labels.size() == 1) return nothing(kNoError);
  std::string_view ns = labels[labels.size() - 2];
  if (!namespaces_.contains(ns)) return nothing(kNxDomain);
  if (labels.size() == 2) return nothing(kNoError);
  std::string_view name = labels[labels.size() - 3];
  if (kind == "pod") {
    std::string ip = labels.size() == 3 ? from_dashes(name) : "";
    return ip.empty() ? nothing(kNxDomain) : addresses(asked, {ip}, type);
  }
  labels.resize(labels.size() - 3);
  return service_answer(asked, ns, name, labels, type);
}

Answer Zone::service_answer(std::string_view asked, std::string_view ns, std::string_view name,
                            const std::vector<std::string_view>& labels, uint16_t type) const {
  auto it = services_.find(key_of(ns, name));
  if (it == services_.end()) return nothing(kNxDomain);
  const Service& s = it->second;
  if (!s.external_name.empty()) {
    if (!labels.empty()) return nothing(kNxDomain);
    Answer a;
    a.answers.push_back({std::string(asked), kCname, ttl_seconds_, s.external_name});
    return a;
  }
  if (labels.size() == 2 && labels[0].starts_with('_') && labels[1].starts_with('_')) {
    Answer a = srv(asked, ns, name, s, labels[0].substr(1), labels[1].substr(1));
    if (a.answers.empty()) return nothing(kNxDomain);
    if (type != kSrv && type != kAny) return nothing(kNoError);
    return a;
  }
  if (labels.size() > 1) return nothing(kNxDomain);
  if (labels.empty() && type == kSrv) {
    Answer a = srv(asked, ns, name, s, "", "");
    a.soa = a.answers.empty();
    return a;
  }
  if (labels.empty() && !s.cluster_ips.empty()) return addresses(asked, s.cluster_ips, type);
  std::vector<std::string> ips;
  for (const Endpoint* e : endpoints_of(ns, name)) {
    bool wanted = labels.empty() || e->hostname == labels[0];
    if (wanted && std::find(ips.begin(), ips.end(), e->ip) == ips.end()) ips.push_back(e->ip);
  }
  if (ips.empty() || (!labels.empty() && !s.cluster_ips.empty())) return nothing(kNxDomain);
  return addresses(asked, ips, type);
}

Answer Zone::srv(std::string_view asked, std::string_view ns, std::string_view name,
                 const Service& s, std::string_view port, std::string_view protocol) const {
  Answer a;
  auto wanted = [&](const Port& p) {
    return (port.empty() || p.name == port) && (protocol.empty() || p.protocol == protocol);
  };
  auto add = [&](std::string target, const std::string& ip, uint16_t number) {
    // Once for a target of two families.
    bool told = std::any_of(a.answers.begin(), a.answers.end(),
                            [&](const Record& o) { return o.text == target && o.port == number; });
    Record r{std::string(asked), kSrv, ttl_seconds_, target};
    r.port = number;
    if (!told) a.answers.push_back(std::move(r));
    Record extra = address(target, ip);
    bool known = std::any_of(a.additional.begin(), a.additional.end(), [&](const Record& o) {
      return o.name == extra.name && o.text == extra.text;
    });
    if (!known) a.additional.push_back(std::move(extra));
  };
  std::string base = service_name(key_of(ns, name));
  if (!s.cluster_ips.empty()) {
    for (const Port& p : s.ports) {
      if (!wanted(p)) continue;
      for (const std::string& ip : s.cluster_ips) add(base, ip, p.port);
    }
  } else {
    for (const Endpoint* e : endpoints_of(ns, name)) {
      for (const Port& p : e->ports) {
        if (wanted(p)) add(e->hostname + "." + base, e->ip, p.port);
      }
    }
  }
  for (Record& r : a.answers) r.weight = static_cast<uint16_t>(100 / a.answers.size());
  return a;
}

std::optional<Answer> Zone::reverse(std::string_view name, uint16_t type) const {
  const auto address = reverse_address(name);
  if (!address) return std::nullopt;
  const std::string ip = address->text();
  Answer a;
  auto add = [&](std::string target) {
    if (type == kPtr || type == kAny)
      a.answers.push_back({std::string(name), kPtr, ttl_seconds_, std::move(target)});
  };
  auto service = by_ip_.find(ip);
  if (service != by_ip_.end()) {
    add(service_name(service->second));
    return a;
  }
  auto with = slices_with_.find(ip);
  if (with == slices_with_.end()) return std::nullopt;
  for (const std::string& key : with->second) {
    const Slice& slice = slices_.find(key)->second;
    auto of = services_.find(slice.service);
    if (of == services_.end() || !of->second.cluster_ips.empty()) continue;
    for (const Endpoint& e : slice.endpoints) {
      if (e.ip == ip) add(e.hostname + "." + service_name(slice.service));
    }
  }
  if (a.answers.empty()) return std::nullopt;
  return a;
}

}  // namespace keles::dns
