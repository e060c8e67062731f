#include "node/dra/dra_manager.h"

#include <algorithm>

#include "api/dra_v1.h"
#include "api/resource_v1.h"
#include "base/log.h"
#include "base/metrics.h"
#include "machinery/codec_protobuf.h"
#include "node/cgroup/resources.h"
#include "node/topology/topology_manager.h"
#include "scheduler/dra/claims.h"

namespace keles::node {

namespace v1 = api::dra_v1;
using api::core_v1::Container;
using api::core_v1::Pod;
using api::core_v1::PodResourceClaim;
using api::resource_v1::ResourceClaim;

namespace {

constexpr Duration kTidyPeriod = 60s;

Status failed(const std::string& what) { return Status(Reason::kUnknown, what); }

metrics::Histogram& operations() {
  static metrics::Histogram& h = metrics::histogram(
      "kubelet_dra_operations_duration_seconds",
      "Latency histogram in seconds for the duration of handling all ResourceClaims referenced by "
      "a pod when the pod starts or stops.",
      {"operation_name", "is_error"}, {.1, .2, .5, 1, 2, 5, 10, 20, 30, 40, 50, 60});
  return h;
}

struct NamedClaim {
  std::string name;
  bool made_for_it = false;
};

// Of the pod's entries, and of the extended resources that a claim stands for.
Result<std::vector<NamedClaim>> names_of(const Pod& pod) {
  std::vector<NamedClaim> out;
  for (PodResourceClaim entry : pod.spec().resource_claims()) {
    NamedClaim one;
    TRY_ASSIGN(name, scheduler::dra::claim_name(pod, entry, &one.made_for_it));
    one.name = name;
    if (!name.empty()) out.push_back(std::move(one));
  }
  NamedClaim extended;
  extended.name = pod.status().extended_resource_claim_status().resource_claim_name();
  if (!extended.name.empty()) out.push_back(std::move(extended));
  return out;
}

// The name of one entry's claim; "" when there is none (yet).
std::string claim_of(const Pod& pod, std::string_view entry_name) {
  for (PodResourceClaim entry : pod.spec().resource_claims()) {
    if (entry.name() != entry_name) continue;
    bool made_for_it = false;
    auto name = scheduler::dra::claim_name(pod, entry, &made_for_it);
    return name.ok() ? *name : "";
  }
  return "";
}

std::string question(const std::vector<PreparedClaim>& claims, bool prepare) {
  Draft<v1::NodePrepareResourcesRequestEdit> in;
  Draft<v1::NodeUnprepareResourcesRequestEdit> out;
  for (const PreparedClaim& c : claims) {
    auto one = prepare ? in->edit_claims().add() : out->edit_claims().add();
    one.set_namespace_(c.ns);
    one.set_uid(c.uid);
    one.set_name(c.name);
  }
  return prepare ? encode_protobuf(v1::NodePrepareResourcesRequest::descriptor(), in.value())
                 : encode_protobuf(v1::NodeUnprepareResourcesRequest::descriptor(), out.value());
}

const PreparedClaim* by_uid(const std::vector<PreparedClaim>& claims, std::string_view uid) {
  for (const PreparedClaim& c : claims)
    if (c.uid == uid) return &c;
  return nullptr;
}

ClaimedDevice read_device(const v1::Device& d) {
  ClaimedDevice out;
  out.pool = d.pool_name();
  out.name = d.device_name();
  if (d.has_share_id()) out.share_id = std::string(d.share_id());
  for (std::string_view r : d.request_names()) out.requests.emplace_back(r);
  for (std::string_view id : d.cdi_device_ids()) out.cdi_ids.emplace_back(id);
  return out;
}

}  // namespace

DraManager::DraManager(Context ctx, Client& client, DraPlugins& plugins)
    : ctx_(ctx), client_(client), plugins_(plugins) {}

Status DraManager::start(const std::string& directory) {
  TRY_ASSIGN(book, ClaimBook::open(directory));
  book_ = std::move(book);
  return {};
}

Task<Status> DraManager::prepare(Context ctx, Ref<Pod> pod) {
  const bool none = pod->spec().resource_claims().empty() &&
                    pod->status().extended_resource_claim_status().resource_claim_name().empty();
  if (none) co_return Status();
  const TimePoint began = ctx.loop().now();
  Status s = co_await prepare_claims(ctx, pod);
  operations()
      .with({"PrepareResources", s.ok() ? "false" : "true"})
      .observe(static_cast<double>((ctx.loop().now() - began).count()) / 1e9);
  co_return s.ok() ? s : failed("prepare dynamic resources: " + s.message());
}

Task<Status> DraManager::hold(Context ctx, Keys keys) {
  auto busy = [&] {
    return std::any_of(keys.begin(), keys.end(), [&](const auto& k) { return held_.contains(k); });
  };
  while (busy()) {
    let_go_.reset();
    Status s = co_await let_go_.wait(ctx);
    if (!s.ok()) co_return s;
  }
  held_.insert(keys.begin(), keys.end());
  co_return Status();
}

void DraManager::let_go(const Keys& keys) {
  for (const std::string& key : keys) held_.erase(key);
  let_go_.set();
}

Task<Status> DraManager::prepare_claims(Context ctx, Ref<Pod> pod) {
  const std::string uid(pod->metadata().uid()), ns(pod->metadata().namespace_());
  auto names = names_of(*pod);
  if (!names.ok()) co_return names.status();
  std::vector<PreparedClaim> wanted;
  Keys keys;
  for (const NamedClaim& one : *names) {
    auto got = co_await client_.get<ResourceClaim>(ctx.with_timeout(30s), ns, one.name);
    if (!got.ok()) co_return got.status().with_prefix("fetch ResourceClaim " + one.name);
    const ResourceClaim& claim = **got;
    if (one.made_for_it && !scheduler::dra::is_made_for(claim.value(), uid))
      co_return failed("ResourceClaim " + ns + "/" + one.name + " was not created for Pod " + ns +
                       "/" + std::string(pod->metadata().name()) + " (Pod is not owner)");
    if (!scheduler::dra::is_reserved_for(claim, uid))
      co_return failed("pod " + std::string(pod->metadata().name()) + " (" + uid +
                       ") is not allowed to use ResourceClaim " + one.name + " (" +
                       std::string(claim.metadata().uid()) + ")");
    PreparedClaim c;
    c.uid = claim.metadata().uid();
    c.name = one.name;
    c.ns = ns;
    if (!claim.status().has_allocation())
      co_return failed("ResourceClaim " + one.name + ": not allocated");
    for (auto result : claim.status().allocation().devices().results())
      c.drivers[std::string(result.driver())];
    for (const auto& [driver, devices] : c.drivers) {
      Status there = plugins_.check(driver);
      if (!there.ok()) co_return there;
    }
    keys.insert(ns + "/" + c.name);
    wanted.push_back(std::move(c));
  }
  Status s = co_await hold(ctx, keys);
  if (!s.ok()) co_return s;
  s = co_await prepare_held(ctx, uid, std::move(wanted));
  let_go(keys);
  co_return s;
}

Task<Status> DraManager::prepare_held(Context ctx, std::string pod_uid,
                                      std::vector<PreparedClaim> wanted) {
  std::map<std::string, std::vector<PreparedClaim>> batches;
  std::vector<std::pair<std::string, std::string>> asked;  // namespace, name
  for (PreparedClaim& c : wanted) {
    PreparedClaim* known = book_.find(c.ns, c.name);
    if (known && known->uid != c.uid)
      co_return failed("old ResourceClaim with same name " + c.name + " and different UID " +
                       known->uid + " still exists (previous pod force-deleted?!)");
    if (!known) known = &book_.put(c);
    known->pods.insert(pod_uid);
    Status kept = book_.save();
    if (!kept.ok()) co_return kept;
    if (known->prepared) continue;
    asked.emplace_back(c.ns, c.name);
    // What an earlier agent was told is told again, and counts until then.
    for (const auto& [driver, devices] : known->drivers) batches[driver].push_back(c);
  }
  for (const auto& [driver, claims] : batches) {
    Status s = co_await ask_driver(ctx, driver, claims);
    if (!s.ok()) co_return s;
  }
  for (const auto& [ns, name] : asked)
    if (PreparedClaim* known = book_.find(ns, name)) known->prepared = true;
  Status kept = book_.save();
  co_return kept;
}

Task<Status> DraManager::ask_driver(Context ctx, std::string driver,
                                    std::vector<PreparedClaim> claims) {
  auto got = co_await plugins_.call(ctx, driver, "NodePrepareResources", question(claims, true));
  if (!got.ok()) co_return got.status().with_prefix("NodePrepareResources");
  auto tree = decode_protobuf(v1::NodePrepareResourcesResponse::descriptor(), *got);
  if (!tree.ok()) co_return tree.status().with_prefix("NodePrepareResources");
  const v1::NodePrepareResourcesResponse response(tree->root);
  for (auto [uid, result] : response.claims()) {
    const PreparedClaim* claim = by_uid(claims, uid);
    if (!claim)
      co_return failed("NodePrepareResources returned result for unknown claim UID " +
                       std::string(uid));
    if (!result.error().empty())
      co_return failed("NodePrepareResources failed for ResourceClaim " + claim->name + ": " +
                       std::string(result.error()));
    PreparedClaim* known = book_.find(claim->ns, claim->name);
    if (!known)
      co_return failed("internal error: unable to get claim info for ResourceClaim " + claim->name +
                       " in namespace " + claim->ns);
    auto& devices = known->drivers[driver];
    devices.clear();
    for (v1::Device d : result.devices()) devices.push_back(read_device(d));
  }
  const size_t told = response.claims().size();
  if (told < claims.size())
    co_return failed("NodePrepareResources skipped " + std::to_string(claims.size() - told) +
                     " ResourceClaims");
  co_return Status();
}

Task<Status> DraManager::unprepare(Context ctx, Ref<Pod> pod) {
  const std::string uid(pod->metadata().uid()), ns(pod->metadata().namespace_());
  // As the book has them: the pod's status may say less by now.
  std::vector<std::string> names;
  for (const auto& [key, claim] : book_.all())
    if (claim.pods.contains(uid)) names.push_back(claim.name);
  const TimePoint began = ctx.loop().now();
  Status s = co_await give_up(ctx, uid, ns, std::move(names));
  operations()
      .with({"UnprepareResources", s.ok() ? "false" : "true"})
      .observe(static_cast<double>((ctx.loop().now() - began).count()) / 1e9);
  co_return s.ok() ? s : failed("unprepare dynamic resources: " + s.message());
}

Task<Status> DraManager::give_up(Context ctx, std::string pod_uid, std::string ns,
                                 std::vector<std::string> names) {
  Keys keys;
  for (const std::string& name : names) keys.insert(ns + "/" + name);
  Status s = co_await hold(ctx, keys);
  if (!s.ok()) co_return s;
  s = co_await give_up_held(ctx, std::move(pod_uid), std::move(ns), std::move(names));
  let_go(keys);
  co_return s;
}

Task<Status> DraManager::give_up_held(Context ctx, std::string pod_uid, std::string ns,
                                      std::vector<std::string> names) {
  std::map<std::string, std::vector<PreparedClaim>> batches;
  std::vector<PreparedClaim> last;
  for (const std::string& name : names) {
    PreparedClaim* claim = book_.find(ns, name);
    if (!claim || !claim->pods.contains(pod_uid)) continue;
    if (claim->pods.size() > 1) {  // another has it still
      claim->pods.erase(pod_uid);
      continue;
    }
    claim->prepared = false;  // whatever comes of it: who wants it next asks the drivers again
    last.push_back(*claim);
    for (const auto& [driver, devices] : claim->drivers) batches[driver].push_back(*claim);
  }
  for (const auto& [driver, claims] : batches) {
    auto got =
        co_await plugins_.call(ctx, driver, "NodeUnprepareResources", question(claims, false));
    if (!got.ok()) co_return got.status().with_prefix("NodeUnprepareResources");
    auto tree = decode_protobuf(v1::NodeUnprepareResourcesResponse::descriptor(), *got);
    if (!tree.ok()) co_return tree.status().with_prefix("NodeUnprepareResources");
    const v1::NodeUnprepareResourcesResponse response(tree->root);
    for (auto [uid, result] : response.claims()) {
      const PreparedClaim* claim = by_uid(claims, uid);
      if (!claim)
        co_return failed("NodeUnprepareResources returned result for unknown claim UID " +
                         std::string(uid));
      if (!result.error().empty())
        co_return failed("NodeUnprepareResources failed for ResourceClaim " + claim->name + ": " +
                         std::string(result.error()));
    }
    const size_t told = response.claims().size();
    if (told < claims.size())
      co_return failed("NodeUnprepareResources skipped " + std::to_string(claims.size() - told) +
                       " ResourceClaims");
  }
  for (const PreparedClaim& c : last) book_.remove(c.ns, c.name);
  Status kept = book_.save();
  co_return kept;
}

Task<void> DraManager::keep_tidy() {
  while (!ctx_.done()) {
    (void)co_await ctx_.sleep(kTidyPeriod);
    const LivingContainers* living = living_ ? living_() : nullptr;
    if (!living || ctx_.done()) continue;
    std::map<std::pair<std::string, std::string>, std::vector<std::string>> gone;
    for (const auto& [key, claim] : book_.all())
      for (const std::string& uid : claim.pods)
        if (!living->contains(uid)) gone[{uid, claim.ns}].push_back(claim.name);
    for (const auto& [who, names] : gone) {
      Status s = co_await give_up(ctx_.with_timeout(2min), who.first, who.second, names);
      if (!s.ok() && !ctx_.done())
        log::warn("Cannot give up claims of a pod that is gone",
                  {{"uid", who.first}, {"error", s}});
    }
  }
}

// --- what they are for a container ---

Result<std::vector<std::string>> DraManager::cdi_devices(const Pod& pod,
                                                         const Container& container) const {
  std::vector<std::pair<std::string, std::string>> wanted;  // claim, request
  for (auto entry : container.resources().claims()) {
    const std::string name = claim_of(pod, entry.name());
    if (!name.empty()) wanted.emplace_back(name, entry.request());
  }
  const auto extended = pod.status().extended_resource_claim_status();
  for (auto m : extended.request_mappings()) {
    const std::string_view amount = container.resources().requests().get(m.resource_name());
    if (m.container_name() == container.name() && unit_value(amount) > 0)
      wanted.emplace_back(extended.resource_claim_name(), m.request_name());
  }
  std::vector<std::string> out;
  const std::string ns(pod.metadata().namespace_());
  for (const auto& [name, request] : wanted) {
    const PreparedClaim* claim = book_.find(ns, name);
    if (!claim)
      return failed("internal error: unable to get claim info for ResourceClaim " + name +
                    " in namespace " + ns);
    for (std::string& id : claim->cdi_ids(request))
      if (std::find(out.begin(), out.end(), id) == out.end()) out.push_back(std::move(id));
  }
  return out;
}

std::vector<const PreparedClaim*> DraManager::claims_of(const Pod& pod,
                                                        const Container& container) const {
  std::vector<const PreparedClaim*> out;
  const std::string ns(pod.metadata().namespace_());
  auto add = [&](const std::string& name) {
    const PreparedClaim* claim = name.empty() ? nullptr : book_.find(ns, name);
    if (claim && std::find(out.begin(), out.end(), claim) == out.end()) out.push_back(claim);
  };
  for (auto entry : container.resources().claims()) add(claim_of(pod, entry.name()));
  const auto extended = pod.status().extended_resource_claim_status();
  for (auto m : extended.request_mappings())
    if (m.container_name() == container.name()) add(std::string(extended.resource_claim_name()));
  return out;
}

void DraManager::fill_status(const Pod& pod, api::core_v1::PodStatusEdit status) const {
  const std::string ns(pod.metadata().namespace_());
  auto statuses = status.edit_container_statuses();
  for (size_t i = 0; i < statuses.size(); ++i) {
    auto one = statuses[i];
    Container spec;
    for (Container c : pod.spec().containers())
      if (c.name() == one.name()) spec = c;
    for (auto entry : spec.resources().claims()) {
      const PreparedClaim* claim = book_.find(ns, claim_of(pod, entry.name()));
      if (!claim) continue;
      const std::string request(entry.request());
      std::set<std::string> seen;
      Draft<api::core_v1::ResourceStatusEdit> fresh;
      fresh->set_name("claim:" + std::string(entry.name()) +
                      (request.empty() ? "" : "/" + request));
      auto list = fresh->edit_resources();
      for (const auto& [driver, devices] : claim->drivers) {
        for (const ClaimedDevice& d : devices) {
          if (!d.serves(request.substr(0, request.find('/')))) continue;
          const std::string id =
              d.cdi_ids.empty() ? driver + "/" + d.pool + "/" + d.name : d.cdi_ids.front();
          if (!seen.insert(id).second) continue;
          const DeviceHealth h = plugins_.health(driver, d.pool, d.name);
          auto resource = list.add();
          resource.set_resource_id(id);
          resource.set_health(h.status);
          if (!h.message.empty()) resource.set_message(h.message);
        }
      }
      if (!seen.empty())
        one.edit_allocated_resources_status().add(api::core_v1::ResourceStatus(fresh.value()));
    }
  }
}

std::set<std::string> DraManager::pods_with(
    const std::string& driver,
    const std::vector<std::pair<std::string, std::string>>& devices) const {
  std::set<std::string> out;
  for (const auto& [key, claim] : book_.all()) {
    auto own = claim.drivers.find(driver);
    if (own == claim.drivers.end()) continue;
    for (const ClaimedDevice& d : own->second)
      if (std::find(devices.begin(), devices.end(), std::make_pair(d.pool, d.name)) !=
          devices.end())
        out.insert(claim.pods.begin(), claim.pods.end());
  }
  return out;
}

}  // namespace keles::node
