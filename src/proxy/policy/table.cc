#include "proxy/policy/table.h"

#include <algorithm>

#include "net/pki.h"

namespace keles::policy {
namespace {

// Two texts that users choose must not meet: of 160 bits two that do cost 2^80 attempts. nftables
// takes names of 128 characters.
std::string hashed(std::string_view kind, const std::string& text) {
  constexpr size_t kDigits = 40;
  return std::string(kind) + "-" + net::hex(net::sha256(text)).substr(0, kDigits);
}

std::string chain_of(Direction d, const std::string& ns, const std::string& name) {
  return hashed(d == Direction::kIngress ? "policy-in" : "policy-out", ns + "/" + name);
}

}  // namespace

bool Changes::empty() const {
  return !everything && sets.empty() && chains.empty() && profiles.empty() && addresses.empty() &&
         dropped_profiles.empty() && dropped_chains.empty() && dropped_sets.empty();
}

// --- namespaces ---

PolicyTable::Space& PolicyTable::space(std::string_view ns) {
  auto it = spaces_.find(ns);
  return it != spaces_.end() ? it->second : spaces_[std::string(ns)];
}

void PolicyTable::drop_if_idle(std::string_view ns) {
  auto it = spaces_.find(ns);
  if (it != spaces_.end() && it->second.idle()) spaces_.erase(it);
}

void PolicyTable::set_namespace(std::string_view name, LabelMap labels) {
  Space& s = space(name);
  s.exists = true;
  if (s.labels == labels) return;
  s.labels = std::move(labels);
  for (auto& [uid, pod] : s.pods) {
    leave_all(*pod);
    join_all(s, *pod);
  }
}

void PolicyTable::remove_namespace(std::string_view name) {
  auto it = spaces_.find(name);
  if (it == spaces_.end()) return;
  set_namespace(name, {});
  it->second.exists = false;
  drop_if_idle(name);
}

// --- sets ---

void PolicyTable::change(Group& g, const Element& e, bool added) {
  if (!g.told) return;  // it is told whole
  auto [it, fresh] = g.changed.emplace(e, added);
  if (!fresh) g.changed.erase(it);  // there and back
}

std::vector<Element> PolicyTable::elements_of(const Group& g, const PodFacts& pod) {
  std::vector<Element> out;
  for (IpAddress ip : pod.ips) {
    if (g.choice) {
      out.push_back({ip, 0});
      continue;
    }
    for (const PodPort& p : pod.ports) {
      if (g.has_port(p)) out.push_back({ip, p.port});
    }
  }
  return out;
}

void PolicyTable::enter(Group& g, Pod& pod) {
  for (const Element& e : elements_of(g, pod.facts)) {
    if (++g.members[e] == 1) change(g, e, true);
  }
  pod.in.push_back(&g);
  touched_groups_.insert(&g);
}

void PolicyTable::leave_all(Pod& pod) {
  for (Group* g : pod.in) {
    for (const Element& e : elements_of(*g, pod.facts)) {
      auto it = g->members.find(e);
      if (it == g->members.end() || --it->second > 0) continue;
      g->members.erase(it);
      change(*g, e, false);
    }
    touched_groups_.insert(g);
  }
  pod.in.clear();
}

bool PolicyTable::chooses(const Group& g, const Space& s, const Pod& pod) const {
  if (pod.facts.ips.empty()) return false;
  if (!g.choice) {
    return std::any_of(pod.facts.ports.begin(), pod.facts.ports.end(),
                       [&](const PodPort& p) { return g.has_port(p); });
  }
  if (g.choice->ns && *g.choice->ns != pod.facts.ns) return false;
  if (!g.choice->ns && !matches(g.choice->namespaces, s.labels)) return false;
  return matches(g.choice->pods, pod.facts.labels);
}

void PolicyTable::join_all(const Space& s, Pod& pod) {
  auto join = [&](const std::set<Group*>& groups) {
    for (Group* g : groups) {
      const bool already = std::find(pod.in.begin(), pod.in.end(), g) != pod.in.end();
      if (!already && chooses(*g, s, pod)) enter(*g, pod);
    }
  };
  join(groups_anywhere_);
  if (auto it = groups_in_.find(pod.facts.ns); it != groups_in_.end()) join(it->second);
  for (const PodPort& p : pod.facts.ports) {
    if (auto it = groups_of_port_.find(p.name); it != groups_of_port_.end()) join(it->second);
  }
}

PolicyTable::Group& PolicyTable::use_group(const std::string& text, std::string_view kind,
                                           Group fresh, Known& of) {
  const std::string name = hashed(kind, text);
  auto [it, made] = groups_.emplace(name, Group());
  Group& g = it->second;
  ++g.uses;
  of.groups.push_back(name);
  if (!made) return g;
  g.name = name;
  g.choice = std::move(fresh.choice);
  g.protocol = fresh.protocol;
  g.port_names = std::move(fresh.port_names);
  if (!g.choice) {
    for (const std::string& port : g.port_names) groups_of_port_[port].insert(&g);
  } else if (g.choice->ns) {
    groups_in_[*g.choice->ns].insert(&g);
  } else {
    groups_anywhere_.insert(&g);
  }
  touched_groups_.insert(&g);
  auto fill = [&](Space& s) {
    for (auto& [uid, pod] : s.pods) {
      if (chooses(g, s, *pod)) enter(g, *pod);
    }
  };
  if (g.choice && g.choice->ns) {
    auto s = spaces_.find(*g.choice->ns);
    if (s != spaces_.end()) fill(s->second);
  } else {
    for (auto& [ns, s] : spaces_) fill(s);
  }
  return g;
}

// --- pods ---

void PolicyTable::claim(Pod& pod) {
  if (!pod.facts.local) return;
  for (IpAddress ip : pod.facts.ips) {
    owners_[ip].insert({++clock_, &pod});
    touched_addresses_.insert(ip);
  }
}

void PolicyTable::unclaim(const Pod& pod) {
  if (!pod.facts.local) return;
  for (IpAddress ip : pod.facts.ips) {
    auto it = owners_.find(ip);
    if (it == owners_.end()) continue;
    std::erase_if(it->second, [&](const Owner& o) { return o.pod == &pod; });
    if (it->second.empty()) owners_.erase(it);
    touched_addresses_.insert(ip);
  }
}

void PolicyTable::set_pod(PodFacts facts) {
  Space& s = space(facts.ns);
  std::unique_ptr<Pod>& pod = s.pods[facts.uid];
  if (pod && pod->facts == facts) return;
  if (!pod) pod = std::make_unique<Pod>();
  leave_all(*pod);
  // Who keeps his addresses stays in his place among those who claim them.
  const bool moved = pod->facts.ips != facts.ips || pod->facts.local != facts.local;
  if (moved) unclaim(*pod);
  pod->facts = std::move(facts);
  join_all(s, *pod);
  if (moved) claim(*pod);
  if (!pod->facts.local) return;
  for (IpAddress ip : pod->facts.ips) touched_addresses_.insert(ip);
}

void PolicyTable::remove_pod(std::string_view ns, std::string_view uid) {
  auto s = spaces_.find(ns);
  if (s == spaces_.end()) return;
  auto it = s->second.pods.find(uid);
  if (it == s->second.pods.end()) return;
  leave_all(*it->second);
  unclaim(*it->second);
  s->second.pods.erase(it);
  drop_if_idle(ns);
}

void PolicyTable::touch_local_pods(const Space& s) {
  for (const auto& [uid, pod] : s.pods) {
    if (!pod->facts.local) continue;
    touched_addresses_.insert(pod->facts.ips.begin(), pod->facts.ips.end());
  }
}

// --- policies ---

std::vector<PlainRule> PolicyTable::plain(const std::vector<Rule>& rules, Known& of) {
  std::vector<PlainRule> out;
  for (const Rule& r : rules) {
    PlainRule p;
    p.everyone = r.everyone;
    p.every_port = r.every_port;
    p.blocks = r.blocks;
    for (const PodChoice& c : r.pods) {
      Group fresh;
      fresh.choice = c;
      p.pods.push_back(use_group(c.text(), "pods", std::move(fresh), of).name);
    }
    // One set for all names of a protocol: each peer is asked for it, not for each of them.
    std::map<Protocol, std::set<std::string>> named;
    for (const PortChoice& c : r.ports) {
      if (c.name.empty()) {
        p.ports.push_back(c);
      } else {
        named[c.protocol].insert(c.name);
      }
    }
    for (auto& [protocol, names] : named) {
      std::string text(proxy::protocol_text(protocol));
      for (const std::string& name : names) text += "\n" + name;  // no name contains a newline
      Group fresh;
      fresh.protocol = protocol;
      fresh.port_names = std::move(names);
      PortChoice choice;
      choice.protocol = protocol;
      choice.name = use_group(text, "port", std::move(fresh), of).name;
      p.ports.push_back(std::move(choice));
    }
    out.push_back(std::move(p));
  }
  return out;
}

void PolicyTable::set_policy(std::string_view name, Policy facts) {
  Space& s = space(facts.ns);
  const std::string ns = facts.ns;
  auto [it, made] = s.policies.try_emplace(std::string(name));
  if (made) ++policies_;
  Known old = std::move(it->second);
  Known& now = it->second;
  now = Known();
  now.name = name;
  now.facts = std::move(facts);
  now.told_ingress = old.told_ingress;
  now.told_egress = old.told_egress;
  // What both use stays.
  now.ingress = plain(now.facts.ingress, now);
  now.egress = plain(now.facts.egress, now);
  release(old);
  touched_policies_.insert({ns, std::string(name)});
  touch_local_pods(s);
}

void PolicyTable::release(Known& policy) {
  for (const std::string& name : policy.groups) {
    auto it = groups_.find(name);
    if (it == groups_.end() || --it->second.uses > 0) continue;
    Group& g = it->second;
    for (auto& [ns, s] : spaces_) {
      if (g.choice && g.choice->ns && *g.choice->ns != ns) continue;
      for (auto& [uid, pod] : s.pods) std::erase(pod->in, &g);
    }
    auto forget = [&](auto& index, const std::string& key) {
      auto at = index.find(key);
      if (at == index.end()) return;
      at->second.erase(&g);
      if (at->second.empty()) index.erase(at);
    };
    if (!g.choice) {
      for (const std::string& port : g.port_names) forget(groups_of_port_, port);
    } else if (g.choice->ns) {
      forget(groups_in_, *g.choice->ns);
    } else {
      groups_anywhere_.erase(&g);
    }
    touched_groups_.erase(&g);
    if (g.told) dropped_groups_.push_back(name);
    groups_.erase(it);
  }
  policy.groups.clear();
}

void PolicyTable::remove_policy(std::string_view ns, std::string_view name) {
  auto s = spaces_.find(ns);
  if (s == spaces_.end()) return;
  auto it = s->second.policies.find(name);
  if (it == s->second.policies.end()) return;
  Known& policy = it->second;
  const std::string in(ns), named(name);
  if (policy.told_ingress) dropped_chains_.push_back(chain_of(Direction::kIngress, in, named));
  if (policy.told_egress) dropped_chains_.push_back(chain_of(Direction::kEgress, in, named));
  release(policy);
  s->second.policies.erase(it);
  --policies_;
  touched_policies_.erase({in, named});
  touch_local_pods(s->second);
  drop_if_idle(in);
}

// --- what has changed ---

PolicyTable::Verdict PolicyTable::verdict(
    const Pod& pod, std::map<std::string, std::vector<std::string>>& profiles) const {
  Verdict out;
  out.here = true;
  auto s = spaces_.find(pod.facts.ns);
  if (s == spaces_.end()) return out;
  std::vector<std::string> in, from;
  for (const auto& [name, policy] : s->second.policies) {
    if (!matches(policy.facts.pods, pod.facts.labels)) continue;
    if (policy.facts.isolates_ingress) {
      in.push_back(chain_of(Direction::kIngress, pod.facts.ns, name));
    }
    if (policy.facts.isolates_egress) {
      from.push_back(chain_of(Direction::kEgress, pod.facts.ns, name));
    }
  }
  auto profile = [&](std::string_view kind, std::vector<std::string>& chains) {
    if (chains.empty()) return std::string();
    std::string all;
    for (const std::string& c : chains) all += c + " ";
    std::string name = hashed(kind, all);
    profiles[name] = std::move(chains);
    return name;
  };
  out.ingress = profile("pods-in", in);
  out.egress = profile("pods-out", from);
  return out;
}

bool PolicyTable::selects(std::string_view ns, std::string_view uid) const {
  auto s = spaces_.find(ns);
  if (s == spaces_.end()) return false;
  auto pod = s->second.pods.find(uid);
  if (pod == s->second.pods.end()) return false;
  return std::any_of(s->second.policies.begin(), s->second.policies.end(), [&](const auto& p) {
    return matches(p.second.facts.pods, pod->second->facts.labels);
  });
}

void PolicyTable::take_groups(Changes& out) {
  for (Group* g : std::exchange(touched_groups_, {})) {
    Changes::Set set{g->name, !g->choice, !g->told, {}, {}};
    if (!g->told) {
      for (const auto& [e, uses] : g->members) set.added.push_back(e);
    }
    for (const auto& [e, there] : g->changed) (there ? set.added : set.removed).push_back(e);
    g->changed.clear();
    g->told = true;
    if (set.made || !set.added.empty() || !set.removed.empty()) out.sets.push_back(std::move(set));
  }
  // A set of pointers has no order that a test or a reader could know.
  std::sort(out.sets.begin(), out.sets.end(),
            [](const Changes::Set& a, const Changes::Set& b) { return a.name < b.name; });
}

void PolicyTable::take_chains(Changes& out) {
  for (const auto& [ns, name] : std::exchange(touched_policies_, {})) {
    auto s = spaces_.find(ns);
    if (s == spaces_.end()) continue;
    auto it = s->second.policies.find(name);
    if (it == s->second.policies.end()) continue;
    Known& policy = it->second;
    auto tell = [&](Direction d, bool wanted, bool& told, const std::vector<PlainRule>& rules) {
      std::string chain = chain_of(d, ns, name);
      if (wanted) {
        out.chains.push_back({std::move(chain), d, !told, rules, ns + "/" + name});
      } else if (told) {
        out.dropped_chains.push_back(std::move(chain));
      }
      told = wanted;
    };
    tell(Direction::kIngress, policy.facts.isolates_ingress, policy.told_ingress, policy.ingress);
    tell(Direction::kEgress, policy.facts.isolates_egress, policy.told_egress, policy.egress);
  }
}

void PolicyTable::take_addresses(Changes& out) {
  std::map<std::string, std::vector<std::string>> chains;
  std::set<std::string> left;
  for (IpAddress ip : std::exchange(touched_addresses_, {})) {
    auto owner = owners_.find(ip);
    Verdict now;
    if (owner != owners_.end()) now = verdict(*owner->second.rbegin()->pod, chains);
    auto before = told_.find(ip);
    const Verdict old = before == told_.end() ? Verdict() : before->second;
    if (old == now) continue;
    out.addresses.push_back(
        {ip, old.ingress, old.egress, now.ingress, now.egress, old.here, now.here});
    for (const std::string* name : {&now.ingress, &now.egress}) {
      if (name->empty()) continue;
      Profile& p = profiles_[*name];
      if (p.uses++ > 0 || left.contains(*name)) continue;
      p.chains = chains[*name];
      out.profiles.push_back({*name, p.chains});
    }
    for (const std::string* name : {&old.ingress, &old.egress}) {
      if (!name->empty() && --profiles_[*name].uses == 0) left.insert(*name);
    }
    if (now == Verdict()) {
      told_.erase(ip);
    } else {
      told_[ip] = now;
    }
  }
  for (const std::string& name : left) {
    auto it = profiles_.find(name);
    if (it->second.uses > 0) continue;
    profiles_.erase(it);
    out.dropped_profiles.push_back(name);
  }
}

Changes PolicyTable::take() {
  Changes out;
  if (told_nothing_) {
    out.everything = true;
    told_.clear();
    profiles_.clear();
    dropped_chains_.clear();
    dropped_groups_.clear();
    for (auto& [name, g] : groups_) {
      g.told = false;
      g.changed.clear();
      touched_groups_.insert(&g);
    }
    for (auto& [ns, s] : spaces_) {
      for (auto& [name, policy] : s.policies) {
        policy.told_ingress = policy.told_egress = false;
        touched_policies_.insert({ns, name});
      }
    }
    for (const auto& [ip, owners] : owners_) touched_addresses_.insert(ip);
    told_nothing_ = false;
  }
  take_groups(out);
  take_chains(out);
  take_addresses(out);
  for (std::string& name : std::exchange(dropped_chains_, {})) {
    auto same = [&](const Changes::Chain& c) { return c.name == name; };
    // Dropped and made again meanwhile: it is filled anew.
    if (std::any_of(out.chains.begin(), out.chains.end(), same)) continue;
    out.dropped_chains.push_back(std::move(name));
  }
  for (std::string& name : std::exchange(dropped_groups_, {})) {
    if (!groups_.contains(name)) out.dropped_sets.push_back(std::move(name));
  }
  return out;
}

}  // namespace keles::policy
