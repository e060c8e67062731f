// What FlowSchemas and PriorityLevelConfigurations say, read once: which requests a schema is for,
// what distinguishes their flows, and how a level is to be run. Pure; any thread.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "machinery/value.h"
#include "server/flow/digest.h"
#include "server/flow/queue_set.h"

namespace keles::flow {

// A list in which "*" alone stands for everything.
struct Names {
  bool all = false;
  std::vector<std::string> names;
  bool has(std::string_view name) const;
  static Names read(const List<std::string_view>& list);
};

struct Subject {
  enum class Kind : uint8_t { kUser, kGroup, kServiceAccount, kNobody };
  Kind kind = Kind::kNobody;
  bool all = false;  // "*"
  std::string name;  // of a service account: its user name; of all in a namespace: their prefix
  bool matches(const Caller& caller) const;
};

struct Rule {
  std::vector<Subject> subjects;
  struct OfResources {
    Names verbs, groups, resources, namespaces;
    bool cluster_scope = false;
    bool matches(const Digest& d) const;
  };
  struct OfPaths {
    Names verbs;
    std::vector<std::string> paths;
    bool matches(const Digest& d) const;
  };
  std::vector<OfResources> resources;
  std::vector<OfPaths> paths;
  bool matches(const Digest& d) const;
};

struct Schema {
  enum class Flows : uint8_t { kOne, kByUser, kByNamespace };
  std::string name, uid, level;
  int64_t precedence = 1000;
  Flows flows = Flows::kOne;
  std::vector<Rule> rules;
  static Schema read(const Value& object);
  bool matches(const Digest& d) const;
  std::string_view distinguisher(const Digest& d) const;
};
// The order in which they are asked: by precedence, then by name.
bool comes_before(const Schema& a, const Schema& b);

struct LevelSpec {
  std::string name, uid;
  bool exempt = false;
  int64_t shares = 0, lendable_percent = 0;
  std::optional<int64_t> borrowing_limit_percent;  // none: as much as there is
  Queuing queuing;
  // nullopt: it says what makes no sense together, and is taken not to be there.
  static std::optional<LevelSpec> read(const Value& object);
  // Of a request's seats, as far as the level says; 0: it does not.
  uint64_t widest_request(int nominal) const;
};

}  // namespace keles::flow
