#include "csi/local_driver.h"

#include <algorithm>
#include <memory>
#include <optional>

#include "api/pluginregistration_v1.h"
#include "base/file.h"
#include "base/log.h"
#include "base/sync.h"
#include "base/task.h"
#include "base/version.h"
#include "machinery/codec_protobuf.h"
#include "net/grpc_server.h"

namespace keles::csi {
namespace {

Status invalid(std::string why) { return Status(Reason::kBadRequest, std::move(why)); }

template <class Edit>
std::string encoded(const Draft<Edit>& d) {
  return encode_protobuf(Edit::descriptor(), d.value());
}

// A request, with the tree that it views.
template <class T>
struct Read {
  Document document;
  T operator*() const { return T(document.root); }
};
template <class T>
Result<Read<T>> read_as(const std::string& message) {
  auto doc = decode_protobuf(T::descriptor(), message);
  if (!doc.ok()) return invalid(doc.status().message());
  Read<T> out;
  out.document = std::move(*doc);
  return Result<Read<T>>(std::move(out));
}

// What a volume has to be for these capabilities.
Status shape_of(const List<v1::VolumeCapability>& capabilities, const std::string& kind,
                LocalVolumes::Wanted* out) {
  if (capabilities.empty()) return invalid("the request names no volume capabilities");
  bool block = false, mount = false;
  for (auto c : capabilities) {
    if (c.access_mode().mode().starts_with("MULTI_NODE"))
      return invalid("volumes of one host are for one node: " +
                     std::string(c.access_mode().mode()));
    if (c.has_block()) {
      block = true;
    } else {
      mount = true;
      if (!c.mount().fs_type().empty()) out->fs_type = c.mount().fs_type();
    }
  }
  if (block && mount) return invalid("a volume is a block device or a file system");
  if (!kind.empty() && kind != "directory" && kind != "image")
    return invalid("kind is neither directory nor image: " + kind);
  out->image = block || kind == "image" || !out->fs_type.empty();
  if (out->image && kind == "directory")
    return invalid("a directory is no " + (block ? std::string("block device") : out->fs_type));
  if (mount && out->image && out->fs_type.empty()) out->fs_type = "ext4";
  return {};
}

// Nothing: it is not said.
Result<std::optional<bool>> allocation_of(const Map<std::string_view>& parameters) {
  std::optional<bool> out;
  for (auto p : parameters) {
    if (p.key != "allocation")
      return invalid("there is no mutable parameter " + std::string(p.key));
    if (p.value != "full" && p.value != "sparse")
      return invalid("allocation is neither full nor sparse: " + std::string(p.value));
    out = p.value == "full";
  }
  return out;
}

Result<std::string> unknown(const std::string& method) {
  return Status(Reason::kMethodNotAllowed, "unknown method " + method);
}

}  // namespace

Result<std::string> LocalDriver::answer(const std::string& method, const std::string& message,
                                        int64_t now) {
  std::lock_guard lock(mutex_);
  const size_t slash = method.rfind('/');
  if (slash == std::string::npos) return unknown(method);
  const std::string service = method.substr(0, slash), name = method.substr(slash + 1);
  Result<std::string> out = service == "/csi.v1.Identity"     ? identity(name)
                            : service == "/csi.v1.Controller" ? controller(name, message, now)
                            : service == "/csi.v1.Node"       ? node(name, message)
                                                              : unknown(method);
  if (!out.ok()) log::info("CSI call failed", {{"method", method}, {"error", out.status()}});
  return out;
}

Result<std::string> LocalDriver::identity(const std::string& method) {
  if (method == "Probe") {
    Draft<v1::ProbeResponseEdit> r;
    r->edit_ready().set_value(true);
    return encoded(r);
  }
  if (method == "GetPluginInfo") {
    Draft<v1::GetPluginInfoResponseEdit> r;
    r->set_name(kLocalDriver);
    r->set_vendor_version(kGitVersion);
    return encoded(r);
  }
  if (method != "GetPluginCapabilities") return unknown(method);
  Draft<v1::GetPluginCapabilitiesResponseEdit> r;
  auto list = r->edit_capabilities();
  for (const char* type : {"CONTROLLER_SERVICE", "VOLUME_ACCESSIBILITY_CONSTRAINTS"})
    list.add().edit_service().set_type(type);
  list.add().edit_volume_expansion().set_type("ONLINE");
  return encoded(r);
}

void LocalDriver::describe(v1::VolumeEdit out, const LocalVolume& v) const {
  out.set_volume_id(v.id);
  out.set_capacity_bytes(v.bytes);
  out.edit_accessible_topology().add().edit_segments().set(kLocalTopology, options_.node);
}

Result<std::string> LocalDriver::create(const v1::CreateVolumeRequest& q) {
  LocalVolumes::Wanted w;
  w.name = q.name();
  w.bytes = q.capacity_range().required_bytes();
  w.limit = q.capacity_range().limit_bytes();
  w.snapshot = q.volume_content_source().snapshot().snapshot_id();
  w.volume = q.volume_content_source().volume().volume_id();
  if (w.bytes < 0 || w.limit < 0) return invalid("the size is negative");
  for (auto p : q.parameters())
    if (p.key != "kind" && !p.key.starts_with("csi.storage.k8s.io/"))
      return invalid("there is no parameter " + std::string(p.key));
  TRY_ASSIGN(full, allocation_of(q.mutable_parameters()));
  w.full = full.value_or(false);
  TRY(shape_of(q.volume_capabilities(), std::string(q.parameters().get("kind")), &w));
  bool here = q.accessibility_requirements().requisite().empty();
  for (auto t : q.accessibility_requirements().requisite())
    here = here || t.segments().get(kLocalTopology) == options_.node;
  if (!here)
    return Status(Reason::kTooManyRequests,
                  "the volume is wanted on other nodes than " + options_.node);
  TRY_ASSIGN(v, volumes_.create(w));
  Draft<v1::CreateVolumeResponseEdit> r;
  describe(r->edit_volume(), v);
  if (!w.snapshot.empty())
    r->edit_volume().edit_content_source().edit_snapshot().set_snapshot_id(w.snapshot);
  if (!w.volume.empty())
    r->edit_volume().edit_content_source().edit_volume().set_volume_id(w.volume);
  return encoded(r);
}

Result<std::string> LocalDriver::controller(const std::string& method, const std::string& message,
                                            int64_t now) {
  if (method == "ControllerGetCapabilities") {
    Draft<v1::ControllerGetCapabilitiesResponseEdit> r;
    for (const char* type : {"CREATE_DELETE_VOLUME", "LIST_VOLUMES", "GET_CAPACITY",
                             "CREATE_DELETE_SNAPSHOT", "LIST_SNAPSHOTS", "CLONE_VOLUME",
                             "EXPAND_VOLUME", "SINGLE_NODE_MULTI_WRITER", "MODIFY_VOLUME"})
      r->edit_capabilities().add().edit_rpc().set_type(type);
    return encoded(r);
  }
  if (method == "ControllerModifyVolume") {
    TRY_ASSIGN(q, read_as<v1::ControllerModifyVolumeRequest>(message));
    TRY_ASSIGN(full, allocation_of((*q).mutable_parameters()));
    const std::string id((*q).volume_id());
    TRY(volumes_.find(id).status());
    if (full) TRY(volumes_.allocate(id, *full));
    return std::string();
  }
  if (method == "CreateVolume") {
    TRY_ASSIGN(q, read_as<v1::CreateVolumeRequest>(message));
    return create(*q);
  }
  if (method == "DeleteVolume") {
    TRY_ASSIGN(q, read_as<v1::DeleteVolumeRequest>(message));
    if ((*q).volume_id().empty()) return invalid("the request names no volume");
    TRY(volumes_.remove(std::string((*q).volume_id())));
    return std::string();
  }
  if (method == "ValidateVolumeCapabilities") {
    TRY_ASSIGN(q, read_as<v1::ValidateVolumeCapabilitiesRequest>(message));
    TRY_ASSIGN(v, volumes_.find(std::string((*q).volume_id())));
    LocalVolumes::Wanted w;
    Status fits = shape_of((*q).volume_capabilities(), v.image ? "image" : "", &w);
    Draft<v1::ValidateVolumeCapabilitiesResponseEdit> r;
    if (fits.ok() && (w.image != v.image || w.fs_type != v.fs_type))
      fits = invalid("the volume is of another kind");
    if (fits.ok()) {
      r->edit_confirmed().set_volume_capabilities((*q).volume_capabilities());
    } else {
      r->set_message(fits.message());
    }
    return encoded(r);
  }
  if (method == "ListVolumes") {
    TRY_ASSIGN(q, read_as<v1::ListVolumesRequest>(message));
    if (!(*q).starting_token().empty())
      return Status(Reason::kConflict, "the token is none of this driver's");
    Draft<v1::ListVolumesResponseEdit> r;
    for (const LocalVolume& v : volumes_.all()) describe(r->edit_entries().add().edit_volume(), v);
    return encoded(r);
  }
  if (method == "GetCapacity") {
    TRY_ASSIGN(q, read_as<v1::GetCapacityRequest>(message));
    const auto where = (*q).accessible_topology().segments();
    Draft<v1::GetCapacityResponseEdit> r;
    if (!where.contains(kLocalTopology) || where.get(kLocalTopology) == options_.node)
      r->set_available_capacity(volumes_.available_bytes());
    return encoded(r);
  }
  if (method == "ControllerExpandVolume") {
    TRY_ASSIGN(q, read_as<v1::ControllerExpandVolumeRequest>(message));
    const int64_t bytes = (*q).capacity_range().required_bytes();
    const int64_t limit = (*q).capacity_range().limit_bytes();
    if (limit > 0 && bytes > limit) return Status(Reason::kExpired, "the size is beyond its limit");
    TRY_ASSIGN(v, volumes_.grow(std::string((*q).volume_id()), bytes));
    Draft<v1::ControllerExpandVolumeResponseEdit> r;
    r->set_capacity_bytes(v.bytes);
    if (v.image) r->set_node_expansion_required(true);
    return encoded(r);
  }
  return snapshots(method, message, now);
}

Result<std::string> LocalDriver::snapshots(const std::string& method, const std::string& message,
                                           int64_t now) {
  auto describe_one = [](v1::SnapshotEdit out, const LocalVolume& s) {
    out.set_snapshot_id(s.id);
    out.set_source_volume_id(s.source);
    out.set_size_bytes(s.bytes);
    out.edit_creation_time().set_seconds(s.made_at);
    out.set_ready_to_use(true);
  };
  if (method == "CreateSnapshot") {
    TRY_ASSIGN(q, read_as<v1::CreateSnapshotRequest>(message));
    TRY_ASSIGN(s, volumes_.create_snapshot(std::string((*q).name()),
                                           std::string((*q).source_volume_id()), now));
    Draft<v1::CreateSnapshotResponseEdit> r;
    describe_one(r->edit_snapshot(), s);
    return encoded(r);
  }
  if (method == "DeleteSnapshot") {
    TRY_ASSIGN(q, read_as<v1::DeleteSnapshotRequest>(message));
    TRY(volumes_.remove_snapshot(std::string((*q).snapshot_id())));
    return std::string();
  }
  if (method == "ListSnapshots") {
    TRY_ASSIGN(q, read_as<v1::ListSnapshotsRequest>(message));
    if (!(*q).starting_token().empty())
      return Status(Reason::kConflict, "the token is none of this driver's");
    Draft<v1::ListSnapshotsResponseEdit> r;
    for (const LocalVolume& s : volumes_.snapshots()) {
      if (!(*q).snapshot_id().empty() && (*q).snapshot_id() != s.id) continue;
      if (!(*q).source_volume_id().empty() && (*q).source_volume_id() != s.source) continue;
      describe_one(r->edit_entries().add().edit_snapshot(), s);
    }
    return encoded(r);
  }
  return unknown(method);
}

Result<std::string> LocalDriver::publish(const v1::NodePublishVolumeRequest& q) {
  const std::string id(q.volume_id()), target(q.target_path()), staging(q.staging_target_path());
  if (id.empty() || target.empty()) return invalid("the request names no volume or no target");
  if (q.volume_context().get("csi.storage.k8s.io/ephemeral") == "true") {
    LocalVolumes::Wanted w;
    w.name = id;
    w.ephemeral = true;
    TRY(volumes_.create(w).status());
  }
  TRY(volumes_.publish(id, staging, target, q.readonly()));
  return std::string();
}

Result<std::string> LocalDriver::node(const std::string& method, const std::string& message) {
  if (method == "NodeGetInfo") {
    Draft<v1::NodeGetInfoResponseEdit> r;
    r->set_node_id(options_.node);
    if (options_.max_volumes > 0) r->set_max_volumes_per_node(options_.max_volumes);
    r->edit_accessible_topology().edit_segments().set(kLocalTopology, options_.node);
    return encoded(r);
  }
  if (method == "NodeGetCapabilities") {
    Draft<v1::NodeGetCapabilitiesResponseEdit> r;
    for (const char* type :
         {"STAGE_UNSTAGE_VOLUME", "GET_VOLUME_STATS", "EXPAND_VOLUME", "SINGLE_NODE_MULTI_WRITER"})
      r->edit_capabilities().add().edit_rpc().set_type(type);
    return encoded(r);
  }
  if (method == "NodeStageVolume") {
    TRY_ASSIGN(q, read_as<v1::NodeStageVolumeRequest>(message));
    std::vector<std::string> options;
    for (std::string_view o : (*q).volume_capability().mount().mount_flags())
      options.emplace_back(o);
    TRY(volumes_.stage(std::string((*q).volume_id()), std::string((*q).staging_target_path()),
                       options));
    return std::string();
  }
  if (method == "NodeUnstageVolume") {
    TRY_ASSIGN(q, read_as<v1::NodeUnstageVolumeRequest>(message));
    TRY(volumes_.unstage(std::string((*q).volume_id()), std::string((*q).staging_target_path())));
    return std::string();
  }
  if (method == "NodePublishVolume") {
    TRY_ASSIGN(q, read_as<v1::NodePublishVolumeRequest>(message));
    return publish(*q);
  }
  if (method == "NodeUnpublishVolume") {
    TRY_ASSIGN(q, read_as<v1::NodeUnpublishVolumeRequest>(message));
    if ((*q).target_path().empty()) return invalid("the request names no target");
    TRY(volumes_.unpublish(std::string((*q).volume_id()), std::string((*q).target_path())));
    return std::string();
  }
  if (method == "NodeExpandVolume") {
    TRY_ASSIGN(q, read_as<v1::NodeExpandVolumeRequest>(message));
    const std::string id((*q).volume_id());
    TRY(volumes_.grow_mounted(id));
    TRY_ASSIGN(v, volumes_.find(id));
    Draft<v1::NodeExpandVolumeResponseEdit> r;
    r->set_capacity_bytes(v.bytes);
    return encoded(r);
  }
  if (method != "NodeGetVolumeStats") return unknown(method);
  TRY_ASSIGN(q, read_as<v1::NodeGetVolumeStatsRequest>(message));
  TRY_ASSIGN(u, volumes_.usage(std::string((*q).volume_id()), std::string((*q).volume_path())));
  Draft<v1::NodeGetVolumeStatsResponseEdit> r;
  auto bytes = r->edit_usage().add();
  bytes.set_unit("BYTES");
  bytes.set_total(u.total);
  bytes.set_used(u.used);
  bytes.set_available(u.available);
  if (u.inodes > 0) {
    auto inodes = r->edit_usage().add();
    inodes.set_unit("INODES");
    inodes.set_total(u.inodes);
    inodes.set_used(u.inodes_used);
    inodes.set_available(u.inodes_free);
  }
  return encoded(r);
}

namespace {

Task<Result<std::string>> serve(LocalDriver* driver, Context ctx, std::string method,
                                std::string message) {
  const int64_t now = ctx.loop().wall_now().unix_seconds();
  auto work = [driver, method = std::move(method), message = std::move(message), now] {
    return driver->answer(method, message, now);
  };
  co_return co_await run_blocking(&ctx.loop(), std::move(work));
}

namespace registration = api::pluginregistration_v1;

Task<Result<std::string>> register_itself(std::string endpoint, std::string method,
                                          std::string message) {
  if (method.ends_with("/GetInfo")) {
    Draft<registration::PluginInfoEdit> info;
    info->set_type("CSIPlugin");
    info->set_name(kLocalDriver);
    info->set_endpoint(endpoint);
    info->edit_supported_versions().add("1.0.0");
    co_return encode_protobuf(registration::PluginInfo::descriptor(), info.value());
  }
  if (!method.ends_with("/NotifyRegistrationStatus")) co_return unknown(method);
  auto doc = decode_protobuf(registration::RegistrationStatus::descriptor(), message);
  if (!doc.ok()) co_return doc.status();
  const registration::RegistrationStatus status(doc->root);
  if (status.plugin_registered()) {
    log::info("Registered with the kubelet", {{"driver", kLocalDriver}});
  } else {
    log::warn("The kubelet did not take the driver", {{"error", status.error()}});
  }
  co_return std::string();
}

}  // namespace

Task<Status> run_local_driver(Context ctx, LocalDriver* driver, std::string endpoint,
                              std::string registry) {
  std::string path = endpoint;
  if (path.starts_with("unix://")) path = path.substr(7);
  const size_t slash = path.rfind('/');
  if (!path.starts_with('/')) co_return invalid("the endpoint is no unix socket: " + endpoint);
  Status s = driver->start();
  if (s.ok()) s = make_directories(path.substr(0, slash), 0750);
  if (s.ok() && !registry.empty()) s = make_directories(registry, 0750);
  if (!s.ok()) co_return s;
  net::GrpcServer::Handler answers = [driver](Context c, std::string method, std::string message) {
    return serve(driver, c, std::move(method), std::move(message));
  };
  auto server = net::GrpcServer::start(ctx.loop(), "unix:" + path, net::GrpcServerOptions(),
                                       std::move(answers));
  if (!server.ok()) co_return server.status();
  std::unique_ptr<net::GrpcServer> registrar;
  if (!registry.empty()) {
    net::GrpcServer::Handler tells = [path](Context, std::string method, std::string message) {
      return register_itself(path, std::move(method), std::move(message));
    };
    auto made =
        net::GrpcServer::start(ctx.loop(), "unix:" + registry + "/" + kLocalDriver + "-reg.sock",
                               net::GrpcServerOptions(), std::move(tells));
    s = made.status();
    if (made.ok()) registrar = std::move(*made);
  }
  if (s.ok()) {
    log::info("CSI driver serves", {{"driver", kLocalDriver}, {"endpoint", path}});
    Event never;
    (void)co_await never.wait(ctx);
  }
  if (registrar) co_await registrar->stop();
  co_await (*server)->stop();
  co_return s;
}

}  // namespace keles::csi
