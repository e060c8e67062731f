#include "node/csi/drivers.h"

#include <algorithm>
#include <charconv>
#include <set>

#include "base/log.h"
#include "machinery/codec_json.h"

namespace keles::node {

using api::core_v1::Node;
using api::core_v1::NodeEdit;
using api::storage_v1::CSINode;
using api::storage_v1::CSINodeDriver;
using api::storage_v1::CSINodeEdit;

namespace {

constexpr std::string_view kNodeIds = "csi.volume.kubernetes.io/nodeid";
constexpr int kTries = 5;

Status invalid(std::string why) { return Status(Reason::kInvalid, std::move(why)); }

// "1.2.3", "v1.2".
std::optional<std::pair<int, int>> parse_version(std::string_view text) {
  if (text.starts_with('v')) text.remove_prefix(1);
  int major = 0, minor = 0;
  const char* end = text.data() + text.size();
  auto [dot, bad] = std::from_chars(text.data(), end, major);
  if (bad != std::errc() || dot == end || *dot != '.') return std::nullopt;
  auto [rest, worse] = std::from_chars(dot + 1, end, minor);
  if (worse != std::errc() || (rest != end && *rest != '.')) return std::nullopt;
  return std::pair(major, minor);
}

std::string version_text(const std::pair<int, int>& v) {
  return std::to_string(v.first) + "." + std::to_string(v.second);
}

bool fits_count(const CSINodeDriver& d, int64_t max_volumes) {
  const bool has = d.allocatable().has_count();
  return max_volumes <= 0 ? !has : has && d.allocatable().count() == max_volumes;
}

bool owns(const CSINode& csi, const Node& node) {
  for (auto o : csi.metadata().owner_references())
    if (o.kind() == "Node" && o.uid() == node.metadata().uid()) return true;
  return false;
}

// Before the next try of a write that met another.
Task<Status> pause(Context ctx, int tried) {
  Duration wait = 10ms;
  for (int i = 0; i < tried; ++i) wait *= 5;
  return ctx.sleep(wait);
}

}  // namespace

Result<std::pair<int, int>> highest_csi_version(const std::vector<std::string>& versions) {
  std::optional<std::pair<int, int>> best;
  std::string theirs;
  for (const std::string& text : versions) {
    theirs += (theirs.empty() ? "\"" : " \"") + text + "\"";
    auto v = parse_version(text);
    if (!v) return invalid("could not parse \"" + text + "\" as version");
    if (v->first == 1 && (!best || *v > *best)) best = v;
  }
  if (best) return *best;
  return invalid("None of the versions specified [" + theirs + "] are supported");
}

Result<std::optional<Document>> node_with_driver(const Node& node, const std::string& driver,
                                                 const csi::NodeInfo& info, bool gone) {
  const std::string_view before = node.metadata().annotations().get(kNodeIds);
  std::map<std::string, std::string> ids;
  if (!before.empty()) {
    auto doc = parse_json(before);
    if (!doc.ok() || !doc->root.is_map())
      return invalid("failed to parse node's \"" + std::string(kNodeIds) + "\" annotation value (" +
                     std::string(before) + ")");
    for (const Member& m : doc->root.members()) ids[std::string(m.key())] = m.value.as_string();
  }
  if (gone) {
    ids.erase(driver);
  } else {
    ids[driver] = info.id;
  }
  Draft<NodeEdit> patch;
  bool changed = false;
  Draft<NodeEdit> text;
  std::string after;
  if (!ids.empty()) {
    after = "{";
    for (const auto& [name, id] : ids) {
      if (after.size() > 1) after += ',';
      write_json_string(after, name);
      after += ':';
      write_json_string(after, id);
    }
    after += '}';
  }
  auto meta = patch->edit_metadata();
  if (after != before) {
    changed = true;
    if (after.empty()) {
      meta.edit_annotations().set(kNodeIds, Value());  // null takes it away
    } else {
      meta.edit_annotations().set(kNodeIds, after);
    }
  }
  for (const auto& [key, value] : info.topology) {
    if (gone) break;
    const std::string_view has = node.metadata().labels().get(key);
    if (node.metadata().labels().contains(key) && has != value)
      return invalid("detected topology value collision: driver reported \"" + key + "\":\"" +
                     value + "\" but existing label is \"" + key + "\":\"" + std::string(has) +
                     "\"");
    if (node.metadata().labels().contains(key)) continue;
    changed = true;
    meta.edit_labels().set(key, value);
  }
  if (!changed) return std::optional<Document>();
  meta.set_resource_version(node.metadata().resource_version());
  return std::optional<Document>(patch.take());
}

std::optional<Document> csi_node_with_driver(const CSINode& node, const std::string& driver,
                                             const csi::NodeInfo& info, bool gone) {
  std::vector<std::string> keys;
  for (const auto& [key, value] : info.topology) keys.push_back(key);
  Draft<CSINodeEdit> next(node);
  auto drivers = next->edit_spec().edit_drivers();
  bool found = false;
  for (size_t i = node.spec().drivers().size(); i-- > 0;) {
    const CSINodeDriver d = node.spec().drivers()[i];
    if (d.name() != driver) continue;
    std::vector<std::string> has;
    for (std::string_view k : d.topology_keys()) has.emplace_back(k);
    std::sort(has.begin(), has.end());
    if (!gone && d.node_id() == info.id && has == keys && fits_count(d, info.max_volumes))
      return std::nullopt;
    drivers.erase_at(i);
    found = true;
  }
  if (gone) return found ? std::optional<Document>(next.take()) : std::nullopt;
  auto d = drivers.add();
  d.set_name(driver);
  d.set_node_id(info.id);
  auto list = d.edit_topology_keys();
  for (const std::string& k : keys) list.add(k);
  if (info.max_volumes > 0)
    d.edit_allocatable().set_count(
        static_cast<int32_t>(std::min<int64_t>(info.max_volumes, INT32_MAX)));
  return next.take();
}

Result<CsiDriver> CsiDrivers::find(const std::string& name) const {
  auto it = drivers_.find(name);
  if (it != drivers_.end()) return it->second;
  return Status(Reason::kUnavailable,
                "driver name " + name + " not found in the list of registered CSI drivers");
}

Status CsiDrivers::validate(const PluginInfo& info) {
  const std::string what = "validation failed for CSI Driver " + info.name + " at endpoint " +
                           info.endpoint + ": kubernetes.io/csi: ValidatePlugin for CSI driver \"" +
                           info.name + "\" failed. ";
  if (info.name.empty()) return invalid("driver name is empty");
  if (info.versions.empty())
    return invalid(what + "Plugin returned an empty list for supported versions");
  auto best = highest_csi_version(info.versions);
  if (!best.ok()) return invalid(what + best.status().message());
  auto there = drivers_.find(info.name);
  if (there != drivers_.end() && there->second.version >= *best &&
      there->second.endpoint != info.endpoint)
    return invalid(what +
                   "Another driver with the same name is already registered with a higher "
                   "supported version: \"" +
                   version_text(there->second.version) + "\"");
  return {};
}

Task<Status> CsiDrivers::add(Context ctx, PluginInfo info) {
  auto version = highest_csi_version(info.versions);
  if (!version.ok()) co_return version.status();
  auto about = co_await csi::node_info(ctx, info.endpoint);
  if (!about.ok()) co_return about.status();
  if (about->id.empty())
    co_return invalid("error adding CSI driver node info: driverNodeID must not be empty");
  auto can = co_await csi::node_capabilities(ctx, info.endpoint);
  if (!can.ok()) co_return can.status();
  Status s = co_await update_node(ctx, info.name, *about, false);
  if (!s.ok()) co_return s.with_prefix("error updating Node object with CSI driver node info");
  s = co_await update_csi_node(ctx, info.name, *about, false);
  if (!s.ok()) co_return s.with_prefix("error updating CSINode object with CSI driver node info");
  CsiDriver& driver = drivers_[info.name];
  driver.name = info.name;
  driver.endpoint = info.endpoint;
  driver.version = *version;
  driver.node = std::move(*can);
  driver.info = std::move(*about);
  periods_changed_.set();
  co_return Status();
}

Task<void> CsiDrivers::remove(Context ctx, PluginInfo info) {
  auto it = drivers_.find(info.name);
  if (it == drivers_.end() || it->second.endpoint != info.endpoint) co_return;
  drivers_.erase(it);
  csi::NodeInfo none;
  Status s = co_await update_csi_node(ctx, info.name, none, true);
  if (s.ok()) s = co_await update_node(ctx, info.name, none, true);
  if (!s.ok())
    log::warn("A CSI driver has gone and is still told of", {{"driver", info.name}, {"error", s}});
}

Task<Status> CsiDrivers::update_node(Context ctx, std::string driver, csi::NodeInfo info,
                                     bool gone) {
  Status last;
  for (int i = 0; i < kTries; ++i) {
    auto node = co_await client_.get<Node>(ctx, "", node_);
    if (!node.ok()) co_return node.status();
    auto patch = node_with_driver(**node, driver, info, gone);
    if (!patch.ok()) co_return patch.status();
    if (!*patch) co_return Status();
    WriteOptions options;
    auto r = co_await client_.patch(ctx, &kind_of<Node>(), "", node_, PatchType::kMerge,
                                    std::move(**patch), options);
    if (!r.status().is(Reason::kConflict)) co_return r.status();
    last = r.status();
    Status waited = co_await pause(ctx, i);
    if (!waited.ok()) co_return waited;
  }
  co_return last;
}

Task<Result<Ref<CSINode>>> CsiDrivers::own_csi_node(Context ctx) {
  auto node = co_await client_.get<Node>(ctx, "", node_);
  if (!node.ok()) co_return node.status();
  auto there = co_await client_.get<CSINode>(ctx, "", node_);
  if (there.ok() && owns(**there, **node)) co_return *there;
  if (there.ok()) {
    DeleteOptions options;
    options.uid = (*there)->metadata().uid();
    Status gone = co_await client_.remove<CSINode>(ctx, "", node_, options);
    if (!gone.ok() && !gone.is(Reason::kNotFound)) co_return gone;
  } else if (!there.status().is(Reason::kNotFound)) {
    co_return there.status();
  }
  Draft<CSINodeEdit> fresh;
  auto meta = fresh->edit_metadata();
  meta.set_name(node_);
  auto owner = meta.edit_owner_references().add();
  owner.set_api_version("v1");
  owner.set_kind("Node");
  owner.set_name(node_);
  owner.set_uid((*node)->metadata().uid());
  (void)fresh->edit_spec().edit_drivers();
  auto made = co_await client_.create<CSINode>(ctx, fresh.take());
  co_return made;
}

Task<Status> CsiDrivers::ensure_csi_node(Context ctx) {
  auto own = co_await own_csi_node(ctx);
  co_return own.status();
}

Task<Status> CsiDrivers::tell_again(Context ctx) {
  TRY_CO(ensure_csi_node(ctx));
  const std::map<std::string, CsiDriver> drivers = drivers_;  // one may go meanwhile
  for (const auto& [name, driver] : drivers) {
    if (!drivers_.contains(name)) continue;
    TRY_CO(update_node(ctx, name, driver.info, false));
    TRY_CO(update_csi_node(ctx, name, driver.info, false));
  }
  co_return Status();
}

Task<Status> CsiDrivers::update_csi_node(Context ctx, std::string driver, csi::NodeInfo info,
                                         bool gone) {
  Status last;
  for (int i = 0; i < kTries; ++i) {
    auto own = co_await own_csi_node(ctx);
    last = own.status();
    if (own.ok()) {
      auto next = csi_node_with_driver(**own, driver, info, gone);
      if (!next) co_return Status();
      auto r = co_await client_.update<CSINode>(ctx, std::move(*next));
      last = r.status();
      if (last.ok()) co_return last;
    }
    if (!last.is(Reason::kConflict) && !last.is(Reason::kAlreadyExists)) co_return last;
    Status waited = co_await pause(ctx, i);
    if (!waited.ok()) co_return waited;
  }
  co_return last;
}

}  // namespace keles::node
