#include "server/flow/bootstrap.h"

#include <algorithm>
#include <set>
#include <string>

#include "api/flowcontrol_v1.h"
#include "base/log.h"
#include "base/parse_bool.h"
#include "base/sync.h"
#include "machinery/codec_json.h"
#include "machinery/equality.h"
#include "server/objects/keys.h"
#include "server/objects/meta.h"

namespace keles::flow {
namespace {

using api::flowcontrol_v1::FlowSchema;
using api::flowcontrol_v1::PriorityLevelConfiguration;
using registry::Registry;

constexpr std::string_view kAutoUpdate = "apf.kubernetes.io/autoupdate-spec";

const KindDesc& schemas() { return kind_of<FlowSchema>(); }
const KindDesc& levels() { return kind_of<PriorityLevelConfiguration>(); }

// --- the objects ---

BootstrapObject object(const KindDesc& kind, bool mandatory, const std::string& name,
                       const std::string& spec) {
  BootstrapObject out;
  out.kind = &kind;
  out.mandatory = mandatory;
  auto body = parse_json(R"({"metadata":{"name":")" + name + R"(","annotations":{")" +
                         std::string(kAutoUpdate) + R"(":"true"}},"spec":)" + spec + "}");
  out.body = std::move(*body);
  return out;
}

struct LimitedLevel {
  const char* name;
  int shares, lendable_percent, queues, hand;  // queues 0: who finds no seat is refused
};
constexpr LimitedLevel kLevels[] = {
    {"system", 30, 33, 64, 6},         {"node-high", 40, 25, 64, 6},
    {"leader-election", 10, 0, 16, 4}, {"workload-high", 40, 50, 128, 6},
    {"workload-low", 100, 90, 128, 6}, {"global-default", 20, 50, 128, 6},
    {"catch-all", 5, 0, 0, 0},
};

std::string spec_of(const LimitedLevel& l) {
  std::string response = R"({"type":"Reject"})";
  if (l.queues > 0) {
    response = R"({"type":"Queue","queuing":{"queues":)" + std::to_string(l.queues) +
               R"(,"handSize":)" + std::to_string(l.hand) + R"(,"queueLengthLimit":50}})";
  }
  return R"({"type":"Limited","limited":{"nominalConcurrencyShares":)" + std::to_string(l.shares) +
         R"(,"lendablePercent":)" + std::to_string(l.lendable_percent) + R"(,"limitResponse":)" +
         response + "}}";
}

constexpr const char* kEveryRequest =
    R"("resourceRules":[{"verbs":["*"],"apiGroups":["*"],"resources":["*"],"namespaces":["*"],)"
    R"("clusterScope":true}],"nonResourceRules":[{"verbs":["*"],"nonResourceURLs":["*"]}])";
constexpr const char* kProbes =
    R"("nonResourceRules":[{"verbs":["get"],"nonResourceURLs":["/healthz","/readyz","/livez"]}])";
constexpr const char* kElections =
    R"("resourceRules":[{"verbs":["get","create","update"],"apiGroups":["coordination.k8s.io"],)"
    R"("resources":["leases"],"namespaces":["*"]}])";
constexpr const char* kHeartbeats =
    R"("resourceRules":[{"verbs":["*"],"apiGroups":[""],"resources":["nodes","nodes/status"],)"
    R"("namespaces":["*"],"clusterScope":true},{"verbs":["*"],)"
    R"("apiGroups":["coordination.k8s.io"],"resources":["leases"],"namespaces":["*"]}])";

// "group:NAME", "user:NAME", "account:NAMESPACE" (all of its service accounts).
std::string subject(std::string_view text) {
  const size_t colon = text.find(':');
  const std::string kind(text.substr(0, colon)), name(text.substr(colon + 1));
  if (kind == "group") return R"({"kind":"Group","group":{"name":")" + name + "\"}}";
  if (kind == "user") return R"({"kind":"User","user":{"name":")" + name + "\"}}";
  return R"({"kind":"ServiceAccount","serviceAccount":{"name":"*","namespace":")" + name + "\"}}";
}

struct OneSchema {
  const char* name;
  const char* level;
  int precedence;
  const char* by;  // "" : all its requests are one flow
  std::vector<std::string_view> subjects;
  const char* rules;
};

