#include "node/csi/volume_data.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/beneath.h"
#include "base/file.h"
#include "machinery/codec_json.h"
#include "net/pki.h"

namespace keles::node {
namespace {

constexpr const char* kFile = "/vol_data.json";
constexpr size_t kMostData = 64 * 1024;
constexpr size_t kMostEntries = 64;

Status failed(const std::string& what, const std::string& path) {
  return Status::internal(what + " " + path + ": " + std::strerror(errno));
}

bool is_there(const std::string& path) {
  struct stat st {};
  return ::lstat(path.c_str(), &st) == 0;
}

std::vector<std::string> names_in(const std::string& directory) {
  auto names = list_directory(directory);
  return names.ok() ? std::move(*names) : std::vector<std::string>();
}

// An empty directory, or what a driver left of it; never what is mounted there.
Status remove_place(const std::string& path) {
  struct stat st {};
  if (::lstat(path.c_str(), &st) != 0) return errno == ENOENT ? Status() : failed("stat", path);
  if (S_ISDIR(st.st_mode)) {
    auto fd = open_directory(path);
    if (fd.ok() && is_mount_root(*fd))
      return Status(Reason::kInternalError, "the volume is still mounted at " + path);
    if (::rmdir(path.c_str()) != 0 && errno != ENOENT) return failed("failed to remove dir", path);
    return {};
  }
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return failed("failed to remove", path);
  return {};
}

Status remove_data(const std::string& directory) {
  const std::string file = directory + kFile;
  if (::unlink(file.c_str()) != 0 && errno != ENOENT) return failed("failed to delete", file);
  if (::rmdir(directory.c_str()) != 0 && errno != ENOENT)
    return failed("failed to delete", directory);
  return {};
}

CsiUse use_from(const std::string& uid, const std::string& name, const VolumeData& data) {
  CsiUse use;
  use.uid = uid;
  use.name = name;
  auto get = [&](const char* key) {
    auto it = data.find(key);
    return it == data.end() ? std::string() : it->second;
  };
  use.driver = get("driverName");
  use.handle = get("volumeHandle");
  use.ephemeral = get("volumeLifecycleMode") == "Ephemeral";
  return use;
}

}  // namespace

std::string CsiPaths::volume(const std::string& uid, const std::string& name) const {
  return root_ + "/pods/" + uid + "/volumes/kubernetes.io~csi/" + name;
}
std::string CsiPaths::target(const std::string& uid, const std::string& name) const {
  return volume(uid, name) + "/mount";
}
std::string CsiPaths::staged(const std::string& driver, const std::string& handle) const {
  return root_ + "/plugins/kubernetes.io/csi/" + driver + "/" + net::hex(net::sha256(handle));
}
std::string CsiPaths::staging(const std::string& driver, const std::string& handle) const {
  return staged(driver, handle) + "/globalmount";
}
std::string CsiPaths::block_staging(const std::string& name) const {
  return devices() + "/staging/" + name;
}
std::string CsiPaths::block_publish(const std::string& name, const std::string& uid) const {
  return devices() + "/publish/" + name + "/" + uid;
}
std::string CsiPaths::block_data(const std::string& name) const {
  return devices() + "/" + name + "/data";
}
std::string CsiPaths::pod_device(const std::string& uid, const std::string& name) const {
  return root_ + "/pods/" + uid + "/volumeDevices/kubernetes.io~csi/" + name;
}

std::vector<CsiUse> CsiPaths::uses_of(const std::string& uid) const {
  std::vector<CsiUse> out;
  const std::string pod = root_ + "/pods/" + uid;
  for (const std::string& name : names_in(pod + "/volumes/kubernetes.io~csi")) {
    auto data = load_volume_data(volume(uid, name));
    if (data.ok()) out.push_back(use_from(uid, name, *data));
  }
  for (const std::string& name : names_in(pod + "/volumeDevices/kubernetes.io~csi")) {
    auto data = load_volume_data(block_data(name));
    if (!data.ok()) continue;
    out.push_back(use_from(uid, name, *data));
    out.back().block = true;
  }
  return out;
}

std::vector<CsiUse> CsiPaths::uses() const {
  std::vector<CsiUse> out;
  for (const std::string& uid : names_in(root_ + "/pods"))
    for (CsiUse& use : uses_of(uid)) out.push_back(std::move(use));
  return out;
}

std::vector<CsiStaged> CsiPaths::all_staged() const {
  std::vector<CsiStaged> out;
  auto add = [&](const std::string& directory, const std::string& block) {
    auto data = load_volume_data(directory);
    if (!data.ok()) return;
    const CsiUse read = use_from("", "", *data);
    CsiStaged one;
    one.driver = read.driver;
    one.handle = read.handle;
    one.name = block;
    one.block = !block.empty();
    if (!one.driver.empty() && !one.handle.empty()) out.push_back(std::move(one));
  };
  const std::string plugins = root_ + "/plugins/kubernetes.io/csi";
  for (const std::string& driver : names_in(plugins)) {
    if (driver == "volumeDevices") continue;
    for (const std::string& hash : names_in(plugins + "/" + driver))
      add(plugins + "/" + driver + "/" + hash, "");
  }
  for (const std::string& name : names_in(devices()))
    if (name != "staging" && name != "publish") add(block_data(name), name);
  return out;
}

Status CsiPaths::remove_published(const CsiUse& use) const {
  if (use.block) {
    TRY(remove_place(block_publish(use.name, use.uid)));
    return remove_place(pod_device(use.uid, use.name));
  }
  TRY(remove_place(target(use.uid, use.name)));
  return remove_data(volume(use.uid, use.name));
}

Status CsiPaths::remove_staged(const CsiStaged& s) const {
  if (!s.block) {
    TRY(remove_place(staging(s.driver, s.handle)));
    return remove_data(staged(s.driver, s.handle));
  }
  TRY(remove_place(block_staging(s.name)));
  TRY(remove_place(devices() + "/publish/" + s.name));
  TRY(remove_data(block_data(s.name)));
  return remove_place(devices() + "/" + s.name);
}

Status save_volume_data(const std::string& directory, const VolumeData& data) {
  TRY(make_directories(directory, 0750));
  std::string text = "{";
  for (const auto& [key, value] : data) {
    if (text.size() > 1) text += ',';
    write_json_string(text, key);
    text += ':';
    write_json_string(text, value);
  }
  text += "}\n";
  return write_file(directory + kFile, text, 0640);
}

Result<VolumeData> parse_volume_data(std::string_view text) {
  TRY_ASSIGN(doc, parse_json(text));
  if (!doc.root.is_map()) return Status(Reason::kInvalid, "the volume's data are no object");
  if (doc.root.members().size() > kMostEntries)
    return Status(Reason::kInvalid, "the volume's data hold more than they should");
  VolumeData out;
  for (const Member& m : doc.root.members()) {
    const std::string key(m.key());
    const std::string value(m.value.as_string());
    // They become parts of paths.
    if (key == "driverName" && (value.find('/') != std::string::npos || value.starts_with('.')))
      return Status(Reason::kInvalid, "the volume's data name no driver");
    out[key] = value;
  }
  return out;
}

Result<VolumeData> load_volume_data(const std::string& directory) {
  const std::string path = directory + kFile;
  if (!is_there(path)) return Status(Reason::kNotFound, "there is no " + path);
  TRY_ASSIGN(text, read_file(path, kMostData));
  return parse_volume_data(text);
}

std::string inline_handle(const std::string& uid, const std::string& volume) {
  return "csi-" + net::hex(net::sha256(uid + volume));
}

std::string csi_unique_name(const std::string& driver, const std::string& handle) {
  return "kubernetes.io/csi/" + driver + "^" + handle;
}

}  // namespace keles::node
