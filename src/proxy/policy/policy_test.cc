#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <random>

#include "base/sim_loop.h"
#include "client/testing/fake_client.h"
#include "machinery/codec_yaml.h"
#include "net/host/nftables.h"
#include "proxy/policy/enforcer.h"
#include "proxy/policy/packet_world.h"
#include "proxy/policy/ruleset.h"
#include "proxy/proxy.h"
#include "proxy/ruleset.h"
#include "proxy/services.h"

namespace keles::policy {
namespace {

using testing::HasSubstr;
using testing::Not;

IpAddress ip(std::string_view text) { return IpAddress::parse(text).value_or(IpAddress()); }

// What a kernel would do that carried out the changes one by one.
struct Model {
  std::map<std::string, std::set<Element>> sets;
  std::map<std::string, std::vector<PlainRule>> chains;
  std::map<std::string, std::vector<std::string>> profiles;
  std::map<IpAddress, std::pair<std::string, std::string>> addresses;
  bool operator==(const Model& o) const {
    auto names = [](const auto& map) {
      std::set<std::string> out;
      for (const auto& [name, value] : map) out.insert(name);
      return out;
    };
    return sets == o.sets && names(chains) == names(o.chains) && profiles == o.profiles &&
           addresses == o.addresses;
  }

  void apply(const Changes& c) {
    if (c.everything) *this = {};
    for (const auto& s : c.sets) {
      EXPECT_TRUE(s.made || sets.contains(s.name)) << s.name;
      if (s.made) sets[s.name].clear();
      for (const Element& e : s.removed) EXPECT_EQ(sets[s.name].erase(e), 1u) << e.ip.text();
      for (const Element& e : s.added) EXPECT_TRUE(sets[s.name].insert(e).second) << e.ip.text();
    }
    for (const auto& chain : c.chains) {
      EXPECT_TRUE(chain.made || chains.contains(chain.name));
      chains[chain.name] = chain.rules;
      for (const PlainRule& r : chain.rules) {
        for (const auto& set : r.pods) EXPECT_TRUE(sets.contains(set));
      }
    }
    for (const auto& p : c.profiles) {
      profiles[p.name] = p.chains;
      for (const auto& chain : p.chains) EXPECT_TRUE(chains.contains(chain));
    }
    for (const auto& a : c.addresses) {
      auto& now = addresses[a.ip];
      EXPECT_EQ(now, std::pair(a.ingress_before, a.egress_before));
      now = {a.ingress, a.egress};
      if (a.ingress.empty() && a.egress.empty()) addresses.erase(a.ip);
    }
    for (const auto& name : c.dropped_profiles) {
      for (const auto& [at, v] : addresses) EXPECT_TRUE(v.first != name && v.second != name);
      EXPECT_EQ(profiles.erase(name), 1u);
    }
    for (const auto& name : c.dropped_chains) {
      for (const auto& [p, all] : profiles) EXPECT_THAT(all, Not(testing::Contains(name)));
      EXPECT_EQ(chains.erase(name), 1u);
    }
    for (const auto& name : c.dropped_sets) {
      for (const auto& [chain, rules] : chains) {
        for (const PlainRule& r : rules) EXPECT_THAT(r.pods, Not(testing::Contains(name)));
      }
      EXPECT_EQ(sets.erase(name), 1u);
    }
  }

  bool peer_matches(const PlainRule& r, IpAddress peer) const {
    if (r.everyone) return true;
    for (const auto& set : r.pods) {
      if (sets.at(set).contains({peer, 0})) return true;
    }
    for (const AddressBlock& b : r.blocks) {
      auto out = [&](const IpPrefix& p) { return p.contains(peer); };
      if (b.range.contains(peer) && std::none_of(b.except.begin(), b.except.end(), out)) {
        return true;
      }
    }
    return false;
  }

  bool port_matches(const PlainRule& r, IpAddress to, Protocol protocol, uint16_t port) const {
    if (r.every_port) return true;
    for (const PortChoice& c : r.ports) {
      if (c.protocol != protocol) continue;
      if (!c.name.empty()) {
        if (sets.at(c.name).contains({to, port})) return true;
      } else if (c.first == 0 || (c.first <= port && port <= c.last)) {
        return true;
      }
    }
    return false;
  }

  bool allowed(const std::string& profile, IpAddress peer, IpAddress to, Protocol protocol,
               uint16_t port) const {
    if (profile.empty()) return true;
    for (const auto& chain : profiles.at(profile)) {
      for (const PlainRule& r : chains.at(chain)) {
        if (peer_matches(r, peer) && port_matches(r, to, protocol, port)) return true;
      }
    }
    return false;
  }

