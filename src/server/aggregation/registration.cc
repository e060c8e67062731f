// The APIServices of what this server serves itself: the built-in groups and versions, and those of
// custom resources.
#include <map>
#include <string>
#include <vector>

#include "api/apiextensions_v1.h"
#include "api/apiregistration_v1.h"
#include "base/log.h"
#include "machinery/kind_facts.h"
#include "server/aggregation/aggregator.h"
#include "server/objects/keys.h"
#include "server/objects/meta.h"

namespace keles::aggregation {
namespace {

const KindDesc& api_services() { return kind_of<api::apiregistration_v1::APIService>(); }
const KindDesc& definitions() { return kind_of<api::apiextensions_v1::CustomResourceDefinition>(); }

constexpr int64_t kCustomGroup = 1000, kCustomVersion = 100;

registry::WriteRequest as_server() {
  registry::WriteRequest how;
  how.user = "system:apiserver";
  how.groups = {"system:masters"};
  return how;
}

// Every served version of every definition: each is read once, for there may be many, and large.
class CustomServices {
 public:
  void add_to(const StoreSnapshot& snapshot, std::map<std::string, ApiService>& out) {
    const std::string prefix = registry::kind_prefix(definitions());
    for (auto& [name, read] : read_) read.there = false;
    snapshot.scan(prefix, prefix, [&](std::string_view, const ObjectPtr& o) {
      Read& read = read_[std::string(o->name())];
      read.there = true;
      if (read.from != o) read = {o, services_of(o), true};
      for (const ApiService& s : read.services) out.emplace(s.name, s);
      return true;
    });
    std::erase_if(read_, [](const auto& entry) { return !entry.second.there; });
  }

 private:
  struct Read {
    ObjectPtr from;
    std::vector<ApiService> services;
    bool there = false;
  };
  static std::vector<ApiService> services_of(const ObjectPtr& definition) {
    std::vector<ApiService> out;
    DocumentPtr tree = definition->tree();
    const Value& spec = tree->root["spec"];
    for (const Value& v : spec["versions"].items()) {
      if (!v["served"].as_bool()) continue;
      out.push_back(local_api_service(spec["group"].as_string(), v["name"].as_string(), true,
                                      kCustomGroup, kCustomVersion));
    }
    return out;
  }
  std::map<std::string, Read> read_;  // by the definition's name
};

}  // namespace

std::vector<ApiService> built_in_services(const registry::Registry& registry) {
  std::vector<ApiService> out;
  for (const KindDesc* k : all_kinds()) {
    if (!registry.serves(*k)) continue;
    // Nobody serves APIServices in this server's place: they are not registered.
    const bool known =
        !out.empty() && out.back().group == k->group && out.back().version == k->version;
    const GroupVersionFacts* facts = find_group_version(k->group, k->version);
    if (known || !facts || k->group == api_services().group) continue;
    out.push_back(local_api_service(k->group, k->version, false, facts->group_priority,
                                    facts->version_priority));
    // A group of which nothing is stored is there for want of another who serves it: once made, its
    // APIService is the administrator's, who may lead it elsewhere.
    if (k->facts->computed && !k->group.empty()) out.back().kept = Kept::kByOthers;
  }
  return out;
}

Task<Status> Aggregator::register_one(Context ctx, std::string name, const ApiService* wanted) {
  const std::string key = registry::object_key(api_services(), "", name);
  ObjectPtr object = registry_->store().snapshot()->get(key);
  std::optional<ApiService> there;
  if (object) there = read_api_service(object->tree()->root);
  const Step step = registration_step(there ? &*there : nullptr, wanted, at_start_.contains(name),
                                      seen_to_.contains(name));
  Status s;
  if (step == Step::kCreate) {
    Document body = api_service_object(*wanted);
    auto made = co_await registry_->create(ctx, &api_services(), "", std::move(body), as_server());
    s = made.status();
  } else if (step == Step::kUpdate) {
    Document body = object->tree()->clone();
    Document fresh = api_service_object(*wanted);
    registry::copy_member(body, body.root, "spec", fresh.root.find("spec"));
    auto done = co_await registry_->update(ctx, &api_services(), "", name, "", std::move(body),
                                           as_server());
    s = done.status();
  } else if (step == Step::kDelete) {
    registry::DeleteRequest request;
    request.uid = there->uid;
    auto gone =
        co_await registry_->remove(ctx, &api_services(), "", name, std::move(request), as_server());
    s = gone.status();
  }
  // Changed by somebody meanwhile: its event brings us back.
  for (Reason other : {Reason::kAlreadyExists, Reason::kNotFound, Reason::kConflict}) {
    if (s.is(other)) s = Status();
  }
  if (s.ok()) seen_to_.insert(name);
  co_return s;
}

// What was served elsewhere and is served here now is there.
Task<Status> Aggregator::tell_local(Context ctx) {
  ViewPtr view = view_.load();
  Status worst;
  for (const ApiServicePtr& s : view->services) {
    if (s->remote || s->available) continue;
    Availability local{"True", "Local", std::string(registry::kLocalApiService)};
    Status told = co_await tell(ctx, s->name, std::move(local));
    if (!told.ok()) worst = told;
  }
  co_return worst;
}

Task<void> Aggregator::keep_registered(Context ctx) {
  group_->spawn(follow(ctx, registry::kind_prefix(definitions()),
                       [this](const StoreEvent*) { registrations_.set(); }));
  std::map<std::string, ApiService> built_in;
  for (ApiService& s : built_in_services(*registry_)) built_in.emplace(s.name, std::move(s));
  CustomServices custom;
  Recurring failing;
  while (!ctx.done()) {
    Status woken = co_await registrations_.wait(ctx);
    if (!woken.ok()) break;
    registrations_.reset();
    if (!ready_()) continue;  // the first are made by bootstrap, all at once
    std::map<std::string, ApiService> wanted = built_in;
    custom.add_to(*registry_->store().snapshot(), wanted);
    std::set<std::string> names;
    for (const auto& [name, s] : wanted) names.insert(name);
    for (const ApiServicePtr& s : view_.load()->services) {
      if (s->kept != Kept::kByOthers) names.insert(s->name);
    }
    Status worst = co_await tell_local(ctx);
    for (const std::string& name : names) {
      auto at = wanted.find(name);
      const ApiService* as = at == wanted.end() ? nullptr : &at->second;
      Status s = co_await register_one(ctx, name, as);
      if (!s.ok()) worst = s;
    }
    if (worst.ok()) {
      failing.over();
      continue;
    }
    if (failing.news(ctx.loop().now(), worst.message())) {
      log::warn("APIServices cannot be registered", {{"err", worst}});
    }
    Status slept = co_await ctx.sleep(1s);
    if (!slept.ok()) break;
    registrations_.set();
  }
}

}  // namespace keles::aggregation
