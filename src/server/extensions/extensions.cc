#include "server/extensions/extensions.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/log.h"
#include "server/objects/keys.h"
#include "store/unreadable.h"

namespace keles::server {
namespace {

using registry::Registry;
using registry::WriteRequest;

constexpr Duration kAgain = 100ms, kSlowest = 30s;
constexpr Duration kLater = 1s;
constexpr int kWritesAtOnce = 32;
constexpr Duration kEmptyWithin = 1min;  // upstream's; then its status tells, and it goes on

const KindDesc* definition_kind() {
  static const KindDesc* const k =
      find_kind("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
  return k;
}

WriteRequest as_server() {
  WriteRequest how;
  how.user = "system:apiserver";
  how.groups = {"system:masters"};
  return how;
}

// A built-in resource of that name, of whatever version, is served instead.
bool is_built_in(const Definition& d) {
  const auto all = all_kinds();
  return std::any_of(all.begin(), all.end(), [&](const KindDesc* k) {
    return k->group == d.group && k->plural == d.wanted.plural;
  });
}

}  // namespace

Extensions::Extensions(Registry* registry, CatalogSource* kinds, MakeConverter make_converter)
    : registry_(registry), kinds_(kinds), make_converter_(std::move(make_converter)) {
  follow();
}

Extensions::~Extensions() = default;

// Whether what it serves has changed.
bool Extensions::serve(Known& known) {
  const Definition& d = known.definition;
  KindRef before = known.kinds;
  if ((!d.names_accepted && !d.established) || is_built_in(d)) {
    known.kinds = KindRef();
  } else {
    std::shared_ptr<Converter> converter;
    if (make_converter_ &&
        d.object->tree()->root["spec"]["conversion"]["strategy"].as_string() == "Webhook") {
      converter = make_converter_(d.object);
    }
    auto made = CustomKinds::make(d.object, std::move(converter));
    if (!made.ok()) {
      log::error("CustomResourceDefinition cannot be served",
                 {{"name", d.name}, {"error", made.status()}});
    }
    known.kinds = made.ok() ? std::move(*made) : KindRef();
  }
  return before || known.kinds;
}

void Extensions::follow() {
  bool changed = false;
  std::vector<KindRef> withdrawn;
  for (auto& [name, known] : known_) known.seen = false;
  const std::string prefix = registry::kind_prefix(*definition_kind());
  registry_->store().snapshot()->scan(
      prefix, prefix, [&](std::string_view, const ObjectPtr& object) {
        Known& known = known_[std::string(object->name())];
        known.seen = true;
        if (known.definition.object == object) return true;
        Definition now = read_definition(object);
        std::swap(known.definition, now);
        const Definition& d = known.definition;
        known.settled = false;
        const bool served = d.names_accepted || d.established;
        if (d.made_of != now.made_of || served != (now.names_accepted || now.established)) {
          const KindRef before = known.kinds;
          changed |= serve(known);
          if (before) withdrawn.push_back(before);
          known.closing = false;
        }
        const bool closing = d.deleting || d.terminating;
        if (known.kinds && closing && !known.closing) {
          custom_kinds(*known.kinds)->close();
          known.closing = changed = true;
        }
        return true;
      });
  for (auto at = known_.begin(); at != known_.end();) {
    if (at->second.seen) {
      ++at;
      continue;
    }
    changed |= static_cast<bool>(at->second.kinds);
    if (at->second.kinds) withdrawn.push_back(at->second.kinds);
    at = known_.erase(at);
    // Its names are free: others of its group may have waited for them.
    for (auto& [name, known] : known_) known.settled = false;
  }
  if (!changed) return;
  std::vector<KindRef> served;
  for (const auto& [name, known] : known_) {
    if (!known.kinds) continue;
    for (const auto& version : custom_kinds(*known.kinds)->versions()) {
      if (version->served) served.emplace_back(&version->kind);
    }
  }
  kinds_->publish(std::move(served));
  for (const KindRef& kind : withdrawn) custom_kinds(*kind)->withdraw();
}

NamesInUse Extensions::names_in_use(const std::string& group) const {
  NamesInUse out;
  for (const auto& [name, known] : known_) {
    if (known.definition.group == group) add_names(out, known.definition.accepted);
  }
  return out;
}

Task<void> Extensions::run(Context ctx) {
  TaskGroup tasks(ctx.loop());
  tasks_ = &tasks;
  const std::string prefix = registry::kind_prefix(*definition_kind());
  while (!ctx.done()) {
    const int64_t from = registry_->store().revision();
    auto watch = registry_->store().watch(ctx.loop(), prefix, from);
    follow();
    bool settled = co_await settle(ctx);
    while (watch.ok() && settled) {
      auto events = co_await (*watch)->next(ctx, 1000);
      if (!events.ok()) break;
      follow();
      settled = co_await settle(ctx);
    }
    const Duration wait = settled ? kAgain : kLater;
    Status s = co_await ctx.sleep(wait);
    (void)s;
    for (auto& [name, known] : known_) known.definition.object = nullptr;  // all is read anew
  }
  co_await tasks.join();
  tasks_ = nullptr;
}

// Names are given one after the other, and reckoned with at once; what is to be written of it, many
// at a time. Each change of a status is an event in its turn: what one pass leaves undone, the next
// does. False when something could not be written, of which no event will tell.
Task<bool> Extensions::settle(Context ctx) {
  bool all = true;
  Semaphore slots(kWritesAtOnce);
  TaskGroup writes(ctx.loop());
  const WallTime now = ctx.loop().wall_now();
  std::map<std::string, NamesInUse> used;  // by group, of those that are asked about
  for (auto& [name, known] : known_) {
    if (known.settled) continue;
    Definition& d = known.definition;
    if (d.to_clean && cleaning_.insert(name).second) tasks_->spawn(clean(ctx, name));
    DefinitionNames accepted;
    static const NamesInUse kNotAsked;
    const NamesInUse* taken = &kNotAsked;
    if (d.wanted != d.accepted) {
      auto [at, fresh] = used.try_emplace(d.group);
      if (fresh) at->second = names_in_use(d.group);
      taken = &at->second;
    }
    auto body = plan_status(d, *taken, now, &accepted);
    if (!body) body = plan_established(d, now);
    if (!body && known.structure_of != d.made_of) {
      body = plan_structure(d, now);
      if (!body) known.structure_of = d.made_of;
    }
    if (!body) {
      known.settled = true;
      continue;
    }
    if (accepted != d.accepted) {
      if (d.accepted == DefinitionNames()) {
        add_names(used[d.group], accepted);
      } else {  // others of its group may have waited for what it has given up
        used.erase(d.group);
        for (auto& [other, k] : known_) k.settled &= other == name || k.definition.group != d.group;
      }
      d.accepted = std::move(accepted);
    }
    writes.spawn(write_status(ctx, name, std::move(*body), &slots, &all));
  }
  co_await writes.join();
  co_return all;
}

// A definition that was changed or deleted meanwhile is told of by an event.
Task<void> Extensions::write_status(Context ctx, std::string name, Document body, Semaphore* slots,
                                    bool* all) {
  Status s = co_await slots->acquire(ctx);
  if (!s.ok()) co_return;
  WriteRequest how = as_server();
  auto done = co_await registry_->update(ctx, definition_kind(), "", name, "status",
                                         std::move(body), std::move(how));
  slots->release();
  if (done.ok() || done.status().is(Reason::kNotFound) || done.status().is(Reason::kConflict)) {
    co_return;
  }
  *all = false;
  if (ctx.done()) co_return;
  log::error("Status of a CustomResourceDefinition cannot be written",
             {{"name", name}, {"error", done.status()}});
}

// Until nothing of it is left, or it is not to be cleaned any more.
Task<void> Extensions::clean(Context ctx, std::string name) {
  for (Duration wait = kAgain;; wait = std::min(2 * wait, kSlowest)) {
    Status s = co_await clean_once(ctx, name);
    if (s.ok() || ctx.done()) break;
    if (!s.is(Reason::kConflict)) {
      log::error("Objects of a deleted CustomResourceDefinition remain",
                 {{"name", name}, {"error", s}});
    }
    Status slept = co_await ctx.sleep(wait);
    if (!slept.ok()) break;
  }
  cleaning_.erase(name);
}

Task<Status> Extensions::clean_once(Context ctx, std::string name) {
  const std::string key = registry::object_key(*definition_kind(), "", name);
  ObjectPtr object = registry_->store().snapshot()->get(key);
  if (!object) co_return Status();
  Definition d = read_definition(object);
  if (!d.to_clean) co_return Status();
  Loop* loop = &ctx.loop();
  const WriteRequest how = as_server();
  if (!d.deletion_begun) {  // what holds it up is said once, and not denied with each attempt
    Document begun =
        with_terminating(object, true, "InstanceDeletionInProgress",
                         "CustomResource deletion is in progress", false, loop->wall_now());
    auto told = co_await registry_->update(ctx, definition_kind(), "", name, "status",
                                           std::move(begun), how);
    if (!told.ok()) co_return told.status().is(Reason::kNotFound) ? Status() : told.status();
  }

  std::string reason, message;
  Status failed;
  auto known = known_.find(name);
  if (is_built_in(d)) {
    reason = "OverlappingBuiltInResource";
    message = "instances overlap with built-in resources in storage";
  } else if (d.established && known != known_.end() && known->second.kinds) {
    const KindRef kind = known->second.kinds;
    failed = co_await delete_objects(ctx, kind, &reason);
    if (ctx.done()) co_return ctx.status();
    if (failed.ok()) reason = "InstanceDeletionCompleted";
    message = failed.ok() ? "removed all instances" : failed.message();
  } else {
    reason = "NeverEstablished";
    message = "resource was never established";
  }
  // Others may have written to it meanwhile.
  object = registry_->store().snapshot()->get(key);
  if (!object) co_return Status();
  Document body =
      with_terminating(object, !failed.ok(), reason, message, failed.ok(), loop->wall_now());
  auto done =
      co_await registry_->update(ctx, definition_kind(), "", name, "status", std::move(body), how);
  if (!failed.ok()) co_return failed;
  co_return done.status().is(Reason::kNotFound) ? Status() : done.status();
}

// `reason`: the condition's, when it fails; the status tells why in its words.
Task<Status> Extensions::delete_objects(Context ctx, KindRef kind, std::string* reason) {
  *reason = "InstanceDeletionFailed";
  registry::ListQuery everything;
  auto page = co_await registry_->list(ctx, kind.get(), "", everything);
  if (!page.ok()) {
    co_return Status(Reason::kUnknown, "could not list instances: " + page.status().message());
  }
  const registry::DeleteRequest request;
  const WriteRequest how = as_server();
  std::string errors;
  for (const ObjectPtr& o : page->items) {
    std::string ns(o->namespace_()), name(o->name());
    auto gone = co_await registry_->remove(ctx, kind.get(), ns, name, request, how);
    if (gone.ok() || gone.status().is(Reason::kNotFound)) continue;
    if (ctx.done()) co_return ctx.status();
    errors += (errors.empty() ? "" : ", ") + gone.status().message();
    if (errors.size() > 1000) break;
  }
  if (!errors.empty()) {
    co_return Status(Reason::kUnknown, "could not issue all deletes: " + errors);
  }
  *reason = "InstanceDeletionCheck";
  Status empty = co_await wait_empty(ctx.with_timeout(kEmptyWithin), kind);
  if (empty.ok()) co_return empty;
  co_return Status(Reason::kUnknown,
                   "could not confirm zero CustomResources remaining: " + empty.message());
}

// Objects that finalizers hold go when who put them there is done.
Task<Status> Extensions::wait_empty(Context ctx, KindRef kind) {
  Store& store = registry_->store();
  const std::string prefix = registry::kind_prefix(*kind);
  while (true) {
    auto watch = store.watch(ctx.loop(), prefix, store.revision());
    if (!watch.ok()) co_return watch.status();
    while (true) {
      auto snapshot = store.snapshot();
      if (snapshot->count(prefix) == 0) co_return unreadable_in(*snapshot, prefix);
      auto events = co_await (*watch)->next(ctx, 1000);
      if (ctx.done()) co_return ctx.status();
      if (!events.ok()) break;  // it fell behind: begin anew
    }
  }
}

}  // namespace keles::server