const std::vector<OneSchema>& schema_table() {
  static const std::vector<std::string_view> kEverybody{"group:system:unauthenticated",
                                                        "group:system:authenticated"};
  static const std::vector<OneSchema> kSchemas{
      {"exempt", "exempt", 1, "", {"group:system:masters"}, kEveryRequest},
      {"probes", "exempt", 2, "", kEverybody, kProbes},
      {"system-leader-election",
       "leader-election",
       100,
       "ByUser",
       {"user:system:kube-controller-manager", "user:system:kube-scheduler", "account:kube-system"},
       kElections},
      {"system-node-high", "node-high", 400, "ByUser", {"group:system:nodes"}, kHeartbeats},
      {"system-nodes", "system", 500, "ByUser", {"group:system:nodes"}, kEveryRequest},
      {"kube-controller-manager",
       "workload-high",
       800,
       "ByNamespace",
       {"user:system:kube-controller-manager"},
       kEveryRequest},
      {"kube-scheduler",
       "workload-high",
       800,
       "ByNamespace",
       {"user:system:kube-scheduler"},
       kEveryRequest},
      {"kube-system-service-accounts",
       "workload-high",
       900,
       "ByNamespace",
       {"account:kube-system"},
       kEveryRequest},
      {"service-accounts",
       "workload-low",
       9000,
       "ByUser",
       {"group:system:serviceaccounts"},
       kEveryRequest},
      {"global-default", "global-default", 9900, "ByUser", kEverybody, kEveryRequest},
      {"catch-all", "catch-all", 10000, "ByUser", kEverybody, kEveryRequest},
  };
  return kSchemas;
}

std::string spec_of(const OneSchema& s) {
  std::string subjects;
  for (std::string_view one : s.subjects) subjects += (subjects.empty() ? "" : ",") + subject(one);
  const std::string by =
      *s.by ? R"("distinguisherMethod":{"type":")" + std::string(s.by) + R"("},)" : "";
  return R"({"priorityLevelConfiguration":{"name":")" + std::string(s.level) +
         R"("},"matchingPrecedence":)" + std::to_string(s.precedence) + "," + by +
         R"("rules":[{"subjects":[)" + subjects + "]," + s.rules + "}]}";
}

bool is_mandatory(std::string_view name) { return name == "exempt" || name == "catch-all"; }

// --- keeping them ---

std::optional<bool> auto_update(const Value& object) {
  return parse_bool(object["metadata"]["annotations"][kAutoUpdate].as_string());
}

bool is_exempt_level(const BootstrapObject& o) {
  return o.kind == &levels() && registry::meta(o.body.root, "name") == "exempt";
}

// The shares of the exempt level are the administrator's.
bool same_spec(const BootstrapObject& wanted, const Value& current) {
  Document copy = wanted.body.clone();
  if (is_exempt_level(wanted)) {
    const Value& exempt = current["spec"]["exempt"];
    if (exempt.is_null()) return false;
    registry::copy_member(copy, registry::edit_map(copy, copy.root, "spec"), "exempt", &exempt);
  }
  Document mine;
  mine.root = Value::map();
  Document theirs;
  theirs.root = Value::map();
  registry::copy_member(mine, mine.root, "spec", &std::as_const(copy.root)["spec"]);
  registry::copy_member(theirs, theirs.root, "spec", &current["spec"]);
  return same_meaning(*wanted.kind->type, mine.root, theirs.root);
}

registry::WriteRequest as_producer() {
  registry::WriteRequest how;
  how.user = "system:apiserver";
  how.groups = {"system:masters"};
  how.judged = true;  // no webhook, policy or quota keeps the server from starting
  how.field_manager = "api-priority-and-fairness-config-producer-v1";
  return how;
}

// Without one, or with one that says nothing: whoever has changed the spec keeps it.
bool is_ours(const BootstrapObject& wanted, const Value& current) {
  if (wanted.mandatory) return true;
  if (auto said = auto_update(current)) return *said;
  return current["metadata"]["generation"].as_int() == 1;
}

