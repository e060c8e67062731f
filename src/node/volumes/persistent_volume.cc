#include "node/volumes/persistent_volume.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <deque>

#include "base/sync.h"
#include "machinery/volumes/claim_rules.h"
#include "node/volumes/host_path.h"
#include "node/volumes/mount_command.h"
#include "node/volumes/nfs.h"

namespace keles::node {

using namespace api::core_v1;

namespace {

Status invalid(std::string why) { return Status(Reason::kInvalid, std::move(why)); }

bool uses_as(const Pod& pod, const std::string& volume, bool device) {
  auto any = [&](const auto& containers) {
    for (Container c : containers) {
      if (device) {
        for (auto d : c.volume_devices())
          if (d.name() == volume) return true;
      } else {
        for (auto m : c.volume_mounts())
          if (m.name() == volume) return true;
      }
    }
    return false;
  };
  return any(pod.spec().init_containers()) || any(pod.spec().containers());
}

bool is_protected(const PersistentVolumeClaim& claim) {
  for (std::string_view f : claim.metadata().finalizers())
    if (f == "kubernetes.io/pvc-protection") return true;
  return false;
}

Status check_claim(const PersistentVolumeClaim& claim) {
  if (!claim.metadata().deletion_timestamp().empty() && !is_protected(claim))
    return invalid("PVC is being deleted");
  if (claim.status().phase() != "Bound") return invalid("PVC is not bound");
  if (claim.spec().volume_name().empty()) return invalid("PVC has empty pvc.Spec.VolumeName");
  return {};
}

Status check_volume(const PersistentVolume& volume, const PersistentVolumeClaim& claim) {
  const std::string what = "found PV object " + std::string(volume.metadata().name());
  if (!volume.spec().has_claim_ref()) {
    return invalid(
        what + " but it has a nil pv.Spec.ClaimRef indicating it is not yet bound to the claim");
  }
  const std::string_view uid = volume.spec().claim_ref().uid();
  if (uid == claim.metadata().uid()) return {};
  return invalid(what + " but its pv.Spec.ClaimRef.UID " + std::string(uid) +
                 " does not point to claim.UID " + std::string(claim.metadata().uid()));
}

std::string source_of(const PersistentVolume& volume) {
  for (const FieldDesc& f : PersistentVolumeSource::descriptor().fields)
    if (!volume.spec().value()[f.name].is_null()) return std::string(f.name);
  return "";
}

Status check_mode(const PersistentVolume& volume, const ClaimRequest& r) {
  const bool block = volumes::is_block(volume);
  const std::string what = "volume " + r.volume + " has volumeMode " +
                           (block ? "Block" : "Filesystem") + ", but is specified in ";
  if (block && uses_as(*r.pod, r.volume, false)) return invalid(what + "volumeMounts");
  if (!block && uses_as(*r.pod, r.volume, true)) return invalid(what + "volumeDevices");
  if (block && !volume.spec().has_csi() && !volume.spec().has_local())
    return invalid("no block volume plugin matched: volumes of the type \"" + source_of(volume) +
                   "\" are no block devices");
  return {};
}

}  // namespace

Task<Result<ClaimedVolume>> find_claimed(Context ctx, Client* client, ClaimRequest request) {
  const std::string ns(request.pod->metadata().namespace_());
  const std::string what = "error processing PVC " + ns + "/" + request.claim;
  auto got = co_await client->get<PersistentVolumeClaim>(ctx, ns, request.claim);
  if (!got.ok()) co_return got.status().with_prefix(what + ": failed to fetch PVC from API server");
  const Ref<PersistentVolumeClaim> claim = *got;
  Status s = check_claim(*claim);
  if (s.ok() && request.ephemeral) {
    s = volumes::check_made_for(*request.pod, *claim);
    if (!s.ok()) co_return s;
  }
  if (!s.ok()) co_return s.with_prefix(what);
  const std::string name(claim->spec().volume_name());
  auto volume = co_await client->get<PersistentVolume>(ctx, "", name);
  if (!volume.ok()) {
    co_return volume.status().with_prefix(what + ": failed to fetch PV " + name +
                                          " from API server");
  }
  s = check_volume(**volume, *claim);
  if (!s.ok()) co_return s.with_prefix(what);
  s = check_mode(**volume, request);
  if (!s.ok()) co_return s;
  ClaimedVolume out;
  out.claim = claim;
  out.volume = *volume;
  co_return out;
}

Task<Result<std::string>> ready_volume(Context ctx, MayHang* calls, PodDirectories pods,
                                       ClaimRequest request, Ref<PersistentVolume> volume) {
  const auto spec = volume->spec();
  const std::string uid(request.pod->metadata().uid()), name(volume->metadata().name());
  auto failed = [name](const char* what, const Status& why) {
    return why.with_prefix("MountVolume." + std::string(what) + " failed for volume \"" + name +
                           "\" ");
  };
  if (spec.has_host_path()) {
    if (!mount_options_of(*volume).empty())
      co_return failed("MountOptionSupport check",
                       invalid("Mount options are not supported for this volume type"));
    const std::string path(spec.host_path().path()), type(spec.host_path().type());
    Status s = co_await look_at_host(ctx, calls, uid, path, type);
    if (!s.ok()) co_return failed("SetUp", s);
    co_return path;
  }
  if (spec.has_local()) {
    const std::string path(spec.local().path());
    Status device = co_await look_at_host(ctx, calls, uid, path, "BlockDevice");
    if (!device.ok()) co_return failed("SetUp", device);
    co_return path;
  }
  if (spec.has_nfs()) {
    NfsSource nfs;
    nfs.server = spec.nfs().server();
    nfs.path = spec.nfs().path();
    nfs.read_only = spec.nfs().read_only() || request.read_only;
    nfs.options = mount_options_of(*volume);
    auto at = co_await ready_nfs(ctx, calls, pods, uid, name, std::move(nfs));
    if (!at.ok()) co_return failed("SetUp", at.status());
    co_return at;
  }
  co_return failed("SetUp", invalid("no volume plugin matched: this node mounts no persistent "
                                    "volumes of the type \"" +
                                    source_of(*volume) + "\""));
}

namespace {

Status failed(const std::string& what) {
  return Status(Reason::kInternalError, what + ": " + std::strerror(errno));
}

// One file or directory, held by `fd` (O_PATH).
Status give_one(const Fd& fd, const struct stat& st, gid_t group, bool read_only) {
  const std::string path = fd.proc_path();
  if (st.st_gid != group &&
      fchownat(fd.get(), "", static_cast<uid_t>(-1), group, AT_EMPTY_PATH) != 0)
    return failed("chown");
  if (S_ISLNK(st.st_mode)) return {};
  mode_t mode = (st.st_mode & 07777) | (read_only ? 0440 : 0660);
  if (S_ISDIR(st.st_mode)) mode |= S_ISGID | 0110;
  if (mode != (st.st_mode & 07777) && chmod(path.c_str(), mode) != 0) return failed("chmod");
  return {};
}

bool is_given(const struct stat& st, gid_t group, bool read_only) {
  const mode_t wanted = S_ISGID | 0110 | (read_only ? 0440 : 0660);
  return st.st_gid == group && (st.st_mode & wanted) == wanted;
}

}  // namespace

Status give_to_group(const std::string& path, gid_t group, bool read_only,
                     bool only_if_root_differs) {
  TRY_ASSIGN(root, open_directory(path));
  struct stat st {};
  if (fstat(root.get(), &st) != 0) return failed("stat");
  if (only_if_root_differs && is_given(st, group, read_only)) return {};
  std::deque<std::string> left{""};  // directories, from the root
  while (!left.empty()) {
    const std::string at = std::move(left.front());
    left.pop_front();
    Fd dir;
    if (at.empty()) {
      dir = Fd(fcntl(root.get(), F_DUPFD_CLOEXEC, 0));
    } else {
      auto opened = open_directory_beneath(root, at);
      if (opened.status().is(Reason::kNotFound)) continue;
      if (!opened.ok()) return opened.status();
      dir = std::move(*opened);
    }
    TRY_ASSIGN(names, list_directory(dir));
    for (const std::string& name : names) {
      Fd one(openat(dir.get(), name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
      if (!one.open() && errno == ENOENT) continue;  // a container removed it meanwhile
      if (!one.open() || fstat(one.get(), &st) != 0) return failed("open " + name);
      TRY(give_one(one, st, group, read_only));
      if (S_ISDIR(st.st_mode)) left.push_back(at.empty() ? name : at + "/" + name);
    }
  }
  // Last: who finds the root given finds all given (OnRootMismatch).
  Fd self(open(path.c_str(), O_PATH | O_CLOEXEC));
  if (!self.open() || fstat(self.get(), &st) != 0) return failed("open " + path);
  return give_one(self, st, group, read_only);
}

}  // namespace keles::node