  bool may(IpAddress from, IpAddress to, Protocol protocol, uint16_t port) const {
    if (from == to) return true;
    auto verdict = [&](IpAddress at) {
      auto it = addresses.find(at);
      return it == addresses.end() ? std::pair<std::string, std::string>() : it->second;
    };
    return allowed(verdict(from).second, to, to, protocol, port) &&
           allowed(verdict(to).first, from, to, protocol, port);
  }
};

PodFacts pod(const std::string& ns, const std::string& name, const std::string& address) {
  PodFacts f;
  f.ns = ns;
  f.name = name;
  f.uid = ns + "/" + name;
  f.labels = {{"pod", name}};
  f.ips = {ip(address)};
  f.ports = {{"web", Protocol::kTcp, static_cast<uint16_t>(name == "a" ? 80 : 81)}};
  f.local = true;
  return f;
}

Policy policy(const std::string& spec, const std::string& ns = "x") {
  Result<Document> d = parse_yaml("metadata: {name: p, namespace: " + ns + "}\nspec: " + spec);
  EXPECT_TRUE(d.ok()) << d.status().to_string() << spec;
  return policy_facts(api::networking_v1::NetworkPolicy(d->root));
}

const std::map<std::string, std::string> kPods{
    {"x/a", "10.0.0.1"}, {"x/b", "10.0.0.2"}, {"x/c", "10.0.0.3"}, {"y/a", "10.0.1.1"},
    {"y/b", "10.0.1.2"}, {"z/a", "10.0.2.1"}, {"out", "192.0.2.9"}};

void fill(PolicyTable& t) {
  for (const char* ns : {"x", "y", "z"}) t.set_namespace(ns, {{"ns", ns}});
  for (const auto& [name, address] : kPods) {
    if (name != "out") t.set_pod(pod(name.substr(0, 1), name.substr(2), address));
  }
}

// "x/b>x/a:80" or ":u53", ":s9".
bool may(const Model& m, const std::string& text) {
  const size_t gt = text.find('>'), colon = text.find(':');
  std::string port = text.substr(colon + 1);
  Protocol protocol = port[0] == 'u'   ? Protocol::kUdp
                      : port[0] == 's' ? Protocol::kSctp
                                       : Protocol::kTcp;
  if (protocol != Protocol::kTcp) port.erase(0, 1);
  return m.may(ip(kPods.at(text.substr(0, gt))), ip(kPods.at(text.substr(gt + 1, colon - gt - 1))),
               protocol, static_cast<uint16_t>(std::stoi(port)));
}

TEST(PolicyTable, AllowsWhatIsSaidAndNoMore) {
  struct Case {
    std::string what;
    std::vector<std::string> policies;  // of namespace x
    std::vector<std::string> allowed, denied;
  };
  const Case cases[] = {
      {"no policy", {}, {"y/a>x/a:80", "out>x/a:80"}, {}},
      {"deny all ingress",
       {"{podSelector: {}, policyTypes: [Ingress]}"},
       {"x/a>y/a:80", "x/a>out:80", "y/a>y/b:1"},
       {"x/a>x/b:80", "y/a>x/a:80", "out>x/a:80", "y/a>x/a:u53"}},
      {"deny all egress",
       {"{podSelector: {}, policyTypes: [Egress]}"},
       {"y/a>x/a:80", "out>x/a:80"},
       {"x/a>x/b:80", "x/a>y/a:80", "x/a>out:u53"}},
      {"types from the rules",
       {"{podSelector: {}, egress: [{}]}"},
       {"x/a>y/a:80"},
       {"y/a>x/a:80", "x/a>x/b:80"}},
      {"only some pods",
       {"{podSelector: {matchLabels: {pod: a}}, policyTypes: [Ingress]}"},
       {"x/a>x/b:80", "y/a>x/b:80"},
       {"x/b>x/a:80"}},
      {"by expressions",
       {"{podSelector: {matchExpressions: [{key: pod, operator: NotIn, values: [a]}]}}"},
       {"x/b>x/a:80"},
       {"x/a>x/b:80", "x/a>x/c:80"}},
      {"pods of its namespace",
       {"{podSelector: {matchLabels: {pod: a}}, ingress: [{from: [{podSelector: {matchLabels: "
        "{pod: b}}}]}]}"},
       {"x/b>x/a:80", "x/b>x/a:u9"},
       {"x/c>x/a:80", "y/b>x/a:80"}},
      {"pods of other namespaces: both selectors",
       {"{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: 'y'}}, "
        "podSelector: {matchLabels: {pod: b}}}]}]}"},
       {"y/b>x/a:80"},
       {"y/a>x/a:80", "x/b>x/a:80", "z/a>x/a:80"}},
      {"either selector",
       {"{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: 'y'}}}, "
        "{podSelector: {matchLabels: {pod: b}}}]}]}"},
       {"y/b>x/a:80", "y/a>x/a:80", "x/b>x/a:80"},
       {"z/a>x/a:80", "x/c>x/a:80", "out>x/a:80"}},
      {"every namespace",
       {"{podSelector: {}, ingress: [{from: [{namespaceSelector: {}}]}]}"},
       {"y/b>x/a:80", "z/a>x/a:80", "x/c>x/a:80"},
       {"out>x/a:80"}},
      {"ports and ranges",
       {"{podSelector: {}, ingress: [{ports: [{port: 80}, {port: 100, endPort: 200, protocol: "
        "UDP}, "
        "{protocol: SCTP}]}]}"},
       {"y/a>x/a:80", "y/a>x/a:u100", "y/a>x/a:u200", "y/a>x/a:s7"},
       {"y/a>x/a:81", "y/a>x/a:u99", "y/a>x/a:u201", "y/a>x/a:u80"}},
      {"named ports are each pod's own",
       {"{podSelector: {}, ingress: [{ports: [{port: web}]}]}"},
       {"y/a>x/a:80", "y/a>x/b:81"},
       {"y/a>x/a:81", "y/a>x/b:80", "y/a>x/a:u80"}},
      {"named ports of egress are the others'",
       {"{podSelector: {}, egress: [{ports: [{port: web}]}], policyTypes: [Egress]}"},
       {"x/a>y/a:80", "x/a>y/b:81"},
       {"x/a>y/a:81", "x/a>out:80"}},
      {"a port that nobody has by that name",
       {"{podSelector: {}, ingress: [{ports: [{port: nobody}]}]}"},
       {},
       {"y/a>x/a:80", "y/a>x/b:81"}},
      {"blocks with exceptions",
       {"{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.0.1.0/31, "
        "10.0.1.0/24]}}]}]}"},
       {"z/a>x/a:80", "x/b>x/a:80"},
       {"y/a>x/a:80", "y/b>x/a:80", "out>x/a:80"}},
      {"egress to a block",
       {"{podSelector: {}, egress: [{to: [{ipBlock: {cidr: 192.0.2.9/32}}], ports: [{port: 53, "
        "protocol: UDP}]}], policyTypes: [Egress]}"},
       {"x/a>out:u53"},
       {"x/a>out:53", "x/a>y/a:u53"}},
      {"policies add up",
       {"{podSelector: {}, policyTypes: [Ingress]}",
        "{podSelector: {matchLabels: {pod: a}}, ingress: [{ports: [{port: 80}]}]}",
        "{podSelector: {matchLabels: {pod: a}}, ingress: [{from: [{namespaceSelector: "
        "{matchLabels: "
        "{ns: 'z'}}}]}]}"},
       {"y/a>x/a:80", "z/a>x/a:99"},
       {"y/a>x/a:99", "z/a>x/b:80"}},
      {"both ends must allow",
       {"{podSelector: {matchLabels: {pod: a}}, ingress: [{from: [{podSelector: {matchLabels: "
        "{pod: "
        "b}}}]}]}",
        "{podSelector: {matchLabels: {pod: b}}, policyTypes: [Egress], egress: [{ports: [{port: "
        "80}]}]}"},
       {"x/b>x/a:80"},
       {"x/b>x/a:81", "x/b>y/a:81"}},
      {"what cannot be read allows nothing",
       {"{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/99}}]}, {from: [{ipBlock: "
        "{cidr: 10.0.0.0/8, except: [x]}}]}, {ports: [{port: 99999}]}, {from: [{}]}, {from: "
        "[{podSelector: {matchExpressions: [{key: a, operator: Odd}]}}]}]}"},
       {},
       {"y/a>x/a:80", "x/b>x/a:80"}},
  };
  for (const Case& c : cases) {
    PolicyTable t;
    Model m;
    fill(t);
    m.apply(t.take());
    int n = 0;
    for (const std::string& p : c.policies) t.set_policy("p" + std::to_string(n++), policy(p));
    m.apply(t.take());
    for (const auto& text : c.allowed) EXPECT_TRUE(may(m, text)) << c.what << ": " << text;
    for (const auto& text : c.denied) EXPECT_FALSE(may(m, text)) << c.what << ": " << text;
    EXPECT_TRUE(t.take().empty()) << c.what;
    while (n > 0) t.remove_policy("x", "p" + std::to_string(--n));
    m.apply(t.take());
    EXPECT_TRUE(m == Model()) << c.what;
  }
}

TEST(PolicyTable, FollowsPodsAndNamespaces) {
  PolicyTable t;
  Model m;
  fill(t);
  t.set_policy("p", policy("{podSelector: {matchLabels: {pod: a}}, ingress: [{from: "
                           "[{namespaceSelector: {matchLabels: {ns: 'y'}}}]}]}"));
  m.apply(t.take());
  EXPECT_FALSE(may(m, "z/a>x/a:80"));
  t.set_namespace("z", {{"ns", "y"}});
  m.apply(t.take());
  EXPECT_TRUE(may(m, "z/a>x/a:80"));
  // A pod that is relabelled, or gets another address.
  PodFacts b = pod("x", "b", "10.0.0.2");
  b.labels["pod"] = "a";
  t.set_pod(b);
  m.apply(t.take());
  EXPECT_FALSE(may(m, "x/c>x/b:80"));
  b.ips = {ip("10.0.0.9"), ip("fd00::9")};
  t.set_pod(b);
  m.apply(t.take());
  EXPECT_TRUE(may(m, "x/c>x/b:80"));
  EXPECT_FALSE(m.may(ip("10.0.0.3"), ip("10.0.0.9"), Protocol::kTcp, 80));
  EXPECT_FALSE(m.may(ip("fd00::3"), ip("fd00::9"), Protocol::kTcp, 80));
  // An address that another pod has by now is his, whenever the former's end is told.
  PodFacts next = pod("x", "c", "10.0.0.9");
  t.set_pod(next);
  t.remove_pod("x", b.uid);
  m.apply(t.take());
  EXPECT_TRUE(m.may(ip("10.0.0.3"), ip("10.0.0.9"), Protocol::kTcp, 80));
  // Pods of other nodes are peers only.
  PodFacts far = pod("x", "a", "10.0.0.1");
  far.local = false;
  t.set_pod(far);
  m.apply(t.take());
  EXPECT_TRUE(may(m, "x/c>x/a:80"));
}

TEST(PolicyTable, AChangeCostsWhatChanged) {
  PolicyTable t;
  fill(t);
  for (int i = 0; i < 50; ++i) {
    t.set_policy("p" + std::to_string(i),
                 policy("{podSelector: {matchLabels: {pod: a}}, ingress: [{from: [{podSelector: "
                        "{matchLabels: {pod: b}}}], ports: [{port: " +
                        std::to_string(i + 1) + "}]}]}"));
  }
  Changes all = t.take();
  EXPECT_EQ(all.sets.size(), 1u);  // all say the same
  EXPECT_EQ(all.chains.size(), 50u);
  EXPECT_EQ(all.profiles.size(), 1u);
  PodFacts b = pod("x", "b", "10.0.0.22");
  t.set_pod(b);
  Changes c = t.take();
  ASSERT_EQ(c.sets.size(), 1u);
  EXPECT_EQ(c.sets[0].added.size(), 1u);
  EXPECT_EQ(c.sets[0].removed.size(), 1u);
  EXPECT_TRUE(c.chains.empty() && c.profiles.empty());
  EXPECT_EQ(c.addresses.size(), 2u);  // the one he had, and the one he has
  t.set_pod(b);
  EXPECT_TRUE(t.take().empty());
  t.set_policy("p7", policy("{podSelector: {matchLabels: {pod: a}}, ingress: [{}]}"));
  c = t.take();
  EXPECT_EQ(c.chains.size(), 1u);
  EXPECT_TRUE(c.sets.empty() && c.profiles.empty() && c.addresses.empty());
  t.forget();
  EXPECT_EQ(t.take().chains.size(), 50u);
}

// Nobody can look for two texts of one name.
TEST(PolicyTable, NamesAreLong) {
  PolicyTable t;
  fill(t);
  t.set_policy("p", policy("{podSelector: {}, ingress: [{from: [{podSelector: {}}], ports: "
                           "[{port: web}]}], egress: [{}]}"));
  Changes c = t.take();
  std::vector<std::string> names;
  for (const auto& s : c.sets) names.push_back(s.name);
  for (const auto& chain : c.chains) names.push_back(chain.name);
  for (const auto& p : c.profiles) names.push_back(p.name);
  EXPECT_EQ(names.size(), 6u);
  for (const std::string& name : names) {
    EXPECT_GE(name.size() - name.rfind('-') - 1, 32u) << name;
    EXPECT_LE(name.size(), 120u) << name;
  }
}

// What is said often costs once, names of ports cost no rule each, and there is an end to it.
TEST(PolicyRules, DoNotMultiply) {
  auto many = [](size_t n, const std::function<std::string(size_t)>& text) {
    std::string out = "[";
    for (size_t i = 0; i < n; ++i) out += (i == 0 ? "" : ", ") + text(i);
    return out + "]";
  };
  auto peer = [](size_t i) {
    return "{podSelector: {matchLabels: {n: '" + std::to_string(i) + "'}}}";
  };
  auto rules = [](const std::string& ingress) {
    PolicyTable t;
    t.set_policy("p", policy("{podSelector: {}, ingress: " + ingress + "}"));
    const std::string text = policy_rules(t.take());
    size_t n = 0;
    for (size_t at = 0; (at = text.find("add rule", at)) != std::string::npos; ++at) ++n;
    return n;
  };
  const std::string web = "[{port: web}]";
  auto everyone = [](size_t) { return std::string("{podSelector: {}}"); };
  EXPECT_EQ(rules("[{from: " + many(1, everyone) + ", ports: " + web + "}]"), 2u);
  EXPECT_EQ(rules("[{from: " + many(2000, everyone) + ", ports: " + web + "}]"), 2u);
  auto named = [](size_t i) { return "{port: p" + std::to_string(i) + "}"; };
  EXPECT_EQ(rules("[{from: " + many(20, peer) + ", ports: " + many(1000, named) + "}]"), 40u);
  auto block = [](size_t) { return std::string("{ipBlock: {cidr: 10.0.0.0/8}}"); };
  auto number = [](size_t) { return std::string("{port: 80}"); };
  EXPECT_EQ(rules("[{from: " + many(900, block) + ", ports: " + many(900, number) + "}]"), 1u);
  // What goes too far allows nothing, nor does what follows; what came before stays.
  auto each = [](size_t i) { return "{port: " + std::to_string(i + 1) + "}"; };
  const std::string far = "{from: " + many(200, peer) + ", ports: " + many(200, each) + "}";
  EXPECT_EQ(rules("[{ports: [{port: 1}]}, " + far + ", {ports: [{port: 2}]}]"), 1u);
  EXPECT_EQ(rules("[" + far + ", {}]"), 0u);
}

// A step of a random life; the same seed gives the same.
void random_step(std::mt19937& random, PolicyTable& t) {
  static const std::vector<std::string> kSpecs{
      "{podSelector: {}, policyTypes: [Ingress, Egress]}",
      "{podSelector: {matchLabels: {pod: a}}, ingress: [{from: [{podSelector: {matchLabels: {pod: "
      "b}}}], ports: [{port: web}, {port: 80}, {port: 70, endPort: 90}]}]}",
      "{podSelector: {matchLabels: {pod: b}}, egress: [{to: [{namespaceSelector: {}, podSelector: "
      "{matchLabels: {pod: a}}}]}, {ports: [{port: 53, protocol: UDP}, {protocol: SCTP}]}]}",
      "{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.0.1.0/24, "
      "10.0.1.1/32]}}, {ipBlock: {cidr: 'fd00::/8'}}]}], egress: [{}]}",
      "{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: 'y'}}}], ports: "
      "[{port: 1, endPort: 65535}]}]}",
  };
  auto pick = [&](size_t n) { return static_cast<size_t>(random() % n); };
  const std::string ns(1, static_cast<char>('x' + pick(3)));
  const std::string name(1, static_cast<char>('a' + pick(4)));
  switch (pick(6)) {
    case 0:
      t.remove_pod(ns, ns + "/" + name);
      break;
    case 1:
    case 2: {
      PodFacts p = pod(ns, name,
                       "10.0." + std::to_string(ns[0] - 'x') + "." +
                           std::to_string(1 + name[0] - 'a' + 10 * pick(2)));
      p.labels["pod"] = std::string(1, static_cast<char>('a' + pick(3)));
      if (pick(2) == 0) p.ips.push_back(ip("fd00:" + std::to_string(ns[0] - 'x') + "::" + name));
      p.local = pick(4) != 0;
      t.set_pod(p);
      break;
    }
    case 3:
      t.set_namespace(ns, {{"ns", pick(2) == 0 ? "y" : "w"}});
      break;
    case 4:
      t.set_policy(name, policy(kSpecs[pick(kSpecs.size())], ns));
      break;
    default:
      t.remove_policy(ns, name);
  }
}

// Step by step comes what comes from nothing.
TEST(PolicyTable, ComesToTheSameStepByStep) {
  for (unsigned seed = 1; seed <= 40; ++seed) {
    std::mt19937 random(seed);
    PolicyTable t;
    Model m;
    for (int step = 0; step < 60; ++step) {
      for (unsigned n = random() % 3; n > 0; --n) random_step(random, t);
      m.apply(t.take());
    }
    t.forget();
    Model whole;
    whole.apply(t.take());
    EXPECT_TRUE(whole == m) << "seed " << seed;
  }
}

TEST(PolicyRules, HoldNothingThatAUserWrote) {
  PolicyTable t;
  const std::string attack = "x } ; flush ruleset ; add table ip owned {";
  PodFacts p = pod(attack, attack, "10.0.0.1");
  p.ports = {{attack, Protocol::kTcp, 80}};
  p.labels[attack] = attack;
  t.set_pod(p);
  t.set_policy(
      attack, policy("{podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {'" + attack +
                         "': '" + attack + "'}}}], ports: [{port: '" + attack + "'}]}]}",
                     "'" + attack + "'"));
  const std::string text = policy_rules(t.take());
  EXPECT_THAT(text, HasSubstr("10.0.0.1 . 80"));
  EXPECT_THAT(text, Not(HasSubstr("flush ruleset")));
  EXPECT_THAT(text, Not(HasSubstr("owned")));
}

TEST(PodFacts, OfWhomNoPolicyIs) {
  auto ips = [](const std::string& text) {
    Document d = *parse_yaml("metadata: {name: p, namespace: x, uid: u}\n" + text);
    return pod_facts(api::core_v1::Pod(d.root), "here").ips.size();
  };
  EXPECT_EQ(ips("status: {podIP: 10.0.0.1}"), 1u);
  EXPECT_EQ(ips("status: {podIP: 10.0.0.1, podIPs: [{ip: 10.0.0.1}, {ip: 'fd00::1'}]}"), 2u);
  EXPECT_EQ(ips("spec: {hostNetwork: true}\nstatus: {podIP: 10.0.0.1}"), 0u);
  EXPECT_EQ(ips("status: {podIP: 10.0.0.1, phase: Succeeded}"), 0u);
  EXPECT_EQ(ips("status: {podIP: '10.0.0.1 } ; x'}"), 0u);
}

// --- the enforcer, on an API in memory ---

struct EnforcerWorld {
  std::unique_ptr<SimLoop> loop = std::make_unique<SimLoop>(1);
  FakeClient client{*loop};
  std::vector<std::string> applied;
  bool broken = false;
  std::string refuses;  // texts with this in them
  std::unique_ptr<Enforcer> enforcer = std::make_unique<Enforcer>(
      client, "here", [this](Context, std::string text) { return take(this, std::move(text)); });
  Context ctx = Context::root(*loop).child();
  bool ended = false;

