#include "controllers/revisions.h"

#include <algorithm>

#include "controllers/deployment.h"
#include "controllers/ownership.h"
#include "machinery/codec_json.h"

namespace keles::controllers {

using namespace api::apps_v1;

namespace {

// The strategic merge patch that brings the template back, byte for byte as upstream writes it
// (what Go always writes is there, members in order): others compare the bytes with a set's
// template.
Document template_patch(const api::core_v1::PodTemplateSpec& pod_template) {
  Document data;
  data.root = Value::map();
  std::string text;
  write_json(text, api::core_v1::PodTemplateSpec::descriptor(), pod_template.value());
  auto whole = parse_json(data.arena, text);
  Value& t = data.root.set(data.arena, "spec", Value::map())
                 .set(data.arena, "template",
                      whole.ok() ? *whole : deep_copy(data.arena, pod_template.value()));
  t.set(data.arena, "$patch", Value::string("replace"));
  std::string sorted;
  write_json(sorted, data.root, true);
  auto ordered = parse_json(data.arena, sorted);
  if (ordered.ok()) data.root = *ordered;
  return data;
}

Draft<ControllerRevisionEdit> new_revision(const RevisionOwner& owner, const std::string& name,
                                           const std::string& hash, int64_t number) {
  Draft<ControllerRevisionEdit> d;
  auto meta = d->edit_metadata();
  meta.set_namespace_(owner.meta.namespace_());
  meta.set_name(name);
  set_controller_reference(meta, *owner.kind, owner.meta);
  for (auto [k, v] : owner.pod_template.metadata().labels()) meta.edit_labels().set(k, v);
  meta.edit_labels().set(owner.hash_label, hash);
  // `kubectl rollout history` reads the cause of the change there.
  for (auto [k, v] : owner.meta.annotations()) meta.edit_annotations().set(k, v);
  d->set_revision(number);
  Document data = template_patch(owner.pod_template);
  d->set_data(data.root);
  return d;
}

}  // namespace

RevisionPlan plan_revisions(const RevisionOwner& owner,
                            const std::vector<Ref<ControllerRevision>>& revisions,
                            const std::vector<std::string>& in_use) {
  RevisionPlan plan;
  plan.hash = template_hash(owner.pod_template, owner.collision_count);
  plan.name = std::string(owner.meta.name()) + "-" + plan.hash;
  int64_t highest = 0;
  Ref<ControllerRevision> current;
  const Document data = template_patch(owner.pod_template);
  // What it says decides, not its name: that depends on how many names were taken then.
  for (const auto& r : revisions) {
    highest = std::max(highest, r->revision());
    if (!r->data().equals(data.root)) continue;
    if (!current || r->revision() > current->revision()) current = r;
  }
  if (current) {
    plan.name = std::string(current->metadata().name());
    std::string_view hash = current->metadata().labels().get(owner.hash_label);
    if (!hash.empty()) plan.hash = std::string(hash);
  }
  if (!current) {
    plan.create = new_revision(owner, plan.name, plan.hash, highest + 1);
  } else if (current->revision() < highest) {  // rolled back to
    Draft<ControllerRevisionEdit> d(*current);
    d->set_revision(highest + 1);
    plan.update = std::move(d);
  }
  std::vector<Ref<ControllerRevision>> old;
  int64_t live = 0;
  for (const auto& r : revisions) {
    std::string name(r->metadata().name()), hash(r->metadata().labels().get(owner.hash_label));
    auto uses = [&](const std::string& s) { return s == name || s == hash; };
    if (name == plan.name) continue;
    if (std::any_of(in_use.begin(), in_use.end(), uses)) {
      ++live;
    } else {
      old.push_back(r);
    }
  }
  std::stable_sort(old.begin(), old.end(),
                   [](const auto& a, const auto& b) { return a->revision() < b->revision(); });
  int64_t excess = static_cast<int64_t>(old.size()) - owner.history_limit;
  if (owner.limit_counts_live) excess += live;
  excess = std::min(excess, static_cast<int64_t>(old.size()));
  for (int64_t i = 0; i < excess; ++i) plan.remove.push_back(old[static_cast<size_t>(i)]);
  return plan;
}

namespace {

Task<Status> name_is_taken(Context ctx, Client* client, const RevisionOwner* owner,
                           std::string name) {
  std::string ns(owner->meta.namespace_());
  auto there = co_await client->get<ControllerRevision>(ctx, ns, name);
  if (!there.ok()) co_return there.status();
  const Document data = template_patch(owner->pod_template);
  if (is_controlled_by((*there)->metadata(), owner->meta.uid()) &&
      (*there)->data().equals(data.root)) {
    // It may be gone before our cache sees it.
    co_return Status(Reason::kConflict, "the cache does not have " + name + " yet");
  }
  Document patch;
  patch.root = Value::map();
  patch.root.set(patch.arena, "metadata", Value::map())
      .set(patch.arena, "resourceVersion",
           Value::string(patch.arena.copy(owner->meta.resource_version())));
  patch.root.set(patch.arena, "status", Value::map())
      .set(patch.arena, "collisionCount", Value(owner->collision_count + 1));
  WriteOptions options;
  options.subresource = "status";
  auto raised = co_await client->patch(ctx, owner->kind, ns, std::string(owner->meta.name()),
                                       PatchType::kMerge, std::move(patch), options);
  if (!raised.ok()) co_return raised.status();
  co_return Status(Reason::kConflict, name + " is another's");
}

}  // namespace

Task<Status> write_revisions(Context ctx, Client* client, const RevisionOwner* owner,
                             RevisionPlan* plan) {
  if (plan->create) {
    auto r = co_await client->create<ControllerRevision>(ctx, plan->create->take());
    if (r.status().is(Reason::kAlreadyExists)) {
      co_return co_await name_is_taken(ctx, client, owner, plan->name);
    }
    if (!r.ok()) co_return r.status();
  }
  if (plan->update) {
    auto r = co_await client->update<ControllerRevision>(ctx, plan->update->take());
    if (!r.ok()) co_return r.status();
  }
  for (const auto& r : plan->remove) {
    Status s = co_await client->remove<ControllerRevision>(
        ctx, std::string(r->metadata().namespace_()), std::string(r->metadata().name()));
    if (!s.ok() && !s.is(Reason::kNotFound)) co_return s;
  }
  co_return Status();
}

}  // namespace keles::controllers
