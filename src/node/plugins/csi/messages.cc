#include "node/plugins/csi/messages.h"

#include <algorithm>

namespace keles::csi {

std::string_view access_mode(std::string_view mode, bool multi_writer) {
  if (mode == "ReadWriteOnce")
    return multi_writer ? "SINGLE_NODE_MULTI_WRITER" : "SINGLE_NODE_WRITER";
  if (mode == "ReadOnlyMany") return "MULTI_NODE_READER_ONLY";
  if (mode == "ReadWriteMany") return "MULTI_NODE_MULTI_WRITER";
  if (mode == "ReadWriteOncePod")
    return multi_writer ? "SINGLE_NODE_SINGLE_WRITER" : "SINGLE_NODE_WRITER";
  return "UNKNOWN";
}

void fill(v1::VolumeCapabilityEdit out, const Access& access, bool multi_writer) {
  if (access.block) {
    (void)out.edit_block();
  } else {
    auto mount = out.edit_mount();
    if (!access.fs_type.empty()) mount.set_fs_type(access.fs_type);
    if (!access.mount_flags.empty()) {
      auto flags = mount.edit_mount_flags();
      for (const std::string& f : access.mount_flags) flags.add(f);
    }
    if (access.mount_group) mount.set_volume_mount_group(std::to_string(*access.mount_group));
  }
  out.edit_access_mode().set_mode(access_mode(access.mode, multi_writer));
}

void fill(const MapEdit& out, const StringMap& from) {
  for (const auto& [key, value] : from) out.set(key, value);
}

StringMap map_of(const Map<std::string_view>& from) {
  StringMap out;
  for (auto entry : from) out[std::string(entry.key)] = entry.value;
  return out;
}

std::string_view code_of(const Status& status) {
  static constexpr std::string_view kPrefix = "rpc error: code = ";
  const std::string_view text = status.message();
  if (status.ok()) return "OK";
  const size_t at = text.find(kPrefix);
  if (at == std::string_view::npos) return "";
  const std::string_view rest = text.substr(at + kPrefix.size());
  return rest.substr(0, rest.find(' '));
}

bool is_final(const Status& status) {
  const std::string_view code = code_of(status);
  if (code.empty()) return false;
  for (std::string_view going :
       {"Canceled", "DeadlineExceeded", "Unavailable", "ResourceExhausted", "Aborted"})
    if (code == going) return false;
  return true;
}

bool is_infeasible(const Status& status) {
  const std::string_view code = code_of(status);
  return code == "InvalidArgument" || code == "OutOfRange" || code == "NotFound";
}

}  // namespace keles::csi