  static Task<Status> take(EnforcerWorld* w, std::string text) {
    if (w->broken || (!w->refuses.empty() && text.find(w->refuses) != std::string::npos)) {
      co_return Status::internal("nftables: no");
    }
    w->applied.push_back(std::move(text));
    co_return Status();
  }
  static Task<void> running(EnforcerWorld* w) {
    co_await w->enforcer->run(w->ctx);
    w->ended = true;
  }
  EnforcerWorld() { spawn(*loop, running(this)); }
  ~EnforcerWorld() {
    ctx.cancel();
    loop->run_until([] { return false; }, 1min);
    EXPECT_TRUE(ended);
  }
  std::string all() const {
    std::string out;
    for (const auto& text : applied) out += text;
    return out;
  }
  void add(const std::string& yaml) {
    client.put_yaml(yaml);
    loop->run_until([] { return false; }, 1s);
  }
  // "": admitted.
  std::string admit(const std::string& name, const std::string& address) {
    std::string said = "waits";
    spawn(*loop, asking(this, client.now<api::core_v1::Pod>("x", name), address, &said));
    loop->run_until([] { return false; }, 15s);
    return said;
  }
  static Task<void> asking(EnforcerWorld* w, Ref<api::core_v1::Pod> pod, std::string address,
                           std::string* said) {
    std::vector<std::string> ips;
    ips.push_back(std::move(address));
    Status s = co_await w->enforcer->admit(w->ctx, pod, std::move(ips));
    *said = s.ok() ? "" : s.message();
  }
};

constexpr std::string_view kDeny =
    "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: deny, namespace: x}\n"
    "spec: {podSelector: {}, policyTypes: [Ingress]}";

TEST(Enforcer, AsksForPodsOnlyWhereThereIsAPolicy) {
  EnforcerWorld w;
  w.add("apiVersion: v1\nkind: Namespace\nmetadata: {name: x}");
  w.add(
      "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: x}\nspec: {nodeName: here}\n"
      "status: {podIP: 10.0.0.1}");
  EXPECT_EQ(w.all(), no_policy_rules());
  for (const FakeCall& c : w.client.calls())
    EXPECT_EQ(c.resource, "networkpolicies.networking.k8s.io");
  w.add(std::string(kDeny));
  EXPECT_THAT(w.all(),
              HasSubstr("add element inet keles-policy ingress-4 { 10.0.0.1 : goto pods-in-"));
}

TEST(Enforcer, APodWaitsUntilItIsDecided) {
  EnforcerWorld w;
  w.add(std::string(kDeny));
  w.add("apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: x}\nspec: {nodeName: here}");
  w.broken = true;
  EXPECT_EQ(w.admit("a", "10.0.0.7"), "the pod's network policies are not in force yet");
  w.broken = false;
  EXPECT_EQ(w.admit("a", "10.0.0.7"), "");
  EXPECT_THAT(w.all(), HasSubstr("ingress-4 { 10.0.0.7 : goto pods-in-"));
  // The API's older view does not undo it; when it shows another, that counts in the end.
  w.add(
      "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: x, labels: {a: b}}\n"
      "spec: {nodeName: here}");
  EXPECT_THAT(w.all(), Not(HasSubstr("delete element inet keles-policy ingress-4 { 10.0.0.7")));
  w.client.drop(kind_of<api::core_v1::Pod>(), "x", "a");
  w.loop->run_until([] { return false; }, 1s);
  EXPECT_THAT(w.all(), HasSubstr("delete element inet keles-policy ingress-4 { 10.0.0.7"));
}

// One bad text is no reason to keep the others out of force.
TEST(Enforcer, APolicyThatTheKernelRefusesIsSetAside) {
  for (bool at_start : {true, false}) {
    EnforcerWorld w;
    w.refuses = "th dport { 666 }";
    auto add = [&](const std::string& name, const std::string& port) {
      w.add("apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: " + name +
            ", namespace: x}\nspec: {podSelector: {}, ingress: [{ports: [{port: " + port + "}]}]}");
    };
    if (!at_start) w.add(std::string(kDeny));
    for (int i = 0; i < 5; ++i) add("p" + std::to_string(i), std::to_string(100 + i));
    add("bad", "666");
    for (int i = 5; i < 9; ++i) add("p" + std::to_string(i), std::to_string(100 + i));
    w.add("apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: x}\nspec: {nodeName: here}");
    EXPECT_EQ(w.admit("a", "10.0.0.7"), "");
    EXPECT_TRUE(w.enforcer->in_force());
    for (int i = 0; i < 9; ++i) {
      EXPECT_THAT(w.all(), HasSubstr("th dport { " + std::to_string(100 + i) + " } accept"));
    }
    EXPECT_THAT(w.all(), Not(HasSubstr("666")));
    if (at_start) {
      add("bad", "667");  // mended
      EXPECT_THAT(w.all(), HasSubstr("th dport { 667 } accept"));
    } else {
      w.refuses = "";  // or the kernel was
      w.loop->run_until([] { return false; }, 6min);
      EXPECT_THAT(w.all(), HasSubstr("th dport { 666 } accept"));
    }
    EXPECT_TRUE(w.enforcer->in_force());
  }
}

// Several at once, as after a start: they are found among the others.
TEST(Enforcer, FindsAllThatTheKernelRefuses) {
  EnforcerWorld w;
  w.broken = true;
  w.refuses = "666";
  for (int i = 0; i < 12; ++i) {
    w.add("apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p" +
          std::to_string(i) +
          ", namespace: x}\nspec: {podSelector: {}, ingress: [{ports: [{port: " +
          std::to_string(i % 5 == 2 ? 666 : 100 + i) + "}]}]}");
  }
  EXPECT_FALSE(w.enforcer->in_force());
  w.broken = false;
  w.loop->run_until([] { return false; }, 10s);
  EXPECT_TRUE(w.enforcer->in_force());
  for (int i = 0; i < 12; ++i) {
    if (i % 5 == 2) continue;
    EXPECT_THAT(w.all(), HasSubstr("th dport { " + std::to_string(100 + i) + " } accept"));
  }
}

TEST(Enforcer, APodThatNoPolicySelectsIsNotKeptForEver) {
  EnforcerWorld w;
  w.add(std::string(kDeny));
  w.add("apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: x}\nspec: {nodeName: here}");
  w.broken = true;
  EXPECT_NE(w.admit("a", "10.0.0.7"), "");
  w.add(
      "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: deny, namespace: "
      "x}\n"
      "spec: {podSelector: {matchLabels: {other: pods}}, policyTypes: [Ingress]}");
  EXPECT_EQ(w.admit("a", "10.0.0.7"), "");
}

// Only who may not ask goes without an answer.
TEST(Enforcer, WhilePoliciesAreNotKnownPodsWait) {
  for (Reason why : {Reason::kUnavailable, Reason::kServiceUnavailable, Reason::kTooManyRequests,
                     Reason::kUnauthorized, Reason::kInternalError}) {
    EnforcerWorld w;
    w.client.fail("list", "networkpolicies.networking.k8s.io", Status(why, "no"), 6);
    w.add("apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: x}\nspec: {nodeName: here}");
    EXPECT_EQ(w.admit("a", "10.0.0.7"), "the network policies have not been read yet");
    w.loop->run_until([] { return false; }, 2min);
    EXPECT_EQ(w.admit("a", "10.0.0.7"), "");
  }
}

TEST(Enforcer, WithoutTheRightToReadPoliciesPodsRun) {
  EnforcerWorld w;
  w.client.fail("list", "networkpolicies.networking.k8s.io", Status(Reason::kForbidden, "no"),
                1000);
  w.add("apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: x}\nspec: {nodeName: here}");
  EXPECT_EQ(w.admit("a", "10.0.0.7"), "");
}

TEST(Enforcer, ANameServerThatIsNoPodStandsForThem) {
  EnforcerWorld w;
  w.add(
      "apiVersion: v1\nkind: Namespace\nmetadata: {name: kube-system, labels: "
      "{kubernetes.io/metadata.name: kube-system}}");
  w.add(
      "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\naddressType: IPv4\nmetadata: {name: "
      "kube-dns, namespace: kube-system, labels: {kubernetes.io/service-name: kube-dns}}\n"
      "endpoints: [{addresses: [172.18.0.2]}]\nports: [{name: dns, port: 53, protocol: UDP}]");
  w.add(
      "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: dns, namespace: "
      "x}\nspec: {podSelector: {}, egress: [{to: [{namespaceSelector: {matchLabels: "
      "{kubernetes.io/metadata.name: kube-system}}, podSelector: {matchLabels: {k8s-app: "
      "kube-dns}}}]}], policyTypes: [Egress]}");
  EXPECT_THAT(w.all(), HasSubstr("-4 { 172.18.0.2 }"));
}

// --- the kernel ---

// It has the last word on the grammar, and on the order of what refers to what.
TEST(Kernel, AcceptsEveryStep) {
  if (!in_own_network([] {
        std::mt19937 random(7);
        PolicyTable t;
        for (int step = 0; step < 150; ++step) {
          for (unsigned n = random() % 3; n > 0; --n) random_step(random, t);
          const std::string text = policy_rules(t.take());
          if (text.empty()) continue;
          Status s = apply_nftables(text);
          ASSERT_TRUE(s.ok()) << s.to_string() << "\n" << text;
        }
        EXPECT_TRUE(apply_nftables(no_policy_rules()).ok());
      })) {
    GTEST_SKIP() << "needs root, for a network namespace of its own";
  }
}

// What is to pass passes in the end, however loaded the machine is.
bool passes(const std::function<bool()>& tried) {
  for (int i = 0; i < 20; ++i) {
    if (tried()) return true;
  }
  return false;
}

// a, b and c on a router that enforces: 10.9.0.2, 10.9.1.2, 10.9.2.2, and fd09:N::2.
TEST(Kernel, PacketsPassAsPoliciesSay) {
  if (!in_own_network([] {
        PacketWorld w(3);
        ASSERT_TRUE(w.ok()) << w.problem();
        PolicyTable t;
        t.set_namespace("x", {});
        const std::vector<std::string> names{"a", "b", "c"};
        for (int i = 0; i < 3; ++i) {
          PodFacts p = pod("x", names[static_cast<size_t>(i)], w.address(i));
          p.ips.push_back(ip(w.address6(i)));
          p.ports = {{"web", Protocol::kTcp, 8080}};
          t.set_pod(p);
        }
        auto step = [&](const std::string& spec) {
          t.set_policy("p", policy(spec));
          Status s = apply_nftables(policy_rules(t.take()));
          ASSERT_TRUE(s.ok()) << s.to_string();
        };
        for (bool v6 : {false, true}) {
          EXPECT_TRUE(passes([&] { return w.connects(1, 0, 8080, v6); }));
          // Only b, only that port, and replies come back.
          step(
              "{podSelector: {matchLabels: {pod: a}}, ingress: [{from: [{podSelector: "
              "{matchLabels: "
              "{pod: b}}}], ports: [{port: web}, {port: 9000, protocol: UDP}]}]}");
          EXPECT_TRUE(passes([&] { return w.connects(1, 0, 8080, v6); }));
          EXPECT_TRUE(passes([&] { return w.udp(1, 0, 9000, v6); }));
          EXPECT_FALSE(w.connects(2, 0, 8080, v6));
          EXPECT_FALSE(w.connects(1, 0, 8081, v6));
          EXPECT_FALSE(w.udp(1, 0, 9001, v6));
          EXPECT_TRUE(passes([&] { return w.connects(0, 2, 8080, v6); }));
          // The node itself is never kept out.
          EXPECT_TRUE(passes([&] { return w.connects(PacketWorld::kRouter, 0, 8081, v6); }));
          // A connection that was allowed ends when it no longer is.
          std::unique_ptr<PacketWorld::Connection> held;
          EXPECT_TRUE(passes([&] { return (held = w.open(1, 0, 8080, v6)) != nullptr; }));
          ASSERT_TRUE(held);
          EXPECT_TRUE(passes([&] { return held->echoes(); }));
          step("{podSelector: {matchLabels: {pod: a}}, policyTypes: [Ingress]}");
          EXPECT_FALSE(held->echoes());
          // Egress, with a block and what it leaves out.
          step(
              "{podSelector: {matchLabels: {pod: b}}, policyTypes: [Egress], egress: [{to: "
              "[{ipBlock: "
              "{cidr: 10.9.0.0/16, except: [10.9.2.0/24]}}, {ipBlock: {cidr: 'fd09::/16', except: "
              "['fd09:2::/32']}}]}]}");
          EXPECT_TRUE(passes([&] { return w.connects(1, 0, 8080, v6); }));
          EXPECT_FALSE(w.connects(1, 2, 8080, v6));
          EXPECT_TRUE(passes([&] { return w.connects(2, 1, 8080, v6); }));  // replies are no egress
          t.remove_policy("x", "p");
          ASSERT_TRUE(apply_nftables(policy_rules(t.take())).ok());
        }
      })) {
    GTEST_SKIP() << "needs root, for a network namespace of its own";
  }
}

// Pods of one node are neighbours on a bridge: they have ways that no router sees.
TEST(Kernel, NeighboursOnABridgeAreJudged) {
  if (!in_own_network([] {
        if (!proxy::bridge_passes_ip_hooks()) GTEST_SKIP() << "needs br_netfilter";
        PacketWorld w(3, kPodBridge);
        ASSERT_TRUE(w.ok()) << w.problem();
        const std::string other = "10.9.77.7", other6 = "fd09:77::7";  // c's, and nobody knows
        w.add_address(2, other + "/16");
        w.add_address(2, other6 + "/8");  // short: chosen only by who asks for it
        struct Way {
          std::string what, to, from;
        };
        const std::string near = w.link_local(0);
        ASSERT_NE(near, "");
        // From c to a (or to all).
        const std::vector<Way> ways{
            {"link-local", near, ""},
            {"all nodes", "ff02::1%eth0", ""},
            {"all nodes, from a pod's address", "ff02::1%eth0", w.address6(2)},
            {"broadcast", "10.9.255.255", ""},
            {"another's source", w.address(0), other},
            {"another's source", w.address6(0), other6}};
        for (const Way& way : ways) {
          EXPECT_TRUE(passes([&] { return w.answers(2, way.to, 9000, way.from); }))
              << way.what << " " << way.to;
        }
        PolicyTable t;
        t.set_namespace("x", {});
        const std::vector<std::string> names{"a", "b", "c"};
        for (int i = 0; i < 3; ++i) {
          PodFacts p = pod("x", names[static_cast<size_t>(i)], w.address(i));
          p.ips.push_back(ip(w.address6(i)));
          t.set_pod(p);
        }
        auto step = [&](const std::string& spec) {
          t.set_policy("p", policy(spec));
          Status s = apply_nftables(policy_rules(t.take()));
          ASSERT_TRUE(s.ok()) << s.to_string();
        };
        // The block is what the source pretends to be.
        step(
            "{podSelector: {matchLabels: {pod: a}}, ingress: [{from: [{podSelector: {matchLabels: "
            "{pod: b}}}, {ipBlock: {cidr: 10.9.77.0/24}}, {ipBlock: {cidr: 'fd09:77::/32'}}]}]}");
        for (bool v6 : {false, true}) {
          EXPECT_TRUE(passes([&] { return w.connects(1, 0, 8080, v6); }));
          EXPECT_TRUE(passes([&] { return w.udp(1, 0, 9000, v6); }));
          EXPECT_FALSE(w.connects(2, 0, 8080, v6));
          EXPECT_FALSE(w.udp(2, 0, 9000, v6));
          EXPECT_TRUE(passes([&] { return w.connects(2, 1, 8080, v6); }));
          EXPECT_TRUE(passes([&] { return w.connects(0, 2, 8080, v6); }));
          EXPECT_TRUE(passes([&] { return w.connects(PacketWorld::kRouter, 0, 8080, v6); }));
        }
        for (const Way& way : ways) {
          EXPECT_FALSE(w.answers(2, way.to, 9000, way.from)) << way.what << " " << way.to;
        }
        // Nor does another's source lead out of egress that allows nothing.
        step("{podSelector: {matchLabels: {pod: c}}, policyTypes: [Egress]}");
        EXPECT_FALSE(w.answers(2, w.address(1), 9000));
        EXPECT_FALSE(w.answers(2, w.address(1), 9000, other));
        EXPECT_FALSE(w.answers(2, w.address6(1), 9000, other6));
        EXPECT_TRUE(passes([&] { return w.answers(1, w.address(2), 9000); }));
        // A pod that ends takes its address with it.
        t.remove_pod("x", "x/b");
        ASSERT_TRUE(apply_nftables(policy_rules(t.take())).ok());
        EXPECT_FALSE(w.connects(1, 0, 8080, false));
      })) {
    GTEST_SKIP() << "needs root, for a network namespace of its own";
  }
}

// The proxy's rules with packets: a service of a and b in both families, and what a policy sees of
// it.
TEST(Kernel, ServicesLeadPacketsToTheirEndpoints) {
  if (!in_own_network([] {
        PacketWorld w(3);
        ASSERT_TRUE(w.ok()) << w.problem();
        PolicyTable policies;
        PodFacts a = pod("x", "a", w.address(0));
        a.ips.push_back(ip(w.address6(0)));
        policies.set_pod(a);
        ASSERT_TRUE(apply_nftables(policy_rules(policies.take())).ok());
        for (bool v6 : {false, true}) {
          proxy::ServiceTable table("here", v6);
          proxy::RulesetOptions options;
          options.v6 = v6;
          options.cluster_cidr = proxy::parse_range(v6 ? "fd09::/16" : "10.9.0.0/16", v6);
          options.node_port_ips = {ip(v6 ? "fd09:2::1" : "10.9.2.1")};
          proxy::Ruleset rules(options);
          rules.reset();
          const std::string vip = v6 ? "fd96::1" : "10.96.0.1";
          auto service = [&](const std::string& more) {
            Document d = *parse_yaml(
                "metadata: {name: web, namespace: it}\nspec: {type: NodePort, clusterIP: '" + vip +
                "', ports: [{port: 80, nodePort: 30080}]" + more + "}");
            table.set_service(api::core_v1::Service(d.root));
          };
          auto endpoints = [&](const std::vector<int>& hosts) {
            std::string text = std::string(
                                   "metadata: {name: s, namespace: it, labels: "
                                   "{kubernetes.io/service-name: web}}\naddressType: ") +
                               (v6 ? "IPv6" : "IPv4") + "\nports: [{port: 8080}]\nendpoints:\n";
            for (int h : hosts) {
              text += "- {addresses: ['" + (v6 ? w.address6(h) : w.address(h)) +
                      "'], nodeName: here}\n";
            }
            Document d = *parse_yaml(text);
            table.set_slice(api::discovery_v1::EndpointSlice(d.root));
          };
          auto step = [&] {
            rules.update("it/web", table.forwards("it/web"), table.local_ips("it/web"));
            Status s = apply_nftables(rules.take());
            ASSERT_TRUE(s.ok()) << s.to_string();
          };
          service("");
          step();
          EXPECT_FALSE(w.reaches(2, vip, 80));
          endpoints({0, 1});
          step();
          for (int i = 0; i < 8; ++i)
            EXPECT_TRUE(passes([&] { return w.reaches(2, vip, 80); })) << i;
          EXPECT_FALSE(w.reaches(2, vip, 81));  // refused: not the service's
          EXPECT_TRUE(passes([&] { return w.reaches(2, v6 ? "fd09:2::1" : "10.9.2.1", 30080); }));
          EXPECT_FALSE(
              w.reaches(2, v6 ? "fd09:1::1" : "10.9.1.1", 30080));  // no address of node ports
          // Who is the service himself reaches himself.
          endpoints({0});
          step();
          for (int i = 0; i < 4; ++i)
            EXPECT_TRUE(passes([&] { return w.reaches(0, vip, 80); })) << i;
          // Policies see the endpoint, not the service.
          policies.set_policy("p", policy("{podSelector: {}, ingress: [{ports: [{port: 8080}]}]}"));
          ASSERT_TRUE(apply_nftables(policy_rules(policies.take())).ok());
          EXPECT_TRUE(passes([&] { return w.reaches(2, vip, 80); }));
          policies.set_policy("p", policy("{podSelector: {}, ingress: [{ports: [{port: 80}]}]}"));
          ASSERT_TRUE(apply_nftables(policy_rules(policies.take())).ok());
          EXPECT_FALSE(w.reaches(2, vip, 80));
          EXPECT_TRUE(passes([&] { return w.reaches(0, vip, 80); }));  // itself
          policies.remove_policy("x", "p");
          ASSERT_TRUE(apply_nftables(policy_rules(policies.take())).ok());
          // Affinity comes and goes; clients stay with theirs.
          service(", sessionAffinity: ClientIP");
          endpoints({0, 1});
          step();
          for (int i = 0; i < 4; ++i) EXPECT_TRUE(passes([&] { return w.reaches(2, vip, 80); }));
          endpoints({1});
          step();
          for (int i = 0; i < 4; ++i) EXPECT_TRUE(passes([&] { return w.reaches(2, vip, 80); }));
          service(", externalTrafficPolicy: Local, internalTrafficPolicy: Local");
          step();
          EXPECT_TRUE(passes([&] { return w.reaches(2, vip, 80); }));
          EXPECT_TRUE(passes([&] { return w.reaches(2, v6 ? "fd09:2::1" : "10.9.2.1", 30080); }));
          table.remove_service("it", "web");
          step();
          EXPECT_TRUE(apply_nftables(rules.remove()).ok());
        }
      })) {
    GTEST_SKIP() << "needs root, for a network namespace of its own";
  }
}

}  // namespace
}  // namespace keles::policy
