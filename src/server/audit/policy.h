// The audit policy (audit.k8s.io/v1 Policy, `--audit-policy-file`): how much of which request is
// recorded, and at which stages. The first rule that matches decides; none: nothing is recorded.
// Immutable; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "machinery/config_file.h"

namespace keles::audit {

enum class Level : uint8_t { kNone, kMetadata, kRequest, kRequestResponse };
// kPanic is known to policies and never comes: a handler of this server fails by a Status.
enum class Stage : uint8_t { kRequestReceived, kResponseStarted, kResponseComplete, kPanic };
std::string_view level_name(Level level);
std::string_view stage_name(Stage stage);

// What a request is, for a rule.
struct Question {
  std::string_view user;
  const std::vector<std::string>* groups = nullptr;
  std::string_view verb;
  bool is_resource = false;
  std::string_view group, resource, subresource, ns, name;
  std::string_view path;  // of a request for no resource
};

struct Decision {
  Level level = Level::kNone;
  uint8_t omitted = 0;  // bits: 1 << stage
  bool omit_managed_fields = false;
  bool omits(Stage s) const { return (omitted >> static_cast<int>(s) & 1) != 0; }
};

class Policy {
 public:
  // kBadRequest, with file, line and field of all that is wrong.
  static Result<Policy> of(const ConfigFile& file);
  static Result<Policy> parse(std::string name, std::string text);
  static Result<Policy> load(const std::string& path);  // blocking

  Decision decide(const Question& q) const;

 private:
  struct Resources {
    std::string group;
    std::vector<std::string> resources, names;
  };
  struct Rule {
    Decision then;
    std::vector<std::string> users, groups, verbs, namespaces, urls;
    std::vector<Resources> resources;
  };
  static bool matches(const Rule& rule, const Question& q);
  static bool matches_resource(const Rule& rule, const Question& q);

  std::vector<Rule> rules_;
  uint8_t omitted_ = 0;
  bool omit_managed_fields_ = false;
};

}  // namespace keles::audit
