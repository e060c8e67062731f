#include "node/dra/cdi.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <set>

#include "base/file.h"
#include "machinery/codec_yaml.h"

namespace keles::node {

namespace {

constexpr size_t kMostSpec = 4u << 20, kMostSpecs = 1024;

Status failed(const std::string& what) { return Status(Reason::kUnknown, what); }

// The runtime makes a node as the host's is.
Status check_like_host(const Value& v, const std::string& host_path, const std::string& name) {
  const char* said[] = {"type", "major", "minor", "fileMode", "uid", "gid"};
  if (std::none_of(std::begin(said), std::end(said), [&](auto* s) { return !v[s].is_null(); }))
    return {};
  struct stat st {};
  if (::stat(host_path.c_str(), &st) != 0)
    return failed("CDI device " + name + ": there is no " + host_path);
  const std::string_view type = v["type"].as_string();
  const bool right_type = type.empty() || (type == "b" && S_ISBLK(st.st_mode)) ||
                          ((type == "c" || type == "u") && S_ISCHR(st.st_mode));
  auto differs = [&](const char* member, uint64_t is) {
    return !v[member].is_null() && v[member].as_int() != static_cast<int64_t>(is);
  };
  if (!right_type || differs("major", major(st.st_rdev)) || differs("minor", minor(st.st_rdev)) ||
      differs("fileMode", st.st_mode & 0777) || differs("uid", st.st_uid) ||
      differs("gid", st.st_gid))
    return failed("CDI device " + name + " wants " + host_path +
                  " as it is not on the host, which the container runtime does not support");
  return {};
}

// A mount of the runtime is a recursive, private bind mount, and may be read-only. That a mount
// has no programs and no devices is left out.
Status read_mount(const Value& v, const std::string& name, cri::Mount* mount) {
  mount->host_path = v["hostPath"].as_string();
  mount->container_path = v["containerPath"].as_string();
  const std::string_view type = v["type"].as_string();
  std::string wrong;
  if (!type.empty() && type != "bind" && type != "none") wrong = "type " + std::string(type);
  for (const Value& o : v["options"].items()) {
    static constexpr std::string_view kSame[] = {"rw",       "bind",   "rbind", "private",
                                                 "rprivate", "nosuid", "nodev", "noexec"};
    const std::string_view option = o.as_string();
    if (option == "ro") {
      mount->readonly = true;
    } else if (option == "rslave" || option == "slave") {
      mount->propagation = cri::Propagation::kHostToContainer;
    } else if (option == "rshared" || option == "shared") {
      mount->propagation = cri::Propagation::kBidirectional;
    } else if (std::find(std::begin(kSame), std::end(kSame), option) == std::end(kSame)) {
      wrong = "option " + std::string(option);
    }
  }
  if (wrong.empty()) return {};
  return failed("CDI device " + name + " has a mount of " + wrong +
                ", which the container runtime does not support");
}

Status add_edits(const Value& edits, const std::string& name, ContainerExtras* out) {
  for (const Member& m : edits.members()) {
    if (m.key() == "hooks" || m.key() == "intelRdt" || m.key() == "netDevices" ||
        m.key() == "additionalGids") {
      if (m.value.items().empty() && m.value.members().empty()) continue;
      return failed("CDI device " + name + " has " + std::string(m.key()) +
                    ", which the container runtime does not support");
    }
  }
  for (const Value& v : edits["env"].items()) {
    const std::string_view text = v.as_string();
    const size_t eq = text.find('=');
    if (eq == std::string_view::npos || eq == 0)
      return failed("CDI device " + name + ": invalid environment variable");
    out->env.emplace_back(text.substr(0, eq), text.substr(eq + 1));
  }
  for (const Value& v : edits["deviceNodes"].items()) {
    cri::Device device;
    device.container_path = v["path"].as_string();
    device.host_path = v["hostPath"].as_string();
    if (device.host_path.empty()) device.host_path = device.container_path;
    TRY(check_like_host(v, device.host_path, name));
    device.permissions = v["permissions"].as_string();
    if (device.permissions.empty()) device.permissions = "rwm";
    out->devices.push_back(std::move(device));
  }
  for (const Value& v : edits["mounts"].items()) {
    cri::Mount mount;
    TRY(read_mount(v, name, &mount));
    out->mounts.push_back(std::move(mount));
  }
  return {};
}

}  // namespace

bool runtime_does_cdi(const std::string& name, const std::string& version) {
  if (name != "containerd") return true;
  std::string_view v = version;
  if (v.starts_with('v')) v.remove_prefix(1);
  return !v.starts_with("0.") && !v.starts_with("1.");
}

Status inject_cdi_specs(const std::vector<std::string>& specs,
                        const std::vector<std::string>& names, ContainerExtras* out) {
  std::vector<Document> trees;
  for (const std::string& text : specs) {
    auto tree = parse_yaml(text);  // JSON is YAML, too
    if (tree.ok()) trees.push_back(std::move(*tree));
  }
  std::set<const Document*> used;  // a specification's own edits are made once
  std::string missing;
  for (const std::string& name : names) {
    const size_t eq = name.find('=');
    const std::string kind = name.substr(0, eq);
    const std::string id = eq == std::string::npos ? "" : name.substr(eq + 1);
    const Value* found = nullptr;
    const Document* in = nullptr;
    for (const Document& tree : trees) {
      if (tree.root["kind"].as_string() != kind) continue;
      for (const Value& device : tree.root["devices"].items()) {
        if (device["name"].as_string() != id) continue;
        found = &device;
        in = &tree;
      }
    }
    if (!found) {
      missing += (missing.empty() ? "" : ", ") + name;
      continue;
    }
    if (used.insert(in).second) TRY(add_edits(in->root["containerEdits"], name, out));
    TRY(add_edits((*found)["containerEdits"], name, out));
  }
  if (!missing.empty())
    return failed("CDI device injection failed: unresolvable CDI devices " + missing);
  return {};
}

Status inject_cdi(const std::vector<std::string>& directories,
                  const std::vector<std::string>& names, ContainerExtras* out) {
  std::vector<std::string> specs;
  for (const std::string& directory : directories) {
    auto files = list_directory(directory);
    if (!files.ok()) continue;
    for (const std::string& file : *files) {
      const bool spec = file.ends_with(".json") || file.ends_with(".yaml");
      if (!spec || specs.size() >= kMostSpecs) continue;
      auto text = read_file(directory + "/" + file, kMostSpec);
      if (text.ok()) specs.push_back(std::move(*text));
    }
  }
  return inject_cdi_specs(specs, names, out);
}

}  // namespace keles::node
