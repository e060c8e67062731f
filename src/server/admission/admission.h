// Admission: the plugins that change or refuse writes, in upstream's order. The built-in ones keep
// no state: what they need of the cluster they read from the request's snapshot. Such a plugin is
// one .cc file with one function of each kind that it needs, listed in admission.cc. Behind them
// come those that follow the cluster's own configuration or ask others (Dynamic): policies,
// webhooks, quota.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/context.h"
#include "base/loop.h"
#include "base/status.h"
#include "base/task.h"
#include "machinery/object.h"
#include "server/admission/plugin_config.h"
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

class Dynamic;
class Early;

// Which plugins run, and what they are told.
struct Config {
  std::set<std::string, std::less<>> off;  // names of plugins that are on by default
  std::set<std::string, std::less<>> on;   // and of those that are not
  PodSecurityConfig pod_security;
  PluginConfig plugins;
  std::vector<std::shared_ptr<Dynamic>> dynamic;  // in upstream's order
  std::vector<std::shared_ptr<Early>> early;
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
// Of both together: a plugin that runs and cannot without being told more is kBadRequest.
Status check_config(const Config& config);

// Labels that a node agent may give to its own Node.
bool node_may_set_label(std::string_view key);

enum class Operation : uint8_t { kCreate, kUpdate, kDelete, kConnect };

// The second round of mutating admission, which there is when a plugin of the first wanted it.
struct Reinvocation {
  bool second = false;
  bool wanted = false;
  // What a plugin of the first round has to tell itself in the second.
  std::map<const Dynamic*, std::shared_ptr<void>> kept;
};

using AuditAnnotations = std::vector<std::pair<std::string, std::string>>;

// What is asked. Everything outlives the decision.
struct Attributes {
  Operation operation = Operation::kCreate;
  const KindDesc* kind = nullptr;    // of the resource, in the stored version
  const KindDesc* served = nullptr;  // the same in the version that the client used; null: as kind
  // Of the object, where that is not the resource's (Binding, Scale, PodExecOptions); null: kind.
  const KindDesc* object_kind = nullptr;
  std::string_view namespace_, name, subresource;
  std::string_view user, uid;
  const std::vector<std::string>* groups = nullptr;
  const std::map<std::string, std::vector<std::string>>* extra = nullptr;
  // The request's options as the API has them (meta.k8s.io/v1 CreateOptions, ...); null: none.
  const std::function<Document()>* options = nullptr;
  const StoreSnapshot* state = nullptr;
  std::shared_ptr<const StoreSnapshot> renewed;  // where `state` was taken anew, what holds it
  WallTime now;
  Random* random = nullptr;
  bool dry_run = false;
  bool judged = false;                           // Dynamic plugins have been asked already
  std::vector<std::string>* warnings = nullptr;  // Warning headers; may be null
  AuditAnnotations* annotations = nullptr;       // null: nobody audits
  Reinvocation* reinvocation = nullptr;          // of the mutating plugins; null while validating
  const Config* config = nullptr;                // null: every plugin as it is by default
  // Whether the caller may do something else as well; null: nobody knows, so no.
  const std::function<bool(const Access&)>* may = nullptr;

  bool is(std::string_view group, std::string_view kind_name) const {
    return kind->group == group && kind->kind == kind_name;
  }
};

// A plugin with a state of its own. One object serves all requests, on any loop.
class Dynamic {
 public:
  virtual ~Dynamic() = default;
  virtual std::string_view name() const = 0;
  // Whether it may have anything to say. Asked of each write, so to be answered at once.
  virtual bool concerns(const Attributes& a) const = 0;
  // Whether it has an admit() or a validate() of its own: else it is asked nothing there.
  virtual bool admits() const { return true; }
  virtual bool validates() const { return true; }
  // May change `object` (a tree of the stored version), which is null on delete; `before` is null
  // on create and connect. What is there outlives the task.
  virtual Task<Status> admit(Context ctx, const Attributes* a, Document* object,
                             const Value* before);
  virtual Task<Status> validate(Context ctx, const Attributes* a, const Value* object,
                                const Value* before);
};

// What a built-in plugin has to wait for before its turn, which itself it cannot. One object serves
// all requests, on any loop.
class Early {
 public:
  virtual ~Early() = default;
  virtual std::string_view name() const = 0;  // of the plugin
  // Whether there is anything to wait for. Asked of each write, so to be answered at once.
  virtual bool concerns(const Attributes& a, const Value& object) const = 0;
  // May take the request's state anew.
  virtual Task<Status> prepare(Context ctx, Attributes* a) = 0;
};

// What was said: known at once where nobody had to be waited for, which is mostly so; else when the
// task has run. To be awaited, once.
class [[nodiscard]] Verdict {
 public:
  Verdict(Status now) : now_(std::move(now)) {}              // NOLINT(implicit)
  Verdict(Task<Status> later) : later_(std::move(later)) {}  // NOLINT(implicit)
  bool known() const { return !later_; }

  auto operator co_await() && noexcept {
    using Inner = decltype(std::declval<Task<Status>>().operator co_await());
    struct Awaiter {
      Verdict* verdict;
      std::optional<Inner> inner;
      bool await_ready() noexcept { return verdict->known(); }
      std::coroutine_handle<> await_suspend(std::coroutine_handle<> caller) noexcept {
        inner.emplace(std::move(*verdict->later_).operator co_await());
        return inner->await_suspend(caller);
      }
      Status await_resume() { return inner ? inner->await_resume() : std::move(verdict->now_); }
    };
    return Awaiter{this, std::nullopt};
  }

 private:
  Status now_;
  std::optional<Task<Status>> later_;
};

// Mutating plugins: before the strategy prepares and validates. A create of a subresource
// ("binding", "eviction", "token") has the resource's kind and name, and as its object what was
// sent.
Verdict admit(Context ctx, Attributes* a, Document* object, const Value* before);
// Validating ones, after it. `object` is null on delete.
Verdict validate(Context ctx, const Attributes* a, const Value* object, const Value* before);
// Both of what has no built-in plugin: a Scale, options of a connection.
Task<Status> admit_foreign(Context ctx, Attributes* a, Document* object, const Value* before);

}  // namespace keles::admission