Task<Status> ensure_one(Context ctx, Registry* registry, const BootstrapObject* wanted) {
  const std::string name(registry::meta(wanted->body.root, "name"));
  auto there = co_await registry->get(ctx, wanted->kind, "", name);
  Status s = there.status();
  if (there.ok()) {
    auto revised = revise(*wanted, (*there)->tree()->root);
    if (!revised) co_return Status();
    auto done = co_await registry->update(ctx, wanted->kind, "", name, "", std::move(*revised),
                                          as_producer());
    s = done.status();
    if (s.is(Reason::kConflict) || s.is(Reason::kNotFound)) s = Status();
  } else if (s.is(Reason::kNotFound)) {
    Document body = wanted->body.clone();
    auto made = co_await registry->create(ctx, wanted->kind, "", std::move(body), as_producer());
    s = made.status();
    if (s.is(Reason::kAlreadyExists)) s = Status();
  }
  co_return s.ok() ? s : s.with_prefix("bootstrap " + std::string(wanted->kind->kind) + " " + name);
}

Task<void> record(Task<Status> t, Status* first) {
  Status s = co_await std::move(t);
  if (!s.ok() && first->ok()) *first = s;
}

// Made by a former version, and not made the user's.
std::vector<std::string> unwanted(const StoreSnapshot& snapshot, const KindDesc& kind,
                                  const std::vector<BootstrapObject>& wanted) {
  std::vector<std::string> out;
  const std::string prefix = registry::kind_prefix(kind);
  snapshot.scan(prefix, prefix, [&](std::string_view, const ObjectPtr& o) {
    const bool known = std::any_of(wanted.begin(), wanted.end(), [&](const BootstrapObject& w) {
      return w.kind == &kind && registry::meta(w.body.root, "name") == o->name();
    });
    if (!known && auto_update(o->metadata()->root).value_or(false)) out.emplace_back(o->name());
    return true;
  });
  return out;
}

}  // namespace

std::vector<BootstrapObject> bootstrap_objects() {
  std::vector<BootstrapObject> out;
  out.push_back(object(levels(), true, "exempt",
                       R"({"type":"Exempt","exempt":{"nominalConcurrencyShares":0,)"
                       R"("lendablePercent":0}})"));
  for (const LimitedLevel& l : kLevels) {
    out.push_back(object(levels(), is_mandatory(l.name), l.name, spec_of(l)));
  }
  for (const OneSchema& s : schema_table()) {
    out.push_back(object(schemas(), is_mandatory(s.name), s.name, spec_of(s)));
  }
  return out;
}

std::optional<Document> revise(const BootstrapObject& wanted, const Value& current) {
  const bool ours = is_ours(wanted, current);
  const bool annotate = auto_update(current) != std::optional<bool>(ours);
  const bool change = ours && !same_spec(wanted, current);
  if (!annotate && !change) return std::nullopt;
  Document out;
  out.root = deep_copy(out.arena, current);
  if (change) {
    registry::copy_member(out, out.root, "spec", &std::as_const(wanted.body.root)["spec"]);
  }
  if (annotate) {
    Value& annotations = registry::edit_map(out, registry::edit_metadata(out), "annotations");
    registry::set_text(out, annotations, kAutoUpdate, ours ? "true" : "false");
  }
  return out;
}

Task<Status> ensure_bootstrap(Context ctx, Registry* registry) {
  const std::vector<BootstrapObject> wanted = bootstrap_objects();
  Status first;
  // Side by side: they share a sync of the disk.
  TaskGroup group(ctx.loop());
  for (const BootstrapObject& w : wanted) {
    group.spawn(record(ensure_one(ctx, registry, &w), &first));
  }
  co_await group.join();
  if (!first.ok()) co_return first;
  auto snapshot = registry->store().snapshot();
  registry::DeleteRequest request;
  const registry::WriteRequest how = as_producer();
  for (const KindDesc* kind : {&schemas(), &levels()}) {
    for (std::string& name : unwanted(*snapshot, *kind, wanted)) {
      log::info("Removing what a former version of this server made",
                {{"kind", kind->kind}, {"name", name}});
      auto gone = co_await registry->remove(ctx, kind, "", std::move(name), request, how);
      if (!gone.ok() && !gone.status().is(Reason::kNotFound)) co_return gone.status();
    }
  }
  co_return Status();
}

}  // namespace keles::flow
