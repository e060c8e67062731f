// What network policies mean on this node, as a table that follows pods, namespaces and policies
// one by one and tells what each changed:
//
//   sets      the addresses of the pods that a peer selects; (address, port) of the container ports
//             of the names that a rule has. Shared by all policies that say the same.
//   policies  the rules of each, by direction: its chain.
//   profiles  which policies select a pod, by direction: a chain that jumps to each of theirs and
//             drops what none allows. Pods that the same policies select share one.
//   addresses of this node's pods, all of them, to their profiles.
//
// A pod that changes costs the sets that it is in and its addresses; a policy its chain, the sets
// that nobody had, and the pods of its namespace. Pure; one loop's thread.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/policy/facts.h"

namespace keles::policy {

enum class Direction : uint8_t { kIngress, kEgress };

struct Element {
  IpAddress ip;
  uint16_t port = 0;  // of sets with ports
  auto operator<=>(const Element&) const = default;
};

// A rule, its pods and port names replaced by the sets that hold them.
struct PlainRule {
  bool everyone = false, every_port = false;
  std::vector<AddressBlock> blocks;
  std::vector<std::string> pods;  // sets of addresses
  std::vector<PortChoice> ports;  // a name here is that of a set with ports
};

// From what was told before to what is so now, in the order in which it must be carried out.
struct Changes {
  struct Set {
    std::string name;
    bool with_ports = false, made = false;
    std::vector<Element> removed, added;
  };
  struct Chain {
    std::string name;
    Direction direction = Direction::kIngress;
    bool made = false;
    std::vector<PlainRule> rules;  // replace what was there
    std::string policy;            // namespace/name, for people
  };
  struct Profile {
    std::string name;
    std::vector<std::string> chains;  // of policies
  };
  struct Address {
    IpAddress ip;
    std::string ingress_before, egress_before, ingress, egress;  // profiles; "": not isolated
    bool here_before = false, here = false;                      // a pod of this node has it
  };
  bool everything = false;  // nothing of before is left: begin with an empty table
  std::vector<Set> sets;
  std::vector<Chain> chains;
  std::vector<Profile> profiles;
  std::vector<Address> addresses;
  std::vector<std::string> dropped_profiles, dropped_chains, dropped_sets;
  bool empty() const;
};

class PolicyTable {
 public:
  PolicyTable() = default;
  PolicyTable(const PolicyTable&) = delete;
  PolicyTable& operator=(const PolicyTable&) = delete;

  void set_pod(PodFacts pod);
  void remove_pod(std::string_view ns, std::string_view uid);
  void set_namespace(std::string_view name, LabelMap labels);
  void remove_namespace(std::string_view name);
  void set_policy(std::string_view name, Policy policy);
  void remove_policy(std::string_view ns, std::string_view name);

  // Since the last call. Who cannot carry them out calls forget() before the next.
  Changes take();
  // Nothing is in force: the next take() tells everything.
  void forget() { told_nothing_ = true; }
  bool has_policies() const { return policies_ > 0; }
  // Whether there is a policy of this pod, which must have been set.
  bool selects(std::string_view ns, std::string_view uid) const;

 private:
  struct Group {  // a set
    std::string name;
    std::optional<PodChoice> choice;  // none: of ports
    Protocol protocol = Protocol::kTcp;
    std::set<std::string> port_names;
    size_t uses = 0;  // by rules
    std::map<Element, size_t> members;
    std::map<Element, bool> changed;  // since it was told: whether it is there now
    bool told = false;
    bool has_port(const PodPort& p) const {
      return p.protocol == protocol && port_names.contains(p.name);
    }
  };
  struct Known {
    std::string name;
    Policy facts;
    std::vector<PlainRule> ingress, egress;
    std::vector<std::string> groups;  // that it uses, once each rule
    bool told_ingress = false, told_egress = false;
  };
  struct Pod {
    PodFacts facts;
    std::vector<Group*> in;
  };
  struct Space {
    LabelMap labels;
    std::map<std::string, std::unique_ptr<Pod>, std::less<>> pods;  // by uid: names come again
    std::map<std::string, Known, std::less<>> policies;
    bool exists = false;
    bool idle() const { return !exists && pods.empty() && policies.empty(); }
  };
  struct Profile {
    size_t uses = 0;
    std::vector<std::string> chains;
  };
  struct Verdict {
    std::string ingress, egress;
    bool here = false;
    bool operator==(const Verdict&) const = default;
  };
  // Who has an address: of several, the one who had it last.
  struct Owner {
    uint64_t since = 0;
    const Pod* pod = nullptr;
    auto operator<=>(const Owner&) const = default;
  };

  Space& space(std::string_view ns);
  void drop_if_idle(std::string_view ns);
  std::vector<PlainRule> plain(const std::vector<Rule>& rules, Known& of);
  Group& use_group(const std::string& text, std::string_view kind, Group fresh, Known& of);
  bool chooses(const Group& g, const Space& s, const Pod& pod) const;
  static std::vector<Element> elements_of(const Group& g, const PodFacts& pod);
  void enter(Group& g, Pod& pod);
  void leave_all(Pod& pod);
  void join_all(const Space& s, Pod& pod);
  void claim(Pod& pod);
  void unclaim(const Pod& pod);
  void touch_local_pods(const Space& s);
  void release(Known& policy);
  Verdict verdict(const Pod& pod, std::map<std::string, std::vector<std::string>>& profiles) const;
  void take_groups(Changes& out);
  void take_chains(Changes& out);
  void take_addresses(Changes& out);
  static void change(Group& g, const Element& e, bool added);

  std::map<std::string, Space, std::less<>> spaces_;
  std::map<std::string, Group> groups_;  // by name
  // Where to look for the groups of a pod: those of its namespace, those of selected ones, ports.
  std::map<std::string, std::set<Group*>, std::less<>> groups_in_;
  std::set<Group*> groups_anywhere_;
  std::map<std::string, std::set<Group*>, std::less<>> groups_of_port_;
  std::map<IpAddress, std::set<Owner>> owners_;
  std::map<IpAddress, Verdict> told_;
  std::map<std::string, Profile> profiles_;
  std::set<Group*> touched_groups_;
  std::set<std::pair<std::string, std::string>> touched_policies_;
  std::set<IpAddress> touched_addresses_;
  std::vector<std::string> dropped_chains_, dropped_groups_;
  uint64_t clock_ = 0;
  size_t policies_ = 0;
  bool told_nothing_ = true;
};

}  // namespace keles::policy
