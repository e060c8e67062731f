#include "controllers/storage/attach_detach.h"

#include <algorithm>

#include "base/metrics.h"
#include "controllers/storage/pod_claims.h"
#include "machinery/volumes/claim_rules.h"

namespace keles::controllers {

using namespace api::core_v1;
using api::storage_v1::CSIDriver;

namespace {

constexpr const char* kByVolume = "by-volume";
constexpr const char* kByNode = "by-node";
constexpr std::string_view kManaged = "volumes.kubernetes.io/controller-managed-attach-detach";
constexpr std::string_view kOutOfService = "node.kubernetes.io/out-of-service";
constexpr std::string_view kCsi = "kubernetes.io/csi/";
constexpr std::string_view kCsiPlugin = "kubernetes.io/csi:";
constexpr Duration kAttachTimeout = 2min;

bool is_healthy(const Node& node) {
  for (NodeCondition c : node.status().conditions())
    if (c.type() == "Ready") return c.status() == "True";
  return false;
}

bool is_out_of_service(const Node& node) {
  for (Taint t : node.spec().taints())
    if (t.key() == kOutOfService) return true;
  return false;
}

bool has_in_use(const Node& node, std::string_view unique_name) {
  for (std::string_view v : node.status().volumes_in_use())
    if (v == unique_name) return true;
  return false;
}

std::vector<std::string> text_of(std::string_view s) { return {std::string(s)}; }

}  // namespace

AttachDetach::AttachDetach(Deps deps)
    : Controller(deps, "attachdetach", "attachdetach-controller", 4),
      pods_(watch<Pod>()),
      nodes_(watch<Node>()),
      claims_(watch<Claim>()),
      volumes_(watch<Volume>()),
      drivers_(watch<CSIDriver>()),
      attachments_(watch<VolumeAttachment>()) {
  index_pods_by_claim(pods_);
  attachments_.base().add_index(kByVolume, [](const ObjectPtr& o) {
    return text_of(read<VolumeAttachment>(o)->spec().source().persistent_volume_name());
  });
  attachments_.base().add_index(kByNode, [](const ObjectPtr& o) {
    return text_of(read<VolumeAttachment>(o)->spec().node_name());
  });
  volumes_.on_change(
      [this](const Ref<Volume>& before, const Ref<Volume>& now) { learn(now ? now : before); });
  claims_.on_change([this](const Ref<Claim>&, const Ref<Claim>& now) {
    if (now && known_.contains(std::string(now->spec().volume_name())))
      queue().add(std::string(now->spec().volume_name()));
  });
  pods_.on_change([this](const Ref<Pod>& before, const Ref<Pod>& now) {
    count_inline(now ? now : before, !now);
    pod_changed(now ? now : before);
  });
  nodes_.on_change(
      [this](const Ref<Node>& before, const Ref<Node>& now) { node_changed(now ? now : before); });
  attachments_.on_change(
      [this](const Ref<VolumeAttachment>& before, const Ref<VolumeAttachment>& now) {
        if (!now) leaving_.erase(std::string(before->metadata().name()));
        attachment_changed(now ? now : before);
      });
  drivers_.on_change([this](const Ref<CSIDriver>& before, const Ref<CSIDriver>& now) {
    const std::string name((now ? now : before)->metadata().name());
    for (const auto& [volume, known] : known_)
      if (known.driver == name) queue().add(volume);
  });
}

void AttachDetach::learn(const Ref<Volume>& volume) {
  const auto spec = volume->spec();
  if (!spec.has_csi()) return;
  Known k;
  k.driver = spec.csi().driver();
  k.handle = spec.csi().volume_handle();
  k.unique_name = unique_volume_name(spec.csi());
  k.claim_ns = spec.claim_ref().namespace_();
  k.claim_name = spec.claim_ref().name();
  k.claim_uid = spec.claim_ref().uid();
  k.exclusive = is_exclusive(*volume);
  const std::string name(volume->metadata().name());
  known_[name] = std::move(k);
  queue().add(name);
}

void AttachDetach::pod_changed(const Ref<Pod>& pod) {
  if (pod->spec().node_name().empty()) return;
  for (const std::string& name : volumes::claim_names(*pod)) {
    const Ref<Claim> claim = claims_.get(pod->metadata().namespace_(), name);
    if (!claim) continue;
    std::string volume(claim->spec().volume_name());
    if (known_.contains(volume)) queue().add(std::move(volume));
  }
}

void AttachDetach::attachment_changed(const Ref<VolumeAttachment>& attachment) {
  if (!is_ours(*attachment)) return;
  queue().add(std::string(attachment->spec().source().persistent_volume_name()));
  queue().add("node/" + std::string(attachment->spec().node_name()));
}

void AttachDetach::node_changed(const Ref<Node>& node) {
  const std::string name(node->metadata().name());
  for (const auto& a : attachments_.by_index(kByNode, name))
    if (is_ours(*a)) queue().add(std::string(a->spec().source().persistent_volume_name()));
  auto waiting = waiting_.extract(name);
  if (!waiting.empty())
    for (const std::string& volume : waiting.mapped()) queue().add(volume);
  if (!node->status().volumes_attached().empty()) queue().add("node/" + name);
}

// A driver that nobody has described is taken to need it.
bool AttachDetach::is_attached_by_driver(const std::string& driver) const {
  const Ref<CSIDriver> d = drivers_.get("", driver);
  return !d || !d->spec().has_attach_required() || d->spec().attach_required();
}

// Whoever else makes VolumeAttachments looks after them himself.
bool AttachDetach::is_ours(const VolumeAttachment& attachment) const {
  auto it = known_.find(std::string(attachment.spec().source().persistent_volume_name()));
  return it != known_.end() &&
         attachment.metadata().name() ==
             attachment_name(it->second.handle, it->second.driver, attachment.spec().node_name());
}

AttachState AttachDetach::state_of(const std::string& volume, const Known& known) {
  AttachState state;
  state.volume = volume;
  state.exclusive = known.exclusive;
  const Ref<Claim> claim = claims_.get(known.claim_ns, known.claim_name);
  const bool bound = volumes_.get("", volume) && claim && !known.claim_uid.empty() &&
                     claim->metadata().uid() == known.claim_uid &&
                     claim->spec().volume_name() == volume && claim->status().phase() == "Bound";
  if (bound && is_attached_by_driver(known.driver)) {
    for (const Ref<Pod>& pod : pods_of_claim(pods_, known.claim_ns, known.claim_name)) {
      const std::string node(pod->spec().node_name());
      if (node.empty() || volumes::is_terminated(*pod)) continue;
      const Ref<Node> n = nodes_.get("", node);
      if (!n || !n->metadata().annotations().contains(kManaged)) {
        waiting_[node].insert(volume);
        continue;
      }
      state.wanted[node].push_back(
          {std::string(pod->metadata().namespace_()), std::string(pod->metadata().name())});
    }
  }
  for (const auto& a : attachments_.by_index(kByVolume, volume)) {
    if (!is_ours(*a)) continue;
    const std::string node(a->spec().node_name());
    state.attachments[node] = {a->status().attached(), !a->metadata().deletion_timestamp().empty()};
  }
  note_unwanted(state);
  for (const auto& [node, attachment] : state.attachments) {
    AttachNode facts;
    if (const Ref<Node> n = nodes_.get("", node)) {
      facts = {has_in_use(*n, known.unique_name), is_healthy(*n), is_out_of_service(*n), {}};
    }
    auto since = unwanted_since_.find({volume, node});
    if (since != unwanted_since_.end()) facts.unwanted_for = loop().now() - since->second;
    state.nodes[node] = facts;
  }
  return state;
}

void AttachDetach::count(const AttachState& state, const Known& known) {
  const std::string plugin = std::string(kCsiPlugin) + known.driver;
  AttachMetrics::Uses uses;
  const Ref<Claim> claim = claims_.get(known.claim_ns, known.claim_name);
  if (claim && claim->spec().volume_name() == state.volume) {
    for (const Ref<Pod>& pod : pods_of_claim(pods_, known.claim_ns, known.claim_name))
      if (!pod->spec().node_name().empty()) ++uses[{std::string(pod->spec().node_name()), plugin}];
  }
  metrics_.set_uses(state.volume, std::move(uses));
  const auto attached = std::count_if(state.attachments.begin(), state.attachments.end(),
                                      [](const auto& a) { return a.second.attached; });
  metrics_.set_totals(state.volume, plugin, static_cast<int64_t>(state.wanted.size()), attached);
}

void AttachDetach::count_inline(const Ref<Pod>& pod, bool gone) {
  AttachMetrics::Uses uses;
  if (!gone && !pod->spec().node_name().empty()) {
    for (api::core_v1::Volume v : pod->spec().volumes())
      if (v.has_csi())
        ++uses[{std::string(pod->spec().node_name()),
                std::string(kCsiPlugin) + std::string(v.csi().driver())}];
  }
  metrics_.set_uses("pod/" + std::string(pod->metadata().uid()), std::move(uses));
}

void AttachDetach::note_unwanted(const AttachState& state) {
  for (auto it = unwanted_since_.lower_bound({state.volume, ""});
       it != unwanted_since_.end() && it->first.first == state.volume;) {
    const std::string& node = it->first.second;
    const bool keep = state.attachments.contains(node) && !state.wanted.contains(node);
    it = keep ? std::next(it) : unwanted_since_.erase(it);
  }
  for (const auto& [node, attachment] : state.attachments) {
    if (!state.wanted.contains(node))
      unwanted_since_.try_emplace({state.volume, node}, loop().now());
  }
}

void AttachDetach::take_back(const AttachState& state, const Known& known) {
  for (const auto& [node, pods] : state.wanted) {
    const auto there = state.attachments.find(node);
    if (there == state.attachments.end() || there->second.deleting) continue;
    const auto it = leaving_.find(attachment_name(known.handle, known.driver, node));
    // Its deletion may have been accepted without having been heard of.
    if (it == leaving_.end() || it->second) continue;
    leaving_.erase(it);
    queue().add("node/" + node);
  }
}

Task<ReconcileResult> AttachDetach::reconcile(Context ctx, std::string key) {
  const auto [what, name] = split_key(key);
  if (what == "node") {
    Status s = co_await report_node(ctx, name);
    co_return s;
  }
  ReconcileResult r = co_await sync_volume(ctx, key);
  co_return r;
}

Task<ReconcileResult> AttachDetach::sync_volume(Context ctx, std::string volume) {
  auto it = known_.find(volume);
  if (it == known_.end()) co_return Status();
  const Known known = it->second;
  const AttachState state = state_of(volume, known);
  count(state, known);
  if (state.wanted.empty() && state.attachments.empty()) {
    std::erase_if(told_, [&](const auto& t) { return t.first.first == volume; });
    std::erase_if(asked_at_, [&](const auto& t) { return t.first.first == volume; });
    if (!volumes_.get("", volume)) known_.erase(volume);
    co_return Status();
  }
  take_back(state, known);
  const AttachPlan plan = plan_attach(state);
  for (const auto& [pod, message] : plan.refused) {
    std::string& last = told_[{volume, pod}];
    if (last == message) continue;
    last = message;
    if (const Ref<Pod> p = pods_.get(pod.ns, pod.name))
      events().warning(reference_to(p), "FailedAttachVolume", message);
  }
  Duration again = plan.look_again;
  const Duration slow = tell_of_attachments(state, known);
  if (slow.count() > 0 && (again.count() == 0 || slow < again)) again = slow;
  for (const AttachPlan::Detach& d : plan.detach) {
    Status s = co_await detach(ctx, volume, known, d);
    if (!s.ok()) co_return s;
  }
  for (const std::string& node : plan.attach) {
    Status s = co_await attach(ctx, volume, known, node);
    if (!s.ok()) {
      tell_pods(state, node, true, "FailedAttachVolume",
                "AttachVolume.Attach failed for volume \"" + volume + "\" : " + s.message());
      co_return s;
    }
  }
  co_return again.count() > 0 ? ReconcileResult::after(again) : ReconcileResult();
}

Task<Status> AttachDetach::attach(Context ctx, std::string volume, Known known, std::string node) {
  const std::string name = attachment_name(known.handle, known.driver, node);
  leaving_.erase(name);
  Draft<api::storage_v1::VolumeAttachmentEdit> next;
  next->edit_metadata().set_name(name);
  auto spec = next->edit_spec();
  spec.set_attacher(known.driver);
  spec.set_node_name(node);
  spec.edit_source().set_persistent_volume_name(volume);
  auto r = co_await client().create<VolumeAttachment>(ctx, next.take());
  if (r.status().is(Reason::kAlreadyExists)) co_return Status();
  if (r.ok()) asked_at_[{volume, node}] = loop().now();
  co_return r.status();
}

// The node is told first, so that nobody there begins to use what is about to go.
Task<Status> AttachDetach::detach(Context ctx, std::string volume, Known known,
                                  AttachPlan::Detach what) {
  static metrics::Counter& forced =
      metrics::counter("attach_detach_controller_attachdetach_controller_forced_detaches",
                       "Number of times the A/D Controller performed a forced detach", {"reason"});
  const std::string name = attachment_name(known.handle, known.driver, what.node);
  leaving_[name] = false;
  Status s = co_await report_node(ctx, what.node);
  if (!s.ok()) {
    leaving_.erase(name);
    co_return s;
  }
  if (!what.forced.empty()) forced.with({what.forced}).add();
  s = co_await remove_once(ctx, &client(), &kind_of<VolumeAttachment>(), "", name, DeleteOptions());
  // Unless it has gone meanwhile, and what is known of it with it.
  if (auto it = leaving_.find(name); s.ok() && it != leaving_.end()) it->second = true;
  asked_at_.erase({volume, what.node});
  co_return s;
}

void AttachDetach::tell_pods(const AttachState& state, const std::string& node, bool warning,
                             std::string_view reason, const std::string& message) {
  auto pods = state.wanted.find(node);
  if (pods == state.wanted.end()) return;
  for (const PodName& name : pods->second) {
    std::string& last = told_[{state.volume, name}];
    if (last == message) continue;
    last = message;
    if (const Ref<Pod> pod = pods_.get(name.ns, name.name))
      events().event(reference_to(pod), warning ? "Warning" : "Normal", reason, message);
  }
}

// What became of what was asked for; and when to look at what is slow.
Duration AttachDetach::tell_of_attachments(const AttachState& state, const Known& known) {
  Duration again{0};
  const std::string of = " for volume \"" + state.volume + "\" ";
  for (const auto& [node, attachment] : state.attachments) {
    const OnNode key(state.volume, node);
    auto asked = asked_at_.find(key);
    if (attachment.attached) {
      // Those that were attached before this process looked have been told.
      if (asked == asked_at_.end()) continue;
      tell_pods(state, node, false, "SuccessfulAttachVolume", "AttachVolume.Attach succeeded" + of);
      asked_at_.erase(asked);
      continue;
    }
    const auto a = attachments_.get("", attachment_name(known.handle, known.driver, node));
    const std::string failed = "AttachVolume.Attach failed" + of + ": ";
    if (a && a->status().has_attach_error()) {
      tell_pods(state, node, true, "FailedAttachVolume",
                failed + std::string(a->status().attach_error().message()));
    } else if (asked != asked_at_.end()) {
      const Duration left = kAttachTimeout - (loop().now() - asked->second);
      if (left.count() > 0) {
        again = again.count() == 0 ? left : std::min(again, left);
        continue;
      }
      tell_pods(state, node, true, "FailedAttachVolume",
                failed + "timed out waiting for external-attacher of " + known.driver +
                    " CSI driver to attach volume " + known.handle);
    }
  }
  return again;
}

Task<Status> AttachDetach::report_node(Context ctx, std::string node) {
  const Ref<Node> n = nodes_.get("", node);
  if (!n) co_return Status();
  std::set<std::string> attached;
  for (const auto& a : attachments_.by_index(kByNode, node)) {
    if (!is_ours(*a) || !a->status().attached() ||
        leaving_.contains(std::string(a->metadata().name())))
      continue;
    attached.insert(known_[std::string(a->spec().source().persistent_volume_name())].unique_name);
  }
  std::set<std::string> told;
  Draft<NodeEdit> next;
  auto list = next->edit_status().edit_volumes_attached();
  for (AttachedVolume v : n->status().volumes_attached()) {
    if (v.name().starts_with(kCsi)) {
      told.insert(std::string(v.name()));
    } else {
      list.add(v);
    }
  }
  if (told == attached) co_return Status();
  for (const std::string& name : attached) {
    auto v = list.add();
    v.set_name(name);
    v.set_device_path("");
  }
  WriteOptions options;
  options.subresource = "status";
  auto r = co_await client().patch(ctx, &kind_of<Node>(), "", node, PatchType::kMerge, next.take(),
                                   options);
  if (r.status().is(Reason::kNotFound)) co_return Status();
  co_return r.status();
}

}  // namespace keles::controllers
