// Admission: the built-in plugins that change or refuse writes, in upstream's order. They keep no
// state: what they need of the cluster they read from the request's snapshot. A plugin is one .cc
// file with one function of each kind that it needs, listed in admission.cc.
#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/loop.h"
#include "base/status.h"
#include "machinery/object.h"
#include "server/admission/pod_security_policy.h"
#include "server/auth/caller.h"
#include "store/store.h"

namespace keles::admission {

// What namespaces without labels ask of their pods, and who is asked nothing
// (pod-security.admission.config.k8s.io/v1 PodSecurityConfiguration).
struct PodSecurityPolicy {
  PodSecurity enforce, audit, warn;
};
struct PodSecurityConfig {
  PodSecurityPolicy defaults;
  std::vector<std::string> exempt_users, exempt_namespaces, exempt_runtime_classes;
};

// Which plugins run, and what they are told.
struct Config {
  std::set<std::string, std::less<>> off;  // names of plugins
  PodSecurityConfig pod_security;
};
// From the text of --admission-control-config-file (apiserver.config.k8s.io/v1
// AdmissionConfiguration, PodSecurity's part inline or in a file beside it); what is of no plugin
// that takes configuration is kBadRequest.
Status read_config(std::string_view yaml, const std::string& directory, Config* config);
// From --enable-admission-plugins and --disable-admission-plugins. Upstream's plugins that are on
// by default and not here may be disabled, which changes nothing; one that cannot be enabled, and a
// name that nobody knows, is kBadRequest.
Result<Config> make_config(const std::vector<std::string>& enable,
                           const std::vector<std::string>& disable);

// Labels that a node agent may give to its own Node.
bool node_may_set_label(std::string_view key);

enum class Operation : uint8_t { kCreate, kUpdate, kDelete };

struct Attributes {
  Operation operation = Operation::kCreate;
  const KindDesc* kind = nullptr;  // the stored version
  std::string_view namespace_, name, subresource;
  std::string_view user;
  const std::vector<std::string>* groups = nullptr;
  const StoreSnapshot* state = nullptr;
  WallTime now;
  Random* random = nullptr;
  bool dry_run = false;
  std::vector<std::string>* warnings = nullptr;  // Warning headers; may be null
  const Config* config = nullptr;                // null: every plugin as it is by default
  // Whether the caller may do something else as well; null: nobody knows, so no.
  const std::function<bool(const Access&)>* may = nullptr;

  bool is(std::string_view group, std::string_view kind_name) const {
    return kind->group == group && kind->kind == kind_name;
  }
};

// A create of a subresource ("binding", "eviction", "token") has the resource's kind and name, and
// as its object what was sent. Mutating plugins, then (after the strategy's validation) validating
// ones. `before` is null on create; `object` is null in validate() on delete.
Status admit(const Attributes& a, Document& object, const Value* before);
Status validate(const Attributes& a, const Value* object, const Value* before);

}  // namespace keles::admission
